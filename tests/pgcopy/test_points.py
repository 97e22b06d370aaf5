"""point."""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkio.errors import DecodeError, EncodeError
from bulkio.types import base_type
from cells import decode, encode, read_cells, write_cells

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

POINT = base_type("point")
ARROW = pa.struct([("x", pa.float64()), ("y", pa.float64())])


@given(st.lists(st.one_of(st.none(), st.binary(min_size=16, max_size=16)), max_size=20))
def test_round_trip(cells: list[bytes | None]) -> None:
    """Any pattern of bits, a NaN's own too."""
    array = decode([*cells, None], POINT, chunk_bytes=7)
    assert encode(array, POINT) == [*cells, None]
    assert encode(array.slice(1), POINT) == [*cells, None][1:]


def test_null_members_are_errors() -> None:
    """A point has both."""
    for row in ({"x": None, "y": 1.0}, {"x": 1.0, "y": None}):
        with pytest.raises(EncodeError, match="has a NULL in it, which point cannot have"):
            encode(pa.array([row], ARROW), POINT)


def test_decoder_checks_the_length() -> None:
    """Nothing but 16 bytes is read."""
    for n in (*range(16), 17):
        with pytest.raises(DecodeError, match=f"expected 16 bytes, found {n}"):
            decode([bytes(n)], POINT)


def test_agrees_with_the_server(dsn: str, connect: Callable[[str], psycopg.Connection]) -> None:
    """NaN, infinities and subnormals are stored as they are."""
    conn = connect(dsn)
    pairs = [(1.5, -0.0), (math.nan, math.inf), (-math.inf, 5e-324), (0.1, 1e308)]
    write_cells(conn, "point", encode(pa.array([{"x": x, "y": y} for x, y in pairs], ARROW), POINT))
    assert read_cells(conn, "SELECT c FROM cell ORDER BY id") == [struct.pack("!dd", *pair) for pair in pairs]
    texts = ",".join(f"('({x},{y})'::point)" for x, y in pairs)
    assert read_cells(conn, f"VALUES {texts}") == [struct.pack("!dd", *pair) for pair in pairs]
