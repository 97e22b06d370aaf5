"""Which errors are retried, what a kill and a timeout leave behind, and what a clear does."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from airflow_runs import clear, output, run_again, states, task

from servers import connect, fetch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from airflow.sdk import DAG


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Make a file of two rows."""
    pq.write_table(pa.table({"id": [1, 2]}), tmp_path / "in.parquet")
    return tmp_path / "in.parquet"


@pytest.fixture
def _sigterm() -> Iterator[None]:
    """Put back the handler that a task sets."""
    kept = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, kept)


def ids(dsn: str) -> list[object]:
    """Return the table's rows, sorted."""
    return [value for (value,) in fetch(dsn, "select id from t order by 1")]


def once_asleep(dsn: str, act: Callable[[int], object]) -> threading.Thread:
    """Act on the server process that sleeps, as soon as one does; in a thread, as the test waits for its DAG."""

    def watch() -> None:
        with connect(dsn) as connection:
            query = "select pid from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'"
            while (row := connection.execute(query).fetchone()) is None:
                time.sleep(0.01)
            act(row[0])

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


def test_a_data_error_fails_at_once(make_dag: Callable[[str], DAG], warehouse: str, tmp_path: Path) -> None:
    """A value that does not fit will not fit later: no retry is spent on it."""
    pq.write_table(pa.table({"id": ["x"]}), tmp_path / "in.parquet")
    with connect(warehouse) as connection:
        connection.execute("create table t (id int)")
    run = make_dag(f'BulkLoadOperator(task_id="load", source="{tmp_path}/in.parquet", table="t", retries=3)').test()
    assert states(run) == {"load": "failed"}
    assert task(run, "load").try_number == 1


def test_a_passing_fault_is_retried(make_dag: Callable[[str], DAG], warehouse: str, file: Path) -> None:
    """A server process that was ended is no fault of the data: the next try stores the rows, once."""
    dag = make_dag(f"""
BulkLoadOperator(task_id="load", source="{file}", table="t", retries=1,
                 before="select pg_sleep({{{{ 60 if ti.try_number == 1 else 0 }}}})")
""")
    killer = once_asleep(warehouse, lambda pid: fetch(warehouse, f"select pg_terminate_backend({pid})"))
    run = dag.test()
    killer.join()
    assert states(run) == {"load": "success"}
    assert task(run, "load").try_number == 2
    assert ids(warehouse) == [1, 2]


@pytest.mark.usefixtures("_sigterm")
def test_a_kill_cancels_the_server_s_work(make_dag: Callable[[str], DAG], warehouse: str, file: Path) -> None:
    """SIGTERM, as the supervisor sends it, ends the load on the server too: no row, no session, no wait."""
    dag = make_dag(f'BulkLoadOperator(task_id="load", source="{file}", table="t", before="select pg_sleep(60)")')
    killer = once_asleep(warehouse, lambda _: os.kill(os.getpid(), signal.SIGTERM))
    began = time.monotonic()
    run = dag.test()
    killer.join()
    assert states(run) == {"load": "failed"}
    assert time.monotonic() - began < 30
    assert fetch(warehouse, "select to_regclass('t')") == [(None,)]


def test_a_timeout_cancels_and_is_retried(make_dag: Callable[[str], DAG], warehouse: str, file: Path) -> None:
    """An execution_timeout ends the load on the server; the next try does it."""
    dag = make_dag(f"""
from datetime import timedelta
BulkLoadOperator(task_id="load", source="{file}", table="t", retries=1, execution_timeout=timedelta(seconds=1.5),
                 before="select pg_sleep({{{{ 60 if ti.try_number == 1 else 0 }}}})")
""")
    run = dag.test()
    assert states(run) == {"load": "success"}
    assert task(run, "load").try_number == 2
    assert ids(warehouse) == [1, 2]


def test_a_timeout_that_falls_into_commit(make_dag: Callable[[str], DAG], warehouse: str, file: Path) -> None:
    """It comes too late: the rows are stored, the task says so, and nothing is loaded twice."""
    with connect(warehouse) as connection:
        connection.execute("create table t (id bigint)")
        connection.execute(
            "create function slow() returns trigger language plpgsql as"
            " 'begin if new.id = 1 then perform pg_sleep(4); end if; return null; end'"
        )
        connection.execute(
            "create constraint trigger slow after insert on t deferrable initially deferred for each row"
            " execute function slow()"
        )
    dag = make_dag(f"""
from datetime import timedelta
BulkLoadOperator(task_id="load", source="{file}", table="t", retries=1, execution_timeout=timedelta(seconds=2))
""")
    run = dag.test()
    assert states(run) == {"load": "success"}
    assert task(run, "load").try_number == 1
    assert output(run, "load")["rows"] == 2
    assert ids(warehouse) == [1, 2]


@pytest.mark.parametrize(
    ("options", "already", "rows"),
    [
        ("mode='append'", True, [1, 2]),
        ("mode='append', on_clear='reload'", False, [1, 1, 1, 2, 2, 2]),
        ("mode='truncate'", False, [1, 2]),
        ("mode='replace'", False, [1, 2]),
        ("mode='insert-new', key=['id']", True, [1, 2]),
        ("mode='upsert', key=['id']", False, [1, 2]),
    ],
)
def test_a_clear(
    make_dag: Callable[[str], DAG], warehouse: str, file: Path, options: str, already: bool, rows: list[int]
) -> None:
    """What repeats harmlessly runs anew; appends are reported again, unless the user says to load again."""
    with connect(warehouse) as connection:
        connection.execute("create table t (id bigint unique)" if "key" in options else "create table t (id bigint)")
    dag = make_dag(f'BulkLoadOperator(task_id="load", source="{file}", table="t", retries=2, {options})')
    run = dag.test()
    assert output(run, "load")["already"] is False
    for _ in range(2):
        clear(run, "load")
        run = run_again(dag, run)
        assert states(run) == {"load": "success"}
        assert output(run, "load")["already"] is already
    assert ids(warehouse) == rows


def test_another_file_under_an_old_index(
    make_dag: Callable[[str], DAG], warehouse: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A mapped task's index is a position: where another file has come to it, the ledger refuses the load."""
    pq.write_table(pa.table({"id": [2]}), tmp_path / "b.parquet")
    dag = make_dag(f"""
@task
def groups():
    return group_files("{tmp_path}/*.parquet")[:1]

BulkLoadOperator.partial(task_id="load", table="t", retries=2).expand(source=groups())
""")
    run = dag.test()
    pq.write_table(pa.table({"id": [1]}), tmp_path / "a.parquet")
    for name in ("groups", "load[0]"):
        clear(run, name)
    run = run_again(dag, run)
    assert states(run)["load[0]"] == "failed"
    assert "a.parquet: its content is different" in capfd.readouterr().out
    assert ids(warehouse) == [2]
