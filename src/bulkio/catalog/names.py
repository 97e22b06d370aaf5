"""Table names as users write them, by SQL's rules. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bulkio.catalog.question import Question
from bulkio.errors import ConfigError
from bulkio.quote import UNQUOTED_NAME, quote_ident, quote_literal
from bulkio.show import is_connection_string, printable, show_typed
from bulkio.sql import begins_query

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = [
    "NameMeaning",
    "TableName",
    "bad_name",
    "is_table_name",
    "name_bytes_query",
    "name_query",
    "quoted_spelling",
]


@dataclass(frozen=True, slots=True)
class TableName:
    """A table as the user named it, its letters folded by the server; without a schema the search_path decides."""

    schema: str | None
    name: str

    def __str__(self) -> str:
        """Name it as messages do."""
        return printable(self.name if self.schema is None else f"{self.schema}.{self.name}")

    @property
    def typed(self) -> str:
        """The name as an argument, for messages that say what to type.

        >>> TableName("sales", "My-Table").typed
        'sales."My-Table"'
        """
        return show_typed(printable(".".join(_spelled(part) for part in (self.schema, self.name) if part is not None)))


# As parse_ident of src/backend/utils/adt/misc.c reads them; but for the vertical tab, which is a blank to some servers.
_BLANKS = " \t\n\r\f"
_NAME = rf'(?:"(?:[^"\0\ud800-\udfff]|"")+"|{UNQUOTED_NAME})'
_TABLE = re.compile(rf"[{_BLANKS}]*{_NAME}(?:[{_BLANKS}]*\.[{_BLANKS}]*{_NAME})?[{_BLANKS}]*")


def _spelled(part: str) -> str:
    """Quote a part of a name where that is needed: unquoted, the server would fold it."""
    return part if _UNQUOTED.fullmatch(part) and part == part.lower() else quote_ident(part)


def is_table_name(text: str) -> bool:
    """Tell whether a text is a table's name as SQL spells it; if it is, it is not a query, even if it is ``select``.

    >>> is_table_name('sales."Order Lines"'), is_table_name("my-table"), is_table_name("table t")
    (True, False, False)
    """
    return _TABLE.fullmatch(text) is not None


_PART = r'(?:"(?:[^"]|"")+"|[^".]+)'
_PARTS = re.compile(rf"({_PART})(?:\.({_PART}))?")
_UNQUOTED = re.compile(UNQUOTED_NAME)


def quoted_spelling(text: str) -> str | None:
    """Return how to write the name that a text is meant to be, in the quotes that it lacks; None where that is unclear.

    >>> quoted_spelling("sales.2024"), quoted_spelling("a.b.c")
    ('sales."2024"', None)
    """
    match = _PARTS.fullmatch(text.strip(_BLANKS))
    if match is None or not text.isprintable() or begins_query(text):
        return None
    parts = [part for part in match.groups() if part is not None]
    return ".".join(part if part[0] == '"' or _UNQUOTED.fullmatch(part) else quote_ident(part) for part in parts)


def bad_name(text: str, *, or_query: bool = False) -> ConfigError:
    """Make the error for a text that is not a table's name, nor a query where one could stand."""
    if is_connection_string(text):  # it may hold a password, and is not shown
        return ConfigError("a connection string stands where a table's name is expected: give it as dsn")
    if begins_query(text):
        return ConfigError(f"{text!r} is a query, not a table's name: give table or schema.table")
    quoted = quoted_spelling(text)
    advice = (
        f"the name as {show_typed(quoted)}"
        if quoted
        else "a name that is not plain letters, digits and _ in double quotes"
    )
    query = "; or begin a query with SELECT, VALUES, TABLE or WITH" if or_query else ""
    return ConfigError(f"{text!r} is not a table's name: give table or schema.table, {advice}{query}")


@dataclass(frozen=True, slots=True)
class NameMeaning:
    """What the server finds in a table's name."""

    #: the name's one or two parts, folded
    parts: Sequence[str]
    #: the schema in which a table without one is created; None if there is none
    new_schema: str | None
    #: oid of the table; None if there is none
    oid: int | None

    @property
    def name(self) -> TableName:
        """The name, of these parts."""
        return TableName(self.parts[0] if len(self.parts) == 2 else None, self.parts[-1])


def name_query(text: str) -> Question[NameMeaning]:
    """Ask what a table's name means as the user spells it.

    It runs under the user's search_path, so it has no operator and no cast that could be a user's. It reads a table,
    any one: only then does the server hear what others have created since this transaction last asked for the name.
    """
    name = f"{quote_literal(text)}::pg_catalog.text"
    columns = {
        "parts": f"pg_catalog.parse_ident({name})",
        "new_schema": "pg_catalog.current_schema()::pg_catalog.text",
        "oid": f"pg_catalog.to_regclass({name})::pg_catalog.oid::bigint",
    }
    return Question(NameMeaning, columns, "FROM (SELECT FROM pg_catalog.pg_namespace LIMIT 1) AS any_table")


def name_bytes_query(names: Iterable[str]) -> Question[tuple[str, int]]:
    """Ask how many bytes names have in the server's encoding: (name, bytes) of each."""
    wanted = ", ".join(f"({quote_literal(name)})" for name in names)
    columns = {"name": "w.name", "size": "pg_catalog.octet_length(w.name)"}
    return Question(_sized, columns, f"FROM (VALUES {wanted}) AS w(name)")


def _sized(name: str, size: int) -> tuple[str, int]:
    return name, size
