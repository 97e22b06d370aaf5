"""Sinks: nothing under the final name before commit, nothing left after a failure."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import pyarrow as pa
import pyarrow.ipc as pa_ipc
import pyarrow.parquet as pq
import pytest

from bulkio.errors import ConfigError, FileError, SchemaError
from bulkio.files import open_sink, open_source
from older_pyarrow import needs_pyarrow
from small_files import small_files

TABLE = pa.table({"id": pa.array(range(1000), pa.int64()), "text": [f"text {n}" for n in range(1000)]})
SUFFIXES = (".parquet", ".arrow", ".arrows", ".arrows.gz", ".arrows.zst")


def fill(dest, table=TABLE, *, rows=300, **options):
    sink = open_sink(dest, table.schema, **options)
    for batch in table.to_batches(max_chunksize=rows):
        sink.write(batch)
    return sink


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def stored(path):
    source = open_source(path, batch_rows=1 << 16)
    return pa.Table.from_batches(source.batches(), source.schema)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_round_trip_keeps_values_and_metadata(tmp_path, suffix):
    """Field metadata and schema metadata come back."""
    schema = pa.schema(
        [pa.field("id", pa.int64(), metadata={"bulkio:pg_type": "bigint"}), pa.field("text", pa.string())],
        metadata={"made by": "ünïcode"},
    )
    table = TABLE.cast(schema)
    path = tmp_path / f"x{suffix}"
    sink = fill(path, table)
    sink.commit()
    again = stored(path)
    assert again.to_pylist() == table.to_pylist()
    assert again.schema.metadata[b"made by"] == "ünïcode".encode()
    assert again.schema.field("id").metadata[b"bulkio:pg_type"] == b"bigint"
    assert sink.bytes_written == path.stat().st_size


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_no_rows(tmp_path, suffix):
    """Zero rows, with and without an empty batch, make a valid file."""
    for rows in (TABLE.slice(0, 0), TABLE.slice(0, 0).combine_chunks()):
        sink = open_sink(tmp_path / f"x{suffix}", TABLE.schema)
        sink.write(pa.RecordBatch.from_pylist([], TABLE.schema))
        sink.commit()
        assert stored(tmp_path / f"x{suffix}").num_rows == rows.num_rows == 0


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_nothing_is_visible_before_commit(tmp_path, suffix):
    """The old file stays until then, and keeps its permissions after."""
    path = tmp_path / f"x{suffix}"
    path.write_bytes(b"old")
    path.chmod(0o640)
    sink = fill(path)
    assert path.read_bytes() == b"old"
    temporary = [name for name in names(tmp_path) if name != path.name]
    assert [name.startswith(f".x{suffix}.{os.getpid()}-") and name.endswith(".tmp") for name in temporary] == [True]
    sink.commit()
    sink.abort()
    assert names(tmp_path) == [path.name]
    assert stored(path).num_rows == 1000
    assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_abort_leaves_nothing(tmp_path, suffix):
    """Twice is harmless; a dead sink says so."""
    path = tmp_path / f"x{suffix}"
    path.write_bytes(b"old")
    sink = fill(path)
    sink.abort()
    sink.abort()
    assert names(tmp_path) == [path.name]
    assert path.read_bytes() == b"old"
    with pytest.raises(FileError, match="given up"):
        sink.commit()
    with pytest.raises(FileError, match="given up"):
        sink.write(TABLE.to_batches()[0])


def test_what_a_killed_process_has_left_is_removed(tmp_path):
    """The next file of this name removes it; never one that is being written, nor one of another name."""
    code = (
        "import os, sys, pyarrow as pa; from bulkio.files import open_sink\n"
        "sinks = [open_sink(path, pa.schema({'id': pa.int64()})) for path in sys.argv[1:]]\n"
        "os.kill(os.getpid(), 9)"
    )
    paths = [str(tmp_path / name) for name in ("a.parquet", "a.parquet", "b.parquet")]
    subprocess.run([sys.executable, "-c", code, *paths], check=False, timeout=60)
    (tmp_path / ".a.parquet.tmp").touch()
    assert len(names(tmp_path)) == 4
    first, second = fill(paths[0]), fill(paths[0])
    assert [name.split(".")[1] for name in names(tmp_path)] == ["a", "a", "a", "b"]
    first.commit()
    second.commit()
    left, others, final = names(tmp_path)
    assert (left, final) == (".a.parquet.tmp", "a.parquet")
    assert others.startswith(".b.parquet.")
    assert stored(paths[0])["id"].to_pylist() == TABLE["id"].to_pylist()
    for name in (left, others):
        (tmp_path / name).unlink()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_full_disk(tmp_path, suffix):
    """FileError, no temporary file, and the old file as it was."""
    path = tmp_path / f"x{suffix}"
    path.write_bytes(b"old")
    noise = pa.table({"x": [os.urandom(1000) for _ in range(3000)]})
    with small_files(), pytest.raises(FileError, match=r"cannot be written: File too large"):
        fill(path, noise).commit()
    assert names(tmp_path) == [path.name]
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_failure_at_the_last_step(tmp_path, monkeypatch, call):
    """Both fsync and rename may fail as well."""
    sink = fill(tmp_path / "x.parquet")

    def refuse(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, refuse)
    with pytest.raises(FileError, match="No space left on device"):
        sink.commit()
    assert names(tmp_path) == []


def test_bad_destinations(tmp_path):
    """Each is refused at once, with nothing left behind."""
    (tmp_path / "folder.parquet").mkdir()
    os.mkfifo(tmp_path / "pipe.parquet")
    before = names(tmp_path)
    for name, message in (
        ("missing/x.parquet", "No such file or directory"),
        ("folder.parquet", "Is a directory"),
        ("pipe.parquet", "not a regular file"),
    ):
        with pytest.raises(FileError, match=message):
            open_sink(tmp_path / name, TABLE.schema)
    for name, options in (("x.xyz", {}), ("x.parquet", {"fmt": "xyz"}), ("s3://b/x.parquet", {})):
        with pytest.raises(ConfigError):
            open_sink(name, TABLE.schema, **options)
    assert (names(tmp_path)) == before


@pytest.mark.parametrize(("ending", "magic"), [("gz", b"\x1f\x8b"), ("zst", b"\x28\xb5\x2f\xfd")])
def test_compressed_as_the_name_ends(tmp_path, ending, magic):
    """A stream alone is compressed from outside; its bytes do not tell when it was written."""
    for name in ("a", "b"):
        fill(tmp_path / f"{name}.arrows.{ending}").commit()
    first, second = (tmp_path / f"{name}.arrows.{ending}" for name in "ab")
    assert first.read_bytes()[:4].startswith(magic)
    assert first.read_bytes() == second.read_bytes()
    with pytest.raises(ConfigError, match="ending tells no format"):
        open_sink(tmp_path / f"x.parquet.{ending}", TABLE.schema)


def test_named_format_long_names_and_links(tmp_path):
    """The argument fmt beats the ending; long names have room for a temporary one; links are followed."""
    fill(tmp_path / "x.bin", fmt="arrows").commit()
    assert pa_ipc.open_stream(tmp_path / "x.bin").read_all().num_rows == 1000
    long = "é" * 120 + ".parquet"
    fill(tmp_path / long).commit()
    (tmp_path / "link.parquet").symlink_to(long)
    fill(tmp_path / "link.parquet", TABLE.slice(0, 5)).commit()
    assert (tmp_path / "link.parquet").is_symlink()
    assert stored(tmp_path / long).num_rows == 5


UNFIT = {
    "interval": pa.month_day_nano_interval(),
    "negative": pa.decimal128(5, -2),
    "runs": pa.run_end_encoded(pa.int32(), pa.int32()),
    "union": pa.dense_union([pa.field("a", pa.int32())]),
    "nothing": pa.struct([]),
}


def test_what_parquet_cannot_hold(tmp_path):
    """All columns at once, with the way out; nothing is left behind."""
    schema = pa.schema([pa.field("fine", pa.int32()), *(pa.field(name, kind) for name, kind in UNFIT.items())])
    with pytest.raises(SchemaError, match="Arrow IPC") as caught:
        open_sink(tmp_path / "x.parquet", schema)
    assert caught.value.columns == tuple(UNFIT)
    with pytest.raises(SchemaError, match="without columns"):
        open_sink(tmp_path / "x.parquet", pa.schema([]))
    assert names(tmp_path) == []
    open_sink(tmp_path / "x.arrow", schema).commit()


FIT = (
    pa.timestamp("us"),
    pa.timestamp("us", "UTC"),
    pa.timestamp("ns"),
    pa.time64("us"),
    pa.duration("us"),
    pa.float16(),
    pa.decimal128(9, 2),
    pa.decimal128(18, 3),
    pa.decimal128(38, 10),
    pa.decimal256(76, 38),
    pa.uuid(),
    pa.json_(),
    pa.list_(pa.uuid()),
    pa.list_(pa.decimal128(5, 2)),
    pa.dictionary(pa.int32(), pa.string()),
    pa.string_view(),
    pa.dictionary(pa.int32(), pa.string(), ordered=True),
    pa.map_(pa.string(), pa.string()),
    pa.large_string(),
    pa.struct([("lower", pa.int32()), ("empty", pa.bool_())]),
    pa.list_(pa.float32(), 3),
    pa.uint32(),
    pa.uint64(),
)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("kind", FIT, ids=str)
def test_types_come_back(tmp_path, suffix, kind):
    """Every type that an export gives, as the type it was."""
    if kind == pa.string_view() and suffix == ".parquet":
        needs_pyarrow(21, "writes views to Parquet")
    schema = pa.schema([pa.field("x", kind)])
    sink = open_sink(tmp_path / f"x{suffix}", schema)
    sink.commit()
    assert open_source(tmp_path / f"x{suffix}", batch_rows=1).schema.field("x").type == kind


def test_another_schema_is_refused(tmp_path):
    """The sink lives on."""
    sink = open_sink(tmp_path / "x.parquet", TABLE.schema)
    with pytest.raises(SchemaError, match="id int64"):
        sink.write(pa.RecordBatch.from_pydict({"id": ["x"], "text": ["x"]}))
    sink.abort()


def test_dictionary_that_changes(tmp_path):
    """Parquet and streams hold it; the IPC file format cannot, and says what can."""
    batches = [pa.record_batch({"x": pa.array([value, value]).dictionary_encode()}) for value in ("a", "b")]
    for suffix in (".parquet", ".arrows"):
        sink = open_sink(tmp_path / f"x{suffix}", batches[0].schema)
        for batch in batches:
            sink.write(batch)
        sink.commit()
        assert stored(tmp_path / f"x{suffix}")["x"].to_pylist() == ["a", "a", "b", "b"]
    sink = open_sink(tmp_path / "x.arrow", batches[0].schema)
    sink.write(batches[0])
    with pytest.raises(FileError, match=r"\.arrows"):
        sink.write(batches[1])
    assert not (tmp_path / "x.arrow").exists()


def test_row_groups_are_bounded_in_bytes(tmp_path):
    """A huge batch is cut, tiny ones are gathered."""
    wide = pa.table({"x": [os.urandom(10_000) for _ in range(5000)]}).combine_chunks()
    fill(tmp_path / "wide.parquet", wide, rows=5000).commit()
    metadata = pq.read_metadata(tmp_path / "wide.parquet")
    assert metadata.num_row_groups == 3
    assert max(metadata.row_group(index).total_byte_size for index in range(3)) < 20 << 20
    fill(tmp_path / "small.parquet", TABLE, rows=7).commit()
    assert pq.read_metadata(tmp_path / "small.parquet").num_row_groups == 1


def test_two_columns_of_one_name(tmp_path):
    """Parquet would take them, and pandas and polars could not read the file; Arrow's formats tell them apart."""
    table = pa.table([[1], [2], [3], [4]], names=["a", "b", "a", "b"])
    with pytest.raises(SchemaError, match=r"x\.parquet: .* two columns of one name: a, b\. Name them apart") as caught:
        open_sink(tmp_path / "x.parquet", table.schema)
    assert caught.value.columns == ("a", "b")
    assert not names(tmp_path)
    sink = fill(tmp_path / "x.arrow", table)
    sink.commit()
    assert pa_ipc.open_file(tmp_path / "x.arrow").read_all().equals(table)
