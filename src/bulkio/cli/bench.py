"""`bulkio bench load` and `bulkio bench export`: parse, call `bulkio.bench`, print."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, cast

import click

from bulkio.choices import number_of_workers
from bulkio.cli.formats import FILES
from bulkio.cli.options import debug_option
from bulkio.cli.output import say
from bulkio.errors import ConfigError
from bulkio.show import printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from bulkio.bench import Result
    from bulkio.bench.export import ExportLine
    from bulkio.choices import DriverName, LoadMethod

__all__ = ["bench"]

_DRIVERS = ("asyncpg", "psycopg")
_LOAD_METHODS = ("binary", "csv", "records")
_EXPORT_METHODS = ("binary", "cursor", "parquet", "csv")
#: lines of an export by default: without csv, which needs psql
_EXPORT_DEFAULT = ("binary", "cursor", "parquet")


def _split(words: tuple[str, ...]) -> Callable[[click.Context, click.Parameter, str], tuple[str, ...]]:
    """Return the callback of an option that takes some of a few words, with commas between."""

    def split(_ctx: click.Context, _param: click.Parameter, value: str) -> tuple[str, ...]:
        chosen = tuple(dict.fromkeys(word.strip() for word in value.split(",")))
        for word in chosen:
            if word not in words:
                raise click.BadParameter(f"{word!r} is none of {', '.join(words)}")
        return chosen

    return split


def _numbers(_ctx: click.Context, _param: click.Parameter, value: str) -> tuple[int, ...]:
    """Read numbers of workers with commas between."""
    found = set()
    for word in value.split(","):
        try:
            number = number_of_workers("workers", word.strip())
        except ConfigError as error:
            raise click.BadParameter(str(error)) from error
        if number is None:
            raise click.BadParameter("auto is no number: name those to compare, such as 1,2")
        found.add(number)
    return tuple(sorted(found))


def _shared_options(
    methods: tuple[str, ...], default: tuple[str, ...]
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return the options that both commands have."""
    options = (
        click.option("--dsn", metavar="DSN", help="Which server; as for `bulkio load`."),
        click.option(
            "--pairs", type=click.IntRange(1), default=5, show_default=True, help="Pairs of runs for each line."
        ),
        click.option(
            "--methods", default=",".join(default), show_default=True, callback=_split(methods), help="What to compare."
        ),
        click.option(
            "--drivers", default=",".join(_DRIVERS), show_default=True, callback=_split(_DRIVERS), help="Through which."
        ),
        click.option("--json", "as_json", is_flag=True, help="Print one JSON object, with the raw runs."),
        click.option("--quiet", is_flag=True, help="Do not report progress."),
        debug_option,
    )

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


@click.group()
def bench() -> None:
    """Compare every driver and method with what the server itself can do.

    It creates a schema of its own in the database, which it drops at the end, and runs CHECKPOINT between the runs if
    the role may: do not use it on a server that others work on.

    Each run has its own process and is paired with a run of its limit; what it moved is compared before the next one
    starts. Ratios are medians over the pairs; with fewer than 15 pairs they are not for publication.
    """


@bench.command("load")
@click.argument("source", type=FILES)
@click.option("--rows", type=click.IntRange(1), help="Load only the first rows of SOURCE (one Parquet file).")
@click.option(
    "--workers",
    metavar="N,...",
    default="1",
    show_default=True,
    callback=_numbers,
    help="Numbers of connections that load at the same time.",
)
@_shared_options(_LOAD_METHODS, _LOAD_METHODS)
def load(
    *,
    source: str,
    rows: int | None,
    workers: tuple[int, ...],
    dsn: str | None,
    pairs: int,
    methods: tuple[str, ...],
    drivers: tuple[str, ...],
    as_json: bool,
    quiet: bool,
) -> None:
    """Load SOURCE by each driver and method, next to the same bytes encoded beforehand and replayed.

    A CSV stands next to psql's own copy of the same file; its columns have the types that --infer finds. With --workers
    1,2 each loads over one connection and over two, next to a replay (or psqls) over as many.
    """
    from bulkio.bench import LoadBench, bench_load

    what = LoadBench(
        source, cast("tuple[DriverName, ...]", drivers), cast("tuple[LoadMethod, ...]", methods), pairs, rows, workers
    )
    _show(bench_load(what, dsn, _noter(quiet=quiet)), as_json=as_json)


@bench.command("export")
@click.argument("table")
@_shared_options(_EXPORT_METHODS, _EXPORT_DEFAULT)
def export(
    *,
    table: str,
    dsn: str | None,
    pairs: int,
    methods: tuple[str, ...],
    drivers: tuple[str, ...],
    as_json: bool,
    quiet: bool,
) -> None:
    """Export TABLE by each driver and method, next to a raw drain of the same COPY and to the server alone."""
    from bulkio.bench import ExportBench, bench_export

    what = ExportBench(table, cast("tuple[DriverName, ...]", drivers), cast("tuple[ExportLine, ...]", methods), pairs)
    _show(bench_export(what, dsn, _noter(quiet=quiet)), as_json=as_json)


def _noter(*, quiet: bool) -> Callable[[str], None]:
    return (lambda _: None) if quiet else (lambda text: say(f"bench: {printable(text)}"))


def _show(result: Result, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(result.to_dict()))
        return
    from rich.console import Console

    from bulkio.bench.table import caption, make_table

    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else 120)
    console.print(make_table(result))
    console.print(caption(result), markup=False, highlight=False)
