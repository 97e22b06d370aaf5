"""Floats as numeric: their digits do not depend on the process's locale."""

from __future__ import annotations

import pyarrow as pa

from bulkio.types import Policies, base_type, cast_from_pg, cast_to_pg
from bulkio.types.from_pg import numeric_as
from pgcopy.one_column import decode, encode

NUMERIC = base_type("numeric")
VALUES = [1.5, 0.1, -123456.789, 1e300, 5e-324, 0.0, -0.0, 100.0, 1 / 3, None]


def _stream() -> bytes:
    array = pa.array(VALUES, pa.float64())
    return encode(array, NUMERIC, cast_to_pg(array.type, NUMERIC, Policies(allow_lossy=True)))


def _floats(texts: list[str | None]) -> list[float | None]:
    return [None if text is None else float(text) for text in texts]


def test_floats_keep_their_value() -> None:
    """The text that comes back is the same float; a zero has no sign in numeric."""
    texts = decode(_stream(), NUMERIC).to_pylist()
    assert _floats(texts) == VALUES
    assert texts[:3] + texts[5:8] == ["1.5", "0.1", "-123456.789", "0", "0", "100"]


def test_a_locale_changes_nothing(decimal_comma: str) -> None:
    """Printf writes 1,5e+00 where the host application has set such a locale, and strtod reads no point."""
    assert decimal_comma != "."
    stream = _stream()
    assert _floats(decode(stream, NUMERIC).to_pylist()) == VALUES
    assert decode(stream, NUMERIC, numeric_as(cast_from_pg(NUMERIC), pa.float64())).to_pylist() == VALUES
