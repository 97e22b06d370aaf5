"""The columns of the table that `replace` makes: the source's, in its order, and of the old table's what still fits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bulkio.pgcopy import Field
from bulkio.plan.new_columns import declared, new_cast, new_column
from bulkio.plan.recorded import RecordedTable
from bulkio.plan.refusals import misfit, refuse, unlike
from bulkio.show import show_name, show_type
from bulkio.types import cast_to_pg, resolve_type

if TYPE_CHECKING:
    import pyarrow as pa

    from bulkio.catalog import Column, Table
    from bulkio.catalog.definition import ColumnDefinition, Definition
    from bulkio.options import LoadRequest
    from bulkio.plan.request import Database
    from bulkio.sql import NewColumn
    from bulkio.types import Cast

__all__ = ["ReplacedColumns", "replaced_columns"]


@dataclass(frozen=True, slots=True)
class ReplacedColumns:
    """The new table's columns, and how they are loaded."""

    definition: Definition
    #: columns of the new table in the source's order: the old table's own, and new ones
    columns: tuple[ColumnDefinition | NewColumn, ...]
    #: columns that are loaded
    fields: tuple[Field, ...]
    #: columns that the server generates
    skipped: tuple[str, ...]
    notes: tuple[str, ...]


def replaced_columns(
    request: LoadRequest, schema: pa.Schema, table: Table, definition: Definition, database: Database
) -> ReplacedColumns:
    """Choose the columns: an old one stays as it is where the source's values fit it and no other type is asked for.

    Raises:
        SchemaError: with every column that no type fits.
    """
    facts = {column.name: column for column in table.columns}
    known = {column.name: column for column in definition.columns}
    columns: list[ColumnDefinition | NewColumn] = []
    fields, skipped, faults, notes = [], [], [], []
    for arrow in schema:
        old = facts.get(arrow.name)
        if old is not None and old.generated:
            columns.append(known[arrow.name])
            skipped.append(arrow.name)
        elif old is not None and (cast := _kept_cast(arrow, old, database, request)) is not None:
            columns.append(known[arrow.name])
            fields.append(Field(arrow.name, cast, not old.not_null))
        else:
            pg, new, note = new_cast(arrow, database, request.policies)
            notes += [note] if note else []
            if new is None:
                faults.append((arrow.name, unlike(arrow) if pg is None else misfit(arrow, pg, pg.sql)))
                continue
            nullable = arrow.nullable and not (old is not None and old.not_null)
            field = Field(arrow.name, new, nullable)
            fields.append(field)
            columns.append(new_column(field, RecordedTable(), database))
            if old is not None:
                notes.append(
                    f"{show_name(old.name)} was {show_type(old.type_name)}, it becomes {show_type(new.pg.sql)}"
                )
    refuse(faults, f"table {database.name} cannot be replaced")
    return ReplacedColumns(definition, tuple(columns), tuple(fields), tuple(skipped), tuple(notes))


def _kept_cast(arrow: pa.Field, old: Column, database: Database, request: LoadRequest) -> Cast | None:
    """Return how a source's column goes into the old column of its name; None where it gets another type."""
    own = (old.type_oid, old.typmod)
    if database.facts.asked.get(old.name, own) != own:
        return None
    pg = declared(resolve_type(*own, database.facts.types), old.name, request.policies)
    return cast_to_pg(arrow.type, pg, request.policies)
