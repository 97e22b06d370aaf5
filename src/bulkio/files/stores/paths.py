"""From what the user names (paths, folders, patterns) to a list of files. Opens none of them.

Nothing that is named is left out or taken twice in silence: that is an error, or a note that plan and report carry.
"""

from __future__ import annotations

import errno
import fnmatch
import glob
import itertools
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bulkio.errors import ConfigError, FileError
from bulkio.files.tables import refuse_tables, table_note
from bulkio.show import is_connection_string, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["COMPRESSIONS", "Listing", "ending", "is_listed", "is_pipe", "list_files", "refuse_url"]

#: endings of compressed files, behind that of the format
COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}
#: endings of formats that are compressed from outside; the others compress within
COMPRESSIBLE = frozenset({".csv", ".arrows"})

#: names that a message lists, at most
_SHOWN_NAMES = 8


@dataclass(frozen=True, slots=True)
class Listing:
    """The files that a source means, in order, and what there is to say of those that it does not take."""

    paths: tuple[str, ...]
    notes: tuple[str, ...] = ()
    #: folders that patterns begin in: the paths below them were found by a search
    roots: tuple[str, ...] = ()
    #: folders and patterns, in which whatever else is there later is found as well
    searched: tuple[str, ...] = ()


def ending(path: str) -> str:
    """Return the ending that tells the format, in lower case: of a compressed file, that of what is in it.

    >>> ending("a/Trips.CSV.gz"), ending("trips"), ending("trips.parquet.gz")
    ('.csv', '', '.gz')
    """
    last = Path(path).suffix.lower()
    inner = Path(Path(path).stem).suffix.lower()
    return inner if last in COMPRESSIONS and inner in COMPRESSIBLE else last


def is_pipe(path: str | os.PathLike[str]) -> bool:
    """Tell whether a path names a pipe, such as a shell's <(…): what is there can be read once."""
    try:
        return stat.S_ISFIFO(Path(path).stat().st_mode)
    except OSError:  # opening it tells why
        return False


def list_files(sources: Sequence[str | os.PathLike[str]], suffixes: frozenset[str]) -> Listing:
    """Return the files that `sources` name; those of each source are sorted by name.

    A folder means the files directly in it whose name ends in one of `suffixes`; hidden files, those that start with
    an underscore and those of other formats are left out, with a note. A string that is not an existing path may be a
    glob pattern.

    Raises:
        ConfigError: a URL.
        FileError: nothing is found; a folder or pattern leaves folders out; a file is named twice; the files are those
            of a table format (`tables`).
    """
    listings = [_list(source, suffixes) for source in sources]
    paths = tuple(path for listing in listings for path in listing.paths)
    notes = tuple(note for listing in listings for note in listing.notes)
    if [os.fspath(source) for source in sources] == list(paths) and len(paths) == 1:
        return Listing(paths, notes + table_note(paths[0]))  # a file that is named by itself is meant
    refuse_tables(dict.fromkeys(Path(os.path.realpath(path)).parent for path in paths))
    _refuse_twice(paths)
    roots = tuple(root for listing in listings for root in listing.roots)
    return Listing(paths, notes, roots, tuple(name for listing in listings for name in listing.searched))


def is_listed(searched: str, path: str) -> bool:
    """Tell whether a folder's or a pattern's files would be others if there were something under this name.

    >>> is_listed("/data/**/*.csv", "/data/2024/bad.csv"), is_listed("/data/trips*.csv", "/data/bad.csv")
    (True, False)
    """
    if Path(searched).is_dir():
        return os.path.realpath(searched) == os.path.realpath(Path(path).parent)
    return _fits(Path(searched).absolute().parts, Path(path).absolute().parts)


def _fits(pattern: Sequence[str], parts: Sequence[str]) -> bool:
    if not pattern or not parts:
        return not pattern and not parts
    if pattern[0] == "**":
        return _fits(pattern[1:], parts) or _fits(pattern, parts[1:])
    return fnmatch.fnmatch(parts[0], pattern[0]) and _fits(pattern[1:], parts[1:])


#: programs that fetch a URL, by its scheme
_FETCHERS = {"s3": "aws s3 cp", "gs": "gcloud storage cp", "http": "curl -O", "https": "curl -O"}


def refuse_url(name: str, *, writing: bool = False) -> None:
    """Raise `ConfigError` for something like ``s3://…``, with what to do instead."""
    scheme, separator, _ = name.partition("://")
    if is_connection_string(name):  # it may hold a password, and is not shown
        raise ConfigError("a connection string stands where a file's name is expected: give it as dsn")
    if not separator:
        return
    what = f"{printable(name)}: only files of this machine can be read and written, not URLs"
    if scheme == "file":
        raise ConfigError(f"{what}: name the file by its path")
    tool = _FETCHERS.get(scheme.lower())
    if writing:
        raise ConfigError(f"{what}: export into a file here, and copy that there")
    with_tool = f" ({tool} …)" if tool else ""
    raise ConfigError(f"{what}: copy it here first{with_tool}, then load the file")


def _list(source: str | os.PathLike[str], suffixes: frozenset[str]) -> Listing:
    name = os.fspath(source)
    path = Path(name)
    if path.is_dir():
        return _in_folder(path, suffixes)
    if os.path.lexists(name):
        return Listing((name,))
    if isinstance(source, str):
        refuse_url(source)
        if glob.has_magic(source):
            return _matching(source)
    raise FileError(f"{name}: {os.strerror(errno.ENOENT)}", path=name)


def _in_folder(folder: Path, suffixes: frozenset[str]) -> Listing:
    refuse_tables([folder])
    entries = sorted(_entries(folder), key=lambda entry: entry.name)
    visible = [entry for entry in entries if not entry.name.startswith((".", "_"))]
    folders = [entry.name for entry in visible if entry.is_dir() and _holds_something(entry)]
    if folders:
        message = f"has folders in it ({_shown(folders)}), which are not searched: name their files, too, as in"
        raise FileError(f"{folder}: {message} '{folder}/**/*.parquet'", path=str(folder))
    # Links that lead nowhere and pipes are among them: opening them says what they are.
    found = [entry for entry in visible if ending(entry.name) in suffixes and not entry.is_dir()]
    if not found:
        known = ", ".join(sorted(suffixes))
        what = f"no file that ends in {known}" if entries else "no file"
        raise FileError(f"{folder}: the folder holds {what}", path=str(folder))
    taken = {entry.name for entry in found}
    left_out = [entry.name for entry in entries if entry.name not in taken]
    notes = (f"left out of {printable(str(folder))}: {_shown(left_out)}",) if left_out else ()
    return Listing(tuple(map(str, found)), notes, searched=(str(folder),))


def _holds_something(folder: Path) -> bool:
    return any(not entry.name.startswith(".") for entry in _entries(folder))


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError as exc:
        raise FileError(f"{folder}: cannot be listed: {os.strerror(exc.errno or errno.EIO)}", path=str(folder)) from exc


def _matching(pattern: str) -> Listing:
    matches = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 - gives strings as the user spells them
    folders = dict.fromkeys(name for name in matches if Path(name).is_dir())
    found = [name for name in matches if name not in folders]
    parents = {parent for name in found for parent in Path(name).parents}
    for folder in folders:
        if Path(folder) not in parents and _holds_something(Path(folder)):
            message = f"{printable(pattern)}: matches the folder {folder}, whose files it does not match"
            raise FileError(f"{message}: name them, too, as in '{folder}/*.parquet'", path=folder)
    if not found:
        raise FileError(f"{pattern}: no such file, and as a pattern it matches none", path=pattern)
    return Listing(tuple(found), roots=(_root(pattern),), searched=(pattern,))


def _root(pattern: str) -> str:
    """Return the folder that a pattern begins in: what stands before its first part with a wildcard."""
    plain = itertools.takewhile(lambda part: not glob.has_magic(part), Path(pattern).parts)
    return str(Path(*plain))


def _refuse_twice(paths: Sequence[str]) -> None:
    """Raise `FileError` for a file that stands in the list twice: by name, or by a link."""
    seen: dict[tuple[int, int], str] = {}
    for path in paths:
        try:
            found = Path(path).stat()
        except OSError:  # opening it tells why
            continue
        file = (found.st_dev, found.st_ino)
        if file in seen:
            raise FileError(
                f"{path}: is the same file as {printable(seen[file])}: its rows would be loaded twice", path=path
            )
        seen[file] = path


def _shown(names: Sequence[str]) -> str:
    rest = len(names) - _SHOWN_NAMES
    return ", ".join(map(printable, names[:_SHOWN_NAMES])) + (f" and {rest} more" if rest > 0 else "")
