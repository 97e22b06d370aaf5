"""Sessions as the use cases need them: opened from a DSN, one pinned transaction, a COMMIT whose outcome is known."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import anyio
import anyio.to_thread

from bulkio import drivers, sql
from bulkio.choices import milliseconds
from bulkio.drivers.choose import choose_driver, default_dsn
from bulkio.drivers.conninfo import ConnInfo, parse_conninfo
from bulkio.drivers.named import named_dsn
from bulkio.errors import BulkioError, ConnectError, DriverError, OutcomeUnknown
from bulkio.flow import shelter
from bulkio.quote import quote_ident

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from bulkio.choices import DriverChoice, DriverName
    from bulkio.drivers.pool import SessionPools
    from bulkio.protocols import Session

__all__ = [
    "IN_PROGRESS",
    "ROLLBACK_TIMEOUT_S",
    "STANDBY",
    "UNREACHABLE",
    "ConnectOptions",
    "Judge",
    "ServerOptions",
    "Transaction",
    "commit",
    "commit_part",
    "open_pools",
    "open_session",
    "resolve_dsn",
    "server_judge",
    "transaction",
    "with_advice",
]

EMBEDDED = "embedded"

#: seconds to wait for the outcome after COMMIT's reply was lost, or its caller cancelled
OUTCOME_TIMEOUT_S = 30.0
#: seconds that a cancelled statement may take to end; then the connection is closed, and the transaction ends with it
ROLLBACK_TIMEOUT_S = 10.0
OUTCOME_RETRY_S = 0.2


#: SQLSTATE insufficient_privilege
_DENIED = "42501"
#: pattern of what was denied, which only English words tell: it has no field of its own
_DENIED_WORDS = re.compile(
    r"permission denied for (table|view|relation|materialized view|foreign table|schema|sequence|function) (\S+)"
)
#: kinds of objects that need other privileges than a table: privileges, and how GRANT spells the kind
_GRANTS = {"sequence": ("USAGE, SELECT", "SEQUENCE"), "function": ("EXECUTE", "FUNCTION")}


class ConnectOptions(Protocol):
    """What of the options concerns the connection."""

    @property
    def driver(self) -> DriverChoice:
        """Driver to connect with."""

    @property
    def password(self) -> str | Callable[[], str] | None:
        """Password that replaces the DSN's."""


class ServerOptions(ConnectOptions, Protocol):
    """Options that say, too, where the server is."""

    @property
    def dsn(self) -> str | None:
        """Connection string; None is what the environment names."""


def resolve_dsn(dsn: str | None, password: str | Callable[[], str] | None = None) -> ConnInfo:
    """Find the server: the DSN, the environment, or on a terminal the embedded one (started where it does not run).

    A name, such as ``@warehouse``, is looked up each time, first in the current folder. `password` replaces its own.
    """
    named = default_dsn(dsn=dsn, environ=os.environ, interactive=sys.stdin.isatty() and sys.stderr.isatty())
    chosen, own_password = named_dsn(named, "")
    if chosen == EMBEDDED:
        from bulkio.server import embedded

        return replace(parse_conninfo(embedded.ensure()), peer_uid=embedded.owner_uid())
    return parse_conninfo(chosen, password=own_password if password is None else password)


#: pools that calls borrow sessions from; tasks have those of the block that starts them
open_pools: ContextVar[SessionPools | None] = ContextVar("open_pools", default=None)


@asynccontextmanager
async def open_session(dsn: str | None, options: ConnectOptions, *, fresh: bool = False) -> AsyncIterator[Session]:
    """Connect, or borrow a session of a pool unless it must be `fresh`; close it, or give it back, at the end.

    A fresh one goes where connections go now: after a failover that is another server.
    """
    session = await _connect(dsn, options, fresh=fresh)
    try:
        yield session
    except BaseException:
        with suppress(asyncio.CancelledError):  # the error on its way says more
            await session.close()
        raise
    await session.close()


async def _connect(dsn: str | None, options: ConnectOptions, *, fresh: bool) -> Session:
    async def resolve() -> tuple[ConnInfo, DriverName]:
        info = await anyio.to_thread.run_sync(resolve_dsn, dsn, options.password)
        return info, choose_driver(info, options.driver)

    pools = None if fresh else open_pools.get()
    lent = None if pools is None else await pools.borrow((dsn, options.driver, options.password), resolve)
    return lent or await drivers.connect(*await resolve())


@dataclass(frozen=True, slots=True)
class Transaction:
    """What a transaction has found as it began."""

    #: the time limits that were lifted, such as "statement_timeout of 30000 ms"
    lifted: tuple[str, ...]
    #: True if the server tells this role where it stands in its history; see `_Place`
    tells_place: bool
    #: process of the server that serves it
    pid: int
    #: statement that undoes all of it
    undo: str = sql.ROLLBACK


@asynccontextmanager
async def transaction(
    session: Session, *, read_only: bool, lock_timeout: str | None = None, privileges: str = "SELECT"
) -> AsyncIterator[Transaction]:
    """Begin and pin the session's settings; roll back at the end unless the body has committed.

    Where the server denies the body a permission, the error says what to GRANT to whom: `privileges` of its table.
    """
    limit_ms = None if lock_timeout is None else milliseconds("lock_timeout", lock_timeout)
    pins = sql.session_pins(export=read_only, lock_timeout_ms=limit_ms)
    begun = await _begin(session, "; ".join((sql.begin(read_only=read_only), *pins)), asks_place=not read_only)
    try:
        yield begun
    except DriverError as error:
        await _roll_back(session)
        if (advised := await with_advice(session, error, privileges)) is not None:
            raise advised from error
        raise
    except BaseException:
        await _roll_back(session)
        raise
    if read_only:  # there is nothing to commit, and a reader may have left in mid-stream
        await _roll_back(session)


async def _begin(session: Session, begin: str, *, asks_place: bool) -> Transaction:
    """Begin; where the server refuses to tell one of two things that bulkio can do without, begin again without it.

    That is known here, before any row: a role may not have the privilege, and Aurora has no position in the log.
    """
    tells_place = asks_place
    try:
        await session.execute(f"{begin}; {sql.PLACE}" if asks_place else begin)
    except ConnectError:
        raise
    except DriverError:
        tells_place = False
        await session.execute(f"{sql.ROLLBACK}; {begin}")
    try:
        rows = await session.fetch(sql.LIFT_TIMEOUTS)
    except ConnectError:
        raise
    except DriverError:
        await session.execute(f"{sql.ROLLBACK}; {begin}")
        rows = [(pid, None, None, None) for (pid,) in await session.fetch(sql.PID)]
    lifted = tuple(f"{name} of {limit_ms} ms" for _, name, limit_ms, _ in rows if name is not None)
    return Transaction(lifted, tells_place, int(str(rows[0][0])))


async def with_advice(session: Session, error: DriverError, privileges: str) -> DriverError | None:
    """Return an error about a permission with what to GRANT; None where there is nothing to say."""
    if error.sqlstate == _DENIED and (advice := await _advice(session, error, privileges)):
        return DriverError(f"{error.args[0]}: {advice}", sqlstate=_DENIED)
    return None


async def _advice(session: Session, error: DriverError, on_table: str) -> str:
    """Say what is to be granted, and to whom; nothing where the words do not tell, or nobody can be asked.

    `on_table` is what the work needs of its table, "" where no privilege is enough.
    """
    match = _DENIED_WORDS.fullmatch(error.args[0])
    if match is None or session.closed:
        return ""
    try:
        [(role,)] = await session.fetch(sql.CURRENT_USER)
    except DriverError:
        return ""
    kind, name = match.groups()
    on_schema = "USAGE" if on_table == "SELECT" else "USAGE, CREATE"
    grants = {"schema": (on_schema, "SCHEMA"), **_GRANTS}
    privileges, what = grants.get(kind, (on_table, "TABLE"))
    grantee = quote_ident(str(role))
    if not privileges:
        needs = "the rights of the table's owner, and REFERENCES on each table that it refers to"
        return f"role {grantee} lacks it; replacing a table needs {needs}"
    return f"role {grantee} lacks it; its owner can GRANT {privileges} ON {what} {quote_ident(name)} TO {grantee}"


async def _roll_back(session: Session) -> None:
    if not session.closed:  # else nothing is awaited: a cancellation would replace the error on its way
        await shelter.finish(_roll_back_or_close(session))


async def _roll_back_or_close(session: Session) -> None:
    with anyio.move_on_after(ROLLBACK_TIMEOUT_S):
        try:
            await session.execute(sql.ROLLBACK)
        except DriverError:
            pass
        else:
            return
    await session.close()


@dataclass(frozen=True, slots=True)
class Judge:
    """Who tells what became of a COMMIT that got no reply."""

    #: function that asks a new session: it returns "committed" or "aborted" from a server that surely knows, or why
    #: there is no such answer
    ask: Callable[[], Awaitable[str]]
    #: subject of the question, such as "transaction 743"
    subject: str
    #: advice for when the outcome stays unknown
    advice: str
    #: True if loading again is right, whatever the outcome
    retryable: bool = False

    def unknown(self, what: str, lost: ConnectError | None = None) -> OutcomeUnknown:
        """Return the error about an outcome that stays unknown; the message begins with `what`."""
        tail = "" if lost is None else f" ({lost})"
        sqlstate = None if lost is None else lost.sqlstate
        return OutcomeUnknown(f"{what}; {self.advice}{tail}", sqlstate=sqlstate, retryable=self.retryable)


async def server_judge(session: Session, dsn: str | None, options: ConnectOptions, *, tells_place: bool) -> Judge:
    """Return the judge that asks the server for the running transaction's number; for a session about to commit."""
    xact_id, place = await _xact_id_and_place(session, tells_place=tells_place)

    async def ask() -> str:
        return _NO_PLACE if place is None else await _ask(xact_id, place, dsn, options)

    advice = f"look at the table, and whether transaction {xact_id} is still in progress, before you load again"
    return Judge(ask, f"transaction {xact_id}", advice)


async def commit(session: Session, judge: Judge) -> None:
    """Commit, learn whether it took effect, and close the session: nothing after a COMMIT may fail.

    A cancellation that comes after COMMIT was sent is held back until the outcome is known. If the transaction was
    committed, the cancellation is dropped.

    Raises:
        ConnectError: the connection was lost, and the judge says that nothing was changed.
        CancelledError: the caller was cancelled meanwhile, and nothing was changed.
        OutcomeUnknown: the connection was lost, and the judge does not know; or the caller was cancelled, and no answer
            came within `OUTCOME_TIMEOUT_S`.
    """
    patience = anyio.CancelScope()

    def limit_patience() -> None:
        patience.deadline = anyio.current_time() + OUTCOME_TIMEOUT_S

    await shelter.conclude(_decide(session, judge, patience), on_cancel=limit_patience)


async def commit_part(session: Session, judge: Judge, then: Callable[[], object]) -> None:
    """Commit what is not the whole work, learn whether it took effect, and `then` note it; the session stays open.

    A cancellation is held back until that is done. Raises as `commit` does.
    """

    async def commit_and_note() -> None:
        await _commit(session, judge)
        then()

    await shelter.finish(commit_and_note())


async def _decide(session: Session, judge: Judge, patience: anyio.CancelScope) -> None:
    """Commit, tell the watch what has become of it, and close the session."""
    tell = shelter.decision_watch.get()
    tell("awaited")
    try:
        with patience:
            await _commit(session, judge)
        if patience.cancelled_caught:
            raise _unknown(judge, f"had no answer within {OUTCOME_TIMEOUT_S:g} s of the cancellation")
        tell("done")
    except asyncio.CancelledError as error:  # the event loop ends, and takes every task with it
        tell("unknown")
        raise _unknown(judge, "was cut off by the end of the event loop") from error
    except OutcomeUnknown:
        tell("unknown")
        raise
    except BulkioError:
        tell("undone")
        raise
    except Exception as error:  # COMMIT may have been sent: nobody can say that nothing was changed
        tell("unknown")
        raise _unknown(judge, f"ended with an unexpected {type(error).__name__} ({error})") from error
    finally:
        await session.close()


def _unknown(judge: Judge, what: str) -> OutcomeUnknown:
    return judge.unknown(f"COMMIT {what} and its outcome is unknown")


async def _commit(session: Session, judge: Judge) -> None:
    try:
        tag = await session.execute(sql.COMMIT)
    except ConnectError as lost:
        await _settle(judge, lost)
        return
    if tag != "COMMIT":
        raise BulkioError(f"the server answered COMMIT with {tag}: nothing was changed")


async def _settle(judge: Judge, lost: ConnectError) -> None:
    """Ask until the time is up what became of a COMMIT that got no reply."""
    answer = UNREACHABLE
    with anyio.move_on_after(OUTCOME_TIMEOUT_S):
        while True:
            answer = await judge.ask()
            if answer not in _NOT_YET:
                break
            await anyio.sleep(OUTCOME_RETRY_S)
    if answer == "committed":
        return
    if answer == "aborted":
        raise ConnectError(
            f"the connection was lost during COMMIT; the server says that nothing was changed ({lost})",
            sqlstate=lost.sqlstate,
            retryable=True,
        ) from lost
    what = f"the connection was lost during COMMIT and the outcome of {judge.subject} is unknown: {answer}"
    raise judge.unknown(what, lost) from lost


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a server stands in its history. The number of a transaction means something in that history alone."""

    #: the cluster's identifier, which its standbys and copies share
    system: str
    #: the timeline, in hexadecimal digits: each promotion begins another
    timeline: str
    #: the position in the write-ahead log, in bytes
    lsn: int
    #: start of the server's memory: a crash sets it, and may have made the server forget its latest transactions
    counts_since: str | None

    def refusal(self, now: _Place) -> str | None:
        """Say why a server that is at `now` cannot be the one that was here; None where it is that server."""
        if now.system != self.system:
            return "another server answered"
        if now.timeline != self.timeline:
            return "the server that answered was promoted or restored since"
        if now.lsn < self.lsn:
            return "the server that answered is an older copy"
        if now.counts_since != self.counts_since:
            return "the server has recovered from a crash since, and may have given that number to another transaction"
        return None


def _place_of(row: Sequence[object]) -> _Place:
    system, timeline, lsn, counts_since = row
    high, low = str(lsn).split("/")
    since = None if counts_since is None else str(counts_since)
    return _Place(str(system), str(timeline), int(high, 16) << 32 | int(low, 16), since)


async def _xact_id_and_place(session: Session, *, tells_place: bool) -> tuple[str, _Place | None]:
    [(xact_id, *place)] = await session.fetch(sql.XACT_ID_AND_PLACE if tells_place else sql.XACT_ID)
    return str(xact_id), _place_of(place) if tells_place else None


UNREACHABLE = "the server cannot be reached"
_NO_PLACE = "it could not be asked for its place in its history, by which the right server is known"
STANDBY = "the server that answered is a standby"
_FORGOTTEN = "the server no longer knows it"
IN_PROGRESS = "in progress"
#: answers after which another may come
_NOT_YET = frozenset({UNREACHABLE, STANDBY, IN_PROGRESS})


async def _ask(xact_id: str, place: _Place, dsn: str | None, options: ConnectOptions) -> str:
    """Ask once: "committed" or "aborted" from the server that was told to commit, or why there is no such answer."""
    try:
        # One transaction: a pooler may send two to two servers.
        async with open_session(dsn, options, fresh=True) as session, transaction(session, read_only=True):
            if await session.fetch(sql.IS_IN_RECOVERY) == [(True,)]:
                return STANDBY
            if refusal := place.refusal(_place_of((await session.fetch(sql.PLACE))[0])):
                return refusal
            return str((await session.fetch(sql.xact_status(xact_id)))[0][0] or _FORGOTTEN)
    except ConnectError:
        return UNREACHABLE
    except DriverError:
        return _FORGOTTEN
