"""What the matrix of types tries: the rows of the promise, and for each one or more columns with their values.

A value is SQL's text, quoted and cast to the column's type by the test. Owns no test and reads no database.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from promise import ROWS, row_of

__all__ = ["CASES", "TABLES", "Case", "TableCase"]


@dataclass(frozen=True)
class Case:
    """One column of a type, and values for it."""

    id: str
    row: int
    type: str
    values: tuple[str, ...]
    extension: str = ""
    setup: str = ""
    #: arguments of export and of load
    exports: dict = field(default_factory=dict)
    loads: dict = field(default_factory=dict)
    #: what an export without `exports` says, for a policy; "" where it works without
    refused: str = ""
    #: what one format cannot hold: (format, what the message says)
    unheld: dict = field(default_factory=dict)
    nulls: bool = True
    #: the oldest major version that has it
    since: int = 0
    #: needs a server with libxml
    xml: bool = False


@dataclass(frozen=True)
class TableCase:
    """A whole table, by its DDL and rows; `{t}` is its name."""

    id: str
    setup: str
    rows: str = ""
    unheld: dict = field(default_factory=dict)
    refused: str = ""
    #: an INSERT that works before and after
    insert: str = ""


def _cases() -> list[Case]:
    made: list[Case] = []

    def add(row: str, id_: str, type_: str, *values: str, **more) -> None:
        made.append(Case(id_, row_of(ROWS, row), type_, values, **more))

    _scalars(add)
    _texts(add)
    _times(add)
    _nested(add)
    _exotic(add)
    _extensions(add)
    _fallbacks(add)
    return made


def _scalars(add) -> None:
    add("bool", "bool", "bool", "true", "false")
    add("bool", "int2", "int2", "0", "-32768", "32767")
    add("bool", "int4", "int4", "0", "-2147483648", "2147483647")
    add("bool", "int8", "int8", "0", "-9223372036854775808", "9223372036854775807")
    floats = ("0", "-0", "NaN", "Infinity", "-Infinity", "0.1")
    add("bool", "float4", "float4", *floats, "1e-45", "3.4028235e38", "16777217")
    add("bool", "float8", "float8", *floats, "5e-324", "1.7976931348623157e308", "9007199254740993")
    add("numeric(p", "numeric(10,2)", "numeric(10,2)", "0", "0.00", "12.30", "-99999999.99", "0.01")
    add("numeric(p", "numeric(38,0)", "numeric(38,0)", "9" * 38, "-" + "9" * 38, "0", "10000", "1" + "0" * 37)
    add("numeric(p", "numeric(38,38)", "numeric(38,38)", "0." + "9" * 38, "0." + "0" * 37 + "1", "0")
    add("numeric(p", "numeric(39,4)", "numeric(39,4)", "9" * 35 + ".9999", "-0.0001")
    add("numeric(p", "numeric(76,10)", "numeric(76,10)", "9" * 66 + ".9999999999", "-1e65")
    add("numeric(p", "numeric(77,0)", "numeric(77,0)", "9" * 77, "NaN", "-0.0")
    add("numeric(p", "numeric(1000,2)", "numeric(1000,2)", "9" * 998 + ".99", "0.01", "NaN")
    add("numeric(p", "numeric(5,-2)", "numeric(5,-2)", "9999900", "-100", "149", "0", since=15)
    add("numeric(p", "numeric(3,5)", "numeric(3,5)", "0.00999", "-0.00001", "0", since=15)
    add("numeric(p", "numeric(70,-7)", "numeric(70,-7)", "1e70", "-1e7", since=15)
    huge = "9" * 131072 + "." + "9" * 16383
    add("numeric, no", "numeric", "numeric", "0", "0.000", "12.30", "-1e-16383", "1e131071", huge, "-0.00010")
    add("numeric NaN", "numeric NaN", "numeric", "NaN", "Infinity", "-Infinity", "1")
    add("bytea", "bytea", "bytea", "", r"\x00ff", "abc", r"\x" + "5c27" * 300)
    add("uuid", "uuid", "uuid", "00000000-0000-0000-0000-000000000000", "f" * 32)
    add("uuid", "json", "json", '{"b": 1, "a":2, "a": 3}', " [1 ,2] ", '"\\u0041"', "null", "1e400")
    add("uuid", "jsonb", "jsonb", '{"b": 1, "a":2, "a": 3}', "[1 ,2.50]", '"é"', "null", "1e400", "{}")
    add("oid", "oid", "oid", "0", "4294967295")
    add("oid", "xid", "xid", "0", "4294967295")
    add("oid", "xid8", "xid8", "0", "18446744073709551615")
    add("money", "money", "money", "0", "-92233720368547758.08", "92233720368547758.07", "12.30")
    add("bit", "bit(1)", "bit", "0", "1")
    add("bit", "bit(13)", "bit(13)", "1010101010101", "0000000000000")
    add("bit", "varbit", "varbit", "", "1", "10101010101", "1" * 999)
    add("bit", "varbit(5)", "varbit(5)", "", "10101")
    add("point", "point", "point", "(0,-0)", "(1.5,-2e300)", "(NaN,Infinity)")
    nets = ("0.0.0.0/0", "10.1.2.3/32", "::/0", "2001:db8::1/128", "::ffff:1.2.3.4/128")
    add("inet", "inet", "inet", *nets, "192.168.0.1/24", "fe80::1/64", "255.255.255.255")
    add("inet", "cidr", "cidr", *nets, "192.168.0.0/24")
    add("inet", "macaddr", "macaddr", "00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff", "08:00:2b:01:02:03")
    add("inet", "macaddr8", "macaddr8", "00:00:00:00:00:00:00:00", "08:00:2b:01:02:03:04:ff")
    add("inet", "pg_lsn", "pg_lsn", "0/0", "FFFFFFFF/FFFFFFFF", "16/B374D848")
    add("inet", "jsonpath", "jsonpath", "$", "strict $.a[*] ? (@ > 1)", '$."é"')


def _texts(add) -> None:
    row, texts = "text,", ("", "a", "é😀", 'it\'s \\N "x"', "\t\n\r\x01", "  x  ", "NULL", "\\.")
    add(row, "text", "text", *texts, "x" * 70000)
    add(row, "varchar", "varchar", *texts)
    add(row, "varchar(5)", "varchar(5)", "", "é😀é😀é", "a    ", "12345")
    add(row, "char(5)", "char(5)", "", "a", "é😀", "12345")
    add(row, "bpchar", "bpchar", "", "a   ", "é")
    add(row, "name", "name", "", "pg_class", "n" * 63)
    add(row, "citext", "citext", "", "Aa", "é", extension="citext")
    add(row, "xml", "xml", "<a/>", "<a>é</a>", "text", xml=True)


def _times(add) -> None:
    row, infinite = "date;", {"exports": {"infinity": "sentinel"}, "loads": {"infinity": "sentinel"}}
    add(row, "date", "date", "2000-01-01", "1970-01-01", "0001-01-01", "9999-12-31")
    stamps = ("2000-01-01 00:00:00", "1969-12-31 23:59:59.999999", "9999-12-31 23:59:59.999999", "0001-01-01")
    add(row, "timestamp", "timestamp", *stamps)
    add(row, "timestamptz", "timestamptz", *(f"{s}+00" for s in stamps), "2024-02-29 12:00:00.5+13:45")
    add(row, "timestamp(3)", "timestamp(3)", *stamps[:2])
    add(row, "timestamptz(0)", "timestamptz(0)", *stamps[:2])
    far, edge = "±inf", ("4713-01-01 00:00:00 BC", "294246-12-31 23:59:59.999999")
    add(far, "far date", "date", "4713-01-01 BC", "5874897-12-31")
    add(far, "far timestamp", "timestamp", *edge)
    add(far, "far timestamptz", "timestamptz", *(f"{e[:-3]}+00 BC" if "BC" in e else f"{e}+00" for e in edge))
    says = {"refused": "infinity"}
    add(far, "infinite date", "date", "infinity", "-infinity", "2000-01-01", **infinite, **says)
    add(far, "infinite timestamp", "timestamp", "infinity", "-infinity", "2000-01-01", **infinite, **says)
    add(far, "infinite timestamptz", "timestamptz", "infinity", "-infinity", "2000-01-01 00:00+00", **infinite, **says)
    add("time", "time", "time", "00:00", "23:59:59.999999", "12:30:00.5")
    add("time", "time(3)", "time(3)", "00:00", "12:30:00.567")
    add(
        "time",
        "24:00 time",
        "time",
        "24:00:00",
        "00:00",
        **infinite,
        refused="outside what Arrow",
    )
    add("timetz", "timetz", "timetz", "00:00+00", "12:34:56.789+02", "23:59:59.999999-15:59:59", "24:00:00+05:30")
    add("timetz", "timetz(2)", "timetz(2)", "12:34:56.78-03:30")
    spans = ("0", "1 year -2 days 03:04:05.678901", "-178000000 years", "2147483647 days", "-100:00:00.000001")
    add("interval", "interval", "interval", *spans, "00:00:00.000001", "-2147483648 months -2147483648 days")
    add(
        "interval",
        "long interval",
        "interval",
        "2562047788:00:54.775807",
        unheld=dict.fromkeys(("arrow", "arrows", "reader"), "interval"),
    )
    add("interval", "infinite interval", "interval", "infinity", "-infinity", "0", since=17, **infinite, **says)
    add("interval", "interval(3)", "interval(3)", "1 day 00:00:01.234")
    add("interval", "interval day to second", "interval day to second(2)", "1 day 00:00:01.23")


_TYPES = """
CREATE TYPE mood AS ENUM ('sad', 'ok', 'Happy', 'é '' "x', 'a');
CREATE DOMAIN short AS varchar(5);
CREATE DOMAIN shorter AS short CHECK (length(VALUE) < 4);
CREATE DOMAIN must AS int4 NOT NULL CHECK (VALUE > 0);
CREATE DOMAIN money2 AS numeric(10,2);
CREATE DOMAIN ints AS int4[];
CREATE TYPE pair AS (a int4, gone text, b text);
ALTER TYPE pair DROP ATTRIBUTE gone;
CREATE TYPE "Odd ""Type" AS ("A b" int4, "é,(" text, "select" mood, "x.y" pair);
CREATE TYPE outer_ AS (p pair, ps pair[], m mood, s shorter, n numeric(8,3), r int4range);
CREATE TYPE floatrange AS RANGE (subtype = float8, multirange_type_name = floatmulti);
CREATE TYPE "Text Range" AS RANGE (subtype = text, multirange_type_name = "Text Multi");
CREATE DOMAIN pairs AS pair;
CREATE DOMAIN moods AS mood;
"""


def _nested(add) -> None:
    own = {"setup": _TYPES}
    add("enum", "enum", "mood", "sad", "ok", "Happy", "é ' \"x", "a", **own)
    add("composite", "domain varchar(5)", "short", "", "abc", "12345", **own)
    add("composite", "domain of domain", "shorter", "", "abc", **own)
    add("composite", "NOT NULL domain", "must", "1", "2147483647", nulls=False, **own)
    add("composite", "domain numeric", "money2", "1.50", "-99999999.99", **own)
    add("composite", "domain of array", "ints", "{}", "{1,NULL}", **own)
    add("composite", "domain of enum", "moods", "a", "Happy", **own)
    add("composite", "domain of composite", "pairs", "(1,x)", "(,)", **own)
    add("composite", "composite", "pair", "(1,x)", "(,)", '(,"")', '(-1,"a,\\"(b)")', **own)
    add("composite", "odd composite", '"Odd ""Type"', '(1,"é",Happy,"(2,z)")', "(,,,)", '(,,,"(,)")', **own)
    add(
        "composite",
        "nested composite",
        "outer_",
        '("(1,x)","{""(2,y)"",NULL}",ok,abc,1.500,"[1,3)")',
        "(,,,,,)",
        '("(,)",{},sad,"",0,empty)',
        **own,
    )
    row = "range"
    for name, low, high in (
        ("int4range", "1", "5"),
        ("int8range", "-9223372036854775808", "7"),
        ("numrange", "1.50", "2"),
        ("daterange", "2000-01-01", "2001-01-01"),
        ("tsrange", "2000-01-01", "2001-01-01"),
        ("tstzrange", "2000-01-01 00:00+00", "2001-01-01 00:00+00"),
        ("floatrange", "-0.5", "1e300"),
        ('"Text Range"', '"a,b"', '"é"'),
    ):
        ranges = ("empty", f"[{low},{high})", f"[{low},)", f"(,{high})", "(,)", f"[{low},{low}]")
        add(row, name.strip('"'), name, *ranges, **own)
    for name in ("int4multirange", "nummultirange", "floatmulti", '"Text Multi"'):
        add(row, name.strip('"'), name, "{}", "{[1,2),[5,6)}", "{(,3),[7,)}", "{(,)}", since=14, **own)
    add(
        row,
        "infinite range bound",
        "tsrange",
        "[-infinity,infinity)",
        exports={"infinity": "sentinel"},
        loads={"infinity": "sentinel"},
        refused="infinity",
        **own,
    )
    _arrays(add, own)


def _arrays(add, own) -> None:
    row = "T[]"
    elements = {
        "bool": "t",
        "int2": "-1",
        "int4": "7",
        "int8": "8",
        "float4": "NaN",
        "float8": "-0",
        "numeric": "1.50",
        "numeric(10,2)": "1.50",
        "text": "é",
        "varchar(5)": "ab",
        "char(3)": "a",
        "name": "n",
        "bytea": "\\\\x00",
        "date": "2000-01-01",
        "timestamp": "2000-01-01",
        "timestamptz": "2000-01-01 00:00+00",
        "time": "12:00",
        "timetz": "12:00+02",
        "interval": "1 day",
        "uuid": "f" * 32,
        "json": "[1]",
        "jsonb": "{}",
        "inet": "::1",
        "cidr": "10.0.0.0/8",
        "macaddr": "08:00:2b:01:02:03",
        "macaddr8": "08:00:2b:01:02:03:04:05",
        "bit(3)": "101",
        "varbit": "1",
        "money": "1.25",
        "oid": "4294967295",
        "xid": "5",
        "xid8": "18446744073709551615",
        "pg_lsn": "1/2",
        "jsonpath": "$",
        "point": "(1,2)",
        "mood": "Happy",
        "short": "abc",
        "must": "3",
        "pair": "(1,x)",
        "outer_": "(,,,,,)",
        "int4range": "[1,2)",
        "floatrange": "empty",
        "int4multirange": "{}",
        "box": "(1,1),(0,0)",
        "tsvector": "'a':1",
        "regclass": "pg_class",
        "polygon": "((0,0),(1,1))",
    }
    for name, text in elements.items():
        quoted = '"' + text.replace('"', '\\"') + '"'
        separator = ";" if name == "box" else ","
        with_null = f"{{{quoted}{separator}{quoted}}}" if name == "must" else f"{{NULL{separator}{quoted}}}"
        more = own if name in ("mood", "short", "must", "pair", "outer_", "floatrange") else {}
        add(row, f"{name}[]", f"{name}[]", "{}", f"{{{quoted}}}", with_null, **more)
    add(
        row,
        "2-D int4[]",
        "int4[]",
        "{{1,2},{NULL,4}}",
        "{{1}}",
        "{}",
        exports={"dimensions": {"v": 2}},
        loads={"dimensions": {"v": 2}},
        refused="dimension",
    )
    add(
        row,
        "3-D text[]",
        "text[]",
        "{{{a},{b}}}",
        "{}",
        exports={"dimensions": {"v": 3}},
        loads={"dimensions": {"v": 3}},
        refused="dimension",
    )
    add(
        row,
        "2-D mood[]",
        "mood[]",
        "{{a,ok}}",
        "{}",
        exports={"dimensions": {"v": 2}},
        loads={"dimensions": {"v": 2}},
        refused="dimension",
        **own,
    )


def _exotic(add) -> None:
    add("inet", "ltree", "ltree", "", "a", "Top.Science.a_b", extension="ltree")
    add("hstore", "hstore", "hstore", "", "a=>1", 'a=>NULL,"b c"=>"","é"=>"\\"x"', extension="hstore")
    add("hstore", "hstore[]", "hstore[]", "{}", '{"a=>1",NULL,""}', extension="hstore")


def _extensions(add) -> None:
    row = "PostGIS"
    shapes = (
        "POINT(1 2)",
        "POINT EMPTY",
        "LINESTRING(0 0,1 1)",
        "POLYGON((0 0,1 0,1 1,0 0))",
        "GEOMETRYCOLLECTION(POINT(1 2),MULTIPOINT(1 1,2 2))",
        "POINT ZM (1 2 3 4)",
        "SRID=4326;POINT(1 2)",
    )
    gis = {"extension": "postgis"}
    add(row, "geometry", "geometry", *shapes, **gis)
    add(row, "geometry(Point,4326)", "geometry(Point,4326)", "SRID=4326;POINT(1 2)", "SRID=4326;POINT EMPTY", **gis)
    add(row, "geometry(PointZ)", "geometry(PointZ)", "POINT Z (1 2 3)", **gis)
    add(row, "geography", "geography", "POINT(1 2)", "SRID=4326;LINESTRING(0 0,1 1)", **gis)
    add(row, "geography(Point,4326)", "geography(Point,4326)", "POINT(1 2)", **gis)
    add(row, "geometry[]", "geometry[]", "{}", '{"POINT(1 2)":NULL}', **gis)
    row, vec = "vector", {"extension": "vector"}
    add(row, "vector", "vector", "[1]", "[1,-0,3e-45]", **vec)
    add(row, "vector(3)", "vector(3)", "[1,2,3]", "[-3.4e38,0,1e-40]", **vec)
    add(row, "halfvec", "halfvec", "[1]", "[65504,-0,6e-8]", **vec)
    add(row, "halfvec(2)", "halfvec(2)", "[1,2]", **vec)
    add(row, "vector(2)[]", "vector(2)[]", "{}", '{"[1,2]",NULL}', **vec)


def _fallbacks(add) -> None:
    row = "everything"
    add(row, "box", "box", "(1,1),(0,0)", "(1e300,NaN),(-1,-1)")
    add(row, "circle", "circle", "<(1,2),3>")
    add(row, "line", "line", "{1,2,3}")
    add(row, "lseg", "lseg", "[(0,0),(1,1)]")
    add(row, "path", "path", "((0,0),(1,1))", "[(0,0)]")
    add(row, "polygon", "polygon", "((0,0),(1,1),(2,0))")
    add(row, "tsvector", "tsvector", "", "'a':1A 'b c':2", "'it''s'")
    add(row, "tsquery", "tsquery", "", "'a' & !'b'")
    add(row, "regclass", "regclass", "pg_class", "pg_type")
    add(row, "regproc", "regproc", "now")
    add(row, "regtype", "regtype", "integer", "text[]")
    add(row, '"char"', '"char"', "a", "", "\\377")
    add(row, "aclitem", "aclitem", "=r/{me}")
    add(row, "tid", "tid", "(0,1)", "(4294967295,65535)")
    add(row, "cid", "cid", "5")
    add(row, "int2vector", "int2vector", "1 2 3", "")
    add(row, "oidvector", "oidvector", "1 2", "")
    add(row, "txid_snapshot", "txid_snapshot", "10:20:10,14")
    add(row, "cube", "cube", "(1,2),(3,4)", "(1)", extension="cube")
    add(row, "seg", "seg", "1 .. 2.50", "~3", extension="seg")
    add(row, "isbn", "isbn", "0-393-04002-X", extension="isn")
    add(row, "cube[]", "cube[]", "{}", '{"(1)",NULL}', extension="cube")
    add(row, "lquery", "lquery", "a.*{1,2}.b", extension="ltree")
    add(row, "sparsevec", "sparsevec", "{1:2}/3", extension="vector")
    shell = """
    CREATE TYPE unheard;
    CREATE FUNCTION unheard_in(cstring) RETURNS unheard LANGUAGE internal IMMUTABLE STRICT AS 'textin';
    CREATE FUNCTION unheard_out(unheard) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'textout';
    CREATE TYPE unheard (INPUT = unheard_in, OUTPUT = unheard_out);
    CREATE TYPE holder AS (a int, u unheard);
    """
    add(row, "CREATE TYPE", "unheard", "", "a\tb\\N", "é", setup=shell)
    add(row, "composite of unheard", "holder", "(1,a)", "(,)", setup=shell)
    add(row, "domain over box", "boxes", "(1,1),(0,0)", setup="CREATE DOMAIN boxes AS box;")
    add(
        row,
        "range of unheard",
        "inetrange",
        "[10.0.0.1,10.0.0.9)",
        "empty",
        setup="CREATE TYPE inetrange AS RANGE (subtype = inet);",
    )


def _columns(number: int) -> str:
    return ", ".join(f"c{i} int2" for i in range(number))


TABLES = (
    TableCase(
        "identity",
        "CREATE TABLE {t} (a int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY, b int8 GENERATED BY DEFAULT"
        " AS IDENTITY NOT NULL, c text NOT NULL)",
        "INSERT INTO {t} (c) SELECT 'x' FROM generate_series(1, 5)",
        insert="INSERT INTO {t} (c) VALUES ('next') RETURNING a, b",
    ),
    TableCase(
        "serial",
        "CREATE TABLE {t} (a smallserial, b serial PRIMARY KEY, c bigserial, d text)",
        "INSERT INTO {t} (d) SELECT 'x' FROM generate_series(1, 5)",
        insert="INSERT INTO {t} (d) VALUES ('next') RETURNING a, b, c",
    ),
    TableCase(
        "identity, no rows",
        "CREATE TABLE {t} (a int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY, c text)",
        insert="INSERT INTO {t} (c) VALUES ('next') RETURNING a",
    ),
    TableCase(
        "key of two, out of order",
        "CREATE TABLE {t} (a int4, b text, c date, PRIMARY KEY (c, a))",
        "INSERT INTO {t} VALUES (1, 'x', '2000-01-01'), (2, NULL, '2000-01-01')",
    ),
    TableCase(
        "odd names",
        'CREATE TABLE {t} ("A" int4, "a" int4, "sélect" int4, "x y.z" int4, "q""uote" int4,'
        f""" "it's" int4, "%s$1\\" int4, "{"é" * 31}x" int4, "😀" int4 NOT NULL)""",
        "INSERT INTO {t} VALUES (1, 2, 3, 4, 5, 6, 7, 8, 9)",
    ),
    TableCase("1,600 columns", f"CREATE TABLE {{t}} ({_columns(1600)})", "INSERT INTO {t} (c0, c1599) VALUES (1, 2)"),
    TableCase("no rows", "CREATE TABLE {t} (a int4 NOT NULL, b numeric(5,2)[], c varchar(3))"),
    TableCase("no columns", "CREATE TABLE {t} ()", "INSERT INTO {t} DEFAULT VALUES", refused="no columns"),
    TableCase(
        "dropped column",
        "CREATE TABLE {t} (a int4, b text, c int4); ALTER TABLE {t} DROP COLUMN b",
        "INSERT INTO {t} VALUES (1, 2)",
    ),
    TableCase(
        "beside a box, as csv",
        "CREATE TYPE {t}_p AS (a int4, b text, i interval); CREATE TABLE {t} (z box, a int2,"
        " b float8, c numeric(10,2), d numeric, e text, f bytea, g date, h timestamptz, i time, j timetz, k interval,"
        " l uuid, m jsonb, n int4[], o interval[], p {t}_p, q {t}_p[], r tsrange, s int4range[], u inet, v bit(3),"
        " w oid, x xid8, y point, aa text[], ab bytea[], ac daterange, ad bool, ae float4[], af json[], ag pg_lsn)",
        "INSERT INTO {t} VALUES ('(1,1),(0,0)', 1, 'NaN', 1.50, 'NaN', E'a\\tb\"\\\\N', '\\x00', '0044-03-15 BC',"
        " '0001-01-01 00:00+00 BC', '24:00'::time - interval '1us', '12:00:00.5+02', '1 mon -2 days 3.5s', "
        "'00000000000000000000000000000001', '{{\"a\": \"\\\\\"}}', '{{1,NULL}}', '{{1 day}}', "
        "ROW(1, E'x,\"(\\n', '1 mon'), ARRAY[ROW(NULL, '', '0')::{t}_p, NULL], '[2000-01-01,)',"
        " '{{empty}}', '::1/64', '101', 125, '18446744073709551615', '(1e-300,-0)',"
        " ARRAY['', NULL, 'NULL', '\"', '{{}}'],"
        " ARRAY['\\x'::bytea, '\\xff00'], 'empty', true, '{{-0,NaN}}', ARRAY['[1]'::json], '1/2')",
    ),
    TableCase("defaults", "CREATE TABLE {t} (a int4 DEFAULT 7, b text)", "INSERT INTO {t} (b) VALUES ('x')"),
)

CASES = _cases()
