"""The progress bar: on stderr, on a terminal only, gone when the work is done."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bulkio.cli.output import count_bytes, escape
from bulkio.show import show_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.progress import Task

    from bulkio.protocols import Progress

__all__ = ["progress_bar"]

#: seconds between two looks at the numbers
UPDATE_S = 0.1


@contextmanager
def progress_bar(title: str, *, shown: bool) -> Iterator[Callable[[Progress], None] | None]:
    """Show a bar while the block runs; yield what the API is to call, or None where no bar is shown."""
    if not shown or sys.stderr is None or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console

    console = Console(stderr=True, highlight=False)
    if not console.is_interactive or console.is_dumb_terminal:
        yield None
        return
    from rich import progress
    from rich.text import Text

    class Numbers(progress.ProgressColumn):
        """Rows, bytes, and rows a second."""

        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            rate = f"{speed:,.0f} rows/s" if speed else "- rows/s"
            size = count_bytes(task.fields["bytes"])
            return Text(f"{show_rows(int(task.completed))}  {size}  {rate}", no_wrap=True)

    class Percent(progress.TaskProgressColumn):
        """Percent of the rows; of an estimated total it is marked, and while COMMIT runs there is none."""

        def render(self, task: Task) -> Text:
            if task.total is None or task.fields["committing"]:
                return Text("")
            if task.fields["estimated"]:
                return Text(f"~{min(99, int(task.percentage))}% (estimated)")
            return super().render(task)

    class Remaining(progress.TimeRemainingColumn):
        """The time to go where the total is known, else the time that has passed."""

        def render(self, task: Task) -> Text:
            if task.fields["committing"]:
                return Text("committing")
            if task.total is None:
                return progress.TimeElapsedColumn().render(task)
            return Text("ETA ") + super().render(task)

    bar = progress.Progress(
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(bar_width=20 if console.width >= 100 else 8),
        Percent(),
        Numbers(),
        Remaining(),
        console=console,
        transient=True,
        refresh_per_second=5,
    )
    with bar:
        task = bar.add_task(escape(title), total=None, bytes=0, estimated=False, committing=False)
        yield _updates(bar, task)


def _updates(bar: object, task: object) -> Callable[[Progress], None]:
    """Pass the numbers on now and then: the API reports several hundred times a second."""
    last = 0.0

    def update(progress: Progress) -> None:
        nonlocal last
        now = time.monotonic()
        if progress.committing or now - last >= UPDATE_S:
            last = now
            bar.update(  # type: ignore[attr-defined]
                task,
                completed=progress.rows,
                total=progress.total_rows,
                bytes=progress.bytes,
                estimated=progress.total_estimated,
                committing=progress.committing,
                refresh=progress.committing,
            )

    return update
