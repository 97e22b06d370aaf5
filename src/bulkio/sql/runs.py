"""Statements of the journal: the runs of pipelines, their steps, and how far their incremental exports are.

Its tables stand beside the ledger's. A run belongs to whoever has its token (`owner`): each statement that writes
changes nothing, and returns no row, where the run has another owner by now. Leases go by the server's clock.
All statements run under `OWN_PATH`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bulkio.quote import qualified, quote_literal
from bulkio.sql.ledger import lock_key
from bulkio.sql.tables import KEYS, MARKS, RUNS, STEPS, TABLES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = [
    "advance_ticks",
    "delete_older",
    "finish_run",
    "insert_missed",
    "insert_run",
    "interrupt_steps",
    "limit_idle",
    "lock_pipeline",
    "lock_run",
    "move_mark",
    "note_first_sight",
    "propose_mark",
    "put_step",
    "renew_lease",
    "run_keys",
    "select_mark",
    "select_runs",
    "select_steps",
    "take_run",
    "unfinished_runs",
]

_NOW = "pg_catalog.clock_timestamp()"
_IS_OVER = f"(lease_until IS NULL OR lease_until < {_NOW})"


def _typed(table: str, values: Mapping[str, str | None]) -> dict[str, str]:
    """Return values, which are texts, as SQL."""
    return {name: f"{quote_literal(value)}::{TABLES[table][name][0]}" for name, value in values.items()}


def _where(**key: str) -> str:
    return " AND ".join(f"{name} = {quote_literal(value)}" for name, value in key.items())


def _texts(table: str) -> str:
    return ", ".join(f"{name}::text" for name in TABLES[table])


def _lease(lease_s: float) -> str:
    return f"{_NOW} + pg_catalog.make_interval(secs => {lease_s:f})"


def _own(pipeline: str, run: str, owner: str) -> str:
    return f"{_where(pipeline=pipeline, run=run)} AND owner = {quote_literal(owner)}::uuid"


def limit_idle(idle_s: float) -> str:
    """Build the statement that has the server end this transaction where it hears nothing of it for so long.

    >>> limit_idle(10)
    "SET LOCAL idle_in_transaction_session_timeout = '10000ms'"
    """
    return f"SET LOCAL idle_in_transaction_session_timeout = '{idle_s * 1000:.0f}ms'"


def lock_pipeline(schema: str, pipeline: str) -> str:
    """Build a statement by which those who claim a tick of a pipeline wait for each other's transactions."""
    return f"SELECT pg_catalog.pg_advisory_xact_lock({lock_key(schema, pipeline, 'pipeline'):d})"


def insert_run(schema: str, values: Mapping[str, str | None], lease_s: float) -> str:
    """Build the INSERT of a run that begins, from texts; it returns a row unless there is one of this id already."""
    known = _typed(RUNS, {**values, "state": "running"})
    known |= {"attempt": "1", "started_at": _NOW, "lease_until": _lease(lease_s)}
    return (
        f"INSERT INTO {qualified(schema, RUNS)} ({', '.join(known)}) VALUES ({', '.join(known.values())})"  # noqa: S608
        " ON CONFLICT (pipeline, run) DO NOTHING RETURNING 1"
    )


def insert_missed(schema: str, runs: Iterable[Mapping[str, str | None]]) -> str:
    """Build the INSERT of ticks that are not run, from texts; it returns the ids of those that nobody has recorded."""
    lines = [_typed(RUNS, {**values, "state": "missed"}) | {"attempt": "0"} for values in runs]
    rows = ", ".join(f"({', '.join(line.values())})" for line in lines)
    return (
        f"INSERT INTO {qualified(schema, RUNS)} ({', '.join(lines[0])}) VALUES {rows}"  # noqa: S608
        " ON CONFLICT (pipeline, run) DO NOTHING RETURNING run"
    )


def lock_run(schema: str, pipeline: str, run: str) -> str:
    """Ask for a run, each column as text, and whether its lease is over; nobody changes it in this transaction."""
    return (
        f"SELECT {_texts(RUNS)}, {_IS_OVER} FROM {qualified(schema, RUNS)}"  # noqa: S608
        f" WHERE {_where(pipeline=pipeline, run=run)} FOR UPDATE"
    )


def take_run(schema: str, pipeline: str, run: str, values: Mapping[str, str | None], lease_s: float) -> str:
    """Build the UPDATE by which a run gets a new owner and goes on; it returns the number of the attempt."""
    sets = _typed(RUNS, {**values, "state": "running", "finished_at": None, "error": None})
    sets |= {"attempt": "attempt + 1", "lease_until": _lease(lease_s), "started_at": f"COALESCE(started_at, {_NOW})"}
    return (
        f"UPDATE {qualified(schema, RUNS)} SET {', '.join(f'{name} = {value}' for name, value in sets.items())}"  # noqa: S608
        f" WHERE {_where(pipeline=pipeline, run=run)} RETURNING attempt"
    )


def unfinished_runs(schema: str, pipeline: str) -> str:
    """Ask for the runs of a pipeline that run or were interrupted, each column as text, and whether the lease is over.

    The earliest tick is the first.
    """
    return (
        f"SELECT {_texts(RUNS)}, {_IS_OVER} FROM {qualified(schema, RUNS)} WHERE {_where(pipeline=pipeline)}"  # noqa: S608
        " AND state IN ('running', 'interrupted') ORDER BY logical_date, started_at, run"
    )


def renew_lease(schema: str, pipeline: str, run: str, owner: str, lease_s: float) -> str:
    """Build the UPDATE of a heartbeat."""
    return (
        f"UPDATE {qualified(schema, RUNS)} SET lease_until = {_lease(lease_s)}"  # noqa: S608
        f" WHERE {_own(pipeline, run, owner)} AND state = 'running' RETURNING 1"
    )


def finish_run(schema: str, pipeline: str, run: str, owner: str, state: str, error: str | None) -> str:
    """Build the UPDATE of a run that has ended; again, it does no harm."""
    sets = _typed(RUNS, {"state": state, "error": error})
    return (
        f"UPDATE {qualified(schema, RUNS)} SET {', '.join(f'{name} = {value}' for name, value in sets.items())},"  # noqa: S608
        f" finished_at = {_NOW}, lease_until = NULL WHERE {_own(pipeline, run, owner)}"
        f" AND state IN ('running', {quote_literal(state)}) RETURNING 1"
    )


def interrupt_steps(schema: str, pipeline: str, run: str) -> str:
    """Build the UPDATE of the steps that were at work as their run ended."""
    return (
        f"UPDATE {qualified(schema, STEPS)} SET state = 'interrupted', finished_at = {_NOW}"  # noqa: S608
        f" WHERE {_where(pipeline=pipeline, run=run)} AND state = 'running'"
    )


def put_step(schema: str, key: Mapping[str, str], owner: str, values: Mapping[str, str | None], *, starts: bool) -> str:
    """Build the INSERT, or UPDATE, of a step that `starts` or ends, from texts; it returns the number of tries."""
    known = _typed(STEPS, {**key, **values}) | {"attempts": "1" if starts else "0"}
    known |= {"started_at": _NOW, "finished_at": "NULL"} if starts else {"finished_at": _NOW}
    sets = {name: f"excluded.{name}" for name in known if name not in key and name != "attempts"}
    if starts:
        sets |= {"attempts": "this.attempts + 1", "error": "NULL"}
    run = _own(key["pipeline"], key["run"], owner)
    return (
        f"INSERT INTO {qualified(schema, STEPS)} AS this ({', '.join(known)}) SELECT {', '.join(known.values())}"  # noqa: S608
        f" FROM {qualified(schema, RUNS)} WHERE {run} AND state = 'running' FOR SHARE"
        f" ON CONFLICT ({', '.join(KEYS[STEPS])}) DO UPDATE"
        f" SET {', '.join(f'{name} = {value}' for name, value in sets.items())} RETURNING attempts"
    )


def select_mark(schema: str, pipeline: str, step: str) -> str:
    """Ask how far a step's exports are: its mark, and the window that may have a file already, with that file."""
    return (
        f"SELECT mark, pending, pending_to FROM {qualified(schema, MARKS)}"  # noqa: S608
        f" WHERE {_where(pipeline=pipeline, step=step)}"
    )


def propose_mark(
    schema: str, key: Mapping[str, str], owner: str, mark: str | None, window: Mapping[str, str | None]
) -> str:
    """Build the statement that notes a window before its file is made; `key` has pipeline, run and step.

    It does nothing, and returns no row, where the mark is not the one that the window begins at, or where another
    window is noted.
    """
    known = _typed(MARKS, {"pipeline": key["pipeline"], "step": key["step"], **window})
    run = _own(key["pipeline"], key["run"], owner)
    return (
        f"INSERT INTO {qualified(schema, MARKS)} AS this ({', '.join(known)}) SELECT {', '.join(known.values())}"  # noqa: S608
        f" FROM {qualified(schema, RUNS)} WHERE {run} AND state = 'running' FOR SHARE"
        " ON CONFLICT (pipeline, step) DO UPDATE"
        " SET pending = excluded.pending, pending_to = excluded.pending_to"
        f" WHERE this.mark IS NOT DISTINCT FROM {quote_literal(mark)}"
        " AND (this.pending IS NULL OR this.pending = excluded.pending) RETURNING 1"
    )


def move_mark(schema: str, pipeline: str, step: str, mark: str) -> str:
    """Build the UPDATE by which a window's end becomes the mark, unless it lies behind the mark already.

    Marks are times in UTC, whose texts sort. It returns no row where another window is noted.
    """
    text = f'{quote_literal(mark)} COLLATE "C"'
    left = f"CASE WHEN pending > {text} THEN %s END"
    return (
        f"UPDATE {qualified(schema, MARKS)} SET mark = GREATEST(mark, {text}),"  # noqa: S608
        f" pending = {left % 'pending'}, pending_to = {left % 'pending_to'}"
        f" WHERE {_where(pipeline=pipeline, step=step)} AND (pending = {text} OR mark >= {text}) RETURNING 1"
    )


def note_first_sight(schema: str, pipeline: str, since: str) -> str:
    """Build the INSERT of the time from which on a pipeline's ticks count; it does nothing where it is known."""
    known = _typed(MARKS, {"pipeline": pipeline, "step": "", "mark": since})
    return (
        f"INSERT INTO {qualified(schema, MARKS)} ({', '.join(known)}) VALUES ({', '.join(known.values())})"  # noqa: S608
        " ON CONFLICT (pipeline, step) DO NOTHING"
    )


def advance_ticks(schema: str, pipeline: str, tick: str) -> str:
    """Build the statement that notes the latest tick that was run or missed; texts of times in UTC, which sort."""
    known = _typed(MARKS, {"pipeline": pipeline, "step": "", "mark": tick})
    return (
        f"INSERT INTO {qualified(schema, MARKS)} AS this ({', '.join(known)}) VALUES ({', '.join(known.values())})"  # noqa: S608
        ' ON CONFLICT (pipeline, step) DO UPDATE SET mark = GREATEST(this.mark COLLATE "C", excluded.mark)'
    )


def select_runs(schema: str, pipeline: str | None, run: str | None = None, *, limit: int) -> str:
    """Ask for runs, the latest first, each column as text, and whether the lease is over."""
    key = {name: value for name, value in (("pipeline", pipeline), ("run", run)) if value is not None}
    where = f" WHERE {_where(**key)}" if key else ""
    return (
        f"SELECT {_texts(RUNS)}, {_IS_OVER} FROM {qualified(schema, RUNS)}{where}"  # noqa: S608
        f" ORDER BY COALESCE(started_at, logical_date) DESC, pipeline, run LIMIT {limit:d}"
    )


def run_keys(schema: str, *, limit: int) -> str:
    """Ask for pipeline and id of the latest runs."""
    return (
        f"SELECT pipeline, run FROM {qualified(schema, RUNS)}"  # noqa: S608
        f" ORDER BY COALESCE(started_at, logical_date) DESC LIMIT {limit:d}"
    )


def select_steps(schema: str, pipeline: str, run: str) -> str:
    """Ask for the steps of a run in the order in which they began, each column as text."""
    return (
        f"SELECT {_texts(STEPS)} FROM {qualified(schema, STEPS)} WHERE {_where(pipeline=pipeline, run=run)}"  # noqa: S608
        " ORDER BY COALESCE(started_at, finished_at), step, item"
    )


def delete_older(schema: str, days: int) -> str:
    """Build the DELETE of runs, and their steps, that ended before so many days, or that nobody works on since then.

    It returns the runs as `select_runs` does.
    """
    ended = "COALESCE(finished_at, lease_until, logical_date)"
    return (
        f"WITH gone AS (DELETE FROM {qualified(schema, RUNS)}"  # noqa: S608
        f" WHERE {ended} < now() - make_interval(days => {days:d}) RETURNING *),"
        f" gone_steps AS (DELETE FROM {qualified(schema, STEPS)} AS s USING gone AS g"
        " WHERE s.pipeline = g.pipeline AND s.run = g.run)"
        f" SELECT {_texts(RUNS)}, {_IS_OVER} FROM gone ORDER BY logical_date, started_at"
    )
