"""Rows of a chunk that are held in memory: a source whose rows are read again and again, range by range."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bulkio.protocols import Chunk

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

    from bulkio.protocols import Feed, Refuse, Source, Spelling

__all__ = ["Held"]


class Held:
    """Rows of a chunk that are held in memory, for a `Sender` to read ranges of them."""

    feed: Feed | None = None

    def __init__(self, source: Source, batches: Sequence[pa.RecordBatch], chunk: Chunk, first_row: int) -> None:
        self.spelling: Spelling | None = source.spelling
        self.first_row = first_row
        self.end_row = first_row + sum(batch.num_rows for batch in batches)
        self._batches = batches
        self._number = chunk.number

    def range(self, row: int, end_row: int) -> Chunk:
        """Return the chunk of these rows."""
        return Chunk(self._number, first_row=row, rows=end_row - row)

    def read(self, chunk: Chunk, refuse: Refuse | None = None) -> Iterator[pa.RecordBatch]:  # noqa: ARG002 - a source's
        """Read a range."""
        row, end_row = chunk.counts_from, chunk.counts_from + (chunk.rows or 0)
        start = self.first_row
        for batch in self._batches:
            first, last = max(row, start), min(end_row, start + batch.num_rows)
            if first < last:
                yield batch.slice(first - start, last - first)
            start += batch.num_rows

    def place_of_row(self, row: int, chunk: Chunk | None = None) -> None:
        """Return None: nobody asks before all are found."""
