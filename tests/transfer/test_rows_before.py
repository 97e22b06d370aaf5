"""An append says how many rows the table already had: exactly where it is small, else by the planner's estimate."""

from __future__ import annotations

import time

import pyarrow as pa
import pytest
from psycopg.conninfo import make_conninfo

import bulkio
from bulkio.transfer import rows_before
from servers import connect

ROWS = pa.table({"id": [1, 2, 3]})


def before(dsn: str, table: str = "t", **options: str) -> tuple[int | None, bool]:
    """Load into a table; give what the report says of it."""
    report = bulkio.load(ROWS, table, dsn, **options)  # type: ignore[arg-type]
    return report.rows_before, report.rows_before_estimated


def test_a_small_table_is_counted(dsn: str) -> None:
    """Appending twice is seen; a truncating load does not ask."""
    assert [before(dsn), before(dsn), before(dsn)] == [(0, False), (3, False), (6, False)]
    assert before(dsn, mode="truncate") == (None, False)
    with connect(dsn) as conn:
        conn.execute("DELETE FROM t WHERE id = 1")
    assert before(dsn) == (2, False)


def test_partitions_are_counted_and_what_inherits_is_not(dsn: str) -> None:
    """The rows are those that an append adds to."""
    with connect(dsn) as conn:
        conn.execute("CREATE TABLE p (id int8) PARTITION BY RANGE (id)")
        conn.execute("CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (2)")
        conn.execute("CREATE TABLE p2 PARTITION OF p DEFAULT")
        conn.execute("CREATE TABLE t (id int8)")
        conn.execute("CREATE TABLE child AS SELECT 4::int8 AS id; ALTER TABLE child INHERIT t")
    assert [before(dsn, "p"), before(dsn, "p")] == [(0, False), (3, False)]
    assert [before(dsn), before(dsn)] == [(0, False), (3, False)]


def test_a_large_table_is_estimated(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is read of it: the estimate grows with its size; before it was analyzed, there is none."""
    monkeypatch.setattr(rows_before, "COUNTED_BYTES", 100_000)
    with connect(dsn) as conn:
        conn.execute("CREATE TABLE t AS SELECT g::int8 AS id FROM generate_series(1, 10000) g")
        assert before(dsn) == (None, False)
        conn.execute("ANALYZE t")
        count, estimated = before(dsn)
        assert estimated
        assert count == pytest.approx(10_003, rel=0.05)
        conn.execute("INSERT INTO t SELECT * FROM generate_series(1, 10000)")
        count, estimated = before(dsn)
        # COPY extends a table by empty pages, which a small one has too many of
        assert (count, estimated) == (pytest.approx(20_006, rel=0.25), True)


def test_who_may_not_read_the_table_is_told_no_wrong_number(dsn: str) -> None:
    """The load works as before; policies that hide rows would make the count wrong."""
    role = f"writer_{time.time_ns()}"
    with connect(dsn) as conn:
        conn.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'x'; CREATE TABLE t AS SELECT 1::int8 AS id")
        conn.execute(f"GRANT INSERT ON t TO {role}")
        try:
            assert before(make_conninfo(dsn, user=role, password="x"))[1] is False
            conn.execute(f"GRANT SELECT ON t TO {role}")
            assert before(make_conninfo(dsn, user=role, password="x")) == (4, False)
        finally:
            conn.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")
