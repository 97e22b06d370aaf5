"""Loads: modes, sources, all-or-nothing, and the façade in odd surroundings. Bad input is tested through the CLI."""

from __future__ import annotations

import asyncio
import os
from decimal import Decimal
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import bulkio
from bulkio import aio
from servers import connect

if TYPE_CHECKING:
    from pathlib import Path

METHODS = ["binary", "csv", "records"]
TRIPS = pa.table({"id": pa.array([1, 2, 3], pa.int64()), "name": ["a", None, "ü"]})


def fetch(dsn: str, query: str) -> list[tuple[object, ...]]:
    with connect(dsn) as conn:
        return conn.execute(query).fetchall()


def test_append_creates_a_missing_table_and_says_so(dsn: str) -> None:
    """The first load creates, the second adds."""
    first = bulkio.load(TRIPS, "trips", dsn)
    second = bulkio.load(TRIPS, "trips", dsn)
    assert (first.created, second.created) == (True, False)
    assert first.table == "public.trips"
    assert fetch(dsn, "SELECT count(*) FROM trips") == [(6,)]


def test_create_refuses_a_table_that_exists(one_dsn: str) -> None:
    """Mode create is for new tables only."""
    bulkio.load(TRIPS, "trips", one_dsn, mode="create")
    with pytest.raises(bulkio.SchemaError, match="table trips exists already: use --mode append"):
        bulkio.load(TRIPS, "trips", one_dsn, mode="create")
    assert fetch(one_dsn, "SELECT count(*) FROM trips") == [(3,)]


def test_truncate_replaces_the_rows_or_nothing(one_dsn: str) -> None:
    """A truncating load that fails leaves the old rows."""
    bulkio.load(TRIPS, "trips", one_dsn)
    bulkio.load(TRIPS.slice(0, 1), "trips", one_dsn, mode="truncate")
    assert fetch(one_dsn, "SELECT id FROM trips") == [(1,)]
    bad = pa.table({"id": [5], "name": ["nul\0"]})
    with pytest.raises(bulkio.EncodeError, match='row 1, column "name"'):
        bulkio.load(bad, "trips", one_dsn, mode="truncate")
    assert fetch(one_dsn, "SELECT id FROM trips") == [(1,)]


@pytest.mark.parametrize("method", METHODS)
def test_every_method_refuses_the_same_value_in_the_same_words(one_dsn: str, method: str) -> None:
    """Row and column count over the whole source, not the batch."""
    values = pa.chunked_array([pa.array([1] * 20000, pa.int64()), pa.array([1, 2**40], pa.int64())])
    with connect(one_dsn) as conn:
        conn.execute("CREATE TABLE t (v int)")
    with pytest.raises(
        bulkio.EncodeError, match=r'^row 20002, column "v": 1099511627776 is out of range for int4$'
    ) as e:
        bulkio.load(pa.table({"v": values}), "t", one_dsn, method=method)
    assert (e.value.row, e.value.column) == (20002, "v")
    assert fetch(one_dsn, "SELECT count(*) FROM t") == [(0,)]


def test_all_mismatches_are_told_at_once_before_a_byte_is_sent(one_dsn: str) -> None:
    """Unknown, unfit, missing and generated columns stand in one error."""
    with connect(one_dsn) as conn:
        conn.execute(
            "CREATE TABLE t (a int, b date, needed int NOT NULL, g int GENERATED ALWAYS AS (a + 1) STORED, box box)"
        )
    source = pa.table({"a": [b"x"], "b": [1.5], "nope": [1], "g": [1], "box": [2.5]})
    with pytest.raises(bulkio.SchemaError) as caught:
        bulkio.load(source, "t", one_dsn)
    assert set(caught.value.columns) == {"a", "b", "nope", "needed", "g", "box"}
    message = str(caught.value)
    assert '"a": Arrow\'s binary does not go into integer unchanged: cast it in the source first' in message
    assert '"nope": the table has no such column' in message


def test_rows_that_a_trigger_drops_make_the_load_fail(one_dsn: str) -> None:
    """The COPY tag is compared with the rows sent: nothing is lost in silence."""
    with connect(one_dsn) as conn:
        conn.execute("CREATE TABLE trips (id bigint, name text)")
        conn.execute(
            "CREATE FUNCTION skip() RETURNS trigger LANGUAGE plpgsql AS"
            " 'BEGIN IF new.id = 2 THEN RETURN NULL; END IF; RETURN new; END'"
        )
        conn.execute("CREATE TRIGGER skip BEFORE INSERT ON trips FOR EACH ROW EXECUTE FUNCTION skip()")
    with pytest.raises(bulkio.BulkioError, match="the row counts differ, so nothing was loaded"):
        bulkio.load(TRIPS, "trips", one_dsn)
    assert fetch(one_dsn, "SELECT count(*) FROM trips") == [(0,)]


def test_a_server_error_names_the_row(one_dsn: str) -> None:
    """What only the server can check is told with COPY's line and column."""
    with connect(one_dsn) as conn:
        conn.execute("CREATE TABLE trips (id bigint, name jsonb)")
    with pytest.raises(bulkio.DriverError, match=r"COPY line 1, column name") as caught:
        bulkio.load(TRIPS, "trips", one_dsn)
    assert caught.value.sqlstate == "22P02"


def test_columns_choose_and_defaults_fill(one_dsn: str) -> None:
    """A column that is not loaded takes its default."""
    with connect(one_dsn) as conn:
        conn.execute("CREATE TABLE trips (id bigint, name text DEFAULT 'd')")
    bulkio.load(TRIPS, "trips", one_dsn, columns=["id"])
    assert fetch(one_dsn, "SELECT DISTINCT name FROM trips") == [("d",)]


def test_several_files_and_a_folder_are_one_load(one_dsn: str, tmp_path: Path) -> None:
    """Rows of all files arrive, and the footers' counts are added up."""
    for i in range(3):
        pq.write_table(TRIPS, tmp_path / f"{i}.parquet")
    assert bulkio.load(tmp_path, "a", one_dsn).rows == 9
    assert bulkio.load([tmp_path / "0.parquet", tmp_path / "1.parquet"], "b", one_dsn).rows == 6


def test_quoted_and_odd_names(one_dsn: str) -> None:
    """Names with quotes, dots, blanks and capitals are kept; without quotes SQL's rules hold."""
    source = pa.table({'a "b".c': [1], "Ü": [2]})
    report = bulkio.load(source, '"Odd "" table"', one_dsn)
    assert report.table == 'public.Odd " table'
    assert fetch(one_dsn, 'SELECT "a ""b"".c", "Ü" FROM "Odd "" table"') == [(1, 2)]
    bulkio.load(TRIPS, "Trips", one_dsn)
    assert fetch(one_dsn, "SELECT count(*) FROM trips") == [(3,)]


def test_a_plan_changes_nothing(one_dsn: str) -> None:
    """plan_load gives the DDL and the columns, and leaves no table."""
    plan = bulkio.plan_load(TRIPS, "trips", one_dsn)
    assert plan.ddl == ('CREATE TABLE "public"."trips" ("id" int8, "name" text)',)
    assert '"name"  string -> text' in plan.describe()
    assert fetch(one_dsn, "SELECT to_regclass('trips')") == [(None,)]


def test_progress_counts_up_to_the_total(one_dsn: str) -> None:
    """The last call tells all rows and bytes that were sent."""
    seen: list[bulkio.Progress] = []
    report = bulkio.load(TRIPS, "trips", one_dsn, progress=seen.append)
    assert (seen[-1].rows, seen[-1].bytes, seen[-1].total_rows) == (3, report.bytes, 3)


def test_a_callable_password_is_asked(one_dsn: str) -> None:
    """It replaces the DSN's own."""
    password = one_dsn.split("//", 1)[1].split("@", maxsplit=1)[0].split(":")[1]
    asked: list[bool] = []

    def token() -> str:
        asked.append(True)
        return password

    assert bulkio.load(TRIPS, "trips", one_dsn.replace(password, "wrong"), password=token).rows == 3
    assert asked


def test_the_sync_function_works_inside_a_running_loop(one_dsn: str) -> None:
    """As in Jupyter."""

    async def cell() -> int:
        return bulkio.load(TRIPS, "trips", one_dsn).rows

    assert asyncio.run(cell()) == 3


def test_it_works_in_a_child_after_fork(one_dsn: str) -> None:
    """No thread or loop of the parent is needed."""
    bulkio.load(TRIPS, "trips", one_dsn)
    child = os.fork()
    if child == 0:
        try:
            os._exit(bulkio.load(TRIPS, "trips", one_dsn).rows)
        finally:
            os._exit(99)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
@pytest.mark.parametrize("method", METHODS)
def test_cancelling_rolls_back_and_ends_the_statement(dsn: str, driver: str, method: str) -> None:
    """The load waits for a lock; cancelled, it leaves no table and no running statement."""
    with connect(dsn) as conn:
        conn.execute("CREATE TABLE trips (id bigint, name text)")

    async def cancelled() -> None:
        task = asyncio.create_task(aio.load(TRIPS, "trips", dsn, driver=driver, method=method))
        while not waiting_for_lock(dsn):
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with connect(dsn) as holder:
        holder.execute("BEGIN")
        holder.execute("LOCK TABLE trips IN ACCESS EXCLUSIVE MODE")
        asyncio.run(cancelled())
        assert not waiting_for_lock(dsn)
    assert fetch(dsn, "SELECT count(*) FROM trips") == [(0,)]


def waiting_for_lock(dsn: str) -> bool:
    query = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    return bool(fetch(dsn, query))


def test_an_error_in_the_source_is_the_callers_own(one_dsn: str) -> None:
    """An exception that a user's stream raises comes out as it is, and nothing is loaded."""

    def batches() -> object:
        yield TRIPS.to_batches()[0]
        raise ZeroDivisionError("mine")

    reader = pa.RecordBatchReader.from_batches(TRIPS.schema, batches())
    with pytest.raises((ZeroDivisionError, bulkio.FileError), match="mine"):
        bulkio.load(reader, "trips", one_dsn)
    assert fetch(one_dsn, "SELECT to_regclass('trips')") == [(None,)]


def test_display_scale_is_kept(dsn: str) -> None:
    """12.30 stays 12.30, in numeric(p,s) and in numeric."""
    source = pa.table({"a": pa.array([Decimal("12.30"), Decimal("0.00")]), "b": ["12.30", "NaN"]})
    with connect(dsn) as conn:
        conn.execute("CREATE TABLE t (a numeric, b numeric)")
    bulkio.load(source, "t", dsn)
    assert fetch(dsn, "SELECT a::text, b::text FROM t") == [("12.30", "12.30"), ("0.00", "NaN")]
