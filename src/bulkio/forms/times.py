"""Dates, times and intervals, between integers and the text that every PostgreSQL reads. Imports nothing of bulkio."""

from __future__ import annotations

import re

__all__ = [
    "DATE_INFINITIES",
    "DAY_US",
    "EPOCH_DAYS",
    "INTERVAL_INFINITIES",
    "TIMESTAMP_INFINITIES",
    "clock_text",
    "date_text",
    "interval_text",
    "timestamp_text",
    "timetz_fields",
    "timetz_text",
]

DAY_US = 86_400_000_000
#: days from 1970-01-01 to 2000-01-01, where PostgreSQL's integers begin
EPOCH_DAYS = 10957
#: PostgreSQL's integers of infinity and -infinity
DATE_INFINITIES = (2**31 - 1, -(2**31))
TIMESTAMP_INFINITIES = (2**63 - 1, -(2**63))
INTERVAL_INFINITIES = tuple((n, n, long) for n, long in zip(DATE_INFINITIES, TIMESTAMP_INFINITIES, strict=True))

_TIMETZ = re.compile(
    r"(\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,6})0*)?)?(?:[zZ]|([+-])(\d\d)(?::?(\d\d))?(?::(\d\d))?)", re.ASCII
)


def date_text(days: int) -> str:
    """Write a date of any year as PostgreSQL reads it; `days` since 1970-01-01.

    >>> date_text(-719163), date_text(2932897)
    ('0001-12-31 BC', '10000-01-01')
    """
    # The civil calendar, counted in eras of 400 years that begin on March 1.
    era, day = divmod(days + 719468, 146097)
    year_of_era = (day - day // 1460 + day // 36524 - day // 146096) // 365
    day_of_year = day - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    month_from_march = (5 * day_of_year + 2) // 153
    day_of_month = day_of_year - (153 * month_from_march + 2) // 5 + 1
    month = month_from_march + 3 if month_from_march < 10 else month_from_march - 9
    year = year_of_era + 400 * era + (month <= 2)
    return f"{year:04}-{month:02}-{day_of_month:02}" if year > 0 else f"{1 - year:04}-{month:02}-{day_of_month:02} BC"


def timestamp_text(us: int) -> str:
    """Write a timestamp of any year as PostgreSQL reads it; `us` since 1970-01-01."""
    days, rest = divmod(us, DAY_US)
    date, _, bc = date_text(days).partition(" ")
    return f"{date} {clock_text(rest)}" + (" BC" if bc else "")


def clock_text(us: int) -> str:
    """Write a time of day, 24:00 too; `us` since midnight."""
    seconds, micros = divmod(us, 1_000_000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{micros:06}"


def interval_text(months: int, days: int, us: int) -> str:
    """Write an interval as every PostgreSQL reads it, whatever its IntervalStyle.

    >>> interval_text(-1, 2, -3_000_001)
    '-1 mons 2 days -0:00:03.000001'
    """
    seconds, micros = divmod(abs(us), 1_000_000)
    sign = "-" if us < 0 else "+"
    clock = f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}.{micros:06}"
    return f"{months} mons {days} days {sign}{clock}"


def timetz_fields(text: str) -> tuple[int, int]:
    """Parse what the codec has let through: microseconds since midnight, seconds west of UTC.

    >>> timetz_fields("12:34:56.789+02:30")
    (45296789000, -9000)
    """
    match = _TIMETZ.fullmatch(text)
    if match is None:
        raise ValueError(f"no time with a zone: {text!r}")
    hours, minutes, seconds, fraction, sign, *zone = match.groups(default="0")
    us = (int(hours) * 3600 + int(minutes) * 60 + int(seconds)) * 1_000_000 + int(fraction.ljust(6, "0"))
    offset = int(zone[0]) * 3600 + int(zone[1]) * 60 + int(zone[2])
    return us, offset if sign == "-" else -offset


def timetz_text(us: int, west: int) -> str:
    """Write a time with its zone as the server does.

    >>> timetz_text(86_400_000_000, 0), timetz_text(45296789000, -9000)
    ('24:00:00+00', '12:34:56.789+02:30')
    """
    seconds, micros = divmod(us, 1_000_000)
    fraction = f".{micros:06}".rstrip("0") if micros else ""
    clock = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{fraction}"
    offset = abs(west)
    zone = f"{offset // 3600:02}"
    if offset % 3600:
        zone += f":{offset // 60 % 60:02}"
    if offset % 60:
        zone += f":{offset % 60:02}"
    return f"{clock}{'-' if west > 0 else '+'}{zone}"
