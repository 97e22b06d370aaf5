"""What is known about a running postmaster: its lock file, and whether the process behind it is really ours.

Owns the reading of `postmaster.pid` (its lines: PostgreSQL's src/include/utils/pidfile.h). It never signals
or writes.
"""

from __future__ import annotations

import os
import socket
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

from bulkio.server import folders

__all__ = ["Postmaster", "accepts", "alive", "find", "read", "socket_path"]

#: File that Linux alone has; on macOS and the BSDs `ps` tells the same, more slowly.
_PROC = Path("/proc/self/stat")
#: States of a dead process: gone, a zombie, on its way out.
_DEAD = ("", "Z", "X")
#: Line numbers in postmaster.pid, from 0.
_PID, _PORT, _SOCKET_DIR, _STATUS = 0, 3, 4, 7


@dataclass(frozen=True, slots=True)
class Postmaster:
    """A postmaster as its lock file tells: `status` is starting, ready, standby, stopping or empty."""

    pid: int
    status: str
    socket_dir: Path | None
    port: int
    #: False if only its socket shows that it is alive: then it may not be signalled, since `pid` means another process
    #: here.
    is_visible: bool = True

    @property
    def is_ready(self) -> bool:
        """True where it takes connections."""
        return self.status == "ready"


def find(data: Path) -> Postmaster | None:
    """Return the live postmaster of this data directory; None where there is none, or its lock file is stale.

    A pid may have been given to another process since, so the process itself is looked at. Where it cannot
    be seen (another container that shares the folder) a socket that accepts connections counts, if nobody but the
    server can have made it.
    """
    found = read(data)
    if found is None:
        return None
    if _is_postmaster(found.pid, data):
        return found
    if found.socket_dir is None or folders.exposure(found.socket_dir, data.stat().st_uid):
        return None
    is_alive = accepts(socket_path(found.socket_dir, found.port))
    return replace(found, is_visible=False) if is_alive else None


def read(data: Path) -> Postmaster | None:
    """Read `postmaster.pid`, which may be half written, stale, or not there."""
    try:
        lines = (data / "postmaster.pid").read_text(errors="replace").splitlines()
        pid = int(lines[_PID])
    except (OSError, ValueError, IndexError):
        return None
    lines += [""] * (_STATUS + 1 - len(lines))
    folder, port = lines[_SOCKET_DIR].strip(), lines[_PORT].strip()
    # A stand-alone backend (`postgres --single`) writes its pid negated.
    return Postmaster(abs(pid), lines[_STATUS].strip(), Path(folder) if folder else None, int(port or 5432))


def socket_path(folder: Path, port: int) -> Path:
    """Return the socket's path in a socket directory."""
    return folder / f".s.PGSQL.{port}"


def accepts(path: Path) -> bool:
    """Tell whether somebody listens on this Unix socket."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(5)
        try:
            client.connect(str(path))
        except OSError:  # nobody there, or a path that is too long
            return False
    return True


def alive(pid: int) -> bool:
    """Tell whether a process runs; one that died and was not collected yet does not."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return _state(pid) not in _DEAD


def _is_postmaster(pid: int, data: Path) -> bool:
    """Tell whether `pid` is a postmaster that works in `data`, as its owner."""
    if not alive(pid) or _uid(pid) != data.stat().st_uid:
        return False
    try:
        # A postmaster changes into its data directory.
        if not Path(f"/proc/{pid}/cwd").samefile(data):
            return False
    except OSError:  # no /proc, or not ours to look at
        pass
    return _names_data(pid, data)


def _names_data(pid: int, data: Path) -> bool:
    # Its children rewrite their titles ("postgres: checkpointer"), so that none is taken for it.
    arguments = _arguments(pid)
    if not arguments:
        return False
    return "postgres" in arguments[0] and str(data) in " ".join(arguments)


def _state(pid: int) -> str:
    """Return the letter of a process's state (proc(5), ps(1)); empty where there is none."""
    if not _PROC.exists():
        return _ps(pid, "state")[:1]
    try:
        # The third field, after a name in parentheses that may hold anything.
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return ""


def _uid(pid: int) -> int:
    """Return the user id that a process runs as; -1 where there is none, or nobody can tell."""
    try:
        return Path(f"/proc/{pid}").stat().st_uid if _PROC.exists() else int(_ps(pid, "uid"))
    except (OSError, ValueError):
        return -1


def _arguments(pid: int) -> list[str]:
    """Return a process's command line: empty where there is none, or nobody can tell."""
    if not _PROC.exists():
        return _ps(pid, "args").split()
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").rstrip("\0").split("\0")
    except OSError:
        return []


def _ps(pid: int, column: str) -> str:
    command = ["ps", "-ww", "-p", str(pid), "-o", f"{column}="]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=10).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""
