"""Names and values as messages show them: control characters escaped, long ones cut, always one line."""

from __future__ import annotations

import re
from contextlib import contextmanager
from contextvars import ContextVar
from difflib import get_close_matches
from shlex import quote
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = [
    "column_lines",
    "did_you_mean",
    "is_connection_string",
    "naming_flags",
    "naming_keys",
    "nearest",
    "printable",
    "show_flag",
    "show_name",
    "show_no_header",
    "show_option",
    "show_rows",
    "show_type",
    "show_typed",
    "show_value",
]

MAX_SHOWN = 60


def printable(text: str, limit: int | None = None) -> str:
    """Escape what could move a terminal's cursor or break a log's line, and cut to `limit` characters."""
    if limit is not None and len(text) > limit:
        text = text[: limit - 1] + "…"
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


#: settings, as libpq takes them: a password, or two with a blank between
_SETTINGS = re.compile(r"\bpassword\s*=|(?:^|\s)(?:host|port|dbname|user|service)=\S*\s+\w+=")


def is_connection_string(text: str) -> bool:
    """Tell whether a text that a user has given looks like a DSN, which no message may show.

    >>> is_connection_string("postgresql://ann:secret@db/sales"), is_connection_string("host=db.parquet")
    (True, False)
    """
    return text.startswith(("postgresql://", "postgres://")) or _SETTINGS.search(text) is not None


def show_name(name: str) -> str:
    """Show an identifier, in double quotes."""
    return f'"{printable(name, 80)}"'


def show_type(kind: object) -> str:
    """Show a type as it spells itself: Arrow's may have the names of fields in it, PostgreSQL's may be a user's own."""
    return printable(str(kind))


def show_value(value: object) -> str:
    """Show a value of any type; strings and bytes in quotes."""
    if isinstance(value, str):
        return f"'{printable(value, MAX_SHOWN)}'"
    if isinstance(value, bytes):
        return f"'\\x{value[:MAX_SHOWN].hex()}'" + ("…" if len(value) > MAX_SHOWN else "")
    return printable(str(value), MAX_SHOWN)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is most like `name`, whatever its capitals; None where none is like it."""
    by_letters = {other.casefold(): other for other in known}
    near = get_close_matches(name.casefold(), by_letters, n=1)
    return by_letters[near[0]] if near else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return the question after the known name that is most like `name`; nothing where none is like it.

    >>> did_you_mean("ordres", ["customers", "orders"]), did_you_mean("x", ["orders"])
    ('did you mean "orders"?', '')
    """
    near = nearest(name, known)
    return "" if near is None else f"did you mean {show_name(near)}?"


class _Spelling:
    """How messages spell options: as parameters of the API, or as flags of the program."""

    as_flags = False


@contextmanager
def naming_flags() -> Iterator[None]:
    """Let messages name options as the command line has them, while the program runs."""
    before, _Spelling.as_flags = _Spelling.as_flags, True
    try:
        yield
    finally:
        _Spelling.as_flags = before


#: whether messages spell options as a pipeline's file does, whatever else runs beside it
_AS_KEYS: ContextVar[bool] = ContextVar("as_keys", default=False)


@contextmanager
def naming_keys() -> Iterator[None]:
    """Let messages name options as the keys of a pipeline's file, in this task and in those that it starts.

    >>> with naming_keys():
    ...     show_option("mode", "append"), show_option("allow_lossy", True), show_option("key")
    ("mode = 'append'", 'allow_lossy = true', 'key')
    """
    token = _AS_KEYS.set(True)
    try:
        yield
    finally:
        _AS_KEYS.reset(token)


def show_option(name: str, value: object = None) -> str:
    """Show an option, and the value that it is to have, as whoever reads the message would write them.

    >>> show_option("allow_lossy", True), show_option("mode", "append"), show_option("columns")
    ('allow_lossy=True', "mode='append'", 'columns')
    """
    if _AS_KEYS.get():
        return name if value is None else f"{name} = {'true' if value is True else repr(value)}"
    if not _Spelling.as_flags:
        return name if value is None else f"{name}={value!r}"
    return show_flag(name) if value is None or value is True else f"{show_flag(name)} {value}"


def show_no_header() -> str:
    """Show the option that says that a CSV has no header, which has another name for the program."""
    if _AS_KEYS.get():
        return "header = false"
    return "--no-header" if _Spelling.as_flags else "header=False"


def show_flag(name: str) -> str:
    """Show an option as the command line has it.

    >>> show_flag("allow_lossy"), show_flag("params")
    ('--allow-lossy', '--param')
    """
    return _FLAGS.get(name) or "--" + name.replace("_", "-")


#: flags that are not called as their options are: one flag for each parameter, and what is clear in `bulkio run`
_FLAGS = {"params": "--param", "from_step": "--from", "logical_date": "--date"}


def show_typed(text: str) -> str:
    """Show a text that is to be typed: an argument of the API as it is, for the program as a shell takes it.

    >>> show_typed('"my-table"')
    '"my-table"'
    """
    return quote(text) if _Spelling.as_flags else text


def show_rows(count: int) -> str:
    """Show a number of rows.

    >>> show_rows(1), show_rows(1500)
    ('1 row', '1,500 rows')
    """
    return "1 row" if count == 1 else f"{count:,} rows"


def column_lines(columns: Iterable[tuple[str, str, str, bool]]) -> list[str]:
    """Show (name, from, to, nullable) of each column, one below the other."""
    rows = [
        (show_name(name), show_type(left), show_type(right), "" if nullable else "NOT NULL")
        for name, left, right, nullable in columns
    ]
    name_width = max((len(row[0]) for row in rows), default=0)
    left_width = max((len(row[1]) for row in rows), default=0)
    return [
        f"  {name:{name_width}}  {left:{left_width}} -> {right} {null}".rstrip() for name, left, right, null in rows
    ]
