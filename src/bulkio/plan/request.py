"""What a plan is made from, beside the user's request: what the source, the database and the destination are like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from bulkio.types import UTF8

if TYPE_CHECKING:
    import pyarrow as pa

    from bulkio.catalog import Column, Table, TableName
    from bulkio.catalog.facts import Facts
    from bulkio.choices import DriverName
    from bulkio.protocols import ResultColumn, Spelling
    from bulkio.types import Cast, Charset

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
    #: the table; None if it does not exist
    table: Table | None
    #: the schema in which a missing table is created; None if there is no such schema
    new_schema: str | None
    #: facts from the catalog about the table, and about the types that it has or will have
    facts: Facts
    #: statements that have made the missing types
    made: tuple[str, ...] = ()
    #: the database's encoding
    charset: Charset = UTF8
    #: name of the table that is most like the missing one
    similar: TableName | None = None
    #: the server's version as a number, such as 180003
    server_version: int = 0


@dataclass(frozen=True, slots=True)
class Rows:
    """What an export reads: the rows of one SELECT, and what is known of the table that they come from."""

    #: the driver that is connected to the database
    driver: DriverName
    #: text of one SELECT
    query: str
    #: name that messages use: the table's, or "query"
    name: str
    columns: tuple[ResultColumn, ...]
    #: facts from the catalog about the columns' types, and about the table if it is one
    facts: Facts
    #: True if reading runs no function of the user's, which may need the search_path
    is_plain: bool = False
    #: columns of the table, if it is one
    table_columns: tuple[Column, ...] = ()
    #: columns of the table's primary key
    key: tuple[str, ...] = ()


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
