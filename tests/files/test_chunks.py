"""Chunks: ranges of a source that are read on their own, in any order, and give the same rows with the same numbers."""

from __future__ import annotations

import gzip
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.ipc as pa_ipc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bulkio.errors import ConfigError, EncodeError, FileError
from bulkio.files import CsvFile, FileSource, open_source
from bulkio.files.formats.csv.reader import CsvPart
from bulkio.files.shape import ShapedSource
from bulkio.forms.encoding import encode_batches
from bulkio.pgcopy import Field
from bulkio.types import base_type, cast_to_pg

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from bulkio.protocols import Chunk, Source


def table(first: int, rows: int) -> pa.Table:
    """Return rows that tell by their id which one of the source they are."""
    ids = range(first, first + rows)
    few = pa.array([f"f{n % 3}" for n in ids], pa.string()).dictionary_encode()
    return pa.table({"id": pa.array(ids, pa.int64()), "few": few})


def write_parquet(path: Path, content: pa.Table, unit_rows: int) -> None:
    """Write row groups of this many rows."""
    pq.write_table(content, path, row_group_size=unit_rows)


def write_ipc(path: Path, content: pa.Table, unit_rows: int) -> None:
    """Write batches of this many rows, compressed in every second file."""
    options = pa_ipc.IpcWriteOptions(compression="lz4" if unit_rows % 2 else None)
    with pa_ipc.new_file(path, content.schema, options=options) as writer:
        writer.write_table(content.unify_dictionaries(), max_chunksize=unit_rows)


def write_stream(path: Path, content: pa.Table, unit_rows: int) -> None:
    """Write a stream, which does not tell its rows."""
    with pa_ipc.new_stream(path, content.schema) as writer:
        writer.write_table(content, max_chunksize=unit_rows)


WRITERS: dict[str, Callable[[Path, pa.Table, int], None]] = {
    ".parquet": write_parquet,
    ".arrow": write_ipc,
    ".arrows": write_stream,
}

#: (format, rows, rows of a row group or batch) of the files of a source
FILES = st.lists(
    st.tuples(st.sampled_from(list(WRITERS)), st.integers(0, 60), st.integers(1, 25)), min_size=1, max_size=5
)


def open_files(folder: Path, files: Iterable[tuple[str, int, int]]) -> FileSource:
    """Write files with the rows 1, 2, … and open them in that order."""
    paths, first = [], 1
    for number, (suffix, rows, unit_rows) in enumerate(files):
        path = folder / f"{number}{suffix}"
        WRITERS[suffix](path, table(first, rows), unit_rows)
        paths.append(path)
        first += rows
    return open_source(paths, batch_rows=7)  # type: ignore[return-value]


def ids(batches: Iterable[pa.RecordBatch]) -> list[int]:
    """Return the rows' numbers."""
    return [value for batch in batches for value in batch["id"].to_pylist()]


@settings(max_examples=150, deadline=None)
@given(data=st.data(), files=FILES, count=st.integers(1, 12))
def test_chunks_in_any_order_give_the_rows_in_order(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, files: list[tuple[str, int, int]], count: int
) -> None:
    """Whatever the number of chunks and the order of reading: each row once, and each chunk knows its first row."""
    source = open_files(tmp_path_factory.mktemp("chunks"), files)
    chunks = source.chunks(count)
    assert len(chunks) <= count
    assert [chunk.number for chunk in chunks] == list(range(len(chunks)))
    assert chunks == source.chunks(count)
    found = {chunk.number: ids(source.read(chunk)) for chunk in data.draw(st.permutations(chunks))}
    rows = ids(source.batches())
    assert [row for number in sorted(found) for row in found[number]] == rows == list(range(1, len(rows) + 1))
    untold = any(suffix == ".arrows" for suffix, _, _ in files)
    for chunk in chunks:
        assert chunk.rows in (len(found[chunk.number]), None)
        assert chunk.first_row is not None or untold
        if chunk.first_row is not None and found[chunk.number]:
            assert chunk.first_row == found[chunk.number][0]
    source.close()


def fields(source: FileSource, column: str, pg: str) -> list[Field]:
    """Return the fields that load a source; one column goes into the type `pg`."""
    kinds = {"few": "text", "id": "int8", column: pg}
    found = []
    for field in source.schema:
        cast = cast_to_pg(field.type, base_type(kinds[field.name]))
        assert cast is not None
        found.append(Field(field.name, cast))
    return found


def error_of(source: FileSource, batches: Iterable[pa.RecordBatch], chunk: Chunk | None, pg: str) -> tuple[object, ...]:
    """Encode, and return what the error says; an empty tuple where there is none."""
    column = source.schema.names[-1]
    first_row = 1 if chunk is None else chunk.counts_from
    try:
        for _ in encode_batches(batches, fields(source, column, pg), block_bytes=1 << 10, first_row=first_row):
            pass
    except EncodeError as error:
        return str(error), error.row, error.column
    return ()


#: a column in which one value cannot go: (type in PostgreSQL, what is good, what is bad)
FAULTS = {
    "the codec's": ("int2", 1, 70_000),
    "JSON's": ("json", {"a": 1.5}, {"a": float("nan")}),
}


@pytest.mark.parametrize("fault", ["the codec's", "JSON's"])
@settings(max_examples=60, deadline=None)
@given(data=st.data(), sizes=st.lists(st.integers(1, 40), min_size=1, max_size=3), count=st.integers(1, 9))
def test_errors_name_the_same_row_whatever_the_chunks(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, sizes: list[int], count: int, fault: str
) -> None:
    """A value that cannot go is told by its row of the source, as a load from the start tells it."""
    pg, good, bad = FAULTS[fault]
    row = data.draw(st.integers(1, sum(sizes)))
    folder = tmp_path_factory.mktemp("faults")
    paths, first = [], 1
    for number, size in enumerate(sizes):
        content = table(first, size)
        values = pa.array([bad if n == row else good for n in range(first, first + size)])
        paths.append(folder / f"{number}{data.draw(st.sampled_from(['.parquet', '.arrow']))}")
        WRITERS[paths[-1].suffix](paths[-1], content.append_column("value", values), 4)
        first += size
    source: FileSource = open_source(paths, batch_rows=3)  # type: ignore[assignment]
    whole = error_of(source, source.batches(), None, pg)
    assert whole[1:] == (row, "value")
    found = [
        error_of(source, source.read(chunk), chunk, pg) for chunk in data.draw(st.permutations(source.chunks(count)))
    ]
    assert [error for error in found if error] == [whole]


def test_a_timestamp_that_no_unit_holds_is_told_by_its_row_of_the_source(tmp_path: Path) -> None:
    """What the reader itself refuses, INT96 with nanoseconds, has the same row in a chunk."""
    paths = []
    for number in range(2):
        stamps = pa.array([1000 * n + (number == 1 and n == 7) for n in range(10)], pa.timestamp("ns"))
        paths.append(tmp_path / f"{number}.parquet")
        pq.write_table(pa.table({"t": stamps}), paths[-1], use_deprecated_int96_timestamps=True, row_group_size=4)
    source = open_source(paths, batch_rows=3)
    errors = []
    for read in [source.batches, *(lambda chunk=chunk: source.read(chunk) for chunk in reversed(source.chunks(4)))]:
        try:
            list(read())
        except EncodeError as error:
            errors.append((error.row, str(error)))
    assert len(errors) == 2
    assert errors[0] == errors[1]
    assert errors[0][0] == 18


def test_many_small_files_stay_whole(tmp_path: Path) -> None:
    """A file that is no larger than a chunk is not cut; several of them are one chunk."""
    source = open_files(tmp_path, [(".parquet", 20, 5)] * 10)
    chunks = source.chunks(3)
    assert [len(chunk.ranges) for chunk in chunks] == [3, 4, 3]
    assert [chunk.first_row for chunk in chunks] == [1, 61, 141]
    assert [chunk.rows for chunk in chunks] == [60, 80, 60]


@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
def test_a_large_file_is_cut_where_its_units_end(tmp_path: Path, suffix: str) -> None:
    """Row groups and batches are read by one chunk each, about as many rows in each."""
    source = open_files(tmp_path, [(suffix, 100, 9)])
    assert [(chunk.first_row, chunk.rows) for chunk in source.chunks(4)] == [(1, 27), (28, 27), (55, 18), (73, 28)]
    assert len(source.chunks(1000)) == 12


def test_streams_and_objects_are_one_chunk(tmp_path: Path) -> None:
    """What can only be read from its start is not cut, and knows the row that it starts with."""
    stream = open_files(tmp_path, [(".arrows", 100, 9)])
    [chunk] = stream.chunks(8)
    assert (chunk.first_row, chunk.rows) == (1, None)
    objects = open_source(table(1, 100), batch_rows=7)
    [chunk] = objects.chunks(8)
    assert (chunk.first_row, chunk.rows) == (1, 100)
    assert ids(objects.read(chunk)) == list(range(1, 101))


def test_rows_behind_a_stream_are_not_known(tmp_path: Path) -> None:
    """Where an earlier file does not tell its rows, a chunk says so instead of a wrong number."""
    source = open_files(tmp_path, [(".parquet", 30, 9), (".arrows", 30, 9), (".parquet", 30, 9)])
    first, *_, last = source.chunks(3)
    assert (first.first_row, last.first_row) == (1, None)
    assert ids(source.read(last))[-1] == 90


def test_a_chunk_that_gives_other_rows_than_promised_is_refused(tmp_path: Path) -> None:
    """A file that was replaced since it was opened is told, by a chunk as by the whole."""
    source = open_files(tmp_path, [(".parquet", 100, 9)])
    chunks = source.chunks(4)
    write_parquet(tmp_path / "0.parquet", table(1, 90), 9)
    with pytest.raises(FileError, match="was changed or replaced"):
        list(source.read(chunks[-1]))


@pytest.mark.parametrize("source", [table(1, 3), "sample_data/orders.parquet"])
def test_less_than_one_chunk_is_refused(source: object) -> None:
    """Zero chunks would be no rows."""
    with pytest.raises(ConfigError, match="at least 1, not 0"):
        open_source(source, batch_rows=7).chunks(0)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 40])
def test_chunks_of_csv(tmp_path: Path, count: int) -> None:
    """Files of CSV are cut between their records; what lies behind a whole one has no row number yet."""
    paths = [tmp_path / "a.csv", tmp_path / "b.csv"]
    for number, path in enumerate(paths):
        path.write_text("id,text\n" + "".join(f'{50 * number + row},"a\nb"\n' for row in range(1, 51)))
    source = FileSource([CsvPart(str(path)) for path in paths], batch_rows=7)
    chunks = source.chunks(count)
    assert len(chunks) <= count
    rows = [ids(source.read(chunk)) for chunk in reversed(chunks)]
    assert [int(row) for found in reversed(rows) for row in found] == list(range(1, 101))
    assert chunks[0].first_row == 1
    firsts = [int(found[0]) for found in reversed(rows)]
    # Two chunks are two whole files; a file that is cut tells its rows.
    assert [chunk.first_row for chunk in chunks] == ([1, None] if count == 2 else firsts)


#: what ends the lines of a CSV, and what a field holds
LINES = st.tuples(st.sampled_from(["\n", "\r\n", "\r"]), st.sampled_from(["x", '"a\nb"', '"a""\r\n"', '"é,"', '""']))
#: (rows, line ends and text, compressed) of each CSV
CSVS = st.lists(st.tuples(st.integers(0, 40), LINES, st.booleans()), min_size=1, max_size=5)


def write_csvs(folder: Path, files: Iterable[tuple[int, tuple[str, str], bool]]) -> list[Path]:
    """Write files with the rows 1, 2, …; some have nothing but a header."""
    paths, first = [], 1
    for number, (rows, (end, text), is_packed) in enumerate(files):
        content = "".join([f"id,text{end}", *(f"{row},{text}{end}" for row in range(first, first + rows))]).encode()
        path = folder / (f"{number}.csv.gz" if is_packed else f"{number}.csv")
        path.write_bytes(gzip.compress(content) if is_packed else content)
        paths.append(path)
        first += rows
    return paths


def in_threads(source: Source, chunks: Iterable[Chunk]) -> dict[int, list[pa.RecordBatch]]:
    """Read chunks by four threads at the same time, each the next one that nobody has; return what they give."""
    with ThreadPoolExecutor(4) as threads:
        found = threads.map(lambda chunk: (chunk.number, list(source.read(chunk))), chunks)
        return dict(found)


@settings(max_examples=80, deadline=None)
@given(data=st.data(), files=CSVS, count=st.integers(1, 12))
def test_rows_of_csv_have_their_place_whatever_the_chunks(
    tmp_path_factory: pytest.TempPathFactory,
    data: st.DataObject,
    files: list[tuple[int, tuple[str, str], bool]],
    count: int,
) -> None:
    """Read by several threads, in any order, each row comes once, and its number in an error leads to its line."""
    paths = write_csvs(tmp_path_factory.mktemp("places"), files)
    source = open_source(CsvFile(paths), batch_rows=7)
    chunks = source.chunks(count)
    found = in_threads(source, data.draw(st.permutations(chunks)))
    rows = [int(row) for number in sorted(found) for row in ids(found[number])]
    assert rows == list(range(1, len(rows) + 1)) == [int(row) for row in ids(source.batches())]
    for chunk in chunks:
        numbers = [int(row) for row in ids(found[chunk.number])]
        assert chunk.rows in (len(numbers), None)
        assert chunk.first_row is None or not numbers or chunk.first_row == numbers[0]
        for row in data.draw(st.sets(st.sampled_from(numbers), max_size=3)) if numbers else ():
            place = source.place_of_row(chunk.counts_from + row - numbers[0], chunk)
            assert place == place_in(paths, files, row)
            assert source.place_of_row(row) == place
    source.close()


def place_in(paths: list[Path], files: list[tuple[int, tuple[str, str], bool]], row: int) -> tuple[str, int]:
    """Work out the file and line of a row."""
    for path, (rows, (_, text), _) in zip(paths, files, strict=True):
        if row <= rows:
            lines = 1 + len(re.findall("\r\n|\n|\r", text))
            return str(path), 2 + lines * (row - 1)
        row -= rows
    raise AssertionError("no such row")


def test_an_error_in_a_chunk_leads_to_its_own_file(tmp_path: Path) -> None:
    """Rows behind a file that does not tell its rows are counted anew: another chunk's file has the same numbers."""
    paths = write_csvs(tmp_path, [(10, ("\n", "x"), False)] * 4)
    source = open_source(CsvFile(paths), batch_rows=7)
    chunks = source.chunks(4)
    in_threads(source, reversed(chunks))
    assert [chunk.first_row for chunk in chunks] == [1, None, None, None]
    assert [source.place_of_row(5, chunk) for chunk in chunks] == [(str(path), 6) for path in paths]
    assert source.place_of_row(25) == (str(paths[2]), 6)


def test_an_empty_file_read_late_does_not_take_a_row(tmp_path: Path) -> None:
    """It begins with the same row as the file behind it."""
    paths = write_csvs(tmp_path, [(0, ("\n", "x"), False), (10, ("\n", "x"), False)])
    source = open_source(CsvFile(paths), batch_rows=7)
    for chunk in reversed(source.chunks(40)):
        list(source.read(chunk))
    assert source.place_of_row(1) == (str(paths[1]), 2)


@pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".csv"])
def test_added_columns_are_each_reader_s_own(tmp_path: Path, suffix: str) -> None:
    """Threads that read at the same time do not see each other's file or row numbers."""
    paths = [tmp_path / f"{number}{suffix}" for number in range(12)]
    for number, path in enumerate(paths):
        if suffix == ".csv":
            path.write_text("id,few\n" + "".join(f"{row},x\n" for row in range(500 * number + 1, 500 * number + 501)))
        else:
            WRITERS[suffix](path, table(500 * number + 1, 500), 100)
    add = {"file": "{file}", "text": "{file}!"} | ({} if suffix == ".csv" else {"row": "{row}", "at": "{file}:{row}"})
    source = ShapedSource(open_source(paths, batch_rows=7), rename={}, add=add)
    chunks = source.chunks(12)
    assert len(chunks) == 12
    for _ in range(5):
        for batches in in_threads(source, chunks).values():
            for row in (row for batch in batches for row in batch.to_pylist()):
                number = int(row["id"])
                path = str(paths[(number - 1) // 500])
                assert (row["file"], row["text"]) == (path, f"{path}!")
                assert (row.get("row", number), row.get("at", f"{path}:{number}")) == (number, f"{path}:{number}")


@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
def test_a_source_that_is_closed_while_it_is_read(tmp_path: Path, suffix: str) -> None:
    """Every thread that reads is told: the rows so far are not taken for all rows."""
    source = open_files(tmp_path, [(suffix, 20_000, 5000)] * 3)
    chunks = source.chunks(3)
    begun, closed = threading.Barrier(4), threading.Event()

    def read(chunk: Chunk) -> str:
        batches = source.read(chunk)
        next(batches)
        begun.wait()
        closed.wait()  # a thread may be quicker than the other that closes
        try:
            for _ in batches:
                pass
        except FileError as error:
            return str(error)
        return "read all of it"

    with ThreadPoolExecutor(3) as threads:
        reads = [threads.submit(read, chunk) for chunk in chunks]
        begun.wait()
        source.close()
        closed.set()
        assert {each.result() for each in reads} == {f"{source.name}: was closed while it was being read"}


def test_a_reader_that_has_come_to_its_end_has_ended(tmp_path: Path) -> None:
    """The source's end changes nothing about it; nor is one an error that its own thread has closed."""
    source = open_files(tmp_path, [(".parquet", 20, 5)])
    whole, left = source.batches(), source.batches()
    list(whole)
    next(left)
    left.close()  # type: ignore[attr-defined]
    source.close()
    assert (list(whole), list(left)) == ([], [])


@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
def test_one_huge_unit_and_empty_ones(tmp_path: Path, suffix: str) -> None:
    """A row group is never cut; empty files and empty row groups are chunks without rows, or none."""
    source = open_files(tmp_path, [(suffix, 0, 5), (suffix, 1000, 1000), (suffix, 0, 5), (suffix, 3, 1)])
    for count in (1, 2, 5, 100):
        chunks = source.chunks(count)
        assert len(chunks) <= count
        assert sum(chunk.rows or 0 for chunk in chunks) == 1003
        found = in_threads(source, chunks)
        assert [len(ids(found[chunk.number])) for chunk in chunks] == [chunk.rows for chunk in chunks]
        assert [row for number in sorted(found) for row in ids(found[number])] == list(range(1, 1004))


def test_files_of_partition_folders(tmp_path: Path) -> None:
    """A pattern's files are cut in the order of their names, below their folders."""
    first = 1
    for day in range(4):
        (tmp_path / f"day={day}").mkdir()
        for number in range(3):
            content = table(first, 10).append_column("day", pa.array([day] * 10))
            pq.write_table(content, tmp_path / f"day={day}" / f"{number}.parquet")
            first += 10
    source = open_source(f"{tmp_path}/**/*.parquet", batch_rows=7)
    chunks = source.chunks(5)
    assert [chunk.first_row for chunk in chunks] == [1, 21, 51, 71, 101]
    found = in_threads(source, chunks)
    assert [row for number in sorted(found) for row in ids(found[number])] == list(range(1, 121))
