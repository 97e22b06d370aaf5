"""A load's claim to its id: lock it, look whether it is done already, record it in the load's own transaction.

A load of one transaction takes the lock in it. Where it is free, the transaction of any other run of this id has
surely ended, and what it has committed is seen. A load of many holds the lock in a session of its own, which may die
before its transactions do: they go by what is recorded. A run without the lock is stopped by the primary key.
"""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from functools import partial
from importlib.metadata import version
from threading import Event
from typing import TYPE_CHECKING, Any, cast

import anyio.to_thread

from bulkio import sql
from bulkio.catalog.lookup import look_up
from bulkio.errors import ConfigError, DriverError, LedgerError, LoadDiffers, LoadRunning
from bulkio.files.identity import csv_options
from bulkio.flow import shelter
from bulkio.options import LoadRequest, fields_of, param_text
from bulkio.plan.refusals import refuse_changed
from bulkio.show import printable, show_name, show_option, show_value
from bulkio.sql import ledger as statements
from bulkio.sql import tables
from bulkio.transfer import ledger
from bulkio.transfer.ledger_judge import ledger_judge
from bulkio.transfer.records import LoadFacts, LoadRecord, LoadWork, differences
from bulkio.transfer.resumable import rejects_path
from bulkio.transfer.session import Judge, open_session, transaction
from bulkio.types import charset_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from bulkio.plan import LoadPlan
    from bulkio.protocols import Session, Source
    from bulkio.transfer.attempt import Attempt
    from bulkio.transfer.report import LoadReport

__all__ = ["Claim", "Unfinished", "foretell", "make_claim", "make_unnamed_claim"]

#: SQLSTATE unique_violation
_TAKEN = "23505"


class Unfinished(Exception):  # noqa: N818 - a signal
    """The load was begun by a run that commits in parts, and is not done: it cannot be done in one transaction."""


async def make_claim(
    session: Session, source: Source, request: LoadRequest, run: str, *, for_chunks: bool = False
) -> Claim | None:
    """Make a load's claim, before its transaction; None where the load has no id, which costs nothing.

    For a transaction of the caller's the ledger has to be there: it is made in one of its own.

    Raises:
        ConfigError: nothing tells the source from its other versions.
        LedgerError: the ledger cannot be used.
    """
    if request.load_id is None:
        return None
    refuse_changed(charset_of(session.server_encoding), [request.load_id], "the load id")
    needs = tables.FOR_CHUNKS if for_chunks else tables.FOR_LOADS
    find_ledger = ledger.prepare if request.connection is None else ledger.require
    await find_ledger(session, request.ledger_schema, needs)
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
    found = await claim.recorded(session)
    name = f"load {show_value(request.load_id)}"
    if found is None:
        return ()
    if isinstance(found, LoadRecord):
        return (f"{name} is unfinished: it would go on where it was",)
    return (f"{name} is done already: nothing would be done",)


async def make_unnamed_claim(session: Session, attempt: Attempt) -> Claim:
    """Make the claim of a load that cannot do without an id, and has none.

    Its files are hashed only where it can be resumed: if its chunks commit for themselves.
    """
    request = replace(attempt.request, load_id=f"unnamed/{attempt.run}")
    await ledger.prepare(session, request.ledger_schema, tables.FOR_CHUNKS)
    if request.commit == "chunk" and attempt.opened.size_bytes is None:
        option, name = show_option("commit", "chunk"), printable(attempt.opened.name)
        raise ConfigError(f"{option} cannot be had here: {name} is not a file, so that nothing could go on with it")
    facts = await _source_facts(attempt.opened, request) if request.commit == "chunk" else {}
    return Claim(request, attempt.run, facts, is_utf8=session.server_encoding == "UTF8", is_unnamed=True)


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

    def __init__(
        self,
        request: LoadRequest,
        run: str,
        source: Mapping[str, object],
        *,
        is_utf8: bool,
        is_unnamed: bool = False,
    ) -> None:
        self.request = request
        self.schema = request.ledger_schema
        self.load_id = str(request.load_id)
        #: mark of this run's rows, in any of its tries, against those of another run
        self.run = run
        #: mark of the run that has begun the load, which may be another one's
        self.begun_by = run
        #: True if the id is made up
        self.is_unnamed = is_unnamed
        #: function that changes what is recorded into what the database can hold
        self._kept: Callable[[Mapping[str, object]], Mapping[str, object]] = dict if is_utf8 else _in_ascii
        self._source = self._kept(source)
        self._options = self._kept(_recorded_options(request))

    @property
    def name(self) -> str:
        """What messages call the load."""
        return f"load {show_value(self.load_id)}"

    async def prepare_chunks(self, session: Session) -> None:
        """Look whether the ledger's table of chunks is there."""
        await ledger.prepare(session, self.schema, tables.FOR_CHUNKS)

    async def take(self, session: Session) -> LoadReport | None:
        """Lock the id in the load's transaction; return the report of the run that has done the load, if one has.

        Raises:
            LoadRunning: another run is at work on it, and this one does not wait.
            LoadDiffers: the load that is recorded was a different one.
            LedgerError: to load again would add the same rows twice.
            Unfinished: it was begun in parts.
        """
        async with ledger.using(self.schema):
            await session.fetch(statements.WATCH_CLIENT)
            await self._lock(session)
        found = await self.recorded(session)
        if isinstance(found, LoadRecord):
            raise Unfinished
        return found

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Hold the lock in a session of its own. It saves work: correctness does not depend on it.

        Raises:
            LoadRunning: another run is at work on it, and this one does not wait.
        """
        request = self.request
        is_done = False
        async with open_session(request.dsn, request) as session:
            async with transaction(session, read_only=False, lock_timeout=request.lock_timeout):
                async with ledger.using(self.schema):
                    await self._lock(session)
                yield
                is_done = True
            if is_done:  # a cancellation comes too late
                await shelter.conclude(session.close())

    async def recorded(self, session: Session) -> LoadReport | LoadRecord | None:
        """Look up what is recorded: the report of the run that has done the load, the record of one that is unfinished.

        Raises:
            LoadDiffers: the load that is recorded was a different one.
            LedgerError: to load again would add the same rows twice.
        """
        async with ledger.using(self.schema):
            record = await ledger.find(session, self.schema, self.load_id)
            if record is None:
                return None
            is_own = await self._is_recorded(session)
        if self.request.restart and not is_own:
            self._refuse_restart(record)
            if record.state == "done":
                return None
        else:
            await self._refuse_other(session, record)
        if record.state != "done" or record.report is None:
            return record
        return replace(record.report, already=not is_own)

    async def _is_recorded(self, session: Session) -> bool:
        """Tell whether this run has recorded the load: a try of it that never heard of its COMMIT."""
        return await session.fetch(statements.run_of(self.schema, self.load_id)) == [(self.run,)]

    async def _lock(self, session: Session) -> None:
        waits = self.request.wait
        [(is_free,)] = await session.fetch(statements.lock_load(self.schema, self.load_id, waits=waits))
        if not waits and not is_free:
            raise LoadRunning(
                f"another run is at work on {self.name}: try again later, or wait for its end"
                f" ({show_option('wait', value=True)})",
                load_id=self.load_id,
            )

    def _refuse_restart(self, record: LoadRecord) -> None:
        ledger.refuse_twice(record, "loaded again, they would be there twice; use another id for other rows")
        if self.request.mode == "append" and record.rows:
            raise LedgerError(
                f"{self.name} has stored {record.rows:,} rows in {printable(record.table)} in mode"
                f" {record.facts.mode}: appending to them would store rows twice; use that mode again",
                load_id=self.load_id,
            )

    async def _refuse_other(self, session: Session, record: LoadRecord) -> None:
        """Refuse a load that is not the one that is recorded under its id."""
        found = await look_up(session, self.request.table)
        schema = found.new_schema if found.table is None else found.table.schema
        facts = self._facts(schema or "", found.name.name if found.table is None else found.table.name)
        if not (different := differences(record.facts, facts)):
            return
        lines = "".join(f"\n  {printable(line)}" for line in different)
        is_append = "append" in (record.facts.mode, self.request.mode) and (
            record.state == "done" or bool(record.appended_rows)
        )
        again = f"use another {show_option('load_id')}"
        again += "" if is_append else f", or load again under this one ({show_option('restart', value=True)})"
        if is_append and record.state != "done":
            again = "rows of it are stored already: go on with what it was"
        what = "is done, and was a different one" if record.state == "done" else "is unfinished, and is a different one"
        raise LoadDiffers(
            f"{self.name} {what}:{lines}\n{again}",
            load_id=self.load_id,
            differences=different,
        )

    def _facts(self, schema: str, table: str) -> LoadFacts:
        return LoadFacts(schema, table, self.request.mode, self._source, self._options)

    async def record(self, session: Session, plan: LoadPlan, report: LoadReport) -> Judge:
        """Write the load's row into its own transaction, under the user's search_path; return the judge of its COMMIT.

        Raises:
            LoadRunning: another run has recorded the load, although this one has its lock.
            LedgerError: the row is not there, although nothing has refused it.
        """
        await session.execute(sql.OWN_PATH)
        values = {**self._facts_of(plan), "state": "done", **self._results(report)}
        await self._insert(session, values, replaces=self.request.restart)
        await session.execute(sql.USERS_PATH)
        return self._judge(self._ask_after_lock)

    async def begin(self, session: Session, plan: LoadPlan, state: str, work: LoadWork) -> None:
        """Write the row of a load that commits in parts. Raises as `record` does."""
        values = {**self._facts_of(plan), "state": state, "work": json.dumps(self._kept_work(work).as_dict())}
        await self._insert(session, values, replaces=self.request.restart)

    async def move(self, session: Session, before: str, after: str, report: LoadReport) -> bool:
        """Take the load to another state, with its report, in the transaction that decides it; tell if it could."""
        statement = statements.move_state(
            self.schema, self.load_id, self.begun_by, before, after, self._results(report)
        )
        async with ledger.using(self.schema):
            return bool(await session.fetch(statement))

    async def state(self, session: Session) -> str:
        """Look up the load's state and let nobody change it until the transaction ends.

        "" where it has no row, or was begun anew by another run, and is not done.
        """
        async with ledger.using(self.schema):
            rows = await session.fetch(statements.lock_row(self.schema, self.load_id))
        state, begun_by = map(str, rows[0]) if rows else ("", "")
        return state if state == "done" or begun_by == self.begun_by else ""

    async def record_chunk(self, session: Session, chunk: int, rows: int, size: int, rejected: int) -> Judge:
        """Write the row of a chunk into its own transaction; return the judge of its COMMIT.

        Raises:
            LoadRunning: another run has stored the chunk, or has ended the load.
        """
        values = {"rows": str(rows), "bytes": str(size), "rejected": str(rejected), "run": self.run}
        statement = statements.insert_chunk(self.schema, self.load_id, self.begun_by, chunk, values)
        async with ledger.using(self.schema):
            tag = await self._unless_taken(session, statement)
        if not tag.endswith(" 1"):
            raise self.overtaken()
        return self._judge(partial(self._ask_for_chunk, chunk))

    async def has_chunk(self, session: Session, chunk: int) -> bool:
        """Lock a chunk in its own transaction; tell whether it is stored: nobody else stores it then."""
        async with ledger.using(self.schema):
            await session.fetch(statements.lock_chunk(self.schema, self.load_id, chunk))
            return bool(await session.fetch(statements.chunk_run(self.schema, self.load_id, chunk)))

    def judge_of(self, *states: str) -> Judge:
        """Return the judge of a COMMIT that brings this run's load to the first of these states; others may follow."""
        return self._judge(partial(self._ask_for_state, states))

    async def _insert(self, session: Session, values: Mapping[str, str], *, replaces: bool) -> None:
        async with ledger.using(self.schema):
            await self._unless_taken(session, statements.insert_load(self.schema, values, replaces=replaces))
            if not await self._is_recorded(session):
                name = f"{show_name(self.schema)}.{show_name(tables.LOADS)}"
                raise LedgerError(
                    f"the ledger has not kept the row of {self.name}, so nothing was loaded: a"
                    f" trigger, a rule or a policy of {name} drops or hides it",
                    load_id=self.load_id,
                )

    async def _unless_taken(self, session: Session, statement: str) -> str:
        try:
            return await session.execute(statement)
        except DriverError as error:
            if error.sqlstate != _TAKEN:
                raise
            raise self.overtaken() from error

    def overtaken(self) -> LoadRunning:
        """Return the error of a run that another one has overtaken."""
        return LoadRunning(
            f"another run has recorded {self.name} meanwhile, so this one was rolled back: try again to get its report",
            load_id=self.load_id,
        )

    def _kept_work(self, work: LoadWork) -> LoadWork:
        """Return what the database can hold: paths that it may not are left out, so that nothing resumes by them."""
        rejects = self.kept_text(work.rejects)
        as_kept = self._kept({"paths": list(work.paths), "options": work.options})
        is_whole = as_kept["paths"] == list(work.paths) and rejects == work.rejects
        options = cast("Mapping[str, object]", as_kept["options"])
        return replace(work, paths=work.paths if is_whole else (), options=options, rejects=rejects)

    def kept_text(self, text: str) -> str:
        """Return a text as the ledger keeps it."""
        return str(self._kept({"text": text})["text"])

    def _facts_of(self, plan: LoadPlan) -> dict[str, str]:
        facts = self._facts(plan.schema, plan.table)
        return {
            "id": self.load_id,
            "table_schema": facts.table_schema,
            "table_name": facts.table_name,
            "mode": facts.mode,
            "source": json.dumps(facts.source),
            "options": json.dumps(facts.options),
            "bulkio_version": version("bulkio"),
            "run": self.run,
        }

    def _results(self, report: LoadReport) -> dict[str, str]:
        kept = replace(report, rejects=None if report.rejects is None else rejects_path(self.request))
        return {"rows": str(report.rows), "report": json.dumps(self._kept(kept.as_dict())), "run": self.run}

    def _judge(self, ask: Callable[[Session], Awaitable[bool]]) -> Judge:
        advice = "load again with the same id: the ledger knows whether it is done"
        return ledger_judge(self.request, self.name, advice, ask)

    async def _ask_after_lock(self, session: Session) -> bool:
        await session.fetch(statements.lock_load(self.schema, self.load_id, waits=True))
        return await self._is_recorded(session)

    async def _ask_for_chunk(self, chunk: int, session: Session) -> bool:
        await session.fetch(statements.lock_chunk(self.schema, self.load_id, chunk))
        return await session.fetch(statements.chunk_run(self.schema, self.load_id, chunk)) == [(self.run,)]

    async def _ask_for_state(self, states: Sequence[str], session: Session) -> bool:
        rows = await session.fetch(statements.lock_row(self.schema, self.load_id))
        return bool(rows) and str(rows[0][0]) in states and rows[0][1] == self.run


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
