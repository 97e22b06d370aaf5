"""The file that an export writes, in a thread: what is told of it, its name at the end, its removal on the way."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol, TypeVar

import anyio
import anyio.to_thread

from bulkio.flow import shelter
from bulkio.protocols import Progress
from bulkio.transfer.report import ExportReport

if TYPE_CHECKING:
    from collections.abc import Callable

    from bulkio.plan import ExportPlan

__all__ = ["FileWriter", "in_thread"]


class Output(Protocol):
    """What is written to: a sink of any kind."""

    bytes_written: int

    def commit(self) -> None:
        """Finish the file and give it its name."""

    def abort(self) -> None:
        """Remove what was written."""


OutputT = TypeVar("OutputT", bound=Output)


class FileWriter:
    """One export's file, from the first byte to the report. It counts the time from its making."""

    def __init__(self, progress: Callable[[Progress], None] | None) -> None:
        self._started = time.perf_counter()
        self._progress = progress
        self._output: Output | None = None
        #: rows written so far
        self.rows = 0
        #: rows as the planner estimates them; None if it does not, or nobody asks
        self.estimated_rows: int | None = None

    @property
    def tells(self) -> bool:
        """Tell whether anybody listens to the progress."""
        return self._progress is not None

    def open(self, output: OutputT) -> OutputT:
        """Take what is written to, and return it."""
        self._output = output
        return output

    def tell(self) -> None:
        """Tell how far it has come."""
        if self._progress is not None:
            total = self.estimated_rows
            self._progress(Progress(self.rows, self.bytes, total, total_estimated=total is not None))

    async def publish(self) -> None:
        """Return the file its name, whatever comes between, and tell the watch."""
        await shelter.conclude(self._publish())

    async def discard(self) -> None:
        """Remove what was written."""
        if self._output is not None:
            await shelter.finish(in_thread(self._output.abort))

    def report(self, plan: ExportPlan, rows: int, lifted: tuple[str, ...]) -> ExportReport:
        """Return the report of an export that is done."""
        return ExportReport(
            rows=rows,
            bytes=self.bytes,
            seconds=time.perf_counter() - self._started,
            driver=plan.driver,
            method=plan.method,
            table=plan.name,
            lifted=lifted,
        )

    @property
    def bytes(self) -> int:
        """The bytes written so far."""
        return 0 if self._output is None else self._output.bytes_written

    async def _publish(self) -> None:
        tell = shelter.decision_watch.get()
        tell("awaited")
        try:
            if self._output is not None:
                await in_thread(self._output.commit)
        except BaseException:
            tell("undone")
            raise
        tell("done")


async def in_thread(work: Callable[[], None]) -> None:
    """Run what blocks in a thread of its own."""
    await anyio.to_thread.run_sync(work, limiter=anyio.CapacityLimiter(1))
