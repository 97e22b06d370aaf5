"""Dates, times and booleans in ISO's spelling: read as the servers read them, or refused."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from bulkio.errors import EncodeError
from bulkio.types import base_type, cast_to_pg
from bulkio.types.isotexts import with_iso_texts
from cells import encode

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

TYPES = ("date", "timestamp", "timestamptz", "time", "bool")
#: texts to be damaged
SEEDS = {
    "date": ["2025-12-31", "0044-03-15 BC", "2000-02-29", "5874897-12-31", "4714-11-24 BC", "infinity", "-infinity"],
    "timestamp": ["2025-12-31 23:59:59.123456", "294276-12-31 23:59:59.999999", "4714-11-24 00:00:00 BC", "2025-01-01"],
    "timestamptz": [
        "2025-12-31 23:59:59.5+01",
        "2025-12-31T00:00:00Z",
        "0001-01-01 00:00:00+00:53:28 BC",
        "2025-01-01 00:00-0330",
    ],
    "time": ["23:59:59.123456", "00:00", "24:00:00", "12:30:15"],
    "bool": ["true", "false", "yes", "no", "on", "off", "1", "0", "t", "f"],
}


def iso(name: str, typmod: int = -1):
    """Return the cast of a column of text whose dates are ISO's."""
    how = cast_to_pg(pa.string(), base_type(name, typmod))
    assert how is not None
    return with_iso_texts(how)


def encoded(text: str, name: str, typmod: int = -1) -> bytes | None:
    """Return the cell of one text, None where it is refused."""
    try:
        return encode(pa.array([text]), iso(name, typmod))[0]
    except EncodeError:
        return None


def drawn(name: str, count: int) -> list[str]:
    """Damage texts of a type in a place or two."""
    draw = random.Random(count)  # noqa: S311 - the same each time
    texts = set(SEEDS[name])
    for _ in range(count):
        text = list(draw.choice(SEEDS[name]))
        for _ in range(draw.choice((1, 1, 2))):
            at = draw.randrange(len(text) + 1)
            text[at : at + draw.randint(0, 2)] = draw.choice(
                [*"0123456789-+:. TZzBCtfyno", "00", "60", "24", "\t", "", "13"]
            )
        texts.add("".join(text))
    return sorted(texts)


@pytest.mark.parametrize("name", TYPES)
def test_what_is_read_is_what_the_servers_read(
    dsn: str, connect: Callable[[str], psycopg.Connection], name: str
) -> None:
    """Of thousands of damaged texts, each that goes is sent as the server itself would store it."""
    conn = connect(dsn)
    conn.execute("SET timezone = 'Pacific/Marquesas'")
    send = {"bool": "boolsend", "timestamptz": "timestamptz_send"}.get(name, f"{name}_send")
    cells = {text: encoded(text, name) for text in drawn(name, 6000)}
    taken = {text: cell for text, cell in cells.items() if cell is not None}
    assert len(taken) > 50
    rows = conn.execute(f"SELECT t, {send}(t::{name}) FROM unnest(%s::text[]) AS t", [list(taken)]).fetchall()
    assert [(text, cell) for text, cell in rows if cell != taken[text]] == []


@pytest.mark.parametrize("name", TYPES)
def test_what_the_servers_print_is_read(dsn: str, connect: Callable[[str], psycopg.Connection], name: str) -> None:
    """Each value that a server prints under DateStyle ISO is taken, from the type's first to its last."""
    values = {
        "date": "SELECT '4714-11-24 BC'::date + (i * 21474836.47)::int FROM generate_series(0, 99) i UNION"
        " SELECT unnest('{infinity,-infinity,4714-11-24 BC,5874897-12-31,0001-01-01,0001-12-31 BC}'::date[]) UNION"
        " SELECT unnest('{9999-12-31,10000-01-01}'::date[])"
        " UNION SELECT '1582-10-01'::date + i FROM generate_series(0, 900) i",
        "timestamp": "SELECT unnest('{infinity,-infinity,4714-11-24 BC,294276-12-31 23:59:59.999999}'::timestamp[])"
        " UNION SELECT '4713-01-01 BC'::timestamp + i * interval '2990000 h 1.000001 s' FROM generate_series(0, 800) i",
        "timestamptz": "SELECT unnest('{infinity,-infinity,4714-11-24 00:00+00 BC}'::timestamptz[]) UNION"
        " SELECT '294276-12-31 23:59:59.999999+00' UNION"
        " SELECT '4713-01-01 BC'::timestamptz + i * interval '2990000 hours 1.000001 s' FROM generate_series(0, 800) i",
        "time": "SELECT unnest('{24:00:00,00:00:00,23:59:59.999999}'::time[]) UNION"
        " SELECT '00:00'::time + i * interval '17.0001 s' FROM generate_series(0, 800) i",
        "bool": "SELECT unnest('{t,f}'::bool[])",
    }[name]
    send = {"bool": "boolsend"}.get(name, f"{name}_send")
    conn = connect(dsn)
    for zone in ("UTC", "Europe/Berlin", "Asia/Kolkata"):
        conn.execute(f"SET timezone = '{zone}'")
        for text, cell in conn.execute(f"SELECT x::text, {send}(x) FROM ({values}) AS q(x)"):
            assert encoded(text, name) == cell, text


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("date", "2025-02-29"),
        ("date", "0000-01-01"),
        ("date", "02025-01-01"),
        ("date", "25-01-01"),
        ("date", "2025-1-1"),
        ("date", "31.12.2025"),
        ("date", "2025-12-31 00:00:00"),
        ("date", "5874898-01-01"),
        ("date", "4714-11-23 BC"),
        ("date", "today"),
        ("date", "20251231"),
        ("date", ""),
        ("timestamp", "2025-12-31 24:00:00"),
        ("timestamp", "2025-12-31 23:59:60"),
        ("timestamp", "2025-12-31 00:00:00+01"),
        ("timestamp", "2025-12-31 00:00:00.1234567"),
        ("timestamp", "2025-12-31 00:00:00."),
        ("timestamp", "2025-12-31 "  "x"),
        ("timestamp", "294277-01-01"),
        ("timestamptz", "2025-12-31 00:00:00"),
        ("timestamptz", "2025-12-31"),
        ("timestamptz", "2025-12-31 00:00:00+16"),
        ("timestamptz", "2025-12-31 00:00:00 UTC"),
        ("timestamptz", "294277-01-01 00:00:00+00"),
        ("time", "24:00:01"),
        ("time", "12:60"),
        ("time", "12"),
        ("time", "12:00:00+01"),
        ("bool", "o"),
        ("bool", "2"),
        ("bool", "truely"),
        ("bool", ""),
    ],
)  # fmt: skip
def test_what_is_refused(name: str, text: str) -> None:
    """What PostgreSQL would not print is an error with its row."""
    with pytest.raises(EncodeError, match='row 2, column "c"'):
        encode(pa.array([None, text]), iso(name))


def test_decimal_places() -> None:
    """A column of fewer places refuses what it would round; zeros behind may be there."""
    assert encoded("2025-01-01 00:00:00.12", "timestamp", 2) is not None
    assert encoded("2025-01-01 00:00:00.1200000000", "timestamp", 2) is not None
    assert encoded("2025-01-01 00:00:00.123", "timestamp", 2) is None
    assert encoded("12:00:00.5", "time", 0) is None


def test_only_what_the_server_would_parse_is_exchanged() -> None:
    """Other casts stay as they are, those of strings that have a parser and those of no strings."""
    for arrow, name in ((pa.string(), "int4"), (pa.string(), "interval"), (pa.date32(), "date"), (pa.string(), "text")):
        how = cast_to_pg(arrow, base_type(name))
        assert how is not None
        assert with_iso_texts(how) is how
    assert not iso("timestamptz").needs_server
    how = cast_to_pg(pa.dictionary(pa.int32(), pa.string()), base_type("date"))
    assert how is not None
    assert not with_iso_texts(how).needs_server
