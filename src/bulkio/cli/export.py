"""`bulkio export`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import click

from bulkio.cli.formats import format_options, named_file
from bulkio.cli.interrupts import carry_out
from bulkio.cli.options import Shared, parse_param, policy_options, shared_options, use_dsn
from bulkio.cli.progress import progress_bar
from bulkio.show import printable

if TYPE_CHECKING:
    from bulkio.choices import ExportMethod
    from bulkio.files import CsvFile

__all__ = ["export"]

METHODS = ("binary", "cursor")


@click.command()
@click.argument("names", metavar="[TABLE] DEST", nargs=-1, required=True)
@click.option("--query", metavar="SQL", help="Export the rows of this SELECT instead of a table.")
@click.option(
    "--param",
    "params",
    multiple=True,
    metavar="VALUE",
    help=r"A value for the query's $1, then $2, ...; \N is NULL (and \\N the text \N).",
)
@format_options(load=False)
@policy_options(load=False)
@shared_options(methods=METHODS, batch_rows=16384)
def export(
    names: tuple[str, ...],
    query: str | None,
    params: tuple[str, ...],
    method: ExportMethod,
    fmt: str | None,
    csv: dict[str, object],
    shared: Shared,
    policies: dict[str, Any],
) -> None:
    """Export a table or a query into a file.

    All rows come from one snapshot. The file appears under its name when it is complete and on disk; until then, a file
    that was there before stays as it is.

    TABLE is `table` or `schema.table`, a view too. DEST's ending tells the format: .parquet or .pq; .arrow, .feather or
    .ipc (Arrow IPC file); .arrows (Arrow IPC stream); .csv, .csv.gz or .csv.zst. - is stdout, with --format.

    Without --dsn the database is taken from BULKIO_DSN, DATABASE_URL or libpq's PG* variables; on a terminal where none
    of them is set, it is the embedded server.

    \b
    Examples:
      bulkio export orders orders.parquet
      bulkio export --query 'select * from orders where o_custkey = $1' --param 370 one.parquet
    """  # noqa: D301 (\b is click's)
    table, dest = _table_and_dest(names, query)
    if params and query is None:
        raise click.UsageError("--param goes with --query only")
    target = cast("CsvFile | str", named_file([dest], fmt, csv))
    dsn = use_dsn(shared.dsn, quiet=shared.quiet)
    values = [parse_param(param) for param in params]
    from bulkio import sync
    from bulkio.cli import report

    if shared.dry_run:
        from bulkio.files import dest_format

        dest_format(target)
        plan = carry_out(
            lambda: sync.plan_export(
                table,
                dsn,
                params=values,
                driver=shared.driver,
                method=method,
                columns=shared.columns,
                lock_timeout=shared.lock_timeout,
                **policies,
            ),
            "nothing was changed",
        )
        report.show_export_plan(plan, dest, as_json=shared.as_json)
        return
    title = "export" if query is not None else f"export {table}"
    with progress_bar(title, shown=shared.progress_shown) as progress:
        done = carry_out(
            lambda: sync.export(
                table,
                target,
                dsn,
                params=values,
                driver=shared.driver,
                method=method,
                columns=shared.columns,
                batch_rows=shared.batch_rows,
                lock_timeout=shared.lock_timeout,
                progress=progress,
                **policies,
            ),
            f"the export was cancelled, {printable(dest)} was not written",
        )
    report.show_export(done, dest, as_json=shared.as_json, quiet=shared.quiet)


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
