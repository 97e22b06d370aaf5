"""Take a load out of the ledger, with whatever an unfinished one has left."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from bulkio import sql
from bulkio.show import show_option, show_value
from bulkio.sql import ledger as statements
from bulkio.transfer import ledger
from bulkio.transfer.monitor import watching
from bulkio.transfer.settle import TWO_PHASES, settle

if TYPE_CHECKING:
    from bulkio.options import ForgetRequest
    from bulkio.protocols import Session
    from bulkio.transfer.records import LoadRecord

__all__ = ["forget_load"]


async def forget_load(request: ForgetRequest) -> LoadRecord:
    """Take a load out of the ledger; return what was recorded. Of one that is unfinished, its staged rows go, too.

    Where it waits for a run of the load, it says so.

    Raises:
        LedgerError: there is none of this id, or a load of its id would add the same rows again.
    """
    async with watching(request) as monitor, ledger.opened(request, changes=True) as session:
        if session is None:
            return await ledger.known(session, request)
        [(pid,)] = await session.fetch(sql.PID)
        with monitor.watch(int(str(pid)), f"forgetting load {show_value(request.load_id)}"):
            return await _forget(session, request)


async def _forget(session: Session, request: ForgetRequest) -> LoadRecord:
    schema, load_id = request.ledger_schema, request.load_id
    await session.fetch(statements.lock_load(schema, load_id, waits=True))
    record = await ledger.known(session, request)
    if record.state in TWO_PHASES:
        if await settle(request, schema, load_id) == "aborting":
            return record
        record = await ledger.known(session, request)
    _refuse_appended(request, record)
    await session.execute(statements.delete_load(schema, load_id))  # it waits for a chunk that is about to commit
    stored = await session.fetch(statements.select_chunks(schema, load_id))
    record = replace(record, stored_rows=sum(int(str(rows)) for _, rows, _, _ in stored))
    _refuse_appended(request, record)
    await ledger.take_back(session, schema, load_id, record.work)
    return record


def _refuse_appended(request: ForgetRequest, record: LoadRecord) -> None:
    if not request.rows_removed:
        say_so = show_option("rows_removed", value=True)
        why = "forgotten, a retry would add them again: load under another id instead, or delete them, and say so"
        ledger.refuse_twice(record, f"{why} ({say_so})")
