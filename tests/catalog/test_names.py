"""One grammar for tables' names: what is one, and how one that needs quotes is spelled."""

from __future__ import annotations

import doctest
from typing import TYPE_CHECKING

import psycopg
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bulkio.catalog import bad_name, is_table_name, names, quoted_spelling
from bulkio.errors import ConfigError
from bulkio.quote import quote_ident
from servers import connect

if TYPE_CHECKING:
    from servers import TestServer

#: texts of the characters that matter, and of any
TEXTS = st.text(st.sampled_from('aZ_0$."; \t\n\x0b-é٣€\xa0()*'), max_size=8) | st.text(max_size=8)
NEED_QUOTES = {
    "my-table": '"my-table"',
    "2024": '"2024"',
    "s.2024": 's."2024"',
    '"S".2024': '"S"."2024"',
    "2024.s-t": '"2024"."s-t"',
    "orders;": '"orders;"',
    "$x": '"$x"',
    "my table": '"my table"',
    " a-b ": '"a-b"',
}


def test_examples_run() -> None:
    """The docstrings' examples give what they say."""
    assert doctest.testmod(names).failed == 0


def test_it_is_the_servers_grammar(server: TestServer) -> None:
    """What bulkio takes for a name is what the server can parse as one, and no more than two parts."""
    with connect(server.admin.info.dsn + f" password={server.admin.info.password}") as conn:

        @given(TEXTS)
        @example("٣")
        @example("a . b")
        @example('"a"".""b"')
        @example("a.b.c")
        @example("\xa0")
        def check(text: str) -> None:
            assert is_table_name(text) == _server_takes(conn, text), text

        check()


def _server_takes(conn: psycopg.Connection, text: str) -> bool:
    # a vertical tab is a blank since PostgreSQL 16 only; a NUL and half a character never get there
    if set(text) & {"\0", "\x0b"} or any("\ud800" <= char <= "\udfff" for char in text):
        return is_table_name(text)
    try:
        [(parts,)] = conn.execute("SELECT parse_ident(%s)", [text]).fetchall()
    except psycopg.errors.InvalidParameterValue:
        return False
    return len(parts) <= 2


@pytest.mark.parametrize("text", NEED_QUOTES)
def test_what_needs_quotes_is_shown_with_them(text: str) -> None:
    """The message has the spelling to type."""
    assert not is_table_name(text)
    assert quoted_spelling(text) == NEED_QUOTES[text]
    assert NEED_QUOTES[text] in str(bad_name(text))


@given(TEXTS)
def test_a_shown_spelling_is_a_name(text: str) -> None:
    """Whoever types what the message shows has named a table, and with the same letters."""
    shown = quoted_spelling(text)
    assert shown is None or is_table_name(shown)
    if shown is not None:
        assert shown.replace('"', "") == text.replace('"', "").strip(" \t\r\n\f")


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1), st.text(max_size=3))
def test_a_quoted_name_is_a_name(name: str, blanks: str) -> None:
    """In quotes anything is a name, alone and behind a schema's."""
    quoted = quote_ident(name)
    assert is_table_name(quoted)
    assert is_table_name(f"{quoted}.{quoted}")
    assert not is_table_name(f"{quoted}.{quoted}.{quoted}")
    assert is_table_name(f"{quoted} . {quoted}")


@pytest.mark.parametrize("text", ["a.b.c", "", ".", "a.", '"a', '""', '"a"b', "a\nb-", "a\0b", "SELECT 1", "(table t)"])
def test_no_spelling_where_none_is_clear(text: str) -> None:
    """Nothing is made up: what is broken, or has a line end, or is a query, has no quoted spelling."""
    assert not is_table_name(text)
    assert quoted_spelling(text) is None
    assert isinstance(bad_name(text), ConfigError)
