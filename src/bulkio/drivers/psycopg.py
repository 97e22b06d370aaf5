"""psycopg 3 as a `Session`: its sync connection, used from one worker thread at a time.

For COPY the sync connection is the faster shape: each call below is one hand-over to a thread for about a block of
data. A call that is cancelled asks the server to cancel, from a second thread, and waits until the first has ended.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import socket
import struct
import time
from contextlib import suppress
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, TypeVar, cast

import anyio
import psycopg
from anyio import to_thread
from psycopg.adapt import Dumper, Loader
from psycopg.copy import LibpqWriter
from psycopg.pq import ExecStatus, Format
from psycopg.types.numeric import (
    Float4BinaryDumper,
    Float4BinaryLoader,
    Int2BinaryDumper,
    Int2BinaryLoader,
    Int4BinaryDumper,
    Int4BinaryLoader,
    Int8BinaryDumper,
    Int8BinaryLoader,
    OidBinaryDumper,
    OidBinaryLoader,
)
from psycopg.types.string import ByteaBinaryLoader, BytesBinaryDumper, StrBinaryDumper, TextBinaryLoader
from psycopg.waiting import Ready, Wait

from bulkio.drivers import ROW_TYPE_OIDS
from bulkio.drivers.errors import is_foreign, map_connect_error, mapped_errors
from bulkio.errors import EncodeError
from bulkio.protocols import ResultColumn
from bulkio.sql import close_cursor, copy_from_stdin, copy_to_stdout, declare_cursor, fetch_forward

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator, Sequence
    from contextlib import AbstractContextManager

    from psycopg.abc import Buffer
    from psycopg.pq.abc import PGresult

    from bulkio.drivers.conninfo import ConnInfo
    from bulkio.protocols import CopyFormat, CopyTarget, DriverName, Row

__all__ = ["PsycopgSession"]

T = TypeVar("T")

_CANCEL_TIMEOUT_S = 5.0
#: how long a cancelled statement may take to end before its socket is shut down
_HANG_UP_AFTER_S = 10.0
#: psycopg's own measure for one call of libpq's
_PIECE_BYTES = 128 << 10
#: what psycopg's dumpers raise for a value that its type cannot hold
_DUMPER_ERRORS = (TypeError, ValueError, OverflowError, AttributeError, struct.error, psycopg.DataError)
_TEXT_OID = ROW_TYPE_OIDS["text"]

# psycopg warns there when it gives a COPY up, and Python prints what no handler takes. The error is raised anyway.
logging.getLogger("psycopg").addHandler(logging.NullHandler())


class PsycopgSession:
    """One psycopg connection; see `bulkio.protocols.Session`."""

    driver: DriverName = "psycopg"

    def __init__(self, conn: psycopg.Connection) -> None:
        self._conn = conn
        self._threads = anyio.CapacityLimiter(1)
        self._cancel_threads = anyio.CapacityLimiter(1)
        self._cursor_numbers = count(1)

    @classmethod
    async def open(cls, info: ConnInfo) -> PsycopgSession:
        """Connect in a worker thread. Raises `ConnectError` or `ConfigError`."""
        attempt = _Attempt(info)
        try:
            # libpq cannot be interrupted while it connects: a cancelled attempt closes what it gets.
            conn = await to_thread.run_sync(attempt.connect, abandon_on_cancel=True)
        except asyncio.CancelledError:
            attempt.abandon()
            raise
        except Exception as exc:
            if not is_foreign(exc):
                raise
            raise map_connect_error(exc, info.display) from exc
        return cls(conn)

    @property
    def closed(self) -> bool:
        """Tell whether the connection is gone."""
        return self._conn.closed or self._conn.broken

    async def execute(self, sql: str) -> str:
        """Run one statement (or several, joined by semicolons); give the last one's command tag."""
        return await self._run(partial(_execute, self._conn, sql))

    async def fetch(self, sql: str) -> list[Row]:
        """Run one query and give all its rows."""
        return await self._run(partial(_fetch, self._conn, sql))

    async def describe(self, query: str) -> tuple[ResultColumn, ...]:
        """Give the columns of `query`, by preparing it without a name."""
        return await self._run(partial(_describe, self._conn, query))

    async def copy_in(self, target: CopyTarget, blocks: AsyncIterator[bytes], fmt: CopyFormat) -> int:
        """Send `blocks` through `copy.write`; see the Protocol."""
        copy = _CopyIn(self._conn, copy_from_stdin(target, fmt))
        return await self._feed(copy, blocks, copy.write)

    async def copy_in_records(self, target: CopyTarget, rows: AsyncIterator[Sequence[Row]]) -> int:
        """Send rows through `write_row`; see the Protocol.

        Raises:
            EncodeError: a value is not of the kind that a row of bulkio's holds for its column's type.
        """
        copy = _CopyIn(self._conn, copy_from_stdin(target, "binary"), target.type_oids)
        return await self._feed(copy, rows, copy.write_rows)

    async def copy_out(
        self, query: str, sink: Callable[[bytes], Awaitable[None]], *, gather_bytes: int = 1 << 20
    ) -> int:
        """Pull COPY's rows in a thread until they fill a block, and push it to `sink`; see the Protocol."""
        copy = _CopyOut(self._conn, copy_to_stdout(query))
        try:
            await self._run(copy.begin)
            while block := await self._run(partial(copy.read_block, gather_bytes)):
                await sink(block)
            return copy.rows
        finally:
            await self._finish(copy.end)

    async def cursor(self, query: str, *, prefetch: int) -> AsyncGenerator[Sequence[Row], None]:
        """Read `query` through a binary cursor of the server's, inside a transaction; see the Protocol."""
        name = f"bulkio_{next(self._cursor_numbers)}"
        await self.execute(declare_cursor(name, query))
        more = True
        while more:
            rows = await self.fetch(fetch_forward(name, prefetch))
            more = len(rows) == prefetch
            if rows:
                yield rows
        await self.execute(close_cursor(name))

    async def cancel(self) -> None:
        """Ask the server to cancel what runs now; does nothing where nothing runs."""
        if not self.closed:
            with self._mapped():
                await to_thread.run_sync(
                    partial(self._conn.cancel_safe, timeout=_CANCEL_TIMEOUT_S), limiter=self._cancel_threads
                )

    async def close(self) -> None:
        """Close the connection. Never raises."""
        with anyio.CancelScope(shield=True):
            await self._finish(self._conn.close)

    def _mapped(self) -> AbstractContextManager[None]:
        return mapped_errors(lambda: self.closed)

    async def _feed(self, copy: _CopyIn, items: AsyncIterator[T], write: Callable[[T], bool]) -> int:
        """Write the items until they end or the server answers; give the rows that it counted."""
        try:
            await self._run(copy.begin)
            async for item in items:
                if not await self._run(partial(write, item)):
                    break
            return await self._run(copy.finish)
        finally:
            await self._finish(copy.abandon)

    async def _run(self, work: Callable[[], T]) -> T:
        """Run `work` in the session's thread; where the caller is cancelled, end it on the server first."""
        work = partial(_noting_loss, self._conn, work)
        task = asyncio.ensure_future(to_thread.run_sync(work, limiter=self._threads))
        try:
            with self._mapped():
                return await asyncio.shield(task)
        except asyncio.CancelledError:
            await self._interrupt(task)
            raise

    async def _finish(self, work: Callable[[], None]) -> None:
        """Run cleaning work to its end, cancelled or not, and without an error of its own."""
        with anyio.CancelScope(shield=True):
            task = asyncio.ensure_future(to_thread.run_sync(work, limiter=self._threads))
            await asyncio.wait((task,), timeout=_CANCEL_TIMEOUT_S)
            await self._interrupt(task)

    async def _interrupt(self, task: asyncio.Future[T]) -> None:
        """Cancel what the thread waits for, until it ends; at last shut its socket down."""
        deadline = time.monotonic() + _HANG_UP_AFTER_S
        with anyio.CancelScope(shield=True):
            while not task.done():
                if time.monotonic() > deadline:
                    _hang_up(self._conn)
                else:
                    with suppress(Exception):  # the thread's end is what counts
                        await self.cancel()
                # The request may have come before the statement: look, then ask again.
                await asyncio.wait((task,), timeout=0.2)
        if not task.cancelled():
            task.exception()  # taken note of: the cancellation is what the caller hears of


# --- What runs in the thread ----------------------------------------------------------------------------------


class _Attempt:
    """One attempt to connect, which may be abandoned while its thread still waits for the server."""

    def __init__(self, info: ConnInfo) -> None:
        self._info = info
        self._conn: psycopg.Connection | None = None
        self._abandoned = False

    def connect(self) -> psycopg.Connection:
        # Until a transaction pins it, client_encoding would be the database's own.
        arguments = {**self._info.psycopg_kwargs(), "client_encoding": "UTF8"}
        conn = psycopg.connect(autocommit=True, prepare_threshold=None, **arguments)  # type: ignore[arg-type]
        _register_row_types(conn)
        self._conn = conn
        if self._abandoned:
            conn.close()
        return conn

    def abandon(self) -> None:
        self._abandoned = True
        if self._conn is not None:
            self._conn.close()


def _noting_loss(conn: psycopg.Connection, work: Callable[[], T]) -> T:
    """Run `work`, and close a connection of which psycopg says, but does not remember, that it is lost."""
    try:
        return work()
    except psycopg.OperationalError as exc:
        # psycopg.waiting, for a socket that has hung up while it waits to send
        if str(exc) == "connection socket closed":
            conn.close()
        raise


def _execute(conn: psycopg.Connection, sql: str) -> str:
    with conn.execute(sql) as cursor:
        while cursor.nextset():
            pass
        return cursor.statusmessage or ""


def _fetch(conn: psycopg.Connection, sql: str) -> list[Row]:
    with conn.cursor(binary=True) as cursor:
        return cast("list[Row]", cursor.execute(sql).fetchall())


def _describe(conn: psycopg.Connection, query: str) -> tuple[ResultColumn, ...]:
    encoding = conn.info.encoding
    _checked(conn.pgconn.prepare(b"", query.encode(encoding)), encoding)
    result = _checked(conn.pgconn.describe_prepared(b""), encoding)
    return tuple(
        ResultColumn((result.fname(i) or b"").decode(encoding), result.ftype(i), result.fmod(i))
        for i in range(result.nfields)
    )


def _checked(result: PGresult, encoding: str) -> PGresult:
    if result.status not in (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK):
        raise psycopg.errors.error_from_result(result, encoding=encoding)
    return result


def _hang_up(conn: psycopg.Connection) -> None:
    """Shut the socket down under a thread that waits for it: the one thing that another thread may do."""
    with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(conn.fileno())) as twin:
        twin.shutdown(socket.SHUT_RDWR)


class _GaveUpError(Exception):
    """Tells psycopg that a COPY ends early; never leaves this module."""


class _Copy:
    """One COPY of psycopg's, begun and ended by hand: its context manager cannot span several threads' calls."""

    def __init__(self, conn: psycopg.Connection, sql: str) -> None:
        self._conn = conn
        self._cursor = conn.cursor()
        self._writer = _WatchfulWriter(self._cursor)
        self._manager = self._cursor.copy(sql, writer=self._writer)
        self._copy: psycopg.Copy | None = None

    def begin(self) -> None:
        self._copy = self._manager.__enter__()

    def _leave(self, error: BaseException | None = None) -> None:
        """Leave psycopg's context once; with an error it cancels the COPY and waits for the server's answer."""
        if self._copy is not None:
            self._copy = None
            with suppress(_GaveUpError):
                self._manager.__exit__(type(error) if error else None, error, None)


class _CopyIn(_Copy):
    """COPY FROM STDIN, block by block or row by row."""

    def __init__(self, conn: psycopg.Connection, sql: str, type_oids: Sequence[int] | None = None) -> None:
        super().__init__(conn, sql)
        self._type_oids = type_oids

    def begin(self) -> None:
        """Start COPY; with types, for rows."""
        super().begin()
        if self._copy is not None and self._type_oids is not None:
            self._copy.set_types([_dumped_as(self._conn, oid) for oid in self._type_oids])

    def write(self, block: bytes) -> bool:
        """Send one block; False where the server has already answered, which can only be an error."""
        if self._copy is not None:
            self._copy.write(block)
        return not self._writer.answered

    def write_rows(self, rows: Sequence[Row]) -> bool:
        """Send some rows; False where the server has already answered, which can only be an error."""
        if self._copy is None:
            return False
        write_row = self._copy.write_row
        try:
            for row in rows:
                write_row(row)
        except _DUMPER_ERRORS as exc:
            raise EncodeError(f"psycopg cannot encode a value of the row: {exc}") from exc
        return not self._writer.answered

    def finish(self) -> int:
        """End COPY and give the rows that the server counted. Raises the server's error."""
        self._leave()
        return self._cursor.rowcount

    def abandon(self) -> None:
        """End COPY with a failure, so that the server forgets its rows; does nothing after `finish`."""
        self._leave(_GaveUpError())


class _WatchfulWriter(LibpqWriter):
    """Sends COPY data until the server answers in the middle of it, which libpq tells only at the end.

    Such an answer is an error. It is seen by a peek at the socket before libpq reads it: an ErrorResponse begins with
    ``E``, its length and the field S, the severity, then V (PostgreSQL docs, 55.7 "Message Formats"). What is not
    seen (under TLS, or behind a notice) is still reported, at the source's end.
    """

    _ERROR = re.compile(rb"E.{4}S[^\0]*\0V(?:ERROR|FATAL|PANIC)\0", re.DOTALL)

    def __init__(self, cursor: psycopg.Cursor[Any]) -> None:
        super().__init__(cursor)
        #: the server has answered, or is gone; nothing more is sent
        self.answered = False
        self._twin: socket.socket | None = None

    def write(self, data: Buffer) -> None:
        """Send `data` in pieces; a piece that is too large drives libpq into an endless loop (psycopg's #255)."""
        pieces = memoryview(data)
        for start in range(0, len(pieces), _PIECE_BYTES):
            if not self._came():
                self._send(pieces[start : start + _PIECE_BYTES])

    def finish(self, exc: BaseException | None = None) -> None:
        """End COPY; raises the server's error."""
        if self._twin is not None:
            self._twin.close()
        super().finish(exc)

    def _send(self, piece: Buffer) -> None:
        pgconn = self.connection.pgconn
        while pgconn.put_copy_data(piece) == 0:
            self.connection.wait(_ready(Wait.W))
        while pgconn.flush() != 0:
            if self.connection.wait(_ready(Wait.RW)) & Ready.R:
                if self._came():
                    return
                pgconn.consume_input()  # a notice

    def _came(self) -> bool:
        if not self.answered and hasattr(socket, "MSG_DONTWAIT"):
            try:
                if self._twin is None:
                    self._twin = socket.socket(fileno=os.dup(self.connection.fileno()))
                said = self._twin.recv(128, socket.MSG_PEEK | socket.MSG_DONTWAIT)
                self.answered = not said or self._ERROR.match(said) is not None
            except (BlockingIOError, InterruptedError):
                pass
            except OSError:
                self.answered = True  # the connection is lost; libpq says how when COPY ends
        return self.answered


class _CopyOut(_Copy):
    """COPY TO STDOUT, gathered into blocks."""

    #: the tag's row count, once the stream has ended
    rows: int = 0
    _ended = False

    def read_block(self, block_bytes: int) -> bytes:
        """Read rows until they make a block; an empty one is the end."""
        get_row = self._conn.pgconn.get_copy_data
        # Copied at once: rows that are kept, each in memory of libpq's, cost a quarter more by page faults.
        block = bytearray()
        while len(block) < block_bytes and not self._ended:
            # psycopg's own read() costs a generator for each row; this loop only where libpq has to wait.
            row_bytes, row = get_row(1)
            if row_bytes > 0:
                block += row
            elif row_bytes == 0:
                self._wait_for_input()
            else:
                self._end_of_data()
        return bytes(block)

    def end(self) -> None:
        """Leave COPY. What is left of it is cancelled and dropped."""
        with suppress(psycopg.Error):  # the cancellation itself, or a lost connection
            if self._copy is not None and not self._ended:
                self._conn.cancel_safe(timeout=_CANCEL_TIMEOUT_S)
                while self.read_block(1 << 20):
                    pass
        self._leave()

    def _wait_for_input(self) -> None:
        self._conn.wait(_ready(Wait.R))
        self._conn.pgconn.consume_input()

    def _end_of_data(self) -> None:
        self._ended = True
        pgconn = self._conn.pgconn
        results: list[PGresult] = []
        while True:
            while pgconn.is_busy():
                self._wait_for_input()
            if (result := pgconn.get_result()) is None:
                break
            results.append(result)
        for result in results:
            self.rows = _checked(result, self._conn.info.encoding).command_tuples or 0


def _ready(state: Wait) -> Generator[Wait, int, int]:
    """Wait for the socket, in the way of psycopg's own generators."""
    while not (ready := (yield state)):
        pass
    return ready


# --- The adapters of bulkio's rows (see bulkio.drivers) -------------------------------------------------------

_INTERVAL = struct.Struct("!qii")  # microseconds, days, months
_TIMETZ = struct.Struct("!qi")  # microseconds, seconds west of UTC
_JSONB_VERSION = b"\x01"


class _IntervalDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: tuple[int, int, int]) -> Buffer:
        months, days, microseconds = obj
        return _INTERVAL.pack(microseconds, days, months)


class _IntervalLoader(Loader):
    format = Format.BINARY

    def load(self, data: Buffer) -> tuple[int, int, int]:
        microseconds, days, months = _INTERVAL.unpack(data)
        return (months, days, microseconds)


class _TimetzDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: tuple[int, int]) -> Buffer:
        return _TIMETZ.pack(*obj)


class _TimetzLoader(Loader):
    format = Format.BINARY

    def load(self, data: Buffer) -> tuple[int, ...]:
        return _TIMETZ.unpack(data)


class _JsonbDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: str) -> Buffer:
        return _JSONB_VERSION + obj.encode()


class _JsonbLoader(Loader):
    format = Format.BINARY

    def load(self, data: Buffer) -> str:
        if bytes(data[:1]) != _JSONB_VERSION:
            raise psycopg.DataError(f"jsonb of an unknown version: {bytes(data[:1])!r}")
        return str(data[1:], "utf-8")


#: the dumper's base and the loader, for each type that psycopg would turn into something else; and for int2, int4
#: and oid, because psycopg's compiled dumpers wrap what is out of range in silence. Subclasses are Python's, which
#: check.
_ADAPTERS: dict[str, tuple[type[Dumper], type[Loader]]] = {
    "int2": (Int2BinaryDumper, Int2BinaryLoader),
    "int4": (Int4BinaryDumper, Int4BinaryLoader),
    "oid": (OidBinaryDumper, OidBinaryLoader),
    "float4": (Float4BinaryDumper, Float4BinaryLoader),
    "date": (Int4BinaryDumper, Int4BinaryLoader),
    "time": (Int8BinaryDumper, Int8BinaryLoader),
    "timestamp": (Int8BinaryDumper, Int8BinaryLoader),
    "timestamptz": (Int8BinaryDumper, Int8BinaryLoader),
    "timetz": (_TimetzDumper, _TimetzLoader),
    "interval": (_IntervalDumper, _IntervalLoader),
    "uuid": (BytesBinaryDumper, ByteaBinaryLoader),
    "json": (StrBinaryDumper, TextBinaryLoader),
    "jsonb": (_JsonbDumper, _JsonbLoader),
    "bpchar": (StrBinaryDumper, TextBinaryLoader),
}


def _register_row_types(conn: psycopg.Connection) -> None:
    for name, (dumper, loader) in _ADAPTERS.items():
        oid = ROW_TYPE_OIDS[name]
        conn.adapters.register_dumper(None, type(f"{name}Dumper", (dumper,), {"oid": oid}))
        conn.adapters.register_loader(oid, loader)


def _dumped_as(conn: psycopg.Connection, oid: int) -> int:
    """Give the type to dump a column as: a type that psycopg has no binary dumper for (an enum) goes as text."""
    try:
        conn.adapters.get_dumper_by_oid(oid, Format.BINARY)
    except psycopg.ProgrammingError:
        return _TEXT_OID
    return oid
