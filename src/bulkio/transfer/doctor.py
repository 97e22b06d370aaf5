"""`bulkio doctor`: ask a server what may be wrong with it, and change nothing.

All is asked in one transaction that may only read. What the role may not see, or this server does not have, is a
finding of its own and stops nothing.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import anyio.to_thread

from bulkio.catalog.facts import Wanted
from bulkio.catalog.health import leftovers, server, table
from bulkio.catalog.lookup import find_burdens, gather, look_up, similar_table, users_path
from bulkio.drivers import asyncpg_params
from bulkio.errors import ConnectError, DriverError, LedgerError
from bulkio.plan import doctor as judge
from bulkio.plan.doctor.leftovers import LONG_S
from bulkio.quote import quote_ident
from bulkio.sql import ledger as loads_sql
from bulkio.sql import runs as runs_sql
from bulkio.sql import savepoints, tables
from bulkio.transfer import ledger
from bulkio.transfer.connection import round_trip_s
from bulkio.transfer.journal.records import run_of
from bulkio.transfer.session import open_session, resolve_dsn, transaction

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable

    from bulkio.catalog.health.server import PathFacts, ServerFacts
    from bulkio.catalog.question import Question
    from bulkio.choices import DriverName
    from bulkio.drivers.conninfo import ConnInfo
    from bulkio.options import DoctorRequest
    from bulkio.plan.doctor import Finding, LedgerState, Level
    from bulkio.protocols import Session

__all__ = ["DoctorReport", "doctor"]

T = TypeVar("T")
#: questions whose quickest answer is the latency
_QUESTIONS = 5
#: how long a question waits for a table that a load, or DDL, has for itself
_LOCK_TIMEOUT = "2s"
#: runs of pipelines that are looked at, the latest
_RUNS = 1000
#: name of the savepoint before each part of its work
_POINT = "bulkio_doctor"


@dataclass(frozen=True, slots=True)
class DoctorReport:
    """What was found of a server: in `findings`, by area and in the order of docs/doctor.md."""

    #: the connection as a URI, without password
    address: str
    driver: DriverName
    server_version: str
    #: table that was looked at, as it was named; None if there was none
    table: str | None
    findings: tuple[Finding, ...]

    @property
    def worst(self) -> Level:
        """The worst level of all findings."""
        levels = {finding.level for finding in self.findings}
        return "fail" if "fail" in levels else "warn" if "warn" in levels else "ok"

    def as_dict(self) -> dict[str, object]:
        """Return the report as JSON has it."""
        counts = Counter(finding.level for finding in self.findings)
        return {
            "address": self.address,
            "driver": self.driver,
            "server_version": self.server_version,
            "table": self.table,
            "worst": self.worst,
            "counts": {level: counts[level] for level in ("ok", "warn", "fail")},
            "findings": [finding.as_dict() for finding in self.findings],
        }


async def doctor(request: DoctorRequest) -> DoctorReport:
    """Look at a server, and at a table; see `bulkio.aio.doctor`."""
    info = await anyio.to_thread.run_sync(resolve_dsn, request.dsn, request.password)
    async with open_session(request.dsn, request) as session:
        latency_s = min([await round_trip_s(session) for _ in range(_QUESTIONS)])
        ledger_state = await _ledger_tables(session, request.ledger_schema)
        async with transaction(session, read_only=True, lock_timeout=_LOCK_TIMEOUT):
            visit = _Visit(session, request, [])
            facts, path = await visit.look_at_server(info, latency_s)
            await visit.look_at_settings()
            await visit.look_at_ledger(ledger_state, facts)
            if request.table is not None:
                await visit.attempt("kind", visit.look_at_table(request.table, facts, path))
            await visit.look_at_leftovers(ledger_state, facts)
            return DoctorReport(info.display, session.driver, facts.version, request.table, _in_order(visit.findings))


def _in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    places = {check: place for place, check in enumerate(name for names in judge.CHECKS.values() for name in names)}
    return tuple(sorted(findings, key=lambda finding: places[finding.check]))


@dataclass(frozen=True, slots=True)
class _LedgerTables:
    """Which of the ledger's tables there are."""

    there: frozenset[str]
    fault: str


async def _ledger_tables(session: Session, schema: str) -> _LedgerTables:
    there = set()
    try:
        for name in tables.TABLES:
            if await ledger.exists(session, schema, name):
                there.add(name)
    except LedgerError as error:
        return _LedgerTables(frozenset(there), str(error))
    return _LedgerTables(frozenset(there), "")


@dataclass(frozen=True, slots=True)
class _Visit:
    """One transaction in which all is asked, and what was found so far."""

    session: Session
    request: DoctorRequest
    findings: list[Finding]

    async def attempt(self, check: str, work: Awaitable[T]) -> T | None:
        """Do a part of the work; where the server refuses it, that is a finding, and the transaction goes on."""
        await self.session.execute(savepoints.savepoint(_POINT))
        try:
            done = await work
        except ConnectError:
            raise
        except DriverError as error:
            await self.session.execute(savepoints.roll_back_to(_POINT))
            self.findings.append(judge.unseen(check, str(error), error.sqlstate))
            return None
        await self.session.execute(savepoints.release(_POINT))
        return done

    async def ask(self, question: Question[T]) -> list[T]:
        return question.read(await self.session.fetch(question.sql))

    async def look_at_server(self, info: ConnInfo, latency_s: float) -> tuple[ServerFacts, PathFacts]:
        before_s = time.time()
        [facts] = await self.ask(server.server_query())
        ahead_s = facts.clock_s - (before_s + time.time()) / 2
        async with users_path(self.session):
            [path] = await self.ask(server.path_query())
        self.findings.extend(judge.connection_findings(self._link(info, latency_s, ahead_s), facts))
        self.findings.extend(judge.privilege_findings(facts, path))
        return facts, path

    async def look_at_settings(self) -> None:
        """Ask for the settings, and how many connections are in use."""
        settings = await self.attempt("wal_size", self.ask(server.settings_query()))
        if settings is None:
            return
        self.findings.extend(judge.settings_findings(settings))
        if counts := await self.attempt("connections", self.ask(server.connections_query())):
            self.findings.append(judge.connection_count(settings, counts[0]))

    def _link(self, info: ConnInfo, latency_s: float, ahead_s: float) -> judge.Link:
        refusals = asyncpg_params.refusals(info) if self.request.driver == "auto" else ()
        return judge.Link(
            driver=self.session.driver,
            refusals=refusals,
            tls=self.session.uses_tls,
            is_local=all(host.is_local for host in info.hosts),
            sslmode=info.params.get("sslmode") or "prefer",
            latency_s=latency_s,
            login_pid=self.session.login_pid,
            ahead_s=ahead_s,
            server_version=self.session.server_version,
            encoding=self.session.server_encoding,
        )

    # --- the ledger ---------------------------------------------------------------------------------------

    async def look_at_ledger(self, found: _LedgerTables, facts: ServerFacts) -> None:
        lacking = {"ledger": (), "chunks": (), "journal": ()} if found.fault else await self._lacking(found)
        state: LedgerState = judge.LedgerState(self.request.ledger_schema, bool(found.there), found.fault, lacking)
        self.findings.extend(judge.ledger_findings(state, facts))

    async def _lacking(self, found: _LedgerTables) -> dict[str, tuple[str, ...]]:
        needs = {
            "ledger": {tables.LOADS: ("SELECT", "INSERT")},
            "chunks": tables.FOR_CHUNKS.rights,
            "journal": tables.FOR_RUNS.rights,
        }
        lacking = {}
        for check, rights in needs.items():
            known = {name: each for name, each in rights.items() if name in found.there}
            rows = await self._rights(known) if known else []
            missing = [f"table {name}" for name in rights if name not in found.there]
            lacking[check] = (*rows, *missing)
        return lacking

    async def _rights(self, rights: dict[str, tuple[str, ...]]) -> list[str]:
        schema = self.request.ledger_schema
        if await self.session.fetch(tables.may_use_schema(schema)) == [(False,)]:
            return [f"USAGE ON SCHEMA {quote_ident(schema)}"]
        return [str(right) for (right,) in await self.session.fetch(tables.lacking_rights(schema, rights))]

    # --- the table ----------------------------------------------------------------------------------------

    async def look_at_table(self, name: str, facts: ServerFacts, path: PathFacts) -> None:
        found = await look_up(self.session, name)
        if found.table is None:
            near = await similar_table(self.session, found.name)
            self.findings.append(judge.no_table(found.name, near, may_create=path.may_create))
            return
        [told] = await self.ask(table.table_facts_query(found.table.oid))
        is_plain = found.table.kind == "r"
        known = await gather(self.session, Wanted(table=found.table, keys=True, definition=is_plain))
        burdens = await find_burdens(self.session, found.table)
        self.findings.extend(judge.table_findings(told, facts.role, burdens, known.keys, known.definition))

    # --- what was left behind -----------------------------------------------------------------------------

    async def look_at_leftovers(self, found: _LedgerTables, facts: ServerFacts) -> None:
        """Ask for what dead runs, and others, have left."""
        loads = await self.attempt("loads", self._unfinished(found))
        known = loads or judge.unfinished(self.request.ledger_schema, {}, set())
        prepared = await self.attempt("prepared", self.ask(leftovers.prepared_query()))
        if prepared is not None:
            self.findings.extend(judge.prepared_findings(prepared, known))
        if loads is not None:
            self.findings.extend(judge.load_findings(loads))
            own = await self.attempt("own_tables", self.ask(leftovers.own_tables_query()))
            self.findings.extend(judge.own_table_findings(own, loads) if own is not None else ())
        else:
            self.findings.append(judge.unseen("own_tables", "what unfinished loads need stands in the ledger"))
        await self._look_at_runs(found)
        await self._look_at_others(facts)

    async def _unfinished(self, found: _LedgerTables) -> judge.Unfinished:
        """Ask for the unfinished loads, and for locks before and after: a run may begin or end just now."""
        held = await self.ask(leftovers.held_locks_query())
        query = loads_sql.unfinished_loads(self.request.ledger_schema)
        rows = await self.session.fetch(query) if tables.LOADS in found.there else []
        held += await self.ask(leftovers.held_locks_query())
        runs = {str(load_id): str(run) for load_id, run in rows}
        return judge.unfinished(self.request.ledger_schema, runs, set(held))

    async def _look_at_runs(self, found: _LedgerTables) -> None:
        rows = []
        if tables.RUNS in found.there:
            query = runs_sql.select_runs(self.request.ledger_schema, None, limit=_RUNS)
            answer = await self.attempt("runs", self.session.fetch(query))
            if answer is None:
                return
            rows = answer
        lost = [run.name for run in map(run_of, rows) if run.is_lost]
        self.findings.extend(judge.run_findings(lost, self.request.ledger_schema))

    async def _look_at_others(self, facts: ServerFacts) -> None:
        long = await self.attempt("long_transactions", self.ask(leftovers.long_transactions_query(LONG_S)))
        if long is not None:
            self.findings.extend(judge.long_transaction_findings(long, sees_others=facts.sees_activity))
        slots = await self.attempt("slots", self.ask(leftovers.slots_query()))
        if slots is not None:
            self.findings.extend(judge.slot_findings(slots))
