"""A load's COPY BINARY blocks, decoded again: what the methods `csv` and `records` make their own form of. Pure.

So every method sends the values that the codec has checked and, where a policy says so, changed; and the other forms
meet one Arrow type for each PostgreSQL type (`types.wire`), however the source had laid it out.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pyarrow as pa

from bulkio.pgcopy import Decoder
from bulkio.types.wire import wire_cast

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from bulkio.pgcopy import Block, Field

__all__ = ["wire_batches", "wire_fields"]


def wire_fields(fields: Sequence[Field]) -> tuple[Field, ...]:
    """Return the fields of what `wire_batches` decodes."""
    return tuple(replace(field, cast=wire_cast(field.cast)) for field in fields)


def wire_batches(blocks: Iterable[Block], fields: Sequence[Field], *, batch_rows: int) -> Iterator[pa.RecordBatch]:
    """Decode the blocks of one stream; `fields` are those of `wire_fields`."""
    schema = pa.schema([pa.field(field.name, field.cast.arrow) for field in fields])
    decoder = Decoder(fields, schema, batch_rows=batch_rows)
    for block in blocks:
        decoder.feed(block)
        yield from map(pa.record_batch, decoder.batches())
    yield from map(pa.record_batch, decoder.finish())
