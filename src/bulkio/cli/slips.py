"""What other tools call bulkio's commands and options: a slip gets the word that is meant here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bulkio.show import nearest

if TYPE_CHECKING:
    from collections.abc import Iterable

    import click

__all__ = ["near_command", "no_option"]

_COMMANDS = {
    **dict.fromkeys(("import", "upload", "ingest", "insert", "copy", "write"), "load"),
    **dict.fromkeys(("dump", "download", "unload", "extract", "read"), "export"),
}

_FLAGS = {
    **dict.fromkeys(("--sep", "--separator", "--delim", "--field-delimiter"), "--delimiter"),
    **dict.fromkeys(("--na", "--null-value", "--nulls", "--null-string"), "--null"),
    **dict.fromkeys(("--skip", "--skip-rows", "--skiprows"), "--skip-lines"),
    **dict.fromkeys(("--quotechar", "--quote-char"), "--quote"),
    **dict.fromkeys(("--trunc", "--truncate"), "--mode truncate"),
    **dict.fromkeys(("--replace", "--overwrite"), "--mode truncate, which replaces the rows"),
    **dict.fromkeys(("--append", "--insert"), "--mode append, which is the default"),
    "--create": "--mode create",
    **dict.fromkeys(("--url", "--uri", "--db", "--database", "--connection", "--host"), "--dsn"),
    **dict.fromkeys(("--dtype", "--dtypes", "--type", "--schema"), "--types"),
    **dict.fromkeys(("--tz", "--time-zone"), "--timezone"),
    **dict.fromkeys(("--sql", "--where"), "--query"),
}

#: options that an export to CSV does not take, since the server writes it
_EXPORT = {
    "--encoding": "an export is UTF-8 (with --bom for spreadsheets); iconv converts it to another encoding",
    "--decimal-comma": "the server writes points; a query can write commas:"
    " --query \"SELECT replace(price::text, '.', ',') ...\"",
    "--date-format": "the server writes ISO dates; a query can write others:"
    " --query \"SELECT to_char(day, 'DD.MM.YYYY') ...\"",
    "--timezone": "the server writes UTC; a query can write local times:"
    " --query \"SELECT at AT TIME ZONE 'Europe/Berlin' ...\"",
    "--header-names": "a query names its columns: --query 'SELECT a AS b ...'",
}


def near_command(name: str, known: Iterable[str]) -> str | None:
    """Return the command that is meant by a name that there is not; None where none is like it.

    >>> near_command("import", ["load"]), near_command("laod", ["load"]), near_command("x", ["load"])
    ('load', 'load', None)
    """
    return _COMMANDS.get(name) or nearest(name, known)


def no_option(error: click.NoSuchOption) -> str:
    """Return the message about an option that the command does not have."""
    name = error.option_name
    command = error.ctx.command if error.ctx is not None else None
    if command is not None and command.name == "export" and name in _EXPORT:
        return f"No such option: {name}; {_EXPORT[name]}"
    flag = _FLAGS.get(name, "")
    known = {option for each in command.params for option in each.opts} if command is not None else set()
    return f"No such option: {name}; use {flag}" if flag.partition(" ")[0] in known else error.format_message()
