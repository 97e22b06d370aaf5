"""`bulkio export`, the real program."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg

    from cli.program import Program

TABLE = "CREATE TABLE t (id int8, note text); INSERT INTO t SELECT i, 'n' || i FROM generate_series(1, 100) i"


def test_export_says_what_it_did(bulkio: Program, db: psycopg.Connection, tmp_path: Path) -> None:
    """The result line is on stdout."""
    db.execute(TABLE)
    dest = tmp_path / "t.parquet"
    done = bulkio("export", "t", dest, "--columns", "note")
    assert (done.code, done.err) == (0, "")
    pattern = (
        rf"exported 100 rows from public\.t to {re.escape(str(dest))} in .* \(.* rows/s, asyncpg binary\); \d+ bytes\n"
    )
    assert re.fullmatch(pattern, done.out)
    assert pq.read_table(dest).column_names == ["note"]


@pytest.mark.parametrize(("driver", "method"), [("asyncpg", "cursor"), ("psycopg", "binary")])
def test_export_json(bulkio: Program, db: psycopg.Connection, tmp_path: Path, driver: str, method: str) -> None:
    """--json prints one object with the promised keys, and the options reach the API."""
    db.execute(TABLE)
    dest = tmp_path / "t.parquet"
    done = bulkio("export", "t", dest, "--json", "--driver", driver, "--method", method)
    report = json.loads(done.out)
    assert (done.code, done.err) == (0, "")
    assert report.pop("seconds") > 0
    assert report.pop("rows_per_s") > 0
    assert report.pop("bytes") == dest.stat().st_size
    expected = {"rows": 100, "driver": driver, "method": method, "table": "public.t", "lifted": []}
    assert report == {**expected, "path": str(dest)}


@pytest.mark.parametrize(
    ("param", "value"), [("x", "x"), ("", ""), (r"\N", None), (r"\\N", r"\N"), ("NULL", "NULL"), ("it's", "it's")]
)
def test_params(bulkio: Program, tmp_path: Path, param: str, value: str | None) -> None:
    r"""Parameters are text, in order; \N is NULL."""
    dest = tmp_path / "q.parquet"
    query = "select $1::int8 + 1 as a, $2::text as b"
    done = bulkio("export", "--query", query, "--param", "41", "--param", param, dest)
    assert done.code == 0
    assert " from a query to " in done.out
    assert pq.read_table(dest).to_pylist() == [{"a": 42, "b": value}]


def test_dry_run(bulkio: Program, db: psycopg.Connection, tmp_path: Path) -> None:
    """--dry-run prints the plan, as text or as JSON, and writes nothing."""
    db.execute(TABLE)
    text = bulkio("export", "t", tmp_path / "t.parquet", "--dry-run")
    plan = bulkio("export", "t", tmp_path / "t.parquet", "--dry-run", "--json")
    assert (text.code, plan.code) == (0, 0)
    assert "export public.t with asyncpg, method binary" in text.out
    assert [column["name"] for column in json.loads(plan.out)["columns"]] == ["id", "note"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "args",
    [["t"], ["a", "b", "c"], ["--query", "select 1"], ["--query", "select 1", "t", "x"], ["--param", "1", "t", "x"]],
)
def test_names_that_are_too_few_or_too_many(bulkio: Program, args: list[str]) -> None:
    """TABLE DEST, or --query and DEST."""
    assert bulkio("export", *args).code == 2
