"""From what the user names (paths, folders, patterns) to a list of files. Opens nothing."""

from __future__ import annotations

import errno
import glob
import os
from pathlib import Path

from bulkio.errors import ConfigError, FileError

__all__ = ["expand", "refuse_url"]


def expand(source: str | os.PathLike[str], suffixes: frozenset[str]) -> list[str]:
    """Give the files that `source` means, sorted by name.

    A folder means the files directly in it whose name ends in one of `suffixes`; hidden files and those
    that start with an underscore are left out. A string that is no existing path may be a glob pattern.
    Raises `FileError` where nothing is found, `ConfigError` for a URL.
    """
    name = os.fspath(source)
    path = Path(name)
    if path.is_dir():
        return _in_folder(path, suffixes)
    if os.path.lexists(name):
        return [name]
    if isinstance(source, str):
        refuse_url(source)
        if glob.has_magic(source):
            return _matching(source)
    raise FileError(f"{name}: {os.strerror(errno.ENOENT)}", path=name)


def refuse_url(name: str) -> None:
    """Raise `ConfigError` for something like ``s3://…``."""
    if "://" in name:
        raise ConfigError(f"{name}: only files of this machine can be read and written, not URLs")


def _in_folder(folder: Path, suffixes: frozenset[str]) -> list[str]:
    try:
        entries = sorted(folder.iterdir(), key=lambda entry: entry.name)
    except OSError as exc:
        raise FileError(f"{folder}: cannot be listed: {os.strerror(exc.errno or errno.EIO)}", path=str(folder)) from exc
    found = [
        str(entry)
        for entry in entries
        if not entry.name.startswith((".", "_")) and entry.suffix.lower() in suffixes and entry.is_file()
    ]
    if found:
        return found
    known = ", ".join(sorted(suffixes))
    what = f"no file that ends in {known}" if entries else "no file"
    raise FileError(f"{folder}: the folder holds {what} (folders inside it are not searched)", path=str(folder))


def _matching(pattern: str) -> list[str]:
    found = sorted(name for name in glob.glob(pattern, recursive=True) if not Path(name).is_dir())  # noqa: PTH207
    if not found:
        raise FileError(f"{pattern}: no such file, and as a pattern it matches none", path=pattern)
    return found
