"""SQL that runs once, in programs that are killed at any moment (SIGKILL) and started again: each is done exactly once.

`make kill-points` runs 100 kills for each driver and server (KILLS=100; KILL_SEED=… repeats one).
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from servers import connect, fetch

KILLS = int(os.environ.get("KILLS", "1"))
SEED = int(os.environ.get("KILL_SEED", time.time_ns()))
#: number of statements; each takes some milliseconds
STEPS = 10 * (KILLS + 1)
#: seconds from the first statement that was not done before, in which the kill falls
KILLED_WITHIN_S = 0.4
#: what the program runs: all its statements, from the first; some are done already
PROGRAM = """
import sys, bulkio
dsn, driver, steps = sys.argv[1:]
new = 0
for number in range(int(steps)):
    text = "insert into t values ($1); update total set n = n + 1"
    report = bulkio.execute(text, dsn, params=[number], once=f"step/{number}", driver=driver, retries=3)
    new += not report.already
    if new == 1:
        print("begins", flush=True)
"""


def run(dsn: str, driver: str, kill_after: float | None) -> int:
    """Run the program, kill it so many seconds after it began; return its exit code."""
    arguments = [sys.executable, "-c", PROGRAM, dsn, driver, str(STEPS)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        if kill_after is not None:
            time.sleep(kill_after)
            process.send_signal(signal.SIGKILL)
        return process.wait()


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
def test_each_is_done_once(dsn: str, driver: str) -> None:
    """Whatever the kill met: a statement, COMMIT, or the moment between two; the next run waits for nobody dead."""
    print(f"KILL_SEED={SEED}")  # noqa: T201 - it repeats a failure
    chance = random.Random(f"{SEED} {driver}")  # noqa: S311 - no secret
    with connect(dsn) as conn:
        conn.execute("CREATE TABLE t (a int); CREATE TABLE total AS SELECT 0 AS n")
    for _ in range(KILLS):
        run(dsn, driver, chance.uniform(0, KILLED_WITHIN_S))
    assert run(dsn, driver, None) == 0
    queries = ("count(*) FROM t", "count(DISTINCT a) FROM t", "n FROM total", "count(*) FROM bulkio_ledger.statements")
    assert [fetch(dsn, f"SELECT {query}") for query in queries] == [[(STEPS,)]] * 4
