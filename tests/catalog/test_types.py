"""The queries about types on real servers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bulkio.catalog import types_query

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg


def test_no_server_compiles_the_query_for_types(dsn: str, connect: Callable[[str], psycopg.Connection]) -> None:
    """The planner's cost stays below the one from which on a server with a JIT compiler would take half a second."""
    conn = connect(dsn)
    conn.execute("CREATE TYPE mood AS ENUM ('a'); CREATE TYPE pair AS (a int4, b mood); CREATE DOMAIN d AS pair[]")
    oids = [oid for (oid,) in conn.execute("SELECT oid::int8 FROM pg_type WHERE typname = ANY ('{mood,pair,d}')")]
    (plan,) = conn.execute(f"EXPLAIN (FORMAT json) {types_query(oids).sql}").fetchone()
    (limit,) = conn.execute("SELECT current_setting('jit_above_cost')::float8").fetchone()
    assert plan[0]["Plan"]["Total Cost"] < limit / 5
