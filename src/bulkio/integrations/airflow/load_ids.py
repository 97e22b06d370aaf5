"""The load id of a task: what makes its retries harmless. Pure.

A retry has the id of the try before it, so that the ledger knows whether that one stored its rows. A clear of a
finished task is a wish of the user's: the number of tries before it, which `max_tries` tells, makes it another load
where a repeat is harmless, or where he says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

__all__ = ["OnClear", "TaskRun", "load_id"]

OnClear = Literal["already", "reload"]

#: modes after which the same load may run again: it leaves the same table
_REPEATABLE = ("truncate", "replace", "replace-where", "upsert")
#: characters of an id, at most
_ID_CHARS = 200


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
    index = "" if run.map_index < 0 else f"[{run.map_index}]"
    is_new = run.clears != 0 and (mode in _REPEATABLE or on_clear == "reload")
    clears = f"#{run.clears}" if is_new else ""
    name = f"airflow/{run.dag_id}/{run.run_id}/{run.task_id}{index}{clears}"
    return name if len(name) <= _ID_CHARS and name.isprintable() else _shortened(name)


def _shortened(name: str) -> str:
    """Return a name that is too long, or not printable, with a hash for what is missing of it."""
    digest = sha256(name.encode()).hexdigest()[:32]
    printable = "".join(char if char.isprintable() else "?" for char in name)
    return f"{printable[: _ID_CHARS - len(digest) - 1]}~{digest}"
