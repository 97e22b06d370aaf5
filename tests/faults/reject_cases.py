"""Kinds of loads with rejects, and of what may be wrong with their records."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal

import pyarrow as pa

__all__ = [
    "ALONE",
    "CLIENT_KINDS",
    "HEADER",
    "KINDS",
    "MODES",
    "RIVALS",
    "TOGETHER",
    "TRIGGERS",
    "Case",
    "good",
    "kinds_of",
    "typed",
]

HEADER = "id,code,ref,late,seat,amount,kind,note"
#: what is wrong with a record (record, SQLSTATE and a part of the message), by what is wrong: what the client detects
CLIENT_KINDS: dict[str, tuple[str, str | None, str]] = {
    "range": ("99999999999,{n},1,1,{n},1.00,ok,r{n}", None, "is out of range for int4"),
    "type": ("one,{n},1,1,{n},1.00,ok,r{n}", None, "is not a valid int4"),
    "null id": (",{n},1,1,{n},1.00,ok,r{n}", None, "NULL in a column that is NOT NULL"),
    "null": ("{n},{n},1,1,{n},1.00,,r{n}", None, "NULL in a column that is NOT NULL"),
    "length": ("{n},{n},1,1,{n},1.00,longer than ten,r{n}", None, "is longer than varchar(10) allows"),
    "rounded": ("{n},{n},1,1,{n},1.005,ok,r{n}", None, "would be rounded by numeric(6,2)"),
    "ragged": ("{n},{n},1,1,{n},1.00,ok,r{n},more", None, "9 fields, where there are 8 columns"),
    "short": ("{n},{n}", None, "2 fields, where there are 8 columns"),
}
#: those that the server detects
SERVER_KINDS: dict[str, tuple[str, str | None, str]] = {
    "same id": ("5,{n},1,1,{n},1.00,ok,r{n}", "23505", 'violates unique constraint "t_pkey"'),
    "unique": ("{n},5,1,1,{n},1.00,ok,r{n}", "23505", 'violates unique constraint "t_code_key"'),
    "deferred unique": ("{n},{n},1,1,5,1.00,ok,r{n}", "23505", 'violates unique constraint "t_seat_key"'),
    "check": ("{n},{n},1,1,{n},-1.00,ok,r{n}", "23514", 'violates check constraint "t_amount_check"'),
    "foreign key": ("{n},{n},77,1,{n},1.00,ok,r{n}", "23503", 'violates foreign key constraint "t_ref_fkey"'),
    "deferred foreign key": ("{n},{n},1,77,{n},1.00,ok,r{n}", "23503", 'foreign key constraint "t_late_fkey"'),
    "trigger": ("{n},{n},1,1,{n},1.00,early,r{n}", "P0001", "kind early is not wanted"),
    "trigger after": ("{n},{n},1,1,{n},1.00,after,r{n}", "P0001", "kind after is not wanted"),
    "constraint trigger": ("{n},{n},1,1,{n},1.00,deferred,r{n}", "P0001", "kind deferred is not wanted"),
}
KINDS = CLIENT_KINDS | SERVER_KINDS
TRIGGERS = ("trigger", "trigger after", "constraint trigger")
#: kinds of faults of a record that comes after one which it excludes
RIVALS = ("same id", "unique", "deferred unique")
#: kinds of faults that no typed file has
_TEXTUAL = ("type", "ragged", "short")
#: kinds of faults that records of a new table have, of a CSV and of a typed file
_OF_NEW = {False: ("ragged", "short"), True: ("null id", "same id")}
#: those that a load by key is refused for, or that are nobody's fault there
_NOT_BY_KEY = ("same id",)

MODES: dict[str, dict[str, object]] = {
    "append": {},
    "create": {},
    "truncate": {},
    "replace": {},
    "upsert": {"key": ["id"]},
    "insert-new": {"key": ["id"]},
    "replace-where": {"where": "id < 9000"},
}


@dataclass(frozen=True)
class Case:
    """A kind of load."""

    mode: str = "append"
    workers: int = 1
    commit: str = "all"
    driver: str = "asyncpg"
    kinds: tuple[str, ...] = tuple(KINDS)
    load_id: str | None = "night"
    method: str = "binary"
    #: True for a Parquet file, False for a CSV
    is_typed: bool = False
    #: places in the file at which each kind of fault stands
    places: int = 3
    rows: int = 600

    @property
    def has_triggers(self) -> bool:
        """True if the table has triggers."""
        return not {*TRIGGERS}.isdisjoint(self.kinds)

    @property
    def has_keys(self) -> bool:
        """True if the table has unique keys, by which some loads are done on one connection only."""
        return self.mode == "create" or "key" in MODES[self.mode] or not {*RIVALS}.isdisjoint(self.kinds)


#: loads of few records, with some kinds of faults; by two connections there are fewer
ALONE = Case(
    kinds=("type", "null", "unique", "check", "foreign key", "trigger", "deferred foreign key"), places=1, rows=300
)
TOGETHER = replace(ALONE, workers=2, kinds=("type", "null", "check", "foreign key", "deferred foreign key"))


def kinds_of(mode: str, *, is_typed: bool) -> tuple[str, ...]:
    """Return the kinds of faults that records of such a load can have."""
    if mode == "create":
        return _OF_NEW[is_typed]
    but = (*(_TEXTUAL if is_typed else ()), *(_NOT_BY_KEY if "key" in MODES[mode] else ()))
    but += TRIGGERS if mode == "replace" else ()  # the new table gets them behind the rows
    return tuple(kind for kind in KINDS if kind not in but)


def good(number: int) -> str:
    """Return the record of a number as it should be."""
    return f"{number},{number},{number % 10},{number % 10},{number},{number % 50}.50,ok,r{number}"


def typed(lines: list[str]) -> pa.Table:
    """Return records as rows of Arrow."""
    rows = [[text or None for text in line.split(",")] for line in lines]
    integers = [pa.array([row[place] and int(row[place]) for row in rows], pa.int64()) for place in range(5)]
    amounts = pa.array([row[5] and Decimal(row[5]) for row in rows], pa.decimal128(9, 3))
    texts = [pa.array([row[place] for row in rows], pa.string()) for place in (6, 7)]
    return pa.table([*integers, amounts, *texts], names=HEADER.split(","))
