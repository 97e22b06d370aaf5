"""Another try of a load, or of SQL, where the server or the network was at fault and not the data.

Which errors may be retried is told by the error itself (`bulkio.drivers.errors` has the table). What can be read once
is never tried again.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol, TypeVar

import anyio
import tenacity

from bulkio.choices import milliseconds
from bulkio.errors import BulkioError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["Retries"]

T = TypeVar("T")

#: limit of the first pause; it doubles with each try, up to the longest one, and each pause is random between nothing
#: and its limit
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 60.0

_log = logging.getLogger("bulkio")


class RetryOptions(Protocol):
    """What of the options concerns another try."""

    @property
    def retries(self) -> int | None: ...
    @property
    def retry_for(self) -> str | None: ...


class Retries:
    """The tries of one load, or of some statements."""

    def __init__(self, request: RetryOptions) -> None:
        self._request = request
        #: True if the source can be read only once, as the try that opened it found out
        self.reads_once = False

    async def run(self, work: Callable[[], Awaitable[T]]) -> T:
        """Return what `work` returns, or raise its last error."""
        tries = tenacity.AsyncRetrying(
            sleep=anyio.sleep,
            stop=self._stop(),
            wait=tenacity.wait_random_exponential(multiplier=FIRST_PAUSE_S, max=LONGEST_PAUSE_S),
            retry=tenacity.retry_if_exception(self._may_be_retried),
            before_sleep=_tell,
            reraise=True,
        )
        return await tries(work)

    def _stop(self) -> tenacity.stop.stop_base:
        count, limit = self._request.retries, self._request.retry_for
        if limit is None:
            return tenacity.stop_after_attempt(1 + (count or 0))
        in_time = tenacity.stop_before_delay(milliseconds("retry_for", limit) / 1000)
        return in_time if count is None else in_time | tenacity.stop_after_attempt(1 + count)

    def _may_be_retried(self, error: BaseException) -> bool:
        return isinstance(error, BulkioError) and error.retryable and not self.reads_once


def _tell(state: tenacity.RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome is not None else None
    pause_s = state.next_action.sleep if state.next_action is not None else 0.0
    _log.warning("try %d failed (%s); the next one begins in %.1f s", state.attempt_number, error, pause_s)
