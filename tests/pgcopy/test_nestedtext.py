"""Arrays, composites, ranges and multiranges of text, taken apart here as the servers take them apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bulkio.pgcopy.messages import BAD_SYNTAX, EMPTY_INNER
from bulkio.pgcopy.nestedtext import splitter
from bulkio.pgcopy.textparts import RefusedError
from bulkio.types import SERVER_TEXT, PgType, array_of, base_type

if TYPE_CHECKING:
    from collections.abc import Callable

TEXT = base_type("text")
TEXTS = array_of(TEXT)
BOXES = array_of(PgType("box", 603, 1020, SERVER_TEXT, delimiter=";"))
TRIPLE = PgType("triple", 0, 0, "composite", "public", fields=(("a", TEXT), ("b", TEXT), ("c", TEXT)))
RANGE = PgType("textrange", 0, 0, "range", "public", element=TEXT)
MULTIRANGE = PgType("textmultirange", 0, 0, "multirange", "public", element=RANGE)

ARRAYS = [
    *("{}", " { } ", "{a}", '{a b , c\td ,"e f" }', '{"",NULL,null,"NULL",\\NULL}', '{"a\\"b","c\\\\d",\\e\\{\\,\\ }'),
    *("{{a,b},{c,d}}", "{{{a}}}", "[2:3]={a,b}", " [-1:0] [5:5] = {{a},{b}}", "[1]={a}", "{é😀,\xa0x\xa0}", '{"\n"}'),
    *("{a\\ }", "{ \\ a}", '{"a" , "b"}', "{'a'}", "{(a,b)}", "{[}", "{a\vb\f}"),
]
BAD_ARRAYS = [
    *(
        "",
        " ",
        "a",
        "{",
        "}",
        "{a",
        "a}",
        "{a}x",
        "{a}{b}",
        "{,}",
        "{a,}",
        "{,a}",
        '{"a}',
        '{a"b"}',
        '{"a"b}',
        '{"a""b"}',
    ),
    *("{a\\", "{{a},b}{", "[1:1]", "[1:1={a}", "{a}}", "{{a}", "=", "={a}", "[]={a}", "[1:9999999999]={a}", "{a b}c"),
]
RECORDS = [
    *("(a,b,c)", "(,,)", ' (" ","",) ', '(a"b,""c"d,"e""f",g\\,h)', "( a , b ,\tc)", '("(","{",[)', "(\\a,\\\\,\\))"),
    *('("\\"",\\",""",""")', "(é,😀,\xa0)", '(a"",""b,"""")', '("\n",\n,)'),
]
BAD_RECORDS = [
    "",
    "()",
    "(a,b)",
    "(a,b,c,d)",
    "(a,b,c",
    "a,b,c)",
    "(a,b,c)x",
    '("a,b,c)',
    "(a,b,c\\)",
    "(a,b)c)",
    "{a,b,c}",
]
RANGES = [
    *(
        "[a,b)",
        "(a,b]",
        "[,]",
        "(,b)",
        ' ["a,","b]") ',
        "[ a ,b\t]",
        "empty",
        " EMPTY ",
        '["","a"]',
        "[\\),\\,]",
        "(((,[)",
    ),
    *('[a""b,b"c"]', '["a""b",c)', "[(a,[b)"),
]
BAD_RANGES = ["", "[a,b", "a,b)", "[a)", "[a,b,c)", "[a,b)x", '["a,b)', "[a,b\\)", "emptyx", "[b", "{a,b}"]
MULTIRANGES = [
    *("{}", " { } ", "{[a,b)}", '{ ("]",a) , [b,c) }', "{empty}", "{[a,b),EMPTY,(y,)}", '{["\\"",a)}', "{[a,b)\t}"),
]
BAD_MULTIRANGES = ["", "{", "[a,b)", "{[a,b),}", "{[a,b)}x", "{,[a,b)}", "{[a,b)(c,d)}", "{[a,b", "{empty empty}"]


def parts(pg: PgType, text: str) -> list[tuple[int, str]] | None:
    """Return the parts; None where the text is refused."""
    take_apart = splitter(pg)
    assert take_apart is not None
    try:
        return list(take_apart(text))
    except RefusedError as refused:
        return None if refused.status in (BAD_SYNTAX, EMPTY_INNER) else []


@pytest.fixture
def place(dsn: str, connect: Callable[[str], psycopg.Connection]) -> psycopg.Connection:
    """Connect to a database that has the types."""
    conn = connect(dsn)
    conn.execute("CREATE TYPE triple AS (a text, b text, c text); CREATE TYPE textrange AS RANGE (subtype = text)")
    return conn


def server_array(conn: psycopg.Connection, text: str) -> list[tuple[int, str]]:
    rows = conn.execute("SELECT e FROM unnest(%s::text[]) WITH ORDINALITY AS u(e, n) ORDER BY n", [text])
    return [(0, row[0]) for row in rows if row[0] is not None]


def server_record(conn: psycopg.Connection, text: str) -> list[tuple[int, str]]:
    row = conn.execute("SELECT (%s::triple).*", [text]).fetchone()
    return [(i, field) for i, field in enumerate(row) if field is not None]


def server_range(conn: psycopg.Connection, text: str) -> list[tuple[int, str]]:
    row = conn.execute("SELECT lower(r), upper(r) FROM (SELECT %s::textrange AS r) AS x", [text]).fetchone()
    return [(0, bound) for bound in row if bound is not None]


def server_multirange(conn: psycopg.Connection, text: str) -> list[tuple[int, str]]:
    """Return the bounds of the ranges; those of empty ones, and where ranges touch, are not there any more."""
    rows = conn.execute("SELECT lower(r), upper(r) FROM unnest(%s::textmultirange) AS r", [text]).fetchall()
    return [(0, bound) for row in rows for bound in row if bound is not None]


def multirange_parts(text: str) -> list[tuple[int, str]] | None:
    """Return the bounds of all the ranges."""
    ranges = parts(MULTIRANGE, text)
    found = None if ranges is None else [parts(RANGE, text) for _, text in ranges]
    return None if found is None or None in found else [bound for one in found for bound in one]


#: how it is taken apart here and by the server, good texts, malformed ones, the type's name there, its alphabet
KINDS: dict[str, tuple] = {
    "array": (lambda text: parts(TEXTS, text), server_array, ARRAYS, BAD_ARRAYS, "text[]"),
    "record": (lambda text: parts(TRIPLE, text), server_record, RECORDS, BAD_RECORDS, "triple"),
    "range": (lambda text: parts(RANGE, text), server_range, RANGES, BAD_RANGES, "textrange"),
    "multirange": (multirange_parts, server_multirange, MULTIRANGES, BAD_MULTIRANGES, "textmultirange"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_good_and_bad(kind: str, place: psycopg.Connection) -> None:
    """What the server takes is taken apart as there; what is malformed is so here, too."""
    ours, server, good, bad, _ = KINDS[kind]
    for text in good:
        got = ours(text)
        assert got is not None, text
        assert sorted(got) == sorted(server(place, text)), text
    for text in bad:
        assert ours(text) is None, text


@pytest.mark.parametrize("kind", KINDS)
def test_any_text(kind: str, place: psycopg.Connection) -> None:
    """No text is taken apart in a way that the server would not: it may be refused here that is good there."""
    ours, server, good, bad, _ = KINDS[kind]

    @settings(
        max_examples=1500,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
    @given(mutated([*good, *bad]))
    def agree(text: str) -> None:
        got = ours(text)
        if got is None:
            return
        try:
            theirs = server(place, text)
        except psycopg.DataError:
            return
        # no range has more bounds on the server than it was written with
        assert sorted(got) == sorted(theirs) if "range" not in kind else set(theirs) <= set(got)

    agree()


@st.composite
def mutated(draw: st.DrawFn, texts: list[str]) -> str:
    """Take a text, or a few, and put odd characters anywhere."""
    text = draw(st.sampled_from(texts))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(text)))
        cut = draw(st.integers(0, 2))
        text = text[:at] + draw(st.text('{}[]()",\\ =:1an\t\xa0é', max_size=3)) + text[at + cut :]
    return text


def test_empty_inner_arrays() -> None:
    """The server would store '{}' of each of these."""
    for text in ("{{}}", "{{},{}}", "[1:0]={}", "{{{}}}"):
        with pytest.raises(RefusedError) as info:
            list(splitter(TEXTS)(text))
        assert info.value.status == EMPTY_INNER


def test_other_delimiters() -> None:
    """The arrays of box have semicolons."""
    assert parts(BOXES, '{(1,1),(0,0);NULL;"a;b"}') == [(0, "(1,1),(0,0)"), (0, "a;b")]
    assert parts(TEXTS, "{(1;1)}") == [(0, "(1;1)")]


def test_composites_of_no_columns() -> None:
    """They are a pair of parentheses."""
    nothing = PgType("nothing", 0, 0, "composite", "public")
    assert parts(nothing, " () ") == []
    assert parts(nothing, "( )") is None
    assert parts(nothing, "(a)") is None


def test_long_texts_take_their_time_but_once() -> None:
    """Neither quotes nor backslashes make the patterns try again and again."""
    for text in (
        '{"' + '""' * 50000,
        "{" + "\\" * 99999,
        "(" + '""' * 50000 + "x",
        "[" + '"a""b"' * 20000,
        "{" * 99999,
    ):
        for pg in (TEXTS, TRIPLE, RANGE, MULTIRANGE):
            assert parts(pg, text) is None


def test_simple_types_have_no_parts() -> None:
    """Of these there is nothing to take apart."""
    assert all(splitter(pg) is None for pg in (TEXT, base_type("date"), PgType("box", 603, 1020, SERVER_TEXT)))
