"""The column of a staging table that numbers the rows, so that they have an order, and each can be named. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pyarrow as pa

from bulkio.pgcopy import Field
from bulkio.quote import quote_ident
from bulkio.types import STRICT, base_type, cast_to_pg

if TYPE_CHECKING:
    from collections.abc import Container

    from bulkio.sql import StagedInsert

__all__ = ["ROW_BITS", "number_column", "number_field", "numbered"]

#: bits of a row's number below those of its chunk: a chunk has at most a trillion rows
ROW_BITS = 40

_NAME = "bulkio_row"


def number_column(columns: Container[str]) -> str:
    """Return its name, which none of the source's columns has.

    >>> number_column(["id"]), number_column(["id", "bulkio_row"])
    ('bulkio_row', 'bulkio_row_')
    """
    name = _NAME
    while name in columns:
        name += "_"
    return name


def number_field(name: str) -> Field:
    """Return how the column of this name travels."""
    cast = cast_to_pg(pa.int64(), base_type("int8"), STRICT)
    assert cast is not None  # noqa: S101 - of all pairs
    return Field(name, cast, nullable=False)


def numbered(insert: StagedInsert, staging: tuple[str, str], number: str) -> StagedInsert:
    """Return an insert from a staging table whose rows are numbered by a column."""
    return replace(insert, staging=staging, place=quote_ident(number))
