"""`run_pipeline`: read the file, begin the run in the journal, go through the graph, record how it ended."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, cast

from bulkio import aio
from bulkio.errors import BulkioError, ConfigError, RunFailed
from bulkio.options import LedgerRequest, taking
from bulkio.options.pipelines import RunRequest
from bulkio.pipeline.run.context import context_of
from bulkio.pipeline.run.graph import Graph
from bulkio.pipeline.run.report import RunReport, StepReport, error_text
from bulkio.pipeline.spec.graph import downstream, in_order
from bulkio.pipeline.spec.read import read_pipeline
from bulkio.show import did_you_mean, show_name, show_option
from bulkio.transfer.journal import DATE, RunFacts, open_journal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bulkio.pipeline.run.context import RunContext
    from bulkio.pipeline.run.report import StepState
    from bulkio.pipeline.spec.models import Spec
    from bulkio.transfer.journal import Journal, Run, RunKind

__all__ = ["chosen_steps", "journal_of", "run_pipeline", "run_spec"]

#: names of recorded parameters that are none of the pipeline's, but which steps were asked for
_STEP, _FROM = "(step)", "(from)"


@taking(RunRequest)
async def run_pipeline(request: RunRequest) -> RunReport:
    """Run a pipeline's steps, each once it is done what it needs; record the run beside the ledger.

    >>> bulkio.run_pipeline("pipelines/nightly.toml", run_id="2026-11-26").state  # doctest: +SKIP
    'done'

    Raises:
        RunFailed: a step has failed; `report` tells what the others did. Under the same run_id it goes on there.
        RunRunning: another process is at work on the run.
        ConfigError, FileError: the file, or what was asked for, is wrong; nothing was run.
        DriverError, ConnectError, LedgerError: the run cannot be recorded; nothing was run, or nothing more.
        CancelledError: it was cancelled: steps that were at work were rolled back, the run can go on.
    """
    return await run_spec(read_pipeline(request.path), request)


async def run_spec(spec: Spec, request: RunRequest, kind: RunKind = "manual") -> RunReport:
    """Run a pipeline that was read already; `kind` says who asks for it. Its steps use each other's sessions again."""
    async with aio.pooled(max_sessions=spec.max_parallel + 1):  # the journal has one
        return await _run(spec, request, kind)


async def _run(spec: Spec, request: RunRequest, kind: RunKind) -> RunReport:
    started = time.perf_counter()
    request = _with_recorded_choice(request)
    chosen = chosen_steps(spec, request)
    context = context_of(spec, request, datetime.now().astimezone())
    journal = await _open(context)
    run = await journal.begin(spec.name, context.run_id, _facts(context, kind))
    if run.logical_date is not None and request.logical_date is None:  # it goes on with the date that it began with
        again = replace(request, run_id=context.run_id, logical_date=run.said_date)
        context = context_of(spec, again, run.logical_date.astimezone())
    if run.is_done:
        steps = tuple(_as_recorded(spec, run))
        return RunReport(spec.name, context.run_id, "done", steps, time.perf_counter() - started, already=True)
    graph = Graph(context, run, chosen)
    async with run.held():
        await graph.run_all()
        await _finish(run, graph)
    report = RunReport(
        spec.name,
        context.run_id,
        "failed" if graph.errors else "done",
        graph.reports,
        time.perf_counter() - started,
    )
    if graph.errors:
        raise _failed(context, graph, report)
    return report


async def _finish(run: Run, graph: Graph) -> None:
    if graph.errors:
        await run.finish("failed", "; ".join(f"step {name}: {error_text(error)}" for name, error in graph.errors))
    else:
        await run.finish("done")


def _failed(context: RunContext, graph: Graph, report: RunReport) -> RunFailed:
    (name, first), *others = graph.errors
    also = f" (so have {', '.join(each for each, _ in others)})" if others else ""
    go_on = f"to go on with it: {context.resume_command}"
    failed = RunFailed(
        f"run {context.name}: step {name} has failed{also}: {error_text(first)}\n{go_on}",
        run=context.name,
        report=report,
        retryable=all(isinstance(error, BulkioError) and error.retryable for _, error in graph.errors),
    )
    failed.__cause__ = first
    return failed


def chosen_steps(spec: Spec, request: RunRequest) -> frozenset[str]:
    """Return the ids of the steps to run. Raises `ConfigError`."""
    ids = [step.id for step in spec.step]
    if request.step is not None and request.from_step is not None:
        raise ConfigError(f"{show_option('step')} and {show_option('from_step')} do not go together")
    for option in ("step", "from_step"):
        name = getattr(request, option)
        if name is not None and name not in ids:
            near = did_you_mean(name, ids)
            raise ConfigError(
                f"{show_option(option)}: {spec.name} has no step {show_name(name)}{'; ' + near if near else ''}"
            )
    if request.step is not None:
        return frozenset({request.step})
    return frozenset(ids) if request.from_step is None else downstream(in_order(spec.step), request.from_step)


def _with_recorded_choice(request: RunRequest) -> RunRequest:
    """Take the steps and the date that a run was begun with out of its recorded parameters, as a resume has them."""
    params = dict(request.params or {})
    step, from_step = params.pop(_STEP, request.step), params.pop(_FROM, request.from_step)
    logical_date = params.pop(DATE, request.logical_date)
    return replace(request, params=params, step=step, from_step=from_step, logical_date=logical_date)


def _facts(context: RunContext, kind: RunKind) -> RunFacts:
    request = context.request
    # A date is that of one zone: another host may have another one. That of a tick is the tick's.
    says_date = kind == "manual" and request.logical_date is not None
    date = context.logical_time.isoformat() if says_date else None
    choice: Mapping[str, str | None] = {_STEP: request.step, _FROM: request.from_step, DATE: date}
    params = {**(request.params or {}), **{name: step for name, step in choice.items() if step is not None}}
    return RunFacts(str(context.spec.path), kind, context.logical_time, params)


async def journal_of(spec: Spec, request: RunRequest) -> Journal:
    """Return the journal that has the runs of a pipeline."""
    return await _open(context_of(spec, request, datetime.now().astimezone()))


async def _open(context: RunContext) -> Journal:
    request, spec = context.request, context.spec
    options = context.connection(spec.ledger)
    return await open_journal(
        LedgerRequest(**options, lock_timeout=request.lock_timeout, ledger_schema=request.ledger_schema)
    )


def _as_recorded(spec: Spec, run: Run) -> list[StepReport]:
    kinds = {step.id: step.kind for step in spec.step}
    return [
        StepReport(
            each.step,
            each.item,
            kinds.get(each.step, ""),
            cast("StepState", each.state),
            rows=each.rows,
            bytes=each.bytes,
            already=each.state == "done",
            why=each.error,
            load_id=each.load_id,
        )
        for each in run.steps
    ]
