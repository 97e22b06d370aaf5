"""The load: carry out a `LoadPlan` in one transaction, and report.

`send` reads and encodes beside the driver, in one thread or two.
"""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from bulkio import catalog, sql
from bulkio.catalog import TableName
from bulkio.catalog.lookup import (
    asked_types,
    children,
    extension_types,
    find_sequences,
    find_table,
    find_types,
    look_up,
    name_bytes,
    named_types,
    path_schemas,
    similar_table,
    spelled_typmods,
    users_path,
)
from bulkio.errors import CountError
from bulkio.flow import shelter
from bulkio.plan import (
    Database,
    LoadPlan,
    loaded_sequences,
    missing_types,
    plan_load,
    recorded_names,
    recorded_typmods,
    refuse_changed,
    with_sequences,
)
from bulkio.protocols import Progress
from bulkio.transfer import open_reads
from bulkio.transfer.report import LoadReport
from bulkio.transfer.rows_before import rows_before
from bulkio.transfer.send import Sender, open_to_load
from bulkio.transfer.session import commit, open_session, transaction
from bulkio.types import charset_of
from bulkio.types.geo import arrow_extension

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pyarrow as pa

    from bulkio.options import LoadRequest
    from bulkio.protocols import Session, Source

__all__ = ["load", "load_plan"]


async def load(request: LoadRequest) -> LoadReport:
    """Load a source into a table: all of it, or nothing.

    Raises any `BulkioError`; then the table is unchanged, except where it is `OutcomeUnknown`.
    """
    started = time.perf_counter()
    async with (
        _opened(request) as source,
        open_session(request.dsn, request) as session,
        transaction(
            session, read_only=False, lock_timeout=request.lock_timeout, truncates=request.mode == "truncate"
        ) as begun,
    ):
        plan = await _plan(session, source, request)
        rows, is_estimate = await rows_before(session, plan)
        await _define(session, plan)
        sender = Sender(plan, source)
        copied = await sender.run(session)
        _compare_counts(plan, copied, sender.rows)
        await _advance_sequences(session, plan)
        if request.progress is not None:
            request.progress(Progress(sender.rows, sender.bytes, plan.source_rows, committing=True))
        await commit(session, request.dsn, request, tells_place=begun.tells_place)
    return LoadReport(
        rows=copied,
        bytes=sender.bytes,
        seconds=time.perf_counter() - started,
        driver=session.driver,
        method=plan.method,
        mode=request.mode,
        table=f"{plan.schema}.{plan.table}",
        created=plan.creates,
        notes=plan.notes,
        lifted=begun.lifted,
        rows_before=rows,
        rows_before_estimated=is_estimate,
    )


async def load_plan(request: LoadRequest) -> LoadPlan:
    """Plan a load and change nothing."""
    async with (
        _opened(request) as source,
        open_session(request.dsn, request) as session,
        transaction(session, read_only=False, lock_timeout=request.lock_timeout),
    ):
        plan = await _plan(session, source, request, waits=False)
        await session.execute(sql.ROLLBACK)
        return plan


class _opened:  # noqa: N801 - reads as a verb
    """Open the source in a worker thread, close it at the end."""

    def __init__(self, request: LoadRequest) -> None:
        self._open = partial(open_to_load, request)
        self._source: Source | None = None

    async def __aenter__(self) -> Source:
        try:
            return await shelter.finish(anyio.to_thread.run_sync(self._open_source))
        except BaseException:
            self._close()
            raise

    async def __aexit__(self, *_: object) -> None:
        self._close()

    def _open_source(self) -> Source:
        self._source = self._open()
        return self._source

    def _close(self) -> None:
        if self._source is not None:
            self._source.close()


async def _plan(session: Session, source: Source, request: LoadRequest, *, waits: bool = True) -> LoadPlan:
    """Ask the catalog and plan. The table is locked first, so that what the plan was made for is what COPY meets.

    A load also `waits` for those that create this table just now; a plan that nobody carries out has no need to.
    """
    charset = charset_of(session.server_encoding)
    types = request.types or {}
    refuse_changed(charset, [request.table], "the table's name")
    refuse_changed(charset, types.values(), "the type")
    found = await look_up(session, request.table)
    if waits and found.table is None and found.new_schema is not None and request.mode != "truncate":
        await session.execute(sql.lock_creation("table", found.new_schema, found.name.name))
        found = await look_up(session, request.table)  # somebody else may have created it meanwhile
    if found.table is None:
        inferred = await shelter.finish(anyio.to_thread.run_sync(source.inferred_types))
        types = {name: kind for name, kind in inferred.items() if name in source.schema.names} | {**types}
        request = replace(request, types=types)
    known = found.table
    database = Database(
        session.driver,
        found.name,
        known,
        found.new_schema,
        types={},
        asked=dict(zip(types, await asked_types(session, types.values()), strict=True)),
        charset=charset,
        name_bytes=await name_bytes(session, source.schema.names),
    )
    if known is None:
        similar = await similar_table(session, found.name) if request.mode == "truncate" else None
        database = await _for_new_table(session, request, source.schema, database)
        return plan_load(request, source, replace(database, similar=similar))
    if known.kind in catalog.WRITABLE and request.mode != "create":
        await session.execute(sql.as_user(sql.lock_for_load(known.schema, known.name)))
        known = await find_table(session, TableName(known.schema, known.name)) or known
    database = replace(
        database,
        table=known,
        types=await find_types(session, [column.type_oid for column in known.columns]),
        children=await children(session, known) if request.mode == "truncate" else (),
    )
    plan = plan_load(request, source, database)
    return with_sequences(plan, await find_sequences(session, known))


async def _for_new_table(session: Session, request: LoadRequest, schema: pa.Schema, database: Database) -> Database:
    """Look up the types that the source records; create those that are missing, needed and recorded in full."""
    new_schema, asked, policies = database.new_schema, database.asked, request.policies
    postgis = await extension_types(session, "postgis") if any(map(arrow_extension, schema)) else {}
    others = [*postgis.values(), *(oid for oid, _ in asked.values())]
    names = recorded_names(schema)
    database = await _with_named(session, replace(database, postgis=postgis), names, others)
    if len(database.named) < len(names) and new_schema is not None:
        allowed = {new_schema} | await path_schemas(session)
        if missing := sorted(missing_types(schema, database, policies, allowed)):
            for name in missing:
                await session.execute(sql.lock_creation("type", *name))
            database = await _with_named(session, database, names, others)  # somebody else may have made them
        ddl = tuple(missing_types(schema, database, policies, allowed).values())
        for statement in ddl:
            await session.execute(sql.as_user(statement))
        if ddl:
            database = await _with_named(session, replace(database, made=ddl), names, others)
    typmods = await spelled_typmods(session, [*asked.values(), *recorded_typmods(schema, database.named)])
    return replace(database, typmods=typmods)


async def _with_named(
    session: Session, database: Database, names: Iterable[tuple[str, str, str]], others: Iterable[int]
) -> Database:
    """Look up the types of these names that there are, and what they and others are made of."""
    named = await named_types(session, names)
    recorded = [oid for found in named.values() for oid in (found.oid, found.array_oid)]
    return replace(database, named=named, types=await find_types(session, [*recorded, *others]))


async def _define(session: Session, plan: LoadPlan) -> None:
    """Run the plan's DDL. TRUNCATE waits for every reader, but not for one that waits for this load."""
    readers = []
    name = f"{plan.schema}.{plan.table}"
    if plan.request.mode == "truncate" and open_reads.any_open():
        readers = open_reads.among(await session.fetch(sql.holders_of(plan.schema, plan.table)))
        open_reads.refuse_source(readers, plan.request.source, name)
    for statement in plan.ddl:
        work = partial(session.execute, sql.as_user(statement))
        await (open_reads.watch(readers, work, name) if readers else work())


async def _advance_sequences(session: Session, plan: LoadPlan) -> None:
    """Take the sequences of the columns that were loaded past their values: the next INSERT shall not meet one.

    The path is the user's before, and again after: COMMIT runs the triggers that are deferred until then.
    """
    uses = plan.sequences
    if not (uses or plan.creates):
        return
    await session.execute(sql.OWN_PATH)
    if plan.creates and (table := await find_table(session, TableName(plan.schema, plan.table))):
        uses = loaded_sequences(plan, await find_sequences(session, table))
    for use in uses:
        # Two statements: between reading where the sequence is and setting it, no time shall pass.
        async with users_path(session):  # for the functions of the table's own policies
            [(last,)] = await session.fetch(sql.last_value(plan.schema, plan.table, use.column, use.options))
        if last is not None:
            await session.fetch(sql.advance_sequence(use.name, int(str(last)), ascends=use.options.ascends))
    await session.execute(sql.USERS_PATH)


def _compare_counts(plan: LoadPlan, copied: int, sent: int) -> None:
    """Compare what the server says it stored, what was sent, and what the source promised."""
    promised = sent if plan.source_rows is None else plan.source_rows
    if not copied == sent == promised:
        raise CountError(
            f"the row counts differ, so nothing was loaded: the source promised {promised}, {sent} were sent,"
            f" the server stored {copied} (a trigger or a rule may have dropped rows)",
            expected=promised,
            found=sent if sent != promised else copied,
        )
