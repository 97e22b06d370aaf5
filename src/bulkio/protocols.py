"""The Protocols between the layers: what a driver, a source and a sink must offer.

Nothing here does anything. The drivers (`bulkio.drivers`) and the file formats (`bulkio.files`) implement these; the
use cases (`bulkio.transfer.load`, `bulkio.transfer.export`) know nothing else of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
    from typing import Any, TypeAlias

    import pyarrow as pa

    from bulkio.choices import DriverName

    Feed: TypeAlias = Callable[[], Coroutine[Any, Any, None]]
    #: what is told of each record that is rejected
    Refuse: TypeAlias = Callable[["Reject"], None]

__all__ = [
    "ROW_TYPE_OIDS",
    "Chunk",
    "CopyFormat",
    "CopyTarget",
    "CsvForm",
    "File",
    "Fingerprint",
    "JoinedSession",
    "PartRange",
    "Progress",
    "Refuse",
    "Reject",
    "ResultColumn",
    "Row",
    "Session",
    "Sink",
    "Source",
    "Spelling",
    "made_up_names",
]

CopyFormat = Literal["binary", "csv"]


#: A row as the driver's own Python objects.
Row = tuple[object, ...]


#: pg_type.oid of the base types that a row may hold, by name; their values are those that `bulkio.drivers` says
ROW_TYPE_OIDS = {
    "bool": 16,
    "bytea": 17,
    "name": 19,
    "int8": 20,
    "int2": 21,
    "int4": 23,
    "text": 25,
    "oid": 26,
    "json": 114,
    "float4": 700,
    "float8": 701,
    "bpchar": 1042,
    "varchar": 1043,
    "date": 1082,
    "time": 1083,
    "timestamp": 1114,
    "timestamptz": 1184,
    "interval": 1186,
    "timetz": 1266,
    "numeric": 1700,
    "uuid": 2950,
    "jsonb": 3802,
}


@dataclass(frozen=True, slots=True)
class CopyTarget:
    """The table and the columns, in stream order, that a COPY FROM fills."""

    schema: str
    table: str
    columns: tuple[str, ...]
    #: type oids of the columns, in the same order
    type_oids: tuple[int, ...]
    #: SQL of the condition that rows must meet to be stored; "" for none
    where: str = ""
    #: True if rows are stored as if all could see them already: for a table made or emptied in this transaction
    freeze: bool = False


@dataclass(frozen=True, slots=True)
class ResultColumn:
    """One column of a query's result, as the server describes it before the query runs."""

    name: str
    type_oid: int
    typmod: int


@dataclass(frozen=True, slots=True)
class PartRange:
    """A range of one file, which can be read without what lies before it."""

    #: start and end in the format's own unit (row group, batch, byte), the end excluded; None is the file's end
    start: int
    end: int | None = None
    #: row of the file that it begins with, from 1
    first_row: int = 1
    #: number of its rows; None if the file does not tell it before it is read
    rows: int | None = None
    #: line of a text file that it begins with, from 1, and what ends its lines; "" is not known yet
    first_line: int = 1
    line_ends: str = ""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A range of a source: some files, or a range of one. Chunks are read independently, in any order."""

    #: position among the source's chunks, from 0
    number: int
    #: row of the source that it begins with, from 1; None if a file before it does not tell its rows
    first_row: int | None
    #: number of its rows; None if a file does not tell it
    rows: int | None
    #: ranges that it reads, in order, each with the file's place in the source; none for the one chunk of an object
    ranges: tuple[tuple[int, PartRange], ...] = ()

    @property
    def counts_from(self) -> int:
        """The number that its first row has in errors: where `first_row` is not known, that in its first file."""
        return self.first_row or (self.ranges[0][1].first_row if self.ranges else 1)


@dataclass(frozen=True, slots=True)
class Reject:
    """A record of a source that is not stored, and why."""

    #: number of the record among the source's rows, as errors give it: see `Chunk.counts_from`
    row: int
    message: str
    column: str | None = None
    #: PostgreSQL's code of what it refused; None where bulkio did
    sqlstate: str | None = None


@dataclass(frozen=True, slots=True)
class CsvForm:
    """How COPY TO writes CSV; the defaults are PostgreSQL's, with a header."""

    header: bool = True
    delimiter: str = ","
    quote: str = '"'
    escape: str = '"'
    null: str = ""


def made_up_names(count: int) -> tuple[str, ...]:
    """Return names for so many columns that have none, as PostgreSQL makes them up for VALUES.

    >>> made_up_names(2)
    ('column1', 'column2')
    """
    return tuple(f"column{number}" for number in range(1, count + 1))


@dataclass(frozen=True, slots=True)
class Spelling:
    """How a source of texts writes numbers, dates and times; the defaults are PostgreSQL's."""

    #: True if numbers have a comma where PostgreSQL's have a point; then they have no other mark
    decimal_comma: bool = False
    #: order of year, month and day, such as DD.MM.YYYY; ISO's if not given
    date_format: str | None = None
    #: IANA name of the zone for values of timestamptz that do not name one
    timezone: str | None = None


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What tells a file from every other; its name does not count."""

    #: absolute path, for people: what a terminal could not show is escaped
    name: str
    bytes: int
    #: hash of its bytes, in hexadecimal digits
    xxh3_128: str


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a load or an export has come."""

    rows: int
    bytes: int
    total_rows: int | None
    #: True if the total is the planner's estimate, as it is for an export
    total_estimated: bool = False
    #: True if every row was sent and COMMIT is awaited
    committing: bool = False


class File(Protocol):
    """What the user names, where its name does not tell all of its format: a path, with the format and its options."""

    @property
    def path(self) -> object:
        """One path; of a source also a folder, a glob pattern, or a list of these."""


class Session(Protocol):
    """One connection to one server, used by one task at a time.

    Every method raises `DriverError` (or its children) and no driver's own error. Cancelling a call cancels the
    statement on the server; the session can then be rolled back or closed, nothing else.
    """

    driver: DriverName

    @property
    def closed(self) -> bool:
        """Tell whether the connection is gone."""

    @property
    def server_encoding(self) -> str:
        """The encoding that the database keeps text in, as the server spells it."""

    @property
    def server_version(self) -> int:
        """The server's version as a number, such as 180003."""

    @property
    def login_pid(self) -> int:
        """The process that was named at the login: the server's own, or a number that a pooler has made up."""

    @property
    def uses_tls(self) -> bool:
        """Tell whether what goes to the server, or to its pooler, is encrypted."""

    async def execute(self, sql: str) -> str:
        """Run one statement; return its command tag, such as ``COPY 10``."""

    async def fetch(self, sql: str) -> list[Row]:
        """Run one query and return all its rows."""

    async def describe(self, query: str) -> tuple[ResultColumn, ...]:
        """Return the columns that `query` would return, with typmods, without running it."""

    async def copy_in(self, target: CopyTarget, blocks: AsyncIterator[bytes], fmt: CopyFormat) -> int:
        """Send `blocks` through COPY FROM STDIN; return the number of rows in the server's COPY tag.

        A block may be any object with the buffer protocol. It may be reused once the next one was asked for.
        """

    async def copy_in_records(self, target: CopyTarget, rows: AsyncIterator[Sequence[Row]]) -> int:
        """Send rows of Python objects with the driver's own row path; return the COPY tag's row count."""

    async def copy_out(
        self,
        query: str,
        sink: Callable[[bytes], Awaitable[None]],
        *,
        gather_bytes: int = 1 << 20,
        csv: CsvForm | None = None,
    ) -> int:
        """Run COPY (query) TO STDOUT, in binary or as `csv` says, pushing the stream to `sink`; return the row count.

        It is gathered to about `gather_bytes` first: what follows is usually a hand-over to another thread.
        """

    def cursor(self, query: str, *, prefetch: int) -> AsyncIterator[Sequence[Row]]:
        """Read `query` through a server-side cursor, `prefetch` rows at a time."""

    async def cancel(self) -> None:
        """Ask the server to cancel what runs now."""

    async def close(self) -> None:
        """Close the connection; whatever transaction is open rolls back. Never raises."""


class JoinedSession(Session, Protocol):
    """A session over a connection of the caller's, who has begun its transaction. `close` is for the last extremity."""

    async def forget_statements(self) -> None:
        """Let the statements that the driver has prepared for the caller be prepared anew: a table was changed."""


class Source(Protocol):
    """Where batches come from: files, or an object with `__arrow_c_stream__`."""

    #: name in messages: a path, or the object's type
    name: str
    schema: pa.Schema
    #: row count that the source itself promises (a Parquet footer), or None
    rows: int | None
    #: bytes of its files as they lie on disk; None for objects, and for what is read once
    size_bytes: int | None
    #: bytes of what it is cut from into chunks: also of what is kept in a file as it is read once; None for objects
    cut_bytes: int | None
    #: notes that the user has to read, such as on files that are left out
    notes: tuple[str, ...]
    #: spelling of its values if it has nothing but text, like a CSV; None if its types are Arrow's
    spelling: Spelling | None
    #: True if opening it again would not yield the same rows again
    reads_once: bool
    #: what has to run in the event loop while a thread reads; None if nothing has to
    feed: Feed | None

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Read once, in order. Runs in a worker thread. Raises `FileError` for unreadable files."""

    def chunks(self, count: int) -> tuple[Chunk, ...]:
        """Cut the source into at most `count` chunks of about the same size: the same ones each time.

        What can only be read from its start is one chunk. Raises `FileError`, and `ConfigError` for less than 1.
        """

    def read(self, chunk: Chunk, refuse: Refuse | None = None) -> Iterator[pa.RecordBatch]:
        """Read one of `chunks`, as `batches` reads all. Errors number its rows from `Chunk.counts_from` on.

        A record that gives no row is an error; or `refuse` is told of it before the batch comes in which a row of NULLs
        stands at its place. Several threads may read chunks at the same time.
        """

    def place_of_row(self, row: int, chunk: Chunk | None = None) -> tuple[str, int] | None:
        """Return the file and the line at which a row that was read begins; None where rows have no lines.

        The row's number is the one that errors give it: in the whole source, or in this chunk.
        """

    def inferred_types(self) -> Mapping[str, str]:
        """Read all of its texts and return the PostgreSQL type of each column; empty where nobody asked for it."""

    def fingerprints(self, stopped: Callable[[], bool]) -> tuple[Fingerprint, ...] | None:
        """Read all files and return what tells each from others, in order; None for a stream, which is read once.

        What is loaded later is what was hashed, or an error. Runs in a worker thread; raises `FileError`, also where
        `stopped`, which is asked after each block, says so.
        """

    def close(self) -> None:
        """Release files and streams."""


class Sink(Protocol):
    """Where an export puts its batches. Nothing is visible under the final name before `commit`."""

    #: bytes written so far
    bytes_written: int

    def write(self, batch: pa.RecordBatch) -> None:
        """Append one batch. Runs in a worker thread. Raises `FileError`."""

    def commit(self) -> None:
        """Finish the file, fsync it and its folder, and give it its final name."""

    def abort(self) -> None:
        """Remove whatever was written. Never raises."""
