"""What a plan is made from: what the user asks for, and what the database holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bulkio.types import UTF8

if TYPE_CHECKING:
    from collections.abc import Mapping, Set

    import pyarrow as pa

    from bulkio.catalog import Column, NamedType, SequenceUse, Table, TableName
    from bulkio.choices import DriverName, ExportMethod, LoadMethod, Mode
    from bulkio.protocols import Spelling
    from bulkio.types import Charset, Policies, TypeFacts

__all__ = ["Database", "ExportRequest", "LoadRequest"]


@dataclass(frozen=True, slots=True)
class LoadRequest:
    """What the user asked for."""

    policies: Policies

    source: str
    source_schema: pa.Schema
    source_rows: int | None
    #: what the source itself has to say, such as files that are left out
    source_notes: tuple[str, ...]
    table: TableName
    mode: Mode
    driver: DriverName
    method: LoadMethod
    batch_rows: int
    #: the types that columns shall have, as the user spells them, by column
    types: Mapping[str, str]
    #: spelling of the source's values where it has nothing but text
    spelling: Spelling | None = None


@dataclass(frozen=True, slots=True)
class Database:
    """What the plan needs to know of the target's database."""

    table: Table | None
    #: the schema in which a missing table is created; None where that does not exist
    new_schema: str | None
    #: the types of the columns, existing or wanted, that bulkio does not know by heart
    types: Mapping[int, TypeFacts]
    #: oid and typmod of the types that the user asks for, by column
    asked: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    #: the types that the source's fields record, by (schema, name)
    named: Mapping[tuple[str, str], NamedType] = field(default_factory=dict)
    #: the statements that have made those of them that were missing
    made: tuple[str, ...] = ()
    #: oids of the types that PostGIS has brought, by name
    postgis: Mapping[str, int] = field(default_factory=dict)
    #: how the server spells a typmod that bulkio cannot spell, by (oid, typmod)
    typmods: Mapping[tuple[int, int], str] = field(default_factory=dict)
    #: the encoding in which it keeps text
    charset: Charset = UTF8
    #: the tables that inherit from it, as messages call them: TRUNCATE empties them, too
    children: tuple[str, ...] = ()
    #: name of the table that is most like a missing one
    similar: str | None = None
    #: bytes of the source's column names in the server's encoding
    name_bytes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """What the user asked for."""

    policies: Policies

    query: str
    name: str
    driver: DriverName
    method: ExportMethod
    #: give intervals as structs: Parquet cannot hold Arrow's own
    interval_struct: bool = False
    #: reading runs no function of the user's, which may need the search_path
    is_plain: bool = False
    #: the table's, where it is a table
    table_columns: tuple[Column, ...] = ()
    #: the primary key of these
    key: tuple[str, ...] = ()
    #: the table's columns that may hold NULLs
    nullable: Set[str] = frozenset()
    #: the sequences that its columns take their values from
    sequences: tuple[SequenceUse, ...] = ()
