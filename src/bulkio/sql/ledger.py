"""Statements of the ledger, which records the loads that have an id, and SQL that runs once: its tables, their rows.

A load's row, or that of a chunk which commits for itself, is written in the transaction of its rows. Correctness is the
primary keys, the recorded states and the commit; the advisory locks save work. All statements but `table_facts` run
under `OWN_PATH`.

The states of a load: one of a single transaction is done, or has no row. `running` goes on to done chunk by chunk.
In two phases it is `preparing` until a transaction of its own has decided: `committing`, then done, or `aborting`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bulkio.protocols import ROW_TYPE_OIDS
from bulkio.quote import qualified, quote_ident, quote_literal
from bulkio.sql import runs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "CHUNKS",
    "FINISHED_AT",
    "FOR_CHUNKS",
    "FOR_LOADS",
    "FOR_RUNS",
    "FOR_STATEMENTS",
    "KEYS",
    "LOADS",
    "STATEMENTS",
    "TABLES",
    "WATCH_CLIENT",
    "Needs",
    "chunk_run",
    "column_oids",
    "count_chunks",
    "create_schema",
    "create_table",
    "delete_chunks",
    "delete_load",
    "delete_older",
    "digest_of",
    "full_ddl",
    "insert_chunk",
    "insert_load",
    "lacking_rights",
    "load_ids",
    "lock_chunk",
    "lock_key",
    "lock_ledger",
    "lock_load",
    "lock_row",
    "lock_work",
    "move_state",
    "name_prefix",
    "prefix_of",
    "run_of",
    "select_chunks",
    "select_loads",
    "table_facts",
    "tag_of",
]

LOADS = "loads"
CHUNKS = "chunks"
STATEMENTS = "statements"

_STATES = ("running", "preparing", "committing", "aborting", "done")

_LOAD_COLUMNS = {
    "id": ("text", "NOT NULL"),
    "table_schema": ("text", "NOT NULL"),
    "table_name": ("text", "NOT NULL"),
    "mode": ("text", "NOT NULL"),
    "source": ("jsonb", "NOT NULL"),
    "options": ("jsonb", "NOT NULL"),
    "state": ("text", f"NOT NULL CHECK (state IN ({', '.join(map(quote_literal, _STATES))}))"),
    "work": ("jsonb", ""),
    "started_at": ("timestamptz", "NOT NULL"),
    "finished_at": ("timestamptz", ""),
    "rows": ("bigint", ""),
    "report": ("jsonb", ""),
    "bulkio_version": ("text", "NOT NULL"),
    "run": ("uuid", "NOT NULL"),
}
_CHUNK_COLUMNS = {
    "load_id": ("text", "NOT NULL"),
    "chunk": ("bigint", "NOT NULL"),
    "rows": ("bigint", "NOT NULL"),
    "bytes": ("bigint", "NOT NULL"),
    "run": ("uuid", "NOT NULL"),
}
_STATEMENT_COLUMNS = {
    "id": ("text", "NOT NULL"),
    "digest": ("text", "NOT NULL"),
    "rows": ("bigint", "NOT NULL"),
    "finished_at": ("timestamptz", "NOT NULL"),
    "bulkio_version": ("text", "NOT NULL"),
    "run": ("uuid", "NOT NULL"),
}
#: columns of each table, with type and constraint
TABLES = {LOADS: _LOAD_COLUMNS, CHUNKS: _CHUNK_COLUMNS, STATEMENTS: _STATEMENT_COLUMNS, **runs.TABLES}
#: key of each table
KEYS = {LOADS: ("id",), CHUNKS: ("load_id", "chunk"), STATEMENTS: ("id",), **runs.KEYS}


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
    dict.fromkeys(runs.TABLES, ("SELECT", "INSERT", "UPDATE")), "the run of a pipeline is kept in the ledger's schema"
)


def column_oids(table: str) -> dict[str, int]:
    """Return the columns of one of the tables, with the oids of their types."""
    return {name: ROW_TYPE_OIDS[{"bigint": "int8"}.get(kind, kind)] for name, (kind, _) in TABLES[table].items()}


#: End a statement soon after its client has gone, although it reads nothing from it meanwhile: so the load's lock is
#: free for the next run. Windows has no way to look.
WATCH_CLIENT = (
    "SELECT pg_catalog.set_config(name, '1000', true) FROM pg_catalog.pg_settings"
    " WHERE name OPERATOR(pg_catalog.=) 'client_connection_check_interval'"
    " AND pg_catalog.version() OPERATOR(pg_catalog.!~*) 'mingw|msvc|visual c'"
)


def lock_key(*parts: str) -> int:
    """Return the key of an advisory lock of the ledger's."""
    digest = hashlib.blake2b("\0".join(("bulkio ledger", *parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


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


def lock_ledger(schema: str) -> str:
    """Build a statement that waits until nobody else creates the ledger: IF NOT EXISTS fails where two do at once."""
    return f"SELECT pg_catalog.pg_advisory_xact_lock({lock_key(schema):d})"


def lock_load(schema: str, load_id: str, *, waits: bool) -> str:
    """Build a statement that locks a load until the transaction ends; where it `waits` not, it tells whether it did.

    >>> lock_load("bulkio_ledger", "nightly", waits=False)
    'SELECT pg_catalog.pg_try_advisory_xact_lock(2981114169642092196)'
    """
    return f"SELECT pg_catalog.pg_{'' if waits else 'try_'}advisory_xact_lock({lock_key(schema, load_id):d})"


def lock_work(schema: str, load_id: str, *, alone: bool) -> str:
    """Build a statement by which each transaction of a load's rows says that it lives; `alone` asks if none does.

    A prepared transaction keeps the lock.
    """
    kind = "pg_try_advisory_xact_lock" if alone else "pg_advisory_xact_lock_shared"
    return f"SELECT pg_catalog.{kind}({lock_key(schema, load_id, 'work'):d})"


def lock_chunk(schema: str, load_id: str, chunk: int) -> str:
    """Build a statement that locks one chunk: where it is free, the transaction of whoever had it has ended."""
    return f"SELECT pg_catalog.pg_advisory_xact_lock({lock_key(schema, load_id, f'chunk {chunk}'):d})"


def tag_of(schema: str, load_id: str, begun_by: str) -> str:
    """Return what tells a load's own tables from others, and from those of a run that began it before."""
    return f"{lock_key(schema, load_id, begun_by) % 2**64:016x}"


def digest_of(text: str) -> str:
    """Return a short digest of a text, in hexadecimal digits."""
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def name_prefix(schema: str, load_id: str, begun_by: str) -> str:
    """Return what the names of the transactions begin with that one run of a load prepares."""
    return f"{prefix_of(schema, load_id)}{begun_by.replace('-', '')}:"


def prefix_of(schema: str, load_id: str) -> str:
    """Return what the names of a load's prepared transactions begin with, and no other's.

    >>> prefix_of("bulkio_ledger", "nightly")
    'bulkio:295f0b8aec6686a4:'
    """
    return f"bulkio:{lock_key(schema, load_id) % 2**64:016x}:"


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
    journal = ", ".join(qualified(schema, table) for table in runs.TABLES)
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
    )
    tables = (statement for each in TABLES for statement in create_table(schema, each))
    statements = (f"{each};" for each in (*create_schema(schema), *tables))
    return "\n".join((*statements, *(grant if role else f"-- {grant}" for grant in grants), *more))


def insert_load(schema: str, values: Mapping[str, str], *, replaces: bool) -> str:
    """Build the INSERT of a load, from texts; its times are the transaction's own.

    Where it `replaces`, it takes the place of the row of the same id.
    """
    known = {name: f"{quote_literal(value)}::{_LOAD_COLUMNS[name][0]}" for name, value in values.items()}
    known |= {"started_at": "pg_catalog.now()"}
    known |= {"finished_at": FINISHED_AT} if values["state"] == "done" else {}
    text = f"INSERT INTO {qualified(schema, LOADS)} ({', '.join(known)}) VALUES ({', '.join(known.values())})"  # noqa: S608
    if replaces:
        text += f" ON CONFLICT (id) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in known)}"
    return text


#: SQL of the time at which something has ended
FINISHED_AT = "pg_catalog.clock_timestamp()"


def move_state(schema: str, load_id: str, begun_by: str, before: str, after: str, values: Mapping[str, str]) -> str:
    """Build the UPDATE that takes a load from one state to another, with more values, as texts; it returns a row.

    No row where its state is another one, or where another run has begun it anew meanwhile.
    """
    sets = {name: f"{quote_literal(value)}::{_LOAD_COLUMNS[name][0]}" for name, value in values.items()}
    sets |= {"state": quote_literal(after)} | ({"finished_at": FINISHED_AT} if after == "done" else {})
    return (
        f"UPDATE {qualified(schema, LOADS)} SET {', '.join(f'{name} = {value}' for name, value in sets.items())}"  # noqa: S608
        f" WHERE id = {quote_literal(load_id)} AND state = {quote_literal(before)}"
        f" AND run = {quote_literal(begun_by)}::uuid RETURNING 1"
    )


def lock_row(schema: str, load_id: str) -> str:
    """Ask for a load's state and the run that has begun it; nobody changes it until the transaction ends."""
    return f"SELECT state, run::text FROM {qualified(schema, LOADS)} WHERE id = {quote_literal(load_id)} FOR UPDATE"  # noqa: S608


def insert_chunk(schema: str, load_id: str, begun_by: str, chunk: int, values: Mapping[str, str]) -> str:
    """Build the INSERT of a chunk whose rows are stored, from texts.

    Of no row where its load runs no more, or was begun anew by another run.
    """
    known = {"load_id": "id", "chunk": f"{chunk:d}"}
    known |= {name: f"{quote_literal(value)}::{_CHUNK_COLUMNS[name][0]}" for name, value in values.items()}
    return (
        f"INSERT INTO {qualified(schema, CHUNKS)} ({', '.join(known)}) SELECT {', '.join(known.values())}"  # noqa: S608
        f" FROM {qualified(schema, LOADS)} WHERE id = {quote_literal(load_id)} AND state = 'running'"
        f" AND run = {quote_literal(begun_by)}::uuid FOR SHARE"
    )


def select_chunks(schema: str, load_id: str) -> str:
    """Ask for the chunks of a load that are stored: number, rows, bytes."""
    return f"SELECT chunk, rows, bytes FROM {qualified(schema, CHUNKS)} WHERE load_id = {quote_literal(load_id)}"  # noqa: S608


def count_chunks(schema: str) -> str:
    """Ask of each load that has such chunks: its id, their number, and their rows."""
    return (
        f"SELECT load_id, pg_catalog.count(*), pg_catalog.sum(rows)::bigint FROM {qualified(schema, CHUNKS)}"  # noqa: S608
        " GROUP BY load_id"
    )


def chunk_run(schema: str, load_id: str, chunk: int) -> str:
    """Ask which run has stored a chunk."""
    return (
        f"SELECT run::text FROM {qualified(schema, CHUNKS)} WHERE load_id = {quote_literal(load_id)}"  # noqa: S608
        f" AND chunk = {chunk:d}"
    )


def delete_chunks(schema: str, load_id: str) -> str:
    """Build the DELETE of a load's chunks, once it is done."""
    return f"DELETE FROM {qualified(schema, CHUNKS)} WHERE load_id = {quote_literal(load_id)}"  # noqa: S608


def run_of(schema: str, load_id: str) -> str:
    """Ask which run has recorded a load."""
    return f"SELECT run::text FROM {qualified(schema, LOADS)} WHERE id = {quote_literal(load_id)}"  # noqa: S608


def select_loads(schema: str, load_id: str | None = None) -> str:
    """Ask for all loads, the latest first, or for one; each column as text."""
    where = "" if load_id is None else f" WHERE id = {quote_literal(load_id)}"
    return f"SELECT {_texts()} FROM {qualified(schema, LOADS)}{where} ORDER BY started_at DESC, id"  # noqa: S608


def load_ids(schema: str, *, most: int) -> str:
    """Ask for the ids of the latest loads."""
    return f"SELECT id FROM {qualified(schema, LOADS)} ORDER BY started_at DESC LIMIT {most:d}"  # noqa: S608


def delete_load(schema: str, load_id: str) -> str:
    """Build the DELETE of one load; it returns nothing."""
    return f"DELETE FROM {qualified(schema, LOADS)} WHERE id = {quote_literal(load_id)}"  # noqa: S608


def delete_older(schema: str, days: int) -> str:
    """Build the DELETE of what was done before so many days; it returns these loads, each column as text."""
    return (
        f"DELETE FROM {qualified(schema, LOADS)} WHERE state = 'done'"  # noqa: S608
        f" AND finished_at < now() - make_interval(days => {days:d}) RETURNING {_texts()}"
    )


def _texts(names: Sequence[str] = tuple(_LOAD_COLUMNS)) -> str:
    return ", ".join(f"{name}::text" for name in names)
