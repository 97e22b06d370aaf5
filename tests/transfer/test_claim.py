"""A load with an id is done once, whatever runs, dies or is lost meanwhile; and no other source passes for it."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import bulkio
import bulkio.aio
from bulkio.drivers.asyncpg import AsyncpgSession
from bulkio.files.source import FileSource
from bulkio.options import LoadRequest, fields_of
from bulkio.transfer import retry, session
from bulkio.transfer.claim import _recorded_options
from lossy import LossyProxy
from servers import connect, fetch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


DRIVERS = ["asyncpg", "psycopg"]


@pytest.fixture
def folder() -> Iterator[Path]:
    """Yield a short folder: a socket's path has 107 bytes at the most."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        yield Path(name)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Make a file of three rows."""
    return parquet(tmp_path / "a.parquet", 3)


def parquet(path: Path, rows: int) -> Path:
    """Write numbers from 0 to a Parquet file."""
    with path.open("wb") as file:
        pq.write_table(pa.table({"a": range(rows)}), file)
    return path


def make_ledger(dsn: str, path: Path) -> None:
    """Let a load make the ledger: it commits that first, and a proxy loses the first COMMIT that it meets."""
    bulkio.load(path, "first", dsn, load_id="first")


def count(dsn: str, table: str = "t") -> int:
    return fetch(dsn, f"SELECT count(*) FROM {table}")[0][0]


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_second_run_reports_the_first(dsn: str, path: Path, driver: str) -> None:
    """It changes nothing, whatever the file is called by then; a load without an id goes on to append."""
    first = bulkio.load(path, "t", dsn, driver=driver, load_id="nightly")
    other_name = shutil.copy(path, path.with_name("copy.parquet"))
    second = bulkio.load(other_name, "public.t", dsn, driver=driver, load_id="nightly")
    assert (first.already, first.load_id, second.already) == (False, "nightly", True)
    assert second.as_dict() == {**first.as_dict(), "already": True, "seconds": second.seconds}
    assert count(dsn) == 3
    assert bulkio.load(path, "t", dsn, driver=driver).load_id is None
    assert count(dsn) == 6
    assert count(dsn, "bulkio_ledger.loads") == 1


MODES = {
    "append": {},
    "truncate": {},
    "replace": {},
    "upsert": {"key": ["a"]},
    "insert-new": {"key": ["a"]},
    "replace-where": {"where": "a < $1", "params": ["10"]},
}


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_is_done_once(dsn: str, path: Path, folder: Path, mode: str) -> None:
    """A lost COMMIT is found out, and its retry does nothing: rows that came since stay."""
    make_ledger(dsn, path)
    with connect(dsn) as conn:
        conn.execute("CREATE TABLE t (a int8 PRIMARY KEY)")
    options = {"mode": mode, "load_id": "x", **MODES[mode]}
    with LossyProxy(dsn, folder, "after the server has answered") as proxy:
        assert bulkio.load(path, "t", proxy.dsn, **options).rows == 3
    with connect(dsn) as conn:
        conn.execute("INSERT INTO t VALUES (7)")
    again = bulkio.load(path, "t", dsn, **options)
    assert (again.already, again.mode, count(dsn)) == (True, mode, 4)


def test_a_load_without_an_id_writes_nothing_and_asks_nothing(
    one_dsn: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no ledger afterwards, and no statement has named one."""
    sent: list[str] = []
    for name in ("execute", "fetch"):
        call = getattr(AsyncpgSession, name)

        async def note(self: AsyncpgSession, sql: str, call: object = call) -> object:
            sent.append(sql)
            return await call(self, sql)

        monkeypatch.setattr(AsyncpgSession, name, note)
    bulkio.load(path, "t", one_dsn, driver="asyncpg")
    assert not [text for text in sent if "loads" in text or "client_connection_check_interval" in text]
    assert fetch(one_dsn, "SELECT count(*) FROM pg_namespace WHERE nspname = 'bulkio_ledger'") == [(0,)]


CHANGES = {
    "content": ({}, r"file 1, .*a.parquet: its content is different, [\d,]+ bytes then, [\d,]+ now"),
    "number of files": ({"more": True}, "the source: 1 file then, 2 files now"),
    "table": ({"table": "other"}, "table_name: 't' then, 'other' now"),
    "mode": ({"mode": "truncate"}, "mode: 'append' then, 'truncate' now"),
    "columns": ({"columns": ["a"]}, r"columns: not given then, \['a'\] now"),
    "version": ({"source_version": "2"}, "source_version: not given then, '2' now"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_another_load_of_the_same_id_is_refused(one_dsn: str, path: Path, change: str) -> None:
    """A new file is never skipped in silence; the error says in what it differs."""
    bulkio.load(path, "t", one_dsn, load_id="nightly")
    options, message = CHANGES[change]
    options = {"table": "t", **options}
    source = [path, parquet(path.with_name("b.parquet"), 2)] if options.pop("more", False) else path
    if change == "content":
        parquet(path, 4)
    with pytest.raises(bulkio.LoadDiffers, match=message) as caught:
        bulkio.load(source, options.pop("table"), one_dsn, load_id="nightly", **options)
    assert len(caught.value.differences) == 1
    assert (caught.value.load_id, caught.value.retryable) == ("nightly", False)
    assert count(one_dsn) == 3


def test_how_rows_travel_makes_no_other_load(one_dsn: str, path: Path) -> None:
    """Drivers, methods and sizes may change between a run and its retry."""
    bulkio.load(path, "t", one_dsn, load_id="x", driver="asyncpg")
    again = bulkio.load(path, "t", one_dsn, load_id="x", driver="psycopg", method="csv", batch_rows=1, block_bytes=1024)
    assert (again.already, again.driver) == (True, "asyncpg")


def test_what_is_recorded_of_the_options() -> None:
    """What is not the default and changes rows; never where the server is, and no password."""
    request = LoadRequest(
        bulkio.csv("a.csv", delimiter=";"), "t", "host=h password=secret", columns=["a"], nul="strip", password="secret"
    )
    assert _recorded_options(request) == {"columns": ["a"], "nul": "strip", "delimiter": ";"}
    names = {each.name for each in fields_of(LoadRequest) if each.option.is_recorded}
    assert not names & {"dsn", "password", "driver", "progress", "source", "load_id"}


@pytest.mark.parametrize("source", ["table", "csv stream"])
def test_what_is_read_once_needs_a_version(one_dsn: str, path: Path, source: str) -> None:
    """Nothing else tells it from another one; with a version it is loaded once."""

    def load(**options: str) -> bulkio.LoadReport:
        if source == "table":
            return bulkio.load(pa.table({"a": [1, 2]}), "t", one_dsn, load_id="x", **options)
        text = path.with_suffix(".csv")
        text.write_text("a\n1\n2\n")
        with text.open("rb") as file:
            return bulkio.load(bulkio.csv(file), "t", one_dsn, load_id="x", **options)

    with pytest.raises(bulkio.ConfigError, match=r"say which version it is \(source_version\)"):
        load()
    reports = [load(source_version="v1") for _ in range(2)]
    assert [report.already for report in reports] == [False, True]
    with pytest.raises(bulkio.LoadDiffers, match="source_version: 'v1' then, 'v2' now"):
        load(source_version="v2")
    assert count(one_dsn) == 2


@pytest.mark.parametrize("name", ["wait", "restart", "source_version"])
def test_options_of_the_ledger_need_an_id(name: str) -> None:
    """Alone they would mean nothing, and whoever gives them means something."""
    with pytest.raises(bulkio.ConfigError, match=f"{name} goes with load_id"):
        LoadRequest("a.parquet", "t", **{name: "v" if name == "source_version" else True})


@pytest.mark.parametrize("load_id", ["", "a\nb", "x" * 201, 7])
def test_an_odd_id_is_refused(load_id: object) -> None:
    """One that a list cannot show, or that an index cannot hold."""
    with pytest.raises(bulkio.ConfigError, match="must be 1 to 200 characters that can be printed"):
        LoadRequest("a.parquet", "t", load_id=load_id)


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_run_that_meets_another_one_is_told_so(dsn: str, path: Path, driver: str) -> None:
    """It changes nothing, and can be tried again; one that waits gets the other's report."""
    begun, go_on = threading.Event(), threading.Event()

    def hold(_: bulkio.Progress) -> None:
        begun.set()
        assert go_on.wait(60)

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(bulkio.load, path, "t", dsn, driver=driver, load_id="x", progress=hold)
        assert begun.wait(60)
        with pytest.raises(bulkio.LoadRunning, match="another run is at work on load 'x'") as caught:
            bulkio.load(path, "t", dsn, driver=driver, load_id="x")
        waiting = pool.submit(bulkio.load, path, "t", dsn, driver=driver, load_id="x", wait=True)
        with connect(dsn) as conn:
            until(conn, "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
        go_on.set()
        assert (first.result(60).already, waiting.result(60).already) == (False, True)
    assert caught.value.retryable
    assert count(dsn) == 3


def until(conn: object, query: str) -> None:
    """Poll until a query finds a row."""
    deadline = time.monotonic() + 60
    while conn.execute(query).fetchone() is None:
        assert time.monotonic() < deadline, query
        time.sleep(0.01)


def test_a_plan_says_what_is_done_already(one_dsn: str, path: Path) -> None:
    """It makes no ledger, takes no lock, and raises what the load would."""
    options = {"mode": "truncate", "load_id": "x"}
    with connect(one_dsn) as conn:
        conn.execute("CREATE TABLE t (a int8)")
    assert bulkio.plan_load(path, "t", one_dsn, **options).notes == ()
    assert fetch(one_dsn, "SELECT count(*) FROM pg_namespace WHERE nspname = 'bulkio_ledger'") == [(0,)]
    bulkio.load(path, "t", one_dsn, **options)
    assert bulkio.plan_load(path, "t", one_dsn, **options).notes == ("load 'x' is done already: nothing would be done",)
    assert bulkio.plan_load(path, "t", one_dsn, **options, restart=True).notes == ()
    with pytest.raises(bulkio.LoadDiffers, match="its content is different"):
        bulkio.plan_load(parquet(path, 4), "t", one_dsn, **options)


def test_a_load_can_be_cancelled_while_it_hashes(one_dsn: str, tmp_path: Path) -> None:
    """Half a minute's worth of a sparse file: it ends soon, and has stored nothing."""
    path = tmp_path / "big.csv"
    path.write_text("a\n")
    os.truncate(path, 64 << 30)

    async def cancelled() -> bool:
        with anyio.move_on_after(1) as scope:
            await bulkio.aio.load(path, "t", one_dsn, load_id="x")
        return scope.cancelled_caught

    begun = time.monotonic()
    assert asyncio.run(cancelled())
    assert time.monotonic() - begun < 15
    assert fetch(one_dsn, "SELECT to_regclass('t')") == [(None,)]


def test_fifty_races_of_one_id(one_dsn: str, path: Path) -> None:
    """Of three runs at once one loads, and the others report what it did; the ledger itself is made in the first."""
    for number in range(50):
        with ThreadPoolExecutor(3) as pool:
            runs = [
                pool.submit(bulkio.load, path, "t", one_dsn, load_id=f"race {number}", wait=True, driver=driver)
                for driver in ("asyncpg", "psycopg", "asyncpg")
            ]
            assert sorted(run.result(120).already for run in runs) == [False, True, True]
    assert count(one_dsn) == 150


KILLED = """
import os, signal, sys, bulkio
def stop(progress):
    if progress.rows:
        print("begun", flush=True)
        signal.pause()
path, dsn, driver = sys.argv[1:]
bulkio.load(path, "t", dsn, load_id="x", driver=driver, batch_rows=100, block_bytes=1024, progress=stop)
"""


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_killed_client_leaves_nothing_that_its_retry_meets(dsn: str, tmp_path: Path, driver: str) -> None:
    """SIGKILL in mid-load: the retry waits until the server has noticed, and then loads all of it once."""
    path = parquet(tmp_path / "big.parquet", 100_000)
    command = [sys.executable, "-c", KILLED, str(path), dsn, driver]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "begun\n"
        process.send_signal(signal.SIGKILL)
    report = bulkio.load(path, "t", dsn, load_id="x", wait=True)
    assert (report.rows, report.already, count(dsn)) == (100_000, False, 100_000)


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("restart", [False, True])
def test_the_ledger_knows_of_a_commit_whose_reply_was_lost(
    dsn: str, path: Path, folder: Path, driver: str, restart: bool
) -> None:
    """It took effect, and so the report says; also where the row of an earlier run is replaced."""
    make_ledger(dsn, path)
    if restart:
        bulkio.load(path, "t", dsn, mode="create", load_id="x")
        with connect(dsn) as conn:
            conn.execute("DROP TABLE t")
    with LossyProxy(dsn, folder, "after the server has answered") as proxy:
        report = bulkio.load(path, "t", proxy.dsn, mode="create", driver=driver, load_id="x", restart=restart)
    assert (report.rows, report.already, count(dsn)) == (3, False, 3)
    assert bulkio.load(path, "t", dsn, mode="create", load_id="x").already


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("restart", [False, True])
def test_the_ledger_knows_of_a_commit_that_never_arrived(
    dsn: str, path: Path, folder: Path, driver: str, restart: bool
) -> None:
    """Nothing was changed, the error can be retried, and a row of an earlier run does not pass for this one's."""
    make_ledger(dsn, path)
    if restart:
        bulkio.load(path, "t", dsn, mode="create", load_id="x")
        with connect(dsn) as conn:
            conn.execute("DROP TABLE t")
    with (
        LossyProxy(dsn, folder, "before the server hears it") as proxy,
        pytest.raises(bulkio.ConnectError, match="nothing was changed") as caught,
    ):
        bulkio.load(path, "t", proxy.dsn, mode="create", driver=driver, load_id="x", restart=restart)
    assert caught.value.retryable
    assert fetch(dsn, "SELECT to_regclass('t')") == [(None,)]


@pytest.mark.parametrize("driver", DRIVERS)
def test_an_outcome_that_nobody_tells_may_be_retried(
    dsn: str, path: Path, folder: Path, driver: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server is gone: the error says so, and that a retry is right, which then finds the load done."""
    monkeypatch.setattr(session, "OUTCOME_TIMEOUT_S", 0.5)
    make_ledger(dsn, path)
    with (
        LossyProxy(dsn, folder, "and the server is gone") as proxy,
        pytest.raises(bulkio.OutcomeUnknown, match=r"load 'x' is unknown: .* load again with the same id") as caught,
    ):
        bulkio.load(path, "t", proxy.dsn, driver=driver, load_id="x")
    assert caught.value.retryable
    assert bulkio.load(path, "t", dsn, driver=driver, load_id="x").already
    assert count(dsn) == 3


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("restart", [False, True])
def test_a_retry_knows_what_its_own_run_has_done(
    dsn: str, path: Path, folder: Path, driver: str, restart: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """COMMIT took effect and nobody told: the next try neither loads again nor refuses to, and reports a load."""
    make_ledger(dsn, path)
    monkeypatch.setattr(session, "OUTCOME_TIMEOUT_S", 0.0)
    monkeypatch.setattr(retry, "FIRST_PAUSE_S", 0.01)
    with LossyProxy(dsn, folder, "after the server has answered") as proxy:
        report = bulkio.load(path, "t", proxy.dsn, driver=driver, load_id="x", restart=restart, wait=True, retries=5)
    assert (report.rows, report.already, count(dsn)) == (3, False, 3)


def test_a_row_that_came_without_the_lock_stops_the_load(one_dsn: str, path: Path) -> None:
    """The primary key decides: what another run has recorded is not stored once more."""
    bulkio.load(path, "t", one_dsn, load_id="first")

    def record(progress: bulkio.Progress) -> None:
        if progress.committing:
            with connect(one_dsn) as conn:
                conn.execute(
                    "INSERT INTO bulkio_ledger.loads SELECT 'x', table_schema, table_name, mode, source, options,"
                    " state, NULL, started_at, finished_at, rows, report, bulkio_version, run FROM bulkio_ledger.loads"
                )

    with pytest.raises(bulkio.LoadRunning, match="another run has recorded load 'x' meanwhile") as caught:
        bulkio.load(path, "t", one_dsn, load_id="x", progress=record)
    assert caught.value.retryable
    assert count(one_dsn) == 3
    assert bulkio.load(path, "t", one_dsn, load_id="x").already


def test_a_row_that_the_ledger_drops_stops_the_load(dsn: str, path: Path) -> None:
    """Rows are not stored where no record of them is: the retry would store them again."""
    bulkio.load(path, "t", dsn, load_id="first")
    with connect(dsn) as conn:
        conn.execute("CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'")
        conn.execute("CREATE TRIGGER f BEFORE INSERT ON bulkio_ledger.loads FOR EACH ROW EXECUTE FUNCTION f()")
    with pytest.raises(bulkio.LedgerError, match=r"has not kept the row of load 'x'.*trigger, a rule or a policy"):
        bulkio.load(path, "t", dsn, load_id="x")
    assert count(dsn) == 3


@pytest.mark.parametrize("value", [float("nan"), "1", b"\0", None])
def test_parameters_are_recorded_as_the_texts_that_they_are(one_dsn: str, path: Path, value: object) -> None:
    """Each value that a parameter can have goes into the ledger, and comes back the same."""
    options = {"mode": "replace-where", "where": "a < 9 OR $1 IS NULL", "params": [value], "load_id": "x"}
    assert [bulkio.load(path, "t", one_dsn, **options).already for _ in range(2)] == [False, True]


def test_a_number_and_its_text_are_one_parameter(one_dsn: str, path: Path) -> None:
    """The command line has texts alone; what they say to the server is the same."""
    options = {"mode": "replace-where", "where": "a < $1", "load_id": "x"}
    assert [bulkio.load(path, "t", one_dsn, params=[nine], **options).already for nine in (9, "9")] == [False, True]


def test_restart_loads_again_and_replaces_the_row(one_dsn: str, path: Path) -> None:
    """The rows of another file, under the same id, in one transaction with the ledger."""
    with connect(one_dsn) as conn:
        conn.execute("CREATE TABLE t (a int8)")
    bulkio.load(path, "t", one_dsn, mode="truncate", load_id="x")
    more = parquet(path.with_name("more.parquet"), 5)
    assert not bulkio.load(more, "t", one_dsn, mode="truncate", load_id="x", restart=True).already
    assert fetch(one_dsn, "SELECT id, rows FROM bulkio_ledger.loads") == [("x", 5)]
    assert bulkio.load(more, "t", one_dsn, mode="truncate", load_id="x").already
    assert count(one_dsn) == 5


@pytest.mark.parametrize(("then", "now"), [("append", "append"), ("append", "truncate"), ("create", "append")])
def test_restart_does_not_add_rows_twice(one_dsn: str, path: Path, then: str, now: str) -> None:
    """Nothing tells appended rows from others any more, and an append would add to what is there."""
    bulkio.load(path, "t", one_dsn, mode=then, load_id="x")
    with pytest.raises(bulkio.LedgerError, match=r"load 'x' has (appended|stored) 3 rows"):
        bulkio.load(path, "t", one_dsn, mode=now, load_id="x", restart=True)
    assert count(one_dsn) == 3


def test_a_file_that_is_replaced_after_it_was_hashed_is_refused(
    one_dsn: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is loaded is what was hashed, or nothing is."""
    other = parquet(path.with_name("other.parquet"), 3)
    fingerprints = FileSource.fingerprints

    def then_swap(self: FileSource, stopped: Callable[[], bool]) -> object:
        found = fingerprints(self, stopped)
        other.replace(path)
        return found

    monkeypatch.setattr(FileSource, "fingerprints", then_swap)
    with pytest.raises(bulkio.FileError, match="was changed or replaced"):
        bulkio.load(path, "t", one_dsn, load_id="x")
    assert fetch(one_dsn, "SELECT id FROM bulkio_ledger.loads") == []


@pytest.mark.parametrize("driver", DRIVERS)
def test_what_a_latin1_database_cannot_hold_is_no_hindrance(latin1_dsn: str, tmp_path: Path, driver: str) -> None:
    """A file's name is recorded for people: escaped, where the database lacks its characters."""
    path = parquet(tmp_path / "☃ é.parquet", 3)
    for already in (False, True):
        report = bulkio.load(path, "t", latin1_dsn, driver=driver, load_id="é", source_version="☃")
        assert report.already == already
    [(source,)] = fetch(latin1_dsn, "SELECT source::text FROM bulkio_ledger.loads")
    assert json.loads(source)["files"][0]["name"].endswith(r"\u2603 \xe9.parquet")


def test_a_file_name_of_any_bytes_is_recorded(one_dsn: str, tmp_path: Path) -> None:
    """One that is not UTF-8, and one with a line end: of a CSV, since pyarrow opens no such Parquet."""
    for name in (b"odd\xff.csv", b"odd\n.csv"):
        path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
        path.write_text("a\n1\n")
        assert bulkio.load(path, "t", one_dsn, load_id=repr(name)).rows == 1
    names = fetch(one_dsn, "SELECT source #>> '{files,0,name}' FROM bulkio_ledger.loads ORDER BY id")
    assert [Path(name).name for (name,) in names] == [r"odd\n.csv", r"odd\udcff.csv"]
