"""Read, prepare, encode and send: the rows of a load on their way to the server."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from bulkio import flow, sql
from bulkio.errors import DriverError, EncodeError, FileError
from bulkio.files import open_source
from bulkio.flow import shelter
from bulkio.forms.copy_csv import Lines, csv_block
from bulkio.forms.prepare import prepare_batch, prepared_fields
from bulkio.forms.rewriting import BatchRewriter
from bulkio.forms.rows import to_rows
from bulkio.forms.sizes import batch_bytes
from bulkio.forms.wire import wire_batches, wire_fields
from bulkio.pgcopy import Encoder
from bulkio.protocols import Progress

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Container, Iterable, Iterator, Sequence

    import pyarrow as pa

    from bulkio.options import LoadRequest
    from bulkio.pgcopy import Block, Field
    from bulkio.plan import LoadPlan
    from bulkio.protocols import CopyFormat, Row, Session, Source, Spelling

__all__ = ["BLOCK_BYTES", "QUEUE_BYTES", "Sender", "encode_batches", "open_to_load"]

#: bytes that may wait between two of the three parties
QUEUE_BYTES = 4 << 20
#: bytes of COPY data sent at once
BLOCK_BYTES = 256 << 10


def open_to_load(request: LoadRequest) -> Source:
    """Open a source as a load reads it; its metadata only. The caller closes it."""
    return open_source(
        request.source, batch_rows=request.batch_rows, columns=request.columns, allow_lossy=request.allow_lossy
    )


def encode_batches(
    batches: Iterable[pa.RecordBatch],
    fields: Sequence[Field],
    *,
    block_bytes: int,
    first_row: int = 1,
    spelling: Spelling | None = None,
    added: Container[str] = (),
) -> Iterator[Block]:
    """Prepare and encode batches of a plan's `fields`; the last block ends the stream.

    `first_row` is the row of the source that the batches begin with, `spelling` is the source's own, where it has
    nothing but text, but for `added` columns. Raises EncodeError for the first value that cannot go.
    """
    encoder = Encoder(prepared_fields(fields), block_bytes=block_bytes, first_row=first_row)
    rewriter = BatchRewriter([field for field in fields if field.name not in added], spelling)
    for batch in batches:
        row = encoder.next_row
        rewritten = rewriter.rewrite(batch, row)
        try:
            yield from encoder.encode(prepare_batch(rewritten, fields, row))
        except EncodeError as error:
            raise rewriter.in_own_text(error, batch, row) from error.__cause__
    yield encoder.finish()


class Sender:
    """Run the three parties: read, encode, send."""

    def __init__(self, plan: LoadPlan, source: Source) -> None:
        self.plan = plan
        self.source = source
        #: rows sent so far
        self.rows = 0
        self.bytes = 0
        self._lines = Lines()
        self._blocks: flow.Stream[tuple[object, int]] = flow.Stream(max(QUEUE_BYTES, 2 * plan.request.block_bytes))

    async def run(self, session: Session) -> int:
        """Send every row under the user's search_path, which stays; return the row count of the server's COPY tag."""
        try:
            return await self._run(session)
        except (EncodeError, DriverError) as error:
            raise await self._with_place(error) from error.__cause__

    async def _run(self, session: Session) -> int:
        read: Callable[[], Iterator[pa.RecordBatch]] = self.source.batches
        async with flow.task_group() as group:
            if flow.processors() > flow.SCARCE_PROCESSORS:
                batches: flow.Stream[pa.RecordBatch] = flow.Stream(QUEUE_BYTES)
                group.start_soon(flow.pump, self.source.batches, batches, batch_bytes)
                read = partial(_taken, batches)
            group.start_soon(flow.pump, lambda: self.blocks(read()), self._blocks, _block_bytes)
            with self._blocks:
                copied = await self._send(session)
        return copied

    async def _with_place(self, error: EncodeError | DriverError) -> EncodeError | DriverError:
        """Return an error about a row with the file and line of that row, where the source has lines.

        Only now are they looked for: that reads the file again.
        """
        if isinstance(error, DriverError) and error.row is not None and self.plan.method == "csv":
            error = error.at_row(self._lines.row_of(error.row))
        if error.row is None:
            return error
        place = None
        with suppress(FileError):  # the file has changed, or is gone
            place = await shelter.finish(anyio.to_thread.run_sync(self.source.place_of_row, error.row))
        return error if place is None else error.in_file(*place)

    async def _send(self, session: Session) -> int:
        target = self.plan.target
        fmt: CopyFormat = "csv" if self.plan.method == "csv" else "binary"
        # Triggers run now, and deferred ones until COMMIT: the path stays the user's.
        await session.execute(f"{sql.PLAIN_MONEY}; {sql.USERS_PATH}" if fmt == "csv" else sql.USERS_PATH)
        if self.plan.method == "records":
            return await session.copy_in_records(target, self._counted())  # type: ignore[arg-type]
        return await session.copy_in(target, self._counted(), fmt)  # type: ignore[arg-type]

    async def _counted(self) -> AsyncIterator[object]:
        """Yield the blocks, and count what was sent once the next one is asked for."""
        report = self.plan.request.progress
        async for block, rows in self._blocks:
            yield block
            self.rows += rows
            self.bytes += _sent_bytes(block)
            if report is not None:
                report(Progress(self.rows, self.bytes, self.plan.source_rows))

    # Each of these runs in a thread: batches in, (what is sent at once, its rows) out.

    def blocks(self, batches: Iterator[pa.RecordBatch]) -> Iterator[tuple[object, int]]:
        """Yield what the plan's method sends at once, with its rows."""
        make = {"binary": self._binary, "csv": self._csv, "records": self._records}[self.plan.method]
        return make(batches)

    def _binary(self, batches: Iterator[pa.RecordBatch]) -> Iterator[tuple[Block, int]]:
        spelling = self.source.spelling
        for block in encode_batches(
            batches,
            self.plan.fields,
            block_bytes=self.plan.request.block_bytes,
            spelling=spelling,
            added=self.plan.request.add or (),
        ):
            yield block, block.rows

    def _csv(self, batches: Iterator[pa.RecordBatch]) -> Iterator[tuple[bytes, int]]:
        fields, encoded = self._encoded(batches)
        for batch in encoded:
            block = csv_block(batch, fields)
            self._lines.add(block, batch.num_rows)
            yield block, batch.num_rows

    def _records(self, batches: Iterator[pa.RecordBatch]) -> Iterator[tuple[list[Row], int]]:
        fields, encoded = self._encoded(batches)
        for batch in encoded:
            yield to_rows(batch, fields), batch.num_rows

    def _encoded(self, batches: Iterator[pa.RecordBatch]) -> tuple[tuple[Field, ...], Iterator[pa.RecordBatch]]:
        """Return what the binary method would send, as batches: so every method sends the same, or refuses it alike."""
        fields = wire_fields(prepared_fields(self.plan.fields))
        blocks = (block for block, _ in self._binary(batches))
        return fields, wire_batches(blocks, fields, batch_rows=self.plan.request.batch_rows)


def _taken(batches: flow.Stream[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield what another thread reads; the end of this iterator stops it."""
    with batches:
        yield from batches


def _block_bytes(item: tuple[object, int]) -> int:
    return _sent_bytes(item[0]) or 1 << 16


def _sent_bytes(block: object) -> int:
    """Bytes of a block; a list of rows has none that are known here."""
    return 0 if isinstance(block, list) else len(block)  # type: ignore[arg-type]
