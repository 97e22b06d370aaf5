"""Go on with a load from what the ledger has of it: its options, and where its files are."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import fields
from typing import TYPE_CHECKING, Any, cast

from bulkio.errors import LedgerError
from bulkio.files import CsvFile, FileSource, FormattedFile
from bulkio.files.formats.csv.options import CsvOptions
from bulkio.options import LoadRequest, fields_of
from bulkio.quote import quote_ident
from bulkio.show import printable, show_value
from bulkio.transfer import ledger

if TYPE_CHECKING:
    from bulkio.choices import Mode
    from bulkio.options import ResumeRequest
    from bulkio.protocols import Source
    from bulkio.transfer.records import LoadRecord

__all__ = ["resume_facts", "resumed"]

#: options that are not among a load's facts, and that another run takes over; never a DSN or a password
_OPTIONS = (
    "max_delete",
    "if_empty",
    "method",
    "batch_rows",
    "block_bytes",
    "workers",
    "commit",
    "chunk_bytes",
    "unlogged",
)


def resume_facts(request: LoadRequest, source: Source) -> dict[str, Any]:
    """Return what a `LoadWork` has for a run that knows nothing but the load's id."""
    defaults = {each.name: each.default for each in fields_of(LoadRequest)}
    values = {name: getattr(request, name) for name in _OPTIONS}
    given = {name: value for name, value in values.items() if value != defaults[name]}
    fmt = "csv" if isinstance(request.source, CsvFile) else getattr(request.source, "format", "")
    paths = source.paths if isinstance(source, FileSource) and source.has_files else ()
    if any(printable(path) != path for path in paths):
        paths = ()  # JSON and the database may not hold the name as it is
    return {"paths": paths, "format": fmt if isinstance(fmt, str) else "", "options": given}


async def resumed(request: ResumeRequest) -> LoadRequest:
    """Return the request of a load as it is recorded, to be loaded again under its id.

    Raises:
        LedgerError: there is none of this id, or the ledger cannot tell what it was.
    """
    record = await ledger.show_load(request.record)
    source = _source(record)
    known = {each.name for each in fields_of(LoadRequest)}
    options: dict[str, Any] = {name: value for name, value in record.facts.options.items() if name in known}
    if record.work is not None:
        options |= record.work.options
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
    if work is None:
        raise LedgerError(f"{name} is done: there is nothing to resume", load_id=record.load_id)
    if not work.paths:
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
