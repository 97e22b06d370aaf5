"""The load: open the source, connect, try; in one transaction (`at_once`), or shared by several (`shared`)."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING
from uuid import uuid4

from bulkio.catalog import TableName
from bulkio.catalog.lookup import (
    find_burdens,
    find_table,
)
from bulkio.flow import shelter
from bulkio.plan import (
    ONE,
    LoadPlan,
    plan_around,
    privileges_of,
    refuse_stray_options,
    slow_notes,
    wants_sharing,
)
from bulkio.transfer.at_once import load_at_once
from bulkio.transfer.attempt import Attempt
from bulkio.transfer.claim import Unfinished, foretell, make_claim
from bulkio.transfer.joined import joined, load_joined
from bulkio.transfer.monitor import Monitor, watching
from bulkio.transfer.opening import opened_source
from bulkio.transfer.rejects import finish_recorded, opened_rejects
from bulkio.transfer.retry import Retries
from bulkio.transfer.session import open_session, transaction
from bulkio.transfer.shared import foresee, load_shared

if TYPE_CHECKING:
    from bulkio.options import LoadRequest
    from bulkio.protocols import Session
    from bulkio.transfer.report import LoadReport
    from bulkio.transfer.session import Transaction

__all__ = ["load", "load_plan"]


async def load(request: LoadRequest) -> LoadReport:
    """Load a source into a table: all of it, or nothing; or, where that is asked for, chunk by chunk.

    Raises any `BulkioError`; then the table is unchanged, except where it is `OutcomeUnknown` or `LoadUnfinished`.
    """
    refuse_stray_options(request)
    plan_around(request)  # what cannot run is refused before anything is tried
    if request.connection is not None:
        return await load_joined(request)
    retries = Retries(request)
    async with watching(request) as monitor:
        return await retries.run(partial(_try, request, retries, str(uuid4()), monitor))


async def _try(request: LoadRequest, retries: Retries, run: str, monitor: Monitor) -> LoadReport:
    """Try once; `run` tells all tries of one call from other runs."""
    async with opened_source(request) as source:
        retries.reads_once = source.reads_once
        async with opened_rejects(request, source) as rejects:
            attempt = Attempt(request, source, run, monitor, rejects)
            async with open_session(request.dsn, request) as session:
                report = await _load(session, attempt)
                await shelter.conclude(session.close())  # a cancellation comes too late
            if report.already:
                report = await shelter.conclude(finish_recorded(report, report.rejects, request.rejects))
            elif rejects is not None:
                report = await shelter.conclude(rejects.finish(report))
    return report if report.already else replace(report, seconds=time.perf_counter() - attempt.started)


async def _load(session: Session, attempt: Attempt) -> LoadReport:
    request, shares = attempt.request, wants_sharing(attempt.request)
    claim = await make_claim(session, attempt.opened, request, attempt.run, for_chunks=shares)
    if not shares:
        try:
            return await load_at_once(session, attempt, claim, ONE)
        except Unfinished:
            assert claim is not None  # noqa: S101 - it has raised that
            await claim.prepare_chunks(session)
    return await load_shared(session, attempt, claim)


async def load_plan(request: LoadRequest) -> LoadPlan:
    """Plan a load and change nothing."""
    refuse_stray_options(request)
    plan_around(request)
    if request.connection is not None:
        async with joined(request) as (yours, begun), opened_source(request) as opened:
            return await _plan(yours, begun, Attempt(request, opened, "", Monitor(request)))
    async with (
        opened_source(request) as opened,
        opened_rejects(request, opened),
        open_session(request.dsn, request) as session,
        transaction(
            session,
            read_only=False,
            lock_timeout=request.lock_timeout,
            privileges=privileges_of(request),
        ) as begun,
    ):
        return await _plan(session, begun, Attempt(request, opened, "", Monitor(request)))


async def _plan(session: Session, begun: Transaction, attempt: Attempt) -> LoadPlan:
    """Plan in a transaction that has begun, and undo it."""
    plan, _ = await foresee(session, attempt)
    done = await foretell(session, attempt.source, attempt.request)
    plan = await _with_slow_notes(session, plan)
    await session.execute(begun.undo)
    return replace(plan, notes=plan.notes + done)


async def _with_slow_notes(session: Session, plan: LoadPlan) -> LoadPlan:
    """Tell what of the table makes the load slow; a replace builds all of that behind the rows."""
    replaces, defers = plan.work.replacement is not None, plan.rebuild is not None
    table = None if plan.creates or replaces else await find_table(session, TableName(plan.schema, plan.table))
    if table is None:
        return plan
    return replace(plan, slow=slow_notes(await find_burdens(session, table), freezes=plan.work.analyzes, defers=defers))
