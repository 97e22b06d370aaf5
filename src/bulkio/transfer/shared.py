"""A load on several connections: which way it goes, and where another run has left it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import anyio.to_thread

from bulkio import flow, sql
from bulkio.catalog.lookup import find_sharing
from bulkio.choices import number_of_workers
from bulkio.flow import shelter
from bulkio.plan import Sharing, plan_sharing, wanted_chunks, wants_sharing
from bulkio.transfer.at_once import load_at_once
from bulkio.transfer.by_chunks import abandon, load_by_chunks
from bulkio.transfer.claim import Unfinished, make_unnamed_claim
from bulkio.transfer.records import LoadRecord, LoadWork
from bulkio.transfer.report import LoadReport
from bulkio.transfer.settle import settle
from bulkio.transfer.two_phase import NotPrepared, load_in_two_phases

if TYPE_CHECKING:
    from bulkio.plan import LoadPlan
    from bulkio.protocols import Chunk, Session
    from bulkio.transfer.attempt import Attempt
    from bulkio.transfer.claim import Claim

__all__ = ["foresee", "load_shared"]


class _AtOnce(Exception):  # noqa: N818 - a signal
    """It is for one connection, in one transaction."""

    def __init__(self, sharing: Sharing) -> None:
        super().__init__()
        self.sharing = sharing


async def load_shared(session: Session, attempt: Attempt, claim: Claim | None) -> LoadReport:
    """Load; or go on with what is recorded under the load's id, however it was begun."""
    found = None if claim is None else await _look(session, attempt, claim)
    if isinstance(found, LoadReport):
        return found
    try:
        if claim is None:
            await _way(session, attempt)  # one connection needs no id
        shared = claim or await make_unnamed_claim(session, attempt)
        async with shared.held():
            return await _load_locked(session, attempt, shared)
    except NotPrepared as refusal:
        sharing = Sharing(why_one=f"the server cannot prepare what the load does ({refusal})")
    except _AtOnce as way:
        sharing = way.sharing
    try:
        return await load_at_once(session, attempt, claim, sharing)
    except Unfinished:
        assert claim is not None  # noqa: S101 - it has raised that
        raise claim.overtaken() from None


async def _load_locked(session: Session, attempt: Attempt, claim: Claim) -> LoadReport:
    """Load, while the lock of the load's id is held."""
    found = await _look(session, attempt, claim)
    if isinstance(found, LoadRecord) and found.state != "running":
        await settle(attempt.request, claim.schema, claim.load_id)
        found = await _look(session, attempt, claim)
    if isinstance(found, LoadReport):
        return found
    if found is not None:
        claim.begun_by = found.run
    if found is not None and (attempt.request.restart or (found.work or LoadWork()).unlogged):
        await abandon(session, attempt, claim, found.work or LoadWork(), stored=True)
        found, claim.begun_by = None, claim.run
    if found is not None:
        work = found.work or LoadWork()
        chunks = await _chunks(attempt, work.chunks)
        workers = number_of_workers("workers", attempt.request.workers) or flow.processors()
        sharing = Sharing("chunks", max(1, min(workers, len(chunks))), is_hidden=bool(work.place))
        return await load_by_chunks(session, attempt, claim, sharing, chunks, found)
    sharing, chunks = await _way(session, attempt)
    if sharing.kind == "two-phase":
        return await load_in_two_phases(session, attempt, claim, sharing, chunks)
    return await load_by_chunks(session, attempt, claim, sharing, chunks, None)


async def _look(session: Session, attempt: Attempt, claim: Claim) -> LoadReport | LoadRecord | None:
    """Look up, in a transaction of its own, what is recorded under the load's id."""
    async with attempt.transaction(session):
        found = await claim.recorded(session)
        await session.execute(sql.ROLLBACK)
    return found


async def _way(session: Session, attempt: Attempt) -> tuple[Sharing, tuple[Chunk, ...]]:
    """Decide how it is shared.

    Raises:
        _AtOnce: it is not.
    """
    async with attempt.transaction(session):
        plan, chunks = await foresee(session, attempt)
        await session.execute(sql.ROLLBACK)
    if plan.sharing.kind == "one":
        raise _AtOnce(plan.sharing)
    return plan.sharing, chunks


async def foresee(session: Session, attempt: Attempt) -> tuple[LoadPlan, tuple[Chunk, ...]]:
    """Plan a load in a transaction that is rolled back: how it is shared, and in which chunks."""
    request = attempt.request
    plan = await attempt.plan(session, waits=False)
    if not wants_sharing(request):
        return plan, ()
    size, processors = attempt.source.size_bytes, flow.processors()
    chunks = await _chunks(attempt, wanted_chunks(request, size, processors))
    facts = await find_sharing(session, plan.schema, plan.table)
    sharing = plan_sharing(request, plan, facts, chunks=len(chunks), size_bytes=size, processors=processors)
    return replace(plan, sharing=sharing), chunks


async def _chunks(attempt: Attempt, count: int) -> tuple[Chunk, ...]:
    return await shelter.finish(anyio.to_thread.run_sync(attempt.source.chunks, count))
