"""Async iterables as sources: they go into a table as they come, and nothing of them is left when a load ends early."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

import bulkio
from bulkio import aio
from servers import connect, fetch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

SCHEMA = pa.schema([("id", pa.int64()), ("name", pa.string())])


def batch(number: int, rows: int = 10) -> pa.RecordBatch:
    ids = range(number * rows, (number + 1) * rows)
    return pa.record_batch([pa.array(ids, pa.int64()), pa.array([f"n{each}" for each in ids])], schema=SCHEMA)


class Batches:
    """An async iterable that knows its schema, and tells whether it was closed, and in which task."""

    def __init__(
        self,
        batches: int = 3,
        *,
        first: pa.RecordBatch | None = None,
        then: Exception | None = None,
        hangs: bool = False,
    ) -> None:
        self.tasks: set[object] = set()
        self.closed = False
        self.schema = SCHEMA if first is None else first.schema
        self._first, self._batches, self._then, self._hangs = first, batches, then, hangs

    async def __aiter__(self) -> AsyncIterator[pa.RecordBatch]:
        try:
            for number in range(self._batches):
                self.tasks.add(asyncio.current_task())
                yield self._first or batch(number)
            if self._then is not None:
                raise self._then
            if self._hangs:
                await asyncio.Event().wait()
        finally:
            self.tasks.add(asyncio.current_task())
            await asyncio.sleep(0)
            self.closed = True


async def generated(*items: object) -> AsyncIterator[object]:
    for item in items:
        await asyncio.sleep(0)
        yield item


def load(source: object, dsn: str, **options: object) -> bulkio.LoadReport:
    return asyncio.run(aio.load(source, "t", dsn, **options))


def test_a_read_goes_into_a_load(dsn: str) -> None:
    """What `aio.read` returns is a source as it is, in the running loop."""

    async def run() -> bulkio.LoadReport:
        async with aio.read("select i::int4 as id, i::text as name from generate_series(1, 50000) i", dsn) as stream:
            return await aio.load(stream, "t", dsn)

    report = asyncio.run(run())
    assert report.rows == 50_000
    assert fetch(dsn, "SELECT count(*), sum(id), max(name) FROM t") == [(50_000, 1_250_025_000, "9999")]


def test_a_sync_read_goes_into_a_load(one_dsn: str) -> None:
    """So it does without a loop."""
    assert bulkio.load(bulkio.read("select 1 as id", one_dsn), "t", one_dsn).rows == 1


@pytest.mark.parametrize(
    "source",
    [
        Batches(),
        generated(batch(0), batch(1), batch(2)),
        generated(pa.Table.from_batches([batch(0), batch(1)]), batch(2)),
    ],
    ids=["with a schema", "batches", "tables and batches"],
)
def test_async_iterables(one_dsn: str, source: object) -> None:
    """One that has a schema, or one whose first batch tells it; of batches, or of tables."""
    assert load(source, one_dsn).rows == 30
    assert fetch(one_dsn, "SELECT count(*), count(DISTINCT id), max(id) FROM t") == [(30, 30, 29)]


def test_one_without_rows_has_a_schema(one_dsn: str) -> None:
    """An empty stream that knows its columns makes an empty table."""
    assert load(Batches(0), one_dsn, mode="create").rows == 0
    assert fetch(one_dsn, "SELECT * FROM t") == []


def test_all_is_taken_in_one_task(one_dsn: str) -> None:
    """A generator may hold what belongs to one task, such as a task group, from its first batch to its closing."""
    source = Batches(3)
    load(source, one_dsn)
    assert len(source.tasks) == 1
    assert source.closed


@pytest.mark.parametrize("options", [{"columns": ["name"]}, {"columns": ["-id"]}])
def test_columns_are_chosen(one_dsn: str, options: dict[str, object]) -> None:
    """Options of sources hold for it."""
    load(Batches(), one_dsn, **options)
    assert fetch(one_dsn, "SELECT * FROM t LIMIT 1") == [("n0",)]


def test_renamed_and_shared(one_dsn: str) -> None:
    """Columns may be renamed and added; several workers leave it to one."""
    report = load(Batches(), one_dsn, rename={"id": "key"}, add={"row": "{row}"}, workers=2)
    assert report.rows == 30
    assert fetch(one_dsn, "SELECT max(key), max(row) FROM t") == [(29, 30)]


class MyError(Exception):
    """An error of the user's own."""


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("error", [MyError("mine"), OSError("mine"), ValueError("mine")])
def test_the_source_s_error_ends_the_load(one_dsn: str, error: Exception, workers: int) -> None:
    """It is raised as it is, and nothing is stored, nor is the table made."""
    source = Batches(then=error)
    with pytest.raises(type(error), match="mine") as caught:
        load(source, one_dsn, workers=workers)
    assert caught.value is error
    assert source.closed
    assert fetch(one_dsn, "SELECT to_regclass('t')") == [(None,)]


@pytest.mark.parametrize("error", [None, MyError("mine")])
def test_one_that_yields_nothing(one_dsn: str, error: Exception | None) -> None:
    """Without a schema there are no columns; an error before the first batch is raised."""

    async def nothing() -> AsyncIterator[pa.RecordBatch]:
        if error:
            raise error
        return
        yield

    if error is None:
        with pytest.raises(bulkio.ConfigError, match="the async_generator yields nothing, and only a batch would tell"):
            load(nothing(), one_dsn)
    else:
        with pytest.raises(MyError):
            load(nothing(), one_dsn)


@pytest.mark.parametrize("place", [1, 2])
def test_what_is_no_batch(one_dsn: str, place: int) -> None:
    """An item of another kind is told by its number."""
    items = [batch(0), {"id": 1}] if place == 2 else [{"id": 1}]
    with pytest.raises(bulkio.ConfigError, match=f"item {place} of the async_generator is of type dict, not a Record"):
        load(generated(*items), one_dsn)


def test_a_batch_of_another_schema(one_dsn: str) -> None:
    """Each batch has the stream's columns."""
    other = pa.record_batch([pa.array([1.5])], names=["id"])
    with pytest.raises(bulkio.FileError, match="batch 2 has another schema than the stream: id is double, not int64"):
        load(generated(batch(0), other), one_dsn)


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
@pytest.mark.parametrize("processors", [2, 8])
def test_a_cancelled_load_lets_a_source_go_that_waits(
    one_dsn: str, driver: str, processors: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cancellation comes through at once, although the source has no batch to hand on."""
    monkeypatch.setattr("bulkio.flow.processors", lambda: processors)
    source = Batches(2, hangs=True)

    async def run() -> float:
        started = time.monotonic()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(aio.load(source, "t", one_dsn, driver=driver), 1.0)
        return time.monotonic() - started

    assert asyncio.run(run()) < 2.0
    assert source.closed
    assert fetch(one_dsn, "SELECT to_regclass('t')") == [(None,)]


def test_a_failing_load_lets_a_source_go_that_waits(one_dsn: str) -> None:
    """So does an error: the load does not wait for the next batch."""
    bulkio.load(pa.table({"id": pa.array([1], pa.int16())}), "t", one_dsn)

    async def run() -> Batches:
        big = pa.record_batch([pa.array([1 << 40])], names=["id"])
        source = Batches(1, hangs=True, first=big)
        with pytest.raises(bulkio.EncodeError):
            await asyncio.wait_for(aio.load(source, "t", one_dsn), 5)
        return source

    assert asyncio.run(run()).closed


KILL = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query ~ '^COPY' AND datname = current_database()"


async def killed(dsn: str) -> None:
    while not await asyncio.to_thread(fetch, dsn, KILL):
        await asyncio.sleep(0.01)


async def refused(dsn: str) -> None:
    """Let the table's constraint refuse the first batch."""


@pytest.mark.parametrize(("broken", "method"), [(killed, "binary"), (killed, "records"), (refused, "binary")])
def test_a_load_that_the_server_has_ended_lets_a_source_go_that_waits(
    one_dsn: str, broken: Callable[[str], Awaitable[None]], method: str
) -> None:
    """A source that has no batch to hand on keeps nobody from hearing what the server has said."""
    source = Batches(1, hangs=True, first=batch(0, 5000))
    with connect(one_dsn) as conn:
        conn.execute(f"CREATE TABLE t (id int8 CHECK (id < {100 if broken is refused else 10_000}), name text)")

    async def run() -> float:
        started = time.monotonic()
        loading = asyncio.create_task(aio.load(source, "t", one_dsn, driver="asyncpg", method=method, block_bytes=1024))
        await broken(one_dsn)
        with pytest.raises(bulkio.DriverError):
            await asyncio.wait_for(loading, 10)
        return time.monotonic() - started

    assert asyncio.run(run()) < 2.0
    assert source.closed
    assert fetch(one_dsn, "SELECT * FROM t") == []


def test_a_plan_reads_nothing_on(one_dsn: str) -> None:
    """A plan leaves the rest of the stream where it is, and closes it."""
    source = Batches(2, hangs=True)
    plan = asyncio.run(aio.plan_load(source, "t", one_dsn))
    assert [field.name for field in plan.fields] == ["id", "name"]
    assert source.closed


def test_what_fails_as_it_is_closed_is_logged(one_dsn: str, caplog: pytest.LogCaptureFixture) -> None:
    """It does not hide how the load has ended."""

    async def stubborn() -> AsyncIterator[pa.RecordBatch]:
        try:
            while True:
                yield batch(0, 200_000)  # more than is taken ahead
        finally:
            raise MyError("cannot close")

    with caplog.at_level(logging.WARNING, "bulkio"):
        asyncio.run(aio.plan_load(stubborn(), "t", one_dsn))
    assert "the async_generator could not be closed: cannot close" in caplog.text


def test_a_read_of_the_table_that_is_emptied(one_dsn: str) -> None:
    """The load would wait for the read, and the read for the load."""
    bulkio.load(pa.table({"id": [1]}), "t", one_dsn)

    async def run() -> None:
        async with aio.read("t", one_dsn) as stream:
            await aio.load(stream, "t", one_dsn, mode="truncate")

    with pytest.raises(bulkio.BulkioError, match=r"the source is a read\(\) of this process that is open on table"):
        asyncio.run(run())
