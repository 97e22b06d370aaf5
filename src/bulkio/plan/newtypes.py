"""The types that a source records, that its new table needs, and that the database does not have.

Only what a column will really have is made: not what was recorded of a column that gets another type, and nothing in a
schema that is neither the table's nor in the search_path, for a file does not decide where things are put.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from bulkio import sql
from bulkio.plan.new_columns import recorded_cast
from bulkio.plan.recorded import RecordedType, TypeName, recorded_oid, recorded_type
from bulkio.types import SERVER_TEXT, PgType, array_of, named_type, resolve_type

if TYPE_CHECKING:
    from collections.abc import Collection

    import pyarrow as pa

    from bulkio.plan.request import Database
    from bulkio.types import Policies

__all__ = ["missing_types"]


def missing_types(
    source: pa.Schema, database: Database, policies: Policies, schemas: Collection[str]
) -> dict[TypeName, str]:
    """Return, by name and in order, the DDL for the recorded types that the new table's columns will have.

    Only types in these `schemas` are made.

    Enums, composites, and domains without a constraint or default are made; a type that is not recorded in full is left
    out, and so are those that need it.
    """
    made: dict[TypeName, str] = {}
    for column in source:
        recorded = recorded_type(column)
        if recorded is None or column.name in database.facts.asked:
            continue
        for one in (recorded, *(base for _, base in recorded.parts if recorded.kind == "domain")):
            pg = _type_to_be(one, database, schemas)
            if pg is not None and recorded_cast(column, one, pg, policies) is not None:
                _make(one, database, made)
                break
    return made


def _type_to_be(one: RecordedType, database: Database, schemas: Collection[str]) -> PgType | None:
    """Return the type as the database will have it, without an oid if it is still to be made; None if it cannot be."""
    oid = recorded_oid(one, database.facts.named)
    if oid is not None:
        return resolve_type(oid, one.typmod, database.facts.types)
    if one.element is not None:
        element = _type_to_be(one.element, database, schemas)
        return None if element is None else _array(element)
    if one.schema not in schemas or one.schema.startswith("pg_"):
        return None
    parts = [(name, _type_to_be(part, database, schemas)) for name, part in one.parts]
    known = tuple((name, part) for name, part in parts if part is not None)
    bare = PgType(one.name, 0, 0, SERVER_TEXT, one.schema)
    if one.kind == "enum":
        return replace(bare, codec="enum", labels=one.labels)
    if len(known) < len(parts):
        return None
    if one.kind == "composite":
        in_text = any(part.codec == SERVER_TEXT for _, part in known)
        return replace(bare, codec=SERVER_TEXT if in_text else "composite", fields=known)
    if one.kind == "domain" and len(known) == 1 and not one.has_more:
        base = known[0][1]
        return replace(base, name=one.name, oid=0, array_oid=0, schema=one.schema, domain_of=base)
    return None


def _array(element: PgType) -> PgType:
    found = array_of(element)
    return replace(found, codec=SERVER_TEXT) if element.codec == SERVER_TEXT else found


def _make(one: RecordedType, database: Database, made: dict[TypeName, str]) -> None:
    """Add what `one` needs to `made`, its parts first. It can be had."""
    name = (one.schema, one.name)
    if one.element is not None:
        _make(one.element, database, made)  # its array type comes with it
        return
    if name in database.facts.named or name in made:
        return
    for _, part in one.parts:
        _make(part, database, made)
    if one.kind == "enum":
        made[name] = sql.create_enum(one.schema, one.name, one.labels)
    elif one.kind == "composite":
        made[name] = sql.create_composite(one.schema, one.name, [(n, _spelled(part)) for n, part in one.parts])
    else:
        base = _spelled(one.parts[0][1])
        made[name] = sql.create_domain(one.schema, one.name, base, not_null=one.not_null)


def _spelled(part: RecordedType) -> str:
    """Spell a part's type with its typmod: only those typmods that bulkio knows how to spell."""
    bare = part.element or part
    base = named_type(bare.name, bare.typmod) if bare.schema == "pg_catalog" else None
    return part.sql if base is None else base.ddl + ("[]" if part.element else "")
