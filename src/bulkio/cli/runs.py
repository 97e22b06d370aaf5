"""`bulkio runs`: the journal of the runs of pipelines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from bulkio.cli.interrupts import carry_out
from bulkio.cli.options import field_options, output_options, progress_beside, progress_option, use_dsn
from bulkio.cli.output import count_bytes, show, show_json, show_table
from bulkio.errors import ConfigError
from bulkio.options import GcRequest, RunRecordRequest, RunsRequest
from bulkio.options.pipelines import ScheduleRequest
from bulkio.show import printable, show_rows

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from bulkio import RunRecord, StepRecord
    from bulkio.cli.exits import Exit
    from bulkio.cli.progress import ProgressKind

__all__ = ["runs"]


@click.group()
def runs() -> None:
    """Look at the runs of pipelines, and go on with them.

    Each run has a row in the journal, beside the ledger of loads: its state, its steps, what each has moved, and the
    error that ended it.
    """


@runs.command("list")
@click.argument("pipeline", required=False, metavar="[PIPELINE]")
@field_options(RunsRequest)
@output_options
def list_(pipeline: str | None, options: dict[str, Any], *, as_json: bool) -> None:
    """List the runs of a pipeline, or of all, the latest first."""
    from bulkio import sync

    records = _ask(lambda: sync.list_runs(pipeline=pipeline, **options), options)
    if as_json:
        show_json({"runs": [record.as_dict() for record in records]})
    elif records:
        show_table(("run", "state", "attempt", "started (UTC)", "took", "error"), map(_line, records))
    else:
        show("no run was recorded" + (f" of {printable(pipeline)}" if pipeline else ""))


@runs.command("show", short_help="Show a run and its steps.")
@click.argument("run", metavar="ID")
@field_options(RunRecordRequest)
@output_options
def show_(run: str, options: dict[str, Any], *, as_json: bool) -> None:
    """Show a run and its steps. ID is pipeline/run, or the run's id alone where only one pipeline has such a run."""
    from bulkio import sync

    record = _ask(lambda: sync.show_run(run, **options), options)
    if as_json:
        show_json(record.as_dict())
        return
    for name, value in _facts(record).items():
        if value:
            show(f"{name}: {printable(value)}")
    if record.steps:
        show("")
        show_table(("step", "state", "tries", "rows", "size", "took", "error"), map(_step_line, record.steps))


@runs.command(short_help="Go on with a run that failed, was interrupted, or was missed.")
@click.argument("run", metavar="ID")
@field_options(ScheduleRequest)
@click.option("--quiet", "-q", is_flag=True, help="Print nothing but warnings, errors, and what --json prints.")
@progress_option
@output_options
def resume(run: str, options: dict[str, Any], progress_kind: ProgressKind, *, as_json: bool, quiet: bool) -> Exit:
    """Go on with a run that failed, was interrupted, or was missed, from what is recorded: its file, and its --param.

    Steps that are done are not done again. The file is read anew: steps may have changed since. With --dsn, the run is
    looked for in that database, and works on it; else on the one that the file names.
    """
    from bulkio import sync
    from bulkio.cli.run import run_once
    from bulkio.pipeline import read_pipeline

    given = {name: options[name] for name in ("driver", "lock_timeout", "ledger_schema")}
    asked = {"dsn": options["dsn"]}
    record = _ask(lambda: sync.show_run(run, asked["dsn"], **given), asked)
    if not record.file:
        raise ConfigError(f"run {printable(record.name)} was not begun from a file, so that nothing can go on with it")
    if read_pipeline(record.file).ledger is not None:  # the DSN names where runs are recorded, not where they work
        options["dsn"] = None
    options |= {"run_id": record.run, "params": dict(record.params)}
    progress = progress_beside(progress_kind, no_bar=quiet or as_json)
    return run_once(record.file, options, progress, as_json=as_json, quiet=quiet)


@runs.command(short_help="Forget the runs that ended long ago.")
@field_options(GcRequest)
@output_options
def gc(options: dict[str, Any], *, as_json: bool) -> None:
    """Forget the runs that ended long ago, with their steps. How far incremental exports and schedules are stays."""
    from bulkio import sync

    records = _ask(lambda: sync.gc_runs(**options), options)
    if as_json:
        show_json({"forgotten": [record.name for record in records]})
    else:
        show(f"{len(records):,} runs were forgotten" if len(records) != 1 else "1 run was forgotten")


def _ask(work: Callable[[], Any], options: dict[str, Any]) -> Any:
    """Run a call of the sync façade, on the database that the options, or the environment, name."""
    options["dsn"] = use_dsn(options["dsn"], quiet=True)
    return carry_out(work, "nothing was changed")


def _line(record: RunRecord) -> tuple[str, ...]:
    took = _took(record.started_at, record.finished_at)
    error = _first_line(record.error)
    return printable(record.name), _state(record), str(record.attempt), _time(record.started_at), took, error


def _step_line(step: StepRecord) -> tuple[str, ...]:
    name = printable(f"{step.step}[{step.item}]" if step.item else step.step)
    rows = "" if step.rows is None else f"{step.rows:,}"
    size = "" if step.bytes is None else count_bytes(step.bytes)
    took = _took(step.started_at, step.finished_at)
    return name, step.state, str(step.attempts), rows, size, took, _first_line(step.error)


def _facts(record: RunRecord) -> dict[str, str]:
    params = ", ".join(f"{name}={value}" for name, value in record.params.items())
    process = "" if record.process is None else f", process {record.process['pid']}"
    moved = [step.rows for step in record.steps if step.rows is not None]
    return {
        "run": record.name,
        "state": _state(record),
        "kind": record.kind,
        "file": record.file,
        "logical date (UTC)": _time(record.logical_date),
        "params": params,
        "attempt": str(record.attempt),
        "host": f"{record.host}{process}" if record.host else "",
        "started (UTC)": _time(record.started_at),
        "finished (UTC)": _time(record.finished_at),
        "moved": show_rows(sum(moved)) if moved else "",
        "bulkio version": record.bulkio_version,
        "error": record.error or "",
    }


def _state(record: RunRecord) -> str:
    return "lost (its lease is over)" if record.is_lost else record.state


def _time(time: datetime | None) -> str:
    return "" if time is None else f"{time:%Y-%m-%d %H:%M:%S}"


def _took(start: datetime | None, end: datetime | None) -> str:
    return "" if start is None or end is None else f"{(end - start).total_seconds():,.1f} s"


def _first_line(text: str | None) -> str:
    return printable(text.splitlines()[0], 80) if text else ""
