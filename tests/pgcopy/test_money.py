"""money."""

from __future__ import annotations

import struct
from dataclasses import replace
from decimal import Decimal
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

MONEY = base_type("money")
I64 = 2**63 - 1


@given(st.integers(-I64 - 1, I64), st.integers(0, 4))
def test_round_trip(units: int, scale: int) -> None:
    """All 64 bits, in locales of any scale."""
    pg = replace(MONEY, money_scale=scale)
    cells = [struct.pack("!q", units), None]
    array = decode(cells, pg, chunk_bytes=1)
    assert array.type == pa.decimal128(19, scale)
    assert array.to_pylist() == [Decimal(units).scaleb(-scale), None]
    assert encode(array, pg) == cells


@pytest.mark.parametrize(
    ("value", "arrow", "units"),
    [
        ("12.3400", pa.decimal128(10, 4), 1234),
        ("-12", pa.decimal128(10, 0), -1200),
        ("12.3", pa.decimal64(10, 1), 1230),
        ("1200", pa.decimal128(2, -2), 120000),
        ("-92233720368547758.08", pa.decimal256(40, 20), -I64 - 1),
        ("92233720368547758.07", pa.decimal128(19, 2), I64),
        ("0.01", pa.decimal32(3, 2), 1),
    ],
)
def test_other_scales(value: str, arrow: pa.DataType, units: int) -> None:
    """Decimals of every width and scale that name whole cents."""
    assert encode(pa.array([Decimal(value)], arrow), MONEY) == [struct.pack("!q", units)]


def test_refusals() -> None:
    """Tenths of cents, and what 64 bits do not hold."""
    for value, arrow in (("0.001", pa.decimal128(5, 3)), ("-12.345", pa.decimal128(38, 30))):
        with pytest.raises(EncodeError, match="would be rounded by money"):
            encode(pa.array([Decimal(value)], arrow), MONEY)
    for value in ("92233720368547758.08", "-92233720368547758.09", "1e37"):
        with pytest.raises(EncodeError, match="is out of range for money"):
            encode(pa.array([Decimal(value)], pa.decimal256(60, 20)), MONEY)
    with pytest.raises(EncodeError, match="is out of range for money"):
        encode(pa.array([Decimal("9e75")], pa.decimal256(76, 0)), MONEY)
    for n in (0, 7, 9):
        with pytest.raises(DecodeError, match=f"expected 8 bytes, found {n}"):
            decode([bytes(n)], MONEY)


def test_agrees_with_the_server(dsn: str, connect: Callable[[str], psycopg.Connection]) -> None:
    """Stored as the server's own cast from numeric stores it."""
    conn = connect(dsn)
    conn.execute("SET lc_monetary = 'C'")
    texts = ["0.00", "0.01", "-0.01", "12.30", "92233720368547758.07", "-92233720368547758.08"]
    write_cells(conn, "money", encode(pa.array(map(Decimal, texts), pa.decimal128(19, 2)), MONEY))
    assert conn.execute("SELECT c::numeric::text FROM cell ORDER BY id").fetchall() == [(text,) for text in texts]
    values = ",".join(f"('{text}'::numeric::money)" for text in texts)
    assert decode(read_cells(conn, f"VALUES {values}"), MONEY).to_pylist() == list(map(Decimal, texts))
