"""`plan_pipeline`: what each step would do, as the database is now. Nothing is changed, nor recorded."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import anyio

from bulkio import aio
from bulkio.errors import BulkioError
from bulkio.flow import task_group
from bulkio.options import taking
from bulkio.options.pipelines import RunRequest
from bulkio.pipeline.run.context import Task, context_of, items_of, shown_items
from bulkio.pipeline.run.kinds import plan_task
from bulkio.pipeline.run.run import chosen_steps
from bulkio.pipeline.spec.graph import in_order
from bulkio.pipeline.spec.read import read_pipeline

if TYPE_CHECKING:
    from bulkio.pipeline.run.context import RunContext
    from bulkio.pipeline.spec.models import Step

__all__ = ["StepPlan", "plan_pipeline"]


@dataclass(frozen=True, slots=True)
class StepPlan:
    """What a step, or one item of it, would do."""

    name: str
    kind: str
    #: plan, for people; of a step that cannot be planned before those that it needs have run, the reason
    text: str


@taking(RunRequest)
async def plan_pipeline(request: RunRequest) -> tuple[StepPlan, ...]:
    """Plan a run without doing it; takes what `run_pipeline` takes.

    A step that cannot be planned yet, such as an export of a table that a step before it makes, says why.

    Raises what is wrong with the file, and with steps that need no other.
    """
    spec = read_pipeline(request.path)
    chosen = chosen_steps(spec, request)
    context = context_of(spec, request, datetime.now().astimezone())
    steps = [step for step in in_order(spec.step) if step.id in chosen]
    plans: dict[str, list[StepPlan]] = {}
    limit = anyio.CapacityLimiter(spec.max_parallel)

    async def plan(step: Step) -> None:
        async with limit:
            plans[step.id] = await _plans(context, step)

    async with aio.pooled(max_sessions=spec.max_parallel), task_group() as group:
        for step in steps:
            group.start_soon(plan, step)
    return tuple(each for step in steps for each in plans[step.id])


async def _plans(context: RunContext, step: Step) -> list[StepPlan]:
    tasks = items_of(context, step)
    if not tasks:
        return [StepPlan(step.id, step.kind, shown_items(context, step))]
    return [StepPlan(task.name, step.kind, await _text(task)) for task in tasks]


async def _text(task: Task) -> str:
    condition = f"when {task.keys()['when']}\n" if task.step.when is not None else ""
    try:
        return condition + await plan_task(task)
    except BulkioError as error:
        if not task.step.needs:
            raise
        verb = "has" if len(task.step.needs) == 1 else "have"
        return f"{condition}cannot be planned before {' and '.join(task.step.needs)} {verb} run: {error}"
