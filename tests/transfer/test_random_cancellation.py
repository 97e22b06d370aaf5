"""Loads that are cancelled at random moments: what each reports is what the table holds.

CI runs a few from fixed seeds; `make cancellations` runs 300 of them, from a new seed that it prints.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import bulkio
from bulkio import aio
from cli.program import Program
from servers import connect

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterator

    import psycopg

    from bulkio import LoadReport

LOADS = int(os.environ.get("CANCELLATIONS", "48"))
SEED = int(os.environ.get("CANCELLATIONS_SEED", "7"))
ROWS = 20_000
DRIVERS = ("asyncpg", "psycopg")
SIGNALS = {"SIGINT": signal.SIGINT, "SIGTERM": signal.SIGTERM}
WAYS = ("cancel", "wait_for", "timeout", "task group", *SIGNALS)
#: COMMIT takes its time, so that moments fall into it too
TABLE = """
CREATE TABLE t (id int8, note text);
CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_sleep(0.03); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER d AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW WHEN (NEW.id = 1) EXECUTE FUNCTION dawdle();
"""
#: no other session of this database has anything under way
QUIET = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    " AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
)
#: outcomes as reported, and the rows that they promise
PROMISES = {"done": {ROWS}, "cancelled": {0}, "unknown": {0, ROWS}}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.parquet"
    pq.write_table(pa.table({"id": range(ROWS), "note": [f"note {i}" for i in range(ROWS)]}), path, row_group_size=4096)
    return path


@pytest.fixture
def program(one_dsn: str) -> Iterator[Program]:
    made = Program(one_dsn)
    yield made
    made.close()


# --- one load in the event loop ------------------------------------------------------------------------------------


async def cancelled(load: Awaitable[LoadReport], delay_s: float, *, twice: bool) -> str:
    task = asyncio.ensure_future(load)
    await asyncio.wait((task,), timeout=delay_s)
    task.cancel()
    if twice:
        await asyncio.wait((task,), timeout=delay_s / 8)
        task.cancel()
    return await _outcome(task)


async def waited_for(load: Awaitable[LoadReport], delay_s: float, *, twice: bool) -> str:
    task = asyncio.ensure_future(load)
    if twice:
        asyncio.get_running_loop().call_later(delay_s * 1.05, task.cancel)
    return await _outcome(asyncio.wait_for(task, delay_s))


async def timed_out(load: Awaitable[LoadReport], delay_s: float, *, twice: bool) -> str:
    async def limited() -> LoadReport:
        async with asyncio.timeout(delay_s):
            if not twice:
                return await load
            async with asyncio.timeout(delay_s * 0.95):
                return await load

    return await _outcome(limited())


async def failing_group(load: Awaitable[LoadReport], delay_s: float, *, twice: bool) -> str:
    async def fail(after_s: float) -> None:
        await asyncio.sleep(after_s)
        raise ZeroDivisionError

    outcome = "cancelled"
    with contextlib.suppress(BaseExceptionGroup):
        async with asyncio.TaskGroup() as group:
            group.create_task(fail(delay_s))
            if twice:
                group.create_task(fail(delay_s * 1.05))
            outcome = await _outcome(load)
    return outcome


async def _outcome(load: Awaitable[LoadReport]) -> str:
    try:
        report = await load
    except (asyncio.CancelledError, TimeoutError):
        return "cancelled"
    except bulkio.OutcomeUnknown:
        return "unknown"
    assert report.rows == ROWS
    return "done"


IN_THE_LOOP = {"cancel": cancelled, "wait_for": waited_for, "timeout": timed_out, "task group": failing_group}


# --- one load by the program -----------------------------------------------------------------------------------------


def signalled(process: subprocess.Popen[str], program: Program, number: signal.Signals, delays_s: list[float]) -> str:
    """Send the program a signal, and another one, and judge it by its exit code."""
    wait_for_handlers(process.pid)
    for pause_s in delays_s:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(pause_s)
        process.send_signal(number)
    done = program.finish(process)
    if done.code == 0:
        assert "rolled back" not in done.err
        assert "nothing was changed" not in done.err
        return "done"
    if done.code == 7:
        return "unknown"
    assert done.code == 128 + number, done
    return "cancelled"


def wait_for_handlers(pid: int) -> None:
    """Wait until the program catches signals: before that Python's own defaults end it, with nothing begun."""
    deadline = time.monotonic() + 30
    while not int(_status(pid)["SigCgt"], 16) >> (signal.SIGTERM - 1) & 1:
        assert time.monotonic() < deadline, "the program does not catch SIGTERM"
        time.sleep(0.002)


def _status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


# --- all of them -----------------------------------------------------------------------------------------------------


def wait_until_quiet(db: psycopg.Connection) -> None:
    deadline = time.monotonic() + 30
    while db.execute(QUIET).fetchone() != (0,):
        assert time.monotonic() < deadline, "a load left its session behind"
        time.sleep(0.005)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("driver", DRIVERS)
def test_a_load_that_is_cancelled_at_random_tells_the_truth(
    one_dsn: str, source: Path, program: Program, driver: str, way: str
) -> None:
    """Table and reported outcome agree every time, and no session is left."""
    chance = random.Random(f"{SEED} {driver} {way}")  # noqa: S311 (moments, not secrets)
    outcomes: Counter[str] = Counter()
    with connect(one_dsn) as db:
        db.execute(TABLE)
        whole_s = _time_of(one_dsn, source, program, driver, way)
        for number in range(max(1, LOADS // (len(WAYS) * len(DRIVERS)))):
            db.execute("TRUNCATE t")
            delay_s, twice = chance.uniform(0, 1.1) * whole_s, chance.random() < 0.4
            if way in SIGNALS:
                process = program.start("load", source, "t", "--driver", driver)
                delays_s = [delay_s, 1.1] if twice else [delay_s]  # within one second the second is the first
                outcome = signalled(process, program, SIGNALS[way], delays_s)
            else:
                load = aio.load(source, "t", one_dsn, driver=driver)
                outcome = asyncio.run(IN_THE_LOOP[way](load, delay_s, twice=twice))
            wait_until_quiet(db)
            rows = db.execute("SELECT count(*) FROM t").fetchone()[0]
            assert rows in PROMISES[outcome], (number, delay_s, twice, outcome, rows)
            outcomes[outcome] += 1
    sys.stdout.write(f"{driver} {way}: {dict(outcomes)}\n")


def _time_of(dsn: str, source: Path, program: Program, driver: str, way: str) -> float:
    """Measure a load that nobody cancels."""
    started = time.monotonic()
    if way in SIGNALS:
        assert program("load", source, "t", "--driver", driver).code == 0
    else:
        bulkio.load(source, "t", dsn, driver=driver)
    return time.monotonic() - started
