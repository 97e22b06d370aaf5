"""What is due, on a real server: who runs a tick, and what becomes of those that nobody ran."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

import bulkio
from bulkio.options.pipelines import RunRequest
from bulkio.pipeline.schedule import due as due_module
from bulkio.pipeline.schedule.cron import tick_id
from bulkio.pipeline.schedule.due import Event, run_days, run_due

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import psycopg

    from bulkio.pipeline import Spec

    Write = Callable[..., Path]

RACES = int(os.environ.get("RACES", "5"))


def due(*paths: Path, **options: object) -> list[Event]:
    """Run what is due; return what was told."""
    events: list[Event] = []
    asyncio.run(run_due(paths, RunRequest("", **options), events.append))
    return events


def told(events: list[Event]) -> list[tuple[str, str | None]]:
    return [(event.what, event.run) for event in events]


def stored(db: psycopg.Connection) -> list[str]:
    return [run for (run,) in db.execute("SELECT run FROM t ORDER BY run")]


def hourly_ago(hours: int) -> tuple[str, datetime]:
    """Return a daily cron line whose last tick was so many hours ago, and that tick, in UTC."""
    tick = (datetime.now(UTC) - timedelta(hours=hours)).replace(second=0, microsecond=0)
    return f"{tick.minute} {tick.hour} * * *", tick


def set_last_tick(db: psycopg.Connection, tick: datetime) -> None:
    db.execute("UPDATE bulkio_ledger.marks SET mark = %s WHERE step = ''", [tick.isoformat(timespec="microseconds")])


def test_a_tick_is_run_once(write: Write, db: psycopg.Connection) -> None:
    """The first sight takes the tick that is on time; whoever comes later in the same minute finds nothing to do."""
    path = write()
    runs = [each.run for _ in range(3) for each in due(path)]
    assert 1 <= len(runs) <= 2
    assert stored(db) == sorted(set(runs))
    record = bulkio.show_run(f"p/{runs[0]}", _dsn(path))
    assert (record.kind, record.state, record.attempt, tick_id(record.logical_date)) == ("tick", "done", 1, runs[0])


def _dsn(path: Path) -> str:
    return path.read_text().partition('connection = "')[2].partition('"')[0]


def test_before_the_first_sight_nothing_is_due(write: Write, db: psycopg.Connection) -> None:
    """A pipeline that is new is not late for all ticks that ever were."""
    path = write(cron=hourly_ago(2)[0], catch_up="all")
    assert due(path) == due(path) == []
    assert stored(db) == []


@pytest.mark.parametrize(("catch_up", "run", "missed"), [("none", 0, 3), ("latest", 1, 2), ("all", 3, 0)])
def test_late_ticks(write: Write, db: psycopg.Connection, catch_up: str, run: int, missed: int) -> None:
    """Run in order or missed, as the schedule says; what is missed is told once, and recorded."""
    cron, tick = hourly_ago(2)
    path = write(cron=cron, catch_up=catch_up)
    due(path)
    set_last_tick(db, tick - timedelta(days=3))
    ids = [tick_id(tick - timedelta(days=days)) for days in (2, 1, 0)]
    events = due(path)
    assert told(events) == [("missed", None)] * bool(missed) + [("done", each) for each in ids[missed:]]
    if missed:
        assert (
            f"p: {missed} ticks, from {ids[0]} to {ids[missed - 1]}, were missed; to run what was mi" in events[0].text
        )
    assert stored(db) == ids[missed:]
    states = dict(db.execute("SELECT run, state FROM bulkio_ledger.runs"))
    assert states == dict(zip(ids, ["missed"] * missed + ["done"] * run, strict=True))
    assert due(path) == []


RACER = """
import asyncio, sys
from bulkio.options.pipelines import RunRequest
from bulkio.pipeline.schedule.due import run_due
print("ready", flush=True)
for path in sys.stdin:
    asyncio.run(run_due([path.strip()], RunRequest(""), lambda event: print(event.what, event.pipeline, event.run)))
    print("ready", flush=True)
"""


def test_two_processes_race_for_a_tick(write: Write, db: psycopg.Connection) -> None:
    """One runs it, each time; the other one finds it at work, or done."""
    paths = [write(f"p{number}") for number in range(RACES)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    racers = [subprocess.Popen([sys.executable, "-c", RACER], text=True, **pipes) for _ in range(2)]
    lines: list[str] = []
    for path in [None, *paths]:
        for racer in racers if path else ():
            racer.stdin.write(f"{path}\n")
            racer.stdin.flush()
        for racer in racers:
            while (line := racer.stdout.readline()) != "ready\n":
                assert line, "it has ended"
                lines.append(line)
    for racer in racers:
        racer.communicate()
        assert racer.returncode == 0
    done = Counter(tuple(line.split()[1:]) for line in lines if line.startswith("done"))
    assert {what for what, *_ in map(str.split, lines)} <= {"done", "waits"}
    assert {pipeline for pipeline, _ in done} == {path.stem for path in paths}
    assert set(done.values()) == {1}
    assert set(db.execute("SELECT pipeline, run FROM t")) == set(done)
    assert set(db.execute("SELECT state, attempt FROM bulkio_ledger.runs")) == {("done", 1)}


def test_a_run_of_the_pipeline_that_lives_comes_first(write: Write, db: psycopg.Connection) -> None:
    """Its tick waits, and is run later; what waits is no failure."""
    path = write()
    due(path)
    db.execute("UPDATE bulkio_ledger.runs SET state = 'running', lease_until = now() + interval '1 h', host = 'far'")
    [(first,)] = db.execute("SELECT run FROM bulkio_ledger.runs").fetchall()[:1]
    set_last_tick(db, datetime.now(UTC) - timedelta(minutes=2))
    [event] = due(path)
    assert (event.what, event.error) == ("waits", None)
    assert f"run 'p/{first}' is at work on host 'far'" in event.text


@pytest.mark.parametrize("state", ["interrupted", "running"])
def test_a_run_that_nobody_works_on_goes_on(write: Write, db: psycopg.Connection, state: str) -> None:
    """Before the next tick, with its own tick and parameters, although its tick is late by now."""
    path = write(catch_up="none")
    due(path)
    late = datetime.now(UTC) - timedelta(hours=1)
    db.execute(
        "UPDATE bulkio_ledger.runs SET state = %s, logical_date = %s, run = 'late', lease_until = now(), host = 'far'",
        [state, late],
    )
    first, *_ = due(path)
    assert (first.what, first.run) == ("done", "late")
    assert ("late", "done", 2) in db.execute("SELECT run, state, attempt FROM bulkio_ledger.runs").fetchall()
    assert "late" in stored(db)


def test_a_tick_that_fails_is_not_tried_again(write: Write, db: psycopg.Connection) -> None:
    """Its error is told with what to do; the next tick runs all the same."""
    cron, tick = hourly_ago(2)
    path = write(cron=cron, catch_up="all", sql="insert into t values ($pipeline, $run); select 1 / 0")
    due(path)
    set_last_tick(db, tick - timedelta(days=2))
    events = due(path)
    ids = [tick_id(tick - timedelta(days=1)), tick_id(tick)]
    assert told(events) == [("failed", each) for each in ids]
    assert f"run p/{ids[0]}: step store has failed: " in events[0].text
    assert f"bulkio runs resume p/{ids[0]}" in events[0].text
    assert isinstance(events[0].error, bulkio.RunFailed)
    assert due(path) == []
    assert stored(db) == []


def test_a_broken_pipeline_does_not_stop_the_others(write: Write, db: psycopg.Connection, tmp_path: Path) -> None:
    """In a folder: a wrong one, one without its database, one without a schedule, one of another's name."""
    good = write("good")
    write("wrong", cron="61 * * * *")
    (tmp_path / "zgood.toml").write_text(good.read_text())
    nowhere = write("nowhere")
    nowhere.write_text(nowhere.read_text().replace(_dsn(nowhere), "host=/nowhere user=x"))
    (tmp_path / "plain.toml").write_text('name = "plain"\n[[step]]\nid = "a"\nsql = "select 1"\n')
    events = due(tmp_path)
    assert [event.what for event in events].count("done") >= 1
    broken = sorted(event.text for event in events if event.what == "broken")
    assert len(broken) == 3
    assert "wrong.toml: key \"schedule.cron\": '61 * * * *' is not a cron line: its minute is wrong" in broken[0]
    assert f"zgood.toml: its name is that of {good}; each pipeline needs one of its own" in broken[1]
    assert broken[2].startswith("nowhere: ")
    with pytest.raises(bulkio.ConfigError, match=r"plain\.toml: has no \[schedule\], so it has no ticks"):
        due(tmp_path / "plain.toml")


def test_a_fault_of_bulkio_s_does_not_stop_the_others(
    write: Write, db: psycopg.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told, and counts as a failure."""
    write("good")
    bad, run_spec = write("bad"), due_module.run_spec

    async def faulty(spec: Spec, *args: object) -> object:
        if spec.path == bad:
            raise RuntimeError("oh")
        return await run_spec(spec, *args)

    monkeypatch.setattr(due_module, "run_spec", faulty)
    events = {event.pipeline: event for event in due(tmp_path)}
    assert events["good"].what == "done"
    assert events["bad"].text == "bad: internal error: RuntimeError: oh; please report it"
    assert type(events["bad"].error) is bulkio.BulkioError


def test_ticks_of_the_past(write: Write, db: psycopg.Connection) -> None:
    """One run for each, in order; again, all are skipped; they do not change what the schedule has seen."""
    path = write(cron="0 0 * * *", catch_up="all")
    due(path)
    events: list[Event] = []
    start = datetime(2026, 3, 1, tzinfo=UTC)
    days = start.date(), start.date() + timedelta(days=2)
    asyncio.run(run_days(path, days, RunRequest(""), events.append))
    ids = [tick_id(start + timedelta(days=number)) for number in range(3)]
    assert told(events) == [("done", each) for each in ids]
    asyncio.run(run_days(path, days, RunRequest(""), events.append))
    assert [event.text for event in events[3:]] == [f"run p/{each} was done before" for each in ids]
    assert stored(db) == ids
    assert [each for each in due(path) if each.run in ids] == []
    assert {kind for (kind,) in db.execute("SELECT kind FROM bulkio_ledger.runs WHERE run < '2026-04'")} == {"backfill"}


def test_ticks_that_are_not_there(write: Write, db: psycopg.Connection) -> None:
    """Still to come, or none on these days: that is an error."""
    path = write(cron="0 0 1 1 *")
    future = datetime(2999, 1, 1, tzinfo=UTC).date()
    for day, words in (
        (future, "is still to come"),
        (future - timedelta(days=1), "is not there: its cron line has none"),
    ):
        with pytest.raises(bulkio.ConfigError, match=f"p: the first tick from {day} to {day} {words}"):
            asyncio.run(run_days(path, (day, day), RunRequest(""), print))


def test_events_go_into_json(write: Write, db: psycopg.Connection) -> None:
    """With the report of the run."""
    event, *_ = due(write())
    shown = json.loads(json.dumps(event.as_dict()))
    assert (shown["what"], shown["pipeline"], shown["report"]["rows"]) == ("done", "p", 1)
