"""The statements that build an index of a table, with all that belongs to it, on that table or on another. Pure.

They are for the path `pg_catalog, pg_temp`, and for a default_tablespace that is "".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bulkio.quote import qualified, quote_ident
from bulkio.sql import replacing as sql

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bulkio.catalog.definition import ConstraintDefinition, IndexDefinition

__all__ = ["IndexPlan", "key_of"]

_KEYS = {"p": "PRIMARY KEY", "u": "UNIQUE"}


def key_of(index: IndexDefinition, constraints: Iterable[ConstraintDefinition]) -> ConstraintDefinition | None:
    """Return the constraint that an index enforces; None if there is none."""
    return next((one for one in constraints if one.index == index.oid), None)


@dataclass(frozen=True, slots=True)
class IndexPlan:
    """One index that is built like another."""

    index: IndexDefinition
    #: constraint that it enforces; None for none
    key: ConstraintDefinition | None
    #: schema of the table and the index
    schema: str
    #: name of the table
    table: str
    #: name that the index, and its constraint, get
    name: str

    def statements(self) -> Iterator[str]:
        """Yield what builds it."""
        if self.index.tablespace:
            yield sql.set_local("default_tablespace", self.index.tablespace)
        yield from self._build()
        if self.index.tablespace:
            yield sql.set_local("default_tablespace", "")
        yield from self._settings()
        yield from self._comments()

    @property
    def _on(self) -> str:
        return qualified(self.schema, self.table)

    @property
    def _qualified(self) -> str:
        return qualified(self.schema, self.name)

    def _build(self) -> Iterator[str]:
        index, key = self.index, self.key
        if key is not None and index.is_exclusion:
            yield sql.add_constraint(self._on, self.name, key.definition)
            if key.kind in _KEYS and index.options:  # the definition of a key does not tell them
                yield f"ALTER INDEX {self._qualified} SET ({sql.option_list(index.options)})"
            return
        yield sql.create_index(self.name, self._on, index.tail or "", unique=index.is_unique)
        if key is not None:
            when = {"deferrable": key.deferrable, "deferred": key.deferred}
            yield sql.add_key(self._on, _KEYS[key.kind], self.name, **when)

    def _settings(self) -> Iterator[str]:
        actions = [f"CLUSTER ON {quote_ident(self.name)}"] if self.index.is_clustered else []
        actions += [f"REPLICA IDENTITY USING INDEX {quote_ident(self.name)}"] if self.index.is_replica_identity else []
        for action in actions:
            yield sql.alter_table(self._on, [action])
        for number, target in self.index.statistics:
            yield f"ALTER INDEX {self._qualified} ALTER COLUMN {number:d} SET STATISTICS {target:d}"

    def _comments(self) -> Iterator[str]:
        if self.index.comment is not None:
            yield sql.comment_on(f"INDEX {self._qualified}", self.index.comment)
        if self.key is not None and self.key.comment is not None:
            yield sql.comment_on(f"CONSTRAINT {quote_ident(self.name)} ON {self._on}", self.key.comment)
