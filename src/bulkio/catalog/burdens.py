"""What a row costs beside being stored: indexes, constraints, triggers, the log. Pure: `lookup` asks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bulkio.catalog.question import Question

__all__ = ["Burden", "BurdenKind", "burdens_query"]

BurdenKind = Literal["index", "exclusion constraint", "foreign key", "before trigger", "after trigger", "log", "no log"]

# What each row goes through. pg_trigger.tgtype is a set of bits (src/include/catalog/pg_trigger.h).
_FOR_EACH_ROW, _BEFORE, _INSERT = 1, 2, 4


@dataclass(frozen=True, slots=True)
class Burden:
    """One thing that each row costs."""

    kind: BurdenKind
    #: name of the index, constraint or trigger; of the log its level
    name: str


def burdens_query(oid: int) -> Question[Burden]:
    """Ask what a row costs that a table gets; of a partitioned one, what all of its partitions have."""
    inserts = _FOR_EACH_ROW | _INSERT
    rest = f"""
        FROM (
            SELECT 1, 'index', c.relname FROM pg_catalog.pg_index AS i
              JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
             WHERE i.indrelid = {oid:d} AND NOT i.indisexclusion
            UNION ALL
            SELECT 2, CASE contype WHEN 'x' THEN 'exclusion constraint' ELSE 'foreign key' END, conname
              FROM pg_catalog.pg_constraint WHERE conrelid = {oid:d} AND contype IN ('x', 'f')
            UNION ALL
            SELECT 3, CASE WHEN tgtype & {_BEFORE:d} <> 0 THEN 'before trigger' ELSE 'after trigger' END, tgname
              FROM pg_catalog.pg_trigger
             WHERE tgrelid = {oid:d} AND NOT tgisinternal AND tgenabled <> 'D' AND tgtype & {inserts:d} = {inserts:d}
            UNION ALL
            SELECT 4, CASE relpersistence WHEN 'p' THEN 'log' ELSE 'no log' END,
                   pg_catalog.current_setting('wal_level')
              FROM pg_catalog.pg_class WHERE oid = {oid:d}
        ) AS b(place, kind, name)
        ORDER BY place, kind, name"""  # noqa: S608 - numbers
    return Question(Burden, {"kind": "b.kind::pg_catalog.text", "name": "b.name::pg_catalog.text"}, rest)
