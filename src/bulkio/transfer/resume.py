"""Go on with a load from what the ledger has of it: its options, and where its files are."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, cast

from bulkio.errors import LedgerError
from bulkio.files import CsvFile, FormattedFile
from bulkio.files.formats.csv.options import CsvOptions
from bulkio.flow import shelter
from bulkio.options import LoadRequest, fields_of
from bulkio.quote import quote_ident
from bulkio.show import show_value
from bulkio.transfer import ledger
from bulkio.transfer.load import load
from bulkio.transfer.rejects import finish_recorded
from bulkio.transfer.settle import TWO_PHASES, settle_if_dead

if TYPE_CHECKING:
    from bulkio.choices import Mode
    from bulkio.options import ResumeRequest
    from bulkio.transfer.records import LoadRecord
    from bulkio.transfer.report import LoadReport

__all__ = ["resume_load"]


async def resume_load(request: ResumeRequest) -> LoadReport:
    """Go on with a load as it is recorded; return the report of one that is done.

    Raises:
        LedgerError: there is none of this id, or the ledger cannot tell what it was.
        And whatever the load raises.
    """
    record = await ledger.show_load(request.record)
    if record.state in TWO_PHASES:
        state = await settle_if_dead(request, request.ledger_schema, request.load_id, waits=request.wait)
        if state == "committing":
            done = await ledger.show_load(request.record)
            if done.report is not None:
                return await _finished(done, done.report)
        elif not record.facts.source:
            raise LedgerError(
                f"load {show_value(record.load_id)} was not decided when it was ended, so it is rolled back, and it was"
                " loaded without an id, so nothing tells whether its files are still the same: load them again",
                load_id=record.load_id,
            )
    if record.state == "done" and record.report is not None:
        return await _finished(record, replace(record.report, already=True))
    return await load(_resumed(request, record))


async def _finished(record: LoadRecord, report: LoadReport) -> LoadReport:
    """Put the file of rejected records together, if the run that has done the load has not."""
    recorded = None if record.work is None else record.work.rejects
    return await shelter.conclude(finish_recorded(report, report.rejects, recorded))


def _resumed(request: ResumeRequest, record: LoadRecord) -> LoadRequest:
    """Return the request of a load as it is recorded, to be loaded again under its id."""
    source = _source(record)
    known = {each.name for each in fields_of(LoadRequest)}
    options: dict[str, Any] = {name: value for name, value in record.facts.options.items() if name in known}
    if record.work is not None:
        options |= record.work.options
        options["rejects"] = record.work.rejects or None
    if request.workers is not None:
        options["workers"] = request.workers
    table = f"{quote_ident(record.facts.table_schema)}.{quote_ident(record.facts.table_name)}"
    with suppress(KeyError):
        options["source_version"] = record.facts.source["version"]
    return LoadRequest(
        source,
        table,
        request.dsn,
        mode=cast("Mode", record.facts.mode),
        load_id=record.load_id,
        ledger_schema=request.ledger_schema,
        wait=request.wait,
        driver=request.driver,
        lock_timeout=request.lock_timeout,
        password=request.password,
        progress=request.progress,
        **options,
    )


def _source(record: LoadRecord) -> object:
    """Return the files of a load, as `bulkio.load` takes them."""
    work = record.work
    name = f"load {show_value(record.load_id)}"
    if work is None or not work.paths:
        raise LedgerError(
            f"{name}: the ledger does not tell where its source is: load it again with the same id",
            load_id=record.load_id,
        )
    if not record.facts.source:
        raise LedgerError(
            f"{name} was loaded without an id, so nothing tells whether its files are still the same: forget it"
            f" (`bulkio loads forget {record.load_id}`), and load them again",
            load_id=record.load_id,
        )
    if work.format == "csv":
        names = {each.name for each in fields(CsvOptions)}
        options: dict[str, Any] = {name: value for name, value in record.facts.options.items() if name in names}
        return CsvFile(list(work.paths), **options)
    return FormattedFile(list(work.paths), work.format) if work.format else list(work.paths)
