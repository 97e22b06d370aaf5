"""Strings into integers, oids and floats: what goes is what the server makes of the same text, bit for bit."""

from __future__ import annotations

import math
import struct
from decimal import Decimal
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bulkio.errors import EncodeError
from bulkio.types import Policies, base_type, cast_to_pg
from cells import agree_on_parsing, encode, encode_text, read_cells

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

LIMITS = {
    "int2": (-(2**15), 2**15 - 1),
    "int4": (-(2**31), 2**31 - 1),
    "int8": (-(2**63), 2**63 - 1),
    "oid": (0, 2**32 - 1),
    "xid": (0, 2**32 - 1),
    "xid8": (0, 2**64 - 1),
}
WIDTHS = {"int2": 2, "int4": 4, "int8": 8, "oid": 4, "xid": 4, "xid8": 8}
FORMS = {"float4": "!f", "float8": "!d"}
few = settings(max_examples=300, deadline=None, derandomize=True, database=None)


@pytest.mark.parametrize("name", LIMITS)
def test_integers(name: str, dsn: str, connect: Callable[[str], psycopg.Connection]) -> None:
    """Every form that goes is read as the server reads it; one past either end is refused."""
    low, high = LIMITS[name]
    texts = [str(low), str(high), "0", " 7 ", "\t\n\v\f\r8"]
    texts += ["-0", "+5", "-3", "0000000000000000000000009", "010"] if low else []
    agree_on_parsing(connect(dsn), name, base_type(name), texts)
    for value in (low - 1, high + 1, 10**30):
        with pytest.raises(EncodeError, match=rf"'{value}' is (out of range for|not a valid) {name}"):
            encode_text(str(value), base_type(name))


@pytest.mark.parametrize("name", LIMITS)
def test_what_is_no_integer(name: str) -> None:
    """Also what newer servers alone take, what older ones take for an xid, and what they read as octal or wrap."""
    texts = ["", " ", "-", "+-1", "1 2", "1.0", "1e3", "0x1F", "1_000", "abc", "١", "1\xa0", "--1"]
    for text in [*texts, "-1", "-0", "+1", "010", "00"] if LIMITS[name][0] == 0 else texts:
        with pytest.raises(EncodeError, match=f"is not a valid {name}"):
            encode_text(text, base_type(name))


@few
@given(st.sampled_from(sorted(LIMITS)), st.integers(-(2**66), 2**66))
def test_any_integer(name: str, value: int) -> None:
    """What is in range comes out, all else is refused."""
    low, high = LIMITS[name]
    if low <= value <= high:
        assert encode_text(str(value), base_type(name)) == (value % 2**64).to_bytes(8, "big")[-WIDTHS[name] :]
    else:
        with pytest.raises(EncodeError):
            encode_text(str(value), base_type(name))


# --- floats -------------------------------------------------------------------------------------------------

GOOD = {
    "float8": [
        *("0", "-0", "1", "0.1", "-.5", "5.", "1e22", "1E+5", " 1.5\n", "0.30000000000000004", "5e-324", "1e-323"),
        *("9007199254740992", "1.7976931348623157e308", "2.2250738585072014e-308", "5.684341886080802e-14"),
        *("NaN", "nan", "Infinity", "-infinity", "+inf", "INF", "-0e5", "0.000e99999", "1152921504606846976"),
        *("0." + "0" * 400 + "1e400", "1" + "0" * 300, "1" + "0" * 2000 + "e-2000"),
    ],
    "float4": [
        *("0.1", "16777216", "3.4028235e38", "1e-45", "1.1754944e-38", "-1.5", "8.5899346e9", "123456"),
        *("33554432", "9.8607613e-32", "4294967296"),
    ],
}
ROUNDED = {
    "float8": ["9007199254740993", "0.10000000000000000001", "1.2345678901234567890", "1.2345e-320", "3e-324"],
    "float4": ["16777217", "0.12345678901", "1.00000001", "33554433", "1.23456e-42"],
}
OUT = {"float8": ["1e309", "-1.8e308", "1e-324", "1" + "0" * 400], "float4": ["3.4028236e38", "1e39", "1e-46"]}
BAD = [
    "",
    ".",
    "e5",
    "1e",
    "1e+",
    "1 2",
    "1,5",
    "0x1p3",
    "1_0",
    "-nan",
    "+nan",
    "nan(1)",
    "infinit",
    "--1",
    "1.2.3",
    "١",
]


@pytest.mark.parametrize("name", FORMS)
def test_floats(name: str, dsn: str, connect: Callable[[str], psycopg.Connection]) -> None:
    """What goes has the bits that the server gives it; what is rounded goes where the user allows that."""
    conn, pg = connect(dsn), base_type(name)
    lossy = cast_to_pg(pa.string(), pg, Policies(allow_lossy=True))
    for text in GOOD[name]:
        assert [encode_text(text, pg)] == read_cells(conn, f"SELECT '{text}'::{name}"), text
    for text in ROUNDED[name]:
        with pytest.raises(EncodeError, match=f"would be rounded by {name}"):
            encode_text(text, pg)
        assert encode(pa.array([text]), lossy) == read_cells(conn, f"SELECT '{text}'::{name}"), text
    for text in OUT[name]:
        for how in (pg, lossy):
            with pytest.raises(EncodeError, match=f"is out of range for {name}"):
                encode(pa.array([text]), how)
        with pytest.raises(Exception, match="out of range"):
            conn.execute(f"SELECT '{text}'::{name}")
    for text in BAD:
        with pytest.raises(EncodeError, match=f"is not a valid {name}"):
            encode_text(text, pg)


@pytest.mark.parametrize("name", FORMS)
def test_what_the_server_writes(name: str, dsn: str, connect: Callable[[str], psycopg.Connection]) -> None:
    """Any float that the server writes goes back as it was: also the powers of two, below which floats lie closer."""
    conn, pg = connect(dsn), base_type(name)
    size = struct.calcsize(FORMS[name])
    powers = [2.0**n for n in (range(-1074, 1024) if size == 8 else range(-149, 128))]
    random_bits = conn.execute(
        "SELECT string_agg(substr(sha256(n::text::bytea), 1, 8), '') FROM generate_series(1, 3000) AS n"
    ).fetchone()[0]
    any_floats = [struct.unpack_from(FORMS[name], random_bits, i)[0] for i in range(0, 8 * 3000, 8)]
    values = [v for v in [*powers, *any_floats] if not math.isnan(v)]
    texts = [
        row[0]
        for row in conn.execute(
            f"SELECT v::{name}::text FROM unnest(%s::float8[]) WITH ORDINALITY AS u(v, n) ORDER BY n", [values]
        )
    ]
    assert encode(pa.array(texts), pg) == [struct.pack(FORMS[name], value) for value in values]


@few
@given(st.decimals(allow_nan=False, allow_infinity=False), st.sampled_from(sorted(FORMS)))
@example(Decimal("2.2250738585072011e-308"), "float8")
@example(Decimal("1.00000017881393432617187499"), "float4")  # just below the middle of two floats
@example(Decimal("1.00000017881393432617187501"), "float4")
def test_any_decimal(value: Decimal, name: str) -> None:
    """What goes with rounding allowed is the nearest float; what goes without gives its digits back."""
    try:
        cell = encode(pa.array([str(value)]), cast_to_pg(pa.string(), base_type(name), Policies(allow_lossy=True)))[0]
    except EncodeError as exc:
        assert "out of range" in str(exc)  # noqa: PT017 - some are, some are not
        return
    (got,) = struct.unpack(FORMS[name], cell)
    if name == "float8":
        assert struct.pack("!d", float(value)) == cell
    elif math.isfinite(got) and got:
        near = [struct.unpack("!f", (int.from_bytes(cell, "big") + step).to_bytes(4, "big"))[0] for step in (-1, 1)]
        others = [abs(Decimal(other) - value) for other in near if math.isfinite(other)]
        assert abs(Decimal(got) - value) <= min(others)
    try:
        strict = encode_text(str(value), base_type(name))
    except EncodeError as exc:
        assert "would be rounded" in str(exc)  # noqa: PT017
        return
    assert strict == cell
    digits = len(value.normalize().as_tuple().digits)
    if value:
        assert abs(Decimal(got) - value) < Decimal(1).scaleb(value.adjusted() - digits + 1)


def test_a_locale_changes_nothing(decimal_comma: str) -> None:
    """The decimal point of LC_NUMERIC plays no part: none goes through the C library."""
    assert decimal_comma != "."
    for text in ("1.5", "0.30000000000000004", "-2.5e-3"):
        assert encode_text(text, base_type("float8")) == struct.pack("!d", float(text))
    assert encode_text("3.4028235e38", base_type("float4")) == b"\x7f\x7f\xff\xff"
    for text in ("1,5", f"1{decimal_comma}5"):
        with pytest.raises(EncodeError, match="is not a valid"):
            encode_text(text, base_type("float8"))
