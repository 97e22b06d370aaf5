"""Runs of a load with rejects in processes that die, until the load is done."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fault_scene import Killed, killed
from reject_scene import LEAST_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from reject_scene import RejectScene

__all__ = ["Client", "Outcome", "clients"]


@dataclass(frozen=True)
class Outcome:
    """How a process ended."""

    #: where it was killed; None if it was not
    killed: Killed | None
    report: dict[str, Any] | None
    #: class and message of its error
    error: str
    message: str


class Client:
    """What forks the processes."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def load(
        self,
        scene: RejectScene,
        *,
        point: Mapping[str, Any] | None = None,
        kill_after_s: float | None = None,
        **options: Any,
    ) -> Outcome:
        """Run the load; kill it at a point, or after a time."""
        args = [str(scene.source), "t", scene.dsn]
        return self._run("load", args, {**scene.options, **options}, point, kill_after_s)

    def resume(
        self,
        scene: RejectScene,
        load_id: str,
        *,
        point: Mapping[str, Any] | None = None,
        kill_after_s: float | None = None,
    ) -> Outcome:
        """Go on with the load by its id."""
        options = {"driver": scene.case.driver, "wait": True}
        return self._run("resume_load", [load_id, scene.dsn], options, point, kill_after_s)

    def _run(
        self,
        call: str,
        args: list[Any],
        options: Mapping[str, Any],
        point: Mapping[str, Any] | None,
        kill_after_s: float | None,
    ) -> Outcome:
        spec = {"call": call, "args": args, "options": options, "point": point, "kill_after_s": kill_after_s}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({**spec, "least_bytes": LEAST_BYTES}) + "\n")
        self._process.stdin.flush()
        done = json.loads(self._process.stdout.readline())
        assert done["status"] in (0, signal.SIGKILL, signal.SIGALRM), "its error is among what was printed"
        where = killed(done["told"]) if done["status"] else None
        return Outcome(where, done.get("report"), done.get("error", ""), done.get("message", ""))


@contextlib.contextmanager
def clients() -> Iterator[Client]:
    """Start what forks the processes; end it."""
    path = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[1])])
    with subprocess.Popen(
        [sys.executable, Path(__file__).with_name("reject_client.py"), path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield Client(process)
        assert process.stdin is not None
        process.stdin.close()
