"""Time limits: whose count, which are lifted and told, and a load that would wait for its own process for ever."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

import bulkio
from bulkio import aio
from bulkio.transfer import open_reads
from servers import connect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import psycopg

    from servers import TestServer

TABLE = pa.table({"a": [1, 2, 3]})
SLOW = """
    CREATE TABLE slow (a bigint);
    CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.2); RETURN new; END';
    CREATE TRIGGER wait BEFORE INSERT ON slow FOR EACH ROW EXECUTE FUNCTION wait();
"""

each_driver = pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])


@pytest.fixture
def locked(dsn: str, connect: Callable[[str], psycopg.Connection]) -> Iterator[str]:
    """Yield the DSN of a database whose table t somebody keeps locked."""
    holder = connect(dsn)
    holder.execute("CREATE TABLE t (a bigint)")
    holder.execute("BEGIN; LOCK TABLE t")
    yield dsn
    holder.execute("ROLLBACK")


def database_of(dsn: str) -> str:
    with connect(dsn) as conn:
        return conn.info.dbname


def work(kind: str, dsn: str, folder: Path, **options: object) -> object:
    """Load into t, or read it in one of the ways there are."""
    if kind == "load":
        return bulkio.load(TABLE, "t", dsn, **options)
    if kind == "export":
        return bulkio.export("t", folder / "t.parquet", dsn, **options)
    return bulkio.read("SELECT a FROM t", dsn, **options).read_all()


@each_driver
@pytest.mark.parametrize("kind", ["load", "export", "read"])
@pytest.mark.parametrize("place", ["the database", "the DSN", "an option"])
def test_lock_timeout_counts_wherever_it_comes_from(
    locked: str, driver: str, kind: str, place: str, tmp_path: Path
) -> None:
    """A load into a locked table ends as the role, the connection string or the caller wants it."""
    options = {"lock_timeout": "100ms"} if place == "an option" else {}
    dsn = f"{locked}&options=-c%20lock_timeout%3D100ms" if place == "the DSN" else locked
    if place == "the database":
        with connect(locked) as conn:
            conn.execute(f"ALTER DATABASE {database_of(locked)} SET lock_timeout = '100ms'")
    with pytest.raises(bulkio.DriverError, match="lock timeout") as caught:
        work(kind, dsn, tmp_path, driver=driver, **options)
    assert caught.value.sqlstate == "55P03"


@each_driver
def test_plans_have_the_option_too(locked: str, driver: str) -> None:
    """A plan takes the locks of what it plans, all but that of TRUNCATE."""
    for plan, *what in ((bulkio.plan_load, TABLE, "t"), (bulkio.plan_export, "t", "x.arrows")):
        with pytest.raises(bulkio.DriverError, match="lock timeout"):
            plan(*what, locked, driver=driver, lock_timeout="100ms")


@pytest.mark.parametrize("value", ["10", 10, 0.5, "1 week", "", "-1s", "1e3ms", True])
def test_a_lock_timeout_says_its_unit(value: object) -> None:
    """A bare number means milliseconds to PostgreSQL and seconds to Python: neither is guessed."""
    with pytest.raises(bulkio.ConfigError, match=r"lock_timeout is .* such as '10s'"):
        bulkio.load(TABLE, "t", "host=nowhere.invalid", lock_timeout=value)
    with pytest.raises(bulkio.ConfigError, match=r"lock_timeout is .* such as '10s'"):
        bulkio.read("t", "host=nowhere.invalid", lock_timeout=value)


def test_zero_waits_for_ever(dsn: str) -> None:
    """The option wins over what the role says."""
    with connect(dsn) as conn:
        conn.execute("CREATE TABLE t (a bigint)")
        conn.execute(f"ALTER DATABASE {database_of(dsn)} SET lock_timeout = '1ms'")
        with connect(dsn) as holder:
            holder.execute("BEGIN; LOCK TABLE t")
            threading.Timer(0.3, holder.execute, ["ROLLBACK"]).start()
            assert bulkio.load(TABLE, "t", dsn, lock_timeout="0").rows == 3


@each_driver
@pytest.mark.parametrize("name", ["statement_timeout", "transaction_timeout"])
def test_a_limit_of_the_connection_counts(server: TestServer, dsn: str, driver: str, name: str) -> None:
    """Who sets it in the DSN or in PGOPTIONS means this load."""
    if name == "transaction_timeout" and server.version < 17:
        return
    with connect(dsn) as conn:
        conn.execute(SLOW)
    with pytest.raises(bulkio.DriverError, match="timeout"):
        bulkio.load(TABLE, "slow", f"{dsn}&options=-c%20{name}%3D300ms", driver=driver)


@each_driver
def test_other_limits_are_lifted_and_told(server: TestServer, dsn: str, driver: str, tmp_path: Path) -> None:
    """A role's limits are made for the queries of a web page; the report names each that a bulk load went beyond."""
    limits = ["statement_timeout", "idle_in_transaction_session_timeout"]
    limits += ["transaction_timeout"] if server.version >= 17 else []
    with connect(dsn) as conn:
        conn.execute(SLOW)
        for name in limits:
            conn.execute(f"ALTER DATABASE {database_of(dsn)} SET {name} = '300ms'")
    told = tuple(f"{name} of 300 ms" for name in sorted(limits))
    assert bulkio.load(TABLE, "slow", dsn, driver=driver).lifted == told
    query = "SELECT a, pg_sleep(0.2)::text FROM slow"
    assert bulkio.export(query, tmp_path / "s.parquet", dsn, driver=driver).lifted == told
    with connect(dsn) as conn:
        conn.execute(f"ALTER DATABASE {database_of(dsn)} RESET ALL")
    assert bulkio.load(TABLE, "slow", dsn, driver=driver).lifted == ()


# --- A load that waits for a read of its own process ----------------------------------------------------------


def make_big(dsn: str) -> None:
    """Make a table t of more than a read takes ahead of its reader."""
    with connect(dsn) as conn:
        conn.execute("CREATE TABLE t (a bigint, b text)")
        conn.execute("INSERT INTO t SELECT i, repeat('x', 100) FROM generate_series(1, 300000) i")


@each_driver
@pytest.mark.parametrize("query", ["SELECT * FROM t", "SELECT * FROM part", "SELECT * FROM seen"])
def test_a_load_does_not_wait_for_its_own_source(dsn: str, driver: str, query: str) -> None:
    """TRUNCATE, of a table with all its partitions, waits for the read to end, and the read for the load."""
    with connect(dsn) as conn:
        conn.execute("CREATE TABLE t (a bigint, b text) PARTITION BY LIST (a)")
        conn.execute("CREATE TABLE half PARTITION OF t DEFAULT PARTITION BY LIST (b)")
        conn.execute("CREATE TABLE part PARTITION OF half DEFAULT; CREATE VIEW seen AS SELECT * FROM part")
        conn.execute("INSERT INTO t SELECT i, repeat('x', 100) FROM generate_series(1, 300000) i")
    source = bulkio.read(query, dsn, driver=driver)
    with pytest.raises(bulkio.BulkioError, match=r"source is a read\(\) of this process .* read it first"):
        bulkio.load(source, "t", dsn, driver=driver, mode="truncate")
    assert source.read_all().num_rows == 300_000
    with connect(dsn) as conn:
        assert conn.execute("SELECT count(*) FROM t").fetchone() == (300_000,)


@each_driver
def test_a_load_that_adds_columns_does_not_wait_for_its_own_source(dsn: str, driver: str) -> None:
    """ALTER TABLE takes the lock of TRUNCATE."""
    make_big(dsn)
    source = bulkio.read("SELECT *, 1 AS new FROM t", dsn, driver=driver)
    with pytest.raises(bulkio.BulkioError, match=r"source is a read\(\) of this process .* read it first"):
        bulkio.load(source, "t", dsn, driver=driver, new_columns="add")
    assert source.read_all().num_rows == 300_000


@each_driver
def test_a_load_does_not_wait_for_a_source_behind_another(
    dsn: str, driver: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What wraps the read is not known to be it; nobody reads it on, even though pyarrow's reader is closed."""
    monkeypatch.setattr(open_reads, "PATIENCE_S", 0.3)
    with connect(dsn) as conn:
        conn.execute("CREATE TABLE t (a bigint, b text); CREATE TABLE child () INHERITS (t)")
        conn.execute("INSERT INTO child SELECT i, repeat('x', 100) FROM generate_series(1, 300000) i")
    source = bulkio.read("child", dsn, driver=driver)
    wrapped = pa.RecordBatchReader.from_batches(source.schema, source)
    with pytest.raises(bulkio.BulkioError, match=r"read\(\) of this process .* \(del reader; pyarrow's close"):
        bulkio.load(wrapped, "t", dsn, driver=driver, mode="truncate")
    assert source.read_all().num_rows == 300_000


@each_driver
def test_a_reader_that_is_dropped_is_not_waited_for(dsn: str, driver: str) -> None:
    """That is what the message advises."""
    make_big(dsn)
    source = bulkio.read("t", dsn, driver=driver)
    source.read_next_batch()
    del source
    assert bulkio.load(TABLE, "t", dsn, driver=driver, mode="truncate").rows == 3


def test_a_slow_reader_is_waited_for() -> None:
    """A consumer may take longer over a batch than a load that is not its own would like."""
    assert open_reads.PATIENCE_S >= 60


@each_driver
@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_load_does_not_wait_for_an_open_block(dsn: str, driver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A block that has read everything, and is still open, holds its locks as well."""
    monkeypatch.setattr(open_reads, "PATIENCE_S", 0.3)
    make_big(dsn)
    async with aio.read("t", dsn, driver=driver) as stream:
        assert sum([batch.num_rows async for batch in stream]) == 300_000
        with pytest.raises(bulkio.BulkioError, match=r"read\(\) of this process"):
            await aio.load(TABLE, "t", dsn, driver=driver, mode="truncate")


@each_driver
def test_a_load_waits_for_a_read_that_somebody_drains(dsn: str, driver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread reads it to its end; then the table is truncated."""
    monkeypatch.setattr(open_reads, "PATIENCE_S", 0.5)
    make_big(dsn)
    source = bulkio.read("SELECT t.*, pg_sleep(0.0) FROM t", dsn, driver=driver, batch_rows=1000)
    rows: list[int] = []
    reader = threading.Thread(target=lambda: rows.extend(batch.num_rows for batch in source))
    reader.start()
    assert bulkio.load(TABLE, "t", dsn, driver=driver, mode="truncate").rows == 3
    reader.join()
    assert sum(rows) == 300_000
