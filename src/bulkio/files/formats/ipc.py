"""Arrow IPC: the file format (.arrow, Feather version 2) and the stream format (.arrows), read and written.

A file is told from a stream by its magic bytes, whatever its name says. Uncompressed data is used where it
lies in the memory map, so a file must not be cut short while it is read (true of every memory map). Buffers
that come from a file are validated before anyone follows their offsets.
"""

from __future__ import annotations

import mmap
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.ipc as pa_ipc

from bulkio.files.faults import reading
from bulkio.files.formats.part import TypedPart, even_ranges, file_state, readable_schema, shared_schema
from bulkio.files.formats.sink import FileSink
from bulkio.files.stores.compression import compressor
from bulkio.files.wide import ipc_batch_rows, ipc_file_schema, naming_wide_integers, stream_schema
from bulkio.forms.sizes import batch_bytes
from bulkio.protocols import PartRange

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence
    from typing import IO

    from bulkio.files.formats.part import Part, ReadOptions

__all__ = ["FILE_MAGIC", "STREAM_MAGIC", "IpcPart", "cut_batch", "open_file_sink", "open_stream_sink"]

#: first bytes of the file format (Arrow columnar format, "IPC File Format")
FILE_MAGIC = b"ARROW1"
#: first bytes of the stream format: the marker that a message follows; before Arrow 0.15 there was none
#: (Arrow columnar format, "Encapsulated message format")
STREAM_MAGIC = b"\xff\xff\xff\xff"
#: first bytes of Feather version 1, which is another format altogether
_FEATHER_1_MAGIC = b"FEA1"
#: the end of a stream: the marker that a message follows, and no length; before Arrow 0.15 no length alone
#: (Arrow columnar format, "IPC Streaming Format")
_END_MARKERS = (STREAM_MAGIC + bytes(4), b"\0\0\0\0")
#: bytes read after which the pages read so far are given back to the system
_RELEASE_BYTES = 64 << 20
_COMPRESSION = "lz4"


class IpcPart(TypedPart):
    """One Arrow IPC file or stream. A `Part`."""

    def __init__(self, path: str, known: Sequence[Part] = ()) -> None:
        self.path = path
        self.faults: Mapping[str, str] = {}
        with reading(path):
            self.state = file_state(path)
            mapped = _map(path)
            self.size_bytes = len(mapped)
            self._is_file = mapped[: len(FILE_MAGIC)] == FILE_MAGIC
            if mapped[: len(_FEATHER_1_MAGIC)] == _FEATHER_1_MAGIC:
                raise ValueError("it is Feather version 1; write it again as version 2 (Arrow IPC)")
            find = ipc_file_schema if self._is_file else stream_schema
            with (
                naming_wide_integers(lambda: find(mapped)),
                self._open(mapped) as reader,
            ):
                self.schema: pa.Schema = shared_schema(readable_schema(reader.schema), known)
                self.rows: int | None = sum(ipc_batch_rows(mapped)) if self._is_file else None
            if not self._is_file:
                _refuse_cut(mapped)

    def ranges(self, count: int) -> list[PartRange]:
        """Cut the file between its batches; a stream is one range. Raises `FileError`."""
        if count == 1 or not self._is_file:
            return [PartRange(0, None, 1, self.rows)]
        with reading(self.path):
            rows = ipc_batch_rows(_map(self.path))
            if sum(rows) != self.rows:
                raise ValueError("its batches have other rows than its footer says: it is damaged")
        return even_ranges(rows, count)

    def read_range(self, part: PartRange, options: ReadOptions) -> Generator[pa.RecordBatch, None, None]:
        """Read the range's batches in order, cut to at most `options.batch_rows` rows."""
        mapped = _map(self.path)
        read_bytes = 0
        with self._open(mapped) as reader:
            for batch in self._stored_batches(reader, part):
                batch.validate(full=True)
                yield from cut_batch(batch, options)
                read_bytes += batch_bytes(batch)
                if read_bytes >= _RELEASE_BYTES:
                    read_bytes = 0
                    _release(mapped)

    def _open(self, mapped: mmap.mmap) -> pa_ipc.RecordBatchFileReader | pa_ipc.RecordBatchStreamReader:
        options = pa_ipc.IpcReadOptions(use_threads=False)
        source = pa.BufferReader(pa.py_buffer(mapped))
        if self._is_file:
            return pa_ipc.open_file(source, options=options)
        return pa_ipc.open_stream(source, options=options)

    def _stored_batches(
        self, reader: pa_ipc.RecordBatchFileReader | pa_ipc.RecordBatchStreamReader, part: PartRange
    ) -> Iterator[pa.RecordBatch]:
        if self._is_file:
            end = reader.num_record_batches if part.end is None else part.end
            return (reader.get_batch(index) for index in range(part.start, end))
        return iter(reader)


def cut_batch(batch: pa.RecordBatch, options: ReadOptions) -> Iterator[pa.RecordBatch]:
    """Yield the columns that are wanted, in batches of as many rows as are wanted."""
    chosen = batch if options.columns is None else batch.select(list(options.columns))
    for start in range(0, chosen.num_rows, options.batch_rows):
        yield chosen.slice(start, options.batch_rows)


def _refuse_cut(mapped: mmap.mmap) -> None:
    """Raise ValueError where a stream does not end as it must, which readers take for its end all the same.

    Only the messages' headers are read: a stream that was cut between two messages has no marker behind the last one.
    """
    source = pa.BufferReader(pa.py_buffer(mapped))
    messages = pa_ipc.MessageReader.open_stream(source)
    end = 0
    with suppress(StopIteration):
        while True:
            messages.read_next_message()
            end = source.tell()
    marker = next((marker for marker in _END_MARKERS if mapped[end : end + len(marker)] == marker), None)
    if marker is None:
        raise ValueError("it does not end with the end-of-stream marker: it was cut short, or is still being written")
    if rest := len(mapped) - end - len(marker):
        raise ValueError(f"it goes on for {rest} bytes after the stream's end: give each stream a file of its own")


def _map(path: str) -> mmap.mmap:
    with Path(path).open("rb") as file:
        if file.seek(0, 2) == 0:
            raise ValueError("it is empty")
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _release(mapped: mmap.mmap) -> None:
    # The pages stay in the system's cache; without this the process would seem to grow to the size of the
    # file.
    if hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


class _IpcWriter:
    """Writes batches through one of pyarrow's two IPC writers. A `sink.Writer`."""

    def __init__(
        self,
        writer: pa_ipc.RecordBatchFileWriter | pa_ipc.RecordBatchStreamWriter,
        packed: IO[bytes] | None = None,
    ) -> None:
        self._writer = writer
        #: compressor of all that the writer writes, if any
        self._packed = packed

    def write(self, batch: pa.RecordBatch) -> None:
        try:
            self._writer.write_batch(batch)
        except pa.ArrowInvalid as exc:
            if "Dictionary replacement" not in str(exc):
                raise
            raise ValueError(
                "a dictionary column has other values than in the batch before, which Arrow's file format "
                "cannot hold; write .arrows (the stream format) or .parquet"
            ) from exc

    def close(self) -> None:
        self._writer.close()
        if self._packed is not None:
            self._packed.close()


def _write_options(compression: str | None = _COMPRESSION) -> pa_ipc.IpcWriteOptions:
    return pa_ipc.IpcWriteOptions(compression=compression, use_threads=False, emit_dictionary_deltas=True)


def open_file_sink(path: str, schema: pa.Schema) -> FileSink:
    """Write the file format. Raises `FileError`; a dictionary that changes between batches needs a stream."""

    def make(file: IO[bytes]) -> _IpcWriter:
        return _IpcWriter(pa_ipc.new_file(file, schema, options=_write_options()))

    return FileSink(path, schema, make)


def open_stream_sink(path: str, schema: pa.Schema) -> FileSink:
    """Write the stream format, compressed as the path ends: then its buffers are not. Raises `FileError`."""

    def make(file: IO[bytes]) -> _IpcWriter:
        packed = compressor(file, path)
        options = _write_options() if packed is None else _write_options(None)
        return _IpcWriter(pa_ipc.new_stream(packed or file, schema, options=options), packed)

    return FileSink(path, schema, make)
