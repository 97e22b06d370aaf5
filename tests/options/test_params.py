"""A query's parameters: every value is read by the server as the one that Python has."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

import numpy as np
import pytest

import bulkio

EAST = timezone(timedelta(hours=5, minutes=30))


class Colour(StrEnum):
    """A text that has a name."""

    RED = "red"


@pytest.mark.parametrize(
    ("value", "pg_type", "text"),
    [
        ("it's", "text", "it's"),
        (Colour.RED, "text", "red"),
        (True, "bool", "true"),
        (2**70, "numeric", str(2**70)),
        (-7, "int2", "-7"),
        (0.1, "float8", "0.1"),
        (5e-324, "float8", "5e-324"),
        (math.nan, "float8", "NaN"),
        (-math.inf, "float8", "-Infinity"),
        (Decimal("12.30"), "numeric", "12.30"),
        (Decimal("1E+3"), "numeric", "1000"),
        (Decimal("NaN"), "numeric", "NaN"),
        (date(1, 1, 1), "date", "0001-01-01"),
        (time(23, 59, 59, 1), "time", "23:59:59.000001"),
        (time(1, tzinfo=EAST), "timetz", "01:00:00+05:30"),
        (datetime(2026, 1, 2, 3, 4, 5, 6), "timestamp", "2026-01-02 03:04:05.000006"),
        (datetime(2026, 1, 2, 3, tzinfo=EAST), "timestamptz", "2026-01-01 21:30:00+00"),
        (datetime(2026, 1, 2, 3, tzinfo=EAST), "timestamp", "2026-01-01 21:30:00"),
        (datetime(2026, 1, 2, 3, tzinfo=UTC), "timestamptz", "2026-01-02 03:00:00+00"),
        (datetime(2026, 1, 2, 3), "timestamptz", "2026-01-02 03:00:00+00"),
        (timedelta(days=-1, microseconds=1), "interval", "PT-23H-59M-59.999999S"),
        (UUID(int=7), "uuid", "00000000-0000-0000-0000-000000000007"),
        (b"\0\\x", "bytea", "\\x005c78"),
        (np.float32(0.1), "float8", "0.10000000149011612"),
        (np.int64(3), "int8", "3"),
        (None, "int4", None),
    ],
)
def test_the_server_reads_the_same_value(dsn: str, value: object, pg_type: str, text: str | None) -> None:
    """It is told as that type's own output; a datetime with a zone is the same instant whatever is wanted."""
    table = bulkio.read(f"select ($1::{pg_type})::text as v", dsn, params=[value]).read_all()
    assert table["v"].to_pylist() == [text]


@pytest.mark.parametrize("value", [[1], {"a": 1}, 1j, object])
def test_a_value_without_one_text(value: object) -> None:
    """It is refused before anybody connects, by its number."""
    with pytest.raises(bulkio.ConfigError, match=r"^parameter \$2 is "):
        bulkio.read("select $1, $2", "host=nowhere.invalid", params=["x", value])


def test_params_of_an_export(one_dsn: str, tmp_path) -> None:
    """An export takes the same values."""
    report = bulkio.export("select 1 where 2.0 > $1", tmp_path / "x.parquet", one_dsn, params=[1.5])
    assert report.rows == 1
