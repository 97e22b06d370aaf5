"""psycopg 3 as a `Session`: its sync connection, used from one worker thread at a time.

For COPY the sync connection is the faster shape: each call below is one hand-over to a thread for about a block of
data. A call that is cancelled asks the server to cancel, from a second thread, and waits until the first has ended.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from contextlib import suppress
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, TypeVar

import anyio
import psycopg
from anyio import to_thread

from bulkio.drivers import peer
from bulkio.drivers import psycopg_statements as statements
from bulkio.drivers.errors import is_foreign, map_connect_error, mapped_errors
from bulkio.drivers.psycopg_copy import CANCEL_TIMEOUT_S, CopyIn, CopyOut, CopyRecords
from bulkio.drivers.psycopg_rows import register_row_types
from bulkio.flow import shelter
from bulkio.sql import close_cursor, copy_from_stdin, copy_to_stdout, declare_cursor, fetch_forward

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
    from contextlib import AbstractContextManager

    from psycopg.abc import PQGen

    from bulkio.choices import DriverName
    from bulkio.drivers.conninfo import ConnInfo
    from bulkio.protocols import CopyFormat, CopyTarget, CsvForm, ResultColumn, Row

__all__ = ["PsycopgSession", "connect_blocking", "is_hang_up"]

T = TypeVar("T")

#: seconds that a cancelled statement may take to end before its socket is shut down
_HANG_UP_AFTER_S = 10.0

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
            return cls(await to_thread.run_sync(attempt.connect, abandon_on_cancel=True))
        except asyncio.CancelledError:
            attempt.abandon()
            raise

    @property
    def closed(self) -> bool:
        """Tell whether the connection is gone."""
        return self._conn.closed or self._conn.broken

    @property
    def server_encoding(self) -> str:
        """The encoding that the database keeps text in; the server reports it when a session begins."""
        return self._conn.info.parameter_status("server_encoding") or "UTF8"

    @property
    def server_version(self) -> int:
        """The server's version as a number, such as 180003."""
        return self._conn.info.server_version

    @property
    def login_pid(self) -> int:
        """The process that was named at the login."""
        return self._conn.info.backend_pid

    @property
    def uses_tls(self) -> bool:
        """Tell whether what goes to the server, or to its pooler, is encrypted."""
        return self._conn.pgconn.ssl_in_use

    async def execute(self, sql: str) -> str:
        """Run one statement (or several, joined by semicolons); return the last one's command tag."""
        return await self._wait(statements.execute(self._conn, sql))

    async def fetch(self, sql: str) -> list[Row]:
        """Run one query and return all its rows."""
        return await self._wait(statements.fetch(self._conn, sql))

    async def describe(self, query: str) -> tuple[ResultColumn, ...]:
        """Return the columns of `query`, by preparing it without a name."""
        return await self._wait(statements.describe(self._conn, query))

    async def copy_in(self, target: CopyTarget, blocks: AsyncIterator[bytes], fmt: CopyFormat) -> int:
        """Send `blocks` as they are; see the Protocol."""
        copy = CopyIn(self._conn, copy_from_stdin(target, fmt))
        try:
            await self._wait(copy.begin())
            async for block in blocks:
                if not await self._wait(copy.write(block)):
                    break
            return await self._wait(copy.finish())
        finally:
            await self._finish(lambda: self._start(copy.abandon()))

    async def copy_in_records(self, target: CopyTarget, rows: AsyncIterator[Sequence[Row]]) -> int:
        """Send rows through `write_row`; see the Protocol.

        Raises:
            EncodeError: a value is not of the kind that a row of bulkio's holds for its column's type.
        """
        copy = CopyRecords(self._conn, copy_from_stdin(target, "binary"), target.type_oids)
        try:
            await self._run(copy.begin)
            async for some in rows:
                if not await self._run(partial(copy.write, some)):
                    break
            return await self._run(copy.finish)
        finally:
            await self._finish(lambda: self._start_in_thread(copy.abandon))

    async def copy_out(
        self,
        query: str,
        sink: Callable[[bytes], Awaitable[None]],
        *,
        gather_bytes: int = 1 << 20,
        csv: CsvForm | None = None,
    ) -> int:
        """Pull COPY's rows in a thread until they fill a block, and push it to `sink`; see the Protocol."""
        copy = CopyOut(self._conn, copy_to_stdout(query, csv))
        try:
            await self._run(copy.begin)
            while block := await self._run(partial(copy.read_block, gather_bytes)):
                await sink(block)
            return copy.rows
        finally:
            await self._finish(lambda: self._start_in_thread(copy.end))

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
            request = partial(self._conn.cancel_safe, timeout=CANCEL_TIMEOUT_S)
            with self._mapped():
                await shelter.finish(to_thread.run_sync(request, limiter=self._cancel_threads))

    async def close(self) -> None:
        """Close the connection. Raises no error."""
        if not self._conn.closed:
            await self._finish(lambda: self._start_in_thread(self._conn.close))

    def _mapped(self) -> AbstractContextManager[None]:
        return mapped_errors(lambda: self.closed)

    async def _wait(self, work: PQGen[T]) -> T:
        """Run work on the connection to its end."""
        return await self._ended(self._start(work))

    async def _run(self, work: Callable[[], T]) -> T:
        """Run `work` in the session's thread."""
        return await self._ended(self._start_in_thread(work))

    def _start(self, work: PQGen[T]) -> asyncio.Future[T]:
        """Begin work on the connection, which waits wherever that would block."""
        return self._start_in_thread(partial(self._conn.wait, work))

    def _start_in_thread(self, work: Callable[[], T]) -> asyncio.Future[T]:
        noting = partial(_noting_loss, self._conn, work)
        return asyncio.ensure_future(to_thread.run_sync(noting, limiter=self._threads))

    async def _ended(self, task: asyncio.Future[T]) -> T:
        """Return what a task gives; where the caller is cancelled, end it on the server first."""
        try:
            with self._mapped():
                return await asyncio.shield(task)
        except asyncio.CancelledError:
            await shelter.finish(self._interrupt(task))
            raise

    async def _finish(self, start: Callable[[], asyncio.Future[None]]) -> None:
        """Run cleaning work to its end, cancelled or not, and without an error of its own."""

        async def run() -> None:
            task = start()
            await asyncio.wait((task,), timeout=CANCEL_TIMEOUT_S)
            await self._interrupt(task)

        await shelter.finish(run())

    async def _interrupt(self, task: asyncio.Future[T]) -> None:
        """Cancel what the thread waits for, until it ends; at last shut its socket down."""
        deadline = time.monotonic() + _HANG_UP_AFTER_S
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


def connect_blocking(info: ConnInfo) -> psycopg.Connection:
    """Connect, in the calling thread. Raises `ConnectError` or `ConfigError`."""
    try:
        peer.check(info)
        # Until a transaction pins it, client_encoding would be the database's own.
        arguments = {**info.psycopg_kwargs(), "client_encoding": "UTF8"}
        conn = psycopg.connect(autocommit=True, prepare_threshold=None, **arguments)  # type: ignore[arg-type]
    except Exception as exc:
        if not is_foreign(exc):
            raise
        raise map_connect_error(exc, info.display) from exc
    register_row_types(conn.adapters)
    return conn


class _Attempt:
    """One attempt to connect, which may be abandoned while its thread still waits for the server."""

    def __init__(self, info: ConnInfo) -> None:
        self._info = info
        self._conn: psycopg.Connection | None = None
        self._abandoned = False

    def connect(self) -> psycopg.Connection:
        self._conn = conn = connect_blocking(self._info)
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
        if is_hang_up(exc):
            conn.close()
        raise


def is_hang_up(exc: psycopg.OperationalError) -> bool:
    """Tell whether a socket has hung up while psycopg.waiting waits to send."""
    return str(exc) == "connection socket closed"


def _hang_up(conn: psycopg.Connection) -> None:
    """Shut the socket down under a thread that waits for it: the one thing that another thread may do."""
    with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(conn.fileno())) as twin:
        twin.shutdown(socket.SHUT_RDWR)
