"""`aio.pooled`: the API's calls use sessions again, and mean what they mean without it."""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING

import psycopg
import pyarrow as pa
import pytest

import bulkio
from bulkio import aio
from bulkio.options import ConnectionRequest
from bulkio.transfer.session import open_pools, open_session

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bulkio.choices import DriverName
    from bulkio.drivers.pool import SessionPools

ROWS = [{"id": 1}, {"id": 2}]
#: statement that notes which process of the server has a load
NOTE = "INSERT INTO pids SELECT pg_backend_pid()"
MARK = "bulkio pooled test"


@pytest.fixture(params=["asyncpg", "psycopg"])
def driver(request: pytest.FixtureRequest) -> DriverName:
    """Each driver, with its own pool."""
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def db(one_dsn: str, connect: Callable[[str], psycopg.Connection]) -> psycopg.Connection:
    """Return a connection to the test's database, in which loads note their processes."""
    db = connect(one_dsn)
    db.execute("CREATE TABLE pids (pid int)")
    return db


@pytest.fixture
def dsn(one_dsn: str, db: psycopg.Connection) -> str:
    """Return the DSN of the test's sessions, of which none may be left."""
    return f"{one_dsn}&application_name={MARK.replace(' ', '%20')}"


def pids(db: psycopg.Connection) -> int:
    """Count the processes that loads have noted."""
    [(count,)] = db.execute("SELECT count(DISTINCT pid) FROM pids").fetchall()
    return int(count)


def wait_for_the_end(db: psycopg.Connection) -> None:
    """Wait until no session of the test's is left."""
    deadline = time.monotonic() + 30
    while db.execute("SELECT 1 FROM pg_stat_activity WHERE application_name = %s", (MARK,)).fetchall():
        assert time.monotonic() < deadline, "a session is left"
        time.sleep(0.01)


def test_calls_use_a_session_again(dsn: str, driver: DriverName, db: psycopg.Connection, tmp_path: Path) -> None:
    """Loads, exports, reads and questions to the ledger; what one sets does not hold for the next."""

    async def work() -> None:
        async with aio.pooled():
            for mode in ("create", "append", "replace", "truncate", "append"):
                after = [NOTE, "SET work_mem = '77kB'"]
                await aio.load(ROWS, "t", dsn, driver=driver, mode=mode, after=after)
            await aio.export("t", tmp_path / "t.parquet", dsn, driver=driver)
            await aio.export("t", tmp_path / "t.csv", dsn, driver=driver)
            async with aio.read("SELECT current_setting('work_mem') AS m", dsn, driver=driver) as stream:
                assert [batch.to_pylist() async for batch in stream] != [[{"m": "77kB"}]]
            await aio.load(ROWS, "t", dsn, driver=driver, load_id="one", source_version="1", after=NOTE)
            assert [record.load_id for record in await aio.list_loads(dsn, driver=driver)] == ["one"]

    asyncio.run(work())
    assert pids(db) == 1
    assert db.execute("SELECT count(*) FROM t").fetchall() == [(6,)]
    wait_for_the_end(db)


def test_what_shares_sessions(dsn: str, driver: DriverName, db: psycopg.Connection) -> None:
    """Calls with the same DSN, driver and password; outside of the block none."""
    other = "psycopg" if driver == "asyncpg" else "asyncpg"
    secret = psycopg.conninfo.conninfo_to_dict(dsn)["password"]

    async def load(dsn: str, **options: object) -> None:
        await aio.load(ROWS, "t", dsn, after=NOTE, **options)  # type: ignore[arg-type]

    async def work() -> None:
        async with aio.pooled():
            for _ in range(2):
                await load(dsn, driver=driver)
                await load(f"{dsn}&connect_timeout=9", driver=driver)
                await load(dsn, driver=other)
                await load(dsn, driver=driver, password=secret)
        await load(dsn, driver=driver)

    asyncio.run(work())
    assert pids(db) == 5


def test_a_block_in_a_block(dsn: str, db: psycopg.Connection) -> None:
    """It has sessions of its own; then the outer one's are used again."""

    async def work() -> None:
        async with aio.pooled():
            await aio.load(ROWS, "t", dsn, after=NOTE)
            async with aio.pooled():
                await aio.load(ROWS, "t", dsn, after=NOTE)
            await aio.load(ROWS, "t", dsn, after=NOTE)

    asyncio.run(work())
    assert pids(db) == 2


def test_more_calls_than_sessions(dsn: str, driver: DriverName, db: psycopg.Connection) -> None:
    """All run at once, and none waits for another: loads that need a second session, and more of them, too."""
    rows = pa.table({"id": range(5000)})

    async def work() -> None:
        async with aio.pooled(max_sessions=1), asyncio.timeout(60), asyncio.TaskGroup() as group:
            for number in range(4):
                table, options = f"t{number}", {"driver": driver, "load_id": f"load {number}", "source_version": "1"}
                group.create_task(aio.load(rows, table, dsn, **options))  # type: ignore[arg-type]
            chunked = {"commit": "chunk", "workers": 2, "load_id": "chunked", "driver": driver}
            group.create_task(aio.load(rows, "chunked", dsn, source_version="1", **chunked))  # type: ignore[arg-type]

    asyncio.run(work())
    assert db.execute("SELECT count(*) FROM t0, chunked WHERE t0.id = chunked.id").fetchall() == [(5000,)]
    wait_for_the_end(db)


def test_a_second_session_of_one_caller(dsn: str, driver: DriverName) -> None:
    """It is another one, although the pool has no more: nobody waits for himself."""
    request = ConnectionRequest(dsn, driver=driver)

    async def work() -> None:
        async with (
            aio.pooled(max_sessions=1),
            asyncio.timeout(30),
            open_session(dsn, request) as one,
            open_session(dsn, request) as two,
        ):
            assert await one.fetch("SELECT pg_backend_pid()") != await two.fetch("SELECT pg_backend_pid()")

    asyncio.run(work())


def test_a_fresh_session(dsn: str, driver: DriverName) -> None:
    """The judges of a lost COMMIT connect, whatever is idle: after a failover connections go elsewhere."""
    request = ConnectionRequest(dsn, driver=driver)

    async def pid(*, fresh: bool) -> object:
        async with open_session(dsn, request, fresh=fresh) as session:
            return await session.fetch("SELECT pg_backend_pid()")

    async def work() -> None:
        async with aio.pooled():
            idle = await pid(fresh=False)
            assert await pid(fresh=True) != idle
            assert await pid(fresh=False) == idle

    asyncio.run(work())


def test_a_cancelled_call_harms_no_other(dsn: str, driver: DriverName, db: psycopg.Connection) -> None:
    """Its session is closed, and its transaction rolled back."""

    async def work() -> None:
        async with aio.pooled(max_sessions=1):
            await aio.load(ROWS, "t", dsn, driver=driver, after=NOTE)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.5):
                    await aio.load(ROWS, "t", dsn, driver=driver, after="SELECT pg_sleep(30)")
            await aio.load(ROWS, "t", dsn, driver=driver, after=NOTE)
            async with aio.read("SELECT generate_series(1, 1000000)", dsn, driver=driver) as stream:
                await anext(aiter(stream))
            await aio.load(ROWS, "t", dsn, driver=driver, after=NOTE)

    asyncio.run(work())
    assert pids(db) == 3
    assert db.execute("SELECT count(*) FROM t").fetchall() == [(6,)]
    wait_for_the_end(db)


def test_a_failed_load_harms_no_other(dsn: str, driver: DriverName, db: psycopg.Connection) -> None:
    """A failed check rolls its load back, as ever."""

    async def work() -> None:
        async with aio.pooled():
            await aio.load(ROWS, "t", dsn, driver=driver)
            with pytest.raises(bulkio.CheckError):
                await aio.load(ROWS, "t", dsn, driver=driver, check="SELECT false")
            with pytest.raises(bulkio.SchemaError):
                await aio.load([{"other": 1}], "t", dsn, driver=driver)
            await aio.load(ROWS, "t", dsn, driver=driver)

    asyncio.run(work())
    assert db.execute("SELECT count(*) FROM t").fetchall() == [(4,)]


def test_what_a_block_starts_may_outlive_it(dsn: str, driver: DriverName, db: psycopg.Connection) -> None:
    """It ends well, and later calls of it connect as ever."""

    async def two_loads(begun: asyncio.Event) -> None:
        begun.set()
        await aio.load(ROWS, "t", dsn, driver=driver, after="SELECT pg_sleep(0.5)")
        await aio.load(ROWS, "t", dsn, driver=driver)

    async def work() -> None:
        begun = asyncio.Event()
        async with aio.pooled():
            task = asyncio.create_task(two_loads(begun))
            await begun.wait()
            await asyncio.sleep(0.2)
        await task

    asyncio.run(work())
    assert db.execute("SELECT count(*) FROM t").fetchall() == [(4,)]
    wait_for_the_end(db)


def test_sync_calls_connect_as_ever(dsn: str, driver: DriverName, db: psycopg.Connection) -> None:
    """They have an event loop of their own."""

    async def work() -> None:
        async with aio.pooled():
            await aio.load(ROWS, "t", dsn, driver=driver, after=NOTE)
            await asyncio.to_thread(bulkio.load, ROWS, "t", dsn, driver=driver, after=NOTE)
            bulkio.load(ROWS, "t", dsn, driver=driver, after=NOTE)

    asyncio.run(work())
    assert pids(db) == 3


def test_nothing_names_a_database() -> None:
    """That is the call's error, and the next one may name one."""

    async def work() -> None:
        async with aio.pooled():
            for _ in range(2):
                with pytest.raises(bulkio.ConfigError, match="no database is named"):
                    await aio.list_loads()

    asyncio.run(work())


def _in_a_fork(pools: SessionPools) -> None:
    """Borrow in a child process: it has a copy of the pools, and of an event loop."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            asyncio.events._set_running_loop(pools._home[1])
            pools.borrow("key", None).send(None)  # type: ignore[arg-type]
        except StopIteration as returned:
            code = 0 if returned.value is None else 2
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0


def test_a_forked_process_has_no_part_in_it(dsn: str, driver: DriverName) -> None:
    """Both would share a socket."""

    async def work() -> None:
        async with aio.pooled():
            await aio.list_loads(dsn, driver=driver)
            pools = open_pools.get()
            assert pools is not None
            await asyncio.to_thread(_in_a_fork, pools)
            await aio.list_loads(dsn, driver=driver)

    asyncio.run(work())


def test_an_error_of_the_block(dsn: str, db: psycopg.Connection) -> None:
    """It is raised as it is, and the sessions are closed."""

    async def work() -> None:
        async with aio.pooled():
            await aio.load(ROWS, "t", dsn)
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        asyncio.run(work())
    wait_for_the_end(db)
