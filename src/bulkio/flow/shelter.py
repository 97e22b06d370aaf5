"""Work that no cancellation cuts off: it runs in its own task, and its end is awaited.

anyio's shields protect only against anyio's cancel scopes. asyncio's own `Task.cancel`, `wait_for` and `timeout` end
whatever the task awaits, shielded or not. A separate task is out of their reach: it ends by itself, and only then is
the waiting task told of its cancellation. So such work sets its own time limits.

Two things remain out of our hands: `asyncio.run` cancels every task of its loop when it ends, and Python 3.11's
`wait_for` discards the result that it waited for when the task that called it is cancelled.
"""

from __future__ import annotations

import asyncio
import math
from contextlib import suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

import anyio

from bulkio.errors import OutcomeUnknown

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

__all__ = ["Decision", "conclude", "decision_watch", "finish"]

T = TypeVar("T")

#: State of a decision: "awaited" once a cancellation may come too late, then one of the others; behind "done", where
#: records are rejected, "gathering" while their file is put together, then "gathered".
Decision = Literal["awaited", "done", "undone", "unknown", "gathering", "gathered"]

#: callback for each decision, called in the event loop's thread: for a program that must be able to say at any moment
#: what its end would leave behind
decision_watch: ContextVar[Callable[[Decision], object]] = ContextVar("decision_watch", default=lambda _: None)


async def finish(work: Coroutine[Any, Any, T], *, on_cancel: Callable[[], object] | None = None) -> T:
    """Run `work` to its end, then raise the cancellation that came meanwhile, or give the work's result.

    `on_cancel` is called at the first cancellation, at once: to hurry the work along.
    """
    task = asyncio.ensure_future(work)
    cancellation = await _wait_out(task, on_cancel)
    if cancellation is not None:
        raise cancellation from _error(task)
    return task.result()


async def conclude(work: Coroutine[Any, Any, T], *, on_cancel: Callable[[], object] | None = None) -> T:
    """Run `work` to its end; where it succeeds, a cancellation that came meanwhile came too late and is forgotten.

    Raises:
        CancelledError: the caller was cancelled and the work has failed: nothing was done.
        OutcomeUnknown: the work's own; it stands before a cancellation.
    """
    waiting = cast("asyncio.Task[Any]", asyncio.current_task())
    requests = waiting.cancelling()
    task = asyncio.ensure_future(work)
    cancellation = await _wait_out(task, on_cancel)
    if cancellation is not None:
        error = _error(task)
        if error is not None and not isinstance(error, OutcomeUnknown):
            raise cancellation from error
        _forget(waiting, requests)
    return task.result()


async def _wait_out(task: asyncio.Task[T], on_cancel: Callable[[], object] | None) -> asyncio.CancelledError | None:
    """Wait until `task` has ended; return the first cancellation of the one who waits."""
    try:
        await asyncio.wait((task,))
    except asyncio.CancelledError as error:
        if on_cancel is not None:
            on_cancel()
        # Without the shield anyio would cancel this wait again on each turn of the loop.
        with anyio.CancelScope(shield=True):
            while not task.done():
                with suppress(asyncio.CancelledError):
                    await asyncio.wait((task,))
        return error
    return None


def _error(task: asyncio.Task[T]) -> BaseException | None:
    """Return what a task has ended with, where it has failed."""
    return asyncio.CancelledError() if task.cancelled() else task.exception()


def _forget(task: asyncio.Task[Any], requests: int) -> None:
    """Take back the requests to cancel `task` but the first ones, as whoever does not raise CancelledError must.

    `asyncio.timeout` and `TaskGroup` count them. One that an anyio scope has made is taken back by that scope.
    """
    by_anyio = anyio.current_effective_deadline() == -math.inf
    for _ in range(task.cancelling() - requests - by_anyio):
        task.uncancel()
