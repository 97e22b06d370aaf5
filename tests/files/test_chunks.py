"""Chunks: ranges of a source that are read on their own, in any order, and give the same rows with the same numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.ipc as pa_ipc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bulkio.errors import ConfigError, EncodeError, FileError
from bulkio.files import FileSource, open_source
from bulkio.files.formats.csv.reader import CsvPart
from bulkio.pgcopy import Field
from bulkio.transfer.send import encode_batches
from bulkio.types import base_type, cast_to_pg

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from bulkio.protocols import Chunk


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
    first_row = 1 if chunk is None or chunk.first_row is None else chunk.first_row
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
    """Files of CSV are cut between their records; what lies behind one of them has no row number yet."""
    paths = [tmp_path / "a.csv", tmp_path / "b.csv"]
    for number, path in enumerate(paths):
        path.write_text("id,text\n" + "".join(f'{50 * number + row},"a\nb"\n' for row in range(1, 51)))
    source = FileSource([CsvPart(str(path)) for path in paths], batch_rows=7)
    chunks = source.chunks(count)
    assert len(chunks) <= count
    rows = [ids(source.read(chunk)) for chunk in reversed(chunks)]
    assert [int(row) for found in reversed(rows) for row in found] == list(range(1, 101))
    assert chunks[0].first_row == 1
    assert chunks[-1].first_row is None or count == 1
