"""Plans and reports as the program prints them: a line for people, or a JSON object."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from bulkio.cli.exits import Exit
from bulkio.cli.output import count_bytes, say, show, show_json
from bulkio.show import printable, show_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bulkio import ExportPlan, ExportReport, LoadPlan, LoadReport
    from bulkio.pgcopy import Field

__all__ = ["rejects_line", "show_export", "show_export_plan", "show_load", "show_load_plan"]


def show_load(report: LoadReport, *, as_json: bool, quiet: bool) -> Exit:
    """Tell what a load did; return its exit code."""
    for note in report.notes:
        say(f"Warning: {printable(note)}")
    _tell_lifted(report, quiet=quiet or as_json)
    if not (quiet or as_json):
        _tell_sharing(report)
    if as_json:
        _written(lambda: show_json({**report.as_dict(), **_numbers(report)}))
    elif report.already and not quiet:
        what = f"load {report.load_id} was done before: {report.rows:,} rows into {_table(report)}; nothing was done"
        _written(lambda: show(what))
    elif not quiet:
        more_said = _changes(report) + _before(report)
        what = f"loaded {show_rows(report.rows)} into {_table(report)} {_speed(report)}{more_said}"
        _written(lambda: show(what))
    if report.rejected and not quiet:
        say(rejects_line(report.rejected, report.rejects))
    return Exit.REJECTS if report.rejected else Exit.DONE


def rejects_line(rejected: int, path: str | None) -> str:
    """Say how many records were rejected, and where they are; but for those of whom a note says that."""
    is_one = rejected == 1
    what = "Warning: 1 record was rejected" if is_one else f"Warning: {rejected:,} records were rejected"
    if path is None:
        return what
    where = f"in {printable(path)}, with the reason in {printable(f'{path}.errors.jsonl')}"
    return f"{what}: {'it is' if is_one else 'they are'} {where}"


def _tell_sharing(report: LoadReport) -> None:
    if report.already:
        return
    if report.why_one:
        say(f"Note: on one connection: {printable(report.why_one)}")
    if report.visibility:
        say(f"Note: {report.visibility}")
    if (report.load_id or "").startswith("unnamed/"):
        say(f"Note: without --load-id, the load's id in the ledger is {report.load_id}")


def _changes(report: LoadReport) -> str:
    """Say what became of the rows, where it is more than that all are new."""
    if report.inserted == report.rows and not report.deleted:
        return ""
    counts = {name: getattr(report, name) for name in ("inserted", "updated", "skipped", "deleted")}
    return ": " + ", ".join(f"{count:,} {name}" for name, count in counts.items() if count or name == "inserted")


def _before(report: LoadReport) -> str:
    """Say what the table was before: who loads a file twice by mistake sees it here."""
    if report.created:
        return "; the table was created"
    if not report.rows_before:
        return ""
    about, marked = ("about ", " (estimated)") if report.rows_before_estimated else ("", "")
    return f"; the table already had {about}{show_rows(report.rows_before)}{marked}"


def show_export(report: ExportReport, path: str, *, as_json: bool, quiet: bool) -> None:
    """Tell what an export did."""
    _tell_lifted(report, quiet=quiet or as_json)
    if path == "-":  # stdout has the data
        if as_json or not quiet:
            say(json.dumps({**_numbers(report), "path": path}) if as_json else _exported(report, "stdout"))
    elif as_json:
        _written(lambda: show_json({**_numbers(report), "path": path}))
    elif not quiet:
        _written(lambda: show(_exported(report, path)))


def _exported(report: ExportReport, path: str) -> str:
    what = f"{show_rows(report.rows)} from {_table(report)} to {printable(path)}"
    return f"exported {what} {_speed(report)}; {count_bytes(report.bytes)}"


def _tell_lifted(report: LoadReport | ExportReport, *, quiet: bool) -> None:
    if report.lifted and not quiet:
        limits = printable(" and ".join(report.lifted))
        say(f"Note: {limits} was lifted; a limit in the connection string (options=-c ...) would count")


def _written(print_it: Callable[[], None]) -> None:
    """Print the report of finished work: where that fails, the work is still done, and so says the exit code."""
    try:
        print_it()
    except OSError as error:
        say(f"Warning: the work is done, but its report could not be written to stdout: {error}")


def _table(report: LoadReport | ExportReport) -> str:
    return "a query" if report.table == "query" else printable(report.table)


def _speed(report: LoadReport | ExportReport) -> str:
    pace = f"{report.rows_per_s:,.0f} rows/s, {report.driver} {report.method}"
    workers = getattr(report, "workers", 1)
    by = f", {workers} workers" if workers > 1 else ""
    return f"in {report.seconds:.2f} s ({pace}{by})"


def _numbers(report: LoadReport | ExportReport) -> dict[str, object]:
    return {
        "rows": report.rows,
        "bytes": report.bytes,
        "seconds": round(report.seconds, 6),
        "rows_per_s": round(report.rows_per_s, 1),
        "driver": report.driver,
        "method": report.method,
        "table": report.table,
        "lifted": list(report.lifted),
    }


def show_load_plan(plan: LoadPlan, *, as_json: bool) -> None:
    """Print what a load would do."""
    if not as_json:
        show(plan.describe())
        return
    show_json(
        {
            "source": plan.source,
            "source_rows": plan.source_rows,
            "table": f"{plan.schema}.{plan.table}",
            "mode": plan.request.mode,
            "creates": plan.creates,
            "ddl": [*plan.types_ddl, *plan.ddl],
            "statements": [*plan.statements, *(plan.work.merge.statements if plan.work.merge else ())],
            "rejects": plan.request.rejects,
            "max_rejects": plan.request.max_rejects,
            "workers": plan.sharing.workers,
            "why_one": plan.sharing.why_one,
            "visibility": plan.sharing.visibility,
            "notes": list(plan.notes),
            "slow": list(plan.slow),
            **_how(plan, plan.columns),
            "batch_rows": plan.request.batch_rows,
        }
    )


def show_export_plan(plan: ExportPlan, *, as_json: bool) -> None:
    """Print what an export would do."""
    if not as_json:
        show(plan.describe())
        return
    dest = {} if plan.dest is None else {"path": plan.dest.path, "format": plan.dest.format_name}
    show_json({"table": plan.name, "query": plan.query, **dest, **_how(plan, plan.fields)})


def _how(plan: LoadPlan | ExportPlan, fields: Sequence[Field]) -> dict[str, object]:
    columns = [
        {"name": f.name, "arrow": str(f.cast.arrow), "postgresql": f.cast.pg.sql, "nullable": f.nullable}
        for f in fields
    ]
    return {"driver": plan.driver, "method": plan.method, "columns": columns}
