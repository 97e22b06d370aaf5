"""What a load and an export tell of how far they have come."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

import bulkio
from servers import connect

if TYPE_CHECKING:
    from pathlib import Path

ROWS = pa.table({"id": pa.array(range(20_000), pa.int64())})


def test_a_load_says_that_it_commits(one_dsn: str) -> None:
    """The last word before the report: every row was sent, and COMMIT is awaited."""
    told: list[bulkio.Progress] = []
    bulkio.load(ROWS, "t", one_dsn, progress=told.append)
    *before, last = told
    assert (last.committing, last.rows, last.total_rows, last.total_estimated) == (True, 20_000, 20_000, False)
    assert not any(progress.committing for progress in before)


def test_an_export_to_csv_counts_its_rows(one_dsn: str, tmp_path: Path) -> None:
    """Rows, not lines, without the header; of a table that was analyzed with the planner's estimate."""
    with connect(one_dsn) as conn:
        conn.execute("CREATE TABLE t AS SELECT g AS a, E'x\\n\"y' AS b FROM generate_series(1, 20000) g; ANALYZE t")
    told: list[bulkio.Progress] = []
    for dest in (tmp_path / "a.csv", bulkio.csv(tmp_path / "b.csv", escape="\\", header=False, bom=True)):
        told.clear()
        bulkio.export("t", dest, one_dsn, progress=told.append)
        assert told[-1].rows == 20_000
        assert all(progress.rows > 0 for progress in told)
        assert told[-1].total_rows == pytest.approx(20_000, rel=0.1)
        assert told[-1].total_estimated


def test_an_exports_total_is_the_planners_estimate(one_dsn: str, tmp_path: Path) -> None:
    """It is marked as one; there is none for a query, nor for a table that was never analyzed."""
    with connect(one_dsn) as conn:
        conn.execute("CREATE TABLE t (id bigint)")
    bulkio.load(ROWS, "t", one_dsn)
    told: list[bulkio.Progress] = []
    bulkio.export("t", tmp_path / "a.parquet", one_dsn, progress=told.append)
    assert {(progress.total_rows, progress.total_estimated) for progress in told} == {(None, False)}
    with connect(one_dsn) as conn:
        conn.execute("ANALYZE t")
    told.clear()
    bulkio.export("t", tmp_path / "b.parquet", one_dsn, progress=told.append)
    assert told[-1].total_rows == pytest.approx(20_000, rel=0.1)
    assert {progress.total_estimated for progress in told} == {True}
    told.clear()
    bulkio.export("select * from t", tmp_path / "c.parquet", one_dsn, progress=told.append)
    assert {progress.total_rows for progress in told} == {None}
