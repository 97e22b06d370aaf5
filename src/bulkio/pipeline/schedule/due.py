"""Run what is due of some pipelines, and ticks of the past.

Whoever comes first runs a tick: its row in the journal decides. A pipeline has one scheduled run at a time; while any
run of it is alive its next tick waits. Before its ticks come the runs of ticks that nobody works on any more.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, TypeAlias

import anyio

from bulkio.errors import BulkioError, ConfigError, RunFailed, RunRunning, RunTaken
from bulkio.flow import task_group
from bulkio.pipeline.run.run import journal_of, run_spec
from bulkio.pipeline.schedule.cron import Cron, tick_id
from bulkio.pipeline.schedule.ticks import first_sight, ticks, ticks_of_days
from bulkio.pipeline.spec.read import find_pipelines, read_pipeline
from bulkio.show import printable, show_flag, show_rows

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping, Sequence
    from datetime import date

    from bulkio.options.pipelines import RunRequest
    from bulkio.pipeline.run.report import RunReport
    from bulkio.pipeline.spec.models import Schedule, Spec
    from bulkio.transfer.journal import RunKind

__all__ = ["SIDE_BY_SIDE", "Event", "Tell", "cron_of", "do_due", "refuse_same_name", "run_days", "run_due"]

#: number of missed ticks that are told one by one
FEW = 3
#: number of pipelines that run at the same time
SIDE_BY_SIDE = 10

_log = logging.getLogger("bulkio")


@dataclass(frozen=True, slots=True)
class Event:
    """Something that a schedule tells of."""

    #: a run was done, has failed, or waits for another one; ticks were missed; a pipeline cannot be run; or when it
    #: will be, once a schedule in the foreground has read its file
    what: Literal["next", "done", "failed", "waits", "missed", "broken"]
    #: text for people
    text: str
    pipeline: str | None = None
    run: str | None = None
    report: RunReport | None = None
    error: BulkioError | None = None

    def as_dict(self) -> dict[str, object]:
        """Return it as JSON has it."""
        names = {"what": self.what, "pipeline": self.pipeline, "run": self.run, "text": self.text}
        return {**names, "report": None if self.report is None else self.report.as_dict()}


Tell: TypeAlias = "Callable[[Event], object]"


async def run_due(paths: Sequence[str | os.PathLike[str]], request: RunRequest, tell: Tell) -> None:
    """Run what is due of the pipelines in files and folders, and tell what becomes of it.

    `request` has the options of each run. A pipeline that is broken does not stop the others.

    Raises:
        FileError, ConfigError: a folder has no pipeline, or a file that was named has no schedule.
    """
    specs = _scheduled(paths, tell)
    limit = anyio.CapacityLimiter(SIDE_BY_SIDE)

    async def work(spec: Spec) -> None:
        async with limit:
            await do_due(spec, request, tell)

    async with task_group() as group:
        for spec in specs:
            group.start_soon(work, spec)


def _scheduled(paths: Sequence[str | os.PathLike[str]], tell: Tell) -> list[Spec]:
    """Return the pipelines that have a schedule; tell which cannot be read."""
    specs: dict[str, Spec] = {}
    for path in paths:
        for file in find_pipelines(path):
            try:
                spec = read_pipeline(file)
                refuse_same_name(spec, specs.get(spec.name))
            except BulkioError as error:
                tell(Event("broken", str(error), error=error))
                continue
            if str(file) == str(path):
                cron_of(spec)
            if spec.schedule is not None:
                specs[spec.name] = spec
    return list(specs.values())


def refuse_same_name(spec: Spec, other: Spec | None) -> None:
    """Refuse a pipeline with the name of another file's: they would have the same runs."""
    if other is not None and other.path != spec.path:
        raise ConfigError(
            f"{printable(str(spec.path))}: its name is that of {printable(str(other.path))}; each pipeline needs one of"
            " its own"
        )


def cron_of(spec: Spec) -> tuple[Schedule, Cron]:
    """Return a pipeline's schedule, and its cron line. Raises `ConfigError` where it has none."""
    if spec.schedule is None:
        raise ConfigError(f"{printable(str(spec.path))}: has no [schedule], so it has no ticks")
    return spec.schedule, Cron(spec.schedule.cron, spec.schedule.timezone)


async def do_due(spec: Spec, request: RunRequest, tell: Tell) -> None:
    """Run what is due of one pipeline, in order; tell what becomes of it."""
    try:
        await _Ticks(spec, request, tell).run_due(datetime.now(UTC))
    except RunRunning as error:
        tell(Event("waits", str(error), spec.name, error.run))
    except BulkioError as error:
        tell(Event("broken", f"{spec.name}: {error}", spec.name, error=error))
    except Exception as error:
        _log.debug("pipeline %s", spec.name, exc_info=error)
        fault = BulkioError(f"{spec.name}: internal error: {type(error).__name__}: {error}; please report it")
        tell(Event("broken", str(fault), spec.name, error=fault))


async def run_days(path: str | os.PathLike[str], days: tuple[date, date], request: RunRequest, tell: Tell) -> None:
    """Run a pipeline's ticks of some days, the last one included, in order. Those that are done are skipped.

    Raises:
        RunFailed: one has failed; the same call goes on there.
        RunRunning: another process is at work on one.
        ConfigError: these days have no tick, or it is still to come.
    """
    spec = read_pipeline(path)
    found = ticks_of_days(cron_of(spec)[1], *days)
    past = [tick for tick in found if tick <= datetime.now(UTC)]
    if not past:
        why = "is still to come" if found else "is not there: its cron line has none on these days"
        raise ConfigError(f"{spec.name}: the first tick from {days[0]} to {days[1]} {why}")
    for tick in past:
        await _Ticks(spec, request, tell).run(tick_id(tick), tick, "backfill")


class _Ticks:
    """The ticks of one pipeline, as they are run."""

    def __init__(self, spec: Spec, request: RunRequest, tell: Tell) -> None:
        self._spec = spec
        self._request = replace(request, path=spec.path)
        self._tell = tell

    async def run_due(self, now: datetime) -> None:
        """Run the ticks that nobody works on any more, then those that are due. Raises RunRunning."""
        spec = self._spec
        schedule, cron = cron_of(spec)
        journal = await journal_of(spec, self._request)
        seen = await journal.schedule(spec.name, first_sight(cron, now))
        for record in seen.abandoned:
            await self._try(record.run, record.logical_date or now, record.params)
        found = ticks(cron, schedule.catch_up, seen.last, now)
        missed = {tick_id(tick): tick for tick in found.missed}
        self._tell_missed(await journal.miss(spec.name, missed, file=str(spec.path)))
        for tick in found.due:
            await self._try(tick_id(tick), tick)

    async def _try(self, run_id: str, tick: datetime, params: Mapping[str, str] | None = None) -> None:
        """Run a tick; where it fails, the next one may be better."""
        try:
            await self.run(run_id, tick, "tick", params)
        except RunTaken:  # somebody else has had it
            return
        except RunFailed as error:
            self._tell(Event("failed", str(error), self._spec.name, run_id, error.report, error))  # type: ignore[arg-type]

    async def run(self, run_id: str, tick: datetime, kind: RunKind, params: Mapping[str, str] | None = None) -> None:
        """Run a tick, unless it is done; `params` are those that it was begun with."""
        given = self._request.params if params is None else params
        report = await run_spec(
            self._spec, replace(self._request, run_id=run_id, logical_date=tick, params=given), kind
        )
        if not report.already:
            text = f"run {report.name} is done: {show_rows(report.rows)} in {report.seconds:.2f} s"
            self._tell(Event("done", text, self._spec.name, run_id, report))
        elif kind == "backfill":
            self._tell(Event("done", f"run {report.name} was done before", self._spec.name, run_id, report))

    def _tell_missed(self, runs: Sequence[str]) -> None:
        if not runs:
            return
        first, last = min(runs, key=datetime.fromisoformat), max(runs, key=datetime.fromisoformat)
        what = f"tick {first} was" if len(runs) == 1 else f"{len(runs):,} ticks, from {first} to {last}, were"
        advice = f"bulkio run {printable(str(self._spec.path))} {show_flag('from_date')} {first[:10]}"
        advice += f" {show_flag('to_date')} {last[:10]} (all ticks of these days that are not done)"
        if len(runs) <= FEW:  # the days may have many more
            advice = "; ".join(f"bulkio runs resume {self._spec.name}/{run}" for run in sorted(runs))
        self._tell(
            Event("missed", f"{self._spec.name}: {what} missed; to run what was missed: {advice}", self._spec.name)
        )
