"""`bulkio export`."""

from __future__ import annotations

import sys
from typing import Any

import click

from bulkio.cli.formats import FILES, format_options
from bulkio.cli.groups import GroupedCommand, GroupedOption
from bulkio.cli.interrupts import carry_out
from bulkio.cli.options import Output, parse_param, request_options, use_dsn
from bulkio.cli.progress import progress_of
from bulkio.options import ExportRequest
from bulkio.show import printable

__all__ = ["export"]


@click.command(cls=GroupedCommand)
@click.argument("names", metavar="[TABLE] DEST", nargs=-1, required=True, type=FILES)
@click.option(
    "--query",
    cls=GroupedOption,
    group="Source",
    metavar="SQL",
    help="Export the rows of this SELECT instead of a table.",
)
@click.option(
    "--param",
    "params",
    cls=GroupedOption,
    group="Source",
    multiple=True,
    metavar="VALUE",
    help=r"A value for the query's $1, then $2, ...; \N is NULL (and \\N the text \N).",
)
@format_options(load=False)
@request_options(ExportRequest)
def export(
    names: tuple[str, ...],
    query: str | None,
    params: tuple[str, ...],
    fmt: str | None,
    csv: dict[str, object],
    options: dict[str, Any],
    output: Output,
) -> None:
    """Export a table or a query into a file.

    \b
    Examples:
      bulkio export orders orders.parquet
      bulkio export orders - --format csv | head
      bulkio export --query 'select * from orders where id = $1' --param 7 a.csv

    All rows come from one snapshot. The file appears under its name once it is complete and on disk; until then, an
    existing file of that name stays as it is.

    TABLE is `table` or `schema.table`, a view too. DEST's ending tells the format: .parquet or .pq; .arrow, .feather or
    .ipc (Arrow IPC file); .arrows (Arrow IPC stream); .csv. The last two may end in .gz or .zst, too. - is stdout,
    with --format.

    Without --dsn the database is taken from BULKIO_DSN, DATABASE_URL or libpq's PG* variables; on a terminal with none
    of them set, it is the embedded server.
    """  # noqa: D301 (\b is click's)
    table, dest = _table_and_dest(names, query)
    if params and query is None:
        raise click.UsageError("--param goes with --query only")
    _spare_terminal(dest, fmt)
    from bulkio.files import named_file

    target: Any = named_file([dest], fmt, csv)
    options["dsn"] = use_dsn(options["dsn"], quiet=output.quiet)
    options["params"] = [parse_param(param) for param in params]
    from bulkio import sync
    from bulkio.cli import report

    if output.dry_run:
        plan = carry_out(lambda: sync.plan_export(table, target, **options), "nothing was changed")
        report.show_export_plan(plan, as_json=output.as_json)
        return
    title = "export" if query is not None else f"export {table}"
    with progress_of(title, output.progress) as progress:
        done = carry_out(
            lambda: sync.export(table, target, progress=progress, **options),
            f"the export was cancelled, {printable(dest)} was not written",
        )
    report.show_export(done, dest, as_json=output.as_json, quiet=output.quiet)


def _spare_terminal(dest: str, fmt: str | None) -> None:
    """Refuse to write to a terminal what is not text, as gzip and curl do."""
    if dest == "-" and fmt not in (None, "csv") and sys.stdout is not None and sys.stdout.isatty():
        mend = "name a file, or send it on (| or >); --format csv is text"
        raise click.UsageError(f"{fmt} is binary, and is not written to a terminal: {mend}")


def _table_and_dest(names: tuple[str, ...], query: str | None) -> tuple[str, str]:
    """Tell what to read and where to write it."""
    if query is not None:
        if len(names) != 1:
            raise click.UsageError("with --query, give DEST alone")
        return query, names[0]
    if len(names) != 2:
        raise click.UsageError("give TABLE and DEST (or --query SQL and DEST)")
    from bulkio.catalog import bad_name, is_table_name
    from bulkio.sql import begins_query

    if not is_table_name(names[0]):
        if begins_query(names[0]):
            raise click.UsageError("TABLE is a query: give it with --query, and DEST")
        raise bad_name(names[0])
    return names[0], names[1]
