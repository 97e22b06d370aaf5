"""A psycopg connection of the caller's as a `Session`: a sync one in a thread, an async one on its event loop.

Owns the knowledge of what callers can set on such a connection, and of how to go around it.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, cast

import psycopg
from anyio import to_thread
from psycopg.pq import PipelineStatus, TransactionStatus
from psycopg.rows import tuple_row

from bulkio.drivers.psycopg import PsycopgSession, is_hang_up
from bulkio.drivers.psycopg_copy import CANCEL_TIMEOUT_S
from bulkio.drivers.unusable import BUSY, FAILED, not_in_transaction, refuse_other_loop, unusable
from bulkio.flow import shelter
from bulkio.sql import NOTHING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from psycopg.abc import PQGen

    from bulkio.drivers.psycopg_statements import AnyConnection
    from bulkio.protocols import JoinedSession

__all__ = ["joined", "joined_async"]

T = TypeVar("T")


@asynccontextmanager
async def joined(connection: object) -> AsyncIterator[JoinedSession]:
    """Use a sync connection as a session while the block runs.

    Raises:
        ConfigError: it cannot be used.
    """
    conn = cast("psycopg.Connection", connection)
    if _is_to_begin(conn, "with connection.transaction()"):
        cursor = psycopg.Cursor(conn, row_factory=tuple_row)
        await shelter.finish(to_thread.run_sync(lambda: cursor.execute(NOTHING, prepare=False)))
    with _taken(conn):
        yield _JoinedSession(conn)


@asynccontextmanager
async def joined_async(connection: object) -> AsyncIterator[JoinedSession]:
    """Use an async connection as a session while the block runs.

    Raises:
        ConfigError: it cannot be used, or not here.
    """
    conn = cast("psycopg.AsyncConnection", connection)
    refuse_other_loop(getattr(conn.lock, "_loop", None))  # all that tells it
    if _is_to_begin(conn, "async with connection.transaction()"):
        cursor = psycopg.AsyncCursor(conn, row_factory=tuple_row)
        await shelter.finish(cursor.execute(NOTHING, prepare=False))
    with _taken(conn):
        yield _LoopSession(conn)


def _is_to_begin(conn: AnyConnection, block: str) -> bool:
    """Tell whether psycopg has still to begin the transaction, as it does at a first statement.

    Raises:
        ConfigError: there is no transaction, or none that can be used.
    """
    if conn.closed or conn.broken:
        raise unusable("it is closed")
    if conn.pgconn.pipeline_status != PipelineStatus.OFF:
        raise unusable("it is in pipeline mode, in which COPY is not possible")
    match conn.info.transaction_status:
        case TransactionStatus.ACTIVE:
            raise unusable(BUSY)
        case TransactionStatus.INERROR:
            raise unusable(FAILED)
        case TransactionStatus.IDLE if conn.autocommit:
            raise not_in_transaction(block)
        case TransactionStatus.IDLE:
            return True
    return False


@contextmanager
def _taken(conn: AnyConnection) -> Iterator[None]:
    """Keep everybody else from a connection, by the lock that psycopg's own methods take."""
    lock: Any = conn.lock
    is_async = isinstance(conn, psycopg.AsyncConnection)
    # The lock of an event loop need not be taken: nobody has seen it, once another one stands in its place.
    if lock.locked() if is_async else not lock.acquire(blocking=False):
        raise unusable(BUSY)
    conn.lock = cast("Any", _Taken())
    try:
        yield
    finally:
        conn.lock = lock
        if not is_async:
            lock.release()


class _Taken:
    """Stands where a connection's lock is. Who wants it is refused: a source that waited for it would wait for ever."""

    def locked(self) -> bool:
        return True

    def acquire(self, *_args: object, **_kwargs: object) -> NoReturn:
        raise psycopg.ProgrammingError("the connection is in use: bulkio loads over it")

    __enter__ = acquire

    async def __aenter__(self) -> NoReturn:
        self.acquire()

    def __exit__(self, *_: object) -> None:
        """Nobody has entered."""

    async def __aexit__(self, *_: object) -> None:
        """Nobody has entered."""


class _JoinedSession(PsycopgSession):
    """A session over the caller's connection."""

    async def forget_statements(self) -> None:
        """Let psycopg prepare the caller's statements anew: they would fail on a table that was changed."""
        prepared = self._conn._prepared
        # Not by its clear(), which sends DEALLOCATE ALL: the caller may have prepared others by SQL.
        prepared._to_flush.extend(prepared._names.values())
        prepared._names.clear()
        prepared._counts.clear()


class _LoopSession(_JoinedSession):
    """A session over an async connection: what else a thread does, the event loop does."""

    def __init__(self, conn: psycopg.AsyncConnection) -> None:
        super().__init__(cast("psycopg.Connection", conn))
        self._on_loop = conn

    def _start(self, work: PQGen[T]) -> asyncio.Future[T]:
        return asyncio.ensure_future(self._on_loop_to_end(work))

    async def _on_loop_to_end(self, work: PQGen[T]) -> T:
        try:
            return await self._on_loop.wait(work)
        except psycopg.OperationalError as exc:
            if is_hang_up(exc):
                await self._on_loop.close()
            raise

    async def cancel(self) -> None:
        """Ask the server to cancel what runs now; does nothing where nothing runs."""
        if not self.closed:
            with self._mapped():
                await shelter.finish(self._on_loop.cancel_safe(timeout=CANCEL_TIMEOUT_S))

    async def close(self) -> None:
        """Close the connection. Raises no error."""
        if not self._on_loop.closed:
            await self._finish(lambda: asyncio.ensure_future(self._on_loop.close()))
