"""What a plan needs to know of a database, and how it says what it wants to know. Pure: `lookup.gather` asks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence, Set

    from bulkio.catalog.definition import Definition
    from bulkio.catalog.indexing import Indexing
    from bulkio.catalog.keys import UniqueKey
    from bulkio.catalog.sharing import SharingFacts
    from bulkio.catalog.tables import SequenceUse, Table
    from bulkio.catalog.types import NamedType, TypeRef
    from bulkio.types import TypeFacts

__all__ = ["Facts", "Wanted"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a plan wants to know; nothing else is asked for."""

    #: an existing table
    table: Table | None = None
    #: oids of the types that a result's columns have
    type_oids: Sequence[int] = ()
    #: types as the user spells them, by column
    spelled: Mapping[str, str] = field(default_factory=dict)
    #: types that a source records
    recorded: Sequence[TypeRef] = ()
    #: names whose size in bytes matters
    names: Sequence[str] = ()
    #: True if PostGIS's types are wanted
    postgis: bool = False
    #: flags for what is wanted of the table: its sequences, the columns that may hold NULLs, the tables that inherit
    #: from it, its keys
    sequences: bool = False
    nullable: bool = False
    children: bool = False
    keys: bool = False
    #: flag for the table's whole definition, with what depends on it
    definition: bool = False
    #: flag for the table's indexes, with what bears on dropping them
    indexing: bool = False
    #: flag for what bears on its rows being stored bit by bit
    sharing: bool = False


@dataclass(frozen=True, slots=True)
class Facts:
    """What a database is like, as far as it was `Wanted`."""

    #: types that bulkio does not know by heart, by oid: those of the columns, and all they are made of
    types: Mapping[int, TypeFacts] = field(default_factory=dict)
    #: oid and typmod of the types that the user has spelled, by column
    asked: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    #: the recorded types that exist, by (schema, name)
    named: Mapping[tuple[str, str], NamedType] = field(default_factory=dict)
    #: oids of the types that PostGIS has brought, by name
    postgis: Mapping[str, int] = field(default_factory=dict)
    #: the server's spelling of each typmod that bulkio cannot spell, by (oid, typmod)
    typmods: Mapping[tuple[int, int], str] = field(default_factory=dict)
    #: bytes of the names in the server's encoding
    name_bytes: Mapping[str, int] = field(default_factory=dict)
    #: the sequences that the table's columns take their values from
    sequences: tuple[SequenceUse, ...] = ()
    #: the table's columns that may hold NULLs
    nullable: Set[str] = frozenset()
    #: the tables that inherit from the table, as messages call them: TRUNCATE empties them, too
    children: tuple[str, ...] = ()
    #: the table's unique keys, the primary one first
    keys: tuple[UniqueKey, ...] = ()
    #: the table's whole definition, with what depends on it
    definition: Definition | None = None
    #: the table's indexes, with what bears on dropping them
    indexing: Indexing | None = None
    #: what bears on the table's rows being stored bit by bit
    sharing: SharingFacts | None = None
