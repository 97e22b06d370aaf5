"""The golden streams: their SQL and the Arrow values that are the same; golden.txt has the bytes, from real servers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from bulkio.types import array_of, base_type
from pgcopy import codec_build as arrays
from pgcopy import codec_cases as cases

#: Blocks of three lines: the SQL, the stream's bytes in hex, an empty line.
FILE = Path(__file__).with_name("golden.txt")


@dataclass(frozen=True)
class Golden:
    """A query whose rows have one column, and the same rows as Arrow values (in the terms of the case)."""

    sql: str
    case: cases.Case
    rows: tuple[Any, ...]


def _flat(sql: str, arrow: pa.DataType, name: str, *rows: object, typmod: int = -1) -> Golden:
    case = cases.find(arrow, name)
    return Golden(sql, replace(case, pg=base_type(name, typmod)), rows)


def _list(sql: str, arrow: pa.DataType, name: str, *rows: object, typmod: int = -1) -> Golden:
    case = cases.find(arrow, name)
    pg = array_of(base_type(name, typmod))
    return Golden(sql, replace(case, arrow=pa.list_(arrow), pg=pg, layout=arrays.LIST_LAYOUTS[0]), rows)


def _rows(expression: str, *literals: str) -> str:
    """Select several rows in order; `expression` holds a v for each literal."""
    values = ", ".join(f"({n}, {literal})" for n, literal in enumerate(literals))
    return f"SELECT {expression} FROM (VALUES {values}) AS t (n, v) ORDER BY n"


_typmod = cases.numeric_typmod
_DAY_US = 86_400_000_000

GOLDEN = (
    _flat("SELECT 1::int4 WHERE false", pa.int32(), "int4"),
    _flat(_rows("v::bool", "true", "false", "NULL"), pa.bool_(), "bool", True, False, None),
    _flat(_rows("v::int2", "-32768", "NULL", "32767"), pa.int16(), "int2", -32768, None, 32767),
    _flat(_rows("v::int4", "-2147483648", "1", "2147483647"), pa.int32(), "int4", -(1 << 31), 1, (1 << 31) - 1),
    _flat(
        _rows("v::int8", "'-9223372036854775808'", "'9223372036854775807'"),
        *(pa.int64(), "int8", -(1 << 63), (1 << 63) - 1),
    ),
    _flat(
        _rows("v::float4", "'-0'", "'1.5'", "'1e-45'", "'NaN'", "'Infinity'", "NULL"),
        *(pa.float32(), "float4", 1 << 31, 0x3FC00000, 1, 0x7FC00000, 0x7F800000, None),
    ),
    _flat(
        _rows("v::float8", "'-0'", "'0.1'", "'5e-324'", "'NaN'", "'-Infinity'"),
        *(pa.float64(), "float8", 1 << 63, 0x3FB999999999999A, 1, 0x7FF8000000000000, 0xFFF0000000000000),
    ),
    _flat(
        _rows("v::numeric(15,2)", "'12.30'", "'0'", "'-0.01'", "'10000'", "'9999.99'", "'100000000.00'", "NULL"),
        *(pa.decimal128(15, 2), "numeric", 1230, 0, -1, 1000000, 999999, 10000000000, None),
        typmod=_typmod(15, 2),
    ),
    _flat(
        _rows("v::numeric(38,38)", "'0." + "9" * 38 + "'", "'0." + "0" * 37 + "1'"),
        *(pa.decimal128(38, 38), "numeric", 10**38 - 1, 1),
        typmod=_typmod(38, 38),
    ),
    _flat(
        _rows("v::numeric(76,0)", "'" + "9" * 76 + "'", "'-" + "1" + "0" * 75 + "'", "'10001'"),
        *(pa.decimal256(76, 0), "numeric", 10**76 - 1, -(10**75), 10001),
        typmod=_typmod(76, 0),
    ),
    _flat(
        _rows("v::numeric(5,-2)", "'1200'", "'-99900'", "'0'", "'10000'"),
        *(pa.decimal32(5, 0), "numeric", 1200, -99900, 0, 10000),
        typmod=_typmod(5, -2),
    ),
    _flat(
        _rows(
            "v::numeric",
            "'12.300'",
            "'NaN'",
            "'Infinity'",
            "'-Infinity'",
            "'1e-20'",
            "'123456789012345678901234567890'",
        ),
        *(pa.string(), "numeric", "12.300", "NaN", "Infinity", "-Infinity", "1e-20", "123456789012345678901234567890"),
    ),
    _flat(
        _rows("v::text", "''", "'naïve'", "E'\\t\\\\N\\n'", "NULL", "'𝄞'"),
        *(pa.string(), "text", "", "naïve", "\t\\N\n", None, "𝄞"),
    ),
    _flat(_rows("v::varchar(5)", "'abc'", "'éééé '"), pa.string_view(), "varchar", "abc", "éééé ", typmod=9),
    _flat(_rows("v::char(5)", "'abc'", "''"), pa.large_string(), "bpchar", "abc  ", "     ", typmod=9),
    _flat(_rows("v::name", "'pg_class'"), pa.string(), "name", "pg_class"),
    _flat(
        _rows("v::bytea", "'\\x'", "'\\x00ff5c'", "NULL"),
        *(pa.binary(), "bytea", b"", b"\0\xff\\", None),
    ),
    _flat(
        _rows("v::uuid", "'00010203-0405-0607-0809-0a0b0c0d0e0f'", "NULL"),
        *(pa.uuid(), "uuid", bytes(range(16)), None),
    ),
    _flat(_rows("v::json", "' {\"a\" : 1}'", "'null'"), pa.json_(), "json", ' {"a" : 1}', "null"),
    _flat(
        _rows("v::jsonb", '\'{"bb": 1, "a": [1.50, "é"]}\'', "'null'"),
        *(pa.json_(), "jsonb", '{"a": [1.50, "é"], "bb": 1}', "null"),
    ),
    _flat(
        _rows(
            "v::date", "'1970-01-01'", "'2000-02-29'", "'0001-12-31 BC'", "'4714-11-24 BC'", "'5874897-12-31'", "NULL"
        ),
        *(pa.date32(), "date", 0, 11016, -719163, cases.DATE_FIRST, cases.DATE_LAST, None),
    ),
    _flat(
        _rows("v::time", "'00:00'", "'23:59:59.999999'", "'12:34:56.789'"),
        *(pa.time64("us"), "time", 0, _DAY_US - 1, 45_296_789_000),
    ),
    _flat(
        _rows(
            "v::timestamp", "'1969-12-31 23:59:59.999999'", "'4714-11-24 BC'", "'294247-01-10 04:00:54.775806'", "NULL"
        ),
        *(pa.timestamp("us"), "timestamp", -1, cases.INSTANT_FIRST, cases.INSTANT_LAST, None),
    ),
    _flat(
        _rows("v::timestamptz", "'2000-01-01 00:00:00+00'", "'2024-03-31 02:30:00.5+02'"),
        *(pa.timestamp("us", "UTC"), "timestamptz", 946_684_800_000_000, 1_711_845_000_500_000),
    ),
    _list(_rows("v::int4[]", "'{1,NULL,-3}'", "'{}'", "NULL"), pa.int32(), "int4", [1, None, -3], [], None),
    _list(_rows("v::text[]", '\'{"",NULL,"a,b"}\''), pa.string(), "text", ["", None, "a,b"]),
    _list(
        _rows("v::numeric(15,2)[]", "'{12.30,0.00}'"),
        *(pa.decimal128(15, 2), "numeric", [1230, 0]),
        typmod=_typmod(15, 2),
    ),
    _list(_rows("v::bool[]", "'{t,f,NULL}'"), pa.bool_(), "bool", [True, False, None]),
    _list(_rows("v::uuid[]", "'{00010203-0405-0607-0809-0a0b0c0d0e0f}'"), pa.uuid(), "uuid", [bytes(range(16))]),
    _list(_rows("v::timestamp[]", "'{1970-01-01 00:00:01}'"), pa.timestamp("us"), "timestamp", [1_000_000]),
    _list(_rows("v::jsonb[]", "'{\"[1, 2]\"}'"), pa.json_(), "jsonb", ["[1, 2]"]),
    _list(_rows("v::date[]", "'{2000-01-01}'"), pa.date32(), "date", [10957]),
    _list(_rows("v::bytea[]", "E'{\"\\\\\\\\x00ff\"}'"), pa.binary(), "bytea", [b"\0\xff"]),
)


def read_file() -> dict[str, bytes]:
    """Return the streams of golden.txt by their SQL."""
    blocks = [block.splitlines() for block in FILE.read_text().split("\n\n") if not block.startswith("--")]
    return {sql: bytes.fromhex(stream) for sql, stream in (block for block in blocks if block)}
