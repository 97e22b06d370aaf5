"""The ledger as the judge of a COMMIT that gets no reply: it has the run's row, or has it not.

It is right on whatever server answers: the row is there where what it records is.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from bulkio import sql
from bulkio.errors import ConnectError, DriverError
from bulkio.transfer.session import (
    IN_PROGRESS,
    STANDBY,
    UNREACHABLE,
    Judge,
    ServerOptions,
    open_session,
    transaction,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from bulkio.protocols import Session

__all__ = ["ledger_judge"]

#: SQLSTATE lock_not_available
_LOCKED = "55P03"


def ledger_judge(request: ServerOptions, subject: str, advice: str, ask: Callable[[Session], Awaitable[bool]]) -> Judge:
    """Return a judge that asks a session of its own, once the transaction has surely ended: `ask` waits for that."""
    return Judge(partial(_answer, request, ask), subject, advice, retryable=True)


async def _answer(request: ServerOptions, ask: Callable[[Session], Awaitable[bool]]) -> str:
    try:
        async with (
            open_session(request.dsn, request, fresh=True) as session,
            transaction(session, read_only=False, lock_timeout="0"),
        ):
            if await session.fetch(sql.IS_IN_RECOVERY) == [(True,)]:
                return STANDBY
            return "committed" if await ask(session) else "aborted"
    except ConnectError:
        return UNREACHABLE
    except DriverError as error:
        return IN_PROGRESS if error.sqlstate == _LOCKED else f"the ledger cannot be read ({error})"
