"""Sources without a database: as a stream of batches, and into a file."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import bulkio
from bulkio import aio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

TABLE = pa.table({"id": pa.array([1, 2, 3], pa.int64()), "name": ["a", None, "ü"]})


@pytest.fixture
def parquet(tmp_path: Path) -> str:
    pq.write_table(TABLE, tmp_path / "in.parquet")
    return str(tmp_path / "in.parquet")


def test_files_as_a_stream(parquet: str) -> None:
    """Of the columns that are asked for, in batches of at most so many rows; async, and without a loop."""

    async def run() -> list[pa.RecordBatch]:
        async with aio.scan(parquet, columns=["id"], batch_rows=2) as stream:
            assert stream.schema.names == ["id"]
            return [batch async for batch in stream]

    assert [batch.num_rows for batch in asyncio.run(run())] == [2, 1]
    assert bulkio.scan(parquet).read_all().equals(TABLE)


def test_rows_of_dicts_and_csv(tmp_path: Path) -> None:
    """Dicts have the types of their values; a CSV has text."""
    (tmp_path / "x.csv").write_text("id,name\n1,a\n")
    assert bulkio.scan([{"id": 1}, {"id": None}]).read_all().to_pylist() == [{"id": 1}, {"id": None}]
    assert bulkio.scan(str(tmp_path / "x.csv")).read_all().to_pylist() == [{"id": "1", "name": "a"}]


def test_leaving_early(parquet: str) -> None:
    """The rest is not read, and a source that waits is let go at once."""
    closed = []

    async def slow() -> AsyncIterator[pa.RecordBatch]:
        try:
            yield TABLE.to_batches()[0]
            await asyncio.Event().wait()
        finally:
            closed.append(True)

    async def run() -> None:
        for source in (parquet, slow()):
            async with aio.scan(source) as stream:
                async for _ in stream:
                    break

    started = time.monotonic()
    asyncio.run(run())
    assert closed == [True]
    assert time.monotonic() - started < 2


@pytest.mark.parametrize("ending", ["parquet", "arrow", "arrows"])
def test_a_source_into_a_file(parquet: str, tmp_path: Path, ending: str) -> None:
    """Whatever loads can be written, and read again."""
    dest = tmp_path / f"out.{ending}"
    told = []
    report = bulkio.write(parquet, dest, progress=told.append)
    assert (report.rows, report.path) == (3, str(dest))
    assert report.bytes == dest.stat().st_size
    assert told[-1].rows == 3
    assert bulkio.scan(dest).read_all().equals(TABLE)


class MyError(Exception):
    """An error of the user's own."""


def test_a_source_that_fails_leaves_no_file(tmp_path: Path) -> None:
    """The error is the source's own, and an existing file is as it was."""
    (tmp_path / "out.parquet").write_text("old")

    async def fails() -> AsyncIterator[pa.RecordBatch]:
        yield TABLE.to_batches()[0]
        raise MyError

    with pytest.raises(MyError):
        asyncio.run(aio.write(fails(), tmp_path / "out.parquet"))
    assert [path.name for path in tmp_path.iterdir()] == ["out.parquet"]
    assert (tmp_path / "out.parquet").read_text() == "old"


def test_a_csv_is_not_written(tmp_path: Path) -> None:
    """Its text would be pyarrow's, not the server's."""
    with pytest.raises(bulkio.ConfigError, match=r"out.csv: csv is written by the server, in an export, and not from"):
        bulkio.write(TABLE, tmp_path / "out.csv")


def test_what_a_format_cannot_hold(tmp_path: Path) -> None:
    """It is refused before anything is written."""
    rows = pa.table({"i": pa.array([(1, 2, 3)], pa.month_day_nano_interval())})
    with pytest.raises(bulkio.SchemaError, match="interval"):
        bulkio.write(rows, tmp_path / "out.parquet")
    assert list(tmp_path.iterdir()) == []
