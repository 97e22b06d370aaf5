"""One CSV as a source of text columns: its header, its batches, ranges of it, and the line of a row.

The schema has strings only: what a column holds is for the target's type to say. Bytes go through `compression`
(decompressed), `decoding` (to UTF-8) and the `parser`. Nothing is kept open for longer than it is read.
"""

from __future__ import annotations

from contextlib import ExitStack, suppress
from itertools import chain, islice
from pathlib import Path
from types import MappingProxyType
from typing import IO, TYPE_CHECKING

import pyarrow as pa

from bulkio.choices import check_number
from bulkio.errors import FileError
from bulkio.files.faults import reading
from bulkio.files.formats.csv.header import header_notes
from bulkio.files.formats.csv.masking import open_utf8
from bulkio.files.formats.csv.options import CsvOptions
from bulkio.files.formats.csv.parsing import NO_LIMIT, make_parser, parse, probe
from bulkio.files.formats.csv.records import cut_head, cut_records
from bulkio.files.formats.part import ReadOptions, Records, choose_columns, file_state, shared_schema
from bulkio.files.stores.compression import is_plain, open_path, open_stream, read_pieces
from bulkio.forms.inference import Inference
from bulkio.protocols import Chunk, PartRange, Reject

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence

    from bulkio.files.formats.csv.parser import Parser
    from bulkio.files.formats.csv.parsing import Tell
    from bulkio.files.formats.part import Part
    from bulkio.files.stores.compression import BinaryFile
    from bulkio.protocols import Feed, Refuse, Spelling

__all__ = ["CsvPart", "CsvStream"]

#: bytes read at once in search of a header's end
_HEADER_BYTES = 64 << 10
#: records that are handed on at once
_RECORDS = 256
#: rows examined at a time when types are inferred
INFERENCE_ROWS = 16384


class CsvPart:
    """A CSV file. A `files.formats.part.Part`.

    The constructor reads up to the end of the header. Raises `FileError`, of which `CsvError` is one. A `tolerant` one
    passes over records that are wrong where it cuts ranges, infers types or counts lines. Errors of the text call it by
    `name`, its path if that is not given.
    """

    dictionary_columns: frozenset[str] = frozenset()
    faults: Mapping[str, str] = MappingProxyType({})
    rows: int | None = None

    def __init__(
        self,
        path: str,
        known: Sequence[Part] = (),
        *,
        options: CsvOptions | None = None,
        tolerant: bool = False,
        name: str | None = None,
    ) -> None:
        self.path = path
        self._name = name or path
        self._tolerant = tolerant
        self.options = options or CsvOptions()
        self.spelling: Spelling | None = self.options.spelling
        with reading(path):
            if Path(path).exists() and not Path(path).is_file():
                raise ValueError("it is not a regular file; what can be read once only is read as a stream")
            self.state = file_state(path)
            self.size_bytes = self.state[2]
            self._is_plain = is_plain(path)
            with open_path(path) as file:
                head = read_pieces(file, piece_bytes=_HEADER_BYTES)
                self.layout = probe(self._name, self.options, head, tolerant=tolerant)
        self.schema = shared_schema(_schema(self.layout.names), known)
        self.notes = header_notes(self.layout.names, self.options, self._name)

    def few_valued(self, names: frozenset[str]) -> frozenset[str]:  # noqa: ARG002 - the Protocol's
        """Return nothing: its columns are read as texts."""
        return frozenset()

    def batches(self, options: ReadOptions) -> Generator[pa.RecordBatch, None, None]:
        """Read the file once, in order."""
        parser = self._reader(options)
        with open_path(self.path) as file:
            utf8 = open_utf8(self.options.encoding, tolerant=options.refuse is not None)
            yield from _wanted(parse(parser, utf8, read_pieces(file), _telling(options)))

    def read_range(self, part: PartRange, options: ReadOptions) -> Generator[pa.RecordBatch, None, None]:
        """Read one range. Errors name rows and lines of the file."""
        if part.end is None:
            yield from self.batches(options)
            return
        parser = self._reader(options, part)
        utf8 = open_utf8(self.options.encoding, at_start=False, tolerant=options.refuse is not None)
        with open_path(self.path, start=part.start) as file:
            pieces = read_pieces(file, size_bytes=part.end - part.start)
            yield from _wanted(parse(parser, utf8, pieces, _telling(options)))

    def ranges(self, count: int) -> list[PartRange]:
        """Cut the file into at most `count` ranges of about the same size, none where it has no rows.

        Reads the file from its beginning: only that tells which line ends stand in quotes. A compressed file, and one
        that is not UTF-8, is one range. Raises `FileError` for whatever a reader would meet.
        """
        layout = self.layout
        first = PartRange(layout.data_start, first_line=layout.first_line)
        if count < 2 or not (self._is_plain and self.options.is_utf8):
            return [first]
        with reading(self.path), open_path(self.path) as file:
            return list(self._cut(first, read_pieces(file), -(-(self.size_bytes - first.start) // count)))

    def _cut(self, first: PartRange, pieces: Iterator[bytes], size_bytes: int) -> Iterator[PartRange]:
        utf8 = open_utf8(self.options.encoding, tolerant=self._tolerant)
        parser = self._counter(batch_rows=NO_LIMIT, batch_bytes=max(size_bytes, 1))
        start, row, line = first.start, first.first_row, first.first_line
        for _ in parse(parser, utf8, pieces):
            if parser.rows >= row:
                end = utf8.mark_bytes + parser.offset
                yield PartRange(start, end, row, parser.rows + 1 - row, line, parser.line_ends)
                start, row, line = end, parser.rows + 1, parser.line

    def inferred_types(self) -> Mapping[str, str]:
        """Read all of it and give the type of each column; nothing where that was not asked for. Raises `FileError`."""
        if not self.options.infer:
            return {}
        inference = Inference(self.layout.names, self.options.spelling)
        with reading(self.path):
            refuse = _pass_over if self._tolerant else None
            for batch in self.batches(ReadOptions(INFERENCE_ROWS, None, frozenset(), refuse=refuse)):
                inference.feed(batch)
        return inference.types()

    def line_of_row(self, row: int) -> int:
        """Return the line at which a row of data (from 1) begins. Reads the file again, up to there."""
        if row == 1:
            return self.layout.first_line
        parser = self._counter(batch_rows=row - 1, batch_bytes=NO_LIMIT)
        with reading(self.path), open_path(self.path) as file:
            next(parse(parser, open_utf8(self.options.encoding, tolerant=self._tolerant), read_pieces(file)))
        return parser.line

    def records(
        self, part: PartRange, rows: Sequence[int], _options: ReadOptions | None = None
    ) -> Generator[Records, None, None]:
        """Read the range again; yield the records of these rows of the file, bad ones too."""
        is_whole = part.end is None
        parser = self._counter(batch_rows=1, batch_bytes=NO_LIMIT, part=None if is_whole else part, tolerant=True)
        utf8 = open_utf8(self.options.encoding, at_start=is_whole, tolerant=True)
        with open_path(self.path, start=0 if part.end is None else part.start) as file:
            pieces = read_pieces(file, size_bytes=None if part.end is None else part.end - part.start)
            cut = cut_records(parser, utf8, pieces, rows)
            while some := tuple(islice(cut, _RECORDS)):
                lines = tuple(record.line for record in some)
                data = tuple(record.data for record in some)
                yield Records(self.path, tuple(record.row for record in some), lines, data)

    def head(self) -> bytes:
        """Return what stands before its records, in its encoding. Raises `FileError`."""
        parser = make_parser(self._name, self.options, names=None, keep=(), batch_rows=1, tolerant=True)
        with reading(self.path), open_path(self.path) as file:
            utf8 = open_utf8(self.options.encoding, tolerant=True)
            return cut_head(parser, utf8, read_pieces(file, piece_bytes=_HEADER_BYTES))

    def _reader(self, options: ReadOptions, part: PartRange | None = None) -> Parser:
        """Make the parser that reads the columns wanted, of all or of a range."""
        keep = None if options.columns is None else tuple(map(self.layout.names.index, options.columns))
        return make_parser(
            self._name,
            self.options,
            names=self.layout.names,
            keep=keep,
            batch_rows=options.batch_rows,
            part=part,
            tolerant=options.refuse is not None,
        )

    def _counter(
        self, *, batch_rows: int, batch_bytes: int, part: PartRange | None = None, tolerant: bool = False
    ) -> Parser:
        """Make a parser that reads no column."""
        return make_parser(
            self._name,
            self.options,
            names=self.layout.names,
            keep=(),
            batch_rows=batch_rows,
            batch_bytes=batch_bytes,
            part=part,
            tolerant=tolerant or self._tolerant,
        )


class CsvStream:
    """A CSV in an open binary file, such as stdin's buffer. A `protocols.Source` that can be read once.

    The constructor reads up to the end of the header. The file stays the caller's, unless this `owns` it.
    Raises `FileError`, and
    `SchemaError` for unknown `columns`.
    """

    rows: int | None = None
    size_bytes: int | None = None
    cut_bytes: int | None = None
    feed: Feed | None = None

    def __init__(
        self,
        file: BinaryFile,
        options: CsvOptions | None = None,
        *,
        name: str = "stdin",
        batch_rows: int = 16384,
        columns: Sequence[str] | None = None,
    ) -> None:
        self.name = name
        self.reads_once = True
        self.options = options or CsvOptions()
        self.spelling: Spelling | None = self.options.spelling
        self._opened = ExitStack()
        self._head: list[bytes] = []
        self._running: Generator[pa.RecordBatch, None, None] | None = None
        with reading(name):
            self._pieces = read_pieces(self._opened.enter_context(open_stream(file)))
            self.layout = probe(name, self.options, _noting(self._pieces, self._head))
        names = self.layout.names
        self.notes = header_notes(names, self.options, name)
        whole = _schema(names)
        chosen = None if columns is None else choose_columns(whole, tuple(columns), name)
        keep = None if chosen is None else tuple(map(names.index, chosen))
        self._parser = make_parser(name, self.options, names=names, keep=keep, batch_rows=batch_rows)
        self.schema = whole if chosen is None else _schema(chosen)

    def owns(self, file: IO[bytes]) -> None:
        """Close `file`, too, when this is closed."""
        self._opened.callback(file.close)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Read once, in order. Raises `FileError`, of which `CsvError` is one."""
        if self._running is not None:
            raise FileError(f"{self.name}: a stream can be read once only", path=self.name)
        self._running = self._batches()
        return self._running

    def _batches(self) -> Generator[pa.RecordBatch, None, None]:
        pieces = chain(self._head, self._pieces)
        with reading(self.name):
            yield from _wanted(parse(self._parser, open_utf8(self.options.encoding), pieces))

    def line_of_row(self, row: int) -> int | None:
        """Return the line of a row that was read; None where fields held line ends, which are gone."""
        if self._parser.broken_lines or row > self._parser.rows:
            return None
        return self.layout.first_line + row - 1

    def chunks(self, count: int) -> tuple[Chunk, ...]:
        """Return the one chunk that a stream is. Raises `ConfigError` for less than one."""
        check_number("chunks", count, 1)
        return (Chunk(0, first_row=1, rows=None),)

    def read(self, _: Chunk, _refuse: Refuse | None = None) -> Iterator[pa.RecordBatch]:
        """Read the one chunk, as `batches` does."""
        return self.batches()

    def place_of_row(self, row: int, _chunk: Chunk | None = None) -> tuple[str, int] | None:
        """Return the name of the stream and the line of a row that was read."""
        line = self.line_of_row(row)
        return None if line is None else (self.name, line)

    def inferred_types(self) -> Mapping[str, str]:
        """Return nothing: what can be read once cannot be looked at first."""
        return {}

    def fingerprints(self, _: Callable[[], bool]) -> None:
        """Return None: a stream is read once."""

    def close(self) -> None:
        """Let go of what decompresses."""
        if self._running is not None:
            with suppress(ValueError):  # it runs in another thread, which closes it
                self._running.close()
        self._opened.close()


def _telling(options: ReadOptions) -> Tell | None:
    """Return what tells of records by their rows in the source."""
    refuse = options.refuse
    if refuse is None:
        return None
    return lambda row, column, message: refuse(Reject(options.first_row - 1 + row, message, column))


def _pass_over(_: Reject) -> None:
    """Tell nobody."""


def _noting(pieces: Iterator[bytes], read: list[bytes]) -> Iterator[bytes]:
    """Note what is read, so that it can be read again."""
    for piece in pieces:
        read.append(piece)
        yield piece


def _wanted(batches: Iterator[pa.RecordBatch | None]) -> Iterator[pa.RecordBatch]:
    return (batch for batch in batches if batch is not None)


def _schema(names: Sequence[str]) -> pa.Schema:
    return pa.schema([(name, pa.string()) for name in names])
