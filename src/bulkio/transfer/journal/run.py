"""One run in the hands of its owner: its lease, its steps, its marks. Whatever it writes needs its token."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from contextlib import asynccontextmanager, suppress
from shlex import quote
from typing import TYPE_CHECKING, TypeVar

import anyio

from bulkio.errors import BulkioError, ConnectError, LedgerError, RunTaken
from bulkio.flow import shelter
from bulkio.show import show_value
from bulkio.sql import runs as statements
from bulkio.transfer.journal.records import Mark, kept_error
from bulkio.transfer.journal.work import change, change_surely, keep_json, keep_text

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
    from datetime import datetime
    from typing import Literal

    from bulkio.options import LedgerRequest
    from bulkio.protocols import Row, Session
    from bulkio.transfer.journal.records import StepRecord, StepState

__all__ = ["LEASE_S", "Run"]

T = TypeVar("T")

#: seconds that a lease lasts, between two heartbeats, and between two tries of one that failed
LEASE_S = 30.0
BEAT_S = 10.0
RETRY_S = 1.0
#: seconds that recording a run's failure may take
LAST_WORDS_S = 10.0

_log = logging.getLogger("bulkio")


class Run:
    """A run, as its owner has it."""

    def __init__(
        self,
        request: LedgerRequest,
        pipeline: str,
        run: str,
        token: str,
        *,
        attempt: int,
        is_done: bool = False,
        logical_date: datetime | None = None,
        said_date: str | None = None,
        steps: tuple[StepRecord, ...] = (),
    ) -> None:
        self.pipeline = pipeline
        self.run = run
        #: number of times that it was begun, or gone on with
        self.attempt = attempt
        #: True if it was done before
        self.is_done = is_done
        #: time of its tick, as it was begun with
        self.logical_date = logical_date
        #: date that the user has said as it was begun, with the offset of the zone of then
        self.said_date = said_date
        #: what attempts before this one have recorded
        self.steps = steps
        self._request = request
        self._schema = request.ledger_schema
        self._token = token
        self._steps = {(step.step, step.item): step for step in steps}
        self._has_ended = is_done
        #: error that says that the run is no longer ours
        self._loss: BulkioError | None = None

    @property
    def name(self) -> str:
        """The run's name, pipeline/run."""
        return f"{self.pipeline}/{self.run}"

    def recorded(self, step: str, item: str = "") -> StepRecord | None:
        """Return what attempts before this one have recorded of a step; None where it was never begun."""
        ascii_item = item.encode("ascii", "backslashreplace").decode()  # as a database has it that is not in UTF-8
        return self._steps.get((step, item)) or self._steps.get((step, ascii_item))

    # --- the lease ------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Renew the lease while the block runs. A block that is left by an error ends the run: failed, or interrupted.

        Raises:
            RunTaken: another process has taken the run over; the block was cancelled.
            ConnectError: the server was out of reach until the lease ended; the block was cancelled.
        """
        with anyio.CancelScope() as scope:
            beat = asyncio.ensure_future(self._beat(scope))
            try:
                yield
            except BaseException as error:
                with suppress(asyncio.CancelledError):  # the error on its way says more
                    await shelter.finish(self._leave(beat, error))
                if self._loss is not None:
                    raise self._loss from None
                raise
            await shelter.conclude(_end(beat))
        if self._loss is not None and not self._has_ended:
            raise self._loss

    async def _beat(self, block: anyio.CancelScope) -> None:
        """Renew the lease until it is lost; then cancel the block."""
        renewed, pause_s = time.monotonic(), BEAT_S
        while self._loss is None:
            await anyio.sleep(pause_s)
            try:
                with anyio.fail_after(max(RETRY_S, renewed + LEASE_S - time.monotonic())):
                    await self._renew()
                renewed, pause_s = time.monotonic(), BEAT_S
            except RunTaken as error:
                self._loss = error
            except Exception as error:
                pause_s = RETRY_S
                _log.debug("the lease of run %s was not renewed (%s)", self.name, error)
                if time.monotonic() >= renewed + LEASE_S:
                    self._loss = self._unreachable(error)
        block.cancel()

    async def _renew(self) -> None:
        if not self._has_ended:
            await change(self._request, self._fenced(self._renewal()))

    def _renewal(self) -> str:
        return statements.renew_lease(self._schema, self.pipeline, self.run, self._token, LEASE_S)

    async def _leave(self, beat: asyncio.Task[None], error: BaseException) -> None:
        """End the heartbeat, and record how the run has ended, if it can be done soon."""
        await _end(beat)
        if self._has_ended or self._loss is not None or isinstance(error, RunTaken):
            return
        state = "failed" if isinstance(error, Exception) else "interrupted"
        text = (str(error) or type(error).__name__) if state == "failed" else None
        try:
            with anyio.fail_after(LAST_WORDS_S):
                await self._finish(state, text)
        except Exception as lost:
            _log.warning("run %s: how it ended could not be recorded (%s)", self.name, lost)

    # --- what it writes -------------------------------------------------------------------------------------

    async def start_step(
        self, step: str, item: str = "", *, load_id: str | None = None, detail: Mapping[str, object] | None = None
    ) -> int:
        """Record that a step begins, or is tried again; return the number of tries. Raises RunTaken."""

        async def put(session: Session) -> list[Row]:
            shown = None if detail is None else keep_json(session, dict(detail))
            values = {"state": "running", "load_id": load_id, "detail": shown}
            return await self._put_step(session, step, item, values, starts=True)

        rows = await self._surely(put)
        return int(str(rows[0][0]))

    async def end_step(
        self,
        step: str,
        item: str = "",
        state: StepState = "done",
        *,
        rows: int | None = None,
        bytes: int | None = None,  # noqa: A002 - the reports' word
        error: str | None = None,
        mark: str | None = None,
    ) -> None:
        """Record how a step has ended; with a `mark`, what was proposed is now the step's mark.

        Raises:
            RunTaken: the run has another owner.
            LedgerError: another run has proposed another mark meanwhile.
        """
        counts = {"rows": rows, "bytes": bytes}
        values = {name: None if count is None else str(count) for name, count in counts.items()}
        values |= {"state": state, "error": None if error is None else kept_error(error)}

        async def put(session: Session) -> None:
            await self._put_step(session, step, item, values, starts=False)
            if mark is None:
                return
            if not await session.fetch(statements.move_mark(self._schema, self.pipeline, step, mark)):
                raise LedgerError(
                    f"step {show_value(step)} of run {show_value(self.name)}: another run has exported another window"
                    " meanwhile, so the mark stays where it is: run it again, one run at a time"
                )

        await self._surely(put)

    async def _put_step(
        self, session: Session, step: str, item: str, values: Mapping[str, str | None], *, starts: bool
    ) -> list[Row]:
        key = {"pipeline": self.pipeline, "run": self.run, "step": step, "item": keep_text(session, item)}
        kept = {name: None if text is None else keep_text(session, text) for name, text in values.items()}
        statement = statements.put_step(self._schema, key, self._token, kept, starts=starts)
        return await self._fenced(statement)(session)

    async def mark(self, step: str) -> Mark:
        """Return how far an incremental step's exports are."""
        statement = statements.select_mark(self._schema, self.pipeline, step)
        rows = await self._surely(lambda session: session.fetch(statement))
        if not rows:
            return Mark()
        mark, pending, pending_to = (None if text is None else str(text) for text in rows[0])
        return Mark(mark, pending, None if pending_to is None else json.loads(pending_to))

    async def propose(self, step: str, mark: str | None, pending: str, pending_to: str) -> bool:
        """Record a window's end, and the file that is going to be made of it, before it is made.

        Return False where that is not the next window, as another run has exported, or begun, one since `mark`.
        Raises RunTaken.
        """
        key = {"pipeline": self.pipeline, "run": self.run, "step": step}
        # As JSON, whose escapes every encoding has: the file's name is taken from here again.
        window = {"pending": pending, "pending_to": json.dumps(pending_to)}
        statement = statements.propose_mark(self._schema, key, self._token, mark, window)

        async def put(session: Session) -> bool:
            if await session.fetch(statement):
                return True
            await self._fenced(self._renewal())(session)
            return False

        return await self._surely(put)

    async def finish(self, state: Literal["done", "failed", "interrupted"], error: str | None = None) -> None:
        """Record how the run has ended. A cancellation meanwhile comes too late if it can be recorded soon.

        Raises:
            RunTaken: the run has another owner.
        """
        patience = anyio.CancelScope()

        def limit_patience() -> None:
            patience.deadline = anyio.current_time() + LAST_WORDS_S

        async def work() -> None:
            with patience:
                await self._finish(state, error)
            if patience.cancelled_caught:
                raise ConnectError(f"run {self.name}: the server was not told how it ended, within {LAST_WORDS_S:g} s")

        await shelter.conclude(work(), on_cancel=limit_patience)

    async def _finish(self, state: str, error: str | None) -> None:
        text = None if error is None else kept_error(error)

        async def put(session: Session) -> None:
            kept = None if text is None else keep_text(session, text)
            await self._fenced(statements.finish_run(self._schema, self.pipeline, self.run, self._token, state, kept))(
                session
            )
            await session.execute(statements.interrupt_steps(self._schema, self.pipeline, self.run))

        await self._surely(put)
        self._has_ended = True

    def _fenced(self, statement: str) -> Callable[[Session], Awaitable[list[Row]]]:
        """Return work that runs a statement, which returns no row where the run has another owner."""

        async def run(session: Session) -> list[Row]:
            rows = await session.fetch(statement)
            if not rows:
                raise RunTaken(
                    f"run {show_value(self.name)} is no longer this process's: its lease had run out, and another one"
                    f" has taken it over; see `bulkio runs show {quote(self.name)}`",
                    run=self.name,
                )
            return rows

        return run

    async def _surely(self, work: Callable[[Session], Awaitable[T]]) -> T:
        return await change_surely(self._request, work, patience_s=LEASE_S)

    def _unreachable(self, error: Exception) -> ConnectError:
        return ConnectError(
            f"run {show_value(self.name)}: the server was out of reach for {LEASE_S:.0f} s, so that its lease has run"
            f" out, and its work was ended ({error})",
            retryable=True,
        )


async def _end(task: asyncio.Task[None]) -> None:
    """Cancel a task, and wait until it has closed what it opened."""
    task.cancel()
    await asyncio.wait((task,))
