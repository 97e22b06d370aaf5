"""A client that is killed at a random moment, again and again, until it comes to its end: the rows are there once.

CI kills a few; `make kill-points` a hundred for each mode. KILL_SEED repeats a run.
"""

from __future__ import annotations

import os
import random
import time
from typing import TYPE_CHECKING

import pytest
from fault_scene import EXPECTED, MODES, Scene, run_client, stored, write_source

if TYPE_CHECKING:
    from pathlib import Path

KILLS = int(os.environ.get("KILLS", "2"))
SEED = int(os.environ.get("KILL_SEED", time.time_ns()))
#: more than a load takes on a quiet machine, so that some come to their end
LONGEST_S = 0.4


@pytest.mark.parametrize("mode", MODES)
def test_a_killed_client_is_run_again(one_dsn: str, mode: str, tmp_path: Path) -> None:
    """Whenever it dies, the next run under the same id comes to the expected rows."""
    chance = random.Random(f"{SEED} {mode}")  # noqa: S311
    print(f"KILL_SEED={SEED}")  # noqa: T201 - shown where it fails
    write_source(tmp_path / "rows.parquet")
    killed = 0
    while killed < KILLS:
        scene = Scene(None, one_dsn, tmp_path, chance.choice(["asyncpg", "psycopg"]), mode)  # type: ignore[arg-type]
        scene.prepare()
        # The last run is left alone: on a busy machine none would end in that time.
        while killed < KILLS and run_client(scene, kill_after_s=chance.uniform(0, LONGEST_S)):
            killed += 1
        scene.load(wait=True)
        assert stored(one_dsn) == EXPECTED[mode]
        assert scene.load().already
        scene.check_nothing_is_left()
        scene.sql("DROP TABLE t, u; DROP SCHEMA bulkio_ledger CASCADE")
