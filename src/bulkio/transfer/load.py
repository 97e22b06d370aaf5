"""The load: carry out a `LoadPlan` in one transaction, and report.

`send` reads and encodes beside the driver, in one thread or two.
"""

from __future__ import annotations

import time
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
    find_table,
)
from bulkio.files import FileSource
from bulkio.files.shape import ShapedSource
from bulkio.flow import shelter
from bulkio.plan import (
    LoadPlan,
    plan_around,
    privileges_of,
    refuse_stray_options,
    slow_notes,
)
from bulkio.protocols import Progress
from bulkio.transfer.around import run_after, run_before
from bulkio.transfer.claim import foretell, make_claim
from bulkio.transfer.planning import make_plan
from bulkio.transfer.report import LoadReport
from bulkio.transfer.retry import Retries
from bulkio.transfer.rows_before import rows_before
from bulkio.transfer.send import Sender, open_to_load
from bulkio.transfer.session import commit, open_session, server_judge, transaction
from bulkio.transfer.shape import shaped
from bulkio.transfer.storing import store

if TYPE_CHECKING:
    from bulkio.options import LoadRequest
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
    copied, changes = await store(session, plan, sender)
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
