"""A query's columns may have other types when they are read than when they were described: nothing locks functions."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import psycopg
import pyarrow as pa
import pytest

import bulkio
from servers import connect

if TYPE_CHECKING:
    from collections.abc import Callable

DRIVERS = ["asyncpg", "psycopg"]
METHODS = ["binary", "cursor"]
#: types of one width, or none: their bytes can be taken for each other's
TYPES = {"int4": "1", "float4": "1.5", "date": "'2000-01-02'", "text": "'abcd'", "cents": "4"}
MADE = "DROP FUNCTION IF EXISTS f(); CREATE FUNCTION f() RETURNS {0} LANGUAGE sql AS $$SELECT {1}::{0}$$"


def _make(conn: psycopg.Connection, type_name: str) -> None:
    conn.execute(MADE.format(type_name, TYPES[type_name]))


@pytest.mark.parametrize("type_name", TYPES)
def test_the_copy_itself_refuses_other_types(
    dsn: str, type_name: str, connect: Callable[[str], psycopg.Connection]
) -> None:
    """It is the server's error, before the first row; a domain is its base type, as in the description."""
    conn = connect(dsn)
    conn.execute("CREATE DOMAIN cents AS int4; CREATE DOMAIN tens AS cents")
    _make(conn, type_name)
    query = bulkio.plan_export("SELECT 'x'::text AS a, f() AS b FROM generate_series(1, 3)", "x.arrows", dsn).query
    for other in TYPES:
        _make(conn, other)
        if other == type_name or {other, type_name} == {"int4", "cents"}:
            assert len(_copied(conn, query)) == 3
        else:
            with pytest.raises(psycopg.DataError, match="types of the query's columns have changed"):
                _copied(conn, query)


def _copied(conn: psycopg.Connection, query: str) -> list[tuple[str, ...]]:
    with conn.cursor() as cursor, cursor.copy(f"COPY ({query}) TO STDOUT") as copy:
        return list(copy.rows())


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("method", METHODS)
def test_exports_while_a_function_changes(dsn: str, driver: str, method: str) -> None:
    """Each is right, or refused."""
    with connect(dsn) as conn:
        conn.execute("CREATE DOMAIN cents AS int4")
        _make(conn, "int4")
    right = {pa.int32(): (1, 4), pa.float32(): (1.5,), pa.date32(): ("2000-01-02",), pa.string(): ("abcd",)}
    end = threading.Event()

    def change() -> None:
        with connect(dsn) as conn:
            while not end.is_set():
                for type_name in TYPES:
                    _make(conn, type_name)

    changer = threading.Thread(target=change)
    changer.start()
    refusals: list[bulkio.DriverError] = []
    try:
        for _ in range(25):
            try:
                column = bulkio.read("SELECT f() AS a", dsn, driver=driver, method=method).read_all().column("a")
            except bulkio.DriverError as error:
                refusals.append(error)
            else:
                (value,) = column.to_pylist()
                assert (str(value) if column.type == pa.date32() else value) in right[column.type]
    finally:
        end.set()
        changer.join()
    others = ("f() does not exist", "cache lookup failed", "concurrently")
    odd = [
        e for e in refusals if not any(words in str(e) for words in (*others, "have changed since they were looked"))
    ]
    assert odd == []
    assert all(error.retryable for error in refusals if "have changed since they were looked" in str(error))


def test_the_check_is_made_once(dsn: str, connect: Callable[[str], psycopg.Connection]) -> None:
    """It is in no row's way: the plan has it as a filter that is looked at once, above or below the query's own."""
    conn = connect(dsn)
    conn.execute("CREATE TABLE t AS SELECT g, random() AS r, g::numeric(10,2) AS n FROM generate_series(1, 10) g")
    for query in (
        "SELECT g, r, n FROM t",
        "SELECT g, random() FROM t ORDER BY 2",
        "SELECT DISTINCT g FROM t",
        "SELECT generate_series(1, 3) AS s, g FROM t LIMIT 3",
        "VALUES (1, 'a'), (2, 'b')",
    ):
        planned = bulkio.plan_export(query, "x.arrows", dsn).query
        plan = "\n".join(row[0] for row in conn.execute(f"EXPLAIN {planned}"))
        assert (plan.count("One-Time Filter:"), plan.count(" Filter:")) == (1, 1), plan
