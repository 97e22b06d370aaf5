"""The folder DEST.parts: whose it is, from its making to its removal. It knows nothing of what parts hold."""

from __future__ import annotations

import io
import json
import os
import secrets
import shutil
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bulkio.errors import ConfigError, FileError
from bulkio.files.faults import reading, writing
from bulkio.files.rejects.parts import list_parts
from bulkio.files.stores.local import fsync_folder, has_locked
from bulkio.show import printable, show_value

__all__ = ["Load", "PartsFolder", "folder_of", "names_of", "refuse_in_use", "remove_abandoned"]

#: file that tells whose the folder is, and is locked while its process lives
_MANIFEST = "load.json"


@dataclass(frozen=True, slots=True)
class Load:
    """A load, as its folder tells it."""

    load_id: str | None
    #: how its file of rejected records is written
    form: dict[str, str] = field(default_factory=dict)
    #: False where no other run goes on with it, although it has an id
    goes_on: bool = True


def folder_of(dest: str) -> Path:
    """Return where the parts of a file are."""
    return Path(f"{dest}.parts")


def names_of(dest: str) -> tuple[str, str]:
    """Return the names of the file and of that of its reasons."""
    return Path(dest).name, f"{Path(dest).name}.errors.jsonl"


def refuse_in_use(dest: str, load_id: str | None) -> None:
    """Look whether a folder is in the way of the load with this id.

    Raises:
        ConfigError: its records may be of rows that are stored, or it is not bulkio's.
        FileError: another process is at work with it, or it cannot be read.
    """
    with reading(str(folder_of(dest))):
        found = _find(dest)
    if found is not None:
        with closing(found):
            _refuse_wanted(dest, found.load, load_id)


class PartsFolder:
    """The folder of one load in this process, which holds a lock on it until it is closed, or removed."""

    def __init__(self, dest: str, load: Load, lock: io.FileIO) -> None:
        self.path = folder_of(dest)
        self.load = load
        self._lock = lock

    @classmethod
    def begun(cls, dest: str, load: Load) -> PartsFolder:
        """Make the folder for a load of which nothing is stored; what is in its place and may go is removed.

        Raises as `refuse_in_use` does.
        """
        with writing(str(folder_of(dest))):
            remove_abandoned(dest)
            new, lock = _new_folder(dest, load)
            try:
                while not _renamed(new, folder_of(dest)):
                    _remove_unwanted(dest, load.load_id)
                fsync_folder(new.parent)
            except BaseException:
                _clear(new)
                lock.close()
                raise
        return cls(dest, load, lock)

    @classmethod
    def opened(cls, dest: str, load_id: str | None) -> PartsFolder | None:
        """Open the folder that another run of the load with this id has left; return None where there is none.

        Raises:
            FileError: another process is at work with it.
        """
        with reading(str(folder_of(dest))):
            found = _find(dest)
        if found is None:
            return None
        if found.load is None or load_id is None or found.load.load_id != load_id:
            found.close()
            return None
        return cls(dest, found.load, found.lock)

    def remove(self) -> None:
        """Remove the folder with all that is in it, and close it. Raises `FileError`."""
        with writing(str(self.path)):
            _remove(self.path)
        self.close()

    def close(self) -> None:
        """Let another process have it."""
        self._lock.close()


@dataclass(frozen=True, slots=True)
class _Found:
    """A folder that no other process is at work with; `load` is None where bulkio did not make it."""

    load: Load | None
    lock: io.FileIO

    def close(self) -> None:
        self.lock.close()


def _find(dest: str) -> _Found | None:
    """Lock the folder that there is, and tell whose it is. Raises OSError, and `FileError` where it is locked."""
    folder = folder_of(dest)
    while os.path.lexists(folder):
        try:
            lock = io.FileIO(folder / _MANIFEST, "rb")
        except (FileNotFoundError, NotADirectoryError):
            return _Found(None, io.FileIO(os.devnull))
        if not has_locked(lock):
            lock.close()
            what = "another load keeps its rejected records there now: wait for its end, or name another file"
            raise FileError(f"{folder}: {what}", path=str(folder))
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(lock.fileno()), (folder / _MANIFEST).stat()):
                return _Found(_read_manifest(lock), lock)
        lock.close()  # its load has ended meanwhile
    return None


def _refuse_wanted(dest: str, other: Load | None, load_id: str | None) -> None:
    """Raise `ConfigError` where a folder must not be removed for the load with this id."""
    if other is None:
        raise _refusal(dest, "was not made by bulkio: move it away")
    if other.load_id is not None and other.load_id == load_id:
        return  # the ledger knows that its load begins anew
    if (folder_of(dest) / names_of(dest)[0]).exists():
        raise _refusal(dest, _ended_as_it_committed(dest, other.load_id))
    if other.load_id is not None and other.goes_on and list_parts(folder_of(dest)):
        raise _refusal(
            dest,
            f"holds records that load {show_value(other.load_id)} has rejected, which may be unfinished: load again"
            " with its id, or forget it (bulkio loads forget) and remove the folder; or name another file",
        )


def _ended_as_it_committed(dest: str, load_id: str | None) -> str:
    if load_id is None:
        name, reasons = map(printable, names_of(dest))
        what = "holds the records that a load has rejected which was ended as it committed"
        look = "look whether its rows are in the table"
        return f"{what}: {look}; if so, move {name} and {reasons} out of the folder. Then remove it"
    return (
        f"holds the records that load {show_value(load_id)} has rejected, which was ended as it committed:"
        f" `bulkio loads resume {printable(load_id)}` puts the file together if its rows are in the table; if they are"
        " not, remove the folder"
    )


def _refusal(dest: str, why: str) -> ConfigError:
    return ConfigError(f"{printable(str(folder_of(dest)))} {why}")


def _remove_unwanted(dest: str, load_id: str | None) -> None:
    found = _find(dest)
    if found is not None:
        with closing(found):
            _refuse_wanted(dest, found.load, load_id)
            _remove(folder_of(dest))


def _hidden(dest: str) -> str:
    """Return a name for a folder that is being made, or removed."""
    return str(Path(dest).parent / f"{_hidden_prefix(dest)}{secrets.token_hex(4)}")


def _hidden_prefix(dest: str) -> str:
    return f".{folder_of(dest).name}-"


def _new_folder(dest: str, load: Load) -> tuple[Path, io.FileIO]:
    """Make a folder that tells whose it is; return the file that does so, too, which is locked until it is closed."""
    while True:
        new = Path(_hidden(dest))
        new.mkdir()
        with suppress(FileNotFoundError):  # another process has taken the empty folder for abandoned
            lock = io.FileIO(new / _MANIFEST, "xb")
            has_locked(lock)
            lock.write(json.dumps(asdict(load)).encode())
            os.fsync(lock.fileno())
            fsync_folder(new)
            return new, lock


def _read_manifest(file: io.FileIO) -> Load | None:
    try:
        return Load(**json.loads(file.readall()))
    except (ValueError, TypeError):
        return None


def _renamed(new: Path, folder: Path) -> bool:
    """Put a new folder in its place, unless there is one; tell whether it is there."""
    if os.path.lexists(folder):
        return False
    try:
        new.rename(folder)
    except OSError:
        if os.path.lexists(folder):  # another process was faster
            return False
        raise
    return True


def _remove(folder: Path) -> None:
    """Remove a folder by one rename: a process that is killed meanwhile leaves none that lacks parts."""
    away = Path(_hidden(str(folder).removesuffix(".parts")))
    folder.rename(away)
    fsync_folder(folder.parent)
    _clear(away)


def _clear(folder: Path) -> None:
    """Remove what is in a folder, the manifest last, as it is locked."""
    with suppress(OSError):
        for path in folder.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            elif path.name != _MANIFEST:
                path.unlink()
        (folder / _MANIFEST).unlink()
        folder.rmdir()


def remove_abandoned(dest: str) -> None:
    """Remove what processes have left that were killed as they made a folder, or removed one. Raises OSError."""
    found: list[Path] = []
    with suppress(OSError):  # it may be written to and not listed
        found = list(Path(dest).parent.iterdir())
    for left in found:
        if left.name.startswith(_hidden_prefix(dest)):
            with suppress(OSError), io.FileIO(left / _MANIFEST, "rb") as lock:
                if has_locked(lock):
                    _clear(left)
            with suppress(OSError):
                left.rmdir()
