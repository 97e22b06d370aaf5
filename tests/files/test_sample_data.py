"""The sample files: their script makes them again with the same content."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from older_pyarrow import NULL_LISTS, needs_pyarrow

SAMPLE_DATA = Path(__file__).parents[2] / "sample_data"
FILES = ("orders.parquet", "lineitem.parquet", "all_types.parquet")


def cells(table):
    """Return comparable cells: NaN equals itself, and -0.0 differs from 0.0."""
    return [repr(column.to_pylist()) for column in table.columns]


def test_script_remakes_the_committed_content(tmp_path):
    """Schema, metadata and every value are the same."""
    needs_pyarrow(26, NULL_LISTS)
    subprocess.run([sys.executable, str(SAMPLE_DATA / "make_sample_data.py"), str(tmp_path)], check=True)
    for name in FILES:
        committed, again = pq.read_table(SAMPLE_DATA / name), pq.read_table(tmp_path / name)
        assert committed.schema.equals(again.schema, check_metadata=True)
        assert cells(committed) == cells(again)


def test_files_stay_small():
    """They are committed."""
    assert sum((SAMPLE_DATA / name).stat().st_size for name in FILES) < 2 << 20


def test_all_types_keeps_its_promises():
    """Extension types come back, one row is all NULL, every column has NULLs, LATIN1 holds the text."""
    needs_pyarrow(26, NULL_LISTS)
    table = pq.read_table(SAMPLE_DATA / "all_types.parquet")
    assert table.schema.field("uuid").type == pa.uuid()
    assert table.schema.field("json").type == pa.json_()
    assert table.schema.field("uuid_list").type.value_type == pa.uuid()
    assert table.schema.field("json_list").type.value_type == pa.json_()
    assert [column.null_count > 0 for column in table.columns] == [True] * table.num_columns
    assert any(all(not cell.is_valid for cell in row) for row in zip(*table.columns, strict=True))
    for name in ("string", "json", "dictionary"):
        for text in table[name].to_pylist():
            assert "\0" not in (text or "").encode("latin1").decode("latin1")
