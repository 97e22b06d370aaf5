"""What OpenLineage is told, by its real listener, into a file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
from airflow_runs import HOME, write_dag
from psycopg.conninfo import conninfo_to_dict

if TYPE_CHECKING:
    from pathlib import Path

RUN = """
import sys
from airflow.dag_processing.dagbag import DagBag
sys.exit(DagBag(sys.argv[1]).dags["lineage"].test().state != "success")
"""


def test_datasets_and_statistics(warehouse: str, tmp_path: Path) -> None:
    """A load's files and table, an export's table or query and file, each with the rows and bytes."""
    pq.write_table(pa.table({"id": [1, 2]}), tmp_path / "in.parquet")
    write_dag(
        "lineage",
        f"""
load = BulkLoadOperator(task_id="load", source=["{tmp_path}/in.parquet"], table="t")
load >> [
    BulkExportOperator(task_id="export", table_or_query="t", dest="{tmp_path}/out.parquet"),
    BulkExportOperator(task_id="query", table_or_query="select id from t", dest="{tmp_path}/q.parquet"),
]
""",
    )
    events = tmp_path / "events.jsonl"
    # Its listener is chosen when Airflow starts, so this is a process of its own.
    transport = {"type": "file", "log_file_path": str(events), "append": True}
    env = {**os.environ, "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(transport)}
    command = [sys.executable, "-c", RUN, str(HOME / "dags")]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    (HOME / "dags" / "lineage.py").unlink()
    assert done.returncode == 0, done.stdout + done.stderr
    told = [json.loads(line) for line in events.read_text().splitlines()]
    complete = {each["job"]["name"]: each for each in told if each["eventType"] == "COMPLETE"}
    load, export, query = (complete[f"lineage.{name}"] for name in ("load", "export", "query"))

    facts = conninfo_to_dict(warehouse)
    place = {"namespace": f"postgres://{facts['host']}:{facts['port']}", "name": f"{facts['dbname']}.public.t"}
    assert [names(each) for each in load["inputs"]] == [{"namespace": "file", "name": f"{tmp_path}/in.parquet"}]
    assert [names(each) for each in load["outputs"]] == [place]
    assert statistics(load)["rowCount"] == 2
    assert [names(each) for each in export["inputs"]] == [place]
    assert names(export["outputs"][0]) == {"namespace": "file", "name": f"{tmp_path}/out.parquet"}
    assert statistics(export) == {"rowCount": 2, "size": (tmp_path / "out.parquet").stat().st_size}
    assert query["job"]["facets"]["sql"]["query"] == "select id from t"


def names(dataset: dict[str, object]) -> dict[str, object]:
    """Return what names a dataset."""
    return {name: dataset[name] for name in ("namespace", "name")}


def statistics(event: dict[str, list[dict[str, dict[str, dict[str, object]]]]]) -> dict[str, object]:
    """Return the statistics of an event's one output."""
    [output] = event["outputs"]
    facet = output["outputFacets"]["outputStatistics"]
    return {name: facet[name] for name in ("rowCount", "size") if name in facet}
