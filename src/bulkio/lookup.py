"""Look things up: ask a session what `bulkio.catalog` knows how to ask, and give the facts that plans are made of."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bulkio import catalog, sql
from bulkio.catalog import NamedType
from bulkio.errors import ConfigError, DriverError
from bulkio.text import show_name
from bulkio.types import known_type

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bulkio.catalog import SequenceUse, Table, TableName
    from bulkio.protocols import Session
    from bulkio.types import TypeFacts

__all__ = [
    "Found",
    "asked_types",
    "children",
    "extension_types",
    "find_sequences",
    "find_table",
    "find_types",
    "named_types",
    "nullable_columns",
    "path_schemas",
    "spelled_typmods",
]


@dataclass(frozen=True, slots=True)
class Found:
    """What a table's name stands for."""

    table: Table | None
    #: the schema in which it would be created; None where that does not exist
    new_schema: str | None


async def find_table(session: Session, name: TableName) -> Found:
    """Look a table up by name."""
    row = (await session.fetch(catalog.table_query(name)))[0]
    new_schema = None if row[4] is None else str(row[4])
    if row[0] is None:
        return Found(None, new_schema)
    columns = await session.fetch(catalog.columns_query(int(str(row[0]))))
    return Found(catalog.read_table(row, columns), new_schema)


async def find_sequences(session: Session, table: Table) -> tuple[SequenceUse, ...]:
    """Look up the sequences that a table's columns take their values from."""
    return catalog.read_sequences(await session.fetch(catalog.sequences_query(table.oid)))


async def nullable_columns(session: Session, table: Table) -> set[str]:
    """Look up the columns that may hold NULLs in the rows that a SELECT from the table reads."""
    if not any(column.not_null for column in table.columns):
        return {column.name for column in table.columns}
    return {str(name) for (name,) in await session.fetch(catalog.nullable_query(table.oid))}


async def children(session: Session, table: Table) -> tuple[str, ...]:
    """Look up the tables that inherit from a table, by their names for messages; partitions are none."""
    rows = await session.fetch(catalog.children_query(table.oid))
    return tuple(f"{show_name(str(schema))}.{show_name(str(name))}" for schema, name in rows)


async def path_schemas(session: Session) -> set[str]:
    """Look up the schemas of the user's search_path."""
    return {str(name) for (name,) in await session.fetch(catalog.schemas_query())}


async def find_types(session: Session, oids: Iterable[int]) -> Mapping[int, TypeFacts]:
    """Look up the types that bulkio does not know by heart, with all that they are made of."""
    # money is known, but not how many decimal places this server's has
    unknown = [oid for oid in oids if (known := known_type(oid)) is None or "money" in known.name]
    return catalog.read_types(await session.fetch(catalog.types_query(unknown))) if unknown else {}


async def named_types(session: Session, names: Iterable[tuple[str, str, str]]) -> dict[tuple[str, str], NamedType]:
    """Look up types by (schema, name, extension): by (schema, name) those that exist."""
    wanted = sorted(set(names))
    if not wanted:
        return {}
    rows = await session.fetch(catalog.named_types_query(wanted))
    return {(str(schema), str(name)): NamedType(int(str(oid)), int(str(array))) for schema, name, oid, array in rows}


async def asked_types(session: Session, types: Iterable[str]) -> list[tuple[int, int]]:
    """Look up types as a user spells them: the oid and typmod of each.

    Raises:
        ConfigError: the server knows no such type that a column can have.
    """
    wanted = list(types)
    if not wanted:
        return []
    try:
        rows = await session.fetch(catalog.spelled_types_query(wanted))
        columns = await session.describe(sql.null_columns(wanted))  # for the typmods; a domain is its base here
    except DriverError as error:
        raise ConfigError(f"types: {error}") from error
    for name, (oid,) in zip(wanted, rows, strict=True):
        if oid is None:
            raise ConfigError(f"types: {name!r} is no type that a column can have")
    oids = [int(str(oid)) for (oid,) in rows]
    return [(oid, column.typmod if column.type_oid == oid else -1) for oid, column in zip(oids, columns, strict=True)]


_TYPMOD = re.compile(r"(\([^()]*\))(?:\[\])?$")


async def spelled_typmods(session: Session, types: Iterable[tuple[int, int]]) -> dict[tuple[int, int], str]:
    """Look up how the server spells the typmods of types that bulkio does not know by heart, such as ``(3)``."""
    unknown = sorted({(oid, typmod) for oid, typmod in types if typmod >= 0 and known_type(oid) is None})
    rows = await session.fetch(catalog.type_names_query(unknown)) if unknown else []
    found = {(int(str(oid)), int(str(typmod))): _TYPMOD.search(str(name)) for oid, typmod, name in rows}
    return {key: match[1] for key, match in found.items() if match}


async def extension_types(session: Session, extension: str) -> dict[str, int]:
    """Look up the oids of the types that an extension has brought, by name; none where it is not installed."""
    rows = await session.fetch(catalog.extension_types_query(extension))
    return {str(name): int(str(oid)) for name, oid in rows}
