"""The password stands in no log, XCom, rendered field, state, event or other table of Airflow's, whatever happens."""

from __future__ import annotations

import logging
import sqlite3
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from airflow_runs import HOME, connection_json, states

from servers import connect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from airflow.sdk import DAG

    from servers import TestServer

CANARY = "canary7Xq'\\ z"


@pytest.fixture
def canary(one_server: TestServer, one_dsn: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Let the connection `warehouse` log in with the canary, as a role of its own."""
    literal = CANARY.replace("'", "''")
    one_server.admin.execute(f"CREATE ROLE canary_role LOGIN SUPERUSER PASSWORD '{literal}'")
    connection = connection_json(one_dsn, login="canary_role", password=CANARY, extra={"sslpassword": CANARY})
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", connection)
    wrong = connection_json(one_dsn, login="canary_role", password=CANARY + "2")
    monkeypatch.setenv("AIRFLOW_CONN_WRONG", wrong)
    yield one_dsn
    with connect(one_dsn) as session:
        session.execute("DROP OWNED BY canary_role CASCADE")
    one_server.admin.execute("DROP ROLE canary_role")


def everything_stored() -> str:
    """Return Airflow's whole database, and its log files, as text."""
    with sqlite3.connect(HOME / "airflow.db") as database:
        tables = "\n".join(database.iterdump())
    return tables + "".join(path.read_text() for path in (HOME / "logs").rglob("*") if path.is_file())


def test_the_canary(
    make_dag: Callable[[str], DAG],
    canary: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Loads, exports and their failures, of the data, the login and the options, at the lowest level of logging."""
    pq.write_table(pa.table({"id": [1]}), tmp_path / "good.parquet")
    pq.write_table(pa.table({"id": ["x"]}), tmp_path / "odd.parquet")
    caplog.set_level(logging.DEBUG)
    (tmp_path / "p.toml").write_text(
        """
name = "p"
[[step]]
id = "load"
load = "good.parquet"
into = "t"
[[step]]
id = "check"
needs = ["load"]
check = "select false, count(*) from t"
"""
    )
    dag = make_dag(f"""
good = BulkLoadOperator(task_id="good", source="{tmp_path}/good.parquet", table="t", outlets=[Asset("orders")])
good >> [
    BulkExportOperator(task_id="export", table_or_query="t", dest="{tmp_path}/out.parquet"),
    BulkExportOperator(task_id="no_table", table_or_query="missing", dest="{tmp_path}/out2.parquet"),
    BulkLoadOperator(task_id="odd", source="{tmp_path}/odd.parquet", table="t"),
    BulkLoadOperator(task_id="login", source="{tmp_path}/good.parquet", table="t", postgres_conn_id="wrong"),
    BulkPipelineOperator(task_id="pipeline", path="{tmp_path}/p.toml", postgres_conn_id="wrong"),
    BulkPipelineOperator(task_id="steps", path="{tmp_path}/p.toml", postgres_conn_id="warehouse"),
    BulkLoadOperator(task_id="option", source="{tmp_path}/good.parquet", table="t", mode="fast"),
]
""")
    run = dag.test()
    failed = dict.fromkeys(["no_table", "odd", "login", "option", "pipeline", "steps"], "failed")
    assert states(run) == {"good": "success", "export": "success", **failed}
    printed = capfd.readouterr()
    assert "rows loaded into public.t" in printed.out
    for text in (printed.out, printed.err, caplog.text, everything_stored()):
        assert "canary7Xq" not in text
    assert run.run_id in everything_stored()
