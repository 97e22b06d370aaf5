"""The ids of a task's load, or of its pipeline's run: what makes its retries harmless. Pure.

A retry has the id of the try before it, so that the ledger knows whether that one stored its rows. A clear of a
finished task is a wish of the user's: the number of tries before it, which `max_tries` tells, makes it another load
where a repeat is harmless, or where he says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Literal, get_args

from bulkio.errors import ConfigError

if TYPE_CHECKING:
    from airflow.sdk import Context

__all__ = ["REPEATABLE", "OnClear", "TaskRun", "check_on_clear", "load_id", "pipeline_run_id", "task_run"]

OnClear = Literal["already", "reload"]

#: modes after which the same load may run again: it leaves the same table
REPEATABLE = ("truncate", "replace", "replace-where", "upsert")
#: characters of an id, at most
_ID_CHARS = 200
#: characters of a run's id, at most: load ids hold it, beside the names of pipeline, step and item
_RUN_ID_CHARS = 120


@dataclass(frozen=True, slots=True)
class TaskRun:
    """What names a task's run for ever."""

    dag_id: str
    run_id: str
    task_id: str
    #: index of a mapped task; -1 of others
    map_index: int
    #: 0 until the task is cleared after its end, then another number after each clear; no retry changes it
    clears: int


def load_id(run: TaskRun, mode: str, on_clear: OnClear) -> str:
    """Return the id of the load that a task does.

    >>> load_id(TaskRun("shop", "manual__1", "load", 3, 2), "upsert", "already")
    'airflow/shop/manual__1/load[3]#2'
    >>> load_id(TaskRun("shop", "manual__1", "load", -1, 2), "append", "already")
    'airflow/shop/manual__1/load'
    """
    task = _task(run, is_repeatable=mode in REPEATABLE, on_clear=on_clear)
    return _shortened(f"airflow/{run.dag_id}/{run.run_id}/{task}", _ID_CHARS)


def pipeline_run_id(run: TaskRun, *, is_repeatable: bool, on_clear: OnClear) -> str:
    """Return the id of the pipeline's run that a task does; it may be a part of a file's name.

    >>> pipeline_run_id(TaskRun("shop", "manual__1", "load", -1, 0), is_repeatable=True, on_clear="already")
    'shop.manual__1.load'
    """
    task = _task(run, is_repeatable=is_repeatable, on_clear=on_clear)
    return _shortened(f"{run.dag_id}.{run.run_id}.{task}", _RUN_ID_CHARS)


def _task(run: TaskRun, *, is_repeatable: bool, on_clear: OnClear) -> str:
    index = "" if run.map_index < 0 else f"[{run.map_index}]"
    is_new = run.clears != 0 and (is_repeatable or on_clear == "reload")
    return f"{run.task_id}{index}" + (f"#{run.clears}" if is_new else "")


def _shortened(name: str, limit: int) -> str:
    """Return a name; of one that is too long, or not printable, with a hash for what is missing of it."""
    if len(name) <= limit and name.isprintable():
        return name
    digest = sha256(name.encode()).hexdigest()[:32]
    printable = "".join(char if char.isprintable() else "?" for char in name)
    return f"{printable[: limit - len(digest) - 1]}~{digest}"


def task_run(context: Context, retries: int) -> TaskRun:
    """Return what names the task that runs in a context, whose operator has so many `retries`."""
    ti = context["ti"]
    index = -1 if ti.map_index is None else ti.map_index
    return TaskRun(ti.dag_id, ti.run_id, ti.task_id, index, ti.max_tries - retries)


def check_on_clear(on_clear: object) -> None:
    """Refuse a word that on_clear does not have. Raises ConfigError."""
    if on_clear not in get_args(OnClear):
        raise ConfigError(f"on_clear is {on_clear!r}, and can be 'already' or 'reload'")
