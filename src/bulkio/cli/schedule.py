"""`bulkio schedule`, and what `bulkio run` does for ticks: those that are due, and those of the past."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from bulkio.cli.exits import Exit, exit_of
from bulkio.cli.interrupts import Interrupted, carry_out
from bulkio.cli.options import debug_option, field_options
from bulkio.cli.output import say, show, show_json
from bulkio.options.pipelines import RunRequest, ScheduleRequest
from bulkio.show import show_option

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bulkio.cli.options import Output
    from bulkio.pipeline.schedule.due import Event

__all__ = ["TickOptions", "run_ticks", "schedule", "schedule_options"]

_UNDONE = "what was at work was rolled back; the next start goes on with it"
#: options of a single run, which make no sense for those that a schedule makes
_OF_ONE_RUN = ("run_id", "logical_date")
_OF_A_PIPELINE = ("params", "step", "from_step")


@dataclass(frozen=True, slots=True)
class TickOptions:
    """Which ticks `bulkio run` is to run, in place of one run."""

    due: bool
    from_date: datetime | None
    to_date: datetime | None


class _Day(click.DateTime):
    """A date, in ISO's form."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            self.fail(f"{value!r} is not a date, such as 2026-11-26", param, ctx)


def schedule_options(command: Callable[..., object]) -> Callable[..., object]:
    """Add the options of `TickOptions`, which the command gets as `ticks`."""

    @functools.wraps(command)
    def call(**values: object) -> object:
        return command(ticks=TickOptions(*(values.pop(name) for name in TickOptions.__slots__)), **values)  # type: ignore[arg-type]  # click's own

    day = _Day(["%Y-%m-%d"])
    wrapped: Callable[..., object] = call
    to_help = "With --from-date: the last of these days, which is included.  [default: today]"
    wrapped = click.option("--to-date", type=day, metavar="DATE", help=to_help)(wrapped)
    from_help = (
        "Run the ticks of the schedule from this day on, one run each, in order; those that are done are skipped."
    )
    wrapped = click.option("--from-date", type=day, metavar="DATE", help=from_help)(wrapped)
    due_help = "Run what is due by the schedule of the pipeline, or of all in a folder: for cron, or a systemd timer."
    return click.option("--due", is_flag=True, help=due_help)(wrapped)


def run_ticks(path: str, options: dict[str, Any], output: Output, wanted: TickOptions) -> int:
    """Run what is due, or a backfill; return the exit code, the worst of the runs'."""
    _refuse_others(options, output, wanted)
    from bulkio.flow.portal import LoopThread
    from bulkio.pipeline.schedule import due

    teller = _Teller(shown=not (output.quiet or output.as_json), keeps=output.as_json)
    request = RunRequest(path, **options)
    work = functools.partial(due.run_due, [path], request, teller.tell)
    if not wanted.due:
        first, last = _days(wanted)
        work = functools.partial(due.run_days, path, (first, last), request, teller.tell)
    carry_out(LoopThread(work).run, _UNDONE, is_one_commit=False)
    if output.as_json:
        show_json({"events": [event.as_dict() for event in teller.events]})
    return teller.worst


def _refuse_others(options: dict[str, Any], output: Output, wanted: TickOptions) -> None:
    """Refuse options that are of a single run."""
    flag = "--due" if wanted.due else "--from-date"
    odd = [name for name in (*_OF_ONE_RUN, *(_OF_A_PIPELINE if wanted.due else ())) if options.get(name)]
    flags = [show_option(name) for name in odd] + ["--dry-run"] * output.dry_run
    flags += ["--from-date"] * (wanted.due and wanted.from_date is not None)
    if flags:
        raise click.UsageError(f"{flags[0]} does not go with {flag}")
    if not wanted.due and wanted.from_date is None:
        raise click.UsageError("--to-date goes with --from-date, which is not given")


def _days(wanted: TickOptions) -> tuple[Any, Any]:
    first = wanted.from_date or datetime.now()
    last = wanted.to_date or datetime.now()
    if last < first:
        raise click.UsageError(f"--to-date {last:%Y-%m-%d} is before --from-date {first:%Y-%m-%d}")
    return first.date(), last.date()


@click.command()
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(readable=False))
@field_options(ScheduleRequest)
@click.option("--quiet", "-q", is_flag=True, help="Print nothing but failures, warnings and errors.")
@debug_option
def schedule(paths: Sequence[str], options: dict[str, Any], *, quiet: bool) -> int:
    """Run pipelines as they become due, until a signal.

    PATH is a pipeline's file, or a folder of them. Files are read again when they change. SIGTERM and SIGINT end it:
    runs that are at work are rolled back and recorded as interrupted, and the next start goes on with them. On several
    hosts each tick is run by one of them. docs/schedule.md tells about missed ticks and daylight-saving time.
    """
    from bulkio.flow.portal import LoopThread
    from bulkio.pipeline.schedule.foreground import run_schedule

    teller = _Teller(shown=not quiet)
    try:
        work = functools.partial(run_schedule, paths, RunRequest("", **options), teller.tell)
        carry_out(LoopThread(work).run, _UNDONE, is_one_commit=False)
    except Interrupted as stop:
        say(f"{stop}: the schedule has ended; {_UNDONE}")
    return Exit.DONE


class _Teller:
    """What happens, as it is told."""

    def __init__(self, *, shown: bool, keeps: bool = False) -> None:
        self._shown = shown
        self._keeps = keeps
        #: what was told, if it is kept
        self.events: list[Event] = []
        #: exit code of what went worst: the highest
        self.worst: int = Exit.DONE

    def tell(self, event: Event) -> None:
        """Print an event: a result on stdout, whatever else on stderr."""
        if self._keeps:
            self.events.append(event)
        if event.error is not None:
            self.worst = max(self.worst, exit_of(event.error))
        match event.what:
            case "done":
                if self._shown:
                    show(event.text)
            case "waits" | "next":
                if self._shown:
                    say(event.text)
            case "missed":
                say(f"Warning: {event.text}")
            case _:
                say(f"Error: {event.text}")
