"""What a task of each kind does, and what its plan shows. All work goes through `bulkio.aio`."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio.to_thread

from bulkio import aio
from bulkio.errors import ConfigError
from bulkio.options import LoadRequest, fields_of
from bulkio.options.csv import CsvFields
from bulkio.pipeline import stages
from bulkio.pipeline.spec.models import CheckStep, ExportStep, LoadStep, PythonStep, SqlStep, TransformStep
from bulkio.show import naming_keys, printable, show_name, show_option

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from datetime import date, datetime
    from types import ModuleType

    from bulkio.options import Param
    from bulkio.pipeline.run.context import Task

__all__ = ["Context", "Outcome", "export", "export_options", "plan_task", "run_task"]

#: keys of a CSV's options
_CSV = frozenset(each.name for each in fields_of(CsvFields))
#: keys that say what a step does with the options of load or export
_NOT_OPTIONS = frozenset({"when", "incremental", "lag"})


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a task has done."""

    rows: int | None = None
    bytes: int | None = None
    already: bool = False
    notes: tuple[str, ...] = ()
    rejected: int = 0
    rejects: str | None = None


@dataclass(frozen=True, slots=True)
class Context:
    """What the function of a python step is called with."""

    #: what the step's `args` hold
    args: Mapping[str, Any]
    #: values of all names that the step's texts could use
    values: Mapping[str, Param]
    pipeline: str
    run: str
    step: str
    #: item of its `for_each`; "" if it has none
    item: str
    logical_date: date
    logical_time: datetime
    #: connection string of its database, as `bulkio` takes it, and password, if it is not in there
    dsn: str | None = field(repr=False)
    password: str | Callable[[], str] | None = field(repr=False)


async def run_task(task: Task) -> Outcome:
    """Do what a step is there for, once."""
    with _naming(task):
        return await _RUN[type(task.step)](task)


async def plan_task(task: Task) -> str:
    """Return what a task would do, changing nothing."""
    with _naming(task):
        return await _PLAN[type(task.step)](task)


def _naming(task: Task) -> AbstractContextManager[None]:
    """Let messages name the keys of the file; but what a function needs to be called is an option of the run."""
    return nullcontext() if isinstance(task.step, PythonStep) else naming_keys()


# --- load ------------------------------------------------------------------------------------------------------------


def _file(task: Task, keys: dict[str, Any], paths: Sequence[str]) -> Any:
    """Take format and options of CSV out of the keys; return what the API takes for these paths."""
    csv = {name: keys.pop(name) for name in list(keys) if name in _CSV}
    if "header_names" in csv:
        csv["header_names"] = tuple(csv["header_names"])
    return aio.named_file([task.run.path(path) for path in paths], keys.pop("format", None), csv)


def _options(task: Task, keys: dict[str, Any]) -> dict[str, Any]:
    """Return what is left of the keys, with the connection: the API's options."""
    request = task.run.request
    shared = {"lock_timeout": request.lock_timeout} if request.lock_timeout is not None else {}
    rejects = {"rejects": task.run.path(keys["rejects"])} if "rejects" in keys else {}
    return {**shared, **task.connection, **_left(keys), **rejects}


def _left(keys: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in keys.items() if name not in _NOT_OPTIONS}


def _load(task: Task) -> dict[str, Any]:
    keys = task.keys()
    paths = keys.pop("load")
    source = _file(task, keys, [paths] if isinstance(paths, str) else paths)
    return {"source": source, "table": keys.pop("into"), **_options(task, keys)}


async def _run_load(task: Task) -> Outcome:
    report = await aio.load(**_load(task), **_once(task), progress=task.progress)
    return Outcome(report.rows, report.bytes, report.already, tuple(report.notes), report.rejected, report.rejects)


def _once(task: Task) -> dict[str, Any]:
    """Return the options by which a load is done once. Where another process is at work on it, its end is awaited."""
    return {"load_id": task.load_id, "wait": True, "ledger_schema": task.run.request.ledger_schema}


async def _plan_load(task: Task) -> str:
    return (await aio.plan_load(**_load(task))).describe()


# --- export ----------------------------------------------------------------------------------------------------------


def export_options(task: Task, to: str | None = None) -> dict[str, Any]:
    """Return what the API takes for a task that exports, to the file that it names or to another one."""
    keys = task.keys()
    named = keys.pop("to")
    dest = _file(task, keys, [to or named])
    return {"table_or_query": keys.pop("export"), "dest": dest, **_options(task, keys)}


async def _run_export(task: Task) -> Outcome:
    return await export(task, export_options(task))


async def export(task: Task, options: Mapping[str, Any]) -> Outcome:
    """Export, into a folder that is made where it is missing."""
    await anyio.to_thread.run_sync(_make_folder, options["dest"])
    report = await aio.export(**options, progress=task.progress)
    return Outcome(report.rows, report.bytes)


def _make_folder(dest: object) -> None:
    path = os.fspath(getattr(dest, "path", dest))  # type: ignore[call-overload]
    if "://" not in path:
        Path(path).parent.mkdir(parents=True, exist_ok=True)


async def _plan_export(task: Task) -> str:
    """Plan an export; the name of a window is not known before it runs, so that it stays as it is written."""
    now = task.run.logical_time
    window: dict[str, Param] = {"window": "{window}", "window_start": now, "window_end": now}
    return (await aio.plan_export(**export_options(replace(task, own={**task.own, **window})))).describe()


# --- sql, check ------------------------------------------------------------------------------------------------------


async def _run_sql(task: Task) -> Outcome:
    keys = task.keys()
    options = _options(task, {"lock_timeout": keys["lock_timeout"]} if "lock_timeout" in keys else {})
    report = await aio.execute(keys["sql"], once=task.load_id, ledger_schema=task.run.request.ledger_schema, **options)
    return Outcome(report.rows, None, report.already)


async def _run_check(task: Task) -> Outcome:
    for query in task.keys()["check"]:
        await aio.check(query, **_options(task, {}))
    return Outcome()


async def _show_texts(task: Task) -> str:
    return "\n".join(task.keys()[task.step.kind])


# --- python ----------------------------------------------------------------------------------------------------------


async def _run_python(task: Task) -> Outcome:
    function, context = _function(task), _context(task)
    try:
        if inspect.iscoroutinefunction(function):
            returned = await function(context)
        else:
            returned = await anyio.to_thread.run_sync(function, context)
    except SystemExit as left:  # it ends a program, and this one has other steps
        raise RuntimeError(f"{function.__name__} left by sys.exit({left.code!r})") from left
    return Outcome(returned if isinstance(returned, int) and not isinstance(returned, bool) else None)


def _function(task: Task) -> Callable[[Context], Any]:
    """Import a step's function: its module may stand in the pipeline's folder. Raises `ConfigError`."""
    if not task.run.request.allow_python:
        needed = show_option("allow_python", value=True)
        raise ConfigError(f"step {show_name(task.step.id)} calls a Python function, which needs {needed}")
    module, _, name = str(task.keys()["python"]).partition(":")
    folder = str(task.run.spec.folder)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        imported = importlib.import_module(module)
        _refuse_namesake(task, imported)
        function = getattr(imported, name)
    except ConfigError:
        raise
    except (Exception, SystemExit) as error:
        raise ConfigError(f"step {show_name(task.step.id)}: {module}:{name} cannot be imported: {error}") from error
    if not callable(function):
        raise ConfigError(f"step {show_name(task.step.id)}: {module}:{name} is not a function")
    return function  # type: ignore[no-any-return]


def _refuse_namesake(task: Task, module: ModuleType) -> None:
    """Refuse a module that is not the one beside the pipeline: the process has imported another one of its name."""
    beside = task.run.spec.folder.joinpath(*module.__name__.split("."))
    files = [path for path in (beside.with_suffix(".py"), beside / "__init__.py") if path.exists()]
    file = getattr(module, "__file__", None)
    if files and (file is None or not any(path.samefile(file) for path in files)):
        raise ConfigError(
            f"step {show_name(task.step.id)}: another module is called {module.__name__}, and was imported before"
            f" {printable(str(files[0]))}: rename that one"
        )


def _context(task: Task) -> Context:
    run, connection = task.run, task.connection
    return Context(
        task.keys().get("args", {}),
        task.values,
        run.spec.name,
        run.run_id,
        task.step.id,
        task.item,
        run.logical_time.date(),
        run.logical_time,
        connection["dsn"],
        connection["password"],
    )


async def _plan_python(task: Task) -> str:
    return f"call {task.keys()['python']}"


# --- transform -------------------------------------------------------------------------------------------------------


#: options of load, which are for the target; what else there is, is about the read
_TARGET = frozenset(each.name for each in fields_of(LoadRequest))


def _stages(task: Task) -> stages.Pipeline:
    """Return the pipeline of stages that a transform is."""
    keys = task.keys()
    into, to, sql = keys.pop("into", None), keys.pop("to", None), keys.pop("transform")
    source = _source(task, keys)
    if into is None:
        return stages.Pipeline(source, stages.sql(sql), stages.to_files(task.run.path(to), **_left(keys)))
    options = {**_options(task, keys), **_once(task), "source_version": task.run.name, "progress": task.progress}
    return stages.Pipeline(source, stages.sql(sql), stages.to_table(into, **options))


def _source(task: Task, keys: dict[str, Any]) -> stages.Source:
    files, query = keys.pop("files", None), keys.pop("query", None)
    if files is not None:
        paths = [files] if isinstance(files, str) else files
        return stages.files(_file(task, keys, paths))
    read = {name: keys.pop(name) for name in list(keys) if name not in _TARGET | _NOT_OPTIONS}
    return stages.query(query, **_options(task, read))


async def _run_transform(task: Task) -> Outcome:
    if (to := task.keys().get("to")) is not None:
        await anyio.to_thread.run_sync(_make_folder, task.run.path(to))
    report = await _stages(task).run()
    (result,) = report.results
    if not isinstance(result, aio.LoadReport):
        return Outcome(result.rows, result.bytes, notes=tuple(report.warnings))
    notes = (*report.warnings, *result.notes)
    return Outcome(result.rows, result.bytes, result.already, notes, result.rejected, result.rejects)


async def _plan_transform(task: Task) -> str:
    plan = await _stages(task).plan()
    loads = [stage.load.describe() for stage in plan.stages if stage.load is not None]
    return "\n".join([str(plan), *loads])


_RUN: dict[type, Callable[[Task], Awaitable[Outcome]]] = {
    LoadStep: _run_load,
    ExportStep: _run_export,
    TransformStep: _run_transform,
    SqlStep: _run_sql,
    CheckStep: _run_check,
    PythonStep: _run_python,
}
_PLAN: dict[type, Callable[[Task], Awaitable[str]]] = {
    LoadStep: _plan_load,
    ExportStep: _plan_export,
    TransformStep: _plan_transform,
    SqlStep: _show_texts,
    CheckStep: _show_texts,
    PythonStep: _plan_python,
}
