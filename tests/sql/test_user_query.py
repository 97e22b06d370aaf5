"""SQL of the user's: names filled in as literals, and texts split into statements, as the server itself reads them."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkio import sql
from bulkio.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

DAY = {"day": "2026-11-26"}


@pytest.mark.parametrize(
    "text",
    [
        "'$day'",
        r"E'\'$day'",
        '"$day"',
        "$$ $day $$",
        "$tag$ $day $tag$",
        "$day$ $day $day$",
        "-- $day\n",
        "/* $day /* $day */ */",
        "foo$day",
        "é$day",
    ],
)
def test_a_dollar_inside_of_something_is_left_alone(text: str) -> None:
    """Strings, quoted names, dollar quotes, comments and words keep it; what stands behind them is replaced."""
    assert sql.bind_names(f"{text} $day", DAY) == f"{text} ('2026-11-26')"
    assert sql.names_in(f"{text} + $other") == {"other"}


def test_names_are_bound_as_numbers_are() -> None:
    """The same texts, quotes and brackets; a number stays, for the parameters that come with it."""
    values = {"day": date(2026, 11, 26), "größe": 1.5, "none": None, "name": r"it's \ $day"}
    bound = sql.bind_names("select $day,$größe, $none ,$name, $1; $day::date", values)
    assert bound == r"select ('2026-11-26'),('1.5'), (NULL) ,( E'it''s \\ $day'), $1; ('2026-11-26')::date"


@pytest.mark.parametrize(
    ("text", "values", "words"),
    [
        ("$dya", {"day": 1, "run": 2}, r'uses \$dya, which has no value; there are \$day, \$run: did you mean "day"\?'),
        ("$x", {}, r"uses \$x, which has no value; there are none$"),
        ("$x", {"x": [1]}, r"parameter \$x is \[1\]"),
        ("$x", {"x": "\0"}, "NUL"),
        ("$x \0", {"x": 1}, "NUL"),
        ("$day$ + 1", DAY, r"leaves the string at character 1 open: \$day\$"),
    ],
)
def test_names_that_cannot_be_bound(text: str, values: dict[str, object], words: str) -> None:
    """The error names what there is, and the name that was meant."""
    with pytest.raises(ConfigError, match=words):
        sql.bind_names(text, values)


def test_a_literal_is_the_value_for_the_server(one_dsn: str, connect: Callable[[str], psycopg.Connection]) -> None:
    """It reads what was meant, whatever is in it; two of them side by side are two."""
    value = "it's \\ $$ $1 -- /*"
    text = sql.bind_names("select $value\n, $value\n = $value", {"value": value})
    assert connect(one_dsn).execute(text).fetchone() == (value, True)


@pytest.mark.parametrize(
    ("text", "statements"),
    [
        ("", ()),
        (" ; -- nothing\n ;; /* ; */", ()),
        ("select 1", ("select 1",)),
        ("select ';' ; select $$;$$; -- last\n", ("select ';'", "select $$;$$")),
        ("-- first\nselect 1; select 2 -- ;", ("-- first\nselect 1", "select 2 -- ;")),
        ("create rule r as on insert to t do (select 1; select 2); select 3", 2),
        ("create function f() returns int begin atomic select 1; select case when true then 1 end; end; select 1", 2),
        ("create or replace procedure p() begin atomic select 1 as end; select t.end from t; end; select 1", 2),
        ("create function begin(atomic int) returns int return 1; select 1", 2),
        ('create function f() returns begin "atomic" return 1; select 1', 2),
        ("begin atomic; select 1", 2),
        ("select case; select end; end", 3),
    ],
)
def test_texts_are_split_into_statements(text: str, statements: tuple[str, ...] | int) -> None:
    """At semicolons that end a statement: not those inside of strings, comments, brackets or a function's body."""
    found = sql.statements_of(text)
    assert found == statements or len(found) == statements
    assert all(sql.bind_literals(each) == each for each in found)


def test_a_body_without_an_end() -> None:
    """Nobody can say where such a statement ends."""
    with pytest.raises(ConfigError, match="leaves BEGIN ATOMIC open"):
        sql.statements_of("create function f() returns int begin atomic select 1; select 2;")


def test_the_server_takes_each_statement(one_dsn: str, connect: Callable[[str], psycopg.Connection]) -> None:
    """What was split runs one by one; a function's body is one of them."""
    text = """
        create table t (a int);
        create function f() returns bigint begin atomic
            insert into t values (case when true then 1 else 2 end); -- ;
            select count(*) as end from t;
        end;
        create rule r as on delete to t do instead (select 1; select 2);
        do $$ begin perform f(); end $$
    """
    conn = connect(one_dsn)
    for each in sql.statements_of(text):
        conn.execute(each)
    assert conn.execute("table t").fetchall() == [(1,)]


def test_the_first_word() -> None:
    """Behind comments and blanks; a bracket is no word."""
    assert [sql.first_word(text) for text in ("", "-- a\n CREATE", "(select 1)")] == ["", "create", "select"]


#: what statements are made of, each with what may be inside of it
PIECES = st.sampled_from(
    [
        "select",
        " ",
        "1",
        "';'",
        "'$a'",
        '"; $a"',
        "$$;$a$$",
        "$t$ ; $t$",
        "/* ; */",
        "-- ;\n",
        "(;)",
        "$a",
        "x$a",
        ";",
        "\n",
    ]
)


@given(st.lists(PIECES, max_size=12).map("".join))
def test_splitting_and_binding_lose_nothing(text: str) -> None:
    """Whatever stands between two statements is blank; to bind names first, or to split first, is the same."""
    try:
        found = sql.statements_of(text)
        names = sql.names_in(text)
    except ConfigError:  # `$a$` opens a string, for example
        return
    rest = text
    for statement in found:
        before, _, rest = rest.partition(statement)
        assert sql.statements_of(before) == ()
    assert sql.statements_of(rest) == ()
    assert names == set().union(*map(sql.names_in, found))
    values = dict.fromkeys(names, "v;")
    bound = tuple(sql.bind_names(each, values) for each in found)
    assert sql.statements_of(sql.bind_names(text, values)) == bound
