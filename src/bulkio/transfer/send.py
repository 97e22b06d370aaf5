"""Read, prepare, encode and send: the rows of a load on their way to the server."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, cast

import anyio
import anyio.to_thread
import pyarrow as pa
import pyarrow.compute as pc

from bulkio import flow, sql
from bulkio.errors import DriverError, EncodeError, FileError
from bulkio.flow import shelter
from bulkio.forms.copy_csv import Lines, csv_block
from bulkio.forms.encoding import encode_batches
from bulkio.forms.prepare import prepared_fields
from bulkio.forms.rows import to_rows
from bulkio.forms.sizes import batch_bytes
from bulkio.forms.wire import wire_batches, wire_fields
from bulkio.plan.numbers import ROW_BITS
from bulkio.protocols import Progress

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Iterator

    from bulkio.forms.encoding import LeftOut
    from bulkio.pgcopy import Block, Field
    from bulkio.plan import LoadPlan
    from bulkio.protocols import Chunk, CopyFormat, Row, Session, Source
    from bulkio.transfer.held import Held
    from bulkio.transfer.rejects import Rejects

__all__ = ["BLOCK_BYTES", "QUEUE_BYTES", "Sender", "Tally", "setting_of"]

#: bytes that may wait between two of the three parties
QUEUE_BYTES = 4 << 20
#: bytes of COPY data sent at once
BLOCK_BYTES = 256 << 10


def setting_of(plan: LoadPlan) -> str:
    """Set what COPY runs under: the user's path, since triggers run now, and deferred ones until COMMIT."""
    return f"{sql.PLAIN_MONEY}; {sql.USERS_PATH}" if plan.method == "csv" else sql.USERS_PATH


class Tally:
    """Rows and bytes that a load has sent so far, by all of its senders; whoever wants to is told of them."""

    def __init__(self, plan: LoadPlan, rows: int = 0, size: int = 0) -> None:
        self._plan = plan
        self.rows = rows
        self.bytes = size

    def add(self, rows: int, size: int) -> None:
        """Count what was sent."""
        self.rows += rows
        self.bytes += size
        self._tell(committing=False)

    def end(self) -> None:
        """Tell that every row was sent."""
        self._tell(committing=True)

    def _tell(self, *, committing: bool) -> None:
        if self._plan.request.progress is not None:
            progress = Progress(self.rows, self.bytes, self._plan.source_rows, committing=committing)
            self._plan.request.progress(progress)


class Sender:
    """Run the three parties: read, encode, send. They carry a whole source, or one chunk of it.

    Of a chunk, the rows are numbered in a column of this name, if it is given: by chunk, and in it from 0. Rows that
    cannot go are an error, or `left_out` where that is given.
    """

    #: records that were left out, where that is an error
    rejected = 0
    rejects: Rejects | None = None

    def __init__(
        self,
        plan: LoadPlan,
        source: Source | Held,
        tally: Tally | None,
        chunk: Chunk | None = None,
        number: str = "",
        left_out: LeftOut | None = None,
    ) -> None:
        self.plan = plan
        self.source = source
        #: rows and bytes sent so far
        self.rows = 0
        self.bytes = 0
        self._tally = tally
        self._chunk = chunk
        self._number = number
        self._left_out = left_out
        #: row of the source that messages count from
        self._first_row = 1 if chunk is None else chunk.counts_from
        self._lines = Lines()
        self._blocks: flow.Stream[tuple[object, int]] = flow.Stream(max(QUEUE_BYTES, 2 * plan.request.block_bytes))

    async def run(self, session: Session) -> int:
        """Send every row under the user's search_path, which stays; return the row count of the server's COPY tag."""
        await session.execute(setting_of(self.plan))
        try:
            return await self._run(session)
        except (EncodeError, DriverError) as error:
            raise await self._with_place(error) from error.__cause__

    async def run_here(self, session: Session) -> int:
        """Send rows that are held in memory, without threads that take turns; the setting is in force already."""
        try:
            return await self._send(session, self._made())
        except (EncodeError, DriverError) as error:
            raise await self._with_place(error) from error.__cause__

    async def _run(self, session: Session) -> int:
        read = self._batches
        async with flow.task_group() as group:
            if self.source.feed is not None:
                group.start_soon(self.source.feed)
            if flow.processors() > flow.SCARCE_PROCESSORS:
                batches: flow.Stream[pa.RecordBatch] = flow.Stream(QUEUE_BYTES)
                group.start_soon(flow.pump, self._batches, batches, batch_bytes)
                read = partial(_taken, batches)
            group.start_soon(flow.pump, lambda: self.blocks(read()), self._blocks, _block_bytes)
            with self._blocks:
                copied = await self._send(session, self._blocks)
        return copied

    async def _with_place(self, error: EncodeError | DriverError) -> EncodeError | DriverError:
        """Return an error about a row with the file and line of that row, where the source has lines.

        Only now are they looked for: that reads the file again.
        """
        row = error.row
        if isinstance(error, DriverError) and row is not None:  # the server counts the rows, or lines, that it has got
            row = self._lines.row_of(row) if self.plan.method == "csv" else row
            row = None if row is None else self._row_of(row)
            error = error.at_row(row)
        if row is None:
            return error
        place = None
        with suppress(FileError):  # the file has changed, or is gone
            place = await shelter.finish(anyio.to_thread.run_sync(self.source.place_of_row, row, self._chunk))
        return error if place is None else error.in_file(*place)

    def _row_of(self, position: int) -> int:
        """Return the row of the source that was sent at this position, from 1."""
        if self._left_out is None:
            return self._first_row + position - 1
        return self._left_out.row_of(position, first_row=self._first_row)

    async def _made(self) -> AsyncIterator[tuple[object, int]]:
        for item in self.blocks(self._batches()):
            yield item

    async def _send(self, session: Session, blocks: AsyncIterable[tuple[object, int]]) -> int:
        target = self.plan.target
        counted = self._counted(blocks)
        if self.plan.method == "records":
            return await session.copy_in_records(target, counted)  # type: ignore[arg-type]
        fmt: CopyFormat = "csv" if self.plan.method == "csv" else "binary"
        return await session.copy_in(target, counted, fmt)  # type: ignore[arg-type]

    async def _counted(self, blocks: AsyncIterable[tuple[object, int]]) -> AsyncIterator[object]:
        """Yield the blocks, and count what was sent once the next one is asked for."""
        async for block, rows in blocks:
            yield block
            size = _sent_bytes(block)
            self.rows += rows
            self.bytes += size
            if self._tally is not None:
                self._tally.add(rows, size)

    # Each of these runs in a thread: batches in, (what is sent at once, its rows) out.

    def _batches(self) -> Iterator[pa.RecordBatch]:
        if self._chunk is None:
            return cast("Source", self.source).batches()
        refuse = None if self._left_out is None else self._left_out.refuse
        batches = self.source.read(self._chunk, refuse)
        return _numbered(batches, self._number, self._chunk.number << ROW_BITS) if self._number else batches

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
            first_row=self._first_row,
            spelling=spelling,
            added=(*(self.plan.request.add or ()), self._number),
            left_out=self._left_out,
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


def _numbered(batches: Iterator[pa.RecordBatch], name: str, first: int) -> Iterator[pa.RecordBatch]:
    """Add a column to each batch, which numbers the rows."""
    ramp = pa.array([], pa.int64())
    for batch in batches:
        if len(ramp) < batch.num_rows:
            ramp = pa.array(range(batch.num_rows), pa.int64())
        # Added to in one go: numbers made one by one would cost thirty times as much.
        numbers = pc.add(ramp.slice(0, batch.num_rows), pa.scalar(first, pa.int64()))
        yield batch.append_column(name, numbers)
        first += batch.num_rows


def _taken(batches: flow.Stream[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield what another thread reads; the end of this iterator stops it."""
    with batches:
        yield from batches


def _block_bytes(item: tuple[object, int]) -> int:
    return _sent_bytes(item[0]) or 1 << 16


def _sent_bytes(block: object) -> int:
    """Bytes of a block; a list of rows has none that are known here."""
    return 0 if isinstance(block, list) else len(block)  # type: ignore[arg-type]
