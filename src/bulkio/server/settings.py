"""The settings a server of ours runs with, as the text of its configuration files.

Pure but for one look at the machine's memory. A user's own settings go in with ALTER SYSTEM, which wins
over these.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["HBA", "base_settings", "bulk_settings", "render", "shared_buffers_mib", "socket_settings"]

_MIB = 1 << 20
#: Files with a container's memory limit: cgroup version 2, then 1.
_CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))

#: Text of pg_hba.conf: the socket only, and with the password only.
HBA = "local all all scram-sha-256\n"


def base_settings() -> dict[str, str]:
    """Return what makes every server of ours behave the same wherever it runs."""
    return {
        "listen_addresses": "",
        "unix_socket_permissions": "0700",
        "password_encryption": "scram-sha-256",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "datestyle": "ISO, MDY",
        "lc_messages": "C",
        "lc_monetary": "C",
        "lc_numeric": "C",
        "lc_time": "C",
        "default_text_search_config": "pg_catalog.english",
        "max_connections": "100",
        # Two-phase commit is how a parallel load commits as one; PostgreSQL's default forbids it.
        "max_prepared_transactions": "64",
    }


def bulk_settings() -> dict[str, str]:
    """Return the embedded server's settings: for bulk loading, with everything on that keeps committed data."""
    return {
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        # Nobody replicates from an embedded server. With `minimal` a COPY into a table made or truncated in
        # the same transaction writes no WAL: the table's own files are fsynced at COMMIT instead, so it is
        # as durable and the rows are written once. It needs max_wal_senders = 0. The price: no
        # pg_basebackup, no logical decoding.
        "wal_level": "minimal",
        "max_wal_senders": "0",
        # Checkpoints in the middle of a load cost a full image of every page touched afterwards: make them
        # rare.
        "max_wal_size": "4GB",
        "min_wal_size": "512MB",
        "checkpoint_timeout": "15min",
        "checkpoint_completion_target": "0.9",
        "wal_compression": "pglz",  # every build has it
        "wal_buffers": "16MB",
        "shared_buffers": f"{shared_buffers_mib(_memory_bytes())}MB",
        "maintenance_work_mem": "256MB",
        "work_mem": "32MB",
        # Not /dev/shm: it holds 64 MB in a container, and systemd empties it when its user logs out. Parallel plans
        # find room in the main segment first.
        "dynamic_shared_memory_type": "mmap",
        "min_dynamic_shared_memory": "32MB",
    }


def shared_buffers_mib(memory_bytes: int) -> int:
    """Return an eighth of the memory, between 64 MiB and 1 GiB: this server is a guest on somebody's machine.

    >>> shared_buffers_mib(4 << 30)
    512
    """
    return max(64, min(1024, memory_bytes // 8 // _MIB))


def socket_settings(folder: Path, port: int, hba_file: Path) -> dict[str, str]:
    """Return the settings that say where the server listens and whom it lets in."""
    quoted = str(folder).replace('"', '""')
    return {"unix_socket_directories": f'"{quoted}"', "port": str(port), "hba_file": str(hba_file)}


def render(settings: Mapping[str, str]) -> str:
    r"""Write settings as postgresql.conf, quoted by its rules (PostgreSQL docs, section 19.1).

    >>> render({"a": "it's", "b": "x\\y"})
    "a = 'it''s'\nb = 'x\\\\y'\n"
    """
    return "".join(f"{name} = '{_escaped(value)}'\n" for name, value in settings.items())


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "''").replace("\n", "\\n")


def _memory_bytes() -> int:
    """Return the machine's memory, or the container's limit where that is less; 0 where nobody can tell."""
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (OSError, ValueError):  # not every platform knows these names
        return 0
    for limit in _CGROUP_LIMITS:
        with contextlib.suppress(OSError, ValueError):  # not there, or `max`
            memory = min(memory, int(limit.read_text()))
    return memory
