"""Columns that are named, or excluded by a minus: of files, streams and exports alike."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import bulkio
from bulkio.files import open_source
from servers import connect

if TYPE_CHECKING:
    from pathlib import Path

TABLE = pa.table({"a": [1], "b": [2], "-c": [3]})


def sources(folder: Path) -> list[object]:
    """Return the same columns as a file, an object, a CSV and a stream of CSV."""
    pq.write_table(TABLE, folder / "t.parquet")
    (folder / "t.csv").write_text("a,b,-c\n1,2,3\n")
    stream = bulkio.csv(io.BytesIO(b"a,b,-c\n1,2,3\n"))
    return [folder / "t.parquet", TABLE, folder / "t.csv", stream]


@pytest.mark.parametrize(
    ("columns", "names"),
    [
        (["b", "a"], ["b", "a"]),
        (["-b"], ["a", "-c"]),
        (["-a", '-"-c"'], ["b"]),
        (['"-c"', "a"], ["-c", "a"]),
    ],
)
def test_every_source_takes_both(tmp_path: Path, columns: list[str], names: list[str]) -> None:
    """Named columns come in their order, others in the source's; a minus of the name itself is quoted."""
    for each in sources(tmp_path):
        source = open_source(each, batch_rows=9, columns=columns)
        assert source.schema.names == names
        assert [batch.schema.names for batch in source.batches()] == [names]
        source.close()


def test_an_unknown_column_is_an_error_either_way(tmp_path: Path) -> None:
    """A slip would load what was to be left out."""
    for each in sources(tmp_path):
        with pytest.raises(bulkio.SchemaError, match="has no column bb"):
            open_source(each, batch_rows=9, columns=["-bb"])


def test_both_at_once_are_refused() -> None:
    """Who names some and excludes others means one of both."""
    with pytest.raises(bulkio.ConfigError, match=r"columns names some columns and excludes others \(-b\): do one of"):
        bulkio.load(TABLE, "t", "host=/nowhere", columns=["a", "-b"])


def test_another_file_s_more_columns_are_not_dropped(tmp_path: Path) -> None:
    """Without those that are excluded, the files must be alike."""
    pq.write_table(TABLE, tmp_path / "1.parquet")
    pq.write_table(TABLE.append_column("new", [[4]]), tmp_path / "2.parquet")
    with pytest.raises(bulkio.SchemaError, match="column new is not in the first file"):
        open_source(tmp_path, batch_rows=9, columns=["-a"])
    pq.write_table(TABLE.drop_columns(["b"]), tmp_path / "2.parquet")
    assert open_source(tmp_path, batch_rows=9, columns=["-b"]).schema.names == ["a", "-c"]


def test_a_partition_in_the_path_is_not_dropped(tmp_path: Path) -> None:
    """What a folder's name says is data, unless it is excluded or others are named."""
    (tmp_path / "day=1").mkdir()
    pq.write_table(TABLE, tmp_path / "day=1" / "a.parquet")
    with pytest.raises(bulkio.SchemaError, match="day stands in its path"):
        open_source(tmp_path / "day=1" / "a.parquet", batch_rows=9, columns=["-a"])


def test_an_export_takes_both(dsn: str, tmp_path: Path) -> None:
    """A table's columns are excluded alike."""
    with connect(dsn) as conn:
        conn.execute("CREATE TABLE t (a int, b int, c int)")
    bulkio.export("t", tmp_path / "t.parquet", dsn, columns=["-b"])
    assert pq.read_schema(tmp_path / "t.parquet").names == ["a", "c"]
    with pytest.raises(bulkio.SchemaError, match='"x": the table has no such column'):
        bulkio.export("t", tmp_path / "t.parquet", dsn, columns=["-x"])
