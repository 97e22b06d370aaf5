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
from bulkio.bench.processes import ask, run
from bulkio.bench.spec import Job

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

ORDERS = Path(__file__).parents[2] / "sample_data" / "orders.parquet"


def test_a_limit_loads_no_library_of_the_candidates() -> None:
    """A limit's memory is a driver's alone: a worker brings Arrow only once a candidate needs it."""
    script = "import sys, bulkio.bench.worker; print([m for m in ('pyarrow', 'numpy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"


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
    job = Job("prepare", one_dsn, source=source, schema="s", table="t", folder=str(tmp_path))
    prepared: Any = ask(job)
    columns = [sql.NewColumn(*column) for column in prepared["columns"]]
    job = replace(job, stream=prepared["stream"], columns=tuple(column.name for column in columns))
    for action in ("load", "psql" if prepared["is_csv"] else "replay"):
        conn.execute(sql.create_table("s", action, columns))
        query = f"SELECT relfilenode, reltuples FROM pg_class WHERE oid = 's.{action}'::regclass"
        before = conn.execute(query).fetchall()
        assert run(replace(job, action=action, table=action)).rows == 15_000
        assert conn.execute(query).fetchall() == before
