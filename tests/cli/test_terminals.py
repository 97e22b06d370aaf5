"""What the program says to a person at a terminal: help that fits, stdin that is typed, binary that is held back."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from cli.program import PROGRAM, Terminal

if TYPE_CHECKING:
    import psycopg

    from cli.program import Program

LINES = 24
SMALL = {"COLUMNS": "80", "LINES": str(LINES)}


def test_alone(bulkio_alone: Program) -> None:
    """Without a command the usage is shown once, and is no error message."""
    for args in ([], ["bench"], ["server"]):
        done = bulkio_alone(*args, env=SMALL)
        assert done.code in (0, 2)  # as click has it, before 8.2 and since
        assert (done.out + done.err).count("Usage: ") == 1
        assert "Error" not in done.err


def test_help_fits(bulkio_alone: Program) -> None:
    """The program's help is one page of a small terminal, with a first load in it."""
    lines = bulkio_alone("--help", env=SMALL).out.splitlines()
    assert len(lines) < LINES
    assert all(len(line) <= 80 for line in lines)
    assert "    bulkio load orders.parquet orders" in lines
    assert "  1  failed; nothing was changed" in bulkio_alone("--exit-codes").out


@pytest.mark.parametrize("command", ["load", "export"])
def test_help_begins_with_an_example(bulkio_alone: Program, command: str) -> None:
    """The first page of a command's help has an example."""
    lines = bulkio_alone(command, "--help", env=SMALL).out.splitlines()
    assert any(line.strip().startswith(f"bulkio {command} orders") for line in lines[:8])
    assert all(len(line) <= 80 for line in lines[:LINES])


def test_help_shows_numbers_in_a_word(bulkio_alone: Program) -> None:
    """A number is N, not the name of a class."""
    help_text = bulkio_alone("load", "--help").out
    assert "--skip-lines N " in help_text
    assert "--retries N " in help_text
    assert "INTEGER" not in help_text


def test_bench_tells_what_it_does_to_the_server(bulkio_alone: Program) -> None:
    """A bench makes a schema and runs CHECKPOINT."""
    text = bulkio_alone("bench", "--help").out
    assert "schema" in text
    assert "CHECKPOINT" in text


@pytest.mark.parametrize("words", ["bulkio load ", "bulkio export orders ", "bulkio bench load "])
def test_files_are_completed(bulkio_alone: Program, words: str) -> None:
    """Where a file may stand, the shell completes files."""
    asked = {"_BULKIO_COMPLETE": "bash_complete", "COMP_CWORD": str(words.count(" ")), "COMP_WORDS": words}
    assert bulkio_alone(env=asked).out == "file,\n"


@pytest.mark.parametrize("fmt", ["parquet", "arrow", "arrows"])
def test_binary_is_kept_from_a_terminal(bulkio: Program, db: psycopg.Connection, fmt: str) -> None:
    """What is not text does not go to a terminal; CSV does."""
    db.execute("CREATE TABLE t AS SELECT 1 AS a")
    terminal = Terminal()
    done = bulkio("export", "t", "-", "--format", fmt, stdout=terminal.slave)
    assert terminal.close() == ""
    assert done.code == 2
    assert f"{fmt} is binary" in done.err
    terminal = Terminal()
    assert bulkio("export", "t", "-", "--format", "csv", "-q", stdout=terminal.slave).code == 0
    assert terminal.close() == "a\r\n1\r\n"


@pytest.mark.parametrize("more", [(), ("--infer",)])
@pytest.mark.parametrize("typed", [b"a,b\n1,2\n\x04", b"a\n1\n\x04", b"a\n\x04"])
def test_stdin_is_typed(bulkio: Program, db: psycopg.Connection, typed: bytes, more: tuple[str, ...]) -> None:
    """The program says that it reads the terminal; one Ctrl-D ends it."""
    ours, theirs = os.openpty()
    with subprocess.Popen(
        [*PROGRAM, "load", "-", "t", "--format", "csv", *more], env=bulkio.env, stdin=theirs, stderr=subprocess.PIPE
    ) as process:
        os.close(theirs)
        assert process.stderr is not None
        assert b"reading csv from the terminal: Ctrl-D ends it" in process.stderr.readline()
        os.write(ours, typed)
        rest = process.stderr.read()
        assert process.wait(60) == 0, rest
    os.close(ours)
    assert db.execute("SELECT count(*) FROM t").fetchone() == (typed.count(b"\n") - 1,)


def test_one_row(bulkio: Program, db: psycopg.Connection) -> None:
    """One row is not 1 rows."""
    db.execute("CREATE TABLE t AS SELECT 1 AS a")
    done = bulkio("export", "t", "-", "--format", "csv")
    assert "exported 1 row from" in done.err
    command = [*PROGRAM, "load", "-", "u", "--format", "csv"]
    loaded = subprocess.run(command, input=b"a\n1\n", env=bulkio.env, capture_output=True, check=True)
    assert b"loaded 1 row into" in loaded.stdout
