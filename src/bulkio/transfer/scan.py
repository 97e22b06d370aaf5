"""Sources without a database: as a stream of batches, or into a file.

A thread reads the batches; what waits for whoever takes them is bounded in bytes.
"""

from __future__ import annotations

import time
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING

from bulkio import flow
from bulkio.errors import ConfigError
from bulkio.files import RowSource, file_dest, open_sink
from bulkio.flow import shelter
from bulkio.forms.sizes import batch_bytes
from bulkio.show import printable
from bulkio.transfer.opening import opened_source
from bulkio.transfer.report import WriteReport
from bulkio.transfer.writing import FileWriter, in_thread

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    import pyarrow as pa

    from bulkio.files import FileDest
    from bulkio.options import ScanRequest, WriteRequest

__all__ = ["ScanStream", "open_scan", "write"]

#: bytes of batches that may wait
QUEUE_BYTES = 8 << 20


class ScanStream:
    """The batches of a source, in order: `async for`, or blocking from a thread."""

    def __init__(self, schema: pa.Schema) -> None:
        self.schema = schema
        self._batches: flow.Stream[pa.RecordBatch] = flow.Stream(QUEUE_BYTES)

    def hand_out(self, reader: pa.RecordBatchReader) -> pa.RecordBatchReader:
        """Return the reader that gives these batches to its user."""
        return reader

    async def __aiter__(self) -> AsyncIterator[pa.RecordBatch]:
        with suppress(flow.EndOfStream):
            while True:
                yield await self._batches.get()

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        return iter(self._batches)


@asynccontextmanager
async def open_scan(request: ScanRequest | WriteRequest) -> AsyncIterator[ScanStream]:
    """Open a source, and read in the background until the block ends."""
    async with opened_source(request) as source:
        if isinstance(source, RowSource):
            source.set_types({})
        stream = ScanStream(source.schema)
        async with flow.task_group() as group:
            if source.feed is not None:
                group.start_soon(source.feed)
            group.start_soon(flow.pump, source.batches, stream._batches, batch_bytes)
            try:
                yield stream
            finally:
                stream._batches.stop()
                group.cancel_scope.cancel()


async def write(request: WriteRequest) -> WriteReport:
    """Write a source into a file: it appears whole under its name, or nothing does."""
    started = time.perf_counter()
    writer = FileWriter(request.progress)
    dest = file_dest(request.dest)
    if not dest.from_batches:
        raise ConfigError(
            f"{printable(dest.path)}: {dest.format_name} is written by the server, in an export, and not from batches:"
            " write .parquet, .arrow or .arrows"
        )
    try:
        async with open_scan(request) as stream:
            # The writer's thread waits for batches: only the stream's end, good or bad, lets it go.
            work = partial(_write_all, stream, dest, writer)
            await shelter.finish(in_thread(work), on_cancel=stream._batches.stop)
    except BaseException:
        await writer.discard()
        raise
    await writer.publish()
    return WriteReport(writer.rows, writer.bytes, time.perf_counter() - started, dest.path)


def _write_all(stream: ScanStream, dest: FileDest, writer: FileWriter) -> None:
    sink = writer.open(open_sink(dest, stream.schema))
    for batch in stream:
        sink.write(batch)
        writer.rows += batch.num_rows
        writer.tell()
