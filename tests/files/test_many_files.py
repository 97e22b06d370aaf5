"""Sources of many files: what is the same in all of them is looked at once, and nothing of any file is lost by that."""

from __future__ import annotations

import resource
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.ipc as pa_ipc
import pyarrow.parquet as pq
import pytest

from bulkio.errors import FileError, SchemaError
from bulkio.files import CsvFile, FileSource, open_source

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def table(first: int, rows: int) -> pa.Table:
    """Return rows that tell their number, and a column with few values."""
    ids = range(first, first + rows)
    return pa.table({"id": pa.array(ids, pa.int64()), "few": pa.array([f"f{n % 3}" for n in ids], pa.string())})


def opened(source: object) -> FileSource:
    """Open files."""
    found = open_source(source, batch_rows=50)
    assert isinstance(found, FileSource)
    return found


@contextmanager
def few_open_files(count: int) -> Iterator[None]:
    """Let the process open no more than so many files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("suffix", ["parquet", "arrow", "arrows", "csv"])
def test_more_files_than_may_be_open(tmp_path: Path, suffix: str) -> None:
    """None stays open behind its metadata; they share one schema, and are cut and read as one."""
    for number in range(300):
        path, content = tmp_path / f"{number:03}.{suffix}", table(number * 10, 10)
        if suffix == "parquet":
            pq.write_table(content, path)
        elif suffix == "csv":
            path.write_text("id,few\n" + "".join(f"{row['id']},{row['few']}\n" for row in content.to_pylist()))
        else:
            make = pa_ipc.new_file if suffix == "arrow" else pa_ipc.new_stream
            with make(path, content.schema) as writer:
                writer.write_table(content)
    with few_open_files(200):
        source = opened(f"{tmp_path}/*.csv" if suffix == "csv" else tmp_path)
        chunks = source.chunks(7)
        found = [int(value) for chunk in chunks for batch in source.read(chunk) for value in batch["id"].to_pylist()]
    assert found == list(range(3000))
    assert len(chunks) == 7
    assert len({id(part.schema) for part in source._parts}) == 1


def test_files_of_several_schemas_share_each(tmp_path: Path) -> None:
    """In turns: pandas writes a number of rows into each file's schema, which makes it no other schema."""
    for number in range(40):
        content = table(number, 1 + number)
        if number % 2:
            content = content.select(["few", "id"])
        content.to_pandas().to_parquet(tmp_path / f"{number:02}.parquet")
    source = opened(tmp_path)
    assert len({id(part.schema) for part in source._parts}) == 2
    rows = [row for batch in source.batches() for row in batch.to_pylist()]
    assert rows == [row for number in range(40) for row in table(number, 1 + number).to_pylist()]


def test_a_file_with_another_writer_s_times_keeps_its_types(tmp_path: Path) -> None:
    """The schemas of two files may look the same to pyarrow, and mean other things: these are told apart."""
    days = pa.table({"t": pa.array([1, 2], pa.timestamp("us"))})
    zoned = pa.table({"t": pa.array([1, 2], pa.timestamp("us", "UTC"))})
    pq.write_table(days, tmp_path / "1.parquet", use_deprecated_int96_timestamps=True)
    pq.write_table(zoned, tmp_path / "2.parquet", use_deprecated_int96_timestamps=True)
    with pytest.raises(SchemaError, match=r"2\.parquet: column t is timestamp\[us, tz=UTC\], not timestamp\[us\]"):
        opened(tmp_path)


def test_the_differences_of_many_files_are_counted(tmp_path: Path) -> None:
    """A message about thousands of files shows the first ones."""
    for number in range(31):
        content = table(0, 1) if number == 0 else pa.table({"id": ["x"], "few": ["y"]})
        pq.write_table(content, tmp_path / f"{number:02}.parquet")
    with pytest.raises(SchemaError) as caught:
        opened(tmp_path)
    lines = str(caught.value).splitlines()
    assert lines[1].endswith("01.parquet: column id is string, not int64")
    assert lines[20].endswith("20.parquet: column id is string, not int64")
    assert lines[21:] == ["  and 10 more"]


def test_an_empty_file_tells_nothing_of_the_values(tmp_path: Path) -> None:
    """Among others it does not keep columns with few values from being read as dictionaries; alone it has none."""
    pq.write_table(table(0, 0), tmp_path / "0.parquet")
    assert opened(tmp_path / "0.parquet").schema.field("few").type == pa.string()
    pq.write_table(table(0, 1000), tmp_path / "1.parquet")
    source = opened(tmp_path)
    assert source.schema.field("few").type == pa.dictionary(pa.int32(), pa.string())
    assert sum(batch.num_rows for batch in source.batches()) == 1000


def test_a_file_that_does_not_have_few_values_after_all(tmp_path: Path) -> None:
    """Only the largest files are looked at; what another one holds comes as it is."""
    for number in range(16):
        pq.write_table(table(number, 1000), tmp_path / f"{number:02}.parquet")
    many = pa.table({"id": pa.array(range(300), pa.int64()), "few": [f"value {n}" for n in range(300)]})
    pq.write_table(many, tmp_path / "16.parquet", use_dictionary=False)
    source = opened(tmp_path)
    assert source.schema.field("few").type == pa.dictionary(pa.int32(), pa.string())
    values = [value for batch in source.batches() for value in batch["few"].to_pylist()]
    assert values[-300:] == many["few"].to_pylist()


def test_the_first_damaged_file_is_told(tmp_path: Path) -> None:
    """Of many files, in their order."""
    for number in range(50):
        pq.write_table(table(number, 1), tmp_path / f"{number:02}.parquet")
    for number in (20, 30):
        (tmp_path / f"{number}.parquet").write_bytes(b"PAR1 damaged")
    with pytest.raises(FileError, match=r"20\.parquet: cannot be read"):
        opened(tmp_path)


def test_a_long_header_is_found(tmp_path: Path) -> None:
    """A CSV's header is looked for in small pieces, as far as it goes."""
    names = [f"column {number} {'x' * 100}" for number in range(2000)]
    (tmp_path / "a.csv").write_text(",".join(names) + "\n" + ",".join("1" for _ in names) + "\n")
    source = open_source(CsvFile(tmp_path / "a.csv"), batch_rows=5)
    assert source.schema.names == names
    assert sum(batch.num_rows for batch in source.batches()) == 1


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_geometries_of_other_coordinates_are_another_type(tmp_path: Path, suffix: str) -> None:
    """They stand in the field's metadata; loaded as the first file's, they would be elsewhere."""
    for number, crs in enumerate(['{"crs": "EPSG:4326", "edges": "planar"}', '{"edges":"planar","crs":"EPSG:4326"}']):
        write_geometry(tmp_path / f"{number}.{suffix}", crs)
    assert len(opened(tmp_path).schema) == 1
    write_geometry(tmp_path / f"2.{suffix}", '{"crs": "EPSG:3857"}')
    with pytest.raises(SchemaError) as caught:
        opened(tmp_path)
    assert f"2.{suffix}: column g is geoarrow.wkb {{" in str(caught.value)
    assert '"EPSG:3857"}, not geoarrow.wkb {"crs": "EPSG:4326", "edges": "planar"}' in str(caught.value)


def write_geometry(path: Path, about: str) -> None:
    """Write a column that says it holds geometries."""
    metadata = {"ARROW:extension:name": "geoarrow.wkb", "ARROW:extension:metadata": about}
    content = pa.table([pa.array([b"x"])], schema=pa.schema([pa.field("g", pa.binary(), metadata=metadata)]))
    if path.suffix == ".parquet":
        pq.write_table(content, path)
    else:
        with pa_ipc.new_file(path, content.schema) as writer:
            writer.write_table(content)
