"""The program as a whole: its table of commands, help, version, completion, and the pages made from them."""

from __future__ import annotations

import runpy
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import click
import pytest

from bulkio import __version__, errors
from bulkio.cli.app import COMMANDS, app
from bulkio.cli.exits import MEANINGS, Exit, exit_of
from bulkio.cli.options import parse_columns, parse_param

ROOT = Path(__file__).parents[2]


def _all_commands() -> dict[str, click.Command]:
    found: dict[str, click.Command] = {}
    for name, row in COMMANDS.items():
        command = getattr(import_module(row.module), row.attribute)
        found[name] = command
        for sub in getattr(command, "commands", {}).values():
            found[f"{name} {sub.name}"] = sub
    return found


def _program(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bulkio", *args], capture_output=True, text=True, check=False, env=env or None
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_table_of_commands(name: str) -> None:
    """What the list says of a command is the first sentence of its own help."""
    row = COMMANDS[name]
    command = getattr(import_module(row.module), row.attribute)
    assert command.name == name
    assert command.help.split("\n\n")[0].replace("\n", " ") == row.help


@pytest.mark.parametrize("name", ["", *_all_commands()])
def test_help(name: str) -> None:
    """Each command has a help page, and each of its options a text."""
    done = _program(*name.split(), "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"Usage: bulkio {name}".rstrip())
    for param in (_all_commands() | {"": app})[name].params:
        assert not isinstance(param, click.Option) or param.help


def test_help_imports_little() -> None:
    """`bulkio --help` is fast because it imports click and the standard library alone."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "bulkio", "--help"], capture_output=True, text=True, check=True
    )
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "click" in imported
    assert not imported & {"asyncio", "anyio", "asyncpg", "psycopg", "pyarrow", "rich", "platformdirs"}


def test_version() -> None:
    """--version names the program and its version."""
    assert _program("--version").stdout == f"bulkio {__version__}\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script(shell: str) -> None:
    """The script is for `bulkio`."""
    done = _program("completion", shell)
    assert done.returncode == 0
    assert "_BULKIO_COMPLETE" in done.stdout


def test_completion() -> None:
    """Commands and options are completed."""
    asked = {"_BULKIO_COMPLETE": "bash_complete", "COMP_CWORD": "1", "PATH": "/bin"}
    assert _program(**asked, COMP_WORDS="bulkio ex").stdout == "plain,export\n"
    assert _program(**{**asked, "COMP_CWORD": "2"}, COMP_WORDS="bulkio load --dr").stdout.split() == [
        "plain,--driver",
        "plain,--dry-run",
    ]


def test_every_error_has_its_exit_code() -> None:
    """The table of exit codes is complete."""
    assert set(MEANINGS) == set(Exit)
    codes = {
        errors.BulkioError("x"): 1,
        errors.CheckError("x", query="q"): 6,
        errors.ConfigError("x"): 2,
        errors.ConnectError("x"): 5,
        errors.CountError("x", expected=1, found=0): 1,
        errors.CsvError("x", path="p"): 1,
        errors.DecodeError("x"): 1,
        errors.DriverError("x"): 1,
        errors.EncodeError("x"): 6,
        errors.FileError("x", path="p"): 1,
        errors.LedgerError("x"): 1,
        errors.LoadDiffers("x"): 1,
        errors.LoadRunning("x"): 8,
        errors.LoadUnfinished("x"): 3,
        errors.OutcomeUnknown("x"): 7,
        errors.RunRunning("x", run="p/r"): 8,
        errors.RunTaken("x", run="p/r"): 8,
        errors.RunFailed("x", run="p/r", report=None): 1,
        errors.SchemaError("x"): 6,
        errors.StageError("x", stage="2 (map)"): 1,
        errors.StepTimeout("x"): 1,
        errors.TooManyRejects("x", rejected=1, rows=2): 6,
    }
    assert {type(error).__name__ for error in codes} == set(errors.__all__)
    assert exit_of(errors.DriverError("a value that the server refuses", row=3)) == 6
    for error, code in codes.items():
        assert exit_of(error) == code


@pytest.mark.parametrize(
    ("texts", "names"),
    [([], None), (["a"], ("a",)), (["a, b", 'C,"d,e","f""g"'], ("a", "b", "C", "d,e", 'f"g'))],
)
def test_parse_columns(texts: list[str], names: tuple[str, ...] | None) -> None:
    """A comma list, quotes as in CSV and SQL."""
    assert parse_columns(texts) == names


@pytest.mark.parametrize("text", ["", "a,", ",", '"a', '"a"b'])
def test_parse_columns_refuses(text: str) -> None:
    """Empty names and unbalanced quotes."""
    with pytest.raises(click.BadParameter):
        parse_columns([text])


@pytest.mark.parametrize(
    ("text", "value"), [(r"\N", None), (r"\\N", r"\N"), (r"\\\N", r"\\N"), (r"\n", r"\n"), (r"\Nx", r"\Nx"), ("", "")]
)
def test_parse_param(text: str, value: str | None) -> None:
    """Every text can be given, and NULL."""
    assert parse_param(text) == value


def test_docs_are_up_to_date() -> None:
    """docs/cli.md is what docs/make_cli.py makes."""
    made = runpy.run_path(str(ROOT / "docs" / "make_cli.py"))["page"]()
    assert (ROOT / "docs" / "cli.md").read_text() == made, "run docs/make_cli.py"


def _options_of(command: click.Command) -> set[str]:
    return {option for param in command.params for option in param.opts}


def test_debug_is_where_it_is_recommended() -> None:
    """Every command takes --debug but psql, whose options are psql's own; there no message recommends it."""
    groups = {name for name, command in _all_commands().items() if isinstance(command, click.Group)}
    without = [name for name, command in _all_commands().items() if "--debug" not in _options_of(command)]
    assert {*without} - groups == {"server psql"}


@pytest.mark.parametrize(("args", "recommended"), [(["load", "a", "b"], True), (["server", "psql"], False)])
def test_an_internal_error_recommends_debug(
    args: list[str], recommended: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message of an unexpected error says where more is to be had, where that is so."""

    def fail(*_: object, **__: object) -> None:
        raise LookupError("odd")

    program = import_module("bulkio.cli.main")
    monkeypatch.setattr(app, "main", fail)
    monkeypatch.setattr(program, "catch_signals", lambda: None)
    monkeypatch.setattr(program, "settle", lambda _: None)
    assert program._run(args) == 1
    told = capsys.readouterr().err
    assert "internal error: LookupError: odd; please report it" in told
    assert ("--debug shows where it happened" in told) == recommended
