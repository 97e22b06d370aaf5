"""The types that the columns of a new table get: by default, asked for, recorded by an export, or by another tool."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

import bulkio
from servers import connect

if TYPE_CHECKING:
    from pathlib import Path

    from servers import TestServer

DRIVERS = ("asyncpg", "psycopg")
UNION = pa.UnionArray.from_dense(
    pa.array([0, 1, 1, 0, 1], pa.int8()),
    pa.array([0, 0, 1, 1, 2], pa.int32()),
    [pa.array([7, None]), pa.array(["x", '"y"', "z"])],
)


def rows(dsn: str, query: str) -> list[tuple[object, ...]]:
    with connect(dsn) as conn:
        return conn.execute(query).fetchall()


def columns(dsn: str, table: str) -> dict[str, str]:
    """Give the type of each column, as the server spells it."""
    query = (
        "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute"
        f" WHERE attrelid = '{table}'::regclass AND attnum > 0"
    )
    return dict(rows(dsn, query))


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
    assert columns(dsn, "t") == {
        "n": "numeric(10,2)",
        "doc": "jsonb",
        "made": 'app."Odd Type"',
        "box": "box",
        "plain": "double precision",
    }
    assert rows(dsn, "SELECT n::text, doc::text, (made).b, box::text FROM t WHERE n = 1") == [
        ("1.00", '{"a": 1}', "x", "(1,1),(0,0)")
    ]
    bulkio.load(table, "t", dsn, types=types, driver=driver)  # a nightly append asks again
    assert rows(dsn, "SELECT count(*)::int FROM t") == [(4,)]


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
    assert rows(dsn, "SELECT to_regclass('t')::text") == [(None,)]


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
    with pytest.raises(bulkio.SchemaError, match='"n": int8 is no array'):
        bulkio.read("t", one_dsn, dimensions={"n": 2})
    with pytest.raises(bulkio.SchemaError, match='"n": int8 is no array'):
        bulkio.load(pa.table({"n": [1]}), "t", one_dsn, dimensions={"n": 2})


def test_unions(one_dsn: str) -> None:
    """They become jsonb only when that is asked for, of every layout and slice."""
    sparse = pa.UnionArray.from_sparse(
        pa.array([0, 1, 1, 0, 1], pa.int8()),
        [pa.array([7, 0, 0, None, 0]), pa.array(["", "x", '"y"', "", "z"])],
    )
    nested = pa.StructArray.from_arrays([UNION], ["u"])
    for array in (UNION, sparse, nested):
        with pytest.raises(bulkio.SchemaError, match=r'"u": no PostgreSQL type is like Arrow\'s .*: ask .*--types'):
            bulkio.load(pa.table({"u": array}), "t", one_dsn)
    source = {"id": pa.array(range(5)), "dense": UNION, "sparse": sparse, "nested": nested}
    types = {name: "jsonb" for name in source if name != "id"}
    for start, table in ((0, "whole"), (2, "part")):
        sliced = pa.table({name: array.slice(start) for name, array in source.items()})
        bulkio.load(sliced, table, one_dsn, types=types)
        found = rows(one_dsn, f"SELECT dense::text, sparse::text, (nested->'u')::text FROM {table} ORDER BY id")
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
    assert columns(dsn, "t") == {
        "box": "box",
        "foreign": "text",
        "price": "numeric",
        "doc": "jsonb",
        "list": "integer[]",
        "what": "text",
    }


def test_types_are_made_again_in_another_database(server: TestServer, tmp_path: Path) -> None:
    """Enums, composites, and domains that are no more than a name for their base."""
    with server.database() as one, server.database() as other:
        with connect(one) as conn:
            conn.execute("""
                CREATE TYPE mood AS ENUM ('sad', 'ok');
                CREATE DOMAIN short AS varchar(5);
                CREATE DOMAIN shorts AS short[];
                CREATE DOMAIN must AS numeric(5,2) NOT NULL;
                CREATE DOMAIN moods AS mood;
                CREATE TYPE pair AS (a must, b shorts);
                CREATE DOMAIN positive AS int4 CHECK (VALUE > 0);
                CREATE TABLE t (a short, b shorts, c must, d moods, e pair, f positive, g short[]);
                INSERT INTO t VALUES ('ab', '{x,NULL}', 1.5, 'ok', ROW(2, '{y}'), 3, '{z}')
            """)
        bulkio.export("t", tmp_path / "t.parquet", one)
        bulkio.load(tmp_path / "t.parquet", "t", other, mode="create")
        # the text of a constraint is SQL, and none is taken from a file: so that column gets the base type
        assert columns(other, "t") == columns(one, "t") | {"f": "integer"}
        assert rows(other, "SELECT t::text FROM t") == rows(one, "SELECT t::text FROM t")
        query = "SELECT typname::text, typnotnull, format_type(typbasetype, typtypmod) FROM pg_type WHERE typtype = 'd'"
        mine = f"{query} AND typnamespace = 'public'::regnamespace AND typname <> 'positive' ORDER BY 1"
        assert rows(other, mine) == rows(one, mine)


def test_a_typmod_that_only_the_server_can_spell(server: TestServer, tmp_path: Path) -> None:
    """Of a type that bulkio has never heard of."""
    with server.database() as dsn, connect(dsn) as conn:
        conn.execute("""
            CREATE TYPE unheard;
            CREATE FUNCTION unheard_in(cstring, oid, int4) RETURNS unheard LANGUAGE internal IMMUTABLE STRICT
                AS 'varcharin';
            CREATE FUNCTION unheard_out(unheard) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'varcharout';
            CREATE TYPE unheard (INPUT = unheard_in, OUTPUT = unheard_out, TYPMOD_IN = varchartypmodin,
                TYPMOD_OUT = varchartypmodout);
            CREATE TABLE t (a unheard(7), b unheard(3)[], c unheard);
            INSERT INTO t VALUES ('abcdefg', '{abc}', 'abcdefgh')
        """)
        expected = {"a": "unheard(7)", "b": "unheard(3)[]", "c": "unheard"}
        assert columns(dsn, "t") == expected
        bulkio.export("t", tmp_path / "t.parquet", dsn)
        bulkio.load(tmp_path / "t.parquet", "back", dsn, mode="create")
        assert columns(dsn, "back") == expected
        bulkio.load(pa.table({"x": ["abc"]}), "asked", dsn, types={"x": "unheard(3)"})
        assert columns(dsn, "asked") == {"x": "unheard(3)"}


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
    assert rows(dsn, "SELECT a::text, b::text, c::text, (d)[1]::text, array_length(d, 1) FROM t LIMIT 1") == [
        ("{(1,1),(0,0);NULL}", "{\"'a':1 'b,c\\\"'\"}", text, text, 2)
    ]
    rounded = pa.table({"c": [{"a": 1, "b": box, "c": ["2020-01-01 00:00:00.5"]}]})
    with pytest.raises(bulkio.EncodeError, match='row 1, column "c"'):
        bulkio.load(rounded, "t", dsn)
    with pytest.raises(bulkio.SchemaError, match=r"does not go into box\[\] unchanged"):
        bulkio.load(pa.table({"a": [[1]]}), "t", dsn)


@pytest.mark.parametrize(
    ("setup", "key"),
    [
        ("CREATE TABLE t (c int, b int, a int, PRIMARY KEY (b, a) INCLUDE (c))", ["b", "a"]),
        ("CREATE TABLE t (gone int, a int PRIMARY KEY); ALTER TABLE t DROP gone", ["a"]),
        ("CREATE TABLE t (a int PRIMARY KEY); CREATE TABLE child () INHERITS (t)", []),
        ("CREATE TABLE t (a int4range, r tstzrange, PRIMARY KEY (a, r WITHOUT OVERLAPS))", []),
    ],
    ids=["INCLUDE", "dropped column", "children", "WITHOUT OVERLAPS"],
)
def test_the_key_that_a_new_table_gets(
    dsn: str, server: TestServer, setup: str, key: list[str], tmp_path: Path
) -> None:
    """The recorded key's own columns; none where the rows' key is no plain one."""
    if "OVERLAPS" in setup and server.version < 18:
        return  # what it does not know, it cannot export
    with connect(dsn) as conn:
        conn.execute(setup)
    bulkio.export("t", tmp_path / "t.parquet", dsn)
    bulkio.load(tmp_path / "t.parquet", "again", dsn)
    query = (
        "SELECT a.attname FROM pg_index i, unnest(i.indkey) WITH ORDINALITY AS k(num, place), pg_attribute a"
        " WHERE i.indrelid = 'again'::regclass AND a.attrelid = i.indrelid AND a.attnum = k.num ORDER BY k.place"
    )
    assert [name for (name,) in rows(dsn, query)] == key


def test_what_cannot_be_had_is_told(server: TestServer, tmp_path: Path) -> None:
    """A domain with a constraint becomes its base, a range that is not there jsonb: each with a note."""
    with server.database() as one, server.database() as other:
        with connect(one) as conn:
            conn.execute("""
                CREATE DOMAIN code AS varchar(10) CHECK (VALUE <> '');
                CREATE DOMAIN odd AS int4range DEFAULT 'empty';
                CREATE TYPE floats AS RANGE (subtype = float8);
                CREATE TYPE item AS (a code);
                CREATE TABLE t (a code, b odd, c floats, d item, e code[]);
                INSERT INTO t VALUES ('x', '[1,2)', '[1,2]', ROW('y'), '{z}')
            """)
        bulkio.export("t", tmp_path / "t.arrow", one)
        plan = bulkio.plan_load(tmp_path / "t.arrow", "t", other)
        report = bulkio.load(tmp_path / "t.arrow", "t", other)
        assert report.notes == plan.notes
        assert columns(other, "t") == {
            "a": "character varying(10)",
            "b": "int4range",
            "c": "jsonb",
            "d": "jsonb",
            "e": "text[]",
        }
        first = '"a" was recorded as "public"."code", which cannot be had here: it becomes varchar(10)'
        assert report.notes[0] == first
        assert len(report.notes) == 5
        assert f"note: {first}" in plan.describe()
        assert bulkio.load(tmp_path / "t.arrow", "same", one).notes == ()


def test_extensions_in_another_schema(server: TestServer, tmp_path: Path) -> None:
    """Their types are found by the extension, arrays of them too."""
    with server.database() as one, server.database() as other:
        with connect(one) as conn, connect(other) as elsewhere:
            conn.execute("""
                CREATE EXTENSION hstore; CREATE EXTENSION citext;
                CREATE TABLE t (a hstore, b citext[], c citext); INSERT INTO t VALUES ('a=>1', '{x}', 'y')
            """)
            elsewhere.execute(
                "CREATE SCHEMA ext; CREATE EXTENSION hstore SCHEMA ext; CREATE EXTENSION citext SCHEMA ext"
            )
        bulkio.export("t", tmp_path / "t.parquet", one)
        assert bulkio.load(tmp_path / "t.parquet", "t", other).notes == ()
        assert columns(other, "t") == {"a": "ext.hstore", "b": "ext.citext[]", "c": "ext.citext"}


def test_dimensions_and_bits_come_back(dsn: str, tmp_path: Path) -> None:
    """What was declared for the export holds for the load; bits without a length are not bit(1); records are text."""
    query = "SELECT '{{1,2},{3,4}}'::int4[] AS a, B'1011' AS b, ARRAY[B'1011'] AS c, row(1,'x') AS d, pg_sleep(0) AS e"
    bulkio.export(query, tmp_path / "t.parquet", dsn, dimensions={"a": 2})
    assert bulkio.load(tmp_path / "t.parquet", "t", dsn).notes == ()
    assert columns(dsn, "t") == {"a": "integer[]", "b": '"bit"', "c": '"bit"[]', "d": "text", "e": "text"}
    assert rows(dsn, "SELECT * FROM (SELECT a::text, b::text, c::text, d, e FROM t) q") == [
        ("{{1,2},{3,4}}", "1011", "{1011}", "(1,x)", "")
    ]


def test_text_that_was_something_else(one_dsn: str) -> None:
    """A cast in Arrow keeps the metadata: but text is not read as what it was before."""
    table = bulkio.read("SELECT 7 AS a, 'x' AS b", one_dsn).read_all()
    texts = table.set_column(0, table.schema.field(0).with_type(pa.string()), pa.array(["00007"]))
    report = bulkio.load(texts, "t", one_dsn)
    assert columns(one_dsn, "t") == {"a": "text", "b": "text"}
    assert report.notes == ('"a" was recorded as "pg_catalog"."int4", which cannot be had here: it becomes text',)


HOSTILE_TYPES = [
    b'{"schema":"pg_catalog","name":"status","kind":"enum","labels":["a"]}',
    b'{"schema":"public","name":"x","typmod":1e400}',
    b'{"schema":"public","name":"x","typmod":99999999999999999999}',
    b'{"schema":"public","name":"x","element":null}',
    b'{"schema":"public","name":"x","element":"x"}',
    b'{"schema":"public","name":"x","kind":"domain","parts":[]}',
    b'{"schema":"public","name":"\\ud800","kind":"enum","labels":["a"]}',
    b'{"schema":"public","name":"x","kind":"enum","labels":["\\ud800"]}',
    b'{"schema":"public","name":"' + b"x" * 80 + b'","kind":"enum","labels":["a"]}',
    b'{"schema":"public","name":"a\\u0000b","kind":"enum","labels":["a"]}',
    b'{"schema":"public","name":"x","kind":"composite","parts":[["a"]]}',
    b'{"schema":"public","name":"x","dimensions":700}',
    b"[" * 3000,
    b'{"schema":"p","name":"n","element":' * 3000,
    b"\xff",
]
HOSTILE_TABLES = [
    b'{"primary_key":5}',
    b'{"primary_key":["c","c"]}',
    b'{"serial":5,"identity":[1]}',
    b'{"identity":["c"]}',
    b'{"identity":"c"}',
    b'{"identity":{"c":"ALWAYS"},"serial":["c"]}',
    b'{"identity":{"c":["ALWAYS"]}}',
    b"\xff",
]


@pytest.mark.parametrize("fact", HOSTILE_TYPES)
def test_metadata_that_makes_no_sense(fact: bytes, one_dsn: str) -> None:
    """It is as if it were not there, and makes nothing."""
    count = "SELECT count(*)::int FROM pg_type WHERE typtype <> 'c'"
    before = rows(one_dsn, count)
    schema = pa.schema([pa.field("c", pa.string(), metadata={"bulkio:type": fact})])
    bulkio.load(pa.table([pa.array(["a"])], schema), "t", one_dsn)
    assert columns(one_dsn, "t") == {"c": "text"}
    bulkio.load(pa.table([pa.array(["a"])], schema), "t", one_dsn)
    (after,) = rows(one_dsn, count)
    assert after[0] == before[0][0] + 1  # the array type of the table's own


@pytest.mark.parametrize("fact", HOSTILE_TABLES)
def test_table_metadata_that_makes_no_sense(fact: bytes, one_dsn: str) -> None:
    """It is as if it were not there."""
    schema = pa.schema([("c", pa.string())], metadata={"bulkio:table": fact})
    bulkio.load(pa.table([pa.array(["a"])], schema), "t", one_dsn)
    assert columns(one_dsn, "t") == {"c": "text"}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (pa.table({"xmin": [1]}), '"xmin": every table has a column of this name'),
        (pa.table({"t": pa.array([86400], pa.int32()).view(pa.time32("s"))}), "86400 s is out of range for time"),
        (pa.table({"t": pa.array([-1], pa.int64()).view(pa.time64("us"))}), "-1 us is out of range for time"),
    ],
)
def test_messages(table: pa.Table, message: str, one_dsn: str) -> None:
    """They show what the source has."""
    with pytest.raises(bulkio.BulkioError, match=message):
        bulkio.load(table, "new", one_dsn)


def test_what_a_load_can_go_into(one_dsn: str) -> None:
    """The message says what it is, and what option would help."""
    with connect(one_dsn) as conn:
        conn.execute("CREATE SEQUENCE s; CREATE VIEW v AS SELECT 1 AS c; CREATE TABLE t (c int4[])")
    for name, message in (("s", "s is no table"), ("v", "v is a view")):
        with pytest.raises(bulkio.SchemaError, match=message):
            bulkio.load(pa.table({"c": [1]}), name, one_dsn)
    with pytest.raises(bulkio.SchemaError, match="say how many dimensions it has"):
        bulkio.load(pa.table({"c": [[[1]]]}), "t", one_dsn)


@pytest.mark.parametrize("method", ["binary", "csv", "records"])
def test_infinite_intervals(method: str, dsn: str) -> None:
    """Where the server has them (from 17 on), every method stores them."""
    struct = pa.struct([("months", pa.int32()), ("days", pa.int32()), ("microseconds", pa.int64())])
    ends = (2**31 - 1, 2**31 - 1, 2**63 - 1), (-(2**31), -(2**31), -(2**63))
    column = pa.array([dict(zip(struct.names, end, strict=True)) for end in ends], struct)
    with connect(dsn) as conn:
        conn.execute("CREATE TABLE t (c interval)")
        if conn.info.server_version < 170000:
            return
        bulkio.load(pa.table({"c": column}), "t", dsn, infinity="sentinel", method=method)
        assert conn.execute("SELECT c::text FROM t").fetchall() == [("infinity",), ("-infinity",)]


@pytest.mark.parametrize(
    "options",
    [
        "START 100 INCREMENT 10 MAXVALUE 500 CYCLE",
        "INCREMENT -1",
        "START 5 MINVALUE -5 CACHE 7",
        "MAXVALUE 100",
        "",
    ],
)
@pytest.mark.parametrize("kind", ["int2", "int8"])
def test_an_identity_counts_on_as_it_did(dsn: str, options: str, kind: str, tmp_path: Path) -> None:
    """With its start, step, bounds, cache and cycle; and past the loaded values."""
    counting = "SELECT seqstart, seqincrement, seqmin, seqmax, seqcache, seqcycle FROM pg_sequence WHERE seqrelid ="
    with connect(dsn) as conn:
        conn.execute(f"CREATE TABLE t (id {kind} GENERATED ALWAYS AS IDENTITY ({options}), x int)".replace("()", ""))
        conn.execute("INSERT INTO t (x) VALUES (1), (2)")
        bulkio.export("t", tmp_path / "t.parquet", dsn)
        bulkio.load(tmp_path / "t.parquet", "again", dsn)
        ways = [conn.execute(f"{counting} '{name}_id_seq'::regclass").fetchall() for name in ("t", "again")]
        assert ways[0] == ways[1]
        insert = "INSERT INTO {} (x) VALUES (3) RETURNING id"
        assert conn.execute(insert.format("t")).fetchall() == conn.execute(insert.format("again")).fetchall()


@pytest.mark.parametrize(
    "options",
    [
        {"start": "1); DROP TABLE t; --"},
        {"increment": 0},
        {"increment": True},
        {"minimum": 10, "maximum": 5},
        {"maximum": 2**31},
        {"maximum": 2**63},
        {"start": 0},
        {"cache": 0},
        {"cycle": "CYCLE"},
        {"cycle": 1},
        {"start": 1.5},
        {"cache": None},
        [],
        None,
    ],
)
def test_identity_options_that_cannot_be(one_dsn: str, options: object) -> None:
    """What a file says that CREATE SEQUENCE would not take is left out."""
    usual = {"start": 1, "increment": 1, "minimum": 1, "maximum": 99, "cache": 1, "cycle": False}
    how = usual | options if isinstance(options, dict) else options
    facts = {"identity": {"id": "ALWAYS"}, "identity_options": {"id": how}}
    source = pa.table({"id": pa.array([1], pa.int32())}).replace_schema_metadata({"bulkio:table": json.dumps(facts)})
    plan = bulkio.plan_load(source, "t", one_dsn)
    assert plan.ddl == ('CREATE TABLE "public"."t" ("id" int4 GENERATED ALWAYS AS IDENTITY)',)


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_domain_that_is_asked_for(dsn: str, driver: str) -> None:
    """It is the column's type, and its constraint holds; asked for again it is there."""
    with connect(dsn) as conn:
        conn.execute("CREATE DOMAIN posint AS int4 CHECK (VALUE > 0)")
    with pytest.raises(bulkio.DriverError, match=r"^row 2.*violates check constraint"):
        bulkio.load(pa.table({"a": [1, -1]}), "t", dsn, types={"a": "posint"}, driver=driver)
    for _ in range(2):
        bulkio.load(pa.table({"a": [1]}), "t", dsn, types={"a": "posint"}, driver=driver)
    assert columns(dsn, "t") == {"a": "posint"}


@pytest.mark.parametrize(
    "name", ["int4 notnull", "int unsigned", 'text collate "C"', "record", "int4, 1", "setof int4"]
)
def test_text_that_is_no_type(name: str, dsn: str) -> None:
    """A type's name and no more."""
    with pytest.raises(bulkio.ConfigError, match="types: "):
        bulkio.load(pa.table({"a": [1]}), "t", dsn, types={"a": name})
    assert rows(dsn, "SELECT to_regclass('t')::text") == [(None,)]


def test_sequences_of_which_a_default_computes(dsn: str) -> None:
    """They stay: what was loaded says nothing of where they stand. A plain default's is advanced."""
    with connect(dsn) as conn:
        conn.execute("""
            CREATE SEQUENCE s; CREATE TABLE shards (id int8 DEFAULT nextval('s') * 1000 + 7, a text);
            CREATE SEQUENCE plain; CREATE TABLE shared (id int4 DEFAULT nextval('plain'), a text)
        """)
        for table in ("shards", "shared"):
            bulkio.load(pa.table({"id": [4007], "a": ["x"]}), table, dsn)
        assert conn.execute("SELECT nextval('s')::int, nextval('plain')::int").fetchone() == (1, 4008)
