"""oid, xid, xid8: unsigned integers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from bulkio.errors import DecodeError, EncodeError
from bulkio.types import base_type
from cells import decode, encode, read_cells, write_cells

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

ARROWS = [pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()]


@pytest.mark.parametrize("arrow", ARROWS, ids=str)
@pytest.mark.parametrize(("name", "bits"), [("oid", 32), ("xid", 32), ("xid8", 64)])
def test_every_integer_goes_in_where_it_fits(arrow: pa.DataType, name: str, bits: int) -> None:
    """The extremes of both types, and the numbers next to them."""
    signed = pa.types.is_signed_integer(arrow)
    low, high = (
        (-(2 ** (arrow.bit_width - 1)), 2 ** (arrow.bit_width - 1) - 1) if signed else (0, 2**arrow.bit_width - 1)
    )
    for value in {low, -1, 0, 1, 2**31, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1, high}:
        if not low <= value <= high:
            continue
        array = pa.array([value], arrow)
        if 0 <= value < 2**bits:
            assert encode(array, base_type(name)) == [value.to_bytes(bits // 8, "big")]
        else:
            with pytest.raises(EncodeError, match=f"{value} is out of range for {name}"):
                encode(array, base_type(name))


def test_decoding() -> None:
    """All the bits are the number's."""
    assert decode([b"\xff" * 4, None], base_type("oid"), chunk_bytes=1).to_pylist() == [2**32 - 1, None]
    assert decode([b"\xff" * 8, None], base_type("xid8"), chunk_bytes=1).to_pylist() == [2**64 - 1, None]
    for name, size in (("oid", 4), ("xid", 4), ("xid8", 8)):
        for n in (0, size - 1, size + 1):
            with pytest.raises(DecodeError, match=f"expected {size} bytes, found {n}"):
                decode([bytes(n)], base_type(name))


def test_agrees_with_the_server(dsn: str, connect: Callable[[str], psycopg.Connection]) -> None:
    """The extremes as the server writes them."""
    conn = connect(dsn)
    for name, values in (("oid", [0, 2**32 - 1]), ("xid", [0, 2**32 - 1]), ("xid8", [0, 2**63, 2**64 - 1])):
        write_cells(conn, name, encode(pa.array(values, pa.uint64()), base_type(name)))
        rows = conn.execute("SELECT c::text FROM cell ORDER BY id").fetchall()
        assert rows == [(str(value),) for value in values]
        assert decode(read_cells(conn, "SELECT c FROM cell ORDER BY id"), base_type(name)).to_pylist() == values
