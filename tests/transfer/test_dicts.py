"""Rows that are dicts: their keys are the columns, the target's types are what counts, and no value is changed."""

from __future__ import annotations

from collections import OrderedDict
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import numpy as np
import pandas as pd
import pytest

import bulkio
from servers import connect, fetch

EAST = timezone(timedelta(hours=5, minutes=30))
DAY = datetime(2026, 1, 2, 3, 4, 5, 6)


def stored(dsn: str, pg_type: str, values: list[object], **options: object) -> list[str | None]:
    """Load values into a column of a type; return what is stored, as the server shows it."""
    with connect(dsn) as conn:
        conn.execute(f"CREATE TABLE typed (n serial, v {pg_type})")
    bulkio.load([{"v": value} for value in values], "typed", dsn, **options)
    return [text for (text,) in fetch(dsn, "SELECT v::text FROM typed ORDER BY n")]


def test_the_union_of_the_keys(dsn: str) -> None:
    """A key that the first row lacks is a column all the same; one that a row lacks is NULL there."""
    rows = [{"b": 1}, OrderedDict(a="x", b=2), {"c": True}]
    assert bulkio.load(rows, "t", dsn).rows == 3
    assert bulkio.read("t", dsn).read_all().to_pylist() == [
        {"b": 1, "a": None, "c": None},
        {"b": 2, "a": "x", "c": None},
        {"b": None, "a": None, "c": True},
    ]
    assert bulkio.load(rows, "t", dsn, batch_rows=1, columns=["c", "a"]).rows == 3


@pytest.mark.parametrize(
    ("pg_type", "values", "texts"),
    [
        ("int2", [1, None, np.int64(3)], ["1", None, "3"]),
        ("int8", ["1", "22"], ["1", "22"]),
        (
            "numeric",
            [1, Decimal("1.50"), Decimal("1E+3"), 2**90, Decimal("NaN")],
            ["1", "1.50", "1000", str(2**90), "NaN"],
        ),
        ("numeric(6,2)", [Decimal("1.5"), 3], ["1.50", "3.00"]),
        ("money", [Decimal("1.5"), 3], ["$1.50", "$3.00"]),
        ("float8", [1, 0.1, np.float32(0.5)], ["1", "0.1", "0.5"]),
        ("text", ["a", "", None], ["a", "", None]),
        ("bytea", [b"\0", bytearray(b"x"), memoryview(b"y")], ["\\x00", "\\x78", "\\x79"]),
        ("date", [date(2026, 1, 2)], ["2026-01-02"]),
        ("date", ["2026-01-02"], ["2026-01-02"]),
        ("time", [time(1, 2, 3, 4)], ["01:02:03.000004"]),
        ("timetz", [time(1, tzinfo=EAST)], ["01:00:00+05:30"]),
        ("timestamp", [DAY], ["2026-01-02 03:04:05.000006"]),
        ("timestamptz", [DAY.replace(tzinfo=EAST), DAY.replace(tzinfo=UTC)], None),
        ("interval", [timedelta(days=1, seconds=2)], ["1 day 00:00:02"]),
        ("uuid", [UUID(int=7), None], [str(UUID(int=7)), None]),
        ("jsonb", [{"a": [1, None, "é"]}, [True], '"text"', 1.5], ['{"a": [1, null, "é"]}', "[true]", '"text"', "1.5"]),
        ("int4[]", [[1, None], (), None], ["{1,NULL}", "{}", None]),
        ("uuid[]", [[UUID(int=7)]], [f"{{{UUID(int=7)}}}"]),
        ("numeric[]", [[Decimal("1.50"), 2]], ["{1.50,2}"]),
        ("pair", [{"a": 1, "b": "x"}, {"b": "y"}], ["(1,x)", "(,y)"]),
        ("mood", ["sad", None], ["sad", None]),
        ("inet", ["10.0.0.1"], ["10.0.0.1/32"]),
        ("text", [None, None], [None, None]),
    ],
)
def test_the_target_s_types(dsn: str, pg_type: str, values: list[object], texts: list[str] | None) -> None:
    """A value goes into the column as it is, whatever other values of the column are."""
    with connect(dsn) as conn:
        conn.execute("CREATE TYPE pair AS (a int, b text)")
        conn.execute("CREATE TYPE mood AS ENUM ('sad', 'glad')")
    found = stored(dsn, pg_type, values)
    if texts is None:
        assert bulkio.read("typed", dsn).read_all()["v"].to_pylist() == values
    else:
        assert found == texts


@pytest.mark.parametrize(
    ("pg_type", "values", "message"),
    [
        ("int4", [1, "x"], r'^row 2, column "v": \'x\' \(str\) does not go into int4, although other values do$'),
        ("int4", [1, True], r'^row 2, column "v": True \(bool\) does not go into int4'),
        ("int4", [1, 2**40], r'^row 2, column "v": 1099511627776 is out of range for int4'),
        ("int8", [1, 2**70], r'^row 2, column "v": 1180591620717411303424 \(int\) does not go into'),
        ("int4", [1, 1.5], r'^row 2, column "v": 1.5 \(float\) does not go into int4'),
        ("date", [date(2026, 1, 2), DAY], r'^row 2, column "v": .* \(datetime\) does not go into date'),
        ("timestamp", [DAY, DAY.replace(tzinfo=EAST)], r'^row 2, column "v": .* does not go into timestamp'),
        ("timestamptz", [DAY.replace(tzinfo=EAST), DAY], r'^row 2, column "v": .* does not go into timestamptz'),
        ("jsonb", [{"a": 1}, {1: 2}], r'^row 2, column "v": .*'),
        ("float8", [0.5, 2**60 + 1], r'^row 2, column "v": 1152921504606846977 \(int\) does not go into'),
        ("text", ["a", b"a"], r'^row 2, column "v": .* \(bytes\) does not go into text'),
        ("int4", [1, object], r'^row 2, column "v": .* does not go into int4'),
        ("timestamp", [DAY, pd.Timestamp(1)], r'^row 2, column "v": .* \(Timestamp\) does not go into timestamp'),
        ("int8", [1, np.datetime64(1, "ns")], r'^row 2, column "v": .* \(datetime64\) does not go into int8'),
        ("int4[]", [[1], [True]], r'^row 2, column "v": .* does not go into'),
    ],
)
def test_a_value_that_does_not_fit(one_dsn: str, pg_type: str, values: list[object], message: str) -> None:
    """It is an error with its row and key; nothing is stored."""
    with pytest.raises(bulkio.EncodeError, match=message):
        stored(one_dsn, pg_type, values)
    assert fetch(one_dsn, "SELECT count(*) FROM typed") == [(0,)]


@pytest.mark.parametrize(
    ("pg_type", "value"),
    [("date", DAY), ("timestamp", DAY.replace(tzinfo=EAST)), ("timestamptz", DAY), ("text", 1), ("pair", {"z": 1})],
)
def test_a_column_that_does_not_fit(one_dsn: str, pg_type: str, value: object) -> None:
    """Where all values are of another type, it is the column that does not fit."""
    with connect(one_dsn) as conn:
        conn.execute("CREATE TYPE pair AS (a int, b text)")
    with pytest.raises((bulkio.SchemaError, bulkio.EncodeError)):
        stored(one_dsn, pg_type, [value])
    assert fetch(one_dsn, "SELECT count(*) FROM typed") == [(0,)]


def test_a_new_table(dsn: str) -> None:
    """Its types are those of the values; dicts are JSON, so that none of their keys is lost."""
    row = {
        "b": True,
        "i": 1,
        "f": 0.5,
        "d": Decimal("1.25"),
        "t": "x",
        "y": b"x",
        "day": date(2026, 1, 2),
        "ts": DAY,
        "tz": DAY.replace(tzinfo=UTC),
        "at": time(1),
        "u": UUID(int=7),
        "j": {"a": 1},
        "l": [1, 2],
        "m": [{"a": 1}, {"b": 2}],
    }
    bulkio.load([{}, row, {"j": {"b": 2}}], "t", dsn)
    types = fetch(
        dsn,
        "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute"
        " WHERE attrelid = 't'::regclass AND attnum > 0 ORDER BY attnum",
    )
    assert types == [
        ("b", "boolean"),
        ("i", "bigint"),
        ("f", "double precision"),
        ("d", "numeric(3,2)"),
        ("t", "text"),
        ("y", "bytea"),
        ("day", "date"),
        ("ts", "timestamp without time zone"),
        ("tz", "timestamp with time zone"),
        ("at", "time without time zone"),
        ("u", "uuid"),
        ("j", types[11][1]),
        ("l", "bigint[]"),
        ("m", types[13][1]),
    ]
    assert {types[11][1], types[13][1]} <= {"json", "jsonb"}
    assert fetch(dsn, "SELECT j::jsonb::text, m::jsonb::text FROM t ORDER BY 1") == [
        ('{"a": 1}', '[{"a": 1}, {"b": 2}]'),
        ('{"b": 2}', None),
        (None, None),
    ]


def test_a_new_table_whose_types_are_asked_for(one_dsn: str) -> None:
    """Then the values are of these types, and may be of several of Python's."""
    bulkio.load([{"n": 1, "j": 2}, {"n": Decimal("1.50")}], "t", one_dsn, types={"n": "numeric", "j": "jsonb"})
    assert fetch(one_dsn, "SELECT n::text, j::text FROM t ORDER BY n") == [("1", "2"), ("1.50", None)]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"a": 1}, {"a": "x"}], r'^row 2, column "a": \'x\' \(str\) is of another type than 1 \(int\) in row 1'),
        ([{"a": 1}, {"a": 1.5}], r'^row 2, column "a": 1.5 \(float\) is of another type'),
        ([{"a": 1}, {"a": None}, {"a": True}], r'^row 3, column "a": True \(bool\) is of another type'),
        ([{"a": 1}, [2]], "^row 2: it is of type list, not a dict"),
        ([{"a": 1}, {2: 3}], "^row 2: the key 2 is of type int: keys are names of columns"),
        ([{"a": np.datetime64(1, "ns")}], r'^row 1, column "a": .* \(datetime64\) is of a type that no column holds'),
        (
            [{"a": DAY}, {"a": pd.Timestamp(1)}],
            r'^row 2, column "a": .* \(Timestamp\) is of a type that no column holds',
        ),
        ([{"a": {1: 2}}], r'^row 1, column "a": .* has the key 1, and JSON'),
        ([{"a": {"b": float("nan")}}], r'^row 1, column "a": .* is not JSON'),
    ],
)
def test_rows_that_are_wrong(one_dsn: str, rows: list[object], message: str) -> None:
    """The error names row and key, and no table is made."""
    with pytest.raises(bulkio.EncodeError, match=message):
        bulkio.load(rows, "t", one_dsn)
    assert fetch(one_dsn, "SELECT to_regclass('t')::text") == [(None,)]


def test_a_plan_of_dicts_and_a_second_load(one_dsn: str) -> None:
    """A list may be planned and loaded again: it is not used up."""
    rows = [{"a": 1}]
    assert "int8" in bulkio.plan_load(rows, "t", one_dsn).describe()
    assert [bulkio.load(rows, "t", one_dsn, method=method).rows for method in ("binary", "csv", "records")] == [1, 1, 1]


def test_columns_that_are_unknown(one_dsn: str) -> None:
    """As with any other source."""
    with pytest.raises(bulkio.SchemaError, match="a list of dicts: has no column b"):
        bulkio.load([{"a": 1}], "t", one_dsn, columns=["b"])
