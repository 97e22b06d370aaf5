"""Statements of the ledger, which records the loads that have an id, and SQL that runs once.

A load's row, or that of a chunk which commits for itself, is written in the transaction of its rows. Correctness is the
primary keys, the recorded states and the commit; the advisory locks save work. All statements run under
`OWN_PATH`.

The states of a load: one of a single transaction is done, or has no row. `running` goes on to done chunk by chunk.
In two phases it is `preparing` until a transaction of its own has decided: `committing`, then done, or `aborting`.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from bulkio.quote import qualified, quote_literal
from bulkio.sql.tables import CHUNKS, LOADS, TABLES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "FINISHED_AT",
    "WATCH_CLIENT",
    "chunk_run",
    "count_chunks",
    "delete_chunks",
    "delete_load",
    "delete_older",
    "digest_of",
    "insert_chunk",
    "insert_load",
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
    "tag_of",
    "unfinished_loads",
]

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


def insert_load(schema: str, values: Mapping[str, str], *, replaces: bool) -> str:
    """Build the INSERT of a load, from texts; its times are the transaction's own.

    Where it `replaces`, it takes the place of the row of the same id.
    """
    known = {name: f"{quote_literal(value)}::{TABLES[LOADS][name][0]}" for name, value in values.items()}
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
    sets = {name: f"{quote_literal(value)}::{TABLES[LOADS][name][0]}" for name, value in values.items()}
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
    known |= {name: f"{quote_literal(value)}::{TABLES[CHUNKS][name][0]}" for name, value in values.items()}
    return (
        f"INSERT INTO {qualified(schema, CHUNKS)} ({', '.join(known)}) SELECT {', '.join(known.values())}"  # noqa: S608
        f" FROM {qualified(schema, LOADS)} WHERE id = {quote_literal(load_id)} AND state = 'running'"
        f" AND run = {quote_literal(begun_by)}::uuid FOR SHARE"
    )


def select_chunks(schema: str, load_id: str) -> str:
    """Ask for the chunks of a load that are stored: number, rows, bytes, rejected records."""
    return (
        f"SELECT chunk, rows, bytes, rejected FROM {qualified(schema, CHUNKS)}"  # noqa: S608 - quoted
        f" WHERE load_id = {quote_literal(load_id)}"
    )


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


def unfinished_loads(schema: str) -> str:
    """Ask for the loads that are not done: id, and the run that has begun it."""
    return f"SELECT id, run::text FROM {qualified(schema, LOADS)} WHERE state <> 'done' ORDER BY started_at, id"  # noqa: S608


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


def _texts(names: Sequence[str] = tuple(TABLES[LOADS])) -> str:
    return ", ".join(f"{name}::text" for name in names)
