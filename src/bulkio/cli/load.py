"""`bulkio load`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from bulkio.cli.exits import Exit
from bulkio.cli.formats import FILES, format_options
from bulkio.cli.groups import GroupedCommand, GroupedOption
from bulkio.cli.interrupts import carry_out
from bulkio.cli.options import Output, parse_param, request_options, use_dsn
from bulkio.cli.output import say
from bulkio.cli.progress import progress_of
from bulkio.options import LoadRequest
from bulkio.quote import quote_ident
from bulkio.show import printable, show_typed

__all__ = ["load"]


@click.command(cls=GroupedCommand)
@click.argument("names", metavar="SOURCE... TABLE", nargs=-1, required=True, type=FILES)
@click.option(
    "--param",
    "params",
    cls=GroupedOption,
    group="Table and mode",
    multiple=True,
    metavar="VALUE",
    help=r"A value for $1, then $2, ... of --where; \N is NULL (and \\N the text \N).",
)
@format_options(load=True)
@request_options(LoadRequest)
def load(
    names: tuple[str, ...],
    params: tuple[str, ...],
    fmt: str | None,
    csv: dict[str, object],
    options: dict[str, Any],
    output: Output,
) -> Exit:
    """Load files into a table.

    \b
    Examples:
      bulkio load orders.parquet orders
      bulkio load sales.csv sales --infer --delimiter ';' --decimal-comma
      cat sales.csv | bulkio load - sales --format csv
      bulkio load trips/*.parquet public.trips --mode truncate
      bulkio load customers.csv customers --mode upsert --key id
      bulkio load orders.parquet orders --columns o_orderkey,o_comment --dry-run

    All rows are loaded, or none, unless --commit chunk is given. Columns are matched by name; a value that does not fit
    its column unchanged is an error that names its row and column.

    SOURCE is a Parquet, Arrow IPC or CSV file, a folder, a pattern like 'trips/*.parquet', or - for stdin. TABLE is
    `table` or `schema.table`; capitals and odd characters need double quotes, as in SQL.

    Without --dsn the database is taken from BULKIO_DSN, DATABASE_URL or libpq's PG* variables; on a terminal with none
    of them set, it is the embedded server.
    """  # noqa: D301 (\b is click's)
    sources, table = _sources_and_table(names)
    options["params"] = [parse_param(param) for param in params]
    options["dsn"] = use_dsn(options["dsn"], quiet=output.quiet)
    from bulkio.files import named_file

    source = named_file(sources, fmt, csv)
    if sources == ("-",) and fmt is not None and sys.stdin is not None and sys.stdin.isatty():
        say(f"reading {fmt} from the terminal: Ctrl-D ends it")
    from bulkio import sync
    from bulkio.cli import report

    if output.dry_run:
        plan = carry_out(lambda: sync.plan_load(source, table, **options), "nothing was changed")
        report.show_load_plan(plan, as_json=output.as_json)
        return Exit.DONE
    with progress_of(f"load {table}", output.progress) as progress:
        undone = f"the load was rolled back, table {printable(table)} is unchanged"
        if options["workers"] != "1":
            undone = f"table {printable(table)} is unchanged"
        if options["commit"] == "chunk":
            undone = "chunks that are stored stay (`bulkio loads list` shows them)"
        done = carry_out(lambda: sync.load(source, table, progress=progress, **options), undone)
    return report.show_load(done, as_json=output.as_json, quiet=output.quiet)


def _sources_and_table(names: tuple[str, ...]) -> tuple[tuple[str, ...], str]:
    """Tell the sources from the table, which comes last. Refuse `bulkio load a.parquet b.parquet`, which forgets it."""
    *sources, table = names
    if not sources:
        missing = "TABLE" if Path(table).exists() or "/" in table or "*" in table else "SOURCE or TABLE"
        raise click.UsageError(f"{missing} is missing: give the files, then the table, as in bulkio load a.parquet a")
    if "." in table and Path(table).is_file():
        raise click.UsageError(
            f"the last argument names the table, and {table!r} is a file"
            f" (a table of this name is {show_typed(quote_ident(table))})"
        )
    return tuple(sources), table
