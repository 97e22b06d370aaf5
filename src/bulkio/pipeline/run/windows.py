"""Incremental exports: each file holds the rows of one window, `mark <= column < cut`, and no two windows overlap.

The cut lies some time before the step's beginning, by the source's clock, for transactions that commit late. A window
is in the journal before its file is made, and the mark moves once the file is durable: a run that was ended in between
makes the same file again, under the same name, before it goes on.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from bulkio import aio
from bulkio.choices import milliseconds
from bulkio.errors import ConfigError
from bulkio.pipeline.run.kinds import Outcome, export, export_options
from bulkio.quote import name_list, quote_ident, quote_literal
from bulkio.show import did_you_mean, show_name
from bulkio.sql import begins_query, bind_literals

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from bulkio.pipeline.run.context import Task
    from bulkio.transfer.journal import Mark, Run

__all__ = ["run_windows"]

#: types of columns that tell when a row was changed; a day is over before it can be exported
_TIMES = frozenset({"timestamp", "timestamptz", "date"})


@dataclass(frozen=True, slots=True)
class _Window:
    """The rows of one file: from `start` on, if there is one, and before `end`."""

    start: datetime | None
    end: datetime
    #: name of its file that was recorded before; None if it is new
    to: str | None = None

    @property
    def name(self) -> str:
        """The text for a file's name, which sorts as the windows do."""
        return f"{_stamp(self.start) if self.start else 'start'}-{_stamp(self.end)}"


def _stamp(time: datetime) -> str:
    return f"{time:%Y%m%dT%H%M%SZ}"


async def run_windows(task: Task, run: Run) -> Outcome:
    """Export what is new, into a file for each window; move the mark behind each."""
    cut = await _cut(task)
    rows = size = 0
    async for window in _windows(run, task.step.id, cut):
        outcome = await _export(task, run, window)
        if outcome is None:
            continue
        rows, size = rows + (outcome.rows or 0), size + (outcome.bytes or 0)
    return Outcome(rows, size)


async def _windows(run: Run, step: str, cut: datetime) -> AsyncIterator[_Window]:
    """Yield the window that an earlier run has left, if one has, then the one up to the cut."""
    while (window := _next(await run.mark(step), cut)) is not None:
        yield window


def _next(mark: Mark, cut: datetime) -> _Window | None:
    start = None if mark.mark is None else datetime.fromisoformat(mark.mark)
    if mark.pending is not None:
        return _Window(start, datetime.fromisoformat(mark.pending), mark.pending_to)
    return _Window(start, cut) if start is None or start < cut else None


async def _export(task: Task, run: Run, window: _Window) -> Outcome | None:
    """Export a window; None where another run of the pipeline has come before, so that another window is next."""
    named, end = _named(task, window), window.end.isoformat()
    to = window.to or named.keys()["to"]
    start = None if window.start is None else window.start.isoformat()
    if not await run.propose(task.step.id, start, end, to):
        return None
    options = export_options(named, to)
    columns = await _columns(options)
    query = _query(columns, options["table_or_query"], _column(task), window)
    outcome = await export(named, {**options, "table_or_query": query, "columns": None})
    await run.end_step(task.step.id, rows=outcome.rows, bytes=outcome.bytes, mark=end)
    return outcome


def _column(task: Task) -> str:
    return str(getattr(task.step, "incremental", None))


def _named(task: Task, window: _Window) -> Task:
    names = {"window": window.name, "window_start": window.start, "window_end": window.end}
    return replace(task, own={**task.own, **names})


async def _columns(options: Mapping[str, Any]) -> str:
    """Return the columns of the file, as SQL: all, or those of a table that are chosen."""
    if options.get("columns") is None:
        return "*"
    plan = await aio.plan_export(**options)
    return name_list([field.name for field in plan.fields])


def _query(columns: str, table_or_query: str, column: str, window: _Window) -> str:
    """Return the query for a window's rows."""
    source = f"({bind_literals(table_or_query)}\n)" if begins_query(table_or_query) else table_or_query
    name = quote_ident(column)
    end = f"{name} < {quote_literal(window.end.isoformat())}"
    start = f"{name} >= {quote_literal(window.start.isoformat())} AND " if window.start else ""
    return f"SELECT {columns} FROM {source} AS exported WHERE {start}{end}"  # noqa: S608 - quoted


async def _cut(task: Task) -> datetime:
    """Return the end of the newest window, in whole seconds; in days, where the column has days."""
    # What a standby has not yet replayed may be older than its clock says.
    now = "CASE WHEN pg_is_in_recovery() THEN least(now(), pg_last_xact_replay_timestamp()) ELSE now() END"
    unit = quote_literal("day" if await _type(task) == "date" else "second")
    lag_ms = milliseconds("lag", getattr(task.step, "lag", "0"))
    row = await aio.fetch_row(f"SELECT date_trunc({unit}, {now} - {lag_ms:d} * interval '1 ms')", **task.connection)
    assert row is not None and isinstance(row[0], datetime)  # noqa: S101, PT018 - the query says so
    return row[0]


async def _type(task: Task) -> str:
    """Return the type of the column that tells when a row was changed. Raises `ConfigError` for others."""
    options = export_options(_named(task, _Window(None, datetime.now(UTC))))
    plan = await aio.plan_export(**{**options, "columns": None})
    types = {field.name: field.cast.pg for field in plan.fields}
    where, column = f"step {show_name(task.step.id)}: the incremental column", _column(task)
    if column not in types:
        near = did_you_mean(column, types)
        raise ConfigError(f"{where} {show_name(column)} is not there{'; ' + near if near else ''}")
    if types[column].name not in _TIMES:
        must = "must be a timestamptz, a timestamp (which is taken as UTC) or a date"
        raise ConfigError(f"{where} {show_name(column)} is of type {types[column].sql}, and {must}")
    return types[column].name
