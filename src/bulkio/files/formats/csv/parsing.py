"""From pieces of a file's bytes to batches: decoding and parsing put together, with what the options say.

Reads nothing itself. `Layout` is what is known of a file before its data is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bulkio.files.formats.csv.decoding import BadBytesError
from bulkio.files.formats.csv.header import column_names
from bulkio.files.formats.csv.masking import open_utf8
from bulkio.files.formats.csv.parser import Parser

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
    from typing import TypeAlias

    import pyarrow as pa

    from bulkio.files.formats.csv.decoding import Utf8Stream
    from bulkio.files.formats.csv.options import CsvOptions
    from bulkio.protocols import PartRange

    #: what is told of a bad record: its row in the file, the column, and what is wrong
    Tell: TypeAlias = Callable[[int, str | None, str], None]

__all__ = ["BATCH_BYTES", "NO_LIMIT", "Layout", "feed_head", "make_parser", "parse", "probe", "texts"]

#: number of rows beyond that of any file
NO_LIMIT = 1 << 62
#: bytes of input after which a batch ends, however few its rows are
BATCH_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Layout:
    """What the beginning of a file tells."""

    names: tuple[str, ...]
    #: number of the first line of data
    first_line: int
    #: bytes of the file before its data, where its bytes are UTF-8
    data_start: int
    #: what ends its lines, "" where none has ended
    line_ends: str
    #: encoding in which a part of it is written, without a mark
    codec: str


def make_parser(
    name: str,
    options: CsvOptions,
    *,
    names: Sequence[str] | None,
    keep: Sequence[int] | None = None,
    batch_rows: int,
    batch_bytes: int = BATCH_BYTES,
    part: PartRange | None = None,
    tolerant: bool = False,
) -> Parser:
    """Make a parser for a whole file, or for a range of it; a `tolerant` one passes over bad records."""
    names = names or options.header_names
    return Parser(
        name,
        delimiter=options.delimiter.encode(),
        quote=options.quote.encode(),
        escape=(options.escape or options.quote).encode(),
        null=options.null.encode(),
        header=options.has_header and part is None,
        skip_lines=0 if part else options.skip_lines,
        width=len(names) if names else 0,
        names=names,
        keep=keep,
        batch_rows=batch_rows,
        batch_bytes=batch_bytes,
        first_row=part.first_row if part else 1,
        first_line=part.first_line if part else 1,
        line_ends=part.line_ends if part else "",
        tolerant=tolerant,
    )


def probe(name: str, options: CsvOptions, pieces: Iterable[bytes], *, tolerant: bool = False) -> Layout:
    """Read up to the end of the first record. Raises `CsvError`."""
    utf8 = open_utf8(options.encoding, tolerant=tolerant)
    parser = make_parser(name, options, names=None, batch_rows=1, tolerant=tolerant)
    for text in texts(parser, utf8, pieces):
        if feed_head(parser, text):
            break
    else:
        parser.finish()
    names = column_names(parser, options)
    return Layout(names, parser.data_line, utf8.mark_bytes + parser.data_start, parser.line_ends, utf8.codec)


def feed_head(parser: Parser, text: bytes) -> bool:
    """Feed up to the end of the first record; tell whether it has come."""
    rest = memoryview(text)
    while rest and not (parser.full or parser.header):
        rest = rest[parser.feed(rest) :]
    return bool(parser.full or parser.header)


def parse(
    parser: Parser, utf8: Utf8Stream, pieces: Iterable[bytes], tell: Tell | None = None
) -> Generator[pa.RecordBatch | None, None, None]:
    """Yield the batches in `pieces`; None stands for one of which no column was wanted. Raises `CsvError`.

    Before each batch, `tell` gets the row, the column and the fault of each record that a tolerant parser passed over.
    """
    parser.faults = None if tell is None else []
    for text in texts(parser, utf8, pieces):
        rest = memoryview(text)
        while rest:
            rest = rest[parser.feed(rest) :]
            if parser.full:
                _tell_faults(parser, tell)
                yield parser.take()
    parser.finish()
    _tell_faults(parser, tell)
    yield parser.take()


def _tell_faults(parser: Parser, tell: Tell | None) -> None:
    if tell is not None and parser.faults:
        faults, parser.faults = parser.faults, []
        for fault in faults:
            tell(*fault)


def texts(parser: Parser, utf8: Utf8Stream, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Decode; what stands before bytes that cannot be decoded is parsed, so that the error knows its place."""
    parser.bad_bytes = utf8.bad
    try:
        for piece in pieces:
            yield utf8.feed(piece)
        yield utf8.feed(b"", final=True)
    except BadBytesError as bad:
        yield bad.good
        raise parser.fault(str(bad)) from None
