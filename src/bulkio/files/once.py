"""What can be read once: stdin, a pipe, an open file. It is CSV, where that is said, or an Arrow stream.

gzip and zstd are taken off. Other formats have their contents at their end, which a pipe gives last.
"""

from __future__ import annotations

import io
import os
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from bulkio.errors import ConfigError
from bulkio.files.faults import reading
from bulkio.files.formats.csv.file import CsvFile
from bulkio.files.formats.csv.reader import CsvStream
from bulkio.files.formats.ipc_stream import open_stream_reader
from bulkio.files.formats.registry import format_of_dest, format_of_head, format_of_name
from bulkio.files.spool import spooled_batches, spooled_csv
from bulkio.files.stores.compression import open_stream, with_head
from bulkio.files.stores.standard import stdin
from bulkio.files.stream import StreamSource
from bulkio.show import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from bulkio.files.formats.registry import Format
    from bulkio.files.source import FileSource
    from bulkio.files.spool import Keeping
    from bulkio.files.stores.compression import BinaryFile

__all__ = ["open_csv_once", "open_once"]


def open_once(
    path: str, fmt: str | None, *, batch_rows: int, columns: tuple[str, ...] | None, keeping: Keeping | None = None
) -> StreamSource | CsvStream | FileSource:
    """Open stdin ("-"), a named pipe, or a shell's <(…), as CSV or as an Arrow stream. Raises `FileError`.

    Raises:
        ConfigError: it is, or is said to be, of a format that needs its end; or nothing tells the format.
    """
    known = format_of_name(path) if fmt is None else format_of_dest(path, fmt)
    if known is not None and known.name == "csv":
        return open_csv_once(CsvFile(path), batch_rows=batch_rows, columns=columns, keeping=keeping)
    name = _name(path)
    _refuse_needing_end(known, name)
    with _kept() as kept:
        file = stdin() if path == "-" else kept.enter_context(_opened(path))
        reader = _stream_reader(kept, file, name, known)
        if keeping is None:
            return StreamSource(reader, batch_rows=batch_rows, columns=columns, name=name, release=kept.close)
        stream = StreamSource(reader, batch_rows=batch_rows, name=name, release=kept.close)
        return spooled_batches(stream, batch_rows=batch_rows, columns=columns, keeping=keeping)


def open_csv_once(
    source: CsvFile, *, batch_rows: int, columns: tuple[str, ...] | None, keeping: Keeping | None = None
) -> FileSource | CsvStream:
    """Open stdin, an open file or a pipe as CSV; to be read twice, it is kept in a file. Raises `FileError`."""
    open_csv = partial(_csv_of, source, batch_rows=batch_rows, columns=columns, keeping=keeping)
    if source.path == "-":
        return open_csv(stdin(), _name("-"))
    if not isinstance(source.path, str | os.PathLike):
        name = str(getattr(source.path, "name", type(source.path).__name__))
        return open_csv(cast("BinaryFile", source.path), name)
    path = os.fspath(source.path)
    with _kept() as kept:
        file = kept.enter_context(_opened(path))
        stream = open_csv(file, path)
        if isinstance(stream, CsvStream):
            stream.owns(file)
        else:
            kept.close()
        return stream


def _csv_of(
    source: CsvFile,
    file: BinaryFile,
    name: str,
    *,
    batch_rows: int,
    columns: tuple[str, ...] | None,
    keeping: Keeping | None,
) -> FileSource | CsvStream:
    if source.infer or keeping is not None:
        return spooled_csv(file, name, source.options, batch_rows=batch_rows, columns=columns, keeping=keeping)
    return CsvStream(file, source.options, name=name, batch_rows=batch_rows, columns=columns)


def _stream_reader(kept: ExitStack, file: BinaryFile, name: str, known: Format | None) -> pa.RecordBatchReader:
    if known is None and not isinstance(file, io.BufferedIOBase | io.RawIOBase):
        raise _untold(name)  # a terminal, where nobody types an Arrow stream
    with reading(name):
        head, plain = with_head(kept.enter_context(open_stream(file)))
        found = format_of_head(head) or known
        if found is None:
            raise _untold(name)
        _refuse_needing_end(found, name)
        return open_stream_reader(plain)


def _refuse_needing_end(fmt: Format | None, name: str) -> None:
    if fmt is not None and not fmt.streams:
        mend = "save it to a file, or send an Arrow stream (arrows)"
        raise ConfigError(f"{printable(name)}: {fmt.name} cannot be read from a pipe, as its end comes first: {mend}")


@contextmanager
def _kept() -> Iterator[ExitStack]:
    """Yield a stack for what a source closes at its end; an error in the block closes it at once."""
    kept = ExitStack()
    try:
        yield kept
    except BaseException:
        kept.close()
        raise


def _opened(path: str) -> IO[bytes]:
    with reading(path):
        return Path(path).open("rb", buffering=0)


def _name(path: str) -> str:
    """Return what messages call it."""
    return "stdin" if path == "-" else path


def _untold(name: str) -> ConfigError:
    message = "has no name that tells its format: if it is CSV, say so (--format csv, bulkio.csv(…))"
    return ConfigError(f"{printable(name)} {message}")
