"""The columns of a table that is there: which of them the source fills, and what becomes of those that it lacks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bulkio.pgcopy import Field
from bulkio.plan.new_columns import declared, new_cast, new_column
from bulkio.plan.recorded import RecordedTable
from bulkio.plan.refusals import misfit, refuse, unlike
from bulkio.protocols import made_up_names
from bulkio.show import did_you_mean, show_name, show_option, show_type
from bulkio.types import cast_to_pg, resolve_type

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from bulkio.catalog import Column, Table
    from bulkio.options import LoadRequest
    from bulkio.plan.request import Database, SourceFacts
    from bulkio.sql import NewColumn

__all__ = ["ExistingColumns", "existing_columns"]


@dataclass(frozen=True, slots=True)
class ExistingColumns:
    """What becomes of the source's columns."""

    #: columns that are loaded, in the source's order
    fields: tuple[Field, ...]
    #: columns that the server generates
    skipped: tuple[str, ...]
    #: columns that the table gets, at its end
    added: tuple[NewColumn, ...]
    notes: tuple[str, ...]


def existing_columns(request: LoadRequest, source: SourceFacts, table: Table, database: Database) -> ExistingColumns:
    """Choose the columns.

    Raises:
        SchemaError: with every column at fault and what to do about it.
    """
    columns = {column.name: column for column in table.columns}
    nameless = source.spelling is not None and tuple(source.schema.names) == made_up_names(len(source.schema))
    fields: list[Field] = []
    faults, skipped, added, notes = [], [], [], []
    for arrow in source.schema:
        column = columns.get(arrow.name)
        found: Field | str
        if column is not None and column.generated:  # the server makes its values itself
            skipped.append(arrow.name)
            continue
        if column is not None:
            found = _field(arrow, column, database, request)
        elif request.new_columns == "ignore":
            notes.append(f"the table has no column {show_name(arrow.name)}: it is left out")
            continue
        elif request.new_columns == "add":
            found, note = _new_field(arrow, database, request)
            notes += [note] if note else []
        else:
            found = _unknown_column(arrow.name, columns, nameless=nameless)
        if isinstance(found, str):
            faults.append((arrow.name, found))
            continue
        fields.append(found)
        if column is None:
            added.append(new_column(found, RecordedTable(), database))
    faults += _missing_columns(source.schema.names, table)
    refuse(faults, f"the source does not fit table {database.name}")
    return ExistingColumns(tuple(fields), tuple(skipped), tuple(added), tuple(notes))


def _field(arrow: pa.Field, column: Column, database: Database, request: LoadRequest) -> Field | str:
    """Return how a column is loaded; or what is wrong with it."""
    own = (column.type_oid, column.typmod)
    pg = declared(resolve_type(*own, database.facts.types), column.name, request.policies)
    cast = cast_to_pg(arrow.type, pg, request.policies)
    if database.facts.asked.get(column.name, own) != own:
        asked = (request.types or {})[arrow.name]
        return f"the table has it as {show_type(column.type_name)}, not {show_type(asked)}"
    if cast is None:
        return misfit(arrow, pg, column.type_name)
    return Field(arrow.name, cast, not column.not_null)


def _new_field(arrow: pa.Field, database: Database, request: LoadRequest) -> tuple[Field | str, str]:
    """Return how a column that the table gets is loaded, or what is wrong with it; and a note."""
    pg, cast, note = new_cast(arrow, database, request.policies)
    if cast is None:
        return (unlike(arrow) if pg is None else misfit(arrow, pg, pg.sql)), note
    # The rows that are there have none.
    return Field(arrow.name, cast, nullable=True), note


def _unknown_column(name: str, columns: dict[str, Column], *, nameless: bool) -> str:
    if nameless:
        return f"the file has no name for this column: give the names of all ({show_option('header_names')})"
    ignore, add = show_option("new_columns", "ignore"), show_option("new_columns", "add")
    mend = did_you_mean(name, columns) or f"leave it out ({ignore}) or have it added ({add})"
    return f"the table has no such column; {mend}"


def _missing_columns(names: Sequence[str], table: Table) -> list[tuple[str, str]]:
    return [
        (column.name, "the column is NOT NULL without a default, and the source does not have it")
        for column in table.columns
        if column.name not in names
        and column.not_null
        and not (column.has_default or column.identity or column.generated)
    ]
