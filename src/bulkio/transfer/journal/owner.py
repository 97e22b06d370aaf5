"""Which process a run belongs to, and whether that process is gone.

A process is known by its host, the host's boot, its pid namespace (a container's), its pid, and when it started: a pid
alone is used again. Where the system does not tell all that, nothing is known, and the lease decides.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["host_name", "is_gone", "this_process"]

#: fields of /proc/PID/stat after the name, which ends with the last ")": state, and the time since boot (proc(5))
_STATE = 0
_STARTED = 19
#: states of a process that has ended
_ENDED = frozenset("ZXx")


def host_name() -> str:
    """Return the name of this host."""
    return socket.gethostname()


def this_process() -> dict[str, object] | None:
    """Return what tells this process from all others on its host; None where the system does not tell it."""
    started = _started(os.getpid())
    if started is None:
        return None
    return {**_place(), "pid": os.getpid(), "started": started}


def is_gone(host: str | None, process: Mapping[str, object] | None) -> bool:
    """Tell whether a process is gone for sure: it ran here, since the same boot, and there is none like it."""
    here = this_process()
    if process is None or here is None or host != host_name():
        return False
    if any(process.get(name) != value for name, value in _place().items()):
        return False
    pid = process.get("pid")
    return isinstance(pid, int) and not _may_be(pid, process.get("started"))


def _may_be(pid: int, started: object) -> bool:
    """Tell whether a process may be the one that was started then: another user's may be hidden."""
    now = _started(pid)
    try:
        os.kill(pid, 0)
    except PermissionError:
        return now is None or now == started
    except OSError:
        return False
    return now == started


def _place() -> dict[str, object]:
    try:
        boot_id = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return {"boot_id": boot_id, "pid_namespace": os.readlink("/proc/self/ns/pid")}  # noqa: PTH115 - no path
    except OSError:
        return {"boot_id": None, "pid_namespace": None}


def _started(pid: int) -> str | None:
    """Return when a process was started, in the kernel's ticks since boot; None of one that is not there any more."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[_STATE] in _ENDED else fields[_STARTED]
