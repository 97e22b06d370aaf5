"""Callers who have a connection and a transaction of their own, in which they load: one face for all drivers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import asyncpg
import psycopg
from psycopg.rows import tuple_row

import bulkio
from bulkio import aio

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from bulkio import LoadReport
    from bulkio.plan import LoadPlan

__all__ = ["KINDS", "AsyncPsycopg", "Asyncpg", "Caller", "InThread", "OnLoop", "SyncPsycopg"]

_SETTINGS = """
    SELECT name, setting FROM pg_catalog.pg_settings UNION ALL SELECT 'role', current_setting('role')
    UNION ALL SELECT 'user', session_user::text ORDER BY 1
"""


class Caller:
    """One connection; its methods block, whatever the driver is like."""

    driver = "psycopg"
    #: True if nothing but a statement begins a transaction
    begins = False
    conn: Any

    def execute(self, sql: str) -> None:
        """Run statements, by the driver's own method."""
        self._execute(sql)

    def fetch(self, sql: str) -> list[tuple[object, ...]]:
        """Return a query's rows."""
        return self._fetch(sql)

    def load(self, source: object, table: str, **options: Any) -> LoadReport:
        """Load in the caller's transaction."""
        return self._call("load", source, table, connection=self.conn, **options)

    def plan(self, source: object, table: str, **options: Any) -> LoadPlan:
        """Plan a load in the caller's transaction."""
        return self._call("plan_load", source, table, connection=self.conn, **options)

    def begin(self) -> None:
        """Begin the transaction, where the driver does not do it by itself."""
        if self.begins:
            self.execute("BEGIN")

    def commit(self) -> None:
        """Commit it."""
        self.execute("COMMIT")

    def roll_back(self) -> None:
        """Roll it back."""
        self.execute("ROLLBACK")

    def settings(self) -> list[tuple[object, ...]]:
        """Return all settings, and what else a SET can change."""
        return self.fetch(_SETTINGS)

    def close(self) -> None:
        """Close the connection."""
        self._close()


class SyncPsycopg(Caller):
    """A sync connection of psycopg's, with bulkio's sync face."""

    def __init__(self, dsn: str, **options: Any) -> None:
        self.conn = psycopg.connect(dsn, **options)

    def _execute(self, sql: str) -> None:
        psycopg.Cursor(self.conn, row_factory=tuple_row).execute(sql)

    def _fetch(self, sql: str) -> list[tuple[object, ...]]:
        return psycopg.Cursor(self.conn, row_factory=tuple_row).execute(sql).fetchall()

    def _call(self, name: str, *args: Any, **options: Any) -> Any:
        return getattr(bulkio, name)(*args, **options)

    def _close(self) -> None:
        self.conn.close()


class InThread(SyncPsycopg):
    """A sync connection of psycopg's, with bulkio's async face."""

    def _call(self, name: str, *args: Any, **options: Any) -> Any:
        return asyncio.run(getattr(aio, name)(*args, **options))


class OnLoop(Caller):
    """A connection of an event loop, with bulkio's async face."""

    def __init__(self, dsn: str, **options: Any) -> None:
        self.loop = asyncio.new_event_loop()
        self.conn = self.run(self._connect(dsn, **options))

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine on the connection's loop."""
        return self.loop.run_until_complete(work)

    def _call(self, name: str, *args: Any, **options: Any) -> Any:
        return self.run(getattr(aio, name)(*args, **options))

    def _close(self) -> None:
        self.run(self.conn.close())
        self.loop.close()


class AsyncPsycopg(OnLoop):
    """An async connection of psycopg's."""

    _connect = psycopg.AsyncConnection.connect

    def _execute(self, sql: str) -> None:
        self.run(psycopg.AsyncCursor(self.conn, row_factory=tuple_row).execute(sql))

    def _fetch(self, sql: str) -> list[tuple[object, ...]]:
        async def rows() -> list[tuple[object, ...]]:
            return await (await psycopg.AsyncCursor(self.conn, row_factory=tuple_row).execute(sql)).fetchall()

        return self.run(rows())


class Asyncpg(OnLoop):
    """A connection of asyncpg's."""

    driver = "asyncpg"
    begins = True
    _connect = staticmethod(asyncpg.connect)

    def _execute(self, sql: str) -> None:
        self.run(self.conn.execute(sql))

    def _fetch(self, sql: str) -> list[tuple[object, ...]]:
        return [tuple(row) for row in self.run(self.conn.fetch(sql))]


#: each kind of caller, by name
KINDS: dict[str, type[Caller]] = {"psycopg": SyncPsycopg, "psycopg-async": AsyncPsycopg, "asyncpg": Asyncpg}
