"""A column of a stream, as encoder, decoder and their messages know it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bulkio.types import Cast

__all__ = ["Field"]


@dataclass(frozen=True, slots=True)
class Field:
    """One column of a stream: its name (for messages), how it is converted, and whether it may be NULL."""

    name: str
    cast: Cast
    nullable: bool = True
