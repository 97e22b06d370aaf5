"""Sessions that are used again: a pool of them for each server, and the rules by which one is lent and taken back.

Owns these rules; each driver's own pool keeps the connections (`asyncpg_pool`, `psycopg_pool`).

Nobody waits for a session: where all are out, `borrow` returns None, and the caller connects as ever. So whoever holds
one and needs a second one (a lock of its own, a question about a lost COMMIT) cannot wait for himself.

A session is taken back only if nothing is left of whoever had it. That is what the server itself says: DISCARD ALL
fails inside a transaction, and undoes all else: settings, roles, temporary tables, LISTEN, cursors, prepared
statements, advisory locks. Closed instead is one that was cancelled, lost its connection, or saw an error that is not
the server's. Before one is lent again, the server is asked whether it is there.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import anyio

from bulkio.errors import ConnectError, DriverError
from bulkio.flow import shelter
from bulkio.sql import DISCARD_ALL, NOTHING

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Sequence

    from bulkio.choices import DriverName
    from bulkio.drivers.conninfo import ConnInfo
    from bulkio.protocols import CopyFormat, CopyTarget, CsvForm, ResultColumn, Row, Session

__all__ = ["LentSession", "SessionPool", "SessionPools", "open_pool"]

#: seconds that an idle session may take for an answer, before it is taken for lost
ANSWER_S = 5.0


class Keeper(Protocol):
    """A driver's own pool, which keeps the connections."""

    async def take(self) -> Session:
        """Return an idle session; connect if there is none. Raises as `drivers.connect` does."""

    async def put(self, session: Session) -> None:
        """Keep a session that is not used any more, or forget it if it is closed."""

    async def close(self) -> None:
        """Close the idle sessions."""


class SessionPools:
    """A pool for each connection that is asked for, in the process and the event loop that they were opened in."""

    def __init__(self, max_sessions: int) -> None:
        self._max_sessions = max_sessions
        self._pools: dict[object, SessionPool] = {}
        self._opening = asyncio.Lock()
        self._is_closed = False
        self._home = _here()

    async def borrow(
        self, key: object, resolve: Callable[[], Awaitable[tuple[ConnInfo, DriverName]]]
    ) -> Session | None:
        """Lend a session; None if there is none to lend. `resolve` tells, once, which connection `key` means."""
        if self._home != _here():
            return None
        async with self._opening:
            if self._is_closed:
                return None
            if key not in self._pools:
                self._pools[key] = await open_pool(*await resolve(), self._max_sessions)
        return await self._pools[key].borrow()

    async def close(self) -> None:
        """Close all sessions; those that are still out are closed when they come back."""
        async with self._opening:
            self._is_closed = True
            for pool in self._pools.values():
                await pool.close()


def _here() -> tuple[int, asyncio.AbstractEventLoop]:
    """Return the process and the event loop: a fork has copies of sockets, and another loop cannot wait for them."""
    return os.getpid(), asyncio.get_running_loop()


async def open_pool(info: ConnInfo, driver: DriverName, max_sessions: int) -> SessionPool:
    """Open a pool for one connection; it has no session yet, and keeps so many at most."""
    keeper: Keeper
    if driver == "asyncpg":
        from bulkio.drivers.asyncpg_pool import AsyncpgKeeper

        keeper = await AsyncpgKeeper.open(info, max_sessions)
    else:
        from bulkio.drivers.psycopg_pool import PsycopgKeeper

        keeper = PsycopgKeeper(info, max_sessions)
    return SessionPool(keeper, max_sessions)


class SessionPool:
    """Lends the sessions of one connection."""

    def __init__(self, keeper: Keeper, max_sessions: int) -> None:
        self._keeper = keeper
        self._max_sessions = max_sessions
        self._lent = 0
        self._is_closing = False

    async def borrow(self) -> Session | None:
        """Lend a session; None if all are out, or the pool is closed. Closing it gives it back.

        Raises `ConnectError` or `ConfigError` if there is no connection.
        """
        if self._is_closing or self._lent >= self._max_sessions:
            return None
        self._lent += 1
        try:
            return LentSession(await self._take(), self._give_back)
        except BaseException:
            await shelter.finish(self._note_return())
            raise

    async def close(self) -> None:
        """Close the sessions; those that are still out are closed when they come back."""
        self._is_closing = True
        if not self._lent:
            await self._keeper.close()

    async def _take(self) -> Session:
        """Return a session that answers: idle ones may have been lost."""
        for _ in range(self._max_sessions):
            session = await self._keeper.take()
            if await self._answers(session):
                return session
        return await self._keeper.take()

    async def _answers(self, session: Session) -> bool:
        try:
            with anyio.move_on_after(ANSWER_S):
                await session.execute(NOTHING)
                return True
        except DriverError:
            pass
        except BaseException:
            await shelter.finish(self._drop(session))
            raise
        await self._drop(session)
        return False

    async def _give_back(self, session: Session, is_clean: bool) -> None:  # noqa: FBT001 - a callback
        try:
            if is_clean and not self._is_closing and not session.closed and await _discards(session):
                await self._keeper.put(session)
            else:
                await self._drop(session)
        except Exception:  # a driver's pool did not take it: it goes, and the work that it did is done
            await session.close()
        finally:
            await self._note_return()

    async def _drop(self, session: Session) -> None:
        await session.close()
        await self._keeper.put(session)

    async def _note_return(self) -> None:
        self._lent -= 1
        if self._is_closing and not self._lent:
            await self._keeper.close()


async def _discards(session: Session) -> bool:
    """Undo whatever a session has kept; tell whether it is as a new one."""
    try:
        with anyio.move_on_after(ANSWER_S):
            await session.execute(DISCARD_ALL)
            return True
    except DriverError:
        pass
    return False


class LentSession:
    """A session that goes back to its pool when it is closed; see `bulkio.protocols.Session`."""

    def __init__(self, session: Session, give_back: Callable[[Session, bool], Awaitable[None]]) -> None:
        self.driver: DriverName = session.driver
        self._session = session
        self._return = give_back
        self._is_clean = True
        self._is_back = False

    @property
    def closed(self) -> bool:
        """Tell whether the connection is gone, or given back."""
        return self._is_back or self._session.closed

    @property
    def server_encoding(self) -> str:
        """The encoding that the database keeps text in."""
        return self._session.server_encoding

    @property
    def server_version(self) -> int:
        """The server's version as a number."""
        return self._session.server_version

    @property
    def login_pid(self) -> int:
        """The process that was named at the login."""
        return self._session.login_pid

    @property
    def uses_tls(self) -> bool:
        """Tell whether what goes to the server is encrypted."""
        return self._session.uses_tls

    async def execute(self, sql: str) -> str:
        """Run one statement."""
        with self._watched() as session:
            return await session.execute(sql)

    async def fetch(self, sql: str) -> list[Row]:
        """Run one query and return all its rows."""
        with self._watched() as session:
            return await session.fetch(sql)

    async def describe(self, query: str) -> tuple[ResultColumn, ...]:
        """Return the columns of `query`."""
        with self._watched() as session:
            return await session.describe(query)

    async def copy_in(self, target: CopyTarget, blocks: AsyncIterator[bytes], fmt: CopyFormat) -> int:
        """Send `blocks` through COPY FROM STDIN."""
        with self._watched() as session:
            return await session.copy_in(target, blocks, fmt)

    async def copy_in_records(self, target: CopyTarget, rows: AsyncIterator[Sequence[Row]]) -> int:
        """Send rows with the driver's own row path."""
        with self._watched() as session:
            return await session.copy_in_records(target, rows)

    async def copy_out(
        self,
        query: str,
        sink: Callable[[bytes], Awaitable[None]],
        *,
        gather_bytes: int = 1 << 20,
        csv: CsvForm | None = None,
    ) -> int:
        """Push the stream of COPY TO STDOUT to `sink`."""
        with self._watched() as session:
            return await session.copy_out(query, sink, gather_bytes=gather_bytes, csv=csv)

    async def cursor(self, query: str, *, prefetch: int) -> AsyncGenerator[Sequence[Row], None]:
        """Read `query` through a server-side cursor."""
        with self._watched() as session:
            async for rows in session.cursor(query, prefetch=prefetch):
                yield rows

    async def cancel(self) -> None:
        """Ask the server to cancel what runs now; the session is not lent again."""
        self._is_clean = False
        if not self.closed:
            await self._session.cancel()

    async def close(self) -> None:
        """Return the session to its pool; never raises an error."""
        if not self._is_back:
            self._is_back = True
            await shelter.finish(self._back())

    async def _back(self) -> None:
        await self._return(self._session, self._is_clean)

    @contextmanager
    def _watched(self) -> Iterator[Session]:
        """Note what makes the session one that nobody should have again: all but the server's own refusals."""
        if self._is_back:
            raise ConnectError("the session was closed: it is back in its pool")
        try:
            yield self._session
        except ConnectError:
            self._is_clean = False
            raise
        except DriverError:
            raise
        except BaseException:
            self._is_clean = False
            raise
