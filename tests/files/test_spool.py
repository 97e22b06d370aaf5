"""What can be read once and is read again, as its rejected records are: each kind of source is kept, and given back."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import os
import subprocess
import sys
import tempfile
import threading
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from bulkio.errors import CsvError, FileError, SchemaError
from bulkio.files import FormattedFile, Keeping, RejectFile, csv, open_async_source, open_source
from bulkio.files.source import FileSource
from bulkio.protocols import Reject
from small_files import small_files

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

TABLE = pa.table({"id": range(1, 31), "text": [f"x{i}" for i in range(30)]}).replace_schema_metadata({"of": "it"})
CSV = b"id,text\n" + b"".join(b"%d,x%d\n" % (i, i - 1) for i in range(1, 31))


class Capsule:
    """An object that speaks Arrow's C interface and nothing else."""

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return TABLE.__arrow_c_stream__(requested_schema)


def nothing_is_left() -> bool:
    """Tell whether no temporary file is there."""
    return not any(Path(tempfile.gettempdir()).iterdir())


def arrow_stream() -> bytes:
    """Return the table as an Arrow stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, TABLE.schema) as writer:
        writer.write_table(TABLE, max_chunksize=7)
    return sink.getvalue().to_pybytes()


#: a process that keeps what it reads, tells where, and is killed, or waits for its end
KEEPING = """
import io, os, signal, sys
from bulkio.files import Keeping, csv, open_source
source = open_source(csv(io.BytesIO(b"a\\n1\\n")), batch_rows=7, keeping=Keeping())
print(source.paths[0], flush=True)
sys.stdin.readline()
"""


@contextmanager
def piped(data: bytes) -> Iterator[str]:
    """Yield the path of a pipe through which these bytes come."""
    reader, writer = os.pipe()

    def fill() -> None:
        with os.fdopen(writer, "wb") as file:
            file.write(data)

    thread = threading.Thread(target=fill)
    thread.start()
    try:
        yield f"/dev/fd/{reader}"
    finally:
        thread.join()
        os.close(reader)


def dataset(tmp_path: Path) -> ds.Dataset:
    """Return the table as a dataset of files."""
    pq.write_table(TABLE, tmp_path / "x.parquet")
    return ds.dataset(tmp_path / "x.parquet")


#: sources with the table's rows, as texts or with types
SOURCES: dict[str, Callable[[Path], object]] = {
    "a CSV that is open": lambda _: csv(io.BytesIO(CSV)),
    "a packed CSV that is open": lambda _: csv(io.BytesIO(gzip.compress(CSV))),
    "an Arrow stream that is open": lambda _: io.BytesIO(arrow_stream()),
    "a table": lambda _: TABLE,
    "a batch": lambda _: TABLE.to_batches()[0],
    "a reader": lambda _: TABLE.to_reader(max_chunksize=7),
    "a capsule": lambda _: Capsule(),
    "an iterator": lambda _: iter(TABLE.to_batches(max_chunksize=7)),
    "a list": lambda _: TABLE.to_batches(max_chunksize=7),
    "a dataset": dataset,
    "a scanner": lambda path: dataset(path).scanner(),
}
PIPES = {"CSV": ("csv", CSV), "Arrow": ("arrows", arrow_stream())}


def reject_some(source: FileSource, folder: Path) -> Path:
    """Reject rows 3 and 30, and return the file that they went to."""
    folder.mkdir()
    is_csv = source.spelling is not None
    dest = folder / ("bad.csv" if is_csv else "bad.arrow")
    file = RejectFile(str(dest), source)
    file.begin(None)
    for chunk in source.chunks(4):
        rows = range(chunk.counts_from, chunk.counts_from + (chunk.rows or 30))
        file.store(chunk, [Reject(row, "no") for row in (3, 30) if row in rows])
    file.finish(2)
    return dest


def check_kept(source: object, name: str, folder: Path) -> None:
    """Look at all that a source that was kept gives, and what is loaded again of it."""
    assert isinstance(source, FileSource)
    rows = [dict(row) for batch in source.batches() for row in batch.to_pylist()]
    wanted = TABLE.select(["text"]).to_pylist()
    assert rows == wanted
    assert source.batches() is not source.batches()
    assert (source.name, source.has_files, source.size_bytes) == (name, False, None)
    assert source.cut_bytes
    [note] = source.notes
    assert note.startswith(f"{name} can be read once, and rejected records are read again: its ")
    dest = reject_some(source, folder)
    again = open_source(dest, batch_rows=100)
    found = [row for batch in again.batches() for row in batch.to_pylist()]
    assert [(int(row["id"]), row["text"]) for row in found] == [(3, "x2"), (30, "x29")]
    if source.spelling is None:
        assert again.schema.equals(TABLE.schema, check_metadata=True)
    lines = [json.loads(line) for line in Path(f"{dest}.errors.jsonl").read_text().splitlines()]
    assert [(line["file"], line["row"]) for line in lines] == [(name, 3), (name, 30)]
    source.close()
    assert nothing_is_left()


@pytest.mark.parametrize("kind", SOURCES)
def test_what_is_kept(tmp_path, kind):
    """Each kind is read as often as is wanted; its records have all columns, and can be loaded again."""
    what = SOURCES[kind](tmp_path)
    source = open_source(what, batch_rows=8, columns=["text"], keeping=Keeping())
    check_kept(source, type(getattr(what, "path", what)).__name__, tmp_path / "out")
    assert source.reads_once == (kind not in ("a table", "a batch"))


@pytest.mark.parametrize("kind", PIPES)
def test_pipes(tmp_path, monkeypatch, kind):
    """Pipes and stdin are kept like open files."""
    fmt, data = PIPES[kind]
    with piped(data) as path:
        source = open_source(FormattedFile(path, fmt), batch_rows=8, columns=["text"], keeping=Keeping())
        check_kept(source, path, tmp_path / "out")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
    source = open_source(FormattedFile("-", fmt), batch_rows=8, columns=["text"], keeping=Keeping())
    check_kept(source, "stdin", tmp_path / "two")


async def some_batches() -> AsyncIterator[pa.RecordBatch]:
    """Yield the table's batches."""
    for batch in TABLE.to_batches(max_chunksize=7):
        await asyncio.sleep(0)
        yield batch


def test_async_iterables(tmp_path):
    """They are taken from in their event loop, and kept before anything else happens."""

    async def run() -> None:
        async with open_async_source(some_batches(), batch_rows=8, columns=("text",), keeping=Keeping()) as source:
            check_kept(source, "async_generator", tmp_path / "out")

    asyncio.run(run())


def test_a_cancelled_async_iterable():
    """A cancellation ends the keeping of one that never yields."""

    async def never() -> AsyncIterator[pa.RecordBatch]:
        yield TABLE.to_batches()[0]
        waiting.set()
        await asyncio.sleep(3600)

    async def run() -> None:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(open_async_source(never(), batch_rows=8, columns=None, keeping=Keeping()))

    async def cancel() -> None:
        task = asyncio.create_task(run())
        await waiting.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    waiting = asyncio.Event()
    asyncio.run(cancel())
    assert nothing_is_left()


@pytest.mark.parametrize("kind", ["a CSV that is open", "an Arrow stream that is open", "an iterator"])
def test_keeping_that_is_given_up(tmp_path, kind):
    """Whoever opens it can stop in between; nothing is left."""
    with pytest.raises(FileError, match="the reading was stopped"):
        open_source(SOURCES[kind](tmp_path), batch_rows=8, keeping=Keeping(lambda: True))
    assert nothing_is_left()


def test_what_goes_wrong(tmp_path):
    """The user's own errors pass through, the system's name the file, and columns are looked for first."""

    def failing() -> Iterator[pa.RecordBatch]:
        yield from TABLE.to_batches(max_chunksize=7)
        raise ValueError("the user's")

    with pytest.raises(ValueError, match="the user's"):
        open_source(failing(), batch_rows=8, keeping=Keeping())
    with pytest.raises(SchemaError, match="has no column none"):
        open_source(failing(), batch_rows=8, columns=["none"], keeping=Keeping())
    noise = pa.record_batch({"x": [os.urandom(1000) for _ in range(300)]})
    for big in (noise, csv(io.BytesIO(b"x\n" * 70_000))):
        with small_files(), pytest.raises(FileError, match=r"bulkio-.*cannot be written: File too large"):
            open_source(big, batch_rows=8, keeping=Keeping())
    source = open_source(csv(io.BytesIO(b'a\nx"\n')), batch_rows=8, keeping=Keeping())
    with pytest.raises(CsvError, match=r"^BytesIO: line 2, column 1 \"a\": a quote inside"):
        list(source.batches())
    source.close()
    assert nothing_is_left()


def test_dictionaries_that_change(tmp_path):
    """What Arrow's file format has no room for is kept as a stream."""
    batches = [pa.record_batch({"d": pa.array([text]).dictionary_encode()}) for text in "abc"]
    source = open_source(iter(batches), batch_rows=8, keeping=Keeping())
    assert [row["d"] for batch in source.batches() for row in batch.to_pylist()] == ["a", "b", "c"]
    source.close()


def test_lines_of_what_is_kept():
    """A bad record of stdin is told with its name and its line."""
    source = open_source(csv(io.BytesIO(b"a,b\n1,2\n3\n")), batch_rows=8, keeping=Keeping())
    told: list[Reject] = []
    [chunk] = source.chunks(1)
    assert len(list(source.read(chunk, told.append))) == 1
    assert [reject.row for reject in told] == [2]
    assert source.place_of_row(2, chunk) == ("BytesIO", 3)
    source.close()


def test_what_killed_processes_have_kept():
    """It is removed by the next that keeps anything, but not what a living one has."""
    with (
        subprocess.Popen(
            [sys.executable, "-c", KEEPING], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as dead,
        subprocess.Popen(
            [sys.executable, "-c", KEEPING], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as alive,
    ):
        assert dead.stdout is not None
        assert alive.stdout is not None
        paths = [Path(process.stdout.readline().strip()) for process in (dead, alive)]
        dead.kill()
        dead.wait()
        source = open_source(csv(io.BytesIO(CSV)), batch_rows=7, keeping=Keeping())
        assert [path.exists() for path in paths] == [False, True]
        assert not paths[0].parent.exists()
        source.close()
        alive.communicate("")
    assert nothing_is_left()
