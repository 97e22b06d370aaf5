"""A folder for temporary files that goes with its process: what a killed one has left, the next one removes."""

from __future__ import annotations

import fcntl
import io
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from bulkio.files.stores.local import has_locked

__all__ = ["TemporaryFolder"]

_PREFIX = "bulkio-kept-"
#: file in it that is locked as long as its process lives
_LOCK = ".lock"


class TemporaryFolder:
    """A new folder among the system's temporary files. Raises OSError."""

    def __init__(self) -> None:
        _remove_abandoned()
        while True:
            self._folder = tempfile.TemporaryDirectory(prefix=_PREFIX)
            #: where it is
            self.path = Path(self._folder.name)
            self._lock = io.FileIO(self.path / _LOCK, "xb")
            if has_locked(self._lock) and (self.path / _LOCK).exists():
                return
            self._lock.close()  # another process has taken it for abandoned, in the moment before the lock

    def remove(self) -> None:
        """Remove it, with all that is in it."""
        self._folder.cleanup()
        self._lock.close()


def _remove_abandoned() -> None:
    """Remove the folders that processes of the same user have left which were killed."""
    with suppress(OSError), os.scandir(tempfile.gettempdir()) as entries:
        found = [entry for entry in entries if entry.name.startswith(_PREFIX) and entry.is_dir(follow_symlinks=False)]
        for entry in found:
            with suppress(OSError), io.FileIO(Path(entry.path) / _LOCK, "rb") as left:
                if entry.stat(follow_symlinks=False).st_uid == os.geteuid():
                    fcntl.flock(left.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(entry.path, ignore_errors=True)
