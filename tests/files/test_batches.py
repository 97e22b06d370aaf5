"""Datasets, scanners and iterables of batches as sources: read once, in order; the user's own errors stay their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from bulkio.errors import ConfigError, FileError, SchemaError
from bulkio.files import open_source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

TABLE = pa.table({"id": pa.array(range(1000), pa.int64()), "text": [f"text {n}" for n in range(1000)]})


def read(source: object, columns: list[str] | None = None) -> pa.Table:
    """Return all that a source gives; its batches keep to the size."""
    opened = open_source(source, batch_rows=300, columns=columns)
    batches = list(opened.batches())
    opened.close()
    assert all(0 < batch.num_rows <= 300 for batch in batches)
    return pa.Table.from_batches(batches, opened.schema)


def dataset(folder: Path) -> ds.Dataset:
    """Return a dataset of two files."""
    for number in range(2):
        pq.write_table(TABLE.slice(number * 500, 500), folder / f"{number}.parquet")
    return ds.dataset(folder)


SOURCES: list[Callable[[Path], object]] = [
    dataset,
    lambda folder: dataset(folder).scanner(),
    lambda _: TABLE.to_batches(max_chunksize=100),
    lambda _: tuple(TABLE.to_batches(max_chunksize=100)),
    lambda _: iter(TABLE.to_batches(max_chunksize=100)),
    lambda _: (batch for batch in TABLE.to_batches(max_chunksize=700)),
    lambda _: [TABLE.slice(0, 500), *TABLE.slice(500).to_batches()],
]


@pytest.mark.parametrize("make", SOURCES)
def test_what_yields_batches(tmp_path: Path, make: Callable[[Path], object]) -> None:
    """All rows come, in order."""
    assert read(make(tmp_path)).equals(TABLE)


@pytest.mark.parametrize("make", SOURCES)
def test_chosen_columns(tmp_path: Path, make: Callable[[Path], object]) -> None:
    """Columns are chosen as those of any other source; an unknown one is an error that names it."""
    assert read(make(tmp_path), ["text"]).equals(TABLE.select(["text"]))
    with pytest.raises(SchemaError, match="has no column txt"):
        read(make(tmp_path), ["txt"])


@pytest.mark.parametrize("make", SOURCES)
def test_it_is_read_once(tmp_path: Path, make: Callable[[Path], object]) -> None:
    """A second reading is refused."""
    opened = open_source(make(tmp_path), batch_rows=300)
    list(opened.batches())
    with pytest.raises(FileError, match="can be read once only"):
        next(opened.batches())
    opened.close()


def test_nothing_is_read_before_it_is_asked_for() -> None:
    """Of an iterator the first batch alone is, for its columns."""
    taken = []
    opened = open_source((taken.append(1) or batch for batch in TABLE.to_batches(100)), batch_rows=300)
    assert len(taken) == 1
    opened.close()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (iter([]), "the list_iterator yields nothing"),
        (iter([1]), "item 1 of the list_iterator is of type int, not a RecordBatch"),
        (iter([{"a": 1}]), r"item 1 .* is of type dict, .*; give rows as a list"),
        ([TABLE, 1], "item 2 of the list is of type int, not a RecordBatch"),
    ],
)
def test_what_yields_no_batches(source: object, message: str) -> None:
    """The error names the item."""
    with pytest.raises(ConfigError, match=message):
        read(source)


def test_batches_that_differ() -> None:
    """Nothing of a batch with other columns is read."""
    with pytest.raises(FileError, match="list: batch 2 has another schema than the stream: id is string, not int64"):
        read([TABLE.select(["id"]), pa.table({"id": ["x"]})])


class MineError(OSError):
    """An error that would be a file's, were it not the user's own."""


@pytest.mark.parametrize(
    "error", [ValueError("mine"), MineError("mine"), FileNotFoundError(2, "mine"), KeyError("mine")]
)
@pytest.mark.parametrize("batches_before", [0, 2])
@pytest.mark.parametrize("as_reader", [False, True])
def test_the_user_s_own_error(error: Exception, batches_before: int, as_reader: bool) -> None:
    """It comes out as the very object that was raised, and not as a FileError."""

    def batches() -> Iterator[pa.RecordBatch]:
        yield from TABLE.to_batches(max_chunksize=100)[:batches_before]
        raise error

    source = pa.RecordBatchReader.from_batches(TABLE.schema, batches()) if as_reader else batches()
    with pytest.raises(type(error)) as caught:
        read(source)
    assert caught.value is error


def test_a_dataset_s_file_that_is_gone(tmp_path: Path) -> None:
    """That is a FileError, as of any file."""
    source = dataset(tmp_path)
    (tmp_path / "1.parquet").unlink()
    with pytest.raises(FileError, match="FileSystemDataset: cannot be read: No such file"):
        read(source)
