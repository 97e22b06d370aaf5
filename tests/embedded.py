"""The embedded server's tests: asking it, killing it, and who may pretend to be another user."""

from __future__ import annotations

import os
import signal
import time

import psycopg
import pytest

from bulkio.server import embedded, postmaster

__all__ = ["ask", "await_true", "kill", "needs_root", "running_pid"]

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become another user")


def ask(url: str, query: str, *args: object) -> object:
    """Return the one value of a query."""
    with psycopg.connect(url) as connection:
        row = connection.execute(query, args or None).fetchone()  # type: ignore[arg-type]
    assert row is not None
    return row[0]


def await_true(condition: object, timeout_s: float = 60) -> None:
    """Wait until a callable gives something true."""
    deadline = time.monotonic() + timeout_s
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "it never became true"
        time.sleep(0.01)


def kill() -> None:
    """Kill the postmaster as a crash or the OOM killer would, and wait until the kernel has done it."""
    pid = running_pid()
    os.kill(pid, signal.SIGKILL)
    await_true(lambda: not postmaster.alive(pid))


def running_pid() -> int:
    pid = embedded.status().pid
    assert pid is not None
    return pid
