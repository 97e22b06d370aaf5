"""Strings into columns that the server parses: refused by every method where it would change the value in silence."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

import bulkio
from gaps import lacking
from servers import connect

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

    Connect = Callable[[str], psycopg.Connection]

TYPES = """
CREATE TYPE cdt AS (d date, b text);
CREATE TYPE cti AS (t timestamp, n int4);
CREATE TYPE ctt AS (t time, b text);
CREATE TYPE cnc AS (n name, c "char");
CREATE TYPE cbox AS (b box, t timestamp(0));
CREATE DOMAIN letter AS "char";
CREATE DOMAIN stamps AS timestamp[];
"""

# a column's type, a text that a server takes and changes, what bulkio says of it
REFUSED = [
    ("cdt", '("2020-01-01 12:00",x)', "may say more than"),
    ("cdt[]", r'{"(\"2020-01-01 12:00\",x)"}', "may say more than"),
    ("cti", '("2020-01-01 12:00+05",1)', "may say more than"),
    ("ctt", '("2020-01-01 12:00+02",x)', "may say more than"),
    ("cbox", '("(1,1),(0,0)","2020-01-01 10:00:00.5")', "would be rounded by"),
    ("timestamp", "2020-01-01 +0530", "may say more than timestamp keeps"),
    ("timestamp", "Jan 1 2020 +3", "may say more than timestamp keeps"),
    ("date", "2020-01-01 120000", "may say more than date keeps"),
    ("date[]", '{"2020-01-01 +02"}', "may say more than"),
    ("tsrange", '["2020-01-01 +02",)', "may say more than"),
    ("stamps", "{2020-01-01 10:00Z}", "may say more than"),
    ('"char"', "abc", 'is longer than "char" allows'),
    ('"char"', "ä", 'is longer than "char" allows'),
    ('"char"[]', "{ab}", "is longer than _char allows"),
    ("letter", "ab", "is longer than"),
    ("name[]", "{" + "a" * 70 + "}", "is longer than name"),
    ("cnc", f"({'a' * 70},b)", "is longer than"),
    ("cnc", "(a,bc)", "is longer than"),
    ("numeric(5,2)[]", r"{1.0\05}", "would be rounded by"),
    ("timestamp[]", r'{"2020-01-01 00:00:00.123456\7"}', "would be rounded by"),
    ("oid", "-1", "is not a valid oid"),
    ("oid[]", "{-1}", "is not a valid oid"),
    ("oidvector", "1 -1", "is not a valid oidvector"),
    ("xid", "010", "is not a valid xid"),
    ("cid", "-1", "is not a valid cid"),
    ("float4", "16777217", "would be rounded by float4"),
    ("float8", "9007199254740993", "would be rounded by float8"),
    ("float4[]", "{16777217}", "would be rounded by float4"),
    ("point", "(9007199254740993,0)", "would be rounded by point"),
    ("tsvector", "a:99999", "may say more than tsvector keeps"),
    ("tsvector", "a:" + ",".join(map(str, range(1, 300))), "may say more than tsvector keeps"),
    ("tsvector", "a:1A,1B", "may say more than tsvector keeps"),
]


@pytest.mark.parametrize(("sql_type", "text", "why"), REFUSED, ids=[f"{t} {x[:30]}" for t, x, _ in REFUSED])
def test_what_the_server_changes_is_refused(sql_type: str, text: str, why: str, dsn: str, connect: Connect) -> None:
    """The server takes the text, and stores another value; no method of bulkio lets it."""
    conn = connect(dsn)
    conn.execute(TYPES)
    conn.execute(f"CREATE TABLE t (n int, v {sql_type}); INSERT INTO t VALUES (0, $x${text}$x$)")
    for method in ("binary", "csv"):
        with pytest.raises(bulkio.EncodeError, match=rf'row 2, column "v": .*{why}'):
            bulkio.load(pa.table({"v": [None, text]}), "t", dsn, method=method)
    assert conn.execute("SELECT count(*) FROM t").fetchone() == (1,)


def test_an_xid_of_letters(dsn: str, connect: Connect) -> None:
    """Servers before 16 store 0 for it, and let numbers wrap around."""
    connect(dsn).execute("CREATE TABLE t (a xid, b xid8, c cid, d xid[])")
    for name, text in [(c, t) for c in "abc" for t in ("abc", "99999999999999999999")] + [("d", "{abc}")]:
        with pytest.raises(bulkio.EncodeError, match=r"is not a valid|is out of range for"):
            bulkio.load(pa.table({name: [text]}), "t", dsn)


KEPT = [
    ("int2", " -7 "),
    ("oid", "4294967295"),
    ("xid8", "18446744073709551615"),
    ("float4", "1e-45"),
    ("float8", "5.684341886080802e-14"),
    ("float8", "-0"),
    ("box[]", "{(1,1),(0,0);(2,2),(0.1,0)}"),
    ("cdt", '(2020-01-01,"2020-01-01 12:00+05")'),
    ("cbox", '("(1,1),(0,0)","2020-01-01 10:00:00")'),
    ("cti[]", r'{"(\"2020-01-01 12:00:00\",5)",NULL}'),
    ("tsrange", '["2020-01-01 10:00:00",infinity)'),
    ("datemultirange", "{[2020-01-01,2020-01-02),[2021-01-01,)}"),
    ("tsvector", "'a':1A,2 'b c' 'd''e\\\\\\\\f':16383"),
    ('"char"', "a"),
    ("letter", ""),
    ("name[]", "{" + "a" * 63 + "}"),
    ("oidvector", "1 2 3"),
    ("tid", "(4294967295,1)"),
    ("line", "{1,-1,0}"),
    ("circle", "<(1,2),0.30000000000000004>"),
    ("polygon", "((0,0),(1,1.5),(1,0))"),
    ("timestamp", "294276-12-31 23:59:59.999999"),
    ("timestamp", "4714-11-24 00:00:00 BC"),
    ("int4[]", "[0:1]={1,NULL}"),
]


@pytest.mark.parametrize(("sql_type", "text"), KEPT, ids=[f"{t} {x[:30]}" for t, x in KEPT])
def test_what_the_server_writes_is_kept(sql_type: str, text: str, dsn: str, connect: Connect) -> None:
    """What the server itself writes of a value loads as that value."""
    conn = connect(dsn)
    conn.execute(TYPES)
    conn.execute(f"CREATE TABLE t (v {sql_type}); CREATE TABLE u (v {sql_type}); INSERT INTO t VALUES ($x${text}$x$)")
    (written,) = conn.execute("SELECT format('%s', v) FROM t").fetchone()
    for source in (text, written):
        bulkio.load(pa.table({"v": [source]}), "u", dsn, mode="truncate")
        (back,) = conn.execute("SELECT format('%s', v) FROM u").fetchone()
        assert back == written


def test_numbers_travel_in_binary(one_dsn: str, connect: Connect) -> None:
    """Strings of numbers need no text for the server to parse."""
    connect(one_dsn).execute("CREATE TABLE t (a int8, b float8, c oid, d float4[])")
    table = pa.table({"a": ["1"], "b": ["2.5"], "c": ["3"], "d": [["0.1"]]})
    report = bulkio.load(table, "t", one_dsn)
    assert report.method == "binary"


# --- extensions ---------------------------------------------------------------------------------------------

EXTENSIONS = [
    ("postgis", "geography", "POINT(200 1)", "is out of range for"),
    ("postgis", "geography", "SRID=4326;LINESTRING(0 0, 1 91)", "is out of range for"),
    ("postgis", "geography", struct.pack("<BIdd", 1, 1, 200, 1).hex(), "is out of range for"),
    ("postgis", "geography[]", '{"POINT(200 1)"}', "is out of range for"),
    ("postgis", "places", '("POINT(200 1)",x)', "is out of range for"),
    ("postgis", "geometry(Point,4326)", "MULTIPOINT EMPTY", "is not a valid"),
    ("postgis", "geometry(Point,4326)", struct.pack("<BII", 1, 4, 0).hex(), "is not a valid"),
    ("postgis", "geometry", "POINT(9007199254740993 1)", "would be rounded by"),
    ("hstore", "hstore", "a=>1, a=>2", "has a key twice"),
    ("hstore", "hstore[]", '{"a=>1, a=>2"}', "has a key twice"),
    ("vector", "halfvec", "[0.1,2049]", "would be rounded by"),
    ("vector", "vector(1)", "[16777217]", "would be rounded by"),
    ("vector", "halfvec[]", '{"[0.1,2049]"}', "would be rounded by"),
]


def with_extension(dsn: str, connect: Connect, name: str) -> psycopg.Connection:
    """Connect to a database that has the extension."""
    conn = connect(dsn)
    if conn.execute("SELECT FROM pg_available_extensions WHERE name = %s", [name]).fetchone() is None:
        lacking(f"the extension {name}")
    conn.execute(f"SET client_min_messages = error; CREATE EXTENSION {name}")
    if name == "postgis":
        conn.execute("CREATE TYPE places AS (g geography, t text)")
    return conn


@pytest.mark.parametrize(
    ("extension", "sql_type", "text", "why"), EXTENSIONS, ids=[f"{e[1]} {e[2]}" for e in EXTENSIONS]
)
def test_what_an_extension_changes_is_refused(
    extension: str, sql_type: str, text: str, why: str, dsn: str, connect: Connect
) -> None:
    """The server takes the text, and stores another value."""
    conn = with_extension(dsn, connect, extension)
    conn.execute(f"CREATE TABLE t (v {sql_type}); INSERT INTO t VALUES ($x${text}$x$)")
    with pytest.raises(bulkio.EncodeError, match=rf'row 2, column "v": .*{why}'):
        bulkio.load(pa.table({"v": [None, text]}), "t", dsn)


def test_wkb_that_postgis_takes_in_one_form_only(dsn: str, connect: Connect) -> None:
    """WKB of one point in a line goes in as hexadecimal digits, but not in binary: no method takes it."""
    conn = with_extension(dsn, connect, "postgis")
    conn.execute("CREATE TABLE t (v geometry); CREATE TABLE p (v geometry(Point,4326))")
    ring = struct.pack("<BIII", 1, 3, 1, 4) + struct.pack("<8d", 0, 0, 1, 0, 1, 1, 5, 5)
    odd = [struct.pack("<BIIdd", 1, 2, 1, 0, 0), ring, struct.pack("<BII4d", 1, 8, 2, 0, 0, 1, 1)]
    for table, wkb in [*(("t", wkb) for wkb in odd), ("p", struct.pack("<BII", 1, 4, 0))]:
        conn.execute(f"INSERT INTO {table} VALUES ('{wkb.hex()}')")
        for method in ("binary", "csv"):
            with pytest.raises(bulkio.EncodeError, match=r'row 1, column "v": .* is not a valid'):
                bulkio.load(pa.table({"v": [wkb]}), table, dsn, method=method)


@pytest.mark.parametrize(
    ("extension", "sql_type", "text"),
    [
        ("postgis", "geography(Point,4326)", "POINT(-180 90)"),
        (
            "postgis",
            "geometry",
            "GEOMETRYCOLLECTION Z (POINT Z (1 2 3),LINESTRING Z EMPTY,POLYGON Z ((0 0 1,1 0 1,1 1 1,0 0 1)))",
        ),
        ("postgis", "geometry", '{"type": "LineString", "coordinates": [[1, 2], [3.5, -4e1]]}'),
        ("postgis", "places", '("SRID=4326;POINT(1 2)",x)'),
        ("postgis", "geometry(Point,4326)", "POINT EMPTY"),
        ("hstore", "hstore", '"a"=>"1", b=>NULL'),
        ("vector", "halfvec", "[0.1,65504,-5.9604645e-08]"),
        ("vector", "vector(2)", "[0.1,1e-45]"),
    ],
)
def test_what_an_extension_writes_is_kept(extension: str, sql_type: str, text: str, dsn: str, connect: Connect) -> None:
    """What the server itself writes of a value loads as that value."""
    conn = with_extension(dsn, connect, extension)
    conn.execute(f"CREATE TABLE t (v {sql_type}); CREATE TABLE u (v {sql_type}); INSERT INTO t VALUES ($x${text}$x$)")
    (written,) = conn.execute("SELECT format('%s', v) FROM t").fetchone()
    for source in (text, written):
        bulkio.load(pa.table({"v": [source]}), "u", dsn, mode="truncate")
        assert conn.execute("SELECT format('%s', v) FROM u").fetchone() == (written,)


@pytest.mark.parametrize(
    ("pg", "text"),
    [
        ("date", "02-JAN-24"),
        ("date", "5 Mar 24"),
        ("date", "01/02/24"),
        ("timestamp", "1/2/03 04:05"),
        ("timestamptz", "02-JAN-24 10:00+02"),
        ("timestamptz", "1/2/03 04:05Z"),
        ("daterange", "[01/02/24,)"),
        ("timestamptz", "20240102T030460Z"),
        ("timestamptz", "2024-01-02 030460+00"),
        ("timestamptz", "2024-01-02 03:04:60Z"),
    ],
)
def test_dates_that_the_server_would_guess(pg: str, text: str, one_dsn: str) -> None:
    """A year of two digits, in an order that DateStyle decides, and seconds that are moved to the next minute."""
    with connect(one_dsn) as conn:
        conn.execute(f"CREATE TABLE t (c {pg})")
        with pytest.raises(bulkio.EncodeError, match="with all digits of the year"):
            bulkio.load(pa.table({"c": [text]}), "t", one_dsn)
        assert conn.execute("SELECT count(*) FROM t").fetchone() == (0,)


@pytest.mark.parametrize(
    ("pg", "text", "stored"),
    [
        ("timestamptz", "2024-01-02T03:04:05.123456Z", "2024-01-02 03:04:05.123456+00"),
        ("timestamptz", "2024-01-02 03:04:05-0800", "2024-01-02 11:04:05+00"),
        ("timestamptz", "20240102T030405Z", "2024-01-02 03:04:05+00"),
        ("timestamptz", "Tue, 02 Jan 2024 03:04:05 GMT", "2024-01-02 03:04:05+00"),
        ("timestamptz", "0044-03-15 00:00:00+00 BC", "0044-03-15 00:00:00+00 BC"),
        ("timestamptz", "infinity", "infinity"),
        ("date", "2-Jan-2024", "2024-01-02"),
        ("date", "Jan 2, 2024", "2024-01-02"),
        ("float8", "18446744073709551616", "1.8446744073709552e+19"),
        ("float8", "0.1000000000000000055511151231257827021181583404541015625", "0.1"),
        ("hstore", "a=>b=c", '"a"=>"b=c"'),
    ],
)
def test_texts_that_are_clear(pg: str, text: str, stored: str, one_dsn: str) -> None:
    """Common forms go in as what they say."""
    with connect(one_dsn) as conn:
        conn.execute(f"CREATE EXTENSION IF NOT EXISTS hstore; SET TimeZone = 'UTC'; CREATE TABLE t (c {pg})")
        bulkio.load(pa.table({"c": [text]}), "t", one_dsn)
        assert conn.execute("SELECT c::text FROM t").fetchall() == [(stored,)]
