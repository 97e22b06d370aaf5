"""Loads and exports as tasks of a real Airflow, on a real PostgreSQL."""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
import threading
import time
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from airflow_runs import HOME, connection_json, output, states, task

from servers import fetch

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from airflow.sdk import DAG


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Make a folder of three files, of two rows each."""
    for number in range(3):
        pq.write_table(pa.table({"id": [2 * number, 2 * number + 1]}), tmp_path / f"in-{number}.parquet")
    return tmp_path


def ids(dsn: str, table: str = "t") -> list[object]:
    """Return the rows of a table, sorted."""
    return [value for (value,) in fetch(dsn, f"select id from {table} order by 1")]


def test_load_and_export(make_dag: Callable[[str], DAG], warehouse: str, files: Path) -> None:
    """A file goes into a table and out again; templates name the files, and render numbers and flags as texts."""
    dag = make_dag(f"""
load = BulkLoadOperator(task_id="load", source="{files}/in-{{{{ params.day }}}}.parquet", table="t",
                        params={{"day": 2}}, batch_rows="{{{{ params.day }}}}", allow_lossy="{{{{ params.day == 2 }}}}")
export = BulkExportOperator(task_id="export", table_or_query="select * from t where id > $1", query_params=["4"],
                            dest="{files}/out.parquet")
load >> export
""")
    run = dag.test()
    assert states(run) == {"load": "success", "export": "success"}
    assert pq.read_table(files / "out.parquet")["id"].to_pylist() == [5]
    [(load_id,)] = fetch(warehouse, "select id from bulkio_ledger.loads")
    assert load_id == f"airflow/test_load_and_export/{run.run_id}/load"
    assert output(run, "load")["rows"] == 2
    assert output(run, "export")["rows"] == 1


def test_csv_options(make_dag: Callable[[str], DAG], warehouse: str, tmp_path: Path) -> None:
    """The field `csv` has the options of bulkio.csv, for files to load and to write."""
    (tmp_path / "in.csv").write_text("id;name\n1;ann\n")
    dag = make_dag(f"""
load = BulkLoadOperator(task_id="load", source="{tmp_path}/in.csv", table="t", csv={{"delimiter": ";"}})
load >> BulkExportOperator(task_id="export", table_or_query="t", dest="{tmp_path}/out.csv", csv={{"delimiter": "|"}})
""")
    assert states(dag.test()) == {"load": "success", "export": "success"}
    assert (tmp_path / "out.csv").read_text() == "id|name\n1|ann\n"


def test_mapped_over_groups_of_files(make_dag: Callable[[str], DAG], warehouse: str, files: Path) -> None:
    """A mapped task for each group of files; each has a load id of its own."""
    dag = make_dag(f"""
@task
def groups():
    return group_files("{files}/in-*.parquet", files_per_group=2)

BulkLoadOperator.partial(task_id="load", table="t").expand(source=groups())
""")
    run = dag.test()
    assert states(run) == {"groups": "success", "load[0]": "success", "load[1]": "success"}
    assert ids(warehouse) == [0, 1, 2, 3, 4, 5]
    found = fetch(warehouse, "select id, rows from bulkio_ledger.loads order by 1")
    prefix = f"airflow/test_mapped_over_groups_of_files/{run.run_id}/load"
    assert found == [(f"{prefix}[0]", 4), (f"{prefix}[1]", 2)]


def test_groups_of_files(files: Path) -> None:
    """They are sorted by name, whatever the patterns' order; a file that two patterns find is in one group."""
    from bulkio.errors import ConfigError
    from bulkio.integrations.airflow import group_files

    names = [f"{files}/in-{number}.parquet" for number in range(3)]
    assert group_files([f"{files}/in-[12]*", f"{files}/*.parquet"], files_per_group=2) == [names[:2], names[2:]]
    with pytest.raises(ConfigError, match="files_per_group is 0, and must be 1 or more"):
        group_files("*", files_per_group=0)


def test_assets_are_told_the_rows(make_dag: Callable[[str], DAG], warehouse: str, files: Path) -> None:
    """The event of an outlet has the row count and the table."""
    from airflow.models.asset import AssetEvent
    from airflow.utils.session import create_session

    dag = make_dag(f"""
BulkLoadOperator(task_id="load", source="{files}/in-0.parquet", table="t", outlets=[Asset("orders")])
""")
    run = dag.test()
    with create_session() as session:
        [event] = session.query(AssetEvent).filter_by(source_run_id=run.run_id)
        assert event.extra == {"rows": 2, "table": "public.t"}


def test_progress_is_in_the_state_store(make_dag: Callable[[str], DAG], warehouse: str, files: Path) -> None:
    """How far a load has come can be read while it runs, and after it."""
    from airflow.models.task_state_store import TaskStateStoreModel
    from airflow.utils.session import create_session

    run = make_dag(f'BulkLoadOperator(task_id="load", source="{files}/in-0.parquet", table="t")').test()
    with create_session() as session:
        [row] = session.query(TaskStateStoreModel).filter_by(run_id=run.run_id)
        assert row.key == "bulkio_progress"
        assert json.loads(row.value)["rows"] == 2


def test_progress_is_told_while_it_runs(
    make_dag: Callable[[str], DAG], warehouse: str, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A load that waits after its rows were sent has told of them already."""
    from bulkio.integrations.airflow import work

    monkeypatch.setattr(work, "EVERY_S", 0.05)
    stored: list[str] = []

    def look() -> None:
        deadline = time.monotonic() + 30
        while not stored and time.monotonic() < deadline:
            with contextlib.closing(sqlite3.connect(HOME / "airflow.db")) as database:
                rows = database.execute("select value from task_state_store where dag_id = ?", [dag.dag_id])
                stored.extend(value for (value,) in rows)
        for (pid,) in fetch(warehouse, "select pid from pg_stat_activity where wait_event = 'PgSleep'"):
            fetch(warehouse, f"select pg_cancel_backend({pid})")

    dag = make_dag(f"""
BulkLoadOperator(task_id="load", source="{files}/in-0.parquet", table="t", after="select pg_sleep(60)")
""")
    watch = threading.Thread(target=look)
    watch.start()
    run = dag.test()
    watch.join()
    assert [json.loads(value)["rows"] for value in stored] == [2]
    assert states(run) == {"load": "failed"}


def test_wrong_texts_are_told_by_the_field(
    make_dag: Callable[[str], DAG], warehouse: str, files: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A template that renders no number, or no flag, fails at once and names the field."""
    dag = make_dag(f"""
BulkLoadOperator(task_id="number", source="{files}/in-0.parquet", table="t", batch_rows="{{{{ 'many' }}}}", retries=3)
BulkLoadOperator(task_id="flag", source="{files}/in-0.parquet", table="t", allow_lossy="{{{{ 'perhaps' }}}}")
BulkLoadOperator(task_id="clear", source="{files}/in-0.parquet", table="t", on_clear="{{{{ 'again' }}}}")
""")
    run = dag.test()
    told = set(re.findall(r"(?<=ConfigError: ).*", capfd.readouterr().out))
    assert told == {
        "batch_rows is 'many', and must be a whole number",
        "allow_lossy is 'perhaps', and must be true or false",
        "on_clear is 'again', and can be 'already' or 'reload'",
    }
    assert states(run) == {"number": "failed", "flag": "failed", "clear": "failed"}
    assert task(run, "number").try_number == 1


def test_a_connection_that_names_nothing(
    make_dag: Callable[[str], DAG], warehouse: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hook says what a connection lacks, and which login is not libpq's."""
    from bulkio.errors import ConfigError
    from bulkio.integrations.airflow import BulkioHook

    monkeypatch.setenv("AIRFLOW_CONN_EMPTY", json.dumps({"conn_type": "postgres"}))
    monkeypatch.setenv("AIRFLOW_CONN_CLOUD", connection_json(warehouse, extra={"iam": True}))
    with pytest.raises(ConfigError, match="connection 'empty' is empty: set its host, login and schema"):
        BulkioHook("empty").login()
    with pytest.raises(ConfigError, match="connection 'cloud' logs in by 'iam', and bulkio by libpq's keys only"):
        BulkioHook("cloud").login()


def test_the_hook_s_extras(warehouse: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Libpq's keys in the extra reach the server, quoted; PostgresHook's own stay out."""
    from bulkio.integrations.airflow import BulkioHook

    extra = {"application_name": "it's \\ me", "cursor": "dictcursor", "keepalives": True}
    monkeypatch.setenv("AIRFLOW_CONN_EXTRA", connection_json(warehouse, extra=extra))
    hook = BulkioHook("extra")
    assert "password" not in str(hook.login()["dsn"])
    query = "select current_setting('application_name') as name"
    assert hook.read(query).read_all().to_pylist() == [{"name": "it's \\ me"}]
