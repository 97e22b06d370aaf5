"""vector and halfvec, without a server: golden bytes, round trips, refusals, hostile bytes."""

from __future__ import annotations

import math
import struct
from dataclasses import replace

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkio.errors import DecodeError, EncodeError, SchemaError
from bulkio.pgcopy import Encoder, Field
from bulkio.pgcopy.encoder import HEADER, TRAILER
from bulkio.types import PgType, cast_to_pg
from older_pyarrow import halves
from pgcopy.one_column import decode, encode, field_of

VECTOR = PgType("vector", 70003, 70004, "vector", "public")
HALFVEC = PgType("halfvec", 70005, 70006, "halfvec", "public")

FLOAT16 = st.floats(width=16, allow_nan=False, allow_infinity=False)
FLOAT32 = st.floats(width=32, allow_nan=False, allow_infinity=False)


def test_vector_golden() -> None:
    """The bytes are those of vector_send and halfvec_send."""
    assert encode(pa.array([[1.0, -2.5]], pa.list_(pa.float32())), VECTOR) == field_of(
        bytes.fromhex("0002 0000 3f800000 c0200000")
    )
    assert encode(halves([[1.0, -2.5]], pa.list_(pa.float16(), 2)), HALFVEC) == field_of(
        bytes.fromhex("0002 0000 3c00 c100")
    )


@pytest.mark.parametrize("pg", [VECTOR, HALFVEC, replace(VECTOR, typmod=3), replace(HALFVEC, typmod=3)])
@given(data=st.data())
def test_vector_round_trip(pg: PgType, data: st.DataObject) -> None:
    """Any vectors come back bit for bit, with NULLs, from a slice, however the stream is cut."""
    element, floats = (pa.float32(), FLOAT32) if pg.codec == "vector" else (pa.float16(), FLOAT16)
    sizes = {"min_size": 3, "max_size": 3} if pg.typmod > 0 else {"min_size": 1, "max_size": 9}
    rows = data.draw(st.lists(st.none() | st.lists(floats, **sizes), max_size=9))
    layouts = [pa.list_(element), pa.large_list(element), pa.list_view(element), pa.large_list_view(element)]
    if pg.typmod > 0:
        layouts.append(pa.list_(element, 3))
    made = pa.array if pg.codec == "vector" else halves
    array = made(rows, data.draw(st.sampled_from(layouts)))[data.draw(st.integers(0, 2)) :]
    stream = encode(array, pg)
    for chunk_bytes in (None, 1):
        back = decode(stream, pg, chunk_bytes=chunk_bytes)
        assert str(back.to_pylist()) == str(array.to_pylist())  # as text: -0.0 is not 0.0


def test_every_half_widens_exactly() -> None:
    """float16 goes into vector as the float32 of the same value: all 65,536 are tried, but for NaN and infinities."""
    every = [struct.unpack("<e", struct.pack("<H", bits))[0] for bits in range(1 << 16)]
    finite = [x for x in every if math.isfinite(x)]
    rows = [finite[i : i + 1000] for i in range(0, len(finite), 1000)]
    back = decode(encode(halves(rows, pa.list_(pa.float16())), VECTOR), VECTOR).to_pylist()
    assert str(back) == str(rows)


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ([1.0, None, 2.0], "an element that is NULL"),
        ([1.0, math.nan, 2.0], "a NaN or an infinity"),
        ([-math.inf, 1.0, 2.0], "a NaN or an infinity"),
        ([1.0, 2.0], "number of dimensions"),
        ([], "number of dimensions"),
    ],
)
@pytest.mark.parametrize("name", ["vector", "halfvec"])
@pytest.mark.parametrize("half", [True, False])
def test_vector_refusals(row: list[float | None], why: str, name: str, half: bool) -> None:
    """What pgvector does not take is refused with row and column."""
    pg = replace(VECTOR if name == "vector" else HALFVEC, typmod=3)
    element = pa.float16() if half or name == "halfvec" else pa.float32()
    with pytest.raises(EncodeError, match=rf'row 2, column "c": .*{why}.*"public"."{name}"\(3\)'):
        encode((pa.array if element == pa.float32() else halves)([None, row], pa.list_(element)), pg)


def test_vector_of_too_many_dimensions() -> None:
    """16,000 elements go, one more does not; float32 does not go into halfvec at all."""
    encode(pa.array([[0.0] * 16000], pa.list_(pa.float32())), VECTOR)
    with pytest.raises(EncodeError, match="number of dimensions"):
        encode(pa.array([[0.0] * 16001], pa.list_(pa.float32())), VECTOR)
    assert cast_to_pg(pa.list_(pa.float32()), HALFVEC) is None
    assert cast_to_pg(pa.list_(pa.float64()), VECTOR) is None


@pytest.mark.parametrize(
    "bad",
    ["", "0003", "00030000", "0003 0000 3f800000", "0002 0000 3f800000 3f800000", "ffff 0000",
     "0003 0001 3f800000 3f800000 3f800000", "0003 0000 3f800000 3f800000 3f800000 00"],
)  # fmt: skip
def test_vector_refuses_bad_bytes(bad: str) -> None:
    """A wrong length, number of dimensions or a filled reserve is a DecodeError."""
    with pytest.raises(DecodeError, match='row 1, column "c"'):
        decode(field_of(bytes.fromhex(bad)), replace(VECTOR, typmod=3))


def test_null_vectors_end_a_batch() -> None:
    """A null of a wide vector takes its place in Arrow's memory, so it counts towards the batch's bytes."""
    stream = HEADER + (b"\0\1" + b"\xff" * 4) * 100 + TRAILER
    back = decode(stream, replace(VECTOR, typmod=16000), batch_bytes=1 << 20)
    assert len(back) == back.null_count == 100
    assert max(len(chunk) for chunk in back.chunks) <= 17


def test_a_batch_of_another_type_is_refused() -> None:
    """The elements' type is compared, too."""
    cast = cast_to_pg(pa.list_(pa.float32()), VECTOR)
    assert cast is not None
    with pytest.raises(SchemaError, match="Arrow format"):
        list(
            Encoder([Field("c", cast)]).encode(pa.record_batch([halves([[1.0]], pa.list_(pa.float16()))], names=["c"]))
        )
