"""Arrow batches -> blocks of COPY BINARY, with what prepares them, and without the rows that are left out. Pure."""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import TYPE_CHECKING

from bulkio.errors import EncodeError
from bulkio.forms.prepare import prepare_batch, prepared_fields
from bulkio.forms.rewriting import BatchRewriter
from bulkio.pgcopy import Encoder
from bulkio.protocols import Reject

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Sequence

    import pyarrow as pa

    from bulkio.pgcopy import Block, Field
    from bulkio.protocols import Refuse, Spelling

__all__ = ["LeftOut", "encode_batches"]

#: rows that are prepared at a time once some of a batch cannot be: a fault costs no more than that many once more
_PIECE_ROWS = 256


class LeftOut:
    """The rows of a source that are not sent: those that were rejected before, and those that turn up.

    Each that turns up is given to `on_reject`, too.

    >>> left = LeftOut([Reject(12, "too long")])
    >>> list(left.runs(10, 5)), left.row_of(3, first_row=10)
    ([(10, 2), (13, 2)], 13)
    """

    def __init__(self, known: Iterable[Reject] = (), on_reject: Refuse | None = None) -> None:
        self._rejects = {reject.row: reject for reject in known}
        self._rows = sorted(self._rejects)
        self._on_reject = on_reject

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def rejects(self) -> list[Reject]:
        """All of them, in their order."""
        return [self._rejects[row] for row in self._rows]

    def refuse(self, reject: Reject) -> None:
        """Leave a row out from now on."""
        if reject.row not in self._rejects:
            self._rejects[reject.row] = reject
            insort(self._rows, reject.row)
            if self._on_reject is not None:
                self._on_reject(reject)

    def runs(self, first_row: int, count: int) -> Iterator[tuple[int, int]]:
        """Yield the runs of rows that stay, each as its first row and its length."""
        rows = self._rows
        start, end = first_row, first_row + count
        for row in rows[bisect_left(rows, first_row) : bisect_left(rows, end)]:
            if row > start:
                yield start, row - start
            start = row + 1
        if start < end:
            yield start, end - start

    def row_of(self, position: int, *, first_row: int) -> int:
        """Return the row that was sent at this position, from 1."""
        row = first_row + position - 1
        for left_out in self._rows[bisect_left(self._rows, first_row) :]:
            if left_out > row:
                break
            row += 1
        return row


def encode_batches(
    batches: Iterable[pa.RecordBatch],
    fields: Sequence[Field],
    *,
    block_bytes: int,
    first_row: int = 1,
    spelling: Spelling | None = None,
    added: Container[str] = (),
    left_out: LeftOut | None = None,
) -> Iterator[Block]:
    """Prepare and encode batches of a plan's `fields`; the last block ends the stream.

    `first_row` is the row of the source that the batches begin with, `spelling` is the source's own, where it has
    nothing but text, but for `added` columns. Raises EncodeError for the first value that cannot go; its row is one
    more that is `left_out`, where that is given.
    """
    rewriter = BatchRewriter([field for field in fields if field.name not in added], spelling)
    encoding = _Encoding(fields, rewriter, left_out)
    encoder = Encoder(
        prepared_fields(fields),
        block_bytes=block_bytes,
        first_row=first_row,
        refuse=None if left_out is None else encoding.refuse,
    )
    for batch in batches:
        yield from encoding.encode(encoder, batch)
    yield encoder.finish()


class _Encoding:
    """How the batches of one stream are prepared."""

    def __init__(self, fields: Sequence[Field], rewriter: BatchRewriter, left_out: LeftOut | None) -> None:
        self._fields = fields
        self._rewriter = rewriter
        self._left_out = left_out
        #: what is being encoded, and its first row
        self._batch: pa.RecordBatch | None = None
        self._first_row = 0

    def encode(self, encoder: Encoder, batch: pa.RecordBatch) -> Iterator[Block]:
        """Encode a batch without the rows that are left out."""
        if self._left_out is None:
            yield from self._strictly(encoder, batch)
            return
        first, end = encoder.next_row, encoder.next_row + batch.num_rows
        for row, count in self._left_out.runs(first, batch.num_rows):
            encoder.skip(row - encoder.next_row)
            yield from self._sifted(encoder, batch.slice(row - first, count))
        encoder.skip(end - encoder.next_row)

    def refuse(self, error: EncodeError) -> None:
        """Leave the row out that an error is about."""
        assert self._batch is not None  # noqa: S101 - a batch is being encoded
        self._reject(self._rewriter.in_own_text(error, self._batch, self._first_row))

    def _reject(self, error: EncodeError) -> None:
        assert self._left_out is not None and error.row is not None  # noqa: S101, PT018 - it is why this is called
        self._left_out.refuse(Reject(error.row, str(error.args[0]), error.column))

    def _strictly(self, encoder: Encoder, batch: pa.RecordBatch) -> Iterator[Block]:
        row = encoder.next_row
        rewritten = self._rewriter.rewrite(batch, row)
        try:
            yield from encoder.encode(prepare_batch(rewritten, self._fields, row))
        except EncodeError as error:
            raise self._rewriter.in_own_text(error, batch, row) from error.__cause__

    def _sifted(self, encoder: Encoder, batch: pa.RecordBatch) -> Iterator[Block]:
        if not batch.num_rows:
            return
        row = encoder.next_row
        try:
            ready = prepare_batch(self._rewriter.rewrite(batch, row), self._fields, row)
        except EncodeError as error:
            yield from self._without(encoder, batch, error)
        else:
            self._batch, self._first_row = batch, row
            yield from encoder.encode(ready)

    def _without(self, encoder: Encoder, batch: pa.RecordBatch, error: EncodeError) -> Iterator[Block]:
        """Encode a batch that cannot be prepared as a whole: in pieces, the last of them without the row at fault."""
        if batch.num_rows > _PIECE_ROWS:
            for start in range(0, batch.num_rows, _PIECE_ROWS):
                yield from self._sifted(encoder, batch.slice(start, _PIECE_ROWS))
            return
        if error.row is None:
            raise error
        bad = error.row - encoder.next_row
        yield from self._sifted(encoder, batch.slice(0, bad))
        self._reject(error)
        encoder.skip(1)
        yield from self._sifted(encoder, batch.slice(bad + 1))
