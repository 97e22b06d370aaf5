"""Which ticks of a pipeline run, and which are missed. Pure.

A tick is late once it is older than `GRACE`. What becomes of late ticks is told by `catch_up`: `none` misses them all,
`latest` misses all but the latest, `all` runs each in order. Ticks that are not late always run.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from bulkio.pipeline.schedule.cron import Cron

__all__ = ["GRACE", "MOST", "CatchUp", "Ticks", "first_sight", "ticks", "ticks_of_days"]

CatchUp = Literal["none", "latest", "all"]

#: age up to which a tick is on time
GRACE = timedelta(minutes=5)
#: number of ticks that are looked at at once; of more missed ones the latest are recorded
MOST = 1000
_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Ticks:
    """Ticks of one pipeline, in its zone's local time, in order."""

    #: ticks that run
    due: tuple[datetime, ...] = ()
    #: ticks that do not run any more
    missed: tuple[datetime, ...] = ()


def first_sight(cron: Cron, now: datetime) -> datetime:
    """Return the time from which on the ticks count of a pipeline that nobody has seen before.

    That is now, or just before the latest tick where that one is on time.
    """
    now = now.astimezone(UTC)  # local times of one zone are subtracted as if its clock never changed
    recent = cron.latest(now - GRACE - _SECOND, now, most=1)
    return recent[0].astimezone(UTC) - _SECOND if recent and now - recent[0] <= GRACE else now


def ticks(cron: Cron, catch_up: CatchUp, last: datetime, now: datetime) -> Ticks:
    """Return what is due, and what is missed, of the ticks after `last`, which were not seen yet."""
    last, now = last.astimezone(UTC), now.astimezone(UTC)
    if catch_up == "all":
        return Ticks(due=tuple(islice(cron.between(last, now), MOST)))
    found = cron.latest(last, now, most=MOST) if last < now else []
    late = [tick for tick in found if now - tick > GRACE]
    missed = late if catch_up == "none" else late[:-1]
    return Ticks(due=tuple(found[len(missed) :]), missed=tuple(missed))


def ticks_of_days(cron: Cron, first: date, last: date) -> tuple[datetime, ...]:
    """Return the ticks of some days of the zone's calendar, the last one included."""
    start = datetime.combine(first, time(), cron.zone)
    end = datetime.combine(last + timedelta(days=1), time(), cron.zone)
    return tuple(cron.between(start - _SECOND, end - _SECOND))
