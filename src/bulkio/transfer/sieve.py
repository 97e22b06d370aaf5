"""Send a source, or one chunk of it, and leave out the records that bulkio or the server refuses.

Each chunk goes by one COPY under one savepoint, so that it costs as little as any COPY while nothing is refused:

1. What cannot be encoded is left out on the way, and told.
2. Where the server refuses the COPY, it is rolled back, and a `walk` over the chunk finds the rows that are at fault.
   What the walk has stored is rolled back as well: however many rows are at fault, a chunk has one savepoint that is
   released. A transaction with more than 64 of them makes every snapshot of the server slower.
3. The chunk is sent again without those rows, until the server takes it.

Constraints that are deferred are checked with each COPY, since at COMMIT nothing would tell whose fault it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio.to_thread

from bulkio.errors import DriverError
from bulkio.flow import shelter
from bulkio.plan import rejecting_chunks
from bulkio.sql import savepoints
from bulkio.transfer.refusals import is_about_rows
from bulkio.transfer.send import Sender, setting_of
from bulkio.transfer.walk import walk

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bulkio.forms.encoding import LeftOut
    from bulkio.plan import LoadPlan
    from bulkio.protocols import Chunk, Reject, Session, Source
    from bulkio.transfer.held import Held
    from bulkio.transfer.rejects import Rejects
    from bulkio.transfer.send import Tally

__all__ = ["Sieve"]

_POINT = "bulkio_chunk"


class Sieve:
    """What sends the rows of a load with rejects; it stands in a `Sender`'s place."""

    def __init__(
        self, plan: LoadPlan, source: Source, tally: Tally, rejects: Rejects, chunk: Chunk | None, number: str
    ) -> None:
        self.plan = plan
        self.source = source
        self.rejects = rejects
        #: records left out so far
        self.rejected = 0
        self._tally = tally
        self._chunk = chunk
        self._number = number
        #: rows and bytes of the chunks that are stored, and what sends right now
        self._stored_rows = 0
        self._stored_bytes = 0
        self._sender: Sender | None = None

    @property
    def rows(self) -> int:
        """Rows sent so far, without those that were taken back."""
        return self._stored_rows + (0 if self._sender is None else self._sender.rows)

    @property
    def bytes(self) -> int:
        """Bytes of these rows."""
        return self._stored_bytes + (0 if self._sender is None else self._sender.bytes)

    async def run(self, session: Session) -> int:
        """Send every row under the user's search_path, which stays; return the row count of the server's COPY tags.

        Raises:
            TooManyRejects: more records are rejected than may be.
        """
        await session.execute(f"{setting_of(self.plan)}; {savepoints.CHECK_CONSTRAINTS}")
        copied = 0
        async with self.rejects.limited():
            for chunk in await self._chunks():
                copied += await self._store(session, chunk)
        return copied

    async def _chunks(self) -> Sequence[Chunk]:
        if self._chunk is not None:
            return [self._chunk]
        refers = self.plan.self_reference and self.plan.work.merge is None  # to rows of another chunk, perhaps
        count = 1 if refers else rejecting_chunks(self.source.cut_bytes, workers=1)
        chunks = await shelter.finish(anyio.to_thread.run_sync(self.source.chunks, count))
        self.rejects.know_chunks(chunks)
        return chunks

    async def _store(self, session: Session, chunk: Chunk) -> int:
        """Store what of a chunk can be stored, and the rest on disk; return the row count of the COPY's tag."""
        refused: list[Reject] = []
        while True:
            await session.execute(savepoints.savepoint(_POINT))
            left_out = self.rejects.left_out(chunk, refused)
            sender = self._send(self.source, chunk, left_out, self._tally)
            try:
                copied = await sender.run(session)
                break
            except DriverError as error:
                if not is_about_rows(error):
                    raise
                self._tally.add(-sender.rows, -sender.bytes)
                await session.execute(savepoints.take_back(_POINT))
                more = await walk(session, self.source, chunk, self.rejects.left_out(chunk, refused), self._send)
                if not more:
                    raise
                refused += more
        await session.execute(savepoints.release(_POINT))
        self.rejected += len(left_out.rejects)
        self._stored_rows += sender.rows
        self._stored_bytes += sender.bytes
        self._sender = None
        await self.rejects.store(chunk, left_out.rejects, sender.rows)
        return copied

    def _send(self, source: Source | Held, chunk: Chunk, left_out: LeftOut, tally: Tally | None = None) -> Sender:
        self._sender = Sender(self.plan, source, tally, chunk, self._number, left_out)
        return self._sender
