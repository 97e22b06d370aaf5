"""Parquet's logical types that pyarrow shows as something else: loaded as what they are, or refused by name."""

from __future__ import annotations

import datetime as dt
import re
import struct
from typing import TYPE_CHECKING

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import bulkio
from bulkio.errors import FileError, SchemaError
from bulkio.files import open_source
from bulkio.types.geo import arrow_extension, field_typmod
from older_pyarrow import needs_pyarrow
from servers import fetch

if TYPE_CHECKING:
    from pathlib import Path

# How a column of strings stands in a footer (Thrift's compact protocol, from SchemaElement's field 4 on):
# converted_type UTF8, logicalType STRING.
STRING = b"\x25\x00\x4c\x1c\x00\x00"
ENUM = b"\x25\x08\x4c\x4c\x00\x00"
#: logicalType alone, of numbers that need a longer form: 17, 18 and one that does not exist
GEOMETRY, GEOGRAPHY, FUTURE = b"\x6c\x0c\x22\x00\x00", b"\x6c\x0c\x24\x00\x00", b"\x6c\x0c\x30\x00\x00"
GEOMETRY_3857 = b"\x6c\x0c\x22\x18\x09EPSG:3857\x00\x00"
POINT = bytes.fromhex("0101000000000000000000f03f0000000000000040")


def duck(path: Path, select: str) -> Path:
    """Let DuckDB write a file."""
    duckdb.sql(f"COPY ({select}) TO '{path}' (FORMAT parquet)")
    return path


#: what pyarrow does since 20
IGNORES = "reads a file of logical types that it does not know"


def write_as(path: Path, logical: bytes, column: pa.Array) -> Path:
    """Write strings or bytes under a logical type that pyarrow does not write."""
    text = column.cast(pa.string()) if pa.types.is_string(column.type) else column
    old = STRING if pa.types.is_string(text.type) or pa.types.is_nested(text.type) else None
    pq.write_table(pa.table({"id": range(len(text)), "c": text}), path, store_schema=False, compression="none")
    data = path.read_bytes()
    size = struct.unpack("<I", data[-8:-4])[0]
    footer = data[-8 - size : -8]
    old = STRING if old else b"\x18\x01c\x00"  # the end of an element without logical type: its name
    assert footer.count(old) == 1
    footer = footer.replace(old, logical if old == STRING else old[:-1] + logical + b"\x00")
    path.write_bytes(data[: -8 - size] + footer + struct.pack("<I", len(footer)) + b"PAR1")
    return path


def read(path: Path, **options: object) -> pa.Table:
    """Read a file as a load does."""
    source = open_source(path, batch_rows=100, **options)
    return pa.Table.from_batches(list(source.batches()), source.schema)


def refuse(path: Path, message: str, column: str = "c") -> None:
    """Check that the column is refused by name, and that the others can be had."""
    with pytest.raises(SchemaError, match=rf'(?s)x\.parquet: .*"{column}" {message}') as caught:
        open_source(path, batch_rows=10)
    assert caught.value.columns == (column,)
    assert read(path, columns=["id"]).column_names == ["id"]


@pytest.mark.parametrize(
    "value", ["INTERVAL 3 MONTH", "[INTERVAL 1 DAY]", "{'a': INTERVAL 1 DAY}", "MAP{'a': INTERVAL 1 DAY}"]
)
def test_duckdb_s_intervals(tmp_path: Path, value: str) -> None:
    """They came as 12 bytes, into a bytea column."""
    refuse(duck(tmp_path / "x.parquet", f"SELECT 1 AS id, {value} AS c"), "is an interval")


def test_times_with_a_zone(tmp_path: Path) -> None:
    """DuckDB's TIMETZ lost its zone; its TIME has none, as those of Arrow and polars, whatever their files say."""
    needs_pyarrow(23, "writes times of day in UTC")
    refuse(duck(tmp_path / "x.parquet", "SELECT 1 AS id, TIMETZ '12:00:00+02' AS c"), "is a time of day in UTC")
    for path in (
        duck(tmp_path / "t.parquet", "SELECT TIME '12:00:00' AS c"),
        tmp_path / "a.parquet",
        tmp_path / "old.parquet",
        tmp_path / "p.parquet",
    ):
        times = pa.table({"c": pa.array([dt.time(12)])})
        if path.name == "a.parquet":
            pq.write_table(times, path, write_time_adjusted_to_utc=True)
        if path.name == "old.parquet":
            pq.write_table(times, path, write_time_adjusted_to_utc=True, store_schema=False)
        if path.name == "p.parquet":
            pl.from_arrow(times).write_parquet(path)
        assert read(path)["c"].to_pylist() == [dt.time(12)]


def test_enums_are_text(one_dsn: str, tmp_path: Path) -> None:
    """As parquet-mr and Avro write them: pyarrow shows bytes. In lists and structs, too."""
    path = write_as(tmp_path / "x.parquet", ENUM, pa.array(["a", None, "ü"]))
    assert read(path)["c"].to_pylist() == ["a", None, "ü"]
    bulkio.load(path, "t", one_dsn)
    assert fetch(one_dsn, "SELECT c, pg_typeof(c)::text FROM t") == [("a", "text"), (None, "text"), ("ü", "text")]
    for nested in (pa.array([["a", None], None, []]), pa.array([{"a": "x", "n": 1}, None])):
        path = write_as(tmp_path / "n.parquet", ENUM, nested)
        assert read(path)["c"].to_pylist() == nested.to_pylist()


@pytest.mark.parametrize(
    ("logical", "name", "typmod"),
    [(GEOMETRY, "geometry", 4326), (GEOMETRY_3857, "geometry", 3857), (GEOGRAPHY, "geography", 4326)],
)
def test_geometries_have_their_coordinates(tmp_path: Path, logical: bytes, name: str, typmod: int) -> None:
    """They were bytes, which say nothing of them; so a new table has a column of PostGIS."""
    needs_pyarrow(20, IGNORES)
    field = read(write_as(tmp_path / "x.parquet", logical, pa.array([POINT], pa.binary()))).schema.field("c")
    assert (arrow_extension(field), field_typmod(field) >> 8) == (name, typmod)


def test_geometries_in_lists_are_refused(tmp_path: Path) -> None:
    """Their coordinates would be lost."""
    needs_pyarrow(20, IGNORES)
    refuse(write_as(tmp_path / "x.parquet", GEOMETRY, pa.array([["x"]])), "is a geometry inside a nested type")


def test_logical_types_of_the_future(tmp_path: Path) -> None:
    """What the bytes mean, nobody here knows."""
    needs_pyarrow(20, IGNORES)
    refuse(write_as(tmp_path / "x.parquet", FUTURE, pa.array(["x"])), "has a logical type that pyarrow does not know")


def test_variants(tmp_path: Path) -> None:
    """DuckDB writes them; pyarrow shows a struct of bytes."""
    needs_pyarrow(20, IGNORES)
    refuse(duck(tmp_path / "x.parquet", "SELECT 1 AS id, 42::VARIANT AS c"), "is a variant")


@pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".arrows"])
def test_integers_of_128_bits_are_told_by_name(tmp_path: Path, suffix: str) -> None:
    """Polars has them; pyarrow does not even open the file."""
    big = pl.Series([1], dtype=pl.Int128)
    frame = pl.DataFrame({"id": [1], "big one": big, "in": pl.Series([[1]], dtype=pl.List(pl.Int128)), "ü": big})
    path = tmp_path / f"x{suffix}"
    {".parquet": frame.write_parquet, ".arrow": frame.write_ipc, ".arrows": frame.write_ipc_stream}[suffix](path)
    with pytest.raises(FileError, match=re.escape('columns "big one", "in", "ü" hold integers of more than 64 bits')):
        open_source(path, batch_rows=10)
