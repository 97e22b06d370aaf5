"""pg_lsn, and uuid from its text."""

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

LSN, UUID = base_type("pg_lsn"), base_type("uuid")
DIGITS = "A0EEBC999c0b4ef8bb6d6bb9bd380a11"
FOURS = [DIGITS[i : i + 4] for i in range(0, 32, 4)]
UUIDS = [
    DIGITS,
    "{" + DIGITS.lower() + "}",
    "-".join(FOURS),
    "{" + "-".join(FOURS) + "}",
    "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
    "A0EEBC99-9C0B4EF8-BB6D6BB9-BD380A11",
]


@given(st.integers(0, 2**64 - 1))
def test_lsn_round_trip(position: int) -> None:
    """Every position, written as the server does."""
    cell = struct.pack("!Q", position)
    text = f"{position >> 32:X}/{position & 0xFFFFFFFF:X}"
    assert decode([cell, None], LSN, chunk_bytes=1).to_pylist() == [text, None]
    assert encode_text(text, LSN) == encode_text(text.lower(), LSN) == cell


@pytest.mark.parametrize(
    "text", ["", "/", "1", "1/", "/1", "123456789/0", "0/123456789", "G/0", "1/0 ", " 1/0", "1/0/0", "1-0"]
)
def test_lsn_refuses(text: str) -> None:
    """One to eight digits on both sides, nothing else."""
    with pytest.raises(EncodeError, match="is not a valid pg_lsn"):
        encode_text(text, LSN)


def test_lsn_decoder_checks_the_length() -> None:
    """Nothing but eight bytes is read."""
    for n in (0, 7, 9):
        with pytest.raises(DecodeError, match=f"expected 8 bytes, found {n}"):
            decode([bytes(n)], LSN)


@pytest.mark.parametrize("text", UUIDS)
def test_uuid_spellings(text: str) -> None:
    """All that PostgreSQL's manual shows."""
    assert encode_text(text, UUID) == bytes.fromhex(DIGITS)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "{",
            "{}",
            DIGITS[:-1],
            DIGITS + "0",
            DIGITS[:-1] + "g",
            DIGITS + "-",
            "-" + DIGITS,
            DIGITS[:2] + "-" + DIGITS[2:],
        ),
        *(
            "{" + DIGITS,
            DIGITS + "}",
            "{" + DIGITS + "} ",
            " " + DIGITS,
            DIGITS[:4] + "--" + DIGITS[4:],
            "urn:uuid:" + DIGITS,
        ),
    ],
)
def test_uuid_refuses(text: str) -> None:
    """What the server would refuse."""
    with pytest.raises(EncodeError, match="is not a valid uuid"):
        encode_text(text, UUID)


def test_agrees_with_the_server(dsn: str, connect: Callable[[str], psycopg.Connection]) -> None:
    """Spellings and random positions."""
    conn = connect(dsn)
    agree_on_parsing(conn, "uuid", UUID, UUIDS)
    rng = random.Random(24)  # noqa: S311 - a fixed sample
    texts = ["0/0", "FFFFFFFF/FFFFFFFF", "16/B374D848", "00000016/0b374d848"[:-1], "a/b"]
    texts += [f"{rng.randrange(2**32):X}/{rng.randrange(2 ** rng.randrange(1, 33)):X}" for _ in range(200)]
    agree_on_printing(conn, "pg_lsn", LSN, texts)
    agree_on_parsing(conn, "pg_lsn", LSN, texts)
