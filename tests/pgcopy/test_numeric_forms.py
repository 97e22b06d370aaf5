"""numeric without a precision, as float64 and as a decimal."""

from __future__ import annotations

import math
from decimal import Decimal
from functools import partial

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkio.errors import DecodeError
from bulkio.types import array_of, base_type, cast_from_pg, numeric_typmod
from bulkio.types.from_pg import numeric_as, with_leaves
from cells import decode, encode

NUMERIC = base_type("numeric")
FLOAT = numeric_as(cast_from_pg(NUMERIC), pa.float64())

DIGITS = st.from_regex(r"-?[0-9]{1,40}\.0{0,40}[0-9]{1,40}", fullmatch=True)
INTEGERS = st.integers(-(10**330), 10**330).map(str)
FLOATS = st.floats(allow_nan=False, allow_infinity=False).map(lambda value: format(Decimal(value), "f"))


@given(st.lists(DIGITS | INTEGERS | FLOATS))
def test_the_nearest_float(texts: list[str]) -> None:
    """As Python rounds, which rounds correctly."""
    fits = [text for text in texts if math.isfinite(float(text))]
    assert decode(encode(pa.array(fits, pa.string()), NUMERIC), FLOAT).to_pylist() == [float(text) for text in fits]


def test_what_is_no_number() -> None:
    """NaN and the infinities are float64's too."""
    found = decode(encode(pa.array(["NaN", "Infinity", "-Infinity", None, "0.000"]), NUMERIC), FLOAT).to_pylist()
    assert math.isnan(found[0])
    assert found[1:] == [math.inf, -math.inf, None, 0.0]


def test_too_big_for_a_float() -> None:
    """131,072 digits are refused; as many places are rounded."""
    small, big = "0." + "0" * 16000 + "1", "9" * 131072
    assert decode(encode(pa.array([small]), NUMERIC), FLOAT).to_pylist() == [0.0]
    with pytest.raises(DecodeError, match='row 2, column "c": a value of numeric is outside what Arrow\'s double'):
        decode(encode(pa.array(["1", big]), NUMERIC), FLOAT)


def test_a_decimal() -> None:
    """What has more places or digits is refused, trailing zeros are not looked at."""
    how = numeric_as(cast_from_pg(NUMERIC), pa.decimal128(5, 2))
    assert decode(encode(pa.array(["1.5", "-999.990000"]), NUMERIC), how).to_pylist() == [
        Decimal("1.50"),
        Decimal("-999.99"),
    ]
    for text in ("0.001", "1000"):
        with pytest.raises(DecodeError, match=r'row 1, column "c": .* outside what Arrow.s decimal128'):
            decode(encode(pa.array([text]), NUMERIC), how)


def test_which_types_follow() -> None:
    """At any depth, but not numeric(p,s), however wide, and not text."""
    as_float = partial(numeric_as, arrow=pa.float64())
    assert with_leaves(cast_from_pg(array_of(NUMERIC)), as_float).arrow == pa.list_(pa.float64())
    for pg in (base_type("text"), base_type("numeric", numeric_typmod(77, 0))):
        assert with_leaves(cast_from_pg(pg), as_float) == cast_from_pg(pg)
