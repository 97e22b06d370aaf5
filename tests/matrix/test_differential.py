"""Each pair of an Arrow and a PostgreSQL type: what bulkio loads is what the server parses from Python's own text."""

from __future__ import annotations

import datetime as dt
import json
import struct
import uuid
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from matrix_check import arrow_array

import bulkio
from bulkio.types import ARRAY, BASE_TYPES, SERVER_TEXT
from bulkio.types.casts import INTERVAL_STRUCT, arrow_kind, range_struct
from bulkio.types.to_pg import _ENCODERS, _LOSSY, _NESTED
from gaps import lacking

if TYPE_CHECKING:
    from collections.abc import Callable

    from matrix_check import Place

UTC = dt.UTC
INTS = (pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64())
STRINGS = (pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int16(), pa.string()))
BINARIES = (pa.binary(), pa.large_binary(), pa.binary_view())
JSONS = (pa.json_(), pa.json_(pa.large_string()))
LISTS: tuple[Callable, ...] = (pa.list_, pa.large_list, pa.list_view)


@dataclass(frozen=True, eq=False)
class Pair:
    """Values of an Arrow type, the column's type, and how Python itself writes a value."""

    arrow: pa.DataType
    pg: str
    values: tuple
    text: Callable[[object], str] = str
    extension: str = ""
    options: dict = field(default_factory=dict)

    def __str__(self) -> str:
        """Name the pair."""
        return f"{self.arrow} -> {self.pg}"


def integers(arrow: pa.DataType, low: int, high: int) -> tuple[int, ...]:
    """Return values that both types hold, with the extremes."""
    signed = pa.types.is_signed_integer(arrow)
    bits = arrow.bit_width - signed
    low, high = max(low, -(2**bits) if signed else 0), min(high, 2**bits - 1)
    return tuple({0, 1, low, high, low + 1, high - 1})


LIMITS = {
    "int2": (-(2**15), 2**15 - 1),
    "int4": (-(2**31), 2**31 - 1),
    "int8": (-(2**63), 2**63 - 1),
    "oid": (0, 2**32 - 1),
    "xid": (0, 2**32 - 1),
    "xid8": (0, 2**64 - 1),
    "float4": (-(2**24), 2**24),
    "float8": (-(2**53), 2**53),
    "numeric": (-(2**63), 2**64 - 1),
}
SINGLES = (0.0, -0.0, 1.5, float("nan"), float("inf"), float("-inf"), 65504.0, -(2.0**-14))
DOUBLES = (*SINGLES, 0.1, 5e-324, 1.7976931348623157e308)
TEXTS = ("", "é😀", "a\tb\\N\n", "NULL", '"', "  x ")
DECIMALS = (Decimal("0.00"), Decimal("-12.30"), Decimal("999.99"), Decimal("100.00"))
JSON_TEXTS = ('{"b": [1, 2.50, null], "a": "é"}', "[]", "1e5", '"x"')
STAMPS = (
    dt.datetime(1, 1, 1),
    dt.datetime(2000, 1, 1),
    dt.datetime(1969, 12, 31, 23, 59, 59),
    dt.datetime(9999, 12, 31),
)
NEAR = (dt.datetime(2000, 1, 1), dt.datetime(1969, 12, 31, 23, 59, 59), dt.datetime(2200, 12, 31, 1, 2, 3))
TIMES = (dt.time(0), dt.time(23, 59, 59), dt.time(12, 30))
DATES = (dt.date(1, 1, 1), dt.date(1970, 1, 1), dt.date(2000, 2, 29), dt.date(9999, 12, 31))
SPANS = (dt.timedelta(0), dt.timedelta(days=-400, seconds=1), dt.timedelta(seconds=86399))


def hex_text(value: object) -> str:
    """Write bytea."""
    return "\\x" + bytes(value).hex()


def zoned(value: dt.datetime) -> str:
    """Write an instant."""
    return value.astimezone(UTC).isoformat()


def in_seconds(value: dt.timedelta) -> str:
    """Write a duration: its seconds alone, as PostgreSQL makes no days of seconds."""
    return f"{value // dt.timedelta(microseconds=1)} microseconds"


def span_text(value: dict) -> str:
    """Write the struct of an interval."""
    return f"{value['months']} months {value['days']} days {value['microseconds']} microseconds"


def month_day_nano(value: object) -> str:
    """Write Arrow's interval."""
    months, days, nanoseconds = value
    return f"{months} months {days} days {nanoseconds // 1000} microseconds"


def array_text(value: list) -> str:
    """Write an array of anything that str writes."""
    items = ("NULL" if v is None else array_text(v) if isinstance(v, list) else f'"{v}"' for v in value)
    return "{" + ",".join(items) + "}"


def range_text(value: dict) -> str:
    """Write a range."""
    if value["empty"]:
        return "empty"
    low, high = ("" if value[end] is None else str(value[end]) for end in ("lower", "upper"))
    return f"{'[' if value['lower_inc'] else '('}{low},{high}{']' if value['upper_inc'] else ')'}"


def map_text(value: list) -> str:
    """Write hstore."""
    return ",".join(f'"{k}"=>' + ("NULL" if v is None else f'"{v}"') for k, v in value)


def row_text(value: dict) -> str:
    """Write a composite of plain values."""
    return "(" + ",".join("" if v is None else f'"{v}"' for v in value.values()) + ")"


def vector_text(value: list) -> str:
    """Write a vector."""
    return "[" + ",".join(map(repr, value)) + "]"


def plain_json(value: object) -> str:
    """Write JSON as Python does; a map is an object."""
    return json.dumps(dict(value) if value and isinstance(value, list) and isinstance(value[0], tuple) else value)


def ranges(lower: object, upper: object) -> tuple[dict, ...]:
    """Return ranges of each form."""
    keys = ("lower", "upper", "lower_inc", "upper_inc", "empty")
    rows = ((lower, upper, True, False, False), (None, upper, False, False, False), (None, None, False, False, True))
    return tuple(dict(zip(keys, row, strict=True)) for row in rows)


def numbers() -> list[Pair]:
    """Pairs of numbers."""
    pairs = [Pair(pa.bool_(), "bool", (True, False)), Pair(pa.bool8(), "bool", (1, 0, -5), lambda v: str(bool(v)))]
    pairs += [Pair(a, pg, integers(a, *LIMITS[pg])) for pg in LIMITS for a in INTS]
    pairs += [Pair(a, pg, SINGLES, repr) for a in (pa.float16(), pa.float32()) for pg in ("float4", "float8")]
    pairs += [Pair(pa.float64(), "float8", DOUBLES, repr)]
    floats = (pa.float16(), pa.float32(), pa.float64())
    pairs += [
        Pair(a, pg, (0.0, -7.0, 1024.0), lambda v: str(int(v))) for a in floats for pg in ("int2", "int4", "int8")
    ]
    lossy = {"options": {"allow_lossy": True}}
    pairs += [
        Pair(
            pa.float64(),
            "float4",
            (0.1, 1.5, -2e30),
            lambda v: repr(struct.unpack("f", struct.pack("f", v))[0]),
            **lossy,
        )
    ]
    pairs += [Pair(a, "numeric", (0.5, -100.25, 0.25), repr, **lossy) for a in floats]
    decimals = (pa.decimal32(5, 2), pa.decimal64(18, 2), pa.decimal128(38, 2), pa.decimal256(76, 2))
    pairs += [Pair(a, pg, DECIMALS) for a in decimals for pg in ("numeric", "numeric(7,3)", "money")]
    whole = tuple(Decimal(v) for v in ("0.00", "-32768.00", "100.00"))
    pairs += [Pair(a, pg, whole, lambda v: str(int(v))) for a in decimals[1:] for pg in ("int2", "int4", "int8")]
    pairs += [Pair(pa.decimal128(5, -3), "numeric", (Decimal("12E3"), Decimal("0E3")), lambda v: f"{v:f}")]
    return pairs


def strings() -> list[Pair]:
    """Pairs from strings."""
    wanted = {
        "text": TEXTS,
        "varchar": TEXTS,
        "varchar(6)": TEXTS[:2],
        "char(6)": ("", "a", "éé"),
        "name": ("a", "é"),
        "json": JSON_TEXTS,
        "jsonb": JSON_TEXTS,
        "numeric": ("0", "-1.50", "NaN", "1e-20", "Infinity", "00012.0"),
        "numeric(6,2)": ("0", "-1.50", "9999.99"),
        "uuid": (str(uuid.UUID(int=5)), str(uuid.UUID(int=2**128 - 1)).upper()),
        "inet": ("10.0.0.1", "::1/64", "10.1.2.3/8"),
        "cidr": ("10.0.0.0/8", "::/0"),
        "macaddr": ("08:00:2b:01:02:03",),
        "macaddr8": ("08:00:2b:01:02:03:04:05",),
        "bit(3)": ("101", "000"),
        "varbit": ("", "1", "010101010"),
        "timetz": ("12:34:56.789+02", "00:00:00-15:59"),
        "pg_lsn": ("0/0", "16/B374D848"),
        "jsonpath": ("$.a", "$[*]"),
        "int4": ("7", " -3 "),
        "int2": ("1",),
        "int8": ("9",),
        "bool": ("yes", "f"),
        "float8": ("1e5", "NaN"),
        "float4": ("0.1",),
        "date": ("2000-01-01", "infinity", "Jan 5 1999"),
        "time": ("24:00",),
        "interval": ("1 day 2h",),
        "timestamp": ("2000-01-01 10:00", "-infinity"),
        "timestamptz": ("2000-01-01 10:00+03",),
        "bytea": ("\\xff", "a"),
        "box": ("(1,1),(0,0)",),
        "tsvector": ("'a':1",),
        "int4[]": ("{1,NULL}", "{}"),
        "point": ("(1,2)",),
        "oid": ("5",),
        "int4range": ("[1,3]", "empty"),
        "regclass": ("pg_class",),
        "money": ("$1.25",),
        "xid8": ("8",),
        "xid": ("8",),
    }
    pairs = [Pair(a, pg, values) for pg, values in wanted.items() for a in STRINGS]
    pairs += [Pair(a, "mood", ("sad", "Happy")) for a in STRINGS]
    pairs += [Pair(a, pg, JSON_TEXTS) for a in JSONS for pg in ("text", "varchar", "json", "jsonb")]
    pairs += [
        Pair(pa.string(), "citext", TEXTS, extension="citext"),
        Pair(pa.string(), "ltree", ("a.b",), extension="ltree"),
    ]
    pairs += [Pair(pa.string(), "hstore", ("a=>1",), extension="hstore"), Pair(pa.string(), "pair", ("(1,x)", "(,)"))]
    pairs += [Pair(pa.string(), "vector", ("[1,2]",), extension="vector")]
    pairs += [Pair(pa.string(), "geometry", ("POINT(1 2)",), extension="postgis")]
    return pairs


def bytes_and_times() -> list[Pair]:
    """Pairs from binary values, dates and times."""
    blobs = (b"", b"\0\xff'\\", b"abc" * 50)
    pairs = [Pair(a, "bytea", blobs, hex_text) for a in BINARIES]
    pairs += [
        Pair(pa.binary(3), "bytea", (b"abc", b"\0\0\0"), hex_text),
        Pair(pa.binary(16), "bytea", (b"a" * 16,), hex_text),
    ]
    ids = (uuid.UUID(int=0), uuid.UUID(int=2**127 + 3))
    pairs += [Pair(pa.binary(16), "uuid", tuple(i.bytes for i in ids), lambda v: str(uuid.UUID(bytes=v)))]
    pairs += [Pair(pa.uuid(), "uuid", tuple(i.bytes for i in ids), lambda v: str(uuid.UUID(bytes=v)))]
    wkb = struct.pack("<BIdd", 1, 1, 1.5, -2.0)
    pairs += [
        Pair(a, pg, (wkb,), lambda v: v.hex(), extension="postgis")
        for a in BINARIES
        for pg in ("geometry", "geography")
    ]
    pairs += [
        Pair(a, pg, DATES, lambda v: v.isoformat()) for a in (pa.date32(), pa.date64()) for pg in ("date", "timestamp")
    ]
    pairs += [Pair(pa.time32(u), "time", TIMES, lambda v: v.isoformat()) for u in ("s", "ms")]
    pairs += [
        Pair(pa.time64(u), "time", (*TIMES, dt.time(1, 2, 3, 456789)), lambda v: v.isoformat()) for u in ("us", "ns")
    ]
    for unit in ("s", "ms", "us", "ns"):
        stamps = NEAR if unit == "ns" else STAMPS
        aware = tuple(s.replace(tzinfo=UTC) for s in NEAR)
        pairs += [Pair(pa.timestamp(unit), "timestamp", stamps, lambda v: v.isoformat())]
        pairs += [Pair(pa.timestamp(unit, z), "timestamptz", aware, zoned) for z in ("UTC", "Asia/Tokyo", "+05:30")]
        pairs += [Pair(pa.duration(unit), "interval", SPANS, in_seconds)]
    pairs += [
        Pair(pa.month_day_nano_interval(), "interval", ((0, 0, 0), (14, -3, 1500000), (-1, 0, -1000)), month_day_nano)
    ]
    structs = ({"months": 13, "days": -2, "microseconds": 2**62}, {"months": 0, "days": 0, "microseconds": -1})
    pairs += [Pair(INTERVAL_STRUCT, "interval", structs, span_text)]
    return pairs


def nested() -> list[Pair]:
    """Pairs of nested types."""
    pairs = [Pair(make(pa.int32()), "int4[]", ([], [1, None, -3]), array_text) for make in LISTS]
    pairs += [Pair(pa.list_(pa.int32(), 2), "int8[]", ([1, 2], [None, 4]), array_text)]
    pairs += [Pair(pa.list_(pa.decimal128(5, 2)), "numeric(7,3)[]", ([Decimal("1.50"), None],), array_text)]
    pairs += [Pair(pa.list_(pa.date32()), "date[]", ([dt.date(2000, 1, 1)],), array_text)]
    pairs += [
        Pair(
            pa.list_(pa.list_(pa.int32())),
            "int4[]",
            ([[1, 2], [None, 4]], []),
            array_text,
            options={"dimensions": {"v": 2}},
        )
    ]
    pairs += [Pair(pa.list_(pa.string()), "mood[]", (["sad", None],), array_text)]
    fields = pa.struct([("a", pa.int32()), ("b", pa.string())])
    pairs += [Pair(fields, "pair", ({"a": 1, "b": "x y"}, {"a": None, "b": None}), row_text)]
    pairs += [Pair(pa.list_(fields), "pair[]", ([{"a": 1, "b": "x"}],), lambda _: '{"(1,x)"}')]
    pairs += [Pair(range_struct(pa.int32()), "int4range", ranges(1, 5), range_text)]
    pairs += [
        Pair(range_struct(pa.date32()), "daterange", ranges(dt.date(2000, 1, 1), dt.date(2001, 1, 1)), range_text)
    ]
    pairs += [Pair(range_struct(pa.decimal128(5, 2)), "numrange", ranges(Decimal("1.50"), Decimal("7.00")), range_text)]
    many = [
        {"lower": 1, "upper": 3, "lower_inc": True, "upper_inc": False, "empty": False},
        {"lower": 5, "upper": None, "lower_inc": True, "upper_inc": False, "empty": False},
    ]
    pairs += [
        Pair(
            pa.list_(range_struct(pa.int32())),
            "int4multirange",
            (many, []),
            lambda v: "{" + ",".join(map(range_text, v)) + "}",
        )
    ]
    point = pa.struct([("x", pa.float64()), ("y", pa.float64())])
    pairs += [Pair(point, "point", ({"x": 0.1, "y": -0.0},), lambda v: f"({v['x']!r},{v['y']!r})")]
    words = pa.map_(pa.string(), pa.string())
    pairs += [Pair(words, "hstore", ([("a", "1"), ("b c", None)], []), map_text, extension="hstore")]
    for make in (*LISTS, lambda item: pa.list_(item, 2)):
        pairs += [Pair(make(pa.float32()), "vector", ([1.5, -2.0],), vector_text, extension="vector")]
        pairs += [
            Pair(make(pa.float16()), pg, ([1.5, -2.0],), vector_text, extension="vector")
            for pg in ("vector", "halfvec")
        ]
    pairs += [
        Pair(a, pg, values, plain_json)
        for pg in ("jsonb",)
        for a, values in (
            (pa.list_(pa.int32()), ([1, None], [])),
            (fields, ({"a": 1, "b": "é"}, {"a": None, "b": ""})),
            (pa.list_(fields), ([{"a": 1, "b": "x"}],)),
            (words, ([("a", "1"), ("b", None)],)),
        )
    ]
    # json keeps the text as it is: so the server takes it down to jsonb for the comparison
    pairs += [
        Pair(p.arrow, "json", p.values, lambda v: plain_json(v).replace(": ", ":").replace(", ", ","))
        for p in pairs
        if p.pg == "jsonb" and "é" not in str(p.values)
    ]
    pairs += [Pair(fields, "json", ({"a": 1, "b": "x"},), lambda v: json.dumps(v, separators=(",", ":")))]
    pairs += [Pair(pa.null(), pg, (None,)) for pg in ("text", "int4", "int4[]", "pair", "box")]
    pairs += [Pair(pa.run_end_encoded(pa.int32(), pa.int64()), "int4", (7, 7, -1))]
    unions = (pa.dense_union([pa.field("a", pa.int32())]), pa.sparse_union([pa.field("a", pa.int32())]))
    pairs += [Pair(a, pg, (7, -1), json.dumps) for a in unions for pg in ("json", "jsonb")]
    box = "(1,1),(0,0)"
    pairs += [
        Pair(pa.list_(pa.string()), "box[]", ([box, None], []), lambda v: f"{{{';'.join(x or 'NULL' for x in v)}}}")
    ]
    pairs += [Pair(fields, "holder", ({"a": 1, "b": box}, {"a": None, "b": None}), row_text)]
    return pairs


PAIRS = numbers() + strings() + bytes_and_times() + nested()


_SETUP = """
CREATE TYPE pair AS (a int4, b text);
CREATE TYPE holder AS (a int4, b box);
CREATE TYPE mood AS ENUM ('sad', 'ok', 'Happy');
"""
#: driver and method of each load
RUNS = (("asyncpg", "binary"), ("psycopg", "binary"), ("asyncpg", "csv"))
#: by server, for each pair: the rows as the server parses them, and as each run has loaded them
_rows: dict[str, dict[Pair, tuple[list[bytes], list[list[bytes]]]]] = {}


def rows_of(place: Place) -> dict[Pair, tuple[list[bytes], list[list[bytes]]]]:
    """Load all the pairs, the first time: as columns of one table, which is faster than a table for each."""
    if place.server.id not in _rows:
        with place.schema() as schema:
            named = {f"c{i}": p for i, p in enumerate(PAIRS) if p.extension in ("", *place.extensions)}
            longest = 1 + max(len(pair.values) for pair in PAIRS)
            make_tables(place, named, longest)
            got = {name: [] for name in named}
            for group in groups(place, f"{schema}.got", named):
                source = pa.table({name: arrow_values(named[name], longest) for name in group})
                for driver, method in RUNS:
                    options = {**options_of(named, group), "driver": driver, "method": method, "mode": "truncate"}
                    bulkio.load(source, f"{schema}.got", place.dsn, **options)
                    for name in group:
                        got[name].append(place.rows(f"(SELECT {name} FROM got)"))
            expected = {name: place.rows(f"(SELECT {name} FROM expected)") for name in named}
            _rows[place.server.id] = {pair: (expected[name], got[name]) for name, pair in named.items()}
    return _rows[place.server.id]


def make_tables(place: Place, named: dict[str, Pair], longest: int) -> None:
    """Make the tables `got` and `expected`, the latter with the rows as the server parses Python's text."""
    place.conn.execute(_SETUP)
    specs = ", ".join(f"{name} {pair.pg}" for name, pair in named.items())
    place.conn.execute(f"CREATE TABLE got ({specs}); CREATE TABLE expected ({specs})")
    for i in range(longest):
        values = ", ".join(literal(pair, i) for pair in named.values())
        place.conn.execute(f"INSERT INTO expected VALUES ({values})")


def literal(pair: Pair, row: int) -> str:
    """Write one value of a pair in SQL; NULL below the last."""
    value = pair.values[row] if row < len(pair.values) else None
    if value is None:
        return f"NULL::{pair.pg}"
    text = pair.text(value).replace("\\", "\\\\").replace("'", "''")
    return f"E'{text}'::{pair.pg}"


def groups(place: Place, table: str, named: dict[str, Pair]) -> list[list[str]]:
    """Return the columns that load together: by allow_lossy, and by whether the server has to parse them."""
    found: dict[tuple[bool, bool], list[str]] = {}
    for lossy in (False, True):
        names = [name for name, pair in named.items() if pair.options.get("allow_lossy", False) == lossy]
        source = pa.table({name: arrow_values(named[name], 1) for name in names})
        for column in bulkio.plan_load(source, table, place.dsn, **options_of(named, names)).fields:
            found.setdefault((lossy, column.cast.needs_server), []).append(column.name)
    return list(found.values())


def options_of(named: dict[str, Pair], names: list[str]) -> dict[str, object]:
    """Return the arguments of load for these columns."""
    dimensions = {name: d for name in names for d in named[name].options.get("dimensions", {}).values()}
    return {"dimensions": dimensions, "allow_lossy": any("allow_lossy" in named[name].options for name in names)}


def arrow_values(pair: Pair, length: int) -> pa.Array:
    """Make the column, with NULLs at its end."""
    return arrow_array(pair.arrow, [*pair.values, *[None] * length][:length])


@pytest.mark.parametrize("pair", PAIRS, ids=str)
def test_pair(pair: Pair, place: Place) -> None:
    """The rows that bulkio loads are those that the server itself parses of text that bulkio did not write."""
    if pair.extension not in ("", *place.extensions):
        lacking(f"the extension {pair.extension}")
    expected, got = rows_of(place)[pair]
    assert got == [expected] * len(RUNS)


def codec_of(name: str) -> str:
    """Return the codec of a column's type."""
    bare = name.split("(", maxsplit=1)[0]
    own = {"citext": "text", "ltree": "versioned_text", "mood": "enum", "pair": "composite", "char": "text"}
    own |= {"holder": SERVER_TEXT, "box[]": SERVER_TEXT}
    for ending, codec in (("[]", ARRAY), ("multirange", "multirange"), ("range", "range")):
        if name.endswith(ending) and name not in own:
            return codec
    return {row.name: row.codec for row in BASE_TYPES}.get(bare, own.get(bare, bare))


def test_every_pair_has_a_case() -> None:
    """Each pair of the tables of casts has its values here."""
    have = set()
    for pair in PAIRS:
        arrow = pair.arrow.value_type if pa.types.is_dictionary(pair.arrow) else pair.arrow
        have.add((arrow_kind(arrow), codec_of(pair.pg)))
    assert {*_ENCODERS, *_LOSSY, *_NESTED} <= have
