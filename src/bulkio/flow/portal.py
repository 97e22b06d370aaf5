"""An event loop in its own thread, for a caller that has none; safe against exceptions from signal handlers.

Such an exception (Ctrl-C raises KeyboardInterrupt) may strike between any two instructions of the calling thread. Two
rules ensure that it leaves no thread that nobody ends, and that nobody waits for a thread that never began:

- Whoever takes `_turn` first decides: either the thread, which then runs the work; or the interrupted caller, and then
  the thread does nothing, should it still start.
- The caller waits for a plain lock, whose `acquire` is a single step for signals, and trusts only the flag `_ended`.

A first interruption cancels the work and waits for its end. A second one meanwhile stops waiting, so that the outcome
is unknown.

When Python ends, after the caller's own threads, whatever is still open is cancelled, such as an unfinished read, so
that its session is closed properly.
"""

from __future__ import annotations

import asyncio
import atexit
import threading
import time
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from bulkio.errors import OutcomeUnknown
from bulkio.flow.shelter import decision_watch

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from contextlib import AbstractAsyncContextManager

__all__ = ["Finished", "LoopThread", "opened"]

T = TypeVar("T")

#: seconds that the program's end waits for what it has cancelled; a COMMIT under way takes up to 30 s to settle
EXIT_PATIENCE_S = 40.0

#: loop threads that are running now
_alive: set[LoopThread[Any]] = set()
#: the loop thread whose task or worker runs this code
_inside: ContextVar[LoopThread[Any] | None] = ContextVar("_inside", default=None)


class Finished(Exception):  # noqa: N818 (no error: the cause of an interruption)
    """The work was done before an interruption could stop it; `result` is what the call would have returned."""

    def __init__(self, result: object) -> None:
        super().__init__("the work was done already")
        self.result = result


class LoopThread(Generic[T]):
    """One coroutine, its event loop, and their thread."""

    def __init__(self, work: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self._work = work
        self._watch = decision_watch.get()
        self._turn = threading.Lock()
        #: a lock that is held until the thread ends
        self._running = threading.Lock()
        self._running.acquire()
        self._ended = False
        self._cancelled = False
        self._ident: int | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[T] | None = None
        self._results: list[T] = []
        self._error: BaseException | None = None

    def run(self) -> T:
        """Run the work to its end; return its result, or raise its error."""
        try:
            self.start()
            self.wait()
            return self.result()
        except BaseException as error:
            self.stop(error)
            raise

    def stop(self, error: BaseException) -> None:
        """Cancel the work, wait for its end, and make that the cause of `error`, which has come in between.

        A thread of the work's own does not wait: the collector may drop a reader in any thread.
        """
        if _inside.get() is self or threading.get_ident() == self._ident:
            self._cancel()
            return
        try:
            if not self._turn.acquire(blocking=False):
                self._cancel()
                self.wait()
        except BaseException as again:
            self._cancel()
            raise again from self._end() or OutcomeUnknown("the work was not waited for; it is being cancelled")
        end = self._end()
        if end is not None and end is not error:
            error.__cause__ = end

    def start(self) -> None:
        """Start the thread."""
        # Python joins other threads before it drops the reader that would end this one. What it starts inherits that.
        threading.Thread(target=self._main, name="bulkio", daemon=True).start()

    def wait(self) -> None:
        """Wait for the work's end."""
        while not self._ended:
            self._running.acquire()
            self._running.release()

    def end_with_program(self, patience_s: float) -> None:
        """Cancel the work and wait for its end; from then on nobody waits for it any more."""
        self._cancel()
        self._running.acquire(timeout=patience_s)
        self._ended = True
        with suppress(RuntimeError):  # its thread has released it already
            self._running.release()

    def result(self) -> T:
        """Return the result of work that has ended, or raise its error."""
        if self._error is not None:
            raise self._error
        return self._results[0]

    def call_soon(self, function: Callable[[], object]) -> None:
        """Call a function in the event loop, unless the loop has ended."""
        if self._loop is not None:
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(function)

    def _cancel(self) -> None:
        self._cancelled = True
        if self._task is not None:
            self.call_soon(self._task.cancel)

    def _end(self) -> Exception | None:
        """Tell how the work has ended; None where it was cancelled, or has not begun."""
        if self._results:
            return Finished(self._results[0])
        return self._error if isinstance(self._error, Exception) else None

    # -- in the thread

    def _main(self) -> None:
        if not self._turn.acquire(blocking=False):
            return
        decision_watch.set(self._watch)
        _inside.set(self)
        self._ident = threading.get_ident()
        _alive.add(self)
        try:
            self._results.append(asyncio.run(self._cancellable()))
        except BaseException as error:
            self._error = error
        finally:
            _alive.discard(self)
            self._ended = True
            self._running.release()

    async def _cancellable(self) -> T:
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        # Set before the flag is read, as the caller sets the flag before it reads them: one of the two sees the other.
        if self._cancelled:
            raise asyncio.CancelledError
        return await self._work()


@atexit.register
def _end_all() -> None:
    """Cancel what still runs as the program ends."""
    deadline = time.monotonic() + EXIT_PATIENCE_S
    for thread in list(_alive):
        thread.end_with_program(max(0.0, deadline - time.monotonic()))


@contextmanager
def opened(manager: AbstractAsyncContextManager[T]) -> Iterator[T]:
    """Enter an async context manager in a loop and a thread of its own; leave it there at the end of the block."""
    values: list[T] = []
    leave = asyncio.Event()
    entered = threading.Lock()
    entered.acquire()

    async def hold() -> None:
        try:
            async with manager as value:
                values.append(value)
                entered.release()
                await leave.wait()
        finally:
            if not values:
                entered.release()

    thread = LoopThread(hold)
    try:
        thread.start()
        entered.acquire()
        if values:
            yield values[0]
            thread.call_soon(leave.set)
        thread.wait()
        thread.result()
    except BaseException as error:
        thread.stop(error)
        raise
