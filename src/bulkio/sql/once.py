"""Statements about SQL that runs once: its rows in the ledger's table `statements`.

A row is written in the transaction of what it records; the primary key decides, and the advisory lock saves work.
All run under `OWN_PATH`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bulkio.quote import qualified, quote_literal
from bulkio.sql.ledger import FINISHED_AT, lock_key
from bulkio.sql.tables import STATEMENTS, TABLES

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["delete_older", "insert", "lock", "select"]


def lock(schema: str, once: str) -> str:
    """Build a statement that waits until no other transaction is at what is done once under this id."""
    return f"SELECT pg_catalog.pg_advisory_xact_lock({lock_key(schema, once, 'statements'):d})"


def select(schema: str, once: str) -> str:
    """Ask for what was done once under this id: its digest, its rows, the run that has done it."""
    return f"SELECT digest, rows, run::text FROM {qualified(schema, STATEMENTS)} WHERE id = {quote_literal(once)}"  # noqa: S608


def insert(schema: str, values: Mapping[str, str]) -> str:
    """Build the INSERT of what was done once, from texts."""
    known = {name: f"{quote_literal(value)}::{TABLES[STATEMENTS][name][0]}" for name, value in values.items()}
    known |= {"finished_at": FINISHED_AT}
    return f"INSERT INTO {qualified(schema, STATEMENTS)} ({', '.join(known)}) VALUES ({', '.join(known.values())})"  # noqa: S608


def delete_older(schema: str, days: int) -> str:
    """Build the DELETE of what was done once before so many days."""
    return (
        f"DELETE FROM {qualified(schema, STATEMENTS)}"  # noqa: S608
        f" WHERE finished_at < now() - make_interval(days => {days:d})"
    )
