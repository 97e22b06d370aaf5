"""Look things up: ask a session what `bulkio.catalog` knows how to ask, and give the facts that plans are made of."""

from __future__ import annotations

import re
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from bulkio import catalog, sql
from bulkio.catalog import Table, TableName, definition_query
from bulkio.catalog.burdens import burdens_query
from bulkio.catalog.definition import Definition
from bulkio.catalog.dependents import dependents_query, index_dependents_query
from bulkio.catalog.facts import Facts
from bulkio.catalog.indexing import Indexing, indexed_table_query
from bulkio.catalog.sharing import sharing_query
from bulkio.errors import ConfigError, DriverError
from bulkio.quote import NAME_BYTES, quote_ident
from bulkio.show import nearest, printable, show_name
from bulkio.types import known_type

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping

    from bulkio.catalog import NamedType, SequenceUse, UniqueKey
    from bulkio.catalog.burdens import Burden
    from bulkio.catalog.facts import Wanted
    from bulkio.catalog.indexing import IndexedTable
    from bulkio.catalog.question import Question
    from bulkio.catalog.sharing import SharingFacts
    from bulkio.protocols import Session
    from bulkio.types import TypeFacts

__all__ = [
    "Found",
    "find_burdens",
    "find_definition",
    "find_indexing",
    "find_sequences",
    "find_sharing",
    "find_table",
    "gather",
    "look_up",
    "path_schemas",
    "similar_table",
    "users_path",
]

Fact = TypeVar("Fact")


@dataclass(frozen=True, slots=True)
class Found:
    """What a table's name stands for."""

    name: TableName
    table: Table | None
    #: the schema in which it would be created; None if there is no such schema
    new_schema: str | None


async def _ask(session: Session, question: Question[Fact]) -> list[Fact]:
    """Ask a session; a fact for each row of its answer."""
    return question.read(await session.fetch(question.sql))


@asynccontextmanager
async def users_path(session: Session, first: str = "") -> AsyncIterator[None]:
    """Let what is the user's run in this block, `first` in the round trip that begins it.

    After an error the transaction is lost, and its settings with it. One statement alone is for `sql.as_user`.
    """
    await session.execute(f"{sql.USERS_PATH}; {first}" if first else sql.USERS_PATH)
    yield
    await session.execute(sql.OWN_PATH)


async def look_up(session: Session, text: str) -> Found:
    """Look a table up as the user spells it: by the user's search_path, and folded as the server folds letters.

    Raises:
        ConfigError: the text is not a table's name, or names one that the server would cut and find another table by.
    """
    if not catalog.is_table_name(text):
        raise catalog.bad_name(text)
    async with users_path(session):
        [meaning] = await _ask(session, catalog.name_query(text))
    name, new_schema = meaning.name, meaning.new_schema
    await _refuse_long_name(session, name)
    if name.schema is not None:
        new_schema = next(iter(await _ask(session, catalog.schema_query(name.schema))), None)
    table = None if meaning.oid is None else await find_table(session, meaning.oid)
    if table is not None and (table.name != name.name or name.schema not in (None, table.schema, "pg_temp")):
        raise ConfigError(f"the server takes {name} for another table, {printable(f'{table.schema}.{table.name}')}")
    return Found(name, table, new_schema)


async def _refuse_long_name(session: Session, name: TableName) -> None:
    for part, size in (await _name_bytes(session, [part for part in (name.schema, name.name) if part])).items():
        if size > NAME_BYTES:
            raise ConfigError(
                f"the name {printable(part)} is longer than PostgreSQL's {NAME_BYTES} bytes, and cut it could be"
                f" another table's: it has {size}"
            )


async def gather(session: Session, wanted: Wanted) -> Facts:
    """Ask for all that a plan, a load's or an export's, needs to know of a database and of a table in it.

    Raises:
        ConfigError: the server does not know a type that the user has spelled.
    """
    table = wanted.table
    asked = dict(zip(wanted.spelled, await _asked_types(session, wanted.spelled.values()), strict=True))
    named = await _named_types(session, {(ref.schema, ref.name, ref.extension) for ref in wanted.recorded})
    postgis = await _extension_types(session, "postgis") if wanted.postgis else {}
    recorded = [(named[ref.key].oid_of(ref), ref.typmod) for ref in wanted.recorded if ref.key in named]
    found = [oid for one in named.values() for oid in (one.oid, one.array_oid)]
    oids = [*wanted.type_oids, *found, *postgis.values(), *(oid for oid, _ in asked.values())]
    return Facts(
        types=await _find_types(session, oids),
        asked=asked,
        named=named,
        postgis=postgis,
        typmods=await _spelled_typmods(session, [*asked.values(), *recorded]),
        name_bytes=await _name_bytes(session, wanted.names),
        sequences=await find_sequences(session, table) if table is not None and wanted.sequences else (),
        nullable=await _nullable_columns(session, table) if table is not None and wanted.nullable else frozenset(),
        children=await _children(session, table) if table is not None and wanted.children else (),
        keys=await _unique_keys(session, table) if table is not None and wanted.keys else (),
        definition=await find_definition(session, table.oid) if table is not None and wanted.definition else None,
        indexing=await find_indexing(session, table) if table is not None and wanted.indexing else None,
        sharing=await find_sharing(session, table.schema, table.name) if table is not None and wanted.sharing else None,
    )


async def _name_bytes(session: Session, names: Iterable[str]) -> dict[str, int]:
    """Count the bytes that names have in the server's encoding; ASCII has the same in every one, and is not asked for.

    A text with a NUL is not a name, and is left out.
    """
    counted = {name: len(name) for name in names if "\0" not in name}
    if others := [name for name in counted if not name.isascii()]:
        counted |= dict(await _ask(session, catalog.name_bytes_query(others)))
    return counted


async def similar_table(session: Session, name: TableName) -> TableName | None:
    """Look up the table whose name is most like that of one that does not exist; None where none is like it."""
    path = await path_schemas(session)
    known = await _ask(session, catalog.tables_query())
    others = [TableName(None, table.name) if table.schema in path else table for table in known]
    others += [table for table in known if name.schema is not None or table.name == name.name]
    by_text = {str(other): other for other in others}
    near = nearest(str(name), by_text)
    return by_text[near] if near else next((table for table in known if table.name == name.name), None)


async def find_table(session: Session, table: TableName | int) -> Table | None:
    """Find a table by its full name, including the schema, or by its oid; None if there is none (any more)."""
    found = await _ask(session, catalog.table_query(table))
    if not found:
        return None
    [relation] = found
    columns = await _ask(session, catalog.columns_query(relation.oid))
    return Table(
        relation.schema,
        relation.name,
        relation.oid,
        relation.kind,
        tuple(columns),
        may_change_rows=relation.may_change_rows,
    )


async def find_sequences(session: Session, table: Table) -> tuple[SequenceUse, ...]:
    """Look up the sequences that a table's columns take their values from."""
    return tuple(await _ask(session, catalog.sequences_query(table.oid)))


async def find_definition(session: Session, oid: int) -> Definition:
    """Look up all that a table is, and what depends on it."""
    [table] = await _ask(session, definition_query.table_definition_query(oid))
    return Definition(
        table=table,
        columns=tuple(await _ask(session, definition_query.column_definitions_query(oid))),
        indexes=tuple(await _ask(session, definition_query.index_definitions_query(oid))),
        constraints=tuple(await _ask(session, definition_query.constraint_definitions_query(oid))),
        hooks=tuple(await _ask(session, definition_query.hooks_query(oid))),
        statistics=tuple(await _ask(session, definition_query.statistics_definitions_query(oid))),
        sequences=tuple(await _ask(session, definition_query.sequence_definitions_query(oid))),
        grants=tuple(await _ask(session, definition_query.grants_query(oid))),
        dependents=tuple(await _ask(session, dependents_query(oid))),
    )


async def find_indexing(session: Session, table: Table | IndexedTable) -> Indexing:
    """Look up a table's indexes, and what bears on dropping them and building them again."""
    [indexed] = await _ask(session, indexed_table_query(table.oid, table.schema, table.name))
    constraints = await _ask(session, definition_query.constraint_definitions_query(table.oid))
    return Indexing(
        table=indexed,
        indexes=tuple(await _ask(session, definition_query.index_definitions_query(table.oid))),
        keys=tuple(constraint for constraint in constraints if constraint.index),
        dependents=tuple(await _ask(session, index_dependents_query(table.oid))),
    )


async def _nullable_columns(session: Session, table: Table) -> set[str]:
    """Look up the columns that may hold NULLs in the rows that a SELECT from the table reads."""
    if not any(column.not_null for column in table.columns):
        return {column.name for column in table.columns}
    return set(await _ask(session, catalog.nullable_query(table.oid)))


async def _children(session: Session, table: Table) -> tuple[str, ...]:
    """Look up the tables that inherit from a table, by their names for messages; partitions are none."""
    names = await _ask(session, catalog.children_query(table.oid))
    return tuple(f"{show_name(name.schema or '')}.{show_name(name.name)}" for name in names)


async def find_burdens(session: Session, table: Table) -> list[Burden]:
    """Look up what each row costs that a table gets, beside being stored."""
    return await _ask(session, burdens_query(table.oid))


async def find_sharing(session: Session, schema: str, table: str) -> SharingFacts:
    """Look up how several connections may share a load into a table, which may be one that is to be made."""
    [facts] = await _ask(session, sharing_query(schema, table, session.server_version))
    return facts


async def _unique_keys(session: Session, table: Table) -> tuple[UniqueKey, ...]:
    """Look up a table's unique indexes, with what keeps one from telling whether a row is there."""
    return catalog.unique_keys(await _ask(session, catalog.key_columns_query(table.oid)))


async def path_schemas(session: Session) -> set[str]:
    """Look up the schemas of the user's search_path."""
    async with users_path(session):
        return set(await _ask(session, catalog.schemas_query()))


async def _find_types(session: Session, oids: Iterable[int]) -> Mapping[int, TypeFacts]:
    """Look up the types that bulkio does not know by heart, with all that they are made of."""
    # money is known, but not how many decimal places this server's has
    unknown = [oid for oid in oids if (known := known_type(oid)) is None or "money" in known.name]
    return {fact.oid: fact for fact in await _ask(session, catalog.types_query(unknown))} if unknown else {}


async def _named_types(session: Session, names: Iterable[tuple[str, str, str]]) -> dict[tuple[str, str], NamedType]:
    """Look up types by (schema, name, extension): by (schema, name) those that exist."""
    wanted = sorted(set(names))
    if not wanted:
        return {}
    bare = {quote_ident(name): name for schema, name, _ in wanted if not schema}
    visible = {bare[quoted]: oid for quoted, oid in (await _visible_types(session, bare)).items()}
    found = await _ask(session, catalog.named_types_query(wanted, visible))
    return {(named.schema, named.name): named for named in found}


async def _visible_types(session: Session, names: Iterable[str]) -> dict[str, int]:
    """Look up what types' names mean by the user's search_path: the oids of those that there are."""
    wanted = list(names)
    if not wanted:
        return {}
    async with users_path(session):
        return {found.spelling: found.oid for found in await _ask(session, catalog.visible_types_query(wanted))}


async def _asked_types(session: Session, types: Iterable[str]) -> list[tuple[int, int]]:
    """Look up types as a user spells them: the oid and typmod of each.

    Raises:
        ConfigError: the server knows no such type that a column can have.
    """
    wanted = list(types)
    if not wanted:
        return []
    try:
        found = await _visible_types(session, dict.fromkeys(wanted))
        async with users_path(session):
            columns = await session.describe(sql.null_columns(wanted))  # for the typmods; a domain is its base here
    except DriverError as error:
        raise ConfigError(f"types: {error}") from error
    fit = set(await _ask(session, catalog.column_types_query(found.values())))
    oids = []
    for name in wanted:
        if (oid := found.get(name)) is None or oid not in fit:
            raise ConfigError(f"types: {name!r} is not a type that a column can have")
        oids.append(oid)
    return [(oid, column.typmod if column.type_oid == oid else -1) for oid, column in zip(oids, columns, strict=True)]


_TYPMOD = re.compile(r"(\([^()]*\))(?:\[\])?$")


async def _spelled_typmods(session: Session, types: Iterable[tuple[int, int]]) -> dict[tuple[int, int], str]:
    """Look up how the server spells the typmods of types that bulkio does not know by heart, such as ``(3)``."""
    unknown = sorted({(oid, typmod) for oid, typmod in types if typmod >= 0 and known_type(oid) is None})
    found = await _ask(session, catalog.type_names_query(unknown)) if unknown else []
    matches = {(spelled.oid, spelled.typmod): _TYPMOD.search(spelled.spelling) for spelled in found}
    return {key: match[1] for key, match in matches.items() if match}


async def _extension_types(session: Session, extension: str) -> dict[str, int]:
    """Look up the oids of the types that an extension has brought, by name; none where it is not installed."""
    found = await _ask(session, catalog.extension_types_query(extension))
    return {spelled.spelling: spelled.oid for spelled in found}
