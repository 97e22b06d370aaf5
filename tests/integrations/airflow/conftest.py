"""A real Airflow with a database of its own, whose DAGs the tests write; collected only where Airflow is installed.

`make test-airflow` makes the environment.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow.sdk import DAG

if importlib.util.find_spec("airflow") is None:
    collect_ignore_glob = ["*"]
else:
    from airflow_runs import HOME, connection_json, imported, write_dag


@pytest.fixture(scope="session", autouse=True)
def _airflow(_clean_environment: Path) -> Iterator[None]:
    """Make Airflow's database, in SQLite; remove all of it at the end."""
    (HOME / "dags").mkdir()
    program = Path(sys.executable).with_name("airflow")
    subprocess.run([program, "db", "migrate"], check=True, capture_output=True)
    yield
    shutil.rmtree(HOME)


@pytest.fixture
def warehouse(one_dsn: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Make the test's database the connection `warehouse`; return its DSN."""
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", connection_json(one_dsn))
    return one_dsn


@pytest.fixture
def make_dag(request: pytest.FixtureRequest) -> Iterator[Callable[[str], DAG]]:
    """Return a function that writes the tasks of a DAG, named like the test, into the DAGs' folder, and imports it."""
    name = request.node.originalname

    def make(body: str) -> DAG:
        write_dag(name, body)
        return imported(name)

    yield make
    (HOME / "dags" / f"{name}.py").unlink(missing_ok=True)
