"""The options that say what format a file has, and how a CSV is written."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, TypeVar, cast

import click

from bulkio.cli.groups import GroupedOption
from bulkio.cli.options import parse_columns
from bulkio.options import fields_of
from bulkio.options.csv import EXPORT_ONLY, LOAD_ONLY, CsvFields
from bulkio.show import show_flag

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bulkio.options import OptionField

__all__ = ["FILES", "FORMATS", "format_options"]

#: type of arguments that may be files: shells complete them; what is wrong with one is not click's to say
FILES = click.Path(allow_dash=True, readable=False)
FORMATS = ("parquet", "arrow", "arrows", "csv")

Command = TypeVar("Command", bound="Callable[..., object]")

_option = functools.partial(click.option, cls=GroupedOption, group="Format and CSV")

_FIELDS = {each.name: each for each in fields_of(CsvFields)}
#: flag of an option that is on where it is not given
_NO_HEADER = _option("--no-header", "header", flag_value=False, default=None, help="CSV: there is no header line.")


def _flag(field: OptionField) -> Callable[[Command], Command]:
    """Make a flag that is None where it is not given."""
    name, text = show_flag(field.name), f"CSV: {field.option.help[0].lower()}{field.option.help[1:]}"
    if field.name == "header":
        return _NO_HEADER
    if field.shape is bool:
        return _option(name, field.name, is_flag=True, default=None, help=text)
    if field.shape is int:
        return _option(name, field.name, type=click.IntRange(field.option.least), metavar="N", help=text)
    metavar = field.option.metavar
    if field.shape is tuple:
        several = functools.partial(_option, multiple=True, callback=lambda _ctx, _option, texts: parse_columns(texts))
        return several(name, field.name, metavar=metavar, help=text)
    default = field.option.default or field.default or "nothing"
    return _option(name, field.name, metavar=metavar, help=f"{text}  [default: {default}]")


def _read_names(_ctx: click.Context, _option: click.Parameter, texts: Sequence[str]) -> tuple[str, ...] | None:
    return parse_columns(texts)


def format_options(*, load: bool) -> Callable[[Command], Command]:
    """Add --format and the options of CSV; the command gets `fmt`, and those that were given as `csv`."""
    names = [name for name in _FIELDS if name not in (EXPORT_ONLY if load else LOAD_ONLY)]

    def add(command: Command) -> Command:
        @functools.wraps(command)
        def call(**given: object) -> object:
            values = {name: given.pop(name) for name in names}
            if values["delimiter"] == r"\t":  # no shell makes a tab of it
                values["delimiter"] = "\t"
            return command(csv={name: value for name, value in values.items() if value is not None}, **given)

        wrapped: Callable[..., object] = call
        for name in reversed(names):
            wrapped = _flag(_FIELDS[name])(wrapped)
        what = "stdin" if load else "stdout"
        help_text = f"The format, if the name does not tell it, as for - ({what}). CSV is never guessed."
        return cast("Command", _option("--format", "fmt", type=click.Choice(FORMATS), help=help_text)(wrapped))

    return add
