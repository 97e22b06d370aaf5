"""What OpenLineage is told: the files and the table, how many rows and bytes went, and a query's text.

Its package and Airflow's provider for it are optional: they are imported only here, inside the functions, and these are
called only where they are installed.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow.providers.openlineage.extractors import OperatorLineage

    import bulkio
    from bulkio.integrations.airflow.hook import BulkioHook

__all__ = ["export_lineage", "load_lineage"]

_DEFAULT_PORT = 5432


def load_lineage(source: object, table: str, hook: BulkioHook, report: bulkio.LoadReport | None) -> OperatorLineage:
    """Return the lineage of a load: its files are the inputs, the table is the output."""
    from airflow.providers.openlineage.extractors import OperatorLineage
    from openlineage.client.event_v2 import InputDataset

    files = [InputDataset(*file_name(path)) for path in _paths(source)]
    return OperatorLineage(inputs=files, outputs=[_output(*_table(hook, report.table if report else table), report)])


def export_lineage(
    table_or_query: str, dest: object, hook: BulkioHook, report: bulkio.ExportReport | None
) -> OperatorLineage:
    """Return the lineage of an export: the table is the input, or the query is told; the file is the output."""
    from airflow.providers.openlineage.extractors import OperatorLineage
    from openlineage.client.event_v2 import InputDataset
    from openlineage.client.facet_v2 import sql_job

    is_table = report is not None and report.table != "query"
    return OperatorLineage(
        inputs=[InputDataset(*_table(hook, report.table))] if report is not None and is_table else [],
        outputs=[_output(*file_name(str(dest)), report)],
        job_facets={} if is_table else {"sql": sql_job.SQLJobFacet(query=table_or_query)},
    )


def _output(namespace: str, name: str, report: bulkio.LoadReport | bulkio.ExportReport | None) -> object:
    from openlineage.client.event_v2 import OutputDataset
    from openlineage.client.facet_v2 import output_statistics_output_dataset

    if report is None:
        return OutputDataset(namespace, name)
    facet = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet
    return OutputDataset(
        namespace, name, outputFacets={"outputStatistics": facet(rowCount=report.rows, size=report.bytes)}
    )


def _table(hook: BulkioHook, table: str) -> tuple[str, str]:
    connection = hook.get_connection(hook.postgres_conn_id)
    return table_name(connection.host, connection.port, connection.schema, table)


def _paths(source: object) -> Iterable[str]:
    """Return the paths of a source; of what is not named by paths, none."""
    sources = source if isinstance(source, list | tuple) else [source]
    return [os.fspath(each) for each in sources if isinstance(each, str | os.PathLike)]


def file_name(path: str) -> tuple[str, str]:
    """Return a file's namespace and name, by OpenLineage's rules.

    >>> file_name("s3://bucket/in/orders.parquet"), file_name("/data/orders.parquet")
    (('s3://bucket', 'in/orders.parquet'), ('file', '/data/orders.parquet'))
    """
    parts = urlsplit(path)
    if parts.scheme and parts.netloc:
        return f"{parts.scheme}://{parts.netloc}", parts.path.lstrip("/")
    return "file", os.path.abspath(path)  # noqa: PTH100 - a link is not followed


def table_name(host: str | None, port: int | None, database: str | None, table: str) -> tuple[str, str]:
    """Return a table's namespace and name, by OpenLineage's rules.

    >>> table_name("db.example.com", None, "shop", "public.orders")
    ('postgres://db.example.com:5432', 'shop.public.orders')
    """
    return f"postgres://{host or 'localhost'}:{port or _DEFAULT_PORT}", f"{database or ''}.{table}"
