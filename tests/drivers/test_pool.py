"""Pooled sessions: what is lent again, what is closed instead, and that nobody waits or leaves anything behind."""

from __future__ import annotations

import asyncio
import itertools
import socket
import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from bulkio.drivers.conninfo import parse_conninfo
from bulkio.drivers.pool import LentSession, open_pool
from bulkio.errors import ConfigError, ConnectError, DriverError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from bulkio.choices import DriverName
    from bulkio.drivers.pool import SessionPool
    from bulkio.protocols import Session

PID = "SELECT pg_backend_pid()"
MARK = "bulkio pool test"


@pytest.fixture(params=["asyncpg", "psycopg"])
def driver(request: pytest.FixtureRequest) -> DriverName:
    """Each driver, with its own pool."""
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def db(one_dsn: str, connect: Callable[[str], psycopg.Connection]) -> psycopg.Connection:
    """Return a connection to the test's database."""
    return connect(one_dsn)


@pytest.fixture
def run(one_dsn: str, driver: DriverName, db: psycopg.Connection) -> Callable[..., Any]:
    """Return what runs a test with a pool of two, and then looks whether a session is left."""

    def call(test: Callable[[SessionPool], Awaitable[object]]) -> Any:
        async def with_pool() -> object:
            pool = await open_pool(parse_conninfo(f"{one_dsn}&application_name={MARK.replace(' ', '%20')}"), driver, 2)
            try:
                return await test(pool)
            finally:
                await pool.close()

        found = asyncio.run(with_pool())
        wait_for_sessions(db, 0)
        return found

    return call


def sessions(db: psycopg.Connection) -> int:
    """Count the sessions of the test."""
    [(count,)] = db.execute(f"SELECT count(*) FROM pg_stat_activity WHERE application_name = '{MARK}'").fetchall()
    return int(count)


def wait_for_sessions(db: psycopg.Connection, expected: int) -> None:
    """Wait until the server has so many: it takes a moment to notice that a client has left."""
    deadline = time.monotonic() + 30
    while sessions(db) != expected:
        assert time.monotonic() < deadline, f"{sessions(db)} sessions, not {expected}"
        time.sleep(0.01)


async def borrowed(pool: SessionPool) -> Session:
    """Borrow a session that is there."""
    session = await pool.borrow()
    assert session is not None
    return session


async def pid_of(session: Session) -> object:
    """Return the process that serves a session."""
    [(pid,)] = await session.fetch(PID)
    return pid


async def next_pid(pool: SessionPool) -> object:
    """Return the process of what is lent next."""
    session = await borrowed(pool)
    pid = await pid_of(session)
    await session.close()
    return pid


def test_a_session_is_lent_again(run: Callable[..., Any], driver: DriverName) -> None:
    """One that is given back, and no other; a second close does nothing."""

    async def test(pool: SessionPool) -> None:
        session = await borrowed(pool)
        assert (session.driver, session.closed, session.uses_tls) == (driver, False, False)
        assert session.server_encoding == "UTF8"
        assert session.server_version > 150000
        pid = await pid_of(session)
        await session.close()
        await session.close()
        assert session.closed
        assert await next_pid(pool) == pid
        one, two = await borrowed(pool), await borrowed(pool)
        assert await pid_of(one) == pid != await pid_of(two)
        await one.close()
        await two.close()

    run(test)


def test_a_session_that_was_given_back_is_closed(run: Callable[..., Any]) -> None:
    """To whoever had it: another may have it now."""

    async def test(pool: SessionPool) -> None:
        session = await borrowed(pool)
        await session.close()
        with pytest.raises(ConnectError, match="the session was closed: it is back in its pool"):
            await session.execute("SELECT 1")
        await session.cancel()
        with pytest.raises(ConnectError, match="back in its pool"):
            async for _ in session.cursor("SELECT 1", prefetch=1):
                pass

    run(test)


LEFTOVERS = {
    "setting": ("SET work_mem = '77kB'", "SELECT setting FROM pg_settings WHERE name = 'work_mem' AND setting = '77'"),
    "own setting": ("SET my.word = 'x'", "SELECT 1 WHERE current_setting('my.word', true) = 'x'"),
    "level": (
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
        "SELECT 1 WHERE current_setting('transaction_read_only') = 'on'",
    ),
    "role": ("SET ROLE pg_monitor", "SELECT 1 WHERE current_user = 'pg_monitor'"),
    "temporary table": ("CREATE TEMP TABLE left_over (a int)", "SELECT 1 WHERE to_regclass('left_over') IS NOT NULL"),
    "listen": ("LISTEN news", "SELECT pg_listening_channels()"),
    "lock": ("SELECT pg_advisory_lock(5)", "SELECT 1 FROM pg_locks WHERE locktype = 'advisory'"),
    "statement": ("PREPARE left_over AS SELECT 1", "SELECT 1 FROM pg_prepared_statements WHERE name = 'left_over'"),
    "cursor": (
        "DECLARE left_over CURSOR WITH HOLD FOR SELECT 1",
        "SELECT 1 FROM pg_cursors WHERE name = 'left_over'",
    ),
    "sequence": ("CREATE SEQUENCE s; SELECT nextval('s')", "SELECT 1 FROM pg_sequences WHERE sequencename = 'no'"),
}


@pytest.mark.parametrize("what", LEFTOVERS)
def test_nothing_is_left_of_who_had_it(run: Callable[..., Any], what: str) -> None:
    """Whatever outlives a transaction is gone before the session is idle."""
    leave, look = LEFTOVERS[what]

    async def test(pool: SessionPool) -> None:
        session = await borrowed(pool)
        pid = await pid_of(session)
        await session.execute(leave)
        await session.close()
        session = await borrowed(pool)
        assert await pid_of(session) == pid
        assert await session.fetch(look) == []
        await session.close()

    run(test)


def test_what_the_server_refuses_does_no_harm(run: Callable[..., Any]) -> None:
    """The session is lent again, if its transaction is over."""

    async def test(pool: SessionPool) -> None:
        session = await borrowed(pool)
        pid = await pid_of(session)
        with pytest.raises(DriverError, match="division by zero"):
            await session.fetch("SELECT 1/0")
        await session.close()
        assert await next_pid(pool) == pid

    run(test)


@pytest.mark.parametrize("fails", [False, True])
def test_an_open_transaction_is_not_lent(run: Callable[..., Any], db: psycopg.Connection, fails: bool) -> None:
    """The session is closed, and its transaction ends with it."""

    async def test(pool: SessionPool) -> None:
        session = await borrowed(pool)
        pid = await pid_of(session)
        await session.execute("BEGIN; CREATE TABLE never (a int)")
        if fails:
            with pytest.raises(DriverError):
                await session.fetch("SELECT 1/0")
        await session.close()
        assert await next_pid(pool) != pid

    run(test)
    assert db.execute("SELECT to_regclass('never')").fetchone() == (None,)


def test_a_session_that_was_cancelled_is_not_lent(run: Callable[..., Any]) -> None:
    """Nobody knows what the cancellation meets."""

    async def test(pool: SessionPool) -> None:
        session = await borrowed(pool)
        pid = await pid_of(session)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await session.execute("SELECT pg_sleep(30)")
        await session.close()
        assert await next_pid(pool) != pid

    run(test)


def test_an_asked_for_cancellation_ends_it_too(run: Callable[..., Any]) -> None:
    """Its request may come late, and meet the next statement."""

    async def test(pool: SessionPool) -> None:
        session = await borrowed(pool)
        pid = await pid_of(session)
        await session.cancel()
        await session.close()
        assert await next_pid(pool) != pid

    run(test)


def test_a_cursor_that_is_left_early(run: Callable[..., Any]) -> None:
    """Its session is not lent again."""

    async def test(pool: SessionPool) -> None:
        session = await borrowed(pool)
        pid = await pid_of(session)
        await session.execute("BEGIN")
        cursor = session.cursor("SELECT generate_series(1, 9)", prefetch=2)
        assert await anext(cursor) == [(1,), (2,)]
        await cursor.aclose()  # type: ignore[attr-defined]
        await session.execute("ROLLBACK")
        await session.close()
        assert await next_pid(pool) != pid

    run(test)


def test_an_idle_session_that_was_ended_is_replaced(run: Callable[..., Any], db: psycopg.Connection) -> None:
    """By the server, an administrator, a firewall: nobody hears of it."""

    async def test(pool: SessionPool) -> None:
        both = [await borrowed(pool), await borrowed(pool)]
        pids = {await pid_of(session) for session in both}
        for session in both:
            await session.close()
        for pid in pids:
            db.execute(f"SELECT pg_terminate_backend({pid}, 5000)")
        assert await next_pid(pool) not in pids

    run(test)


def test_nobody_waits(run: Callable[..., Any]) -> None:
    """Where all are out there is none to lend, until one is back."""

    async def test(pool: SessionPool) -> None:
        one, two = await asyncio.gather(borrowed(pool), borrowed(pool))
        assert await pool.borrow() is None
        await one.close()
        await (await borrowed(pool)).close()
        await two.close()

    run(test)


def test_what_is_out_when_the_pool_closes(one_dsn: str, driver: DriverName, db: psycopg.Connection) -> None:
    """It can be used to its end; then it is closed, and the pool with it."""

    async def test() -> None:
        info = parse_conninfo(f"{one_dsn}&application_name={MARK.replace(' ', '%20')}")
        pool = await open_pool(info, driver, 2)
        await next_pid(pool)
        session = await borrowed(pool)
        await pool.close()
        assert await pool.borrow() is None
        assert await session.fetch("SELECT 1") == [(1,)]
        await session.close()

    asyncio.run(test())
    wait_for_sessions(db, 0)


def test_why_there_is_no_connection(one_dsn: str, driver: DriverName) -> None:
    """The error is the one of any connection, at once, and the next one may be better; one password is asked for."""
    passwords = iter(["wrong", "wrong again"])
    asked = []

    def password() -> str:
        asked.append(next(passwords, str(psycopg.conninfo.conninfo_to_dict(one_dsn)["password"])))
        return asked[-1]

    async def test() -> None:
        pool = await open_pool(parse_conninfo(one_dsn, password=password), driver, 1)
        for _ in range(2):
            with pytest.raises(ConnectError, match="password authentication failed"):
                await pool.borrow()
        await next_pid(pool)
        await pool.close()

    started = time.monotonic()
    asyncio.run(test())
    assert time.monotonic() - started < 5
    assert len(asked) == 3


def test_a_cancelled_borrower_leaves_room(run: Callable[..., Any]) -> None:
    """However far it had come."""

    async def test(pool: SessionPool) -> None:
        for delay_ms in (0, 1, 2, 5, 10, 20):
            tasks = [asyncio.create_task(pool.borrow()) for _ in range(2)]
            await asyncio.sleep(delay_ms / 1000)
            for task in tasks:
                task.cancel()
            for done in await asyncio.gather(*tasks, return_exceptions=True):
                if not isinstance(done, BaseException):
                    assert done is not None
                    await done.close()
        one, two = await borrowed(pool), await borrowed(pool)
        await one.close()
        await two.close()

    run(test)


def test_a_parameter_that_the_driver_cannot_honour(one_dsn: str) -> None:
    """It is told when somebody connects."""

    async def test() -> None:
        pool = await open_pool(parse_conninfo(f"{one_dsn}&channel_binding=require"), "asyncpg", 1)
        try:
            with pytest.raises(ConfigError, match="asyncpg cannot honour channel_binding"):
                await pool.borrow()
        finally:
            await pool.close()

    asyncio.run(test())


def test_the_end_when_the_server_has_ended_all(run: Callable[..., Any], db: psycopg.Connection) -> None:
    """Idle sessions that are lost are no reason for an error, nor is one that is out."""

    async def test(pool: SessionPool) -> None:
        one, two = await borrowed(pool), await borrowed(pool)
        await one.close()
        db.execute(f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = '{MARK}'")
        await pool.close()
        await two.close()

    run(test)


def test_one_that_fails_hinders_no_other(one_dsn: str, driver: DriverName) -> None:
    """Of several who connect at once each gets a session, or the reason; and nobody waits for ever."""
    secret = str(psycopg.conninfo.conninfo_to_dict(one_dsn)["password"])
    asked = itertools.count()

    async def test() -> None:
        info = parse_conninfo(one_dsn, password=lambda: "wrong" if next(asked) % 2 else secret)
        pool = await open_pool(info, driver, 4)
        for _ in range(5):
            async with asyncio.timeout(30):
                done = await asyncio.gather(*(pool.borrow() for _ in range(4)), return_exceptions=True)
            assert {type(each) for each in done} <= {ConnectError, LentSession}
            for each in done:
                if isinstance(each, LentSession):
                    await each.cancel()  # so that the next ones connect again
                    await each.close()
        await pool.close()

    asyncio.run(test())


def test_a_server_that_says_nothing(driver: DriverName) -> None:
    """Who waits for it can be cancelled, and the pool be closed, at once."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        info = parse_conninfo(f"host=127.0.0.1 port={silent.getsockname()[1]} user=u dbname=d sslmode=disable")

        async def test() -> None:
            pool = await open_pool(info, driver, 1)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await pool.borrow()
            await pool.close()

        started = time.monotonic()
        asyncio.run(test())
        assert time.monotonic() - started < 4
