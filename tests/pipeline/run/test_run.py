"""Runs of pipelines on a real server: what each kind of step does, what is done once, and what goes on where it was."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import bulkio
from bulkio import pipeline
from bulkio.errors import CheckError, ConfigError, LedgerError, RunFailed, StepTimeout
from bulkio.show import naming_flags
from servers import connect

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import psycopg

ROWS = 100


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a folder with files to load."""
    for name in ("a", "b"):
        pq.write_table(pa.table({"id": range(ROWS), "name": [name] * ROWS}), tmp_path / f"{name}.parquet")
    return tmp_path


@pytest.fixture
def db(one_dsn: str) -> Iterator[psycopg.Connection]:
    with connect(one_dsn) as connection:
        connection.execute("CREATE TABLE t (id int8, name text)")
        yield connection


def write(folder: Path, steps: str, head: str = "") -> Path:
    """Write a pipeline called p."""
    path = folder / "p.toml"
    path.write_text(f'name = "p"\n{head}\n{steps}')
    return path


def step(name: str, *lines: str) -> str:
    return "\n".join(("[[step]]", f'id = "{name}"', *lines, ""))


def states(report: bulkio.RunReport) -> dict[str, str]:
    return {each.name: each.state for each in report.steps}


def count(db: psycopg.Connection, table: str = "t") -> int:
    return db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]


LOAD = step("load", 'load = "{file}.parquet"', 'into = "t"')


def test_steps_of_every_kind(folder: Path, db: psycopg.Connection, one_dsn: str) -> None:
    """One file after the other: load, check, sql, export, and a function beside the pipeline."""
    (folder / "own_steps.py").write_text(
        "def count(task):\n    return task.args['add'] + int(task.values['n'])\n"
        "async def later(task):\n    return None\n"
    )
    path = write(
        folder,
        LOAD
        + step("check", 'needs = ["load"]', f'check = "select count(*) = {ROWS}, count(*) from t"')
        + step(
            "sql", 'needs = ["check"]', 'sql = "update t set name = $word where id < $n; delete from t where id = 0"'
        )
        + step(
            "out",
            'needs = ["sql"]',
            'export = "select * from t where name = $word"',
            'to = "out/{logical_date:%Y}.csv"',
        )
        + step("call", 'needs = ["out"]', 'python = "own_steps:count"', "args = {add = 1}")
        + step("later", 'needs = ["out"]', 'python = "own_steps:later"'),
        'params = {file = "a", n = 10, word = "it\'s {run}"}',
    )
    report = bulkio.run_pipeline(path, one_dsn, run_id="r1", logical_date="2026-03-01", allow_python=True)
    assert {each.name: each.rows for each in report.steps} == {
        "load": ROWS,
        "check": None,
        "sql": 11,
        "out": 9,
        "call": 11,
        "later": None,
    }
    assert (report.state, report.name, report.rows) == ("done", "p/r1", ROWS + 11 + 9 + 11)
    lines = (folder / "out" / "2026.csv").read_text().splitlines()
    assert lines[1] == "1,it's r1"
    assert len(lines) == 10
    assert "own_steps" in sys.modules
    del sys.modules["own_steps"]


def test_a_run_that_is_done_is_not_done_again(folder: Path, db: psycopg.Connection, one_dsn: str) -> None:
    """Under the same id nothing is done; under another one all is."""
    path = write(folder, LOAD, 'params = {file = "a"}')
    assert not bulkio.run_pipeline(path, one_dsn, run_id="r").already
    again = bulkio.run_pipeline(path, one_dsn, run_id="r")
    assert again.already
    assert [(each.rows, each.already) for each in again.steps] == [(ROWS, True)]
    assert count(db) == ROWS
    bulkio.run_pipeline(path, one_dsn)
    assert count(db) == 2 * ROWS


def test_a_failed_run_goes_on_where_it_was(folder: Path, db: psycopg.Connection, one_dsn: str) -> None:
    """What is done is not done again; what was waiting runs once its needs are done."""
    path = write(
        folder,
        LOAD
        + step("check", 'needs = ["load"]', 'check = "select count(*) > 1000, count(*) from t"')
        + step("after", 'needs = ["check"]', 'sql = "delete from t where id = 1"')
        + step("aside", 'needs = ["load"]', 'sql = "insert into t values (-1)"'),
        'params = {file = "a"}',
    )
    with pytest.raises(RunFailed, match=r"run p/r: step check has failed: the check failed: .*'100'") as caught:
        bulkio.run_pipeline(path, one_dsn, run_id="r")
    assert str(caught.value).endswith("to go on with it: bulkio runs resume p/r")
    assert isinstance(caught.value.__cause__, CheckError)
    assert states(caught.value.report) == {"load": "done", "check": "failed", "after": "skipped", "aside": "done"}
    assert caught.value.report.steps[-1].name == "after"
    db.execute("INSERT INTO t SELECT generate_series(1, 1000)")
    report = bulkio.run_pipeline(path, one_dsn, run_id="r")
    assert {each.name: each.already for each in report.steps} == {
        "load": True,
        "check": False,
        "after": False,
        "aside": True,
    }
    assert count(db) == 1000 + ROWS + 1 - 2


def test_each_item_is_a_task_of_its_own(folder: Path, db: psycopg.Connection, one_dsn: str) -> None:
    """A pattern's files, each loaded once under an id of its own; one that fails leaves the others done."""
    (folder / "c.parquet").write_text("no parquet")
    path = write(
        folder,
        step(
            "load",
            'for_each = "?.parquet"',
            'load = "{item}"',
            'into = "t"',
            "add = {name = '{item}'}",
            'columns = ["id"]',
        ),
    )
    with pytest.raises(RunFailed) as caught:
        bulkio.run_pipeline(path, one_dsn, run_id="r")
    assert states(caught.value.report) == {
        "load[a.parquet]": "done",
        "load[b.parquet]": "done",
        "load[c.parquet]": "failed",
    }
    assert [each.load_id for each in caught.value.report.steps] == [f"p/r/load/{name}.parquet" for name in "abc"]
    (folder / "c.parquet").unlink()
    assert states(bulkio.run_pipeline(path, one_dsn, run_id="r")) == {
        "load[a.parquet]": "done",
        "load[b.parquet]": "done",
    }
    assert db.execute("SELECT name, count(*) FROM t GROUP BY 1 ORDER BY 1").fetchall() == [
        ("a.parquet", ROWS),
        ("b.parquet", ROWS),
    ]


def test_a_step_may_need_items(folder: Path, db: psycopg.Connection, one_dsn: str) -> None:
    """Where nothing was delivered the run fails, if the step says so."""
    steps = step("load", 'for_each = "in/{run}-*.csv"', 'load = "{item}"', 'into = "t"', 'if_no_items = "fail"')
    with pytest.raises(RunFailed, match=r"step load has failed: no file matches 'in/r-\*\.csv'"):
        bulkio.run_pipeline(write(folder, steps), one_dsn, run_id="r")
    report = bulkio.run_pipeline(write(folder, step("s", "for_each = []", 'sql = "select 1"')), one_dsn)
    assert [(each.state, each.why) for each in report.steps] == [("skipped", "its for_each has no item")]


def test_a_condition_for_each_item(folder: Path, db: psycopg.Connection, one_dsn: str) -> None:
    """It may name the item; a step of which some items ran has run."""
    path = write(
        folder,
        step("some", "for_each = [1, 2, 3]", 'when = "select $item > 1"', 'sql = "insert into t values ($item)"')
        + step("behind", 'needs = ["some"]', 'sql = "insert into t values (9)"'),
    )
    report = bulkio.run_pipeline(path, one_dsn)
    assert states(report) == {"some[1]": "skipped", "some[2]": "done", "some[3]": "done", "behind": "done"}
    assert db.execute("SELECT id FROM t ORDER BY 1").fetchall() == [(2,), (3,), (9,)]


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("", "'' is not a pattern of files, such as in/*.csv"),
        ("in/**.csv", "'in/**.csv' is not a pattern of files"),
        ("/", "'/' is not a pattern of files"),
        ("s3://bucket/*.csv", "a pattern of files on this machine, and 's3://bucket/*.csv' is none: list the files"),
        ("odd/*", r"finds 'odd/\udcff.csv', whose name is not UTF-8: rename it"),
    ],
)
def test_patterns_that_mean_no_files(
    folder: Path, db: psycopg.Connection, one_dsn: str, pattern: str, message: str
) -> None:
    """The step fails, and says why; it is not taken for one without items, and other steps run."""
    (folder / "odd").mkdir()
    (folder / "odd" / os.fsdecode(b"\xff.csv")).touch()
    path = write(
        folder,
        step("bad", f'for_each = "{pattern}"', 'load = "{item}"', 'into = "t"')
        + step("other", 'sql = "insert into t values (1)"'),
    )
    with pytest.raises(RunFailed) as caught:
        bulkio.run_pipeline(path, one_dsn)
    assert states(caught.value.report) == {"bad": "failed", "other": "done"}
    assert message in str(caught.value)


def test_items_that_would_write_one_file(folder: Path, db: psycopg.Connection, one_dsn: str) -> None:
    """A format may leave the same of two items: then none is written."""
    path = write(folder, step("s", "for_each = [2026-11-01, 2026-11-02]", 'export = "t"', 'to = "{item:%Y-%m}.csv"'))
    with pytest.raises(RunFailed, match=r"several items would write '2026-11\.csv'"):
        bulkio.run_pipeline(path, one_dsn)
    assert not list(folder.glob("*.csv"))


def test_ids_of_loads_are_those_of_one_task(folder: Path, db: psycopg.Connection, one_dsn: str) -> None:
    """Whatever runs and items are called, no two tasks share an id; a long one ends with a digest."""
    path = write(folder, step("s", "for_each = ['x/y']", 'load = "a.parquet"', 'into = "t"'))
    first = bulkio.run_pipeline(path, one_dsn, run_id="r").steps[0]
    path = write(folder, step("x", "for_each = ['y']", 'load = "a.parquet"', 'into = "t"'))
    second = bulkio.run_pipeline(path, one_dsn, run_id="r/s").steps[0]
    assert (first.load_id, second.load_id) == ("p/r/s/x/y", "p/r%2Fs/x/y")
    third = bulkio.run_pipeline(path, one_dsn, run_id="n" * 199).steps[0]
    assert len(third.load_id) == 200
    assert count(db) == 3 * ROWS


def test_conditions(folder: Path, db: psycopg.Connection, one_dsn: str) -> None:
    """False, NULL and no row skip a step, and with it what needs it; a step without items is skipped, too."""
    path = write(
        folder,
        step("no", 'when = "select false"', 'sql = "insert into t values (1)"')
        + step("null", 'when = "select null::bool"', 'sql = "insert into t values (2)"')
        + step("none", 'when = "select true from t"', 'sql = "insert into t values (3)"')
        + step("yes", "when = \"select $pipeline = 'p'\"", 'sql = "insert into t values (4)"')
        + step("part", 'when = "(select count(*) from t) < 0"', 'sql = "insert into t values (7)"')
        + step("bare", "when = \"$pipeline = 'p' -- no query\"", 'sql = "insert into t values (6)"')
        + step("empty", 'for_each = "*.nothing"', 'load = "{item}"', 'into = "t"')
        + step("behind", 'needs = ["no", "yes"]', 'sql = "insert into t values (5)"'),
        "max_parallel = 1",
    )
    report = bulkio.run_pipeline(path, one_dsn)
    assert states(report) == dict.fromkeys(("no", "null", "none", "part", "empty", "behind"), "skipped") | {
        "yes": "done",
        "bare": "done",
    }
    assert {each.name: each.why for each in report.steps if each.why} == {
        "no": "its condition is not true",
        "null": "its condition is not true",
        "none": "its condition is not true",
        "part": "its condition is not true",
        "empty": "no file matches '*.nothing'",
        "behind": "needs no, which was skipped",
    }
    assert db.execute("SELECT id FROM t").fetchall() == [(4,), (6,)]


def test_a_condition_that_is_none(folder: Path, db: psycopg.Connection, one_dsn: str) -> None:
    """A number is neither true nor false: the step has failed, and is not passed over."""
    path = write(folder, step("s", 'when = "select count(*) from t"', 'sql = "select 1"'))
    with pytest.raises(RunFailed, match=r'step "s": when gives 0, and must give true or false: compare it'):
        bulkio.run_pipeline(path, one_dsn)


@pytest.mark.parametrize(("word", "others"), [("fail", "done"), ("stop", "interrupted")])
def test_what_a_failure_means_for_other_steps(
    folder: Path, db: psycopg.Connection, one_dsn: str, word: str, others: str
) -> None:
    """Fail lets steps that do not need it end; stop cancels them, and their work is rolled back."""
    path = write(
        folder,
        step("bad", f'on_failure = "{word}"', 'check = "select pg_sleep(0.3) is null"')
        + step("slow", 'sql = "insert into t select 1 from pg_sleep(1)"'),
    )
    with pytest.raises(RunFailed, match="step bad has failed") as caught:
        bulkio.run_pipeline(path, one_dsn, run_id="r")
    record = bulkio.show_run("p/r", one_dsn)
    assert {each.step: each.state for each in record.steps} == {"bad": "failed", "slow": others}
    assert states(caught.value.report) == {"bad": "failed", "slow": others}
    assert count(db) == (others == "done")


def test_a_failure_may_be_a_warning(folder: Path, db: psycopg.Connection, one_dsn: str) -> None:
    """continue: what needs the step runs, and the run is done."""
    path = write(
        folder,
        step("bad", 'on_failure = "continue"', 'check = "select false, 17"')
        + step("next", 'needs = ["bad"]', 'sql = "insert into t values (1)"'),
    )
    report = bulkio.run_pipeline(path, one_dsn)
    assert (report.state, states(report)) == ("done", {"bad": "failed", "next": "done"})
    assert "17" in report.steps[0].why


def test_timeouts(folder: Path, db: psycopg.Connection, one_dsn: str) -> None:
    """A step that takes too long is cancelled, also on the server, and has failed."""
    path = write(folder, step("slow", 'timeout = "300ms"', 'sql = "insert into t select 1 from pg_sleep(60)"'))
    started = time.monotonic()
    with pytest.raises(
        RunFailed, match='step "slow" took longer than its timeout of 300ms, and was cancelled'
    ) as caught:
        bulkio.run_pipeline(path, one_dsn)
    assert time.monotonic() - started < 30
    assert isinstance(caught.value.__cause__, StepTimeout)
    assert count(db) == 0


def test_retries(folder: Path, db: psycopg.Connection, one_dsn: str) -> None:
    """An error that may pass is tried again, as often as the step says; of a function any."""
    (folder / "flaky_steps.py").write_text(
        "tries = []\ndef run(task):\n    tries.append(1)\n"
        "    if len(tries) < 3:\n        raise OSError('again')\n    return len(tries)\n"
    )
    path = write(folder, step("call", 'python = "flaky_steps:run"', "retries = 2"))
    assert bulkio.run_pipeline(path, one_dsn, allow_python=True).steps[0].rows == 3
    (folder / "flaky_steps.py").write_text("import sys\ndef run(task):\n    sys.exit(3)\n")
    del sys.modules["flaky_steps"]
    path = write(folder, step("call", 'python = "flaky_steps:run"'))
    with pytest.raises(RunFailed, match=r"RuntimeError: run left by sys.exit\(3\)"):
        bulkio.run_pipeline(path, one_dsn, allow_python=True)
    path = write(folder, step("check", "retries = 5", 'check = "select false"'))
    started = time.monotonic()
    with pytest.raises(RunFailed):
        bulkio.run_pipeline(path, one_dsn)
    assert time.monotonic() - started < 5, "an error of data was tried again"
    del sys.modules["flaky_steps"]


def test_steps_that_are_asked_for(folder: Path, db: psycopg.Connection, one_dsn: str) -> None:
    """One alone, or one with what needs it."""
    steps = (
        step("a", 'sql = "select 1"')
        + step("b", 'needs = ["a"]', 'sql = "select 2"')
        + step("c", 'needs = ["b"]', 'sql = "select 3"')
    )
    path = write(folder, steps)
    assert states(bulkio.run_pipeline(path, one_dsn, step="b")) == {"b": "done"}
    assert states(bulkio.run_pipeline(path, one_dsn, from_step="b")) == {"b": "done", "c": "done"}
    with pytest.raises(ConfigError, match='step: p has no step "d"'):
        bulkio.run_pipeline(path, one_dsn, step="d")
    with pytest.raises(ConfigError, match="step and from_step do not go together"):
        bulkio.run_pipeline(path, one_dsn, step="a", from_step="b")


def test_parameters(folder: Path, db: psycopg.Connection, one_dsn: str) -> None:
    """Others for a run, text in text and a literal in SQL; none that the pipeline does not have."""
    path = write(
        folder, LOAD + step("q", 'needs = ["load"]', 'sql = "insert into t values (7, $file)"'), 'params = {file = "x"}'
    )
    with pytest.raises(ConfigError, match=r'params "fiel" is not known; did you mean "file"'):
        bulkio.run_pipeline(path, one_dsn, params={"fiel": "a"})
    with pytest.raises(ConfigError, match="params has 1 for 'file', and must map names to texts"):
        bulkio.run_pipeline(path, one_dsn, params={"file": 1})
    bulkio.run_pipeline(path, one_dsn, params={"file": "a"}, run_id="r")
    assert db.execute("SELECT name FROM t WHERE id = 7 ORDER BY 1").fetchall() == [("a",), ("a",)]
    with pytest.raises(LedgerError, match="was begun with other parameters"):
        bulkio.run_pipeline(path, one_dsn, params={"file": "b"}, run_id="r")
    bulkio.run_pipeline(path, one_dsn, params={"file": ""}, step="q")
    assert db.execute("SELECT count(*) FROM t WHERE name = ''").fetchone() == (1,)


@pytest.mark.parametrize("kind", ['export = "{what}"', 'transform = "select * from input"\nquery = "{what}"'])
def test_no_value_becomes_a_query(folder: Path, db: psycopg.Connection, one_dsn: str, kind: str) -> None:
    """Where a table's name is filled in, a value that makes a query of it is refused: it would be pasted into SQL."""
    path = write(folder, step("out", kind, 'to = "out.parquet"'), 'params = {what = "t"}')
    with pytest.raises(RunFailed, match="is a table's name, but the values make a query of it"):
        bulkio.run_pipeline(path, one_dsn, params={"what": "select rolname from pg_roles"})
    assert not (folder / "out.parquet").exists()
    assert bulkio.run_pipeline(path, one_dsn).state == "done"


@pytest.mark.parametrize("by_resume", [True, False])
def test_a_run_has_one_date(folder: Path, db: psycopg.Connection, one_dsn: str, *, by_resume: bool) -> None:
    """It goes on with the date that it was begun with, in whatever zone, and with no other."""
    path = write(
        folder,
        step("first", 'sql = "insert into t values (1, $logical_date)"')
        + step("check", 'needs = ["first"]', 'check = "select count(*) > 1 from t"')
        + step("last", 'needs = ["check"]', 'sql = "insert into t values (3, $logical_date)"'),
    )
    with pytest.raises(RunFailed):
        bulkio.run_pipeline(path, one_dsn, run_id="r", logical_date="2026-11-01T00:00+09:00")
    with pytest.raises(LedgerError, match=r"begun with other parameters \(\(date\): '2026-11-01T00:00:00\+09:00' then"):
        bulkio.run_pipeline(path, one_dsn, run_id="r", logical_date="2026-11-02")
    db.execute("INSERT INTO t VALUES (2)")
    recorded = bulkio.show_run("p/r", one_dsn).params
    again = {"params": recorded} if by_resume else {}
    assert bulkio.run_pipeline(path, one_dsn, run_id="r", **again).state == "done"
    assert db.execute("SELECT DISTINCT name FROM t WHERE id <> 2").fetchall() == [("2026-11-01",)]


def test_a_value_that_is_no_text(folder: Path, db: psycopg.Connection, one_dsn: str) -> None:
    """Bytes of an argument that are not UTF-8 are an error of the user's."""
    path = write(folder, step("s", 'sql = "select $x"'), 'params = {x = ""}')
    with pytest.raises(ConfigError, match=r"udcff.* holds bytes that are not UTF-8"):
        bulkio.run_pipeline(path, one_dsn, params={"x": os.fsdecode(b"\xff")})


def test_modules_of_one_name(folder: Path, db: psycopg.Connection, one_dsn: str) -> None:
    """A pipeline has its own module's function called, never that of another module of this name."""
    for name in ("one", "two"):
        (folder / name).mkdir()
        (folder / name / "namesake_steps.py").write_text("def run(task): return 1")
    path = write(folder / "one", step("call", 'python = "namesake_steps:run"'))
    assert bulkio.run_pipeline(path, one_dsn, allow_python=True).rows == 1
    assert bulkio.run_pipeline(path, one_dsn, allow_python=True).rows == 1
    path = write(folder / "two", step("call", 'python = "namesake_steps:run"'))
    with pytest.raises(RunFailed, match="another module is called namesake_steps, and was imported before /"):
        bulkio.run_pipeline(path, one_dsn, allow_python=True)


def test_a_function_that_tells_the_password(
    folder: Path, db: psycopg.Connection, one_dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Its error is told without it, wherever it is told; what it is called with does not show it."""
    (folder / "telling_steps.py").write_text(
        "def run(task):\n    assert task.dsn not in repr(task)\n    raise ValueError('postgresql://ann:c4nary@db/x')"
    )
    path = write(folder, step("call", 'python = "telling_steps:run"', "retries = 1"), "params = {x = 1}")
    with pytest.raises(RunFailed, match=r"ValueError: postgresql://ann:…@db/x") as caught:
        bulkio.run_pipeline(path, one_dsn, run_id="r", allow_python=True)
    record = bulkio.show_run("p/r", one_dsn)
    told = (str(caught.value), str(caught.value.report), str(record), caplog.text)
    assert all("ann:…@db" in each and "c4nary" not in each for each in told)


def test_what_is_to_be_typed_is_quoted(folder: Path, db: psycopg.Connection, one_dsn: str) -> None:
    """The command that goes on with a run can be copied into a shell, whatever the run is called."""
    path = write(folder, step("s", 'sql = "select 1/0"'))
    with pytest.raises(RunFailed, match=r"bulkio runs resume 'p/a \$\(b\)'"):
        bulkio.run_pipeline(path, one_dsn, run_id="a $(b)")
    path = write(folder, step("s", 'sql = "select 1"'), "params = {x = 1}")
    with pytest.raises(LedgerError, match=r"bulkio runs resume 'p/a \$\(b\)'`"):
        bulkio.run_pipeline(path, one_dsn, run_id="a $(b)", params={"x": "2"})


def test_the_command_that_goes_on_finds_the_connection(
    folder: Path, db: psycopg.Connection, one_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name of the bulkio.toml beside the pipeline means nothing in another folder."""
    config = folder / "bulkio.toml"
    config.write_text(f'[connections.here]\ndsn = "{one_dsn}"\n')
    config.chmod(0o600)
    path = write(folder, step("s", 'sql = "select 1/0"'), 'connection = "here"')
    with pytest.raises(RunFailed, match=rf": cd {folder} && bulkio runs resume p/r --dsn @here$"):
        bulkio.run_pipeline(path, run_id="r")
    monkeypatch.chdir(folder)
    with pytest.raises(RunFailed, match=r": bulkio runs resume p/r --dsn @here$"):
        bulkio.run_pipeline(path, run_id="r")


def test_a_folder_whose_name_is_no_text(tmp_path: Path, db: psycopg.Connection, one_dsn: str) -> None:
    """Its bytes are recorded with escapes."""
    folder = tmp_path / os.fsdecode(b"\xff")
    folder.mkdir()
    path = write(folder, step("s", 'sql = "select 1"'))
    assert bulkio.run_pipeline(path, one_dsn, run_id="r").state == "done"
    assert bulkio.show_run("p/r", one_dsn).file.endswith(r"\udcff/p.toml")


@pytest.mark.parametrize(
    ("said", "date"),
    [
        ("2026-03-01", "2026-03-01"),
        ("2026-03-01T23:30", "2026-03-01"),
        ("2026-03-01T23:30+00:00", "2026-03-02"),
        (datetime(2026, 3, 1, 23, 30, tzinfo=UTC), "2026-03-02"),
    ],
)
def test_the_logical_date_is_local(folder: Path, db: psycopg.Connection, one_dsn: str, said: object, date: str) -> None:
    """A time with an offset is told in the schedule's zone; one without is of that zone."""
    head = 'schedule = {cron = "0 0 * * *", timezone = "Europe/Berlin"}'
    path = write(folder, step("a", 'sql = "insert into t values (1, $logical_date)"'), head)
    bulkio.run_pipeline(path, one_dsn, logical_date=said)
    assert db.execute("SELECT name FROM t").fetchall() == [(date,)]


def test_no_python_without_leave(folder: Path, db: psycopg.Connection, one_dsn: str) -> None:
    """A file alone cannot have code run."""
    (folder / "evil_steps.py").write_text("raise SystemExit")
    path = write(folder, step("call", 'python = "evil_steps:run"'))
    with pytest.raises(RunFailed, match=r'step "call" calls a Python function, which needs allow_python=True'):
        bulkio.run_pipeline(path, one_dsn)
    (folder / "evil_steps.py").write_text("run = 1")
    with pytest.raises(RunFailed, match="evil_steps:run is not a function"):
        bulkio.run_pipeline(path, one_dsn, allow_python=True)
    path = write(folder, step("call", 'python = "evil_steps:go"'))
    with pytest.raises(RunFailed, match="evil_steps:go cannot be imported"):
        bulkio.run_pipeline(path, one_dsn, allow_python=True)
    del sys.modules["evil_steps"]


def test_a_cancelled_run_is_rolled_back_and_goes_on(folder: Path, db: psycopg.Connection, one_dsn: str) -> None:
    """The journal says interrupted; the next attempt does what is left."""
    path = write(
        folder,
        LOAD + step("slow", 'needs = ["load"]', 'sql = "insert into t select 1 from pg_sleep($s)"'),
        'params = {file = "a", s = 60}',
    )

    async def cancelled() -> None:
        task = asyncio.ensure_future(pipeline.run_pipeline(path, one_dsn, run_id="r"))
        while not count(db):
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        task.cancel()
        await asyncio.wait((task,))
        assert task.cancelled()

    asyncio.run(cancelled())
    assert bulkio.show_run("p/r", one_dsn).state == "interrupted"
    assert count(db) == ROWS
    write(
        folder,
        LOAD + step("slow", 'needs = ["load"]', 'sql = "insert into t select 1 from pg_sleep(0)"'),
        'params = {file = "a"}',
    )
    bulkio.run_pipeline(path, one_dsn, run_id="r")
    assert count(db) == ROWS + 1


def test_messages_name_the_keys_of_the_file(folder: Path, db: psycopg.Connection, one_dsn: str) -> None:
    """Not the flags of `bulkio load`, nor what Python writes."""
    path = write(folder, step("l", 'load = "a.parquet"', 'into = "new"', 'mode = "append"', 'key = "id"'))
    message = "key is for mode = 'upsert' or mode = 'insert-new', not for mode = 'append'"
    with naming_flags():
        with pytest.raises(RunFailed, match=f"step l has failed: {message}"):
            bulkio.run_pipeline(path, one_dsn)
        with pytest.raises(ConfigError, match=f"^{message}$"):
            bulkio.plan_pipeline(path, one_dsn)


def test_plans(folder: Path, db: psycopg.Connection, one_dsn: str) -> None:
    """What each step would do; nothing is changed, nor recorded. What cannot be known yet says so."""
    path = write(
        folder,
        step("load", 'load = "a.parquet"', 'into = "new"')
        + step("check", 'needs = ["load"]', 'check = "select count(*) = $n from new"')
        + step("out", 'needs = ["load"]', 'export = "new"', 'to = "new.csv"')
        + step("call", 'python = "x:y"', 'when = "select true"'),
        "params = {n = 3}",
    )
    plans = {each.name: each.text for each in bulkio.plan_pipeline(path, one_dsn)}
    assert 'CREATE TABLE "public"."new"' in plans["load"]
    assert plans["check"] == "select count(*) = ('3') from new"
    assert plans["out"] == "cannot be planned before load has run: table new does not exist"
    assert plans["call"] == "when select true\ncall x:y"
    assert db.execute("SELECT to_regclass('new'), to_regnamespace('bulkio_ledger')").fetchone() == (None, None)


def test_a_plan_makes_no_folder(folder: Path, db: psycopg.Connection, one_dsn: str) -> None:
    """Of a transform neither: what is missing is made when it runs."""
    path = write(
        folder, step("to", 'files = "a.parquet"', 'transform = "select id from input"', 'to = "out/a.parquet"')
    )
    bulkio.plan_pipeline(path, one_dsn)
    assert not (folder / "out").exists()
    bulkio.run_pipeline(path, one_dsn)
    assert (folder / "out" / "a.parquet").exists()


SUM = "select name, count(*) as n from input where id <= $n group by 1"


def test_a_transform(folder: Path, db: psycopg.Connection, one_dsn: str) -> None:
    """Rows of a query or of files go through DuckDB into a table, once, or into a file."""
    db.execute("INSERT INTO t SELECT g, 'x' FROM generate_series(1, 10) AS g")
    db.execute("CREATE TABLE sums (name text, n int8)")
    path = write(
        folder,
        step("into", 'query = "t"', f'transform = "{SUM}"', 'into = "sums"')
        + step("to", 'files = "a.parquet"', 'transform = "select id + 1 as id from input"', 'to = "out/{n}.parquet"'),
        "params = {n = 7}",
    )
    report = bulkio.run_pipeline(path, one_dsn, run_id="r")
    assert [(each.rows, each.already) for each in report.steps] == [(1, False), (ROWS, False)]
    assert db.execute("SELECT * FROM sums").fetchall() == [("x", 7)]
    assert pq.read_table(folder / "out" / "7.parquet")["id"].to_pylist() == [*range(1, ROWS + 1)]
    db.execute("UPDATE bulkio_ledger.runs SET state = 'failed'; UPDATE bulkio_ledger.steps SET state = 'failed'")
    report = bulkio.run_pipeline(path, one_dsn, run_id="r")
    assert [(each.rows, each.already) for each in report.steps] == [(1, True), (ROWS, False)]
    assert db.execute("SELECT * FROM sums").fetchall() == [("x", 7)]
    plans = {each.name: each.text for each in bulkio.plan_pipeline(path, one_dsn)}
    assert plans["into"].startswith("1 query: id int64, name string\n2 sql: name string, n int64\n3 to_table sums: ")
    assert 'into "public"."sums"' in plans["into"]
    assert plans["to"].endswith(f"3 to_files {folder}/out/7.parquet: id int64")
