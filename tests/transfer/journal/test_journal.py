"""The journal of runs, on real servers: who owns a run, what it has recorded, and what a repeat finds."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from journal_scene import FACTS, RUN, TICK, another_process, change, journal_of

import bulkio
from bulkio.transfer.journal import Mark, RunFacts
from servers import connect, fetch

if TYPE_CHECKING:
    from servers import TestServer

each_driver = pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


pytestmark = pytest.mark.anyio


@each_driver
async def test_a_run_is_recorded_from_begin_to_end(dsn: str, driver: str) -> None:
    """Its facts, its steps in order, their tries, rows and errors; all of it goes into JSON."""
    journal = await journal_of(dsn, driver=driver)
    own = await journal.begin("orders", "x", RunFacts("/p/orders.toml", params={"day": "2026-01-01"}))
    assert (own.name, own.attempt, own.is_done, own.recorded("load")) == ("orders/x", 1, False, None)
    async with own.held():
        await own.start_step("load", load_id="orders/x/load", detail={"rows": "é"})
        assert await own.start_step("load", load_id="orders/x/load") == 2
        await own.end_step("load", rows=3, bytes=99)
        await own.end_step("check", "a.csv", "skipped")
        await own.start_step("publish", "b.csv")
        await own.end_step("publish", "b.csv", "failed", error="no")
        await own.finish("failed", "step publish: no")
    record = bulkio.show_run("orders/x", dsn, driver=driver)
    assert (record.state, record.kind, record.file, record.error) == (
        "failed",
        "manual",
        "/p/orders.toml",
        "step publish: no",
    )
    assert record.params == {"day": "2026-01-01"}
    assert record.started_at < record.finished_at < datetime.now(UTC) + timedelta(minutes=1)
    assert [(step.step, step.item, step.state, step.attempts, step.rows, step.error) for step in record.steps] == [
        ("load", "", "done", 2, 3, None),
        ("check", "a.csv", "skipped", 0, None, None),
        ("publish", "b.csv", "failed", 1, None, "no"),
    ]
    assert (record.steps[0].load_id, record.steps[0].bytes) == ("orders/x/load", 99)
    assert record.bulkio_version == bulkio.__version__
    told = json.loads(json.dumps(record.as_dict()))
    assert (told["steps"][0]["rows"], told["run"]) == (3, "x")
    [listed] = bulkio.list_runs(dsn, driver=driver)
    assert listed == bulkio.list_runs(dsn, pipeline="orders")[0]
    assert (listed.name, listed.steps) == ("orders/x", ())
    assert bulkio.list_runs(dsn, pipeline="other") == ()


@each_driver
async def test_a_failed_run_goes_on(dsn: str, driver: str) -> None:
    """The next attempt knows what is done; one that is done is only told."""
    journal = await journal_of(dsn, driver=driver)
    own = await journal.begin("orders", "x", RunFacts())

    async def work() -> None:
        async with own.held():
            await own.start_step("load")
            await own.end_step("load", rows=3)
            await own.start_step("check")
            raise ValueError("oh")

    with pytest.raises(ValueError, match="oh"):
        await work()
    assert bulkio.show_run("x", dsn).error == "oh"
    own = await journal.begin("orders", "x", RunFacts())
    assert (own.attempt, own.recorded("load").state, own.recorded("check").state) == (2, "done", "interrupted")
    async with own.held():
        assert await own.start_step("check") == 2
        await own.end_step("check")
        await own.finish("done")
    assert fetch(dsn, "SELECT state, error, lease_until, attempt FROM bulkio_ledger.runs") == [("done", None, None, 2)]
    own = await journal.begin("orders", "x", RunFacts())
    assert (own.is_done, own.attempt, own.recorded("check").state) == (True, 2, "done")


# --- ticks ------------------------------------------------------------------------------------------------------


async def test_a_tick_waits_for_the_pipeline_s_other_runs(one_dsn: str) -> None:
    """Another pipeline's does not matter, nor one whose process is gone."""
    journal = await journal_of(one_dsn)
    process = another_process(one_dsn, run="by hand", kind="manual")
    with pytest.raises(bulkio.RunRunning, match="run 'orders/by hand' is at work"):
        await journal.begin("orders", RUN, FACTS)
    assert (await journal.begin("other", RUN, FACTS)).attempt == 1
    process.kill()
    process.wait()
    assert (await journal.begin("orders", RUN, FACTS)).attempt == 1


@pytest.mark.parametrize("state", ["failed", "missed"])
async def test_a_tick_that_failed_or_was_missed_is_the_user_s(one_dsn: str, state: str) -> None:
    """The schedule does not run it again; the user may."""
    journal = await journal_of(one_dsn)
    if state == "missed":
        assert await journal.miss("orders", {RUN: TICK}, file="f") == (RUN,)
        assert await journal.miss("orders", {RUN: TICK}, file="f") == ()
    else:
        await (await journal.begin("orders", RUN, FACTS)).finish("failed", "oh")
    with pytest.raises(bulkio.RunTaken, match=r"run 'orders/.*' (has failed|was missed); to run it all the same: bulk"):
        await journal.begin("orders", RUN, FACTS)
    own = await journal.begin("orders", RUN, RunFacts())
    await own.finish("done")
    record = bulkio.show_run(RUN, one_dsn)
    assert (record.kind, record.logical_date, record.state) == ("tick", TICK, "done")
    assert (await journal.begin("orders", RUN, FACTS)).is_done


async def test_the_schedule_s_memory(one_dsn: str) -> None:
    """First sight, then the latest tick that was run or missed; and the runs that nobody works on any more."""
    journal = await journal_of(one_dsn)
    since = datetime(2026, 10, 1, tzinfo=UTC)
    first = await journal.schedule("orders", since)
    assert (first.last, first.abandoned) == (since, ())
    later = await journal.schedule("orders", since + timedelta(days=1))
    assert later.last == since
    await journal.miss("orders", {"a": TICK - timedelta(days=2), "b": TICK - timedelta(days=1)}, file="f")
    assert (await journal.schedule("orders", since)).last == TICK - timedelta(days=1)
    own = await journal.begin("orders", RUN, FACTS)
    seen = await journal.schedule("orders", since)
    assert (seen.last, seen.abandoned) == (TICK, ())
    await journal.miss("orders", {"c": TICK - timedelta(days=3)}, file="f")
    await own.finish("interrupted")
    seen = await journal.schedule("orders", since)
    assert (seen.last, [each.run for each in seen.abandoned]) == (TICK, [RUN])


# --- marks ------------------------------------------------------------------------------------------------------


@each_driver
async def test_a_mark_moves_as_its_step_is_done(dsn: str, driver: str) -> None:
    """In the same transaction; before, the window and its file are known to whoever comes next."""
    journal = await journal_of(dsn, driver=driver)
    own = await journal.begin("orders", "x", RunFacts())
    assert await own.mark("publish") == Mark()
    await own.start_step("publish")
    assert await own.propose("publish", None, "5", "out/1-5.parquet")
    assert await own.mark("publish") == Mark(None, "5", "out/1-5.parquet")
    await own.end_step("publish", mark="5")
    assert await own.mark("publish") == Mark("5")
    await own.end_step("publish", mark="5")
    await own.start_step("publish")
    with pytest.raises(bulkio.LedgerError, match="step 'publish' of run 'orders/x': another run has exported another"):
        await own.end_step("publish", mark="6")
    assert await own.mark("publish") == Mark("5")
    assert bulkio.show_run("x", dsn).steps[0].state == "running"


# --- the tables -------------------------------------------------------------------------------------------------


async def test_parameters_do_not_change(one_dsn: str) -> None:
    """What is done was done under the old ones; that is an error which names both."""
    journal = await journal_of(one_dsn)
    own = await journal.begin("orders", "x", RunFacts(params={"day": "1"}))
    await own.finish("failed")
    words = (
        r"'orders/x' was begun with other parameters \(day: '1' then, not given now\): go on with it by `bulkio runs"
    )
    with pytest.raises(bulkio.LedgerError, match=words):
        await journal.begin("orders", "x", RunFacts())


async def test_runs_are_found_by_their_names(one_dsn: str) -> None:
    """Pipeline/run, or the id alone where that is enough; typos are told."""
    with pytest.raises(bulkio.LedgerError, match=r"the journal has no run 'x'$"):
        bulkio.show_run("x", one_dsn)
    assert bulkio.list_runs(one_dsn) == ()
    journal = await journal_of(one_dsn)
    for pipeline, name in (("orders", "x"), ("sales", "x"), ("sales", "a/b")):
        await journal.begin(pipeline, name, RunFacts())
    assert [bulkio.show_run(name, one_dsn).name for name in ("sales/x", "a/b", "sales/a/b")] == [
        "sales/x",
        "sales/a/b",
        "sales/a/b",
    ]
    with pytest.raises(bulkio.LedgerError, match=r"several pipelines have a run 'x': say which one, such as .*/x and"):
        bulkio.show_run("x", one_dsn)
    with pytest.raises(bulkio.LedgerError, match=r"the journal has no run 'order/x'; did you mean \"orders/x\""):
        bulkio.show_run("order/x", one_dsn)
    assert len(bulkio.list_runs(one_dsn, limit=2)) == 2


@each_driver
async def test_old_runs_are_forgotten(dsn: str, driver: str) -> None:
    """Those that ended, were missed or were lost before so many days, with their steps; marks stay."""
    assert bulkio.gc_runs(dsn, older_than="1d") == ()
    journal = await journal_of(dsn, driver=driver)
    for name in ("done", "new", "lost", "alive"):
        own = await journal.begin("orders", name, RunFacts())
        await own.propose("load", None, "1", "f")
        await own.end_step("load")
        if name in ("done", "new"):
            await own.finish("done")
    await journal.miss("orders", {"missed": TICK - timedelta(days=400)}, file="f")
    old = "now() - interval '25 h'"
    change(dsn, f"UPDATE bulkio_ledger.runs SET finished_at = {old} WHERE run = 'done'")
    change(dsn, f"UPDATE bulkio_ledger.runs SET lease_until = {old} WHERE run = 'lost'")
    gone = bulkio.gc_runs(dsn, older_than="1d", driver=driver)
    assert {record.run for record in gone} == {"done", "lost", "missed"}
    assert {record.run for record in bulkio.list_runs(dsn)} == {"new", "alive"}
    assert fetch(dsn, "SELECT DISTINCT run FROM bulkio_ledger.steps ORDER BY 1") == [("alive",), ("new",)]
    assert len(fetch(dsn, "SELECT * FROM bulkio_ledger.marks")) == 2


async def test_errors_are_cut_and_hold_no_password(one_dsn: str) -> None:
    """A user's own function may fail with a connection string in its words."""
    journal = await journal_of(one_dsn)
    own = await journal.begin("orders", "x", RunFacts())
    await own.end_step("python", state="failed", error="postgresql://ann:canary@db/x password=canary \0" + "x" * 9000)
    await own.finish("failed", "password='canary 2' " + "y" * 9000)
    record = bulkio.show_run("x", one_dsn)
    assert len(record.steps[0].error) == len(record.error) == 4000
    assert "canary" not in str(record)
    assert "postgresql://ann:…@db/x" in record.steps[0].error


@each_driver
async def test_two_runs_export_no_window_that_overlaps(dsn: str, driver: str) -> None:
    """Whoever comes second makes the first one's file, under its name; the mark never goes back."""
    journal = await journal_of(dsn, driver=driver)
    one, two = [await journal.begin("orders", run, RunFacts()) for run in ("1", "2")]
    assert await one.propose("publish", None, "5", "out/5")
    assert not await two.propose("publish", None, "6", "out/6")
    assert await two.propose("publish", None, "5", "out/5")
    await two.end_step("publish", mark="5")
    assert not await two.propose("publish", None, "6", "out/6")
    assert await two.propose("publish", "5", "6", "out/6")
    await one.end_step("publish", mark="5")
    assert await one.mark("publish") == Mark("5", "6", "out/6")
    await two.end_step("publish", mark="6")
    await one.end_step("publish", mark="5")
    assert await one.mark("publish") == Mark("6")


@each_driver
async def test_a_latin1_database(latin1_dsn: str, driver: str) -> None:
    """What it cannot hold is kept with escapes, and a step's item is found again."""
    journal = await journal_of(latin1_dsn, driver=driver)
    own = await journal.begin("orders", "x", RunFacts("/データ", params={"a": "デé"}))
    await own.start_step("load", "デ.csv", detail={"file": "デ"})
    await own.end_step("load", "デ.csv", "failed", error="デ")
    await own.propose("load", None, "1", "デ")
    assert (await own.mark("load")).pending_to == "デ"
    await own.finish("failed", "デ")
    record = bulkio.show_run("x", latin1_dsn, driver=driver)
    own = await journal.begin("orders", "x", RunFacts("/データ", params={"a": "デé"}))
    assert own.recorded("load", "デ.csv").error == "\\u30c7"
    assert (record.params, record.error) == ({"a": "\\u30c7\\xe9"}, "\\u30c7")


async def test_the_printed_grants_are_enough_and_needed(server: TestServer, dsn: str) -> None:
    """Without one of them, the error comes before the run begins, and names what prints them."""
    server.admin.execute("CREATE ROLE plain LOGIN PASSWORD 'x'")
    plain = f"postgresql://plain:x@{dsn.partition('@')[2]}"
    ddl = bulkio.ledger_ddl(role="plain")
    [grant] = [line.partition(": ")[2] for line in ddl.splitlines() if line.startswith("-- to run pipelines: ")]
    try:
        with connect(dsn) as conn:
            conn.execute(ddl)
            with pytest.raises(bulkio.LedgerError, match=r"an administrator can GRANT SELECT ON .*\"runs\", .*INSERT"):
                await journal_of(plain)
            conn.execute(grant)
            journal = await journal_of(plain)
            own = await journal.begin("orders", RUN, FACTS)
            await own.start_step("load")
            await own.propose("load", None, "1", "f")
            await own.end_step("load", mark="1")
            await own.finish("done")
            assert len(bulkio.list_runs(plain)) == 1
            await journal.miss("orders", {"a": TICK}, file="f")
            conn.execute("REVOKE UPDATE ON bulkio_ledger.marks FROM plain")
            lacking = r"kept in the ledger's schema, and the role may not: an administrator can GRANT UPDATE ON .*marks"
            with pytest.raises(bulkio.LedgerError, match=lacking):
                await journal_of(plain)
            conn.execute("DROP SCHEMA bulkio_ledger CASCADE")
    finally:
        server.admin.execute("DROP ROLE plain")


async def test_it_comes_beside_a_ledger_that_is_there(one_dsn: str) -> None:
    """In the same schema, or in another one; a table that is another one's is told."""
    change(one_dsn, bulkio.ledger_ddl())
    for table in ("runs", "steps", "marks"):
        change(one_dsn, f"DROP TABLE bulkio_ledger.{table}")
    await (await journal_of(one_dsn)).begin("orders", "x", RunFacts())
    other = await journal_of(one_dsn, ledger_schema="other")
    assert bulkio.list_runs(one_dsn, ledger_schema="other") == ()
    await other.begin("orders", "x", RunFacts())
    change(one_dsn, "DROP TABLE bulkio_ledger.steps; CREATE TABLE bulkio_ledger.steps (a int)")
    with pytest.raises(bulkio.LedgerError, match=r"bulkio_ledger\.steps is not a ledger of bulkio's: its column"):
        await journal_of(one_dsn)
