"""A cron line in its time zone: the times at which it ticks. Pure.

Under daylight-saving time it is as in Debian's cron. A line whose minute and hour are both fixed ticks once a day for
each of its times: one that the clock skips comes at the first moment after the gap, one that the clock repeats comes
the first time only. A line whose minute or hour begins with ``*`` goes by the time that has passed: it does not tick
in the gap, and ticks in both of the repeated hours.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import TYPE_CHECKING

from bulkio.errors import ConfigError
from bulkio.show import did_you_mean, show_value

if TYPE_CHECKING:
    from collections.abc import Iterator
    from zoneinfo import ZoneInfo

__all__ = ["Cron", "check_cron", "check_timezone", "tick_id"]

_FIELDS = "minute, hour, day of the month, month, day of the week"
#: names of cronsim's fields, as messages have them
_NAMES = {
    "Bad minute": "its minute is wrong (0 to 59)",
    "Bad hour": "its hour is wrong (0 to 23)",
    "Bad day-of-month": "its day of the month is wrong (1 to 31, L, and one that its months have)",
    "Bad month": "its month is wrong (1 to 12, or JAN to DEC)",
    "Bad day-of-week": "its day of the week is wrong (0 to 7, or SUN to SAT)",
}
#: words that some crons have for a line
_WORDS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}


@dataclass(frozen=True, slots=True)
class Cron:
    """A cron line of five fields, and the zone whose clock it goes by."""

    line: str
    timezone: str = "UTC"

    @property
    def zone(self) -> ZoneInfo:
        """The zone. Raises ConfigError where there is none of its name."""
        from zoneinfo import ZoneInfo

        try:
            return ZoneInfo(self.timezone)
        except (OSError, ValueError, KeyError):
            raise _no_zone(self.timezone) from None

    def after(self, start: datetime) -> Iterator[datetime]:
        """Iterate over the ticks after a time, in the zone's local time. Raises ConfigError where the line is wrong."""
        zone = self.zone
        last = start.astimezone(UTC)
        for found in _simulated(self.line, start.astimezone(zone)):
            tick = found.astimezone(UTC)  # a local time that the clock skips is none
            if tick > last:  # one that the clock repeats may have been before
                last = tick
                yield tick.astimezone(zone)

    def between(self, start: datetime, end: datetime) -> Iterator[datetime]:
        """Iterate over the ticks after `start` up to `end`, both included but `start`."""
        return takewhile(lambda tick: tick.astimezone(UTC) <= end, self.after(start))

    def next(self, start: datetime) -> datetime:
        """Return the first tick after a time."""
        return next(self.after(start))

    def latest(self, start: datetime, end: datetime, *, most: int) -> list[datetime]:
        """Return the ticks after `start` up to `end`; of more than `most` the latest, without a look at all others."""
        span = timedelta(days=1)
        while True:
            begin = max(start, end - span)
            found = list(self.between(begin, end))
            if len(found) >= most or begin == start:
                return found[-most:]
            span *= 8


def tick_id(tick: datetime) -> str:
    """Return the id of a tick's run: its local time, with the offset that tells repeated hours apart.

    >>> tick_id(Cron("15 2 * * *", "Europe/Berlin").next(datetime(2026, 10, 24, 12, tzinfo=UTC)))
    '2026-10-25T02:15+02:00'
    """
    return tick.isoformat(timespec="minutes")


def check_cron(text: str) -> None:
    """Refuse a cron line that is wrong, or that never comes.

    >>> check_cron("15 24 * * *")
    Traceback (most recent call last):
    ...
    bulkio.errors.ConfigError: '15 24 * * *' is not a cron line: its hour is wrong (0 to 23)
    """
    if next(_simulated(text, datetime(2024, 1, 1, tzinfo=UTC)), None) is None:
        raise _no_cron(text, "no day is like that")


def check_timezone(name: str) -> None:
    """Refuse what is not the name of a time zone; the message names the nearest one."""
    _ = Cron("* * * * *", name).zone


def _simulated(line: str, start: datetime) -> Iterator[datetime]:
    from cronsim import CronSim, CronSimError

    if line.strip().lower() in _WORDS:
        raise _no_cron(line, f"write {show_value(_WORDS[line.strip().lower()])}")
    if len(line.split()) != 5:
        raise _no_cron(line, f"it has five fields: {_FIELDS}")
    try:
        return CronSim(line, start)
    except CronSimError as error:
        raise _no_cron(line, _NAMES.get(str(error), str(error))) from None
    except (AssertionError, TypeError, ValueError):  # cronsim's own check has gaps
        raise _no_cron(line, f"its fields are {_FIELDS}, with *, lists, ranges and steps") from None


def _no_cron(line: str, why: str) -> ConfigError:
    return ConfigError(f"{show_value(line)} is not a cron line: {why}")


def _no_zone(name: str) -> ConfigError:
    from zoneinfo import available_timezones

    near = did_you_mean(name, available_timezones())
    return ConfigError(f"{show_value(name)} is not a time zone, such as Europe/Berlin{near and f'; {near}'}")
