"""Texts of dates and times put together at random: none goes of which a server would leave anything out."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pyarrow as pa

from bulkio.errors import EncodeError
from bulkio.types import base_type
from cells import encode

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

PIECES = [
    "2020-01-01",
    "20200101",
    "200101",
    "01/02/2020",
    "1.2.2020",
    "2-Jan-2020",
    "2020-01",
    "2020-001",
    "2020.001",
    "J2451187",
    "294276-12-31",
    "0044-03-15",
    "Jan",
    "January",
    "May",
    "Mar",
    "Sat",
    "Thu",
    "1",
    "2",
    "12",
    "031",
    "08",
    "99",
    "2020",
    "1200",
    "120000",
    "0000",
    "000000",
    "12:00",
    "12:00:30.5",
    "00:00",
    "24:00:00",
    "23:59:60",
    "T10:00",
    "T1000",
    "T101010",
    "T10",
    ":30",
    "+02",
    "-08",
    "-8",
    "+0530",
    "+05:30",
    "Z",
    "EST",
    "UTC",
    "Europe/Berlin",
    "MART",
    "dst",
    "BC",
    "AD",
    "PM",
    "AM",
    "infinity",
    "-infinity",
    "today",
    "tomorrow",
    "allballs",
    "at",
    "on",
    "y2020",
    "d5",
    "m1",
    ",",
    "-",
    "/",
    ".",
    "::",
    "h",
    "D",
]
#: what another zone than the session's would show in
ZONE = "Pacific/Marquesas"


def any_texts(count: int) -> list[str]:
    """Put pieces together, with and without blanks."""
    draw = random.Random(count)  # noqa: S311 - the same each time
    texts = {
        "".join(draw.choice(PIECES) + draw.choice(("", " ", " ", " ")) for _ in range(draw.randint(1, 5)))
        for _ in range(count)
    }
    return sorted(texts)


def goes(text: str, name: str) -> bool:
    """Tell whether the encoder lets a text go."""
    try:
        encode(pa.array([text]), base_type(name))
    except EncodeError:
        return False
    return True


def test_no_part_is_left_out(dsn: str, connect: Callable[[str], psycopg.Connection]) -> None:
    """A timestamp has no zone in its text, a date no time of day, a time no date of a worded or full form."""
    conn = connect(dsn)
    conn.execute(f"SET timezone = '{ZONE}'")
    for name in ("timestamp", "timestamptz", "date", "time"):
        conn.execute(
            f"CREATE FUNCTION try_{name}(t text) RETURNS {name} LANGUAGE plpgsql AS"
            f" 'BEGIN RETURN t::{name}; EXCEPTION WHEN OTHERS THEN RETURN NULL; END'"
        )
    found = {}
    texts = any_texts(20000)
    for name in ("timestamp", "date", "time"):
        rows = conn.execute(
            f"SELECT t, try_{name}(t)::text, try_timestamp(t)::text, (try_timestamptz(t) AT TIME ZONE '{ZONE}')::text,"
            " try_date(t) = try_timestamp(t) FROM unnest(%s::text[]) AS t",
            [[text for text in texts if goes(text, name)]],
        ).fetchall()
        found[name] = [row for row in rows if row[1] is not None]
        assert len(found[name]) > 20
    assert [row for row in found["timestamp"] if row[2] != row[3]] == []
    # far years are no timestamps
    assert [row for row in found["date"] if row[2] is not None and (row[2] != row[3] or not row[4])] == []
    # six digits are a time or a date, and then the whole is either
    dated = [row for row in found["time"] if row[2] is not None and len(row[0].strip(" ,").split(".")[0]) != 6]
    assert dated == []
