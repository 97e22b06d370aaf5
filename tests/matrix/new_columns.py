"""What the test of new tables tries: for each row of the promise, Arrow columns and what PostgreSQL makes of them.

Owns no test and reads no database.
"""

from __future__ import annotations

import datetime as dt
import struct
import uuid
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

import pyarrow as pa
from promise import NEW_TABLE_ROWS, row_of

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["COLUMNS", "FAULTS", "Fault", "NewColumn"]


@dataclass(frozen=True, eq=False)
class NewColumn:
    """An Arrow column, the type that a new table gets for it, and its values as the server writes them."""

    row: int
    arrow: pa.DataType
    values: tuple
    #: as format_type spells it
    pg: str
    texts: tuple[str, ...]
    metadata: dict[str, str] | None = None
    #: on a server with PostGIS
    postgis: str = ""
    #: arguments of load for this column
    types: str = ""
    dimensions: int = 1

    def __str__(self) -> str:
        """Name the case."""
        return f"{self.arrow}" + "".join(f" as {asked}" for asked in [self.types] if asked)


@dataclass(frozen=True)
class Fault:
    """A value that a new table's column cannot hold unchanged, and what the message says."""

    row: int
    arrow: pa.DataType
    value: object
    message: str
    dimensions: int = 1

    def __str__(self) -> str:
        """Name the case."""
        return f"{self.arrow}: {self.message}"


def _columns() -> list[NewColumn]:
    made: list[NewColumn] = []

    def add(row: str, arrow: pa.DataType, pg: str, values: Sequence, texts: Sequence[str], **more) -> None:
        index = row_of(NEW_TABLE_ROWS, row)
        made.append(NewColumn(index, arrow, tuple(values), pg, tuple(texts), **more))

    _numbers(add)
    _texts_and_bytes(add)
    _times(add)
    _nested(add)
    _extensions(add)
    return made


def _numbers(add) -> None:
    small, middle, big = "smallint", "integer", "bigint"
    integers = (
        (pa.int8(), small, -(2**7)),
        (pa.int16(), small, -(2**15)),
        (pa.uint8(), small, 2**8 - 1),
        (pa.int32(), middle, -(2**31)),
        (pa.uint16(), middle, 2**16 - 1),
        (pa.int64(), big, -(2**63)),
        (pa.uint32(), big, 2**32 - 1),
        (pa.uint64(), "numeric(20,0)", 2**64 - 1),
    )
    for arrow, pg, edge in integers:
        add("int8/16", arrow, pg, (0, edge), ("0", str(edge)))
    singles, texts = (0.5, -0.0, float("nan"), float("-inf")), ("0.5", "-0", "NaN", "-Infinity")
    add("float16", pa.float16(), "real", singles, texts)
    add("float16", pa.float32(), "real", singles, texts)
    add("float16", pa.float64(), "double precision", (*singles, 5e-324, 0.1), (*texts, "5e-324", "0.1"))
    prices, written = (Decimal("12.30"), Decimal("0.00"), Decimal("-999.99")), ("12.30", "0.00", "-999.99")
    for arrow in (pa.decimal32(5, 2), pa.decimal64(18, 2), pa.decimal128(38, 2), pa.decimal256(76, 2)):
        add("decimal32", arrow, f"numeric({arrow.precision},2)", prices, written)
    add("decimal32", pa.decimal128(5, -3), "numeric(8,0)", (Decimal("12E3"),), ("12000",))
    add("decimal32", pa.decimal128(5, 5), "numeric(5,5)", (Decimal("0.00123"),), ("0.00123",))


def _texts_and_bytes(add) -> None:
    texts = ("", "é😀", "a\tb\\N", "  x ", "NULL")
    for arrow in (pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())):
        add("string", arrow, "text", texts, texts)
    for arrow in (pa.binary(), pa.large_binary(), pa.binary_view()):
        add("binary", arrow, "bytea", (b"", b"\0\xff'"), ("\\x", "\\x00ff27"))
    add("binary", pa.binary(2), "bytea", (b"\0\xff",), ("\\x00ff",))
    add("binary", pa.binary(16), "bytea", (b"\0" * 16,), ("\\x" + "00" * 16,))


def _times(add) -> None:
    days, written = (dt.date(1, 1, 1), dt.date(9999, 12, 31)), ("0001-01-01", "9999-12-31")
    for arrow in (pa.date32(), pa.date64()):
        add("date32", arrow, "date", days, written)
    for arrow in (pa.time32("s"), pa.time32("ms"), pa.time64("us"), pa.time64("ns")):
        add("time32", arrow, "time without time zone", (dt.time(0), dt.time(23, 59, 59)), ("00:00:00", "23:59:59"))
    add("time32", pa.time64("ns"), "time without time zone", (dt.time(1, 2, 3, 456789),), ("01:02:03.456789",))
    stamp, aware = dt.datetime(1969, 12, 31, 23, 59, 59), dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
    for unit in ("s", "ms", "us", "ns"):
        add("timestamp", pa.timestamp(unit), "timestamp without time zone", (stamp,), ("1969-12-31 23:59:59",))
        for zone in ("UTC", "Asia/Tokyo", "-05:30"):
            instant = ("2000-01-01 00:00:00+00",)
            add("timestamp", pa.timestamp(unit, zone), "timestamp with time zone", (aware,), instant)
        spans = (dt.timedelta(0), dt.timedelta(days=-2, seconds=1))
        add("duration", pa.duration(unit), "interval", spans, ("00:00:00", "-47:59:59"))
    months = pa.month_day_nano_interval()
    add(
        "duration",
        months,
        "interval",
        ((14, -3, 1500000), (0, 0, 0)),
        ("1 year 2 mons -3 days +00:00:00.0015", "00:00:00"),
    )


def _nested(add) -> None:
    row = "list"
    for make in (pa.list_, pa.large_list, pa.list_view, pa.large_list_view):
        add(row, make(pa.int32()), "integer[]", ([], [1, None]), ("{}", "{1,NULL}"))
    add(row, pa.list_(pa.string(), 2), "text[]", (["a", "b,"],), ('{a,"b,"}',))
    add(row, pa.list_(pa.decimal128(5, 2)), "numeric(5,2)[]", ([Decimal("1.50")],), ("{1.50}",))
    lists = pa.list_(pa.list_(pa.int32()))
    add(row, lists, "jsonb", ([[1], [], None, [None]],), ("[[1], [], null, [null]]",))
    add(row, lists, "integer[]", ([[1, 2], [None, 4]], []), ("{{1,2},{NULL,4}}", "{}"), dimensions=2)
    row, pair = "struct", pa.struct([("a", pa.int32()), ("b", pa.string())])
    add(
        row,
        pair,
        "jsonb",
        ({"a": 1, "b": "é"}, {"a": None, "b": None}),
        ('{"a": 1, "b": "é"}', '{"a": null, "b": null}'),
    )
    add(row, pair, "pair", ({"a": 1, "b": "é"}, {"a": None, "b": ""}), ("(1,é)", '(,"")'), types="pair")
    add(row, pa.list_(pair), "jsonb", ([{"a": 1, "b": None}],), ('[{"a": 1, "b": null}]',))
    words = pa.map_(pa.string(), pa.int32())
    add(row, words, "jsonb", ([("k", 1), ("", None)], []), ('{"": null, "k": 1}', "{}"))
    add(row, pa.map_(pa.string(), pa.string()), "hstore", ([("k", None)],), ('"k"=>NULL',), types="hstore")
    add("null", pa.null(), "text", (None,), ())
    add("null", pa.run_end_encoded(pa.int32(), pa.int64()), "bigint", (7, 7, -1), ("7", "7", "-1"))
    add("null", pa.run_end_encoded(pa.int16(), pa.string()), "text", ("é", ""), ("é", ""))


def _extensions(add) -> None:
    row = "arrow.uuid"
    add(row, pa.uuid(), "uuid", (uuid.UUID(int=5).bytes,), (str(uuid.UUID(int=5)),))
    add(row, pa.json_(), "json", ('{"b":1, "a":2,"a":3}',), ('{"b":1, "a":2,"a":3}',))
    add(row, pa.json_(), "jsonb", ('{"b":1, "a":2}',), ('{"a": 2, "b": 1}',), types="jsonb")
    named = {"ADBC:postgresql:typname": "jsonb"}
    add(row, pa.json_(), "jsonb", ('{"b":1, "a":2}',), ('{"a": 2, "b": 1}',), metadata=named)
    add(row, pa.bool8(), "boolean", (1, 0, -5), ("t", "f", "t"))
    add(row, pa.bool_(), "boolean", (True, False), ("t", "f"))
    wkb = struct.pack("<BIdd", 1, 1, 1.5, -2.0)
    geo = {"ARROW:extension:name": "geoarrow.wkb", "ARROW:extension:metadata": "{}"}
    hexed = wkb.hex()
    add(row, pa.binary(), "bytea", (wkb,), ("\\x" + hexed,), metadata=geo, postgis="geometry")
    add(row, pa.opaque(pa.string(), "box", "PostgreSQL"), "box", ("(1,1),(0,0)",), ("(1,1),(0,0)",))
    add(row, pa.opaque(pa.string(), "box", "Oracle"), "text", ("(1,1),(0,0)",), ("(1,1),(0,0)",))


#: those of one table
COLUMNS = _columns()


def _faults() -> list[Fault]:
    def at(row: str, arrow: pa.DataType, value: object, message: str, **more: int) -> Fault:
        return Fault(row_of(NEW_TABLE_ROWS, row), arrow, value, message, **more)

    lists, words = pa.list_(pa.list_(pa.int32())), pa.map_(pa.string(), pa.float64())
    number = pa.struct([("a", pa.float64())])
    rounded, ranged = "would be rounded", "out of range"
    return [
        at("date32", pa.date64(), 1, rounded),
        at("time32", pa.time64("ns"), 1, rounded),
        at("timestamp", pa.timestamp("ns"), -1, rounded),
        at("timestamp", pa.timestamp("s"), 2**62, ranged),
        at("timestamp", pa.timestamp("us"), -(2**62), ranged),
        at("timestamp", pa.timestamp("ns", "UTC"), 1, rounded),
        at("duration", pa.duration("ns"), 1, rounded),
        at("duration", pa.duration("s"), 2**62, ranged),
        at("duration", pa.month_day_nano_interval(), (0, 0, 1), rounded),
        at("list", lists, [[1, 2], [3]], "is ragged", dimensions=2),
        at("list", lists, [[], []], "has an empty list inside", dimensions=2),
        at("list", lists, [[1], None], "in place of an inner list", dimensions=2),
        at("struct", words, [("k", 1.0), ("k", 2.0)], "key"),
        at("struct", words, [("k", float("nan"))], "nan cannot stand in JSON"),
        at("struct", number, {"a": float("inf")}, "inf cannot stand in JSON"),
        at("struct", pa.list_(number), [{"a": float("nan")}], "nan cannot stand in JSON"),
        at("string", pa.string(), "a\0b", "NUL"),
    ]


FAULTS = _faults()
