"""One finding, and the list of all that is looked at."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

__all__ = ["CHECKS", "Finding", "Level", "fail", "ok", "shown_age", "shown_bytes", "unseen", "warn"]

Level = Literal["ok", "warn", "fail"]

#: names of what is looked at, by area, in the order of the report; docs/doctor.md explains each
CHECKS = {
    "connection": ("driver", "latency", "tls", "version", "pooler", "primary", "encoding", "clock"),
    "privileges": ("schema", "temporary", "ledger", "chunks", "journal", "activity"),
    "settings": (
        "wal_size",
        "checkpoints",
        "compression",
        "index_memory",
        "two_phase",
        "durability",
        "triggers_off",
        "buffers",
        "autovacuum",
        "time_limits",
        "lock_limit",
        "temp_limit",
        "client_check",
        "connections",
    ),
    "table": (
        "kind",
        "rights",
        "policies",
        "triggers",
        "indexes",
        "foreign_keys",
        "keys",
        "columns",
        "partitions",
        "truncate",
        "replace",
        "publications",
        "logging",
        "statistics",
        "dead_rows",
        "table_autovacuum",
    ),
    "leftovers": ("prepared", "own_tables", "loads", "runs", "long_transactions", "slots"),
}
_AREAS = {check: area for area, checks in CHECKS.items() for check in checks}


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found of one thing."""

    #: what was looked at: one of the names in `CHECKS`
    check: str
    level: Level
    text: str
    #: command, SQL or setting that helps; "" if nothing needs to be done
    remedy: str = ""

    @property
    def area(self) -> str:
        """The part of the report in which it stands."""
        return _AREAS[self.check]

    def as_dict(self) -> dict[str, object]:
        """Return it as JSON has it."""
        return {"area": self.area, **asdict(self), "remedy": self.remedy or None}


def ok(check: str, text: str) -> Finding:
    """Return a finding that needs nothing to be done."""
    return Finding(check, "ok", text)


def warn(check: str, text: str, remedy: str) -> Finding:
    """Return a finding that makes some loads slow, impossible or unsafe."""
    return Finding(check, "warn", text, remedy)


def fail(check: str, text: str, remedy: str) -> Finding:
    """Return a finding with which loads end in an error, or others are held up for good."""
    return Finding(check, "fail", text, remedy)


#: SQLSTATE lock_not_available
_LOCKED = "55P03"


def unseen(check: str, why: str, sqlstate: str | None = None) -> Finding:
    """Return the finding that something could not be looked at."""
    remedy = "look again once nobody has it locked" if sqlstate == _LOCKED else "look with a role that may read it"
    return warn(check, f"could not be looked at: {why}", remedy)


def shown_bytes(count: int) -> str:
    """Show a number of bytes as PostgreSQL's settings spell it.

    >>> shown_bytes(0), shown_bytes(16 << 20), shown_bytes(3 << 30), shown_bytes(5000)
    ('0', '16MB', '3GB', '4kB')
    """
    for unit, size in (("GB", 1 << 30), ("MB", 1 << 20), ("kB", 1 << 10)):
        if count >= size:
            return f"{count / size:.3g}{unit}" if count < 1000 * size else f"{count // size}{unit}"
    return str(count)


def shown_age(seconds: float) -> str:
    """Show a time since something began.

    >>> shown_age(5), shown_age(600), shown_age(7200), shown_age(200_000)
    ('5 s', '10 min', '2 h', '2 days')
    """
    for unit, size in (("days", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"
