"""A schedule in the foreground: it looks each second what is due, until it is cancelled.

Files are read again when they change; one that is broken is told once, and does not stop the others.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import anyio

from bulkio.errors import BulkioError, FileError
from bulkio.flow import task_group
from bulkio.pipeline.schedule.cron import tick_id
from bulkio.pipeline.schedule.due import SIDE_BY_SIDE, Event, cron_of, do_due, refuse_same_name
from bulkio.pipeline.spec.read import find_pipelines, read_pipeline

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence
    from pathlib import Path

    from bulkio.options.pipelines import RunRequest
    from bulkio.pipeline.schedule.due import Tell
    from bulkio.pipeline.spec.models import Spec

__all__ = ["run_schedule"]

#: seconds between two looks at the clock and the files
POLL_S = 1.0
#: seconds between two looks at the journal, between ticks: for runs whose host died, and ticks that wait
LOOK_S = 30.0


async def run_schedule(paths: Sequence[str | os.PathLike[str]], request: RunRequest, tell: Tell) -> None:
    """Run what is due of the pipelines in files and folders, as it becomes due, until this is cancelled.

    Runs that are at work then are rolled back and recorded as interrupted; the next start goes on with them.
    """
    schedule = _Foreground(paths, request, tell)
    async with task_group() as group:
        while True:
            for spec in schedule.wanted():
                group.start_soon(schedule.work, spec)
            await anyio.sleep(POLL_S)


class _Foreground:
    """The pipelines of a schedule, and when each is to be looked at."""

    def __init__(self, paths: Sequence[str | os.PathLike[str]], request: RunRequest, tell: Tell) -> None:
        self._files = _Files(paths, tell)
        self._request = request
        self._limit = anyio.CapacityLimiter(SIDE_BY_SIDE)
        #: names of the pipelines that are at work
        self._busy: set[str] = set()
        #: time of the next look at each pipeline, by `time.monotonic`, and its next tick
        self._looks: dict[str, float] = {}
        self._ticks: dict[str, tuple[Spec, datetime]] = {}
        self._told = tell
        #: what was told of each pipeline the last time that it could not be run, or had to wait
        self._last: dict[str, str] = {}

    def wanted(self) -> list[Spec]:
        """Return the pipelines to look at now; they count as at work from here on."""
        found = [spec for spec in self._files.specs() if spec.name not in self._busy and self._is_wanted(spec)]
        self._busy |= {spec.name for spec in found}
        return found

    def _is_wanted(self, spec: Spec) -> bool:
        """Tell whether a pipeline has a tick, is another one than before, or was not looked at for a while."""
        now = datetime.now(UTC)
        known = self._ticks.get(spec.name)
        if known is None or known[0] is not spec:
            return True
        return now >= known[1] or time.monotonic() >= self._looks[spec.name]

    async def work(self, spec: Spec) -> None:
        """Run what is due of a pipeline."""
        try:
            async with self._limit:
                tick = cron_of(spec)[1].next(datetime.now(UTC))
                if spec.name not in self._ticks or self._ticks[spec.name][0] is not spec:
                    self._told(Event("next", f"{spec.name}: the next tick is {tick_id(tick)}", spec.name))
                self._ticks[spec.name] = spec, tick
                await do_due(spec, self._request, self._tell)
        finally:
            self._looks[spec.name] = time.monotonic() + LOOK_S
            self._busy.discard(spec.name)

    def _tell(self, event: Event) -> None:
        """Tell an event; what a pipeline waits for, or is broken by, once."""
        name = event.pipeline or ""
        if event.what in ("waits", "broken"):
            if self._last.get(name) == event.text:
                return
            self._last[name] = event.text
        else:
            self._last.pop(name, None)
        self._told(event)


class _Files:
    """The files of a schedule, each read again when it changes."""

    def __init__(self, paths: Sequence[str | os.PathLike[str]], tell: Tell) -> None:
        self._paths = paths
        self._tell = tell
        #: what each file was when it was read, and the pipeline that it has
        self._read: dict[Path, tuple[object, Spec]] = {}
        #: faults that were told
        self._told: set[str] = set()

    def specs(self) -> list[Spec]:
        """Return the pipelines that have a schedule now."""
        specs: dict[str, Spec] = {}
        faults: dict[str, BulkioError] = {}
        for path in self._paths:
            try:
                files = find_pipelines(path)
            except FileError as error:
                faults[str(error)] = error
                continue
            for file in files:
                try:
                    spec = self._spec(file)
                    refuse_same_name(spec, specs.get(spec.name))
                    specs[spec.name] = spec
                except BulkioError as error:
                    faults[str(error)] = error
        for text, fault in faults.items():
            if text not in self._told:
                self._tell(Event("broken", text, error=fault))
        self._told = set(faults)
        return [spec for spec in specs.values() if spec.schedule is not None]

    def _spec(self, file: Path) -> Spec:
        """Return the pipeline of a file. Raises as `read_pipeline` does."""
        try:
            facts = file.stat()
        except OSError:
            return read_pipeline(file)  # it says why
        version = facts.st_mtime_ns, facts.st_size, facts.st_ino
        known = self._read.get(file)
        if known is None or known[0] != version:
            self._read[file] = known = version, read_pipeline(file)
        return known[1]
