"""The operator that exports a table or a query into a file."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import BaseOperator

import bulkio
from bulkio.integrations.airflow import work
from bulkio.integrations.airflow.fields import Fields
from bulkio.integrations.airflow.hook import BulkioHook
from bulkio.integrations.airflow.lineage import export_lineage
from bulkio.integrations.airflow.outlets import tell_outlets
from bulkio.integrations.airflow.retry import BulkioRetryPolicy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.providers.openlineage.extractors import OperatorLineage
    from airflow.sdk import Context

__all__ = ["BulkExportOperator"]

_FIELDS = Fields("export", params="query_params")


class BulkExportOperator(BaseOperator):
    """Export a table or a query into a file, which appears whole or not at all; a retry overwrites it.

    The fields are the options of `bulkio.export`; each may be a template. `params` is called `query_params` here. The
    task returns the report as a dict.

    Args:
        postgres_conn_id: A connection of type `postgres`.
        csv: Options of `bulkio.csv` for the file, such as {"delimiter": ";"}.
        retry_policy: Which errors are retried; by default those that may pass, and no errors of data.
    """

    template_fields = (*_FIELDS.options, "csv", "postgres_conn_id")
    template_fields_renderers: ClassVar[dict[str, str]] = {"table_or_query": "sql"}
    ui_color = "#e4f0d9"

    @_FIELDS.declared
    def __init__(
        self,
        *,
        csv: Mapping[str, Any] | None = None,
        postgres_conn_id: str = BulkioHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        _FIELDS.keep(self, kwargs)
        super().__init__(**kwargs)
        self.table_or_query: str
        self.dest: object
        self.csv = csv
        self.postgres_conn_id = postgres_conn_id
        self.retry_policy = getattr(self, "retry_policy", None) or BulkioRetryPolicy()
        self.call = work.Call()
        self.report: bulkio.ExportReport | None = None

    def execute(self, context: Context) -> dict[str, object]:
        """Export, tell the outlets how many rows went, and return the report."""
        options = _FIELDS.values(self)
        if self.csv is not None:
            options["dest"] = bulkio.csv(options["dest"], **self.csv)
        hook = BulkioHook(self.postgres_conn_id)
        report = self.report = self.call.run(context, lambda progress: hook.export(**options, progress=progress))
        self.log.info("%d rows exported to %s in %.1f s", report.rows, self.dest, report.seconds)
        tell_outlets(context, self.outlets, {"rows": report.rows, "table": report.table})
        return work.plain(dataclasses.asdict(report))

    def on_kill(self) -> None:
        """Cancel the export: no file is left behind."""
        self.call.end()

    def get_openlineage_facets_on_start(self) -> OperatorLineage:
        """Tell OpenLineage what goes into which file."""
        return export_lineage(self.table_or_query, self.dest, BulkioHook(self.postgres_conn_id), None)

    def get_openlineage_facets_on_complete(self, _: object) -> OperatorLineage:
        """Tell it how many rows went, too; nothing of that where the export has failed."""
        return export_lineage(self.table_or_query, self.dest, BulkioHook(self.postgres_conn_id), self.report)
