"""What a plan is made from, beside the user's request: what the source, the database and the destination are like."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from bulkio.types import UTF8

if TYPE_CHECKING:
    from collections.abc import Mapping, Set

    import pyarrow as pa

    from bulkio.catalog import Column, NamedType, SequenceUse, Table, TableName
    from bulkio.choices import DriverName
    from bulkio.protocols import ResultColumn, Spelling
    from bulkio.types import Cast, Charset, TypeFacts

__all__ = ["Database", "Destination", "Rows", "SourceFacts"]


class SourceFacts(Protocol):
    """What the plan needs to know of the source. A `protocols.Source` is one."""

    @property
    def name(self) -> str:
        """What messages call it."""

    @property
    def schema(self) -> pa.Schema:
        """The Arrow schema of its batches."""

    @property
    def rows(self) -> int | None:
        """The source's own count, None where it has none."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What the source itself has to say, such as files that are left out."""

    @property
    def spelling(self) -> Spelling | None:
        """The spelling of its values where it has nothing but text."""


@dataclass(frozen=True, slots=True)
class Database:
    """What the plan needs to know of the target's database."""

    #: the driver that is connected to it
    driver: DriverName
    #: the table's name as the request has it, taken apart
    name: TableName
    #: the table; None where it does not exist
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
class Rows:
    """What an export reads: the rows of one SELECT, and what is known of the table that they come from."""

    #: the driver that is connected to the database
    driver: DriverName
    #: one SELECT
    query: str
    #: what messages call it
    name: str
    columns: tuple[ResultColumn, ...]
    #: the types of the columns that bulkio does not know by heart
    types: Mapping[int, TypeFacts]
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


class Destination(Protocol):
    """Where the batches go: what its format can hold, and what becomes of a column to fit into it."""

    @property
    def path(self) -> str:
        """What messages call it."""

    @property
    def format_name(self) -> str:
        """What messages call the format."""

    @property
    def from_batches(self) -> bool:
        """Tell whether batches are written; if not, the server itself makes the bytes."""

    def adapt(self, leaf: Cast) -> Cast:
        """Return a leaf of a column's cast as the format can hold it."""

    def refuse(self, schema: pa.Schema) -> None:
        """Raise `SchemaError` for what the format cannot hold."""
