"""An Arrow IPC stream that is read from its beginning on: from a pipe, or from a compressed file.

Validated as a file is, and refused where it ends too early.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.ipc as pa_ipc

from bulkio.files.faults import reading
from bulkio.files.formats.ipc import FILE_MAGIC, STREAM_MAGIC, IpcPart, cut_batch
from bulkio.files.formats.part import TypedPart, file_state, readable_schema, shared_schema
from bulkio.files.stores.compression import is_plain, open_path, read_pieces, with_head
from bulkio.protocols import PartRange

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence

    from bulkio.files.formats.part import Part, ReadOptions
    from bulkio.files.stores.compression import BinaryFile

__all__ = ["PackedStreamPart", "open_ipc", "open_stream_reader"]

#: end of a stream (Arrow columnar format, "IPC Streaming Format")
_END = STREAM_MAGIC + bytes(4)


def open_ipc(path: str, known: Sequence[Part] = ()) -> Part:
    """Open an Arrow file, or a stream, which may be compressed. Raises `FileError`."""
    with reading(path):
        plain = is_plain(path)
    return IpcPart(path, known) if plain else PackedStreamPart(path, known)


class PackedStreamPart(TypedPart):
    """A compressed Arrow IPC stream. A `Part`: one range, of which only reading tells the rows."""

    def __init__(self, path: str, known: Sequence[Part] = ()) -> None:
        self.path = path
        self.faults: Mapping[str, str] = {}
        self.rows: int | None = None
        with reading(path):
            self.state = file_state(path)
            self.size_bytes = self.state[2]
            with open_path(path) as file:
                self.schema: pa.Schema = shared_schema(open_stream_reader(file).schema, known)

    def ranges(self, _count: int) -> list[PartRange]:
        """Return the one range that a stream is."""
        return [PartRange(0, None, 1, None)]

    def read_range(self, _part: PartRange, options: ReadOptions) -> Generator[pa.RecordBatch, None, None]:
        """Read the stream's batches in order, cut to at most `options.batch_rows` rows."""
        with open_path(self.path) as file:
            for batch in open_stream_reader(file):
                yield from cut_batch(batch, options)


class _Watched:
    """A file that gives all that is asked for, but at its end, and knows the last bytes that were read of it."""

    closed = False

    def __init__(self, file: BinaryFile) -> None:
        self._file = file
        self.last = b""

    def read(self, size: int) -> bytes:
        data = b"".join(read_pieces(self._file, size_bytes=size))  # a pipe gives less at once
        self.last = (self.last + data[-len(_END) :])[-len(_END) :]
        return data

    def close(self) -> None:
        """Leave the file open: it is the caller's."""


def open_stream_reader(file: BinaryFile) -> pa.RecordBatchReader:
    """Open a stream; its batches are validated as they come. Foreign errors may escape, from the batches too."""
    head, file = with_head(file)
    if head.startswith(FILE_MAGIC):
        raise ValueError("it is an Arrow file, not a stream, and cannot be read compressed: decompress it first")
    watched = _Watched(file)
    reader = pa_ipc.open_stream(pa.PythonFile(watched, mode="r"), options=pa_ipc.IpcReadOptions(use_threads=False))
    return pa.RecordBatchReader.from_batches(readable_schema(reader.schema), _checked(reader, watched))


def _checked(reader: pa_ipc.RecordBatchStreamReader, watched: _Watched) -> Iterator[pa.RecordBatch]:
    for batch in reader:
        batch.validate(full=True)
        yield batch
    if watched.last != _END:
        raise ValueError("it does not end with the end-of-stream marker: it was cut short")
    if watched.read(1):
        raise ValueError("it goes on after the stream's end: give each stream a file of its own")
