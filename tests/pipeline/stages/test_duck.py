"""SQL over the stream: what goes through arrives unchanged, or is refused before the run."""

from __future__ import annotations

import asyncio
import re
import sys
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from stage import apply

import bulkio
from bulkio.pipeline import stages as p
from older_pyarrow import needs_pyarrow
from servers import fetch

if TYPE_CHECKING:
    from pathlib import Path

WIDE = [0, 1, -1, 2**63 - 1, -(2**63), -(2**63) + 1, None]
NARROW = [0, 1, -1, 2**31 - 1, -(2**31), -(2**31) + 1, None]
#: what pyarrow does since 19
KNOWS_JSON = "hands JSON to DuckDB and takes it back"
NAN, INF = float("nan"), float("inf")


def stored(kind: pa.DataType, values: list[object], storage: pa.DataType) -> pa.Array:
    """Return values of a type by what it holds inside."""
    array = pa.array(values, storage)
    return pa.ExtensionArray.from_storage(kind, array) if isinstance(kind, pa.ExtensionType) else array.view(kind)


UUIDS = stored(pa.uuid(), [b"\0" * 16, b"\xff" * 16, bytes(range(16)), None], pa.binary(16))
JSON = stored(pa.json_(), ['{"a": 1.0, "a": 2}', "[1,  2]", '"x"', None], pa.string())
#: what DuckDB hands on with the same type
EXACT = [
    pa.array([True, False, None]),
    pa.nulls(3),
    *(pa.array([0, 1, None], kind) for kind in (pa.int8(), pa.uint8(), pa.int16(), pa.uint16(), pa.uint32())),
    pa.array(NARROW, pa.int32()),
    pa.array(WIDE, pa.int64()),
    pa.array([0, 2**64 - 1, None], pa.uint64()),
    pa.array([0.0, -0.0, NAN, INF, -INF, 1e-45, 3.4e38, None], pa.float32()),
    pa.array([0.0, -0.0, NAN, INF, -INF, 5e-324, 1.7e308, None]),
    pa.array(["", "a\0b", "ü", "x" * 1000, None]),
    pa.array([b"", b"\0\xff", None]),
    stored(pa.date32(), NARROW, pa.int32()),
    *(stored(pa.timestamp(unit), WIDE, pa.int64()) for unit in ("s", "ms", "us", "ns")),
    *(stored(pa.timestamp(unit, "UTC"), WIDE, pa.int64()) for unit in ("us", "ns")),
    stored(pa.time64("us"), [0, 86_399_999_999, 86_400_000_000, None], pa.int64()),
    stored(pa.time64("ns"), [0, 1, 86_399_999_999_999, None], pa.int64()),
    *(
        pa.array([Decimal((0, (9,) * digits, -scale)), Decimal((1, (1,), -scale)), None], pa.decimal128(digits, scale))
        for digits, scale in ((1, 0), (4, 2), (9, 9), (18, 3), (38, 0), (38, 10), (38, 38))
    ),
    pa.array([[1, None], [], None]),
    pa.array([[True, None], [], None]),
    pa.array([[[1], None], [], None]),
    pa.array([[1, 2], None], pa.list_(pa.int64(), 2)),
    pa.array([{"a": 1, "b": "x"}, {"a": None, "b": None}, None]),
    pa.array([{"a": True}, None]),
    pa.array([[("k", True)], [], None], pa.map_(pa.string(), pa.bool_())),
    UUIDS,
    pa.ListArray.from_arrays([0, 2, 2, 4], UUIDS),
]
#: what comes out in its plain layout, with the same values
LAYOUTS = [
    (pa.array(["", "x" * 50, None], pa.large_string()), pa.string()),
    (pa.array(["", "x" * 50, None], pa.string_view()), pa.string()),
    (pa.array([b"", b"\0", None], pa.large_binary()), pa.binary()),
    (pa.array([b"", b"x" * 50, None], pa.binary_view()), pa.binary()),
    (pa.array(["a", "b", None, "a"]).dictionary_encode(), pa.string()),
    (pa.array([7, None, 7]).dictionary_encode(), pa.int64()),
    (pa.array([[1], None], pa.large_list(pa.int64())), pa.list_(pa.int64())),
    (pa.array([[1], None], pa.list_view(pa.int64())), pa.list_(pa.int64())),
    (pa.array([["a"], None], pa.list_(pa.large_string())), pa.list_(pa.string())),
]
#: what DuckDB would change, or lacks
REFUSED = [
    pa.float16(),
    pa.binary(3),
    pa.date64(),
    pa.time32("s"),
    pa.time32("ms"),
    pa.timestamp("s", "UTC"),
    pa.timestamp("ms", "UTC"),
    pa.timestamp("us", "Europe/Berlin"),
    pa.timestamp("us", "+01:00"),
    *map(pa.duration, ("s", "ms", "us", "ns")),
    pa.month_day_nano_interval(),
    pa.list_(pa.month_day_nano_interval()),
    pa.decimal256(38, 1),
    pa.decimal256(50, 1),
    pa.decimal128(5, -2),
    pa.opaque(pa.string(), "inet", "postgresql"),
    pa.struct([("a", pa.struct([("b", pa.duration("us"))]))]),
    pa.map_(pa.string(), pa.binary(2)),
    pa.dictionary(pa.int8(), pa.time32("s")),
]


def bits(values: pa.ChunkedArray | pa.Array) -> object:
    """Return the values as they lie in memory: NaN, -0.0 and what Python's types do not reach included."""
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    if isinstance(values, pa.ExtensionArray):
        return bits(values.storage)
    if pa.types.is_nested(values.type):
        return values.to_pylist()
    return [
        None if not each.is_valid else each.value if hasattr(each, "value") else repr(each.as_py()) for each in values
    ]


@pytest.mark.parametrize("values", EXACT, ids=lambda each: str(each.type))
def test_types_that_arrive_exactly(values: pa.Array) -> None:
    """Type and bits of each value are the same."""
    made = apply(p.sql("select * from input"), pa.table({"c": values}))
    assert made.schema.field(0).type == values.type
    assert bits(made.column(0)) == bits(values)


@pytest.mark.parametrize(
    "values", [JSON, pa.StructArray.from_arrays([JSON, UUIDS], ["json", "uuid"])], ids=["json", "struct"]
)
def test_json_arrives_exactly(values: pa.Array) -> None:
    """Its text is as it was."""
    needs_pyarrow(19, KNOWS_JSON)
    test_types_that_arrive_exactly(values)


@pytest.mark.parametrize(("values", "plain"), LAYOUTS, ids=lambda each: str(getattr(each, "type", "")))
def test_layouts_become_plain(values: pa.Array, plain: pa.DataType) -> None:
    """A dictionary, a view, a large string: the same values as their plain type."""
    made = apply(p.sql("select * from input"), pa.table({"c": values}))
    assert made.schema.field(0).type == plain
    assert made.column(0).to_pylist() == values.to_pylist()


@pytest.mark.parametrize("kind", REFUSED, ids=str)
def test_types_that_would_change_are_refused(kind: pa.DataType) -> None:
    """Before the run, with what to do."""
    schema = pa.schema([("id", pa.int64()), ("c", kind)])
    with pytest.raises(bulkio.SchemaError, match=r'column "c" is .*cast it ahead of the SQL, or drop it') as caught:
        p.sql("select id from input").plan(schema)
    assert caught.value.columns == ("c",)


@pytest.mark.parametrize("names", [["a", "A"], ["id", ""]])
def test_names_that_duckdb_would_change_are_refused(names: list[str]) -> None:
    """To DuckDB, names that differ only in case are the same."""
    schema = pa.schema([(name, pa.int64()) for name in names])
    with pytest.raises(
        bulkio.SchemaError, match=r"DuckDB would call column .*: rename it ahead of the SQL, or drop it"
    ):
        p.sql("select * from input").plan(schema)


def test_every_refused_column_is_named() -> None:
    """All at once."""
    schema = pa.schema([("a", pa.float16()), ("b", pa.int8()), ("c", pa.duration("us"))])
    message = (
        'column "a" is halffloat, which DuckDB does not have; column "c" is duration[us], which DuckDB keeps as'
        " an interval in microseconds: cast it ahead of the SQL, or drop it"
    )
    with pytest.raises(bulkio.SchemaError, match=f"^{re.escape(message)}$"):
        p.sql("select b from input").plan(schema)


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("select sum(id) from input", pa.decimal128(38, 0), Decimal(6)),
        ("select count(*) from input", pa.int64(), 3),
        ("select max(id)::uhugeint from input", pa.decimal128(38, 0), Decimal(3)),
        ("select avg(id) from input", pa.float64(), 2.0),
        ("select max(id) > 1 from input", pa.bool_(), True),
        ("select 'a'::enum('a', 'b') from input limit 1", pa.string(), "a"),
        ("select list(id order by id) from input", pa.list_(pa.int64()), [1, 2, 3]),
        ("select 1.50 from input limit 1", pa.decimal128(3, 2), Decimal("1.50")),
        ("select '2026-01-02 03:04:05+01'::timestamptz from input limit 1", pa.timestamp("us", "UTC"), None),
    ],
)
def test_what_the_sql_computes(text: str, kind: pa.DataType, value: object) -> None:
    """Types that DuckDB alone has become those that Arrow and PostgreSQL have."""
    made = apply(p.sql(text), pa.table({"id": [1, 2, 3]}))
    assert made.schema.field(0).type == kind
    assert value is None or made.column(0).to_pylist() == [value]


def test_a_sum_that_is_too_wide() -> None:
    """More than 38 digits are an error, not another number."""
    sql = p.sql("select sum(n) as n from input")
    with pytest.raises(bulkio.StageError, match=r"stage 2 \(sql\): .*Conversion Error"):
        apply(p.sql("select 170141183460469231731687303715884105727::hugeint as n from input"), pa.table({"n": [1]}))
    assert apply(sql, pa.table({"n": [2**63 - 1] * 4})).column(0).to_pylist() == [Decimal(2**65 - 4)]


def test_names_of_the_result_are_kept() -> None:
    """Odd names too, and where wide numbers are narrowed."""
    made = apply(p.sql('select sum(id) as "a ""b""", 1 as "select", sum(id) from input -- end'), pa.table({"id": [1]}))
    assert made.schema.names == ['a "b"', "select", "sum(id)"]


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("select x from input", bulkio.ConfigError, "DuckDB: Binder Error: .*x"),
        ("selec id from input", bulkio.ConfigError, "DuckDB: Parser Error: syntax error"),
        ("select id from inputs", bulkio.ConfigError, "DuckDB: Catalog Error: Table with name inputs does not exist"),
        ("create table t as select * from input", bulkio.ConfigError, "the SQL of a stage is one SELECT"),
        ("select 1; select 2", bulkio.ConfigError, "the SQL of a stage is one SELECT"),
        ("", bulkio.ConfigError, "the SQL of a stage is one SELECT"),
        ("select * from input a join input b using (id)", bulkio.ConfigError, "the SQL reads input more than once"),
        (
            "select '12:00:00+01'::timetz as t from input",
            bulkio.SchemaError,
            'column "t" of the result is DuckDB\'s TIME WI',
        ),
        ("select '101'::bit as b from input", bulkio.SchemaError, 'column "b" of the result is DuckDB\'s BIT'),
        (
            "select union_value(a := 1) as u from input",
            bulkio.SchemaError,
            'column "u" of the result is DuckDB\'s UNION',
        ),
        ("select [1::hugeint] as l from input", bulkio.SchemaError, 'column "l" of the result is DuckDB\'s HUGEINT'),
    ],
)
def test_sql_that_cannot_run(text: str, error: type[Exception], message: str) -> None:
    """It is refused before the run."""
    with pytest.raises(error, match=message):
        p.sql(text).plan(pa.schema([("id", pa.int64())]))


def test_the_stream_can_be_read_twice_from_a_materialized_table() -> None:
    """As the message says."""
    text = "with rows as materialized (select * from input) select a.id from rows a join rows b using (id)"
    assert apply(p.sql(text), pa.table({"id": [1, 2]})).num_rows == 2


def test_an_error_at_the_run_names_the_stage() -> None:
    """What DuckDB says, in one line."""
    with pytest.raises(bulkio.StageError, match=r"^stage 2 \(sql\): Conversion Error: Could not convert string 'x' to"):
        apply(p.sql("select t::int as n from input"), pa.table({"t": ["1", "x"]}))


def test_an_error_of_the_stage_ahead_stays_what_it_is() -> None:
    """DuckDB would make a text of it."""

    class MyError(Exception):
        pass

    def fails() -> object:
        yield pa.record_batch({"id": [1]})
        raise MyError

    work = p.sql("select * from input").plan(pa.schema([("id", pa.int64())]))
    with pytest.raises(MyError):
        list(work.apply(fails(), p.Place(2, "sql")))


def test_variables_of_python_are_not_tables() -> None:
    """Nor are files beside: DuckDB would read a variable of that name."""
    orders = pa.table({"id": [1]})
    with pytest.raises(bulkio.ConfigError, match="Table with name orders does not exist"):
        p.sql("select * from orders").plan(orders.schema)


def test_temporary_files_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not fit into memory_limit is on disk, until the end."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    numbers = pa.table({"id": pa.array(range(400_000)), "text": [f"{each:040}" for each in range(400_000)]})
    made = apply(p.sql("select * from input order by text desc", memory_limit="40MB"), numbers, batch_rows=16384)
    assert made.column("id")[0].as_py() == 399_999
    assert list(tmp_path.iterdir()) == []


def test_a_bad_memory_limit() -> None:
    """DuckDB's own words."""
    with pytest.raises(bulkio.ConfigError, match=r"DuckDB refuses its settings: .*Memory must"):
        p.sql("select 1 as a from input", memory_limit="much").plan(pa.schema([("id", pa.int64())]))


def test_without_duckdb(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says what to install."""
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(
        bulkio.ConfigError, match=re.escape("SQL over a stream needs DuckDB: pip install 'bulkio[duckdb]'")
    ):
        p.sql("select * from input").plan(pa.schema([("id", pa.int64())]))


ALL_TYPES = """
SELECT i AS id, i::int2 AS small, i * 1000000007::int8 AS big, i / 7.0::float8 AS real,
  (i * 1.10)::numeric(20,4) AS num,
  'é' || i AS text, i % 2 = 0 AS flag, ('{"n": ' || i || '.0}')::json AS js, jsonb_build_object('n', i) AS jb,
  md5(i::text)::uuid AS uid, '\\x00ff'::bytea AS bin, date '2000-01-01' + i AS day,
  time '00:00' + i * interval '1 s' AS clock,
  timestamp '2000-01-01' + i * interval '1 us' AS at, timestamptz '2000-01-01 00:00+05' + i * interval '1 us' AS atz,
  ARRAY[i, NULL] AS list, NULL::int4 AS nothing
FROM generate_series(1, 20000) i
"""


def test_a_projection_of_postgresql_s_types(dsn: str) -> None:
    """What goes through SQL that changes nothing is, in PostgreSQL, what it was."""
    needs_pyarrow(19, KNOWS_JSON)
    sinks = p.to_table("t", dsn, mode="create"), p.to_table("u", dsn, mode="create")
    asyncio.run(p.Pipeline(p.query(ALL_TYPES, dsn), p.sql("select * from input"), sinks[0]).run())
    asyncio.run(p.Pipeline(p.query(ALL_TYPES, dsn), sinks[1]).run())
    columns = "SELECT attname, atttypid::regtype::text FROM pg_attribute WHERE attrelid = '{}'::regclass AND attnum > 0"
    assert fetch(dsn, columns.format("t")) == fetch(dsn, columns.format("u"))
    rows = "SELECT md5(string_agg(t::text, ',' ORDER BY id)), count(*) FROM {} t"
    assert fetch(dsn, rows.format("t")) == fetch(dsn, rows.format("u")) == fetch(dsn, rows.format(f"({ALL_TYPES})"))


RECORDED = pa.schema(
    [
        pa.field("id", pa.int32(), nullable=False, metadata={"pg": "int4"}),
        pa.field("Doc", pa.string(), metadata={"pg": "jsonb"}),
        pa.field("kind", pa.dictionary(pa.int32(), pa.string()), metadata={"pg": "kind"}),
    ]
)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("select * from input", ["id", "Doc", "kind"]),
        ("from input", ["id", "Doc", "kind"]),
        ("select kind, doc, id from input where id > 1 order by id limit 3", ["kind", "Doc", "id"]),
        ("select id as x, upper(kind) as kind from input", ["id", None]),
        ("select id::int as id, kind || '' as kind from input", [None, None]),
        ("select * exclude (doc) replace (lower(kind) as kind) from input", ["id", None]),
        ("select * rename (id as no), id from input", ["id", "Doc", "kind", "id"]),
        ("select distinct id from input", ["id"]),
        ("select columns('i.*') from input", [None, None]),
        ("select id from input group by id", [None]),
        ("select id from input union all select 1", [None]),
        ("select id from (select id + 1 as id from input)", [None]),
        ("with input as (select 1 as id) select id from input", [None]),
        ("select id from input as t(kind, id)", [None]),
    ],
)
def test_what_was_recorded_of_a_column(text: str, kept: list[str | None]) -> None:
    """A column that is only handed on keeps its record, such as its type in PostgreSQL."""
    schema = p.sql(text).plan(RECORDED).schema
    assert [field.metadata for field in schema] == [
        None if name is None else RECORDED.field(name).metadata for name in kept
    ]
    assert [field.nullable for field in schema] == [name != "id" for name in kept]


def test_rows_stay_in_order() -> None:
    """A projection hands the rows on as they come."""
    numbers = pa.table({"id": pa.array(range(300_000))})
    made = apply(p.sql("select id, id * 2 as two from input where id % 3 <> 0"), numbers, batch_rows=5000)
    assert made.column("id").to_pylist() == [each for each in range(300_000) if each % 3]


def test_times_are_utc() -> None:
    """Whatever the machine's zone is."""
    at = pa.table({"t": pa.array([datetime(2026, 7, 1, 12, tzinfo=UTC)])})
    assert apply(p.sql("select t::text as h from input"), at).column(0).to_pylist() == ["2026-07-01 12:00:00+00"]
