"""Signals that end the program: work is cancelled on the server, rolled back, and the user is told what that left.

A signal raises `Interrupted` in the main thread. The sync façade then cancels the work and waits for its end. From the
moment that COMMIT is sent no signal leads to "nothing was changed": the first one waits for the outcome, a second one
ends with "unknown", and once the outcome is known it is the exit code, whatever comes.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, TypeVar

from bulkio.cli.exits import Exit
from bulkio.cli.output import say
from bulkio.errors import OutcomeUnknown

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from bulkio.flow.shelter import Decision

__all__ = ["Interrupted", "carry_out", "catch_signals", "done_code", "ignore_signals", "settle"]

T = TypeVar("T")

_SIGNALS = {
    signal.SIGINT: Exit.INTERRUPTED,
    signal.SIGTERM: Exit.TERMINATED,
    signal.SIGHUP: Exit.HANGUP,
}

#: A signal that comes again this soon is the same one: `timeout` and shells send it to us and to our group.
REPEAT_S = 1.0
#: seconds until a signal is answered once more whose exception was dropped
AGAIN_S = 0.01
#: seconds that a signal leaves for reporting an outcome that is certain
GRACE_S = 1.0

#: exit codes of work that is done
_DONE_CODES = (Exit.DONE, Exit.REJECTS)
_DONE = "the work was done already"


class Interrupted(BaseException):
    """A signal asked us to end. Not an Exception: only `main.main` may stop it."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number
        self.exit = _SIGNALS[signal.Signals(number)]
        #: outcome of the work
        self.outcome = "nothing was changed"


class _Verdict:
    """What can be said about the program's outcome now; told by the event loop's thread, asked by signal handlers."""

    def __init__(self) -> None:
        #: exit code that is certain, whatever comes; None until there is one
        self.code: int | None = None
        #: A lock that COMMIT takes before it is sent. Whoever finds it free and takes it knows that none was sent, and
        #: that none will be.
        self.gate = threading.Lock()
        #: True while the file of rejected records is put together: a first signal waits for that
        self.is_gathering = False
        #: time of the first signal
        self.first: float | None = None

    def note(self, decision: Decision) -> None:
        """Take note of how far the work's outcome is decided."""
        match decision:
            case "awaited":  # after "unknown", by another try of the same work, it is locked still
                self.gate.acquire(blocking=False)
            case "undone":
                self.code = None
                self.gate.release()
            case "done":
                self.code = Exit.DONE
            case "unknown":
                self.code = Exit.UNKNOWN
            case "gathering":
                self.code = Exit.REJECTS
                self.is_gathering = True
            case "gathered":
                self.is_gathering = False

    def answer(self, number: int, _frame: FrameType | None) -> None:
        """Answer a signal."""
        now = time.monotonic()
        is_first, first = self.first is None, self.first or now
        self.first = first
        name = signal.Signals(number).name
        if self.is_gathering:
            self._answer_gathering(f"{name} came too late: {_DONE}", is_first=is_first, since_s=now - first)
        elif self.code is not None:
            _leave_soon(self.code)
            if is_first and self.code in _DONE_CODES:
                _say_at_once(f"{name} came too late: {_DONE}")
        elif is_first:
            if self.gate.locked():
                _say_at_once(f"{name}: COMMIT was sent, and its outcome is awaited (a second signal ends that)")
            raise Interrupted(number)
        elif now - first > REPEAT_S:
            if self.gate.acquire(blocking=False):
                # The server is not answering. It rolls back by itself once the connection is gone.
                again, code = "the server any more, which rolls back by itself", _SIGNALS[signal.Signals(number)]
            else:
                again, code = "COMMIT's outcome any more: it is unknown, so look before you try again", Exit.UNKNOWN
            _leave_soon(code)
            _say_at_once(f"interrupted again: not waiting for {again}")
            os._exit(code)

    def _answer_gathering(self, too_late: str, *, is_first: bool, since_s: float) -> None:
        """Answer a signal that comes while the file of rejected records is put together."""
        if is_first:
            _say_at_once(f"{too_late}, and the rejected records are put into their file (a second signal ends that)")
        elif since_s > REPEAT_S:
            _say_at_once(
                "interrupted again: not waiting for the file of rejected records any more, which are still in pieces:"
                " the load is done, and run again with its id, it puts them together"
            )
            os._exit(Exit.REJECTS)


_verdict = _Verdict()


def catch_signals() -> None:
    """Have the signals raise `Interrupted`. Those that our caller ignores (nohup, `&`) stay ignored."""
    for number in _SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _verdict.answer)
    sys.unraisablehook = _raise_again


def _raise_again(lost: sys.UnraisableHookArgs) -> None:
    """Raise a signal's exception once more, in a moment, where Python has dropped it.

    That happens if the handler runs in a callback of a weak reference, as each import has one, or in a `__del__`.
    """
    if not isinstance(lost.exc_value, Interrupted):
        sys.__unraisablehook__(lost)
        return
    number = lost.exc_value.number
    _verdict.first = None
    signal.signal(signal.SIGALRM, lambda _number, frame: _verdict.answer(number, frame))
    signal.setitimer(signal.ITIMER_REAL, AGAIN_S)


def done_code() -> int | None:
    """Return the exit code of work that was done, None if it was not: no error that follows undoes it."""
    return _verdict.code if _verdict.code in _DONE_CODES else None


def settle(code: int) -> None:
    """Let the exit code stand: what is left is to tell it. A signal leaves `GRACE_S` for that."""
    if _verdict.code is None:
        _verdict.code = code


def ignore_signals() -> None:
    """Ignore the signals from here on: Python drops its handlers while it shuts down, and they would kill."""
    signal.setitimer(signal.ITIMER_REAL, 0)
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _leave_soon(code: int) -> None:
    """Exit in a moment, whatever holds the program up: a reader of its output that does not read.

    What is left to do of the work itself is waited for.
    """

    def leave(_number: int, _frame: FrameType | None) -> None:
        if _verdict.is_gathering:
            signal.setitimer(signal.ITIMER_REAL, GRACE_S)
        else:
            os._exit(code if _verdict.code is None else _verdict.code)

    signal.signal(signal.SIGALRM, leave)
    signal.setitimer(signal.ITIMER_REAL, GRACE_S)


def _say_at_once(message: str) -> None:
    """Print on stderr from a signal handler: what it has interrupted may be a write to the same stream."""
    with contextlib.suppress(OSError, ValueError):
        if sys.stderr is not None:
            os.write(sys.stderr.fileno(), f"{message}\n".encode())


def carry_out(work: Callable[[], T], undone: str, *, is_one_commit: bool = True) -> T:
    """Run `work`, a call of the sync façade; where it is interrupted, note that it is `undone`.

    A signal that came too late, when the work had been committed, counts for nothing. That is so where the work
    `is_one_commit`; of a pipeline, each of whose steps has one of its own, none decides.
    """
    from bulkio.flow.portal import Finished
    from bulkio.flow.shelter import decision_watch

    if is_one_commit:
        decision_watch.set(_verdict.note)
    try:
        return work()
    except Interrupted as stop:
        if isinstance(stop.__cause__, OutcomeUnknown):
            raise stop.__cause__ from None
        if isinstance(stop.__cause__, Finished):
            say(f"{stop} came too late: {_DONE}")
            return stop.__cause__.result  # type: ignore[return-value]
        stop.outcome = undone
        raise
