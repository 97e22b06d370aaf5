"""Unique keys of a table: which of its indexes can tell whether a row already exists. Pure: `lookup` asks.

ON CONFLICT takes a unique index as its arbiter where it is valid, is not deferrable and has no condition; and bulkio's
own statements compare keys as the index does where that is the default way of their type (PostgreSQL docs, "INSERT",
"ON CONFLICT Clause").
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from bulkio.catalog.question import Question
from bulkio.sql.merge import KeyColumn

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["KeyPart", "UniqueKey", "key_columns_query", "unique_keys"]


@dataclass(frozen=True, slots=True)
class UniqueKey:
    """One unique index of a table."""

    index: str
    columns: tuple[KeyColumn, ...]
    is_primary: bool
    #: reason why it cannot tell whether a row exists; "" if it can
    fault: str = ""
    #: columns, each with what makes two values of it equal; None if ON CONFLICT on these columns does not go by it
    equality: frozenset[tuple[str, str]] | None = None

    def competes_with(self, other: UniqueKey) -> bool:
        """Tell whether ON CONFLICT on the columns of the other key would go by this one, too, and it is another rule.

        It goes by every index on just these columns, whatever the collation, and fails where one is deferrable.
        """
        if self.equality is None or set(self.names) != set(other.names):
            return False
        return self.equality != other.equality or self.fault != other.fault

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names, in the index's order."""
        return tuple(column.name for column in self.columns)


@dataclass(frozen=True, slots=True)
class KeyPart:
    """One column of one unique index: what a row of the answer is."""

    index: str
    is_primary: bool
    fault: str
    #: name of the column; None for an expression
    column: str | None
    collate: str
    equals: str
    #: True if ON CONFLICT may go by the index
    is_arbiter: bool
    #: operator, and the collation that makes different texts equal, if any; as text
    equality: str


def key_columns_query(oid: int) -> Question[KeyPart]:
    """Ask for the columns of a table's unique indexes, the primary key's first."""
    columns = {
        "index": "c.relname::pg_catalog.text",
        "is_primary": "i.indisprimary",
        "fault": """
            CASE WHEN NOT i.indisvalid THEN 'is not valid' WHEN i.indpred IS NOT NULL THEN 'covers some rows only'
                 WHEN NOT i.indimmediate THEN 'is deferrable' WHEN i.indexprs IS NOT NULL THEN 'is on an expression'
                 WHEN i.indisexclusion THEN 'forbids overlaps'
                 WHEN NOT o.opcdefault AND o.opcname NOT LIKE '%pattern_ops'
                 THEN 'compares in another way than its type does'
                 ELSE '' END""",
        "column": "a.attname::pg_catalog.text",
        "collate": """
            CASE WHEN l.oid IS NOT NULL AND l.oid <> a.attcollation
                 THEN pg_catalog.format(' COLLATE %I.%I', ln.nspname, l.collname) ELSE '' END""",
        "equals": "pg_catalog.format('%I.%s', pn.nspname, p.oprname)",
        "is_arbiter": "i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL AND NOT i.indisexclusion",
        "equality": "pg_catalog.format('%s %s', p.oid, CASE WHEN NOT l.collisdeterministic THEN l.oid END)",
    }
    rest = f"""
        FROM pg_catalog.pg_index AS i
        JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
        CROSS JOIN pg_catalog.generate_series(0, i.indnkeyatts - 1) AS n
        JOIN pg_catalog.pg_opclass AS o ON o.oid = i.indclass[n]
        JOIN pg_catalog.pg_amop AS m ON m.amopfamily = o.opcfamily AND m.amopstrategy = 3
         AND m.amoplefttype = o.opcintype AND m.amoprighttype = o.opcintype
        JOIN pg_catalog.pg_operator AS p ON p.oid = m.amopopr
        JOIN pg_catalog.pg_namespace AS pn ON pn.oid = p.oprnamespace
        LEFT JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[n] AND a.attnum > 0
        LEFT JOIN pg_catalog.pg_collation AS l ON l.oid = i.indcollation[n]
        LEFT JOIN pg_catalog.pg_namespace AS ln ON ln.oid = l.collnamespace
        WHERE i.indrelid = {oid:d} AND i.indisunique
        ORDER BY i.indisprimary DESC, c.relname, n
    """
    return Question(KeyPart, columns, rest)


def unique_keys(parts: Iterable[KeyPart]) -> tuple[UniqueKey, ...]:
    """Return the keys that `key_columns_query` was told of; of one on an expression, the columns that are none."""
    keys = []
    for _, group in groupby(parts, key=lambda part: part.index):
        first, *rest = group
        fault = next((part.fault for part in (first, *rest) if part.fault), "")
        columns = [KeyColumn(p.column, p.collate, p.equals) for p in (first, *rest) if p.column is not None]
        equality = frozenset((p.column, p.equality) for p in (first, *rest) if p.column is not None)
        keys.append(
            UniqueKey(first.index, tuple(columns), first.is_primary, fault, equality if first.is_arbiter else None)
        )
    return tuple(keys)
