"""A pipeline file in Airflow: one task that runs it, or a DAG with a task for each of its steps."""

from __future__ import annotations

import inspect
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from zoneinfo import ZoneInfo

from airflow.sdk import DAG, BaseOperator, CronTriggerTimetable
from airflow.sdk.exceptions import AirflowSkipException

import bulkio
from bulkio.errors import ConfigError
from bulkio.integrations.airflow import work
from bulkio.integrations.airflow.fields import Fields
from bulkio.integrations.airflow.hook import BulkioHook
from bulkio.integrations.airflow.load_ids import REPEATABLE, OnClear, check_on_clear, pipeline_run_id, task_run
from bulkio.integrations.airflow.outlets import tell_outlets
from bulkio.integrations.airflow.retry import BulkioRetryPolicy

if TYPE_CHECKING:
    import os
    from datetime import datetime

    from airflow.sdk import Context

    from bulkio.pipeline import Spec

__all__ = ["BulkPipelineOperator", "pipeline_dag"]

_FIELDS = Fields("run_pipeline", params="pipeline_params")


class BulkPipelineOperator(BaseOperator):
    """Run a pipeline file, or one step of it; a retry goes on with what is not done.

    The fields are the options of `bulkio.run_pipeline`; each may be a template. `params` is called `pipeline_params`
    here; a parameter that has another value in the DAG's `params` has that one. The task returns the report as a dict.
    A step that the pipeline skips is a skipped task.

    Args:
        run_id: A permanent name for this run, instead of one made of the DAG, the run, the task and its map index.
        logical_date: The date that the run is for, instead of that of the DAG's run.
        postgres_conn_id: A connection of type `postgres` for the steps that name none; None: the pipeline's own.
        on_clear: What a clear of the finished task means where a repeat is not harmless (append, insert-new, create,
            sql): already or reload. Everything else runs anew.
        retry_policy: Which errors are retried; by default those that may pass, and no errors of data.
    """

    template_fields = (*_FIELDS.options, "on_clear", "postgres_conn_id")
    template_fields_renderers: ClassVar[dict[str, str]] = {"pipeline_params": "json"}
    ui_color = "#f4e8d2"

    @_FIELDS.declared
    def __init__(self, *, on_clear: OnClear = "already", postgres_conn_id: str | None = None, **kwargs: Any) -> None:
        _FIELDS.keep(self, kwargs)
        super().__init__(**kwargs)
        self.on_clear = on_clear
        self.postgres_conn_id = postgres_conn_id
        self.retry_policy = getattr(self, "retry_policy", None) or BulkioRetryPolicy()
        self.call = work.Call()

    def execute(self, context: Context) -> dict[str, object]:
        """Run it, tell the outlets how many rows it moved, and return the report."""
        options = _FIELDS.values(self)
        spec = bulkio.read_pipeline(options["path"])
        options["run_id"] = options["run_id"] or self._run_id(context, spec)
        options["logical_date"] = options["logical_date"] or _local(context.get("logical_date"), spec)
        options["params"] = {**_changed_params(context, spec), **(options["params"] or {})}
        if self.postgres_conn_id is not None:
            options |= BulkioHook(self.postgres_conn_id).login()
        report = self.call.run(
            context, lambda tell: bulkio.run_pipeline(**options, progress=lambda _, each: tell(each))
        )
        for step in report.steps:
            level = logging.WARNING if step.state == "failed" else logging.INFO
            self.log.log(level, "%s: %s%s", step.name, step.state, f" ({step.why})" if step.why else "")
        tell_outlets(context, self.outlets, {"rows": report.rows, "pipeline": report.pipeline})
        if report.steps and all(step.state == "skipped" for step in report.steps):
            raise AirflowSkipException(report.steps[0].why)
        return work.plain(report.as_dict())

    def on_kill(self) -> None:
        """Cancel the steps that are at work: they are rolled back, and the next run goes on with them."""
        self.call.end()

    def _run_id(self, context: Context, spec: Spec) -> str:
        check_on_clear(self.on_clear)
        steps = [step for step in spec.step if getattr(self, "step", None) in (None, step.id)]
        is_repeatable = all(_is_repeatable(step) for step in steps)
        return pipeline_run_id(task_run(context, self.retries), is_repeatable=is_repeatable, on_clear=self.on_clear)


def _local(moment: datetime | None, spec: Spec) -> datetime | None:
    """Return a run's time, which is Airflow's, in the zone that the pipeline's dates are of."""
    return moment if moment is None or spec.schedule is None else moment.astimezone(ZoneInfo(spec.schedule.timezone))


def _is_repeatable(step: Any) -> bool:
    """Tell whether a step leaves the same behind when it runs again."""
    loads = step.kind in ("load", "transform") and getattr(step, "to", None) is None
    return step.mode in REPEATABLE if loads else step.kind != "sql"


def _changed_params(context: Context, spec: Spec) -> dict[str, str]:
    """Return the pipeline's parameters that have another value in the run, as whoever triggers it may set them."""
    params = context["params"]
    said = {name: params[name] for name in spec.params if name in params}
    return {name: str(value) for name, value in said.items() if value != _plain(spec.params[name])}


def _plain(value: object) -> object:
    """Return a parameter as JSON has it: a date or time is a text."""
    return value if isinstance(value, str | int | float | bool) else str(value)


def pipeline_dag(
    path: str | os.PathLike[str],
    *,
    postgres_conn_id: str | None = None,
    on_clear: OnClear = "already",
    allow_python: bool = False,
    **dag_options: Any,
) -> DAG:
    """Return a DAG of a pipeline file: a task for each step, after those that it needs, by the file's schedule.

    dag = pipeline_dag("pipelines/nightly.toml", default_args={"retries": 2})

    Its id is the pipeline's name, its parameters are the pipeline's. With catch_up = "all" it catches up from
    `start_date` on; else Airflow runs the latest tick that was missed, at most.

    Args:
        path: The file; a relative path goes on from the folder of the DAG's file.
        postgres_conn_id: A connection of type `postgres` for the steps that name none; None: the pipeline's own.
        on_clear: As `BulkPipelineOperator` has it.
        allow_python: Let python steps call their functions.
        dag_options: What `DAG` takes, such as start_date, default_args and tags; it goes before what the file says.
    """
    caller = inspect.stack(context=0)[1].filename
    spec = bulkio.read_pipeline(Path(caller).parent / path)
    options = {"dag_id": spec.name, **_dag_options(spec), **dag_options}
    if options["catchup"] and options.get("start_date") is None:
        raise ConfigError(f'{spec.path}: catch_up = "all" needs a start_date, from which Airflow is to catch up')
    dag = DAG(**options)
    dag.fileloc = caller
    for step in spec.step:
        BulkPipelineOperator(
            task_id=step.id,
            dag=dag,
            path=str(spec.path),
            step=step.id,
            postgres_conn_id=postgres_conn_id,
            on_clear=on_clear,
            allow_python=allow_python,
        )
    for step in spec.step:
        dag.task_dict[step.id].set_upstream([dag.task_dict[need] for need in step.needs])
    return dag


def _dag_options(spec: Spec) -> dict[str, object]:
    schedule = spec.schedule
    return {
        "schedule": CronTriggerTimetable(schedule.cron, timezone=schedule.timezone) if schedule else None,
        "catchup": schedule is not None and schedule.catch_up == "all",
        "max_active_tasks": spec.max_parallel,
        "params": {name: _plain(value) for name, value in spec.params.items()},
    }
