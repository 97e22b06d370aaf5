"""The end of a load that is done: its parts become the file, in the process that has loaded or in a later one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bulkio.errors import FileError
from bulkio.files.faults import reading, writing
from bulkio.files.rejects.assembly import assemble
from bulkio.files.rejects.checks import is_of
from bulkio.files.rejects.folder import PartsFolder, names_of, remove_abandoned
from bulkio.files.rejects.form import read_form
from bulkio.files.rejects.parts import list_parts, read_part
from bulkio.files.stores.local import fsync_folder
from bulkio.show import show_rows

if TYPE_CHECKING:
    from bulkio.files.rejects.parts import PartName

__all__ = ["count_records", "finish_folder", "finish_rejects"]


def finish_rejects(dest: str, load_id: str | None, rejected: int) -> None:
    """Put the file together of a load that another process has done, which may have begun to do so, or done it.

    Nothing is done where that was on another host. Raises `FileError`; then what is there stays.
    """
    dest = str(Path(dest).absolute())
    if not Path(dest).parent.is_dir():
        return
    folder = PartsFolder.opened(dest, load_id)
    if folder is None:
        with writing(dest):
            remove_abandoned(dest)
        return
    try:
        finish_folder(folder, dest, rejected)
    except BaseException:
        folder.close()
        raise


def finish_folder(folder: PartsFolder, dest: str, rejected: int) -> None:
    """Make the file of the parts, which have so many records, and remove their folder.

    There is no file where there are no records. Raises `FileError`; then what is there stays.
    """
    parent = Path(dest).parent
    paths = [folder.path / name for name in names_of(dest)]
    with reading(str(folder.path)):
        count = sum(count_records(folder.path).values())
        is_ready = all(path.exists() for path in paths)
    if count != rejected:
        message = f"holds {show_rows(count)}, and {rejected:,} were rejected: were some removed?"
        raise FileError(f"{folder.path}: {message}", path=str(folder.path))
    if count and not is_ready:
        assemble(folder.path, dest, read_form(folder.load.form), folder.load.load_id)
    with writing(dest):
        is_stale = not count and is_of(dest, folder.load.load_id)
        for path in reversed(paths):  # the reasons first
            if count:
                path.replace(parent / path.name)
            elif is_stale:  # what another load had under this id
                (parent / path.name).unlink(missing_ok=True)
        fsync_folder(parent)
    folder.remove()


def count_records(folder: Path) -> dict[PartName, int]:
    """Return how many records each part in a folder has. Raises `FileError`."""
    return {name: sum(reasons.num_rows for _, reasons in read_part(folder / str(name))) for name in list_parts(folder)}
