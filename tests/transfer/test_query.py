"""One row of a query, as values or as a check; the query changes nothing."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

import bulkio
from servers import connect, fetch

if TYPE_CHECKING:
    from collections.abc import Callable

DRIVERS = ["asyncpg", "psycopg"]


@pytest.mark.parametrize("driver", DRIVERS)
def test_the_first_row_as_values(dsn: str, driver: str) -> None:
    """As Arrow has them; columns may have the same name."""
    query = """
        select 1 as a, 'x' as a, null::int, true, 1.50, 0.1::float8, date '2026-11-26', '{1,2}'::int[],
            '{"a": 1}'::json, timestamptz '2026-11-26 01:00+01', timestamp '2026-11-26 01:00:00.000001',
            uuid '00000000-0000-0000-0000-000000000007'
    """
    values = (1, "x", None, True, "1.50", 0.1, date(2026, 11, 26), [1, 2], '{"a": 1}')
    times = (datetime(2026, 11, 26, tzinfo=UTC), datetime(2026, 11, 26, 1, 0, 0, 1), UUID(int=7))
    assert bulkio.fetch_row(query, dsn, driver=driver) == values + times


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_row_of_many_and_of_none(dsn: str, driver: str) -> None:
    """The first one comes, and the rest is not read; no row is None."""
    assert bulkio.fetch_row("select generate_series(1, 1000000)", dsn, driver=driver) == (1,)
    assert bulkio.fetch_row("select $1::int where $2", dsn, params=[1, False], driver=driver) is None


def test_a_value_comes_back_as_a_parameter(dsn: str) -> None:
    """A mark that was read is compared with what it was read from."""
    with connect(dsn) as conn:
        conn.execute("CREATE TABLE t AS SELECT now() AS at, 1.10 AS n, current_date AS day")
    row = bulkio.fetch_row("select max(at), max(n), max(day) from t", dsn)
    assert bulkio.fetch_row("select count(*) from t where at = $1 and n = $2 and day = $3", dsn, params=row) == (1,)


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("function", [bulkio.fetch_row, bulkio.check])
def test_nothing_is_written(dsn: str, driver: str, function: Callable[..., object]) -> None:
    """By whatever way: a statement, a CTE, or a function that the query calls."""
    with connect(dsn) as conn:
        conn.execute("CREATE TABLE t (a int)")
        conn.execute("CREATE FUNCTION f() RETURNS bool LANGUAGE sql AS 'INSERT INTO t VALUES (1) RETURNING true'")
    for query, words in {
        "insert into t values (1) returning true": "would write, and INSERT is not a query: a check, or a",
        "with x as (insert into t values (1) returning true) table x": "data-modifying statement must be at the top",
        "select f()": "cannot execute INSERT in a read-only transaction: a check, or a query for a row, only reads",
    }.items():
        with pytest.raises((bulkio.DriverError, bulkio.ConfigError), match=words):
            function(query, dsn, driver=driver)
    assert fetch(dsn, "SELECT count(*) FROM t") == [(0,)]


def test_what_is_no_query(one_dsn: str) -> None:
    """A table's name, or nothing, is refused."""
    for query in ("orders", "", "select 1; select 2"):
        with pytest.raises(bulkio.ConfigError, match="query"):
            bulkio.fetch_row(query, one_dsn)


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_check_that_is_true(dsn: str, driver: str) -> None:
    """It says nothing; parameters and the role's search_path count."""
    with connect(dsn) as conn:
        conn.execute("CREATE SCHEMA s")
        conn.execute("CREATE TABLE s.t AS SELECT 1 AS a")
    path = f"{dsn}&options=-csearch_path%3Ds"
    assert bulkio.check("select count(*) = $1, 'more' from t", path, params=[1], driver=driver) is None


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("select count(*) > 5, count(*) as n from (values (1)) as v", "it gave \"?column?\": 'f', \"n\": '1'"),
        ("select null::bool", 'it gave "bool": NULL'),
        ("select true where false", "it returned no row"),
        ("select true from generate_series(1, 2)", "it returned more than one row"),
        ("select 1", "the first column of its result must be boolean, and is not"),
    ],
)
def test_a_check_that_fails(one_dsn: str, query: str, words: str) -> None:
    """The message shows the row, and the query."""
    with pytest.raises(bulkio.CheckError) as caught:
        bulkio.check(query, one_dsn)
    message, _, text = str(caught.value).partition("\n  ")
    assert message.startswith(f"the check failed: {words}")
    assert text == query
    assert caught.value.query == query


def test_a_check_that_the_server_refuses(one_dsn: str) -> None:
    """It is named; what is no query is refused before."""
    with pytest.raises(bulkio.DriverError, match=r"check \('select nothing'\): column"):
        bulkio.check("select nothing", one_dsn)
    with pytest.raises(bulkio.ConfigError, match="must be a query whose first column tells"):
        bulkio.check("vacuum", one_dsn)
