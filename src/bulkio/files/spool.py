"""A stream that is read twice, or not from its start on: it is kept in a file meanwhile."""

from __future__ import annotations

import io
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bulkio.files.faults import reading
from bulkio.files.formats.csv.reader import CsvPart
from bulkio.files.formats.registry import format_of_file
from bulkio.files.source import FileSource
from bulkio.files.stores.compression import read_pieces
from bulkio.files.stores.paths import Listing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bulkio.files.formats.csv.options import CsvOptions
    from bulkio.files.stores.compression import BinaryFile

__all__ = ["own_path", "spooled", "spooled_csv"]


def spooled(file: BinaryFile, name: str, *, batch_rows: int, columns: tuple[str, ...] | None) -> FileSource:
    """Copy an open file of any format that its content tells into one of bulkio's own, which goes with the source.

    Raises:
        ConfigError: its content tells no format, or it was opened as text.
        FileError: it cannot be read.
    """
    with _kept(file, name) as (path, release):
        part = format_of_file(path).open_part(path, ())
        return FileSource([part], batch_rows=batch_rows, columns=columns, release=release)


def spooled_csv(
    file: BinaryFile, name: str, options: CsvOptions, *, batch_rows: int, columns: tuple[str, ...] | None
) -> FileSource:
    """Copy a stream of CSV into a file of bulkio's own, which goes with the source. Raises `FileError`."""
    with _kept(file, name) as (path, release):
        size = Path(path).stat().st_size
        note = f"{name} is read twice to infer types: its {size:,} bytes were kept in {path} meanwhile"
        part = CsvPart(path, options=options)
        return FileSource([part], Listing((path,), (note,)), batch_rows=batch_rows, columns=columns, release=release)


@contextmanager
def _kept(file: BinaryFile, name: str) -> Iterator[tuple[str, Callable[[], None]]]:
    """Copy a stream into a file; yield its path and what removes it, as an error in the block does."""
    folder = tempfile.TemporaryDirectory(prefix="bulkio-")
    path = Path(folder.name) / (Path(name).name or "stream")
    try:
        with reading(name), path.open("wb") as copy:
            for piece in read_pieces(file):
                copy.write(piece)
        yield str(path), folder.cleanup
    except BaseException:
        folder.cleanup()
        raise


def own_path(file: object) -> str | None:
    """Return the path of a file that was opened from it and of which nothing was read; None where it has none."""
    if not isinstance(file, io.BufferedReader | io.FileIO) or not isinstance(file.name, str):
        return None
    try:
        is_same = os.path.samestat(os.fstat(file.fileno()), Path(file.name).stat())
        return file.name if is_same and file.tell() == 0 else None
    except OSError:  # it was renamed, removed, or is a pipe
        return None
