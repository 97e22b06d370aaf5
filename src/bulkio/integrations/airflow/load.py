"""The operator that loads files into a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import BaseOperator

import bulkio
from bulkio.integrations.airflow import work
from bulkio.integrations.airflow.fields import Fields
from bulkio.integrations.airflow.hook import BulkioHook
from bulkio.integrations.airflow.lineage import load_lineage
from bulkio.integrations.airflow.load_ids import OnClear, check_on_clear, load_id, task_run
from bulkio.integrations.airflow.outlets import tell_outlets
from bulkio.integrations.airflow.retry import BulkioRetryPolicy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.providers.openlineage.extractors import OperatorLineage
    from airflow.sdk import Context

__all__ = ["BulkLoadOperator"]

# A retry may come while the server still has the session of the try before it.
_FIELDS = Fields("load", params="query_params", wait=True)


class BulkLoadOperator(BaseOperator):
    """Load files into a table, exactly once: a retry never stores a row twice.

    The fields are the options of `bulkio.load`; each may be a template. `params` is called `query_params` here, and
    `retries` is Airflow's. The task returns the report as a dict.

    Args:
        postgres_conn_id: A connection of type `postgres`.
        csv: Options of `bulkio.csv` for the files, such as {"delimiter": ";"}.
        load_id: A permanent name for this load, instead of one made of the DAG, the run, the task and its map index.
        wait: If another run is at work on the load, wait for its end: a retry may come before the server has noticed
            that the try before it is gone.
        on_clear: What a clear of the finished task means for append, insert-new and create: already (the rows are
            stored, report that) or reload (you have removed them). All other modes run anew.
        retry_policy: Which errors are retried; by default those that may pass, and no errors of data.
    """

    template_fields = (*_FIELDS.options, "csv", "on_clear", "postgres_conn_id")
    template_fields_renderers: ClassVar[dict[str, str]] = dict.fromkeys(("where", "before", "after", "check"), "sql")
    ui_color = "#dbe9f4"

    @_FIELDS.declared
    def __init__(
        self,
        *,
        csv: Mapping[str, Any] | None = None,
        on_clear: OnClear = "already",
        postgres_conn_id: str = BulkioHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        _FIELDS.keep(self, kwargs)
        super().__init__(**kwargs)
        self.source: object
        self.table: str
        self.csv = csv
        self.on_clear = on_clear
        self.postgres_conn_id = postgres_conn_id
        self.retry_policy = getattr(self, "retry_policy", None) or BulkioRetryPolicy()
        self.call = work.Call()
        self.report: bulkio.LoadReport | None = None

    def execute(self, context: Context) -> dict[str, object]:
        """Load, tell the outlets how many rows came, and return the report."""
        options = _FIELDS.values(self)
        options["load_id"] = options["load_id"] or self._load_id(context, str(options["mode"]))
        if self.csv is not None:
            options["source"] = bulkio.csv(options["source"], **self.csv)
        hook = BulkioHook(self.postgres_conn_id)
        report = self.report = self.call.run(context, lambda progress: hook.load(**options, progress=progress))
        self.log.info("%s: %s", options["load_id"], _said(report))
        tell_outlets(context, self.outlets, {"rows": report.rows, "table": report.table})
        return work.plain(report.as_dict())

    def on_kill(self) -> None:
        """Cancel the load: the server rolls it back, unless COMMIT has taken effect."""
        self.call.end()

    def get_openlineage_facets_on_start(self) -> OperatorLineage:
        """Tell OpenLineage which files go into which table."""
        return load_lineage(self.source, self.table, BulkioHook(self.postgres_conn_id), None)

    def get_openlineage_facets_on_complete(self, _: object) -> OperatorLineage:
        """Tell it how many rows went, too; nothing of that where the load has failed."""
        return load_lineage(self.source, self.table, BulkioHook(self.postgres_conn_id), self.report)

    def _load_id(self, context: Context, mode: str) -> str:
        check_on_clear(self.on_clear)
        return load_id(task_run(context, self.retries), mode, self.on_clear)


def _said(report: bulkio.LoadReport) -> str:
    if report.already:
        return f"{report.rows} rows of {report.table} are stored already"
    return f"{report.rows} rows loaded into {report.table} in {report.seconds:.1f} s"
