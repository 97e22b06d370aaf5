"""A caller's connection as a session: which can be joined, what each refusal says, and what may happen meanwhile."""

from __future__ import annotations

import asyncio
import gc
import signal
import threading
import time
import warnings
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import anyio
import asyncpg
import psycopg
import psycopg_pool
import pyarrow as pa
import pytest

import bulkio
from bulkio import ConfigError, aio
from bulkio.transfer import joined
from servers import connect, fetch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

ROWS = pa.table({"id": pa.array([1, 2], pa.int64())})

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def table(one_dsn: str) -> str:
    """Make a table, and return the DSN."""
    with connect(one_dsn) as conn:
        conn.execute("CREATE TABLE t (id int8)")
    return one_dsn


@pytest.fixture
async def conn(table: str) -> AsyncIterator[asyncpg.Connection]:
    """Connect with asyncpg."""
    made = await asyncpg.connect(table)
    yield made
    await made.close()


@pytest.fixture
async def psycopg_conn(table: str) -> AsyncIterator[psycopg.AsyncConnection]:
    """Connect with psycopg, on the event loop."""
    async with await psycopg.AsyncConnection.connect(table) as made:
        yield made


@pytest.fixture(params=["asyncpg", "psycopg"])
async def begun(request: pytest.FixtureRequest, table: str) -> AsyncIterator[Any]:
    """Connect with each driver on the event loop, and begin."""
    if request.param == "asyncpg":
        made = await asyncpg.connect(table)
    else:
        made = await psycopg.AsyncConnection.connect(table, autocommit=True)
    await made.execute("BEGIN")
    yield made
    await made.close()


async def value(conn: Any, query: str) -> object:
    """Return a query's one value, by either driver."""
    if isinstance(conn, asyncpg.Connection):
        return await conn.fetchval(query)
    return (await (await conn.execute(query)).fetchone())[0]


# --- what can be joined


@pytest.mark.parametrize("given", [1, "postgresql://", object(), psycopg, asyncpg.create_pool])
def test_what_is_not_a_connection(given: object) -> None:
    """It is named, with what it must be."""
    with pytest.raises(ConfigError, match=r"connection is a .*, and must be a psycopg.Connection, or in bulkio.aio a"):
        bulkio.load(ROWS, "t", connection=given)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"dsn": "postgresql://"}, "the connection leads to its server, and has logged in"),
        ({"driver": "psycopg"}, "own driver carries the rows"),
        ({"password": "secret"}, "has logged in already"),
        ({"method": "records"}, "what you have registered on it could change values"),
        ({"workers": 2}, "the load is a part of your transaction"),
        ({"workers": "auto"}, "the load is a part of your transaction"),
        ({"commit": "chunk"}, "which you commit"),
        ({"retries": 1}, "what comes next is for you to decide"),
        ({"retry_for": "10s"}, "what comes next is for you to decide"),
        ({"rejects": "bad.csv"}, "in a transaction of the load's own"),
    ],
)
def test_options_that_do_not_go_with_it(options: dict[str, object], why: str) -> None:
    """They are refused before anything is tried, by both functions that take them."""
    [name] = options
    for function in (bulkio.load, bulkio.plan_load):
        with pytest.raises(ConfigError, match=f"^{name} and connection cannot be had together.*{why}"):
            function(ROWS, "t", connection=object(), **options)


def test_the_connection_is_no_part_of_what_is_shown_or_recorded() -> None:
    """Not in the request's text, not in its comparison, and not among the options that the ledger keeps."""
    [option] = [each for each in bulkio.options_of("load") if each.name == "connection"]
    assert (option.option.is_flag, option.option.is_recorded) == (False, False)
    one, other = (bulkio.options.LoadRequest(ROWS, "t", connection=each) for each in (object(), object()))
    assert one == other
    assert "connection" not in repr(one)


@pytest.mark.parametrize("face", [bulkio.load, aio.load])
async def test_closed_connections(table: str, face: Callable[..., Any]) -> None:
    """A closed one is refused, whatever it was."""
    closed = psycopg.connect(table)
    closed.close()
    with pytest.raises(ConfigError, match="connection cannot be used: it is closed"):
        await result(face(ROWS, "t", connection=closed))


async def result(given: Any) -> Any:
    """Return what a call of either face gives."""
    return await given if asyncio.iscoroutine(given) else given


async def test_closed_connections_of_the_loop(conn: asyncpg.Connection, psycopg_conn: psycopg.AsyncConnection) -> None:
    """Those are refused, too."""
    await conn.close()
    await psycopg_conn.close()
    for closed in (conn, psycopg_conn):
        with pytest.raises(ConfigError, match="connection cannot be used: it is closed"):
            await aio.load(ROWS, "t", connection=closed)


async def test_there_must_be_a_transaction(table: str, conn: asyncpg.Connection) -> None:
    """In autocommit mode the message says how to begin one."""
    with pytest.raises(ConfigError, match=r"not in a transaction.*within `async with connection.transaction\(\):`"):
        await aio.load(ROWS, "t", connection=conn)
    async with await psycopg.AsyncConnection.connect(table, autocommit=True) as made:
        with pytest.raises(ConfigError, match=r"not in a transaction.*within `async with connection.transaction\(\):`"):
            await aio.load(ROWS, "t", connection=made)
    with psycopg.connect(table, autocommit=True) as sync:
        with pytest.raises(ConfigError, match=r"not in a transaction.*within `with connection.transaction\(\):`"):
            bulkio.load(ROWS, "t", connection=sync)
        assert sync.info.transaction_status == psycopg.pq.TransactionStatus.IDLE


def test_psycopg_begins_by_itself(table: str) -> None:
    """Where autocommit is off the load begins the transaction, as any statement does, and it stays open."""
    with psycopg.connect(table) as conn:
        bulkio.load(ROWS, "t", connection=conn)
        assert conn.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS
        conn.rollback()
        with pytest.raises(bulkio.SchemaError):
            bulkio.load(ROWS, "t", connection=conn, mode="create")
        assert conn.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS
        with conn.transaction():  # a savepoint, by now
            bulkio.load(ROWS, "t", connection=conn)
    assert fetch(table, "SELECT count(*) FROM t") == [(2,)]


async def test_a_failed_transaction(begun: Any) -> None:
    """It is to be rolled back first."""
    with suppress(psycopg.Error, asyncpg.PostgresError):
        await begun.execute("SELECT 1 / 0")
    with pytest.raises(ConfigError, match="its transaction has failed: roll that back first"):
        await aio.load(ROWS, "t", connection=begun)
    await begun.execute("ROLLBACK")


@pytest.mark.parametrize(
    ("level", "why"),
    [
        ("ISOLATION LEVEL REPEATABLE READ", "is REPEATABLE READ, and a load needs READ COMMITTED: what others store"),
        ("ISOLATION LEVEL SERIALIZABLE", "is SERIALIZABLE, and a load needs READ COMMITTED"),
        ("READ ONLY", "is READ ONLY, or its server is a standby"),
    ],
)
async def test_transactions_in_which_a_load_cannot_be_right(begun: Any, level: str, why: str) -> None:
    """The level is named, with the reason, and the transaction goes on."""
    await begun.execute("ROLLBACK")
    await begun.execute(f"BEGIN {level}")
    with pytest.raises(ConfigError, match=f"connection cannot be used: its transaction {why}"):
        await aio.load(ROWS, "t", connection=begun)
    assert await value(begun, "SELECT 1") == 1


async def test_read_uncommitted_is_read_committed(begun: Any) -> None:
    """The server takes it for that."""
    await begun.execute("ROLLBACK")
    await begun.execute("BEGIN ISOLATION LEVEL READ UNCOMMITTED")
    assert (await aio.load(ROWS, "t", connection=begun)).rows == 2


# --- what else uses it


async def test_a_busy_connection(conn: asyncpg.Connection, psycopg_conn: psycopg.AsyncConnection) -> None:
    """What runs a statement of another task is refused, and the statement runs on."""
    await conn.execute("BEGIN")
    for busy in (conn, psycopg_conn):
        task = asyncio.ensure_future(busy.execute("SELECT pg_sleep(0.2)"))
        await asyncio.sleep(0.05)
        with pytest.raises(ConfigError, match="connection cannot be used: something else is using it"):
            await aio.load(ROWS, "t", connection=busy)
        await task
        assert (await aio.load(ROWS, "t", connection=busy)).rows == 2


def test_a_copy_of_the_callers_goes_on(table: str) -> None:
    """Nor can a connection be joined that is in COPY, or in pipeline mode."""
    with psycopg.connect(table) as conn:
        with conn.cursor().copy("COPY t FROM STDIN") as copy:
            copy.write("7\n")
            with pytest.raises(ConfigError, match="something else is using it: a statement, a COPY"):
                bulkio.load(ROWS, "t", connection=conn)
        with conn.pipeline(), pytest.raises(ConfigError, match="it is in pipeline mode, in which COPY is not possible"):
            bulkio.load(ROWS, "t", connection=conn)
        assert bulkio.load(ROWS, "t", connection=conn).rows == 2
        assert conn.execute("SELECT count(*) FROM t").fetchone() == (3,)


def source_over(conn: psycopg.Connection) -> Iterator[pa.RecordBatch]:
    """Read the rows of a load over the load's own connection."""
    yield from ROWS.to_batches()
    conn.execute("SELECT 1")


def test_a_source_that_reads_over_it(table: str) -> None:
    """It cannot: it gets an error, where it would wait for ever, and the load is undone."""
    with psycopg.connect(table) as conn:
        with pytest.raises(psycopg.ProgrammingError, match="the connection is in use: bulkio loads over it"):
            bulkio.load(source_over(conn), "t", connection=conn)
        assert conn.execute("SELECT count(*) FROM t").fetchone() == (0,)


async def test_async_sources_that_read_over_it(begun: Any) -> None:
    """So do those of an event loop, with either driver."""

    async def batches() -> AsyncIterator[pa.RecordBatch]:
        for batch in ROWS.to_batches():
            yield batch
        await begun.execute("SELECT 1")

    with pytest.raises((psycopg.ProgrammingError, asyncpg.InterfaceError, bulkio.DriverError)):
        await aio.load(batches(), "t", connection=begun)
    assert await value(begun, "SELECT count(*) FROM t") == 0


def test_other_threads_are_kept_away(table: str) -> None:
    """A statement of another thread's would run within the load, under its settings."""
    seen = []

    def use() -> None:
        with pytest.raises(psycopg.ProgrammingError, match="the connection is in use") as refusal:
            conn.execute("SELECT 1")
        seen.append(refusal)

    def progress(_: object) -> None:
        thread = threading.Thread(target=use)
        thread.start()
        thread.join()

    with psycopg.connect(table) as conn:
        bulkio.load(ROWS, "t", connection=conn, progress=progress)
        assert seen
        assert conn.execute("SELECT count(*) FROM t").fetchone() == (2,)


async def test_other_tasks_are_kept_away(begun: Any) -> None:
    """A statement, or a load, of another task's would run within the load, under its settings, and go with it."""
    refusals = []

    async def batches() -> AsyncIterator[pa.RecordBatch]:
        with pytest.raises((psycopg.ProgrammingError, asyncpg.InterfaceError), match="bulkio loads over") as refusal:
            await begun.execute("INSERT INTO t VALUES (8)")
        with pytest.raises(ConfigError, match="something else is using it"):
            await aio.load(ROWS, "t", connection=begun)
        refusals.append(refusal)
        for batch in ROWS.to_batches():
            yield batch

    assert (await aio.load(batches(), "t", connection=begun)).rows == 2
    assert refusals
    await begun.execute("INSERT INTO t VALUES (9)")
    assert await value(begun, "SELECT count(*) FROM t") == 3


# --- loops, pools, and objects


async def test_each_connection_stays_on_its_loop(
    conn: asyncpg.Connection, psycopg_conn: psycopg.AsyncConnection
) -> None:
    """The sync face refuses them with what to use; so does another event loop."""
    await conn.execute("BEGIN")
    for mine in (conn, psycopg_conn):
        with pytest.raises(ConfigError, match=r"which belongs to an event loop: there, await bulkio.aio.load\(…\)"):
            bulkio.load(ROWS, "t", connection=mine)
    with pytest.raises(ConfigError, match="it belongs to another event loop: load in that one"):
        await asyncio.to_thread(asyncio.run, aio.load(ROWS, "t", connection=conn))


async def test_pools_of_asyncpg(table: str) -> None:
    """What a pool lends is unwrapped; what was given back is refused. It takes the connection back as it was."""
    async with asyncpg.create_pool(table, min_size=1, max_size=1) as pool:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            async with pool.acquire() as lent, lent.transaction():
                assert (await aio.load(ROWS, "t", connection=lent)).driver == "asyncpg"
            gc.collect()
            async with pool.acquire() as again:
                assert await again.fetchval("SELECT count(*) FROM t") == 2
        with pytest.raises(ConfigError, match="it was given back to its pool"):
            await aio.load(ROWS, "t", connection=lent)


async def test_pools_of_psycopg(table: str) -> None:
    """They lend plain connections."""
    with psycopg_pool.ConnectionPool(table, min_size=1, max_size=1) as pool:
        with pool.connection() as lent:
            bulkio.load(ROWS, "t", connection=lent)
        with pool.connection() as again:
            assert again.execute("SELECT count(*) FROM t").fetchone() == (2,)
    async with psycopg_pool.AsyncConnectionPool(table, min_size=1, max_size=1) as pool, pool.connection() as lent:
        await aio.load(ROWS, "t", connection=lent)


class Mine(asyncpg.Connection):
    """A class of the caller's own."""


class MineToo(psycopg.Connection[Any]):
    """Another."""


async def test_classes_of_the_callers_own(table: str) -> None:
    """They are connections, too; and asyncpg's is not closed by its second object, which goes."""
    conn = await asyncpg.connect(table, connection_class=Mine)
    async with conn.transaction():
        await aio.load(ROWS, "t", connection=conn)
        gc.collect()
        assert await conn.fetchval("SELECT count(*) FROM t") == 2
    await conn.close()
    with MineToo.connect(table) as sync:
        assert bulkio.load(ROWS, "t", connection=sync).rows == 2


# --- cancellation, and lost connections


async def slow() -> AsyncIterator[pa.RecordBatch]:
    """Yield rows, and never end."""
    while True:
        yield pa.record_batch({"id": pa.array(range(1000), pa.int64())})
        await asyncio.sleep(0.001)


@pytest.mark.parametrize("way", ["timeout", "anyio", "cancel"])
async def test_a_cancellation_leaves_the_transaction_as_it_was(begun: Any, way: str) -> None:
    """Whatever ends the load in the middle of COPY: the connection can be used, and committed."""
    await begun.execute("INSERT INTO t VALUES (7)")
    path = await value(begun, "SHOW search_path")
    if way == "timeout":
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await aio.load(slow(), "t", connection=begun)
    elif way == "anyio":
        with anyio.move_on_after(0.2) as scope:
            await aio.load(slow(), "t", connection=begun)
        assert scope.cancelled_caught
    else:
        task = asyncio.ensure_future(aio.load(slow(), "t", connection=begun))
        await asyncio.sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert await value(begun, "SHOW search_path") == path
    assert (await aio.load(ROWS, "t", connection=begun)).rows == 2
    await begun.execute("COMMIT")
    assert await value(begun, "SELECT count(*) FROM t") == 3


async def test_a_cancelled_wait_for_a_lock(begun: Any, table: str) -> None:
    """The statement is cancelled on the server, and the transaction goes on."""
    with connect(table) as other:
        other.execute("BEGIN; LOCK TABLE t")
        with anyio.move_on_after(0.2):
            await aio.load(ROWS, "t", connection=begun)
        other.execute("ROLLBACK")
    assert await value(begun, "SELECT count(*) FROM t") == 0


async def test_cancelled_at_any_moment_it_is_there_or_not(begun: Any) -> None:
    """A load that was cancelled has left nothing; one that gives its report has left all; and nobody's work is lost."""
    await begun.execute("INSERT INTO t VALUES (7)")
    settings = "SELECT string_agg(setting, ',' ORDER BY name) FROM pg_settings"
    before, stored = await value(begun, settings), 1
    for number in range(40):
        with anyio.move_on_after(number * 0.001) as scope:
            stored += (await aio.load(ROWS, "t", connection=begun, mode="append")).rows
        assert await value(begun, "SELECT count(*) FROM t") == stored, (number, scope.cancelled_caught)
        assert await value(begun, settings) == before
    await begun.execute("COMMIT")
    assert await value(begun, "SELECT count(*) FROM t") == stored


def test_ctrl_c_leaves_the_transaction_as_it_was(table: str) -> None:
    """An interrupt in the caller's thread ends the load in its own, and then the connection is the caller's again."""

    def batches() -> Iterator[pa.RecordBatch]:
        for _ in range(1000):
            yield pa.record_batch({"id": pa.array(range(1000), pa.int64())})
            time.sleep(0.001)

    caller, sent = threading.get_ident(), []

    def interrupt(_: object) -> None:
        if not sent:
            sent.append(signal.pthread_kill(caller, signal.SIGINT))

    with psycopg.connect(table) as conn:
        conn.execute("INSERT INTO t VALUES (7)")
        with pytest.raises(KeyboardInterrupt):
            bulkio.load(batches(), "t", connection=conn, progress=interrupt)
        assert bulkio.load(ROWS, "t", connection=conn).rows == 2
    assert fetch(table, "SELECT count(*) FROM t") == [(3,)]


async def test_a_lost_connection_is_told(begun: Any, table: str) -> None:
    """Whether the server ends it in the middle, or before."""
    pid = await value(begun, "SELECT pg_backend_pid()")
    task = asyncio.ensure_future(aio.load(slow(), "t", connection=begun))
    await asyncio.sleep(0.2)
    with connect(table) as other:
        other.execute("SELECT pg_terminate_backend(%s)", [pid])
    with pytest.raises(bulkio.ConnectError):
        await task
    with pytest.raises(ConfigError, match="it is closed"):
        await aio.load(ROWS, "t", connection=begun)
    assert fetch(table, "SELECT count(*) FROM t") == [(0,)]


async def test_what_cannot_be_undone_is_closed(begun: Any, table: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rather that than rows which the caller would commit without knowing."""
    monkeypatch.setattr(joined, "ROLLBACK_TIMEOUT_S", 0.3)
    monkeypatch.setattr(joined.savepoints, "take_back", lambda _: "SELECT 1 / 0")
    with pytest.raises(bulkio.CheckError):
        await aio.load(ROWS, "t", connection=begun, check="SELECT false")
    assert begun.is_closed() if isinstance(begun, asyncpg.Connection) else begun.closed
    assert fetch(table, "SELECT count(*) FROM t") == [(0,)]
