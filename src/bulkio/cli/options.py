"""The options that commands share. Their names are those of the API's arguments."""

from __future__ import annotations

import csv
import functools
import os
import re
import sys
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, TypeVar, cast

import click

from bulkio.cli.output import say
from bulkio.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bulkio.choices import DriverChoice

__all__ = [
    "Shared",
    "by_column",
    "debug_option",
    "output_options",
    "parse_columns",
    "parse_param",
    "policy_options",
    "shared_options",
    "use_dsn",
]

DRIVERS = ("auto", "asyncpg", "psycopg")

T = TypeVar("T")
Command = TypeVar("Command", bound="Callable[..., object]")


@dataclass(frozen=True, slots=True)
class Shared:
    """The values of the options that `load` and `export` share."""

    dsn: str | None = field(repr=False)
    driver: DriverChoice
    columns: tuple[str, ...] | None
    batch_rows: int
    lock_timeout: str | None
    dry_run: bool
    as_json: bool
    quiet: bool

    @property
    def progress_shown(self) -> bool:
        """Tell whether a progress bar is wanted (where there is a terminal)."""
        return not (self.quiet or self.as_json)


def debug_option(command: Command) -> Command:
    """Add --debug, which every command has: `main` looks for it, and recommends it."""
    return click.option("--debug", is_flag=True, expose_value=False, help="Show the full traceback of an error.")(
        command
    )


def output_options(command: Command) -> Command:
    """Add --json and --debug."""
    json_help = 'Print exactly one JSON object on stdout; where it fails, {"error": {...}}.'
    return click.option("--json", "as_json", is_flag=True, help=json_help)(debug_option(command))


def shared_options(
    *, methods: Sequence[str], batch_rows: int
) -> Callable[[Callable[..., object]], Callable[..., object]]:
    """Add what load and export have in common; the command gets `method`, and the others as `shared`."""

    def add(command: Callable[..., object]) -> Callable[..., object]:
        command = output_options(_gather(command))
        for option in reversed(_options(methods, batch_rows)):
            command = option(command)
        return command

    return add


def policy_options(*, load: bool) -> Callable[[Command], Command]:
    """Add the policies for values that have no exact counterpart; the command gets them as its `policies`."""
    infinity = ("error", "sentinel") if load else ("error", "null", "sentinel")
    shared = [
        click.option(
            "--infinity",
            type=click.Choice(infinity),
            default="error",
            show_default=True,
            help="Infinite dates and timestamps, and 24:00:00; the sentinel is Arrow's extreme value.",
        ),
        click.option(
            "--dimensions",
            multiple=True,
            metavar="COLUMN=N",
            callback=lambda _ctx, _option, texts: by_column(texts, "COLUMN=N", int),
            help="Dimensions of an array column, where they are more than one. May be repeated.",
        ),
    ]
    loads = [
        click.option(
            "--nul",
            type=click.Choice(("error", "strip", "replace")),
            default="error",
            show_default=True,
            help="NUL characters in text: take them out, or put U+FFFD in their place.",
        ),
        click.option(
            "--allow-lossy",
            is_flag=True,
            help="Allow float64 into float4, floats into numeric, ns into us, and numeric to be rounded.",
        ),
    ]
    exports = [
        click.option(
            "--nan",
            type=click.Choice(("error", "null")),
            default="error",
            show_default=True,
            help="NaN and infinity of numeric(p,s), which a decimal cannot hold.",
        ),
        click.option(
            "--bounds",
            type=click.Choice(("error", "drop")),
            default="error",
            show_default=True,
            help="Arrays whose lower bound is not 1: drop the bound.",
        ),
        click.option(
            "--numeric",
            metavar="FORM",
            default="string",
            show_default=True,
            help="What numeric without precision becomes: string, decimal(p,s), or float64, which rounds.",
        ),
    ]
    own = ("nul", "allow_lossy") if load else ("nan", "bounds", "numeric")
    names = ("infinity", "dimensions", *own)

    def add(command: Command) -> Command:
        @functools.wraps(command)
        def call(**given: object) -> object:
            policies = {name: given.pop(name) for name in names}
            return command(policies=policies, **given)

        wrapped: Callable[..., object] = call
        for option in reversed(shared + (loads if load else exports)):
            wrapped = option(wrapped)
        return cast("Command", wrapped)

    return add


def by_column(texts: Sequence[str], shape: str, read: Callable[[str], T]) -> dict[str, T]:
    """Read what an option says of columns, such as ``doc=jsonb``; a column's name may hold ``=``, a value not.

    >>> by_column(["a=b=2"], "COLUMN=N", int)
    {'a=b': 2}
    """
    found = {}
    for text in texts:
        column, _, value = text.rpartition("=")
        try:
            found[column] = read(value)
        except ValueError:
            column = ""
        if not column or not value.strip():
            raise click.BadParameter(f"{text!r} is not {shape}")
    return found


def _options(methods: Sequence[str], batch_rows: int) -> list[Callable[[Callable[..., object]], Callable[..., object]]]:
    return [
        click.option("--dsn", metavar="DSN", help="The database: a libpq URI or key=value string, or `embedded`."),
        click.option(
            "--driver", type=click.Choice(DRIVERS), default="auto", show_default=True, help="What carries the bytes."
        ),
        click.option(
            "--method",
            type=click.Choice(methods),
            default=methods[0],
            show_default=True,
            help="How rows travel. All give the same rows; binary is by far the fastest.",
        ),
        click.option(
            "--columns",
            multiple=True,
            metavar="NAME,...",
            callback=lambda _ctx, _option, texts: parse_columns(texts),
            help="Only these columns, in this order: a,b or '\"odd, name\"'. May be repeated.",
        ),
        click.option(
            "--batch-rows",
            type=click.IntRange(min=1),
            default=batch_rows,
            show_default=True,
            help="Rows handled at once; bounds the memory.",
        ),
        click.option(
            "--lock-timeout",
            metavar="TIME",
            help="How long to wait for each lock, such as 10s or 5min; 0 is for ever.  [default: the DSN's or role's]",
        ),
        click.option("--dry-run", is_flag=True, help="Print the plan and change nothing."),
        click.option("--quiet", "-q", is_flag=True, help="Print nothing but warnings, errors, and what --json prints."),
    ]


def _gather(command: Callable[..., object]) -> Callable[..., object]:
    """Hand the shared options over as one value."""
    names = [field.name for field in fields(Shared)]

    @functools.wraps(command)
    def call(**given: object) -> object:
        shared = Shared(**{name: given.pop(name) for name in names})  # type: ignore[arg-type]
        return command(shared=shared, **given)

    return call


def parse_columns(texts: Sequence[str]) -> tuple[str, ...] | None:
    """Read comma lists of names, as CSV has them: double quotes around odd ones, doubled inside. None for none.

    >>> parse_columns(['a,"b, c"', "d"])
    ('a', 'b, c', 'd')
    """
    names: list[str] = []
    for text in texts:
        try:
            rows = list(csv.reader([text], strict=True, skipinitialspace=True))
        except csv.Error as error:
            raise click.BadParameter(f"{text!r} is no list of names: {error}", param_hint="--columns") from None
        found = rows[0] if rows else []
        if not found or "" in found:
            raise click.BadParameter(f"{text!r} has an empty name", param_hint="--columns")
        names += found
    return tuple(names) or None


_NULL = re.compile(r"\\+N")


def parse_param(text: str) -> str | None:
    r"""Read a query's parameter: ``\N`` is NULL, as in COPY's text format, and ``\\N`` the text ``\N``."""
    if _NULL.fullmatch(text):
        return None if text == r"\N" else text[1:]
    return text


def use_dsn(dsn: str | None, *, quiet: bool) -> str | None:
    """Give the DSN to call the API with; warn of a password in it, and say so where the embedded server is meant.

    Raises `ConfigError` where nothing names a database and this is no terminal.
    """
    from bulkio.drivers.choose import default_dsn
    from bulkio.drivers.conninfo import password_in_dsn

    if dsn and password_in_dsn(dsn):
        say(
            "Warning: a password stands in --dsn, other users can see it in the process list:"
            " use .pgpass, PGPASSWORD or BULKIO_DSN"
        )
    try:
        default_dsn(dsn=dsn, environ=os.environ, interactive=False)
    except ConfigError:
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise
        if not quiet:
            say("no DSN configured: using the embedded server (`bulkio server stop` stops it)")
        return "embedded"
    return dsn
