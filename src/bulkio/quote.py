"""Identifiers and literals as SQL text: nothing gets into a statement that did not pass here. Pure.

The lexical rules are those of the PostgreSQL docs, section 4.1 "Lexical Structure".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bulkio.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["NAME_BYTES", "UNQUOTED_NAME", "name_list", "qualified", "quote_ident", "quote_literal", "refuse_no_text"]

#: NAMEDATALEN - 1 of src/include/pg_config_manual.h
NAME_BYTES = 63


#: pattern of an identifier that needs no quotes (scan.l, "identifier"): any character beyond ASCII is a letter
UNQUOTED_NAME = r"[A-Za-z_\u0080-\ud7ff\ue000-\U0010ffff][A-Za-z0-9_$\u0080-\ud7ff\ue000-\U0010ffff]*"


def quote_ident(name: str) -> str:
    """Quote one identifier, always.

    >>> quote_ident('12" disk')
    '"12"" disk"'

    Raises:
        ConfigError: the name is empty or holds a NUL, which PostgreSQL cannot store.
    """
    if not name:
        raise ConfigError("a name is empty; give the table or column a name")
    refuse_no_text(name, "the name")
    return '"' + name.replace('"', '""') + '"'


def quote_literal(value: str | None) -> str:
    r"""Quote one literal of unknown type, safely whatever standard_conforming_strings says; None gives NULL.

    >>> quote_literal("it's"), quote_literal(None)
    ("'it''s'", 'NULL')

    Raises:
        ConfigError: the value holds a NUL.
    """
    if value is None:
        return "NULL"
    refuse_no_text(value, "the value")
    quoted = "'" + value.replace("'", "''") + "'"
    # A backslash means itself only while standard_conforming_strings is on; in E'' it always needs doubling.
    # The blank keeps the E apart from a word before it.
    return " E" + quoted.replace("\\", "\\\\") if "\\" in value else quoted


def qualified(schema: str | None, table: str) -> str:
    """Return the quoted name of a table; without a schema the search_path decides.

    >>> qualified("public", "trips")
    '"public"."trips"'
    """
    return quote_ident(table) if not schema else f"{quote_ident(schema)}.{quote_ident(table)}"


def refuse_no_text(text: str, what: str) -> None:
    """Raise ConfigError where `text`, which the message calls `what`, holds a NUL, or bytes that are not UTF-8.

    Python has such bytes, of arguments and files' names, as lone surrogates.
    """
    if "\0" in text:
        raise ConfigError(f"{what} {text!r} holds a NUL character, which PostgreSQL cannot store; remove it")
    if not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text):
        raise ConfigError(f"{what} {text!r} holds bytes that are not UTF-8")


def name_list(names: Sequence[str]) -> str:
    """Return the names, quoted, with commas between."""
    return ", ".join(map(quote_ident, names))
