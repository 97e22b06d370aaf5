"""The tables in the ledger's schema: their columns and keys, what makes them, and who may use them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bulkio.protocols import ROW_TYPE_OIDS
from bulkio.quote import qualified, quote_ident, quote_literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "CHUNKS",
    "FOR_CHUNKS",
    "FOR_LOADS",
    "FOR_RUNS",
    "FOR_STATEMENTS",
    "JOURNAL",
    "KEYS",
    "LOADS",
    "MARKS",
    "RUNS",
    "STATEMENTS",
    "STEPS",
    "TABLES",
    "Needs",
    "column_oids",
    "create_schema",
    "create_table",
    "full_ddl",
    "lacking_rights",
    "may_use_schema",
    "table_facts",
]

LOADS = "loads"
CHUNKS = "chunks"
STATEMENTS = "statements"
RUNS = "runs"
STEPS = "steps"
MARKS = "marks"
#: tables of the runs of pipelines
JOURNAL = (RUNS, STEPS, MARKS)

_LOAD_STATES = ("running", "preparing", "committing", "aborting", "done")
_RUN_STATES = ("running", "done", "failed", "interrupted", "missed")
_STEP_STATES = ("running", "done", "skipped", "failed", "interrupted")
#: who asked for a run: a user, the schedule, or a user for ticks of the past
_KINDS = ("manual", "tick", "backfill")


def _one_of(words: Sequence[str], column: str) -> str:
    return f"NOT NULL CHECK ({column} IN ({', '.join(map(quote_literal, words))}))"


#: columns of each table, with type and constraint
TABLES = {
    LOADS: {
        "id": ("text", "NOT NULL"),
        "table_schema": ("text", "NOT NULL"),
        "table_name": ("text", "NOT NULL"),
        "mode": ("text", "NOT NULL"),
        "source": ("jsonb", "NOT NULL"),
        "options": ("jsonb", "NOT NULL"),
        "state": ("text", _one_of(_LOAD_STATES, "state")),
        "work": ("jsonb", ""),
        "started_at": ("timestamptz", "NOT NULL"),
        "finished_at": ("timestamptz", ""),
        "rows": ("bigint", ""),
        "report": ("jsonb", ""),
        "bulkio_version": ("text", "NOT NULL"),
        "run": ("uuid", "NOT NULL"),
    },
    CHUNKS: {
        "load_id": ("text", "NOT NULL"),
        "chunk": ("bigint", "NOT NULL"),
        "rows": ("bigint", "NOT NULL"),
        "bytes": ("bigint", "NOT NULL"),
        "rejected": ("bigint", "NOT NULL"),
        "run": ("uuid", "NOT NULL"),
    },
    STATEMENTS: {
        "id": ("text", "NOT NULL"),
        "digest": ("text", "NOT NULL"),
        "rows": ("bigint", "NOT NULL"),
        "finished_at": ("timestamptz", "NOT NULL"),
        "bulkio_version": ("text", "NOT NULL"),
        "run": ("uuid", "NOT NULL"),
    },
    RUNS: {
        "pipeline": ("text", "NOT NULL"),
        "run": ("text", "NOT NULL"),
        "state": ("text", _one_of(_RUN_STATES, "state")),
        "kind": ("text", _one_of(_KINDS, "kind")),
        "file": ("text", "NOT NULL"),
        "logical_date": ("timestamptz", ""),
        "params": ("jsonb", "NOT NULL"),
        "owner": ("uuid", ""),
        "host": ("text", ""),
        "process": ("jsonb", ""),
        "lease_until": ("timestamptz", ""),
        "attempt": ("bigint", "NOT NULL"),
        "started_at": ("timestamptz", ""),
        "finished_at": ("timestamptz", ""),
        "error": ("text", ""),
        "bulkio_version": ("text", "NOT NULL"),
    },
    STEPS: {
        "pipeline": ("text", "NOT NULL"),
        "run": ("text", "NOT NULL"),
        "step": ("text", "NOT NULL"),
        "item": ("text", "NOT NULL"),
        "state": ("text", _one_of(_STEP_STATES, "state")),
        "attempts": ("bigint", "NOT NULL"),
        "started_at": ("timestamptz", ""),
        "finished_at": ("timestamptz", ""),
        "rows": ("bigint", ""),
        "bytes": ("bigint", ""),
        "error": ("text", ""),
        "load_id": ("text", ""),
        "detail": ("jsonb", ""),
    },
    MARKS: {
        "pipeline": ("text", "NOT NULL"),
        # "" is the schedule's own: the latest tick that was run or missed
        "step": ("text", "NOT NULL"),
        "mark": ("text", ""),
        "pending": ("text", ""),
        "pending_to": ("text", ""),
    },
}
#: key of each table
KEYS = {
    LOADS: ("id",),
    CHUNKS: ("load_id", "chunk"),
    STATEMENTS: ("id",),
    RUNS: ("pipeline", "run"),
    STEPS: ("pipeline", "run", "step", "item"),
    MARKS: ("pipeline", "step"),
}


@dataclass(frozen=True, slots=True)
class Needs:
    """What some kind of work needs of the ledger."""

    #: tables, with the privileges on them that are looked at before the work begins
    rights: Mapping[str, tuple[str, ...]]
    #: start of the message where one is lacking
    why: str = ""


FOR_LOADS = Needs({LOADS: ()})
FOR_STATEMENTS = Needs({STATEMENTS: ("SELECT", "INSERT")}, "SQL that runs once is recorded in the ledger")
FOR_CHUNKS = Needs(
    {LOADS: ("SELECT", "INSERT", "UPDATE", "DELETE"), CHUNKS: ("SELECT", "INSERT", "DELETE")},
    "a load on several connections, or by chunks, changes what the ledger has of it",
)
FOR_RUNS = Needs(
    dict.fromkeys(JOURNAL, ("SELECT", "INSERT", "UPDATE")), "the run of a pipeline is kept in the ledger's schema"
)


def column_oids(table: str) -> dict[str, int]:
    """Return the columns of one of the tables, with the oids of their types."""
    return {name: ROW_TYPE_OIDS[{"bigint": "int8"}.get(kind, kind)] for name, (kind, _) in TABLES[table].items()}


def lacking_rights(schema: str, needs: Mapping[str, Sequence[str]]) -> str:
    """Ask which rights the role lacks that are needed on the ledger's tables, as GRANT has them: a row each."""
    pairs = ", ".join(
        f"({quote_literal(qualified(schema, table))}, {quote_literal(right)})"
        for table, rights in needs.items()
        for right in rights
    )
    return (
        f"SELECT need.privilege || ' ON ' || need.name FROM (VALUES {pairs}) AS need(name, privilege)"  # noqa: S608 - quoted
        " WHERE NOT pg_catalog.has_table_privilege(need.name, need.privilege)"
    )


def may_use_schema(schema: str) -> str:
    """Ask whether the role may use a schema; one row, with NULL where there is none."""
    return (
        "SELECT (SELECT pg_catalog.has_schema_privilege(n.oid, 'USAGE') FROM pg_catalog.pg_namespace AS n"  # noqa: S608
        f" WHERE n.nspname OPERATOR(pg_catalog.=) {quote_literal(schema)})"
    )


def table_facts(schema: str, table: str) -> str:
    """Ask whether the schema is there, and of the table: its kind, its columns as JSON, whether it has its key.

    Last come the owners, of either, that this role has no reason to trust: not itself, nor the database's owner, a
    superuser, or a role that it is a member of. A trigger of theirs would run with this role's rights.

    It may run outside of a transaction, under any search_path.
    """
    columns = (
        "SELECT pg_catalog.json_object_agg(a.attname, a.atttypid::pg_catalog.int8)::pg_catalog.text"
        " FROM pg_catalog.pg_attribute AS a WHERE a.attrelid OPERATOR(pg_catalog.=) c.oid"
        " AND a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped"
    )
    names = ", ".join(map(quote_literal, KEYS[table]))
    key = (
        "SELECT FROM pg_catalog.pg_index AS i WHERE i.indrelid OPERATOR(pg_catalog.=) c.oid"  # noqa: S608 - fixed words
        " AND i.indisunique AND i.indimmediate AND i.indisvalid AND i.indpred IS NULL"
        f" AND i.indnkeyatts OPERATOR(pg_catalog.=) {len(KEYS[table]):d} AND ARRAY[{names}]"
        " OPERATOR(pg_catalog.=) ARRAY(SELECT k.attname::pg_catalog.text FROM pg_catalog.pg_attribute AS k"
        " WHERE k.attrelid OPERATOR(pg_catalog.=) i.indrelid"
        " AND k.attnum OPERATOR(pg_catalog.=) ANY (i.indkey::pg_catalog.int2[])"
        " ORDER BY pg_catalog.array_position(i.indkey::pg_catalog.int2[], k.attnum))"
    )
    strangers = (
        "SELECT pg_catalog.min(o.rolname::pg_catalog.text) FROM pg_catalog.pg_roles AS o, pg_catalog.pg_roles AS me"
        " WHERE me.rolname OPERATOR(pg_catalog.=) current_user AND (o.oid OPERATOR(pg_catalog.=) n.nspowner"
        " OR o.oid OPERATOR(pg_catalog.=) c.relowner) AND NOT (o.rolsuper OR o.oid OPERATOR(pg_catalog.=) me.oid"
        " OR o.oid OPERATOR(pg_catalog.=) (SELECT datdba FROM pg_catalog.pg_database"
        " WHERE datname OPERATOR(pg_catalog.=) pg_catalog.current_database())"
        " OR NOT me.rolsuper AND pg_catalog.pg_has_role(o.oid, 'USAGE'))"
    )
    return (
        f"SELECT n.oid IS NOT NULL, c.relkind::pg_catalog.text, ({columns}), EXISTS ({key}), ({strangers})"  # noqa: S608
        " FROM (SELECT) AS here LEFT JOIN pg_catalog.pg_namespace AS n"
        f" ON n.nspname OPERATOR(pg_catalog.=) {quote_literal(schema)} LEFT JOIN pg_catalog.pg_class AS c"
        f" ON c.relname OPERATOR(pg_catalog.=) {quote_literal(table)} AND c.relnamespace OPERATOR(pg_catalog.=) n.oid"
    )


def create_schema(schema: str) -> tuple[str, ...]:
    """Build the statements that make the schema, which is for nobody but its owner."""
    name = quote_ident(schema)
    return f"CREATE SCHEMA IF NOT EXISTS {name}", f"REVOKE ALL ON SCHEMA {name} FROM PUBLIC"


def create_table(schema: str, table: str) -> tuple[str, ...]:
    """Build the statements that make a table, which is for nobody but its owner, whatever the default privileges."""
    name = qualified(schema, table)
    columns = ",\n    ".join(f"{column} {kind} {more}".rstrip() for column, (kind, more) in TABLES[table].items())
    columns += f",\n    PRIMARY KEY ({', '.join(KEYS[table])})"
    return f"CREATE TABLE IF NOT EXISTS {name} (\n    {columns}\n)", f"REVOKE ALL ON TABLE {name} FROM PUBLIC"


def full_ddl(schema: str, role: str | None) -> str:
    """Build what an administrator would run, and the smallest grants for a role that loads with an id.

    Where no role is named the grants are comments: all can be run as it is.
    """
    name, table, grantee = quote_ident(schema), qualified(schema, LOADS), quote_ident(role or "ROLE")
    chunks, statements_table = qualified(schema, CHUNKS), qualified(schema, STATEMENTS)
    journal = ", ".join(qualified(schema, table) for table in JOURNAL)
    grants = (
        f"GRANT USAGE ON SCHEMA {name} TO {grantee};",
        f"GRANT SELECT, INSERT ON TABLE {table} TO {grantee};",
    )
    more = (
        f"-- to load again under the same id: GRANT UPDATE ON TABLE {table} TO {grantee};",
        f"-- to forget loads: GRANT DELETE ON TABLE {table} TO {grantee};",
        "-- to load with several workers, or by chunks: both of these, and",
        f"-- GRANT SELECT, INSERT, DELETE ON TABLE {chunks} TO {grantee};",
        f"-- to run SQL once: GRANT SELECT, INSERT ON TABLE {statements_table} TO {grantee};",
        f"-- to run pipelines: GRANT SELECT, INSERT, UPDATE ON TABLE {journal} TO {grantee};",
        f"-- to forget runs: GRANT DELETE ON TABLE {journal} TO {grantee};",
    )
    tables = (statement for each in TABLES for statement in create_table(schema, each))
    statements = (f"{each};" for each in (*create_schema(schema), *tables))
    return "\n".join((*statements, *(grant if role else f"-- {grant}" for grant in grants), *more))
