"""The steps of a run use each other's sessions again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

import bulkio

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import psycopg

STEP = """
[[step]]
id = "s{number}"
needs = {needs}
sql = "insert into pids select pg_backend_pid(); set work_mem = '77kB'"
"""


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
def test_steps_share_sessions(
    tmp_path: Path, one_dsn: str, connect: Callable[[str], psycopg.Connection], driver: str
) -> None:
    """One after the other they need one or two, the journal's included; what a step sets, the next one has not."""
    db = connect(one_dsn)
    db.execute("CREATE TABLE pids (pid int, work_mem text DEFAULT current_setting('work_mem'))")
    steps = (STEP.format(number=n, needs=json.dumps([f"s{n - 1}"][: bool(n)])) for n in range(6))
    path = tmp_path / "p.toml"
    path.write_text('name = "p"\n' + "".join(steps))
    assert bulkio.run_pipeline(path, dsn=one_dsn, driver=driver).state == "done"  # type: ignore[arg-type]
    [(rows, pids, settings)] = db.execute(
        "SELECT count(*), count(DISTINCT pid), count(DISTINCT work_mem) FROM pids"
    ).fetchall()
    assert (rows, settings) == (6, 1)
    assert pids <= 2
