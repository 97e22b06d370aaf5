"""The journal as a whole: a run begins, or is taken over; and which ticks of a pipeline were seen."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from shlex import quote
from typing import TYPE_CHECKING
from uuid import uuid4

from bulkio.errors import LedgerError, RunRunning, RunTaken
from bulkio.plan.refusals import refuse_changed
from bulkio.show import show_value
from bulkio.sql import runs as statements
from bulkio.sql import tables
from bulkio.transfer import ledger
from bulkio.transfer.journal import owner
from bulkio.transfer.journal.records import DATE, RunFacts, RunRecord, run_of, step_of
from bulkio.transfer.journal.run import LEASE_S, Run
from bulkio.transfer.journal.work import change, keep_json, keep_text
from bulkio.transfer.session import open_session
from bulkio.types import charset_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bulkio.options import LedgerRequest
    from bulkio.protocols import Session

__all__ = ["Journal", "Schedule", "open_journal"]


@dataclass(frozen=True, slots=True)
class Schedule:
    """What the journal knows of a pipeline's ticks."""

    #: latest tick that was run or missed; before the first one, the time from which on ticks count
    last: datetime
    #: runs of ticks that nobody works on and that are not done: interrupted, or their process is gone; earliest first
    abandoned: tuple[RunRecord, ...]


async def open_journal(request: LedgerRequest) -> Journal:
    """Return the journal beside the ledger; its tables are made where they are missing.

    Raises:
        LedgerError: there is another table of such a name, or the role may not make or use them.
    """
    async with open_session(request.dsn, request) as session:
        await ledger.prepare(session, request.ledger_schema, tables.FOR_RUNS)
    return Journal(request)


class Journal:
    """The runs of all pipelines in one ledger. It holds nothing open."""

    def __init__(self, request: LedgerRequest) -> None:
        self._request = request
        self._schema = request.ledger_schema

    async def begin(self, pipeline: str, run: str, facts: RunFacts) -> Run:
        """Begin a run, or go on with one that has failed, was interrupted, or whose owner is gone.

        One that is done is returned with `is_done`. A tick (`facts.kind`) is begun only while nobody works on its
        pipeline, and never where it has failed or was missed before: that is up to the user.

        Raises:
            RunRunning: another process works on it; of a tick, on any run of the pipeline.
            RunTaken: the tick has failed, or was missed.
            LedgerError: it was begun with other parameters.
        """
        return await change(self._request, partial(self._begin, pipeline=pipeline, run=run, facts=facts))

    async def _begin(self, session: Session, pipeline: str, run: str, facts: RunFacts) -> Run:
        refuse_changed(charset_of(session.server_encoding), [pipeline, run], "the name of the run")
        if facts.kind == "tick":
            await self._claim_pipeline(session, pipeline, facts)
        token = str(uuid4())
        mine = {**_own(session, facts.file), "owner": token}
        new = {**_known(session, pipeline, run, facts), **mine}
        if await session.fetch(statements.insert_run(self._schema, new, LEASE_S)):
            return Run(self._request, pipeline, run, token, attempt=1, logical_date=facts.logical_date)
        [row] = await session.fetch(statements.lock_run(self._schema, pipeline, run))
        record = run_of(row)
        if record.state == "done" and facts.kind == "tick":
            return Run(self._request, pipeline, run, token, attempt=record.attempt, is_done=True)
        _refuse_other_params(session, record, facts)
        if record.state != "done":
            _refuse_busy(record, facts)
            again = statements.take_run(self._schema, pipeline, run, mine, LEASE_S)
            [(attempt,)] = await session.fetch(again)
            await session.execute(statements.interrupt_steps(self._schema, pipeline, run))
        steps = map(step_of, await session.fetch(statements.select_steps(self._schema, pipeline, run)))
        count = record.attempt if record.state == "done" else int(str(attempt))
        return Run(
            self._request,
            pipeline,
            run,
            token,
            attempt=count,
            is_done=record.state == "done",
            logical_date=record.logical_date,
            said_date=record.params.get(DATE),
            steps=tuple(steps),
        )

    async def _claim_pipeline(self, session: Session, pipeline: str, facts: RunFacts) -> None:
        """Let only one process at a time begin a tick of a pipeline, and none while another run of it is at work."""
        await session.fetch(statements.lock_pipeline(self._schema, pipeline))
        rows = await session.fetch(statements.unfinished_runs(self._schema, pipeline))
        alive = next((record for record in map(run_of, rows) if _is_alive(record)), None)
        if alive is not None:
            raise _running(alive)
        if facts.logical_date is not None:
            await session.execute(statements.advance_ticks(self._schema, pipeline, _utc(facts.logical_date)))

    async def schedule(self, pipeline: str, since: datetime) -> Schedule:
        """Return what is known of a pipeline's ticks; where it is seen for the first time, they count `since` then."""
        return await change(self._request, partial(self._schedule, pipeline=pipeline, since=since))

    async def _schedule(self, session: Session, pipeline: str, since: datetime) -> Schedule:
        refuse_changed(charset_of(session.server_encoding), [pipeline], "the name of the pipeline")
        await session.execute(statements.note_first_sight(self._schema, pipeline, _utc(since)))
        [(mark, _, _)] = await session.fetch(statements.select_mark(self._schema, pipeline, ""))
        rows = await session.fetch(statements.unfinished_runs(self._schema, pipeline))
        abandoned = tuple(each for each in map(run_of, rows) if each.kind == "tick" and not _is_alive(each))
        return Schedule(datetime.fromisoformat(str(mark)), abandoned)

    async def miss(self, pipeline: str, ticks: Mapping[str, datetime], *, file: str) -> tuple[str, ...]:
        """Record ticks, by their ids, that are not run; return those that nobody has recorded before."""
        if not ticks:
            return ()
        return await change(self._request, partial(self._miss, pipeline=pipeline, ticks=ticks, file=file))

    async def _miss(self, session: Session, pipeline: str, ticks: Mapping[str, datetime], file: str) -> tuple[str, ...]:
        await session.fetch(statements.lock_pipeline(self._schema, pipeline))
        facts = [(run, RunFacts(file=file, kind="tick", logical_date=tick)) for run, tick in ticks.items()]
        rows = [_known(session, pipeline, run, each) for run, each in facts]
        new = await session.fetch(statements.insert_missed(self._schema, rows))
        last = max(ticks.values())
        await session.execute(statements.advance_ticks(self._schema, pipeline, _utc(last)))
        return tuple(str(run) for (run,) in new)


def _utc(time: datetime) -> str:
    """Return a time as a text that sorts as the times do."""
    return time.astimezone(UTC).isoformat(timespec="microseconds")


def _known(session: Session, pipeline: str, run: str, facts: RunFacts) -> dict[str, str | None]:
    """Return what is recorded of a run as it comes to be, as texts."""
    return {
        "pipeline": pipeline,
        "run": run,
        "kind": facts.kind,
        "file": keep_text(session, facts.file),
        "logical_date": None if facts.logical_date is None else _utc(facts.logical_date),
        "params": keep_json(session, dict(facts.params)),
        "bulkio_version": version("bulkio"),
    }


def _own(session: Session, file: str) -> dict[str, str | None]:
    """Return what is recorded of this process, as texts."""
    process = owner.this_process()
    return {
        "file": keep_text(session, file),
        "host": keep_text(session, owner.host_name()),
        "process": None if process is None else json.dumps(process),
        "bulkio_version": version("bulkio"),
    }


def _is_alive(record: RunRecord) -> bool:
    return record.state == "running" and not record.is_lost and not owner.is_gone(record.host, record.process)


def _refuse_busy(record: RunRecord, facts: RunFacts) -> None:
    """Refuse a run that another process works on, and a tick whose end is the user's to decide about."""
    if _is_alive(record):
        raise _running(record)
    if facts.kind == "tick" and record.state in ("failed", "missed"):
        state = "has failed" if record.state == "failed" else "was missed"
        raise RunTaken(
            f"run {show_value(record.name)} {state}; to run it all the same: bulkio runs resume {quote(record.name)}",
            run=record.name,
        )


def _running(record: RunRecord) -> RunRunning:
    pid = "" if record.process is None else f", process {record.process['pid']}"
    return RunRunning(
        f"run {show_value(record.name)} is at work on host {show_value(record.host)}{pid}: wait for its end, or end it",
        run=record.name,
    )


def _refuse_other_params(session: Session, record: RunRecord, facts: RunFacts) -> None:
    """Refuse to go on with a run under other parameters: what it has done is of the old ones."""
    given: Mapping[str, str] = json.loads(keep_json(session, dict(facts.params)))
    names = {**record.params, **given}.keys() - (() if DATE in given else (DATE,))
    odd: Sequence[str] = [name for name in sorted(names) if record.params.get(name) != given.get(name)]
    if record.state != "missed" and odd:
        name = odd[0]
        then, now = (_shown(params.get(name)) for params in (record.params, given))
        raise LedgerError(
            f"run {show_value(record.name)} was begun with other parameters ({name}: {then} then, {now} now): go on"
            f" with it by `bulkio runs resume {quote(record.name)}`, or take another run id"
        )


def _shown(value: str | None) -> str:
    return "not given" if value is None else show_value(value)
