"""An asyncpg connection of the caller's as a `Session`.

Owns the knowledge of what callers can set on such a connection, and of how to go around it.
"""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from bulkio.drivers.asyncpg import AsyncpgSession
from bulkio.drivers.asyncpg_connection import Connection
from bulkio.drivers.unusable import BUSY, not_in_transaction, refuse_other_loop, unusable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from bulkio.protocols import JoinedSession

__all__ = ["joined"]

#: seconds for what may take as long as it likes; asyncpg has no number for ever, and None is the connection's own limit
_UNLIMITED_S = 1e8
#: methods of asyncpg's protocol that send something for the caller to run
_RUNNING = {
    *("bind", "bind_execute", "bind_execute_many", "close_portal", "close_statement"),
    *("copy_in", "copy_out", "execute", "prepare", "query"),
}


@asynccontextmanager
async def joined(connection: object) -> AsyncIterator[JoinedSession]:
    """Use a connection, or a pool's proxy of one, as a session while the block runs.

    Raises:
        ConfigError: it cannot be used, or not here.
    """
    conn: Any = connection
    if isinstance(connection, PoolConnectionProxy):
        conn = connection._con  # there is no public way to it
        if conn is None:
            raise unusable("it was given back to its pool")
    if conn.is_closed():
        raise unusable("it is closed")
    refuse_other_loop(conn._loop)
    if isinstance(conn._protocol, _Taken):
        raise unusable(BUSY)
    if not conn.is_in_transaction():
        raise not_in_transaction("async with connection.transaction()")
    session = _JoinedSession(conn)
    with session.woken_by_loss(), _taken(conn):
        yield session


@contextmanager
def _taken(conn: Any) -> Iterator[None]:
    """Keep everybody else from a connection: what they ran between two statements would meet what the load has set."""
    protocol = conn._protocol
    conn._protocol = taken = _Taken(protocol)
    try:
        yield
    finally:
        if conn._protocol is taken:  # else the connection was terminated
            conn._protocol = protocol


class _Taken:
    """Stands where a connection's protocol is. What runs something is refused, all else goes by the protocol."""

    def __init__(self, protocol: Any) -> None:
        self._protocol = protocol

    def __getattr__(self, name: str) -> Any:
        if name in _RUNNING:
            raise asyncpg.InterfaceError("cannot perform operation: bulkio loads over the connection")
        return getattr(self._protocol, name)


class _JoinedSession(AsyncpgSession):
    """A session over the caller's connection. Only what ends the connection goes by the caller's own object."""

    def __init__(self, conn: Any) -> None:
        super().__init__(_Twin(conn))
        self._callers = conn

    async def close(self) -> None:
        """Drop the connection, where nothing else undoes what was done."""
        self._callers.terminate()

    async def forget_statements(self) -> None:
        """Let the caller's cached statements be prepared anew: they would fail on a table that was changed."""
        await self._callers.reload_schema_state()

    @contextmanager
    def woken_by_loss(self) -> Iterator[None]:
        """Let a lost connection end what waits for it, as for bulkio's own connections."""
        protocol = self._conn._protocol

        def wake(_conn: object) -> None:
            protocol.resume_writing()
            self._waiting.cancel()

        self._callers.add_termination_listener(wake)
        try:
            yield
        finally:
            self._callers.remove_termination_listener(wake)


class _Twin(Connection):
    """A second object for the connection: without the caller's codecs, caches, record class, loggers and time limit."""

    def __init__(self, conn: Any) -> None:
        # without a cache no statement gets a name, and so none is left in the session
        config = conn._config._replace(statement_cache_size=0)
        super().__init__(conn._protocol, conn._transport, conn._loop, conn._addr, config, conn._params)

    def __del__(self) -> None:
        """Leave the connection open: it is not this object's."""

    async def execute(self, query: str) -> str:
        return str(await self._protocol.query(query, _UNLIMITED_S))

    async def fetch(self, query: str) -> list[asyncpg.Record]:
        rows: list[asyncpg.Record] = await self._execute(
            query, (), 0, _UNLIMITED_S, record_class=asyncpg.Record, ignore_custom_codec=True
        )
        return rows

    async def _copy_in(self, copy_stmt: str, source: object, _timeout: float | None) -> str:
        return str(await super()._copy_in(copy_stmt, source, _UNLIMITED_S))
