"""Intervals and times with a zone, between PostgreSQL's integers and its text. Pure; imports nothing of bulkio."""

from __future__ import annotations

import re

__all__ = ["interval_text", "timetz_fields", "timetz_text"]

_TIMETZ = re.compile(
    r"(\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,6})0*)?)?(?:[zZ]|([+-])(\d\d)(?::?(\d\d))?(?::(\d\d))?)", re.ASCII
)


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
