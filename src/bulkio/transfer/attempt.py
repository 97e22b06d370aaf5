"""One try of a load: what it was asked for, and what is the same in each of its transactions."""

from __future__ import annotations

import logging
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bulkio.errors import ConnectError
from bulkio.files import FileSource
from bulkio.files.shape import ShapedSource
from bulkio.plan import MODES, ONE, privileges_of
from bulkio.transfer.planning import make_plan
from bulkio.transfer.report import LoadReport
from bulkio.transfer.send import Sender
from bulkio.transfer.session import open_session, transaction
from bulkio.transfer.shape import shaped
from bulkio.transfer.sieve import Sieve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager, AsyncExitStack

    from bulkio.options import LoadRequest
    from bulkio.plan import LoadPlan, Sharing
    from bulkio.protocols import Chunk, Session, Source
    from bulkio.transfer.merge import Changes
    from bulkio.transfer.monitor import Monitor, Watched
    from bulkio.transfer.rejects import Rejects
    from bulkio.transfer.send import Tally
    from bulkio.transfer.session import Transaction

__all__ = ["Attempt"]

#: SQLSTATE too_many_connections, of the server, the database or the role
_TOO_MANY_CONNECTIONS = "53300"

_log = logging.getLogger("bulkio")


@dataclass(slots=True)
class Attempt:
    """One try of a load."""

    request: LoadRequest
    #: source as it was opened
    opened: Source
    #: mark of all tries of one call, against those of others
    run: str
    monitor: Monitor
    #: what becomes of records that cannot be stored; None where the first of them ends the load
    rejects: Rejects | None = None
    started: float = field(default_factory=time.perf_counter)
    _shaped: Source | None = None
    #: what is watched of each session: its latest transaction
    _watched: dict[Session, Watched] = field(default_factory=dict)

    @property
    def source(self) -> Source:
        """The source with the columns that the request asks for, from the first plan on."""
        return self.opened if self._shaped is None else self._shaped

    @property
    def rejected(self) -> int:
        """Records rejected so far."""
        return 0 if self.rejects is None else self.rejects.rejected

    @asynccontextmanager
    async def transaction(
        self, session: Session, name: str = "the load", *, holds_to_end: bool = False
    ) -> AsyncIterator[Transaction]:
        """Begin a transaction of the load's; it is rolled back at the end unless the body has committed.

        It is watched by the monitor under this name; `holds_to_end` as `Monitor.watch` has it.
        """
        request = self.request
        async with transaction(
            session, read_only=False, lock_timeout=request.lock_timeout, privileges=privileges_of(request)
        ) as begun:
            with self.monitor.watch(begun.pid, name, holds_to_end=holds_to_end) as watched:
                self._watched[session] = watched
                yield begun

    def sender(
        self, session: Session, plan: LoadPlan, tally: Tally, chunk: Chunk | None = None, number: str = ""
    ) -> Sender | Sieve:
        """Make a sender for a session that is in a transaction; the monitor sees by it whether rows travel."""
        sender: Sender | Sieve = (
            Sender(plan, self.source, tally, chunk, number)
            if self.rejects is None
            else Sieve(plan, self.source, tally, self.rejects, chunk, number)
        )
        if (watched := self._watched.get(session)) is not None:
            watched.pulse = lambda: (sender.rows, sender.bytes)
        return sender

    def connection(self) -> AbstractAsyncContextManager[Session]:
        """Open one more session."""
        return open_session(self.request.dsn, self.request)

    async def spare_connection(self, stack: AsyncExitStack) -> Session | None:
        """Open one more session, which the stack closes; None where the server has none left: others do its work."""
        try:
            return await stack.enter_async_context(self.connection())
        except ConnectError as error:
            if error.sqlstate != _TOO_MANY_CONNECTIONS:
                raise
            _log.debug("a worker less: %s", error)
            return None

    async def plan(self, session: Session, *, waits: bool = True) -> LoadPlan:
        """Plan in a transaction, which locks the table; from then on, only columns that are loaded are read.

        What is carried out `waits` for those who create or change the table.
        """
        if self._shaped is None:
            self._shaped = await shaped(session, self.opened, self.request)
        plan = await make_plan(session, self.source, self.request, waits=waits)
        if isinstance(self.source, FileSource | ShapedSource):
            # The next plan would drop a generated column that the source lacks from a table that is replaced.
            kept = plan.skipped if MODES[self.request.mode].replaces else ()
            self.source.leave_out({*self.source.schema.names}.difference((field.name for field in plan.fields), kept))
        return plan

    def report(
        self,
        session: Session,
        plan: LoadPlan,
        tally: Tally,
        changes: Changes,
        *,
        sharing: Sharing = ONE,
        lifted: tuple[str, ...] = (),
        rows_before: tuple[int | None, bool] = (None, False),
    ) -> LoadReport:
        """Tell what was done; `session` is one that did it, and `tally` counts the rows that were stored."""
        rejects = self.rejects
        rows = tally.rows - (0 if rejects is None else rejects.staged)
        return LoadReport(
            rows=rows,
            bytes=tally.bytes,
            seconds=time.perf_counter() - self.started,
            driver=session.driver,
            method=plan.method,
            mode=self.request.mode,
            table=f"{plan.schema}.{plan.table}",
            created=plan.creates,
            notes=plan.notes,
            lifted=lifted,
            rows_before=rows_before[0],
            rows_before_estimated=rows_before[1],
            inserted=changes.inserted,
            updated=changes.updated,
            skipped=rows - changes.inserted - changes.updated,
            deleted=changes.deleted,
            load_id=self.request.load_id,
            workers=sharing.workers,
            commit=self.request.commit,
            why_one=sharing.why_one,
            visibility=sharing.visibility,
            rejected=self.rejected,
            rejects=None if rejects is None else rejects.path,
        )
