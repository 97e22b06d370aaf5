"""Pipelines of stages: what they compose, what they report, and what is left where one of the stages fails."""

from __future__ import annotations

import asyncio
import resource
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import bulkio
from bulkio.pipeline import stages as p
from servers import connect, fetch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

SCHEMA = pa.schema([("id", pa.int64()), ("name", pa.string())])
SERIES = "select i::int8 as id, 'n' || i as name from generate_series(1, {}) i"


def rows(first: int, count: int) -> pa.RecordBatch:
    ids = range(first, first + count)
    return pa.record_batch([pa.array(ids, pa.int64()), pa.array([f"n{each}" for each in ids])], schema=SCHEMA)


def run(*stages: object) -> p.PipelineReport:
    return asyncio.run(p.Pipeline(*stages).run())


class Endless:
    """Batches without end, or up to a number; it tells whether it was closed."""

    schema = SCHEMA

    def __init__(self, batches: int | None = None, *, hangs: bool = False) -> None:
        self.closed = False
        self.count = 0
        self._batches, self._hangs = batches, hangs

    async def __aiter__(self) -> AsyncIterator[pa.RecordBatch]:
        try:
            while self._batches is None or self.count < self._batches:
                yield rows(1 + 1000 * self.count, 1000)
                self.count += 1
                await asyncio.sleep(0)
            if self._hangs:
                await asyncio.Event().wait()
        finally:
            self.closed = True


def test_a_query_through_all_stages_into_a_table_and_a_file(dsn: str, tmp_path: Path) -> None:
    """One read feeds all sinks; each stage tells what it did."""
    report = run(
        p.query(SERIES.format(50_000), dsn),
        p.rename({"name": "label"}),
        p.cast({"id": "int32"}),
        p.filter(pc.field("id") > 10),
        p.map(lambda batch: batch.append_column("half", pc.divide(batch["id"], 2))),
        p.sql("select id, half, upper(label) as label, 1 as gone from input"),
        p.drop(["gone"]),
        p.not_null("id", "label"),
        p.unique("id"),
        p.row_count(least=49_990, most=49_990),
        p.check_sql("select max(id) = 50000 from input"),
        p.to_table("t", dsn),
        p.to_files(tmp_path / "t.parquet"),
    )
    assert fetch(dsn, "SELECT count(*), min(id), max(label), sum(half)::int8 FROM t") == [
        (49_990, 11, "N9999", sum(i // 2 for i in range(11, 50_001)))
    ]
    assert pq.read_table(tmp_path / "t.parquet").num_rows == 49_990
    assert [stage.rows_out for stage in report.stages[:5]] == [50_000, 50_000, 50_000, 49_990, 49_990]
    assert [result.rows for result in report.results] == [49_990, 49_990]
    source, sink = report.stages[0], report.stages[-2]
    assert (source.rows_in, sink.rows_in, sink.rows_out) == (0, 49_990, 0)
    assert source.bytes_out > 50_000 * 8
    assert all(0 <= stage.waited_for_input_s <= stage.seconds <= report.seconds for stage in report.stages)
    assert report.as_dict()["stages"][1]["name"] == "rename"


@pytest.mark.parametrize(
    "source",
    [
        lambda s: p.table("s", s.dsn),
        lambda s: p.query("select * from s where id > $1", s.dsn, params=[0]),
        lambda s: p.files(s.path),
        lambda s: p.arrow(pq.read_table(s.path)),
        lambda _: p.batches(Endless(3)),
        lambda _: p.batches(Endless(3), SCHEMA),
        lambda _: p.batches(aiter(Endless(3))),
    ],
    ids=["table", "query", "files", "arrow", "batches", "batches with a schema", "generator"],
)
def test_sources(one_dsn: str, tmp_path: Path, source: Callable[[SimpleNamespace], object]) -> None:
    """Whatever can be read goes into a table."""
    table = pa.Table.from_batches([rows(1, 3000)])
    pq.write_table(table, tmp_path / "s.parquet")
    bulkio.load(table, "s", one_dsn)
    report = run(source(SimpleNamespace(dsn=one_dsn, path=str(tmp_path / "s.parquet"))), p.to_table("t", one_dsn))
    assert report.stages[0].rows_out == 3000
    assert fetch(one_dsn, "SELECT count(*), sum(id), max(name) FROM t") == [(3000, 4_501_500, "n999")]


def test_the_same_table_may_be_replaced(one_dsn: str) -> None:
    """The read is over before the sink commits."""
    bulkio.load(pa.Table.from_batches([rows(1, 3000)]), "t", one_dsn)
    run(p.query("select * from t where id <= 10", one_dsn), p.to_table("t", one_dsn, mode="replace"))
    assert fetch(one_dsn, "SELECT count(*) FROM t") == [(10,)]


def test_the_same_table_cannot_be_truncated(one_dsn: str) -> None:
    """TRUNCATE would wait for the read, and the read for the load: that is told at once."""
    bulkio.load(pa.Table.from_batches([rows(1, 400_000)]), "t", one_dsn)
    stages = p.query("select t.* from t, generate_series(1, 5)", one_dsn), p.map(lambda batch: batch)
    with pytest.raises(bulkio.BulkioError, match=r"the source is a read\(\) of this process that is open on table"):
        run(*stages, p.to_table("t", one_dsn, mode="truncate"))
    assert fetch(one_dsn, "SELECT count(*) FROM t") == [(400_000,)]


def test_a_load_that_is_done_already(one_dsn: str, tmp_path: Path) -> None:
    """It takes no rows; other sinks get them all, and without any the source is left."""
    load = {"load_id": "x", "source_version": "1"}
    run(p.batches(Endless(3)), p.to_table("t", one_dsn, **load))
    endless = Endless()
    report = run(p.batches(endless), p.map(lambda batch: batch), p.to_table("t", one_dsn, **load))
    assert report.results[0].already
    assert endless.closed
    sinks = p.to_table("t", one_dsn, **load), p.to_files(tmp_path / "t.arrow")
    report = run(p.batches(Endless(100)), *sinks)
    assert [report.results[0].already, report.results[1].rows] == [True, 100_000]


def test_plan(one_dsn: str) -> None:
    """A plan shows the columns after each stage, and what a load would do; nothing is done."""
    pipeline = p.Pipeline(
        p.query(SERIES.format(10), one_dsn), p.sql("select id, id * 2 as two from input"), p.to_table("t", one_dsn)
    )
    plan = asyncio.run(pipeline.plan())
    assert str(plan).splitlines() == [
        "1 query: id int64, name string",
        "2 sql: id int64, two int64",
        "3 to_table t: id int64, two int64",
    ]
    assert plan.stages[-1].load.creates
    assert fetch(one_dsn, "SELECT to_regclass('t')") == [(None,)]


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ([], "a pipeline begins with one source"),
        ([p.to_table("t")], "a pipeline begins with one source"),
        ([p.table("t"), p.table("t"), p.to_table("t")], "and has no other"),
        ([p.table("t"), p.drop(["x"])], "a pipeline ends with a sink"),
        ([p.table("t"), p.to_table("t"), p.drop(["x"]), p.to_table("u")], "the sinks of a pipeline stand at its end"),
        ([p.table("t"), 3, p.to_table("t")], "stage 2 is of type int, and must be a source, a transform"),
        (
            [Path("x.parquet"), p.to_table("t")],
            "stage 1 is of type PosixPath, and must be a source, a transform, a check",
        ),
        ([p.table("s"), p.to_table("t"), p.to_table("t")], "two sinks of one pipeline are to_table t"),
    ],
)
def test_stages_in_the_wrong_order(stages: list[object], message: str) -> None:
    """The order is checked when a pipeline is made."""
    with pytest.raises(bulkio.ConfigError, match=message):
        p.Pipeline(*stages)


class MyError(Exception):
    """An error of the user's own."""


def fail_at(last_id: int) -> Callable[[pa.RecordBatch], pa.RecordBatch]:
    def function(batch: pa.RecordBatch) -> pa.RecordBatch:
        if batch.num_rows and batch["id"][-1].as_py() >= last_id:
            raise MyError("mine")
        return batch

    return function


def broken_sql(last_id: int) -> object:
    return p.sql(f"select case when id >= {last_id} then error('mine') else id end as id from input")


@pytest.mark.parametrize("mode", ["append", "replace", "upsert"])
@pytest.mark.parametrize(
    ("stage", "error"),
    [
        (lambda: p.map(fail_at(20_000)), MyError),
        (lambda: p.cast({"id": "int16"}), bulkio.EncodeError),
        (lambda: broken_sql(20_000), bulkio.StageError),
        (lambda: p.row_count(most=20_000), bulkio.CheckError),
    ],
    ids=["map", "cast", "sql", "check"],
)
def test_a_failing_stage_ends_the_others_and_leaves_nothing(
    one_dsn: str, tmp_path: Path, stage: Callable[[], object], error: type[Exception], mode: str
) -> None:
    """Within a second: the source is closed, the table is as it was, and no file and no table are left."""
    with connect(one_dsn) as conn:
        conn.execute("CREATE TABLE t (id int8 PRIMARY KEY, name text); INSERT INTO t VALUES (7, 'old')")
    endless = Endless()
    table = {"mode": mode, "key": ["id"]} if mode == "upsert" else {"mode": mode}
    started = time.monotonic()
    with pytest.raises(error) as caught:
        run(
            p.batches(endless),
            p.map(lambda batch: batch),
            stage(),
            p.map(lambda batch: batch),
            p.to_table("t", one_dsn, **table),
            p.to_files(tmp_path / "t.parquet"),
        )
    assert time.monotonic() - started < 20  # it takes less than one second: that is measured below
    assert endless.closed
    assert fetch(one_dsn, "SELECT id, name FROM t") == [(7, "old")]
    assert list(tmp_path.iterdir()) == []
    tables = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
    assert fetch(one_dsn, tables) == [("t",)]
    assert "stage 3" in str(caught.value) or "stage 3" in caught.value.__notes__[0]


def test_neighbours_of_a_failing_stage_end_within_a_second(one_dsn: str) -> None:
    """A source that has nothing to hand on, a stage that computes for long, and a load do not wait."""
    failed: list[float] = []

    def fail(_: pa.RecordBatch) -> pa.RecordBatch:
        failed.append(time.monotonic())
        raise MyError

    source = Endless(2, hangs=True)
    with pytest.raises(MyError):
        run(
            p.batches(source),
            p.check_sql("select count(*) > 0 from input, range(1000000000) where id % 7 = range % 11"),
            p.map(fail, schema=SCHEMA),
            p.to_table("t", one_dsn),
        )
    assert time.monotonic() - failed[0] < 1.0
    assert source.closed
    assert fetch(one_dsn, "SELECT to_regclass('t')") == [(None,)]


def test_sql_that_computes_is_interrupted(one_dsn: str, tmp_path: Path) -> None:
    """A cancellation ends DuckDB at once, and the error of a sink does so too."""
    long_sql = p.sql("select count(*) as id from input, range(100000000000) where id % 7 = range % 11")

    async def cancelled() -> float:
        pipeline = p.Pipeline(p.batches(Endless(2)), long_sql, p.to_table("t", one_dsn))
        running = asyncio.create_task(pipeline.run())
        await asyncio.sleep(1)
        running.cancel()
        started = time.monotonic()
        with pytest.raises(asyncio.CancelledError):
            await running
        return time.monotonic() - started

    assert asyncio.run(cancelled()) < 1.0
    assert fetch(one_dsn, "SELECT to_regclass('t')") == [(None,)]


def test_a_sink_s_error_ends_the_others(one_dsn: str, tmp_path: Path) -> None:
    """What the database refuses leaves no file either."""
    with connect(one_dsn) as conn:
        conn.execute("CREATE TABLE t (id int8 CHECK (id < 5000), name text)")
    endless = Endless()
    with pytest.raises(bulkio.DriverError, match="violates check constraint"):
        run(p.batches(endless), p.to_files(tmp_path / "t.parquet"), p.to_table("t", one_dsn))
    assert endless.closed
    assert list(tmp_path.iterdir()) == []


def resident_bytes() -> int:
    """Return the memory that this process has, DuckDB's included."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def test_a_slow_stage_holds_memory_flat(one_dsn: str) -> None:
    """The stages ahead wait for it: what they hold is bounded, whatever the source could read."""
    query = "select i, repeat('x', 4000) as text from generate_series(1, 60000) i"
    sizes: list[int] = []

    def slow(batch: pa.RecordBatch) -> pa.RecordBatch:
        sizes.append(resident_bytes())
        time.sleep(0.03)
        return batch

    report = run(
        p.query(query, one_dsn, batch_rows=500),
        p.map(lambda batch: batch),
        p.sql("select * from input", memory_limit="64MB"),
        p.map(slow),
        p.filter(pc.field("i") < 0),
        p.to_table("t", one_dsn),
    )
    assert report.stages[0].bytes_out > 200 << 20
    assert report.stages[0].waited_for_output_s > 0.3
    assert all(stage.queue_peak_bytes <= 4 << 20 for stage in report.stages[1:3])
    assert max(sizes) - min(sizes) < 160 << 20


@pytest.mark.parametrize("sinks", [1, 2])
def test_a_check_at_the_end_comes_before_commit(one_dsn: str, tmp_path: Path, sinks: int) -> None:
    """Although all rows were sent, none is stored; a check that warns lets them be, and is in the report."""
    stages = [p.to_table("t", one_dsn), p.to_files(tmp_path / "t.parquet")][:sinks]
    with pytest.raises(
        bulkio.CheckError, match=r"stage 2 \(row_count\): check failed, so nothing was stored: there are"
    ):
        run(p.batches(Endless(3)), p.row_count(least=4000), *stages)
    assert fetch(one_dsn, "SELECT to_regclass('t')") == [(None,)]
    assert list(tmp_path.iterdir()) == []
    report = run(p.batches(Endless(3)), p.row_count(least=4000, on_failure="warn"), *stages)
    assert report.warnings == ("row_count: there are 3,000 rows, and at least 4,000 must be",)
    assert fetch(one_dsn, "SELECT count(*) FROM t") == [(3000,)]


def test_a_pipeline_cancelled_at_commit_tells_the_truth(one_dsn: str) -> None:
    """Where the rows are stored, the cancellation has come too late, and the report is returned."""
    with connect(one_dsn) as conn:
        conn.execute("""
            CREATE TABLE t (id int8, name text);
            CREATE FUNCTION waits() RETURNS trigger LANGUAGE plpgsql
              AS $$ BEGIN PERFORM pg_sleep(1); RETURN NULL; END $$;
            CREATE CONSTRAINT TRIGGER w AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED
              FOR EACH ROW WHEN (NEW.id = 500) EXECUTE FUNCTION waits()""")
    waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"

    async def cancelled() -> p.PipelineReport:
        running = asyncio.create_task(p.Pipeline(p.batches(Endless(3)), p.to_table("t", one_dsn)).run())
        while not fetch(one_dsn, waiting):
            await asyncio.sleep(0.01)
        running.cancel()
        return await running

    assert asyncio.run(cancelled()).results[0].rows == 3000
    assert fetch(one_dsn, "SELECT count(*) FROM t") == [(3000,)]
