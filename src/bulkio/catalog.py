"""Facts about tables, as the server's catalog tells them: the queries that ask, and the rows read back.

Pure: the queries are text, the answers are tuples. Who runs them is `bulkio.loader` and `bulkio.exporter`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from bulkio.errors import ConfigError
from bulkio.quote import qualified, quote_literal
from bulkio.show import printable
from bulkio.sql import SequenceOptions
from bulkio.types import TypeFacts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from bulkio.protocols import Row

__all__ = [
    "Column",
    "NamedType",
    "SequenceUse",
    "Table",
    "TableName",
    "bad_name",
    "children_query",
    "column_types_query",
    "columns_query",
    "extension_types_query",
    "is_table_name",
    "name_bytes_query",
    "name_query",
    "named_types_query",
    "nullable_query",
    "read_name",
    "read_sequences",
    "read_table",
    "read_types",
    "schema_query",
    "schemas_query",
    "sequences_query",
    "table_query",
    "type_names_query",
    "types_query",
    "visible_types_query",
]

#: pg_class.relkind of what has rows to read
READABLE = {
    "r": "table",
    "p": "partitioned table",
    "v": "view",
    "m": "materialized view",
    "f": "foreign table",
}
#: … and of what COPY FROM can write
WRITABLE = {"r": "table", "p": "partitioned table", "f": "foreign table"}


@dataclass(frozen=True, slots=True)
class TableName:
    """A table as the user named it, its letters folded by the server; without a schema the search_path decides."""

    schema: str | None
    name: str

    def __str__(self) -> str:
        """Name it as messages do."""
        return printable(self.name if self.schema is None else f"{self.schema}.{self.name}")


@dataclass(frozen=True, slots=True)
class Column:
    """One column of an existing table."""

    name: str
    type_oid: int
    typmod: int
    #: the type as the server spells it, such as ``character varying(10)``
    type_name: str
    #: rows to come have no NULL in it
    not_null: bool
    has_default: bool
    #: ALWAYS or BY DEFAULT, "" for none
    identity: str
    generated: bool
    #: its place in the primary key, from 1; 0 where it has none, or where the key is none of all the rows that a SELECT
    #: reads (children have keys of their own) or forbids overlaps
    key_position: int


@dataclass(frozen=True, slots=True)
class SequenceUse:
    """A sequence that a column takes its values from: its own (identity, serial), or one that its default names."""

    column: str
    #: qualified and quoted
    name: str
    #: it belongs to the column, and goes with it
    owned: bool
    options: SequenceOptions
    #: what it takes to advance it: to read and to set it, and to read the column
    may_set: bool
    may_read_column: bool


@dataclass(frozen=True, slots=True)
class Table:
    """One existing table, view or foreign table."""

    schema: str
    name: str
    oid: int
    #: pg_class.relkind
    kind: str
    columns: tuple[Column, ...]


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


def table_query(table: TableName | int) -> str:
    """Ask for a table by its oid, or by its whole name: no row where there is none."""
    oid = (
        f"{table:d}"
        if isinstance(table, int)
        else f"pg_catalog.to_regclass({quote_literal(qualified(table.schema, table.name))})"
    )
    return f"""
        SELECT c.oid::bigint, n.nspname::pg_catalog.text, c.relname::pg_catalog.text, c.relkind::pg_catalog.text
        FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        WHERE c.oid = {oid}
    """  # noqa: S608 - a number, or a quoted literal


def schema_query(schema: str) -> str:
    """Ask whether a schema exists: one row, or none."""
    return f"SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = {quote_literal(schema)}"  # noqa: S608 - quoted


def columns_query(oid: int) -> str:
    """Ask for the columns of a table, in their order."""
    return f"""
        SELECT a.attname::pg_catalog.text, a.atttypid::bigint, a.atttypmod::int,
               pg_catalog.format_type(a.atttypid, a.atttypmod)::pg_catalog.text, a.attnotnull, a.atthasdef,
               CASE a.attidentity WHEN 'a' THEN 'ALWAYS' WHEN 'd' THEN 'BY DEFAULT' ELSE '' END, a.attgenerated <> '',
               coalesce((SELECT pg_catalog.array_position(
                                    (i.indkey::pg_catalog.int2[])[0:i.indnkeyatts - 1], a.attnum)
                           FROM pg_catalog.pg_index AS i
                          WHERE i.indrelid = a.attrelid AND i.indisprimary AND i.indisvalid
                            AND NOT i.indisexclusion AND NOT EXISTS (
                                SELECT FROM pg_catalog.pg_inherits AS h
                                  JOIN pg_catalog.pg_class AS p ON p.oid = h.inhparent AND p.relkind = 'r'
                                 WHERE h.inhparent = a.attrelid)), 0)::int
        FROM pg_catalog.pg_attribute AS a
        WHERE a.attrelid = {oid:d} AND a.attnum > 0 AND NOT a.attisdropped
        ORDER BY a.attnum
    """  # noqa: S608 - a number


#: what pg_get_expr gives for a default that is a sequence's next value and no more
_PLAIN_NEXTVAL = r"^(pg_catalog\.)?nextval\(''.*''::(pg_catalog\.)?regclass\)$"


def sequences_query(oid: int) -> str:
    """Ask for the sequences that a table's columns take their values from.

    A partition's columns share the sequences of those above it, whose identity they have since PostgreSQL 17. A default
    that computes something of a sequence's value tells nothing of where the sequence stands: it does not count.
    """
    return f"""
        WITH tables(oid) AS (
            SELECT {oid:d}::pg_catalog.oid
            UNION SELECT relid FROM pg_catalog.pg_partition_ancestors({oid:d}::pg_catalog.regclass)
        ), columns AS (
            SELECT own.attname, own.attnum AS own_number, a.attrelid, a.attnum, a.attidentity, a.atthasdef
            FROM tables
            JOIN pg_catalog.pg_attribute AS a ON a.attrelid = tables.oid
            JOIN pg_catalog.pg_attribute AS own ON own.attrelid = {oid:d} AND own.attname = a.attname
            WHERE a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
        ), uses AS (
            SELECT c.attname, c.own_number, d.objid AS sequence, true AS owned
            FROM columns AS c
            JOIN pg_catalog.pg_depend AS d ON d.refobjid = c.attrelid AND d.refobjsubid = c.attnum
             AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.classid = d.refclassid
             AND d.deptype = 'i' AND c.attidentity <> ''
            UNION ALL
            SELECT c.attname, c.own_number, d.refobjid, EXISTS (
                       SELECT FROM pg_catalog.pg_depend AS o
                        WHERE o.objid = d.refobjid AND o.classid = d.refclassid AND o.refclassid = d.refclassid
                          AND o.refobjid = c.attrelid AND o.refobjsubid = c.attnum AND o.deptype = 'a')
            FROM columns AS c
            JOIN pg_catalog.pg_attrdef AS e ON e.adrelid = c.attrelid AND e.adnum = c.attnum
             AND pg_catalog.pg_get_expr(e.adbin, e.adrelid) ~ '{_PLAIN_NEXTVAL}'
            JOIN pg_catalog.pg_depend AS d ON d.objid = e.oid
             AND d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass
             AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
        )
        SELECT u.attname::pg_catalog.text, pg_catalog.format('%I.%I', n.nspname, c.relname),
               pg_catalog.bool_or(u.owned), s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcache, s.seqcycle,
               pg_catalog.has_sequence_privilege(s.seqrelid, 'SELECT')
               AND pg_catalog.has_sequence_privilege(s.seqrelid, 'UPDATE'),
               pg_catalog.has_column_privilege({oid:d}::pg_catalog.oid, u.own_number, 'SELECT')
        FROM uses AS u
        JOIN pg_catalog.pg_sequence AS s ON s.seqrelid = u.sequence
        JOIN pg_catalog.pg_class AS c ON c.oid = s.seqrelid
        JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        GROUP BY u.attname, u.own_number, n.nspname, c.relname, s.seqrelid, s.seqstart, s.seqincrement, s.seqmin,
                 s.seqmax, s.seqcache, s.seqcycle
        ORDER BY u.own_number, s.seqrelid
    """  # noqa: S608 - a number


def read_sequences(rows: Iterable[Row]) -> tuple[SequenceUse, ...]:
    """Make facts from the answer to `sequences_query`."""
    return tuple(map(_read_sequence, rows))


def _read_sequence(row: Row) -> SequenceUse:
    column, name, owned, *options, may_set, may_read_column = row
    return SequenceUse(column, name, owned, SequenceOptions(*options), may_set, may_read_column)  # type: ignore[arg-type]


def nullable_query(oid: int) -> str:
    """Ask which columns may hold NULLs in the rows that a SELECT from a table reads, its children's rows too.

    pg_attribute's attnotnull is about rows to come: there may be a constraint that is NOT VALID, a child that has
    dropped the parent's NOT NULL, and a foreign table only promises.
    """
    return f"""
        WITH RECURSIVE tree(oid) AS (
            SELECT {oid:d}::pg_catalog.oid
            UNION SELECT i.inhrelid FROM pg_catalog.pg_inherits AS i JOIN tree ON i.inhparent = tree.oid
        )
        SELECT a.attname::pg_catalog.text
        FROM tree
        JOIN pg_catalog.pg_class AS c ON c.oid = tree.oid
        JOIN pg_catalog.pg_attribute AS a ON a.attrelid = tree.oid AND a.attnum > 0 AND NOT a.attisdropped
        WHERE NOT a.attnotnull OR c.relkind = 'f'
        UNION
        SELECT a.attname::pg_catalog.text
        FROM tree
        JOIN pg_catalog.pg_constraint AS k ON k.conrelid = tree.oid AND k.contype = 'n' AND NOT k.convalidated
        JOIN pg_catalog.pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey)
    """  # noqa: S608 - a number


def children_query(oid: int) -> str:
    """Ask for the tables that inherit from a table, and from these: (schema, name). Partitions are none."""
    return f"""
        WITH RECURSIVE tree(oid) AS (
            SELECT {oid:d}::pg_catalog.oid
            UNION SELECT i.inhrelid FROM pg_catalog.pg_inherits AS i JOIN tree ON i.inhparent = tree.oid
        )
        SELECT n.nspname::pg_catalog.text, c.relname::pg_catalog.text
        FROM tree
        JOIN pg_catalog.pg_class AS c ON c.oid = tree.oid AND c.oid <> {oid:d} AND NOT c.relispartition
        JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        ORDER BY 1, 2
    """  # noqa: S608 - a number


def schemas_query() -> str:
    """Ask for the schemas of the search_path that exist. It runs under the user's."""
    return "SELECT pg_catalog.unnest(pg_catalog.current_schemas(false))::pg_catalog.text"


def read_table(row: Row, columns: Sequence[Row]) -> Table:
    """Make a `Table` from the answers to `table_query` and `columns_query`."""
    oid, schema, name, kind = cast("tuple[int, str, str, str]", row)
    return Table(schema, name, oid, kind, tuple(Column(*column) for column in columns))  # type: ignore[arg-type]


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
