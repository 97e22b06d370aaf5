"""An Arrow IPC stream from a pipe: validated as a file is, and refused where it ends too early."""

from __future__ import annotations

import io
from typing import IO, TYPE_CHECKING

import pyarrow as pa
import pyarrow.ipc as pa_ipc

from bulkio.files.faults import reading
from bulkio.files.formats.ipc import STREAM_MAGIC

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["begins_as_stream", "open_stream_reader"]

#: how a stream ends (Arrow columnar format, "IPC Streaming Format")
_END = STREAM_MAGIC + bytes(4)


def begins_as_stream(file: IO[bytes]) -> bool:
    """Look at the first bytes, which stay to be read."""
    return isinstance(file, io.BufferedReader) and file.peek(4)[:4] == STREAM_MAGIC


class _Watched:
    """A file that knows the last bytes that were read of it."""

    closed = False

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.last = b""

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.last = (self.last + data)[-len(_END) :]
        return data

    def close(self) -> None:
        """Leave the file open: it is the caller's."""


def open_stream_reader(file: IO[bytes], name: str) -> pa.RecordBatchReader:
    """Open a stream; its batches are validated as they come. Raises `FileError`; so do the batches."""
    watched = _Watched(file)
    with reading(name):
        reader = pa_ipc.open_stream(pa.PythonFile(watched, mode="r"))
    return pa.RecordBatchReader.from_batches(reader.schema, _checked(reader, watched))


def _checked(reader: pa_ipc.RecordBatchStreamReader, watched: _Watched) -> Iterator[pa.RecordBatch]:
    for batch in reader:
        batch.validate(full=True)
        yield batch
    if watched.last != _END:
        raise ValueError("it does not end with the end-of-stream marker: it was cut short")
    if watched.read(1):
        raise ValueError("it goes on after the stream's end: give each stream a file of its own")
