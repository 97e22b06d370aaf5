"""Statements of a commit in two phases. A prepared transaction has a name, and outlives its session and the server."""

from __future__ import annotations

from bulkio.quote import quote_literal

__all__ = ["commit_prepared", "prepare", "prepared", "rollback_prepared"]


def prepare(name: str) -> str:
    """Build PREPARE TRANSACTION: what the session has done is kept under this name, and the session is out of it."""
    return f"PREPARE TRANSACTION {quote_literal(name)}"


def commit_prepared(name: str) -> str:
    """Build COMMIT PREPARED, which runs outside of any transaction."""
    return f"COMMIT PREPARED {quote_literal(name)}"


def rollback_prepared(name: str) -> str:
    """Build ROLLBACK PREPARED, which runs outside of any transaction."""
    return f"ROLLBACK PREPARED {quote_literal(name)}"


def prepared(prefix: str) -> str:
    """Ask for this database's prepared transactions whose names begin like this: the name, and whose it is if not ours.

    It may run under any search_path.
    """
    return (
        "SELECT p.gid, CASE WHEN p.owner OPERATOR(pg_catalog.<>) current_user AND NOT r.rolsuper"  # noqa: S608 - quoted
        " THEN p.owner::pg_catalog.text END FROM pg_catalog.pg_prepared_xacts AS p, pg_catalog.pg_roles AS r"
        " WHERE r.rolname OPERATOR(pg_catalog.=) current_user"
        " AND p.database OPERATOR(pg_catalog.=) pg_catalog.current_database()"
        f" AND pg_catalog.starts_with(p.gid, {quote_literal(prefix)}) ORDER BY p.gid"
    )
