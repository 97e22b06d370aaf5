"""What a readable file of any format offers: the formats implement `Part`, `source` puts parts together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["Part", "ReadOptions", "readable_schema"]


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How to read a part."""

    #: at most so many rows in a batch
    batch_rows: int
    #: the columns wanted, or None for all; a part may give them in another order
    columns: tuple[str, ...] | None
    #: string columns to read as dictionaries; a subset of the part's `dictionary_columns`
    dictionary_columns: frozenset[str]
    #: values that need a finer unit than is handed on lose it, instead of being refused
    allow_lossy: bool = False
    #: row of the whole source, from 1, that the part begins with: what messages count by
    first_row: int = 1


class Part(Protocol):
    """One file. Its constructor reads the metadata and keeps nothing open; it raises `FileError`."""

    path: str
    #: as stored: no column is a dictionary merely because that is cheaper to read
    schema: pa.Schema
    #: the row count that the file itself promises, or None
    rows: int | None
    size_bytes: int
    #: string columns that are cheaper to read as dictionaries
    dictionary_columns: frozenset[str]

    def batches(self, options: ReadOptions) -> Generator[pa.RecordBatch, None, None]:
        """Open the file, read it once, close it. Foreign errors may escape: the caller maps them."""


def readable_schema(schema: pa.Schema) -> pa.Schema:
    """Give `schema` back, or raise ValueError where a name in it, nested ones too, is not UTF-8."""
    for field in schema:
        _read_names(field)
    return schema


def _read_names(field: pa.Field) -> None:
    _ = field.name  # decodes it
    kind = field.type.storage_type if isinstance(field.type, pa.BaseExtensionType) else field.type
    for index in range(kind.num_fields):
        _read_names(kind.field(index))
