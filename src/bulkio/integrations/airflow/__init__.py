"""bulkio in Airflow 3.3: operators, a hook, and DAGs from pipeline files.

    from bulkio.integrations.airflow import BulkLoadOperator

    BulkLoadOperator(task_id="load", source="in/orders-{{ ds }}.parquet", table="orders", mode="upsert")

Needs `pip install 'bulkio[airflow]'`. docs/airflow.md has the fields, and what a retry and a clear do.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bulkio.integrations.airflow.export import BulkExportOperator
    from bulkio.integrations.airflow.groups import group_files
    from bulkio.integrations.airflow.hook import BulkioHook
    from bulkio.integrations.airflow.load import BulkLoadOperator
    from bulkio.integrations.airflow.pipeline import BulkPipelineOperator, pipeline_dag
    from bulkio.integrations.airflow.retry import BulkioRetryPolicy

# Imported when they are first used: Airflow asks this package for its provider info at each start.
_HOMES = {
    "BulkExportOperator": "export",
    "BulkLoadOperator": "load",
    "BulkPipelineOperator": "pipeline",
    "BulkioHook": "hook",
    "BulkioRetryPolicy": "retry",
    "group_files": "groups",
    "pipeline_dag": "pipeline",
}

__all__ = [
    "BulkExportOperator",
    "BulkLoadOperator",
    "BulkPipelineOperator",
    "BulkioHook",
    "BulkioRetryPolicy",
    "group_files",
    "pipeline_dag",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    except ImportError as error:
        if (error.name or "").partition(".")[0] != "airflow":
            raise
        raise ImportError(f"{__name__} needs Airflow 3.3 ({error}): pip install 'bulkio[airflow]'") from error
