"""The pipelines in pipelines/ are run as their headers say: by the program, with a DSN and nothing else."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

ROOT = Path(__file__).parents[1]
ORDERS = ROOT / "sample_data" / "orders.parquet"
DAY = "1996-01-02"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a copy of the folder, as its exports go beside the files."""
    shutil.copytree(ROOT / "pipelines", tmp_path / "pipelines", ignore=shutil.ignore_patterns("out", "__pycache__"))
    return tmp_path / "pipelines"


def run(path: Path, dsn: str | None, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a pipeline; return how that ended."""
    command = [sys.executable, "-m", "bulkio", "run", str(path), *args]
    known = {**os.environ, "ORDERS_FILES": str(ORDERS), **({"BULKIO_DSN": dsn} if dsn else {}), **env}
    return subprocess.run(
        command, env=known, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False
    )


def orders_of(day: str) -> list[dict[str, object]]:
    """Return the rows of a day, as the sample has them."""
    of_day = [row for row in pq.read_table(ORDERS).to_pylist() if str(row["o_orderdate"]) == day]
    return sorted(of_day, key=itemgetter("o_orderkey"))


def test_nightly(folder: Path, one_dsn: str) -> None:
    """Two runs leave the day's rows once, and its file, unchanged; each step has its line."""
    for number in range(2):
        done = run(folder / "nightly.toml", one_dsn, "--date", DAY, "--run-id", str(number))
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(f"run nightly/{number} is done: ")
    steps = [line.split()[:2] for line in done.stderr.splitlines()]
    assert sorted(steps) == sorted(
        ["done", name] for name in ("table", "stage", "day", "has_rows", "keys", "prices", "publish")
    )
    exported = pq.read_table(folder / "out" / f"orders-{DAY}.parquet")
    assert exported.num_rows > 0
    assert exported.to_pylist() == orders_of(DAY)


def test_nightly_without_rows(folder: Path, one_dsn: str) -> None:
    """A day without orders ends the run, with the exit code of a check, and no file is published; it can go on."""
    done = run(folder / "nightly.toml", one_dsn, "--date", "2026-11-26", "--run-id", "r")
    assert done.returncode == 6
    assert "run nightly/r: step has_rows has failed" in done.stderr
    assert "to go on with it: bulkio runs resume nightly/r" in done.stderr
    assert not (folder / "out").exists()


def test_nightly_without_a_file(folder: Path, one_dsn: str) -> None:
    """A file that did not come is named."""
    done = run(folder / "nightly.toml", one_dsn, ORDERS_FILES="/not/there.parquet")
    assert done.returncode == 1
    assert "step stage has failed: /not/there.parquet" in done.stderr


def test_nightly_without_dsn(folder: Path) -> None:
    """A cron job that lost its DSN fails; it does not start a server of its own."""
    done = run(folder / "nightly.toml", None)
    assert done.returncode == 2
    assert "DSN" in done.stderr
    assert not Path(os.environ["BULKIO_HOME"], "server").exists()


def test_changes(folder: Path, one_dsn: str, connect: Callable[[str], psycopg.Connection]) -> None:
    """Each run exports what has changed since the last one, and nothing twice."""
    db, out = connect(one_dsn), folder / "out"

    def export() -> list[int]:
        before = set(out.glob("*")) if out.exists() else set()
        done = run(folder / "changes.toml", one_dsn, "--param", f"orders={ORDERS}")
        assert done.returncode == 0, done.stderr
        return [key for path in set(out.glob("*")) - before for key in pq.read_table(path)["o_orderkey"].to_pylist()]

    everything = sorted(pq.read_table(ORDERS)["o_orderkey"].to_pylist())
    assert sorted(export()) == everything
    db.execute("UPDATE orders_changes SET updated_at = now() - interval '5 min' WHERE o_orderkey = 1")
    db.execute("UPDATE orders_changes SET updated_at = now() WHERE o_orderkey = 2")
    db.execute("SELECT pg_sleep(1.1)")  # a window ends at a whole second
    assert export() == [1]
    assert export() == []
