"""What the Airflow tests share: its folder, DAGs written into it, connections, and how runs have ended."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from psycopg.conninfo import conninfo_to_dict

if TYPE_CHECKING:
    from airflow.models import DagRun
    from airflow.models.taskinstance import TaskInstance
    from airflow.sdk import DAG

__all__ = [
    "HOME",
    "clear",
    "connection_json",
    "imported",
    "output",
    "run_again",
    "states",
    "task",
    "write_dag",
]

#: folder of the session's Airflow; whoever imports this module makes it, and conftest.py removes it
HOME = Path(tempfile.mkdtemp(prefix="bulkio-airflow-"))
# Airflow reads them while it is imported.
os.environ.update(
    AIRFLOW_HOME=str(HOME),
    AIRFLOW__CORE__LOAD_EXAMPLES="False",
    AIRFLOW__API_AUTH__JWT_SECRET="of these tests alone, and long enough for it",
)

_HEAD = """
from airflow.sdk import DAG, Asset, task
from bulkio.integrations.airflow import BulkExportOperator, BulkLoadOperator, BulkPipelineOperator, group_files

with DAG({name!r}, schedule=None, default_args={{"postgres_conn_id": "warehouse", "retry_delay": 0.01}}) as dag:
"""


def connection_json(dsn: str, **changes: object) -> str:
    """Return a DSN as Airflow's connection of type postgres."""
    facts = conninfo_to_dict(dsn)
    fields = {
        "conn_type": "postgres",
        "host": facts["host"],
        "port": int(str(facts["port"])),
        "login": facts["user"],
        "password": facts["password"],
        "schema": facts["dbname"],
    }
    return json.dumps({**fields, **changes})


def write_dag(name: str, body: str) -> None:
    """Write a DAG into a file of its own, around its tasks."""
    tasks = "\n".join(f"    {line}" for line in body.splitlines())
    (HOME / "dags" / f"{name}.py").write_text(_HEAD.format(name=name) + tasks)


def imported(name: str) -> DAG:
    """Import the folder of DAGs as Airflow does; return one of them."""
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(HOME / "dags")
    assert bag.import_errors == {}
    return bag.dags[name]


def _name(ti: TaskInstance) -> str:
    return ti.task_id + (f"[{ti.map_index}]" if ti.map_index >= 0 else "")


def states(run: DagRun) -> dict[str, str]:
    """Return how each task of a run has ended, by its id and, if mapped, its index."""
    return {_name(ti): str(ti.state) for ti in run.get_task_instances()}


def task(run: DagRun, name: str) -> TaskInstance:
    """Return one task of a run."""
    return next(ti for ti in run.get_task_instances() if _name(ti) == name)


def output(run: DagRun, name: str) -> dict[str, object]:
    """Return what a task has returned, from XCom's table."""
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session

    ti = task(run, name)
    with create_session() as session:
        found = XComModel.get_many(
            run_id=run.run_id, key="return_value", task_ids=ti.task_id, dag_ids=run.dag_id, map_indexes=ti.map_index
        )
        return XComModel.deserialize_value(session.scalars(found).one())


def clear(run: DagRun, name: str) -> None:
    """Clear a task of a run that has ended, as the button does."""
    from airflow.models.taskinstance import clear_task_instances
    from airflow.utils.session import create_session

    with create_session() as session:
        ti = session.merge(task(run, name))
        clear_task_instances([ti], session)


def run_again(dag: DAG, run: DagRun) -> DagRun:
    """Run what was cleared of a run, as `DAG.test` runs a new one."""
    from airflow.models import DagRun
    from airflow.sdk.definitions.dag import _run_task
    from airflow.serialization.serialized_objects import DagSerialization
    from airflow.utils.session import create_session

    with create_session() as session:
        again = session.get_one(DagRun, run.id)
        again.dag = DagSerialization.deserialize_dag(DagSerialization.serialize_dag(dag))
        again.state = "running"
        while again.state == "running":
            schedulable, _ = again.update_state(session=session)
            for ti in schedulable:
                ti.try_number += 1
                ti.state = "scheduled"
                session.commit()
                _run_task(ti=ti, task=dag.task_dict[ti.task_id])
            session.commit()
            session.expire_all()
        session.expunge_all()
    return again
