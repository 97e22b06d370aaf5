"""`bulkio runs`, the real program."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime
from typing import TYPE_CHECKING

import pytest

from bulkio.options import LedgerRequest
from bulkio.transfer.journal import RunFacts, open_journal

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg

    from cli.program import Program


@pytest.fixture
def _runs(one_dsn: str) -> None:
    """Record a run that failed, one that runs, and one that was lost."""

    async def record() -> None:
        journal = await open_journal(LedgerRequest(one_dsn))
        own = await journal.begin("orders", "x", RunFacts("/p/orders.toml", params={"day": "2026-01-01"}))
        await own.start_step("load", "a\x1b[2J.csv")
        await own.end_step("load", "a\x1b[2J.csv", rows=1000, bytes=123_456)
        await own.start_step("check")
        await own.end_step("check", state="failed", error="it is false\nin two lines")
        await own.finish("failed", "step check: it is false\nin two lines")
        await journal.begin("sales", "y", RunFacts())
        await journal.begin("sales", "z", RunFacts())

    asyncio.run(record())


@pytest.mark.usefixtures("_runs")
def test_runs_are_listed(bulkio: Program, db: psycopg.Connection) -> None:
    """The latest first, of all pipelines or of one; what nobody works on any more is told."""
    db.execute("UPDATE bulkio_ledger.runs SET lease_until = now() - interval '1 s' WHERE run = 'z'")
    done = bulkio("runs", "list")
    head, *lines = done.out.splitlines()
    assert (done.code, done.err) == (0, "")
    assert head.split()[:3] == ["run", "state", "attempt"]
    assert [line.split()[:2] for line in lines] == [["sales/z", "lost"], ["sales/y", "running"], ["orders/x", "failed"]]
    assert lines[2].endswith("s  step check: it is false")
    assert len(bulkio("runs", "list", "orders").out.splitlines()) == 2
    assert len(bulkio("runs", "list", "--limit", "1").out.splitlines()) == 2
    assert bulkio("runs", "list", "other").out == "no run was recorded of other\n"
    told = json.loads(bulkio("runs", "list", "orders", "--json").out)
    assert [(run["run"], run["params"]) for run in told["runs"]] == [("x", {"day": "2026-01-01"})]


@pytest.mark.usefixtures("_runs")
def test_a_run_is_shown_with_its_steps(bulkio: Program) -> None:
    """By its name, or its id; nothing in it moves the terminal's cursor."""
    done = bulkio("runs", "show", "orders/x")
    assert "\x1b" not in done.out
    for line in ("state: failed\n", "params: day=2026-01-01\n", "file: /p/orders.toml\n", "moved: 1,000 rows\n"):
        assert line in done.out
    first, second = done.out.splitlines()[-2:]
    assert first.split()[:6] == ["load[a\\x1b[2J.csv]", "done", "1", "1,000", "123.5", "kB"]
    assert second.split()[:3] == ["check", "failed", "1"]
    assert bulkio("runs", "show", "x").out == done.out
    told = json.loads(bulkio("runs", "show", "x", "--json").out)
    assert [(step["step"], step["rows"]) for step in told["steps"]] == [("load", 1000), ("check", None)]


def test_a_failed_run_is_resumed(bulkio: Program, db: psycopg.Connection, tmp_path: Path) -> None:
    """At the step that failed, with the parameters that it was begun with; when it is done, it is only told again."""
    db.execute("CREATE TABLE t (word text)")
    path = tmp_path / "p.toml"
    path.write_text(
        'name = "p"\n[params]\nword = "x"\n[[step]]\nid = "store"\nsql = "insert into t values ($word)"\n'
        '[[step]]\nid = "check"\nneeds = ["store"]\ncheck = "select count(*) = 2 from t"\n'
    )
    failed = bulkio("run", path, "--run-id", "one", "--param", "word=given")
    assert failed.code == 6
    assert "bulkio runs resume p/one" in failed.err
    db.execute("INSERT INTO t VALUES ('more')")
    done = bulkio("runs", "resume", "p/one")
    assert done.code == 0
    assert done.out.startswith("run p/one is done: ")
    assert "(done before)" in done.err
    assert db.execute("SELECT word FROM t ORDER BY word").fetchall() == [("given",), ("more",)]
    again = json.loads(bulkio("runs", "resume", "one", "--json").out)
    assert (again["run"], again["state"], again["already"]) == ("one", "done", True)


def test_a_missed_tick_is_resumed(bulkio: Program, db: psycopg.Connection, tmp_path: Path) -> None:
    """As the run of its own date."""
    db.execute("CREATE TABLE t (day date)")
    path = tmp_path / "p.toml"
    path.write_text(
        'name = "p"\n[schedule]\ncron = "15 2 * * *"\ntimezone = "Europe/Berlin"\n'
        '[[step]]\nid = "store"\nsql = "insert into t values ($logical_date)"\n'
    )
    tick = datetime.fromisoformat("2026-03-29T03:00+02:00")

    async def miss() -> None:
        journal = await open_journal(LedgerRequest(bulkio.env["BULKIO_DSN"]))
        await journal.miss("p", {"2026-03-29T03:00+02:00": tick}, file=str(path))

    asyncio.run(miss())
    assert bulkio("runs", "resume", "p/2026-03-29T03:00+02:00").code == 0
    assert db.execute("SELECT day::text FROM t").fetchall() == [("2026-03-29",)]


@pytest.mark.usefixtures("_runs")
def test_what_cannot_be_resumed(bulkio: Program) -> None:
    """A run whose file is gone, and one that was not begun from a file."""
    gone = bulkio("runs", "resume", "orders/x")
    assert (gone.code, "/p/orders.toml: cannot be read" in gone.err) == (1, True)
    none = bulkio("runs", "resume", "sales/y")
    assert (none.code, none.err) == (
        2,
        "Error: run sales/y was not begun from a file, so that nothing can go on with it\n",
    )


@pytest.mark.usefixtures("_runs")
def test_old_runs_are_forgotten(bulkio: Program, db: psycopg.Connection) -> None:
    """How many is told, or which."""
    db.execute("UPDATE bulkio_ledger.runs SET finished_at = now() - interval '91 days' WHERE run <> 'y'")
    assert bulkio("runs", "gc", "--older-than", "100d").out == "0 runs were forgotten\n"
    assert json.loads(bulkio("runs", "gc", "--older-than", "90d", "--json").out) == {
        "forgotten": ["orders/x", "sales/z"]
    }


def test_where_there_is_no_run(bulkio: Program) -> None:
    """Nothing was recorded: that is no error of a list, and one of a question for one run."""
    assert bulkio("runs", "list").out == "no run was recorded\n"
    done = bulkio("runs", "show", "x")
    assert (done.code, done.err) == (1, "Error: the journal has no run 'x'\n")
