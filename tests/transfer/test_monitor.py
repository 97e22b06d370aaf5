"""A load that waits says for whom, and one whose workers wait for each other ends; on real servers."""

from __future__ import annotations

import asyncio
import logging
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import bulkio
from bulkio.options import LoadRequest
from bulkio.sql.ledger import lock_load
from bulkio.transfer import monitor, replacing
from bulkio.transfer.monitor import watching
from bulkio.transfer.session import open_session, transaction
from servers import connect, fetch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from bulkio.protocols import Session
    from servers import TestServer

ROWS = pa.table({"id": [1, 2, 3]})
each_driver = pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])


@pytest.fixture(autouse=True)
def _short_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitor, "PATIENCE_S", 0.4)
    monkeypatch.setattr(monitor, "POLL_S", 0.05)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Return the list of the sessions that monitors open."""
    sessions: list[object] = []

    def noting(*args: object) -> object:
        sessions.append(args)
        return open_session(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(monitor, "open_session", noting)
    return sessions


@pytest.fixture
def table(dsn: str) -> str:
    """Return a database with the empty table t."""
    with connect(dsn) as conn:
        conn.execute("CREATE TABLE t (id bigint PRIMARY KEY)")
    return dsn


class Loading:
    """A load in a thread of its own, and what it tells meanwhile."""

    def __init__(self, caplog: pytest.LogCaptureFixture, *args: object, **options: object) -> None:
        self._caplog = caplog
        self.report: bulkio.LoadReport | None = None
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(args, options))
        self._thread.start()

    def _run(self, args: tuple[object, ...], options: dict[str, object]) -> None:
        try:
            self.report = bulkio.load(*args, **options)
        except BaseException as error:  # the test looks at it
            self.error = error

    @property
    def told(self) -> list[str]:
        """What was told until now."""
        return [record.getMessage() for record in self._caplog.records if record.name == "bulkio"]

    def until_told(self) -> str:
        """Return what is told first."""
        eventually(lambda: self.told)
        return self.told[0]

    def end(self) -> bulkio.LoadReport:
        """Wait for the end; return the report."""
        self._thread.join(60)
        assert self.error is None
        assert self.report is not None
        return self.report


def eventually(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it never became true"
        time.sleep(0.01)


@contextmanager
def holding(dsn: str, *statements: str, name: str = "night job") -> Iterator[int]:
    """Yield the process of a transaction that has run these statements, and is rolled back at the end."""
    with connect(dsn) as conn:
        conn.execute("SELECT set_config('application_name', %s, false)", [name])
        conn.execute("BEGIN")
        for statement in statements:
            conn.execute(statement)
        yield conn.info.backend_pid
        conn.execute("ROLLBACK")


@contextmanager
def role(server: TestServer, table: str, options: str = "") -> Iterator[str]:
    """Yield the DSN of a role that may load into t, and nothing else."""
    server.admin.execute(f"CREATE ROLE plain LOGIN PASSWORD 'x' {options}")
    try:
        with connect(table) as conn:
            conn.execute("GRANT INSERT ON t TO plain")
        yield f"postgresql://plain:x@{table.partition('@')[2]}"
        with connect(table) as conn:
            conn.execute("DROP OWNED BY plain")
    finally:
        server.admin.execute("DROP ROLE plain")


# --- what is told ---------------------------------------------------------------------------------------------


@each_driver
def test_a_load_that_waits_says_once_for_whom(
    table: str, driver: str, caplog: pytest.LogCaptureFixture, opened: list[object]
) -> None:
    """The process, its role, its application, since when it does what: all that the role may see, on one line."""
    with holding(table, "LOCK TABLE t\n-- of mine") as holder:
        loading = Loading(caplog, ROWS, "t", table, driver=driver)
        told = loading.until_told()
        time.sleep(0.5)
    assert re.fullmatch(
        rf"the load has waited \d s for a lock on table public\.t, held by process {holder}"
        r" \(role bulkio, application night job, idle in transaction for \d s: LOCK TABLE t -- of mine\)",
        told,
    )
    assert loading.end().rows == 3
    assert loading.told == [told]
    assert len(opened) == 1


def test_a_load_that_waits_for_a_row_says_so(table: str, caplog: pytest.LogCaptureFixture) -> None:
    """A key that another transaction has inserted is waited for as well."""
    with holding(table, "INSERT INTO t VALUES (2)", name="") as holder:
        loading = Loading(caplog, ROWS, "t", table)
        told = loading.until_told()
    assert f"for a lock on a row or a key, held by process {holder} (role bulkio, idle in" in told
    assert loading.end().rows == 3


@each_driver
def test_a_prepared_transaction_is_told_by_its_name(table: str, driver: str, caplog: pytest.LogCaptureFixture) -> None:
    """It has no process; whoever holds another lock on the table is not taken for it."""
    with connect(table) as conn:
        conn.execute("BEGIN; LOCK TABLE t IN ROW SHARE MODE; PREPARE TRANSACTION 'harmless'")
        conn.execute(
            "BEGIN; LOCK TABLE t IN SHARE MODE; LOCK TABLE t IN SHARE ROW EXCLUSIVE MODE;"
            " PREPARE TRANSACTION 'left\\x07over'"
        )
        try:
            loading = Loading(caplog, ROWS, "t", table, driver=driver)
            told = loading.until_told()
        finally:
            for gid in ("harmless", "left\\x07over"):
                conn.execute(f"ROLLBACK PREPARED '{gid}'")
    assert re.fullmatch(
        r"the load has waited \d s for a lock on table public\.t, held by prepared transaction left\\x07over \(role"
        r" bulkio, prepared \d s ago, COMMIT PREPARED or ROLLBACK PREPARED ends it\)",
        told,
    )
    assert loading.end().rows == 3


def test_foreign_text_moves_no_cursor(table: str, caplog: pytest.LogCaptureFixture) -> None:
    """A query may contain anything; what is long is cut."""
    with holding(table, "LOCK TABLE t", "SELECT '\x1b[2J'" + " || 'x'" * 100):
        loading = Loading(caplog, ROWS, "t", table)
        told = loading.until_told()
    assert "SELECT '\\x1b[2J' || 'x' || 'x'" in told
    assert told.endswith("…)")
    assert loading.end().rows == 3


@each_driver
def test_a_role_that_may_not_see_a_query_is_told_whose_it_is(
    server: TestServer, table: str, driver: str, caplog: pytest.LogCaptureFixture
) -> None:
    """pg_stat_activity shows role and application of others, and hides the rest."""
    with role(server, table) as dsn:
        with holding(table, "LOCK TABLE t") as holder:
            loading = Loading(caplog, ROWS, "t", dsn, driver=driver)
            told = loading.until_told()
        assert loading.end().rows == 3
    assert told.endswith(
        f"held by process {holder} (role bulkio, application night job, what it does is shown to"
        " members of pg_read_all_stats only)"
    )


def test_whoever_waits_ahead_is_told_with_what_it_waits_for(table: str, caplog: pytest.LogCaptureFixture) -> None:
    """An ALTER TABLE that waits for a reader lets nobody pass: the reader is the cause."""
    with connect(table) as ahead, holding(table, "SELECT FROM t", name="reader") as reader:
        pid = ahead.info.backend_pid
        alter = threading.Thread(target=ahead.execute, args=["ALTER TABLE t ADD b text"])
        alter.start()
        eventually(lambda: fetch(table, "SELECT FROM pg_locks WHERE relation = 't'::regclass AND NOT granted"))
        loading = Loading(caplog, ROWS, "t", table)
        told = loading.until_told()
    alter.join()
    assert re.search(
        rf"on table public\.t, behind process {pid} \(role bulkio, active for \d s: ALTER TABLE t ADD b text\),"
        rf" which waits for a lock on table public\.t, held by process {reader} \(role",
        told,
    )
    assert loading.end().rows == 3


def test_many_holders_are_counted(table: str, caplog: pytest.LogCaptureFixture) -> None:
    """Three are described."""
    readers = [connect(table) for _ in range(5)]
    for reader in readers:
        reader.execute("BEGIN; SELECT FROM t")
    loading = Loading(caplog, ROWS, "t", table, mode="truncate")
    told = loading.until_told()
    for reader in readers:
        reader.close()
    assert told.count("held by process") == 3
    assert told.endswith(", and 2 more")
    assert loading.end().rows == 3


def test_a_swap_that_waits_in_short_tries_says_for_whom(
    table: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None of its waits is long, and yet it waits."""
    monkeypatch.setattr(replacing, "TRY_S", 0.2)
    with holding(table, "SELECT FROM t") as reader:
        loading = Loading(caplog, ROWS, "t", table, mode="replace")
        assert f"public.t, held by process {reader} " in loading.until_told()
    assert loading.end().rows == 3


def test_a_wait_for_another_load_is_told(table: str, caplog: pytest.LogCaptureFixture) -> None:
    """Of two loads with one id, the second waits for an advisory lock."""
    with holding(table, "LOCK TABLE t") as holder:
        first = Loading(caplog, ROWS, "t", table, load_id="x", source_version="1")
        assert f"public.t, held by process {holder}" in first.until_told()
        second = Loading(caplog, ROWS, "t", table, load_id="x", source_version="1", wait=True)
        eventually(lambda: len(first.told) == 2)
        assert "for an advisory lock, held by process" in first.told[1]
        assert f"which waits for a lock on table public.t, held by process {holder}" in first.told[1]
    assert (first.end().already, second.end().already) == (False, True)


# --- what it costs --------------------------------------------------------------------------------------------


@each_driver
def test_a_load_whose_rows_travel_opens_no_second_session(table: str, driver: str, opened: list[object]) -> None:
    """However long it takes."""

    def batches() -> Iterator[pa.RecordBatch]:
        for i in range(20):
            time.sleep(0.05)
            yield from pa.table({"id": range(i * 100_000, (i + 1) * 100_000)}).to_batches()

    started = time.monotonic()
    source = pa.RecordBatchReader.from_batches(ROWS.schema, batches())
    assert bulkio.load(source, "t", table, driver=driver).rows == 2_000_000
    assert time.monotonic() - started > 2 * monitor.PATIENCE_S
    assert opened == []


def test_a_short_load_opens_no_second_session(table: str, opened: list[object]) -> None:
    """Nor does one that waits for less than that."""
    with connect(table) as holder:
        holder.execute("BEGIN; LOCK TABLE t")
        threading.Timer(0.1, holder.execute, ["COMMIT"]).start()
        assert bulkio.load(ROWS, "t", table).rows == 3
    assert opened == []


@each_driver
def test_a_session_that_is_refused_harms_nothing(
    server: TestServer, table: str, driver: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A role of one connection has its load; why nobody looks is told to whoever debugs."""
    caplog.set_level(logging.DEBUG, logger="bulkio")
    with role(server, table, "CONNECTION LIMIT 1") as dsn:
        with holding(table, "LOCK TABLE t"):
            loading = Loading(caplog, ROWS, "t", dsn, driver=driver)
            told = loading.until_told()
            time.sleep(0.2)
        assert loading.end().rows == 3
    assert loading.told == [told]
    assert re.match(r"nobody looks any more for whom the load waits \(.*too many connections for role", told)
    assert [record.levelno for record in caplog.records if record.name == "bulkio"] == [logging.DEBUG]


def test_a_question_that_is_refused_harms_nothing(
    server: TestServer, table: str, caplog: pytest.LogCaptureFixture
) -> None:
    """An administrator may hide the locks."""
    caplog.set_level(logging.DEBUG, logger="bulkio")
    with connect(table) as conn:
        conn.execute("REVOKE SELECT ON pg_locks FROM public")
    with role(server, table) as dsn:
        with holding(table, "LOCK TABLE t"):
            loading = Loading(caplog, ROWS, "t", dsn)
            assert "permission denied for view pg_locks" in loading.until_told()
        assert loading.end().rows == 3


# --- workers that wait for each other -------------------------------------------------------------------------


@contextmanager
def ends_within(seconds: float) -> Iterator[None]:
    started = time.monotonic()
    yield
    assert time.monotonic() - started < seconds


async def insert(session: Session, key: int) -> None:
    await session.execute(f"INSERT INTO public.t VALUES ({key})")


async def two_workers(request: LoadRequest, *, holds_to_end: bool, then: Callable[[Session], object]) -> None:
    """Let a second worker insert the row of a first one, which is idle; `then` gets the first one's session."""
    async with (
        watching(request) as load,
        open_session(request.dsn, request) as one,
        open_session(request.dsn, request) as two,
        transaction(one, read_only=False) as first,
        transaction(two, read_only=False) as second,
    ):
        with (
            load.watch(first.pid, "worker 1", holds_to_end=holds_to_end),
            load.watch(second.pid, "worker 2", holds_to_end=holds_to_end),
        ):
            await insert(one, 1)
            then(one)
            await insert(two, 1)


@each_driver
def test_workers_that_wait_for_each_other_for_ever_end_the_load(table: str, driver: str) -> None:
    """The first one's transaction ends only after the second's work: the server sees no deadlock in that."""
    request = LoadRequest(ROWS, "t", table, driver=driver)
    words = (
        r"worker 2 \(process \d+\) waits for a lock on a row or a key, held until the whole load ends by worker 1 of"
        r" this load, process \d+ \(idle in transaction for \d s: INSERT INTO public.t VALUES \(1\)\): neither would"
        r" ever end. Rows of two chunks have the same key, .*: load with one worker \(workers=1\)"
    )
    with ends_within(20), pytest.raises(bulkio.DriverError, match=words) as caught:
        asyncio.run(two_workers(request, holds_to_end=True, then=lambda _: None))
    assert not caught.value.retryable
    assert caught.value.__suppress_context__
    assert fetch(table, "SELECT id FROM t") == []


@each_driver
def test_a_worker_behind_somebody_who_waits_for_a_sibling_ends_the_load(table: str, driver: str) -> None:
    """An ALTER TABLE between two workers: it waits for the first, and the second waits for it."""
    request = LoadRequest(ROWS, "t", table, driver=driver)
    done = threading.Event()

    def alter(_: object) -> None:
        threading.Thread(target=alter_table, args=(table, done)).start()
        time.sleep(0.3)

    words = (
        r"worker 2 \(process \d+\) waits behind process \d+, which waits for a lock on table public.t, held until the"
        r" whole load ends by worker 1 of this load, .*: none of them would ever end. Load again, or with one worker"
    )
    with ends_within(20), pytest.raises(bulkio.DriverError, match=words) as caught:
        asyncio.run(two_workers(request, holds_to_end=True, then=alter))
    assert caught.value.retryable
    assert done.wait(10)


def alter_table(dsn: str, done: threading.Event) -> None:
    with connect(dsn) as conn:
        conn.execute("ALTER TABLE t ADD x int")
    done.set()


@each_driver
def test_a_worker_that_commits_by_itself_is_waited_for(
    table: str, driver: str, caplog: pytest.LogCaptureFixture
) -> None:
    """However long it takes; it is told."""
    request = LoadRequest(ROWS, "t", table, driver=driver)
    rollbacks: list[asyncio.Task[object]] = []

    async def end_later(session: Session) -> None:
        await asyncio.sleep(1.5)
        await session.execute("ROLLBACK")

    def then(session: Session) -> None:
        rollbacks.append(asyncio.ensure_future(end_later(session)))

    asyncio.run(two_workers(request, holds_to_end=False, then=then))
    [told] = [record.getMessage() for record in caplog.records if record.name == "bulkio"]
    assert re.fullmatch(
        r"worker 2 has waited \d s for a lock on a row or a key, held by worker 1 of this load, process \d+ \(idle in"
        r" transaction for \d s: INSERT INTO public.t VALUES \(1\)\)",
        told,
    )


@each_driver
@pytest.mark.parametrize("own", ["bulkio:1:", "bulkio:2:", None])
def test_a_worker_that_waits_for_what_its_load_has_prepared_ends_the_load(
    table: str, driver: str, own: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """It would be committed only after all workers; that of another load is waited for."""
    request = LoadRequest(ROWS, "t", table, driver=driver)

    async def work() -> None:
        async with (
            watching(request) as load,
            open_session(request.dsn, request) as session,
            transaction(session, read_only=False) as begun,
        ):
            load.own_gids = own
            with load.watch(begun.pid, "worker 2", holds_to_end=True):
                await insert(session, 1)

    with connect(table) as conn:
        conn.execute("BEGIN; INSERT INTO t VALUES (1); PREPARE TRANSACTION 'bulkio:1:1'")
        end = threading.Timer(2 if own != "bulkio:1:" else 30, conn.execute, ["ROLLBACK PREPARED 'bulkio:1:1'"])
        end.start()
        if own == "bulkio:1:":
            words = r"worker 2 .* held until the whole load ends by prepared transaction bulkio:1:1 \(role bulkio, prep"
            with ends_within(20), pytest.raises(bulkio.DriverError, match=words):
                asyncio.run(work())
            end.cancel()
            conn.execute("ROLLBACK PREPARED 'bulkio:1:1'")
        else:
            asyncio.run(work())
            end.join()
            assert "prepared transaction bulkio:1:1 (role bulkio" in caplog.text


@each_driver
@pytest.mark.parametrize("deferred", ["", "DEFERRABLE INITIALLY DEFERRED"])
def test_two_workers_with_the_same_key_end_the_load(
    dsn: str, driver: str, deferred: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The key's second row waits for the first one's transaction, which ends with the load: it is all undone."""
    with connect(dsn) as conn:
        conn.execute(f"CREATE TABLE t (id bigint PRIMARY KEY {deferred})")
    file = tmp_path / "a.parquet"
    pq.write_table(pa.table({"id": [*range(1000), *range(1000)]}), file, row_group_size=1000)
    words = r"worker \d \(process .* held until the whole load ends by .*: load with one worker \(workers=1\)"
    if deferred:  # at PREPARE each may wait for the other, and that the server sees
        words += "|deadlock detected"
    with ends_within(30), pytest.raises(bulkio.DriverError, match=words):
        bulkio.load(file, "t", dsn, driver=driver, workers=2, chunk_bytes=4000)
    assert fetch(dsn, "SELECT id FROM t") == []
    assert fetch(dsn, "SELECT gid FROM pg_prepared_xacts WHERE database = current_database()") == []


def test_a_load_that_has_ended_is_not_failed_afterwards(table: str) -> None:
    """A COMMIT that went through counts, whatever the monitor has found meanwhile."""

    async def work() -> str:
        async with watching(LoadRequest(ROWS, "t", table)) as load:
            load.failure = bulkio.DriverError("too late")
            return "done"

    assert asyncio.run(work()) == "done"


@each_driver
def test_a_cancelled_load_leaves_no_session_of_its_monitor(table: str, driver: str, opened: list[object]) -> None:
    """A cancellation by asyncio ends both; the fixtures count the connections."""

    async def work() -> None:
        loading = asyncio.ensure_future(bulkio.aio.load(ROWS, "t", table, driver=driver))
        while not opened:
            await asyncio.sleep(0.01)
        loading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await loading

    with holding(table, "LOCK TABLE t"):
        asyncio.run(work())
    assert fetch(table, "SELECT id FROM t") == []


def test_forgetting_tells_for_whom_it_waits(table: str, caplog: pytest.LogCaptureFixture) -> None:
    """A run that is at work on the load has its lock."""
    bulkio.load(ROWS, "t", table, load_id="x", source_version="1", mode="upsert", key=["id"])
    with (
        ThreadPoolExecutor(1) as pool,
        holding(table, lock_load("bulkio_ledger", "x", waits=True)) as pid,
    ):
        forgetting = pool.submit(bulkio.forget_load, "x", table)
        eventually(lambda: caplog.messages or forgetting.done())
        told = caplog.messages[0]
    assert re.match(rf"forgetting load 'x' has waited \d s for an advisory lock, held by process {pid} \(role", told)
    assert forgetting.result().load_id == "x"
