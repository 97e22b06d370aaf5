"""--progress: lines of JSON for whoever watches a load or an export, and several tasks at once."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING

import pytest

from bulkio import Progress
from bulkio.cli import progress
from cli.program import Terminal, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg

    from cli.program import Program

KEYS = {"event", "what", "at", "rows", "bytes", "total_rows", "total_estimated", "rows_per_s", "seconds", "committing"}


def lines_of(err: str) -> list[dict[str, object]]:
    """Return the lines of progress."""
    lines = [json.loads(line) for line in err.splitlines() if line.startswith('{"event": ')]
    assert all(set(line) == KEYS and datetime.fromisoformat(str(line["at"])).tzinfo for line in lines)
    return lines


def test_a_line_each_second(bulkio: Program, db: psycopg.Connection, orders: Path) -> None:
    """Also while the load waits; the last one says that it is done. The report is on stdout as ever."""
    db.execute("CREATE TABLE orders (id bigint, note text)")
    db.execute("BEGIN; LOCK TABLE orders")
    process = bulkio.start("load", orders, "orders", "--progress", "json", "--json")
    wait_until(db, "SELECT 1 FROM pg_locks WHERE NOT granted")
    assert process.stderr is not None
    waiting = process.stderr.readline()
    db.execute("COMMIT")
    done = bulkio.finish(process)
    assert (done.code, json.loads(done.out)["rows"]) == (0, 1000)
    lines = lines_of(waiting + done.err)
    first, last = lines[0], lines[-1]
    assert (first["event"], first["what"], first["rows"], first["committing"]) == ("progress", "load orders", 0, False)
    assert first["seconds"] == pytest.approx(1, abs=0.5)
    assert [line["event"] for line in lines].count("done") == 1
    assert (last["event"], last["rows"], last["total_rows"], last["committing"]) == ("done", 1000, 1000, False)
    assert last["rows_per_s"] == pytest.approx(1000 / last["seconds"], rel=0.01)
    assert last["bytes"] > 1000


def test_a_load_that_fails(bulkio: Program, db: psycopg.Connection, orders: Path) -> None:
    """Its last line says so, ahead of the message."""
    db.execute("CREATE TABLE orders (id bigint CHECK (id < 10), note text)")
    done = bulkio("load", orders, "orders", "--progress", "json", "--quiet")
    assert done.code != 0
    assert [line["event"] for line in lines_of(done.err)][-1] == "failed"
    assert "check constraint" in done.err.splitlines()[-1]


def test_an_export_to_stdout(bulkio: Program, db: psycopg.Connection) -> None:
    """The data are on stdout alone."""
    db.execute("CREATE TABLE t AS SELECT generate_series(1, 10) AS a")
    done = bulkio("export", "t", "-", "--format", "csv", "--progress", "json")
    assert done.out.split() == ["a", *map(str, range(1, 11))]
    [last] = lines_of(done.err)
    assert (last["event"], last["what"], last["rows"]) == ("done", "export t", 10)


@pytest.mark.parametrize(
    ("options", "bar", "lines"),
    [(["none"], False, False), (["json"], False, True), (["bar"], True, False), (["bar", "--json"], False, False)],
    ids=str,
)
def test_on_a_terminal(bulkio: Program, orders: Path, options: list[str], *, bar: bool, lines: bool) -> None:
    """One of them, or nothing; a bar never beside other output for programs."""
    terminal = Terminal()
    done = bulkio("load", orders, "orders", "--progress", *options, stderr=terminal.slave, env={"TERM": "xterm"})
    seen = terminal.close()
    assert done.code == 0
    assert (" rows/s" in seen, '"event": "done"' in seen) == (bar, lines)


def test_no_bar_without_a_terminal(bulkio: Program, orders: Path) -> None:
    """As without the option."""
    assert bulkio("load", orders, "orders", "--progress", "bar").err == ""


def test_several_tasks_at_once(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has lines of its own, with its name, and its own end."""
    monkeypatch.setattr(progress, "LINE_S", 0.01)
    with (
        progress.display("json") as shown,
        shown.task("step one") as update,
        suppress(KeyError),
        shown.task("step two"),
    ):
        update(Progress(5, 50, 10, committing=True))
        while "step one" not in (told := capsys.readouterr().err):
            pass
        raise KeyError
    told += capsys.readouterr().err
    lines = lines_of(told)
    ends = {line["what"]: line["event"] for line in lines if line["event"] != "progress"}
    assert ends == {"step two": "failed", "step one": "done"}
    assert any((line["what"], line["rows"], line["committing"]) == ("step one", 5, True) for line in lines)


def test_nothing_is_shown() -> None:
    """Then the API has nothing to call."""
    with progress.progress_of("load t", "none") as update:
        assert update is None
