"""asyncpg's own pool, which gets its connections from bulkio: TLS, hosts and keepalives are as everywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncpg

from bulkio.drivers.asyncpg import AsyncpgSession
from bulkio.drivers.asyncpg_connection import Connection

if TYPE_CHECKING:
    from bulkio.drivers.conninfo import ConnInfo
    from bulkio.protocols import Session

__all__ = ["AsyncpgKeeper"]


class AsyncpgKeeper:
    """See `bulkio.drivers.pool.Keeper`."""

    def __init__(self, info: ConnInfo, size: int) -> None:
        self._info = info
        self._pool = asyncpg.create_pool(
            min_size=0, max_size=size, connect=self._connect, reset=_nothing, connection_class=Connection
        )
        #: what the pool wants back, by session
        self._proxies: dict[Session, object] = {}

    @classmethod
    async def open(cls, info: ConnInfo, size: int) -> AsyncpgKeeper:
        """Make the pool; it connects to nothing yet."""
        keeper = cls(info, size)
        await keeper._pool
        return keeper

    async def take(self) -> Session:
        """Return an idle session; connect if there is none."""
        proxy = await self._pool.acquire()
        # Not the proxy, which lets go of its connection as soon as that is lost: errors are told by its state.
        session = AsyncpgSession(proxy._con)
        self._proxies[session] = proxy
        return session

    async def put(self, session: Session) -> None:
        """Keep a session, or forget it if it is closed."""
        await self._pool.release(self._proxies.pop(session))

    async def close(self) -> None:
        """Close the idle sessions."""
        await self._pool.close()

    async def _connect(self, *_args: object, **_kwargs: object) -> Connection:
        return (await AsyncpgSession.open(self._info)).connection


async def _nothing(_conn: Connection) -> None:
    """Reset nothing: `SessionPool` does it before it gives a session back."""
