"""Pipeline files as DAGs: a task for each step, its needs, its schedule and its parameters; and as one task."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from airflow_runs import HOME, clear, imported, output, run_again, states

from servers import connect, fetch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from airflow.sdk import DAG

PIPELINE = """
name = "nightly"
max_parallel = 2
[schedule]
cron = "15 2 * * *"
timezone = "Europe/Berlin"
catch_up = "all"
[params]
day = "{logical_date}"
least = 1
[[step]]
id = "load"
load = "in-*.parquet"
into = "t"
mode = "append"
[[step]]
id = "count"
needs = ["load"]
sql = "insert into counts select count(*) from t"
[[step]]
id = "check"
needs = ["load"]
check = "select count(*) >= $least from t"
[[step]]
id = "rarely"
when = "select false"
needs = ["load"]
sql = "drop table t"
[[step]]
id = "publish"
needs = ["check", "count"]
export = "select id from t order by id"
to = "out-{day}.parquet"
"""
DAG_FILE = """
from datetime import datetime
from bulkio.integrations.airflow import pipeline_dag
dag = pipeline_dag(
    "nightly.toml",
    postgres_conn_id="warehouse",
    start_date=datetime(2026, 11, 1),
    default_args={"retries": 2},
    tags=["night"],
)
"""


@pytest.fixture
def folder(warehouse: str) -> Iterator[Path]:
    """Put the pipeline, its input and the DAG's file into Airflow's folder."""
    folder = HOME / "dags"
    (folder / "nightly.toml").write_text(PIPELINE)
    (folder / "nightly_dag.py").write_text(DAG_FILE)
    pq.write_table(pa.table({"id": [1, 2]}), folder / "in-1.parquet")
    with connect(warehouse) as connection:
        connection.execute("create table counts (n bigint)")
    yield folder
    for path in folder.iterdir():
        if path.is_file():
            path.unlink()


def test_a_dag_of_a_file(folder: Path) -> None:
    """Steps are tasks, needs are edges; the schedule ticks in the pipeline's zone, its parameters are the DAG's."""
    dag = imported("nightly")
    edges = {task.task_id: task.upstream_task_ids for task in dag.tasks}
    assert edges == {
        "load": set(),
        "count": {"load"},
        "check": {"load"},
        "rarely": {"load"},
        "publish": {"check", "count"},
    }
    assert (dag.timetable.expression, str(dag.timetable.timezone)) == ("15 2 * * *", "Europe/Berlin")
    assert (dag.catchup, dag.max_active_tasks, dag.tags) == (True, 2, {"night"})
    assert dict(dag.params) == {"day": "{logical_date}", "least": 1}
    assert dag.fileloc == str(folder / "nightly_dag.py")
    assert dag.task_dict["load"].retries == 2


def test_a_run(folder: Path, warehouse: str) -> None:
    """Each step does its work for the run's date; one that its condition skips is a skipped task."""
    dag = imported("nightly")
    run = dag.test(logical_date=datetime.fromisoformat("2026-11-25T23:30:00+00:00"))
    done = dict.fromkeys(["load", "count", "check", "publish"], "success")
    assert states(run) == {**done, "rarely": "skipped"}
    # 23:30 in UTC is the next day in Berlin.
    assert pq.read_table(folder / "out-2026-11-26.parquet")["id"].to_pylist() == [1, 2]
    assert fetch(warehouse, "select n from counts") == [(2,)]
    [(load_id,)] = fetch(warehouse, "select id from bulkio_ledger.loads")
    assert load_id == f"nightly/nightly.{run.run_id}.load/load"


def test_a_clear_of_the_whole_run(folder: Path, warehouse: str) -> None:
    """What was appended, and SQL, is not done again; checks and exports are."""
    dag = imported("nightly")
    run = dag.test()
    [path] = folder.glob("out-*.parquet")
    path.unlink()
    for name in states(run):
        clear(run, name)
    run = run_again(dag, run)
    assert "failed" not in states(run).values()
    assert fetch(warehouse, "select count(*) from t") == [(2,)]
    assert fetch(warehouse, "select n from counts") == [(2,)]
    assert path.exists()


def test_other_parameters(folder: Path) -> None:
    """Whoever triggers the DAG may set the pipeline's parameters; a check that fails is not retried."""
    run = imported("nightly").test(run_conf={"least": 3})
    assert states(run)["check"] == "failed"
    assert states(run)["publish"] == "upstream_failed"


def test_a_pipeline_as_one_task(make_dag: Callable[[str], DAG], folder: Path, warehouse: str) -> None:
    """The operator without a step runs all of them; the report is the task's output."""
    dag = make_dag(f"""
BulkPipelineOperator(task_id="all", path="{folder}/nightly.toml", pipeline_params={{"day": "{{{{ ds }}}}"}})
""")
    run = dag.test(logical_date=datetime.fromisoformat("2026-11-25T12:00:00+00:00"))
    assert states(run) == {"all": "success"}
    report = output(run, "all")
    assert (report["state"], report["run"]) == ("done", f"{dag.dag_id}.{run.run_id}.all")
    assert pq.read_table(folder / "out-2026-11-25.parquet").num_rows == 2


def test_a_file_that_is_wrong_is_an_import_error(folder: Path) -> None:
    """Airflow shows what the file's own check says."""
    from airflow.dag_processing.dagbag import DagBag

    (folder / "nightly.toml").write_text(PIPELINE.replace("into", "inot"))
    [error] = DagBag(folder).import_errors.values()
    assert "inot" in error
    assert "into" in error


def test_catching_up_needs_a_beginning(folder: Path) -> None:
    """A pipeline that runs all ticks that were missed does not say since when; the DAG's file has to."""
    from bulkio.errors import ConfigError
    from bulkio.integrations.airflow import pipeline_dag

    with pytest.raises(ConfigError, match=r'nightly.toml: catch_up = "all" needs a start_date'):
        pipeline_dag(folder / "nightly.toml")
    (folder / "nightly.toml").write_text(PIPELINE.replace('"all"', '"latest"'))
    assert pipeline_dag(folder / "nightly.toml").catchup is False


def test_a_step_that_may_fail(folder: Path) -> None:
    """Where the file says that a step may fail, its task has succeeded, with a warning, and what needs it runs."""
    text = PIPELINE.replace('id = "check"', 'id = "check"\non_failure = "continue"').replace("least = 1", "least = 9")
    (folder / "nightly.toml").write_text(text)
    run = imported("nightly").test()
    assert (states(run)["check"], states(run)["publish"]) == ("success", "success")
    assert [step["state"] for step in output(run, "check")["steps"]] == ["failed"]
