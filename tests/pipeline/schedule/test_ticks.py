"""Which ticks run and which are missed: a table of catch-ups and times."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from bulkio.pipeline.schedule.cron import Cron, tick_id
from bulkio.pipeline.schedule.ticks import MOST, first_sight, ticks, ticks_of_days

DAILY = Cron("15 2 * * *", "Europe/Berlin")
MINUTES = Cron("* * * * *")


def at(text: str) -> datetime:
    """Return a time of Berlin in October 2026."""
    return datetime.fromisoformat(f"2026-10-{text}").replace(tzinfo=DAILY.zone)


# Each row: time; days whose ticks run, and are missed, under none, latest and all. That of the 20th was seen.
TABLE = [
    ("20T02:15", ([], []), ([], []), ([], [])),
    ("21T02:14", ([], []), ([], []), ([], [])),
    ("21T02:15", ([21], []), ([21], []), ([21], [])),
    ("21T02:20", ([21], []), ([21], []), ([21], [])),
    ("21T02:21", ([], [21]), ([21], []), ([21], [])),
    ("23T12:00", ([], [21, 22, 23]), ([23], [21, 22]), ([21, 22, 23], [])),
    ("23T02:16", ([23], [21, 22]), ([22, 23], [21]), ([21, 22, 23], [])),
    ("26T02:16", ([26], [21, 22, 23, 24, 25]), ([25, 26], [21, 22, 23, 24]), ([21, 22, 23, 24, 25, 26], [])),
]


@pytest.mark.parametrize(("now", "none", "latest", "every"), TABLE)
def test_catching_up(now: str, none: object, latest: object, every: object) -> None:
    """Late ticks go by `catch_up`; those on time run anyhow."""
    for catch_up, expected in (("none", none), ("latest", latest), ("all", every)):
        for zone in (DAILY.zone, UTC):
            found = ticks(DAILY, catch_up, at("20T02:15").astimezone(zone), at(now).astimezone(zone))
            assert ([tick.day for tick in found.due], [tick.day for tick in found.missed]) == expected, catch_up


def test_lateness_where_the_clock_changes() -> None:
    """It is time that has passed: 02:59 and 02:01 are two minutes apart as the clock goes back."""
    hourly = Cron("59 * * * *", "Europe/Berlin")
    last = datetime.fromisoformat("2026-10-25T01:59+02:00")
    now = datetime.fromisoformat("2026-10-25T02:01+01:00").astimezone(DAILY.zone)
    assert [tick_id(tick) for tick in ticks(hourly, "none", last, now).due] == ["2026-10-25T02:59+02:00"]


def test_the_first_sight() -> None:
    """Ticks count from then on; the latest one that is on time counts too, and none before it."""
    for now, due in (("20T12:00", []), ("20T02:19", [20]), ("20T02:20", [20]), ("20T02:21", []), ("20T02:15", [20])):
        since = first_sight(DAILY, at(now))
        assert [tick.day for tick in ticks(DAILY, "all", since, at(now)).due] == due
        assert at(now) - since <= timedelta(minutes=5, seconds=1)
    now = datetime(2026, 1, 1, 12, 0, 30, tzinfo=UTC)
    assert ticks(MINUTES, "all", first_sight(MINUTES, now), now).due == (now.replace(second=0),)


def test_a_clock_that_went_back() -> None:
    """Nothing is due before the last tick that was seen."""
    for catch_up in ("none", "latest", "all"):
        found = ticks(DAILY, catch_up, at("20T02:15"), at("10T02:15"))
        assert (found.due, found.missed) == ((), ())


def test_a_long_time() -> None:
    """Of a year of minutes the latest are looked at; all of them run a thousand at a time, the earliest first."""
    start, now = datetime(2025, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, 0, 0, 30, tzinfo=UTC)
    every = ticks(MINUTES, "all", start, now).due
    assert (len(every), every[0]) == (MOST, start + timedelta(minutes=1))
    latest = ticks(MINUTES, "latest", start, now)
    assert len(latest.missed) + len(latest.due) == MOST
    assert len(latest.due) == 6  # five that are on time, and the latest of those that are late


def test_the_ticks_of_days() -> None:
    """Both days included, by the zone's calendar; an hour that comes twice is there twice."""
    days = ticks_of_days(DAILY, date(2026, 10, 24), date(2026, 10, 26))
    assert [tick_id(tick) for tick in days] == [
        "2026-10-24T02:15+02:00",
        "2026-10-25T02:15+02:00",
        "2026-10-26T02:15+01:00",
    ]
    hours = ticks_of_days(Cron("0 * * * *", "Europe/Berlin"), date(2026, 10, 25), date(2026, 10, 25))
    assert (len(hours), tick_id(hours[0]), tick_id(hours[-1])) == (
        25,
        "2026-10-25T00:00+02:00",
        "2026-10-25T23:00+01:00",
    )
    assert ticks_of_days(DAILY, date(2026, 10, 26), date(2026, 10, 25)) == ()
