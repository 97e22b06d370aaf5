"""One CSV as a source of text columns: its header, its batches, ranges of it, and the line of a row.

The schema has strings only: what a column holds is for the target's type to say. Nothing is opened for longer than it
is read. Bytes go through `opening` (decompressed), `decoding` (to UTF-8) and the `parser`.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import pyarrow as pa

from bulkio.errors import FileError, SchemaError
from bulkio.files.csv.decoding import BadBytesError, Utf8Stream
from bulkio.files.csv.header import column_names
from bulkio.files.csv.opening import chunks, is_plain, open_path, open_stream
from bulkio.files.csv.options import CsvOptions
from bulkio.files.csv.parser import Parser
from bulkio.files.faults import reading

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence

    from bulkio.files.csv.opening import BinaryFile
    from bulkio.files.part import ReadOptions

__all__ = ["CsvPart", "CsvRange", "CsvStream"]

#: more than any file has
_NO_LIMIT = 1 << 62


@dataclass(frozen=True, slots=True)
class CsvRange:
    """Whole records of a file that can be read by themselves."""

    #: bytes of the file, the last one excluded; None where the file can be read from its beginning only
    start: int
    end: int | None
    #: numbers of the first row of data in it, and of that one's line
    first_row: int
    first_line: int
    #: what ends the lines
    line_ends: str


@dataclass(frozen=True, slots=True)
class _Layout:
    """What the beginning of a file tells."""

    names: tuple[str, ...]
    #: number of the first line of data
    first_line: int
    #: bytes of the file before its data, where its bytes are UTF-8
    data_start: int


class CsvPart:
    """A CSV file. A `files.part.Part`. The constructor reads its header. Raises `FileError`, of which `CsvError` is one.
    """

    dictionary_columns: frozenset[str] = frozenset()
    rows: int | None = None

    def __init__(self, path: str, options: CsvOptions | None = None) -> None:
        self.path = path
        self.options = options or CsvOptions()
        with reading(path):
            self.size_bytes = os.stat(path).st_size  # noqa: PTH116 - pathlib would only make a Path first
            self._is_plain = is_plain(path)
            with open_path(path) as file:
                self._layout = _probe(path, self.options, chunks(file))
        self.schema = _schema(self._layout)

    def batches(self, options: ReadOptions) -> Generator[pa.RecordBatch, None, None]:
        """Read the file once, in order."""
        with open_path(self.path) as file:
            parser = self._parser(_numbers(self._layout, options), batch_rows=options.batch_rows)
            yield from _parse(parser, Utf8Stream(self.options.encoding), chunks(file))

    def ranges(self, count: int) -> list[CsvRange]:
        """Cut the file into at most `count` ranges of about the same size.

        Reads the file from its beginning, as only that tells which line ends stand in quotes. A compressed file, and
        one that is not UTF-8, is one range.
        """
        layout = self._layout
        first = CsvRange(layout.data_start, None, 1, layout.first_line, "")
        if count < 2 or not (self._is_plain and self.options.is_utf8):
            return [first]
        with reading(self.path), open_path(self.path) as file:
            size = max(1, -(-(self.size_bytes - layout.data_start) // count))
            return list(self._cut(first, chunks(file), size))

    def _cut(self, first: CsvRange, pieces: Iterator[bytes], size_bytes: int) -> Iterator[CsvRange]:
        utf8 = Utf8Stream(self.options.encoding)
        parser = self._parser((), batch_rows=_NO_LIMIT, batch_bytes=size_bytes)
        start, row, line = first.start, first.first_row, first.first_line
        for _ in _parse(parser, utf8, pieces, pauses=True):
            # after each record that reaches the size, and after the last one
            end = utf8.mark_bytes + parser.offset
            if end > start:
                yield CsvRange(start, end, row, line, parser.line_ends)
            start, row, line = end, parser.rows + 1, parser.line

    def read_range(self, part: CsvRange, options: ReadOptions) -> Generator[pa.RecordBatch, None, None]:
        """Read one range. Errors name rows and lines of the file."""
        if part.end is None:
            yield from self.batches(options)
            return
        parser = _parser(
            self.path,
            self.options,
            names=self._layout.names,
            is_start=False,
            keep=_numbers(self._layout, options),
            batch_rows=options.batch_rows,
            first_row=part.first_row,
            first_line=part.first_line,
            line_end=part.line_ends,
        )
        utf8 = Utf8Stream(self.options.encoding, at_start=False)
        with open_path(self.path, start=part.start) as file:
            yield from _parse(parser, utf8, chunks(file, size_bytes=part.end - part.start))

    def line_of_row(self, row: int) -> int | None:
        """Give the line at which a row of data (from 1) begins, None past the end. Reads the file again."""
        if row == 1:
            return self._layout.first_line
        parser = self._parser((), batch_rows=row - 1, batch_bytes=_NO_LIMIT)
        with reading(self.path), open_path(self.path) as file:
            for _ in _parse(parser, Utf8Stream(self.options.encoding), chunks(file), pauses=True):
                return parser.line if parser.rows == row - 1 else None
        return None

    def _parser(self, keep: Sequence[int] | None, **limits: int) -> Parser:
        return _parser(self.path, self.options, names=self._layout.names, keep=keep, **limits)


class CsvStream:
    """A CSV in an open binary file, such as stdin's buffer. A `protocols.Source` that can be read once.

    The constructor reads up to the end of the header. The file stays the caller's.
    """

    rows: int | None = None
    total_bytes: int | None = None

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
        self.options = options or CsvOptions()
        self._opened = ExitStack()
        self._batch_rows = batch_rows
        self._running: Generator[pa.RecordBatch, None, None] | None = None
        read: list[bytes] = []
        with reading(name):
            self._rest = chunks(self._opened.enter_context(open_stream(file)))
            self._layout = _probe(name, self.options, _noting(self._rest, read))
        self._read = read
        self._keep = None if columns is None else _positions(self._layout, columns, name)
        self.schema = _schema(self._layout, self._keep)
        self._parser: Parser | None = None

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Read once, in order."""
        if self._running is not None:
            raise FileError(f"{self.name}: a stream can be read once only", path=self.name)
        limits = {"batch_rows": self._batch_rows}
        self._parser = _parser(self.name, self.options, names=self._layout.names, keep=self._keep, **limits)
        self._running = self._batches(self._parser)
        return self._running

    def _batches(self, parser: Parser) -> Generator[pa.RecordBatch, None, None]:
        with reading(self.name):
            yield from _parse(parser, Utf8Stream(self.options.encoding), chain(self._read, self._rest))

    def line_of_row(self, row: int) -> int | None:
        """Give the line of a row (from 1), None where it cannot be told: fields held lines' ends, which are gone."""
        if self._parser is None or self._parser.broken_lines or row > self._parser.rows:
            return None
        return self._layout.first_line + row - 1

    def close(self) -> None:
        """Let go of what decompresses."""
        if self._running is not None:
            self._running.close()
        self._opened.close()


def _parser(
    name: str,
    options: CsvOptions,
    *,
    names: Sequence[str] | None,
    keep: Sequence[int] | None = None,
    is_start: bool = True,
    **limits: int | str,
) -> Parser:
    """Make a parser for a whole file, or for a range of it."""
    given = names or options.header_names
    return Parser(
        name,
        delimiter=options.delimiter.encode(),
        quote=options.quote.encode(),
        escape=(options.escape or options.quote).encode(),
        null=options.null.encode(),
        header=options.has_header and is_start,
        skip_lines=options.skip_lines if is_start else 0,
        width=len(given) if given else 0,
        names=given,
        keep=keep,
        **limits,
    )


def _probe(name: str, options: CsvOptions, pieces: Iterator[bytes]) -> _Layout:
    """Read up to the end of the first record."""
    utf8 = Utf8Stream(options.encoding)
    parser = _parser(name, options, names=None, batch_rows=1)
    for text in _texts(parser, utf8, pieces):
        rest = memoryview(text)
        while rest and not (parser.full or parser.header):
            rest = rest[parser.feed(rest) :]
        if parser.full or parser.header:
            break
    else:
        parser.finish()
    names = column_names(parser, options)
    return _Layout(names, parser.data_line, utf8.mark_bytes + parser.data_start)


def _parse(
    parser: Parser, utf8: Utf8Stream, pieces: Iterable[bytes], *, pauses: bool = False
) -> Generator[pa.RecordBatch | None, None, None]:
    """Give the batches in `pieces`; with `pauses`, None for each one of which no column was wanted."""
    for text in _texts(parser, utf8, pieces):
        rest = memoryview(text)
        while rest:
            rest = rest[parser.feed(rest) :]
            if parser.full and ((batch := parser.take()) is not None or pauses):
                yield batch
    parser.finish()
    if (batch := parser.take()) is not None or pauses:
        yield batch


def _texts(parser: Parser, utf8: Utf8Stream, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Decode; what stands before bytes that cannot be decoded is parsed, so that the error knows its place."""
    try:
        for piece in pieces:
            yield utf8.feed(piece)
        yield utf8.feed(b"", final=True)
    except BadBytesError as bad:
        yield bad.good
        raise parser.fault(str(bad)) from None


def _noting(pieces: Iterator[bytes], read: list[bytes]) -> Iterator[bytes]:
    """Note what is read, so that it can be read again."""
    for piece in pieces:
        read.append(piece)
        yield piece


def _schema(layout: _Layout, keep: Sequence[int] | None = None) -> pa.Schema:
    names = layout.names if keep is None else [layout.names[i] for i in keep]
    return pa.schema([(name, pa.string()) for name in names])


def _numbers(layout: _Layout, options: ReadOptions) -> tuple[int, ...] | None:
    return None if options.columns is None else tuple(layout.names.index(name) for name in options.columns)


def _positions(layout: _Layout, columns: Sequence[str], name: str) -> tuple[int, ...]:
    unknown = tuple(column for column in columns if column not in layout.names)
    if unknown:
        raise SchemaError(f"{name}: has no column {', '.join(unknown)}", columns=unknown)
    return tuple(layout.names.index(column) for column in columns)
