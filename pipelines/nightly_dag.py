"""Airflow: the steps of nightly.toml as tasks, by its schedule."""

from bulkio.integrations.airflow import pipeline_dag

dag = pipeline_dag("nightly.toml", postgres_conn_id="warehouse", default_args={"retries": 2})
