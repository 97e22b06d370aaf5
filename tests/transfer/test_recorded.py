"""What an export records of a table, made again: its types, key and identities; and metadata that makes no sense."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

import bulkio
from bulkio.types.geo import field_typmod
from gaps import lacking
from servers import column_types, connect, fetch

if TYPE_CHECKING:
    from pathlib import Path

    from servers import TestServer

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
        assert column_types(other, "t") == column_types(one, "t") | {"f": "integer"}
        assert fetch(other, "SELECT t::text FROM t") == fetch(one, "SELECT t::text FROM t")
        query = "SELECT typname::text, typnotnull, format_type(typbasetype, typtypmod) FROM pg_type WHERE typtype = 'd'"
        mine = f"{query} AND typnamespace = 'public'::regnamespace AND typname <> 'positive' ORDER BY 1"
        assert fetch(other, mine) == fetch(one, mine)


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
        assert column_types(dsn, "t") == expected
        bulkio.export("t", tmp_path / "t.parquet", dsn)
        bulkio.load(tmp_path / "t.parquet", "back", dsn, mode="create")
        assert column_types(dsn, "back") == expected
        bulkio.load(pa.table({"x": ["abc"]}), "asked", dsn, types={"x": "unheard(3)"})
        assert column_types(dsn, "asked") == {"x": "unheard(3)"}


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
        lacking("PostgreSQL 18")
    with connect(dsn) as conn:
        conn.execute(setup)
    bulkio.export("t", tmp_path / "t.parquet", dsn)
    bulkio.load(tmp_path / "t.parquet", "again", dsn)
    query = (
        "SELECT a.attname FROM pg_index i, unnest(i.indkey) WITH ORDINALITY AS k(num, place), pg_attribute a"
        " WHERE i.indrelid = 'again'::regclass AND a.attrelid = i.indrelid AND a.attnum = k.num ORDER BY k.place"
    )
    assert [name for (name,) in fetch(dsn, query)] == key


@pytest.mark.parametrize(
    ("columns", "key"), [(("a", "c"), []), (("c", "a", "b"), ["b", "a"]), (("c",), []), (None, ["b", "a"])]
)
def test_the_key_of_some_columns(columns: tuple[str, ...] | None, key: list[str], one_dsn: str) -> None:
    """Rows that differ in a column which was left out are no duplicates: only the whole key is one."""
    with connect(one_dsn) as conn:
        conn.execute(
            "CREATE TABLE t (a int, b int, c int, PRIMARY KEY (b, a)); INSERT INTO t VALUES (1, 1, 1), (1, 2, 1)"
        )
    table = bulkio.read("t", one_dsn, columns=columns).read_all()
    facts = json.loads((table.schema.metadata or {}).get(b"bulkio:table", b"{}"))
    assert facts.get("primary_key", []) == key
    bulkio.load(table, "again", one_dsn)
    bulkio.load(table.select(["a", "c"] if columns != ("c",) else ["c"]), "fewer", one_dsn)


@pytest.mark.parametrize(
    ("sql_type", "value", "policy"),
    [
        ("date", "infinity", {"infinity": "null"}),
        ("timestamp", "-infinity", {"infinity": "null"}),
        ("timestamptz", "infinity", {"infinity": "null"}),
        ("time", "24:00", {"infinity": "null"}),
        ("interval", "infinity", {"infinity": "null"}),
        ("numeric(4,1)", "NaN", {"nan": "null"}),
        ("numeric", "NaN", {"nan": "null", "numeric": "decimal(9,2)"}),
        ("instant", "infinity", {"infinity": "null"}),
    ],
)
def test_nulls_of_a_policy_in_a_column_without(
    sql_type: str, value: str, policy: dict[str, str], server: TestServer, dsn: str, tmp_path: Path
) -> None:
    """The field can hold the NULLs that take the place of values, and a key that has one is no key."""
    if sql_type == "interval" and server.version < 17:
        return  # it has no infinite ones
    with connect(dsn) as conn:
        conn.execute("CREATE DOMAIN instant AS timestamptz")
        conn.execute(f"CREATE TABLE t (n int NOT NULL, v {sql_type} PRIMARY KEY); INSERT INTO t VALUES (1, '{value}')")
    bulkio.export("t", tmp_path / "t.parquet", dsn, **policy)
    table = bulkio.read("t", dsn, **policy).read_all()
    assert [field.nullable for field in table.schema] == [False, True]
    assert table["v"].null_count == 1
    bulkio.load(tmp_path / "t.parquet", "again", dsn)
    assert fetch(dsn, "SELECT n, v IS NULL FROM again") == [(1, True)]
    assert [field.nullable for field in bulkio.read("t", dsn).schema] == [False, False]


def _recording(column: pa.Array, recorded: dict[str, object]) -> pa.Table:
    field = pa.field("c", column.type, metadata={"bulkio:type": json.dumps(recorded)})
    return pa.table([column], pa.schema([field]))


MOOD = {"schema": "public", "name": "mood", "kind": "enum", "labels": ["sad", "ok"]}
TYPES_MADE = (
    "SELECT n.nspname || '.' || t.typname FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace"
    " WHERE t.typtype IN ('e', 'd') OR EXISTS (SELECT FROM pg_class c WHERE c.oid = t.typrelid AND c.relkind = 'c')"
    " AND t.typtype = 'c' ORDER BY 1"
)


@pytest.mark.parametrize(
    ("column", "recorded", "options"),
    [
        (pa.array(["sad"]).dictionary_encode(), MOOD, {"types": {"c": "text"}}),
        (pa.array([1]), MOOD, {}),
        (pa.array(["(1,2)"]), {"schema": "public", "name": "p", "kind": "composite", "parts": [["a", MOOD]]}, {}),
        (
            pa.array([{"a": "sad"}]),
            {
                "schema": "public",
                "name": "p",
                "kind": "composite",
                "parts": [["a", MOOD], ["b", {"schema": "public", "name": "gone"}]],
            },
            {},
        ),
        (pa.array(["sad"]).dictionary_encode(), MOOD | {"schema": "other"}, {}),
        (pa.array(["sad"]).dictionary_encode(), MOOD | {"schema": "nowhere"}, {}),
        (pa.array(["sad"]).dictionary_encode(), MOOD | {"schema": "information_schema"}, {}),
        (pa.array([[1]]), {"schema": "public", "name": "_mood", "element": MOOD}, {}),
    ],
    ids=["asked", "integers", "text", "a part is missing", "schema", "no schema", "system", "list"],
)
def test_types_that_the_table_does_not_use_are_not_made(
    column: pa.Array, recorded: dict[str, object], options: dict[str, dict[str, str]], one_dsn: str
) -> None:
    """None for a column of another type, none in a schema that is neither the table's nor in the search_path."""
    with connect(one_dsn) as conn:
        conn.execute("CREATE SCHEMA other")
    before = fetch(one_dsn, TYPES_MADE)
    bulkio.load(_recording(column, recorded), "t", one_dsn, **options)
    assert fetch(one_dsn, TYPES_MADE) == before


def test_types_are_made_in_the_tables_schema_and_the_paths(one_dsn: str) -> None:
    """Where a table's creator puts things by habit, and only for columns that have them."""
    with connect(one_dsn) as conn:
        conn.execute("CREATE SCHEMA other")
    moods = pa.array(["sad", None]).dictionary_encode()
    for n, schema in enumerate(("public", "other")):
        report = bulkio.load(_recording(moods, MOOD | {"schema": schema}), f"other.t{n}", one_dsn)
        assert report.notes == ()
    assert column_types(one_dsn, "other.t0") == {"c": "mood"}
    assert column_types(one_dsn, "other.t1") == {"c": "other.mood"}
    pair = {"schema": "public", "name": "pair", "kind": "composite", "parts": [["a", MOOD], ["b", MOOD]]}
    lists = pa.array([[{"a": "sad", "b": None}]], pa.list_(pa.struct([("a", pa.string()), ("b", pa.string())])))
    bulkio.load(_recording(lists, {"schema": "public", "name": "_pair", "element": pair}), "t2", one_dsn)
    assert column_types(one_dsn, "t2") == {"c": "pair[]"}


ODD_TYPMODS = {
    "varchar": (0, 4, 4 + 10485761, 2**31 - 1),
    "bpchar": (3, 2**31 - 1),
    "numeric": (0, 4, (1001 << 16) + 4, (2**31) - 1),
    "timestamp": (7, 2**31 - 1),
    "timetz": (7,),
    "bit": (0, 83886081),
    "int4": (0, 5),
    "text": (8,),
    "interval": (7, 0x7FFF0007, 1 << 16),
}


@pytest.mark.parametrize(("name", "typmod"), [(name, typmod) for name, odd in ODD_TYPMODS.items() for typmod in odd])
def test_typmods_that_no_server_gives(name: str, typmod: int, one_dsn: str) -> None:
    """They are as if they were not there, in arrays and domains, too."""
    odd = {"schema": "pg_catalog", "name": name, "typmod": typmod}
    column = pa.array([None], pa.null())
    array = {"schema": "pg_catalog", "name": f"_{name}", "typmod": typmod, "element": odd}
    domain = {"schema": "public", "name": "d", "kind": "domain", "parts": [["", odd]], "has_more": False}
    for recorded in (odd, array, domain):
        plan = bulkio.plan_load(_recording(column, recorded), "t", one_dsn)
        assert (plan.types_ddl, plan.ddl) == ((), ('CREATE TABLE "public"."t" ("c" pg_catalog.text)',))


def test_types_in_types_without_end(one_dsn: str) -> None:
    """Types that lie too deep in each other are as if they were not there, whatever Python's own limit is."""
    for depth in (33, 100, 200, 300, 400, 700):
        opened = "".join(f'{{"schema":"public","name":"t{i}","kind":"composite","parts":[["a",' for i in range(depth))
        facts = opened + json.dumps(MOOD) + "]]}" * depth
        schema = pa.schema([pa.field("c", pa.null(), metadata={"bulkio:type": facts})])
        assert bulkio.plan_load(pa.table([pa.nulls(1)], schema), "t", one_dsn).types_ddl == ()


def test_a_coordinate_system_of_endless_digits() -> None:
    """It names no SRID."""
    about = json.dumps({"crs": "9" * 5000})
    metadata = {"ARROW:extension:name": "geoarrow.wkb", "ARROW:extension:metadata": about}
    assert field_typmod(pa.field("c", pa.binary(), metadata=metadata)) == -1


def test_an_identity_that_would_never_return(one_dsn: str) -> None:
    """A sequence computes all of its cache at the first INSERT; what a file may not say of it is told."""
    how = {"start": 5, "increment": 2, "minimum": 1, "maximum": 99, "cache": 2**62, "cycle": False}
    facts = {"identity": {"id": "BY DEFAULT"}, "identity_options": {"id": how}}
    source = pa.table({"id": pa.array([7], pa.int32())}).replace_schema_metadata({"bulkio:table": json.dumps(facts)})
    report = bulkio.load(source, "t", one_dsn)
    assert report.notes == ('"id" was recorded as an identity with options of its own, which it does not get here',)
    with connect(one_dsn) as conn:
        conn.execute("SET statement_timeout = '5s'")
        assert conn.execute("INSERT INTO t DEFAULT VALUES RETURNING id").fetchone() == (8,)


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
        assert column_types(other, "t") == {
            "a": "character varying(10)",
            "b": "int4range",
            "c": "jsonb",
            "d": "jsonb",
            "e": "text[]",
        }
        first = '"a" was recorded as "public"."code", which is not available here: it becomes varchar(10)'
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
        assert column_types(other, "t") == {"a": "ext.hstore", "b": "ext.citext[]", "c": "ext.citext"}


def test_dimensions_and_bits_come_back(dsn: str, tmp_path: Path) -> None:
    """What was declared for the export holds for the load; bits without a length are not bit(1); records are text."""
    query = "SELECT '{{1,2},{3,4}}'::int4[] AS a, B'1011' AS b, ARRAY[B'1011'] AS c, row(1,'x') AS d, pg_sleep(0) AS e"
    bulkio.export(query, tmp_path / "t.parquet", dsn, dimensions={"a": 2})
    assert bulkio.load(tmp_path / "t.parquet", "t", dsn).notes == ()
    assert column_types(dsn, "t") == {"a": "integer[]", "b": '"bit"', "c": '"bit"[]', "d": "text", "e": "text"}
    assert fetch(dsn, "SELECT * FROM (SELECT a::text, b::text, c::text, d, e FROM t) q") == [
        ("{{1,2},{3,4}}", "1011", "{1011}", "(1,x)", "")
    ]


def test_text_that_was_something_else(one_dsn: str) -> None:
    """A cast in Arrow keeps the metadata: but text is not read as what it was before."""
    table = bulkio.read("SELECT 7 AS a, 'x' AS b", one_dsn).read_all()
    texts = table.set_column(0, table.schema.field(0).with_type(pa.string()), pa.array(["00007"]))
    report = bulkio.load(texts, "t", one_dsn)
    assert column_types(one_dsn, "t") == {"a": "text", "b": "text"}
    assert report.notes == ('"a" was recorded as "pg_catalog"."int4", which is not available here: it becomes text',)


@pytest.mark.parametrize("fact", HOSTILE_TYPES)
def test_metadata_that_makes_no_sense(fact: bytes, one_dsn: str) -> None:
    """It is as if it were not there, and makes nothing."""
    count = "SELECT count(*)::int FROM pg_type WHERE typtype <> 'c'"
    before = fetch(one_dsn, count)
    schema = pa.schema([pa.field("c", pa.string(), metadata={"bulkio:type": fact})])
    bulkio.load(pa.table([pa.array(["a"])], schema), "t", one_dsn)
    assert column_types(one_dsn, "t") == {"c": "text"}
    bulkio.load(pa.table([pa.array(["a"])], schema), "t", one_dsn)
    (after,) = fetch(one_dsn, count)
    assert after[0] == before[0][0] + 1  # the array type of the table's own


@pytest.mark.parametrize("fact", HOSTILE_TABLES)
def test_table_metadata_that_makes_no_sense(fact: bytes, one_dsn: str) -> None:
    """It is as if it were not there."""
    schema = pa.schema([("c", pa.string())], metadata={"bulkio:table": fact})
    bulkio.load(pa.table([pa.array(["a"])], schema), "t", one_dsn)
    assert column_types(one_dsn, "t") == {"c": "text"}


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
        {"cache": 2**62},
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
    assert plan.ddl == ('CREATE TABLE "public"."t" ("id" pg_catalog.int4 GENERATED ALWAYS AS IDENTITY)',)
