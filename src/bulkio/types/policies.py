"""Policies: what happens to values that have no exact counterpart. The default is always an error.

Each is an option of the CLI and an argument of the API under the same name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["STRICT", "BoundsPolicy", "InfinityPolicy", "NanPolicy", "NulPolicy", "Policies"]

InfinityPolicy = Literal["error", "null", "sentinel"]
NanPolicy = Literal["error", "null"]
NulPolicy = Literal["error", "strip", "replace"]
BoundsPolicy = Literal["error", "drop"]


@dataclass(frozen=True, slots=True)
class Policies:
    """What the user allows."""

    #: infinite dates and timestamps, and 24:00:00. Export: error, null, or the Arrow type's extreme as a sentinel;
    #: load: with sentinel, that extreme goes back as infinity
    infinity: InfinityPolicy = "error"
    #: export of numeric NaN and infinity into a decimal
    nan: NanPolicy = "error"
    #: load of NUL characters in text: take them out, or put U+FFFD in their place
    nul: NulPolicy = "error"
    #: export of arrays whose lower bound is not 1: drop the bound
    bounds: BoundsPolicy = "error"
    #: dimensions of array columns, by column, where they are more than one
    dimensions: Mapping[str, int] = field(default_factory=dict)
    #: load: float64 into float4, floats into numeric, nanoseconds into microseconds, and numeric with fewer places
    allow_lossy: bool = False

    @property
    def changes_exports(self) -> tuple[str, ...]:
        """Name the policies that let an export change values."""
        changes = {"infinity": self.infinity, "nan": self.nan, "bounds": self.bounds}
        return tuple(name for name, policy in changes.items() if policy != "error")


#: Every one an error.
STRICT = Policies()
