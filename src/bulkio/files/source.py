"""Several files as one source: their schemas must agree, and each must give the rows that it promises."""

from __future__ import annotations

from bisect import bisect_left
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from heapq import nlargest
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from bulkio.choices import ColumnChoice
from bulkio.errors import FileError, SchemaError
from bulkio.files.agreement import common_spelling, conform, refuse_differences, shown_schema
from bulkio.files.chunks import cut, rows_of_files
from bulkio.files.faults import reading
from bulkio.files.formats.part import ReadOptions, changed, choose_columns, file_state
from bulkio.files.identity import fingerprints
from bulkio.files.partitions import refuse_dropped_partitions
from bulkio.files.readers import Readers
from bulkio.files.stores.paths import Listing
from bulkio.show import printable, show_name, show_option, show_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence

    from bulkio.files.formats.part import Part, Records
    from bulkio.protocols import Chunk, Feed, Fingerprint, PartRange, Refuse

__all__ = ["FileSource", "Spool"]

#: files looked at to find columns with few values, the largest ones; a wrong guess costs CPU, never a value
_SAMPLED_FILES = 16


@dataclass(frozen=True, slots=True)
class Spool:
    """What is held in a file of bulkio's own, as it can be read once."""

    #: what the user knows it by
    name: str
    #: what removes the file
    release: Callable[[], None]
    #: False of an object that could be held anew
    reads_once: bool = True


class FileSource:
    """A `protocols.Source` over files of any formats, read one after the other.

    Raises `SchemaError` that names each file and column that differs from the first file, or an unknown
    column in `columns`.
    """

    feed: Feed | None = None

    def __init__(
        self,
        parts: Sequence[Part],
        listing: Listing | None = None,
        *,
        batch_rows: int,
        columns: tuple[str, ...] | None = None,
        allow_lossy: bool = False,
        spool: Spool | None = None,
    ) -> None:
        first, listing = parts[0], listing or Listing(())
        self._spool = spool
        self.reads_once = spool is not None and spool.reads_once
        self.notes = listing.notes + tuple(note for part in parts for note in part.notes)
        self.name = first.path if len(parts) == 1 else f"{first.path} and {len(parts) - 1} more"
        if spool is not None:
            self.name = spool.name
        self._parts = tuple(parts)
        #: folders and patterns by which its files were found
        self.searched = listing.searched
        self.spelling = common_spelling(parts)
        #: rows of files, by their places, as far as they were read or cut: CSV and streams do not tell them before
        self._rows_found: dict[int, int] = {}
        refuse_dropped_partitions(parts, columns, listing.roots)
        chosen = list(first.schema.names if columns is None else choose_columns(first.schema, columns, first.path))
        _refuse_faults(parts, chosen)
        refuse_differences(self._parts, chosen, None if columns is None else ColumnChoice.of(columns))
        cheap = _few_valued(parts, chosen)
        self._options = ReadOptions(batch_rows, None if columns is None else tuple(chosen), cheap, allow_lossy)
        self.schema = shown_schema(self._parts, chosen, cheap)
        counts = [part.rows for part in parts]
        self.rows: int | None = None if None in counts else sum(count or 0 for count in counts)
        self.cut_bytes: int | None = sum(part.size_bytes for part in parts)
        self.size_bytes: int | None = self.cut_bytes if self.has_files else None
        self._readers = Readers()

    def leave_out(self, names: Collection[str]) -> None:
        """Do not read these columns: nobody wants them. Readers that have begun do not change."""
        kept = tuple(name for name in self.schema.names if name not in names)
        cheap = self._options.dictionary_columns.intersection(kept)
        self._options = replace(self._options, columns=kept, dictionary_columns=cheap)
        self.schema = pa.schema([self.schema.field(name) for name in kept], metadata=self.schema.metadata)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Read all files in order. Raises `FileError`, also if a file does not give the rows it promises."""
        return self._readers.start(self.name, _batches(self._read(None)))

    def chunks(self, count: int) -> tuple[Chunk, ...]:
        """Cut the files into at most `count` chunks, by their sizes. Raises `FileError`, `ConfigError`."""
        chunks = cut(self._parts, count)
        self._rows_found.update(rows_of_files(chunks, len(self._parts)))
        return chunks

    def read(self, chunk: Chunk, refuse: Refuse | None = None) -> Iterator[pa.RecordBatch]:
        """Read one of `chunks`. Raises as `batches` does; `refuse` is told of records that give no row."""
        return self._readers.start(self.name, _batches(self._read(chunk, refuse)))

    def located_batches(
        self, chunk: Chunk | None = None, refuse: Refuse | None = None
    ) -> Iterator[tuple[str, pa.RecordBatch]]:
        """Read all, or one of `chunks`, with the path of the file that each batch is from."""
        return self._readers.start(self.name, self._read(chunk, refuse))

    def records(self, rows: Sequence[int], chunk: Chunk) -> Iterator[Records]:
        """Read a chunk again; yield its records of these rows, as errors count them, sorted: all columns of the file.

        It costs one reading, whatever their number. Raises `FileError`, also where a file does not have them any more.
        """
        return self._readers.start(self.name, self._records(rows, chunk))

    @property
    def record_schema(self) -> pa.Schema:
        """The schema of all that `records` yields of files with types, where all files have the same columns."""
        if len(self._parts) == 1:  # whose names may be ambiguous
            return self._parts[0].schema
        return shown_schema(self._parts, self._parts[0].schema.names, frozenset())

    def place_of_row(self, row: int, chunk: Chunk | None = None) -> tuple[str, int] | None:
        """Return the file and the line at which a row begins. Raises `FileError`: it reads the file again."""
        start = 1 if chunk is None else chunk.counts_from
        for number, found in self._ranges() if chunk is None else chunk.ranges:
            part = self._parts[number]
            rows = self._rows_found.get(number) if found.rows is None else found.rows
            if rows is None or row < start + rows:
                line = part.line_of_row(row - start + found.first_row)
                return None if line is None else (self._shown(part), line)
            start += rows
        return None

    @property
    def parts(self) -> tuple[Part, ...]:
        """The files themselves."""
        return self._parts

    @property
    def paths(self) -> tuple[str, ...]:
        """The absolute paths of the files."""
        return tuple(str(Path(part.path).absolute()) for part in self._parts)

    @property
    def has_files(self) -> bool:
        """Tell whether its files are the user's own: a stream may have been copied into one."""
        return self._spool is None

    def inferred_types(self) -> Mapping[str, str]:
        """Read all files; return the type of each column, text where they do not agree."""
        found = [part.inferred_types() for part in self._parts]
        return {
            name: kind if all(other[name] == kind for other in found) else "text" for name, kind in found[0].items()
        }

    def fingerprints(self, stopped: Callable[[], bool]) -> tuple[Fingerprint, ...] | None:
        """Read all files; return what tells each from others, or None where a stream was copied into one."""
        if self._spool is not None:
            return None
        return fingerprints([(part.path, part.state) for part in self._parts], stopped)

    def close(self) -> None:
        """Close the files that are open, if any."""
        self._readers.stop()
        if self._spool is not None:
            self._spool.release()

    def _shown(self, part: Part) -> str:
        """Return what messages call a file."""
        return part.path if self._spool is None else self._spool.name

    def _ranges(self) -> Iterator[tuple[int, PartRange]]:
        """Yield the ranges of all files; each is one."""
        for number, part in enumerate(self._parts):
            for found in part.ranges(1):
                yield number, found

    def _records(self, rows: Sequence[int], chunk: Chunk) -> Generator[Records, None, None]:
        start, done, schema = chunk.counts_from, 0, self.record_schema
        for number, found in chunk.ranges:
            part, size = self._parts[number], self._rows_of(number, found)
            end = bisect_left(rows, start + size)
            here = [row - start + found.first_row for row in rows[done:end]]
            if here:
                options = replace(self._options, first_row=start + 1 - found.first_row)
                with _unchanged(part), reading(part.path), closing(part.records(found, here, options)) as records:
                    for some in records:
                        typed = isinstance(some.data, pa.RecordBatch)
                        yield replace(some, data=conform(some.data, schema)) if typed else some
            start, done = start + size, end

    def _rows_of(self, number: int, found: PartRange) -> int:
        """Return the rows of a range; one of a file that does not tell them is the whole of it."""
        if found.rows is not None:
            return found.rows
        if number not in self._rows_found:
            part = self._parts[number]
            options = replace(self._options, refuse=lambda _: None)
            with _unchanged(part), reading(part.path), closing(part.read_range(found, options)) as batches:
                self._rows_found[number] = sum(batch.num_rows for batch in batches)
        return self._rows_found[number]

    def _read(
        self, chunk: Chunk | None, refuse: Refuse | None = None
    ) -> Generator[tuple[str, pa.RecordBatch], None, None]:
        """Read a chunk's ranges one after the other, or all files, as the columns are chosen now."""
        ranges = self._ranges() if chunk is None else iter(chunk.ranges)
        shape = replace(self._options, refuse=refuse), self.schema
        return self._read_ranges(ranges, 1 if chunk is None else chunk.counts_from, shape)

    def _read_ranges(
        self, ranges: Iterator[tuple[int, PartRange]], row: int, shape: tuple[ReadOptions, pa.Schema]
    ) -> Generator[tuple[str, pa.RecordBatch], None, None]:
        """Read ranges one after the other; `row` is the number of the row that the first one begins with."""
        options, schema = shape
        for number, found in ranges:
            part, seen = self._parts[number], 0
            options = replace(options, first_row=row + 1 - found.first_row)
            with _unchanged(part), reading(part.path), closing(part.read_range(found, options)) as batches:
                for batch in batches:
                    seen += batch.num_rows
                    if batch.num_rows:
                        yield part.path, conform(batch, schema)
            if found.rows is None:
                self._rows_found[number] = seen
            elif seen != found.rows:
                message = f"yields {show_rows(seen)}, but its own metadata promises {found.rows}: it is damaged"
                raise FileError(f"{part.path}: {message}", path=part.path)
            row += seen


def _batches(located: Generator[tuple[str, pa.RecordBatch], None, None]) -> Generator[pa.RecordBatch, None, None]:
    with closing(located):
        for _, batch in located:
            yield batch


@contextmanager
def _unchanged(part: Part) -> Iterator[None]:
    """Raise `FileError` where a file is not what it was when it was opened first: what was planned is what is read."""
    _refuse_changed(part)
    try:
        yield
    except FileError:
        _refuse_changed(part)
        raise
    _refuse_changed(part)


def _refuse_changed(part: Part) -> None:
    with reading(part.path):
        same = file_state(part.path) == part.state
    if not same:
        raise changed(part.path)


def _refuse_faults(parts: Sequence[Part], chosen: list[str]) -> None:
    """Raise `SchemaError` with every chosen column that its file does not give as what it is."""
    for part in parts:
        faults = {name: fault for name, fault in part.faults.items() if name in chosen}
        if faults:
            lines = "\n  ".join(f"{show_name(name)} {fault}" for name, fault in faults.items())
            head = f"{printable(part.path)}: columns cannot be loaded as what they are"
            raise SchemaError(f"{head}\n  {lines}\nor leave them out ({show_option('columns')})", columns=tuple(faults))


def _few_valued(parts: Sequence[Part], chosen: list[str]) -> frozenset[str]:
    """Return the columns to read as dictionaries: all files can be read so, and the largest ones had better be."""
    found = frozenset.intersection(*(part.dictionary_columns for part in parts)).intersection(chosen)
    full = [part for part in parts if part.rows]
    for part in nlargest(_SAMPLED_FILES, full, key=lambda part: part.size_bytes):
        if found:
            found = part.few_valued(found)
    return found if full else frozenset()
