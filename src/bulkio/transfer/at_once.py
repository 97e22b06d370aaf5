"""A load in one transaction on one connection: carry out a `LoadPlan`, and report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bulkio.transfer.around import run_after, run_before
from bulkio.transfer.rows_before import rows_before
from bulkio.transfer.send import Tally
from bulkio.transfer.session import commit, server_judge
from bulkio.transfer.storing import store

if TYPE_CHECKING:
    from bulkio.plan import LoadPlan, Sharing
    from bulkio.protocols import Session
    from bulkio.transfer.attempt import Attempt
    from bulkio.transfer.claim import Claim
    from bulkio.transfer.report import LoadReport
    from bulkio.transfer.session import Transaction

__all__ = ["carry_out", "load_at_once"]


async def load_at_once(session: Session, attempt: Attempt, claim: Claim | None, sharing: Sharing) -> LoadReport:
    """Do it; where the load's id says that it is done, do nothing.

    Raises:
        Unfinished: the load's id is that of one which commits in parts.
    """
    request = attempt.request
    async with attempt.transaction(session) as begun:
        if claim is not None and (done := await claim.take(session)) is not None:
            await session.execute(begun.undo)
            return done
        plan, report = await carry_out(session, attempt, begun, sharing)
        if claim is None:
            judge = await server_judge(session, request.dsn, request, tells_place=begun.tells_place)
        else:
            judge = await claim.record(session, plan, report)
        await commit(session, judge)
        if attempt.rejects is not None:
            attempt.rejects.is_kept = True
    return report


async def carry_out(
    session: Session, attempt: Attempt, begun: Transaction, sharing: Sharing
) -> tuple[LoadPlan, LoadReport]:
    """Do all that a load does in its one transaction, once that has begun: all but the COMMIT."""
    plan = await attempt.plan(session)
    if (rejects := attempt.rejects) is not None:
        await rejects.begin(attempt.request.load_id)
    before = await rows_before(session, plan)
    await run_before(session, plan)
    tally = Tally(plan)
    _, changes = await store(session, plan, attempt.sender(session, plan, tally, number=plan.work.number))
    await run_after(session, plan)
    tally.end()
    if rejects is not None:
        await rejects.seal(is_named=attempt.request.load_id is not None)
    report = attempt.report(session, plan, tally, changes, sharing=sharing, lifted=begun.lifted, rows_before=before)
    return plan, report
