"""psycopg-pool, which gets its connections from bulkio, and says why one could not be made.

By itself it connects again and again in the background, also for what nobody has asked for, and tells who waits only
that he has waited in vain. So its connections are made while somebody waits, once, and the reason is kept for him.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakSet

import psycopg
from anyio import to_thread
from psycopg_pool import ConnectionPool, PoolTimeout

from bulkio.drivers.psycopg import PsycopgSession, connect_blocking
from bulkio.flow import shelter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bulkio.drivers.conninfo import ConnInfo
    from bulkio.protocols import Session

__all__ = ["PsycopgKeeper"]

#: seconds to wait for the pool's threads, one of which may still wait for a server that says nothing
_CLOSE_S = 0.5
#: seconds after which who waits looks whether there will be a connection at all
_LOOK_S = 0.1


_NAME = "bulkio's sessions"


def _is_not_ours(record: logging.LogRecord) -> bool:
    return not (isinstance(record.args, tuple) and record.args and record.args[0] == _NAME)


# It warns there when it is told that nobody waits. What is wrong with a connection is raised anyway.
logging.getLogger("psycopg.pool").addFilter(_is_not_ours)


class _Connector:
    """Stands where psycopg-pool has the class of its connections; the pool calls it in a thread of its own."""

    def __init__(self, info: ConnInfo) -> None:
        self._info = info
        self._lock = threading.Lock()
        self._waiting = 0
        #: connections that may be made: one for each who waits, and not a second one where it fails
        self._allowed = 0
        #: number of those that could not be made, and the reason of the latest
        self.failed = 0
        self.failure: Exception | None = None
        self._made: WeakSet[psycopg.Connection] = WeakSet()
        self._is_closed = False

    @contextmanager
    def awaited(self) -> Iterator[None]:
        """Allow one more connection while the block waits."""
        with self._lock:
            self._waiting += 1
            self._allowed += 1
        try:
            yield
        finally:
            with self._lock:
                self._waiting -= 1
                self._allowed = min(self._allowed, self._waiting)

    def connect(self, _conninfo: str = "", **_kwargs: object) -> psycopg.Connection:
        """Connect, if somebody waits for it."""
        with self._lock:
            if not self._allowed:
                raise psycopg.OperationalError("nobody waits for a connection")
            self._allowed -= 1
        try:
            conn = connect_blocking(self._info)
        except Exception as error:
            self.failure = error
            self.failed += 1
            raise psycopg.OperationalError("there is no connection") from None  # the pool logs it
        self._made.add(conn)
        if self._is_closed:
            conn.close()
        return conn

    def close_all(self) -> None:
        """Close what was made, and what is still on its way: the pool may lose a connection that comes late."""
        self._is_closed = True
        for conn in list(self._made):
            conn.close()


class PsycopgKeeper:
    """See `bulkio.drivers.pool.Keeper`."""

    def __init__(self, info: ConnInfo, size: int) -> None:
        self._connector = _Connector(info)
        self._pool: ConnectionPool[psycopg.Connection] = ConnectionPool(
            connection_class=cast("Any", self._connector),
            min_size=0,
            name=_NAME,
            max_size=size,
            reconnect_timeout=0,
            num_workers=1,
            open=True,
        )
        #: what the pool wants back, by session
        self._connections: dict[Session, psycopg.Connection] = {}

    async def take(self) -> Session:
        """Return an idle session; connect if there is none."""
        got: list[psycopg.Connection] = []
        failed_before = self._connector.failed
        try:
            with self._connector.awaited():
                while not got:
                    await shelter.finish(to_thread.run_sync(self._get, got))
                    if not got and self._connector.failed > failed_before and self._connector.failure:
                        raise self._connector.failure
        except asyncio.CancelledError:
            for conn in got:
                self._pool.putconn(conn)
            raise
        session = PsycopgSession(got[0])
        self._connections[session] = got[0]
        return session

    def _get(self, got: list[psycopg.Connection]) -> None:
        with suppress(PoolTimeout):
            got.append(self._pool.getconn(timeout=_LOOK_S))

    async def put(self, session: Session) -> None:
        """Keep a session, or forget it if it is closed."""
        self._pool.putconn(self._connections.pop(session))

    async def close(self) -> None:
        """Close the idle sessions."""
        await to_thread.run_sync(self._pool.close, _CLOSE_S)
        await to_thread.run_sync(self._connector.close_all)
