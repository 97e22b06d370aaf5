"""Facts about types, as the server's catalog tells them, and the questions that ask for them. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bulkio.catalog.question import Question
from bulkio.quote import quote_literal
from bulkio.types import TypeFacts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = [
    "NamedType",
    "SpelledType",
    "TypeRef",
    "column_types_query",
    "extension_types_query",
    "named_types_query",
    "type_names_query",
    "types_query",
    "visible_types_query",
]

_ATTRIBUTES = """
    FROM pg_catalog.pg_attribute AS a
    WHERE a.attrelid = t.typrelid AND t.typtype = 'c' AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
"""


_TYPE = {
    "oid": "t.oid::bigint",
    "schema": "n.nspname::pg_catalog.text",
    "name": "t.typname::pg_catalog.text",
    "kind": "t.typtype::pg_catalog.text",
    "array_oid": "t.typarray::bigint",
    "element_oid": """
        (CASE t.typtype WHEN 'd' THEN t.typbasetype
              WHEN 'r' THEN (SELECT r.rngsubtype FROM pg_catalog.pg_range AS r WHERE r.rngtypid = t.oid)
              WHEN 'm' THEN (SELECT r.rngtypid FROM pg_catalog.pg_range AS r WHERE r.rngmultitypid = t.oid)
              ELSE t.typelem END)::bigint""",
    "typmod": "t.typtypmod::int",
    "extension": """
        (SELECT e.extname::pg_catalog.text FROM pg_catalog.pg_depend AS d
           JOIN pg_catalog.pg_extension AS e ON e.oid = d.refobjid
          WHERE d.classid = 'pg_catalog.pg_type'::pg_catalog.regclass AND d.objid = t.oid AND d.deptype = 'e'
            AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass)""",
    "is_array": "EXISTS (SELECT FROM pg_catalog.pg_type AS e WHERE e.oid = t.typelem AND e.typarray = t.oid)",
    "labels": """
        ARRAY(SELECT l.enumlabel::pg_catalog.text FROM pg_catalog.pg_enum AS l WHERE l.enumtypid = t.oid
               ORDER BY l.enumsortorder)""",
    "field_names": f"ARRAY(SELECT a.attname::pg_catalog.text {_ATTRIBUTES})",
    "field_oids": f"ARRAY(SELECT pg_catalog.format('%s', a.atttypid) {_ATTRIBUTES})",
    "field_typmods": f"ARRAY(SELECT pg_catalog.format('%s', a.atttypmod) {_ATTRIBUTES})",
    "money_scale": "pg_catalog.scale(0::pg_catalog.money::pg_catalog.numeric)::int",
    "delimiter": "t.typdelim::pg_catalog.text",
    "domain_not_null": "t.typnotnull",
    "domain_has_more": """
        t.typdefault IS NOT NULL OR EXISTS (
            SELECT FROM pg_catalog.pg_constraint AS k WHERE k.contypid = t.oid AND k.contype = 'c')""",
}


def types_query(oids: Iterable[int]) -> Question[TypeFacts]:
    """Ask for what is known of some types, and of all that they are made of.

    They are looked up by an array, for which the planner counts on ten rows. It counts on thousands for a join with a
    recursive query: so many that a server which can compile queries did, for half a second.
    """
    wanted = ", ".join(f"{oid:d}" for oid in sorted(set(oids)))
    before = f"""
        WITH RECURSIVE wanted(oid) AS (
            SELECT pg_catalog.unnest(ARRAY[{wanted}]::pg_catalog.oid[])
            UNION
            SELECT part.oid
            FROM wanted JOIN pg_catalog.pg_type AS t ON t.oid = wanted.oid
            CROSS JOIN LATERAL (
                SELECT t.typelem WHERE t.typsubscript = 'pg_catalog.array_subscript_handler'::pg_catalog.regproc
                UNION ALL SELECT t.typbasetype WHERE t.typtype = 'd'
                UNION ALL SELECT a.atttypid FROM pg_catalog.pg_attribute AS a
                           WHERE a.attrelid = t.typrelid AND t.typtype = 'c' AND a.attnum > 0 AND NOT a.attisdropped
                UNION ALL SELECT r.rngsubtype FROM pg_catalog.pg_range AS r WHERE r.rngtypid = t.oid
                UNION ALL SELECT r.rngtypid FROM pg_catalog.pg_range AS r WHERE r.rngmultitypid = t.oid
            ) AS part(oid)
        )
    """  # noqa: S608 - numbers
    rest = """
        FROM pg_catalog.pg_type AS t
        JOIN pg_catalog.pg_namespace AS n ON n.oid = t.typnamespace
        WHERE t.oid = ANY (ARRAY(SELECT wanted.oid FROM wanted))
    """
    return Question(_type_facts, _TYPE, rest, before)


def _type_facts(
    *,
    labels: Sequence[str],
    field_names: Sequence[str],
    field_oids: Sequence[str],
    field_typmods: Sequence[str],
    **plain: Any,
) -> TypeFacts:
    fields = zip(field_names, map(int, field_oids), map(int, field_typmods), strict=True)
    return TypeFacts(labels=tuple(labels), fields=tuple(fields), **plain)


@dataclass(frozen=True, slots=True)
class NamedType:
    """A type that was looked up by name."""

    schema: str
    name: str
    oid: int
    array_oid: int

    def oid_of(self, ref: TypeRef) -> int:
        """Return the oid of what a file records: this type, or the array of it."""
        return self.array_oid if ref.is_array else self.oid


@dataclass(frozen=True, slots=True)
class SpelledType:
    """A type as a text spells it: the user's, or the server's own."""

    spelling: str
    oid: int
    typmod: int = -1


def visible_types_query(names: Iterable[str]) -> Question[SpelledType]:
    """Ask which types these names mean, bare or as a user spells them: those that there are.

    It runs under the user's search_path, so it has no operator and no cast that could be a user's.
    """
    wanted = ", ".join(f"({quote_literal(name)}::pg_catalog.text)" for name in names)
    columns = {"spelling": "wanted.name", "oid": "pg_catalog.to_regtype(wanted.name)::pg_catalog.oid::bigint"}
    there = "pg_catalog.to_regtype(wanted.name) IS NOT NULL"
    return Question(SpelledType, columns, f"FROM (VALUES {wanted}) AS wanted(name) WHERE {there}")


def named_types_query(names: Iterable[tuple[str, str, str]], visible: Mapping[str, int]) -> Question[NamedType]:
    """Ask for types by (schema, name, extension): those that there are, under the schema that was asked for.

    Where the schema is empty, it is the type that is `visible` by that name. An extension may have been installed into
    another schema: its type is found there, after those that are in the right schema.
    """
    rows = ((*map(quote_literal, parts), 0 if parts[0] else visible.get(parts[1], 0)) for parts in names)
    wanted = ", ".join(f"({schema}, {name}, {extension}, {oid:d}::oid)" for schema, name, extension, oid in rows)
    columns = {
        "schema": "wanted.schema",
        "name": "wanted.name",
        "oid": "t.oid::bigint",
        "array_oid": "t.typarray::bigint",
    }
    return Question(
        NamedType,
        columns,
        f"""
        FROM (VALUES {wanted}) AS wanted(schema, name, extension, visible)
        JOIN pg_catalog.pg_type AS t ON t.typname = wanted.name
        JOIN pg_catalog.pg_namespace AS n ON n.oid = t.typnamespace
        LEFT JOIN pg_catalog.pg_depend AS d ON d.objid = t.oid AND d.deptype = 'e'
              AND d.classid = 'pg_catalog.pg_type'::pg_catalog.regclass
        LEFT JOIN pg_catalog.pg_extension AS e ON e.oid = d.refobjid
        WHERE n.nspname = wanted.schema OR e.extname = wanted.extension OR t.oid = wanted.visible
        ORDER BY n.nspname = wanted.schema
        """,
    )


def column_types_query(oids: Iterable[int]) -> Question[int]:
    """Ask which of these types a column can have."""
    wanted = ", ".join(f"{oid:d}" for oid in oids)
    where = f"t.oid = ANY (ARRAY[{wanted}]::pg_catalog.oid[]) AND t.typtype <> 'p'"
    return Question(_oid, {"oid": "t.oid::bigint"}, f"FROM pg_catalog.pg_type AS t WHERE {where}")


def _oid(oid: int) -> int:
    return oid


def type_names_query(types: Iterable[tuple[int, int]]) -> Question[SpelledType]:
    """Ask how the server spells types, by (oid, typmod)."""
    wanted = ", ".join(f"({oid:d}, {typmod:d})" for oid, typmod in types)
    columns = {
        "spelling": "pg_catalog.format_type(t.oid::pg_catalog.oid, t.typmod)::pg_catalog.text",
        "oid": "t.oid::bigint",
        "typmod": "t.typmod::int",
    }
    return Question(SpelledType, columns, f"FROM (VALUES {wanted}) AS t(oid, typmod)")


def extension_types_query(extension: str) -> Question[SpelledType]:
    """Ask for the types that belong to an extension, by their bare names."""
    return Question(
        SpelledType,
        {"spelling": "t.typname::pg_catalog.text", "oid": "t.oid::bigint"},
        f"""
        FROM pg_catalog.pg_depend AS d
        JOIN pg_catalog.pg_extension AS e ON e.oid = d.refobjid AND e.extname = {quote_literal(extension)}
        JOIN pg_catalog.pg_type AS t ON t.oid = d.objid
        WHERE d.classid = 'pg_catalog.pg_type'::pg_catalog.regclass AND d.deptype = 'e'
          AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass
        """,
    )


@dataclass(frozen=True, slots=True)
class TypeRef:
    """A type that a file records, by its name in the database that it came from."""

    #: schema of the type; if empty, the search_path decides
    schema: str
    name: str
    #: the extension that brought it, "" for none
    extension: str = ""
    #: True if its array type is meant
    is_array: bool = False
    typmod: int = -1

    @property
    def key(self) -> tuple[str, str]:
        """Schema and name."""
        return self.schema, self.name
