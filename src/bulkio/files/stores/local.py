"""A file under a temporary name that takes its final name only when it is complete and on disk.

Owns the temporary file, fsync and rename. Knows nothing of formats.
"""

from __future__ import annotations

import errno
import fcntl
import io
import os
import re
import secrets
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["StagedFile", "fsync_folder", "has_locked"]

_BUFFER_BYTES = 1 << 20
#: characters of the final name that a temporary one keeps, so that it stays under the file system's 255 bytes even if
#: each takes 4
_NAME_CHARS = 48
#: end of a temporary name: the process, and a random number
_TAG = re.compile(r"\.\d+-[0-9a-f]{8}\.tmp$")


class _Discardable(io.BufferedWriter):
    """A file that can turn into a bottomless one: writers that are dropped half-way still write their end."""

    discards = False

    def write(self, data: Buffer, /) -> int:
        return memoryview(data).nbytes if self.discards else super().write(data)

    def flush(self) -> None:
        if not self.discards:
            super().flush()

    def tell(self) -> int:
        return 0 if self.discards else super().tell()


class StagedFile:
    """A new file next to `dest`; `commit` replaces `dest` by it atomically, `abort` removes it.

    A symbolic link as `dest` is followed, so that its target is replaced. Whoever writes holds a lock on its file: one
    without is what a killed process has left, and is removed by the next one that writes here. Raises OSError: the
    sinks map it.
    """

    def __init__(self, dest: str) -> None:
        self._final = Path(os.path.realpath(dest))
        mode = _replaceable_mode(self._final)
        prefix = f".{self._final.name[:_NAME_CHARS]}."
        _remove_abandoned(self._final.parent, prefix)
        self._temporary, self._raw = _new_file(self._final.parent, prefix)
        self.file = _Discardable(self._raw, _BUFFER_BYTES)
        if mode is not None:
            os.fchmod(self.file.fileno(), mode)

    def commit(self) -> None:
        """Flush, fsync, rename, fsync the folder."""
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()
        self._temporary.replace(self._final)
        fsync_folder(self._final.parent)

    def abort(self) -> None:
        """Remove the temporary file. Never raises; harmless after `commit` or a first `abort`."""
        self.file.discards = True
        with suppress(OSError):
            # Below the buffer: what waits in it must not be written any more, and may not fit.
            self._raw.close()
        with suppress(OSError):
            self._temporary.unlink()


def _new_file(folder: Path, prefix: str) -> tuple[Path, io.FileIO]:
    """Make a file that is locked until it is closed."""
    while True:
        path = folder / f"{prefix}{os.getpid()}-{secrets.token_hex(4)}.tmp"
        raw = io.FileIO(path, "xb")
        if has_locked(raw) and path.exists():
            return path, raw
        raw.close()  # another process has taken it for abandoned, in the moment before the lock


def has_locked(raw: io.FileIO) -> bool:
    """Lock a file, unless another process has; file systems without locks are as if nobody had."""
    try:
        fcntl.flock(raw.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def _remove_abandoned(folder: Path, prefix: str) -> None:
    """Remove the files that processes have left which were killed."""
    with suppress(OSError), os.scandir(folder) as entries:
        found = [entry.path for entry in entries if entry.name.startswith(prefix) and _TAG.search(entry.name)]
        for path in found:
            with suppress(OSError), io.FileIO(path, "rb") as left:
                fcntl.flock(left.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
                Path(path).unlink()


def _replaceable_mode(final: Path) -> int | None:
    """Return the permissions of the file that will be replaced, or None if there is none."""
    try:
        found = final.stat()
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(final))
    if not stat.S_ISREG(found.st_mode):
        raise ValueError("it exists and is not a regular file")
    return stat.S_IMODE(found.st_mode)


def fsync_folder(folder: Path) -> None:
    """Bring the names in a folder to disk."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
