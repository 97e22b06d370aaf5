"""What the journal shows, the latest runs and one of them with its steps; and what it forgets."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from bulkio import sql
from bulkio.choices import days
from bulkio.errors import LedgerError
from bulkio.show import did_you_mean, show_value
from bulkio.sql import runs as statements
from bulkio.sql import tables
from bulkio.transfer import ledger
from bulkio.transfer.journal.records import run_of, step_of
from bulkio.transfer.session import open_session, transaction

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bulkio.options import GcRequest, RunRecordRequest, RunsRequest
    from bulkio.protocols import Session
    from bulkio.transfer.journal.records import RunRecord

__all__ = ["gc_runs", "list_runs", "show_run"]

#: number of runs searched for the one that was meant
_NEAR_RUNS = 10_000


@asynccontextmanager
async def _opened(
    request: RunsRequest | RunRecordRequest | GcRequest, *, changes: bool = False
) -> AsyncIterator[Session | None]:
    """Begin on the journal; None where it was never made. What the body `changes` is committed."""
    schema = request.ledger_schema
    async with open_session(request.dsn, request) as session:
        if not all([await ledger.exists(session, schema, table) for table in tables.JOURNAL]):
            yield None
            return
        async with (
            transaction(session, read_only=not changes, lock_timeout=request.lock_timeout),
            ledger.using(schema),
        ):
            yield session
            if changes:
                await session.execute(sql.COMMIT)


async def list_runs(request: RunsRequest) -> tuple[RunRecord, ...]:
    """Return the latest runs, of one pipeline or of all, without their steps."""
    async with _opened(request) as session:
        if session is None:
            return ()
        rows = await session.fetch(statements.select_runs(request.ledger_schema, request.pipeline, limit=request.limit))
    return tuple(map(run_of, rows))


async def show_run(request: RunRecordRequest) -> RunRecord:
    """Return a run with its steps.

    Raises:
        LedgerError: there is none of this id, or more than one.
    """
    schema = request.ledger_schema
    async with _opened(request) as session:
        if session is None:
            raise LedgerError(f"the journal has no run {show_value(request.run)}")
        record = await _find(session, schema, request.run)
        steps = await session.fetch(statements.select_steps(schema, record.pipeline, record.run))
    return replace(record, steps=tuple(map(step_of, steps)))


async def _find(session: Session, schema: str, name: str) -> RunRecord:
    """Return the run that `name` means: pipeline/run, or the run's id alone where one pipeline has such a run."""
    pipeline, slash, run = name.partition("/")
    keys = [(pipeline, run)] if slash and pipeline and run else []
    for key in (*keys, (None, name)):
        found = list(map(run_of, await session.fetch(statements.select_runs(schema, *key, limit=2))))
        if len(found) > 1:
            names = " and ".join(record.name for record in found)
            raise LedgerError(f"several pipelines have a run {show_value(name)}: say which one, such as {names}")
        if found:
            return found[0]
    known = await session.fetch(statements.run_keys(schema, limit=_NEAR_RUNS))
    near = did_you_mean(name, [f"{pipeline}/{run}" for pipeline, run in known])
    raise LedgerError(f"the journal has no run {show_value(name)}{near and f'; {near}'}")


async def gc_runs(request: GcRequest) -> tuple[RunRecord, ...]:
    """Forget the runs that ended long ago, with their steps; return them."""
    statement = statements.delete_older(request.ledger_schema, days("older_than", request.older_than))
    async with _opened(request, changes=True) as session:
        rows = [] if session is None else await session.fetch(statement)
    return tuple(map(run_of, rows))
