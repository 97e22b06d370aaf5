"""Operators as Airflow's DAG processor and scheduler see them: parsed, serialized, described; nothing opened."""

from __future__ import annotations

import inspect
import runpy
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from airflow_runs import HOME, write_dag

import bulkio

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.sdk import DAG

ROOT = Path(__file__).parents[3]
#: each operator, without its fields
LOAD = "BulkLoadOperator(task_id='load', {}, outlets=[Asset('orders')])"
EXPORT = "BulkExportOperator(task_id='export', {})"


def names(function: str) -> list[str]:
    """Return the fields that an operator has from a function's options."""
    left_out = ("dsn", "password", "connection", "progress", "retries")
    renamed = {"params": "query_params"}
    return [renamed.get(each.name, each.name) for each in bulkio.options_of(function) if each.name not in left_out]


@pytest.mark.parametrize(("function", "call"), [("load", LOAD), ("export", EXPORT)])
def test_each_field_is_templated_and_serialized(make_dag: Callable[[str], DAG], function: str, call: str) -> None:
    """Every option is a field; a template in it survives the database between the processor and the scheduler."""
    from airflow.serialization.serialized_objects import DagSerialization

    fields = [*names(function), "csv", "postgres_conn_id"]
    dag = make_dag(call.format(", ".join(f"{name}='{{{{ {name} }}}}'" for name in fields)))
    operator = dag.task_dict[function]
    assert set(fields) <= set(operator.template_fields)
    again = DagSerialization.from_dict(DagSerialization.to_dict(dag)).task_dict[function]
    assert {name: getattr(again, name) for name in fields} == {name: f"{{{{ {name} }}}}" for name in fields}


@pytest.mark.parametrize("function", ["load", "export"])
def test_the_signature_has_each_option(function: str) -> None:
    """Editors and Airflow's own checks see the names, defaults and types of the function's options."""
    from bulkio.integrations import airflow

    operator = getattr(airflow, f"Bulk{function.title()}Operator")
    found = inspect.signature(operator.__init__).parameters
    real = {each.name: each for each in bulkio.options_of(function)}
    assert [name for name in found if name in names(function)] == names(function)
    for name in names(function):
        option = real.get(name, real["params"])
        default = True if name == "wait" else option.default
        assert (found[name].default, found[name].annotation) == (default, option.hint)


def test_default_args_reach_the_fields(make_dag: Callable[[str], DAG]) -> None:
    """A DAG's defaults may name fields; an unknown one, and one that is missing, is an error at once."""
    from airflow.sdk import DAG

    from bulkio.integrations.airflow import BulkLoadOperator

    with DAG("d", schedule=None, default_args={"mode": "upsert", "retries": 4}):
        operator = BulkLoadOperator(task_id="a", source="f", table="t")
        assert (operator.mode, operator.retries) == ("upsert", 4)
        with pytest.raises(TypeError, match="missing keyword argument 'table'"):
            BulkLoadOperator(task_id="b", source="f")
        with pytest.raises(TypeError, match="modus"):
            BulkLoadOperator(task_id="c", source="f", table="t", modus="append")
        with pytest.raises(TypeError, match="modus"):
            BulkLoadOperator.partial(task_id="d", modus="append").expand(source=["f"])


def test_a_retry_policy_of_the_user_s(make_dag: Callable[[str], DAG]) -> None:
    """The operator's own policy is only a default."""
    from airflow.sdk import DAG, ExceptionRetryPolicy

    from bulkio.integrations.airflow import BulkioRetryPolicy, BulkLoadOperator

    mine = ExceptionRetryPolicy(rules=[])
    with DAG("d", schedule=None):
        assert isinstance(BulkLoadOperator(task_id="a", source="f", table="t").retry_policy, BulkioRetryPolicy)
        assert BulkLoadOperator(task_id="b", source="f", table="t", retry_policy=mine).retry_policy is mine
    with DAG("e", schedule=None, default_args={"retry_policy": mine}):
        assert BulkLoadOperator(task_id="a", source="f", table="t").retry_policy is mine


def test_parsing_opens_nothing_and_is_quick() -> None:
    """A DAG file with our operators needs neither pyarrow nor a driver until a task runs."""
    write_dag("quick", 'BulkLoadOperator(task_id="load", source="f", table="t")')
    code = (
        "import runpy, sys, airflow.sdk; before = set(sys.modules)\n"
        f"runpy.run_path({str(HOME / 'dags' / 'quick.py')!r})\n"
        "print(sorted({'pyarrow', 'asyncpg', 'psycopg', 'numpy'} & (set(sys.modules) - before)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    (HOME / "dags" / "quick.py").unlink()
    assert done.stdout.splitlines()[-1] == "[]"


def test_airflow_knows_the_provider() -> None:
    """The entry point is found, its modules are there, and it claims no connection type."""
    from importlib import import_module

    from airflow.providers_manager import ProvidersManager

    info = ProvidersManager().providers["bulkio"].data
    assert "connection-types" not in info
    for kind in ("operators", "hooks"):
        for entry in info[kind]:
            assert [import_module(name).__doc__ for name in entry["python-modules"]]


def test_the_page_has_each_field() -> None:
    """docs/airflow.md says of each field what its operator has: name, type, default and help."""
    make = runpy.run_path(str(ROOT / "docs" / "make_airflow.py"), run_name="make_airflow")
    text = (ROOT / "docs" / "airflow.md").read_text()
    assert make["page"](text) == text, "run .venv-airflow/bin/python docs/make_airflow.py"
