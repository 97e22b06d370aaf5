"""Facts about tables, as the server's catalog tells them, and the questions that ask for them.

Pure: `lookup` asks the questions.
"""

from __future__ import annotations

from dataclasses import dataclass

from bulkio.catalog.names import TableName
from bulkio.catalog.question import Question
from bulkio.quote import qualified, quote_literal
from bulkio.sql import SequenceOptions

__all__ = [
    "Column",
    "Relation",
    "SequenceUse",
    "Table",
    "children_query",
    "columns_query",
    "nullable_query",
    "schema_query",
    "schemas_query",
    "sequences_query",
    "size_query",
    "table_query",
    "tables_query",
]

#: pg_class.relkind of what can be read
READABLE = {
    "r": "table",
    "p": "partitioned table",
    "v": "view",
    "m": "materialized view",
    "f": "foreign table",
}


#: pg_class.relkind of what COPY FROM can write
WRITABLE = {"r": "table", "p": "partitioned table", "f": "foreign table"}


@dataclass(frozen=True, slots=True)
class Column:
    """One column of an existing table."""

    name: str
    type_oid: int
    typmod: int
    #: the type as the server spells it, such as ``character varying(10)``
    type_name: str
    #: True if no new row can have NULL in it
    not_null: bool
    has_default: bool
    #: ALWAYS or BY DEFAULT; "" for none
    identity: str
    generated: bool
    #: position in the primary key, from 1; 0 if it is not part of one, or if the key does not hold for all the rows
    #: that a SELECT reads (children have keys of their own) or only forbids overlaps
    key_position: int


@dataclass(frozen=True, slots=True)
class SequenceUse:
    """A sequence that a column takes its values from: its own (identity, serial), or one that its default names."""

    column: str
    #: name, qualified and quoted
    name: str
    #: True if the sequence belongs to the column and is dropped with it
    owned: bool
    options: SequenceOptions
    #: privileges needed to advance it: to read and to set the sequence, and to read the column
    may_set: bool
    may_read_column: bool


@dataclass(frozen=True, slots=True)
class Relation:
    """One row of pg_class."""

    schema: str
    name: str
    oid: int
    #: pg_class.relkind
    kind: str
    may_change_rows: bool


@dataclass(frozen=True, slots=True)
class Table:
    """One existing table, view or foreign table."""

    schema: str
    name: str
    oid: int
    #: pg_class.relkind
    kind: str
    columns: tuple[Column, ...]
    #: True if a row may be stored otherwise than it was given, or outlive its DELETE: there are triggers or rules, or
    #: tables that inherit, partitions too, and may have some
    may_change_rows: bool = False


def table_query(table: TableName | int) -> Question[Relation]:
    """Ask for a table by its oid, or by its whole name: no row where there is none."""
    oid = (
        f"{table:d}"
        if isinstance(table, int)
        else f"pg_catalog.to_regclass({quote_literal(qualified(table.schema, table.name))})"
    )
    columns = {
        "schema": "n.nspname::pg_catalog.text",
        "name": "c.relname::pg_catalog.text",
        "oid": "c.oid::bigint",
        "kind": "c.relkind::pg_catalog.text",
        "may_change_rows": "c.relhastriggers OR c.relhasrules OR c.relhassubclass",
    }
    return Question(
        Relation,
        columns,
        f"""
        FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        WHERE c.oid = {oid}
        """,
    )


@dataclass(frozen=True, slots=True)
class Size:
    """How large a table is, its partitions together."""

    #: bytes of the heap
    bytes: int
    #: rows as the planner would estimate them; None if a part of the table was never analyzed
    estimate: int | None
    #: True if this role would count every row, at the cost of reading them all
    countable: bool
    is_partitioned: bool


def size_query(schema: str, table: str) -> Question[Size]:
    """Ask how large a table is. Its parts' estimates are scaled to their sizes now, as the planner does it."""
    size = "pg_catalog.pg_relation_size(c.oid::pg_catalog.regclass)"
    block = "pg_catalog.current_setting('block_size')::pg_catalog.int8"
    rows = f"CASE WHEN {size} = 0 THEN 0 WHEN c.relpages > 0 THEN c.reltuples / c.relpages * ({size} / {block}) END"
    unknown = f"{size} > 0 AND (c.reltuples < 0 OR c.relpages = 0) OR c.relkind <> 'r'"
    columns = {
        "bytes": f"coalesce(sum({size}), 0)::bigint",
        "estimate": f"CASE WHEN bool_or({unknown}) THEN NULL ELSE coalesce(sum({rows}), 0)::bigint END",
        "countable": "coalesce(bool_and(c.relkind = 'r'), true)"
        " AND pg_catalog.has_table_privilege((SELECT oid FROM named), 'SELECT')"
        " AND NOT pg_catalog.row_security_active((SELECT oid FROM named))",
        "is_partitioned": "EXISTS (SELECT FROM named JOIN pg_catalog.pg_class AS t ON t.oid = named.oid"
        " WHERE t.relkind = 'p')",
    }
    rest = """
        FROM pg_catalog.pg_class AS c
        WHERE c.relkind <> 'p' AND c.oid IN (
            SELECT oid FROM named UNION
            SELECT t.relid FROM named, pg_catalog.pg_partition_tree(named.oid::pg_catalog.regclass) AS t)
        """
    name = quote_literal(qualified(schema, table))
    before = f"WITH named AS (SELECT pg_catalog.to_regclass({name})::pg_catalog.oid AS oid)"
    return Question(Size, columns, rest, before)


def tables_query() -> Question[TableName]:
    """Ask for the names of tables and views that are not the server's own, 10,000 at most."""
    columns = {"schema": "n.nspname::pg_catalog.text", "name": "c.relname::pg_catalog.text"}
    return Question(
        TableName,
        columns,
        """
        FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
        LIMIT 10000
        """,
    )


def schema_query(schema: str) -> Question[str]:
    """Ask whether a schema exists: its name, or no row."""
    where = f"FROM pg_catalog.pg_namespace AS n WHERE n.nspname = {quote_literal(schema)}"
    return Question(_name, {"name": "n.nspname::pg_catalog.text"}, where)


def _name(name: str) -> str:
    return name


_COLUMN = {
    "name": "a.attname::pg_catalog.text",
    "type_oid": "a.atttypid::bigint",
    "typmod": "a.atttypmod::int",
    "type_name": "pg_catalog.format_type(a.atttypid, a.atttypmod)::pg_catalog.text",
    "not_null": "a.attnotnull",
    "has_default": "a.atthasdef",
    "identity": "CASE a.attidentity WHEN 'a' THEN 'ALWAYS' WHEN 'd' THEN 'BY DEFAULT' ELSE '' END",
    "generated": "a.attgenerated <> ''",
    "key_position": """
        coalesce((SELECT pg_catalog.array_position((i.indkey::pg_catalog.int2[])[0:i.indnkeyatts - 1], a.attnum)
                    FROM pg_catalog.pg_index AS i
                   WHERE i.indrelid = a.attrelid AND i.indisprimary AND i.indisvalid
                     AND NOT i.indisexclusion AND NOT EXISTS (
                         SELECT FROM pg_catalog.pg_inherits AS h
                           JOIN pg_catalog.pg_class AS p ON p.oid = h.inhparent AND p.relkind = 'r'
                          WHERE h.inhparent = a.attrelid)), 0)::int""",
}


def columns_query(oid: int) -> Question[Column]:
    """Ask for the columns of a table, in their order."""
    return Question(
        Column,
        _COLUMN,
        f"""
        FROM pg_catalog.pg_attribute AS a
        WHERE a.attrelid = {oid:d} AND a.attnum > 0 AND NOT a.attisdropped
        ORDER BY a.attnum
        """,
    )


#: pattern of what pg_get_expr returns for a default that is just a sequence's next value
_PLAIN_NEXTVAL = r"^(pg_catalog\.)?nextval\(''.*''::(pg_catalog\.)?regclass\)$"


def sequences_query(oid: int) -> Question[SequenceUse]:
    """Ask for the sequences that a table's columns take their values from.

    A partition's columns share the sequences of those above it, whose identity they have since PostgreSQL 17. A default
    that computes something of a sequence's value tells nothing of where the sequence stands: it does not count.
    """
    columns = {
        "column": "u.attname::pg_catalog.text",
        "name": "pg_catalog.format('%I.%I', n.nspname, c.relname)",
        "owned": "pg_catalog.bool_or(u.owned)",
        "start": "s.seqstart",
        "increment": "s.seqincrement",
        "minimum": "s.seqmin",
        "maximum": "s.seqmax",
        "cache": "s.seqcache",
        "cycle": "s.seqcycle",
        "may_set": """
            pg_catalog.has_sequence_privilege(s.seqrelid, 'SELECT')
            AND pg_catalog.has_sequence_privilege(s.seqrelid, 'UPDATE')""",
        "may_read_column": f"pg_catalog.has_column_privilege({oid:d}::pg_catalog.oid, u.own_number, 'SELECT')",
    }
    before = f"""
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
    """  # noqa: S608 - a number
    rest = """
        FROM uses AS u
        JOIN pg_catalog.pg_sequence AS s ON s.seqrelid = u.sequence
        JOIN pg_catalog.pg_class AS c ON c.oid = s.seqrelid
        JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        GROUP BY u.attname, u.own_number, n.nspname, c.relname, s.seqrelid, s.seqstart, s.seqincrement, s.seqmin,
                 s.seqmax, s.seqcache, s.seqcycle
        ORDER BY u.own_number, s.seqrelid
    """
    return Question(_sequence_use, columns, rest, before)


def _sequence_use(
    *, column: str, name: str, owned: bool, may_set: bool, may_read_column: bool, cycle: bool, **counting: int
) -> SequenceUse:
    return SequenceUse(column, name, owned, SequenceOptions(cycle=cycle, **counting), may_set, may_read_column)


#: a query for a table and its children, to begin other queries with
_TREE = """
        WITH RECURSIVE tree(oid) AS (
            SELECT {oid:d}::pg_catalog.oid
            UNION SELECT i.inhrelid FROM pg_catalog.pg_inherits AS i JOIN tree ON i.inhparent = tree.oid
        )
"""


def nullable_query(oid: int) -> Question[str]:
    """Ask which columns may hold NULLs in the rows that a SELECT from a table reads, its children's rows too.

    pg_attribute's attnotnull is about rows to come: there may be a constraint that is NOT VALID, a child that has
    dropped the parent's NOT NULL, and a foreign table only promises.
    """
    rest = """
        FROM tree
        JOIN pg_catalog.pg_class AS c ON c.oid = tree.oid
        JOIN pg_catalog.pg_attribute AS a ON a.attrelid = tree.oid AND a.attnum > 0 AND NOT a.attisdropped
        WHERE NOT a.attnotnull OR c.relkind = 'f'
        UNION
        SELECT a.attname::pg_catalog.text
        FROM tree
        JOIN pg_catalog.pg_constraint AS k ON k.conrelid = tree.oid AND k.contype = 'n' AND NOT k.convalidated
        JOIN pg_catalog.pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey)
    """
    return Question(_name, {"name": "a.attname::pg_catalog.text"}, rest, _TREE.format(oid=oid))


def children_query(oid: int) -> Question[TableName]:
    """Ask for the tables that inherit from a table, and from these. Partitions are none."""
    columns = {"schema": "n.nspname::pg_catalog.text", "name": "c.relname::pg_catalog.text"}
    rest = f"""
        FROM tree
        JOIN pg_catalog.pg_class AS c ON c.oid = tree.oid AND c.oid <> {oid:d} AND NOT c.relispartition
        JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        ORDER BY 1, 2
    """
    return Question(TableName, columns, rest, _TREE.format(oid=oid))


def schemas_query() -> Question[str]:
    """Ask for the schemas of the search_path that exist. It runs under the user's."""
    return Question(_name, {"name": "pg_catalog.unnest(pg_catalog.current_schemas(false))::pg_catalog.text"}, "")
