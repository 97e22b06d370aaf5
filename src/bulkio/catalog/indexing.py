"""A table's indexes, and what bears on dropping them and building them again. Pure: `lookup.find_indexing` asks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bulkio.catalog.question import Question, frozen, texts_where
from bulkio.quote import qualified

if TYPE_CHECKING:
    from bulkio.catalog.definition import ConstraintDefinition, Dependent, IndexDefinition

__all__ = ["IndexedTable", "Indexing", "indexed_table_query"]


@dataclass(frozen=True, slots=True)
class IndexedTable:
    """The table itself."""

    oid: int
    schema: str
    name: str
    #: properties that forbid to drop its indexes, or to build them after rows, as messages call them
    oddities: tuple[str, ...]
    #: True if there are rows in it, those of children apart
    has_rows: bool = field(compare=False)
    #: default_tablespace of the transaction
    users_tablespace: str = field(compare=False)


@dataclass(frozen=True, slots=True)
class Indexing:
    """All of it. Two are equal if the same statements drop the indexes and build them again."""

    table: IndexedTable
    indexes: tuple[IndexDefinition, ...]
    #: constraints that an index enforces
    keys: tuple[ConstraintDefinition, ...]
    #: dependents of the indexes and the keys, which stand in the way of dropping them
    dependents: tuple[Dependent, ...]


# pg_trigger.tgtype is a set of bits (src/include/catalog/pg_trigger.h).
_INSERT = 4

#: properties that stand in the way, each with the condition under which a table has it
_ODDITIES = {
    "it is a partition, whose indexes may be parts of others": "c.relispartition",
    "tables inherit from it": "EXISTS (SELECT FROM pg_catalog.pg_inherits AS h WHERE h.inhparent = c.oid)",
    "an index of it belongs to an extension": """EXISTS (
        SELECT FROM pg_catalog.pg_depend AS d JOIN pg_catalog.pg_index AS i ON i.indexrelid = d.objid
         WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.deptype IN ('e', 'x')
           AND i.indrelid = c.oid)""",
    "the role may not create in its schema, where its indexes are":
        "NOT pg_catalog.has_schema_privilege(c.relnamespace, 'CREATE')",
    "the role may not create in the tablespace of an index": """EXISTS (
        SELECT FROM pg_catalog.pg_index AS i JOIN pg_catalog.pg_class AS x ON x.oid = i.indexrelid
         WHERE i.indrelid = c.oid AND x.reltablespace <> 0
           AND NOT pg_catalog.has_tablespace_privilege(x.reltablespace, 'CREATE'))""",
}  # fmt: skip

#: foreign keys and triggers that COPY leaves to be run at COMMIT
_DEFERRED = f"""ARRAY(
    SELECT CASE k.contype WHEN 'f' THEN 'foreign key ' ELSE 'trigger ' END || pg_catalog.quote_ident(k.conname)
           || ' waits for COMMIT (INITIALLY DEFERRED), and no index can be built meanwhile'
      FROM pg_catalog.pg_constraint AS k
     WHERE k.conrelid = c.oid AND k.contype IN ('f', 't') AND k.condeferred AND EXISTS (
           SELECT FROM pg_catalog.pg_trigger AS t WHERE t.tgconstraint = k.oid AND t.tgrelid = c.oid
              AND t.tgtype & {_INSERT:d} <> 0 AND t.tgenabled <> 'D') ORDER BY k.conname)"""  # noqa: S608 - a number


def indexed_table_query(oid: int, schema: str, name: str) -> Question[IndexedTable]:
    """Ask for the table itself, by its oid and its name."""
    columns = {
        "oid": "c.oid::bigint",
        "schema": "n.nspname::pg_catalog.text",
        "name": "c.relname::pg_catalog.text",
        "oddities": f"{texts_where(_ODDITIES)} || {_DEFERRED}",
        "has_rows": f"EXISTS (SELECT FROM ONLY {qualified(schema, name)})",
        "users_tablespace": "pg_catalog.current_setting('default_tablespace')",
    }
    rest = f"""
        FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        WHERE c.oid = {oid:d}
    """
    return Question(frozen(IndexedTable), columns, rest)
