"""The process of one run."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import bulkio
from bulkio import sql
from bulkio.bench.limits import cut_stream
from bulkio.bench.processes import ask, run
from bulkio.bench.spec import Job

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

    from bulkio.choices import DriverName

ORDERS = Path(__file__).parents[2] / "sample_data" / "orders.parquet"


def test_a_limit_loads_no_library_of_the_candidates() -> None:
    """A limit's memory is a driver's alone: a worker brings Arrow only once a candidate needs it."""
    script = "import sys, bulkio.bench.worker; print([m for m in ('pyarrow', 'numpy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"


def _prepared(dsn: str, source: str, folder: Path) -> tuple[Job, list[sql.NewColumn], dict[str, Any]]:
    """Return the job of a limit into s.t, the table's columns, and what else was found out."""
    job = Job("prepare", dsn, source=source, schema="s", table="t", folder=str(folder))
    found: dict[str, Any] = ask(job)
    columns = [sql.NewColumn(*column) for column in found["columns"]]
    job = replace(
        job,
        stream=found["stream"],
        fmt="csv" if found["method"] == "csv" else "binary",
        head_bytes=found["head_bytes"],
        tail_bytes=found["tail_bytes"],
        cuts=cut_stream(found["ends"], 1),
        parts=(source,),
        columns=tuple(column.name for column in columns),
    )
    return job, columns, found


@pytest.mark.parametrize("name", ["orders.parquet", "orders.csv"])
def test_candidates_and_limits_have_the_server_do_the_same(
    one_dsn: str, connect: Callable[[str], psycopg.Connection], tmp_path: Path, name: str
) -> None:
    """No line truncates the table, which lets rows be frozen and skips the log, and none analyzes it."""
    conn = connect(one_dsn)
    source = str(ORDERS)
    if name.endswith(".csv"):
        bulkio.load(source, "orders", one_dsn)
        source = str(tmp_path / name)
        bulkio.export("orders", source, one_dsn)
    conn.execute("CREATE SCHEMA s")
    job, columns, prepared = _prepared(one_dsn, source, tmp_path)
    for action in ("load", "psql" if prepared["is_csv"] else "replay"):
        conn.execute(sql.create_table("s", action, columns))
        query = f"SELECT relfilenode, reltuples FROM pg_class WHERE oid = 's.{action}'::regclass"
        before = conn.execute(query).fetchall()
        assert run(replace(job, action=action, table=action)).rows == 15_000
        assert conn.execute(query).fetchall() == before


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
@pytest.mark.parametrize("kind", ["text", "tsvector"])
def test_parts_of_a_stream_are_its_rows(
    one_dsn: str, connect: Callable[[str], psycopg.Connection], tmp_path: Path, driver: DriverName, kind: str
) -> None:
    """A replay over several connections stores each row once, in binary and where the server has to parse a column."""
    conn = connect(one_dsn)
    source = str(tmp_path / "words.arrow")
    bulkio.export(f"SELECT i, ('a b' || i)::{kind} AS v FROM generate_series(1, 70000) AS i", source, one_dsn)
    conn.execute("CREATE SCHEMA s")
    job, columns, found = _prepared(one_dsn, source, tmp_path)
    assert (found["method"] == "csv") is (kind == "tsvector")
    tables = {1: "one", 3: "three"}
    for count, table in tables.items():
        conn.execute(sql.create_table("s", table, columns))
        cuts = cut_stream(found["ends"], count)
        assert len(set(cuts)) == count + 1
        done = run(replace(job, action="replay", driver=driver, table=table, cuts=cuts, block_bytes=1000))
        assert (done.rows, done.bytes) == (70_000, found["bytes"])
        assert done.idle_share is None or 0 <= done.idle_share <= 1
    both = " EXCEPT ALL ".join(f"SELECT i, v FROM s.{table}" for table in tables.values())
    assert conn.execute(both).fetchall() == []
