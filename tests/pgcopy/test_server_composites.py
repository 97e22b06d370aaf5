"""A server's own COPY BINARY of types made of others: decoded, encoded again, loaded again, byte for byte."""

from __future__ import annotations

import datetime
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

import bulkio
from bulkio.catalog import types_query
from bulkio.errors import DecodeError, SchemaError
from bulkio.pgcopy import Decoder, Encoder, Field
from bulkio.types import ARRAY, cast_from_pg, cast_to_pg, resolve_type
from cells import csv_of

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

SETUP = r"""
CREATE TYPE mood AS ENUM ('sad', 'a"b\c', 'happy', '', 'NULL');
ALTER TYPE mood ADD VALUE 'ok' BEFORE 'happy';
CREATE DOMAIN dmood AS mood;
CREATE DOMAIN posint AS int4 CHECK (VALUE > 0);
CREATE DOMAIN posints AS posint[];
CREATE TYPE inner_t AS (gone text, x numeric(10,2), m dmood, away int8);
ALTER TYPE inner_t DROP ATTRIBUTE gone;
ALTER TYPE inner_t DROP ATTRIBUTE away;
ALTER TYPE inner_t ADD ATTRIBUTE late text;
CREATE TYPE outer_t AS (i inner_t, list inner_t[], p posint, ps posints, at timestamptz);
CREATE DOMAIN douter AS outer_t;
CREATE TYPE one AS (alone text);
CREATE TYPE nothing AS ();
CREATE TYPE textrange AS RANGE (subtype = text, collation = "C");
CREATE TYPE dposrange AS RANGE (subtype = posint);
"""

X = {"x": Decimal("12.30"), "m": "ok", "late": 'q"\\,(){}'}
NULLS = {"x": None, "m": None, "late": None}


def span(lower: object, upper: object, bounds: str = "[)", *, empty: bool = False) -> dict[str, object]:
    """Return a range's value."""
    return {
        "lower": lower,
        "upper": upper,
        "lower_inc": bounds[0] == "[",
        "upper_inc": bounds[1] == "]",
        "empty": empty,
    }


NOON = datetime.datetime(2020, 1, 1, 12, tzinfo=datetime.UTC)
OUTER = {"i": X, "list": [NULLS, None, X], "p": 7, "ps": [1, None], "at": NOON}
OUTER_NULLS = {"i": None, "list": None, "p": None, "ps": None, "at": None}
X_SQL = r"""(12.3, 'ok', 'q"\,(){}')::inner_t"""
OUTER_SQL = rf"({X_SQL}, ARRAY[(NULL,NULL,NULL)::inner_t, NULL, {X_SQL}], 7, '{{1,NULL}}', '2020-01-01 12:00+00')"

#: the column's type, its declared dimensions, and its values as SQL and in Python
COLUMNS: dict[str, tuple[str, int, list[tuple[str, object]]]] = {
    "enum": ("mood", 1, [("'ok'", "ok"), ("'sad'", "sad"), ("''", ""), (r"""'a"b\c'""", 'a"b\\c')]),
    "domain over an enum": ("dmood", 1, [("'happy'", "happy")]),
    "enums": ("mood[]", 1, [("ARRAY['ok',NULL,'NULL','']::mood[]", ["ok", None, "NULL", ""]), ("'{}'", [])]),
    "domains over an enum": ("dmood[]", 1, [("ARRAY['ok',NULL]::dmood[]", ["ok", None])]),
    "domains over int4": ("posint[]", 1, [("ARRAY[1,NULL]::posint[]", [1, None])]),
    "domain over an array": ("posints", 1, [("ARRAY[1,NULL]::posint[]", [1, None])]),
    "composite with dropped columns": ("inner_t", 1, [(X_SQL, X), ("(NULL,NULL,NULL)", NULLS)]),
    "composites": ("inner_t[]", 1, [(f"ARRAY[{X_SQL}, NULL]", [X, None]), ("'{}'", [])]),
    "nested composite": (
        "outer_t",
        1,
        [(OUTER_SQL, OUTER), ("(NULL,NULL,NULL,NULL,NULL)", OUTER_NULLS)],
    ),
    "domain over a composite": ("douter", 1, [(OUTER_SQL, OUTER)]),
    "composite of one": ("one", 1, [("ROW('a')", {"alone": "a"}), ("ROW(NULL)", {"alone": None})]),
    "composite of none": ("nothing", 1, [("ROW()", {})]),
    "int4range": (
        "int4range",
        1,
        [
            ("'[1,5]'", span(1, 6)),
            ("'(,5)'", span(None, 5, "()")),
            ("'[1,]'", span(1, None)),
            ("'[,]'", span(None, None, "()")),
            ("'empty'", span(None, None, "()", empty=True)),
        ],
    ),
    "numrange": ("numrange", 1, [("'(1.50,2.0]'", span("1.50", "2.0", "(]"))]),
    "tsrange": ("tsrange", 1, [("'(,2020-01-01)'", span(None, datetime.datetime(2020, 1, 1), "()"))]),
    "textrange": (
        "textrange",
        1,
        [(r"""textrange('"', 'a\,]', '[]')""", span('"', "a\\,]", "[]")), ("textrange('', NULL)", span("", None))],
    ),
    "range of a domain": ("dposrange", 1, [("'[1,5]'", span(1, 5, "[]"))]),
    "ranges": ("int4range[]", 1, [("ARRAY['[1,5)', NULL]::int4range[]", [span(1, 5), None])]),
    "multirange": ("int4multirange", 1, [("'{[1,3),[5,)}'", [span(1, 3), span(5, None)]), ("'{}'", [])]),
    "multirange of our own": ("textmultirange", 1, [("""textmultirange(textrange('a"', 'b'))""", [span('a"', "b")])]),
    "multiranges": ("int4multirange[]", 1, [("ARRAY['{[1,3)}', '{}']::int4multirange[]", [[span(1, 3)], []])]),
    "2-D": ("int4[]", 2, [("'{{1,NULL},{3,4},{5,6}}'", [[1, None], [3, 4], [5, 6]]), ("'{}'", [])]),
    "2-D text": ("text[]", 2, [(r"""ARRAY[['a"\',NULL],['NULL','{}']]""", [['a"\\', None], ["NULL", "{}"]])]),
    "3-D enum": ("mood[]", 3, [("ARRAY[[['ok','sad'],[NULL,'']]]::mood[]", [[["ok", "sad"], [None, ""]]])]),
    "2-D composite": ("inner_t[]", 2, [(f"ARRAY[[{X_SQL}],[NULL::inner_t]]", [[X], [None]])]),
}


def make(dsn: str, connect: Callable[[str], psycopg.Connection], name: str) -> tuple[psycopg.Connection, Field]:
    """Make the types, table `t` with a column of that type, and an empty `copy` of it."""
    conn = connect(dsn)
    conn.execute("SET client_min_messages = warning")
    conn.execute(SETUP)
    sql_type, dimensions, values = COLUMNS[name]
    conn.execute(f"CREATE TABLE t (c {sql_type}); CREATE TABLE copy (c {sql_type})")
    for literal in [*(sql for sql, _ in values), "NULL"]:
        conn.execute(f"INSERT INTO t VALUES ({literal})")
    oid, typmod = conn.execute(
        "SELECT atttypid::bigint, atttypmod FROM pg_attribute WHERE attrelid = 't'::regclass AND attname = 'c'"
    ).fetchone()
    question = types_query([oid])
    facts = question.read(conn.execute(question.sql).fetchall())
    pg = resolve_type(oid, typmod, {fact.oid: fact for fact in facts})
    if pg.codec == ARRAY:
        pg = replace(pg, dimensions=dimensions)
    return conn, Field("c", cast_from_pg(pg))


def copy_out(conn: psycopg.Connection, table: str) -> bytes:
    """Return the server's own bytes."""
    with conn.cursor().copy(f"COPY {table} TO STDOUT (FORMAT binary)") as copy:
        return b"".join(map(bytes, copy))


def copy_in(conn: psycopg.Connection, data: bytes, options: str) -> None:
    """Fill `copy` anew."""
    conn.execute("TRUNCATE copy")
    with conn.cursor().copy(f"COPY copy FROM STDIN ({options})") as copy:
        copy.write(data)


def decode(stream: bytes, field: Field) -> pa.RecordBatch:
    """Decode one batch."""
    decoder = Decoder([field], pa.schema([pa.field("c", field.cast.arrow)]))
    decoder.feed(stream)
    (batch,) = map(pa.record_batch, decoder.finish())
    batch.validate(full=True)
    return batch


@pytest.mark.parametrize("name", COLUMNS)
def test_the_servers_bytes_and_ours(dsn, connect, name):
    """Values come as expected; encoded again they are the server's bytes; loaded again, as CSV too, the same rows."""
    conn, field = make(dsn, connect, name)
    stream = copy_out(conn, "t")
    batch = decode(stream, field)
    assert batch.column(0).to_pylist() == [*(value for _, value in COLUMNS[name][2]), None]

    back = Field("c", cast_to_pg(batch.schema.field(0).type, field.cast.pg))
    encoder = Encoder([back])
    ours = b"".join([*map(bytes, encoder.encode(batch)), bytes(encoder.finish())])
    assert ours == stream
    copy_in(conn, ours, "FORMAT binary")
    assert copy_out(conn, "copy") == stream
    copy_in(conn, csv_of(batch.column(0), back.cast), "FORMAT csv")
    assert copy_out(conn, "copy") == stream


def test_what_the_server_makes_canonical(dsn, connect):
    """Ranges that PostgreSQL writes in another way are the same sets: what its own input would have made of them."""
    conn, field = make(dsn, connect, "multirange")
    ranges = [span(5, 7, "[]"), span(1, 1), span(8, 10, "()"), span(None, 2, "[]"), span(None, None, empty=True)]
    batch = pa.record_batch([pa.array([ranges], field.cast.arrow)], ["c"])
    encoder = Encoder([Field("c", cast_to_pg(field.cast.arrow, field.cast.pg))])
    copy_in(conn, b"".join([*map(bytes, encoder.encode(batch)), bytes(encoder.finish())]), "FORMAT binary")
    expected = "{[5,7],[1,1),(8,10),[,2],empty}"
    assert conn.execute("SELECT c = %s::int4multirange FROM copy", (expected,)).fetchone() == (True,)
    assert conn.execute("SELECT c::text FROM copy").fetchone() == ("{(,3),[5,8),[9,10)}",)


def test_shapes_that_a_list_cannot_hold(dsn, connect):
    """Arrays of other dimensions than declared, or with a lower bound that is not 1, are errors."""
    conn, field = make(dsn, connect, "2-D")
    for literal, words in (
        ("{1}", "an array of 1 dimensions"),
        ("{{{1}}}", "an array of 3"),
        ("[1:1][0:0]={{1}}", "lower bound 0"),
    ):
        conn.execute("TRUNCATE t")
        conn.execute("INSERT INTO t VALUES (%s)", (literal,))
        with pytest.raises(DecodeError, match=words):
            decode(copy_out(conn, "t"), field)


def test_a_type_that_was_altered_meanwhile(dsn, connect):
    """A composite that got one more column, and an enum that got one more label, are told as such."""
    conn, field = make(dsn, connect, "composite with dropped columns")
    conn.execute("ALTER TYPE inner_t ADD ATTRIBUTE more int4")
    with pytest.raises(DecodeError, match="a composite of 4 fields"):
        decode(copy_out(conn, "t"), field)
    conn.execute("ALTER TYPE inner_t DROP ATTRIBUTE more; ALTER TYPE mood ADD VALUE 'new'")
    conn.execute("INSERT INTO t VALUES ((1, 'new', ''))")
    with pytest.raises(DecodeError, match=r'a label that "public"\."dmood" did not have'):
        decode(copy_out(conn, "t"), field)


WAYS = [(driver, method) for driver in ("asyncpg", "psycopg") for method in ("binary", "csv", "records")]
READS = [(driver, method) for driver in ("asyncpg", "psycopg") for method in ("binary", "cursor")]


def test_every_method_carries_enums_and_domains(dsn, connect):
    """The drivers' rows hold enums, and domains over what they hold."""
    conn = connect(dsn)
    conn.execute(SETUP)
    conn.execute("CREATE TABLE t (m mood, d dmood, p posint, a posints)")
    table = pa.table(
        {
            "m": pa.array(["ok", None, 'a"b\\c']).dictionary_encode(),
            "d": pa.array([None, "sad", ""]),
            "p": pa.array([1, None, 3], pa.int64()),
        }
    )
    for driver, method in WAYS:
        bulkio.load(table, "t", dsn, driver=driver, method=method, mode="truncate")
        rows = conn.execute("SELECT m::text, d::text, p FROM t").fetchall()
        assert rows == [("ok", None, 1), (None, "sad", None), ('a"b\\c', "", 3)], (driver, method)
    back = [bulkio.read("t", dsn, driver=driver, method=method, columns=["m", "d", "p"]) for driver, method in READS]
    tables = [reader.read_all() for reader in back]
    for one in tables:
        assert one["m"].to_pylist() == table["m"].to_pylist()
        assert one["m"].chunk(0).dictionary.to_pylist() == ["sad", 'a"b\\c', "ok", "happy", "", "NULL"]
        assert one["d"].to_pylist() == table["d"].to_pylist()
        assert one["p"].to_pylist() == table["p"].to_pylist()


def test_rows_refuse_what_they_cannot_hold(dsn, connect):
    """Composites, ranges and arrays of a database's own types are refused by the methods of rows, all at once."""
    conn = connect(dsn)
    conn.execute(SETUP)
    conn.execute("CREATE TABLE t (o outer_t, r int4range, ms mood[], ds posint[], i int4[])")
    for driver in ("asyncpg", "psycopg"):
        with pytest.raises(SchemaError) as caught:
            bulkio.read("t", dsn, driver=driver, method="cursor")
        assert set(caught.value.columns) == {"o", "r", "ms", "ds"}
