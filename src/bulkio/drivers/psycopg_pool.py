"""psycopg-pool, which gets its connections from bulkio, and says why one could not be made.

By itself it connects again and again in the background, also for what nobody has asked for, and tells who waits only
that he has waited in vain. So its connections are made while somebody waits, once, and the reason is kept for him.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

import psycopg
from anyio import to_thread
from psycopg_pool import ConnectionPool, PoolTimeout

from bulkio.drivers.psycopg import PsycopgSession, connect_blocking
from bulkio.flow import shelter

if TYPE_CHECKING:
    from bulkio.drivers.conninfo import ConnInfo
    from bulkio.protocols import Session

__all__ = ["PsycopgKeeper"]

#: seconds after which who waits looks whether there will be a connection at all
_LOOK_S = 0.1


_NAME = "bulkio's sessions"


def _is_not_ours(record: logging.LogRecord) -> bool:
    return not (isinstance(record.args, tuple) and record.args and record.args[0] == _NAME)


# It warns there when it is told that nobody waits. What is wrong with a connection is raised anyway.
logging.getLogger("psycopg.pool").addFilter(_is_not_ours)


class _Connector:
    """Stands where psycopg-pool has the class of its connections; called in the pool's own thread."""

    def __init__(self, info: ConnInfo) -> None:
        self._info = info
        #: number of those who wait for a connection
        self.waiting = 0
        #: reason why the latest of them gets none
        self.failure: Exception | None = None

    def connect(self, _conninfo: str = "", **_kwargs: object) -> psycopg.Connection:
        """Connect, once for those who wait: the pool would try again at once."""
        if self.failure is not None or not self.waiting:
            raise psycopg.OperationalError("nobody waits for a connection")
        try:
            return connect_blocking(self._info)
        except Exception as error:
            self.failure = error
            raise psycopg.OperationalError("there is no connection") from None  # the pool logs it


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
        self._connector.failure = None
        self._connector.waiting += 1
        try:
            while not got:
                await shelter.finish(to_thread.run_sync(self._get, got))
        except asyncio.CancelledError:
            for conn in got:
                self._pool.putconn(conn)
            raise
        finally:
            self._connector.waiting -= 1
        session = PsycopgSession(got[0])
        self._connections[session] = got[0]
        return session

    def _get(self, got: list[psycopg.Connection]) -> None:
        with suppress(PoolTimeout):
            got.append(self._pool.getconn(timeout=_LOOK_S))
            return
        if self._connector.failure is not None:
            raise self._connector.failure

    async def put(self, session: Session) -> None:
        """Keep a session, or forget it if it is closed."""
        self._pool.putconn(self._connections.pop(session))

    async def close(self) -> None:
        """Close the idle sessions."""
        await to_thread.run_sync(self._pool.close)
