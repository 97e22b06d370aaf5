"""Dates and instants at the ends of what goes: the last that goes, the first that is refused, at any depth.

PostgreSQL's ranges are in src/include/datatype/timestamp.h: 4714-11-24 BC to 5874897-12-31, and to 294276-12-31. An
instant must be one that Arrow's microseconds hold too, which end at 294247-01-10: no method could carry a later one.
"""

from __future__ import annotations

import duckdb
import pyarrow as pa
import pytest

from bulkio.errors import EncodeError
from bulkio.forms.json_text import json_texts
from bulkio.types import PgType, Policies, array_of, base_type, cast_to_pg
from bulkio.types.casts import range_struct
from cells import encode
from pgcopy.codec_cases import DATE_FIRST, DATE_LAST, INSTANT_FIRST

DAY = 86_400
FIRST = INSTANT_FIRST // 1_000_000  # seconds from 1970-01-01
END = 9223371331200 + 946684800
INT64 = 2**63 - 1
LAST = INT64 // 1_000_000

#: Arrow type, PostgreSQL type, the last values that go, values past them
ENDS = [
    (pa.date32(), "date", (DATE_FIRST, DATE_LAST), (DATE_FIRST - 1, DATE_LAST + 1, 2**31 - 2, 2 - 2**31)),
    (
        pa.date64(),
        "date",
        (DATE_FIRST * DAY * 1000, DATE_LAST * DAY * 1000),
        ((DATE_FIRST - 1) * DAY * 1000, (DATE_LAST + 1) * DAY * 1000, INT64 // DAY // 1000 * DAY * 1000),
    ),
    *(
        (arrow, name, (first, last), (first - 1, last + 1, end, INT64 - 1, 1 - INT64))
        for name, zone in (("timestamp", None), ("timestamptz", "UTC"))
        for arrow, first, last, end in (
            (pa.timestamp("s", zone), FIRST, LAST, END),
            (pa.timestamp("ms", zone), FIRST * 1000, INT64 // 1000, END * 1000),
        )
    ),
    *(
        (pa.timestamp("us", zone), name, (INSTANT_FIRST, INT64 - 1), (INSTANT_FIRST - 1, 1 - INT64))
        for name, zone in (("timestamp", None), ("timestamptz", "UTC"))
    ),
    # nanoseconds end in 1677 and 2262
    (pa.timestamp("ns"), "timestamp", (-INT64 // 1000 * 1000 + 1000, INT64 // 1000 * 1000), ()),
    (pa.date32(), "timestamp", (DATE_FIRST, END // DAY - 1), (DATE_FIRST - 1, END // DAY, 2**31 - 2, 2 - 2**31)),
]

#: how others write -infinity and infinity
INFINITE = [
    *((pa.date32(), name, (-(2**31), 1 - 2**31, 2**31 - 1)) for name in ("date", "timestamp")),
    *(
        (pa.timestamp(unit, zone), name, (-INT64 - 1, -INT64, INT64))
        for unit in ("s", "ms", "us", "ns")
        for name, zone in (("timestamp", None), ("timestamptz", "UTC"))
    ),
]


def _array(arrow: pa.DataType, *values: int) -> pa.Array:
    return pa.array(values, pa.int32() if arrow.bit_width == 32 else pa.int64()).view(arrow)


def _depths(column: pa.Array, pg: PgType) -> list[tuple[pa.Array, PgType]]:
    """Return a column, its lists, its ranges (as the upper bound) and composites, and lists of these."""
    span = range_struct(column.type)
    no, yes = (pa.array([flag] * len(column)) for flag in (False, True))
    ranges = pa.StructArray.from_arrays([pa.nulls(len(column), column.type), column, no, yes, no], fields=list(span))
    composites = pa.StructArray.from_arrays([column], ["a"])
    found = [
        (column, pg),
        (ranges, PgType("span", 60000, 60001, "range", "public", element=pg)),
        (composites, PgType("one", 60002, 60003, "composite", "public", fields=(("a", pg),))),
    ]
    ends = pa.array([0, len(column)], pa.int32())
    return found + [(pa.ListArray.from_arrays(ends, array), array_of(one)) for array, one in found]


@pytest.mark.parametrize(("arrow", "name", "good", "bad"), ENDS, ids=[f"{end[0]}->{end[1]}" for end in ENDS])
def test_the_ends_of_the_range(arrow: pa.DataType, name: str, good: tuple[int, ...], bad: tuple[int, ...]) -> None:
    """The ends go, what lies past them is refused with row and column, alone and inside other types."""
    pg = base_type(name)
    for array, whole in _depths(_array(arrow, *good), pg):
        encode(array, whole)
    for value in bad:
        for array, whole in _depths(_array(arrow, good[0], value), pg):
            with pytest.raises(EncodeError, match=r'column "c": .* is out of range for ') as caught:
                encode(array, whole)
            assert caught.value.row == len(array)


@pytest.mark.parametrize(("arrow", "name", "extremes"), INFINITE, ids=[f"{c[0]}->{c[1]}" for c in INFINITE])
def test_the_extremes_are_infinite(arrow: pa.DataType, name: str, extremes: tuple[int, ...]) -> None:
    """The extreme integers are infinity where the policy says so, and else refused, even where losses are allowed."""
    pg = base_type(name)
    for value in extremes:
        for array, whole in _depths(_array(arrow, value), pg):
            for policies in (Policies(), Policies(infinity="null"), Policies(allow_lossy=True)):
                with pytest.raises(EncodeError, match=r"^row 1, .* has an infinite date or time, which DuckDB"):
                    encode(array, cast_to_pg(array.type, whole, policies))
            assert len(encode(array, cast_to_pg(array.type, whole, Policies(infinity="sentinel")))) == len(array)
    cells = encode(_array(arrow, *extremes), cast_to_pg(arrow, pg, Policies(infinity="sentinel")))
    least, most = (
        (b"\x80" + bytes(3), b"\x7f" + b"\xff" * 3) if name == "date" else (b"\x80" + bytes(7), b"\x7f" + b"\xff" * 7)
    )
    assert cells == [least, least, most]


@pytest.mark.parametrize("name", ["date", "timestamp", "timestamptz"])
def test_what_duckdb_calls_infinite(name: str) -> None:
    """DuckDB's own infinities, alone and in a struct on its way into json, are not taken for far dates."""
    source = duckdb.sql(f"SELECT 'infinity'::{name} AS a UNION ALL SELECT '-infinity'::{name}").to_arrow_table()
    for row, array in enumerate(source["a"].combine_chunks()[i : i + 1] for i in range(2)):
        with pytest.raises(EncodeError, match="has an infinite date or time"):
            encode(array, base_type(name))
        cells = encode(array, cast_to_pg(array.type, base_type(name), Policies(infinity="sentinel")))
        assert cells[0] is not None
        assert (cells[0][0] == 0x7F) == (row == 0)
        with pytest.raises(EncodeError, match="stands for an infinite date or time"):
            json_texts(pa.StructArray.from_arrays([array], ["x"]), name="c", first_row=1)


def test_a_negative_zero_is_zero_as_an_integer() -> None:
    """They are equal, and integers and numerics have one zero: nothing is lost that a column could have kept."""
    for pg in ("int2", "int4", "int8"):
        assert encode(pa.array([-0.0]), base_type(pg)) == encode(pa.array([0.0]), base_type(pg))


def test_only_casts_that_exist_are_tested() -> None:
    """Every pair above is in the table."""
    assert all(cast_to_pg(arrow, base_type(name)) is not None for arrow, name, _, _ in ENDS)
