"""Who owns a run, on real servers: leases, heartbeats, processes that die or sleep, and how runs end."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

import pytest
from journal_scene import FACTS, RUN, another_process, change, journal_of

import bulkio
from bulkio.options import LedgerRequest
from bulkio.transfer.journal import RunFacts, open_journal, run, work
from servers import connect, fetch

if TYPE_CHECKING:
    from collections.abc import Callable

    from bulkio.protocols import Session

each_driver = pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


pytestmark = pytest.mark.anyio


async def test_a_cancelled_run_is_interrupted(one_dsn: str) -> None:
    """It is recorded as that, with the step that was at work, and goes on later."""
    journal = await journal_of(one_dsn)
    own = await journal.begin("orders", "x", RunFacts())
    started = asyncio.Event()

    async def work() -> None:
        async with own.held():
            await own.start_step("load")
            started.set()
            await asyncio.sleep(60)

    task = asyncio.ensure_future(work())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    record = bulkio.show_run("x", one_dsn)
    assert (record.state, record.error, record.steps[0].state) == ("interrupted", None, "interrupted")
    assert (await journal.begin("orders", "x", RunFacts())).attempt == 2


async def test_a_cancellation_while_the_end_is_recorded_comes_too_late(
    one_dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The run is done, and nobody says otherwise."""
    journal = await journal_of(one_dsn)
    own = await journal.begin("orders", "x", RunFacts())

    async def work() -> str:
        async with own.held():
            await own.finish("done")
        return "done"

    with connect(one_dsn) as conn:
        conn.execute("BEGIN; SELECT * FROM bulkio_ledger.runs FOR UPDATE")
        task = asyncio.ensure_future(work())
        async with asyncio.timeout(30):
            while fetch(one_dsn, "SELECT count(*) FROM pg_locks WHERE NOT granted") == [(0,)]:
                await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.sleep(0.05)
        conn.execute("ROLLBACK")
    assert await task == "done"
    assert bulkio.show_run("x", one_dsn).state == "done"
    assert caplog.messages == []


async def test_an_end_that_cannot_be_recorded_is_warned_of(
    one_dsn: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody waits long for that: the next one finds a run that nobody works on. The error stays what it was."""
    monkeypatch.setattr(run, "LAST_WORDS_S", 0.2)
    journal = await journal_of(one_dsn)
    own = await journal.begin("orders", "x", RunFacts())

    async def work() -> None:
        async with own.held():
            own._request = LedgerRequest("host=/nowhere user=x")
            raise ValueError("oh")

    async with asyncio.timeout(10):
        with pytest.raises(ValueError, match="oh"):
            await work()
    assert caplog.messages[0].startswith("run orders/x: how it ended could not be recorded (")


async def test_a_cancellation_does_not_wait_long_for_the_end(
    one_dsn: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Somebody holds the run's row, and the end cannot be recorded."""
    monkeypatch.setattr(run, "LAST_WORDS_S", 0.2)
    journal = await journal_of(one_dsn)
    own = await journal.begin("orders", "x", RunFacts())

    async def work() -> None:
        async with own.held():
            await own.finish("done")

    with connect(one_dsn) as conn:
        conn.execute("BEGIN; SELECT * FROM bulkio_ledger.runs FOR UPDATE")
        task = asyncio.ensure_future(work())
        async with asyncio.timeout(30):
            while fetch(one_dsn, "SELECT count(*) FROM pg_locks WHERE NOT granted") == [(0,)]:
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError) as caught:
                await task
    assert str(caught.value.__cause__) == "run orders/x: the server was not told how it ended, within 0.2 s"
    assert caplog.messages[0].startswith("run orders/x: how it ended could not be recorded (")


async def test_a_run_that_lives_is_not_begun_again(one_dsn: str) -> None:
    """Not by another process, nor by this one; once its process is gone, it is taken over at once."""
    journal = await journal_of(one_dsn)
    process = another_process(one_dsn, 'await run.start_step("load")')
    busy = rf"run 'orders/{RUN[:13]}.*' is at work on host '.*', process {process.pid}: wait for its end"
    with pytest.raises(bulkio.RunRunning, match=busy) as caught:
        await journal.begin("orders", RUN, RunFacts())
    assert (caught.value.run, caught.value.retryable) == (f"orders/{RUN}", True)
    process.kill()
    process.wait()
    own = await journal.begin("orders", RUN, RunFacts())
    assert (own.attempt, own.recorded("load").state) == (2, "interrupted")
    with pytest.raises(bulkio.RunRunning):
        await journal.begin("orders", RUN, RunFacts())


async def test_a_zombie_is_gone(one_dsn: str) -> None:
    """A process that nobody has waited for yet is in the list of processes still."""
    journal = await journal_of(one_dsn)
    process = another_process(one_dsn)
    process.kill()
    for _ in range(1000):
        try:
            own = await journal.begin("orders", RUN, FACTS)
            break
        except bulkio.RunRunning:
            await asyncio.sleep(0.01)
    assert own.attempt == 2
    process.wait()


OTHERS = {
    "another host": "host = 'far'",
    "another boot": "process = jsonb_set(process, '{boot_id}', '\"x\"')",
    "another container": "process = jsonb_set(process, '{pid_namespace}', '\"pid:[1]\"')",
    "a system that tells nothing": "process = NULL",
}


@pytest.mark.parametrize("place", OTHERS)
async def test_of_another_host_the_lease_decides(one_dsn: str, place: str) -> None:
    """Nobody can look there; the server's clock says when the lease is over."""
    journal = await journal_of(one_dsn)
    await journal.begin("orders", "x", RunFacts())
    gone = "process = jsonb_set(process, '{started}', '\"1\"')"
    change(one_dsn, f"UPDATE bulkio_ledger.runs SET {gone}")
    change(one_dsn, f"UPDATE bulkio_ledger.runs SET {OTHERS[place]}")
    with pytest.raises(bulkio.RunRunning):
        await journal.begin("orders", "x", RunFacts())
    assert not bulkio.show_run("x", one_dsn).is_lost
    change(one_dsn, "UPDATE bulkio_ledger.runs SET lease_until = now() - interval '1 s'")
    assert bulkio.show_run("x", one_dsn).is_lost
    assert (await journal.begin("orders", "x", RunFacts())).attempt == 2


@each_driver
async def test_the_heartbeat_renews_the_lease(dsn: str, driver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as the block runs, and no longer."""
    monkeypatch.setattr(run, "BEAT_S", 0.05)
    journal = await journal_of(dsn, driver=driver)
    own = await journal.begin("orders", "x", RunFacts())
    lease = "SELECT lease_until FROM bulkio_ledger.runs"
    async with own.held():
        [(first,)] = fetch(dsn, lease)
        async with asyncio.timeout(30):
            while fetch(dsn, lease) == [(first,)]:
                await asyncio.sleep(0.01)
        await own.finish("done")
    assert fetch(dsn, lease) == [(None,)]


@each_driver
async def test_whoever_lost_the_lease_writes_nothing(
    dsn: str, driver: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Each write is refused, the block is cancelled, and the new owner's record is unchanged."""
    monkeypatch.setattr(run, "BEAT_S", 0.05)
    journal = await journal_of(dsn, driver=driver)
    old = await journal.begin("orders", "x", RunFacts())
    change(dsn, "UPDATE bulkio_ledger.runs SET lease_until = now() - interval '1 s', host = 'far'")
    new = await journal.begin("orders", "x", RunFacts())
    writes: list[Callable[[], object]] = [
        lambda: old.start_step("load"),
        lambda: old.end_step("load"),
        lambda: old.propose("load", None, "1", "f"),
        lambda: old.finish("done"),
    ]
    for write in writes:
        with pytest.raises(bulkio.RunTaken, match="run 'orders/x' is no longer this process's: its lease had run out"):
            await write()
    with pytest.raises(bulkio.RunTaken):
        async with old.held():
            await old.start_step("load")
    with pytest.raises(bulkio.RunTaken) as caught:
        async with old.held():
            await asyncio.sleep(60)
    assert caplog.messages == []
    assert (caught.value.run, caught.value.retryable) == ("orders/x", False)
    assert fetch(dsn, "SELECT state, attempt FROM bulkio_ledger.runs") == [("running", 2)]
    assert fetch(dsn, "SELECT count(*) FROM bulkio_ledger.steps") == [(0,)]
    await new.finish("done")


async def test_a_process_that_slept_finds_another_owner(one_dsn: str, capfd: pytest.CaptureFixture[str]) -> None:
    """It was stopped until its lease was over: when it goes on, it ends, and changes nothing."""
    journal = await journal_of(one_dsn)
    process = another_process(one_dsn, beat_s=0.05)
    process.send_signal(signal.SIGSTOP)
    with pytest.raises(bulkio.RunRunning):
        await journal.begin("orders", RUN, RunFacts())
    change(one_dsn, "UPDATE bulkio_ledger.runs SET lease_until = now() - interval '1 s'")
    own = await journal.begin("orders", RUN, RunFacts())
    await own.start_step("load")
    process.send_signal(signal.SIGCONT)
    assert process.wait(30) == 1
    assert "RunTaken: run 'orders/2026-10-25T02:15+02:00' is no longer this process's" in capfd.readouterr().err
    await own.end_step("load", rows=3)
    await own.finish("done")
    record = bulkio.show_run(RUN, one_dsn)
    assert (record.state, record.attempt, [step.state for step in record.steps]) == ("done", 2, ["done"])


@each_driver
async def test_who_dies_in_a_transaction_holds_nobody_up(
    dsn: str, driver: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server ends it soon, although it hears nothing of a host that is gone or asleep."""
    monkeypatch.setattr(work, "IDLE_S", 0.3)
    request = LedgerRequest(dsn, driver=driver)
    journal = await open_journal(request)
    await journal.begin("orders", "x", RunFacts())
    change(dsn, "UPDATE bulkio_ledger.runs SET lease_until = now() - interval '1 s'")
    locked = asyncio.Event()

    async def die(session: Session) -> None:
        await session.fetch("SELECT * FROM bulkio_ledger.runs FOR UPDATE")
        locked.set()
        await asyncio.sleep(30)

    dying = asyncio.ensure_future(work.change(request, die))
    await locked.wait()
    async with asyncio.timeout(10):
        assert (await journal.begin("orders", "x", RunFacts())).attempt == 2
    dying.cancel()
    await asyncio.wait((dying,))


async def test_a_server_out_of_reach_ends_the_run(one_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The heartbeat tries until its lease is over; then the block is cancelled."""
    for name, value in {"BEAT_S": 0.02, "RETRY_S": 0.02, "LEASE_S": 0.3, "LAST_WORDS_S": 0.1}.items():
        monkeypatch.setattr(run, name, value)
    journal = await journal_of(one_dsn)
    own = await journal.begin("orders", "x", RunFacts())
    own._request = LedgerRequest("host=/nowhere user=x")
    with pytest.raises(bulkio.ConnectError, match=r"run 'orders/x': the server was out of reach .* lease has run out"):
        async with own.held():
            await asyncio.sleep(60)
