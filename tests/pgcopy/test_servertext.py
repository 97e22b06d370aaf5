"""Text for the server's own parsers: refused where they would round or drop in silence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from bulkio.errors import EncodeError
from bulkio.types import SERVER_TEXT, Cast, PgType, Policies, array_of, base_type, numeric_typmod
from cells import encode

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

FIELDS = 0x7FFF << 16
BOX = PgType("box", 603, 0, SERVER_TEXT)


def check(text: str, pg: PgType) -> bytes | None:
    return encode(pa.array([text]), Cast(SERVER_TEXT, pa.string(), pg))[0]


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
        ["2020-01-02 03:04:05.123456+02", "2020-01-02 03:04:05 Europe/Berlin", "2020-01-02T03:04:05Z"],
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
    ("timetz(1)", base_type("timetz", 1), ["03:04:05.1+02"], ["03:04:05.12+02"]),
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
]


@pytest.mark.parametrize(("name", "text"), DROPPED)
def test_what_would_be_dropped_is_refused(
    name: str, text: str, dsn: str, connect: Callable[[str], psycopg.Connection]
) -> None:
    """The server takes each of these, and keeps less than it says."""
    with pytest.raises(EncodeError, match=f"says more than {name} keeps"):
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
    for text in [*texts, "0044-03-15 BC", "01.02.2020"]:
        assert check(text, base_type("date")) == text.encode()
    with pytest.raises(EncodeError, match="says more than date"):
        check("2020-03-01 MART", base_type("date"))  # the Marquesas' zone, no month


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
        with pytest.raises(EncodeError, match=r"would be rounded by|says more than"):
            check(text, pg)
        conn.execute(f"SELECT '{text}'::{sql_type}")


def test_other_types_are_left_to_the_server() -> None:
    """Text with digits and blanks of any kind, of types that nobody here knows; not without UTF-8."""
    for text in ("(1.123456789,2),(3,4)", " ", "", "é 10:00+02"):
        assert check(text, BOX) == text.encode()
    with pytest.raises(EncodeError, match="contains a NUL character"):
        check("a\0", BOX)
    broken = pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\1\0\0\0"), pa.py_buffer(b"\xff")])
    with pytest.raises(EncodeError, match="not valid UTF-8"):
        encode(broken, Cast(SERVER_TEXT, pa.string(), base_type("timestamp")))


def test_losses_that_the_user_allows() -> None:
    """The server may round then; it may not leave a zone out."""
    how = Cast(SERVER_TEXT, pa.string(), base_type("timestamp", 0), policies=Policies(allow_lossy=True))
    assert encode(pa.array(["2020-01-02 03:04:05.5"]), how) == [b"2020-01-02 03:04:05.5"]
    with pytest.raises(EncodeError, match="says more than"):
        encode(pa.array(["2020-01-02 03:04:05+02"]), how)


def composite(*parts: PgType) -> PgType:
    """Give a composite of a, b, c and so on."""
    return PgType("pair", 0, 0, "composite", fields=tuple(zip("abcdef", parts, strict=False)))


def test_parts_of_several_types() -> None:
    """Each part of a composite is held to its own type, whatever the others are."""
    pair = composite(base_type("text"), base_type("timestamp", 3))
    assert check('("EST +02 1.23456","2020-01-02 03:04:05.123")', pair) is not None
    with pytest.raises(EncodeError, match="would be rounded"):
        check('(x,"2020-01-02 03:04:05.1234")', pair)
    for text in ("{12:00+02}", '{"12:00","13:00 UTC"}'):
        with pytest.raises(EncodeError, match="says more than"):
            check(text, array_of(base_type("time")))


PRICE = base_type("numeric", numeric_typmod(5, 2))
NESTED: list[tuple[PgType, list[str], list[str]]] = [
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
        ['("(1.125,2),(0,0)","(1.25,""a 1.125, \\\\""""x"")")', '(,"(,1.125)")'],
        ['(,"(1.125,)")', '(,"(""1.125"",)")', "(,\\(1.125\\,\\))"],
    ),
    (
        array_of(composite(PRICE, BOX)),
        ['{"(1.25,\\"(1.125,2),(0,0)\\")",NULL}', "{}", '{"(,)"}', "[0:0]={(,)}"],
        ['{NULL,"(1.125,)"}', '{"(\\"1.125\\",)"}', "[0:0]={(1.125\\,)}"],
    ),
    (composite(array_of(PRICE), BOX), ['("{1.25,null, 7 }",1.125)', "({},)"], ['("{1.25,1.125}",)', "({1.125},)"]),
    (composite(base_type("interval", 4 << 16 | 0xFFFF), BOX), ["(,)", "(P1Y,)", "(PT0S,)"], ["(P1Y1M,)", "(PT1S,)"]),
    (composite(base_type("interval", 0x1C08 << 16 | 2), BOX), ["(P1Y2DT3.25S,)"], ["(PT0.125S,)"]),
]


@pytest.mark.parametrize(("pg", "exact", "lossy"), NESTED, ids=range(len(NESTED)))
def test_parts_in_their_quotes(pg: PgType, exact: list[str], lossy: list[str]) -> None:
    """A part is what the server takes out of quotes and backslashes, at any depth."""
    for text in exact:
        assert check(text, pg) == text.encode()
    for text in lossy:
        with pytest.raises(EncodeError, match=r"would be rounded by|says more than"):
            check(text, pg)


@pytest.mark.parametrize("text", ["", "(", "(1", '("', "1)", "(1.125", "(1,2,3,4)", "((((", "(\\", "{", "}", ")("])
def test_what_is_no_composite_is_left_to_the_server(text: str) -> None:
    """It refuses that; nothing is read past the end."""
    for pg in (composite(PRICE, BOX), array_of(composite(PRICE, BOX)), composite()):
        assert check(text, pg) == text.encode()
