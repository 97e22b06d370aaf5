"""`bulkio run --due`, `--from-date` and `bulkio schedule`: the real program, and signals that end it."""

from __future__ import annotations

import json
import re
import signal
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from bulkio.cli.run import run
from bulkio.show import naming_flags
from cli.program import wait_until

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    import psycopg

    from cli.program import Program

WAITS = "SELECT pid FROM pg_locks WHERE relation = 't'::regclass AND NOT granted"


def write(path: Path, *, cron: str = "* * * * *", sql: str = "insert into t values ($run)") -> Path:
    """Write a pipeline that is due now."""
    path.write_text(
        f'name = "{path.stem}"\n[schedule]\ncron = "{cron}"\n[[step]]\nid = "first"\nsql = "select 1"\n'
        f'[[step]]\nid = "store"\nneeds = ["first"]\nsql = "{sql}"\n'
    )
    return path


@pytest.fixture
def pipeline(tmp_path: Path, db: psycopg.Connection) -> Path:
    """Return a pipeline that is due, and whose second step waits: the table is locked until a ROLLBACK."""
    db.execute("CREATE TABLE t (run text)")
    db.execute("BEGIN; LOCK TABLE t")
    return write(tmp_path / "p.toml")


def end(process: subprocess.Popen[str], number: int) -> float:
    """Send a signal; return the seconds until the process has ended."""
    start = time.monotonic()
    process.send_signal(number)
    process.wait(30)
    return time.monotonic() - start


def test_a_run_that_was_killed_is_taken_over(bulkio: Program, db: psycopg.Connection, pipeline: Path) -> None:
    """By the next `run --due`, at once: its process is gone, and its row is stored once."""
    killed = bulkio.start("run", "--due", pipeline)
    wait_until(db, WAITS)
    other = bulkio("run", "--due", pipeline)
    assert (other.code, other.out) == (0, "")  # it says that the next tick waits, if that has come meanwhile
    end(killed, signal.SIGKILL)
    db.execute("ROLLBACK")
    done = bulkio("run", "--due", pipeline)
    assert (done.code, done.err) == (0, "")
    first, *_ = done.out.splitlines()
    assert first.startswith("run p/2")
    [(run, attempt)] = db.execute("SELECT run, attempt FROM bulkio_ledger.runs ORDER BY run LIMIT 1").fetchall()
    assert attempt == 2
    assert f"run p/{run} is done: " in first
    assert db.execute("SELECT count(*) FROM t WHERE run = %s", [run]).fetchone() == (1,)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_schedule_ends_cleanly(bulkio: Program, db: psycopg.Connection, pipeline: Path, number: int) -> None:
    """Within seconds, with 0: what was at work is rolled back, and goes on at the next start."""
    running = bulkio.start("schedule", pipeline)
    wait_until(db, WAITS)
    assert end(running, number) < 10
    name = signal.Signals(number).name
    ended = bulkio.finish(running)
    assert (ended.code, ended.out) == (0, "")
    told, last = ended.err.splitlines()
    assert re.fullmatch(r"p: the next tick is 20\d\d-\d\d-\d\dT\d\d:\d\d\S+", told)
    assert last == f"{name}: the schedule has ended; what was at work was rolled back; the next start goes on with it"
    assert db.execute("SELECT state FROM bulkio_ledger.runs").fetchone() == ("interrupted",)
    [(run,)] = db.execute("SELECT run FROM bulkio_ledger.runs")
    db.execute("ROLLBACK")
    again = bulkio.start("schedule", pipeline)
    assert again.stdout.readline().startswith(f"run p/{run} is done: 1 row in ")
    end(again, signal.SIGTERM)
    assert bulkio.finish(again).code == 0
    assert db.execute("SELECT count(*) FROM t WHERE run = %s", [run]).fetchone() == (1,)


def test_a_run_is_interrupted_after_a_step_has_committed(
    bulkio: Program, db: psycopg.Connection, pipeline: Path
) -> None:
    """SIGTERM ends `bulkio run`, too: that one step is done does not mean that the run is."""
    running = bulkio.start("run", pipeline, "--run-id", "x")
    wait_until(db, WAITS)
    end(running, signal.SIGTERM)
    ended = bulkio.finish(running)
    assert (ended.code, "too late" in ended.err) == (143, False)
    states = "SELECT step, state FROM bulkio_ledger.steps ORDER BY step"
    assert db.execute(states).fetchall() == [("first", "done"), ("store", "interrupted")]


def test_a_schedule_reads_files_again(bulkio: Program, db: psycopg.Connection, tmp_path: Path) -> None:
    """One that is broken is told once; one that is mended, or new, is run."""
    db.execute("CREATE TABLE t (run text)")
    folder = tmp_path / "pipelines"
    folder.mkdir()
    write(folder / "a.toml", cron="x")
    write(folder / "b.toml", sql="insert into t values ('b')")
    running = bulkio.start("schedule", folder)
    wait_until(db, "SELECT 1 FROM t WHERE run = 'b'")
    time.sleep(1.5)  # a second look at the broken file
    write(folder / "a.toml", sql="insert into t values ('a')")
    wait_until(db, "SELECT 1 FROM t WHERE run = 'a'")
    write(folder / "c.toml", sql="insert into t values ('c')")
    wait_until(db, "SELECT 1 FROM t WHERE run = 'c'")
    (folder / "b.toml").unlink()
    end(running, signal.SIGTERM)
    ended = bulkio.finish(running)
    assert ended.code == 0
    assert ended.err.count("Error: ") == ended.err.count("'x' is not a cron line") == 1


def test_the_exit_code_is_the_worst_of_the_runs(bulkio: Program, db: psycopg.Connection, tmp_path: Path) -> None:
    """A check that is not true gives 6, a wrong file 2; --json has all that was told."""
    db.execute("CREATE TABLE t (run text)")
    folder = tmp_path / "pipelines"
    folder.mkdir()
    write(folder / "good.toml")
    write(folder / "wrong.toml", cron="x")
    path = write(folder / "false.toml")
    path.write_text(path.read_text() + '[[step]]\nid = "check"\ncheck = "select false"\n')
    done = bulkio("run", "--due", folder, "--json")
    assert done.code == 6
    events = json.loads(done.out)["events"]
    assert {(event["what"], event["pipeline"]) for event in events} == {
        ("broken", None),
        ("done", "good"),
        ("failed", "false"),
    }
    assert "Error: run false/" in done.err


def test_days_of_the_past(bulkio: Program, db: psycopg.Connection, tmp_path: Path) -> None:
    """One run for each tick; a run that fails ends it, and it goes on there."""
    db.execute("CREATE TABLE t (run text)")
    path = write(
        tmp_path / "p.toml", cron="15 2 * * *", sql="insert into t select $run where 1 / (select count(*) from go) > 0"
    )
    days = ("--from-date", "2026-03-01", "--to-date", "2026-03-02")
    failed = bulkio("run", path, *days)
    assert failed.code == 1
    assert "Error: run p/2026-03-01T02:15+00:00: step store has failed" in failed.err
    db.execute("CREATE TABLE go AS SELECT 1")
    done = bulkio("run", path, *days)
    assert (done.code, done.err) == (0, "")
    assert [line.partition(" in ")[0] for line in done.out.splitlines()] == [
        f"run p/2026-03-0{day}T02:15+00:00 is done: 1 row" for day in (1, 2)
    ]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--due", "--run-id", "x"], "--run-id does not go with --due"),
        (["--due", "--param", "a=b"], "--param does not go with --due"),
        (["--due", "--dry-run"], "--dry-run does not go with --due"),
        (["--due", "--from-date", "2026-01-01"], "--from-date does not go with --due"),
        (["--from-date", "2026-01-01", "--date", "2026-01-01"], "--date does not go with --from-date"),
        (
            ["--from-date", "26.11.2026"],
            "Invalid value for '--from-date': '26.11.2026' is not a date, such as 2026-11-26",
        ),
        (["--to-date", "2026-01-01"], "--to-date goes with --from-date, which is not given"),
        (
            ["--from-date", "2026-01-02", "--to-date", "2026-01-01"],
            "--to-date 2026-01-01 is before --from-date 2026-01-02",
        ),
    ],
)
def test_options_that_do_not_go_together(tmp_path: Path, args: list[str], message: str) -> None:
    """Those of one run make no sense for many."""
    with naming_flags():
        done = CliRunner().invoke(run, [str(write(tmp_path / "p.toml")), *args])
    assert done.exit_code == 2
    assert f"Error: {message}\n" in done.output


def test_ticks_that_were_missed_are_warned_of(bulkio: Program, db: psycopg.Connection, tmp_path: Path) -> None:
    """On stderr, with what would run them; the journal has them."""
    db.execute("CREATE TABLE t (run text)")
    tick = datetime.now(UTC) - timedelta(hours=2)
    path = write(tmp_path / "p.toml", cron=f"{tick.minute} {tick.hour} * * *")
    bulkio("run", "--due", path)
    db.execute("UPDATE bulkio_ledger.marks SET mark = %s WHERE step = ''", [(tick - timedelta(days=2)).isoformat()])
    done = bulkio("run", "--due", path)
    assert (done.code, done.out.count("is done")) == (0, 1)
    missed = f"{tick - timedelta(days=1):%Y-%m-%d}"
    assert done.err.startswith(f"Warning: p: tick {missed}T")
    assert f"to run what was missed: bulkio runs resume p/{missed}T" in done.err
    assert db.execute("SELECT count(*) FROM bulkio_ledger.runs WHERE state = 'missed'").fetchone() == (1,)
