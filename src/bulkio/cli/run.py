"""`bulkio run` and `bulkio validate`."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import click

from bulkio.cli.interrupts import carry_out
from bulkio.cli.options import Output, output_options, request_options
from bulkio.cli.output import say, show, show_json
from bulkio.cli.schedule import TickOptions, run_ticks, schedule_options
from bulkio.errors import BulkioError, ConfigError, RunFailed
from bulkio.options.pipelines import RunRequest
from bulkio.show import printable, show_rows

if TYPE_CHECKING:
    from bulkio.pipeline import RunReport, Spec, StepReport

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
    if output.dry_run:
        plans = carry_out(lambda: sync.plan_pipeline(path, **options), "nothing was changed")
        _show_plans(plans, as_json=output.as_json)
    else:
        run_once(path, options, as_json=output.as_json, quiet=output.quiet)
    return None


def run_once(path: str, options: dict[str, Any], *, as_json: bool, quiet: bool) -> None:
    """Run a pipeline once, and print what becomes of it."""
    from bulkio import sync

    lines = _Lines(shown=not (quiet or as_json))
    undone = "what was at work was rolled back; `bulkio runs list` shows the run"
    try:
        report = carry_out(lambda: sync.run_pipeline(path, on_step=lines.tell, **options), undone, is_one_commit=False)
    except RunFailed as error:
        if as_json:
            show_json(dataclasses.asdict(error.report))  # type: ignore[call-overload]
        raise
    if as_json:
        show_json(report.as_dict())
    elif not quiet:
        show(_summary(report))


class _Lines:
    """A line for each step as it ends."""

    def __init__(self, *, shown: bool) -> None:
        self._shown = shown

    def tell(self, step: StepReport) -> None:
        """Print what became of a step; of one that has failed, always."""
        for note in step.notes:
            say(f"Warning: step {printable(step.name)}: {printable(note)}")
        if step.state != "running" and (self._shown or step.state == "failed"):
            say(_line(step))


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
        show(f"── {printable(each.name)} ({each.kind})\n{each.text}\n")


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

    schedule = spec.schedule
    when = f", {schedule.cron} {schedule.timezone}, catch up {schedule.catch_up}" if schedule else ""
    return [
        f"{spec.name} ({printable(str(spec.path))}{when})",
        *(f"  {printable(line)}" for line in draw(spec.step)),
        "",
    ]


def _as_json(spec: Spec) -> dict[str, object]:
    return {"file": str(spec.path), **spec.model_dump(mode="json", exclude_unset=True)}
