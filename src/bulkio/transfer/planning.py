"""From a request to a plan: ask the catalog, lock the table, make the types that are missing.

The table is locked before its facts are asked for, so that what the plan was made for is what COPY meets.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import anyio.to_thread
import pyarrow as pa

from bulkio import sql
from bulkio.catalog import Table, TableName
from bulkio.catalog.facts import Wanted
from bulkio.catalog.lookup import find_table, gather, look_up, path_schemas, similar_table
from bulkio.errors import DriverError
from bulkio.files import RowSource
from bulkio.files.shape import ShapedSource
from bulkio.flow import shelter
from bulkio.plan import (
    MODES,
    Database,
    LoadPlan,
    lock_of,
    missing_types,
    plan_load,
    recorded_types,
    refuse_changed,
    target_casts,
    with_sequences,
)
from bulkio.show import show_name, show_option
from bulkio.transfer import open_reads
from bulkio.types import charset_of
from bulkio.types.geo import arrow_extension

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bulkio.catalog.lookup import Found
    from bulkio.options import LoadRequest
    from bulkio.protocols import Session, Source

__all__ = ["make_plan"]

#: pg_class.relkind of what LOCK TABLE takes, and a load can be into
_LOCKABLE = "rp"


async def make_plan(session: Session, source: Source, request: LoadRequest, *, waits: bool = True) -> LoadPlan:
    """Ask the catalog and plan; lock the table first.

    A load also `waits` for those that create this table just now; a plan that nobody carries out has no need to.
    """
    rule = MODES[request.mode]
    found = await _find(session, request, waits=waits)
    adds = request.new_columns == "add" and found.table is not None and bool(_new_columns(source.schema, found.table))
    if found.table is None or rule.replaces or adds:
        request = await _with_inferred_types(source, request, found.table)
    table = None
    if found.table is not None:
        alone = _alone(request, found.table, lacks=_new_columns(source.schema, found.table).names if adds else [])
        table = await _lock(session, request, found.table, alone=alone, waits=waits)
    #: the columns that are to be made, with their types: all of a new table's, or those that are added
    new = source.schema if table is None else _new_columns(source.schema, table) if adds else pa.schema([])
    wanted = _wanted(table, source.schema if rule.replaces else new, source.schema.names, request)
    database = Database(
        session.driver,
        found.name,
        table,
        found.new_schema,
        await gather(session, wanted),
        charset=charset_of(session.server_encoding),
        similar=await similar_table(session, found.name) if table is None and not rule.creates else None,
        server_version=session.server_version,
    )
    if table is None or adds:
        database = await _with_missing_types(session, new, request, database, wanted)
    if isinstance(source, RowSource | ShapedSource):
        await shelter.finish(anyio.to_thread.run_sync(source.set_types, target_casts(request, database)))
    return with_sequences(plan_load(request, source, database), database.facts.sequences)


async def _find(session: Session, request: LoadRequest, *, waits: bool) -> Found:
    """Look the table up; where it is missing, and will be created, exclude everybody else who would."""
    charset = charset_of(session.server_encoding)
    refuse_changed(charset, [request.table], "the table's name")
    refuse_changed(charset, (request.types or {}).values(), "the type")
    found = await look_up(session, request.table)
    if waits and found.table is None and found.new_schema is not None and MODES[request.mode].creates:
        await session.execute(sql.lock_creation("table", found.new_schema, found.name.name))
        found = await look_up(session, request.table)  # somebody else may have created it meanwhile
    return found


def _new_columns(schema: pa.Schema, table: Table | None) -> pa.Schema:
    """Return the source's columns that the table lacks."""
    known = set() if table is None else {column.name for column in table.columns}
    return pa.schema([field for field in schema if field.name not in known])


async def _with_inferred_types(source: Source, request: LoadRequest, table: Table | None) -> LoadRequest:
    """Return the request with the types that a source of texts infers for columns that are to be made."""
    inferred = await shelter.finish(anyio.to_thread.run_sync(source.inferred_types))
    names = _new_columns(source.schema, table).names
    types = {name: kind for name, kind in inferred.items() if name in names}
    return replace(request, types=types | {**(request.types or {})})


def _alone(request: LoadRequest, table: Table, *, lacks: Sequence[str]) -> dict[str, str]:
    """Return the options that alter the table, and so want it for the load alone; each with what the table is like."""
    alone = {}
    if lacks:
        alone[show_option("new_columns", "add")] = f", which lacks {', '.join(map(show_name, sorted(lacks)))}"
    if _defers(request, table):
        alone[show_option("defer_indexes", value=True)] = ""
    return alone


def _defers(request: LoadRequest, table: Table) -> bool:
    """Tell whether the indexes of an existing table are to be built after the rows; a replace does that of itself."""
    return request.defer_indexes and table.kind == "r" and not MODES[request.mode].replaces


async def _lock(
    session: Session, request: LoadRequest, table: Table, *, alone: Mapping[str, str], waits: bool
) -> Table:
    """Lock a table as the mode wants it, or for the load alone; return it as it is from then on."""
    rule = MODES[request.mode]
    if table.kind not in rule.kinds or not rule.loads_existing:
        return table  # the plan refuses it
    lock = lock_of(request) if waits and table.kind in _LOCKABLE else None
    for option, state in alone.items():
        await _refuse_strangers(session, table, option, state)
    if alone and waits:  # ALTER TABLE's lock, at once: two that wait for it would deadlock
        statement = sql.lock_for_load(table.schema, table.name, "ACCESS EXCLUSIVE")
        await open_reads.execute_alone(session, statement, request.source, table.schema, table.name)
    else:
        await session.execute(sql.as_user(sql.lock_for_load(table.schema, table.name, lock)))
    return await find_table(session, TableName(table.schema, table.name)) or table


async def _refuse_strangers(session: Session, table: Table, option: str, state: str) -> None:
    """Refuse to alter a table for a role that may not."""
    if await session.fetch(sql.may_alter(table.oid)) == [(False,)]:
        raise DriverError(
            f"only its owner can alter table {show_name(table.schema)}.{show_name(table.name)}{state}: {option} needs a"
            " role that has the owner's rights",
            sqlstate="42501",
        )


def _wanted(table: Table | None, recorded: pa.Schema, names: Sequence[str], request: LoadRequest) -> Wanted:
    """Say what the plan wants to know: of the table, and of the types that the source records for new columns."""
    rule = MODES[request.mode]
    wanted = Wanted(
        spelled=request.types or {},
        names=names,
        recorded=recorded_types(recorded),
        postgis=any(map(arrow_extension, recorded)),
    )
    if table is None:
        return wanted
    return replace(
        wanted,
        table=table,
        type_oids=[column.type_oid for column in table.columns],
        sequences=True,
        children=rule.truncates,
        keys=rule.by_key,
        definition=rule.replaces,
        indexing=_defers(request, table),
        sharing=request.rejects is not None,
    )


async def _with_missing_types(
    session: Session, schema: pa.Schema, request: LoadRequest, database: Database, wanted: Wanted
) -> Database:
    """Create the types that new columns need, where they are missing and the source records them in full."""
    if database.new_schema is None or {ref.key for ref in wanted.recorded} <= database.facts.named.keys():
        return database
    allowed = {database.new_schema} | await path_schemas(session)
    missing = sorted(missing_types(schema, database, request.policies, allowed))
    if not missing:
        return database
    for name in missing:
        await session.execute(sql.lock_creation("type", *name))
    database = replace(database, facts=await gather(session, wanted))  # somebody else may have made them
    ddl = tuple(missing_types(schema, database, request.policies, allowed).values())
    for statement in ddl:
        await session.execute(sql.as_user(statement))
    return replace(database, facts=await gather(session, wanted), made=ddl) if ddl else database
