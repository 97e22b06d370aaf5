"""`bulkio run`, killed at random moments and run again under its id: at the end every row is there once.

CI kills a few runs, from a fixed seed; `make pipeline-kills` kills 50, from a new seed that it prints.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cli.program import Program
from servers import connect

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import psycopg

KILLS = int(os.environ.get("KILLS", "3"))
SEED = int(os.environ.get("KILL_SEED", "11"))
#: kills of one run, at most
MOST_KILLS = 4
FILES = 6
ROWS = 20_000
PIPELINE = f"""
name = "p"
max_parallel = 3
[[step]]
id = "load"
for_each = "in/*.parquet"
load = "{{item}}"
into = "t"
[[step]]
id = "parts"
needs = ["load"]
load = "in"
into = "parts"
workers = 2
commit = "chunk"
chunk_bytes = 65536
[[step]]
id = "sum"
needs = ["load", "parts"]
sql = "insert into sums select count(*), sum(id), (select count(*) from parts) from t"
[[step]]
id = "check"
needs = ["sum"]
check = "select count(*) = {FILES * ROWS} and count(distinct id) = {FILES * ROWS}, count(*) from t"
[[step]]
id = "out"
needs = ["check"]
export = "select * from t order by id"
to = "out/t.parquet"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make the pipeline and its files; no row is in two of them."""
    (tmp_path / "in").mkdir()
    for number in range(FILES):
        ids = range(number * ROWS, (number + 1) * ROWS)
        table = pa.table({"id": ids, "note": [f"note {i}" for i in ids]})
        pq.write_table(table, tmp_path / "in" / f"{number}.parquet", row_group_size=4096)
    (tmp_path / "p.toml").write_text(PIPELINE)
    return tmp_path


@pytest.fixture
def program(one_dsn: str) -> Iterator[Program]:
    made = Program(one_dsn)
    yield made
    made.close()


def empty(db: psycopg.Connection) -> None:
    """Make the tables, without rows."""
    db.execute("DROP TABLE IF EXISTS t, parts, sums")
    db.execute("CREATE TABLE t (id int8, note text); CREATE TABLE parts (id int8, note text)")
    db.execute("CREATE TABLE sums (rows int8, sum int8, parts int8)")


def test_killed_runs_store_everything_once(folder: Path, program: Program, one_dsn: str) -> None:
    """Loads, chunks and SQL are done once, whenever the process dies; the run goes on at once on the same host."""
    chance = random.Random(SEED)  # noqa: S311 (moments, not secrets)
    total = FILES * ROWS
    with connect(one_dsn) as db:
        empty(db)
        started = time.monotonic()
        assert program("run", folder / "p.toml", "--run-id", "whole").code == 0
        whole_s = time.monotonic() - started
        kills = runs = 0
        while kills < KILLS:
            runs += 1
            empty(db)
            for _ in range(min(MOST_KILLS, KILLS - kills)):
                process = program.start("run", folder / "p.toml", "--run-id", str(runs))
                try:
                    process.wait(chance.uniform(0.1, 1) * whole_s)
                except subprocess.TimeoutExpired:
                    process.kill()
                    kills += 1
                process.communicate()
            done = program("run", folder / "p.toml", "--run-id", str(runs))
            assert done.code == 0, (runs, kills, done.err)
            assert db.execute("SELECT * FROM sums").fetchall() == [(total, total * (total - 1) // 2, total)]
            assert db.execute("SELECT count(*), count(DISTINCT id) FROM t").fetchone() == (total, total)
            assert db.execute("SELECT count(*), count(DISTINCT id) FROM parts").fetchone() == (total, total)
            assert pq.read_table(folder / "out" / "t.parquet", columns=["id"])["id"].to_pylist() == list(range(total))
            assert [path.name for path in (folder / "out").iterdir()] == ["t.parquet"], "a killed export left its file"
    sys.stdout.write(f"{kills} kills of {runs} runs, seed {SEED}\n")
