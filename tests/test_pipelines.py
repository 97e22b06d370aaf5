"""The pipelines are run as cron would run them: as programs, with nothing but a DSN in the environment."""

from __future__ import annotations

import os
import subprocess
import sys
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest

import bulkio

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

ROOT = Path(__file__).parents[1]
ORDERS = ROOT / "sample_data" / "orders.parquet"


def nightly(dsn: str | None, *args: object) -> subprocess.CompletedProcess[str]:
    """Run pipelines/orders_nightly.py with these arguments."""
    env = {**os.environ} if dsn is None else {**os.environ, "BULKIO_DSN": dsn}
    command = [sys.executable, str(ROOT / "pipelines" / "orders_nightly.py"), *map(str, args)]
    return subprocess.run(
        command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False
    )


def failure(done: subprocess.CompletedProcess[str]) -> str:
    """Return the one line of a run that failed as it should."""
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    return line


@pytest.fixture
def orders(one_dsn: str, connect: Callable[[str], psycopg.Connection]) -> psycopg.Connection:
    """Make the table as the pipeline's header says, with yesterday's rows in it."""
    bulkio.load(pq.read_table(ORDERS).slice(0, 100), "orders", one_dsn, mode="create")
    return connect(one_dsn)


def rows(path: Path) -> list[dict[str, Any]]:
    """Read a Parquet file of orders, sorted."""
    return sorted(pq.read_table(path).to_pylist(), key=itemgetter("o_orderkey"))


def count(connection: psycopg.Connection) -> int:
    """Count the table's rows."""
    (found,) = connection.execute("select count(*) from orders").fetchone() or (-1,)
    return int(found)


def test_nightly_twice(orders: psycopg.Connection, one_dsn: str, tmp_path: Path) -> None:
    """Two runs in a row leave the file's rows in the table once, and in the export, unchanged."""
    dest = tmp_path / "out.parquet"
    for _ in range(2):
        done = nightly(one_dsn, ORDERS, dest)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("15000 orders loaded, total ")
        assert count(orders) == 15_000
    source, copy = (rows(path) for path in (ORDERS, dest))
    assert copy == source
    assert str(sum(row["o_totalprice"] for row in source)) in done.stdout


def test_nightly_missing_file(orders: psycopg.Connection, one_dsn: str, tmp_path: Path) -> None:
    """A file that did not come leaves yesterday's rows and no export, and names the file."""
    missing = tmp_path / "missing.parquet"
    line = failure(nightly(one_dsn, missing, tmp_path / "out.parquet"))
    assert str(missing) in line
    assert count(orders) == 100
    assert list(tmp_path.iterdir()) == []


def test_nightly_missing_table(one_dsn: str, tmp_path: Path) -> None:
    """On a database without the table it says so and makes none."""
    line = failure(nightly(one_dsn, ORDERS, tmp_path / "out.parquet"))
    assert "orders does not exist" in line
    assert list(tmp_path.iterdir()) == []


def test_nightly_totals_differ(orders: psycopg.Connection, one_dsn: str, tmp_path: Path) -> None:
    """Where something changes rows on their way, here a trigger, the totals tell, and nothing is exported."""
    orders.execute("create function skip_one() returns trigger language plpgsql as 'begin return null; end'")
    orders.execute(
        "create trigger skip_one before insert on orders for each row when (new.o_orderkey = 1)"
        " execute function skip_one()"
    )
    line = failure(nightly(one_dsn, ORDERS, tmp_path / "out.parquet"))
    assert line.startswith("orders_nightly: ")
    assert list(tmp_path.iterdir()) == []


def test_nightly_without_dsn(tmp_path: Path) -> None:
    """A cron job that lost its DSN fails; it does not start a server of its own."""
    line = failure(nightly(None, ORDERS, tmp_path / "out.parquet"))
    assert "DSN" in line
    assert not Path(os.environ["BULKIO_HOME"], "server").exists()
