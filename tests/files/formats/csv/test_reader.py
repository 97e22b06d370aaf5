"""Files and streams of CSV: compression, ranges, the lines of rows, what is left open."""

from __future__ import annotations

import gzip
import io
import os
import threading
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bulkio.errors import ConfigError, CsvError, FileError, SchemaError
from bulkio.files.formats.csv.options import CsvOptions
from bulkio.files.formats.csv.reader import CsvPart, CsvStream
from bulkio.files.formats.part import ReadOptions
from bulkio.files.source import FileSource

DATA = b"a,b\n" + b"".join(b'%d,"x\n%d"\n' % (i, i) for i in range(1000))
ROWS = [{"a": str(i), "b": f"x\n{i}"} for i in range(1000)]
ALL = ReadOptions(100, None, frozenset())
PACKED = {
    "plain": lambda data: data,
    "gzip": gzip.compress,
    "zstd": lambda data: pa.compress(data, codec="zstd", asbytes=True),
}


def rows_of(batches) -> list[dict[str, str | None]]:
    """Return all rows of batches."""
    return [row for batch in batches for row in batch.to_pylist()]


@pytest.fixture
def write(tmp_path):
    """Write a file, give its path."""

    def write_one(data: bytes, name: str = "x.csv") -> str:
        path = tmp_path / name
        path.write_bytes(data)
        return str(path)

    return write_one


@pytest.mark.parametrize("pack", PACKED.values(), ids=PACKED)
def test_compressed_by_content(write, pack):
    """Compression is recognised by the first bytes, in files and streams; two members after each other are one text."""
    part = CsvPart(write(pack(DATA) + (pack(b"7,8\n")), "x.txt"))
    assert rows_of(part.batches(ALL)) == [*ROWS, {"a": "7", "b": "8"}]
    assert rows_of(CsvStream(io.BytesIO(pack(DATA))).batches()) == ROWS


@pytest.mark.parametrize("name", ["gzip", "zstd"])
def test_a_compressed_file_that_is_cut(write, name):
    """A compressed file that ends early is an error, wherever it is cut, even between rows."""
    packed = PACKED[name](DATA)
    for size in (*range(3, 12), len(packed) // 2, *range(len(packed) - 9, len(packed))):
        if size >= 4 or name == "gzip":
            with pytest.raises(FileError, match="Truncated"):
                rows_of(CsvStream(io.BytesIO(packed[:size])).batches())


@pytest.mark.parametrize("name", ["gzip", "zstd"])
def test_bytes_after_compressed_ones(name):
    """What follows a compressed text and is not compressed is an error."""
    with pytest.raises(FileError, match="cannot be read"):
        rows_of(CsvStream(io.BytesIO(PACKED[name](DATA) + b"1,2\n" * 9)).batches())


def test_a_part_fits_the_source(write):
    """Files of CSV are read one after the other, as those of other formats are."""
    parts = [CsvPart(write(DATA)), CsvPart(write(b"a,b\n1,\n", "y.csv"))]
    source = FileSource(parts, batch_rows=64, columns=("b",))
    assert source.schema == pa.schema([("b", pa.string())])
    assert rows_of(source.batches()) == [*({"b": row["b"]} for row in ROWS), {"b": None}]
    assert source.rows is None


def test_a_file_that_is_not_there(tmp_path):
    """The system's errors become FileError."""
    with pytest.raises(FileError, match="No such file"):
        CsvPart(str(tmp_path / "none.csv"))


def test_a_pipe_by_its_name(tmp_path):
    """A pipe would give its bytes once, and block: as a file it is refused."""
    os.mkfifo(tmp_path / "x.csv")
    with pytest.raises(FileError, match="not a regular file"):
        CsvPart(str(tmp_path / "x.csv"))


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize(
    ("head", "options"),
    [
        (b"a,b\n", CsvOptions()),
        (b"sep=,\na,b\n", CsvOptions(skip_lines=1)),
        (b"", CsvOptions(header_names=("a", "b"))),
        (b"x\ny\n", CsvOptions(header_names=("a", "b"), skip_lines=2)),
    ],
)
def test_ranges(write, mark, head, options):
    """Ranges cover the data once; each is read by itself, in any order."""
    body = DATA.removeprefix(b"a,b\n")
    path = write(mark + head + body)
    part = CsvPart(path, options=options)
    for count in (1, 2, 3, 7, 1000, 5000):
        ranges = part.ranges(count)
        assert len(ranges) <= count
        assert len(ranges) >= count / 2 or count > 100
        assert rows_of(batch for one in ranges for batch in part.read_range(one, ALL)) == ROWS
        last = rows_of(part.read_range(ranges[-1], ALL))
        assert last == ROWS[ranges[-1].first_row - 1 :]
        assert ranges[-1].first_line == part.line_of_row(ranges[-1].first_row)
        if count > 1:
            assert b"".join(Path(path).read_bytes()[one.start : one.end] for one in ranges) == body


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.sampled_from([b"1", b'"\n"', b'"""\r\n"', b'"\r"', b""]), max_size=30), st.integers(2, 9), st.data())
def test_ranges_of_any_file(tmp_path, fields, count, data):
    """Whatever stands in quotes, ranges end with records, and line_of_row tells where each record begins."""
    end = data.draw(st.sampled_from([b"\n", b"\r\n", b"\r"]))
    path = tmp_path / "x.csv"
    path.write_bytes(b"a" + end + end.join(fields) + end * data.draw(st.booleans()))
    part = CsvPart(str(path))
    rows = rows_of(part.batches(ALL))
    assert rows_of(batch for one in part.ranges(count) for batch in part.read_range(one, ALL)) == rows
    lines = [part.line_of_row(row) for row in range(1, len(rows) + 1)]
    heights = [1 + field.count(b"\n") + field.count(b"\r") - field.count(b"\r\n") for field in fields]
    assert lines == [2 + sum(heights[:i]) for i in range(len(rows))]


def test_what_is_one_range(write):
    """A compressed file, and one that is not UTF-8, cannot be cut, and is read from its beginning."""
    for path, options in [
        (write(gzip.compress(DATA)), CsvOptions()),
        (write(DATA.decode().encode("utf-16"), "y"), CsvOptions(encoding="utf-16")),
    ]:
        part = CsvPart(path, options=options)
        (only,) = part.ranges(8)
        assert rows_of(part.read_range(only, ALL)) == ROWS
        assert part.line_of_row(3) == 6


def test_errors_in_a_range_name_the_files_places(write):
    """A range knows its rows, its lines, the columns' names and how lines end."""
    path = write(DATA)
    part = CsvPart(path)
    last = part.ranges(4)[-1]
    Path(path).write_bytes(DATA[: last.start] + b"1,2,3\n" + DATA[last.start + 6 :])
    with pytest.raises(CsvError) as caught:
        rows_of(part.read_range(last, ALL))
    assert (caught.value.row, caught.value.line) == (last.first_row, last.first_line)
    Path(path).write_bytes(DATA[: last.start] + b'1,2\r\n "' + DATA[last.start + 6 :])
    with pytest.raises(CsvError, match="another kind"):
        rows_of(part.read_range(last, ALL))


def test_ranges_meet_what_a_reader_would_meet(write):
    """Looking for ranges in a damaged file is the error that reading it is."""
    with pytest.raises(CsvError, match='line 3, column 2 "b": bytes ff'):
        CsvPart(write(b"a,b\n1,2\n3,\xff\n")).ranges(2)


def test_ranges_of_a_file_without_rows(write):
    """There are none."""
    assert CsvPart(write(b"a,b\n")).ranges(3) == []


@pytest.mark.parametrize(
    ("encoding", "windows"),
    [("latin-1", "cp1252"), ("iso8859-15", "cp1252"), ("iso-8859-2", "cp1250"), ("iso-8859-9", "cp1254")],
)
def test_latin_1_from_windows(encoding, windows):
    """A euro sign of Windows is not the control character that latin-1 has in its place."""
    with pytest.raises(CsvError) as caught:
        rows_of(CsvStream(io.BytesIO(b"a,b\n1,x\n2,5 \x80\n"), CsvOptions(encoding=encoding)).batches())
    assert (caught.value.line, caught.value.row) == (3, 2)
    assert f"byte 80 is a control character in {encoding}" in str(caught.value)
    assert f"such as {windows}" in str(caught.value)
    whole = CsvStream(io.BytesIO(b"a\n\xe4\xa0\n"), CsvOptions(encoding=encoding))
    assert len(rows_of(whole.batches())) == 1


def test_a_stream_is_read_once():
    """What is gone cannot be read again; nor can its lines be told where fields held line ends."""
    stream = CsvStream(io.BytesIO(b"a\n1\n2\n"))
    assert rows_of(stream.batches()) == [{"a": "1"}, {"a": "2"}]
    assert [stream.line_of_row(row) for row in (1, 2, 3)] == [2, 3, None]
    with pytest.raises(FileError, match="once"):
        stream.batches()
    broken = CsvStream(io.BytesIO(DATA))
    assert rows_of(broken.batches()) == ROWS
    assert broken.line_of_row(2) is None


def test_a_stream_leaves_the_callers_file_open():
    """The file is the caller's, compressed or not, read to its end or not."""
    for pack in PACKED.values():
        file = io.BytesIO(pack(DATA))
        stream = CsvStream(file, batch_rows=10)
        next(stream.batches())
        stream.close()
        assert not file.closed


def test_a_stream_of_text():
    """A file that was opened as text is told from one of bytes."""
    with pytest.raises(ConfigError, match="binary mode"):
        CsvStream(io.StringIO("a\n"))


def test_unknown_columns():
    """A column that the header does not have is named."""
    with pytest.raises(SchemaError, match="no column z"):
        CsvStream(io.BytesIO(b"a,b\n"), columns=["a", "z"])


def test_a_pipe(tmp_path):
    """Bytes that come a few at a time are read as they come."""
    reader, writer = os.pipe()

    def fill() -> None:
        with os.fdopen(writer, "wb", buffering=0) as file:
            for at in range(0, len(DATA), 97):
                file.write(DATA[at : at + 97])

    thread = threading.Thread(target=fill)
    thread.start()
    with os.fdopen(reader, "rb", buffering=0) as file:
        assert rows_of(CsvStream(file).batches()) == ROWS
    thread.join()
