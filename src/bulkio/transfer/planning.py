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
from bulkio.types import charset_of
from bulkio.types.geo import arrow_extension

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bulkio.options import LoadRequest
    from bulkio.plan.modes import ModeRule
    from bulkio.protocols import Session, Source

__all__ = ["make_plan"]

#: pg_class.relkind of what LOCK TABLE takes, and a load can be into
_LOCKABLE = "rp"


async def make_plan(session: Session, source: Source, request: LoadRequest, *, waits: bool = True) -> LoadPlan:
    """Ask the catalog and plan. The table is locked first, so that what the plan was made for is what COPY meets.

    A load also `waits` for those that create this table just now; a plan that nobody carries out has no need to.
    """
    charset = charset_of(session.server_encoding)
    types = request.types or {}
    refuse_changed(charset, [request.table], "the table's name")
    refuse_changed(charset, types.values(), "the type")
    found = await look_up(session, request.table)
    rule = MODES[request.mode]
    if waits and found.table is None and found.new_schema is not None and rule.creates:
        await session.execute(sql.lock_creation("table", found.new_schema, found.name.name))
        found = await look_up(session, request.table)  # somebody else may have created it meanwhile
    new = _new_names(source.schema, found.table)
    adds = request.new_columns == "add" and found.table is not None and bool(new)
    if found.table is None or rule.replaces or adds:
        inferred = await shelter.finish(anyio.to_thread.run_sync(source.inferred_types))
        types = {name: kind for name, kind in inferred.items() if name in new} | {**types}
        request = replace(request, types=types)
    known = found.table
    if known is not None and known.kind in rule.kinds and rule.loads_existing:
        lock = lock_of(request) if waits and known.kind in _LOCKABLE else None
        if adds:
            await _refuse_strangers(session, known, new)
            lock = "ACCESS EXCLUSIVE" if waits else lock  # ALTER TABLE's, at once: two that wait for it would deadlock
        await session.execute(sql.as_user(sql.lock_for_load(known.schema, known.name, lock)))
        known = await find_table(session, TableName(known.schema, known.name)) or known
    wanted = _wanted(known, source.schema, types, rule)
    if adds:
        new = _new_names(source.schema, known)  # somebody else may have added some
        schema = pa.schema([field for field in source.schema if field.name in new])
        wanted = replace(wanted, recorded=recorded_types(schema), postgis=any(map(arrow_extension, schema)))
    database = Database(
        session.driver,
        found.name,
        known,
        found.new_schema,
        await gather(session, wanted),
        charset=charset,
        server_version=session.server_version,
    )
    if known is None:
        if not rule.creates:
            database = replace(database, similar=await similar_table(session, found.name))
        database = await _with_missing_types(session, source.schema, request, database, wanted)
    elif adds:
        database = await _with_missing_types(session, schema, request, database, wanted)
    if isinstance(source, RowSource | ShapedSource):
        await shelter.finish(anyio.to_thread.run_sync(source.set_types, target_casts(request, database)))
    plan = plan_load(request, source, database)
    return with_sequences(plan, database.facts.sequences)


def _new_names(schema: pa.Schema, table: Table | None) -> set[str]:
    """Return the names of the source's columns that the table lacks."""
    return set(schema.names).difference(() if table is None else [column.name for column in table.columns])


async def _refuse_strangers(session: Session, table: Table, new: set[str]) -> None:
    """Refuse to add columns for a role that may not."""
    if await session.fetch(sql.may_alter(table.oid)) == [(False,)]:
        names, option = ", ".join(map(show_name, sorted(new))), show_option("new_columns", "add")
        raise DriverError(
            f"only its owner can alter table {show_name(table.schema)}.{show_name(table.name)}, which lacks {names}:"
            f" {option} needs a role that has the owner's rights",
            sqlstate="42501",
        )


def _wanted(table: Table | None, schema: pa.Schema, types: Mapping[str, str], rule: ModeRule) -> Wanted:
    """Say what the plan wants to know: of the table, or of the types that the source records for a new one."""
    wanted = Wanted(spelled=types, names=schema.names)
    if table is None or rule.replaces:
        wanted = replace(wanted, recorded=recorded_types(schema), postgis=any(map(arrow_extension, schema)))
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
    )


async def _with_missing_types(
    session: Session, schema: pa.Schema, request: LoadRequest, database: Database, wanted: Wanted
) -> Database:
    """Create the types that the new table needs, where they are missing and the source records them in full."""
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
