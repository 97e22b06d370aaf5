"""The end of a load in two phases that nobody may be at work on any more: by its recorded state, whoever comes."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol

import anyio

from bulkio import sql
from bulkio.errors import DriverError, LedgerError, LoadRunning
from bulkio.show import show_name, show_value
from bulkio.sql import ledger as statements
from bulkio.sql import two_phase
from bulkio.transfer import ledger
from bulkio.transfer.session import ConnectOptions, open_session, transaction

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bulkio.protocols import Session

__all__ = ["TWO_PHASES", "SettleOptions", "settle", "settle_if_dead"]

#: states of a load whose transactions may be prepared
TWO_PHASES = frozenset({"preparing", "committing", "aborting"})


#: seconds to wait for the end of a load's transactions whose client is gone; the server looks each second
_PATIENCE_S = 30.0
_POLL_S = 0.1
#: SQLSTATE undefined_object and object_not_in_prerequisite_state: somebody else has ended that transaction, or is just
#: ending it, by the same recorded state
_ENDED = frozenset({"42704", "55000"})


class SettleOptions(ConnectOptions, Protocol):
    """What of a request's options is needed."""

    @property
    def dsn(self) -> str | None:
        """The database."""

    @property
    def lock_timeout(self) -> str | None:
        """How long to wait for each lock."""


async def settle_if_dead(request: SettleOptions, schema: str, load_id: str, *, waits: bool) -> str:
    """Settle a load at which nobody is at work: whoever is has its lock. Returns and raises as `settle`.

    Raises:
        LoadRunning: somebody is, and this `waits` not.
    """
    async with (
        open_session(request.dsn, request) as session,
        transaction(session, read_only=False, lock_timeout=request.lock_timeout),
        ledger.using(schema),
    ):
        if await session.fetch(statements.lock_load(schema, load_id, waits=waits)) == [(False,)]:
            raise LoadRunning(f"another run is at work on load {show_value(load_id)}", load_id=load_id)
        return await settle(request, schema, load_id)


async def settle(request: SettleOptions, schema: str, load_id: str, begun_by: str | None = None) -> str:
    """End a load's prepared transactions by its recorded state; one that nobody has decided on is rolled back.

    Return that state. Then the load is done, or has no row any more. Where only a load is meant that was `begun_by` a
    run, and another has begun it anew, that one has settled it: nothing is done, and "" returned.

    Raises:
        LedgerError: they are another role's, or those who may prepare still are at work after `_PATIENCE_S`.
    """
    async with open_session(request.dsn, request) as session:
        load = _Settled(session, request, schema, load_id, begun_by)
        state = await load.decide()
        if state in ("committing", "aborting"):
            await load.end_all(state)
            await load.close(state)
    return state


class _Settled:
    """A load whose transactions are to be ended."""

    def __init__(
        self, session: Session, request: SettleOptions, schema: str, load_id: str, begun_by: str | None
    ) -> None:
        self.session = session
        self.request = request
        self.schema = schema
        self.load_id = load_id
        #: the run that has begun it
        self.begun_by = begun_by

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[None]:
        limit = self.request.lock_timeout
        async with transaction(self.session, read_only=False, lock_timeout=limit), ledger.using(self.schema):
            yield
            await self.session.execute(sql.COMMIT)

    async def _state(self) -> str:
        rows = await self.session.fetch(statements.lock_row(self.schema, self.load_id))
        state, run = map(str, rows[0]) if rows else ("", "")
        if self.begun_by is None:
            self.begun_by = run
        return state if self.begun_by == run else ""

    async def _move(self, before: str, after: str) -> None:
        # The run stays: by it, the one that has decided knows its own decision again.
        run = str(self.begun_by)
        await self.session.fetch(statements.move_state(self.schema, self.load_id, run, before, after, {}))

    async def decide(self) -> str:
        """Return the load's state, which is not `preparing` any more; "" where it has no row."""
        async with self._transaction():
            state = await self._state()
            if state == "preparing":
                await self._move("preparing", "aborting")
                return "aborting"
        return state

    async def end_all(self, state: str) -> None:
        """Commit or roll back whatever is prepared, until nobody is left who may prepare."""
        decided = statements.name_prefix(self.schema, self.load_id, str(self.begun_by))
        deadline = anyio.current_time() + _PATIENCE_S
        while True:
            for name, owner in await self.session.fetch(self._prepared()):
                if owner is not None:
                    raise LedgerError(
                        f"load {show_value(self.load_id)} has prepared transactions of role {show_name(str(owner))},"
                        " which alone may end them: load again as that role, or as a superuser",
                        load_id=self.load_id,
                    )
                commits = state == "committing" and str(name).startswith(decided)
                end = two_phase.commit_prepared if commits else two_phase.rollback_prepared
                await self._end(end(str(name)))
            if await self._is_alone():
                return
            if anyio.current_time() > deadline:
                raise LedgerError(
                    f"transactions of load {show_value(self.load_id)} are still at work: try again later",
                    load_id=self.load_id,
                )
            await anyio.sleep(_POLL_S)

    def _prepared(self) -> str:
        return two_phase.prepared(statements.prefix_of(self.schema, self.load_id))

    async def _end(self, statement: str) -> None:
        try:
            await self.session.execute(statement)
        except DriverError as error:
            if error.sqlstate not in _ENDED:
                raise

    async def _is_alone(self) -> bool:
        async with transaction(self.session, read_only=True):
            statement = statements.lock_work(self.schema, self.load_id, alone=True)
            return await self.session.fetch(statement) == [(True,)]

    async def close(self, state: str) -> None:
        """Record that it is done, or take it out of the ledger."""
        async with self._transaction():
            if state == "committing":
                await self._move("committing", "done")
            elif await self._state() == "aborting":
                await self.session.execute(statements.delete_load(self.schema, self.load_id))
