"""Streams of one column."""

from __future__ import annotations

import struct

import pyarrow as pa

from bulkio.pgcopy import Decoder, Encoder, Field
from bulkio.pgcopy.encoder import HEADER, TRAILER
from bulkio.types import Cast, PgType, cast_from_pg, cast_to_pg


def encode(array: pa.Array, pg: PgType, cast: Cast | None = None) -> bytes:
    """Return the stream of one column, by the strict cast where none is given."""
    cast = cast or cast_to_pg(array.type, pg)
    assert cast is not None
    encoder = Encoder([Field("c", cast)])
    blocks = list(encoder.encode(pa.record_batch([array], names=["c"])))
    return b"".join(bytes(block) for block in [*blocks, encoder.finish()])


def decode(
    stream: bytes,
    pg: PgType,
    cast: Cast | None = None,
    *,
    chunk_bytes: int | None = None,
    batch_bytes: int = 16 << 20,
) -> pa.ChunkedArray:
    """Read a stream of one column, chunk by chunk, by the usual cast where none is given."""
    cast = cast or cast_from_pg(pg)
    decoder = Decoder([Field("c", cast)], pa.schema([pa.field("c", cast.arrow)]), batch_bytes=batch_bytes)
    size = chunk_bytes or max(len(stream), 1)
    for at in range(0, len(stream), size):
        decoder.feed(stream[at : at + size])
    batches = [pa.record_batch(batch) for batch in decoder.finish()]
    for batch in batches:
        batch.validate(full=True)
    return pa.chunked_array([batch.column(0) for batch in batches], cast.arrow)


def field_of(value: bytes) -> bytes:
    """Return a stream of one row with this field."""
    return HEADER + b"\0\1" + struct.pack(">i", len(value)) + value + TRAILER
