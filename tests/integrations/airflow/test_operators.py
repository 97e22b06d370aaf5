"""Loads and exports as tasks of a real Airflow, on a real PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
from airflow_runs import states

from servers import fetch

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from airflow.sdk import DAG


def test_load_and_export(make_dag: Callable[[str], DAG], warehouse: str, tmp_path: Path) -> None:
    """A file goes into a table and out again; templates name the files, and render numbers as texts."""
    pq.write_table(pa.table({"id": [1, 2, 3]}), tmp_path / "in-7.parquet")
    dag = make_dag(f"""
load = BulkLoadOperator(task_id="load", source="{tmp_path}/in-{{{{ params.day }}}}.parquet", table="t",
                        params={{"day": 7}}, batch_rows="{{{{ params.day }}}}", allow_lossy="{{{{ params.day == 7 }}}}")
load >> BulkExportOperator(task_id="export", table_or_query="t", dest="{tmp_path}/out.parquet")
""")
    assert states(dag.test()) == {"load": "success", "export": "success"}
    assert pq.read_table(tmp_path / "out.parquet")["id"].to_pylist() == [1, 2, 3]
    [(load_id,)] = fetch(warehouse, "select id from bulkio_ledger.loads")
    assert str(load_id).startswith("airflow/test_load_and_export/manual__")
    assert str(load_id).endswith("/load")
