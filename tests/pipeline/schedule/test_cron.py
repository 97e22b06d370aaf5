"""Cron lines: what is one, and when they tick where the clock changes, forward and back."""

from __future__ import annotations

import doctest
from datetime import UTC, datetime, timedelta

import pytest

import bulkio
from bulkio.pipeline.schedule import cron
from bulkio.pipeline.schedule.cron import Cron, check_cron, check_timezone, tick_id

WRONG = {
    "": "it has five fields: minute, hour, day of the month, month, day of the week",
    "15 2 * *": "it has five fields",
    "0 15 2 * * *": "it has five fields",
    "@daily": r"write '0 0 \* \* \*'",
    "60 2 * * *": r"its minute is wrong \(0 to 59\)",
    "*/0 2 * * *": "its minute is wrong",
    "15 24 * * *": "its hour is wrong",
    "15 5-2 * * *": "its hour is wrong",
    "15 2 0 * *": "its day of the month is wrong",
    "15 2 31 2,4 *": "its day of the month is wrong",
    "15 2 * 13 *": "its month is wrong",
    "15 2 * * MOO": "its day of the week is wrong",
    "x y z a b": "its minute is wrong",
}


def test_docstrings() -> None:
    """Their examples hold."""
    found = doctest.testmod(cron)
    assert (found.failed, found.attempted) == (0, 2)


@pytest.mark.parametrize("line", WRONG)
def test_what_is_no_cron_line(line: str) -> None:
    """The error says which field is wrong, and what it may be."""
    with pytest.raises(bulkio.ConfigError, match=f"is not a cron line: {WRONG[line]}"):
        check_cron(line)


@pytest.mark.parametrize(
    "line",
    ["15 2 * * *", "*/5 * * * *", "0 0 1 jan *", "0 9-17/2 * * mon-fri", "0 0 L * *", "0 0 29 2 *", " 1 1 1 1 1 "],
)
def test_what_is_one(line: str) -> None:
    """Names, lists, ranges and steps; a day that comes every four years."""
    check_cron(line)


def test_time_zones() -> None:
    """One that is not there gets the nearest; it is no path either."""
    check_timezone("Europe/Berlin")
    check_timezone("UTC")
    with pytest.raises(bulkio.ConfigError, match=r"'Europe/Berln' is not a time zone, .*; did you mean \"Europe/Ber"):
        check_timezone("Europe/Berln")
    for name in ("", "/etc/passwd", "../x", "Europe"):
        with pytest.raises(bulkio.ConfigError, match="is not a time zone, such as Europe/Berlin"):
            check_timezone(name)


# Each row: line, zone, start, and the ticks that follow. The clock goes forward on 2026-03-29 at 02:00 in Berlin, on
# 2026-03-08 at 02:00 in New York, on 2026-10-04 at 02:00 (to 02:30) in Lord Howe; back on 2026-10-25 at 03:00, on
# 2026-11-01 at 02:00, and on 2026-04-05 at 02:00 (to 01:30).
CHANGES = [
    ("15 2 * * *", "Europe/Berlin", "2026-03-27T12:00", ["28T02:15+01:00", "29T03:00+02:00", "30T02:15+02:00"]),
    ("15 2 * * *", "Europe/Berlin", "2026-10-23T12:00", ["24T02:15+02:00", "25T02:15+02:00", "26T02:15+01:00"]),
    ("15 1 * * *", "America/New_York", "2026-10-30T12:00", ["31T01:15-04:00", "01T01:15-04:00", "02T01:15-05:00"]),
    ("30 2 * * *", "America/New_York", "2026-03-06T12:00", ["07T02:30-05:00", "08T03:00-04:00", "09T02:30-04:00"]),
    ("15 2 * * *", "Australia/Lord_Howe", "2026-10-02T12:00", ["03T02:15+10:30", "04T02:30+11:00", "05T02:15+11:00"]),
    ("45 1 * * *", "Australia/Lord_Howe", "2026-04-03T12:00", ["04T01:45+11:00", "05T01:45+11:00", "06T01:45+10:30"]),
    # several times a day that the clock skips are one tick
    ("0,30 2,3 * * *", "Europe/Berlin", "2026-03-28T12:00", ["29T03:00+02:00", "29T03:30+02:00", "30T02:00+02:00"]),
    # by the time that has passed
    ("0 * * * *", "Europe/Berlin", "2026-03-29T00:30", ["29T01:00+01:00", "29T03:00+02:00", "29T04:00+02:00"]),
    (
        "0 * * * *",
        "Europe/Berlin",
        "2026-10-25T01:30",
        ["25T02:00+02:00", "25T02:00+01:00", "25T03:00+01:00", "25T04:00+01:00"],
    ),
    (
        "*/30 * * * *",
        "America/New_York",
        "2026-11-01T00:45",
        ["01T01:00-04:00", "01T01:30-04:00", "01T01:00-05:00", "01T01:30-05:00", "01T02:00-05:00"],
    ),
    ("0 * * * *", "America/New_York", "2026-03-08T00:30", ["08T01:00-05:00", "08T03:00-04:00", "08T04:00-04:00"]),
    ("0 * * * *", "Australia/Lord_Howe", "2026-10-04T00:30", ["04T01:00+10:30", "04T03:00+11:00", "04T04:00+11:00"]),
    (
        "*/30 * * * *",
        "Australia/Lord_Howe",
        "2026-04-05T00:45",
        ["05T01:00+11:00", "05T01:30+11:00", "05T01:30+10:30", "05T02:00+10:30"],
    ),
    ("0 12 * * *", "UTC", "2026-03-28T13:00", ["29T12:00+00:00", "30T12:00+00:00"]),
]


@pytest.mark.parametrize(("line", "zone", "start", "expected"), CHANGES)
def test_ticks_where_the_clock_changes(line: str, zone: str, start: str, expected: list[str]) -> None:
    """Hours that are missing and hours that come twice, daily and hourly; from each tick on the rest is the same."""
    pipeline = Cron(line, zone)
    begin = datetime.fromisoformat(start).replace(tzinfo=pipeline.zone)
    ticks = [tick for tick, _ in zip(pipeline.after(begin), expected, strict=False)]
    assert [tick_id(tick).partition("-")[2].partition("-")[2] for tick in ticks] == expected
    for number, tick in enumerate(ticks):
        assert [each for each, _ in zip(pipeline.after(tick), ticks[number + 1 :], strict=False)] == ticks[number + 1 :]
        assert pipeline.next(tick.astimezone(UTC) - timedelta(seconds=1)) == tick
    assert pipeline.latest(begin, ticks[-1], most=1000) == ticks
    assert pipeline.latest(begin, ticks[-1], most=2) == ticks[-2:]
    assert list(pipeline.between(begin, ticks[-1].astimezone(UTC) - timedelta(seconds=1))) == ticks[:-1]


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo", "UTC"])
@pytest.mark.parametrize(("line", "count"), [("15 2 * * *", 365), ("45 1 * * *", 365), ("0 0 * * *", 365)])
def test_a_daily_line_ticks_once_a_day(zone: str, line: str, count: int) -> None:
    """On each day of a year, whatever the clock does."""
    pipeline = Cron(line, zone)
    start = datetime(2026, 1, 1, tzinfo=pipeline.zone) - timedelta(seconds=1)
    days = [tick.date() for tick in pipeline.between(start, datetime(2026, 12, 31, 23, tzinfo=pipeline.zone))]
    assert len(days) == len(set(days)) == count


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "UTC"])
def test_an_hourly_line_ticks_each_hour(zone: str) -> None:
    """That has passed: 24 times 365 in a year."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    ticks = list(Cron("0 * * * *", zone).between(start, datetime(2027, 1, 1, tzinfo=UTC)))
    assert len(ticks) == len({tick.astimezone(UTC) for tick in ticks}) == 24 * 365


def test_the_latest_of_many_ticks_are_found_at_once() -> None:
    """Without a look at each minute of ten years."""
    start, end = datetime(2016, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)
    found = Cron("* * * * *").latest(start, end, most=1000)
    assert (len(found), found[-1]) == (1000, end)
    assert Cron("0 0 1 1 *").latest(start, end, most=1000) == [
        datetime(year, 1, 1, tzinfo=UTC) for year in range(2017, 2027)
    ]
