"""Mapped loads under LocalExecutor, whose task processes are killed at random and retried: each row is stored once.

KILLS is the number of kills; KILL_SEED repeats a run, whose seed is printed. `make airflow-kills` kills 50 times.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from airflow_runs import HOME, write_dag

from servers import connect, fetch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KILLS = int(os.environ.get("KILLS", "3"))
SEED = int(os.environ.get("KILL_SEED", str(time.time_ns() % 1_000_000)))
FILES, ROWS = 4, 400_000
#: seconds after its start within which a task's process is killed: a whole try takes about that long
WITHIN_S = 4.0
#: kills of one run, at most: the next one commits in another way
MOST = 13

MAPPED = """
@task(retries=99)
def groups():
    return group_files("{folder}/*.parquet")

load = BulkLoadOperator.partial(task_id="load", table="t", retries=99, chunk_bytes=200_000, commit="COMMIT")
load.expand(source=groups())
"""
PIPELINE = """
for n in range(FILES):
    BulkPipelineOperator(
        task_id=f"load{{n}}", step=f"load{{n}}", path="{folder}/kills.toml", retries=99, postgres_conn_id="warehouse"
    )
"""
#: tasks of each DAG; another DAG for each, since Airflow may keep the tasks of an older version for half a minute
WAYS = {
    "kills_whole": MAPPED.replace("COMMIT", "all"),
    "kills_by_chunks": MAPPED.replace("COMMIT", "chunk"),
    "kills_steps": PIPELINE.replace("FILES", str(FILES)),
}

RUN = """
import sys
from airflow.dag_processing.dagbag import DagBag
DagBag(sys.argv[1]).dags[sys.argv[2]].test(use_executor=True)
"""


@pytest.fixture(scope="module")
def api_server() -> Iterator[dict[str, str]]:
    """Run Airflow's API server, which tasks report to; return the settings of whoever runs them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    settings = {
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": "2",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
    }
    command = [sys.executable, "-m", "airflow", "api-server", "--host", "127.0.0.1", "--port", str(port)]
    log = HOME / "api-server.log"
    with log.open("w") as output:
        server = subprocess.Popen(command, env={**os.environ, **settings}, stdout=output, stderr=output)
    try:
        _await(url + "/api/v2/version", server, log)
        yield settings
    finally:
        server.terminate()
        server.wait()


def _await(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 120
    while True:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5):  # noqa: S310 - our own
            return
        assert server.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)


def task_processes(driver: int) -> list[int]:
    """Return the processes that run tasks now: the children of the executor's workers, each of which supervises one."""
    import psutil

    found = []
    with contextlib.suppress(psutil.NoSuchProcess):
        for worker in psutil.Process(driver).children():
            found += [child.pid for child in worker.children()]
    return found


def latest_run() -> tuple[int, str]:
    """Return the number and the state of the latest run; 0 where none has begun."""
    with contextlib.closing(sqlite3.connect(HOME / "airflow.db", timeout=60)) as database:
        rows = database.execute("select id, state from dag_run order by id desc limit 1")
        return rows.fetchone() or (0, "")


def kill_at_random(driver: subprocess.Popen[bytes], kills: int, chance: random.Random) -> int:
    """Kill up to so many of a run's task processes, each at a random moment of its life, until the run has ended."""
    killed, seen, (before, _) = 0, set(), latest_run()
    while driver.poll() is None and (latest_run()[0] == before or latest_run()[1] in ("queued", "running")):
        fresh = [pid for pid in task_processes(driver.pid) if pid not in seen]
        if not fresh or killed >= kills:
            time.sleep(0.05)
            continue
        pid = chance.choice(fresh)
        seen.add(pid)
        time.sleep(chance.uniform(0, WITHIN_S))
        with contextlib.suppress(ProcessLookupError):  # it has ended
            if pid in task_processes(driver.pid):
                os.kill(pid, signal.SIGKILL)
                killed += 1
    return killed


def test_killed_tasks_store_each_row_once(api_server: dict[str, str], warehouse: str, tmp_path: Path) -> None:
    """Mapped appends and a pipeline's steps: whatever try is killed, the table has exactly the files' rows."""
    for number in range(FILES):
        rows = pa.table({"id": range(number * ROWS, (number + 1) * ROWS)})
        pq.write_table(rows, tmp_path / f"{number}.parquet", row_group_size=ROWS // 4)
    steps = [f'[[step]]\nid = "load{n}"\nload = "{n}.parquet"\ninto = "t"\n' for n in range(FILES)]
    (tmp_path / "kills.toml").write_text('name = "kills"\n' + "".join(steps))
    chance, killed, runs = random.Random(SEED), 0, 0  # noqa: S311
    began = time.monotonic()
    while killed < KILLS:
        way = list(WAYS)[(SEED + runs) % len(WAYS)]
        with connect(warehouse) as connection:
            connection.execute("drop table if exists t")
            connection.execute("create table t (id bigint)")
        killed += _one_run(api_server, tmp_path, way, min(KILLS - killed, MOST), chance)
        found = fetch(warehouse, "select count(*), count(distinct id), min(id), max(id) from t")
        assert found == [(FILES * ROWS, FILES * ROWS, 0, FILES * ROWS - 1)], f"KILL_SEED={SEED}, {way}"
        runs += 1
    print(f"KILL_SEED={SEED}: {killed} kills in {runs} runs, {time.monotonic() - began:.0f} s")  # noqa: T201


def _one_run(settings: dict[str, str], folder: Path, way: str, kills: int, chance: random.Random) -> int:
    write_dag(way, WAYS[way].format(folder=folder))
    log = HOME / "kills.log"
    with log.open("w") as output:
        driver = subprocess.Popen(
            [sys.executable, "-c", RUN, str(HOME / "dags"), way],
            env={**os.environ, **settings},
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        killed = kill_at_random(driver, kills, chance)
        assert latest_run()[1] == "success", f"KILL_SEED={SEED}\n" + log.read_text()[-20_000:]
        return killed
    finally:  # after kills, LocalExecutor does not always end by itself
        with contextlib.suppress(ProcessLookupError):
            os.killpg(driver.pid, signal.SIGKILL)
        driver.wait()
