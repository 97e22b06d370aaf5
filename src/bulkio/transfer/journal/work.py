"""One short transaction of the journal in a session of its own: none stays open while a step works."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, TypeVar

import anyio
import tenacity

from bulkio import sql
from bulkio.errors import DriverError
from bulkio.sql import runs as statements
from bulkio.transfer import ledger
from bulkio.transfer.session import open_session, transaction

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from bulkio.options import LedgerRequest
    from bulkio.protocols import Session

__all__ = ["change", "change_surely", "keep_json", "keep_text"]

T = TypeVar("T")

#: limit of the first pause between two tries, and of all; each is random between nothing and its limit
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 3.0
#: seconds after which the server ends a transaction whose host has died or sleeps: it holds what others wait for
IDLE_S = 10.0


async def change(request: LedgerRequest, work: Callable[[Session], Awaitable[T]]) -> T:
    """Do `work` in one transaction and commit it."""
    async with (
        open_session(request.dsn, request) as session,
        transaction(session, read_only=False, lock_timeout=request.lock_timeout),
        ledger.using(request.ledger_schema),
    ):
        await session.execute(statements.limit_idle(IDLE_S))
        result = await work(session)
        await session.execute(sql.COMMIT)
    return result


async def change_surely(request: LedgerRequest, work: Callable[[Session], Awaitable[T]], *, patience_s: float) -> T:
    """Do `work`, which does no harm when it is done twice, again for a while if the server or network fails."""
    tries = tenacity.AsyncRetrying(
        sleep=anyio.sleep,
        stop=tenacity.stop_before_delay(patience_s),
        wait=tenacity.wait_random_exponential(multiplier=_FIRST_PAUSE_S, max=_LONGEST_PAUSE_S),
        retry=tenacity.retry_if_exception(lambda error: isinstance(error, DriverError) and error.retryable),
        reraise=True,
    )
    return await tries(change, request, work)


def keep_text(session: Session, text: str) -> str:
    """Return a text as the database can hold it: with escapes for what its encoding, or UTF-8, does not have.

    A path may have bytes that are no text.
    """
    encoding = "utf-8" if session.server_encoding == "UTF8" else "ascii"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def keep_json(session: Session, value: object) -> str:
    """Return a value as the JSON that the database can hold."""
    text = json.dumps(value, ensure_ascii=False)
    if session.server_encoding == "UTF8":
        return text
    return re.sub(r"[^\x00-\x7f]", lambda char: "\\" + char[0].encode("unicode_escape").decode(), text)
