"""Statements of the ledger, which records the loads that have an id: its table, and its rows.

Its rows are written in the loads' own transactions. Correctness is the primary key and the commit; the advisory locks
save work. All statements but `table_facts` run under `OWN_PATH`.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from bulkio.protocols import ROW_TYPE_OIDS
from bulkio.quote import qualified, quote_ident, quote_literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "COLUMNS",
    "LOADS",
    "WATCH_CLIENT",
    "create_schema",
    "create_table",
    "delete_load",
    "delete_older",
    "full_ddl",
    "insert_load",
    "load_ids",
    "lock_ledger",
    "lock_load",
    "run_of",
    "select_loads",
    "table_facts",
]

LOADS = "loads"

_STATES = ("running", "preparing", "committing", "aborting", "done", "failed")

#: columns of the table, with type and constraint
_COLUMNS = {
    "id": ("text", "PRIMARY KEY"),
    "table_schema": ("text", "NOT NULL"),
    "table_name": ("text", "NOT NULL"),
    "mode": ("text", "NOT NULL"),
    "source": ("jsonb", "NOT NULL"),
    "options": ("jsonb", "NOT NULL"),
    "state": ("text", f"NOT NULL CHECK (state IN ({', '.join(map(quote_literal, _STATES))}))"),
    "started_at": ("timestamptz", "NOT NULL"),
    "finished_at": ("timestamptz", ""),
    "rows": ("bigint", ""),
    "report": ("jsonb", ""),
    "bulkio_version": ("text", "NOT NULL"),
    "run": ("uuid", "NOT NULL"),
}
#: columns of the table, with the oids of their types
COLUMNS = {name: ROW_TYPE_OIDS[{"bigint": "int8"}.get(kind, kind)] for name, (kind, _) in _COLUMNS.items()}

#: End a statement soon after its client has gone, although it reads nothing from it meanwhile: so the load's lock is
#: free for the next run. Windows has no way to look.
WATCH_CLIENT = (
    "SELECT pg_catalog.set_config(name, '1000', true) FROM pg_catalog.pg_settings"
    " WHERE name OPERATOR(pg_catalog.=) 'client_connection_check_interval'"
    " AND pg_catalog.version() OPERATOR(pg_catalog.!~*) 'mingw|msvc|visual c'"
)


def _key(*parts: str) -> int:
    digest = hashlib.blake2b("\0".join(("bulkio ledger", *parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def lock_ledger(schema: str) -> str:
    """Build a statement that waits until nobody else creates the ledger: IF NOT EXISTS fails where two do at once."""
    return f"SELECT pg_catalog.pg_advisory_xact_lock({_key(schema):d})"


def lock_load(schema: str, load_id: str, *, waits: bool) -> str:
    """Build a statement that locks a load until the transaction ends; where it `waits` not, it tells whether it did.

    >>> lock_load("bulkio_ledger", "nightly", waits=False)
    'SELECT pg_catalog.pg_try_advisory_xact_lock(2981114169642092196)'
    """
    return f"SELECT pg_catalog.pg_{'' if waits else 'try_'}advisory_xact_lock({_key(schema, load_id):d})"


def table_facts(schema: str) -> str:
    """Ask whether the schema is there, and of the table: its kind, its columns as JSON, whether id is a key.

    Last come the owners, of either, that this role has no reason to trust: not itself, nor the database's owner, a
    superuser, or a role that it is a member of. A trigger of theirs would run with this role's rights.

    It may run outside of a transaction, under any search_path.
    """
    columns = (
        "SELECT pg_catalog.json_object_agg(a.attname, a.atttypid::pg_catalog.int8)::pg_catalog.text"
        " FROM pg_catalog.pg_attribute AS a WHERE a.attrelid OPERATOR(pg_catalog.=) c.oid"
        " AND a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped"
    )
    key = (
        "SELECT FROM pg_catalog.pg_index AS i JOIN pg_catalog.pg_attribute AS k"
        " ON k.attrelid OPERATOR(pg_catalog.=) i.indrelid AND k.attnum OPERATOR(pg_catalog.=) i.indkey[0]"
        " WHERE i.indrelid OPERATOR(pg_catalog.=) c.oid AND i.indisunique AND i.indimmediate AND i.indisvalid"
        " AND i.indpred IS NULL AND i.indnkeyatts OPERATOR(pg_catalog.=) 1"
        " AND k.attname OPERATOR(pg_catalog.=) 'id'"
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
        f" ON c.relname OPERATOR(pg_catalog.=) {quote_literal(LOADS)} AND c.relnamespace OPERATOR(pg_catalog.=) n.oid"
    )


def create_schema(schema: str) -> tuple[str, ...]:
    """Build the statements that make the schema, which is for nobody but its owner."""
    name = quote_ident(schema)
    return f"CREATE SCHEMA IF NOT EXISTS {name}", f"REVOKE ALL ON SCHEMA {name} FROM PUBLIC"


def create_table(schema: str) -> tuple[str, ...]:
    """Build the statements that make the table, which is for nobody but its owner, whatever the default privileges."""
    name = qualified(schema, LOADS)
    columns = ",\n    ".join(f"{column} {kind} {more}".rstrip() for column, (kind, more) in _COLUMNS.items())
    return f"CREATE TABLE IF NOT EXISTS {name} (\n    {columns}\n)", f"REVOKE ALL ON TABLE {name} FROM PUBLIC"


def full_ddl(schema: str, role: str | None) -> str:
    """Build what an administrator would run, and the smallest grants for a role that loads with an id.

    Where no role is named the grants are comments: all can be run as it is.
    """
    name, table, grantee = quote_ident(schema), qualified(schema, LOADS), quote_ident(role or "ROLE")
    grants = (
        f"GRANT USAGE ON SCHEMA {name} TO {grantee};",
        f"GRANT SELECT, INSERT ON TABLE {table} TO {grantee};",
    )
    more = (
        f"-- to load again under the same id: GRANT UPDATE ON TABLE {table} TO {grantee};",
        f"-- to forget loads: GRANT DELETE ON TABLE {table} TO {grantee};",
    )
    statements = (f"{each};" for each in create_schema(schema) + create_table(schema))
    return "\n".join((*statements, *(grant if role else f"-- {grant}" for grant in grants), *more))


def insert_load(schema: str, values: Mapping[str, str], *, replaces: bool) -> str:
    """Build the INSERT of a load that is done, from texts; its times are the transaction's own.

    Where it `replaces`, it takes the place of the row of the same id.
    """
    known = {name: f"{quote_literal(value)}::{_COLUMNS[name][0]}" for name, value in values.items()}
    known |= {"started_at": "pg_catalog.now()", "finished_at": "pg_catalog.clock_timestamp()"}
    text = f"INSERT INTO {qualified(schema, LOADS)} ({', '.join(known)}) VALUES ({', '.join(known.values())})"  # noqa: S608
    if replaces:
        text += f" ON CONFLICT (id) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in known)}"
    return text


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
        f"DELETE FROM {qualified(schema, LOADS)} WHERE state IN ('done', 'failed')"  # noqa: S608
        f" AND finished_at < now() - make_interval(days => {days:d}) RETURNING {_texts()}"
    )


def _texts(names: Sequence[str] = tuple(_COLUMNS)) -> str:
    return ", ".join(f"{name}::text" for name in names)
