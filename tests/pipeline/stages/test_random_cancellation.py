"""Pipelines that are cancelled at any moment: all rows or none, and nothing is left.

CI runs a few from a fixed seed; `make cancellations` runs more of them, from a new seed that it prints.
"""

from __future__ import annotations

import asyncio
import os
import random
import threading
import time
from typing import TYPE_CHECKING

import pytest

from bulkio.pipeline import stages as p
from servers import connect, fetch

if TYPE_CHECKING:
    from pathlib import Path

RUNS = int(os.environ.get("CANCELLATIONS", "48")) // 12
SEED = int(os.environ.get("CANCELLATIONS_SEED", "7"))
ROWS = 40_000
TABLES = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' ORDER BY 1"


@pytest.mark.parametrize("mode", ["append", "upsert", "replace"])
def test_cancelled_at_any_moment(one_dsn: str, tmp_path: Path, mode: str) -> None:
    """Either the report comes and all is stored, or the cancellation, and the table is as it was."""
    chance = random.Random(f"{SEED} {mode}")  # noqa: S311 (moments, not secrets)
    with connect(one_dsn) as conn:
        conn.execute("CREATE TABLE t (id int8 PRIMARY KEY, name text)")
    file = tmp_path / "t.parquet"
    longest_s = 1.0
    for number in range(RUNS):
        with connect(one_dsn) as conn:
            conn.execute("TRUNCATE t")
        file.unlink(missing_ok=True)
        pipeline = p.Pipeline(
            p.query(
                f"select i::int8 as id, 'n' || i as name from generate_series(1, {ROWS}) i", one_dsn, batch_rows=2000
            ),
            p.sql("select id, upper(name) as name from input"),
            p.unique("id"),
            p.check_sql("select count(*) > 0 from input"),
            p.to_table("t", one_dsn, mode=mode),
            *([p.to_files(file)] if number % 2 else []),
        )
        after_s = longest_s * chance.random()
        started = time.monotonic()
        done, late_s = asyncio.run(_cancelled(pipeline, after_s))
        if done:
            longest_s = min(longest_s, time.monotonic() - started)
        assert late_s < 2.0
        # Of two sinks one may be done: each is all or nothing.
        expected = [ROWS] if done else [0] if not number % 2 else [0, ROWS]
        assert fetch(one_dsn, "SELECT count(*)::int FROM t")[0][0] in expected
        assert not done or number % 2 == file.exists()
        assert fetch(one_dsn, TABLES) == [("t",)]
        assert {path.name for path in tmp_path.iterdir()} <= {"t.parquet"}
        assert threading.active_count() < 10


async def _cancelled(pipeline: p.Pipeline, after_s: float) -> tuple[bool, float]:
    """Run a pipeline, cancel it after some time; tell whether it was done, and how long its end took."""
    running = asyncio.create_task(pipeline.run())
    await asyncio.wait([running], timeout=after_s)
    running.cancel()
    started = time.monotonic()
    await asyncio.wait([running])
    if not running.cancelled():
        assert running.result().results[0].rows == ROWS
    return not running.cancelled(), time.monotonic() - started
