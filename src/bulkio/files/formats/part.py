"""What a readable file of any format offers: the formats implement `Part`, `source` puts parts together."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pyarrow as pa

from bulkio.choices import ColumnChoice
from bulkio.errors import FileError, SchemaError
from bulkio.forms.layouts import values_at
from bulkio.protocols import PartRange, made_up_names
from bulkio.show import did_you_mean, printable, show_option

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Generator, Iterable, Mapping, Sequence

    from bulkio.protocols import Refuse, Spelling

__all__ = [
    "FileState",
    "Part",
    "ReadOptions",
    "Records",
    "TypedPart",
    "changed",
    "choose_columns",
    "even_ranges",
    "file_state",
    "open_parts",
    "readable_schema",
    "rows_of",
    "shared_schema",
    "state_of",
]

#: state by which a file is known to be the same: device, inode, size, time of the last change
FileState = tuple[int, int, int, int]
#: different schemas that the files of a source share; those of further ones are their own
_KNOWN_SCHEMAS = 16


def file_state(path: str) -> FileState:
    """Return what `path` is now; links are followed. Raises OSError."""
    return state_of(Path(path).stat())


def state_of(found: os.stat_result) -> FileState:
    """Return the state in which a file was found."""
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def changed(path: str) -> FileError:
    """Return the error about a file that is not in its first state any more."""
    message = "was changed or replaced while it was being loaded: load it again, once it is written"
    return FileError(f"{path}: {message}", path=path)


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How to read a part."""

    #: rows in a batch, at most
    batch_rows: int
    #: columns wanted, or None for all; a part may return them in another order
    columns: tuple[str, ...] | None
    #: string columns to read as dictionaries; a subset of the part's `dictionary_columns`
    dictionary_columns: frozenset[str]
    #: True if values lose what is finer than the unit they are handed on in, instead of being refused
    allow_lossy: bool = False
    #: row of the whole source that the part begins with, from 1: what messages count by
    first_row: int = 1
    #: what is told of each record that gives no row, before the batch that has NULLs there; None if that is an error
    refuse: Refuse | None = None


@dataclass(frozen=True, slots=True)
class Records:
    """Some records of one file as it has them: all columns, under their own names."""

    path: str
    #: their rows in the file, from 1
    rows: tuple[int, ...]
    #: lines at which they begin, from 1; None where rows have no lines
    lines: tuple[int, ...] | None
    #: rows of Arrow; or each record's text in the file's encoding, without its line's end
    data: pa.RecordBatch | tuple[bytes, ...]


class Part(Protocol):
    """One file. Its constructor reads the metadata and keeps nothing open; it raises `FileError`.

    It is given parts of the same source that are `known`: where it has the same schema as one of them, it shares that.
    """

    path: str
    #: schema as stored: no column is a dictionary merely because that is cheaper to read
    schema: pa.Schema
    #: reasons why columns cannot be loaded, by name
    faults: Mapping[str, str]
    #: the row count that the file itself promises, or None
    rows: int | None
    size_bytes: int
    #: state of the file before anything of it was read
    state: FileState
    #: string columns that can be read as dictionaries
    dictionary_columns: frozenset[str]

    #: spelling of its values if it has nothing but text; None if its types are Arrow's
    spelling: Spelling | None
    #: notes that the user has to read
    notes: tuple[str, ...]

    def few_valued(self, names: frozenset[str]) -> frozenset[str]:
        """Return those of its `dictionary_columns` that are cheaper to read as such. Raises `FileError`."""

    def ranges(self, count: int) -> Sequence[PartRange]:
        """Cut the file into at most `count` ranges of about the same size, in order. Raises `FileError`."""

    def read_range(self, part: PartRange, options: ReadOptions) -> Generator[pa.RecordBatch, None, None]:
        """Open the file, read the range once, close it. Foreign errors may escape: the caller maps them."""

    def records(self, part: PartRange, rows: Sequence[int], options: ReadOptions) -> Generator[Records, None, None]:
        """Read the range again; yield the records of these rows of the file, which are sorted, in order.

        Of the options, the columns do not count: records have all. Foreign errors may escape: the caller maps them.
        """

    def line_of_row(self, row: int) -> int | None:
        """Return the line at which a row (from 1) begins; None where rows have no lines. Raises `FileError`."""

    def inferred_types(self) -> Mapping[str, str]:
        """Read all of it and return the PostgreSQL type of each column; empty where nobody asked for it."""


def even_ranges(rows: Sequence[int], count: int) -> list[PartRange]:
    """Cut units of so many rows each, row groups or batches, into at most `count` ranges of about as many rows.

    >>> [(found.start, found.end, found.first_row) for found in even_ranges([5, 5, 5, 1], 2)]
    [(0, 2, 1), (2, 4, 11)]
    """
    starts = list(accumulate(rows, initial=0))
    total = max(1, starts[-1])
    # A unit belongs to the range in which its middle lies; what is empty at the end, to the last one.
    middles = [2 * start + size for start, size in zip(starts, rows, strict=False)]
    places = [min(count - 1, count * middle // (2 * total)) for middle in middles]
    cuts = [index for index in range(1, len(rows)) if places[index] != places[index - 1]]
    bounds = pairwise([0, *cuts, len(rows)])
    return [PartRange(start, end, starts[start] + 1, starts[end] - starts[start]) for start, end in bounds]


def rows_of(batch: pa.RecordBatch, indices: Sequence[int]) -> pa.RecordBatch:
    """Return some rows of a batch, in this order, in memory of their own."""
    columns = [values_at(column, indices) for column in batch.columns]
    return pa.RecordBatch.from_arrays(columns, schema=batch.schema)


class TypedPart:
    """What the parts of formats with types of their own have in common: there is nothing to tell."""

    path: str
    dictionary_columns: frozenset[str] = frozenset()
    spelling: Spelling | None = None
    notes: tuple[str, ...] = ()

    def few_valued(self, names: frozenset[str]) -> frozenset[str]:  # noqa: ARG002 - the Protocol's
        """Return nothing: its columns are read as they lie in the file."""
        return frozenset()

    def read_range(self, part: PartRange, options: ReadOptions) -> Generator[pa.RecordBatch, None, None]:
        """Read the range once, as each format does in its own way."""
        raise NotImplementedError

    def records(self, part: PartRange, rows: Sequence[int], options: ReadOptions) -> Generator[Records, None, None]:
        """Take the rows out of the batches of all columns."""
        seen, done = part.first_row - 1, 0
        whole = replace(options, columns=None, dictionary_columns=frozenset())
        with closing(self.read_range(part, whole)) as batches:
            for batch in batches:
                end = bisect_right(rows, seen + batch.num_rows)
                if here := tuple(rows[done:end]):
                    yield Records(self.path, here, None, rows_of(batch, [row - 1 - seen for row in here]))
                seen, done = seen + batch.num_rows, end
                if done == len(rows):
                    return

    def line_of_row(self, row: int) -> int | None:  # noqa: ARG002 - the Protocol's
        """Return None: its rows have no lines."""
        return None

    def inferred_types(self) -> Mapping[str, str]:
        """Return nothing: its columns have types."""
        return {}


def choose_columns(schema: pa.Schema, columns: tuple[str, ...], source: str) -> tuple[str, ...]:
    """Return the columns that the user has chosen, all of them found; those that he excludes are there, too.

    Raises:
        SchemaError: a column is not there, or its name does not say which one is meant.
    """
    choice = ColumnChoice.of(columns)
    columns = choice.names
    for faults, text in (
        ([name for name in columns if name not in schema.names], "has no column {}"),
        ([name for name in columns if schema.names.count(name) > 1], "has column {} twice: rename one of them"),
        ([name for name, times in Counter(columns).items() if times > 1], "column {} is named twice"),
    ):
        if faults:
            names = tuple(dict.fromkeys(faults))
            near = next(filter(None, (did_you_mean(name, schema.names) for name in names)), "")
            if tuple(schema.names) == made_up_names(len(schema)):
                near = f"its columns have no names of their own: give them ({show_option('header_names')})"
            what = f"{source}: " + text.format(printable(", ".join(names)))
            raise SchemaError(f"{what}; {near}" if near and names[0] not in schema.names else what, columns=names)
    return choice.among(schema.names)


def open_parts(files: Iterable[tuple[Callable[[str, Sequence[Part]], Part], str]]) -> list[Part]:
    """Open files, each with its function, one after the other. Raises the first one's error."""
    parts: list[Part] = []
    known: list[Part] = []
    for open_part, path in files:
        parts.append(open_part(path, known))
        if len(known) < _KNOWN_SCHEMAS and all(part.schema is not parts[-1].schema for part in known):
            known.append(parts[-1])
    return parts


def shared_schema(schema: pa.Schema, known: Sequence[Part]) -> pa.Schema:
    """Return the schema of a known part that is the same, but for metadata of its own, else `schema`."""
    fields = schema.remove_metadata()
    return next((p.schema for p in known if p.schema.remove_metadata().equals(fields, check_metadata=True)), schema)


def readable_schema(schema: pa.Schema) -> pa.Schema:
    """Return `schema`, or raise ValueError where a name in it, nested ones too, is not UTF-8."""
    for field in schema:
        _read_names(field)
    return schema


def _read_names(field: pa.Field) -> None:
    _ = field.name  # decodes it
    kind = field.type.storage_type if isinstance(field.type, pa.BaseExtensionType) else field.type
    for index in range(kind.num_fields):
        _read_names(kind.field(index))
