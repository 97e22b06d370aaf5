"""Clients with two workers that are killed, at random moments and in each phase, until they come to their end.

CI kills a few; `make kill-points` 25 for each mode and kind of commit, and then each phase must have been met.
KILL_SEED repeats a run.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from itertools import chain
from typing import TYPE_CHECKING

import pytest
from fault_scene import CHUNKS, EXPECTED, Scene, run_client, stored, write_source
from worker_faults import COLUMNS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KILLS = int(os.environ.get("KILLS", "4")) // 4
#: loads of each kind, in CI some
LOADS = COLUMNS if KILLS > 1 else COLUMNS[::2]
SEED = int(os.environ.get("KILL_SEED", time.time_ns()))
#: more than a load takes on a quiet machine, so that some come to their end
LONGEST_S = 0.6

#: phases of every load by several workers: how many statements of each it sends
_ALWAYS = {"claim": 2, "COPY": CHUNKS}
_TWO_PHASES = {
    "COMMIT of claim": 1,
    "PREPARE": 2,
    "decision": 1,
    "COMMIT of decision": 1,
    "COMMIT PREPARED 1": 1,
    "COMMIT PREPARED 2": 1,
    "ledger": 1,
    "COMMIT of ledger": 1,
}
_CHUNKS = {"ledger": CHUNKS + 2, "COMMIT of ledger": CHUNKS + 1}
_VISIBLE = {"COMMIT of claim": 1}
_HIDDEN = {"hidden table": 1, "COMMIT of hidden table": 1}
_LAST = {"create": {"rename": 1}, "replace": {"index build": 1, "rename": 1}}


def phases_of(mode: str, commit: str) -> dict[str, int]:
    """Return the phases of a load, and how many statements of each it sends."""
    if (mode, commit) == ("append", "all"):
        return _ALWAYS | _TWO_PHASES
    if mode == "append":
        return _ALWAYS | _CHUNKS | _VISIBLE
    return _ALWAYS | _CHUNKS | _HIDDEN | _LAST.get(mode, {"merge": 1})


def points_of(mode: str, commit: str, chance: random.Random) -> Iterator[dict[str, object] | None]:
    """Yield where to kill: at a point of each phase in turn, and (None) between those at any moment."""
    moments = ["inside"]
    while True:
        phases = list(phases_of(mode, commit).items())
        chance.shuffle(phases)
        for phase, count in phases:
            nth, moment = chance.randint(1, count), chance.choice(moments)
            yield {"phase": phase, "nth": nth, "moment": moment, "inside_s": chance.choice([0, 0, 0.0002, 0.001])}
            yield None
        moments = ["before", "inside", "after"]


@pytest.fixture(scope="module")
def met() -> Iterator[Counter[str]]:
    """Yield the count of kills inside each phase; tell it at the end, where each must have been met."""
    counts: Counter[str] = Counter()
    yield counts
    print("\nkills inside each phase:", dict(counts.most_common()))  # noqa: T201
    if KILLS > 1:
        lacking = {phase for column in COLUMNS for phase in phases_of(*column)} - set(counts)
        assert not lacking, f"KILL_SEED={SEED}: nobody was killed inside {lacking}"


@pytest.mark.parametrize(("mode", "commit"), LOADS)
def test_a_killed_client_is_run_again(one_dsn: str, mode: str, commit: str, tmp_path: Path, met: Counter[str]) -> None:
    """Whenever it dies the table is what the ledger says, and the next run comes to the expected rows."""
    chance = random.Random(f"{SEED} {mode} {commit}")  # noqa: S311
    print(f"KILL_SEED={SEED}")  # noqa: T201 - shown where it fails
    write_source(tmp_path / "rows.parquet")
    points = points_of(mode, commit, chance)
    killed = 0
    while killed < KILLS:
        scene = Scene(None, one_dsn, tmp_path, chance.choice(["asyncpg", "psycopg"]), mode, commit)  # type: ignore[arg-type]
        scene.prepare()
        before = scene.table()
        point, is_whole = None, True
        while killed < KILLS:
            point = next(points)
            if (died := _run(scene, point, chance)) is None:
                break
            killed += 1
            point, is_whole = None, False
            met.update(died)
            if chance.random() < 0.5:  # it waits until the server has seen that the client is gone; a run need not
                scene.check_ledger(before)
        else:
            scene.load(wait=True, retries=5)
        if point is not None:  # what was left to do had no such statement any more: a whole load has
            assert not is_whole, point
            points = chain([point], points)
        assert stored(one_dsn) == EXPECTED[mode]
        assert scene.load().already
        assert scene.check_ledger(before) == "done"
        scene.check_nothing_is_left()
        scene.sql("DROP TABLE t, u; DROP SCHEMA bulkio_ledger CASCADE")


def _run(scene: Scene, point: dict[str, object] | None, chance: random.Random) -> tuple[str, ...] | None:
    """Run and kill; return the phases that it died in, None if it did not."""
    died = run_client(scene, kill_after_s=30 if point else chance.uniform(0, LONGEST_S), point=point)
    if died is None:
        return None
    return died.inside or (f"none, after {died.last or 'nothing'}",)
