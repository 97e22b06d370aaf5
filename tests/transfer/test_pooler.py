"""Behind a real PgBouncer in transaction mode with one connection to the server: nothing of bulkio's needs a second."""

from __future__ import annotations

import asyncio
import datetime
import os
import shutil
import signal
import socket
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pyarrow as pa
import pytest
from joined_callers import KINDS

import bulkio
import bulkio.aio
from bulkio.options import LedgerRequest
from bulkio.server.account import own_account, service_account
from bulkio.server.postmaster import alive
from bulkio.transfer import monitor
from bulkio.transfer.journal import RunFacts, open_journal, run
from gaps import lacking
from servers import fetch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DRIVERS = ["asyncpg", "psycopg"]
ROWS = pa.table({"id": pa.array([1, 2], pa.int32()), "n": ["1.50", "2.00"], "m": ["sad", None]})
#: a second connection would wait this long for the first, and then fail
WAIT_S = 20

CONFIG = """
[databases]
* = host={host} port={port} user={user} password={password}
[pgbouncer]
listen_addr =
listen_port = 6432
unix_socket_dir = {folder}
unix_socket_mode = 0777
auth_type = any
pool_mode = transaction
default_pool_size = 1
query_wait_timeout = {wait_s}
"""


@pytest.fixture
def pooled(dsn: str) -> Iterator[str]:
    """Yield a DSN of a pool of one connection to a test's database."""
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        lacking("PgBouncer")
    facts = psycopg.conninfo.conninfo_to_dict(dsn)
    account = own_account() or service_account()
    assert account is not None
    folder = Path(tempfile.mkdtemp(prefix="bulkio-pool-", dir="/tmp"))
    try:
        config = folder / "pgbouncer.ini"
        config.write_text(CONFIG.format(**facts, folder=folder, wait_s=WAIT_S))
        log = folder / "log"
        log.touch()
        for path in (folder, config, log):
            account.give(path)
        done = account.run([program, str(config)], cwd=folder, log=log)
        assert done.returncode == 0, done.stderr
        pid = int(done.stdout)
        try:
            _wait_until(lambda: _listens(folder / ".s.PGSQL.6432"), log)
            yield psycopg.conninfo.make_conninfo(user="pooled", dbname=facts["dbname"], host=str(folder), port=6432)
        finally:
            os.kill(pid, signal.SIGTERM)
            _wait_until(lambda: not alive(pid), log)  # it removes its own files in the folder
    finally:
        shutil.rmtree(folder)


def _listens(path: Path) -> bool:
    """Tell whether somebody listens at a socket: its file is there a moment before."""
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(path)) == 0


def _wait_until(condition: Callable[[], bool], log: Path) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.01)


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_pool_of_one_connection(dsn: str, pooled: str, driver: str) -> None:
    """Loads with types, exports of queries, both methods of each; and no name of a statement is left behind."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("CREATE TYPE mood AS ENUM ('sad', 'glad'); CREATE SCHEMA s; CREATE TABLE s.here AS SELECT 1 AS a")
        conn.execute(f"ALTER DATABASE {conn.info.dbname} SET search_path = public, s")
    types = {"n": "numeric(9,2)", "m": "mood"}
    for method in ("binary", "csv", "records"):
        for _ in range(2):
            bulkio.load(ROWS, "t", pooled, driver=driver, method=method, types=types)
    query = "SELECT DISTINCT id, n, m FROM t WHERE id = $1"
    for method in ("binary", "cursor"):
        for _ in range(2):
            found = bulkio.read(query, pooled, driver=driver, method=method, params=["1"]).read_all()
            assert found.schema.field("n").type == pa.decimal128(9, 2)
            assert found.column("m").to_pylist() == ["sad"]
        assert bulkio.read("here", pooled, driver=driver, method=method).read_all().to_pylist() == [{"a": 1}]
    assert fetch(dsn, "SELECT count(*) FROM public.t") == [(12,)]


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_load_with_an_id_needs_one_connection(dsn: str, pooled: str, driver: str) -> None:
    """The ledger is made, the id locked and the retry answered on the one; no lock is left for the next client."""
    for load_id, already in (("x", False), ("x", True), ("y", False)):
        report = bulkio.load(ROWS, "t", pooled, driver=driver, load_id=load_id, source_version="1")
        assert report.already == already
    assert fetch(dsn, "SELECT count(*) FROM public.t") == [(4,)]
    assert fetch(dsn, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == [(0,)]


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_run_of_a_pipeline_holds_no_connection(
    dsn: str, pooled: str, driver: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its heartbeat, its steps and the load in them take turns on the one; no lock is left for the next client."""
    monkeypatch.setattr(run, "BEAT_S", 0.02)

    async def work() -> None:
        journal = await open_journal(LedgerRequest(pooled, driver=driver))
        tick = datetime.datetime.now(datetime.UTC)
        own = await journal.begin("p", "x", RunFacts(kind="tick", logical_date=tick))
        async with own.held():
            for number in range(3):
                await own.start_step("load", str(number))
                load_id = f"p/x/load/{number}"
                await bulkio.aio.load(ROWS, "t", pooled, driver=driver, load_id=load_id, source_version="1")
                await own.end_step("load", str(number), rows=2)
            await own.finish("done")

    asyncio.run(work())
    assert [step.rows for step in bulkio.show_run("p/x", dsn).steps] == [2, 2, 2]
    assert fetch(dsn, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == [(0,)]


@pytest.mark.parametrize("driver", DRIVERS)
def test_the_doctor_tells_of_it(dsn: str, pooled: str, driver: str) -> None:
    """The login is told of a process that the server does not have; without a pooler, of its own."""
    for address, level in ((pooled, "warn"), (dsn, "ok")):
        [found] = [each for each in bulkio.doctor(None, address, driver=driver).findings if each.check == "pooler"]
        assert found.level == level


@pytest.mark.parametrize("driver", DRIVERS)
def test_sessions_that_are_used_again(dsn: str, pooled: str, driver: str) -> None:
    """A pool on top of the pooler: its one connection serves each session's transactions, and nothing is left in it."""

    async def work() -> None:
        async with bulkio.aio.pooled(max_sessions=2), asyncio.TaskGroup() as group:
            for _ in range(4):
                load = bulkio.aio.load(ROWS, "t", pooled, driver=driver, after="SET work_mem = '77kB'")
                group.create_task(load)

    bulkio.load(ROWS, "t", pooled, driver=driver)
    asyncio.run(work())
    assert fetch(dsn, "SELECT count(*) FROM public.t") == [(10,)]
    assert fetch(pooled, "SELECT current_setting('work_mem')") != [("77kB",)]


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_load_that_waits_needs_one_connection(
    dsn: str, pooled: str, driver: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its monitor waits for a second one in the pool's queue until the load has ended, and nobody waits for it."""
    monkeypatch.setattr(monitor, "PATIENCE_S", 0.1)
    monkeypatch.setattr(monitor, "POLL_S", 0.05)
    with psycopg.connect(dsn) as holder:
        holder.execute("CREATE TABLE t (id int)")
        holder.commit()
        holder.execute("LOCK TABLE t")
        threading.Timer(1, holder.commit).start()
        started = time.monotonic()
        assert bulkio.load(ROWS.select(["id"]), "t", pooled, driver=driver).rows == 2
        assert time.monotonic() - started < WAIT_S / 4
    assert bulkio.load(ROWS.select(["id"]), "t", pooled, driver=driver).rows == 2


@pytest.mark.parametrize("kind", KINDS)
def test_a_load_that_joins_a_transaction_leaves_nothing_behind(dsn: str, pooled: str, kind: str) -> None:
    """Settings end with the caller's transaction, and no statement keeps a name, for whoever has the session next."""
    options = {} if kind == "asyncpg" else {"prepare_threshold": None}
    place = psycopg.conninfo.conninfo_to_dict(pooled)
    where = pooled if options else f"postgresql://pooled@/{place['dbname']}?host={place['host']}&port={place['port']}"
    caller = KINDS[kind](where, **(options or {"statement_cache_size": 0}))
    for end in (caller.roll_back, caller.commit):
        caller.begin()
        caller.load(ROWS, "t", mode="upsert", key=["id"])
        end()
        caller.begin()
        assert caller.fetch("SELECT count(*) FROM pg_prepared_statements WHERE name <> ''") == [(0,)]
        assert caller.fetch("SELECT current_setting('TimeZone'), current_setting('search_path')") == fetch(
            dsn, "SELECT current_setting('TimeZone'), current_setting('search_path')"
        )
        caller.roll_back()
    caller.close()
    assert fetch(dsn, "SELECT count(*) FROM t") == [(2,)]
