"""A load that is cancelled tells the truth: what it reports is what the table holds."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import anyio
import pyarrow as pa
import pytest

import bulkio
from bulkio import aio
from bulkio.transfer import export, session
from servers import connect

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from bulkio import LoadReport

ROWS = pa.table({"id": pa.array(range(1000), pa.int64())})
#: At COMMIT the trigger waits for the lock that the test holds.
TABLE = """
CREATE TABLE t (id int8 NOT NULL);
CREATE FUNCTION wait_for_the_test() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_advisory_xact_lock(1);
  IF TG_ARGV[0] = 'refuse' THEN RAISE 'the trigger refuses'; END IF;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER w AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW WHEN (NEW.id = 500) EXECUTE FUNCTION wait_for_the_test({word});
"""
WAITING = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'advisory'"


@pytest.fixture(params=["asyncpg", "psycopg"])
def driver(request: pytest.FixtureRequest) -> str:
    return request.param


class Commit:
    """A table whose loads wait at COMMIT, until `release`."""

    def __init__(self, dsn: str, word: str = "'store'") -> None:
        self.dsn = dsn
        self._conn = connect(dsn)
        self._conn.execute(TABLE.replace("{word}", word))
        self._conn.execute("SELECT pg_advisory_lock(1)")

    async def begun(self) -> None:
        """Wait until a load waits at COMMIT."""
        while self._conn.execute(WAITING).fetchone() is None:
            await asyncio.sleep(0.01)

    def release(self) -> None:
        """Let the loads go on."""
        self._conn.execute("SELECT pg_advisory_unlock_all()")

    def rows(self) -> int:
        """Count what the table holds, once no load is under way."""
        return int(self._conn.execute("SELECT count(*) FROM t").fetchone()[0])

    def close(self) -> None:
        """Let go of the lock, too."""
        self._conn.close()


@pytest.fixture
def commit(one_dsn: str) -> Commit:
    made = Commit(one_dsn)
    yield made
    made.close()


@pytest.fixture
def refused_commit(one_dsn: str) -> Commit:
    made = Commit(one_dsn, "'refuse'")
    yield made
    made.close()


# --- ways to cancel a load that waits at COMMIT ------------------------------------------------------------------


async def by_cancel(load: Awaitable[LoadReport], commit: Commit, times: int = 1) -> LoadReport:
    task = asyncio.ensure_future(load)
    await commit.begun()
    for _ in range(times):
        task.cancel()
        await asyncio.sleep(0.05)
    commit.release()
    return await task


async def by_two_cancels(load: Awaitable[LoadReport], commit: Commit) -> LoadReport:
    return await by_cancel(load, commit, times=2)


async def by_wait_for(load: Awaitable[LoadReport], commit: Commit) -> LoadReport:
    task = asyncio.ensure_future(load)
    await commit.begun()
    asyncio.get_running_loop().call_later(0.05, commit.release)
    return await asyncio.wait_for(task, 0.01)


async def by_timeout(load: Awaitable[LoadReport], commit: Commit) -> LoadReport:
    async def watch(limit: asyncio.Timeout) -> None:
        await commit.begun()
        limit.reschedule(0)
        await asyncio.sleep(0.05)
        commit.release()

    async with asyncio.timeout(None) as limit:
        watching = asyncio.create_task(watch(limit))
        report = await load
    assert limit.expired()
    await watching
    return report


async def by_scope(load: Awaitable[LoadReport], commit: Commit) -> LoadReport:
    async def watch(scope: anyio.CancelScope) -> None:
        await commit.begun()
        scope.cancel()
        await asyncio.sleep(0.05)
        commit.release()

    with anyio.CancelScope() as scope:
        watching = asyncio.create_task(watch(scope))
        report = await load
    await watching
    if scope.cancelled_caught:
        raise asyncio.CancelledError
    return report


async def by_task_group(load: Awaitable[LoadReport], commit: Commit) -> LoadReport:
    async def fail() -> None:
        await commit.begun()
        asyncio.get_running_loop().call_later(0.05, commit.release)
        raise ZeroDivisionError

    report = None
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())
            report = await load
    except* ZeroDivisionError:
        pass
    if report is None:
        raise asyncio.CancelledError
    return report


WAYS = [by_cancel, by_two_cancels, by_wait_for, by_timeout, by_scope, by_task_group]


@pytest.mark.parametrize("way", WAYS)
def test_a_cancellation_during_commit_gives_the_report(commit: Commit, driver: str, way: Callable[..., object]) -> None:
    """What was committed is reported as such, whatever has cancelled it, and the task is not cancelled any more."""

    async def run() -> LoadReport:
        async def load() -> LoadReport:
            report = await aio.load(ROWS, "t", commit.dsn, driver=driver)
            await asyncio.sleep(0)  # would raise what is left of a cancellation, but for an anyio scope's
            return report

        report = await way(load() if way is not by_scope else aio.load(ROWS, "t", commit.dsn, driver=driver), commit)
        assert asyncio.current_task().cancelling() == 0
        async with asyncio.timeout(10):
            await asyncio.sleep(0)
        return report

    assert asyncio.run(run()).rows == 1000
    assert commit.rows() == 1000


def test_a_task_that_forgot_its_cancellation_counts_none(commit: Commit, driver: str) -> None:
    """A TaskGroup or a timeout that the same task opens next does not take the old request for its own."""

    async def load() -> int:
        await aio.load(ROWS, "t", commit.dsn, driver=driver)
        return asyncio.current_task().cancelling()

    async def run() -> int:
        return await by_cancel(load(), commit)

    assert asyncio.run(run()) == 0


@pytest.mark.parametrize("way", WAYS)
def test_a_cancelled_commit_that_fails_is_a_cancellation(
    refused_commit: Commit, driver: str, way: Callable[..., object]
) -> None:
    """What was rolled back is reported as cancelled."""

    async def run() -> None:
        await way(aio.load(ROWS, "t", refused_commit.dsn, driver=driver), refused_commit)

    with pytest.raises((asyncio.CancelledError, TimeoutError)):
        asyncio.run(run())
    assert refused_commit.rows() == 0


@pytest.mark.parametrize("way", [by_cancel, by_timeout, by_scope])
def test_a_commit_without_an_answer_is_unknown(
    commit: Commit, driver: str, way: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a cancellation the outcome is waited for, but not for ever."""
    monkeypatch.setattr(session, "OUTCOME_TIMEOUT_S", 0.3)
    released = threading.Event()
    monkeypatch.setattr(commit, "release", released.set)

    async def run() -> None:
        await way(aio.load(ROWS, "t", commit.dsn, driver=driver), commit)

    with pytest.raises(bulkio.OutcomeUnknown, match=r"transaction \d+"):
        asyncio.run(run())
    assert released.is_set(), "the load waited on after the cancellation"


# --- exports ---------------------------------------------------------------------------------------------------


def test_a_cancelled_export_waits_for_the_file_that_is_being_made(
    one_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread that makes the temporary file is waited for, and the file removed."""
    opening, go_on = threading.Event(), threading.Event()
    open_sink = export.open_sink

    def slow(*args: object) -> object:
        opening.set()
        go_on.wait(10)
        return open_sink(*args)

    monkeypatch.setattr(export, "open_sink", slow)

    async def run() -> None:
        task = asyncio.create_task(aio.export("SELECT 1 AS a", tmp_path / "out.parquet", one_dsn))
        await asyncio.to_thread(opening.wait, 10)
        task.cancel()
        await asyncio.sleep(0.05)
        go_on.set()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(run())
    assert list(tmp_path.iterdir()) == []


def test_an_export_that_is_cancelled_while_it_closes_leaves_no_file(
    one_dsn: str, tmp_path: Path, driver: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the last row and the file's new name a cancellation still removes it."""
    real = session._roll_back

    async def cancelled(opened: object) -> None:
        asyncio.get_running_loop().call_soon(exporting.cancel)
        await real(opened)

    monkeypatch.setattr(session, "_roll_back", cancelled)

    async def run() -> None:
        nonlocal exporting
        exporting = asyncio.create_task(aio.export("SELECT 1 AS a", tmp_path / "out.parquet", one_dsn, driver=driver))
        await exporting

    exporting: asyncio.Task[object]
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(run())
    assert list(tmp_path.iterdir()) == []


def test_an_export_whose_file_is_being_finished_gives_its_report(
    one_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once the file gets its name a cancellation comes too late, and the report is returned."""
    committing, go_on = threading.Event(), threading.Event()
    open_sink = export.open_sink

    def slow(*args: object) -> object:
        sink = open_sink(*args)
        commit = sink.commit

        def slow_commit() -> None:
            committing.set()
            go_on.wait(10)
            commit()

        monkeypatch.setattr(sink, "commit", slow_commit)
        return sink

    monkeypatch.setattr(export, "open_sink", slow)

    async def run() -> bulkio.ExportReport:
        task = asyncio.create_task(aio.export("SELECT 1 AS a", tmp_path / "out.parquet", one_dsn))
        await asyncio.to_thread(committing.wait, 10)
        task.cancel()
        await asyncio.sleep(0.05)
        go_on.set()
        return await task

    assert asyncio.run(run()).rows == 1
    assert [path.name for path in tmp_path.iterdir()] == ["out.parquet"]


def test_a_commit_that_the_end_of_the_loop_cuts_off_is_unknown(commit: Commit, driver: str) -> None:
    """`asyncio.run` cancels every task when it ends, those that wait for COMMIT too; a load does not guess."""
    ends: list[BaseException] = []

    async def load() -> None:
        try:
            await aio.load(ROWS, "t", commit.dsn, driver=driver)
        except BaseException as error:
            ends.append(error)
            raise

    async def run() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
        task = asyncio.create_task(load())
        await commit.begun()
        assert not task.done()

    asyncio.run(run())
    assert [type(error) for error in ends] == [bulkio.OutcomeUnknown]
    assert commit.rows() == 0
