"""Who runs the server's programs, given that PostgreSQL refuses root.

Owns the choice of the account and the running of programs as it. It never changes the mode or the owner of
anything that bulkio has not made itself.
"""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Account", "own_account", "service_account"]

#: Users that a mapped root may be called. Not `nobody` first: its id is also what the kernel shows for
#: every owner that has no name inside the namespace.
_MAPPED_NAMES = ("postgres", "daemon", "bin", "nobody")
#: Users that may run the server where root cannot be mapped.
_SERVICE_NAMES = ("postgres", "nobody")
#: Environment variables that a server which outlives us may see: no secrets, and no PG* variables.
_ENVIRONMENT = ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")


@dataclass(frozen=True, slots=True)
class Account:
    """How to run a program: as ourselves (`plain`), as a mapped root (`map`), as another user (`become`)."""

    mode: Literal["plain", "map", "become"] = "plain"
    uid: int = -1
    gid: int = -1

    @property
    def is_other_user(self) -> bool:
        """True where the kernel sees the server as another user than us."""
        return self.mode == "become"

    @property
    def owner_uid(self) -> int:
        """The user id that must own the server's folders, as we see it."""
        return self.uid if self.is_other_user else os.geteuid()

    def run(
        self, command: Sequence[str | Path], *, cwd: Path, log: Path | None = None, timeout_s: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run a program by its absolute path and return its output; with `log`, detach it and return its pid.

        Raises subprocess.TimeoutExpired, and OSError where this Python cannot be started again.
        """
        launcher = [sys.executable, "-I", "-S", str(Path(__file__).with_name("launch.py"))]
        who = [self.mode, str(self.uid), str(self.gid), str(log or "-")]
        return subprocess.run(
            [*launcher, *who, *map(str, command)],
            check=False,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            encoding="utf-8",
            errors="replace",
            env=_environment(),
            cwd=cwd,
            timeout=timeout_s,
            start_new_session=True,
        )

    def give(self, path: Path) -> None:
        """Hand a file or folder that we have just made to the account."""
        if self.is_other_user:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)


def own_account() -> Account | None:
    """Return the account that leaves every file ours, or None where this kernel does not let root have one."""
    if os.geteuid() != 0:
        return Account()
    entry = _first_user(_MAPPED_NAMES) or next((e for e in pwd.getpwall() if e.pw_uid != 0), None)
    if entry is None or not sys.platform.startswith("linux"):
        return None
    account = Account("map", entry.pw_uid, entry.pw_gid)
    return account if _works(account) else None


def service_account() -> Account | None:
    """Return the system user that runs the server where root cannot be mapped; None where there is none."""
    entry = _first_user(_SERVICE_NAMES) if os.geteuid() == 0 else None
    return Account("become", entry.pw_uid, entry.pw_gid) if entry else None


def _works(account: Account) -> bool:
    try:
        done = account.run(["/bin/sh", "-c", 'test "$(id -u)" != 0'], cwd=Path("/"), timeout_s=20)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _first_user(names: Sequence[str]) -> pwd.struct_passwd | None:
    for name in names:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return entry
    return None


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    return {**kept, "LC_ALL": "C", "TZ": "UTC"}
