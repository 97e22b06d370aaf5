"""A server of somebody else at the place of ours: it asks whoever connects for the password, in clear."""

from __future__ import annotations

import contextlib
import pwd
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Impostor", "impostor"]

_CODE = """
import os, socket, sys
os.umask(0)
if sys.argv[2]:
    os.mkdir(sys.argv[1], int(sys.argv[2], 8))
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1] + "/.s.PGSQL.5432")
listener.listen()
print("listening", flush=True)
while True:
    client, _ = listener.accept()
    if client.recv(4096):
        client.sendall(b"R\\0\\0\\0\\x08\\0\\0\\0\\x03")
        print("was told", client.recv(4096), flush=True)
    client.close()
"""


class Impostor:
    """What listens, as the user `nobody`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def heard(self) -> str:
        """End it, and give what it was told."""
        self._process.kill()
        out, err = self._process.communicate()
        return out + err


@contextlib.contextmanager
def impostor(folder: Path, *, mode: str = "700") -> Iterator[Impostor]:
    """Listen in a folder, which is made with this mode and goes at the end; an empty `mode` takes one that is there."""
    nobody = pwd.getpwnam("nobody")
    # The system's own Python: this one may lie where nobody can go.
    python = shutil.which("python3", path="/usr/bin:/bin") or sys.executable
    process = subprocess.Popen(
        [python, "-c", _CODE, folder, mode],
        user=nobody.pw_uid,
        group=nobody.pw_gid,
        extra_groups=[],
        cwd="/",
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    other = Impostor(process)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "listening\n", other.heard()
        yield other
    finally:
        other.heard() if process.poll() is None else None
        shutil.rmtree(folder, ignore_errors=True)
