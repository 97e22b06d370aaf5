"""`bulkio load`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bulkio.choices import MODE_ADVICE
from bulkio.cli.formats import format_options, named_file
from bulkio.cli.interrupts import carry_out
from bulkio.cli.options import Shared, by_column, policy_options, shared_options, use_dsn
from bulkio.cli.progress import progress_bar
from bulkio.show import printable

if TYPE_CHECKING:
    from bulkio.choices import LoadMethod
    from bulkio.plan import Mode

__all__ = ["load"]


class ModeChoice(click.Choice[str]):
    """A mode; of a word that other tools have for one, it says which of bulkio's comes near."""

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the mode; refuse other words."""
        if advice := MODE_ADVICE.get(value.lower()):
            self.fail(f"there is no mode {value}: {advice}", param, ctx)
        return super().convert(value, param, ctx)


METHODS = ("binary", "csv", "records")
MODES = ("append", "create", "truncate")


@click.command()
@click.argument("names", metavar="SOURCE... TABLE", nargs=-1, required=True)
@click.option(
    "--mode",
    type=ModeChoice(MODES),
    default="append",
    show_default=True,
    help="append: add rows, and create a missing table; create: the table must not exist; truncate: replace its rows.",
)
@click.option(
    "--types",
    multiple=True,
    metavar="COLUMN=TYPE",
    callback=lambda _ctx, _option, texts: by_column(texts, "COLUMN=TYPE", str),
    help="The type of a new table's column, as DDL spells it: doc=jsonb, 'price=numeric(10,2)'. May be repeated.",
)
@format_options(load=True)
@policy_options(load=True)
@shared_options(methods=METHODS, batch_rows=16384)
def load(
    names: tuple[str, ...],
    method: LoadMethod,
    mode: Mode,
    types: dict[str, str],
    fmt: str | None,
    csv: dict[str, object],
    shared: Shared,
    policies: dict[str, Any],
) -> None:
    """Load files into a table.

    All rows are loaded in one transaction, or none. Columns go by their names; a value that does not fit its column
    unchanged is an error that names its row and column.

    SOURCE is a Parquet, Arrow IPC or CSV file, a folder, a pattern like 'trips/*.parquet', or - for stdin. TABLE is
    `table` or `schema.table`; capitals and odd characters need double quotes, as in SQL.

    Without --dsn the database is taken from BULKIO_DSN, DATABASE_URL or libpq's PG* variables; on a terminal where none
    of them is set, it is the embedded server.

    \b
    Examples:
      bulkio load orders.parquet orders
      bulkio load export.csv sales --delimiter ';' --decimal-comma --date-format DD.MM.YYYY
      bulkio load trips/*.parquet public.trips --mode truncate --dsn service=warehouse
      bulkio load orders.parquet orders --columns o_orderkey,o_comment --dry-run
    """  # noqa: D301 (\b is click's)
    sources, table = _sources_and_table(names)
    dsn = use_dsn(shared.dsn, quiet=shared.quiet)
    source = named_file(sources, fmt, csv)
    from bulkio import sync
    from bulkio.cli import report

    if shared.dry_run:
        plan = carry_out(
            lambda: sync.plan_load(
                source,
                table,
                dsn,
                driver=shared.driver,
                method=method,
                mode=mode,
                columns=shared.columns,
                types=types,
                batch_rows=shared.batch_rows,
                lock_timeout=shared.lock_timeout,
                **policies,
            ),
            "nothing was changed",
        )
        report.show_load_plan(plan, as_json=shared.as_json)
        return
    with progress_bar(f"load {table}", shown=shared.progress_shown) as progress:
        done = carry_out(
            lambda: sync.load(
                source,
                table,
                dsn,
                driver=shared.driver,
                method=method,
                mode=mode,
                columns=shared.columns,
                types=types,
                batch_rows=shared.batch_rows,
                lock_timeout=shared.lock_timeout,
                **policies,
                progress=progress,
            ),
            f"the load was rolled back, table {printable(table)} is unchanged",
        )
    report.show_load(done, as_json=shared.as_json, quiet=shared.quiet)


def _sources_and_table(names: tuple[str, ...]) -> tuple[tuple[str, ...], str]:
    """Tell the sources from the table, which comes last. Refuse `bulkio load a.parquet b.parquet`, which forgets it."""
    *sources, table = names
    if not sources:
        missing = "TABLE" if Path(table).exists() or "/" in table or "*" in table else "SOURCE or TABLE"
        raise click.UsageError(f"{missing} is missing: give the files, then the table, as in bulkio load a.parquet a")
    if "." in table and Path(table).is_file():
        raise click.UsageError(
            f"the last argument names the table, and {table!r} is a file"
            " (a table of this name can be given in double quotes)"
        )
    return tuple(sources), table
