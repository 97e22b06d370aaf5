"""Sessions as the use cases need them: opened from a DSN, one pinned transaction, a COMMIT whose outcome is known."""

from __future__ import annotations

import os
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol

import anyio
import anyio.to_thread

from bulkio import drivers, sql
from bulkio.drivers.conninfo import ConnInfo, choose_driver, default_dsn, parse_conninfo
from bulkio.errors import BulkioError, ConnectError, DriverError, OutcomeUnknown

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from bulkio.protocols import DriverChoice, Session

__all__ = ["commit", "open_session", "resolve_dsn", "transaction"]

EMBEDDED = "embedded"

#: after COMMIT's reply was lost: how long to ask the server what became of it
OUTCOME_TIMEOUT_S = 30.0
#: how long a statement that was cancelled may take to end; then the connection goes, and the transaction with it
ROLLBACK_TIMEOUT_S = 10.0
OUTCOME_RETRY_S = 0.2


class ConnectOptions(Protocol):
    """What of the options concerns the connection."""

    @property
    def driver(self) -> DriverChoice: ...
    @property
    def password(self) -> str | Callable[[], str] | None: ...


def resolve_dsn(dsn: str | None, password: str | Callable[[], str] | None = None) -> ConnInfo:
    """Find the server: the DSN, the environment, or on a terminal the embedded one (started where it does not run)."""
    chosen = default_dsn(dsn=dsn, environ=os.environ, interactive=sys.stdin.isatty() and sys.stderr.isatty())
    if chosen == EMBEDDED:
        from bulkio import server

        return parse_conninfo(server.ensure())
    return parse_conninfo(chosen, password=password)


@asynccontextmanager
async def open_session(dsn: str | None, options: ConnectOptions) -> AsyncIterator[Session]:
    """Connect; close at the end, whatever happens."""
    session = await _connect(dsn, options)
    try:
        yield session
    finally:
        with anyio.CancelScope(shield=True):
            await session.close()


async def _connect(dsn: str | None, options: ConnectOptions) -> Session:
    info = await anyio.to_thread.run_sync(resolve_dsn, dsn, options.password)
    return await drivers.connect(info, choose_driver(info, options.driver))


@asynccontextmanager
async def transaction(session: Session, *, read_only: bool) -> AsyncIterator[None]:
    """Begin and pin the session's settings; roll back at the end unless the body has committed."""
    await session.execute(sql.begin(read_only=read_only))
    await session.execute("; ".join(sql.session_pins(export=read_only)))
    try:
        yield
    except BaseException:
        await _roll_back(session)
        raise
    if read_only:  # there is nothing to commit, and a reader may have left in mid-stream
        await _roll_back(session)


async def _roll_back(session: Session) -> None:
    with anyio.move_on_after(ROLLBACK_TIMEOUT_S, shield=True):
        if not session.closed:
            try:
                await session.execute(sql.ROLLBACK)
            except DriverError:
                pass
            else:
                return
    with anyio.CancelScope(shield=True):
        await session.close()


async def commit(session: Session, dsn: str | None, options: ConnectOptions) -> None:
    """Commit, and know whether it took effect.

    Raises:
        ConnectError: the connection was lost, and the server says that nothing was changed.
        OutcomeUnknown: the connection was lost, and the server could not be asked, or has forgotten.
    """
    xact_id = str((await session.fetch(sql.XACT_ID))[0][0])
    with anyio.CancelScope(shield=True):
        try:
            tag = await session.execute(sql.COMMIT)
        except ConnectError as lost:
            await _settle(xact_id, lost, dsn, options)
            return
    if tag != "COMMIT":
        raise BulkioError(f"the server answered COMMIT with {tag}: nothing was changed")


async def _settle(xact_id: str, lost: ConnectError, dsn: str | None, options: ConnectOptions) -> None:
    """Ask a new session what became of a transaction whose COMMIT got no reply."""
    status: object = "unreachable"
    with anyio.move_on_after(OUTCOME_TIMEOUT_S):
        while True:
            try:
                async with open_session(dsn, options) as session:
                    status = (await session.fetch(sql.xact_status(xact_id)))[0][0]
            except ConnectError:
                status = "unreachable"
            except DriverError:
                # The id lies in the future: another server, or one that lost its latest transactions.
                status = None
            if status not in ("in progress", "unreachable"):
                break
            await anyio.sleep(OUTCOME_RETRY_S)
    if status == "committed":
        return
    if status == "aborted":
        raise ConnectError(
            f"the connection was lost during COMMIT; the server says that nothing was changed ({lost})",
            sqlstate=lost.sqlstate,
            retryable=True,
        ) from lost
    raise OutcomeUnknown(
        f"the connection was lost during COMMIT and its outcome is unknown: transaction {xact_id} is"
        f" {status or 'forgotten by the server'}; look at the table before you load again ({lost})",
        sqlstate=lost.sqlstate,
    ) from lost
