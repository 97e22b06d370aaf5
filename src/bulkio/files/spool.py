"""A stream that is read twice: it is kept in a file meanwhile."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from bulkio.files.faults import reading
from bulkio.files.formats.csv.opening import read_pieces
from bulkio.files.formats.csv.reader import CsvPart
from bulkio.files.source import FileSource

if TYPE_CHECKING:
    from bulkio.files.formats.csv.opening import BinaryFile
    from bulkio.files.formats.csv.options import CsvOptions

__all__ = ["spooled"]


def spooled(file: BinaryFile, options: CsvOptions, *, batch_rows: int, columns: tuple[str, ...] | None) -> FileSource:
    """Copy a stream of CSV into a file, which is removed when the source is closed. Raises `FileError`."""
    folder = tempfile.TemporaryDirectory(prefix="bulkio-")
    path = Path(folder.name) / "stdin"
    try:
        with reading(str(path)), path.open("wb") as copy:
            for piece in read_pieces(file):
                copy.write(piece)
        note = f"stdin is read twice to infer types: its {path.stat().st_size:,} bytes were kept in {path} meanwhile"
        part = CsvPart(str(path), options)
        return FileSource([part], batch_rows=batch_rows, columns=columns, notes=(note,), release=folder.cleanup)
    except BaseException:
        folder.cleanup()
        raise
