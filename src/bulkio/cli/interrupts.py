"""Signals that end the program: work is cancelled on the server, rolled back, and the user is told what that left.

A signal raises `Interrupted` in the main thread. The sync façade then cancels the work and waits for its end.
"""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, TypeVar

from bulkio.cli.exits import Exit
from bulkio.cli.output import say
from bulkio.errors import OutcomeUnknown

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

__all__ = ["Interrupted", "carry_out", "catch_signals"]

T = TypeVar("T")

_SIGNALS = {
    signal.SIGINT: Exit.INTERRUPTED,
    signal.SIGTERM: Exit.TERMINATED,
    signal.SIGHUP: Exit.HANGUP,
}

#: A signal that comes again this soon is the same one: `timeout` and shells send it to us and to our group.
REPEAT_S = 1.0


class Interrupted(BaseException):
    """A signal asked us to end. Not an Exception: only `run.main` may stop it."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit = _SIGNALS[signal.Signals(number)]
        #: what became of the work
        self.outcome = "nothing was changed"


def catch_signals() -> None:
    """Have the signals raise `Interrupted`. Those that our caller ignores (nohup, `&`) stay ignored."""
    first: list[float] = []

    def interrupt(number: int, _frame: FrameType | None) -> None:
        if not first:
            first.append(time.monotonic())
            raise Interrupted(number)
        if time.monotonic() - first[0] > REPEAT_S:
            # The server is not answering. It rolls back by itself once the connection is gone.
            say("interrupted again: not waiting for the server any more, which rolls back by itself")
            os._exit(_SIGNALS[signal.Signals(number)])

    for number in _SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, interrupt)


def carry_out(work: Callable[[], T], undone: str) -> T:
    """Run `work`, a call of the sync façade; where it is interrupted, note that it is `undone`.

    A signal that came too late, when the work had been committed, counts for nothing.
    """
    try:
        return work()
    except Interrupted as stop:
        from bulkio.portal import Finished

        if isinstance(stop.__cause__, OutcomeUnknown):
            raise stop.__cause__ from None
        if isinstance(stop.__cause__, Finished):
            say(f"{stop} came too late: the work was done already")
            return stop.__cause__.result  # type: ignore[return-value]
        stop.outcome = undone
        raise
