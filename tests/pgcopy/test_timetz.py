"""timetz as text."""

from __future__ import annotations

import random
import struct
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkio.errors import DecodeError, EncodeError
from bulkio.forms.times import timetz_fields, timetz_text
from bulkio.types import Cast, Policies, base_type
from cells import agree_on_parsing, agree_on_printing, decode, encode, encode_text

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

TIMETZ = base_type("timetz")
DAY_US = 86_400_000_000
SPELLINGS = [
    *("12:34:56.789+02", "00:00:00+00", "24:00:00+00", "24:00-15:59:59", "23:59:59.999999+15:59:59", "12:34+02"),
    *(
        "12:34:56Z",
        "12:34:56z",
        "12:34Z",
        "12:34:56.5Z",
        "12:34:56+0230",
        "12:34:56-02:30",
        "12:34:56-00",
        "12:34:56.1-0000",
    ),
    *("12:34:56.000001-00:00:01", "12:34:56.1234560000+02", "12:34:56.000000000000-11"),
]


@given(st.integers(0, DAY_US), st.integers(-16 * 3600 + 1, 16 * 3600 - 1))
def test_round_trip(us: int, west: int) -> None:
    """Every time and every zone, here and in the methods that carry rows."""
    cell = struct.pack("!qi", us, west)
    text = decode([cell], TIMETZ)[0].as_py()
    assert encode_text(text, TIMETZ) == cell
    assert timetz_text(us, west) == text
    assert timetz_fields(text) == (us, west)


@pytest.mark.parametrize("text", SPELLINGS)
def test_rows_read_it_as_the_codec(text: str) -> None:
    """The parser of the row methods takes every form that the encoder lets through."""
    assert struct.pack("!qi", *timetz_fields(text)) == encode_text(text, TIMETZ)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "12",
            "12:34",
            "12:34:56",
            "1:34:56+02",
            "12:60:00+02",
            "12:34:60+02",
            "25:00:00+00",
            "24:00:00.000001+00",
        ),
        *(
            "24:01+00",
            "12:34:56.+02",
            "12:34:56 +02",
            "12:34:56+2",
            "12:34:56+16",
            "12:34:56+02:60",
            "12:34:56+02:30:60",
        ),
        *(
            "12:34:56+02:",
            "12:34:56+02:30:15:",
            "12:34:56+023",
            "12:34:56+02301",
            "12:34:56+023015",
            "12:34:56+0230:15",
        ),
        *("12:34:56 UTC", "T12:34:56Z", "12:34:56ZZ", "12-34-56+02", "12:34:56.1x+02", "12:34:56." + "0" * 80 + "+02"),
    ],
)
def test_refuses(text: str) -> None:
    """Zones by name, and what is no time."""
    with pytest.raises(EncodeError, match="is not a valid timetz"):
        encode_text(text, TIMETZ)


def test_refuses_to_round() -> None:
    """More places than microseconds, or than the column has, must be zeros."""
    with pytest.raises(EncodeError, match="would be rounded by timetz"):
        encode_text("12:34:56.1234567+02", TIMETZ)
    with pytest.raises(EncodeError, match=r"would be rounded by timetz\(2\)"):
        encode_text("12:34:56.123+02", base_type("timetz", 2))
    assert encode_text("12:34:56.120+02", base_type("timetz", 2)) == encode_text("12:34:56.12+02", TIMETZ)


def test_losses_that_the_user_allows() -> None:
    """The digits past microseconds are cut; what the column does not keep, the server rounds."""
    lossy = Cast("timetz", pa.string(), base_type("timetz", 2), policies=Policies(allow_lossy=True))
    assert encode(pa.array(["12:34:56.1234569Z"]), lossy) == [encode_text("12:34:56.123456Z", TIMETZ)]


def test_decoder_checks_lengths_and_ranges() -> None:
    """12 bytes, a time of one day, a zone below 16 hours."""
    for n in range(12):
        with pytest.raises(DecodeError, match=f"expected 12 bytes, found {n}"):
            decode([bytes(n)], TIMETZ)
    for us, west in ((-1, 0), (DAY_US + 1, 0), (0, 16 * 3600), (0, -16 * 3600), (0, -(2**31))):
        with pytest.raises(DecodeError, match="the bytes are not a valid timetz"):
            decode([struct.pack("!qi", us, west)], TIMETZ)
    assert decode([bytes(12), None], TIMETZ, chunk_bytes=1).to_pylist() == ["00:00:00+00", None]


def test_agrees_with_the_server(dsn: str, connect: Callable[[str], psycopg.Connection]) -> None:
    """Every spelling, and random times in odd zones."""
    conn = connect(dsn)
    rng = random.Random(22)  # noqa: S311 - a fixed sample
    texts = list(SPELLINGS)
    for _ in range(500):
        us = rng.choice([rng.randrange(DAY_US), rng.randrange(86400) * 1_000_000, rng.randrange(864_000) * 100_000])
        texts.append(timetz_text(us, rng.choice([rng.randrange(-57599, 57600), 900 * rng.randrange(-63, 64)])))
    agree_on_printing(conn, "timetz", TIMETZ, texts)
    agree_on_parsing(conn, "timetz", TIMETZ, texts)
