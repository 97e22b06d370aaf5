"""A load in a transaction of the caller's: within one savepoint, with his settings as they were behind it.

Nothing here commits or ends the caller's transaction. Its connection is closed only where not even the way back to the
savepoint can be gone: rather that than rows that might be committed by mistake.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from secrets import token_hex
from typing import TYPE_CHECKING
from uuid import uuid4

import anyio

from bulkio import sql
from bulkio.choices import milliseconds
from bulkio.drivers.joined import joined_session
from bulkio.drivers.unusable import BUSY, FAILED, unusable
from bulkio.errors import ConnectError, DriverError, LedgerError
from bulkio.flow import shelter
from bulkio.plan import ONE, privileges_of
from bulkio.show import show_option
from bulkio.sql import joining, savepoints
from bulkio.transfer.at_once import carry_out
from bulkio.transfer.attempt import Attempt
from bulkio.transfer.claim import Unfinished, make_claim
from bulkio.transfer.monitor import Monitor
from bulkio.transfer.opening import opened_source
from bulkio.transfer.session import ROLLBACK_TIMEOUT_S, Transaction, with_advice

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from bulkio.options import LoadRequest
    from bulkio.plan import LoadPlan
    from bulkio.protocols import JoinedSession, Session
    from bulkio.transfer.claim import Claim
    from bulkio.transfer.report import LoadReport

__all__ = ["joined", "load_joined"]

#: SQLSTATE in_failed_sql_transaction
_FAILED = "25P02"
#: seconds between two tries to undo what was done
_RETRY_S = 0.1


async def load_joined(request: LoadRequest) -> LoadReport:
    """Load in the transaction of the request's connection, which goes on. Raises as `load` does."""
    async with joined(request) as (session, begun), opened_source(request) as source:
        # nobody looks for whom it waits: that would take another connection
        attempt = Attempt(request, source, str(uuid4()), Monitor(request))
        claim = await make_claim(session, source, request, attempt.run)
        if claim is not None and (done := await _take(session, claim)) is not None:
            await session.execute(begun.undo)
            return done
        plan, report = await carry_out(session, attempt, begun, ONE)
        if claim is not None:
            await claim.record(session, plan, report)
        await _clean_up(session, plan)
        return report


async def _take(session: Session, claim: Claim) -> LoadReport | None:
    """Take a load's id; return the report of the run that has done it, if one has. Raises as `Claim.take` does."""
    try:
        return await claim.take(session)
    except Unfinished:
        raise LedgerError(
            f"{claim.name} is unfinished: it was begun in transactions of its own, in which alone it can go on; load"
            f" without {show_option('connection')}, or use another id",
            load_id=claim.load_id,
        ) from None


async def _clean_up(session: JoinedSession, plan: LoadPlan) -> None:
    """Drop what would go with COMMIT, and let the caller's statements meet the table as it is now."""
    if plan.work.staging is not None:
        await session.execute(sql.drop_if_exists(*plan.work.staging))
    if plan.work.replacement is not None or (plan.ddl and not plan.creates):
        await session.forget_statements()


@asynccontextmanager
async def joined(request: LoadRequest) -> AsyncIterator[tuple[JoinedSession, Transaction]]:
    """Begin a savepoint in the caller's transaction, and pin its settings; undo all of it where the block fails.

    Otherwise what was done stays, and the settings are again what they were.

    Raises:
        ConfigError: the connection cannot be used, or its transaction is not one in which a load can be right.
    """
    async with joined_session(request.connection) as session:
        point = _Point(session)
        try:
            await point.set()
            settings = await _settings(session)
            yield session, await _pin(session, request, point)
            await point.release(await _changed(session, settings))
        except DriverError as error:
            await point.roll_back()
            if (advised := await with_advice(session, error, privileges_of(request))) is not None:
                raise advised from error
            raise
        finally:
            await point.take_back()


async def _settings(session: Session) -> dict[str, str | None]:
    """Return the settings as the caller has them.

    Raises:
        ConfigError: his transaction may only read, or sees what was there as it began.
    """
    [row] = await session.fetch(joining.STATE)
    # psycopg gives text as bytes where the client's encoding is SQL_ASCII, as in a database of that
    isolation, read_only, encoding = [value.decode() if isinstance(value, bytes) else str(value) for value in row]
    if isolation not in ("read committed", "read uncommitted"):  # the server takes the second for the first
        raise unusable(
            f"its transaction is {isolation.upper()}, and a load needs READ COMMITTED: what others store while it"
            " waits for a lock would be there, and not be seen"
        )
    if read_only != "off":
        raise unusable("its transaction is READ ONLY, or its server is a standby")
    await session.execute(joining.READ_AS_UTF8)
    return {**await _current(session), "client_encoding": encoding}


async def _current(session: Session) -> dict[str, str | None]:
    rows = await session.fetch(joining.SETTINGS)
    return {str(name): None if value is None else str(value) for name, value in rows}


async def _changed(session: Session, settings: Mapping[str, str | None]) -> dict[str, str | None]:
    """Return those of the settings that are not what they were, with what they were."""
    now = await _current(session)
    return {name: value for name, value in settings.items() if name in now and now[name] != value}


async def _pin(session: Session, request: LoadRequest, point: _Point) -> Transaction:
    """Pin the settings for the load, as in a transaction of its own."""
    limit_ms = None if request.lock_timeout is None else milliseconds("lock_timeout", request.lock_timeout)
    await session.execute("; ".join(sql.session_pins(export=False, lock_timeout_ms=limit_ms)))
    rows = await session.fetch(joining.LIFT_TIMEOUTS)
    lifted = tuple(f"{name} of {limit_ms} ms" for _, name, limit_ms, _ in rows if name is not None)
    return Transaction(lifted, tells_place=False, pid=int(str(rows[0][0])), undo=point.undo)


class _Point:
    """The savepoint behind which all of a load lies."""

    def __init__(self, session: JoinedSession) -> None:
        self._session = session
        #: name that nothing of the caller's has: to undo it twice must not undo what is his
        self._name = f"bulkio_{token_hex(8)}"
        self._is_set = False

    @property
    def undo(self) -> str:
        """The statement that undoes all behind it."""
        return savepoints.roll_back_to(self._name)

    async def set(self) -> None:
        """Set it. A cancellation waits: a statement that the server cancels here takes the caller's work with it.

        Raises:
            ConfigError: the transaction has failed, or something else uses the connection.
        """
        await shelter.finish(self._set())

    async def _set(self) -> None:
        try:
            await self._session.execute(savepoints.savepoint(self._name))
        except ConnectError:
            raise
        except DriverError as error:
            if error.sqlstate == _FAILED:
                raise unusable(FAILED) from error
            if error.sqlstate is None:  # it is the driver that refuses
                raise unusable(BUSY) from error
            raise
        self._is_set = True

    async def release(self, settings: Mapping[str, str | None]) -> None:
        """Set settings to these values, and keep what was done. A cancellation that comes meanwhile comes too late."""
        statement = savepoints.release(self._name)
        if settings:
            statement = f"{joining.restore(settings)}; {statement}"
        patience = anyio.CancelScope()

        def limit_patience() -> None:
            patience.deadline = anyio.current_time() + ROLLBACK_TIMEOUT_S

        await shelter.conclude(self._release(statement, patience), on_cancel=limit_patience)

    async def _release(self, statement: str, patience: anyio.CancelScope) -> None:
        with patience:
            await self._session.execute(statement)
            self._is_set = False
        if self._is_set:
            await self._session.close()
            raise ConnectError("the server did not answer, and the connection was closed", sqlstate="08006")

    async def roll_back(self) -> None:
        """Undo all behind it, and keep it."""
        await self._until_done(self.undo)

    async def take_back(self) -> None:
        """Undo all behind it, and it."""
        await self._until_done(savepoints.take_back(self._name))
        self._is_set = False

    async def _until_done(self, statement: str) -> None:
        if self._is_set and not self._session.closed:  # else nothing is awaited: a cancellation would replace the error
            await shelter.finish(self._try_until_done(statement))

    async def _try_until_done(self, statement: str) -> None:
        """Run it, and again where a late cancellation or another task's statement met it; or close the connection."""
        with anyio.move_on_after(ROLLBACK_TIMEOUT_S):
            while not self._session.closed:
                try:
                    await self._session.execute(statement)
                except DriverError:
                    await anyio.sleep(_RETRY_S)
                else:
                    return
        await self._session.close()
