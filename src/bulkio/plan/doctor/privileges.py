"""What the role may do, apart from one table: make tables, use the ledger, see what others do."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bulkio.choices import LEDGER_SCHEMA
from bulkio.plan.doctor.finding import fail, ok, warn
from bulkio.quote import quote_ident
from bulkio.show import printable, show_flag, show_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bulkio.catalog.health.server import PathFacts, ServerFacts
    from bulkio.plan.doctor.finding import Finding

__all__ = ["LedgerState", "ledger_findings", "privilege_findings"]


@dataclass(frozen=True, slots=True)
class LedgerState:
    """The ledger, and what the role lacks for each kind of work with it."""

    schema: str
    exists: bool
    #: why it cannot be used at all; "" if it can
    fault: str
    #: rights as GRANT has them, by check: ledger, chunks, journal
    lacking: Mapping[str, tuple[str, ...]]


def privilege_findings(server: ServerFacts, path: PathFacts) -> Iterator[Finding]:
    """Judge what the role may make and see."""
    yield _schema(server, path)
    yield _temporary(server)
    yield _activity(server)


def _schema(server: ServerFacts, path: PathFacts) -> Finding:
    role = quote_ident(server.role)
    if path.schema is None:
        text = f"no schema of the search_path ({printable(path.path)}) is there: tables need their schema's name"
        return warn("schema", text, f"ALTER ROLE {role} SET search_path = …, or CREATE SCHEMA {role}")
    name = show_name(path.schema)
    if path.may_create:
        return ok("schema", f"new tables are made in {name}")
    text = f"the role may make no table in {name}: loads into tables that are there only, and no replace"
    return warn("schema", text, f"GRANT USAGE, CREATE ON SCHEMA {quote_ident(path.schema)} TO {role}")


def _temporary(server: ServerFacts) -> Finding:
    if server.may_use_temporary:
        return ok("temporary", "the role may make temporary tables")
    text = "the role may make no temporary table, in which upsert and insert-new stage rows"
    grant = f"GRANT TEMPORARY ON DATABASE {quote_ident(server.database)} TO {quote_ident(server.role)}"
    return warn("temporary", text, grant)


def _activity(server: ServerFacts) -> Finding:
    if server.sees_activity:
        return ok("activity", "the role sees what other sessions do")
    text = "the role does not see what other sessions do: a load that waits for a lock cannot say what its holder does"
    return warn("activity", text, f"GRANT pg_read_all_stats TO {quote_ident(server.role)}")


#: what each kind of work is for
_WORK = {
    "ledger": "loads with an id",
    "chunks": "loads on several connections, or by chunks",
    "journal": "runs of pipelines",
}


def ledger_findings(state: LedgerState, server: ServerFacts) -> Iterator[Finding]:
    """Judge the ledger of loads, and what the role lacks of it."""
    option = "" if state.schema == LEDGER_SCHEMA else f" {show_flag('ledger_schema')} {shlex.quote(state.schema)}"
    ddl = f"bulkio loads ddl{option} {show_flag('role')} {shlex.quote(server.role)} | psql   # by an administrator"
    for check, work in _WORK.items():
        if state.fault:
            yield fail(check, f"no {work}: {state.fault}", f"let it belong to the database's owner, or: {ddl}")
        elif not state.exists and server.may_create_schema:
            yield ok(check, f"{work}: the first one makes schema {show_name(state.schema)}")
        elif not state.exists:
            yield warn(check, f"no {work}: there is no ledger, and the role may not make it", ddl)
        elif lacking := state.lacking[check]:
            grants = "; ".join(f"GRANT {right} TO {quote_ident(server.role)}" for right in lacking)
            yield warn(check, f"no {work}: the role lacks {printable(', '.join(lacking))}", grants)
        else:
            yield ok(check, f"{work} are kept in schema {show_name(state.schema)}")
