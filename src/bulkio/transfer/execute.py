"""Statements of the user's in one transaction: all of them, or none; with an id, once.

What is done once has a row in the ledger, written in the transaction of the statements. An advisory lock on the id
comes first: where it is free, the transaction of any other run has ended, and a statement that follows sees its row.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING
from uuid import uuid4

from bulkio import sql
from bulkio.errors import LedgerError, LoadDiffers
from bulkio.flow import shelter
from bulkio.plan import plan_statements, refuse_changed
from bulkio.show import show_name, show_option, show_value
from bulkio.sql import once as statements
from bulkio.sql import tables
from bulkio.sql.ledger import WATCH_CLIENT
from bulkio.transfer import ledger
from bulkio.transfer.around import run_statements
from bulkio.transfer.ledger_judge import ledger_judge
from bulkio.transfer.monitor import watching
from bulkio.transfer.report import ExecuteReport
from bulkio.transfer.retry import Retries
from bulkio.transfer.session import Judge, commit, open_session, server_judge, transaction
from bulkio.types import charset_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bulkio.options import ExecuteRequest
    from bulkio.plan import Statement
    from bulkio.protocols import Session
    from bulkio.transfer.monitor import Monitor
    from bulkio.transfer.session import Transaction

__all__ = ["execute"]

#: commands whose tags count the rows that they have changed
_CHANGES = frozenset({"INSERT", "UPDATE", "DELETE", "MERGE", "COPY"})
#: setting that keeps the search_path that the statements have left, which COMMIT's triggers go by
_PATH_SETTING = "bulkio.statements_path"


async def execute(request: ExecuteRequest) -> ExecuteReport:
    """Run statements, all or none.

    Raises any `BulkioError`; then nothing was changed, except where it is `OutcomeUnknown`.
    """
    planned = plan_statements(request.sql, request.params)
    async with watching(request) as monitor:
        return await Retries(request).run(partial(_try, request, planned, str(uuid4()), monitor))


async def _try(request: ExecuteRequest, planned: Sequence[Statement], run: str, monitor: Monitor) -> ExecuteReport:
    """Try once; `run` tells all tries of one call from other runs."""
    started = time.perf_counter()
    once = None if request.once is None else _Once(request, request.once, _digest_of(planned), run)
    async with open_session(request.dsn, request) as session:
        if once is not None:
            await once.prepare(session)
        async with transaction(session, read_only=False, lock_timeout=request.lock_timeout) as begun:
            with monitor.watch(begun.pid, "the SQL" if once is None else once.name):
                report = None if once is None else await once.take(session)
                if report is None:
                    report = await _run(session, request, planned, begun, once)
                else:
                    await session.execute(sql.ROLLBACK)
        await shelter.conclude(session.close())  # a cancellation comes too late
    return replace(report, seconds=time.perf_counter() - started)


async def _run(
    session: Session, request: ExecuteRequest, planned: Sequence[Statement], begun: Transaction, once: _Once | None
) -> ExecuteReport:
    tags = await run_statements(session, planned)
    rows = sum(_rows(statement, tag) for statement, tag in zip(planned, tags, strict=True))
    if once is None:
        judge = await server_judge(session, request.dsn, request, tells_place=begun.tells_place)
    else:
        judge = await once.record(session, rows)
    await commit(session, judge)
    return ExecuteReport(rows, tags, 0.0, session.driver, begun.lifted, request.once)


def _rows(statement: Statement, tag: str) -> int:
    """Return the rows that a statement has changed, by its command tag. CREATE TABLE AS has that of SELECT."""
    command, _, count = tag.rpartition(" ")
    makes_table = command == "SELECT" and sql.first_word(statement.text) == "create"
    return int(count) if makes_table or command.partition(" ")[0] in _CHANGES else 0


def _digest_of(planned: Sequence[Statement]) -> str:
    """Return what tells these statements, with their parameters, from others."""
    return hashlib.blake2b("\0".join(each.text for each in planned).encode(), digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class _Once:
    """One run's claim to the id of statements that are done once."""

    request: ExecuteRequest
    once_id: str
    digest: str
    run: str

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"SQL {show_value(self.once_id)}"

    async def prepare(self, session: Session) -> None:
        """Make the ledger where it is missing."""
        refuse_changed(charset_of(session.server_encoding), [self.once_id], "the id")
        await ledger.prepare(session, self.request.ledger_schema, tables.FOR_STATEMENTS)

    async def take(self, session: Session) -> ExecuteReport | None:
        """Lock the id in the transaction; return the report of the run that has done it, if one has.

        Raises:
            LoadDiffers: under this id, other statements were done.
        """
        schema = self.request.ledger_schema
        async with ledger.using(schema):
            await session.fetch(WATCH_CLIENT)
            await session.fetch(statements.lock(schema, self.once_id))
            rows = await session.fetch(statements.select(schema, self.once_id))
        if not rows:
            return None
        [(digest, count, run)] = rows
        if digest != self.digest:
            raise LoadDiffers(
                f"{self.name} is done, with other statements or parameters: for these, use another"
                f" {show_option('once')}",
                load_id=self.once_id,
                differences=("its statements",),
            )
        return ExecuteReport(int(str(count)), (), 0.0, session.driver, (), self.once_id, already=run != self.run)

    async def record(self, session: Session, rows: int) -> Judge:
        """Write the row into the statements' transaction; return the judge of its COMMIT.

        Raises:
            LedgerError: the row is not there, although nothing has refused it.
        """
        values = {"id": self.once_id, "digest": self.digest, "rows": str(rows)}
        values |= {"bulkio_version": version("bulkio"), "run": self.run}
        schema = self.request.ledger_schema
        await session.execute(f"{sql.save_path(_PATH_SETTING)}; {sql.OWN_PATH}")
        async with ledger.using(schema):
            await session.execute(statements.insert(schema, values))
            if not await self._is_recorded(session):
                raise LedgerError(
                    f"the ledger has not kept the row of {self.name}, so nothing was done: a trigger, a rule or a"
                    f" policy of {show_name(schema)}.{show_name(tables.STATEMENTS)} drops or hides it",
                    load_id=self.once_id,
                )
        await session.execute(sql.restore_path(_PATH_SETTING))
        advice = "run it again with the same id: the ledger knows whether it is done"
        return ledger_judge(self.request, self.name, advice, self._ask_after_lock)

    async def _is_recorded(self, session: Session) -> bool:
        rows = await session.fetch(statements.select(self.request.ledger_schema, self.once_id))
        return [row[2] for row in rows] == [self.run]

    async def _ask_after_lock(self, session: Session) -> bool:
        await session.fetch(statements.lock(self.request.ledger_schema, self.once_id))
        return await self._is_recorded(session)
