"""Airflow: load the Parquet files of a folder, a mapped task for every two of them, and export the day's figures.

    export AIRFLOW_CONN_WAREHOUSE=$BULKIO_DSN AIRFLOW__CORE__DAGS_FOLDER=$PWD/pipelines
    airflow dags test orders_files

A retry of a task stores nothing twice, and neither does a task that is cleared. Whoever triggers the DAG may say which
files: {"files": "/data/in/orders-*.parquet"}.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from airflow.sdk import DAG, Asset, task

from bulkio.integrations.airflow import BulkExportOperator, BulkLoadOperator, group_files

HERE = Path(__file__).parent
FIGURES = """
select o_orderpriority, count(*) as orders, sum(o_totalprice)::numeric(20, 2) as total
from orders_files group by 1 order by 1
"""

with DAG(
    "orders_files",
    schedule=None,
    params={"files": f"{HERE.parent}/sample_data/orders*.parquet", "out": f"{HERE}/out"},
    default_args={"postgres_conn_id": "warehouse", "retries": 3, "retry_delay": timedelta(seconds=10)},
) as dag:

    @task
    def groups(params: dict[str, str]) -> list[list[str]]:
        """Return the files in groups of two; Airflow makes a task of each."""
        Path(params["out"]).mkdir(exist_ok=True)
        return group_files(params["files"], files_per_group=2)

    load = BulkLoadOperator.partial(
        task_id="load",
        table="orders_files",
        mode="upsert",
        key=["o_orderkey"],
        outlets=[Asset("orders_files")],
    ).expand(source=groups())

    figures = BulkExportOperator(
        task_id="figures", table_or_query=FIGURES, dest="{{ params.out }}/figures-{{ ds }}.parquet"
    )

    load >> figures
