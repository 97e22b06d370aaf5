"""`bulkio run` and `bulkio validate`."""

from __future__ import annotations

import dataclasses
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bulkio.cli.exits import Exit
from bulkio.cli.interrupts import carry_out
from bulkio.cli.options import Output, output_options, request_options
from bulkio.cli.output import say, show, show_json
from bulkio.cli.progress import display
from bulkio.cli.report import rejects_line
from bulkio.cli.schedule import TickOptions, run_ticks, schedule_options
from bulkio.errors import BulkioError, ConfigError
from bulkio.options.pipelines import RunRequest
from bulkio.show import is_connection_string, printable, show_rows

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from bulkio.cli.progress import Display, ProgressKind, Update
    from bulkio.pipeline import RunReport, Spec, StepReport
    from bulkio.protocols import Progress

__all__ = ["run", "run_once", "validate"]

_FILES = click.Path(readable=False)


@click.command()
@click.argument("path", metavar="FILE", type=_FILES)
@schedule_options
@request_options(RunRequest)
def run(path: str, options: dict[str, Any], output: Output, ticks: TickOptions) -> int | None:
    """Run a pipeline: the steps of a TOML file.

    \b
    Examples:
      bulkio run pipelines/nightly.toml
      bulkio run pipelines/nightly.toml --param day=2026-11-26 --dry-run
      bulkio run pipelines/nightly.toml --run-id 2026-11-26 --from check
      bulkio run pipelines/nightly.toml --from-date 2026-11-01 --to-date 2026-11-26
      bulkio run --due pipelines/

    A step runs once those that it needs are done. The run is recorded beside the ledger of its connection. One that has
    failed goes on, by `bulkio runs resume` or under its --run-id, at the steps that are not done; what was loaded is
    never loaded twice. docs/pipelines.md tells what may stand in the file.
    """  # noqa: D301 (\b is click's)
    from bulkio import sync

    if ticks.due or ticks.from_date or ticks.to_date:
        return run_ticks(path, options, output, ticks)
    if Path(path).is_dir():
        raise click.UsageError(
            f"{printable(path)} is a folder: name a pipeline's file, or run what is due in it by --due"
        )
    if output.dry_run:
        plans = carry_out(lambda: sync.plan_pipeline(path, **options), "nothing was changed")
        _show_plans(plans, as_json=output.as_json)
    else:
        return run_once(path, options, output.progress, as_json=output.as_json, quiet=output.quiet)
    return None


def run_once(path: str, options: dict[str, Any], progress: ProgressKind, *, as_json: bool, quiet: bool) -> Exit:
    """Run a pipeline once, and print what becomes of it; return its exit code."""
    from bulkio import sync

    undone = "what was at work was rolled back; `bulkio runs list` shows the run"
    with display(progress) as shown:
        steps = _Steps(shown, has_lines=not (quiet or as_json or progress == "json"))
        told = {"on_step": steps.tell, "progress": steps.progress}
        report = carry_out(lambda: sync.run_pipeline(path, **told, **options), undone, is_one_commit=False)
    if as_json:
        show_json(report.as_dict())
    elif not quiet:
        show(_summary(report))
    return Exit.REJECTS if report.rejected else Exit.DONE


class _Steps:
    """What is shown of steps: their progress while they are at work, and a line as each ends."""

    def __init__(self, shown: Display, *, has_lines: bool) -> None:
        self._display = shown
        self._has_lines = has_lines
        #: steps at work, by name: what shows each, and the function that takes its numbers
        self._at_work: dict[str, tuple[AbstractContextManager[Update | None], Update | None]] = {}

    def tell(self, step: StepReport) -> None:
        """Take note that a step begins or has ended."""
        if step.state == "running":
            task = self._display.task(f"{step.kind} {step.name}")
            self._at_work[step.name] = task, task.__enter__()
            return
        if step.name in self._at_work:
            task, _ = self._at_work.pop(step.name)
            error = StepFailed() if step.state in ("failed", "interrupted") else None
            task.__exit__(None if error is None else type(error), error, None)
        for note in step.notes:
            say(f"Warning: step {printable(step.name)}: {printable(note)}")
        if step.rejected:
            say(f"Step {printable(step.name)}: {rejects_line(step.rejected, step.rejects)}")
        if self._has_lines:
            say(_line(step))

    def progress(self, name: str, progress: Progress) -> None:
        """Take a step's numbers."""
        _, update = self._at_work.get(name, (None, None))
        if update is not None:
            update(progress)


class StepFailed(Exception):  # noqa: N818 - a signal
    """What a step's display is left with, as its error is elsewhere."""


def _line(step: StepReport) -> str:
    facts = "" if step.rows is None else f"{show_rows(step.rows)} "
    if step.already:
        facts += "(done before)"
    elif step.state != "skipped":
        facts += f"in {step.seconds:.2f} s"
    why = printable(step.why.splitlines()[0]) if step.why else ""
    return f"{step.state:<8} {printable(step.name):<24} {facts}{': ' if facts and why else ''}{why}".rstrip()


def _summary(report: RunReport) -> str:
    if report.already:
        return f"run {report.name} was done before: nothing was done"
    return f"run {report.name} is done: {show_rows(report.rows)} in {report.seconds:.2f} s"


def _show_plans(plans: Any, *, as_json: bool) -> None:
    if as_json:
        show_json({"steps": [dataclasses.asdict(each) for each in plans]})
        return
    for each in plans:
        show(f"── {printable(each.name)} ({each.kind})\n{each.text.rstrip()}\n")


@click.command()
@click.argument("paths", metavar="FILE...", nargs=-1, type=_FILES)
@click.option("--schema", is_flag=True, help="Print the JSON Schema of pipeline files, for editors, and exit.")
@output_options
def validate(paths: tuple[str, ...], *, schema: bool, as_json: bool) -> None:
    """Check pipeline files, and draw their steps.

    \b
    Examples:
      bulkio validate pipelines/nightly.toml
      bulkio validate pipelines/
      bulkio validate --schema > pipeline.schema.json

    FILE may be a folder: then all of its pipelines are checked. No database is asked.
    """  # noqa: D301 (\b is click's)
    from bulkio.pipeline.spec.read import find_pipelines, read_pipeline
    from bulkio.pipeline.spec.schema import pipeline_schema

    if schema:
        show_json(pipeline_schema())
        return
    if not paths:
        raise click.UsageError("FILE is missing: a pipeline's file, or a folder")
    specs, errors = [], []
    for path in paths:
        for file in find_pipelines(path):
            try:
                specs.append(read_pipeline(file))
            except BulkioError as error:
                errors.append(error)
    if as_json and not errors:
        show_json({"pipelines": [_as_json(spec) for spec in specs]})
    elif not as_json:
        for spec in specs:
            show("\n".join(_drawing(spec)))
    if errors:
        raise errors[0] if len(errors) == 1 else ConfigError("\n".join(map(str, errors)))


def _drawing(spec: Spec) -> list[str]:
    from bulkio.pipeline.spec.graph import draw

    return [
        f"{spec.name} ({printable(str(spec.path))})",
        *_when(spec),
        *(f"  {printable(line)}" for line in draw(spec.step)),
        "",
    ]


def _when(spec: Spec) -> list[str]:
    """Say when it runs, and when next: so a cron line shows whether it means what it is to mean."""
    from bulkio.pipeline.schedule.cron import Cron, tick_id

    schedule = spec.schedule
    if schedule is None:
        return []
    tick = Cron(schedule.cron, schedule.timezone).next(datetime.now(UTC))
    return [f"  at {schedule.cron} {schedule.timezone}, next {tick_id(tick)}, catch up {schedule.catch_up}"]


def _as_json(spec: Spec) -> dict[str, object]:
    """Return what stands in the file: the environment is not filled in, as a password may come from it."""
    said = tomllib.loads(spec.path.read_text(encoding="utf-8-sig"))
    return {"file": str(spec.path), **{key: _plain(value) for key, value in said.items()}}


def _plain(value: object) -> object:
    """Return a value of a file as JSON has it, without connection strings."""
    match value:
        case str():
            return "(a connection string)" if is_connection_string(value) else value
        case list():
            return [_plain(each) for each in value]
        case dict():
            return {key: _plain(each) for key, each in value.items()}
        case bool() | int() | float():
            return value
    return str(value)
