"""Statements run all or none, and once under an id, whatever runs, dies or is lost meanwhile."""

from __future__ import annotations

import asyncio
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import bulkio
import bulkio.aio
from bulkio.transfer import monitor, retry, session
from lossy import LossyProxy
from servers import connect, fetch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servers import TestServer

DRIVERS = ["asyncpg", "psycopg"]


@pytest.fixture
def folder() -> Iterator[Path]:
    """Yield a short folder: a socket's path has 107 bytes at the most."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        yield Path(name)


def make(dsn: str, *statements: str) -> None:
    """Run statements in the test's database."""
    with connect(dsn) as conn:
        for statement in statements:
            conn.execute(statement)


def count(dsn: str, table: str = "t") -> int:
    return fetch(dsn, f"SELECT count(*) FROM {table}")[0][0]


@pytest.mark.parametrize("driver", DRIVERS)
def test_statements_run_in_their_order(dsn: str, driver: str) -> None:
    """Of one text or of several; the rows that they have changed are counted, those that they have read are not."""
    text = """
        create table t (a int); -- ;
        insert into t select generate_series(1, 10);
        create table u as table t;
        select * from t;
        update t set a = 0 where a > 7;
    """
    report = bulkio.execute([text, "delete from t where a = $1 or a = $2"], dsn, params=[0, 1], driver=driver)
    tags = ("CREATE TABLE", "INSERT 0 10", "SELECT 10", "SELECT 10", "UPDATE 3", "DELETE 4")
    assert (report.tags, report.rows, report.driver) == (tags, 27, driver)
    assert (report.once, report.already, report.seconds > 0) == (None, False, True)
    assert count(dsn) == 6


@pytest.mark.parametrize("driver", DRIVERS)
def test_all_or_none(dsn: str, driver: str) -> None:
    """An error undoes what came before it, and says which statement it is about."""
    with pytest.raises(bulkio.DriverError, match=r"^statement 2 \('select 1/0'\): division by zero") as caught:
        bulkio.execute("create table t (); select 1/0; create table u ()", dsn, driver=driver)
    assert caught.value.sqlstate == "22012"
    assert fetch(dsn, "SELECT to_regclass('t')") == [(None,)]


def test_the_user_s_own_search_path(dsn: str) -> None:
    """It is the one of the DSN or the role; what a statement sets holds for the next, and for COMMIT's triggers not."""
    make(dsn, "CREATE SCHEMA s", "CREATE SCHEMA r")
    bulkio.execute(
        "create table t (); set local search_path = r; create table u ()",
        f"{dsn}&options=-csearch_path%3Ds",
        once="x",
    )
    assert fetch(dsn, "SELECT to_regclass('s.t') IS NULL, to_regclass('r.u') IS NULL") == [(False, False)]


@pytest.mark.parametrize(
    ("text", "params", "words"),
    [
        ("", (), "there is no statement to run"),
        (" ; -- nothing", (), "there is no statement to run"),
        ("select 1; commit", (), r"statement 2 \('commit'\) runs in a transaction of bulkio's, and COMMIT would end"),
        ("copy t from stdin", (), "COPY between server and client is what loads and exports do"),
        ("select 1; select (", (), r"statement 2 \('select \('\): the statement leaves a bracket open"),
        ("select $1; select $2", ("a",), r"statement 2 \('select \$2'\): the statement uses \$2, but 1 parameters"),
        ("select $1; select 2", ("a", "b"), r"does not use \$2"),
    ],
)
def test_what_cannot_run_is_refused_before_anything(text: str, params: tuple[str, ...], words: str) -> None:
    """Without a server."""
    with pytest.raises(bulkio.ConfigError, match=words):
        bulkio.execute(text, "host=nowhere.invalid", params=params)


def test_what_cannot_run_in_a_transaction(dsn: str) -> None:
    """The server says so."""
    with pytest.raises(bulkio.DriverError, match=r"statement \('vacuum'\): VACUUM cannot run inside a transaction"):
        bulkio.execute("vacuum", dsn)


@pytest.mark.parametrize("driver", DRIVERS)
def test_once(dsn: str, driver: str) -> None:
    """A second run reports the first, and other statements or parameters under its id are an error."""
    make(dsn, "CREATE TABLE t (a int)")
    text = "insert into t select generate_series(1, $1)"
    first = bulkio.execute(text, dsn, params=[3], once="a/b", driver=driver)
    assert (first.rows, first.already, first.once) == (3, False, "a/b")
    second = bulkio.execute(text, dsn, params=[3], once="a/b", driver=driver)
    assert (second.rows, second.already, second.once, second.tags) == (3, True, "a/b", ())
    assert bulkio.execute(f"\n{text} ;", dsn, params=["3"], once="a/b").already  # what the server gets is the same
    with pytest.raises(bulkio.LoadDiffers, match=r"SQL 'a/b' is done, with other statements or parameters: for") as no:
        bulkio.execute(text, dsn, params=[4], once="a/b", driver=driver)
    assert (no.value.load_id, no.value.differences) == ("a/b", ("its statements",))
    assert count(dsn) == 3
    rows = fetch(dsn, "SELECT id, rows, length(digest), bulkio_version FROM bulkio_ledger.statements")
    assert rows == [("a/b", 3, 32, bulkio.__version__)]


def test_an_id_that_the_database_cannot_hold(latin1_dsn: str) -> None:
    """The server refuses it; one that it can hold is found again."""
    with pytest.raises(bulkio.DriverError, match="has no equivalent in encoding"):
        bulkio.execute("select 1", latin1_dsn, once="Ω")
    assert not bulkio.execute("select 'é'", latin1_dsn, once="é").already
    assert bulkio.execute("select 'é'", latin1_dsn, once="é").already


def test_a_failure_is_not_recorded(dsn: str) -> None:
    """What failed under an id may run again, with other statements too."""
    make(dsn, "CREATE TABLE t (a int)")
    with pytest.raises(bulkio.DriverError):
        bulkio.execute("insert into t values (1); select 1/0", dsn, once="x")
    assert bulkio.execute("insert into t values (1)", dsn, once="x").rows == 1
    assert count(dsn) == 1


@pytest.mark.parametrize("driver", DRIVERS)
def test_of_two_runs_one_does_it(dsn: str, driver: str) -> None:
    """The other one waits, and reports what was done."""
    make(dsn, "CREATE TABLE t (a int)")
    start = threading.Barrier(2)

    def run() -> bulkio.ExecuteReport:
        start.wait()
        return bulkio.execute("insert into t values (1); select pg_sleep(0.3)", dsn, once="x", driver=driver)

    with ThreadPoolExecutor(2) as pool:
        reports = [each.result() for each in [pool.submit(run), pool.submit(run)]]
    assert sorted(report.already for report in reports) == [False, True]
    assert [report.rows for report in reports] == [1, 1]
    assert count(dsn) == 1


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("retries", [0, 2])
def test_a_lost_reply_to_commit_is_found_out(dsn: str, folder: Path, driver: str, retries: int) -> None:
    """The row is there: it is done, and was not done before."""
    make(dsn, "CREATE TABLE t (a int)")
    bulkio.execute("select 1", dsn, once="makes the ledger")
    with LossyProxy(dsn, folder, "after the server has answered") as proxy:
        report = bulkio.execute("insert into t values (1)", proxy.dsn, once="x", driver=driver, retries=retries)
        assert proxy.has_lost
    assert (report.rows, report.already) == (1, False)
    assert bulkio.execute("insert into t values (1)", dsn, once="x").already
    assert count(dsn) == 1


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("once", ["x", None])
def test_a_commit_that_never_arrived_is_tried_again(
    dsn: str, folder: Path, driver: str, once: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server says that nothing was changed: an error, unless retries are asked for."""
    monkeypatch.setattr(retry, "FIRST_PAUSE_S", 0.01)
    make(dsn, "CREATE TABLE t (a int)")
    bulkio.execute("select 1", dsn, once="makes the ledger")
    for retries in (0, 1):
        with LossyProxy(dsn, folder, "before the server hears it") as proxy:
            if retries:
                assert not bulkio.execute(
                    "insert into t values (1)", proxy.dsn, once=once, driver=driver, retries=1
                ).already
            else:
                with pytest.raises(bulkio.ConnectError, match="nothing was changed") as caught:
                    bulkio.execute("insert into t values (1)", proxy.dsn, once=once, driver=driver)
                assert caught.value.retryable
            assert proxy.has_lost
    assert count(dsn) == 1


def test_an_unknown_outcome_is_known_with_an_id(dsn: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without one it may not be tried again; with one the same call is right."""
    monkeypatch.setattr(session, "OUTCOME_TIMEOUT_S", 0.3)
    make(dsn, "CREATE TABLE t (a int)")
    bulkio.execute("select 1", dsn, once="makes the ledger")
    for once in (None, "x"):
        with (
            LossyProxy(dsn, folder, "and the server is gone") as proxy,
            pytest.raises(bulkio.OutcomeUnknown) as caught,
        ):
            bulkio.execute("insert into t values (1)", proxy.dsn, once=once)
        assert caught.value.retryable == (once is not None)
        assert ("run it again with the same id" in str(caught.value)) == (once is not None)
    assert bulkio.execute("insert into t values (1)", dsn, once="x").already
    assert count(dsn) == 2


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_wait_is_told(
    dsn: str, driver: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """For whom it waits, as a load does."""
    monkeypatch.setattr(monitor, "PATIENCE_S", 0.2)
    monkeypatch.setattr(monitor, "POLL_S", 0.05)
    with connect(dsn) as conn, ThreadPoolExecutor(1) as pool:
        conn.execute("CREATE TABLE t (a int)")
        conn.execute("BEGIN; LOCK TABLE t")
        running = pool.submit(bulkio.execute, "delete from t", dsn, once="x", driver=driver)
        while not caplog.messages and not running.done():
            time.sleep(0.02)
        conn.execute("COMMIT")
        assert running.result().rows == 0
    assert caplog.messages[0].startswith("SQL 'x' has waited 0 s for a lock on table public.t, held by process ")


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_cancellation_rolls_back(dsn: str, driver: str) -> None:
    """The statement ends on the server, nothing is stored, and the id is free."""
    make(dsn, "CREATE TABLE t (a int)")
    text = "insert into t values (1); select pg_sleep(30)"

    async def run() -> None:
        async with asyncio.timeout(0.5):
            await bulkio.aio.execute(text, dsn, once="x", driver=driver)

    with pytest.raises(TimeoutError):
        asyncio.run(run())
    assert count(dsn) == 0
    assert fetch(dsn, "SELECT count(*) FROM bulkio_ledger.statements") == [(0,)]
    sleeping = "pid <> pg_backend_pid() AND query ~ 'pg_sleep.30' AND state = 'active'"
    assert fetch(dsn, f"SELECT count(*) FROM pg_stat_activity WHERE {sleeping}") == [(0,)]


def test_a_trigger_that_drops_the_row(dsn: str) -> None:
    """Then nothing may be done: nobody could tell afterwards that it was."""
    bulkio.execute("select 1", dsn, once="makes the ledger")
    make(
        dsn,
        "CREATE FUNCTION drops() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        "CREATE TRIGGER x BEFORE INSERT ON bulkio_ledger.statements FOR EACH ROW EXECUTE FUNCTION drops()",
    )
    with pytest.raises(bulkio.LedgerError, match="has not kept the row of SQL 'x', so nothing was done"):
        bulkio.execute("create table t ()", dsn, once="x")
    assert fetch(dsn, "SELECT to_regclass('t')") == [(None,)]


def test_an_older_ledger_gets_the_table(dsn: str) -> None:
    """It is made where it is missing; what ended long ago is forgotten."""
    bulkio.execute("select 1", dsn, once="a")
    make(dsn, "DROP TABLE bulkio_ledger.statements")
    assert bulkio.gc_loads(dsn, older_than="1d") == ()
    bulkio.execute("select 1", dsn, once="a")
    bulkio.execute("select 1", dsn, once="b")
    make(dsn, "UPDATE bulkio_ledger.statements SET finished_at = now() - interval '2 days' WHERE id = 'a'")
    bulkio.gc_loads(dsn, older_than="1d")
    assert fetch(dsn, "SELECT id FROM bulkio_ledger.statements") == [("b",)]


def test_a_role_that_may_not_use_the_ledger(server: TestServer, dsn: str) -> None:
    """It is told what prints the grants, which are enough."""
    server.admin.execute("CREATE ROLE plain LOGIN PASSWORD 'x'")
    as_plain = f"postgresql://plain:x@{dsn.partition('@')[2]}"
    try:
        with pytest.raises(bulkio.LedgerError, match="`bulkio loads ddl` prints what an administrator has to run"):
            bulkio.execute("select 1", as_plain, once="x")
        bulkio.execute("select 1", dsn, once="makes the ledger")
        with pytest.raises(bulkio.LedgerError, match="`bulkio loads ddl`"):
            bulkio.execute("select 1", as_plain, once="x")
        make(dsn, *(line.removeprefix("-- to run SQL once: ") for line in ddl_for("plain")))
        make(dsn, "REVOKE INSERT ON bulkio_ledger.statements FROM plain")
        lacks = r"SQL that runs once is recorded .* can GRANT INSERT ON .*statements"
        with pytest.raises(bulkio.LedgerError, match=lacks):  # before it, and not an hour later
            bulkio.execute("select 1/0", as_plain, once="x")
        make(dsn, "GRANT INSERT ON bulkio_ledger.statements TO plain")
        assert not bulkio.execute("select 1", as_plain, once="x").already
        assert bulkio.execute("select 1", as_plain, once="x").already
        make(dsn, "DROP OWNED BY plain")
    finally:
        server.admin.execute("DROP ROLE plain")


def ddl_for(role: str) -> list[str]:
    """Return the statements of the ledger's DDL, and the grants for SQL that runs once."""
    statements = bulkio.ledger_ddl(role=role).split(";")
    return [part.strip() for part in statements if "once" in part or ("-- " not in part and part.strip())]
