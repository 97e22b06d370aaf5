"""Statements on psycopg's connections, as generators that yield where they would block: whoever has one waits for it.

So the thread of a sync connection and the event loop of an async one share them. Nothing that is set on a connection
counts here: no row factory, adapter, lock, prepared statement, nor psycopg's own BEGIN.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import generators, postgres
from psycopg.adapt import AdaptersMap, Transformer
from psycopg.pq import ExecStatus, Format
from psycopg.types.array import register_all_arrays

from bulkio.drivers.psycopg_rows import register_row_types
from bulkio.protocols import ResultColumn

if TYPE_CHECKING:
    from typing import TypeAlias

    from psycopg.abc import PQGen
    from psycopg.pq.abc import PGresult

    from bulkio.protocols import Row

    AnyConnection: TypeAlias = psycopg.Connection | psycopg.AsyncConnection

__all__ = ["checked_result", "describe", "execute", "fetch"]


def checked_result(result: PGresult, encoding: str) -> PGresult:
    """Return the result, or raise the error that it is."""
    if result.status not in (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK, ExecStatus.EMPTY_QUERY):
        raise psycopg.errors.error_from_result(result, encoding=encoding)
    return result


def execute(conn: AnyConnection, sql: str) -> PQGen[str]:
    """Run one statement (or several, joined by semicolons); return the last one's command tag."""
    encoding = conn.info.encoding
    conn.pgconn.send_query(sql.encode(encoding))
    results = yield from generators.execute(conn.pgconn)
    last = [checked_result(result, encoding) for result in results][-1]
    return (last.command_status or b"").decode()


def fetch(conn: AnyConnection, sql: str) -> PQGen[list[Row]]:
    """Run one query and return all its rows, whatever adapters others have registered."""
    encoding = conn.info.encoding
    conn.pgconn.send_query_params(sql.encode(encoding), None, result_format=Format.BINARY)
    [result] = yield from generators.execute(conn.pgconn)
    rows = Transformer(_Rows(conn))
    rows.set_pgresult(checked_result(result, encoding))
    return rows.load_rows(0, result.ntuples, tuple)


def describe(conn: AnyConnection, query: str) -> PQGen[tuple[ResultColumn, ...]]:
    """Return the columns of `query`, by preparing it without a name."""
    encoding = conn.info.encoding
    conn.pgconn.send_prepare(b"", query.encode(encoding))
    [prepared] = yield from generators.execute(conn.pgconn)
    checked_result(prepared, encoding)
    conn.pgconn.send_describe_prepared(b"")
    [result] = yield from generators.execute(conn.pgconn)
    checked_result(result, encoding)
    return tuple(
        ResultColumn((result.fname(i) or b"").decode(encoding), result.ftype(i), result.fmod(i))
        for i in range(result.nfields)
    )


@dataclass(frozen=True, slots=True)
class _Rows:
    """What psycopg makes a row's values by: see `psycopg.abc.AdaptContext`."""

    connection: psycopg.BaseConnection[Any]

    @property
    def adapters(self) -> AdaptersMap:
        return _adapters()


@cache
def _adapters() -> AdaptersMap:
    """Make the adapters of bulkio's rows from psycopg's as they come: users may change its own for all connections."""
    types = psycopg.types.TypesRegistry()
    postgres.register_default_types(types)
    adapters = AdaptersMap(types=types)
    postgres.register_default_adapters(adapters)
    register_all_arrays(adapters)
    register_row_types(adapters)
    return adapters
