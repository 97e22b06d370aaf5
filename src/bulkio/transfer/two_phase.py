"""An append by several connections, all rows or none: each prepares its transaction, and a recorded decision ends them.

    preparing    the connections store their rows, then each prepares its transaction
    committing   decided, by a transaction of its own that found the load preparing: now each is committed
    aborting     decided by whoever found it preparing and nobody at work on it: now each is rolled back
    done         all are committed

Whoever ends the transactions goes by the state, never by what it finds prepared. So a lost reply, a dead client and
two runs that settle the same load at once come to the same end.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from bulkio import flow, sql
from bulkio.errors import BulkioError, ConnectError, DriverError, LoadUnfinished
from bulkio.flow import shelter
from bulkio.sql import ledger as statements
from bulkio.sql import two_phase
from bulkio.transfer.merge import Changes
from bulkio.transfer.records import LoadWork
from bulkio.transfer.resumable import resume_facts
from bulkio.transfer.rows_before import rows_before
from bulkio.transfer.send import Tally
from bulkio.transfer.session import commit
from bulkio.transfer.settle import settle
from bulkio.transfer.storing import advance_sequences, compare_counts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from bulkio.plan import LoadPlan, Sharing
    from bulkio.protocols import Chunk, Session
    from bulkio.transfer.attempt import Attempt
    from bulkio.transfer.claim import Claim
    from bulkio.transfer.report import LoadReport
    from bulkio.transfer.session import Transaction

__all__ = ["NotPrepared", "load_in_two_phases"]

#: SQLSTATE of what a server refuses to prepare: feature_not_supported, object_not_in_prerequisite_state,
#: configuration_limit_exceeded's kin (out of slots), and duplicate names do not occur
_REFUSED = frozenset({"0A000", "55000", "53400", "53200"})
#: milliseconds that another worker waits for the table's lock, while the first one has it
_LOCK_MS = 1000
#: SQLSTATE lock_not_available
_LOCKED = "55P03"
_log = logging.getLogger("bulkio")


class NotPrepared(Exception):  # noqa: N818 - a signal
    """The server refused to prepare a transaction: what the table's own code does cannot be. Nothing was changed."""


async def load_in_two_phases(
    leader: Session, attempt: Attempt, claim: Claim, sharing: Sharing, chunks: Sequence[Chunk]
) -> LoadReport:
    """Load; the lock of the load's id is held, and no row has it. The `leader` is the first of its workers.

    Raises:
        NotPrepared: it can be done on one connection only.
        LoadUnfinished: it is decided, and will be committed as soon as a run of the load reaches the server.
    """
    is_begun = False
    report = None
    try:
        async with AsyncExitStack() as stack:
            attempt.monitor.own_gids = _gids(claim)
            begun = await stack.enter_async_context(_transaction(leader, attempt, claim, 1))
            plan = await attempt.plan(leader)
            before = await rows_before(leader, plan)
            control = await stack.enter_async_context(attempt.connection())
            async with attempt.transaction(control):
                await claim.begin(control, plan, "preparing", LoadWork(**resume_facts(attempt.request, attempt.opened)))
                if attempt.rejects is not None:
                    await attempt.rejects.begin(claim.load_id, goes_on=not claim.is_unnamed)
                    attempt.rejects.know_chunks(chunks)
                is_begun = True
                await control.execute(sql.COMMIT)
            workers = [leader, *[worker async for worker in _more(stack, attempt, claim, plan, sharing.workers - 1)]]
            tally = Tally(plan)
            copied = await _send(workers, attempt, plan, chunks, tally)
            compare_counts(plan, copied, tally.rows, attempt.rejected)
            for session in workers:  # each sees the rows that it has stored
                await advance_sequences(session, plan)
            report = attempt.report(
                leader,
                plan,
                tally,
                Changes(copied, 0, 0),
                sharing=replace(sharing, workers=len(workers)),
                lifted=begun.lifted,
                rows_before=before,
            )
            report = replace(report, load_id=claim.load_id)
            tally.end()
            if attempt.rejects is not None:
                await attempt.rejects.seal(is_named=not claim.is_unnamed)
            await _prepare(workers, claim)
        report = await shelter.conclude(_decide(attempt, claim, report))
        if attempt.rejects is not None:
            attempt.rejects.is_kept = True
        return report
    except BaseException as error:
        if not is_begun or isinstance(error, LoadUnfinished):
            raise
        state = ""
        with suppress(asyncio.CancelledError):  # the error on its way says more
            state = await shelter.finish(_undo(attempt, claim, error))
        if state == "committing" and attempt.rejects is not None:
            attempt.rejects.is_kept = True
        if state == "committing" and report is not None and isinstance(error, BulkioError):
            return report  # the reply to the decision was lost
        raise


@asynccontextmanager
async def _transaction(session: Session, attempt: Attempt, claim: Claim, number: int) -> AsyncIterator[Transaction]:
    """Begin a transaction that will be prepared; as long as it lives, in a session or prepared, it has its lock."""
    async with attempt.transaction(session, f"worker {number}", holds_to_end=True) as begun:
        await session.fetch(statements.WATCH_CLIENT)
        await session.fetch(statements.lock_work(claim.schema, claim.load_id, alone=False))
        yield begun


async def _more(
    stack: AsyncExitStack, attempt: Attempt, claim: Claim, plan: LoadPlan, count: int
) -> AsyncIterator[Session]:
    """Open more sessions with such transactions, which have the table locked.

    They are fewer where the server has no more, or where the table cannot be locked at once: somebody who waits for it
    waits for the first of them, and the others would wait for him.
    """
    for number in range(2, count + 2):
        if (session := await attempt.spare_connection(stack)) is None:
            return
        await stack.enter_async_context(_transaction(session, attempt, claim, number))
        [(setting,)] = await session.fetch(sql.LOCK_TIMEOUT_MS)
        limit = int(str(setting))
        await session.execute(f"SET LOCAL lock_timeout = {min(limit or _LOCK_MS, _LOCK_MS):d}")
        try:
            await session.execute(sql.as_user(sql.lock_for_load(plan.schema, plan.table)))
        except DriverError as error:
            if error.sqlstate != _LOCKED:
                raise
            _log.debug("a worker less: the table cannot be locked (%s)", error)
            await session.execute(sql.ROLLBACK)
            return
        await session.execute(f"SET LOCAL lock_timeout = {limit:d}")
        yield session


async def _send(
    workers: Sequence[Session], attempt: Attempt, plan: LoadPlan, chunks: Sequence[Chunk], tally: Tally
) -> int:
    """Send all chunks, each by the worker that is free; return how many rows the server has stored."""
    todo = iter(chunks)
    stored: list[int] = []
    async with flow.task_group() as group:
        for session in workers:
            group.start_soon(_send_some, session, attempt, plan, todo, tally, stored)
    return sum(stored)


async def _send_some(
    session: Session, attempt: Attempt, plan: LoadPlan, todo: Iterator[Chunk], tally: Tally, stored: list[int]
) -> None:
    for chunk in todo:
        stored.append(await attempt.sender(session, plan, tally, chunk).run(session))


async def _prepare(workers: Sequence[Session], claim: Claim) -> None:
    """Prepare each worker's transaction, all at once: the server flushes its log for each."""
    try:
        async with flow.task_group() as group:
            for number, session in enumerate(workers, 1):
                group.start_soon(session.execute, two_phase.prepare(f"{_gids(claim)}{number}"))
    except ConnectError:
        raise
    except DriverError as error:
        if error.sqlstate in _REFUSED:
            raise NotPrepared(error.args[0]) from error
        raise


def _gids(claim: Claim) -> str:
    """Return what the names of this run's prepared transactions begin with."""
    return statements.name_prefix(claim.schema, claim.load_id, claim.run)


async def _decide(attempt: Attempt, claim: Claim, report: LoadReport) -> LoadReport:
    """Decide that the load is to be committed, and do it."""
    async with attempt.connection() as control, attempt.transaction(control):
        if not await claim.move(control, "preparing", "committing", report):
            raise claim.overtaken()
        await commit(control, claim.judge_of("committing", "done"))
    try:
        await settle(attempt.request, claim.schema, claim.load_id, claim.run)
    except BulkioError as error:
        raise LoadUnfinished(
            f"{claim.name} is decided, and not all of its transactions are committed yet ({error}): load again with the"
            f" same id, or run `bulkio loads resume {claim.load_id}`",
            load_id=claim.load_id,
            retryable=True,
        ) from error
    return report


async def _undo(attempt: Attempt, claim: Claim, error: BaseException) -> str:
    """Roll back what may be prepared, as far as the server can be reached; the next run does the rest.

    Return the state that was decided on, "" if that is not known.
    """
    try:
        return await settle(attempt.request, claim.schema, claim.load_id, claim.run)
    except BulkioError as another:
        error.add_note(f"{claim.name} is to be settled by its next run: {another}")
        return ""
