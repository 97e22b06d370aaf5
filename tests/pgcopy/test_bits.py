"""bit(n), varbit."""

from __future__ import annotations

import random
import struct
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkio.errors import DecodeError, EncodeError
from bulkio.types import base_type
from cells import agree_on_parsing, agree_on_printing, decode, encode_text

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

VARBIT = base_type("varbit")


@given(st.text("01", max_size=200))
def test_round_trip(text: str) -> None:
    """Any number of bits."""
    cell = encode_text(text, VARBIT)
    assert cell[:4] == struct.pack("!i", len(text))
    assert len(cell) == 4 + (len(text) + 7) // 8
    assert decode([cell, None], VARBIT, chunk_bytes=1).to_pylist() == [text, None]


def test_lengths_are_the_columns() -> None:
    """bit(n) takes n bits and no other number, varbit(n) n at most."""
    assert encode_text("10101", base_type("bit", 5)) == b"\0\0\0\5\xa8"
    for text in ("1010", "101010", ""):
        with pytest.raises(EncodeError, match=rf"'{text}' does not have the number of bits of bit\(5\)"):
            encode_text(text, base_type("bit", 5))
    assert encode_text("10101", base_type("varbit", 5)) == b"\0\0\0\5\xa8"
    with pytest.raises(EncodeError, match=r"is longer than varbit\(5\) allows"):
        encode_text("101010", base_type("varbit", 5))


@pytest.mark.parametrize("text", ["2", "b101", "x1F", " 1", "1 ", "１", "1\0"])
def test_refuses_what_is_no_bit(text: str) -> None:
    """The server's own prefixes too."""
    with pytest.raises(EncodeError, match="is not a valid varbit"):
        encode_text(text, VARBIT)


def test_decoder_checks_counts_and_padding() -> None:
    """The count decides the length, and bits that fill up are zeros."""
    for cell in (b"", b"\0\0\0", b"\0\0\0\1", b"\0\0\0\x09\xff", b"\0\0\0\x08\xff\0"):
        with pytest.raises(DecodeError, match="wrong length"):
            decode([cell], VARBIT)
    for cell in (b"\xff\xff\xff\xff", b"\0\0\0\5\xac", b"\0\0\0\x09\xff\x40"):
        with pytest.raises(DecodeError, match="the bytes are not a valid varbit"):
            decode([cell], VARBIT)


def test_agrees_with_the_server(dsn: str, connect: Callable[[str], psycopg.Connection]) -> None:
    """Random bits of every length around the bytes' borders."""
    conn = connect(dsn)
    rng = random.Random(21)  # noqa: S311 - a fixed sample
    texts = ["".join(rng.choice("01") for _ in range(n)) for n in range(70)] + ["1" * 100_000]
    agree_on_printing(conn, "varbit", VARBIT, texts)
    agree_on_parsing(conn, "varbit", VARBIT, texts)
    nines = [f"{n:09b}" for n in range(512)]
    agree_on_printing(conn, "bit(9)", base_type("bit", 9), nines)
    agree_on_parsing(conn, "bit(9)", base_type("bit", 9), nines)
