"""The records of a CSV as they stand in the file: cut out of it by their rows, once it is known which are wanted.

The parser stops where a wanted record begins and where it ends, so that any number of them costs one reading.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bulkio.files.formats.csv.parsing import feed_head, texts

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence

    from bulkio.files.formats.csv.decoding import Utf8Stream
    from bulkio.files.formats.csv.parser import Parser

__all__ = ["RawRecord", "cut_head", "cut_records"]


@dataclass(frozen=True, slots=True)
class RawRecord:
    """One record of a file, in the file's encoding, without its line's end."""

    #: its row and the line it begins with, both from 1
    row: int
    line: int
    data: bytes


def cut_records(
    parser: Parser, utf8: Utf8Stream, pieces: Iterable[bytes], rows: Sequence[int]
) -> Generator[RawRecord, None, None]:
    """Yield the records of these rows of the file, which are sorted; nothing is read behind the last one.

    The parser is a new one that keeps no column, and whose batches end with rows alone.
    """
    cut = _Cut(parser, utf8, rows)
    for text in texts(parser, utf8, pieces):
        rest, raw = memoryview(text), memoryview(utf8.raw)
        while rest and not cut.is_done:
            taken = parser.feed(rest)
            cut.gather(raw[:taken])
            rest, raw = rest[taken:], raw[taken:]
            if parser.full:
                parser.take()
                yield from cut.passed()
        if cut.is_done:
            return
    parser.finish()
    yield from cut.passed()


def cut_head(parser: Parser, utf8: Utf8Stream, pieces: Iterable[bytes]) -> bytes:
    """Return all that stands before a file's first record of data: its mark, the lines skipped, and the header."""
    head = bytearray()
    for text in texts(parser, utf8, pieces):
        head += utf8.raw
        if feed_head(parser, text):
            break
    else:
        parser.finish()
    return utf8.mark + utf8.encode(bytes(head[: parser.data_start]))


class _Cut:
    """Where the parser is, and where the next record that is wanted begins and ends."""

    def __init__(self, parser: Parser, utf8: Utf8Stream, rows: Sequence[int]) -> None:
        self._parser = parser
        self._utf8 = utf8
        self._rows = iter(rows)
        self._gathered = bytearray()
        self._start = self._line = 0
        self._next()

    @property
    def is_done(self) -> bool:
        """Tell whether all were cut out."""
        return self._row is None

    def gather(self, raw: memoryview) -> None:
        """Take what was parsed, if it belongs to a record that is wanted."""
        if self._is_inside:
            self._gathered += raw

    def passed(self) -> Generator[RawRecord, None, None]:
        """Note that the parser has stopped; yield the record that ends there, if it is wanted."""
        if self._is_inside and self._parser.rows == self._row:
            yield RawRecord(self._row, max(self._line, self._parser.data_line), self._record())
            self._next()
        elif self._row is not None:
            self._aim(self._row)

    def _next(self) -> None:
        self._row = next(self._rows, None)
        self._is_inside = False
        if self._row is not None:
            self._aim(self._row)

    def _aim(self, row: int) -> None:
        """Let the parser stop before the record that is wanted, or behind it where it stands there."""
        between = row - 1 - self._parser.rows
        self._is_inside = between == 0
        self._parser.batch_rows = between or 1
        self._gathered.clear()
        self._start, self._line = self._parser.offset, self._parser.line

    def _record(self) -> bytes:
        head_bytes = max(0, self._parser.data_start - self._start)  # before the first record of a file
        return self._utf8.encode(bytes(self._gathered[head_bytes:]).removesuffix(self._parser.line_ends.encode()))
