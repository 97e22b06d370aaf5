"""What the journal records of runs and their steps. Pure."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import TYPE_CHECKING, Literal, cast

from bulkio.sql import tables

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bulkio.protocols import Row

__all__ = [
    "DATE",
    "Mark",
    "RunFacts",
    "RunKind",
    "RunRecord",
    "StepKey",
    "StepRecord",
    "StepState",
    "kept_error",
    "run_of",
    "step_of",
    "without_passwords",
]

RunKind = Literal["manual", "tick", "backfill"]
StepState = Literal["done", "skipped", "failed", "interrupted"]
#: id of a step, and the item of its for_each ("" where it has none)
StepKey = tuple[str, str]

#: name of the recorded parameter that is the date which the user has said; a later attempt need not say it again
DATE = "(date)"
#: characters of an error that are kept
MAX_ERROR = 4000
#: patterns of passwords in a DSN, which no message of bulkio's shows, but one of a user's own function may
_PASSWORDS = re.compile(r"(://[^:/@\s]*:)[^@\s]+@|(\bpassword\s*=\s*)(?:'(?:[^'\\]|\\.)*'|\S+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What is known of a run before it begins."""

    #: path of the pipeline's file; "" if it has none
    file: str = ""
    #: who asks for it: a user, the schedule (`tick`), or a user for ticks of the past
    kind: RunKind = "manual"
    #: time of its tick, with its zone's offset
    logical_date: datetime | None = None
    #: parameters that the user gave with this run; never values of the environment
    params: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Mark:
    """How far the exports of an incremental step are."""

    #: end of the last window whose file is complete, as text; None if there was none
    mark: str | None = None
    #: end of a window whose file may exist, and the name of that file; None if there is none
    pending: str | None = None
    pending_to: str | None = None


@dataclass(frozen=True, slots=True)
class StepRecord:
    """A step of a run, or one item of its `for_each`, in the journal."""

    step: str
    #: item of the step's `for_each`; "" if it has none
    item: str
    #: state of the step: running, done, skipped, failed or interrupted
    state: str
    #: times that it was begun
    attempts: int
    started_at: datetime | None
    finished_at: datetime | None
    rows: int | None
    bytes: int | None
    error: str | None
    load_id: str | None
    detail: Mapping[str, object] | None

    def as_dict(self) -> dict[str, object]:
        """Return what is recorded, as JSON has it."""
        return {each.name: _as_json(getattr(self, each.name)) for each in fields(self)}


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run of a pipeline in the journal."""

    pipeline: str
    run: str
    #: state of the run: running, done, failed, interrupted or missed
    state: str
    #: who asked for it: manual, tick or backfill
    kind: str
    file: str
    #: time of its tick
    logical_date: datetime | None
    params: Mapping[str, str]
    host: str | None
    process: Mapping[str, object] | None
    attempt: int
    started_at: datetime | None
    finished_at: datetime | None
    error: str | None
    #: version of bulkio that has begun it, or gone on with it
    bulkio_version: str
    #: True if it runs, and nobody has renewed its lease
    is_lost: bool
    #: steps in the order in which they began; only `show_run` asks for them
    steps: tuple[StepRecord, ...] = ()

    @property
    def name(self) -> str:
        """The run's name, pipeline/run."""
        return f"{self.pipeline}/{self.run}"

    def as_dict(self) -> dict[str, object]:
        """Return what is recorded, as JSON has it."""
        known = {each.name: _as_json(getattr(self, each.name)) for each in fields(self)}
        return {**known, "steps": [step.as_dict() for step in self.steps]}


def _as_json(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else value


def run_of(row: Row) -> RunRecord:
    """Return the record that a row of the journal is: its columns as texts, and whether the lease is over."""
    *texts, is_over = row
    found = dict(zip(tables.TABLES[tables.RUNS], cast("Sequence[str | None]", texts), strict=True))
    process = found["process"]
    return RunRecord(
        pipeline=str(found["pipeline"]),
        run=str(found["run"]),
        state=str(found["state"]),
        kind=str(found["kind"]),
        file=str(found["file"]),
        logical_date=_time(found["logical_date"]),
        params=json.loads(str(found["params"])),
        host=found["host"],
        process=None if process is None else json.loads(process),
        attempt=int(str(found["attempt"])),
        started_at=_time(found["started_at"]),
        finished_at=_time(found["finished_at"]),
        error=found["error"],
        bulkio_version=str(found["bulkio_version"]),
        is_lost=found["state"] == "running" and bool(is_over),
    )


def step_of(row: Row) -> StepRecord:
    """Return the record that a row of the journal is, whose columns are texts."""
    found = dict(zip(tables.TABLES[tables.STEPS], cast("Sequence[str | None]", row), strict=True))
    detail = found["detail"]
    return StepRecord(
        step=str(found["step"]),
        item=str(found["item"]),
        state=str(found["state"]),
        attempts=int(str(found["attempts"])),
        started_at=_time(found["started_at"]),
        finished_at=_time(found["finished_at"]),
        rows=_count(found["rows"]),
        bytes=_count(found["bytes"]),
        error=found["error"],
        load_id=found["load_id"],
        detail=None if detail is None else json.loads(detail),
    )


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _count(text: str | None) -> int | None:
    return None if text is None else int(text)


def without_passwords(text: str) -> str:
    """Return a text, such as the message of a user's own function, without the passwords of DSNs in it."""
    return _PASSWORDS.sub(lambda found: f"{found[1]}…@" if found[1] else f"{found[2]}…", text)


def kept_error(text: str) -> str:
    """Return what is recorded of an error: cut, without characters that the server cannot store, without passwords.

    >>> kept_error("no postgresql://ann:secret@db/sales, no password = 'it is' here")
    'no postgresql://ann:…@db/sales, no password = … here'
    """
    shown = without_passwords(text.replace("\0", "\\0"))
    return shown if len(shown) <= MAX_ERROR else f"{shown[: MAX_ERROR - 1]}…"
