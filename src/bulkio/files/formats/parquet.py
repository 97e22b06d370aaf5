"""Parquet, read and written in memory that does not grow with the file.

Nothing in a file's metadata is trusted for memory: a page of 100 kB can decode to gigabytes. Batches are
small, the first one is tiny and shows how wide the rows are, and later ones shrink when they turn out too
large (`_Pace`). String columns with few values are read as dictionaries, which costs 1.6 times less CPU
(lineitem).
"""

from __future__ import annotations

import io
import os
from bisect import bisect_right
from collections import Counter
from contextlib import ExitStack, closing
from dataclasses import dataclass
from inspect import signature
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from bulkio.errors import SchemaError
from bulkio.files.faults import reading
from bulkio.files.formats.part import TypedPart, even_ranges, file_state
from bulkio.files.formats.sink import FileSink
from bulkio.files.int96 import Witness
from bulkio.files.logical import read_types
from bulkio.files.wide import naming_wide_integers, parquet_schema
from bulkio.forms.sizes import batch_bytes
from bulkio.show import printable

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence
    from typing import IO

    from bulkio.files.formats.part import Part, ReadOptions
    from bulkio.files.logical import FileTypes
    from bulkio.protocols import PartRange

__all__ = ["MAGIC", "ParquetPart", "open_sink", "refuse_unfit"]

#: first and last four bytes of every file (Parquet format, "File Format")
MAGIC = b"PAR1"

#: bytes that a batch should hold, at most, judged by the batches before it
_BATCH_BYTES = 16 << 20
#: bits of the widest type whose values cannot swell: decimal256
_NARROW_BITS = 256
#: rows of the first batch where some column's values have no fixed width
_PROBE_ROWS = 64
#: batches that are read on at the present size rather than fewer, larger ones: of a small file, that is the rest
_FEW_BATCHES = 4

#: extension types that pyarrow before 21 shows as their storage, unless the file's own Arrow schema names them
_EXTENSIONS = (
    {"arrow_extensions_enabled": True} if "arrow_extensions_enabled" in signature(pq.ParquetFile).parameters else {}
)
#: row groups looked at to find the columns with few values; a wrong guess costs CPU, never a value
_SAMPLED_GROUPS = 4
#: compressed size of a dictionary page up to which a column counts as one with few values
_DICTIONARY_BYTES = 32 << 10
#: bytes of the other pages, per value, up to which they can only hold indexes (of up to 4096 values)
_INDEX_BYTES = 1.5

#: Arrow bytes and rows gathered for one row group. On lineitem 32 MiB made files 5% smaller for 75 MB more
#: memory.
_GROUP_BYTES = 16 << 20
_GROUP_ROWS = 1 << 20
#: codec of the pages: on lineitem it costs 8% less CPU than snappy (fewer bytes to write), and files are 20% smaller.
_COMPRESSION = "zstd"


class ParquetPart(TypedPart):
    """One Parquet file. A `Part`."""

    def __init__(self, path: str, known: Sequence[Part] = ()) -> None:
        self.path = path
        with reading(path):
            self.state = file_state(path)
        with (
            reading(path),
            naming_wide_integers(lambda: parquet_schema(_footer(path))),
            closing(_open(path)) as file,
        ):
            self.types: FileTypes = read_types(file, (part.types for part in known if isinstance(part, ParquetPart)))
            self.schema: pa.Schema = self.types.schema
            self.faults = self.types.faults
            self.rows: int | None = file.metadata.num_rows
            self._group_rows = _group_rows(file)
            self.size_bytes = self.state[2]
            self.dictionary_columns = self.types.strings

    def few_valued(self, names: frozenset[str]) -> frozenset[str]:
        """Return those of some string columns that are wholly and tightly dictionary-encoded, as far as is looked."""
        with reading(self.path), closing(_open(self.path)) as file:
            return _few_values(file, names)

    def ranges(self, count: int) -> list[PartRange]:
        """Cut the file between its row groups."""
        return even_ranges(self._group_rows, count)

    def read_range(self, part: PartRange, options: ReadOptions) -> Generator[pa.RecordBatch, None, None]:
        """Read the range's row groups in order, in batches of at most `options.batch_rows` rows."""
        wanted = self.schema.names if options.columns is None else options.columns
        doubtful = [name for name in wanted if name in self.types.int96]
        with ExitStack() as files:
            file = files.enter_context(closing(_open(self.path, options.dictionary_columns)))
            proof = None
            if doubtful:
                finer, coarser = (files.enter_context(closing(_open(self.path, unit=unit))) for unit in ("ns", "s"))
                proof = _Proof((finer, coarser), doubtful)
            mended = self._mended(file.schema_arrow)
            for batch in _paced(file, part, options, proof):
                yield _cast(batch, mended) if mended else batch

    def _mended(self, shown: pa.Schema) -> dict[str, pa.DataType]:
        """Return the columns that pyarrow shows as another type than they have, and that type."""
        pairs = zip(shown, self.schema, strict=True)
        return {field.name: field.type for old, field in pairs if not _is_read_as(old.type, field.type)}


def _is_read_as(shown: pa.DataType, meant: pa.DataType) -> bool:
    return bool(shown == meant or pa.types.is_dictionary(shown))


def _cast(batch: pa.RecordBatch, types: dict[str, pa.DataType]) -> pa.RecordBatch:
    for index, name in enumerate(batch.schema.names):
        if name in types:
            batch = batch.set_column(index, name, batch.column(index).cast(types[name]))
    return batch


def _footer(path: str) -> bytes:
    """Return the metadata at the end of a file: before its length, 32 bits, and the magic bytes."""
    with Path(path).open("rb") as file:
        end = file.seek(-8, os.SEEK_END)
        size = int.from_bytes(file.read(4), "little")
        file.seek(max(0, end - size))
        return file.read(min(size, end))


def _open(path: str, dictionary_columns: frozenset[str] = frozenset(), *, unit: str = "us") -> pq.ParquetFile:
    """Open a file; `unit` is that of INT96 timestamps."""
    return pq.ParquetFile(
        path,
        # Measured on lineitem: no memory map (its pages count as ours: 309 MB against 108), no read buffer. A buffer
        # of 64 KiB spares four readers of row groups of 1.5M rows 150 MB of 445, and costs time on every file.
        memory_map=False,
        # The default, True, holds whole row groups.
        pre_buffer=False,
        read_dictionary=sorted(dictionary_columns) or None,
        page_checksum_verification=True,
        **_EXTENSIONS,
        coerce_int96_timestamp_unit=unit,
    )


def _few_values(file: pq.ParquetFile, names: frozenset[str]) -> frozenset[str]:
    """Return the columns that, in the sampled row groups, are wholly and tightly dictionary-encoded.

    A column's list of encodings cannot tell: the dictionary page itself counts as PLAIN. Its sizes can.
    """
    metadata = file.metadata
    paths = [metadata.schema.column(index).path for index in range(metadata.num_columns)]
    found = {path: index for index, path in enumerate(paths) if path in names}
    step = max(1, metadata.num_row_groups // _SAMPLED_GROUPS)
    for group in range(0, metadata.num_row_groups, step):
        if not found:
            break
        # pyarrow aborts the process where a damaged column's metadata is touched from Python (26.0, `column()`). Its
        # reader raises instead, so it goes first.
        next(file.iter_batches(1, row_groups=[group], columns=list(found), use_threads=False), None)
        columns = metadata.row_group(group)
        found = {path: index for path, index in found.items() if _is_tight(columns.column(index))}
    return frozenset(found)


def _is_tight(column: pq.ColumnChunkMetaData) -> bool:
    if not column.num_values:
        return True
    if not column.has_dictionary_page or not column.dictionary_page_offset:
        return False
    dictionary_bytes = column.data_page_offset - column.dictionary_page_offset
    data_bytes = column.total_compressed_size - dictionary_bytes
    return bool(0 < dictionary_bytes <= _DICTIONARY_BYTES and data_bytes <= _INDEX_BYTES * column.num_values)


class _Pace:
    """Decides how many rows the next batch may have, from the widths of the batches seen."""

    def __init__(self, batch_rows: int, *, probe: bool) -> None:
        self._most = batch_rows
        self.rows = min(batch_rows, _PROBE_ROWS) if probe else batch_rows
        self._probing = probe

    def changed(self, batch: pa.RecordBatch, rows_left: int, *, at_boundary: bool) -> bool:
        """Note one batch; tell whether the next one should have another size, with so many rows to come.

        Growing means decoding again from the row group's start, so it waits for a boundary after the first time, and
        does not pay for few rows.
        """
        size_bytes = batch_bytes(batch)
        too_wide = size_bytes > 2 * _BATCH_BYTES and self.rows > 1
        grows = rows_left > _FEW_BATCHES * self.rows and (self._probing or (at_boundary and self.rows < self._most))
        if not (too_wide or grows):
            return False
        self._probing = False
        fitting = _BATCH_BYTES * batch.num_rows // max(1, size_bytes)
        before, self.rows = self.rows, max(1, min(self._most, fitting))
        return self.rows != before


@dataclass(frozen=True, slots=True)
class _Proof:
    """The file in nanoseconds and in seconds, and the columns with INT96 timestamps, which these prove."""

    files: tuple[pq.ParquetFile, pq.ParquetFile]
    names: list[str]

    def witness(self, batch_rows: int, groups: list[int], row: int, *, lossy: bool) -> Witness:
        """Read along from a row group's start; `row` is the load's there, from 1."""
        others = [
            file.iter_batches(batch_rows, row_groups=groups, columns=self.names, use_threads=False)
            for file in self.files
        ]
        return Witness((others[0], others[1]), self.names, row, lossy=lossy)


def _group_rows(file: pq.ParquetFile) -> list[int]:
    metadata = file.metadata
    return [max(0, metadata.row_group(index).num_rows) for index in range(metadata.num_row_groups)]


def _paced(
    file: pq.ParquetFile, part: PartRange, options: ReadOptions, proof: _Proof | None
) -> Iterator[pa.RecordBatch]:
    """Read the range's row groups; start again where the pace changes."""
    starts = list(accumulate(_group_rows(file), initial=0))[: None if part.end is None else part.end + 1]
    boundaries = frozenset(starts)
    pace = _Pace(options.batch_rows, probe=_may_swell(file.schema_arrow, options.columns))
    row = starts[part.start]
    going = True
    while going:
        going = False
        for batch in _from_row(file, starts, row, (pace.rows, options), proof):
            row += batch.num_rows
            yield batch
            if pace.changed(batch, starts[-1] - row, at_boundary=row in boundaries):
                going = row < starts[-1]
                break


def _from_row(
    file: pq.ParquetFile, starts: list[int], row: int, pace: tuple[int, ReadOptions], proof: _Proof | None
) -> Iterator[pa.RecordBatch]:
    """Read from `row` on: decode from its row group's start, and drop the rows before it.

    `starts` are the rows that row groups begin with, and at last the row to end before.
    """
    batch_rows, options = pace
    first = bisect_right(starts, row) - 1
    skip = row - starts[first]
    groups = list(range(first, len(starts) - 1))
    if not groups:  # pyarrow before 21 does not take an empty list
        return
    names = None if options.columns is None else list(options.columns)
    witness = proof and proof.witness(batch_rows, groups, options.first_row + starts[first], lossy=options.allow_lossy)
    for batch in file.iter_batches(batch_rows, row_groups=groups, columns=names, use_threads=False):
        if witness:
            witness.prove(batch)
        if skip >= batch.num_rows:
            skip -= batch.num_rows
            continue
        yield batch.slice(skip)
        skip = 0


def _may_swell(schema: pa.Schema, columns: tuple[str, ...] | None) -> bool:
    """Tell whether few bytes of the file can become many in memory. A dictionary holds each value once."""
    chosen = [schema.field(index).type for index, name in enumerate(schema.names) if columns is None or name in columns]
    return not all(_is_narrow(arrow_type) for arrow_type in chosen)


def _is_narrow(arrow_type: pa.DataType) -> bool:
    if pa.types.is_dictionary(arrow_type):
        return True
    try:
        bits: int = arrow_type.bit_width
    except ValueError:  # no fixed width
        return False
    return bits <= _NARROW_BITS


class _ParquetWriter:
    """Gathers batches into row groups. A `sink.Writer`."""

    def __init__(self, file: IO[bytes], schema: pa.Schema) -> None:
        self._writer = pq.ParquetWriter(
            file,
            schema,
            compression=_COMPRESSION,
            write_page_checksum=True,
            # Cheaper to write and to read than fixed-length bytes.
            store_decimal_as_integer=True,
        )
        self._schema = schema
        self._held: list[pa.RecordBatch] = []
        self._held_bytes = 0
        self._held_rows = 0

    def write(self, batch: pa.RecordBatch) -> None:
        if not batch.num_rows:
            return
        rows = max(1, min(_GROUP_ROWS, _GROUP_BYTES * batch.num_rows // max(1, batch_bytes(batch))))
        for start in range(0, batch.num_rows, rows):
            piece = batch.slice(start, rows)
            if self._held_bytes + batch_bytes(piece) > _GROUP_BYTES or self._held_rows + rows > _GROUP_ROWS:
                self._write_group()
            self._held.append(piece)
            self._held_rows += piece.num_rows
            self._held_bytes += batch_bytes(piece)

    def close(self) -> None:
        self._write_group()
        self._writer.close()

    def _write_group(self) -> None:
        if self._held:
            table = pa.Table.from_batches(self._held, self._schema)
            self._held, self._held_bytes, self._held_rows = [], 0, 0
            self._writer.write_table(table, row_group_size=table.num_rows)


def open_sink(path: str, schema: pa.Schema) -> FileSink:
    """Write one Parquet file. Raises `FileError`."""
    return FileSink(path, schema, lambda file: _ParquetWriter(file, schema))


def refuse_unfit(path: str, schema: pa.Schema) -> None:
    """Raise `SchemaError` for what Parquet cannot hold."""
    if not len(schema):
        raise SchemaError(f"{printable(path)}: Parquet cannot hold a table without columns")
    twice = tuple(name for name, times in Counter(schema.names).items() if times > 1)
    if twice:
        raise SchemaError(
            f"{printable(path)}: pandas and others cannot read a Parquet file with two columns of one name:"
            f" {', '.join(map(printable, twice))}."
            " Name them apart in the query (AS), or write Arrow IPC (.arrow) instead",
            columns=twice,
        )
    unfit = {field.name: field.type for field in schema if not _fits(field)}
    if unfit:
        listed = ", ".join(f"{printable(name)} ({arrow_type})" for name, arrow_type in unfit.items())
        raise SchemaError(
            f"{printable(path)}: Parquet cannot hold these columns: {listed}. Write Arrow IPC (.arrow) instead, or"
            " cast them.",
            columns=tuple(unfit),
        )


def _fits(field: pa.Field) -> bool:
    """Ask Parquet's own writer: it knows best."""
    try:
        pq.ParquetWriter(io.BytesIO(), pa.schema([field])).close()
    except (pa.ArrowException, OSError, ValueError, TypeError):
        return False
    return True
