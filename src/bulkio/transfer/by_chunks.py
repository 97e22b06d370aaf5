"""A load whose chunks commit for themselves, each with its row in the ledger: so it goes on wherever it was ended.

1. A first transaction makes the table that the chunks fill, if it is not the load's own, and records that it runs.
2. Each chunk: a transaction of its own, on any of the connections. The ledger's key (load, chunk) decides between two
   runs; whoever ends the load waits for the chunks that are about to commit, and lets no other begin.
3. A last transaction, once all chunks are recorded, brings the rows to their place and records the load as done.
"""

from __future__ import annotations

import logging
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from bulkio import flow, sql
from bulkio.catalog import TableName
from bulkio.catalog.lookup import find_sharing, find_table
from bulkio.errors import (
    BulkioError,
    ConfigError,
    CountError,
    DriverError,
    LedgerError,
    LoadRunning,
    LoadUnfinished,
    OutcomeUnknown,
    TooManyRejects,
)
from bulkio.flow import shelter
from bulkio.plan import plan_lasting, why_in_order, why_one
from bulkio.show import show_name, show_option
from bulkio.sql import ledger as statements
from bulkio.transfer import ledger
from bulkio.transfer.placing import count_unlogged, place_rows
from bulkio.transfer.records import LoadWork
from bulkio.transfer.resumable import rejects_path, resume_facts
from bulkio.transfer.rows_before import rows_before
from bulkio.transfer.send import Tally
from bulkio.transfer.session import commit, commit_part
from bulkio.transfer.storing import advance_sequences, compare_counts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bulkio.catalog import Table
    from bulkio.plan import Lasting, Sharing
    from bulkio.protocols import Chunk, Session
    from bulkio.transfer.attempt import Attempt
    from bulkio.transfer.claim import Claim
    from bulkio.transfer.records import LoadRecord
    from bulkio.transfer.report import LoadReport

__all__ = ["abandon", "load_by_chunks"]

_log = logging.getLogger("bulkio")


async def load_by_chunks(
    control: Session,
    attempt: Attempt,
    claim: Claim,
    sharing: Sharing,
    chunks: Sequence[Chunk],
    record: LoadRecord | None,
) -> LoadReport:
    """Begin a load, or go on with one that is recorded; the lock of the load's id is held.

    Raises:
        LoadUnfinished: a part of it is stored, and the next run goes on there.
    """
    load = _Load(attempt, claim, sharing, chunks)
    try:
        await (load.begin(control) if record is None else load.go_on(control, record))
        await load.store(control)
        if not control.closed:
            return await load.finish(control)
        async with attempt.connection() as last:
            return await load.finish(last)
    except BaseException as error:
        if isinstance(error, BulkioError) and not isinstance(error, LoadRunning | OutcomeUnknown):
            if record is not None or load.is_begun:
                state = await shelter.finish(load.state())
                if state not in ("running", None):
                    raise load.ended(state) from error  # of what the other run has changed
            if load.is_begun:
                raise await shelter.finish(load.give_up(error)) from error
        if load.is_begun and not isinstance(error, BulkioError):
            await shelter.finish(load.leave())
        raise


class _Load:
    """One run of such a load."""

    def __init__(self, attempt: Attempt, claim: Claim, sharing: Sharing, chunks: Sequence[Chunk]) -> None:
        self.attempt = attempt
        self.claim = claim
        self.sharing = sharing
        self.chunks = chunks
        #: True once the load has a row in the ledger, and it is known what is stored
        self.is_begun = False
        #: True if what is stored does not fit to the table any more
        self.is_useless = False
        #: chunks that are stored, by this run and those before it
        self.stored: set[int] = set()
        self._lasting: Lasting | None = None
        self._tally: Tally | None = None
        self._lifted: tuple[str, ...] = ()
        self._table: Table | None = None
        self._oid = 0
        self._rows_before: tuple[int | None, bool] = (None, False)
        #: records rejected and rows stored of each chunk that is stored
        self._rejected: dict[int, tuple[int, int]] = {}

    @property
    def lasting(self) -> Lasting:
        """How it is done; known once it has begun."""
        assert self._lasting is not None  # noqa: S101
        return self._lasting

    @property
    def tally(self) -> Tally:
        """What is stored so far."""
        if self._tally is None:
            self._tally = Tally(self.lasting.plan)
        return self._tally

    # --- The first transaction ------------------------------------------------------------------------------

    async def begin(self, session: Session) -> None:
        """Make the table that is filled, and record the load."""
        async with self.attempt.transaction(session) as begun:
            self._lifted = begun.lifted
            await self._plan(session)
            self._rows_before = await rows_before(session, self.lasting.plan)
            # First the ledger: there a run meets another one that has begun, and not where it makes the same table.
            await self.claim.begin(session, self.lasting.plan, "running", self._work())
            if self.attempt.rejects is not None:
                goes_on = not self.claim.is_unnamed or self.attempt.request.commit == "chunk"
                await self.attempt.rejects.begin(self.claim.load_id, goes_on=goes_on)
                self.attempt.rejects.know_chunks(self.chunks)
            for statement in self.lasting.setup:
                await session.execute(statement)
            self.is_begun = True
            await session.execute(sql.COMMIT)

    async def go_on(self, session: Session, record: LoadRecord) -> None:
        """Look what is stored, and whether the rest would fit to it.

        Raises:
            LedgerError: it would not.
            LoadRunning: a COMMIT of an earlier run, which was on its way still, has ended it.
        """
        async with self.attempt.transaction(session) as begun:
            self._lifted = begun.lifted
            # It waits for whoever has recorded a chunk and not committed yet, whose client may be dead.
            if (state := await self.claim.state(session)) != "running":
                raise self.ended(state)
            await self._plan(session)
            work = record.work or LoadWork()
            if (work.digest, work.oid) != self._fit():
                raise LedgerError(
                    f"{self.claim.name} cannot go on: the table, or how the source is cut, is not what it was when"
                    f" {record.stored_chunks} of its {work.chunks} chunks were stored"
                    + ("" if record.appended_rows else f"; begin it anew ({show_option('restart', value=True)})"),
                    load_id=self.claim.load_id,
                )
            await self._read_stored(session)
            await self._read_rejects(work)
            self.is_begun = True
            await session.execute(sql.ROLLBACK)

    async def _plan(self, session: Session) -> None:
        plan = await self.attempt.plan(session)
        facts = await find_sharing(session, plan.schema, plan.table)
        if why := why_one(self.attempt.request, plan, facts):  # it was begun without that
            raise ConfigError(f"{self.claim.name} is unfinished, and cannot go on like this: {why}")
        if self.sharing.workers > 1 and (why := why_in_order(self.attempt.request, plan, facts)):
            self.sharing = replace(self.sharing, workers=1, why_one=why)
        self._oid = facts.oid
        tag = statements.tag_of(self.claim.schema, self.claim.load_id, self.claim.begun_by)
        self._lasting = plan_lasting(replace(plan, sharing=self.sharing), tag, unlogged=self.attempt.request.unlogged)
        self._table = await find_table(session, TableName(plan.schema, plan.table))

    async def _read_stored(self, session: Session) -> None:
        rows = await session.fetch(statements.select_chunks(self.claim.schema, self.claim.load_id))
        found = {int(str(row[0])): tuple(int(str(value)) for value in row[1:]) for row in rows}
        self.stored = set(found)
        self._rejected = {chunk: (rejected, rows) for chunk, (rows, _, rejected) in found.items()}
        self._tally = Tally(
            self.lasting.plan, sum(rows for rows, _, _ in found.values()), sum(size for _, size, _ in found.values())
        )

    async def _read_rejects(self, work: LoadWork) -> None:
        """Look whether the records are there that the stored chunks have rejected.

        Raises:
            LedgerError: they are not, or are to be in another file.
        """
        if work.rejects != self.claim.kept_text(rejects_path(self.attempt.request)):
            begun = (
                f"with {show_option('rejects', work.rejects)}" if work.rejects else f"without {show_option('rejects')}"
            )
            raise LedgerError(f"{self.claim.name} was begun {begun}: go on like that", load_id=self.claim.load_id)
        if self.attempt.rejects is not None:
            await self.attempt.rejects.go_on(self.claim.load_id, self.chunks, self._rejected)

    def _fit(self) -> tuple[str, int]:
        """Return what stored chunks must have in common with those to come: the plan and the cut, and the table."""
        return f"{self.lasting.digest} {statements.digest_of(repr(self.chunks))}", self._oid

    def _work(self) -> LoadWork:
        digest, oid = self._fit()
        return LoadWork(
            chunks=len(self.chunks),
            digest=digest,
            oid=oid,
            place=self.lasting.place or (),
            unlogged=self.attempt.request.unlogged and self.lasting.place is not None,
            **resume_facts(self.attempt.request, self.attempt.opened),
        )

    # --- The chunks -----------------------------------------------------------------------------------------

    async def store(self, session: Session) -> None:
        """Store the chunks that are not stored yet, on this session and others."""
        left = [chunk for chunk in self.chunks if chunk.number not in self.stored]
        todo = iter(left)
        async with flow.task_group() as group:
            for _ in range(min(self.sharing.workers, len(left)) - 1):
                group.start_soon(self._help, todo)
            await self._store_some(session, todo)
            while (chunk := next(todo, None)) is not None:  # the session was lost at a COMMIT that was done
                async with self.attempt.connection() as another:
                    await self._store(another, chunk)
                    await self._store_some(another, todo)

    async def _help(self, todo: Iterator[Chunk]) -> None:
        """Store chunks on a session of its own; where the server has none left, the others do it."""
        async with AsyncExitStack() as stack:
            if (session := await self.attempt.spare_connection(stack)) is not None:
                await self._store_some(session, todo)

    async def _store_some(self, session: Session, todo: Iterator[Chunk]) -> None:
        while not session.closed and (chunk := next(todo, None)) is not None:
            await self._store(session, chunk)

    async def _store(self, session: Session, chunk: Chunk) -> None:
        """Store one chunk, unless another run has done it meanwhile."""
        plan = self.lasting.plan
        async with self.attempt.transaction(session, f"the worker of chunk {chunk.number + 1}"):
            await session.fetch(statements.WATCH_CLIENT)
            if await self.claim.has_chunk(session, chunk.number):
                await session.execute(sql.ROLLBACK)
            else:
                await self._lock(session)
                sender = self.attempt.sender(session, plan, self.tally, chunk, self.lasting.number)
                copied = await sender.run(session)
                self._compare(chunk, copied, sender.rows, sender.rejected)
                if self.lasting.place is None:
                    await advance_sequences(session, plan)  # others see the rows from now on
                await session.execute(sql.OWN_PATH)
                if self.attempt.rejects is not None and self.attempt.request.commit == "chunk":
                    await self.attempt.rejects.judge({*self.stored, chunk.number})
                judge = await self.claim.record_chunk(session, chunk.number, copied, sender.bytes, sender.rejected)
                await session.execute(sql.USERS_PATH)
                await commit_part(session, judge, lambda: self._keep(chunk))
        self.stored.add(chunk.number)

    def _keep(self, chunk: Chunk) -> None:
        """Note that a chunk is stored, and that its rejected records must not be lost any more."""
        self.stored.add(chunk.number)
        if self.attempt.rejects is not None:
            self.attempt.rejects.is_kept = True

    async def _lock(self, session: Session) -> None:
        """Lock the table that is filled, and see that it is still what the plan was made for."""
        if self.lasting.place is not None:
            return  # nobody knows it; COPY locks it
        plan = self.lasting.plan
        await session.execute(sql.as_user(sql.lock_for_load(plan.schema, plan.table)))
        if await find_table(session, TableName(plan.schema, plan.table)) != self._table:
            name = f"{show_name(plan.schema)}.{show_name(plan.table)}"
            raise DriverError(f"table {name} was changed during the load", retryable=True)

    def _compare(self, chunk: Chunk, copied: int, sent: int, rejected: int) -> None:
        promised = sent if chunk.rows is None else chunk.rows - rejected
        if not copied == sent == promised:
            raise CountError(
                f"the row counts of the chunk from row {chunk.counts_from} on differ, so it was not stored: the"
                f" source promised {promised}, {sent} were sent, the server stored {copied} (a trigger or a rule may"
                " have dropped rows)",
                expected=promised,
                found=sent if sent != promised else copied,
            )

    # --- The last transaction -------------------------------------------------------------------------------

    async def finish(self, session: Session) -> LoadReport:
        """Bring the rows to their place, and record the load as done."""
        claim = self.claim
        async with self.attempt.transaction(session):
            if (state := await claim.state(session)) != "running":
                raise self.ended(state)
            await self._read_stored(session)
            self._refuse_missing()
            before = self._fit()
            await self._plan(session)
            if self._fit() != before:
                raise self._changed()
            tally, plan = self.tally, self.lasting.plan
            rejects = self.attempt.rejects
            compare_counts(plan, tally.rows, tally.rows, sum(rejected for rejected, _ in self._rejected.values()))
            if self.lasting.place is not None and self.attempt.request.unlogged:
                await count_unlogged(session, self.lasting.place, tally.rows)
            if rejects is not None:
                rejects.recount(self._rejected)
            changes = await place_rows(session, self.lasting, tally, rejects)
            tally.end()
            if rejects is not None:
                await rejects.seal(is_named=not claim.is_unnamed)
            report = self.attempt.report(
                session,
                plan,
                tally,
                changes,
                sharing=self.sharing,
                lifted=self._lifted,
                rows_before=self._rows_before,
            )
            report = replace(report, load_id=claim.load_id)
            await session.execute(sql.OWN_PATH)
            await claim.move(session, "running", "done", report)
            await session.execute(statements.delete_chunks(claim.schema, claim.load_id))
            await session.execute(sql.USERS_PATH)
            await commit(session, claim.judge_of("done"))
        return report

    def _refuse_missing(self) -> None:
        missing = [chunk.number for chunk in self.chunks if chunk.number not in self.stored]
        if missing:
            raise LedgerError(
                f"{self.claim.name}: the ledger lacks {len(missing)} of its {len(self.chunks)} chunks, so it is not"
                " done: run it again",
                load_id=self.claim.load_id,
            )

    def _changed(self) -> DriverError:
        plan = self.lasting.plan
        name = f"{show_name(plan.schema)}.{show_name(plan.table)}"
        self.is_useless = True
        what = f"table {name} was changed during the load, so that the rows do not fit to it: load again"
        return DriverError(what, retryable=self.lasting.place is not None)

    # --- What an error leaves -------------------------------------------------------------------------------

    def ended(self, state: str) -> LoadRunning:
        """Return the error of a run whose load another one has brought to a state, "" if it has no row any more."""
        what = "ended" if state else "forgotten, or begun anew,"
        return LoadRunning(
            f"{self.claim.name} was {what} by another run: try again to get its report", load_id=self.claim.load_id
        )

    async def state(self) -> str | None:
        """Look up what has become of the load; None where the ledger cannot be asked."""
        try:
            async with self.attempt.connection() as session, self.attempt.transaction(session):
                return await self.claim.state(session)
        except BulkioError:
            return None

    async def give_up(self, error: BulkioError) -> BulkioError:
        """Return what to raise for an error: the error itself, where nothing is left to go on with."""
        if await self.clear_away():
            return error
        return LoadUnfinished(
            f"{error}\n{self._unfinished(limit=isinstance(error, TooManyRejects))}",
            load_id=self.claim.load_id,
            retryable=error.retryable,
            stored=len(self.stored),
            chunks=len(self.chunks),
        )

    async def leave(self) -> None:
        """Take it back where nothing is left to go on with; or else say how to go on."""
        if not await self.clear_away():
            _log.warning("%s", self._unfinished())

    def _unfinished(self, *, limit: bool = False) -> str:
        count = f"{len(self.stored)} of its {len(self.chunks)} chunks are stored"
        what = f"{self.claim.name} is unfinished: {count}"
        if self.claim.is_unnamed and self.lasting.place is not None:
            return f"{what}; `bulkio loads forget {self.claim.load_id}` takes them away"
        if limit:  # what resumes by the id alone goes by the recorded limit, and would end here again
            return f"{what}; load again with the same id and a higher {show_option('max_rejects')} to go on"
        by_id = f", or run `bulkio loads resume {self.claim.load_id}`" if self._work().paths else ""
        return f"{what}; load again with the same id to go on{by_id}"

    async def clear_away(self) -> bool:
        """Take back a load of which nothing is stored, or that nobody could go on with; tell whether it is gone."""
        if self.stored and not (self.lasting.place is not None and (self.claim.is_unnamed or self.is_useless)):
            return False
        try:
            async with self.attempt.connection() as session:
                is_gone = await abandon(session, self.attempt, self.claim, self._work(), stored=bool(self.stored))
        except BulkioError:
            return False
        if is_gone and self.attempt.rejects is not None:
            self.attempt.rejects.is_kept = False
        return is_gone


async def abandon(session: Session, attempt: Attempt, claim: Claim, work: LoadWork, *, stored: bool) -> bool:
    """Take back a load that is not done: the table that it fills, its chunks and its row; tell whether it is gone.

    One of which chunks are `stored` stays, where those are in the load's own table, or where none should be.
    """
    async with attempt.transaction(session):
        state = await claim.state(session)
        if state != "running":
            return not state
        if not (work.place and stored) and await session.fetch(statements.select_chunks(claim.schema, claim.load_id)):
            return False
        await ledger.take_back(session, claim.schema, claim.load_id, work)
        await session.execute(sql.COMMIT)
    return True
