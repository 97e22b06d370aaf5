"""`bulkio run` and `bulkio validate`: what they print, and the exit codes."""

from __future__ import annotations

import json
import re
import signal
from typing import TYPE_CHECKING

import pytest

from bulkio import show_run
from cli.program import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg

    from cli.program import Program

STEPS = """
[[step]]
id = "load"
load = "in.csv"
into = "t"
[[step]]
id = "check"
needs = ["load"]
check = "select count(*) >= $least, count(*) from t"
[[step]]
id = "out"
needs = ["check"]
export = "t"
to = "out/{logical_date}.csv"
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "in.csv").write_text("id,note\n1,a\n2,b\n")
    file = tmp_path / "p.toml"
    file.write_text(f'name = "p"\nparams = {{least = 2}}\n{STEPS}')
    return file


def test_lines_and_summary(bulkio: Program, path: Path) -> None:
    """A line for each step on stderr, the sum on stdout; the second time nothing is done."""
    done = bulkio("run", path, "--run-id", "r", "--date", "2026-03-01")
    assert done.code == 0
    assert [line.split(" in ")[0].split() for line in done.err.splitlines()] == [
        ["done", "load", "2", "rows"],
        ["done", "check"],
        ["done", "out", "2", "rows"],
    ]
    assert done.out.startswith("run p/r is done: 4 rows in ")
    assert (path.parent / "out" / "2026-03-01.csv").exists()
    again = bulkio("run", path, "--run-id", "r")
    assert (again.code, again.out, again.err) == (0, "run p/r was done before: nothing was done\n", "")


def test_quiet_and_json(bulkio: Program, path: Path) -> None:
    """One object, or nothing; where it fails, an object with the error and the run's name."""
    done = bulkio("run", path, "--quiet")
    assert (done.code, done.out, done.err) == (0, "", "")
    done = bulkio("run", path, "--json", "--run-id", "j")
    report = json.loads(done.out)
    assert (report["pipeline"], report["run"], report["state"], report["rows"]) == ("p", "j", "done", 6)
    assert [step["state"] for step in report["steps"]] == ["done"] * 3
    done = bulkio("run", path, "--json", "--run-id", "k", "--param", "least=100")
    error = json.loads(done.out)["error"]
    assert (done.code, error["type"], error["exit_code"], error["run"]) == (6, "RunFailed", 6, "p/k")


def test_progress_json(bulkio: Program, path: Path) -> None:
    """Nothing but objects on stderr, the last of each step says how it ended."""
    done = bulkio("run", path, "--progress", "json")
    lines = [json.loads(line) for line in done.err.splitlines()]
    assert [line["what"] for line in lines if line["event"] == "done"] == ["load load", "check check", "export out"]


def test_a_failed_run(bulkio: Program, path: Path) -> None:
    """The code is that of the step; what did not run is said; a resume goes on."""
    done = bulkio("run", path, "--run-id", "r", "--param", "least=3")
    assert done.code == 6
    assert done.out == ""
    lines = done.err.splitlines()
    assert lines[1].startswith("failed   check")
    assert "skipped  out                      needs check, which failed" in lines
    assert lines[-1] == "to go on with it: bulkio runs resume p/r"
    assert "Error: run p/r: step check has failed: the check failed: " in done.err


def test_dry_run(bulkio: Program, path: Path, db: psycopg.Connection) -> None:
    """Each step's plan, and nothing is changed."""
    done = bulkio("run", path, "--dry-run")
    assert done.code == 0
    assert 'CREATE TABLE "public"."t"' in done.out
    assert "select count(*) >= ('2'), count(*) from t" in done.out
    assert "cannot be planned before check has run: table t does not exist" in done.out
    assert db.execute("SELECT to_regclass('t')").fetchone() == (None,)
    names = [step["name"] for step in json.loads(bulkio("run", path, "--dry-run", "--json").out)["steps"]]
    assert names == ["load", "check", "out"]


def test_a_signal_rolls_back_what_is_at_work(bulkio: Program, path: Path, db: psycopg.Connection, one_dsn: str) -> None:
    """The exit code is the signal's, the run is interrupted, and its next attempt goes on."""
    path.write_text(path.read_text() + '[[step]]\nid = "slow"\nsql = "insert into s select 1 from pg_sleep(60)"\n')
    db.execute("CREATE TABLE s (i int)")
    process = bulkio.start("run", path, "--run-id", "r")
    wait_until(db, "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'insert into s%' AND wait_event = 'PgSleep'")
    wait_until(db, "SELECT 1 FROM bulkio_ledger.steps WHERE step = 'out' AND state = 'done'")
    process.send_signal(signal.SIGTERM)
    done = bulkio.finish(process)
    assert done.code == 143
    assert "interrupted: what was at work was rolled back; `bulkio runs list` shows the run" in done.err
    record = show_run("p/r", one_dsn)
    assert (record.state, {step.step: step.state for step in record.steps}["slow"]) == ("interrupted", "interrupted")
    path.write_text(path.read_text().replace("pg_sleep(60)", "pg_sleep(0)"))
    assert bulkio("run", path, "--run-id", "r").code == 0
    assert db.execute("SELECT count(*) FROM s").fetchone() == (1,)
    assert db.execute("SELECT count(*) FROM t").fetchone() == (2,)


def test_validate(bulkio: Program, path: Path) -> None:
    """It draws the steps, or says all that is wrong; a folder's files are all checked."""
    done = bulkio("validate", path)
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == [
        f"p ({path})",
        "  load       load in.csv -> t",
        "  └─ check   check select count(*) >= $least, count(*) from t",
        "     └─ out  export t -> out/{logical_date}.csv",
        "",
    ]
    (path.parent / "bad.toml").write_text('name = "q"\n[[step]]\nid = "a"\nsqll = "x"\n')
    done = bulkio("validate", path.parent)
    assert done.code == 2
    assert 'bad.toml: step "a" has none of the keys that tell its kind' in done.err
    assert "└─ check" in done.out
    assert json.loads(bulkio("validate", path, "--json").out)["pipelines"][0]["name"] == "p"
    assert bulkio("validate").err.endswith("Error: FILE is missing: a pipeline's file, or a folder\n")


def test_validate_tells_the_next_tick(bulkio: Program, path: Path) -> None:
    """So that a cron line is seen to mean what it is to mean."""
    path.write_text(path.read_text() + '[schedule]\ncron = "0 2 29 2 *"\ntimezone = "Europe/Berlin"\n')
    line = bulkio("validate", path).out.splitlines()[1]
    assert re.fullmatch(r"  at 0 2 29 2 \* Europe/Berlin, next 20\d\d-02-29T02:00\+01:00, catch up latest", line)


def test_a_folder_is_not_run(bulkio: Program, path: Path) -> None:
    """But what is due in it is, which the message says."""
    done = bulkio("run", path.parent)
    assert done.code == 2
    assert done.err.endswith(
        f"Error: {path.parent} is a folder: name a pipeline's file, or run what is due in it by --due\n"
    )


def test_the_schema(bulkio: Program) -> None:
    """Editors get the JSON Schema."""
    schema = json.loads(bulkio("validate", "--schema").out)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert "LoadStep" in schema["$defs"]
