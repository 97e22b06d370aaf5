"""What is read twice and can be read once, or not from its start on: it is kept in a file of bulkio's own meanwhile."""

from __future__ import annotations

import io
import os
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.ipc as pa_ipc

from bulkio.errors import FileError
from bulkio.files.faults import reading, writing
from bulkio.files.formats.csv.reader import CsvPart
from bulkio.files.formats.ipc import IpcPart
from bulkio.files.formats.part import choose_columns
from bulkio.files.formats.registry import format_of_file
from bulkio.files.source import FileSource, Spool
from bulkio.files.stores.compression import read_pieces
from bulkio.files.stores.paths import Listing
from bulkio.files.stores.temporary import TemporaryFolder
from bulkio.forms.layouts import has_dictionary
from bulkio.show import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bulkio.files.formats.csv.options import CsvOptions
    from bulkio.files.stores.compression import BinaryFile
    from bulkio.files.stream import StreamSource

__all__ = ["Keeping", "own_path", "spooled", "spooled_batches", "spooled_csv"]

#: compression of batches: it costs little, and the folder of temporary files may be in memory
_OPTIONS = pa_ipc.IpcWriteOptions(compression="lz4", use_threads=False)


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Keeping:
    """That rejected records will be read again: what is read once is kept in a file, from its beginning."""

    #: whether to give up, asked after each piece that was kept: a stream may be long
    stopped: Callable[[], bool] = _never

    def check(self, name: str) -> None:
        """Raise `FileError` where the keeping is to be given up."""
        if self.stopped():
            raise FileError(f"{name}: the reading was stopped", path=name)


def spooled(
    file: BinaryFile, name: str, *, batch_rows: int, columns: tuple[str, ...] | None, keeping: Keeping | None = None
) -> FileSource:
    """Copy an open file of any format that its content tells into one of bulkio's own, which goes with the source.

    Raises:
        ConfigError: its content tells no format, or it was opened as text.
        FileError: it cannot be read.
    """
    with _folder(name) as (path, spool):
        _copy(file, name, path, keeping)
        listing = Listing((path,), () if keeping is None else (_kept_note(name, path),))
        part = format_of_file(path).open_part(path, ())
        return FileSource([part], listing, batch_rows=batch_rows, columns=columns, spool=spool)


def spooled_csv(
    file: BinaryFile,
    name: str,
    options: CsvOptions,
    *,
    batch_rows: int,
    columns: tuple[str, ...] | None,
    keeping: Keeping | None = None,
) -> FileSource:
    """Copy a stream of CSV into a file of bulkio's own, which goes with the source. Raises `FileError`."""
    with _folder(name) as (path, spool):
        _copy(file, name, path, keeping)
        note = _kept_note(name, path)
        if keeping is None:
            size = Path(path).stat().st_size
            note = f"{name} is read twice to infer types: its {size:,} bytes were kept in {path} meanwhile"
        part = CsvPart(path, options=options, tolerant=keeping is not None, name=name)
        return FileSource([part], Listing((path,), (note,)), batch_rows=batch_rows, columns=columns, spool=spool)


def spooled_batches(
    stream: StreamSource, *, batch_rows: int, columns: tuple[str, ...] | None, keeping: Keeping
) -> FileSource:
    """Keep all columns of an object's batches in a file of bulkio's own, and close the object.

    Raises:
        SchemaError: unknown `columns`.
        FileError: they cannot be kept; what the user's own code raises passes through.
    """
    try:
        if columns is not None:
            choose_columns(stream.schema, columns, stream.name)
        with _folder(stream.name, reads_once=stream.reads_once) as (path, spool):
            _write(stream, path, keeping)
            listing = Listing((path,), (_kept_note(stream.name, path),))
            return FileSource([IpcPart(path)], listing, batch_rows=batch_rows, columns=columns, spool=spool)
    finally:
        stream.close()


def _write(stream: StreamSource, path: str, keeping: Keeping) -> None:
    # Only a stream has room for dictionaries that change; a file can be read from any batch on.
    make = pa_ipc.new_stream if any(map(has_dictionary, stream.schema.types)) else pa_ipc.new_file
    with writing(path):
        file = pa.OSFile(path, "wb")
    with file:
        with writing(path):
            writer = make(file, stream.schema, options=_OPTIONS)
        for batch in stream.batches():
            with writing(path):
                writer.write_batch(batch)
            keeping.check(stream.name)
        with writing(path):
            writer.close()


def _copy(file: BinaryFile, name: str, path: str, keeping: Keeping | None) -> None:
    with writing(path), Path(path).open("wb") as copy:
        for piece in _pieces(file, name):
            copy.write(piece)
            if keeping is not None:
                keeping.check(name)


def _pieces(file: BinaryFile, name: str) -> Iterator[bytes]:
    with reading(name):
        yield from read_pieces(file)


def _kept_note(name: str, path: str) -> str:
    size = Path(path).stat().st_size
    what = f"{printable(name)} can be read once, and rejected records are read again"
    return f"{what}: its {size:,} bytes were kept in {path} meanwhile"


@contextmanager
def _folder(name: str, *, reads_once: bool = True) -> Iterator[tuple[str, Spool]]:
    """Make a folder; yield a path in it and what removes it, as an error in the block does."""
    with writing("the folder of temporary files"):
        folder = TemporaryFolder()
    try:
        yield str(folder.path / (Path(name).name or "stream")), Spool(name, folder.remove, reads_once)
    except BaseException:
        folder.remove()
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
