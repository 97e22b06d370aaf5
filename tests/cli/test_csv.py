"""CSV through the real program: flags, stdin, stdout, a closed pipe, and messages that say what to do."""

from __future__ import annotations

import gzip
import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from cli.program import PROGRAM

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg

    from cli.program import Program


def piped(bulkio: Program, data: bytes, *args: str) -> subprocess.CompletedProcess[bytes]:
    """Run the program with bytes on stdin."""
    return subprocess.run([*PROGRAM, *args], input=data, env=bulkio.env, capture_output=True, timeout=60, check=False)


def test_spreadsheet(bulkio: Program, db: psycopg.Connection, tmp_path: Path) -> None:
    """A file of a spreadsheet goes in with flags; without them the message names the right one."""
    path = tmp_path / "x.csv"
    path.write_bytes("preis;tag\n1234,50;31.12.2025\n".encode("cp1252"))
    done = bulkio("load", path, "t")
    assert done.code == 1
    assert "line 1" in done.err
    assert "delimiter" in done.err
    flags = ("--delimiter", ";", "--decimal-comma", "--date-format", "DD.MM.YYYY", "--encoding", "cp1252")
    done = bulkio("load", path, "t", *flags, "--types", "preis=numeric(10,2)", "--types", "tag=date")
    assert (done.code, done.err) == (0, "")
    assert db.execute("SELECT preis::text, tag::text FROM t").fetchall() == [("1234.50", "2025-12-31")]


def test_stdin(bulkio: Program, db: psycopg.Connection) -> None:
    """`-` is stdin where the format is said; what is not said is asked for."""
    done = piped(bulkio, b"a,b\n1,2\n", "load", "-", "t")
    assert done.returncode == 2
    assert b"--format csv" in done.stderr
    done = piped(bulkio, b"a,b\n1,2\n", "load", "-", "t", "--format", "csv", "--infer")
    assert done.returncode == 0, done.stderr
    assert b"stdin is read twice" in done.stderr
    assert db.execute("SELECT a + b FROM t").fetchall() == [(3,)]


def test_errors_in_json(bulkio: Program, tmp_path: Path) -> None:
    """The place of an error reaches scripts."""
    path = tmp_path / "x.csv"
    path.write_text("a\n1\ntwo\n")
    done = bulkio("load", path, "t", "--types", "a=int", "--json")
    error = json.loads(done.out)["error"]
    assert (error["type"], error["path"], error["line"], error["row"]) == ("EncodeError", str(path), 3, 2)


@pytest.mark.parametrize("fmt", ["csv", "arrows"])
def test_stdout(bulkio: Program, db: psycopg.Connection, fmt: str) -> None:
    """`-` is stdout: what comes out there goes into stdin of another load."""
    db.execute("CREATE TABLE t AS SELECT g AS a, 'x' || g AS b FROM generate_series(1, 1000) g")
    out = piped(bulkio, b"", "export", "t", "-", "--format", fmt)
    assert out.returncode == 0, out.stderr
    assert b"exported 1,000 rows" in out.stderr
    db.execute("CREATE TABLE u (LIKE t)")
    more = ("--format", "csv") if fmt == "csv" else ()
    done = piped(bulkio, out.stdout, "load", "-", "u", *more)
    assert done.returncode == 0, done.stderr
    assert db.execute("SELECT count(*) FROM (TABLE t EXCEPT TABLE u) d").fetchone() == (0,)
    if fmt == "arrows":
        done = piped(bulkio, out.stdout[:-8], "load", "-", "u")
        assert (done.returncode, b"cut short" in done.stderr) == (1, True)
        done = piped(bulkio, gzip.compress(out.stdout), "load", "-", "v")
        assert (done.returncode, b"1,000 rows" in done.stdout) == (0, True), done.stderr


def test_closed_pipe(bulkio: Program, db: psycopg.Connection) -> None:
    """`| head` ends the export without a word."""
    db.execute("CREATE TABLE t AS SELECT g AS a, repeat('x', 100) AS b FROM generate_series(1, 100000) g")
    with subprocess.Popen(
        [*PROGRAM, "export", "t", "-", "--format", "csv"],
        env=bulkio.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"a,b\n"
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 0


def test_flags_go_with_csv(bulkio: Program) -> None:
    """A flag of CSV's with another format is a slip."""
    done = bulkio("export", "t", "t.parquet", "--delimiter", ";")
    assert done.code == 2
    assert "--delimiter goes with CSV" in done.err
    done = bulkio("export", "t", "t.parquet", "--delimiter", ";", "--quote", "'")
    assert "--delimiter, --quote go with CSV" in done.err
