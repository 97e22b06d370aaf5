"""The steps of one run, side by side as far as they do not need each other; each task is recorded as it goes."""

from __future__ import annotations

import time
from dataclasses import fields, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio

from bulkio import aio
from bulkio.errors import BulkioError, ConfigError, FileError
from bulkio.flow import task_group
from bulkio.pipeline.run.context import Task, items_of, shown_items
from bulkio.pipeline.run.kinds import Outcome, run_task
from bulkio.pipeline.run.report import StepReport, error_text
from bulkio.pipeline.run.tries import with_tries
from bulkio.pipeline.run.windows import run_windows
from bulkio.pipeline.spec.graph import in_order
from bulkio.show import show_name, show_value
from bulkio.sql import begins_query

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from bulkio.pipeline.run.context import RunContext
    from bulkio.pipeline.run.report import StepState
    from bulkio.pipeline.spec.models import Step
    from bulkio.transfer.journal import Run

__all__ = ["Graph"]


class Graph:
    """One attempt at a run: what became of each step so far."""

    def __init__(self, context: RunContext, run: Run, chosen: frozenset[str]) -> None:
        self._context = context
        self._run = run
        #: steps that were asked for; the others are taken as done
        self._chosen = chosen
        self._names_steps = context.request.step is not None or context.request.from_step is not None
        self._limit = anyio.CapacityLimiter(context.spec.max_parallel)
        self._steps = in_order(context.spec.step)
        self._ended = {step.id: anyio.Event() for step in self._steps}
        #: step that is neither done nor skipped where nobody minds, with the words for what needs it
        self._blocks: dict[str, str] = {}
        self._reports: dict[tuple[str, str], StepReport] = {}
        #: place of each task among all, by step and item
        self._places = {(step.id, ""): (number, 0) for number, step in enumerate(self._steps)}
        #: errors of the steps that fail the run, in the order in which they came
        self.errors: list[tuple[str, BaseException]] = []
        self._scope = anyio.CancelScope()

    @property
    def reports(self) -> tuple[StepReport, ...]:
        """The reports of all tasks, in the order of the steps."""
        return tuple(sorted(self._reports.values(), key=lambda each: self._places[each.step, each.item]))

    async def run_all(self) -> None:
        """Run the chosen steps."""
        with self._scope:
            async with task_group() as group:
                for step in self._steps:
                    if step.id in self._chosen:
                        group.start_soon(self._run_step, step)
                    else:
                        self._ended[step.id].set()
        for report in self.reports:
            if report.state == "running":
                self._tell(replace(report, state="interrupted", why="another step has failed"))

    async def _run_step(self, step: Step) -> None:
        for need in step.needs:
            await self._ended[need].wait()
        if blocked := next(filter(None, map(self._blocks.get, step.needs)), None):
            await self._skip(step, blocked)
        else:
            await self._run_tasks(step)
        self._ended[step.id].set()

    async def _skip(self, step: Step, why: str) -> None:
        self._blocks[step.id] = f"needs {step.id}, which was skipped"
        await self._run.start_step(step.id)
        await self._run.end_step(step.id, state="skipped", error=why)
        self._tell(_report(Task(self._context, step), "skipped", why=why))

    async def _run_tasks(self, step: Step) -> None:
        try:
            tasks = items_of(self._context, step)
            if not tasks and step.if_no_items == "fail":
                raise FileError(shown_items(self._context, step), path=str(step.for_each))
        except BulkioError as error:
            await self._run.start_step(step.id)
            await self._fail(Task(self._context, step), error, 0.0)
            return
        if not tasks:
            await self._skip(step, shown_items(self._context, step))
            return
        number, _ = self._places[step.id, ""]
        self._places |= {(step.id, task.item): (number, position) for position, task in enumerate(tasks)}
        async with task_group() as group:
            for task in tasks:
                group.start_soon(self._run_one, task)
        if all(self._reports[step.id, task.item].state == "skipped" for task in tasks):
            self._blocks[step.id] = f"needs {step.id}, which was skipped"

    async def _run_one(self, task: Task) -> None:
        recorded = self._run.recorded(task.step.id, task.item)
        if recorded is not None and recorded.state == "done" and not self._names_steps:
            self._tell(_report(task, "done", rows=recorded.rows, bytes=recorded.bytes, already=True))
            return
        async with self._limit:
            await self._run.start_step(task.step.id, task.item, load_id=_load_id(task))
            self._tell(_report(task, "running"))
            started = time.perf_counter()
            try:
                outcome = await with_tries(task, self._work(task)) if await self._is_wanted(task) else None
            except Exception as error:
                await self._fail(task, error, time.perf_counter() - started)
                return
            await self._end(task, outcome, time.perf_counter() - started)

    async def _is_wanted(self, task: Task) -> bool:
        """Ask the condition."""
        if task.step.when is None:
            return True
        condition = task.keys()["when"]
        # What begins with a bracket may go on behind its end: (SELECT count(*) FROM t) > 3
        is_query = begins_query(condition) and not condition.lstrip().startswith("(")
        query = condition if is_query else f"SELECT ({condition}\n)"
        row = await with_tries(task, partial(aio.fetch_row, query, **task.connection))
        value = None if row is None else row[0]
        if value is not None and not isinstance(value, bool):
            gives = f"step {show_name(task.name)}: when gives {show_value(value)}"
            raise ConfigError(f"{gives}, and must give true or false: compare it")
        return value is True

    async def _end(self, task: Task, outcome: Outcome | None, seconds: float) -> None:
        """Record that a task is done, or was skipped."""
        step = task.step.id
        if outcome is None:
            why = "its condition is not true"
            await self._run.end_step(step, task.item, "skipped", error=why)
            self._tell(_report(task, "skipped", why=why))
            return
        await self._run.end_step(step, task.item, rows=outcome.rows, bytes=outcome.bytes)
        facts = {field.name: getattr(outcome, field.name) for field in fields(outcome)}
        self._tell(_report(task, "done", seconds=seconds, **facts))

    def _work(self, task: Task) -> Callable[[], Awaitable[Outcome]]:
        if getattr(task.step, "incremental", None) is not None:
            return partial(run_windows, task, self._run)
        return partial(run_task, task)

    async def _fail(self, task: Task, error: Exception, seconds: float) -> None:
        """Record that a task has failed, and let that count as its step says."""
        step, why = task.step, error_text(error)
        if step.on_failure != "continue":
            self.errors.append((task.name, error))
            self._blocks[step.id] = f"needs {step.id}, which failed"
        await self._run.end_step(step.id, task.item, "failed", error=why)
        self._tell(_report(task, "failed", why=why, seconds=seconds))
        if step.on_failure == "stop":
            self._scope.cancel()

    def _tell(self, report: StepReport) -> None:
        self._reports[report.step, report.item] = report
        if self._context.request.on_step is not None:
            self._context.request.on_step(report)


def _load_id(task: Task) -> str | None:
    """Return the id under which the ledger knows a task; None if it does not."""
    return task.load_id if task.step.kind in ("load", "sql", "transform") else None


def _report(task: Task, state: StepState, **facts: Any) -> StepReport:
    return StepReport(task.step.id, task.item, task.step.kind, state, load_id=_load_id(task), **facts)
