"""jsonpath and ltree: text behind a version."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bulkio.errors import DecodeError, EncodeError
from bulkio.types import PgType, base_type
from cells import agree_on_parsing, agree_on_printing, decode, encode_text

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

JSONPATH = base_type("jsonpath")


def test_the_version_is_written_and_checked() -> None:
    """One byte, 1."""
    assert encode_text("$.ä", JSONPATH) == b"\1$.\xc3\xa4"
    assert decode([b"\1$.\xc3\xa4", None, b"\1"], JSONPATH, chunk_bytes=1).to_pylist() == ["$.ä", None, ""]
    for cell, message in (
        (b"", "expected 1 bytes, found 0"),
        (b"\2$", "the bytes are not a valid jsonpath"),
        (b"\1\xff", "not valid UTF-8"),
        (b"\1a\0", "a NUL character"),
    ):
        with pytest.raises(DecodeError, match=message):
            decode([cell], JSONPATH)
    with pytest.raises(EncodeError, match="contains a NUL character"):
        encode_text("$\0", JSONPATH)


def test_jsonpath_agrees_with_the_server(dsn: str, connect: Callable[[str], psycopg.Connection]) -> None:
    """The server normalises; what it writes is what comes."""
    texts = ["$", "$.a[*] ? (@.b > 1.50)", "strict $.ä.**{2 to last}", '$."x y"']
    conn = connect(dsn)
    agree_on_printing(conn, "jsonpath", JSONPATH, texts)
    agree_on_parsing(conn, "jsonpath", JSONPATH, texts)


def test_ltree_agrees_with_the_server(dsn: str, connect: Callable[[str], psycopg.Connection]) -> None:
    """An extension's type, where the server has it."""
    conn = connect(dsn)
    row = conn.execute("SELECT count(*) FROM pg_available_extensions WHERE name = 'ltree'").fetchone()
    assert row is not None
    if row[0] == 0:
        return
    conn.execute("CREATE EXTENSION ltree")
    ltree = PgType("ltree", 0, 0, "versioned_text", "public")
    texts = ["", "a", "Top.Science_1.b"]
    agree_on_printing(conn, "ltree", ltree, texts)
    agree_on_parsing(conn, "ltree", ltree, texts)
