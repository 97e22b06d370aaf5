"""A load's claim to its id: lock it, look whether it is done already, record it in the load's own transaction.

The lock is taken in the load's own transaction. Where it is free, the transaction of any other run of this id has
surely ended, and what it has committed is seen. A run that does not take the lock is stopped by the primary key.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from functools import partial
from importlib.metadata import version
from threading import Event
from typing import TYPE_CHECKING, Any

import anyio.to_thread

from bulkio import sql
from bulkio.catalog.lookup import look_up
from bulkio.errors import ConfigError, ConnectError, DriverError, LedgerError, LoadDiffers, LoadRunning
from bulkio.files.identity import csv_options
from bulkio.flow import shelter
from bulkio.options import LoadRequest, fields_of, param_text
from bulkio.plan.refusals import refuse_changed
from bulkio.show import printable, show_name, show_option, show_value
from bulkio.sql import ledger as statements
from bulkio.transfer import ledger
from bulkio.transfer.records import LoadFacts, LoadRecord, differences
from bulkio.transfer.session import IN_PROGRESS, STANDBY, UNREACHABLE, Judge, open_session, transaction
from bulkio.types import charset_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bulkio.plan import LoadPlan
    from bulkio.protocols import Session, Source
    from bulkio.transfer.report import LoadReport

__all__ = ["Claim", "foretell", "make_claim"]

#: SQLSTATE unique_violation
_TAKEN = "23505"
#: SQLSTATE lock_not_available
_LOCKED = "55P03"


async def make_claim(session: Session, source: Source, request: LoadRequest, run: str) -> Claim | None:
    """Make a load's claim, before its transaction; None where the load has no id, which costs nothing.

    Raises:
        ConfigError: nothing tells the source from its other versions.
        LedgerError: the ledger cannot be used.
    """
    if request.load_id is None:
        return None
    refuse_changed(charset_of(session.server_encoding), [request.load_id], "the load id")
    await ledger.prepare(session, request.ledger_schema)
    return Claim(request, run, await _source_facts(source, request), is_utf8=session.server_encoding == "UTF8")


async def foretell(session: Session, source: Source, request: LoadRequest) -> tuple[str, ...]:
    """Say, for a plan, where a load with an id is done already; nothing is made or locked.

    Raises:
        LoadDiffers, LedgerError: as the load itself would.
    """
    if request.load_id is None or not await ledger.exists(session, request.ledger_schema):
        return ()
    facts = await _source_facts(source, request)
    claim = Claim(request, "", facts, is_utf8=session.server_encoding == "UTF8")
    is_done = await claim.is_done(session)
    return (f"load {show_value(request.load_id)} is done already: nothing would be done",) if is_done else ()


async def _source_facts(source: Source, request: LoadRequest) -> dict[str, object]:
    """Say what tells the source from its other versions; hash its files."""
    stopped = Event()
    work = partial(source.fingerprints, stopped.is_set)
    files = await shelter.finish(anyio.to_thread.run_sync(work), on_cancel=stopped.set)
    if files is None and request.source_version is None:
        raise ConfigError(
            f"{printable(source.name)} is read once, so nothing tells whether it is what was loaded before: with"
            f" {show_option('load_id')}, say which version it is ({show_option('source_version')})"
        )
    facts: dict[str, object] = {} if files is None else {"files": [asdict(each) for each in files]}
    return facts if request.source_version is None else {**facts, "version": request.source_version}


def _recorded_options(request: LoadRequest) -> dict[str, object]:
    """Return what changes the rows that are stored, as JSON has it; the default of an option is left out."""
    values = {each.name: (getattr(request, each.name), each) for each in fields_of(LoadRequest)}
    given = {
        name: value
        for name, (value, each) in values.items()
        if each.option.is_recorded and value != each.default and value not in ({}, ())
    }
    if request.params:  # what the server reads: JSON has no NaN, and 1 is the same as '1'
        given["params"] = [param_text(value) for value in request.params]
    options: dict[str, object] = json.loads(json.dumps({**given, **csv_options(request.source)}, default=str))
    return options


class Claim:
    """One run's claim to a load's id."""

    def __init__(self, request: LoadRequest, run: str, source: Mapping[str, object], *, is_utf8: bool) -> None:
        self._request = request
        self._schema = request.ledger_schema
        self._load_id = str(request.load_id)
        #: function that changes what is recorded into what the database can hold
        self._kept: Callable[[Mapping[str, object]], Mapping[str, object]] = dict if is_utf8 else _in_ascii
        self._source = self._kept(source)
        self._options = self._kept(_recorded_options(request))
        #: mark of this run's row, in any of its tries, against that of another run
        self._run = run

    async def take(self, session: Session) -> LoadReport | None:
        """Lock the id in the load's transaction; return the report of the run that has done the load, if one has.

        Raises:
            LoadRunning: another run is at work on it, and this one does not wait.
            LoadDiffers: the load that is done was a different one.
            LedgerError: to load again would add the same rows twice.
        """
        async with ledger.using(self._schema):
            await session.fetch(statements.WATCH_CLIENT)
            await self._lock(session)
            record = await ledger.find(session, self._schema, self._load_id)
            if record is None:
                return None
            is_own = await self._is_recorded(session)
        if self._request.restart and not is_own:
            self._refuse_restart(record)
            return None
        return replace(await self._report_of(session, record), already=not is_own)

    async def is_done(self, session: Session) -> bool:
        """Tell whether the load is done and need not be done again; raise as `take` does where it may not."""
        async with ledger.using(self._schema):
            record = await ledger.find(session, self._schema, self._load_id)
        if record is None:
            return False
        if self._request.restart:
            self._refuse_restart(record)
            return False
        await self._report_of(session, record)
        return True

    async def _is_recorded(self, session: Session) -> bool:
        """Tell whether this run has recorded the load: a try of it that never heard of its COMMIT."""
        return await session.fetch(statements.run_of(self._schema, self._load_id)) == [(self._run,)]

    async def _lock(self, session: Session) -> None:
        waits = self._request.wait
        [(is_free,)] = await session.fetch(statements.lock_load(self._schema, self._load_id, waits=waits))
        if not waits and not is_free:
            raise LoadRunning(
                f"another run is at work on load {show_value(self._load_id)}: try again later, or wait for its end"
                f" ({show_option('wait', value=True)})",
                load_id=self._load_id,
            )

    def _refuse_restart(self, record: LoadRecord) -> None:
        ledger.refuse_twice(record, "loaded again, they would be there twice; use another id for other rows")
        if self._request.mode == "append" and record.rows:
            raise LedgerError(
                f"load {show_value(self._load_id)} has stored {record.rows:,} rows in {printable(record.table)} in mode"
                f" {record.facts.mode}: appending to them would store rows twice; use that mode again",
                load_id=self._load_id,
            )

    async def _report_of(self, session: Session, record: LoadRecord) -> LoadReport:
        """Return the report of the recorded run, where this load is the same."""
        if record.state != "done" or record.report is None:
            raise LedgerError(
                f"load {show_value(self._load_id)} is {record.state}: it was begun by bulkio {record.bulkio_version},"
                f" and this version, {version('bulkio')}, cannot continue it",
                load_id=self._load_id,
            )
        found = await look_up(session, self._request.table)
        schema = found.new_schema if found.table is None else found.table.schema
        facts = self._facts(schema or "", found.name.name if found.table is None else found.table.name)
        if different := differences(record.facts, facts):
            lines = "".join(f"\n  {printable(line)}" for line in different)
            again = f", or load again under this one ({show_option('restart', value=True)})"
            raise LoadDiffers(
                f"load {show_value(self._load_id)} is done, and was a different one:{lines}\nuse another"
                f" {show_option('load_id')}{'' if 'append' in (record.facts.mode, self._request.mode) else again}",
                load_id=self._load_id,
                differences=different,
            )
        return record.report

    def _facts(self, schema: str, table: str) -> LoadFacts:
        return LoadFacts(schema, table, self._request.mode, self._source, self._options)

    async def record(self, session: Session, plan: LoadPlan, report: LoadReport) -> Judge:
        """Write the load's row into its own transaction, under the user's search_path; return the judge of its COMMIT.

        Raises:
            LoadRunning: another run has recorded the load, although this one has its lock.
            LedgerError: the row is not there, although nothing has refused it.
        """
        values = self._values(plan, report)
        statement = statements.insert_load(self._schema, values, replaces=self._request.restart)
        async with ledger.using(self._schema):
            try:
                await session.execute(f"{sql.OWN_PATH}; {statement}")
            except DriverError as error:
                if error.sqlstate != _TAKEN:
                    raise
                raise LoadRunning(
                    f"another run has recorded load {show_value(self._load_id)} meanwhile, so this one was rolled back:"
                    " try again to get its report",
                    load_id=self._load_id,
                ) from error
            if not await self._is_recorded(session):
                name = f"{show_name(self._schema)}.{show_name(statements.LOADS)}"
                raise LedgerError(
                    f"the ledger has not kept the row of load {show_value(self._load_id)}, so nothing was loaded: a"
                    f" trigger, a rule or a policy of {name} drops or hides it",
                    load_id=self._load_id,
                )
        await session.execute(sql.USERS_PATH)
        return self._judge()

    def _values(self, plan: LoadPlan, report: LoadReport) -> dict[str, str]:
        facts = self._facts(plan.schema, plan.table)
        return {
            "id": self._load_id,
            "table_schema": facts.table_schema,
            "table_name": facts.table_name,
            "mode": facts.mode,
            "source": json.dumps(facts.source),
            "options": json.dumps(facts.options),
            "state": "done",
            "rows": str(report.rows),
            "report": json.dumps(self._kept(report.as_dict())),
            "bulkio_version": version("bulkio"),
            "run": self._run,
        }

    def _judge(self) -> Judge:
        """Return the judge of a COMMIT that gets no reply: the ledger, which has this run's row or has it not.

        It is right on whatever server answers: the row is there where the rows are.
        """
        advice = "load again with the same id: the ledger knows whether it is done"
        return Judge(self._ask, f"load {show_value(self._load_id)}", advice, retryable=True)

    async def _ask(self) -> str:
        """Ask once whether this run's row is there, after its transaction has surely ended."""
        request = self._request
        try:
            async with (
                open_session(request.dsn, request) as session,
                transaction(session, read_only=True, lock_timeout="0"),
            ):
                if await session.fetch(sql.IS_IN_RECOVERY) == [(True,)]:
                    return STANDBY
                await session.fetch(statements.lock_load(self._schema, self._load_id, waits=True))
                return "committed" if await self._is_recorded(session) else "aborted"
        except ConnectError:
            return UNREACHABLE
        except DriverError as error:
            return IN_PROGRESS if error.sqlstate == _LOCKED else f"the ledger cannot be read ({error})"


def _in_ascii(value: Any) -> Any:
    """Escape what JSON's own escapes would make characters of, of which the database may not have all."""
    match value:
        case str():
            return value.encode("ascii", "backslashreplace").decode()
        case list() | tuple():
            return [_in_ascii(each) for each in value]
        case dict():
            return {_in_ascii(name): _in_ascii(each) for name, each in value.items()}
    return value
