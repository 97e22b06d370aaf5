"""The limits that only gigabytes reach; a run by hand, since it needs about 4 GiB of memory.

    python tests/fuzz/big_fields.py

Each line it prints is a promise kept; an assertion ends it.
"""

from __future__ import annotations

import struct
import sys

import pyarrow as pa

from bulkio.errors import DecodeError, EncodeError
from bulkio.pgcopy import Decoder, Encoder, Field
from bulkio.pgcopy.encoder import HEADER, TRAILER
from bulkio.types import array_of, base_type, cast_from_pg, cast_to_pg


def refuse_a_growing_array() -> str:
    """Encode a list of one long string many times over: 3 GB, but refused as soon as it passes 1 GB."""
    elements = pa.DictionaryArray.from_arrays(pa.array([0] * 3000, pa.int32()), pa.array(["x" * (1 << 20)]))
    array = pa.ListArray.from_arrays(pa.array([0, 3000], pa.int32()), elements)
    encoder = Encoder([Field("c", cast_to_pg(array.type, array_of(base_type("text"))))])
    try:
        list(encoder.encode(pa.record_batch([array], ["c"])))
    except EncodeError as error:
        return str(error)
    raise AssertionError("an array past 1 GB was encoded")


def refuse_a_swelling_row() -> str:
    """Decode an array of huge numbers whose text passes 2 GiB in one row."""
    one = struct.pack(">iHhHHH", 10, 1, 32767, 0, 0, 1)
    count = 17_000
    field = struct.pack(">iiiii", 1, 0, 1700, count, 1) + one * count
    cast = cast_from_pg(array_of(base_type("numeric")))
    decoder = Decoder([Field("c", cast)], pa.schema([pa.field("c", cast.arrow)]))
    try:
        decoder.feed(HEADER + struct.pack(">hi", 1, len(field)) + field)
    except DecodeError as error:
        return str(error)
    raise AssertionError("a column past 2 GiB was decoded")


def end_a_long_batch() -> str:
    """Decode rows of 512 MiB where one batch would get more than a column can hold: it ends before."""
    cast = cast_from_pg(base_type("bytea"))
    decoder = Decoder([Field("c", cast)], pa.schema([pa.field("c", cast.arrow)]), batch_bytes=1 << 40)
    decoder.feed(HEADER)
    piece = bytes(1 << 24)
    for _ in range(5):
        decoder.feed(struct.pack(">hi", 1, 32 * len(piece)))
        for _ in range(32):
            decoder.feed(piece)
    decoder.feed(TRAILER)
    rows = [batch.rows for batch in decoder.finish()]
    assert rows == [2, 2, 1]
    return f"batches of {rows} rows"


def main() -> None:
    """Run all of them."""
    for check in (refuse_a_growing_array, refuse_a_swelling_row, end_a_long_batch):
        sys.stdout.write(f"{check.__name__}: {check()}\n")


if __name__ == "__main__":
    main()
