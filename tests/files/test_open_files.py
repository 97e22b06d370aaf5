"""Files that are open already: read from where they stand, as what their content tells, like files by name."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.ipc as pa_ipc
import pyarrow.parquet as pq
import pytest

from bulkio.errors import ConfigError, FileError
from bulkio.files import CsvFile, open_source

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TABLE = pa.table({"id": pa.array(range(100), pa.int64()), "text": [f"text {n}" for n in range(100)]})


def parquet() -> bytes:
    """Return the table as Parquet."""
    pq.write_table(TABLE, file := io.BytesIO())
    return file.getvalue()


def ipc(make: Callable[..., pa_ipc.RecordBatchStreamWriter]) -> bytes:
    """Return the table as Arrow IPC."""
    with make(file := io.BytesIO(), TABLE.schema) as writer:
        writer.write_table(TABLE)
    return file.getvalue()


FORMATS = {"parquet": parquet(), "arrow": ipc(pa_ipc.new_file), "arrows": ipc(pa_ipc.new_stream)}


def read(source: object) -> list[dict[str, object]]:
    """Return all that a source gives."""
    opened = open_source(source, batch_rows=30)
    try:
        return [row for batch in opened.batches() for row in batch.to_pylist()]
    finally:
        opened.close()


@pytest.mark.parametrize("data", FORMATS.values(), ids=FORMATS)
def test_what_the_content_tells(tmp_path: Path, data: bytes) -> None:
    """In memory, by a name without an ending, and behind what was read already."""
    assert read(io.BytesIO(data)) == TABLE.to_pylist()
    path = tmp_path / "data"
    path.write_bytes(data)
    with path.open("rb") as file:
        assert read(file) == TABLE.to_pylist()
    path.write_bytes(b"head" + data)
    with path.open("rb") as file:
        file.seek(4)
        assert read(file) == TABLE.to_pylist()
        assert not file.closed


def test_a_file_that_is_whole_is_not_copied(tmp_path: Path) -> None:
    """It is read by its name, which errors and reports then tell."""
    path = tmp_path / "x.parquet"
    path.write_bytes(FORMATS["parquet"])
    with path.open("rb") as file:
        source = open_source(file, batch_rows=30)
        assert source.name == str(path)
        source.close()


def test_a_file_that_was_replaced_meanwhile(tmp_path: Path) -> None:
    """What is open is read, not what has its name now."""
    path = tmp_path / "x.parquet"
    path.write_bytes(FORMATS["parquet"])
    with path.open("rb") as file:
        path.unlink()
        path.write_bytes(b"")
        assert read(file) == TABLE.to_pylist()


@pytest.mark.parametrize(
    ("file", "kind", "message"),
    [
        (io.BytesIO(b"a,b\n1,2\n"), ConfigError, r"CSV is not guessed: if it is one, say so .*bulkio\.csv"),
        (io.BytesIO(b""), ConfigError, "its format is not one that bulkio knows"),
        (io.StringIO("a,b\n"), ConfigError, "open it in binary mode"),
        (io.BytesIO(FORMATS["parquet"][:-20]), FileError, "cannot be read"),
        (io.BytesIO(FORMATS["arrows"][:-20]), FileError, "cut short|cannot be read"),
    ],
)
def test_what_cannot_be_read(file: object, kind: type[Exception], message: str) -> None:
    """It is an error that says what to do; nothing is left behind."""
    with pytest.raises(kind, match=message):
        read(file)


def test_a_csv_that_is_open() -> None:
    """The user says that it is one."""
    assert read(CsvFile(io.BytesIO(b"a;b\n1;2\n"), delimiter=";")) == [{"a": "1", "b": "2"}]
