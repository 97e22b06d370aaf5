"""The whole definition of a table, as `replace` carries it over to the table that it puts in its place.

Pure: `definition_query` asks for these facts. Every text of SQL in them comes from the server's own deparse functions,
asked under the path `pg_catalog, pg_temp`: whatever is not in pg_catalog has its schema before it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from bulkio.sql import SequenceOptions

__all__ = [
    "ColumnDefinition",
    "ConstraintDefinition",
    "Definition",
    "Dependent",
    "Grant",
    "Hook",
    "IndexDefinition",
    "SequenceDefinition",
    "StatisticsDefinition",
    "TableDefinition",
    "changed_parts",
]


@dataclass(frozen=True, slots=True)
class TableDefinition:
    """What is the table's own, and no part's."""

    oid: int
    schema: str
    name: str
    #: pg_class.relkind
    kind: str
    #: p, u or t: permanent, unlogged, temporary
    persistence: str
    access_method: str
    #: tablespace of the table; "" for the database's own
    tablespace: str
    #: texts such as ``fillfactor=70``
    options: tuple[str, ...]
    toast_options: tuple[str, ...]
    owner: str
    #: role that asks, and whether it may act as the owner
    role: str
    is_owner: bool
    #: True if its privileges differ from those of every new table
    has_grants: bool
    comment: str | None
    row_security: bool
    forces_row_security: bool
    #: pg_class.relreplident
    replica_identity: str
    #: properties that no other table can take over, as messages call them
    oddities: tuple[str, ...]
    #: roles to which ALTER DEFAULT PRIVILEGES may grant something on this role's new tables and sequences here; the
    #: role itself may be among them, and "" is PUBLIC
    default_grantees: tuple[str, ...]
    #: default_tablespace of the transaction
    users_tablespace: str


@dataclass(frozen=True, slots=True)
class ColumnDefinition:
    """One column."""

    name: str
    type_sql: str
    #: collation, qualified and quoted; "" for the type's own
    collation: str
    not_null: bool
    default: str | None
    #: letter a or d (ALWAYS, BY DEFAULT); "" for none
    identity: str
    #: letter s or v (STORED, VIRTUAL); "" for none
    generated: str
    #: STORAGE as a word; "" for the type's own
    storage: str
    #: COMPRESSION as a word; "" for the server's default
    compression: str
    #: statistics target, -1 for the server's default
    statistics: int
    options: tuple[str, ...]
    comment: str | None
    #: other columns that its default or its generation expression reads
    needs: tuple[str, ...]
    #: oids of sequences that the default names
    sequences: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class IndexDefinition:
    """One index, a constraint's too."""

    oid: int
    name: str
    is_unique: bool
    #: text after the table's name in CREATE INDEX; None if it is not understood
    tail: str | None
    options: tuple[str, ...]
    tablespace: str
    #: True if only its constraint can make it, since no CREATE INDEX can
    is_exclusion: bool
    is_valid: bool
    is_clustered: bool
    is_replica_identity: bool
    comment: str | None
    #: statistics targets of its columns, as pairs (column number, target)
    statistics: tuple[tuple[int, int], ...]
    needs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ConstraintDefinition:
    """One constraint."""

    name: str
    #: pg_constraint.contype
    kind: str
    definition: str
    #: texts before and after the table's name in a foreign key to the table itself; empty if not understood
    self_parts: tuple[str, ...]
    is_self_reference: bool
    #: oid of the index that enforces it; 0 for none
    index: int
    deferrable: bool
    deferred: bool
    is_validated: bool
    #: True if the server checks any rows at all
    is_enforced: bool
    #: True if the triggers of a foreign key or a deferrable key are disabled, or enabled for replicas too
    has_odd_triggers: bool
    #: True if it reads the whole row, by the table's name
    reads_rows: bool
    comment: str | None
    needs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Hook:
    """One trigger or rule: what the server does beside a statement."""

    #: TRIGGER or RULE
    kind: str
    name: str
    #: statement that makes it, with the table's final name in it
    definition: str
    #: O, D, R or A: enabled, disabled, for replicas, always
    enabled: str
    comment: str | None
    needs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StatisticsDefinition:
    """One extended statistics object."""

    oid: int
    schema: str
    name: str
    #: text between its name and FROM; None if it is not understood
    middle: str | None
    owner: str
    #: statistics target, -1 for the server's default
    target: int
    comment: str | None
    needs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SequenceDefinition:
    """One sequence that belongs to a column: an identity's, or a serial's, which can be handed on."""

    oid: int
    schema: str
    name: str
    column: str
    is_identity: bool
    options: SequenceOptions
    #: True if its type or persistence differs from that of its column or table
    is_odd: bool
    has_grants: bool
    comment: str | None


@dataclass(frozen=True, slots=True)
class Grant:
    """One privilege on the table, on a column, or on an identity's sequence."""

    #: oid of the sequence; 0 for the table and its columns
    sequence: int
    #: column it is granted on; "" for all of them
    column: str
    #: True if the owner granted it
    is_owners: bool
    grantor: str
    #: role it is granted to; "" is PUBLIC
    grantee: str
    privilege: str
    with_option: bool


@dataclass(frozen=True, slots=True)
class Dependent:
    """A dependent of the table, or of what belongs to it, that is not a part of it."""

    #: name of its catalog, or one of the kinds told apart: view, materialized view, foreign key, child
    kind: str
    #: description of it in the server's words
    name: str


@dataclass(frozen=True, slots=True)
class Definition:
    """All of it."""

    table: TableDefinition
    columns: tuple[ColumnDefinition, ...]
    indexes: tuple[IndexDefinition, ...]
    constraints: tuple[ConstraintDefinition, ...]
    hooks: tuple[Hook, ...]
    statistics: tuple[StatisticsDefinition, ...]
    sequences: tuple[SequenceDefinition, ...]
    grants: tuple[Grant, ...]
    dependents: tuple[Dependent, ...]


def changed_parts(then: DataclassInstance, now: DataclassInstance) -> str:
    """Return which fields of a definition are not what they were, such as "indexes, grants"; "" for none."""
    return ", ".join(part.name for part in fields(then) if getattr(now, part.name) != getattr(then, part.name))
