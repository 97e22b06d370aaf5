"""Find the rows of a chunk that the server refuses, one after the other, and store nothing.

The rows are tried in their order, a range at a time. A row is at fault if the server refuses it alone, behind all the
good rows before it. Where the server names a row of a range, only the rows before that are tried next; where it names
none (a foreign key, a trigger AFTER the row, a deferred constraint), half of them. After a success ranges grow again.
So the server sees each row a few times at most, however many it refuses.
"""

from __future__ import annotations

import sys
from contextlib import closing
from itertools import count
from typing import TYPE_CHECKING, cast

import anyio.to_thread

from bulkio.errors import DriverError
from bulkio.flow import shelter
from bulkio.forms.sizes import batch_bytes
from bulkio.plan import final_names
from bulkio.protocols import Chunk, Reject
from bulkio.sql import savepoints
from bulkio.transfer.held import Held
from bulkio.transfer.ranges import Range, Ranges

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    import pyarrow as pa

    from bulkio.forms.encoding import LeftOut
    from bulkio.protocols import Session, Source
    from bulkio.transfer.send import Sender

__all__ = ["walk"]

_WALK = "bulkio_walk"
#: bytes of batches that are held at a time; twice as many after so many times, since each of them leaves a savepoint
_WINDOW_BYTES = 4 << 20
_WINDOWS = 8
#: ranges of held rows that are kept stored, each behind a savepoint
_MOST_RANGES = 20
#: rows of a range behind one that was refused, at least
_LEAST_ROWS = 32


async def walk(
    session: Session,
    source: Source,
    chunk: Chunk,
    left_out: LeftOut,
    sender_of: Callable[[Held, Chunk, LeftOut], Sender],
) -> list[Reject]:
    """Return the rows of a chunk that the server refuses, besides those that are left out already.

    `sender_of` makes what sends a range of held rows without those that are left out.
    """
    refused: list[Reject] = []
    row = chunk.counts_from
    await session.execute(savepoints.savepoint(_WALK))
    batches = source.read(chunk, left_out.refuse)
    with closing(cast("Generator[pa.RecordBatch, None, None]", batches)):
        for number in count():
            window = await shelter.finish(
                anyio.to_thread.run_sync(_window, batches, _WINDOW_BYTES << number // _WINDOWS)
            )
            if not window:
                break
            held = Held(source, window, chunk, row)
            refused += await _Tries(session, held, left_out, sender_of).refused()
            row = held.end_row
    await session.execute(savepoints.take_back(_WALK))
    return refused


def _window(batches: Iterator[pa.RecordBatch], window_bytes: int) -> list[pa.RecordBatch]:
    """Take batches up to a window's size; none at the end."""
    window: list[pa.RecordBatch] = []
    size = 0
    for batch in batches:
        window.append(batch)
        size += batch_bytes(batch)
        if size >= window_bytes:
            break
    return window


class _Tries:
    """The tries of the rows of one window."""

    def __init__(
        self, session: Session, held: Held, left_out: LeftOut, sender_of: Callable[[Held, Chunk, LeftOut], Sender]
    ) -> None:
        self._session = session
        self._held = held
        self._left_out = left_out
        self._sender_of = sender_of
        self._stored = Ranges(session, self._send, _MOST_RANGES)

    async def refused(self) -> list[Reject]:
        """Try all rows; those that are not refused stay in the transaction."""
        refused: list[Reject] = []
        row, end = self._held.first_row, self._held.end_row
        since = row  # the latest row that was refused
        stride, stop = end - row, end
        fails = sys.maxsize  # end of a range that the server has refused
        while row < end:
            error = await self._try(row, stop)
            if error is None:
                row = stop
                if row >= fails:
                    fails = sys.maxsize
                stride *= 2
                stop = min(end, row + stride) if fails == sys.maxsize else row + max(1, (fails - row) // 2)
            elif stop - row == 1:
                refused.append(Reject(row, str(error.args[0]), error.column, error.sqlstate))
                self._left_out.refuse(refused[-1])
                follows = row == since and len(refused) > 1  # the next one is likely at fault, too
                stride = max(_LEAST_ROWS, 2 * (row - since))
                row = since = row + 1
                fails = sys.maxsize
                stop = min(end, row + (1 if follows else stride))
            elif error.row == row:  # so it says; of a COPY that a trigger runs, it is that one's row
                stop = fails = row + 1
            elif error.row is not None and row < error.row < stop:
                stop, fails = error.row, error.row + 1
            else:
                fails = stop
                stop = row + (stop - row) // 2
        await self._stored.release()
        return refused

    async def _try(self, row: int, stop: int) -> DriverError | None:
        """Store a range of rows; where the server refuses one, take them back and return its error."""
        if not any(self._left_out.runs(row, stop - row)):
            return None
        return await self._stored.add(Range(row, stop, stop - row))

    async def _send(self, row: int, stop: int, opening: str) -> None:
        await self._session.execute(opening)
        sender = self._sender_of(self._held, self._held.range(row, stop), self._left_out)
        try:
            await sender.run_here(self._session)
        except DriverError as error:
            raise error.with_message(final_names(sender.plan, str(error.args[0]))) from error.__cause__
