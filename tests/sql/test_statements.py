"""SQL text: quoting, the lexer under `bind_literals`, and the pins; where it matters, as a real server reads it."""

from __future__ import annotations

import doctest
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkio import quote, sql
from bulkio.errors import ConfigError
from bulkio.protocols import CopyTarget
from bulkio.quote import qualified, quote_ident, quote_literal
from bulkio.sql import ddl, statements, user_query

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

TARGET = CopyTarget("s", 'T"x', ("a", "é b"), (23, 25))
SETTINGS = (
    "client_encoding",
    "standard_conforming_strings",
    "DateStyle",
    "IntervalStyle",
    "TimeZone",
    "extra_float_digits",
    "bytea_output",
    "array_nulls",
    "quote_all_identifiers",
    "lock_timeout",
    "row_security",
)


def test_examples_run() -> None:
    """The docstrings' examples give what they say."""
    for module in (ddl, quote, statements, user_query):
        assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize("name", ["", "a\0b"])
def test_names_that_cannot_be(name: str) -> None:
    """An empty name and a NUL are refused before the server sees them."""
    with pytest.raises(ConfigError, match="name"):
        quote_ident(name)


def test_statements() -> None:
    """Every name is quoted; a comment at a query's end does not swallow what follows."""
    assert sql.copy_from_stdin(TARGET, "binary") == 'COPY "s"."T""x" ("a", "é b") FROM STDIN (FORMAT binary)'
    assert "FORMAT csv" in sql.copy_from_stdin(TARGET, "csv")
    assert "NULL ''" in sql.copy_from_stdin(TARGET, "csv")
    assert sql.copy_to_stdout("select 1 -- x") == "COPY (\nselect 1 -- x\n) TO STDOUT (FORMAT binary)"
    assert qualified(None, "t") == '"t"'
    with pytest.raises(ConfigError, match="no columns"):
        sql.copy_from_stdin(CopyTarget("s", "t", (), ()), "binary")


def test_begin_says_everything() -> None:
    """No default_transaction_* setting is left to decide."""
    assert sql.begin(read_only=False) == "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
    assert sql.begin(read_only=True) == "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY"


# --- the lexer -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "'it''s $1 ;'",
        r"'\'",
        r"E'\' $1 ;'",
        r"e'\\'",
        "E'a'\n  'b\\' $1'",
        "E'a' -- so\n 'b\\' $1'",
        r"U&'\0041 $1'",
        "B'1'",
        '"a $1 ""; b"',
        'U&"a;"',
        "$$ $1 ; ' $$",
        "$a$ $1 $$ $b$ ; $a$",
        "$é_1$ ; $é_1$",
        "a$1",
        "x$$",
        "-- $1 ; '\n",
        "/* $1 ; /* ' */ \" */",
        "a[1] + (b)",
        "1.5e3",
        "'{}'::int[]",
        "@-#",
    ],
)
def test_what_is_no_parameter_is_left_alone(text: str) -> None:
    """Strings, quoted names, dollar quotes, comments and words with a dollar sign pass as they are."""
    assert sql.bind_literals(f"select {text} , $1", ["v"]) == f"select {text} , ('v')"


@pytest.mark.parametrize(
    ("query", "params", "words"),
    [
        ("select $2", ["a"], r"uses \$2, but 1 parameters"),
        ("select $0", ["a"], r"uses \$0"),
        ("select $1", [], "0 parameters"),
        ("select '$1'", ["a"], r"does not use \$1"),
        ("select 1; select 2", [], "more than one statement"),
        ("select 1;;", [], "more than one statement"),
        ("select 1) to program 'x' --", [], "closes a bracket"),
        ("select (1", [], "leaves a bracket open"),
        ("select 'x", [], "leaves the quote at character 8 open"),
        ('select "x', [], "leaves the quote"),
        (r"select E'x\'", [], "leaves the quote"),
        ("select $a$ x $b$", [], "leaves the string"),
        ("select /* /* */", [], "leaves the comment"),
        ("", [], "is empty"),
        (" -- only\n ;", [], "is empty"),
        ("select '\0'", [], "NUL"),
        ("select $1", ["\0"], "NUL"),
    ],
)
def test_refused_queries(query: str, params: list[str], words: str) -> None:
    """What is not one complete statement with its own parameters is refused, saying why."""
    with pytest.raises(ConfigError, match=words):
        sql.bind_literals(query, params)


@pytest.mark.parametrize(
    "text",
    [
        *("select 1", "SELECT", " values(1)", "table t", "with x as (table t) table x", "(select 1)"),
        *("/* a */ ((table t))", "-- a\nselect 1", "insert into t default values returning a", "select'a'"),
        *('table"t"', "select/", "select(1"),
    ],
)
def test_what_begins_as_a_query(text: str) -> None:
    """Behind blanks, comments and brackets stands a word that begins a query, of whatever is then wrong with it."""
    assert sql.begins_query(text)


@pytest.mark.parametrize(
    "text", ["", "my-table", "selects", '"select" 1', "2024", "$x", "orders;", "'a'", "(a)", "/*", "sélect"]
)
def test_what_does_not_begin_as_a_query(text: str) -> None:
    """No other word does."""
    assert not sql.begins_query(text)


def test_one_trailing_semicolon_goes() -> None:
    """It would end the statement inside the brackets of COPY; a comment behind it stays."""
    assert sql.bind_literals("select 1 ; -- done") == "select 1  -- done"


@given(st.text(st.characters(codec="utf-8"), max_size=40))
def test_any_text_splits_or_is_refused(text: str) -> None:
    """The lexer loses nothing: joined again, its tokens are the text; or it is a ConfigError, and quickly."""
    try:
        tokens = list(user_query._tokens(text))
    except ConfigError:
        return
    assert "".join(part for _, part in tokens) == text


@given(st.text("'\"\\$1aE;-/*\n(", max_size=30))
def test_a_bound_value_never_ends_its_literal(value: str) -> None:
    """Whatever a value holds, the lexer reads it back as one string."""
    bound = sql.bind_literals("select $1", [value.replace("\0", "")])
    assert [kind for kind, _ in user_query._tokens(bound)][-2:] == [
        "quoted" if "\\" not in value else "escaped",
        "close",
    ]


# --- as the server reads it ------------------------------------------------------------------------------------


@pytest.mark.parametrize("conforming", ["on", "off"])
def test_values_come_back_as_they_are(
    one_dsn: str, connect: Callable[[str], psycopg.Connection], conforming: str
) -> None:
    """A literal means the same under either standard_conforming_strings, and its context gives its type."""
    conn = connect(one_dsn)
    conn.execute(f"set standard_conforming_strings = {conforming}")
    values = ["it's", "\\", "\\'; drop table x --", "$1", "é\n", "", None]
    for value in values:
        assert conn.execute(sql.bind_literals("select $1::text", [value])).fetchone() == (value,)
    assert conn.execute(sql.bind_literals("select 1 + $1", ["2"])).fetchone()[0] == 3


def test_names_come_back_as_they_are(one_dsn: str, connect: Callable[[str], psycopg.Connection]) -> None:
    """Quoted names are taken letter by letter."""
    conn = connect(one_dsn)
    names = ['a"b', "A b", "é", "$1", "select", "a\\b", "a.b", "a;--"]
    for name in names:
        row = conn.execute(f"select 1 as {quote_ident(name)}")
        assert row.description[0].name == name


@pytest.mark.parametrize("export", [True, False])
def test_pins_hold_in_the_transaction_alone(
    dsn: str, connect: Callable[[str], psycopg.Connection], export: bool
) -> None:
    """Every setting is pinned on every server, whatever the session said, and is the session's again afterwards."""
    conn = connect(dsn)
    conn.autocommit = True
    hostile = {"DateStyle": "German", "array_nulls": "off", "extra_float_digits": "-5"}
    hostile["quote_all_identifiers"] = "on"
    for name, value in hostile.items():
        conn.execute(f"set {name} = '{value}'")
    before = {name: conn.execute(f"show {name}").fetchone()[0] for name in SETTINGS}
    conn.execute(sql.begin(read_only=export))
    conn.execute("; ".join(sql.session_pins(export=export, lock_timeout_ms=250)))
    pinned = {name: conn.execute(f"show {name}").fetchone()[0] for name in SETTINGS}
    assert list(pinned.values()) == [
        *("UTF8", "on", "ISO, YMD", "iso_8601", "UTC", "3", "hex", "on", "off", "250ms"),
        "off" if export else "on",
    ]
    conn.execute(sql.COMMIT)
    assert {name: conn.execute(f"show {name}").fetchone()[0] for name in SETTINGS} == before


def test_the_search_path_is_pinned_and_the_users_is_set_again(
    one_dsn: str, connect: Callable[[str], psycopg.Connection]
) -> None:
    """It is saved, pinned, and set again, letter by letter."""
    conn = connect(one_dsn)
    for users in ("""\"it's\", public""", '""'):
        conn.execute(f"select set_config('search_path', {quote_literal(users)}, false)")
        conn.execute(sql.begin(read_only=True))
        conn.execute("; ".join(sql.session_pins(export=True)))
        assert conn.execute("show search_path").fetchone()[0] == "pg_catalog, pg_temp"
        conn.execute(sql.USERS_PATH)
        assert conn.execute("show search_path").fetchone()[0] == users
        conn.execute(sql.as_user("select 1 -- no end"))
        assert conn.execute("show search_path").fetchone()[0] == "pg_catalog, pg_temp"
        conn.execute(sql.ROLLBACK)
        assert conn.execute("show search_path").fetchone()[0] == users
