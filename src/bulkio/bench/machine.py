"""What a figure was measured on: facts about this machine and its software, and how much of it was idle.

None names the machine or its user.
"""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import bulkio

__all__ = ["CoreTicks", "core_ticks", "machine_facts"]

_PACKAGES = ("asyncpg", "psycopg", "pyarrow", "anyio")


def machine_facts() -> dict[str, object]:
    """Return the processor, memory, kernel, and the versions of what takes part."""
    return {
        "cpu": _proc_value("/proc/cpuinfo", "model name") or platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_mb": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20,
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "packages": {"bulkio": bulkio.__version__, **{name: _version(name) for name in _PACKAGES}},
        "load_average": round(os.getloadavg()[0], 2),
    }


@dataclass(frozen=True, slots=True)
class CoreTicks:
    """Time of all processors since the system started, in ticks of the kernel's."""

    idle: int
    total: int

    def idle_share(self, since: CoreTicks) -> float | None:
        """Return the idle part of the time since then; None if no tick has passed."""
        total = self.total - since.total
        return (self.idle - since.idle) / total if total else None


def core_ticks() -> CoreTicks | None:
    """Read the first line of /proc/stat (proc_stat(5)); None where there is none."""
    try:
        words = Path("/proc/stat").read_text().splitlines()[0].split()
    except OSError:
        return None
    # user, nice, system, idle, iowait, irq, softirq, steal; what follows, guests, is in user and nice as well
    ticks = [int(word) for word in words[1:9]]
    return CoreTicks(ticks[3] + ticks[4], sum(ticks))


def _proc_value(path: str, key: str) -> str | None:
    """Read the first ``key : value`` line of a file in /proc; None where there is none."""
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return None
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), None)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
