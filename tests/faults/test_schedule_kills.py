"""Two schedules at once, killed at random moments and started again: each tick's rows are there once.

CI kills one, from a fixed seed; `make pipeline-kills` kills 50, from a new seed that it prints.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cli.program import Program, wait_until
from servers import connect

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KILLS = int(os.environ.get("KILLS", "1"))
SEED = int(os.environ.get("KILL_SEED", "11"))
SCHEDULES = 2
PIPELINES = ("a", "b")
ROWS = 1000
PIPELINE = """
name = "{name}"
[schedule]
cron = "* * * * *"
catch_up = "all"
[[step]]
id = "load"
load = "in.parquet"
into = "t"
add = {{ run = "{name}/{{run}}" }}
[[step]]
id = "sum"
needs = ["load"]
sql = "insert into sums select $pipeline || '/' || $run, count(*) from t where run = $pipeline || '/' || $run"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make the pipelines and their file."""
    pq.write_table(pa.table({"id": range(ROWS)}), tmp_path / "in.parquet")
    for name in PIPELINES:
        (tmp_path / f"{name}.toml").write_text(PIPELINE.format(name=name))
    return tmp_path


@pytest.fixture
def program(one_dsn: str) -> Iterator[Program]:
    made = Program(one_dsn)
    yield made
    made.close()


def test_killed_schedules_run_each_tick_once(folder: Path, program: Program, one_dsn: str) -> None:
    """They have the ticks of some minutes to catch up with, more than they can do between the kills."""
    chance = random.Random(SEED)  # noqa: S311 (moments, not secrets)
    ticks = 4 + 2 * KILLS
    with connect(one_dsn) as db:
        db.execute("CREATE TABLE t (id int8, run text); CREATE TABLE sums (run text, rows int8)")
        assert program("run", "--due", folder).code == 0
        since = datetime.now(UTC) - timedelta(minutes=ticks)
        mark = since.isoformat(timespec="microseconds")
        db.execute("TRUNCATE t, sums; TRUNCATE bulkio_ledger.runs, bulkio_ledger.steps, bulkio_ledger.loads")
        db.execute("TRUNCATE bulkio_ledger.statements")
        db.execute("UPDATE bulkio_ledger.marks SET mark = %s WHERE step = ''", [mark])
        schedules = [program.start("schedule", folder) for _ in range(SCHEDULES)]
        for _ in range(KILLS):
            time.sleep(chance.uniform(0.3, 3))
            place = chance.randrange(SCHEDULES)
            schedules[place].kill()
            schedules[place].communicate()
            schedules[place] = program.start("schedule", folder)
        done = f"SELECT 1 FROM bulkio_ledger.runs WHERE state = 'done' HAVING count(*) >= {ticks * len(PIPELINES)}"
        wait_until(db, done)
        for schedule in schedules:
            schedule.send_signal(signal.SIGTERM)
        ended = [program.finish(schedule) for schedule in schedules]
        assert not any("Error: " in each.err for each in ended), ended
        # One that has only just been started may have nothing begun yet, or no handler of signals.
        assert {each.code for each in ended} <= {0, 143, -signal.SIGTERM}, ended
        assert program("run", "--due", folder).code == 0  # what the signal has interrupted
        runs = db.execute("SELECT pipeline || '/' || run, state FROM bulkio_ledger.runs ORDER BY 1").fetchall()
        names = [name for name, _ in runs]
        assert {state for _, state in runs} == {"done"}
        assert db.execute("SELECT run, count(*) FROM t GROUP BY run ORDER BY run").fetchall() == [
            (name, ROWS) for name in names
        ]
        assert db.execute("SELECT * FROM sums ORDER BY run").fetchall() == [(name, ROWS) for name in names]
        for pipeline in PIPELINES:
            minutes = [datetime.fromisoformat(name[2:]) for name in names if name.startswith(pipeline)]
            assert minutes == [minutes[0] + timedelta(minutes=number) for number in range(len(minutes))]
            assert since < minutes[0] <= since + timedelta(minutes=1)
    sys.stdout.write(f"{KILLS} kills of {SCHEDULES} schedules, {len(names)} runs, seed {SEED}\n")
