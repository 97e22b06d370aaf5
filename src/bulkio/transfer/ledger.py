"""The ledger, which records the loads that have an id: made where it is needed, read, and cleared.

A load's own use of it is in `claim`. It is one table in a schema of its own; whoever loads first with an id makes it.
"""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from bulkio import sql
from bulkio.choices import LEDGER_SCHEMA, days
from bulkio.errors import ConnectError, DriverError, LedgerError
from bulkio.show import did_you_mean, printable, show_name, show_option, show_value
from bulkio.sql import ledger, once, tables
from bulkio.transfer.records import LoadRecord, LoadWork, record_of
from bulkio.transfer.session import open_session, transaction

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bulkio.options import DdlRequest, ForgetRequest, GcRequest, LedgerRequest, RecordRequest
    from bulkio.protocols import Session

__all__ = [
    "exists",
    "find",
    "gc_loads",
    "known",
    "ledger_ddl",
    "list_loads",
    "opened",
    "prepare",
    "refuse_twice",
    "require",
    "show_load",
    "take_back",
    "using",
]

#: SQLSTATE insufficient_privilege
_DENIED = "42501"
#: number of ids searched for the one that was meant
_NEAR_IDS = 10_000


async def prepare(session: Session, schema: str, needs: tables.Needs = tables.FOR_LOADS) -> None:
    """Make the ledger where what the work needs of it is missing, in a transaction of its own.

    Raises:
        LedgerError: there is another table of its name, or the role may not make it.
    """
    if all([await exists(session, schema, table) for table in needs.rights]):
        if needs.why:
            await _refuse_lacking_rights(session, schema, needs)
        return
    async with transaction(session, read_only=False), using(schema):
        await session.fetch(ledger.lock_ledger(schema))
        for table in tables.TABLES:
            has_schema, kind, _, _, stranger = await _facts(session, schema, table)  # another run may have made it
            _refuse_stranger(schema, stranger)
            for statement in tables.create_schema(schema) if not has_schema else ():
                await session.execute(statement)
            for statement in tables.create_table(schema, table) if kind is None else ():
                await session.execute(statement)
        await session.execute(sql.COMMIT)


async def require(session: Session, schema: str, needs: tables.Needs = tables.FOR_LOADS) -> None:
    """Look whether what the work needs of the ledger is there; make nothing.

    Raises:
        LedgerError: it is not, or there is another table of its name.
    """
    if not all([await exists(session, schema, table) for table in needs.rights]):
        option = "" if schema == LEDGER_SCHEMA else f" with {show_option('ledger_schema', schema)}"
        raise LedgerError(
            f"the ledger of loads, schema {show_name(schema)}, is not there yet, and a load in your transaction cannot"
            f" make it: run what `bulkio loads ddl`{option} prints (bulkio.ledger_ddl), or load once with an id and"
            f" without {show_option('connection')}"
        )


async def _refuse_lacking_rights(session: Session, schema: str, needs: tables.Needs) -> None:
    """Refuse work for a role that could begin it and not end it."""
    async with transaction(session, read_only=True), using(schema):
        lacking = [str(right) for (right,) in await session.fetch(tables.lacking_rights(schema, needs.rights))]
    if lacking:
        option = "" if schema == LEDGER_SCHEMA else f" with {show_option('ledger_schema', schema)}"
        raise LedgerError(
            f"{needs.why}, and the role may not: an administrator can GRANT {printable(', '.join(lacking))}"
            f" (`bulkio loads ddl`{option} prints all grants)"
        )


async def _facts(session: Session, schema: str, table: str) -> tuple[object, ...]:
    [facts] = await session.fetch(tables.table_facts(schema, table))
    return facts


async def exists(session: Session, schema: str, table: str = tables.LOADS) -> bool:
    """Tell whether a table of the ledger is there; raise `LedgerError` where one of its name is another one."""
    _, kind, columns, has_key, stranger = await _facts(session, schema, table)
    _refuse_stranger(schema, stranger)
    if kind is None:
        return False
    types = json.loads(str(columns or "{}"))
    odd = [name for name, oid in tables.column_oids(table).items() if types.get(name) != oid]
    if kind not in ("r", "p") or odd or not has_key:
        name = printable(f"{schema}.{table}")
        key = ", ".join(tables.KEYS[table])
        what = f"its column {odd[0]} is missing, or of another type" if odd else f"{key} is not its key"
        raise LedgerError(
            f"{name} is not a ledger of bulkio's: {what if kind in ('r', 'p') else 'it is not a table'};"
            f" keep the ledger in another schema ({show_option('ledger_schema')})"
        )
    return True


def _refuse_stranger(schema: str, owner: object) -> None:
    """Refuse a ledger of a role that this one has no reason to trust."""
    if owner is not None:
        raise LedgerError(
            f"the ledger of loads, schema {show_name(schema)}, belongs to role {show_name(str(owner))}, whose triggers"
            " would run with this role's rights: let the database's owner have it, or a role that this one is a member"
            f" of, or keep the ledger in another schema ({show_option('ledger_schema')})"
        )


@asynccontextmanager
async def using(schema: str) -> AsyncIterator[None]:
    """Say, where the server denies the ledger to the role, what prints the grants."""
    try:
        yield
    except ConnectError:
        raise
    except DriverError as error:
        if error.sqlstate != _DENIED:
            raise
        option = "" if schema == LEDGER_SCHEMA else f", with {show_option('ledger_schema', schema)},"
        raise LedgerError(
            f"the role may not use the ledger of loads, schema {show_name(schema)} ({error.args[0]}):"
            f" `bulkio loads ddl`{option} prints what an administrator has to run, and the grants"
        ) from error


async def find(session: Session, schema: str, load_id: str) -> LoadRecord | None:
    """Return the record of a load; None where there is none."""
    rows = await session.fetch(ledger.select_loads(schema, load_id))
    records = await _counted(session, schema, list(map(record_of, rows)))
    return records[0] if records else None


async def _counted(session: Session, schema: str, records: list[LoadRecord]) -> list[LoadRecord]:
    """Return records with what is stored of those that are running."""
    if not any(record.state == "running" for record in records):
        return records
    rows = await session.fetch(ledger.count_chunks(schema))
    counts = {str(load_id): (int(str(chunks)), int(str(stored))) for load_id, chunks, stored in rows}
    pairs = [(record, counts.get(record.load_id, (0, 0))) for record in records]
    return [replace(record, stored_chunks=chunks, stored_rows=stored) for record, (chunks, stored) in pairs]


@asynccontextmanager
async def opened(
    request: LedgerRequest | RecordRequest | ForgetRequest | GcRequest, *, changes: bool
) -> AsyncIterator[Session | None]:
    """Begin on the ledger; None where it was never made. What the body `changes` is committed."""
    schema = request.ledger_schema
    async with open_session(request.dsn, request) as session:
        if not await exists(session, schema):
            yield None
            return
        async with (
            transaction(session, read_only=not changes, lock_timeout=request.lock_timeout),
            using(schema),
        ):
            yield session
            if changes:
                await session.execute(sql.COMMIT)


async def list_loads(request: LedgerRequest) -> tuple[LoadRecord, ...]:
    """Return what the ledger records, the latest first."""
    async with opened(request, changes=False) as session:
        if session is None:
            return ()
        rows = await session.fetch(ledger.select_loads(request.ledger_schema))
        return tuple(await _counted(session, request.ledger_schema, list(map(record_of, rows))))


async def show_load(request: RecordRequest) -> LoadRecord:
    """Return what the ledger records of a load.

    Raises:
        LedgerError: there is none of this id.
    """
    async with opened(request, changes=False) as session:
        return await known(session, request)


async def known(session: Session | None, request: RecordRequest | ForgetRequest) -> LoadRecord:
    """Return the record of a load. Raises as `show_load` does."""
    load_id, schema = request.load_id, request.ledger_schema
    if session is not None and (record := await find(session, schema, load_id)):
        return record
    ids = [] if session is None else await session.fetch(ledger.load_ids(schema, most=_NEAR_IDS))
    near = did_you_mean(load_id, [str(row[0]) for row in ids])
    raise LedgerError(f"the ledger has no load {show_value(load_id)}{near and f'; {near}'}", load_id=load_id)


async def take_back(session: Session, schema: str, load_id: str, work: LoadWork | None) -> None:
    """Take a load out of the ledger; of one that commits in parts, its chunks and the table that they fill, too."""
    if work is not None:
        if work.place:
            await session.execute(sql.drop_if_exists(*work.place))
        await session.execute(ledger.delete_chunks(schema, load_id))
    await session.execute(ledger.delete_load(schema, load_id))


def refuse_twice(record: LoadRecord, why: str) -> None:
    """Raise `LedgerError` where rows of an append are committed: nothing tells them from others any more."""
    if record.appended_rows:
        count = "1 row" if record.appended_rows == 1 else f"{record.appended_rows:,} rows"
        raise LedgerError(
            f"load {show_value(record.load_id)} has appended {count} to {printable(record.table)}: {why}",
            load_id=record.load_id,
        )


async def gc_loads(request: GcRequest) -> tuple[LoadRecord, ...]:
    """Forget the loads that were done long ago, appends too, and SQL that ran once; return the loads' records."""
    async with opened(request, changes=True) as session:
        if session is None:
            return ()
        schema, older_than = request.ledger_schema, days("older_than", request.older_than)
        if await exists(session, schema, tables.STATEMENTS):
            await session.execute(once.delete_older(schema, older_than))
        return tuple(map(record_of, await session.fetch(ledger.delete_older(schema, older_than))))


def ledger_ddl(request: DdlRequest) -> str:
    """Return the statements that make the ledger, and the smallest grants for a role that loads with an id."""
    return tables.full_ddl(request.ledger_schema, request.role)
