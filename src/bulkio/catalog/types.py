"""Types in the catalog: the queries, and the facts read from their answers. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bulkio.quote import quote_literal
from bulkio.types import TypeFacts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bulkio.protocols import Row

__all__ = [
    "NamedType",
    "column_types_query",
    "extension_types_query",
    "named_types_query",
    "read_types",
    "type_names_query",
    "types_query",
    "visible_types_query",
]


def types_query(oids: Iterable[int]) -> str:
    """Ask for what is known of some types, and of all that they are made of.

    They are looked up by an array, for which the planner counts on ten rows. It counts on thousands for a join with a
    recursive query: so many that a server which can compile queries did, for half a second.
    """
    wanted = ", ".join(f"{oid:d}" for oid in sorted(set(oids)))
    return f"""
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
        SELECT t.oid::bigint, n.nspname::pg_catalog.text, t.typname::pg_catalog.text, t.typtype::pg_catalog.text,
               t.typarray::bigint,
               (CASE t.typtype WHEN 'd' THEN t.typbasetype
                     WHEN 'r' THEN (SELECT r.rngsubtype FROM pg_catalog.pg_range AS r WHERE r.rngtypid = t.oid)
                     WHEN 'm' THEN (SELECT r.rngtypid FROM pg_catalog.pg_range AS r WHERE r.rngmultitypid = t.oid)
                     ELSE t.typelem END)::bigint,
               t.typtypmod::int,
               (SELECT e.extname::pg_catalog.text FROM pg_catalog.pg_depend AS d
                  JOIN pg_catalog.pg_extension AS e ON e.oid = d.refobjid
                 WHERE d.classid = 'pg_catalog.pg_type'::pg_catalog.regclass AND d.objid = t.oid AND d.deptype = 'e'
                   AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass),
               EXISTS (SELECT FROM pg_catalog.pg_type AS e WHERE e.oid = t.typelem AND e.typarray = t.oid),
               ARRAY(SELECT l.enumlabel::pg_catalog.text FROM pg_catalog.pg_enum AS l WHERE l.enumtypid = t.oid
                      ORDER BY l.enumsortorder),
               ARRAY(SELECT a.attname::pg_catalog.text {_ATTRIBUTES}), ARRAY(SELECT a.atttypid::bigint {_ATTRIBUTES}),
               ARRAY(SELECT a.atttypmod::int {_ATTRIBUTES}),
               pg_catalog.scale(0::pg_catalog.money::pg_catalog.numeric)::int,
               t.typdelim::pg_catalog.text, t.typnotnull,
               t.typdefault IS NOT NULL OR EXISTS (
                   SELECT FROM pg_catalog.pg_constraint AS k WHERE k.contypid = t.oid AND k.contype = 'c')
        FROM pg_catalog.pg_type AS t
        JOIN pg_catalog.pg_namespace AS n ON n.oid = t.typnamespace
        WHERE t.oid = ANY (ARRAY(SELECT wanted.oid FROM wanted))
    """  # noqa: S608 - numbers


_ATTRIBUTES = """
    FROM pg_catalog.pg_attribute AS a
    WHERE a.attrelid = t.typrelid AND t.typtype = 'c' AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
"""


def read_types(rows: Iterable[Row]) -> Mapping[int, TypeFacts]:
    """Make facts, by oid, from the answer to `types_query`."""
    return {fact.oid: fact for fact in map(_read_type, rows)}


def _read_type(row: Row) -> TypeFacts:
    *plain, labels, names, oids, typmods, money_scale, delimiter, not_null, has_more = row
    fields = zip(names, oids, typmods, strict=True)  # type: ignore[call-overload]  # lists, by the row contract
    return TypeFacts(*plain, tuple(labels), tuple(fields), money_scale, delimiter, not_null, has_more)  # type: ignore[arg-type, call-arg]


@dataclass(frozen=True, slots=True)
class NamedType:
    """A type that was looked up by name."""

    oid: int
    array_oid: int


def visible_types_query(names: Iterable[str]) -> str:
    """Ask which types these names mean, bare or as a user spells them: (name, oid) of each, null where there is none.

    It runs under the user's search_path, so it has no operator and no cast that could be a user's.
    """
    wanted = ", ".join(f"({quote_literal(name)}::pg_catalog.text)" for name in names)
    return f"""
        SELECT wanted.name, pg_catalog.to_regtype(wanted.name)::pg_catalog.oid::bigint
        FROM (VALUES {wanted}) AS wanted(name)
    """  # noqa: S608 - quoted literals


def named_types_query(names: Iterable[tuple[str, str, str]], visible: Mapping[str, int]) -> str:
    """Ask for types by (schema, name, extension): schema, name, oid and its array's oid of each that there is.

    Where the schema is empty, it is the type that is `visible` by that name. An extension may have been installed into
    another schema: its type is found there, after those that are in the right schema.
    """
    rows = ((*map(quote_literal, parts), 0 if parts[0] else visible.get(parts[1], 0)) for parts in names)
    wanted = ", ".join(f"({schema}, {name}, {extension}, {oid:d}::oid)" for schema, name, extension, oid in rows)
    return f"""
        SELECT wanted.schema, wanted.name, t.oid::bigint, t.typarray::bigint
        FROM (VALUES {wanted}) AS wanted(schema, name, extension, visible)
        JOIN pg_catalog.pg_type AS t ON t.typname = wanted.name
        JOIN pg_catalog.pg_namespace AS n ON n.oid = t.typnamespace
        LEFT JOIN pg_catalog.pg_depend AS d ON d.objid = t.oid AND d.deptype = 'e'
              AND d.classid = 'pg_catalog.pg_type'::pg_catalog.regclass
        LEFT JOIN pg_catalog.pg_extension AS e ON e.oid = d.refobjid
        WHERE n.nspname = wanted.schema OR e.extname = wanted.extension OR t.oid = wanted.visible
        ORDER BY n.nspname = wanted.schema
    """  # noqa: S608 - quoted literals and numbers


def column_types_query(oids: Iterable[int]) -> str:
    """Ask which of these types a column can have: (oid) of each."""
    wanted = ", ".join(f"{oid:d}" for oid in oids)
    return f"""
        SELECT t.oid::bigint FROM pg_catalog.pg_type AS t
        WHERE t.oid = ANY (ARRAY[{wanted}]::pg_catalog.oid[]) AND t.typtype <> 'p'
    """  # noqa: S608 - numbers


def type_names_query(types: Iterable[tuple[int, int]]) -> str:
    """Ask how the server spells types: (oid, typmod, name with typmod) of each (oid, typmod)."""
    wanted = ", ".join(f"({oid:d}, {typmod:d})" for oid, typmod in types)
    return f"""
        SELECT t.oid::bigint, t.typmod::int, pg_catalog.format_type(t.oid::pg_catalog.oid, t.typmod)::pg_catalog.text
        FROM (VALUES {wanted}) AS t(oid, typmod)
    """  # noqa: S608 - numbers


def extension_types_query(extension: str) -> str:
    """Ask for the types that belong to an extension: (name, oid)."""
    return f"""
        SELECT t.typname::pg_catalog.text, t.oid::bigint
        FROM pg_catalog.pg_depend AS d
        JOIN pg_catalog.pg_extension AS e ON e.oid = d.refobjid AND e.extname = {quote_literal(extension)}
        JOIN pg_catalog.pg_type AS t ON t.oid = d.objid
        WHERE d.classid = 'pg_catalog.pg_type'::pg_catalog.regclass AND d.deptype = 'e'
          AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass
    """  # noqa: S608 - a quoted literal
