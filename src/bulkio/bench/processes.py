"""Starts workers, one at a time, and ends them."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

from bulkio.bench.spec import Job, Run
from bulkio.errors import BulkioError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ask", "run"]

_END_TIMEOUT_S = 10.0


def ask(job: Job) -> dict[str, object]:
    """Return a worker's answer to `job`. Raises `BulkioError` where it fails; interrupted, it ends the worker first."""
    command = [sys.executable, "-m", "bulkio.bench.worker"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as worker:
        try:
            answer, complaints = worker.communicate(job.to_json())
        except BaseException:
            _end(worker)
            raise
    try:
        found: Mapping[str, object] = json.loads(answer)
    except ValueError:
        found = {"error": f"the worker ended with {worker.returncode}: {complaints.strip()[-2000:]}"}
    if "error" in found:
        raise BulkioError(f"bench: {describe(job)} failed: {found['error']}")
    return dict(found)


def run(job: Job) -> Run:
    """Run one line once."""
    return Run(**ask(job))  # type: ignore[arg-type]


def describe(job: Job) -> str:
    """Name a job for messages."""
    return f"{job.action} ({job.driver}, {job.method})"


def _end(worker: subprocess.Popen[str]) -> None:
    worker.terminate()
    try:
        worker.wait(_END_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        worker.kill()
