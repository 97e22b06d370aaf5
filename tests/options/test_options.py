"""Options: one definition each, from which signatures, help and the command line come; type checkers see the words."""

from __future__ import annotations

import asyncio
import inspect
import os
import pydoc
import re
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, get_args

import click
import pyarrow as pa
import pytest

import bulkio
import bulkio.aio
from bulkio.cli.export import export as export_command
from bulkio.cli.groups import grouped
from bulkio.cli.load import load as load_command
from bulkio.options import (
    GROUPS,
    ConnectionRequest,
    DdlRequest,
    DoctorRequest,
    ExecuteRequest,
    ExportRequest,
    ForgetRequest,
    GcRequest,
    LedgerRequest,
    LoadRequest,
    Option,
    QueryRequest,
    ReadRequest,
    RecordRequest,
    ResumeRequest,
    RunRecordRequest,
    RunsRequest,
    ScanRequest,
    WriteRequest,
    fields_of,
)
from bulkio.plan import MODES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FACES = {
    "check_connection": ConnectionRequest,
    "doctor": DoctorRequest,
    "load": LoadRequest,
    "plan_load": LoadRequest,
    "export": ExportRequest,
    "plan_export": ExportRequest,
    "read": ReadRequest,
    "scan": ScanRequest,
    "write": WriteRequest,
    "execute": ExecuteRequest,
    "fetch_row": QueryRequest,
    "check": QueryRequest,
    "list_loads": LedgerRequest,
    "show_load": RecordRequest,
    "forget_load": ForgetRequest,
    "resume_load": ResumeRequest,
    "gc_loads": GcRequest,
    "gc_runs": GcRequest,
    "list_runs": RunsRequest,
    "show_run": RunRecordRequest,
    "ledger_ddl": DdlRequest,
}
COMMANDS = ((load_command, LoadRequest), (export_command, ExportRequest))


@pytest.mark.parametrize("name", FACES)
def test_functions_take_their_request_s_fields(name: str) -> None:
    """Names, defaults and order are those of the fields, sync and async."""
    fields = fields_of(FACES[name])
    for module in (bulkio, bulkio.aio):
        parameters = inspect.signature(getattr(module, name)).parameters.values()
        assert [(each.name, each.default) for each in parameters] == [(each.name, each.default) for each in fields]


@pytest.mark.parametrize("name", FACES)
def test_help_shows_every_option_and_its_words(name: str) -> None:
    """help() lists each argument with its text, and each word that it takes."""
    for module in (bulkio, bulkio.aio):
        doc = getattr(module, name).__doc__
        text = " ".join(doc.split())
        for each in fields_of(FACES[name]):
            assert f"\n    {each.name}: " in doc
            assert each.option.help in text
            assert all(f'"{word}"' in text for word in each.words)
        assert max(map(len, doc.splitlines())) <= 120


@pytest.mark.parametrize(("command", "request_type"), COMMANDS)
def test_the_command_line_has_the_same_options(command: click.Command, request_type: type) -> None:
    """Each has its flag, with the same words, default and help; what is no flag has none."""
    flags = {param.name: param for param in command.params if isinstance(param, click.Option)}
    for each in fields_of(request_type):
        assert (each.name in flags) == each.option.is_flag or each.name == "params"
        if each.option.is_flag:
            flag = flags[each.name]
            assert flag.opts == [f"--{each.name.replace('_', '-')}"]
            assert flag.help.startswith(each.option.help)
            assert not each.words or tuple(flag.type.choices) == each.words
            assert flag.multiple or flag.is_flag or flag.default in (each.default, None)


@pytest.mark.parametrize(("command", "request_type"), COMMANDS)
def test_help_has_sections(command: click.Command, request_type: type) -> None:
    """Each option stands in one of them, as its definition says; they come in their order, and none is empty."""
    sections = grouped(command.params)
    by_name = {option.name: group for group, options in sections for option in options}
    assert set(by_name) == {param.name for param in command.params if isinstance(param, click.Option)}
    for each in fields_of(request_type):
        assert not each.option.is_flag or by_name[each.name] == each.option.group
    assert [group for group, _ in sections] == [group for group in GROUPS if group in by_name.values()]
    with click.Context(command, info_name=command.name) as ctx:
        titles = re.findall(r"^(\w[\w ]*):$", command.get_help(ctx), re.MULTILINE)
    assert titles == [group for group, _ in sections]


@pytest.mark.parametrize("name", ["load", "plan_load", "export", "plan_export"])
def test_coroutine_functions_say_that_they_are(name: str) -> None:
    """Asyncio's are coroutine functions; the sync ones are not."""
    assert inspect.iscoroutinefunction(getattr(bulkio.aio, name))
    assert not inspect.iscoroutinefunction(getattr(bulkio, name))


@pytest.mark.parametrize("name", FACES)
def test_help_is_bulkio_s(name: str) -> None:
    """The sync functions are bulkio's, return what they say, and tell nothing of coroutines."""
    function = getattr(bulkio, name)
    assert (function.__module__, function.__qualname__) == ("bulkio", name)
    text = pydoc.render_doc(function, renderer=pydoc.plaintext)
    assert text.startswith(f"Python Library Documentation: function {name} in module bulkio\n")
    assert not re.search("await|asyncio|Cancelled|coroutine", text)


@pytest.mark.parametrize(
    ("name", "returned"),
    [
        ("load", bulkio.LoadReport),
        ("plan_load", bulkio.LoadPlan),
        ("export", bulkio.ExportReport),
        ("plan_export", bulkio.ExportPlan),
        ("read", pa.RecordBatchReader),
        ("scan", pa.RecordBatchReader),
        ("write", bulkio.WriteReport),
    ],
)
def test_help_shows_what_is_returned(name: str, returned: type) -> None:
    """It is the class itself, which editors can follow, and its public name in help()."""
    assert inspect.signature(getattr(bulkio, name)).return_annotation is returned


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bulkio.load("x", "t", mod="append"), "load() has no option 'mod'; did you mean \"mode\"?"),
        (lambda: bulkio.load("x", "t", if_exists="x"), "load() has no option 'if_exists'"),
        (lambda: bulkio.load("x", "t", dry_run=True), "load() has no option 'dry_run': use plan_load()"),
        (lambda: bulkio.export("t", "x", dry_run=True), "export() has no option 'dry_run': use plan_export()"),
        (lambda: bulkio.read("t", batchrows=1), "read() has no option 'batchrows'; did you mean \"batch_rows\"?"),
        (lambda: asyncio.run(bulkio.aio.load("x", "t", dry_run=1)), "load() has no option 'dry_run': use plan_load()"),
    ],
)
def test_an_option_that_is_not_there(call: Callable[[], object], message: str) -> None:
    """It is a TypeError, as of any Python function, and names what was meant."""
    with pytest.raises(TypeError) as caught:
        call()
    assert str(caught.value) == message


def test_a_wrong_call_is_an_error_at_once() -> None:
    """No thread and no loop stand between the caller and the error."""
    with pytest.raises(TypeError) as caught:
        bulkio.load("x.parquet", "t", mod="append")
    assert len(caught.traceback) <= 3


def test_a_wrong_call_names_the_function() -> None:
    """As any other Python function's error does."""
    with pytest.raises(TypeError, match=r"read\(\): missing a required argument: 'table_or_query'"):
        bulkio.read()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"allow_lossy": "false"}, "allow_lossy is 'false', and can be True or False"),
        ({"types": "a=b"}, "types is 'a=b', and must be a mapping"),
        ({"columns": "a,b"}, "columns is one text, 'a,b': give a list"),
    ],
)
def test_a_value_of_another_shape(options: dict[str, object], message: str) -> None:
    """It is an error and never read as something else."""
    with pytest.raises(bulkio.ConfigError, match=message):
        LoadRequest("x.parquet", "t", **options)


def test_a_request_keeps_copies() -> None:
    """What its caller changes later does not change it."""
    columns, types = ["a"], {"a": "int8"}
    request = LoadRequest("x.parquet", "t", columns=columns, types=types)
    columns.append("b")
    types["b"] = "text"
    assert (request.columns, request.types) == (("a",), {"a": "int8"})


def test_a_field_without_a_text_is_refused() -> None:
    """An option that nobody has described cannot be defined."""

    @dataclass
    class Bare:
        mode: Annotated[str, Option("Described.")]
        other: str

    with pytest.raises(TypeError, match="other: an option of a request is Annotated"):
        fields_of(Bare)


CALLER = """
import asyncio
import bulkio
from bulkio import aio

bulkio.load("x.parquet", "t", mode="append", types={{"a": "int8"}}, columns=["a"]).rows
bulkio.plan_load("x.parquet", "t", None, infinity="sentinel").describe()
bulkio.export("t", "x.parquet", "host=h", numeric="float64", params=["1", None]).bytes
bulkio.read("t", "host=h", nan="null").schema
asyncio.run(aio.load("x.parquet", "t", nul="strip")).rows
{wrong}
"""
WRONG = {
    'bulkio.load("x.parquet", "t", mode="merge")': "replace",
    'bulkio.load("x.parquet", "t", infinity="null")': "null",
    'bulkio.load("x.parquet", "t", mod="append")': "mod",
    'bulkio.load("x.parquet")': "Too few arguments",
    'bulkio.export("t", "x.parquet", "d", "binary")': "Argument 4",
    'bulkio.read("t", method="csv")': "csv",
    'asyncio.run(aio.export("t", "x.parquet", batch_rows="9"))': "int",
    'bulkio.load("x.parquet", "t").row': "row",
}


def test_type_checkers_see_the_options(tmp_path: Path) -> None:
    """Mypy, strict, accepts right calls and refuses each wrong word, name, count and type."""
    path = tmp_path / "caller.py"
    path.write_text(CALLER.format(wrong="\n".join(WRONG)))
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--cache-dir", os.devnull, path],
        capture_output=True,
        text=True,
        check=False,
    )
    lines = path.read_text().splitlines()
    found = {lines[int(error.split(":")[1]) - 1]: error for error in done.stdout.splitlines() if ": error: " in error}
    assert set(found) == set(WRONG), done.stdout + done.stderr
    assert all(word in found[call] for call, word in WRONG.items()), done.stdout


def test_words_stand_in_the_types() -> None:
    """A choice is a Literal: nothing else lists its words, and every mode has its row."""
    assert get_args(next(each.kind for each in fields_of(LoadRequest) if each.name == "mode")) == tuple(MODES)
