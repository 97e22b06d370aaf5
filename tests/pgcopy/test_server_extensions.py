"""hstore, pgvector and PostGIS on real servers: an export loads back, what the server would change is refused.

A server without the extension is skipped (gaps.py).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import psycopg
import pyarrow as pa
import pytest

import bulkio
from bulkio.errors import DecodeError, EncodeError
from bulkio.pgcopy import Decoder, Encoder, Field
from bulkio.types import PgType, cast_from_pg, cast_to_pg
from bulkio.types.geo import field_metadata
from bulkio.types.pgtypes import EXTENSION_CODECS
from cells import csv_of
from gaps import lacking
from older_pyarrow import halves

if TYPE_CHECKING:
    from collections.abc import Callable

    Connect = Callable[[str], psycopg.Connection]


def with_extension(dsn: str, connect: Connect, name: str) -> psycopg.Connection:
    """Connect to a database that has the extension."""
    conn = connect(dsn)
    if conn.execute("SELECT FROM pg_available_extensions WHERE name = %s", [name]).fetchone() is None:
        lacking(f"the extension {name}")
    conn.execute(f"SET client_min_messages = error; CREATE EXTENSION {name}")
    return conn


def column_type(conn: psycopg.Connection, table: str) -> PgType:
    """Return the type of a table's first column."""
    row = conn.execute(
        "SELECT t.typname, t.oid, t.typarray, n.nspname, a.atttypmod, e.extname FROM pg_attribute a"
        " JOIN pg_type t ON t.oid = a.atttypid JOIN pg_namespace n ON n.oid = t.typnamespace"
        " JOIN pg_depend d ON d.objid = t.oid AND d.deptype = 'e' JOIN pg_extension e ON e.oid = d.refobjid"
        " WHERE a.attrelid = %s::regclass AND a.attnum = 1",
        [table],
    ).fetchone()
    assert row is not None
    name, oid, array_oid, schema, typmod, extension = row
    return PgType(name, oid, array_oid, EXTENSION_CODECS[extension, name], schema, typmod)


def copy_out(conn: psycopg.Connection, table: str) -> bytes:
    with conn.cursor().copy(f"COPY (SELECT * FROM {table} ORDER BY 1::text) TO STDOUT (FORMAT binary)") as copy:
        return b"".join(bytes(chunk) for chunk in copy)


def copy_in(conn: psycopg.Connection, table: str, data: bytes, fmt: str = "binary") -> None:
    with conn.cursor().copy(f"COPY {table} FROM STDIN (FORMAT {fmt})") as copy:
        copy.write(data)


def decode(stream: bytes, pg: PgType) -> pa.Array:
    cast = cast_from_pg(pg)
    decoder = Decoder([Field("c", cast)], pa.schema([pa.field("c", cast.arrow)]))
    decoder.feed(stream)
    arrays = [pa.record_batch(batch).column(0) for batch in decoder.finish()]
    return pa.concat_arrays(arrays) if arrays else pa.array([], cast.arrow)


def encode(array: pa.Array, pg: PgType, method: str = "binary") -> bytes:
    cast = cast_to_pg(array.type, pg)
    assert cast is not None
    if method == "csv":
        return csv_of(array, cast)
    encoder = Encoder([Field("c", cast)])
    blocks = [*encoder.encode(pa.record_batch([array], names=["c"])), encoder.finish()]
    return b"".join(map(bytes, blocks))


CASES = {
    "hstore": ("hstore", ['"a"=>"1", "b"=>NULL', "", '"q\\"uo\\\\te"=>"é, =>"', '"NULL"=>"NULL"', '""=>""']),
    "vector": ("vector", ["[1,-2.5,3]", "[1e-45,3.4e38]", "[-0.0]", "[0.1,0.2]"]),
    "vector(3)": ("vector", ["[1,-2.5,3]", "[1e-40,3.4e38,-0.0]"]),
    "halfvec": ("vector", ["[1,-2.5,3]", "[6e-8,65504]", "[-0.0]", "[0.1]"]),
    "halfvec(2)": ("vector", ["[1,-2.5]", "[6e-8,65504]"]),
    "geometry": (
        "postgis",
        [
            "POINT(1 2)",
            "SRID=4326;POINT Z (1 2 3)",
            "POINT EMPTY",
            "POINT ZM EMPTY",
            "LINESTRING M (1 2 3, 4 5 6)",
            "SRID=3857;POLYGON((0 0,1 0,1 1,0 0),(0.1 0.1,0.2 0.1,0.2 0.2,0.1 0.1))",
            "MULTIPOINT(1 2, 3 4)",
            "MULTIPOINT(1 2, EMPTY)",
            "MULTIPOLYGON Z (((0 0 1,1 0 1,1 1 1,0 0 1)))",
            "SRID=4326;GEOMETRYCOLLECTION ZM (POINT ZM (1 2 3 4), GEOMETRYCOLLECTION ZM (LINESTRING ZM EMPTY))",
            "CIRCULARSTRING(0 0,1 1,2 0)",
            "COMPOUNDCURVE(CIRCULARSTRING(0 0,1 1,2 0),(2 0,3 0))",
            "CURVEPOLYGON(CIRCULARSTRING(0 0,4 0,4 4,0 4,0 0))",
            "MULTICURVE((0 0,5 5),CIRCULARSTRING(4 0,4 4,8 4))",
            "MULTISURFACE(CURVEPOLYGON((0 0,1 0,1 1,0 0)))",
            "POLYHEDRALSURFACE Z (((0 0 0,0 1 0,1 1 0,0 0 0)))",
            "TRIANGLE((0 0,0 1,1 1,0 0))",
            "TIN(((0 0,0 1,1 1,0 0)))",
            # infinite x, 1e308
            "0101000000000000000000f07fa0c8eb85f3cce17f",
        ],
    ),
    "geometry(PointZ,4326)": ("postgis", ["SRID=4326;POINT Z (1 2 3)", "SRID=4326;POINT Z EMPTY"]),
    "geometry(Geometry,3857)": (
        "postgis",
        [
            "SRID=3857;POINT(1 2)",
            "SRID=3857;POLYGON EMPTY",
        ],
    ),
    "geometry(GeometryZ,3857)": (
        "postgis",
        [
            "SRID=3857;GEOMETRYCOLLECTION Z (POINT Z (1 2 3), MULTILINESTRING Z ((1 2 3,4 5 6)))",
            "SRID=3857;POLYHEDRALSURFACE Z (((0 0 0,0 1 0,1 1 0,0 0 0)))",
        ],
    ),
    "geometry(GeometryM,3857)": ("postgis", ["SRID=3857;LINESTRING M (1 2 3, 4 5 6)"]),
    "geometry(GeometryZM,3857)": ("postgis", ["SRID=3857;MULTIPOINT ZM (1 2 3 4, 5 6 7 8)"]),
    "geometry(Point)": ("postgis", ["POINT(1 2)", "SRID=4326;POINT(3 4)"]),
    "geography": ("postgis", ["POINT(180 -90)", "LINESTRING(-180 90, 0.1 0.2)"]),
    "geography(Polygon,4326)": ("postgis", ["POLYGON((0 0,1 0,1 1,0 0))"]),
    "geography(Point,4267)": ("postgis", ["SRID=4267;POINT(1 2)"]),
}


@pytest.mark.parametrize("type_name", CASES)
@pytest.mark.parametrize("method", ["binary", "csv"])
def test_round_trip(dsn: str, connect: Connect, type_name: str, method: str) -> None:
    """Server -> Arrow -> server gives the same bytes, whatever the method of the load, and the same DDL."""
    extension, texts = CASES[type_name]
    conn = with_extension(dsn, connect, extension)
    conn.execute(f"CREATE TABLE a (c {type_name})")
    for text in [*texts, None]:
        conn.execute(f"INSERT INTO a VALUES (%s::text::{type_name})", [text])
    pg = column_type(conn, "a")
    stream = copy_out(conn, "a")
    array = decode(stream, pg)
    assert (len(array), array.null_count) == (len(texts) + 1, 1)
    conn.execute(f"CREATE TABLE b (c {pg.sql})")
    assert column_type(conn, "b") == pg
    copy_in(conn, "b", encode(array, pg, method), method)
    assert copy_out(conn, "b") == stream


def test_hstore_equals_the_servers_parse(dsn: str, connect: Connect) -> None:
    """What Arrow's map holds is what hstore's own functions see."""
    conn = with_extension(dsn, connect, "hstore")
    conn.execute("CREATE TABLE a (c hstore)")
    pairs = [("b", None), ("a", "1"), ("", 'x"\\')]
    copy_in(conn, "a", encode(pa.array([pairs], pa.map_(pa.string(), pa.string())), column_type(conn, "a")))
    keys, values = [list(part) for part in zip(*pairs, strict=True)]
    same = conn.execute("SELECT c = hstore(%s::text[], %s::text[]) FROM a", [keys, values]).fetchone()
    assert same == (True,)


def test_hstore_drops_equal_keys_in_silence(dsn: str, connect: Connect) -> None:
    """Why they are refused in the client."""
    conn = with_extension(dsn, connect, "hstore")
    conn.execute("CREATE TABLE a (c hstore)")
    field = struct.pack(">i", 2) + b"\0\0\0\1a\0\0\0\0011" + b"\0\0\0\1a\0\0\0\0012"
    copy_in(conn, "a", b"PGCOPY\n\xff\r\n\0" + bytes(8) + b"\0\1" + struct.pack(">i", len(field)) + field + b"\xff\xff")
    assert conn.execute("SELECT akeys(c) FROM a").fetchone() == (["a"],)


@pytest.mark.parametrize("name", ["vector", "halfvec"])
def test_vector_limits_are_the_servers(dsn: str, connect: Connect, name: str) -> None:
    """16,000 dimensions go in; the values are those that the server parses."""
    conn = with_extension(dsn, connect, "vector")
    conn.execute(f"CREATE TABLE a (c {name})")
    pg = column_type(conn, "a")
    array = halves([[1.5] * 16000, [0.25, -3.0]], pa.list_(pa.float16()))
    copy_in(conn, "a", encode(array, pg))
    counted = conn.execute(f"SELECT count(*) FILTER (WHERE c = '[0.25,-3]'::{name}), max(vector_dims(c)) FROM a")
    assert counted.fetchone() == (1, 16000)


def wkb_point(x: float, y: float, srid: int | None = None) -> bytes:
    head = struct.pack("<BI", 1, 1) if srid is None else struct.pack("<BII", 1, 0x20000001, srid)
    return head + struct.pack("<2d", x, y)


def raw(field: bytes) -> bytes:
    return b"PGCOPY\n\xff\r\n\0" + bytes(8) + b"\0\1" + struct.pack(">i", len(field)) + field + b"\xff\xff"


ISO_CODES = (1, 1001, 2001, 3001, 0x80000001, 0x40000001, 0xC0000001)


@pytest.mark.parametrize("code", ISO_CODES, ids=hex)
@pytest.mark.parametrize("order", ["<", ">"])
def test_geometry_equals_the_servers_parse(dsn: str, connect: Connect, code: int, order: str) -> None:
    """Points with every spelling of Z and M, in both byte orders, with the column's SRID put in."""
    conn = with_extension(dsn, connect, "postgis")
    axes = {0: "", 1: "Z", 2: "M", 3: "ZM"}[code % 1000000 // 1000 if code < 4000 else (code >> 31) | (code >> 29 & 2)]
    conn.execute(f"CREATE TABLE a (c geometry(Point{axes},4326))")
    numbers = [1.5, -2.25, 3.0, 4.0][: 2 + len(axes)]
    wkb = struct.pack(f"{order}BI{len(numbers)}d", order == "<", code, *numbers)
    copy_in(conn, "a", encode(pa.array([wkb]), column_type(conn, "a")))
    expected = f"SRID=4326;POINT {axes} ({' '.join(map(str, numbers))})"
    same = conn.execute("SELECT c::bytea = %s::text::geometry::bytea FROM a", [expected]).fetchone()
    assert same == (True,)


def test_geometry_arrays(dsn: str, connect: Connect) -> None:
    """The types go inside arrays, too."""
    conn = with_extension(dsn, connect, "postgis")
    conn.execute("CREATE TABLE a (c geometry)")
    pg = column_type(conn, "a")
    many = PgType("_geometry", pg.array_oid, 0, "array", pg.schema, element=pg)
    conn.execute("CREATE TABLE b (c geometry[])")
    array = pa.array([[wkb_point(1, 2), None], None, []], pa.list_(pa.binary()))
    stream = encode(array, many)
    copy_in(conn, "b", stream)
    assert sorted(map(str, decode(copy_out(conn, "b"), many).to_pylist())) == sorted(map(str, array.to_pylist()))
    assert decode(stream, many).to_pylist() == [[wkb_point(1, 2), None], None, []]


def test_geometry_arrays_beside_a_type_that_the_server_parses(dsn: str, connect: Connect) -> None:
    """The load travels as CSV, where PostGIS wants a colon between an array's elements."""
    conn = with_extension(dsn, connect, "postgis")
    conn.execute("CREATE TABLE b (c geometry[], x box)")
    array = pa.array([[wkb_point(1, 2), None, wkb_point(3, 4)], None, []], pa.list_(pa.binary()))
    report = bulkio.load(pa.table({"c": array, "x": ["(1,1),(0,0)"] * 3}), "b", dsn)
    assert report.method == "csv"
    assert bulkio.read("b", dsn).read_all()["c"].to_pylist() == array.to_pylist()


def test_postgis_changes_values_in_silence(dsn: str, connect: Connect) -> None:
    """Why they are refused in the client: each of these the server takes, and gives back something else."""
    conn = with_extension(dsn, connect, "postgis")
    empty_z = struct.pack("<BI3d", 1, 1001, float("nan"), float("nan"), 7)
    inner_srid = struct.pack("<BII", 1, 0x20000007, 4326) + struct.pack("<I", 1) + wkb_point(1, 2, 3857)
    geometry = {
        wkb_point(1, 2) + b"more": "POINT(1 2)",
        empty_z: "POINT Z EMPTY",
        inner_srid: "SRID=4326;GEOMETRYCOLLECTION(POINT(1 2))",
    }
    conn.execute("CREATE TABLE a (c geometry); CREATE TABLE b (c geography)")
    for table, cases in (("a", geometry), ("b", {wkb_point(190, 0): "POINT(-170 0)"})):
        pg = column_type(conn, table)
        for wkb, becomes in cases.items():
            with pytest.raises(EncodeError, match='row 1, column "c"'):
                encode(pa.array([wkb]), pg)
            conn.execute(f"TRUNCATE {table}")
            copy_in(conn, table, raw(wkb))
            same = conn.execute(f"SELECT c::bytea = %s::text::{pg.name}::bytea FROM {table}", [becomes]).fetchone()
            assert same == (True,), becomes


def test_geometry_depth_limit_is_the_servers(dsn: str, connect: Connect) -> None:
    """The deepest geometry that is encoded is one that PostGIS takes."""
    conn = with_extension(dsn, connect, "postgis")
    conn.execute("CREATE TABLE a (c geometry)")
    wkb = wkb_point(1, 2)
    for _ in range(198):
        wkb = struct.pack("<BII", 1, 7, 1) + wkb
    copy_in(conn, "a", encode(pa.array([wkb]), column_type(conn, "a")))
    with pytest.raises(psycopg.Error, match="chained"):
        copy_in(conn, "a", raw(struct.pack("<BII", 1, 7, 1) + wkb))


def test_geography_of_another_datum_says_how(dsn: str, connect: Connect) -> None:
    """A geography column without typmod counts as 4326; another SRID in it is an error that names the way out."""
    conn = with_extension(dsn, connect, "postgis")
    conn.execute("CREATE TABLE a (c geography); INSERT INTO a VALUES ('SRID=4267;POINT(1 2)')")
    pg = column_type(conn, "a")
    assert b"EPSG:4326" in field_metadata(pg)[b"ARROW:extension:metadata"]
    with pytest.raises(DecodeError, match=r"SRID 4267, expected 4326: select it as geometry \(column::geometry\)"):
        decode(copy_out(conn, "a"), pg)


@pytest.mark.parametrize("type_name", [name for name in CASES if name.startswith("geo")])
def test_typmods_are_spelled_as_the_server_does(dsn: str, connect: Connect, type_name: str) -> None:
    """So the DDL that is made from one gives the same column."""
    conn = with_extension(dsn, connect, "postgis")
    conn.execute(f"CREATE TABLE a (c {type_name})")
    pg = column_type(conn, "a")
    (spelled,) = conn.execute("SELECT format_type(%s, %s)", [pg.oid, pg.typmod]).fetchone() or ("",)
    assert pg.sql.replace('"', "").removeprefix("public.") == spelled
