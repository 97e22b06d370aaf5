"""Rejected records, as the real program tells them: by its exit code, its words, its JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg

    from cli.program import Program


@pytest.fixture
def source(db: psycopg.Connection, tmp_path: Path) -> Path:
    """Make a table, and a file of which one record has no number, and one is refused by a check."""
    db.execute("CREATE TABLE t (id int CHECK (id > 0))")
    path = tmp_path / "in.csv"
    path.write_text("id\n1\ntwo\n-3\n4\n")
    return path


def test_load(bulkio: Program, source: Path, tmp_path: Path) -> None:
    """The exit code is 4, the result on stdout, and where the records are on stderr."""
    dest = tmp_path / "bad.csv"
    done = bulkio("load", source, "t", "--rejects", dest, "--max-rejects", "50%")
    assert done.code == 4
    assert done.out.startswith("loaded 2 rows into public.t ")
    told = f"they are in {dest}, with the reason in {dest}.errors.jsonl"
    assert done.err == f"Warning: 2 records were rejected: {told}\n"
    assert dest.read_text() == "id\ntwo\n-3\n"


def test_load_json(bulkio: Program, source: Path, tmp_path: Path) -> None:
    """--json has their number and the file; --quiet says nothing more."""
    dest = tmp_path / "bad.csv"
    done = bulkio("load", source, "t", "--rejects", dest, "--max-rejects", "2", "--json", "--quiet")
    assert (done.code, done.err) == (4, "")
    report = json.loads(done.out)
    assert (report["rows"], report["rejected"], report["rejects"]) == (2, 2, str(dest))


def test_too_many(bulkio: Program, source: Path, tmp_path: Path) -> None:
    """The exit code is that of data that do not fit; nothing is left."""
    done = bulkio("load", source, "t", "--rejects", tmp_path / "bad.csv", "--max-rejects", "1")
    assert (done.code, done.out) == (6, "")
    assert done.err.startswith("Error: 2 records are rejected, and --max-rejects allows 1\n")
    assert [path.name for path in tmp_path.iterdir()] == ["in.csv"]


def test_a_load_that_is_resumed(bulkio: Program, source: Path, tmp_path: Path) -> None:
    """By chunks the exit code is first 3, for it can be resumed; `loads resume` takes the same file."""
    source.write_text("id\n" + "".join(f"{number}\n" for number in [*range(1, 3000), *["two"] * 200]))
    options = ("--commit", "chunk", "--chunk-bytes", "2kB", "--load-id", "x", "--rejects", tmp_path / "bad.csv")
    first = bulkio("load", source, "t", *options, "--max-rejects", "2%")
    assert first.code == 3
    assert "records are rejected, and --max-rejects allows 2%" in first.err
    assert "load 'x' is unfinished" in first.err
    again = bulkio("load", source, "t", *options, "--max-rejects", "10%")
    assert again.code == 4
    resumed = bulkio("loads", "resume", "x")
    assert (resumed.code, resumed.out) == (4, "load x was done before: 2,999 rows into public.t; nothing was done\n")
    assert f"200 records were rejected: they are in {tmp_path / 'bad.csv'}" in resumed.err


def test_run(bulkio: Program, source: Path, tmp_path: Path) -> None:
    """A step of a pipeline tells them, too, and the run ends with the same code."""
    pipeline = tmp_path / "p.toml"
    pipeline.write_text(
        f"name = 'p'\n[[step]]\nid = 'in'\nload = '{source}'\ninto = 't'\n"
        "rejects = 'bad-{run}.csv'\nmax_rejects = '60%'\n"
    )
    done = bulkio("run", pipeline, "--run-id", "1")
    assert done.code == 4
    bad = tmp_path / "bad-1.csv"
    assert bad.read_text() == "id\ntwo\n-3\n"
    assert f"Step in: Warning: 2 records were rejected: they are in {bad}" in done.err
    assert bulkio("run", pipeline, "--run-id", "2", "--json").code == 4
    assert bulkio("run", pipeline, "--run-id", "1").code == 0
