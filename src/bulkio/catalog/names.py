"""Table names as users write them, by SQL's rules. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bulkio.errors import ConfigError
from bulkio.quote import quote_literal
from bulkio.show import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["TableName", "bad_name", "is_table_name", "name_bytes_query", "name_query", "read_name"]


@dataclass(frozen=True, slots=True)
class TableName:
    """A table as the user named it, its letters folded by the server; without a schema the search_path decides."""

    schema: str | None
    name: str

    def __str__(self) -> str:
        """Name it as messages do."""
        return printable(self.name if self.schema is None else f"{self.schema}.{self.name}")


_IDENTIFIER = r'(?:"(?:[^"]|"")+"|[^\W\d][\w$]*)'


_TABLE = re.compile(rf"\s*{_IDENTIFIER}(?:\.{_IDENTIFIER})?\s*")


def is_table_name(text: str) -> bool:
    """Tell a table's name from a query: no query is a single word, or two with a dot between.

    >>> is_table_name('sales."Order Lines"'), is_table_name("table t")
    (True, False)
    """
    return _TABLE.fullmatch(text) is not None


def name_query(text: str) -> str:
    """Ask what a table's name means as the user spells it: its parts, the schema for new tables, and the table's oid.

    It runs under the user's search_path, so it has no operator and no cast that could be a user's. It reads a table,
    any one: only then does the server hear what others have created since this transaction last asked for the name.
    """
    name = f"{quote_literal(text)}::pg_catalog.text"
    return (
        f"SELECT pg_catalog.parse_ident({name}), pg_catalog.current_schema()::pg_catalog.text,"  # noqa: S608 - quoted
        f" pg_catalog.to_regclass({name})::pg_catalog.oid::bigint"
        " FROM (SELECT FROM pg_catalog.pg_namespace LIMIT 1) AS any_table"
    )


def read_name(parts: Sequence[str], text: str) -> TableName:
    """Make a name of the parts that the server has found in `text`. Raises ConfigError where there are too many."""
    if len(parts) > 2:
        raise bad_name(text)
    return TableName(parts[0] if len(parts) == 2 else None, parts[-1])


def bad_name(text: str) -> ConfigError:
    """Make the error for a text that is no table's name."""
    return ConfigError(
        f"{text!r} is not a table's name: give table or schema.table, with double quotes around a part"
        " that has dots, blanks, quotes or capitals, or begins with a digit"
    )


def name_bytes_query(names: Iterable[str]) -> str:
    """Ask how many bytes names have in the server's encoding: (name, bytes) of each."""
    wanted = ", ".join(f"({quote_literal(name)})" for name in names)
    return f"SELECT w.name, pg_catalog.octet_length(w.name) FROM (VALUES {wanted}) AS w(name)"  # noqa: S608 - quoted
