"""CREATE TABLE and CREATE TYPE: what a new table and its types are made with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bulkio.quote import NAME_BYTES, name_list, qualified, quote_ident, quote_literal

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "SERIALS",
    "NewColumn",
    "SequenceOptions",
    "add_columns",
    "add_primary_key",
    "create_bare_table",
    "create_composite",
    "create_domain",
    "create_enum",
    "create_table",
    "drop_if_exists",
    "finish_table",
]


@dataclass(frozen=True, slots=True)
class SequenceOptions:
    """How a sequence counts."""

    start: int
    increment: int
    minimum: int
    maximum: int
    cache: int
    cycle: bool

    @property
    def ascends(self) -> bool:
        """Tell whether it counts up."""
        return self.increment > 0


@dataclass(frozen=True, slots=True)
class NewColumn:
    """One column of a CREATE TABLE; `type_sql` is the type as DDL spells it."""

    name: str
    type_sql: str
    nullable: bool = True
    #: ALWAYS or BY DEFAULT
    identity: str = ""
    #: options of the identity; None for PostgreSQL's defaults
    options: SequenceOptions | None = None


def create_table(schema: str, table: str, columns: Sequence[NewColumn], primary_key: Sequence[str] = ()) -> str:
    """Build CREATE TABLE.

    >>> create_table("public", "t", [NewColumn("id", "int8", False), NewColumn("fare", "numeric(8,2)")], ["id"])
    'CREATE TABLE "public"."t" ("id" int8 NOT NULL, "fare" numeric(8,2), PRIMARY KEY ("id"))'
    """
    parts = [
        f"{quote_ident(column.name)} {column.type_sql}"
        + ("" if column.nullable else " NOT NULL")
        + (f" GENERATED {column.identity} AS IDENTITY{_counting(column.options)}" if column.identity else "")
        for column in columns
    ]
    if primary_key:
        parts.append(f"PRIMARY KEY ({name_list(primary_key)})")
    return f"CREATE TABLE {qualified(schema, table)} ({', '.join(parts)})"


def drop_if_exists(schema: str, table: str) -> str:
    """Build DROP TABLE for a table that may be gone."""
    return f"DROP TABLE IF EXISTS {qualified(schema, table)}"


#: words for a column's type that make a sequence for it
SERIALS = frozenset({"smallserial", "serial", "bigserial"})


def create_bare_table(schema: str, name: str, table: str, columns: Sequence[NewColumn], *, unlogged: bool) -> str:
    """Build CREATE TABLE, under a `name` that is not the table's yet, without keys and identities: see `finish_table`.

    >>> create_bare_table("public", "x", "t", [NewColumn("id", "int4", False), NewColumn("a", "text")], unlogged=True)
    'CREATE UNLOGGED TABLE "public"."x" ("id" int4 CONSTRAINT "t_id_not_null" NOT NULL, "a" text)'
    """
    parts = [f"{quote_ident(column.name)} {column.type_sql}{_not_null(table, column)}" for column in columns]
    kind = "UNLOGGED TABLE" if unlogged else "TABLE"
    return f"CREATE {kind} {qualified(schema, name)} ({', '.join(parts)})"


def _not_null(table: str, column: NewColumn) -> str:
    """Return NOT NULL under the name that PostgreSQL 18 gives it in a table of this name; "" where that is too long."""
    name = f"{table}_{column.name}_not_null"
    is_named = not column.nullable and len(name.encode()) <= NAME_BYTES
    return f" CONSTRAINT {quote_ident(name)} NOT NULL" if is_named else ""


def finish_table(schema: str, table: str, columns: Sequence[NewColumn], primary_key: Sequence[str]) -> tuple[str, ...]:
    """Build the statements that make of a bare table, whose rows are there, what `create_table` would have made."""
    name = qualified(schema, table)
    statements = []
    for column in columns:
        actions = f"ALTER TABLE {name} ALTER COLUMN {quote_ident(column.name)}"
        if column.identity or not column.nullable:
            statements.append(f"{actions} SET NOT NULL")
        if column.identity:
            statements.append(f"{actions} ADD GENERATED {column.identity} AS IDENTITY{_counting(column.options)}")
    if primary_key:
        statements.append(add_primary_key(schema, table, primary_key))
    return tuple(statements)


def add_primary_key(schema: str, table: str, columns: Sequence[str]) -> str:
    """Build ALTER TABLE that adds a primary key.

    >>> add_primary_key("public", "t", ["id"])
    'ALTER TABLE "public"."t" ADD PRIMARY KEY ("id")'
    """
    return f"ALTER TABLE {qualified(schema, table)} ADD PRIMARY KEY ({name_list(columns)})"


def add_columns(schema: str, table: str, columns: Sequence[NewColumn]) -> str:
    """Build ALTER TABLE that adds columns, which may be NULL, at the end.

    >>> add_columns("public", "t", [NewColumn("a", "int8"), NewColumn("b", "text")])
    'ALTER TABLE "public"."t" ADD COLUMN "a" int8, ADD COLUMN "b" text'
    """
    parts = [f"ADD COLUMN {quote_ident(column.name)} {column.type_sql}" for column in columns]
    return f"ALTER TABLE {qualified(schema, table)} {', '.join(parts)}"


def _counting(options: SequenceOptions | None) -> str:
    if options is None:
        return ""
    return (
        f" (START {options.start:d} INCREMENT {options.increment:d} MINVALUE {options.minimum:d}"
        f" MAXVALUE {options.maximum:d} CACHE {options.cache:d} {'CYCLE' if options.cycle else 'NO CYCLE'})"
    )


def create_enum(schema: str, name: str, labels: Sequence[str]) -> str:
    """Build CREATE TYPE … AS ENUM."""
    return f"CREATE TYPE {qualified(schema, name)} AS ENUM ({', '.join(quote_literal(label) for label in labels)})"


def create_composite(schema: str, name: str, columns: Sequence[tuple[str, str]]) -> str:
    """Build CREATE TYPE … AS from (name, type as DDL spells it)."""
    body = ", ".join(f"{quote_ident(column)} {type_sql}" for column, type_sql in columns)
    return f"CREATE TYPE {qualified(schema, name)} AS ({body})"


def create_domain(schema: str, name: str, base_sql: str, *, not_null: bool) -> str:
    """Build CREATE DOMAIN over a type as DDL spells it."""
    return f"CREATE DOMAIN {qualified(schema, name)} AS {base_sql}{' NOT NULL' if not_null else ''}"
