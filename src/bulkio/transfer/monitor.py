"""The monitor of a load, or of other work: it tells for whom that waits, and ends a wait that nobody else would end.

It costs nothing while rows travel. Once a worker has done nothing for `PATIENCE_S`, the monitor opens a session of its
own and asks who waits for a lock; that session is closed as soon as all go on. All of it is best effort: where that
session cannot be had, or its question is refused, the load goes on unwatched.

A wait never ends where what is waited for ends only after the one who waits: a transaction that the load has prepared,
or a worker's transaction that stays open until the load's end. The server's own search for deadlocks sees neither. A
worker that commits by itself (each chunk, say) is waited for, however long that takes, and so is everybody else.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio

from bulkio import sql
from bulkio.errors import DriverError
from bulkio.flow import shelter
from bulkio.show import show_option
from bulkio.sql import monitor as statements
from bulkio.transfer.session import open_session
from bulkio.transfer.waits import Wait

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

    from bulkio.protocols import Session
    from bulkio.transfer.session import ServerOptions

__all__ = ["Monitor", "Watched", "watching"]

#: seconds that a worker may do nothing before anybody asks why, and that a wait may last before it is told
PATIENCE_S = 3.0
#: seconds between two looks
POLL_S = 1.0
#: looks in a row that must find the same wait before the load is ended because of it
STUCK_LOOKS = 3

#: number of those who are waited for that a message describes; the others are counted
_DESCRIBED = 3

_log = logging.getLogger("bulkio")


@dataclass(slots=True)
class Watched:
    """One worker's transaction."""

    #: subject of messages, such as "worker 2"
    name: str
    #: True if its locks are kept until the whole load ends
    holds_to_end: bool
    #: function whose value changes as long as the worker's rows travel
    pulse: Callable[[], object] = lambda: None
    _last: object = None
    _since: float = field(default_factory=time.monotonic)

    def quiet_s(self) -> float:
        """Return the seconds since its pulse last changed, as far as this was called meanwhile."""
        if (now := self.pulse()) != self._last:
            self._last, self._since = now, time.monotonic()
        return time.monotonic() - self._since


@dataclass(slots=True)
class _Lock:
    """One lock that a worker waits for; the two times are those of `time.monotonic`."""

    since: float
    seen: float
    told: bool = False


@asynccontextmanager
async def watching(request: ServerOptions) -> AsyncIterator[Monitor]:
    """Monitor a load while the block runs.

    Raises:
        DriverError: workers of the load wait for each other for ever; the block was cancelled.
    """
    monitor = Monitor(request)
    has_ended = False
    with anyio.CancelScope() as scope:
        task = asyncio.ensure_future(monitor.run(scope))
        try:
            yield monitor
            has_ended = True  # if the monitor cancels now, it comes too late
        except BaseException:
            with suppress(asyncio.CancelledError):  # the error on its way says more
                await shelter.finish(_end(task))
            raise
        await shelter.conclude(_end(task))  # and so does everybody else
    if not has_ended and monitor.failure is not None:
        raise monitor.failure from None


async def _end(task: asyncio.Task[None]) -> None:
    """Cancel a task, and wait until it has closed what it opened."""
    task.cancel()
    await asyncio.wait((task,))


class Monitor:
    """The workers of one load, and the locks that they wait for."""

    def __init__(self, request: ServerOptions) -> None:
        #: text that the names of the load's own prepared transactions begin with
        self.own_gids: str | None = None
        #: error that the load is to end with
        self.failure: DriverError | None = None
        self._request = request
        self._watched: dict[int, Watched] = {}
        self._locks: dict[str, _Lock] = {}
        #: looks in a row that have found a wait that never ends, by who waits, for whom and for what
        self._stuck: dict[tuple[int, int, str], int] = {}

    @contextmanager
    def watch(self, pid: int, name: str, *, holds_to_end: bool = False) -> Iterator[Watched]:
        """Watch a worker's transaction while the block runs.

        `pid` is `Transaction.pid`. With `holds_to_end` the transaction ends only after all workers have done their
        work.
        """
        watched = self._watched[pid] = Watched(name, holds_to_end)
        try:
            yield watched
        finally:
            del self._watched[pid]

    async def run(self, load: anyio.CancelScope) -> None:
        """Look whenever a worker does nothing; cancel the load where it would never end."""
        try:
            while self.failure is None:
                await anyio.sleep(POLL_S)
                if self._is_quiet():
                    await self._look_on()
        except Exception as error:  # whatever it is, the load goes on
            _log.debug("nobody looks any more for whom the load waits (%s)", error)
        else:
            load.cancel()

    def _is_quiet(self) -> bool:
        quiet_s = [watched.quiet_s() for watched in self._watched.values()]  # each is to look at its pulse
        return max(quiet_s, default=0.0) >= PATIENCE_S

    async def _look_on(self) -> None:
        """Look until all go on, or the load is stuck."""
        async with open_session(self._request.dsn, self._request) as session:
            while self._is_quiet():
                waits = await _look(session, list(self._watched))
                self._tell(waits)
                self._find_stuck(waits)
                if self.failure is not None:
                    return
                await anyio.sleep(POLL_S)

    def _tell(self, waits: Sequence[Wait]) -> None:
        """Tell of each lock once that a worker has waited long for."""
        now = time.monotonic()
        for wait in self._own(waits):
            lock = self._locks.setdefault(wait.tag, _Lock(now - (wait.waited_s or 0.0), now))
            # The swap of `replace` waits in short tries: between two of them it is not seen to wait.
            if not lock.told and now - lock.seen > PATIENCE_S + POLL_S:
                lock.since = now
            lock.seen = now
            if not lock.told and now - lock.since >= PATIENCE_S:
                lock.told = True
                _log.warning("%s", self._sentence(wait, waits, now - lock.since))

    def _find_stuck(self, waits: Sequence[Wait]) -> None:
        """Make the error where some looks in a row have found a wait that never ends."""
        found = [(wait, self._cause(wait, waits)) for wait in self._own(waits)]
        stuck = {(wait.waiter, wait.blocker, wait.tag): cause for wait, cause in found if cause is not None}
        self._stuck = {key: self._stuck.get(key, 0) + 1 for key in stuck}
        for key, cause in stuck.items():
            if self._stuck[key] >= STUCK_LOOKS:
                self.failure = DriverError(self._complaint(key[0], cause), retryable=cause.waiter != key[0])

    def _own(self, waits: Sequence[Wait]) -> list[Wait]:
        return [wait for wait in waits if wait.waiter in self._watched]

    def _cause(self, wait: Wait, waits: Sequence[Wait], seen: frozenset[int] = frozenset()) -> Wait | None:
        """Return the wait that never ends: this one, or one of somebody else's that this one waits behind."""
        if self._never_ends(wait):
            return wait
        if wait.blocker in self._watched or wait.blocker in seen:
            return None
        seen |= {wait.blocker}
        behind = (self._cause(other, waits, seen) for other in waits if other.waiter == wait.blocker)
        return next((cause for cause in behind if cause is not None), None)

    def _never_ends(self, wait: Wait) -> bool:
        """Tell whether what is waited for ends only after the one who waits."""
        sibling = self._watched.get(wait.blocker)
        return wait.lasts_to_the_end and (self._is_own(wait) if sibling is None else sibling.holds_to_end)

    def _is_own(self, wait: Wait) -> bool:
        """Tell whether a prepared transaction is the load's own."""
        return bool(self.own_gids and wait.gid and wait.gid.startswith(self.own_gids))

    # --- messages -------------------------------------------------------------------------------------------

    def _sentence(self, wait: Wait, waits: Sequence[Wait], waited_s: float) -> str:
        blockers = list(self._blockers(wait.waiter, waits, {wait.waiter}))
        shown = " and ".join(blockers[:_DESCRIBED])
        more = f", and {len(blockers) - _DESCRIBED} more" if len(blockers) > _DESCRIBED else ""
        return f"{self._watched[wait.waiter].name} has waited {waited_s:.0f} s for {wait.show_lock()}, {shown}{more}"

    def _blockers(self, waiter: int, waits: Sequence[Wait], seen: set[int]) -> Iterator[str]:
        """Describe each for whom a process waits, and for whom that one waits in turn."""
        for wait in waits:
            if wait.waiter != waiter or wait.blocker in seen:
                continue
            its = [other for other in waits if other.waiter == wait.blocker]
            is_ahead = any(other.tag == wait.tag for other in its)
            text = f"{'behind' if is_ahead else 'held by'} {wait.show_blocker(self._blocker_name(wait))}"
            then = next(self._blockers(wait.blocker, waits, seen | {wait.blocker}), None)
            yield text if then is None else f"{text}, which waits for {its[0].show_lock()}, {then}"

    def _blocker_name(self, wait: Wait) -> str | None:
        if self._is_own(wait):
            return "a worker"
        return self._watched[wait.blocker].name if wait.blocker in self._watched else None

    def _complaint(self, waiter_pid: int, wait: Wait) -> str:
        waiter = f"{self._watched[waiter_pid].name} (process {waiter_pid})"
        holder = wait.show_blocker(self._blocker_name(wait))
        if wait.waiter != waiter_pid:
            return (
                f"{waiter} waits behind process {wait.waiter}, which waits for {wait.show_lock()}, held until the whole"
                f" load ends by {holder}: none of them would ever end. Load again, or with one worker"
                f" ({show_option('workers', 1)})"
            )
        return (
            f"{waiter} waits for {wait.show_lock()}, held until the whole load ends by {holder}: neither would ever"
            " end. Rows of two chunks have the same key, or a trigger writes or locks the same thing for both: load"
            f" with one worker ({show_option('workers', 1)})"
        )


async def _look(session: Session, pids: Sequence[int]) -> list[Wait]:
    """Ask once for whom these processes wait, and for whom those wait."""
    await session.execute(statements.BEGIN_LOOK)
    waits = [Wait(*row) for row in await session.fetch(statements.waits(pids))]  # type: ignore[arg-type]
    await session.execute(sql.ROLLBACK)
    # a prepared transaction may have several locks on the same thing
    return list({(wait.waiter, wait.blocker, wait.gid): wait for wait in waits if wait.is_conflict}.values())
