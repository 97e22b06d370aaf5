"""Text for the server's own parsers: refused where they would round or drop in silence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from bulkio.errors import EncodeError
from bulkio.types import SERVER_TEXT, STRICT, PgType, Policies, array_of, base_type, cast_to_pg, numeric_typmod
from cells import encode

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

FIELDS = 0x7FFF << 16
SNAPSHOT = PgType("pg_snapshot", 5038, 0, SERVER_TEXT)


def check(text: str, pg: PgType, policies: Policies = STRICT) -> bytes:
    how = cast_to_pg(pa.string(), pg, policies)
    assert how.codec == SERVER_TEXT
    cell = encode(pa.array([text]), how)[0]
    assert cell is not None
    return cell


# type as the server spells it, bulkio's type; texts that go; texts that lose something
CASES: list[tuple[str, PgType, list[str], list[str]]] = [
    (
        "timestamp",
        base_type("timestamp"),
        [
            *(
                "2020-01-02 03:04:05.123456",
                "2020-01-02T03:04:05.1234560000",
                "20200102T030405",
                "infinity",
                "-infinity",
            ),
            *("Jan 2 2020 3:04 PM", "Thursday, January 2, 2020 03:04:05 BC", "2020-01-02", "epoch", "2-Jan-2020 10:00"),
        ],
        ["2020-01-02 03:04:05.1234567", "1999-12-31 23:59:59.9999999"],
    ),
    ("timestamp(0)", base_type("timestamp", 0), ["2020-01-02 03:04:05.000"], ["2020-01-02 03:04:05.5"]),
    (
        "timestamptz",
        base_type("timestamptz"),
        [
            *("2020-01-02 03:04:05.123456+02", "2020-01-02 03:04:05 UTC", "2020-01-02T03:04:05Z", "2020-01-02 +05:30"),
            *("Tue Jan 02 03:04:05 +0000 2024", "2 Jan 2020 3:04 PM GMT", "2020-01-02 03:04:05.5 -08:00:30 BC"),
            *("20200102T030405+5", "infinity", "-infinity", "epoch"),
        ],
        ["2020-01-02 03:04:05.0000001+02"],
    ),
    ("timestamptz(3)", base_type("timestamptz", 3), ["2020-01-02 03:04:05.123Z"], ["2020-01-02 03:04:05.1234Z"]),
    (
        "time",
        base_type("time"),
        ["03:04:05.123456", "3:04 PM", "T030405", "24:00:00", "allballs"],
        ["03:04:05.1234567"],
    ),
    ("time(1)", base_type("time", 1), ["03:04:05.1"], ["03:04:05.12"]),
    (
        "interval",
        base_type("interval"),
        [
            *("1.5 days", "1 mon 2 days 03:04:05.123456", "P1Y2M3DT4H5M6.789S", "1.5 years", "1.25 y", "3.000 decades"),
            *("7000 us", "1.5 ms", "0.001 ms", "-1.000001 seconds", "1.0 us", "@ 1 min ago", "PT1e-3S", "0.5 mons"),
        ],
        [
            *("0.0000001 s", "1.5 us", "0.0001 ms", "1.1 years", "PT0.0000001S", "P1.1Y", "0.33 decades", "PT1e-7S"),
            *("12.5 microseconds", "1.12345 milliseconds", "03:04:05.1234567"),
        ],
    ),
    ("interval(0)", base_type("interval", FIELDS), ["2 s", "3000 ms", "1 day"], ["2.5 s", "5 ms", "5 us", "0.25 s"]),
    ("interval year", base_type("interval", 4 << 16 | 0xFFFF), [], ["1 year 1 mon", "1 day"]),
    ("interval day", base_type("interval", 8 << 16 | 0xFFFF), [], ["1 day 5 hours"]),
    (
        "money",
        base_type("money"),
        ["12.34", "$1,234.50", "-$12.3000", "12", "1,200", "(1.10)", "92233720368547758.07"],
        ["12.345", "$1,234.567", "0.001", "-0.009"],
    ),
    (
        "timestamp[]",
        array_of(base_type("timestamp")),
        ['{"2020-01-02 03:04:05.123456",NULL,"2020-01-03 03:04:05"}', "{}"],
        ['{"2020-01-02 03:04:05.1234567"}'],
    ),
    (
        "numeric(5,2)[]",
        array_of(base_type("numeric", numeric_typmod(5, 2))),
        ["{1.23,NULL,-4.500,1e2,1.5e-1}", "{NaN}"],
        ["{1.234}", "{1.5e-2}", "{{0,1},{0,.001}}", "{1e-3}"],
    ),
    ("numeric(3,-2)[]", array_of(base_type("numeric", numeric_typmod(3, -2))), ["{1200,3e2,0}"], ["{1210}", "{1}"]),
    (
        "varchar(2)[]",
        array_of(base_type("varchar", 2 + 4)),
        ['{ab,"a b"}'.replace("a b", "ab"), "{}", '{"",x}'],
        ['{"ab  "}', "{ab\\ }"],
    ),
    (
        "tsrange",
        PgType("tsrange", 0, 0, "range", element=base_type("timestamp")),
        ["[2020-01-01 10:00,2020-01-02 10:00)"],
        ['["2020-01-01 10:00:00.1234567",)'],
    ),
]

# what the server leaves out without a word: a zone, a date, a time of day
DROPPED = [
    ("timestamp", "2020-01-02 03:04:05+02"),
    ("timestamp", "2020-01-02 03:04:05-11"),
    ("timestamp", "2020-01-02T03:04:05Z"),
    ("timestamp", "2020-01-02 03:04:05 Europe/Berlin"),
    ("timestamp", "20200102T030405+02"),
    ("timestamp", "2020-01-02 03:04 EST"),
    ("time", "03:04:05+02"),
    ("time", "2020-01-02 03:04:05"),
    ("time", "2020/01/02 03:04:05"),
    ("date", "2020-01-02 03:04:05"),
    ("date", "2020-01-02T00:00:01"),
    ("date", "20200102 030405"),
    ("date", "2020-01-02 00:00:00+02"),
    ("date", "J2451187.5"),
    ("date", "2020-01-01 1200"),
    ("date", "2020-01-01 120000"),
    ("date", "2020-01-01 +02"),
    ("timestamp", "2020-01-01 +0530"),
    ("timestamp", "20200101 -8"),
    ("timestamp", "2020-01-01 -08 12:00"),
    ("timestamp", "Jan 1 2020 +3"),
    ("timestamp", "2016-12-31 23:59:60"),
    ("timestamptz", "2016-12-31 23:59:60Z"),
    ("time", "23:59:60"),
]


# what the server completes by its clock, its session's zone, its settings or its zones' data
UNSETTLED = [
    *((name, text) for name in ("date", "timestamp", "timestamptz", "time") for text in ("now", " NOW ")),
    *((name, text) for name in ("date", "timestamp", "timestamptz") for text in ("today", "tomorrow", "Yesterday")),
    *((name, "yesterday 10:00") for name in ("timestamp", "timestamptz")),
    *(("date", "today 00:00"), ("timestamp", "10:00 tomorrow"), ("timestamptz", "today Z")),
    *(("timestamptz", "2020-01-02 03:04:05"), ("timestamptz", "2020-01-02"), ("timestamptz", "Jan 2 2020 3:04 PM")),
    *(("timestamptz", "2020-01-02 03:04:05 EST"), ("timestamptz", "2020-01-02 03:04:05 Europe/Berlin")),
    *(("timestamptz", "2020-01-02 03:04:05 UTC+3"), ("timestamptz", "2020-01-02 03:04:05 PST8PDT")),
    *(("timestamptz", "20200102T030405"), ("timestamptz", "2020-01-02 03:04:05 BC")),
    *(("tstzrange", "[2020-01-02 03:04,)"), ("timestamptz[]", "{now}"), ("date[]", "{2020-01-02,today}")),
]


@pytest.mark.parametrize(("name", "text"), UNSETTLED)
def test_what_depends_on_time_or_place_is_refused(
    name: str, text: str, dsn: str, connect: Callable[[str], psycopg.Connection]
) -> None:
    """The server takes each of these, for another value tomorrow, or in a session with another zone."""
    instants = base_type("timestamptz")
    types = {
        "tstzrange": PgType("tstzrange", 0, 0, "range", element=instants),
        "timestamptz[]": array_of(instants),
        "date[]": array_of(base_type("date")),
    }
    with pytest.raises(EncodeError, match=r"means another .* at another time or place: write"):
        check(text, types.get(name) or base_type(name))
    connect(dsn).execute(f"SELECT '{text}'::{name}")


@pytest.mark.parametrize(("name", "text"), DROPPED)
def test_what_would_be_dropped_is_refused(
    name: str, text: str, dsn: str, connect: Callable[[str], psycopg.Connection]
) -> None:
    """The server takes each of these, and keeps less than it says."""
    with pytest.raises(EncodeError, match=f"may say more than {name} keeps"):
        check(text, base_type(name))
    connect(dsn).execute(f"SELECT '{text}'::{name}")


def test_dates_keep_midnight() -> None:
    """A date with a time of 0 says no more than the date; names of days and months are a date's."""
    texts = [
        "2020-01-02",
        "2020-01-02 00:00:00.000",
        "2020-01-02T00:00:00",
        "Jan 2, 2020",
        "thu 2 january 2020",
        "infinity",
    ]
    for text in [
        *texts,
        "0044-03-15 BC",
        "01.02.2020",
        "20200102",
        "20200102 000000",
        "epoch",
        "-infinity",
        "2020-001",
    ]:
        assert check(text, base_type("date")) == text.encode()
    # the Marquesas' zone, no month; and what is no date at all
    for text in (
        "2020-03-01 MART",
        "bad",
        "2020-01-02-03",
        "2020-01",
        "2020-01-02 2020-01-03",
        "J2451187",
        "May epoch",
    ):
        with pytest.raises(EncodeError, match="may say more than date keeps, and the server would silently drop"):
            check(text, base_type("date"))


@pytest.mark.parametrize(("sql_type", "pg", "exact", "lossy"), CASES, ids=[case[0] for case in CASES])
def test_rounding(
    sql_type: str,
    pg: PgType,
    exact: list[str],
    lossy: list[str],
    dsn: str,
    connect: Callable[[str], psycopg.Connection],
) -> None:
    """What goes is taken by the server; what is refused, the server would have taken and changed."""
    conn = connect(dsn)
    conn.execute("SET lc_monetary = 'C'")
    for text in exact:
        assert check(text, pg) == text.encode()
        conn.execute(f"SELECT '{text}'::{sql_type}")
    for text in lossy:
        with pytest.raises(EncodeError, match=r"would be rounded by|may say more than|is longer than"):
            check(text, pg)
        conn.execute(f"SELECT '{text}'::{sql_type}")


def test_other_types_are_left_to_the_server() -> None:
    """Text with digits and blanks of any kind, of types that nobody here knows; not without UTF-8."""
    for text in ("(1.123456789,2),(3,4)", " ", "", "é 10:00+02"):
        assert check(text, SNAPSHOT) == text.encode()
    with pytest.raises(EncodeError, match="contains a NUL character"):
        check("a\0", SNAPSHOT)
    broken = pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\1\0\0\0"), pa.py_buffer(b"\xff")])
    with pytest.raises(EncodeError, match="not valid UTF-8"):
        encode(broken, base_type("timestamp"))


def test_losses_that_the_user_allows() -> None:
    """The server may round then; it may not leave a zone out."""
    lossy = Policies(allow_lossy=True)
    stamp = base_type("timestamp", 0)
    assert check("2020-01-02 03:04:05.5", stamp, lossy) == b"2020-01-02 03:04:05.5"
    for text, pg in (("(0.12345678901234567,1)", base_type("point")), ("[(1,2),(3,4)]", LINE), ("{1.234}", NUMERICS)):
        assert check(text, pg, lossy) == text.encode()
        with pytest.raises(EncodeError, match="would be rounded by"):
            check(text, pg)
    with pytest.raises(EncodeError, match="may say more than"):
        check("2020-01-02 03:04:05+02", stamp, lossy)


def test_nul_is_taken_out_before_the_check() -> None:
    """What counts is the text that is sent."""
    strip = Policies(nul="strip")
    assert check("{1.0\x00,2}", NUMERICS, strip) == b"{1.0,2}"
    with pytest.raises(EncodeError, match="would be rounded by"):
        check("{1.00\x005}", NUMERICS, strip)
    with pytest.raises(EncodeError, match="may say more than date"):
        check("2020-01-01 \x00+\x0002", base_type("date"), strip)


# --- texts of several parts ---------------------------------------------------------------------------------


def composite(*parts: PgType) -> PgType:
    return PgType("pair", 0, 0, "composite", "public", fields=tuple(zip("abcdef", parts, strict=False)))


LINE = PgType("line", 628, 629, SERVER_TEXT)
NUMERICS = array_of(base_type("numeric", numeric_typmod(5, 2)))
CHAR = PgType("char", 18, 1002, SERVER_TEXT)
BOXES = array_of(PgType("box", 603, 1020, SERVER_TEXT, delimiter=";"))
DATE_TEXT = composite(base_type("date"), base_type("text"))
MOOD = PgType("mood", 90, 91, "enum", "public", labels=("sad", "o k"))
VARCHARS = PgType("short", 92, 93, "text", "public", 2 + 4, domain_of=base_type("varchar", 2 + 4))

# type, texts that go, texts that do not and why
PARTS: list[tuple[PgType, list[str], dict[str, str]]] = [
    (
        DATE_TEXT,
        ["(2020-01-01,x)", '(,"")', ' ("2020-01-01","x ""(\\\\12:00+05""") '],
        {
            '("2020-01-01 12:00",x)': "may say more than",
            '(2020-01-01 "12:"00,x)': "may say more than",
            "(2020-01-01,x,)": "is not a valid",
            "(2020-01-01)": "is not a valid",
            "(2020-01-01,x": "is not a valid",
        },
    ),
    (array_of(DATE_TEXT), ['{"(2020-01-01,x)",NULL}'], {'{"(\\"2020-01-01 12:00\\",x)"}': "may say more than"}),
    (
        composite(base_type("timestamp"), base_type("int4")),
        ['("2020-01-01 12:00",5)'],
        {'("2020-01-01 12:00+05",5)': "may say more than", "(2020-01-01,5e9)": "is not a valid"},
    ),
    (
        composite(base_type("time"), base_type("text")),
        ["(12:00,EST)"],
        {'("2020-01-01 12:00+02",x)': "may say more than"},
    ),
    (
        composite(base_type("text"), base_type("timestamp", 3)),
        ['("EST +02 0.00001","2020-01-02 03:04:05.123")'],
        {'(x,"2020-01-02 03:04:05.1234")': "would be rounded by"},
    ),
    (composite(base_type("name"), CHAR), [f"({'n' * 63},a)"], {f"({'n' * 64},a)": "is longer", "(n,ab)": "is longer"}),
    (array_of(base_type("name")), ["{" + "é" * 31 + "}"], {"{" + "é" * 32 + "}": "is longer than"}),
    (
        CHAR,
        ["a", "", " ", r"\377"],
        {r"\400": "longer than", r"\37": "longer than", "abc": 'longer than "char"', "ä": 'longer than "char"'},
    ),
    (array_of(CHAR), ["{a,NULL,b}"], {"{ab}": "is longer than"}),
    (
        NUMERICS,
        ["{1.05,NULL,null}", '{"1.0\\5"}', " [2:3] = { 1 , 2 } ", "{{1},{2}}", "{}"],
        {
            "{1.00_5}": "is not a valid",
            r"{1.0\05}": "would be rounded",
            "{0.001}": "would be rounded",
            "{1000}": "is out of range",
            "{{}}": "has an empty list inside",
            "{1,}": "is not a valid",
            "{1}{2}": "is not a valid",
            "[1:0]={}": "has an empty list inside",
            "[1:4294967297]={1}": "is not a valid",
        },
    ),
    (
        array_of(base_type("timestamp")),
        ['{"2020-01-01 00:00:00.12345\\6"}'],
        {r'{"2020-01-01 00:00:00.123456\7"}': "would be rounded", "{20200101 -8}": "may say more than"},
    ),
    (array_of(base_type("date")), ["{2020-01-01,infinity}"], {'{"2020-01-01 1200"}': "may say more than"}),
    (
        PgType("tsrange", 0, 0, "range", element=base_type("timestamp")),
        ["[2020-01-01,)", "empty", ' ("2020-01-01 10:00",infinity] '],
        {"[,2020-01-01 +0530)": "may say more than", "[2020-01-01": "is not a valid"},
    ),
    (
        PgType(
            "datemultirange",
            0,
            0,
            "multirange",
            element=PgType("daterange", 0, 0, "range", element=base_type("date")),
        ),
        ["{}", '{ [2020-01-01,2020-01-02) , empty,(,"2019-01-01"] }'],
        {'{[2020-01-01,"2020-01-02 12:00")}': "may say more than", "{[,),}": "is not a valid"},
    ),
    (array_of(base_type("oid")), ["{5,4294967295}"], {"{-1}": "is not a valid", "{4294967296}": "is out of range"}),
    (array_of(base_type("xid8")), ["{5}"], {"{abc}": "is not a valid"}),
    (PgType("oidvector", 30, 1013, SERVER_TEXT), ["", "1 2"], {"1 -1": "is not a valid"}),
    (PgType("cid", 29, 1012, SERVER_TEXT), ["7"], {"abc": "is not a valid", "4294967296": "is out of range"}),
    (
        PgType("tid", 27, 1010, SERVER_TEXT),
        ["(4294967295,65535)"],
        {"(-1,0)": "is not a valid", "(4294967296,0)": "is out of range", "(1,65536)": "is out of range"},
    ),
    (BOXES, ["{(1,1),(0,0);(2,2),(0,0.1)}"], {"{(9007199254740993,1),(0,0)}": "would be rounded by"}),
    (base_type("point"), ["(0.1,-1e300)", "NaN,inf"], {"(1e400,1)": "out of range", "(0x1p3,1)": "is not a valid"}),
    (LINE, ["{1,-1,0}"], {"[(0,0),(3,1)]": "would be rounded by"}),
    (array_of(MOOD), ["{sad, o k ,NULL}"], {"{sad,ok}": "holds what is not a label of"}),
    (array_of(VARCHARS), ["{ab,éé}"], {'{"ab "}': "is longer than"}),
    (array_of(base_type("float4")), ["{0.1,16777216}"], {"{16777217}": "would be rounded by"}),
    (
        PgType("tsvector", 3614, 3643, SERVER_TEXT),
        ["", "a fat 'c at''s':1,2A b\\\\:16383", "a:1 a:2 'a':1", "a:" + ",".join(map(str, range(1, 257)))],
        {
            "a:99999": "may say more than",
            "a:1A,1B": "may say more than",
            "'a':1A a:1": "may say more than",
            "a:4294967297": "may say more than",
            "a:" + ",".join(map(str, range(1, 258))): "may say more than",
            "a:": "is not a valid",
        },
    ),
    (
        PgType("hstore", 0, 0, "hstore", "public"),
        ["", "a=>1, b=>2", '"a=>"=>"1, a=>2",c=>NULL'],
        {"a=>1, a=>2": "has a key twice", '"\\a"=>1,a=>1': "has a key twice", "a=>": "is not a valid"},
    ),
    (
        PgType("halfvec", 0, 0, "halfvec", "public"),
        ["[0.1,2048,0.099975586,65504]"],
        {"[0.1,2049]": "would be rounded by", "[65520]": "is out of range", "[1e-9]": "is out of range"},
    ),
    (PgType("vector", 0, 0, "vector", "public", 2), ["[0.1,16777216]"], {"[1,16777217]": "would be rounded by"}),
]


PRICE = base_type("numeric", numeric_typmod(5, 2))
BOX = PgType("box", 603, 1020, SERVER_TEXT)
QUOTED: list[tuple[PgType, list[str], list[str]]] = [
    (
        composite(PRICE, BOX),
        ['(1.25,"(1.125,2),(0,0)")', "(,)", '(1,"1.125")'],
        ['(1.125,"(1,1),(0,0)")', '("1.125",)'],
    ),
    (
        composite(base_type("bpchar", 7), BOX),
        ['("abc",)', '("a  ",)', '("é  ",)', '("   ",)'],
        ['("abc ",)', "(    ,)"],
    ),
    (
        composite(BOX, composite(PRICE, base_type("text"))),
        ['("(1.125,2),(0,0)","(1.25,""a 1.125, """"x"")")', '(,"(,1.125)")'],
        ['(,"(1.125,)")', '(,"(""1.125"",)")', "(,\\(1.125\\,\\))"],
    ),
    (
        array_of(composite(PRICE, BOX)),
        ['{"(1.25,\\"(1.125,2),(0,0)\\")",NULL}', "{}", '{"(,)"}', "[0:0]={(\\,)}"],
        ['{NULL,"(1.125,)"}', '{"(\\"1.125\\",)"}', "[0:0]={(1.125\\,)}"],
    ),
    (composite(array_of(PRICE), BOX), ['("{1.25,null, 7 }",1.125)', "({},)"], ['("{1.25,1.125}",)', "({1.125},)"]),
    (composite(base_type("interval", 4 << 16 | 0xFFFF), BOX), ["(,)", "(P1Y,)", "(PT0S,)"], ["(P1Y1M,)", "(PT1S,)"]),
    (composite(base_type("interval", 0x1C08 << 16 | 2), BOX), ["(P1Y2DT3.25S,)"], ["(PT0.125S,)"]),
]


@pytest.mark.parametrize(("pg", "exact", "lossy"), QUOTED, ids=range(len(QUOTED)))
def test_parts_in_their_quotes(pg: PgType, exact: list[str], lossy: list[str]) -> None:
    """A part is what the server takes out of quotes and backslashes, at any depth."""
    for text in exact:
        assert check(text, pg) == text.encode()
    for text in lossy:
        with pytest.raises(EncodeError, match=r"would be rounded by|may say more than|is longer than"):
            check(text, pg)


def _part_cases() -> list[tuple[PgType, str, str]]:
    return [(pg, text, why) for pg, good, bad in PARTS for text, why in [*((g, "") for g in good), *bad.items()]]


@pytest.mark.parametrize(("pg", "text", "why"), _part_cases(), ids=lambda v: v.sql if isinstance(v, PgType) else v[:40])
def test_parts(pg: PgType, text: str, why: str) -> None:
    """Each part is checked by the rules of its own type."""
    if why:
        with pytest.raises(EncodeError, match=why):
            check(text, pg)
    else:
        assert check(text, pg) == text.encode()


def test_dictionaries_of_texts() -> None:
    """Texts that are the values of a dictionary are checked as any others are."""
    with pytest.raises(EncodeError, match="would be rounded"):
        encode(pa.array(["{1.05}", "{1.005}"]).dictionary_encode(), NUMERICS)
