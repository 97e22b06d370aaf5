"""Load modes beside append, create and truncate: upsert, insert-new and replace-where."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

import bulkio
from servers import connect, fetch

if TYPE_CHECKING:
    from bulkio.choices import DriverName, Mode

DRIVERS = ["asyncpg", "psycopg"]


def table(*rows: tuple[int | None, str | None]) -> pa.Table:
    """Return rows of (id, v)."""
    return pa.table(
        {"id": pa.array([row[0] for row in rows], pa.int64()), "v": pa.array([row[1] for row in rows], pa.string())}
    )


def make(dsn: str, ddl: str, *rows: tuple[object, ...]) -> None:
    """Create the table t, with rows."""
    with connect(dsn) as conn:
        conn.execute(ddl)
        for row in rows:
            conn.execute(f"INSERT INTO t OVERRIDING SYSTEM VALUE VALUES ({', '.join(['%s'] * len(row))})", row)


def counts(report: bulkio.LoadReport) -> tuple[int, int, int, int, int | None]:
    """Return rows, inserted, updated, skipped and deleted."""
    return report.rows, report.inserted, report.updated, report.skipped, report.deleted


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("method", ["binary", "csv", "records"])
@pytest.mark.parametrize("by", ["", " PARTITION BY RANGE (id)"])
def test_upsert_inserts_updates_and_leaves_alone(dsn: str, driver: DriverName, method: str, by: str) -> None:
    """New keys are inserted, others updated where the image changes; the report counts each."""
    make(dsn, f"CREATE TABLE t (id bigint PRIMARY KEY, v text){by}")
    if by:
        with connect(dsn) as conn:
            conn.execute("CREATE TABLE t_all PARTITION OF t DEFAULT")
    bulkio.load(table((1, "a"), (2, "b"), (3, "c")), "t", dsn)
    new = table((4, "d"), (2, "b"), (3, "C"), (5, None))
    report = bulkio.load(new, "t", dsn, mode="upsert", driver=driver, method=method)
    assert counts(report) == (4, 2, 1, 1, 0)
    assert fetch(dsn, "SELECT * FROM t ORDER BY 1") == [(1, "a"), (2, "b"), (3, "C"), (4, "d"), (5, None)]
    assert counts(bulkio.load(new, "t", dsn, mode="upsert", driver=driver)) == (4, 0, 0, 4, 0)


@pytest.mark.parametrize("by", ["", " PARTITION BY RANGE (id)"])
def test_insert_new_leaves_old_rows(dsn: str, by: str) -> None:
    """Rows whose key is there change nothing."""
    make(dsn, f"CREATE TABLE t (id bigint PRIMARY KEY, v text){by}")
    if by:
        with connect(dsn) as conn:
            conn.execute("CREATE TABLE t_all PARTITION OF t DEFAULT")
    bulkio.load(table((1, "a")), "t", dsn)
    assert counts(bulkio.load(table((1, "x"), (2, "b")), "t", dsn, mode="insert-new")) == (2, 1, 0, 1, 0)
    assert fetch(dsn, "SELECT * FROM t ORDER BY 1") == [(1, "a"), (2, "b")]


@pytest.mark.parametrize("mode", ["upsert", "insert-new", "replace-where", "create", "append"])
def test_a_missing_table_is_created(dsn: str, mode: Mode) -> None:
    """The first night's load makes the table, with the key that it is told; the second one finds it."""
    keyed = mode in ("upsert", "insert-new")
    options = {"key": ["id"]} if keyed else {"where": "id < $1", "params": ["10"]} if mode == "replace-where" else {}
    report = bulkio.load(table((1, "a"), (2, "b")), "t", dsn, mode=mode, **options)
    assert counts(report) == (2, 2, 0, 0, 0)
    assert report.created
    assert fetch(dsn, "SELECT * FROM t ORDER BY 1") == [(1, "a"), (2, "b")]
    if keyed:
        report = bulkio.load(table((2, "x")), "t", dsn, mode=mode)
        assert counts(report) == (1, 0, *((1, 0) if mode == "upsert" else (0, 1)), 0)


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("method", ["binary", "csv", "records"])
def test_replace_where(dsn: str, driver: DriverName, method: str) -> None:
    """The rows of a condition are replaced, others stay; a second run changes nothing."""
    make(dsn, "CREATE TABLE t (id bigint, v text)")
    bulkio.load(table((1, "a"), (2, "b"), (3, "a")), "t", dsn)
    for _ in range(2):
        report = bulkio.load(
            table(
                (4, "a"),
            ),
            "t",
            dsn,
            mode="replace-where",
            where="v = $1 -- why not",
            params=["a"],
            driver=driver,
            method=method,
        )
        assert fetch(dsn, "SELECT * FROM t ORDER BY 1") == [(2, "b"), (4, "a")]
    assert counts(report) == (1, 1, 0, 0, 1)


def test_rows_outside_of_the_condition_are_refused(dsn: str) -> None:
    """One row that the next run would not delete again, and nothing is changed."""
    make(dsn, "CREATE TABLE t (id bigint, v text)")
    bulkio.load(table((1, "a")), "t", dsn)
    with pytest.raises(bulkio.CountError, match=r"2 of the source's 3 rows do not meet the condition where"):
        bulkio.load(table((4, "a"), (5, "b"), (6, None)), "t", dsn, mode="replace-where", where="v = 'a'")
    assert fetch(dsn, "SELECT * FROM t") == [(1, "a")]


@pytest.mark.parametrize("by", ["", " PARTITION BY RANGE (id)"])
def test_delete_missing(dsn: str, by: str) -> None:
    """Rows whose key the source lacks go, up to the limit."""
    make(dsn, f"CREATE TABLE t (id bigint PRIMARY KEY, v text){by}")
    if by:
        with connect(dsn) as conn:
            conn.execute("CREATE TABLE t_all PARTITION OF t DEFAULT")
    bulkio.load(table(*((i, "a") for i in range(20))), "t", dsn)
    new = table(*((i, "a") for i in range(3, 21)))
    with pytest.raises(
        bulkio.SchemaError,
        match=r"the source lacks the keys of 3 of 20 rows of the table, and max_delete allows 10% to be deleted",
    ):
        bulkio.load(new, "t", dsn, mode="upsert", delete_missing=True)
    with pytest.raises(bulkio.SchemaError, match=r"the source lacks the keys of 3 rows .* max_delete allows 2 "):
        bulkio.load(new, "t", dsn, mode="upsert", delete_missing=True, max_delete="2")
    assert fetch(dsn, "SELECT count(*), min(id), max(id) FROM t") == [(20, 0, 19)]
    report = bulkio.load(new, "t", dsn, mode="upsert", delete_missing=True, max_delete="15%")
    assert counts(report) == (18, 1, 0, 17, 3)
    assert fetch(dsn, "SELECT count(*), min(id), max(id) FROM t") == [(18, 3, 20)]


def test_duplicates_are_refused_with_key_and_rows(dsn: str) -> None:
    """The message names the keys and the rows of the source."""
    make(dsn, "CREATE TABLE t (id bigint PRIMARY KEY, v text)")
    rows = table((7, "a"), (8, "b"), (7, "c"), (9, "d"), (8, "e"), (7, "f"))
    with pytest.raises(bulkio.SchemaError) as caught:
        bulkio.load(rows, "t", dsn, mode="upsert")
    assert str(caught.value) == (
        "rows of the source have one key (\"id\"):\n  '7': rows 1, 3, 6\n  '8': rows 2, 5\n"
        "keep one of them with duplicates='first' or duplicates='last'"
    )
    assert fetch(dsn, "SELECT * FROM t") == []


@pytest.mark.parametrize("mode", ["upsert", "insert-new"])
@pytest.mark.parametrize(
    ("duplicates", "order_by", "kept"),
    [
        ("first", None, "b"),
        ("last", None, "a"),
        ("first", "v", "a"),
        ("last", "v", "c"),
    ],
)
def test_one_of_the_duplicates_is_kept(dsn: str, mode: Mode, duplicates: str, order_by: str | None, kept: str) -> None:
    """First and last are by the source's order, or by a column; a NULL there is never preferred."""
    make(dsn, "CREATE TABLE t (id bigint PRIMARY KEY, v text)")
    rows = table((1, "b"), (1, "c"), (1, None), (2, "x"), (1, "a"))
    report = bulkio.load(rows, "t", dsn, mode=mode, duplicates=duplicates, order_by=order_by)
    assert counts(report) == (5, 2, 0, 3, 0)
    assert fetch(dsn, "SELECT * FROM t ORDER BY 1") == [(1, kept), (2, "x")]
