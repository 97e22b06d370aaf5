"""What a figure was measured on: facts about this machine and its software. None that names the machine or its user."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import bulkio

__all__ = ["machine_facts"]

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
