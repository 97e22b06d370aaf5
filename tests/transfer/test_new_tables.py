"""The types that the columns of a new table get: by default, asked for, or named by another tool."""

from __future__ import annotations

import pyarrow as pa
import pytest

import bulkio
from servers import column_types, connect, fetch

DRIVERS = ("asyncpg", "psycopg")
UNION = pa.UnionArray.from_dense(
    pa.array([0, 1, 1, 0, 1], pa.int8()),
    pa.array([0, 0, 1, 1, 2], pa.int32()),
    [pa.array([7, None]), pa.array(["x", '"y"', "z"])],
)


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_type_that_is_asked_for(dsn: str, driver: str) -> None:
    """By any name that the server knows, with its typmod."""
    with connect(dsn) as conn:
        conn.execute('CREATE SCHEMA app; CREATE TYPE app."Odd Type" AS (a int4, b varchar(5))')
    table = pa.table(
        {
            "n": pa.array([1, 2]),
            "doc": pa.array(['{"a": 1}', None], pa.json_()),
            "made": pa.array([{"a": 1, "b": "x"}, None], pa.struct([("a", pa.int32()), ("b", pa.string())])),
            "box": pa.array(["(1,1),(0,0)", None]),
            "plain": pa.array([1.5, None]),
        }
    )
    types = {"n": "numeric( 10, 2 )", "doc": "jsonb", "made": 'app."Odd Type"', "box": "box"}
    plan = bulkio.plan_load(table, "t", dsn, types=types, driver=driver)
    assert 'app"."Odd Type"' in plan.describe()
    bulkio.load(table, "t", dsn, types=types, driver=driver)
    assert column_types(dsn, "t") == {
        "n": "numeric(10,2)",
        "doc": "jsonb",
        "made": 'app."Odd Type"',
        "box": "box",
        "plain": "double precision",
    }
    assert fetch(dsn, "SELECT n::text, doc::text, (made).b, box::text FROM t WHERE n = 1") == [
        ("1.00", '{"a": 1}', "x", "(1,1),(0,0)")
    ]
    bulkio.load(table, "t", dsn, types=types, driver=driver)  # a nightly append asks again
    assert fetch(dsn, "SELECT count(*)::int FROM t") == [(4,)]


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize(
    ("types", "error", "message"),
    [
        ({"nope": "int4"}, bulkio.SchemaError, '"nope": types names it'),
        ({"n": "nosuch"}, bulkio.ConfigError, "types: .*nosuch"),
        ({"n": "int4, 1"}, bulkio.ConfigError, "types: "),
        ({"n": "int4; drop table t"}, bulkio.ConfigError, "types: "),
        ({"n": "uuid"}, bulkio.SchemaError, "Arrow's int64 does not go into uuid unchanged"),
    ],
)
def test_a_type_that_cannot_be_had(
    dsn: str, driver: str, types: dict[str, str], error: type[Exception], message: str
) -> None:
    """It says why, and nothing is made."""
    with pytest.raises(error, match=message):
        bulkio.load(pa.table({"n": [1]}), "t", dsn, types=types, driver=driver)
    assert fetch(dsn, "SELECT to_regclass('t')::text") == [(None,)]


def test_a_type_that_the_table_does_not_have(one_dsn: str) -> None:
    """A table that is there is not changed by the wish."""
    bulkio.load(pa.table({"n": [1]}), "t", one_dsn)
    with pytest.raises(bulkio.SchemaError, match='"n": the table has it as bigint, not int4'):
        bulkio.load(pa.table({"n": [1]}), "t", one_dsn, types={"n": "int4"})


def test_dimensions_of_a_column_that_is_not_there(one_dsn: str) -> None:
    """A slip of the pen is no policy."""
    with pytest.raises(bulkio.SchemaError, match='"m": dimensions names it'):
        bulkio.load(pa.table({"n": [1]}), "t", one_dsn, dimensions={"m": 2})
    bulkio.load(pa.table({"n": [1]}), "t", one_dsn)
    with pytest.raises(bulkio.SchemaError, match='"m": dimensions names it'):
        bulkio.read("t", one_dsn, dimensions={"m": 2})
    with pytest.raises(bulkio.SchemaError, match='"n": int8 is not an array'):
        bulkio.read("t", one_dsn, dimensions={"n": 2})
    with pytest.raises(bulkio.SchemaError, match='"n": int8 is not an array'):
        bulkio.load(pa.table({"n": [1]}), "t", one_dsn, dimensions={"n": 2})


def test_unions(one_dsn: str) -> None:
    """They become jsonb only when that is asked for, of every layout and slice."""
    sparse = pa.UnionArray.from_sparse(
        pa.array([0, 1, 1, 0, 1], pa.int8()),
        [pa.array([7, 0, 0, None, 0]), pa.array(["", "x", '"y"', "", "z"])],
    )
    nested = pa.StructArray.from_arrays([UNION], ["u"])
    for array in (UNION, sparse, nested):
        with pytest.raises(bulkio.SchemaError, match=r'"u": no PostgreSQL type is like Arrow\'s .*: ask .* types$'):
            bulkio.load(pa.table({"u": array}), "t", one_dsn)
    source = {"id": pa.array(range(5)), "dense": UNION, "sparse": sparse, "nested": nested}
    types = {name: "jsonb" for name in source if name != "id"}
    for start, table in ((0, "whole"), (2, "part")):
        sliced = pa.table({name: array.slice(start) for name, array in source.items()})
        bulkio.load(sliced, table, one_dsn, types=types)
        found = fetch(one_dsn, f"SELECT dense::text, sparse::text, (nested->'u')::text FROM {table} ORDER BY id")
        values = ["7", '"x"', '"\\"y\\""', None, '"z"']
        assert found == [(v, v, v or "null") for v in values[start:]]


def test_a_fault_in_a_union_names_its_row(one_dsn: str) -> None:
    """Of the union, not of its child."""
    union = pa.UnionArray.from_dense(
        pa.array([0, 1], pa.int8()), pa.array([0, 0], pa.int32()), [pa.array([1]), pa.array([float("nan")])]
    )
    with pytest.raises(bulkio.EncodeError, match='row 2, column "u": nan cannot stand in JSON'):
        bulkio.load(pa.table({"u": union}), "t", one_dsn, types={"u": "jsonb"})


def test_opaque_types_and_the_adbc_drivers_names(dsn: str) -> None:
    """What another tool has read of PostgreSQL gets the type that it names, by the search path; else the default."""
    box = pa.ExtensionArray.from_storage(pa.opaque(pa.string(), "box", "PostgreSQL"), pa.array(["(1,1),(0,0)"]))
    foreign = pa.ExtensionArray.from_storage(pa.opaque(pa.string(), "box", "Oracle"), pa.array(["(1,1),(0,0)"]))
    table = pa.table(
        [box, foreign, pa.array(["1.50"]), pa.array(["{}"]), pa.array([[1]], pa.list_(pa.int32())), pa.array(["x"])],
        pa.schema(
            [
                pa.field("box", box.type),
                pa.field("foreign", foreign.type),
                pa.field("price", pa.string(), metadata={"ADBC:postgresql:typname": "numeric"}),
                pa.field("doc", pa.string(), metadata={"ADBC:postgresql:typname": "jsonb"}),
                pa.field("list", pa.list_(pa.int32()), metadata={"ADBC:postgresql:typname": "_int4"}),
                pa.field("what", pa.string(), metadata={"ADBC:postgresql:typname": "no such type"}),
            ]
        ),
    )
    bulkio.load(table, "t", dsn)
    assert column_types(dsn, "t") == {
        "box": "box",
        "foreign": "text",
        "price": "numeric",
        "doc": "jsonb",
        "list": "integer[]",
        "what": "text",
    }


def test_parts_that_the_server_parses(dsn: str) -> None:
    """A list of strings goes into an array of any type, with that type's delimiter; a struct into any composite."""
    with connect(dsn) as conn:
        conn.execute("""
            CREATE TYPE holder AS (a int4, b box, c timestamp(0)[]);
            CREATE TABLE t (a box[], b tsvector[], c holder, d holder[])
        """)
    holder = {"a": 1, "b": "(2,2),(0,0)", "c": ["2020-01-01 00:00:00", None]}
    table = pa.table(
        {
            "a": [["(1,1),(0,0)", None], [], None],
            "b": [["'a':1 'b,c\"'"], None, []],
            "c": [holder, {"a": None, "b": None, "c": None}, None],
            "d": [[holder, None], [], None],
        }
    )
    report = bulkio.load(table, "t", dsn)
    assert report.method == "csv"
    box = "(2,2),(0,0)"
    text = f'(1,"{box}","{{""2020-01-01 00:00:00"",NULL}}")'
    assert fetch(dsn, "SELECT a::text, b::text, c::text, (d)[1]::text, array_length(d, 1) FROM t LIMIT 1") == [
        ("{(1,1),(0,0);NULL}", "{\"'a':1 'b,c\\\"'\"}", text, text, 2)
    ]
    rounded = pa.table({"c": [{"a": 1, "b": box, "c": ["2020-01-01 00:00:00.5"]}]})
    with pytest.raises(bulkio.EncodeError, match='row 1, column "c"'):
        bulkio.load(rounded, "t", dsn)
    with pytest.raises(bulkio.SchemaError, match=r"does not go into box\[\] unchanged"):
        bulkio.load(pa.table({"a": [[1]]}), "t", dsn)


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_domain_that_is_asked_for(dsn: str, driver: str) -> None:
    """It is the column's type, and its constraint holds; asked for again it is there."""
    with connect(dsn) as conn:
        conn.execute("CREATE DOMAIN posint AS int4 CHECK (VALUE > 0)")
    with pytest.raises(bulkio.DriverError, match=r"^row 2.*violates check constraint"):
        bulkio.load(pa.table({"a": [1, -1]}), "t", dsn, types={"a": "posint"}, driver=driver)
    for _ in range(2):
        bulkio.load(pa.table({"a": [1]}), "t", dsn, types={"a": "posint"}, driver=driver)
    assert column_types(dsn, "t") == {"a": "posint"}


@pytest.mark.parametrize(
    "name", ["int4 notnull", "int unsigned", 'text collate "C"', "record", "int4, 1", "setof int4"]
)
def test_text_that_is_no_type(name: str, dsn: str) -> None:
    """A type's name and no more."""
    with pytest.raises(bulkio.ConfigError, match="types: "):
        bulkio.load(pa.table({"a": [1]}), "t", dsn, types={"a": name})
    assert fetch(dsn, "SELECT to_regclass('t')::text") == [(None,)]
