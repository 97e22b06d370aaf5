"""A call of bulkio's inside a task: its progress is told to Airflow, and Airflow's signals end it.

Signals raise an exception in the task's main thread (a timeout, a kill). bulkio then cancels the server's COPY and
waits for its end. If COMMIT was under way and took effect, the exception came too late: its cause has the report.
"""

from __future__ import annotations

import json
import logging
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from airflow.sdk.exceptions import AirflowTaskTerminated, AirflowTaskTimeout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from airflow.sdk import Context

    import bulkio

__all__ = ["Call", "plain"]

T = TypeVar("T")

#: key of the task's state store
PROGRESS_KEY = "bulkio_progress"
#: seconds between two messages to Airflow's API
EVERY_S = 5.0

_log = logging.getLogger(__name__)


class Call:
    """The call of one operator."""

    def __init__(self) -> None:
        self._is_under_way = False

    def run(self, context: Context, call: Callable[[Callable[[bulkio.Progress], None]], T]) -> T:
        """Return what a call returns, also where a timeout came when the rows were stored already."""
        with _told(context) as progress:
            self._is_under_way = True
            try:
                return call(progress)
            except AirflowTaskTimeout as timeout:
                if not hasattr(timeout.__cause__, "result"):
                    raise
                result: T = timeout.__cause__.result
                return result
            finally:
                self._is_under_way = False

    def end(self) -> None:
        """Raise what ends the call. Airflow calls this in a signal's handler, in the thread that waits for the call."""
        if self._is_under_way:
            self._is_under_way = False
            raise AirflowTaskTerminated("the task was killed")


def plain(report: Mapping[str, object]) -> dict[str, object]:
    """Return a report as XCom keeps it: a tuple, which would come back as text, is a list."""
    kept: dict[str, object] = json.loads(json.dumps(report))
    return kept


@contextmanager
def _told(context: Context) -> Iterator[Callable[[bulkio.Progress], None]]:
    """Yield what bulkio is to call with its progress; every few seconds the latest is kept in `task_state_store`.

    A thread of its own talks to Airflow: neither the event loop nor the main thread, which waits for bulkio, may block.
    """
    latest: list[bulkio.Progress] = []
    ended = threading.Event()

    def tell() -> None:
        while not ended.wait(EVERY_S):
            _store(context, latest)

    thread = threading.Thread(target=tell, name="bulkio-progress", daemon=True)
    thread.start()
    try:
        yield lambda progress: latest.__setitem__(slice(None), [progress])
    finally:
        ended.set()
        thread.join()
        _store(context, latest)


def _store(context: Context, latest: list[bulkio.Progress]) -> None:
    for progress in latest[-1:]:
        try:
            context["task_state_store"].set(PROGRESS_KEY, {"rows": progress.rows, "bytes": progress.bytes})
        except Exception as error:  # whatever it is: the load goes on without
            _log.warning("the progress could not be told to Airflow: %s", error)
