"""A task's tries, and its time limit."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, TypeVar

import anyio
import tenacity

from bulkio.choices import milliseconds
from bulkio.errors import BulkioError, StepTimeout
from bulkio.pipeline.run.report import error_text
from bulkio.pipeline.spec.models import PythonStep
from bulkio.show import show_name

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from bulkio.pipeline.run.context import Task

__all__ = ["with_tries"]

T = TypeVar("T")

#: limit of the first pause between two tries, and of all; each is random between nothing and its limit
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 60.0

_log = logging.getLogger("bulkio")


async def with_tries(task: Task, work: Callable[[], Awaitable[T]]) -> T:
    """Return what `work` returns, as often tried and as long waited for as the step says; or raise its last error.

    Raises:
        StepTimeout: it took too long. What was stored already, at that moment, is done all the same.
    """
    step, limit_ms = task.step, None
    if step.timeout is not None:
        limit_ms = milliseconds("timeout", step.timeout)
    tries = tenacity.AsyncRetrying(
        sleep=anyio.sleep,
        stop=_stop(task),
        wait=tenacity.wait_random_exponential(multiplier=_FIRST_PAUSE_S, max=_LONGEST_PAUSE_S),
        retry=tenacity.retry_if_exception(lambda error: _may_pass(task, error)),
        before_sleep=lambda state: _tell(task, state),
        reraise=True,
    )
    with anyio.move_on_after(None if limit_ms is None else limit_ms / 1000):
        return await tries(work)
    raise StepTimeout(f"step {show_name(task.name)} took longer than its timeout of {step.timeout}, and was cancelled")


def _stop(task: Task) -> tenacity.stop.stop_base:
    step = task.step
    if step.retry_for is None:
        return tenacity.stop_after_attempt(1 + step.retries)
    in_time = tenacity.stop_before_delay(milliseconds("retry_for", step.retry_for) / 1000)
    return in_time | tenacity.stop_after_attempt(1 + step.retries) if step.retries else in_time


def _may_pass(task: Task, error: BaseException) -> bool:
    if isinstance(task.step, PythonStep):  # nobody knows what its errors mean
        return isinstance(error, Exception)
    return isinstance(error, BulkioError) and error.retryable


def _tell(task: Task, state: tenacity.RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome is not None else None
    why = "" if error is None else error_text(error)
    pause_s = state.next_action.sleep if state.next_action is not None else 0.0
    number = state.attempt_number
    _log.warning("step %s: try %d failed (%s); the next one begins in %.1f s", task.name, number, why, pause_s)
