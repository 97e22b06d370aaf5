"""The options of commands. Those of a load and an export are made from the request that the API takes."""

from __future__ import annotations

import contextlib
import csv
import functools
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from inspect import Parameter
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast, get_args

import click

from bulkio.cli.groups import GroupedOption
from bulkio.cli.output import say
from bulkio.errors import BulkioError, ConfigError
from bulkio.options import fields_of
from bulkio.show import show_flag

if TYPE_CHECKING:
    from collections.abc import Callable

    from bulkio.cli.progress import ProgressKind
    from bulkio.options import OptionField

__all__ = [
    "Output",
    "by_column",
    "complete_name",
    "debug_option",
    "field_options",
    "output_options",
    "parse_columns",
    "parse_param",
    "progress_beside",
    "progress_option",
    "request_options",
    "use_dsn",
]

T = TypeVar("T")
Command = TypeVar("Command", bound="Callable[..., object]")


@dataclass(frozen=True, slots=True)
class Output:
    """What a command prints, and whether it does more than that."""

    dry_run: bool
    as_json: bool
    quiet: bool
    progress_kind: ProgressKind

    @property
    def progress(self) -> ProgressKind:
        """How progress is shown: no bar beside other output that is for programs."""
        return progress_beside(self.progress_kind, no_bar=self.quiet or self.as_json)


def progress_beside(kind: ProgressKind, *, no_bar: bool) -> ProgressKind:
    """Return how progress is shown where there may be no bar."""
    return "none" if kind == "bar" and no_bar else kind


def progress_option(command: Command) -> Command:
    """Add --progress."""
    return click.option(
        "--progress",
        "progress_kind",
        type=click.Choice(("bar", "json", "none")),
        default="bar",
        show_default=True,
        help="How progress is shown on stderr: a bar, if that is a terminal; a line with a JSON object each second, and"
        " one at the end; or not at all.",
    )(command)


def debug_option(command: Command) -> Command:
    """Add --debug, which every command has: `main` looks for it, and recommends it."""
    return click.option("--debug", is_flag=True, expose_value=False, help="Show the full traceback of an error.")(
        command
    )


def output_options(command: Command) -> Command:
    """Add --json and --debug."""
    json_help = 'Print exactly one JSON object on stdout; if it fails, {"error": {...}}.'
    return click.option("--json", "as_json", is_flag=True, help=json_help)(debug_option(command))


if TYPE_CHECKING:
    _Choice = click.Choice[str]
else:  # click before 8.2 knows choices of strings alone, and takes no type for them
    _Choice = click.Choice


class WordChoice(_Choice):
    """A choice of words; of a word that other tools have for one, it says which of bulkio's comes near."""

    def __init__(self, words: Sequence[str], advice: Mapping[str, str]) -> None:
        super().__init__(words)
        self._advice = advice

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the word; refuse other words."""
        if advice := self._advice.get(value.lower()):
            name = param.name if param is not None else "word"
            self.fail(f"there is no {name} {value}: {advice}", param, ctx)
        return super().convert(value, param, ctx)


def request_options(request: type) -> Callable[[Command], Command]:
    """Add the options of a request, and those of the output.

    The command gets the values as its `options`, which the function of the API takes as they are, and its `output`.
    """

    def add(command: Command) -> Command:
        @functools.wraps(command)
        def call(**values: object) -> object:
            output = Output(*(values.pop(name) for name in Output.__slots__))  # type: ignore[arg-type]  # click's own
            return command(output=output, **values)

        quiet_help = "Print nothing but warnings, errors, and what --json prints."
        wrapped: Callable[..., object] = progress_option(output_options(call))
        wrapped = click.option("--quiet", "-q", is_flag=True, help=quiet_help)(wrapped)
        wrapped = click.option("--dry-run", is_flag=True, help="Print the plan and change nothing.")(wrapped)
        return cast("Command", field_options(request)(wrapped))

    return add


def field_options(request: type) -> Callable[[Command], Command]:
    """Add the options of a request; the command gets their values as its `options`."""
    fields = [each for each in fields_of(request) if each.option.is_flag]

    def add(command: Command) -> Command:
        @functools.wraps(command)
        def call(**values: object) -> object:
            options = {each.name: values.pop(each.name) for each in fields}
            return command(options=options, **values)

        wrapped: Callable[..., object] = call
        for each in reversed(fields):
            wrapped = _flag(each)(wrapped)
        return cast("Command", wrapped)

    return add


def _flag(field: OptionField) -> Callable[[Callable[..., object]], Callable[..., object]]:
    """Make the option of the command line from that of the request: its type tells how it is written."""
    metavar = "N" if field.shape is int else field.option.metavar
    add = functools.partial(click.option, cls=GroupedOption, group=field.option.group)
    flag = functools.partial(add, show_flag(field.name), field.name, metavar=metavar)
    if field.name == "dsn":
        flag = functools.partial(flag, shell_complete=_complete_dsn)
    shown = "" if field.option.default is None else f"  [default: {field.option.default}]"
    text = field.option.help
    if field.shape is bool:
        return add(show_flag(field.name), field.name, is_flag=True, help=text)
    if field.option.is_text and field.shape is Sequence:
        return flag(multiple=True, help=f"{text} May be repeated.")
    if field.shape in (Mapping, Sequence):
        read = functools.partial(_read_several, field)
        shape = "" if field.shape is Mapping else " Such as a,b or '\"odd, name\"'."
        return flag(multiple=True, callback=read, help=f"{text}{shape} May be repeated.{shown}")
    kind: click.ParamType[Any] = click.IntRange(field.option.least) if field.shape is int else click.STRING
    if field.words:
        kind = WordChoice(field.words, field.option.advice or {})
    if field.default is Parameter.empty:
        return flag(type=kind, required=True, help=text)
    return flag(type=kind, default=field.default, show_default=field.default is not None, help=text + shown)


def complete_name(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Complete a connection's name, with its @ or without; an error in a file is told by the command itself."""
    from bulkio.drivers.named import MARK, known_connections

    mark = MARK if incomplete.startswith(MARK) else ""
    with contextlib.suppress(BulkioError):
        names = [mark + connection.name for connection in known_connections(Path())]
        return [name for name in names if name.startswith(incomplete)]
    return []


def _complete_dsn(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    return complete_name(ctx, param, incomplete or "@")


def _read_several(field: OptionField, _ctx: click.Context, _option: click.Parameter, texts: Sequence[str]) -> object:
    if field.shape is Sequence:
        return parse_columns(texts)
    if field.option.is_text:
        return _texts_by_column(texts, field.option.metavar or "COLUMN=TEXT")
    return by_column(texts, field.option.metavar or "COLUMN=VALUE", get_args(field.kind)[1])


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


def _texts_by_column(texts: Sequence[str], shape: str) -> dict[str, str]:
    """Read a column's text, in which ``=`` may stand, unlike in the column's name."""
    found = {}
    for text in texts:
        column, equals, value = text.partition("=")
        if not (column and equals):
            raise click.BadParameter(f"{text!r} is not {shape}")
        found[column] = value
    return found


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
            raise click.BadParameter(f"{text!r} is not a list of names: {error}") from None
        found = rows[0] if rows else []
        if not found or "" in found:
            raise click.BadParameter(f"{text!r} has an empty name")
        names += found
    return tuple(names) or None


_NULL = re.compile(r"\\+N")


def parse_param(text: str) -> str | None:
    r"""Read a query's parameter: ``\N`` is NULL, as in COPY's text format, and ``\\N`` the text ``\N``."""
    if _NULL.fullmatch(text):
        return None if text == r"\N" else text[1:]
    return text


def use_dsn(dsn: str | None, *, quiet: bool) -> str | None:
    """Return the DSN to call the API with; warn of a password in it, and say so where the embedded server is meant.

    Raises `ConfigError` if nothing names a database and this is not a terminal.
    """
    from bulkio.drivers.choose import default_dsn
    from bulkio.drivers.conninfo import password_in_dsn

    if dsn and password_in_dsn(dsn):
        say(
            "Warning: --dsn contains a password, which other users can see in the process list:"
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
