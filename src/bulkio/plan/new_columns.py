"""Which type the column of a new table gets, and how the source's values go into it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from bulkio import sql
from bulkio.plan.recorded import RecordedTable, RecordedType, recorded_oid, recorded_type
from bulkio.show import show_name, show_type
from bulkio.types import SERVER_TEXT, Cast, arrow_kind, cast_from_pg, cast_to_pg, pg_type_for, resolve_type
from bulkio.types.geo import arrow_extension, field_typmod

if TYPE_CHECKING:
    import pyarrow as pa

    from bulkio.pgcopy import Field
    from bulkio.plan.request import Database
    from bulkio.types import PgType, Policies

__all__ = ["declared", "new_cast", "new_column", "recorded_cast"]

_SERIALS = {"int2": "smallserial", "int4": "serial", "int8": "bigserial"}


def new_column(field: Field, recorded: RecordedTable, database: Database) -> sql.NewColumn:
    """Return the column's DDL: its type, whether it may be NULL, and that it is serial or an identity as recorded."""
    pg = field.cast.pg
    type_sql = pg.ddl
    if pg.codec == SERVER_TEXT:
        type_sql += database.facts.typmods.get((pg.oid, pg.typmod), "")
    if field.name in recorded.serial and field.name not in recorded.identity and not pg.is_domain:
        type_sql = _SERIALS.get(pg.codec, type_sql)
    identity = recorded.identity.get(field.name, "") if pg.codec in _SERIALS and not pg.is_domain else ""
    return sql.NewColumn(field.name, type_sql, field.nullable, identity, recorded.options(field.name, pg.oid))


def new_cast(column: pa.Field, database: Database, policies: Policies) -> tuple[PgType | None, Cast | None, str]:
    """Choose the type that is asked for; or that was recorded, where it is there and the data fits; or the default.

    The text is a note where it is another one than was recorded.
    """
    if column.name in database.facts.asked:
        return *_with_cast(column, resolve_type(*database.facts.asked[column.name], database.facts.types), policies), ""
    recorded = recorded_type(column)
    if recorded is not None:
        found = _known_cast(column, recorded, database, policies)
        if found is not None:
            return *found, ""
    pg, cast = _default_cast(column, database, policies)
    note = ""
    if recorded is not None and recorded.kind == "domain" and recorded.parts:
        base = _known_cast(column, recorded.parts[0][1], database, policies)
        pg, cast = base or (pg, cast)
    if recorded is not None and pg is not None:
        was, becomes = show_type(recorded.sql), show_type(pg.sql)
        note = f"{show_name(column.name)} was recorded as {was}, which is not available here: it becomes {becomes}"
    return pg, cast, note


def _known_cast(
    column: pa.Field, recorded: RecordedType, database: Database, policies: Policies
) -> tuple[PgType, Cast] | None:
    oid = recorded_oid(recorded, database.facts.named)
    if oid is None:
        return None
    return recorded_cast(column, recorded, resolve_type(oid, recorded.typmod, database.facts.types), policies)


def recorded_cast(
    column: pa.Field, recorded: RecordedType, pg: PgType, policies: Policies
) -> tuple[PgType, Cast] | None:
    """Choose how a column goes into the type that was recorded of it, which is `pg` here; None where it does not."""
    if _is_text(column.type) and not _is_text(cast_from_pg(pg).arrow):
        return None  # it was made text after the export: it may hold what its old type cannot
    pg, cast = _with_cast(column, pg, policies, recorded.dimensions)
    return None if cast is None else (pg, cast)


def _is_text(arrow: pa.DataType) -> bool:
    """Tell whether values are text, or text by way of a dictionary or an extension."""
    if arrow_kind(arrow) == "dictionary":
        return _is_text(arrow.value_type)
    return arrow_kind(arrow) in ("text", "json")


def _default_cast(column: pa.Field, database: Database, policies: Policies) -> tuple[PgType | None, Cast | None]:
    spatial = database.facts.postgis.get(arrow_extension(column) or "")
    if spatial is not None:
        return _with_cast(column, resolve_type(spatial, field_typmod(column), database.facts.types), policies)
    pg = pg_type_for(column.type, policies.dimensions.get(column.name, 1))
    return (None, None) if pg is None else _with_cast(column, pg, policies)


def _with_cast(column: pa.Field, pg: PgType, policies: Policies, dimensions: int = 1) -> tuple[PgType, Cast | None]:
    pg = declared(pg, column.name, policies, dimensions)
    return pg, cast_to_pg(column.type, pg, policies)


def declared(pg: PgType, column: str, policies: Policies, dimensions: int = 1) -> PgType:
    """Return a column's type with the dimensions that the user has declared, or else with these."""
    return replace(pg, dimensions=policies.dimensions.get(column, dimensions))
