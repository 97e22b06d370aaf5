"""The DAGs in pipelines/, and what README.md and docs/airflow.md say to copy and paste, run on sample_data."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from airflow_runs import HOME, states

from servers import fetch

ROOT = Path(__file__).parents[3]
ORDERS = pq.read_table(ROOT / "sample_data" / "orders.parquet")


@pytest.fixture
def folder() -> Path:
    """Copy the examples into Airflow's folder, and the sample beside it."""
    shutil.copytree(ROOT / "pipelines", HOME / "dags", ignore=shutil.ignore_patterns("out"), dirs_exist_ok=True)
    shutil.copytree(ROOT / "sample_data", HOME / "sample_data", dirs_exist_ok=True)
    yield HOME / "dags"
    shutil.rmtree(HOME / "sample_data")
    shutil.rmtree(HOME / "dags")
    (HOME / "dags").mkdir()


def test_orders_files(folder: Path, warehouse: str, tmp_path: Path) -> None:
    """Five files are three tasks; the table has their rows, and the export its figures."""
    from airflow_runs import imported

    for number in range(5):
        pq.write_table(ORDERS.slice(number * 3000, 3000), tmp_path / f"orders-{number}.parquet")
    conf = {"files": f"{tmp_path}/orders-*.parquet", "out": str(tmp_path / "out")}
    run = imported("orders_files").test(run_conf=conf)
    assert states(run) == dict.fromkeys(["groups", "load[0]", "load[1]", "load[2]", "figures"], "success")
    assert fetch(warehouse, "select count(*), count(distinct o_orderkey) from orders_files") == [(15_000, 15_000)]
    [file] = (tmp_path / "out").iterdir()
    assert sum(pq.read_table(file)["orders"].to_pylist()) == 15_000


def test_nightly(folder: Path, warehouse: str) -> None:
    """The pipeline of the README, step by step, as Airflow's tasks, for the day of the run."""
    from datetime import datetime

    from airflow_runs import imported

    run = imported("nightly").test(logical_date=datetime.fromisoformat("1996-01-02T02:15:00+01:00"))
    assert set(states(run).values()) == {"success"}
    [(count,)] = fetch(warehouse, "select count(*) from orders")
    assert pq.read_table(folder / "out" / "orders-1996-01-02.parquet").num_rows == count > 0


def test_copy_and_paste(one_dsn: str, tmp_path: Path) -> None:
    """The commands run as they stand, but for the installation, which has been; both pages have the same."""
    pages = [(ROOT / page).read_text() for page in ("README.md", "docs/airflow.md")]
    [block], [again] = (re.findall(r"^```bash\n(.*?)^```$", page, re.MULTILINE | re.DOTALL) for page in pages)
    assert block == again
    commands = "\n".join(line for line in block.splitlines() if " -m venv " not in line and "pip install" not in line)
    for name in ("pipelines", "sample_data"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("out"))
    env = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    env |= {"BULKIO_DSN": one_dsn, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    command = ["bash", "-euc", commands]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert fetch(one_dsn, "select count(*) from orders_files") == [(15_000,)]
