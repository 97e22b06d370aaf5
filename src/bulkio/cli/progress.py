"""Progress on stderr: bars on a terminal, which are gone when the work is done, or lines of JSON for whoever watches.

A command that does one thing uses `progress_of`. One whose steps run side by side opens a `display`, and in it a task
for each step.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, Protocol

from bulkio.cli.output import count_bytes, escape, say
from bulkio.show import show_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich import progress as rich_progress
    from rich.console import Console

    from bulkio.protocols import Progress

    Update = Callable[[Progress], None]

__all__ = ["Display", "ProgressKind", "Update", "display", "progress_of"]

ProgressKind = Literal["bar", "json", "none"]

#: seconds between two looks at the numbers
UPDATE_S = 0.1
#: seconds between two lines of JSON
LINE_S = 1.0


class Display(Protocol):
    """Where the progress of several tasks is shown."""

    def task(self, what: str) -> AbstractContextManager[Update | None]:
        """Show a task, such as "load orders", while the block runs; yield what the API is to call, None for nothing."""


@contextmanager
def progress_of(what: str, kind: ProgressKind) -> Iterator[Update | None]:
    """Show the progress of one task while the block runs; yield what the API is to call, None for nothing."""
    with display(kind) as shown, shown.task(what) as update:
        yield update


@contextmanager
def display(kind: ProgressKind) -> Iterator[Display]:
    """Open a display while the block runs. Bars are shown on a terminal only, lines of JSON wherever stderr leads."""
    if kind == "json":
        with _lines() as lines:
            yield lines
    elif kind == "bar" and (console := _terminal()) is not None:
        with _bars(console) as bars:
            yield _Bars(bars)
    else:
        yield _Nothing()


class _Nothing:
    """No display."""

    def task(self, what: str) -> AbstractContextManager[None]:  # noqa: ARG002 - it is shown nowhere
        """Show nothing."""
        return nullcontext()


# --- lines of JSON ---------------------------------------------------------------------------------------------


class _Task:
    """The numbers of one task, and the line that tells them."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._began = time.monotonic()
        self._progress: Progress | None = None
        #: time and rows of the line before
        self._last = (self._began, 0)

    def update(self, progress: Progress) -> None:
        """Take the latest numbers."""
        self._progress = progress

    def line(self, event: str) -> str:
        """Return a line; its speed is that since the line before, and in the last one that of the whole task."""
        now, told = time.monotonic(), self._progress
        rows = 0 if told is None else told.rows
        since, rows_then = self._last if event == "progress" else (self._began, 0)
        self._last = (now, rows)
        numbers = {
            "event": event,
            "what": self._what,
            "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "rows": rows,
            "bytes": 0 if told is None else told.bytes,
            "total_rows": None if told is None else told.total_rows,
            "total_estimated": told is not None and told.total_estimated,
            "rows_per_s": round(max(0, rows - rows_then) / max(now - since, 1e-3), 1),
            "seconds": round(now - self._began, 3),
            "committing": event == "progress" and told is not None and told.committing,
        }
        return json.dumps(numbers)


class _Lines:
    """Tasks that tell their progress in a line each, every `LINE_S` seconds."""

    def __init__(self) -> None:
        self._tasks: list[_Task] = []
        self._lock = threading.Lock()

    @contextmanager
    def task(self, what: str) -> Iterator[Update]:
        """Show a task: at its end a last line says whether it is done or has failed."""
        task = _Task(what)
        with self._lock:
            self._tasks.append(task)
        event = "failed"
        try:
            yield task.update
            event = "done"
        finally:
            with self._lock:  # no line of its progress comes later
                self._tasks.remove(task)
                say(task.line(event))

    def tell_until(self, ended: threading.Event) -> None:
        """Print the lines."""
        while not ended.wait(LINE_S):
            with self._lock:
                for task in self._tasks:
                    say(task.line("progress"))


@contextmanager
def _lines() -> Iterator[_Lines]:
    lines, ended = _Lines(), threading.Event()
    teller = threading.Thread(target=lines.tell_until, args=(ended,), name="bulkio progress", daemon=True)
    teller.start()
    try:
        yield lines
    finally:
        ended.set()
        teller.join()


# --- bars ------------------------------------------------------------------------------------------------------


def _terminal() -> Console | None:
    """Return the terminal that stderr is; None where it is none, or one that cannot show a bar."""
    if sys.stderr is None or not sys.stderr.isatty():
        return None
    from rich.console import Console

    console = Console(stderr=True, highlight=False)
    return console if console.is_interactive and not console.is_dumb_terminal else None


class _Bars:
    """A bar for each task."""

    def __init__(self, bars: rich_progress.Progress) -> None:
        self._bars = bars

    @contextmanager
    def task(self, what: str) -> Iterator[Update]:
        """Show a bar."""
        task = self._bars.add_task(escape(what), total=None, bytes=0, estimated=False, committing=False)
        try:
            yield _updates(self._bars, task)
        finally:
            self._bars.remove_task(task)


def _bars(console: Console) -> rich_progress.Progress:
    """Return rich's display of bars, with columns of our own."""
    from rich import progress
    from rich.text import Text

    class Numbers(progress.ProgressColumn):
        """Rows, bytes, and rows a second."""

        def render(self, task: progress.Task) -> Text:
            speed = task.finished_speed or task.speed
            rate = f"{speed:,.0f} rows/s" if speed else "- rows/s"
            size = count_bytes(task.fields["bytes"])
            return Text(f"{show_rows(int(task.completed))}  {size}  {rate}", no_wrap=True)

    class Percent(progress.TaskProgressColumn):
        """Percent of the rows; of an estimated total it is marked, and while COMMIT runs there is none."""

        def render(self, task: progress.Task) -> Text:
            if task.total is None or task.fields["committing"]:
                return Text("")
            if task.fields["estimated"]:
                return Text(f"~{min(99, int(task.percentage))}% (estimated)")
            return super().render(task)

    class Remaining(progress.TimeRemainingColumn):
        """The time to go where the total is known, else the time that has passed."""

        def render(self, task: progress.Task) -> Text:
            if task.fields["committing"]:
                return Text("committing")
            if task.total is None:
                return progress.TimeElapsedColumn().render(task)
            return Text("ETA ") + super().render(task)

    return progress.Progress(
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(bar_width=20 if console.width >= 100 else 8),
        Percent(),
        Numbers(),
        Remaining(),
        console=console,
        transient=True,
        refresh_per_second=5,
    )


def _updates(bars: rich_progress.Progress, task: rich_progress.TaskID) -> Update:
    """Pass the numbers on now and then: the API reports several hundred times a second."""
    last = 0.0

    def update(progress: Progress) -> None:
        nonlocal last
        now = time.monotonic()
        if progress.committing or now - last >= UPDATE_S:
            last = now
            bars.update(
                task,
                completed=progress.rows,
                total=progress.total_rows,
                bytes=progress.bytes,
                estimated=progress.total_estimated,
                committing=progress.committing,
                refresh=progress.committing,
            )

    return update
