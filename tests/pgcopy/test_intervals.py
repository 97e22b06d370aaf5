"""interval, from and to all that Arrow has for it."""

from __future__ import annotations

import ctypes
import random
import struct
from dataclasses import replace
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkio.errors import DecodeError, EncodeError, SchemaError
from bulkio.forms.times import interval_text
from bulkio.pgcopy import Encoder, Field
from bulkio.types import INTERVAL_STRUCT, Cast, Policies, base_type, cast_to_pg
from cells import cells_of, decode, encode, read_cells, write_cells

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

INTERVAL = base_type("interval")
MDN = pa.month_day_nano_interval()
STRUCT = Cast("interval_struct", INTERVAL_STRUCT, INTERVAL)
I32, I64 = 2**31 - 1, 2**63 - 1
FULL = 0x7FFF << 16 | 0xFFFF
YEAR, MONTH, DAY, HOUR, MINUTE, SECOND = 1 << 2, 1 << 1, 1 << 3, 1 << 10, 1 << 11, 1 << 12
INT32 = st.integers(-I32 - 1, I32)


def wire(months: int, days: int, us: int) -> bytes:
    return struct.pack("!qii", us, days, months)


def spans(*values: tuple[int, int, int] | None) -> pa.Array:
    rows = [None if v is None else dict(zip(("months", "days", "microseconds"), v, strict=True)) for v in values]
    return pa.array(rows, INTERVAL_STRUCT)


@given(INT32, INT32, st.integers(-I64 // 1000 + 1, I64 // 1000))
def test_month_day_nano_round_trip(months: int, days: int, us: int) -> None:
    """Everything whose nanoseconds have 64 bits."""
    cells = [wire(months, days, us), None]
    array = decode(cells, INTERVAL, chunk_bytes=1)
    assert array.to_pylist() == [pa.MonthDayNano([months, days, us * 1000]), None]
    assert encode(array, INTERVAL) == cells


@given(INT32, INT32, st.integers(-I64 - 1, I64))
def test_struct_round_trip(months: int, days: int, us: int) -> None:
    """All that PostgreSQL has, and what an infinity looks like is refused."""
    cells = [wire(months, days, us), None]
    if (months, days, us) in ((I32, I32, I64), (-I32 - 1, -I32 - 1, -I64 - 1)):
        return
    array = decode(cells, STRUCT, chunk_bytes=1)
    assert array.to_pylist() == spans((months, days, us), None).to_pylist()
    assert encode(array, INTERVAL) == cells


@pytest.mark.parametrize("extreme", [(I32, I32, I64), (-I32 - 1, -I32 - 1, -I64 - 1)])
def test_infinity(extreme: tuple[int, int, int]) -> None:
    """PostgreSQL 17's infinities are errors, in and out."""
    for how in (INTERVAL, STRUCT):
        with pytest.raises(DecodeError, match="an infinity or NaN in interval"):
            decode([wire(*extreme)], how)
    with pytest.raises(EncodeError, match="is out of range for interval"):
        encode(spans(extreme), INTERVAL)


@pytest.mark.parametrize("extreme", [(I32, I32, I64), (-I32 - 1, -I32 - 1, -I64 - 1)])
def test_infinity_by_policy(extreme: tuple[int, int, int]) -> None:
    """A null, or the extremes as sentinels that load back; an ordinary interval is as ever."""
    month_day_nano = Cast("interval", MDN, INTERVAL)
    cells = [wire(*extreme), wire(1, 2, 3), None]
    for how in (month_day_nano, STRUCT):
        nulled = replace(how, policies=Policies(infinity="null"))
        assert decode(cells, nulled, chunk_bytes=1).is_null().to_pylist() == [True, False, True]
        sentinel = replace(how, policies=Policies(infinity="sentinel"))
        array = decode(cells, sentinel)
        assert tuple(array[0].as_py() if how is month_day_nano else array[0].as_py().values()) == extreme
        assert encode(array, sentinel) == cells
        with pytest.raises(EncodeError, match="would be rounded" if how is month_day_nano else "is out of range"):
            encode(array, how)


def test_losses_that_the_user_allows() -> None:
    """Nanoseconds go towards the past, and a column may keep less."""
    lossy = replace(
        Cast("interval", MDN, base_type("interval", YEAR << 16 | 0xFFFF)), policies=Policies(allow_lossy=True)
    )
    assert encode(pa.array([(13, 1, -1), (0, 0, 1999)], MDN), lossy) == [wire(13, 1, -1), wire(0, 0, 1)]
    duration = replace(Cast("duration", pa.duration("ns"), INTERVAL), policies=Policies(allow_lossy=True))
    assert encode(pa.array([-1, 1], pa.duration("ns")), duration) == [wire(0, 0, -1), wire(0, 0, 0)]


def test_what_is_beyond_arrow() -> None:
    """Microseconds past the nanoseconds' 64 bits; the struct holds them."""
    for us in (I64 // 1000 + 1, -(I64 // 1000) - 1, I64, -I64 - 1):
        with pytest.raises(DecodeError, match="outside what Arrow's month_day_nano_interval can hold"):
            decode([wire(0, 0, us)], INTERVAL)
        assert decode([wire(0, 0, us)], STRUCT)[0]["microseconds"].as_py() == us


def test_nanoseconds_only_where_exact() -> None:
    """Whole microseconds go, of either sign."""
    for ns in (1, 999, -1, 1001, I64, -I64 - 1):
        with pytest.raises(EncodeError, match="would be rounded by interval"):
            encode(pa.array([(0, 0, ns)], MDN), INTERVAL)
    assert encode(pa.array([(-1, 2, -3000)], MDN), INTERVAL) == [wire(-1, 2, -3)]


def test_slices_and_nulls() -> None:
    """Offsets of the struct and of its members count together."""
    array = spans((1, 2, 3), None, (4, 5, 6), (7, 8, 9))
    assert encode(array.slice(1), INTERVAL) == [None, wire(4, 5, 6), wire(7, 8, 9)]
    members = [pa.array([0, 1], pa.int32()), pa.array([0, 2], pa.int32()), pa.array([0, 3], pa.int64())]
    moved = pa.StructArray.from_arrays([member.slice(1) for member in members], fields=list(INTERVAL_STRUCT))
    assert encode(moved, INTERVAL) == [wire(1, 2, 3)]
    assert encode(pa.array([(1, 2, 3000), (4, 5, 6000)], MDN).slice(1), INTERVAL) == [wire(4, 5, 6)]


@pytest.mark.parametrize("missing", ["months", "days", "microseconds"])
def test_null_members_are_errors(missing: str) -> None:
    """A struct that is there has all its parts."""
    row = {"months": 1, "days": 2, "microseconds": 3, missing: None}
    with pytest.raises(EncodeError, match="has a NULL in it, which interval cannot have"):
        encode(pa.array([row], INTERVAL_STRUCT), INTERVAL)


def test_members_of_another_type_are_refused() -> None:
    """A batch that is not as planned."""
    other = pa.array([{"months": 1, "days": 2, "microseconds": 3}])
    with pytest.raises(SchemaError, match="a member's Arrow format is 'l', the plan was made for 'i'"):
        encode(other, Cast("interval_struct", INTERVAL_STRUCT, INTERVAL))


@pytest.mark.parametrize(("unit", "per_second"), [("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9)])
def test_durations(unit: str, per_second: int) -> None:
    """Every unit becomes microseconds; no days are made of hours."""
    values = pa.array([90_000 * per_second, -per_second, None, 0], pa.duration(unit))
    expected = [wire(0, 0, 90_000 * 10**6), wire(0, 0, -(10**6)), None, wire(0, 0, 0)]
    assert encode(values, INTERVAL) == expected
    assert encode(values.slice(1), INTERVAL) == expected[1:]
    if unit == "ns":
        with pytest.raises(EncodeError, match="would be rounded by interval"):
            encode(pa.array([-1], pa.duration(unit)), INTERVAL)
    elif unit != "us":
        with pytest.raises(EncodeError, match="is out of range for interval"):
            encode(pa.array([I64], pa.duration(unit)), INTERVAL)


class Relabelled:
    """A batch of one column under another Arrow format: pyarrow has no year_month and day_time arrays."""

    def __init__(self, column: pa.Array, arrow_format: bytes) -> None:
        self._batch = pa.record_batch([column], names=["c"])
        self._format = ctypes.create_string_buffer(arrow_format)

    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[object, object]:
        capsules = self._batch.__arrow_c_array__()
        relabel(capsules[0], ctypes.addressof(self._format), child=True)
        return capsules


class RelabelledType:
    """An Arrow type whose format string is another one's."""

    def __init__(self, arrow_format: bytes) -> None:
        self._format = ctypes.create_string_buffer(arrow_format)

    def __arrow_c_schema__(self) -> object:
        capsule = pa.int64().__arrow_c_schema__()
        relabel(capsule, ctypes.addressof(self._format), child=False)
        return capsule


def relabel(capsule: object, arrow_format: int, *, child: bool) -> None:
    """Point an ArrowSchema's `format`, its first member, elsewhere; producers free their own copy of it."""
    pointer_of = ctypes.pythonapi.PyCapsule_GetPointer
    pointer_of.restype, pointer_of.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    schema = pointer_of(capsule, b"arrow_schema")
    if child:  # after format, name, metadata, flags, n_children: children
        children = ctypes.c_void_p.from_address(schema + 5 * 8).value
        schema = ctypes.c_void_p.from_address(children).value
    ctypes.c_void_p.from_address(schema).value = arrow_format


@pytest.mark.parametrize(
    ("arrow_format", "values", "expected"),
    [
        (b"tiM", pa.array([7, -I32 - 1, None], pa.int32()), [wire(7, 0, 0), wire(-I32 - 1, 0, 0), None]),
        (
            b"tiD",
            pa.array([3 | 5 << 32, (-1 & 0xFFFFFFFF) | -2 << 32], pa.int64()),
            [wire(0, 3, 5000), wire(0, -1, -2000)],
        ),
    ],
)
def test_year_month_and_day_time(arrow_format: bytes, values: pa.Array, expected: list[bytes | None]) -> None:
    """The two interval types that only other producers make."""
    how = Cast("interval", RelabelledType(arrow_format), INTERVAL)
    encoder = Encoder([Field("c", how)])
    blocks = list(encoder.encode(Relabelled(values, arrow_format)))
    assert cells_of(b"".join(bytes(block) for block in [*blocks, encoder.finish()])) == expected


TYPMODS = [
    ("interval(3)", 0x7FFF << 16 | 3, [(14, 3, 1000)], [(0, 0, 1), (0, 0, -1001)]),
    ("interval(0)", 0x7FFF << 16, [(14, 3, -(10**6))], [(0, 0, 10**5)]),
    ("interval year", YEAR << 16 | 0xFFFF, [(-24, 0, 0)], [(13, 0, 0), (12, 1, 0), (12, 0, 1)]),
    ("interval month", MONTH << 16 | 0xFFFF, [(13, 0, 0)], [(0, 1, 0), (0, 0, 1)]),
    ("interval year to month", (YEAR | MONTH) << 16 | 0xFFFF, [(13, 0, 0)], [(0, 1, 0), (0, 0, -1)]),
    ("interval day", DAY << 16 | 0xFFFF, [(13, -1, 0)], [(0, 0, 1)]),
    ("interval day to hour", (DAY | HOUR) << 16 | 0xFFFF, [(1, 1, 36 * 10**8)], [(0, 0, 6 * 10**7)]),
    ("interval hour", HOUR << 16 | 0xFFFF, [(1, 1, -36 * 10**8)], [(0, 0, 6 * 10**7)]),
    ("interval hour to minute", (HOUR | MINUTE) << 16 | 0xFFFF, [(1, 1, 6 * 10**7)], [(0, 0, 10**6)]),
    ("interval minute", MINUTE << 16 | 0xFFFF, [(1, 1, 6 * 10**7)], [(0, 0, -(10**6))]),
    ("interval second", SECOND << 16 | 0xFFFF, [(1, 1, 1)], []),
    ("interval day to second(2)", (DAY | HOUR | MINUTE | SECOND) << 16 | 2, [(1, 1, 10**4)], [(0, 0, 10**3)]),
]


def test_fields_and_places_of_the_column(dsn: str, connect: Callable[[str], psycopg.Connection]) -> None:
    """What the server would drop in silence is refused, and nothing else is."""
    conn = connect(dsn)
    for sql_type, typmod, kept, lost in TYPMODS:
        pg = base_type("interval", typmod)
        write_cells(conn, sql_type, encode(spans(*kept), pg))
        row = conn.execute("SELECT atttypmod FROM pg_attribute WHERE attrelid = 'cell'::regclass AND attname = 'c'")
        assert row.fetchone() == (typmod,), sql_type
        assert read_cells(conn, "SELECT c FROM cell") == [wire(*value) for value in kept]
        for value in lost:
            with pytest.raises(EncodeError, match="would be rounded by interval"):
                encode(spans(value), pg)
            write_cells(conn, sql_type, [wire(*value)])
            assert read_cells(conn, "SELECT c FROM cell") != [wire(*value)], (sql_type, value)


def test_agrees_with_the_server(dsn: str, connect: Callable[[str], psycopg.Connection]) -> None:
    """Extremes and random intervals are stored as their text is parsed."""
    conn = connect(dsn)
    rng = random.Random(23)  # noqa: S311 - a fixed sample
    values = [(I32, -I32 - 1, I64), (-I32 - 1, I32, 0), (0, 0, 10**15 + 1), (0, 0, -1), (12, 30, 86_400 * 10**6)]
    values += [(rng.randint(-I32, I32), rng.randint(-I32, I32), rng.randint(-(10**18), 10**18)) for _ in range(500)]
    write_cells(conn, "interval", encode(spans(*values), INTERVAL))
    for style in ("postgres", "iso_8601", "sql_standard"):
        conn.execute(f"SET intervalstyle = '{style}'")
        texts = [interval_text(*value) for value in values]
        parsed = read_cells(conn, "SELECT t::interval FROM unnest(ARRAY['" + "','".join(texts) + "']) AS t")
        assert parsed == [wire(*value) for value in values]


def test_the_table_of_pairs_names_these() -> None:
    """Each Arrow type comes to its own codec."""
    kinds = {MDN: "interval", pa.duration("s"): "duration", INTERVAL_STRUCT: "interval_struct"}
    for arrow, codec in kinds.items():
        how = cast_to_pg(arrow, INTERVAL)
        assert how is not None
        assert how.codec == codec
