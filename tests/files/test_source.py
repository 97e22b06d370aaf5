"""Sources: what can be named, what is shown, and how each kind of damage is told."""

from __future__ import annotations

import gzip
import io
import os
import random
import threading
from pathlib import Path

import pyarrow as pa
import pyarrow.ipc as pa_ipc
import pyarrow.parquet as pq
import pytest

from bulkio.errors import BulkioError, ConfigError, FileError, SchemaError
from bulkio.files import CsvFile, open_source
from bulkio.files.shape import ShapedSource
from older_pyarrow import NULL_LISTS, needs_pyarrow

ALL_TYPES = Path(__file__).parents[2] / "sample_data" / "all_types.parquet"
TABLE = pa.table(
    {
        "id": pa.array(range(1000), pa.int64()),
        "few": pa.array(["a", "b", None, "d"] * 250),
        "many": pa.array([f"text {n}" for n in range(1000)]),
    }
)


def read(source, **options):
    """Read all, check the promises every source makes, and give a table."""
    opened = open_source(source, **{"batch_rows": 300, **options})
    batches = list(opened.batches())
    opened.close()
    assert all(0 < batch.num_rows <= options.get("batch_rows", 300) for batch in batches)
    assert all(batch.schema.equals(opened.schema, check_metadata=True) for batch in batches)
    table = pa.Table.from_batches(batches, opened.schema)
    assert opened.rows in (None, table.num_rows)
    return table


def plain(table):
    return table.to_pylist()


def write(path, table=TABLE, **options):
    suffix = path.suffix
    if suffix in (".parquet", ".pq"):
        pq.write_table(table, path, **options)
    else:
        make = pa_ipc.new_stream if suffix == ".arrows" else pa_ipc.new_file
        with make(path, table.schema, options=pa_ipc.IpcWriteOptions(**options)) as writer:
            writer.write_table(table)
    return path


@pytest.mark.parametrize("suffix", [".parquet", ".pq", ".arrow", ".feather", ".ipc", ".arrows", ".PARQUET"])
def test_every_known_ending_is_read(tmp_path, suffix):
    """By ending, in any case."""
    path = (
        write(tmp_path / f"x{suffix}")
        if suffix != ".PARQUET"
        else write(tmp_path / "x.pq").rename(tmp_path / "x.PARQUET")
    )
    assert plain(read(path)) == plain(TABLE)
    assert plain(read(str(path))) == plain(TABLE)


@pytest.mark.parametrize("compression", ["lz4", "zstd"])
@pytest.mark.parametrize("suffix", [".arrow", ".arrows"])
def test_compressed_ipc(tmp_path, suffix, compression):
    """Both codecs of Arrow IPC, in both formats."""
    assert plain(read(write(tmp_path / f"x{suffix}", compression=compression))) == plain(TABLE)


def test_ipc_is_told_by_its_magic(tmp_path):
    """A stream that is called .arrow, and a file that is called .arrows."""
    write(tmp_path / "s.arrows").rename(tmp_path / "s.arrow")
    write(tmp_path / "f.arrow").rename(tmp_path / "f.arrows")
    assert plain(read(tmp_path / "s.arrow")) == plain(TABLE)
    assert plain(read(tmp_path / "f.arrows")) == plain(TABLE)
    assert open_source(tmp_path / "s.arrow", batch_rows=1).rows is None
    assert open_source(tmp_path / "f.arrows", batch_rows=1).rows == 1000


@pytest.mark.parametrize("suffix", [".arrow", ".arrows"])
def test_times_at_the_end_of_the_day(tmp_path, suffix):
    """The last time of the day is read at any depth; 24:00:00 is none that Arrow has, and a fault of the file."""
    for last, fits in ((86_399_999_999, True), (86_400_000_000, False)):
        times = pa.array([0, None, last], pa.int64()).view(pa.time64("us"))
        struct = pa.StructArray.from_arrays([times], ["t"])
        lists = pa.ListArray.from_arrays([0, 1, 3], struct)
        for column in (times, struct, lists):
            path = write(tmp_path / f"x{suffix}", pa.table({"c": column}))
            if fits:
                assert read(path)["c"].combine_chunks().equals(column)
            else:
                with pytest.raises(FileError, match="not within the acceptable range"):
                    read(path)


def test_unknown_ending_is_told_by_magic_else_refused(tmp_path):
    """The message lists what is known."""
    write(tmp_path / "x.parquet").rename(tmp_path / "parquet.data")
    write(tmp_path / "x.arrow").rename(tmp_path / "arrow")
    assert plain(read(tmp_path / "parquet.data")) == plain(read(tmp_path / "arrow")) == plain(TABLE)
    (tmp_path / "x.xyz").write_text("hello")
    with pytest.raises(ConfigError, match=r"\.arrow, .*\.parquet"):
        open_source(tmp_path / "x.xyz", batch_rows=1)


def test_folder_pattern_and_sequence(tmp_path):
    """Files come sorted by name; hidden, underscored and unknown ones are left out of a folder."""
    for number in (2, 1, 3):
        write(tmp_path / f"part-{number}.parquet", TABLE.slice(number * 10, 10))
    write(tmp_path / "_temporary.parquet")
    write(tmp_path / ".hidden.parquet")
    (tmp_path / "notes.txt").write_text("x")
    expected = plain(TABLE.slice(10, 30))
    assert plain(read(tmp_path)) == expected
    assert plain(read(str(tmp_path / "part-*.parquet"))) == expected
    assert plain(read([tmp_path / f"part-{number}.parquet" for number in (1, 2, 3)])) == expected
    source = open_source(tmp_path, batch_rows=5)
    assert source.rows == 30
    assert source.name.endswith("part-1.parquet and 2 more")
    (tmp_path / ".hidden.parquet").unlink()


def test_existing_path_beats_pattern(tmp_path):
    """A file may be called like a pattern."""
    write(tmp_path / "x[1].parquet", TABLE.slice(0, 1))
    write(tmp_path / "x1.parquet", TABLE.slice(1, 1))
    assert read(str(tmp_path / "x[1].parquet"))["id"].to_pylist() == [0]


def test_folder_of_mixed_formats(tmp_path):
    """Formats may be mixed; dictionaries are shown only where every file gives them."""
    write(tmp_path / "a.parquet", TABLE)
    write(tmp_path / "b.arrow", TABLE)
    table = read(tmp_path)
    assert table.schema.field("few").type == pa.string()
    assert plain(table) == plain(TABLE) * 2


def test_few_values_are_shown_and_read_as_a_dictionary(tmp_path):
    """And many values are not."""
    path = write(
        tmp_path / "x.parquet",
        pa.concat_tables([TABLE] * 20).append_column("u", pa.array([os.urandom(9).hex() for n in range(20_000)])),
        row_group_size=5000,
    )
    schema = open_source(path, batch_rows=1).schema
    assert schema.field("few").type == pa.dictionary(pa.int32(), pa.string())
    assert schema.field("u").type == pa.string()
    assert plain(read(path).select(TABLE.column_names)) == plain(TABLE) * 20


def test_stored_dictionaries_that_differ_are_decoded(tmp_path):
    """As pandas does: it writes another index type per file."""
    for name, index in (("a", pa.int8()), ("b", pa.int16())):
        column = TABLE["many"].slice(0, 50).cast(pa.dictionary(index, pa.string()))
        write(tmp_path / f"{name}.arrow", pa.table({"x": column}))
    table = read(tmp_path)
    assert table.schema.field("x").type == pa.string()
    assert table["x"].to_pylist() == TABLE["many"].slice(0, 50).to_pylist() * 2


def test_columns_in_the_order_asked_for(tmp_path):
    """In every format, and for objects."""
    expected = plain(TABLE.select(["many", "id"]))
    for source in (write(tmp_path / "x.parquet"), write(tmp_path / "x.arrow"), TABLE):
        assert plain(read(source, columns=["many", "id"])) == expected
        with pytest.raises(SchemaError, match="nope") as caught:
            open_source(source, batch_rows=1, columns=["id", "nope"])
        assert caught.value.columns == ("nope",)


def test_column_name_with_a_dot(tmp_path):
    """Parquet's own paths use dots: a.b is not a field of a."""
    table = pa.table({"a": [1], "a.b": ["x"], "c": [{"d": 1}]})
    path = write(tmp_path / "x.parquet", table)
    assert plain(read(path)) == plain(table)
    assert plain(read(path, columns=["a"])) == plain(table.select(["a"]))
    assert plain(read(path, columns=["a.b"])) == plain(table.select(["a.b"]))


def test_differing_files_are_told_all_at_once(tmp_path):
    """Each file and each column."""
    write(tmp_path / "1.parquet")
    write(tmp_path / "2.parquet", TABLE.drop_columns("id").append_column("new", TABLE["id"]))
    write(tmp_path / "3.parquet", TABLE.set_column(0, "id", TABLE["id"].cast(pa.int32())))
    with pytest.raises(SchemaError) as caught:
        open_source(tmp_path, batch_rows=1)
    assert caught.value.columns == ("id", "new")
    assert "2.parquet: column id is missing" in str(caught.value)
    assert "2.parquet: column new is not in the first file" in str(caught.value)
    assert "3.parquet: column id is int32, not int64" in str(caught.value)
    assert plain(read(tmp_path, columns=["few"])) == plain(TABLE.select(["few"])) * 3


def test_files_whose_columns_stand_in_another_order(tmp_path):
    """Names count; nullability and metadata may differ."""
    write(tmp_path / "1.parquet", TABLE.cast(pa.schema([f.with_nullable(f.name != "id") for f in TABLE.schema])))
    write(tmp_path / "2.parquet", TABLE.select(["many", "few", "id"]).replace_schema_metadata({"k": "v"}))
    table = read(tmp_path)
    assert plain(table) == plain(TABLE) * 2
    assert table.schema.field("id").nullable


@pytest.mark.parametrize(
    "make",
    [
        lambda: TABLE,
        TABLE.to_reader,
        lambda: TABLE.to_batches()[0],
        lambda: Stream(TABLE),
        lambda: Array(TABLE.to_batches()[0]),
    ],
)
def test_objects(make):
    """Anything that speaks the PyCapsule interface."""
    assert plain(read(make())) == plain(TABLE)


class Stream:
    """A stranger's table."""

    def __init__(self, table):
        self.table = table

    def __arrow_c_stream__(self, requested_schema=None):
        return self.table.__arrow_c_stream__(requested_schema)


class Array:
    """A stranger's batch."""

    def __init__(self, batch):
        self.batch = batch

    def __arrow_c_array__(self, requested_schema=None):
        return self.batch.__arrow_c_array__(requested_schema)


def test_objects_without_a_table_are_refused():
    """A column, a number, a list of numbers, nothing, a URL."""
    for source in (pa.array([1]), pa.chunked_array([[1]]), 5, [5], [], b"x", "s3://bucket/x.parquet"):
        with pytest.raises(ConfigError):
            open_source(source, batch_rows=1)
    with pytest.raises(ConfigError, match="batch_rows"):
        open_source(TABLE, batch_rows=0)


def test_errors_of_a_reader_come_through():
    """The user's own error, and bulkio's, stay what they are; pyarrow's become FileError."""
    for error, expected in (
        (LookupError("mine"), LookupError),
        (FileError("x", path="y"), FileError),
        (OSError(5, "mine"), OSError),
        (pa.ArrowInvalid("x"), FileError),
    ):

        def batches(error=error):
            yield TABLE.to_batches()[0]
            raise error

        source = open_source(pa.RecordBatchReader.from_batches(TABLE.schema, batches()), batch_rows=5000)
        iterator = source.batches()
        next(iterator)
        with pytest.raises(expected):
            next(iterator)


def test_streams_are_read_once():
    """A second time would be empty without a word."""
    source = open_source(TABLE.to_reader(), batch_rows=5000)
    list(source.batches())
    with pytest.raises(FileError, match="once"):
        list(source.batches())


@pytest.mark.parametrize(
    "other",
    [
        TABLE.select(["many", "few", "id"]),
        TABLE.rename_columns(["id", "many", "few"]),
        TABLE.select(["id", "few"]),
        TABLE.append_column("more", TABLE["id"]),
        TABLE.set_column(0, "id", TABLE["id"].cast(pa.int32())),
    ],
)
@pytest.mark.parametrize("columns", [None, ["many", "id"]])
def test_batches_that_are_not_the_stream_s_are_refused(other, columns):
    """A reader takes any batch that a generator gives it: names, order and types are compared each time."""

    def batches():
        yield TABLE.to_batches()[0]
        yield other.to_batches()[0]

    source = open_source(pa.RecordBatchReader.from_batches(TABLE.schema, batches()), batch_rows=5000, columns=columns)
    iterator = source.batches()
    next(iterator)
    with pytest.raises(FileError, match="RecordBatchReader: batch 2 has another schema than the stream"):
        next(iterator)


def test_batches_whose_nested_fields_are_not_the_stream_s_are_refused():
    """Two fields of a struct, inside a list, that have changed places."""

    def lists(*names):
        return pa.table(
            {"c": pa.array([[dict.fromkeys(names, 1)]], pa.list_(pa.struct([(n, pa.int64()) for n in names])))}
        )

    reader = pa.RecordBatchReader.from_batches(lists("a", "b").schema, iter(lists("b", "a").to_batches()))
    with pytest.raises(FileError, match=r"batch 1 has another schema .*: c is list<.*b: int64, a: int64>>, not list"):
        list(open_source(reader, batch_rows=10).batches())


def test_batches_may_say_more_of_their_fields_than_the_stream():
    """Metadata and nullability change no value."""
    schema = pa.schema(
        [f.with_nullable(f.name != "id").with_metadata({"k": "v"}) for f in TABLE.schema], metadata={"a": "b"}
    )
    reader = pa.RecordBatchReader.from_batches(TABLE.schema, iter(TABLE.cast(schema).to_batches()))
    assert plain(read(reader)) == plain(TABLE)


def test_columns_that_are_named_twice(tmp_path):
    """Twice in the source, or twice by the user: an error names them, from every kind of source."""
    twice = pa.table([TABLE["id"], TABLE["few"], TABLE["id"]], names=["a", "b", "a"])
    for suffix in (".parquet", ".arrow", ".arrows"):
        for source in (twice, twice.to_reader(), write(tmp_path / f"x{suffix}", twice)):
            with pytest.raises(SchemaError, match="has column a twice") as caught:
                open_source(source, batch_rows=10, columns=["a"])
            assert caught.value.columns == ("a",)
            if not isinstance(source, pa.RecordBatchReader):
                assert read(source, columns=["b"])["b"].to_pylist() == TABLE["few"].to_pylist()
    for source in (TABLE, write(tmp_path / "y.parquet"), write(tmp_path / "y.arrow")):
        with pytest.raises(SchemaError, match="column id is named twice"):
            open_source(source, batch_rows=10, columns=["id", "few", "id"])


@pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".arrows"])
@pytest.mark.parametrize(
    "other", [TABLE.slice(0, 999), TABLE.select(["many", "few"]), TABLE.rename_columns(["id", "many", "few"])]
)
def test_a_file_that_is_replaced_during_the_load_is_told(tmp_path, suffix, other):
    """Whether or not the new one would fit: what was planned is what is read."""
    source = open_source(write(tmp_path / f"x{suffix}"), batch_rows=300)
    write(tmp_path / f"new{suffix}", other).rename(tmp_path / f"x{suffix}")
    with pytest.raises(
        FileError, match=rf"x{suffix}: was changed or replaced while it was being loaded: load it again"
    ):
        list(source.batches())


@pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".arrows"])
def test_a_file_that_is_written_over_during_the_load_is_told(tmp_path, suffix):
    """The file stays, its bytes do not."""
    path = write(tmp_path / f"x{suffix}")
    source = open_source([path, write(tmp_path / f"y{suffix}")], batch_rows=300)
    batches = source.batches()
    next(batches)
    other = write(tmp_path / f"new{suffix}", TABLE.slice(0, 10))
    (tmp_path / f"y{suffix}").write_bytes(other.read_bytes())
    with pytest.raises(FileError, match=rf"y{suffix}: was changed or replaced"):
        list(batches)


def test_missing_and_empty(tmp_path):
    """Each says what it is."""
    for source, message in (
        (tmp_path / "no.parquet", "No such file"),
        (str(tmp_path / "no-*.parquet"), "matches none"),
        (tmp_path, "the folder holds no file"),
    ):
        with pytest.raises(FileError, match=message):
            open_source(source, batch_rows=1)
    (tmp_path / "a.csv.txt").write_text("x")
    with pytest.raises(FileError, match="no file that ends in"):
        open_source(tmp_path, batch_rows=1)
    for suffix in (".parquet", ".arrow", ".arrows"):
        (tmp_path / f"x{suffix}").write_bytes(b"")
        with pytest.raises(FileError) as caught:
            open_source(tmp_path / f"x{suffix}", batch_rows=1)
        assert caught.value.path.endswith(suffix)


PACKERS = {
    "plain": lambda data: data,
    "gzip": gzip.compress,
    "zstd": lambda data: pa.compress(data, codec="zstd", asbytes=True),
}


@pytest.mark.parametrize("name", ["x.arrows.gz", "x.arrows", "X.ARROWS.ZST", "x.arrow", "x.gz", "x"])
@pytest.mark.parametrize("pack", ["gzip", "zstd"])
def test_compressed_streams(tmp_path, name, pack):
    """What a stream is compressed with is told by its content, whatever its name."""
    data = write(tmp_path / "plain.arrows").read_bytes()
    (tmp_path / name).write_bytes(PACKERS[pack](data))
    assert plain(read(tmp_path / name)) == plain(TABLE)
    assert plain(read(tmp_path / name, columns=["many"], batch_rows=7)) == plain(TABLE.select(["many"]))
    assert open_source(tmp_path / name, batch_rows=7).chunks(3)[0].rows is None


def test_compressed_streams_of_a_folder(tmp_path):
    """They are among the files that a folder stands for."""
    data = write(tmp_path / "1.arrows").read_bytes()
    (tmp_path / "2.arrows.gz").write_bytes(gzip.compress(data))
    assert plain(read(tmp_path)) == plain(TABLE) * 2


@pytest.mark.parametrize("pack", ["gzip", "zstd"])
def test_damaged_compressed_streams(tmp_path, pack):
    """A stream without its end, with more behind it, or cut in its compressed bytes is an error."""
    data = write(tmp_path / "plain.arrows").read_bytes()
    whole = PACKERS[pack](data)
    for number, (damaged, message) in enumerate(
        [
            (PACKERS[pack](data[:-8]), "end-of-stream marker"),
            (PACKERS[pack](data + data), "goes on after the stream's end"),
            (PACKERS[pack](data[: len(data) // 2]), "cannot be read"),
            (PACKERS[pack](b"x"), "cannot be read"),
            *((whole[:size], "cannot be read") for size in (20, len(whole) // 2, len(whole) - 4)),
        ]
    ):
        path = tmp_path / f"{number}.arrows.gz"
        path.write_bytes(damaged)
        with pytest.raises(FileError, match=message) as caught:
            read(path)
        assert caught.value.path == str(path)


@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
def test_compressed_files_that_need_their_end(tmp_path, suffix):
    """They say what to do."""
    data = write(tmp_path / f"x{suffix}").read_bytes()
    (tmp_path / f"x{suffix}.gz").write_bytes(gzip.compress(data))
    with pytest.raises(ConfigError, match=rf"{suffix[1:]}, which cannot be read compressed: decompress it"):
        open_source(tmp_path / f"x{suffix}.gz", batch_rows=1)
    (tmp_path / "y.arrows.gz").write_bytes(gzip.compress(data))
    with pytest.raises(FileError, match="decompress it first" if suffix == ".arrow" else "cannot be read"):
        open_source(tmp_path / "y.arrows.gz", batch_rows=1)


def fill(pipe, data):
    """Make a pipe, and write to it in the background."""
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(data,))
    writer.start()
    return writer


@pytest.mark.parametrize("name", ["x.arrows", "x.arrows.gz", "x"])
@pytest.mark.parametrize("pack", list(PACKERS))
def test_pipes(tmp_path, name, pack):
    """A pipe is read once, by its content where its name tells nothing; it gives less at once than is asked for."""
    table = pa.concat_tables([TABLE] * 100).combine_chunks()
    data = PACKERS[pack](write(tmp_path / "plain.arrows", table).read_bytes())
    writer = fill(tmp_path / name, data)
    assert plain(read(tmp_path / name, batch_rows=30_000)) == plain(table)
    writer.join()


def test_pipes_of_csv(tmp_path):
    """A pipe that is named as CSV is CSV; no other is taken for one."""
    writer = fill(tmp_path / "x.csv", b"a\n1\n")
    assert plain(read(tmp_path / "x.csv")) == [{"a": "1"}]
    writer.join()
    writer = fill(tmp_path / "x", b"a\n1\n")
    with pytest.raises(ConfigError, match="if it is CSV, say so"):
        read(tmp_path / "x")
    writer.join()


def test_pipes_that_cannot_be_read(tmp_path):
    """A format that needs its end is refused: before the pipe is opened, where the name tells it."""
    os.mkfifo(tmp_path / "x.parquet")
    with pytest.raises(ConfigError, match="parquet cannot be read from a pipe"):
        open_source(tmp_path / "x.parquet", batch_rows=1)
    data = write(tmp_path / "y.arrow").read_bytes()
    for name in ("x", "x.arrows"):
        writer = fill(tmp_path / name, data[:100])
        with pytest.raises(ConfigError, match="arrow cannot be read from a pipe"):
            open_source(tmp_path / name, batch_rows=1)
        writer.join()


def test_a_link_that_leads_nowhere(tmp_path):
    """It is an error, not an empty source."""
    (tmp_path / "link.parquet").symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileError):
        open_source(tmp_path / "link.parquet", batch_rows=1)


def test_permission_denied(tmp_path, monkeypatch):
    """Tests may run as root, whom no permission stops: the system's answer is made up."""
    path = write(tmp_path / "x.parquet")

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(pq, "ParquetFile", refuse)
    with pytest.raises(FileError, match=r"x\.parquet: cannot be read: Permission denied"):
        open_source(path, batch_rows=1)


@pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".arrows"])
def test_every_truncation_is_told(tmp_path, suffix):
    """Cut anywhere, no file is read to an end that looks whole."""
    whole = write(tmp_path / f"whole{suffix}").read_bytes()
    path = tmp_path / f"cut{suffix}"
    for size in sorted({0, 1, 4, 8, 100, *range(0, len(whole), len(whole) // 40), len(whole) - 20, len(whole) - 9}):
        path.write_bytes(whole[:size])
        with pytest.raises(FileError):
            read(path)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_stream_without_its_end_is_told(tmp_path, legacy):
    """Cut between two messages, it looked whole; a second stream behind its end would be left out."""
    table = pa.table(
        {"x": pa.array([0, 2**63 - 1, 0, 0] * 4, pa.int64()), "d": pa.array(["a", "b"] * 8).dictionary_encode()}
    )
    path = tmp_path / "x.arrows"
    with pa_ipc.new_stream(path, table.schema, options=pa_ipc.IpcWriteOptions(use_legacy_format=legacy)) as writer:
        for start in range(0, 16, 4):
            writer.write_table(table.slice(start, 4))
    whole, marker = path.read_bytes(), 4 if legacy else 8
    assert plain(read(path)) == plain(table)
    for cut in range(len(whole) - 8, 0, -8):
        path.write_bytes(whole[: cut + 8 - marker])
        with pytest.raises(FileError, match=r"cut short|cannot be read"):
            open_source(path, batch_rows=10)
    path.write_bytes(whole[:-marker])
    with pytest.raises(FileError, match="does not end with the end-of-stream marker: it was cut short"):
        open_source(path, batch_rows=10)
    path.write_bytes(whole * 2)
    with pytest.raises(FileError, match=r"goes on for .* bytes after the stream's end"):
        open_source(path, batch_rows=10)


@pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".arrows"])
@pytest.mark.parametrize("wide", [False, True])
def test_damage_gives_a_file_error_or_values(tmp_path, suffix, wide):
    """Flipped bytes anywhere: no other error leaves the layer, and nothing crashes (pyarrow aborts too easily)."""
    if wide:
        needs_pyarrow(26, NULL_LISTS)
    table = pq.read_table(ALL_TYPES) if wide else TABLE
    whole = write(tmp_path / f"whole{suffix}", table).read_bytes()
    rng = random.Random(1)  # noqa: S311
    path = tmp_path / f"bad{suffix}"
    outcomes = {True: 0, False: 0}
    for _ in range(300):
        damaged = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        path.write_bytes(damaged)
        try:
            source = open_source(path, batch_rows=300)
            for batch in source.batches():
                batch.validate(full=suffix != ".parquet")
            outcomes[True] += 1
        except BulkioError:
            outcomes[False] += 1
    assert min(outcomes.values()) > 0


def test_damaged_page_is_told_mid_read(tmp_path):
    """The footer is fine, a page is not: its checksum tells."""
    path = write(tmp_path / "x.parquet", write_page_checksum=True, compression="none", use_dictionary=False)
    data = bytearray(path.read_bytes())
    at = data.index((500).to_bytes(8, "little"))
    data[at] ^= 1
    path.write_bytes(data)
    source = open_source(path, batch_rows=300)
    with pytest.raises(FileError, match=r"x\.parquet"):
        list(source.batches())


def test_row_count_is_compared_with_the_footer(tmp_path, monkeypatch):
    """A file that gives fewer rows than it promises is damaged."""
    source = open_source(write(tmp_path / "x.parquet"), batch_rows=300)
    real = pq.ParquetFile.iter_batches

    def short(self, *args, **kwargs):
        yield from list(real(self, *args, **kwargs))[:2]

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", short)
    with pytest.raises(FileError, match="promises 1000"):
        list(source.batches())


def test_bomb_stays_bounded(tmp_path):
    """A few kB of file that hold 500 MB of text, and as much of bytes: batches shrink to fit."""
    for name, kind in (("t", pa.string()), ("b", pa.binary())):
        piece = pa.table({"x": pa.array(["x" * 100_000] * 200, kind)})
        pq.write_table(pa.concat_tables([piece] * 25), tmp_path / f"{name}.parquet", compression="zstd")
        del piece
    before = pa.total_allocated_bytes()
    for name in ("t.parquet", "b.parquet"):
        assert (tmp_path / name).stat().st_size < 200_000
        rows = 0
        for batch in open_source(tmp_path / name, batch_rows=8192).batches():
            rows += batch.num_rows
            assert batch.nbytes < 40 << 20
            assert pa.total_allocated_bytes() - before < 120 << 20
        assert rows == 5000


def test_pace_grows_again_after_wide_rows(tmp_path):
    """One row group of wide rows does not slow down those after it; no row is lost or doubled on the way."""
    wide = pa.table({"id": range(3000), "x": [os.urandom(20_000 if 500 <= n < 1500 else 2) for n in range(3000)]})
    path = write(tmp_path / "x.parquet", wide, row_group_size=500)
    sizes, ids = [], []
    for batch in open_source(path, batch_rows=2000).batches():
        sizes.append(batch.num_rows)
        ids += batch["id"].to_pylist()
    assert ids == list(range(3000))
    assert max(sizes[-2:]) > 100


def test_no_rows_and_empty_batches(tmp_path):
    """Schema and count are right, and no empty batch is handed on."""
    for suffix in (".parquet", ".arrow", ".arrows"):
        assert plain(read(write(tmp_path / f"x{suffix}", TABLE.slice(0, 0)))) == []
    assert plain(read(TABLE.slice(0, 0))) == []


def test_closing_early_releases_the_file(tmp_path):
    """Whether or not a batch was taken."""
    path = write(tmp_path / "x.parquet")
    source = open_source(path, batch_rows=10)
    next(source.batches())
    source.close()
    source.close()
    open_files = {os.path.realpath(link) for link in Path("/proc/self/fd").iterdir()}
    assert str(path) not in open_files


def test_the_bytes_of_a_source_are_those_of_its_files(tmp_path):
    """As they lie on disk, compressed ones too; objects and streams have none."""
    paths = [write(tmp_path / "a.parquet"), write(tmp_path / "b.arrow"), write(tmp_path / "c.arrows")]
    source = open_source(paths, batch_rows=300)
    assert source.size_bytes == sum(path.stat().st_size for path in paths)
    assert ShapedSource(source, rename={"id": "key"}, add={}).size_bytes == source.size_bytes
    packed = tmp_path / "x.csv.gz"
    packed.write_bytes(gzip.compress(b"a\n" + b"1\n" * 5000))
    assert open_source(packed, batch_rows=300).size_bytes == packed.stat().st_size
    csv = io.BytesIO(b"a\n1\n")
    for once in (TABLE, [{"a": 1}], CsvFile(csv), CsvFile(csv, infer=True), io.BytesIO(paths[0].read_bytes())):
        csv.seek(0)
        opened = open_source(once, batch_rows=300)
        assert opened.size_bytes is None
        opened.close()
