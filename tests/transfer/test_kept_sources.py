"""Rejects of what can be read once: its records are kept, and loading their file again is the second try."""

from __future__ import annotations

import asyncio
import io
import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import bulkio
from bulkio import aio
from bulkio.errors import ConfigError
from servers import fetch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

ROWS = 3000
#: rows (from 1) that a check refuses, and that the type does
CHECKED, LONG = (7, 1500, 2999), (8, 2000)
DDL = "CREATE TABLE t (id int PRIMARY KEY, n varchar(5) CHECK (n <> 'bad'), extra text)"


def values() -> list[str]:
    """Return the texts of column n."""
    texts = [f"x{row}" for row in range(1, ROWS + 1)]
    for row in CHECKED:
        texts[row - 1] = "bad"
    for row in LONG:
        texts[row - 1] = "too long"
    return texts


TABLE = pa.table({"id": range(1, ROWS + 1), "n": values(), "left_out": ["kept"] * ROWS})
CSV = b"id,n,left_out\n" + b"".join(b"%d,%s,kept\n" % (row, text.encode()) for row, text in enumerate(values(), 1))


def arrow_stream() -> io.BytesIO:
    """Return the table as an Arrow stream that is open."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, TABLE.schema) as writer:
        writer.write_table(TABLE, max_chunksize=100)
    return io.BytesIO(sink.getvalue().to_pybytes())


def files(tmp_path: Path) -> list[str]:
    """Return the table as two files."""
    paths = [str(tmp_path / f"{number}.parquet") for number in range(2)]
    for path, part in zip(paths, (TABLE.slice(0, 1000), TABLE.slice(1000)), strict=True):
        pq.write_table(part, path, row_group_size=500)
    return paths


#: sources; a file's name says what is to be read of it again
SOURCES: dict[str, Callable[[Path], tuple[object, str]]] = {
    "files": lambda path: (files(path), "bad.parquet"),
    "a CSV that is open": lambda _: (bulkio.csv(io.BytesIO(CSV)), "bad.csv"),
    "an Arrow stream that is open": lambda _: (arrow_stream(), "bad.arrows.zst"),
    "a table": lambda _: (TABLE, "bad.arrow"),
    "an iterator": lambda _: (iter(TABLE.to_batches(max_chunksize=100)), "bad.parquet"),
}


def check(dsn: str, connect: Any, report: Any, dest: Path) -> None:
    """Look at the table and the file, mend the table, and load the file again."""
    bad = sorted((*CHECKED, *LONG))
    assert (report.rows, report.rejected) == (ROWS - len(bad), len(bad))
    told = [json.loads(line) for line in dest.with_name(f"{dest.name}.errors.jsonl").read_text().splitlines()]
    assert [each["sqlstate"] for each in told] == ["23514" if row in CHECKED else None for row in bad]
    connect(dsn).execute("ALTER TABLE t DROP CONSTRAINT t_n_check, ALTER n TYPE text")
    again = bulkio.load(dest, "t", dsn, columns=["-left_out"], add={"extra": "at {now}"})
    assert again.rows == len(bad)
    assert fetch(dsn, "SELECT id, n FROM t ORDER BY id") == list(enumerate(values(), 1))


OPTIONS: dict[str, Any] = {"columns": ["-left_out"], "add": {"extra": "at {now}"}, "max_rejects": "1%"}


@pytest.mark.parametrize("kind", SOURCES)
def test_the_second_try(dsn: str, connect: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """Whatever the source, its rejected records are whole in a file, which is loaded under the same options."""
    monkeypatch.setattr("bulkio.plan.rejects._LEAST_BYTES", 3000)
    connect(dsn).execute(DDL)
    source, name = SOURCES[kind](tmp_path)
    report = bulkio.load(source, "t", dsn, rejects=str(tmp_path / name), **OPTIONS)
    assert any("rejected records are read again" in note for note in report.notes) == (kind != "files")
    check(dsn, connect, report, tmp_path / name)


def test_an_async_iterable(dsn: str, connect: Any, tmp_path: Path) -> None:
    """Its batches are kept before the load begins."""

    async def batches() -> AsyncIterator[pa.RecordBatch]:
        for batch in TABLE.to_batches(max_chunksize=100):
            await asyncio.sleep(0)
            yield batch

    connect(dsn).execute(DDL)
    dest = tmp_path / "bad.arrow"
    report = asyncio.run(aio.load(batches(), "t", dsn, rejects=str(dest), **OPTIONS))
    check(dsn, connect, report, dest)


def test_bad_bytes_and_lines(dsn: str, connect: Any, tmp_path: Path) -> None:
    """Records that are no rows are kept byte by byte, with their line, beside those that are refused."""
    connect(dsn).execute(DDL)
    lines = [b"1,a", b"2,\xff", b"3", b"4,\0", b"", b"x,y", b"6,bad", b'7,"b\n"']
    path, dest = tmp_path / "in.csv", tmp_path / "bad.csv"
    path.write_bytes(b"\xef\xbb\xbfid,n\r\n" + b"".join(line + b"\r\n" for line in lines))
    report = bulkio.load(path, "t", dsn, rejects=str(dest), max_rejects="10")
    assert (report.rows, report.rejected) == (2, 6)
    assert dest.read_bytes() == b"\xef\xbb\xbfid,n\r\n" + b"".join(line + b"\r\n" for line in lines[1:7])
    told = [json.loads(line) for line in (tmp_path / "bad.csv.errors.jsonl").read_text().splitlines()]
    assert [(each["row"], each["line"], each["column"]) for each in told] == [
        (2, 3, "n"),
        (3, 4, None),
        (4, 5, "n"),
        (5, 6, None),
        (6, 7, "id"),
        (7, 8, None),
    ]
    assert told[0]["message"].startswith("bytes ff are not valid utf-8")
    assert fetch(dsn, "SELECT id, n FROM t ORDER BY id") == [(1, "a"), (7, "b\n")]


def test_a_plan_looks_at_the_file(dsn: str, connect: Any, tmp_path: Path) -> None:
    """What would be refused at the load is refused at its plan, which makes nothing."""
    connect(dsn).execute(DDL)
    path, dest = tmp_path / "in.csv", tmp_path / "bad.csv"
    path.write_bytes(b"id,n\n1,a\n")
    plan = bulkio.plan_load(path, "t", dsn, rejects=str(dest))
    assert f"records that cannot be stored go to {dest}" in str(plan)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["in.csv"]
    dest.touch()
    with pytest.raises(ConfigError, match="may hold records that nobody has loaded yet"):
        bulkio.plan_load(path, "t", dsn, rejects=str(dest))
