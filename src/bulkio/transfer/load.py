"""The load: carry out a `LoadPlan` in one transaction, and report.

`send` reads and encodes beside the driver, in one thread or two.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING
from uuid import uuid4

import anyio
import anyio.to_thread

from bulkio import sql
from bulkio.catalog import TableName
from bulkio.catalog.lookup import (
    find_burdens,
    find_sequences,
    find_table,
    users_path,
)
from bulkio.errors import CountError, DriverError
from bulkio.files import FileSource
from bulkio.files.shape import ShapedSource
from bulkio.flow import shelter
from bulkio.plan import (
    MODES,
    LoadPlan,
    empties,
    empty_source,
    loaded_sequences,
    plan_around,
    privileges_of,
    refuse_stray_options,
    slow_notes,
)
from bulkio.protocols import Progress
from bulkio.show import show_option
from bulkio.transfer import open_reads
from bulkio.transfer.around import run_after, run_before
from bulkio.transfer.claim import foretell, make_claim
from bulkio.transfer.merge import Changes, merge, tag_rows
from bulkio.transfer.planning import make_plan
from bulkio.transfer.replacing import begin_replacement, final_names, finish_replacement
from bulkio.transfer.report import LoadReport
from bulkio.transfer.retry import Retries
from bulkio.transfer.rows_before import rows_before
from bulkio.transfer.send import Sender, open_to_load
from bulkio.transfer.session import commit, open_session, server_judge, transaction
from bulkio.transfer.shape import shaped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bulkio.options import LoadRequest
    from bulkio.plan import Replacement
    from bulkio.protocols import Session, Source
    from bulkio.transfer.claim import Claim

__all__ = ["load", "load_plan"]

#: pg_class.relkind of what LOCK TABLE accepts and a load can go into
_LOCKABLE = "rp"


async def load(request: LoadRequest) -> LoadReport:
    """Load a source into a table: all of it, or nothing.

    Raises any `BulkioError`; then the table is unchanged, except where it is `OutcomeUnknown`.
    """
    refuse_stray_options(request)
    plan_around(request)  # what cannot run is refused before anything is tried
    retries = Retries(request)
    return await retries.run(partial(_load, request, retries, str(uuid4())))


async def _load(request: LoadRequest, retries: Retries, run: str) -> LoadReport:
    """Try once; `run` tells all tries of one call from other runs."""
    started = time.perf_counter()
    async with _opened(request) as source:
        retries.reads_once = source.reads_once
        async with open_session(request.dsn, request) as session:
            claim = await make_claim(session, source, request, run)
            report = await _transact(session, source, request, claim, started)
    return report if report.already else replace(report, seconds=time.perf_counter() - started)


async def _transact(
    session: Session, source: Source, request: LoadRequest, claim: Claim | None, started: float
) -> LoadReport:
    """Do it in one transaction; where the load's id says that it is done, do nothing."""
    async with transaction(
        session, read_only=False, lock_timeout=request.lock_timeout, privileges=privileges_of(request)
    ) as begun:
        if claim is not None and (done := await claim.take(session)) is not None:
            await session.execute(sql.ROLLBACK)
            return done
        plan, report = await _carry_out(session, source, request)
        report = replace(report, lifted=begun.lifted, seconds=time.perf_counter() - started)
        if claim is None:
            judge = await server_judge(session, request.dsn, request, tells_place=begun.tells_place)
        else:
            judge = await claim.record(session, plan, report)
        await commit(session, judge)
    return report


async def _carry_out(session: Session, opened: Source, request: LoadRequest) -> tuple[LoadPlan, LoadReport]:
    """Do all but COMMIT; return the plan that was carried out, and a report without times."""
    source = await shaped(session, opened, request)
    plan = await make_plan(session, source, request)
    if isinstance(source, FileSource | ShapedSource):
        source.leave_out(set(source.schema.names).difference(field.name for field in plan.fields))
    rows, is_estimate = await rows_before(session, plan)
    await run_before(session, plan)
    sender = Sender(plan, source)
    copied, changes = await _store(session, plan, sender)
    await run_after(session, plan)
    if request.progress is not None:
        request.progress(Progress(sender.rows, sender.bytes, plan.source_rows, committing=True))
    report = LoadReport(
        rows=copied,
        bytes=sender.bytes,
        seconds=0.0,
        driver=session.driver,
        method=plan.method,
        mode=request.mode,
        table=f"{plan.schema}.{plan.table}",
        created=plan.creates,
        notes=plan.notes,
        rows_before=rows,
        rows_before_estimated=is_estimate,
        inserted=changes.inserted,
        updated=changes.updated,
        skipped=copied - changes.inserted - changes.updated,
        deleted=changes.deleted,
        load_id=request.load_id,
    )
    return plan, report


async def _store(session: Session, plan: LoadPlan, sender: Sender) -> tuple[int, Changes]:
    """Send the rows, with what the server does before and after them; return their number, and what has changed."""
    if plan.work.replacement is not None:
        copied = await _replace_table(session, plan, plan.work.replacement, sender)
        return copied, Changes(copied, 0, None)
    deleted = await _prepare_table(session, plan)
    copied = await sender.run(session)
    _compare_counts(plan, copied, sender.rows)
    if plan.work.recount:
        await _recount(session, plan, copied)
    changes = Changes(copied, 0, deleted)
    if plan.work.merge is not None:
        changes = await merge(session, plan.work.merge)
    await _advance_sequences(session, plan)
    if plan.work.freezes and copied:
        await session.execute(sql.analyze(plan.schema, plan.table))
    return copied, changes


async def _recount(session: Session, plan: LoadPlan, copied: int) -> None:
    """Compare the rows that meet the condition with those loaded, under the user's path: nobody else writes.

    COPY looks at a row before its triggers do; what they have made of it, the next run would not delete. Nor are rows
    deleted that a trigger or a rule has kept.
    """
    [(found,)] = await session.fetch(plan.work.recount)
    if int(str(found)) != copied:
        raise CountError(
            f"{copied} rows were loaded, and {found} of the table's rows meet the condition {show_option('where')}: a"
            " trigger or a rule changes what it is about, or keeps rows from being deleted, so that a second run would"
            " store rows twice; nothing was loaded",
            expected=copied,
            found=int(str(found)),
        )


async def _replace_table(session: Session, plan: LoadPlan, replacement: Replacement, sender: Sender) -> int:
    """Put a table with the rows in the place of the old one; return their number."""
    with final_names(replacement):
        await begin_replacement(session, plan, replacement)
        copied = await sender.run(session)
        _compare_counts(plan, copied, sender.rows)
        await finish_replacement(session, plan, replacement)
    return copied


async def load_plan(request: LoadRequest) -> LoadPlan:
    """Plan a load and change nothing."""
    refuse_stray_options(request)
    plan_around(request)
    async with (
        _opened(request) as opened,
        open_session(request.dsn, request) as session,
        transaction(
            session,
            read_only=False,
            lock_timeout=request.lock_timeout,
            privileges=privileges_of(request),
        ),
    ):
        source = await shaped(session, opened, request)
        done = await foretell(session, source, request)
        plan = await _with_slow_notes(session, await make_plan(session, source, request, waits=False))
        await session.execute(sql.ROLLBACK)
        return replace(plan, notes=plan.notes + done)


async def _with_slow_notes(session: Session, plan: LoadPlan) -> LoadPlan:
    """Tell what of the table makes the load slow; a replace builds all of that behind the rows."""
    replaces = plan.work.replacement is not None
    table = None if plan.creates or replaces else await find_table(session, TableName(plan.schema, plan.table))
    if table is None:
        return plan
    return replace(plan, slow=slow_notes(await find_burdens(session, table), freezes=plan.work.freezes))


class _opened:  # noqa: N801 - reads as a verb
    """Open the source in a worker thread, close it at the end."""

    def __init__(self, request: LoadRequest) -> None:
        self._open = partial(open_to_load, request)
        self._source: Source | None = None

    async def __aenter__(self) -> Source:
        try:
            return await shelter.finish(anyio.to_thread.run_sync(self._open_source))
        except BaseException:
            self._close()
            raise

    async def __aexit__(self, *_: object) -> None:
        self._close()

    def _open_source(self) -> Source:
        self._source = self._open()
        return self._source

    def _close(self) -> None:
        if self._source is not None:
            self._source.close()


async def _prepare_table(session: Session, plan: LoadPlan) -> int | None:
    """Run what comes before the rows; return how many rows it deleted, or None where nobody counts them.

    TRUNCATE waits for every reader, but not for one that waits for this load.
    """
    truncates = MODES[plan.request.mode].truncates
    readers = []
    name = f"{plan.schema}.{plan.table}"
    if truncates and open_reads.any_open():
        readers = open_reads.among(await session.fetch(sql.holders_of(plan.schema, plan.table)))
        open_reads.refuse_source(readers, plan.request.source, name)
    for statement in plan.ddl + plan.work.before:
        work = partial(session.execute, sql.as_user(statement))
        await (open_reads.watch(readers, work, name) if readers else work())
    if not plan.work.delete:
        return None if truncates else 0
    with _naming_condition():
        async with users_path(session):
            return tag_rows(await session.execute(plan.work.delete))


@contextmanager
def _naming_condition() -> Iterator[None]:
    """Let the server's error about the user's condition say so: its spelling, its names, its values."""
    try:
        yield
    except DriverError as error:
        state = error.sqlstate or ""
        if state[:2] not in ("22", "42") or state == "42501":  # a right is missing, which says what to do
            raise
        raise error.about(show_option("where")) from error.__cause__


async def _advance_sequences(session: Session, plan: LoadPlan) -> None:
    """Take the sequences of the columns that were loaded past their values: the next INSERT shall not meet one.

    The path is the user's before, and again after: COMMIT runs the triggers that are deferred until then.
    """
    uses = plan.sequences
    if not (uses or plan.creates):
        return
    await session.execute(sql.OWN_PATH)
    if plan.creates and (table := await find_table(session, TableName(plan.schema, plan.table))):
        uses = loaded_sequences(plan, await find_sequences(session, table))
    for use in uses:
        # Two statements: between reading where the sequence is and setting it, no time shall pass.
        async with users_path(session):  # for the functions of the table's own policies
            [(last,)] = await session.fetch(sql.last_value(plan.schema, plan.table, use.column, use.options))
        if last is not None:
            await session.fetch(sql.advance_sequence(use.name, int(str(last)), ascends=use.options.ascends))
    await session.execute(sql.USERS_PATH)


def _compare_counts(plan: LoadPlan, copied: int, sent: int) -> None:
    """Compare what the server says it stored, what was sent, and what the source promised."""
    promised = sent if plan.source_rows is None else plan.source_rows
    if sent == 0 and empties(plan.request) and plan.request.if_empty == "error":
        raise empty_source(plan.request, plan.source)
    if sent == promised and copied < sent and plan.work.where:
        do = "does" if sent - copied == 1 else "do"
        raise CountError(
            f"{sent - copied} of the source's {sent} rows {do} not meet the condition {show_option('where')}, so"
            " nothing was loaded: leave such rows out of the source, or widen the condition",
            expected=sent,
            found=copied,
        )
    if not copied == sent == promised:
        raise CountError(
            f"the row counts differ, so nothing was loaded: the source promised {promised}, {sent} were sent,"
            f" the server stored {copied} (a trigger or a rule may have dropped rows)",
            expected=promised,
            found=sent if sent != promised else copied,
        )
