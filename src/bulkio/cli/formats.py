"""The options that say what format a file has, and how a CSV is written."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, TypeVar, cast

import click

from bulkio.cli.options import parse_columns

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["FILES", "FORMATS", "format_options", "named_file"]

#: type of arguments that may be files: shells complete them; what is wrong with one is not click's to say
FILES = click.Path(allow_dash=True, readable=False)
FORMATS = ("parquet", "arrow", "arrows", "csv")

Command = TypeVar("Command", bound="Callable[..., object]")

_SHARED = (
    click.option("--delimiter", metavar="CHAR", help="CSV: the character between fields.  [default: ,]"),
    click.option("--quote", metavar="CHAR", help='CSV: the character around a field.  [default: "]'),
    click.option("--escape", metavar="CHAR", help="CSV: the character before a quote.  [default: the quote]"),
    click.option("--null", metavar="TEXT", help="CSV: the unquoted text that is NULL.  [default: nothing]"),
    click.option("--no-header", "header", flag_value=False, default=None, help="CSV: there is no header line."),
)
_LOADS = (
    click.option(
        "--header-names",
        multiple=True,
        metavar="NAME,...",
        callback=lambda _ctx, _option, texts: parse_columns(texts),
        help="CSV: the columns' names, for a file that has none.",
    ),
    click.option("--skip-lines", type=click.IntRange(0), metavar="N", help="CSV: lines to skip before the header."),
    click.option("--encoding", metavar="NAME", help="CSV: utf-16, latin-1, cp1252, ...  [default: utf-8]"),
    click.option("--decimal-comma", is_flag=True, default=None, help="CSV: numbers are written as 1234,50."),
    click.option("--date-format", metavar="FORMAT", help="CSV: how dates are written, such as DD.MM.YYYY."),
    click.option("--timezone", metavar="ZONE", help="CSV: the zone of times that name none, such as Europe/Berlin."),
    click.option(
        "--infer", is_flag=True, default=None, help="CSV: read it twice; a new table's columns get types, not text."
    ),
)
_EXPORTS = (
    click.option("--bom", is_flag=True, default=None, help="CSV: begin with a byte order mark, for spreadsheets."),
)
_LOAD_NAMES = ("header_names", "skip_lines", "encoding", "decimal_comma", "date_format", "timezone", "infer")


def format_options(*, load: bool) -> Callable[[Command], Command]:
    """Add --format and the options of CSV; the command gets `fmt`, and those that were given as `csv`."""
    names = ("delimiter", "quote", "escape", "null", "header", *(_LOAD_NAMES if load else ("bom",)))

    def add(command: Command) -> Command:
        @functools.wraps(command)
        def call(**given: object) -> object:
            values = {name: given.pop(name) for name in names}
            if values["delimiter"] == r"\t":  # no shell makes a tab of it
                values["delimiter"] = "\t"
            return command(csv={name: value for name, value in values.items() if value is not None}, **given)

        wrapped: Callable[..., object] = call
        for option in reversed(_SHARED + (_LOADS if load else _EXPORTS)):
            wrapped = option(wrapped)
        what = "stdin" if load else "stdout"
        help_text = f"The format, if the name does not tell it, as for - ({what}). CSV is never guessed."
        return cast("Command", click.option("--format", "fmt", type=click.Choice(FORMATS), help=help_text)(wrapped))

    return add


def named_file(paths: Sequence[str], fmt: str | None, csv: dict[str, object]) -> object:
    """Return what the API takes for these files: the paths themselves, or with their format and its options."""
    path = paths[0] if len(paths) == 1 else list(paths)
    if fmt is None and not csv:
        return path
    from bulkio.files import CsvFile, FormattedFile, is_csv_name

    if fmt == "csv" or (fmt is None and all(map(is_csv_name, paths))):
        return CsvFile(path, **csv)  # type: ignore[arg-type]
    if csv:
        names = ", ".join("--no-header" if name == "header" else f"--{name.replace('_', '-')}" for name in csv)
        raise click.UsageError(f"{names} goes with CSV: if it is one, add --format csv")
    return FormattedFile(path, fmt or "")
