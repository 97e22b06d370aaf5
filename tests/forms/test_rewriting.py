"""Numbers, dates and times that a file spells in another way than PostgreSQL."""

from __future__ import annotations

from datetime import datetime, timedelta

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bulkio.errors import EncodeError
from bulkio.forms.rewriting import Rewriter
from bulkio.pgcopy import Encoder, Field
from bulkio.pgcopy.encoder import TRAILER
from bulkio.protocols import Spelling
from bulkio.types import base_type, cast_to_pg
from bulkio.types.isotexts import with_iso_texts

COMMA = Spelling(decimal_comma=True)
GERMAN = Spelling(date_format="DD.MM.YYYY")
BERLIN = Spelling(timezone="Europe/Berlin")


def rewrite(texts: list[str | None], pg_type: str, options: Spelling, **where: int) -> list[str | None]:
    """Rewrite a column called c."""
    return Rewriter(options).rewrite(pa.array(texts, pa.string()), pg_type=pg_type, column="c", **where).to_pylist()


@pytest.mark.parametrize(
    ("text", "pg_type", "options", "wanted"),
    [
        ("1234,50", "numeric(12,2)", COMMA, "1234.50"),
        ("-0,5", "double precision", COMMA, "-0.5"),
        ("+1,5e-3", "float4", COMMA, "+1.5e-3"),
        ("12", "numeric", COMMA, "12"),
        (" 1,5 ", "numeric", COMMA, " 1.5 "),
        ("NaN", "numeric", COMMA, "NaN"),
        ("1,5", "text", COMMA, "1,5"),
        ("1,5", "integer", COMMA, "1,5"),
        ("31.12.2025", "date", GERMAN, "2025-12-31"),
        ("1.2.2025", "date", GERMAN, "2025-02-01"),
        ("31.12.2025", "timestamp", GERMAN, "2025-12-31"),
        ("31.12.2025 14:30", "timestamp(3) without time zone", GERMAN, "2025-12-31 14:30"),
        ("31.12.2025T9:30:15.25", "timestamp", GERMAN, "2025-12-31 09:30:15.25"),
        ("31.12.2025 14:30:00+02", "timestamptz", GERMAN, "2025-12-31 14:30:00+02"),
        ("31.12.2025", "text", GERMAN, "31.12.2025"),
        ("12/31/2025", "date", Spelling(date_format="MM/DD/YYYY"), "2025-12-31"),
        ("20251231", "date", Spelling(date_format="yyyymmdd"), "2025-12-31"),
        ("2025年12月31日", "date", Spelling(date_format="YYYY年MM月DD日"), "2025-12-31"),
        ("2025-07-01 12:00:00", "timestamptz", BERLIN, "2025-07-01 12:00:00+02:00"),
        ("2025-01-01T12:00:00.123456", "timestamp(3) with time zone", BERLIN, "2025-01-01T12:00:00.123456+01:00"),
        ("2025-01-01", "timestamptz", BERLIN, "2025-01-01 00:00:00+01:00"),
        ("2025-01-01 12:00Z", "timestamptz", BERLIN, "2025-01-01 12:00Z"),
        ("2025-01-01 12:00:00-03:30", "timestamptz", BERLIN, "2025-01-01 12:00:00-03:30"),
        ("infinity", "timestamptz", BERLIN, "infinity"),
        ("1890-01-01 12:00:00", "timestamptz", BERLIN, "1890-01-01 12:00:00+00:53:28"),
        ("2025-03-30 01:59:59.999", "timestamptz", BERLIN, "2025-03-30 01:59:59.999+01:00"),
        ("2025-03-30 03:00", "timestamptz", BERLIN, "2025-03-30 03:00+02:00"),
        ("2025-07-01 12:00:00", "timestamp", BERLIN, "2025-07-01 12:00:00"),
        (
            "1.7.2025 12:00:00",
            "timestamptz",
            Spelling(date_format="DD.MM.YYYY", timezone="Europe/Berlin"),
            "2025-07-01 12:00:00+02:00",
        ),
    ],
)
def test_what_is_rewritten(text, pg_type, options, wanted):
    """Each text becomes PostgreSQL's, between NULLs that stay."""
    assert rewrite([None, text, None, text], pg_type, options) == [None, wanted, None, wanted]


@pytest.mark.parametrize(
    ("text", "pg_type", "options", "reason"),
    [
        ("1.5", "numeric", COMMA, "is not a number with a decimal comma alone"),
        ("1.234,56", "numeric", COMMA, "decimal comma"),
        ("1,234,567", "numeric", COMMA, "decimal comma"),
        ("1,", "numeric", COMMA, "decimal comma"),
        (",5", "numeric", COMMA, "decimal comma"),
        ("1,5 EUR", "numeric", COMMA, "decimal comma"),
        ("2025-12-31", "date", GERMAN, "is not a date written as DD.MM.YYYY"),
        ("31.12.25", "date", GERMAN, "written as"),
        ("31/12/2025", "date", GERMAN, "written as"),
        ("31.12.2025 00:00", "date", GERMAN, "written as"),
        ("x31.12.2025", "date", GERMAN, "written as"),
        ("31.12.2025\n", "date", GERMAN, "written as"),
        ("٣١.12.2025", "date", GERMAN, "written as"),
        ("", "date", GERMAN, "written as"),
        ("1122025", "date", Spelling(date_format="DDMMYYYY"), "written as"),
        ("2025-03-30 02:30:00", "timestamptz", BERLIN, "is a time that Europe/Berlin skips"),
        ("2025-10-26 02:30:00", "timestamptz", BERLIN, "is a time that Europe/Berlin has twice"),
        ("2025-10-26 02:00", "timestamptz", BERLIN, "has twice"),
        ("2025-02-30 02:00", "timestamptz", BERLIN, "is not a date and time"),
        ("2025-02-28 24:00", "timestamptz", BERLIN, "is not an ISO date and time"),
        ("0000-01-01", "timestamptz", BERLIN, "is not a date and time"),
        ("2025-10-26 03:99", "timestamptz", BERLIN, "is not an ISO date and time"),
        ("2025-12-31 23:59:60", "timestamptz", BERLIN, "is not an ISO date and time"),
        ("Jan 1 2025", "timestamptz", BERLIN, "is not an ISO date and time"),
        ("2025-01-01 12:00 CET", "timestamptz", BERLIN, "is not an ISO date and time"),
        ("2025-01-01 12:00\n", "timestamptz", BERLIN, "is not an ISO date and time"),
        ("", "timestamptz", BERLIN, "is not an ISO date and time"),
        ("2011-12-30 12:00", "timestamptz", Spelling(timezone="Pacific/Apia"), "Pacific/Apia skips"),
    ],
)
def test_what_is_refused(text, pg_type, options, reason):
    """What is not surely in the spelling named is an error with its row and column; nothing is guessed."""
    good = {"numeric": "1", "date": "01.01.2025", "timestamptz": "2025-01-01"}[pg_type]
    if "YYYYMM" in str(options.date_format) or options.date_format == "DDMMYYYY":
        good = "01012025"
    with pytest.raises(EncodeError) as caught:
        rewrite([None, good, text], pg_type, options, first_row=101)
    assert (caught.value.row, caught.value.column) == (103, "c")
    assert str(caught.value).startswith('row 103, column "c": ')
    assert reason in str(caught.value)


def test_a_slice_is_rewritten():
    """Columns with an offset, and without any row, are columns like others."""
    texts = pa.array(["x", "2025-07-01 12:00", None])
    rewriter = Rewriter(BERLIN)
    assert rewriter.rewrite(texts.slice(1), pg_type="timestamptz", column="c").to_pylist() == [
        "2025-07-01 12:00+02:00",
        None,
    ]
    assert rewriter.rewrite(texts.slice(3), pg_type="timestamptz", column="c").to_pylist() == []


def test_what_concerns_an_option():
    """A column is touched only where an option speaks of its type."""
    rewriter = Rewriter(Spelling(decimal_comma=True, timezone="UTC"))
    assert [
        rewriter.concerns(name)
        for name in ("numeric(3,1)", "pg_catalog.float8", "money", "timestamp(0) with time zone")
    ] == [True] * 4
    assert not any(rewriter.concerns(name) for name in ("int4", "date", "timestamp", "text", "numeric[]"))


@settings(deadline=None)
@given(
    st.datetimes(),
    st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Monrovia", "UTC"]),
)
def test_offsets_are_zoneinfos(when, zone):
    """What is appended is the zone's offset at that time, or the time is refused because PEP 495 calls it special."""
    from zoneinfo import ZoneInfo

    first, second = (when.replace(tzinfo=ZoneInfo(zone), fold=fold).utcoffset() for fold in (0, 1))
    text = when.isoformat(sep=" ", timespec="microseconds")
    if first != second:
        with pytest.raises(EncodeError):
            rewrite([text], "timestamptz", Spelling(timezone=zone))
        return
    (done,) = rewrite([text], "timestamptz", Spelling(timezone=zone))
    assert datetime.fromisoformat(done).utcoffset() == first
    assert done.startswith(text)


def test_the_codec_reads_every_offset():
    """The type's own parser takes what was appended, seconds of old local times too."""
    column = Rewriter(BERLIN).rewrite(pa.array(["1890-01-01 00:00:00"]), pg_type="timestamptz", column="c")
    encoder = Encoder([Field("c", with_iso_texts(cast_to_pg(pa.string(), base_type("timestamptz"))))])
    stream = b"".join(map(bytes, [*encoder.encode(pa.record_batch([column], ["c"])), encoder.finish()]))
    micros = int.from_bytes(stream.removesuffix(TRAILER)[-8:], "big", signed=True)
    utc = datetime(1890, 1, 1) - timedelta(minutes=53, seconds=28)
    assert datetime(2000, 1, 1) + timedelta(microseconds=micros) == utc


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/Sao_Paulo", "Asia/Kolkata"])
def test_the_server_reads_the_same_instants(dsn, connect, zone):
    """A server whose TimeZone is that zone reads the local text as it reads the completed one."""
    texts = [
        f"{year}-{month:02}-15 {hour:02}:15:30.5"
        for year in (1950, 1985, 2007, 2030)
        for month in range(1, 13)
        for hour in (0, 12)
    ]
    done = rewrite(texts, "timestamptz", Spelling(timezone=zone))
    connection = connect(dsn)
    connection.execute(f"SET TimeZone = '{zone}'")
    query = "SELECT bool_and(a::timestamptz = b::timestamptz), count(*) FROM unnest(%s::text[], %s::text[]) AS t(a, b)"
    assert connection.execute(query, [texts, done]).fetchone() == (True, len(texts))
