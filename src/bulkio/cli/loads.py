"""`bulkio loads`: the ledger of the loads that had an id."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import click

from bulkio.cli.interrupts import carry_out
from bulkio.cli.options import field_options, output_options, progress_beside, progress_option, use_dsn
from bulkio.cli.output import show, show_json, show_table
from bulkio.cli.progress import ProgressKind, progress_of
from bulkio.options import DdlRequest, ForgetRequest, GcRequest, LedgerRequest, RecordRequest, ResumeRequest
from bulkio.show import printable, show_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bulkio import LoadRecord
    from bulkio.cli.exits import Exit

__all__ = ["loads"]


@click.group()
def loads() -> None:
    """Look at what was loaded with --load-id, and forget it.

    Each such load has a row in the ledger, a table in a schema of its own, which is written in the load's own
    transaction. The first load with an id makes it, or an administrator does with what `bulkio loads ddl` prints.
    """


@loads.command("list")
@field_options(LedgerRequest)
@output_options
def list_(options: dict[str, Any], *, as_json: bool) -> None:
    """List the loads, the latest first."""
    from bulkio import sync

    records = _ask(lambda: sync.list_loads(**options), options)
    if as_json:
        show_json({"loads": [record.as_dict() for record in records]})
    else:
        _show_table(records)


@loads.command("show", short_help="Show what is recorded of a load.")
@click.argument("load_id", metavar="ID")
@field_options(RecordRequest)
@output_options
def show_(load_id: str, options: dict[str, Any], *, as_json: bool) -> None:
    """Show what is recorded of a load: its source, its options, its report; with --json, all of it."""
    from bulkio import sync

    record = _ask(lambda: sync.show_load(load_id, **options), options)
    if as_json:
        show_json(record.as_dict())
        return
    for name, value in _told(record).items():
        if isinstance(value, dict) and value:
            show(f"{name}:")
            _show_fields(value, "  ")
        else:
            _show_fields({name: value}, "")


#: what is told of a report besides its rows, where it is anything
_TOLD = (
    *("seconds", "bytes", "driver", "method", "workers", "created", "inserted", "updated", "skipped", "deleted"),
    *("rejected", "rejects"),
    *("notes", "lifted", "why_one", "visibility"),
)


def _told(record: LoadRecord) -> dict[str, object]:
    """Return what is told of a load; what only bulkio needs stands in --json."""
    state, rows = _progress(record)
    report = {} if record.report is None else record.report.as_dict()
    files = cast("list[dict[str, object]]", record.facts.source.get("files") or [])
    times = {"started": record.started_at, "finished": record.finished_at}
    return {
        "load": record.load_id,
        "state": state,
        "table": record.table,
        "mode": record.facts.mode,
        "source": {
            "version": record.facts.source.get("version"),
            "files": [{name: each[name] for name in ("name", "bytes")} for each in files],
        },
        "options": dict(record.facts.options),
        **{name: None if time is None else f"{time:%Y-%m-%d %H:%M:%S} UTC" for name, time in times.items()},
        "rows": rows,
        "report": {name: report[name] for name in _TOLD if report.get(name)},
        "bulkio": record.bulkio_version,
    }


@loads.command(short_help="Go on with a load that was ended before it was done.")
@click.argument("load_id", metavar="ID")
@field_options(ResumeRequest)
@click.option("--quiet", "-q", is_flag=True, help="Print nothing but warnings, errors, and what --json prints.")
@progress_option
@output_options
def resume(load_id: str, options: dict[str, Any], progress_kind: ProgressKind, *, as_json: bool, quiet: bool) -> Exit:
    """Go on with a load that was ended before it was done, from what is recorded: its options, and where its files are.

    Refused where a file is not any more what it was. A load that is done is only reported again.
    """
    from bulkio import sync
    from bulkio.cli import report

    kind = progress_beside(progress_kind, no_bar=quiet or as_json)
    with progress_of(f"load {printable(load_id)}", kind) as progress:
        done = _ask(lambda: sync.resume_load(load_id, progress=progress, **options), options, "the load can be resumed")
    return report.show_load(done, as_json=as_json, quiet=quiet)


@loads.command(short_help="Forget a load; its rows stay.")
@click.argument("load_id", metavar="ID")
@field_options(ForgetRequest)
@output_options
def forget(load_id: str, options: dict[str, Any], *, as_json: bool) -> None:
    """Forget a load, so that its id is free again; its rows stay. What an unfinished one has staged is dropped.

    Refused where it has appended rows, which a retry would append again; unless you have deleted them, and say so.
    """
    from bulkio import sync

    record = _ask(lambda: sync.forget_load(load_id, **options), options)
    if as_json:
        show_json({"forgotten": [record.load_id]})
    else:
        show(f"load {printable(record.load_id)} is forgotten; {_what_stays(record)}")


def _what_stays(record: LoadRecord) -> str:
    """Say what has become of the rows of a load that is forgotten."""
    if record.state == "done" or record.appended_rows:
        return f"its rows in {printable(record.table)} stay"
    if record.stored_rows:
        return f"{show_rows(record.stored_rows)} that it had staged, which nobody saw, are dropped"
    return "it had stored nothing"


@loads.command(short_help="Forget the loads that ended long ago.")
@field_options(GcRequest)
@output_options
def gc(options: dict[str, Any], *, as_json: bool) -> None:
    """Forget the loads that ended long ago, appends too; their rows stay.

    A retry that comes later than that loads again. SQL that ran once that long ago is forgotten, too.
    """
    from bulkio import sync

    records = _ask(lambda: sync.gc_loads(**options), options)
    if as_json:
        show_json({"forgotten": [record.load_id for record in records]})
    else:
        show(f"{len(records):,} loads were forgotten" if len(records) != 1 else "1 load was forgotten")


@loads.command(short_help="Print the SQL that makes the ledger.")
@field_options(DdlRequest)
@output_options
def ddl(options: dict[str, Any], *, as_json: bool) -> None:
    """Print the SQL that makes the ledger, and the grants that a role needs to load with an id.

    For an administrator, where the loading role may not create a schema: bulkio loads ddl --role loader | psql
    """
    from bulkio import sync

    text = sync.ledger_ddl(**options)
    if as_json:
        show_json({"ddl": text})
    else:
        show(text)


def _ask(work: Callable[[], Any], options: dict[str, Any], undone: str = "nothing was changed") -> Any:
    """Run a call of the sync façade, on the database that the options, or the environment, name."""
    options["dsn"] = use_dsn(options["dsn"], quiet=True)
    return carry_out(work, undone)


def _show_table(records: Sequence[LoadRecord]) -> None:
    """Show a line for each load, its columns below each other."""
    if records:
        show_table(("id", "state", "rows", "mode", "table", "finished (UTC)"), map(_line, records))
    else:
        show("no load was recorded")


def _line(record: LoadRecord) -> tuple[str, ...]:
    finished = "" if record.finished_at is None else f"{record.finished_at:%Y-%m-%d %H:%M:%S}"
    state, rows = _progress(record)
    names = printable(record.load_id), state, rows, record.facts.mode, printable(record.table)
    return (*names, finished)


def _progress(record: LoadRecord) -> tuple[str, str]:
    """Return how far a load is, and its rows."""
    if record.state == "running" and record.work is not None:
        return f"{record.stored_chunks} of {record.work.chunks} chunks", f"{record.stored_rows:,}"
    return record.state, "" if record.rows is None else f"{record.rows:,}"


def _show_fields(fields: dict[str, object], indent: str) -> None:
    for name, value in fields.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            for each in value:
                show(f"{indent}{name}: {', '.join(f'{key} {printable(str(text))}' for key, text in each.items())}")
        elif value not in (None, "", [], {}):
            show(f"{indent}{name}: {printable(str(value))}")
