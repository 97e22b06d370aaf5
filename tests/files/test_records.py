"""Records that are read again by their rows: what stands in the file, of every format, in whatever chunks."""

from __future__ import annotations

import gzip
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bulkio.errors import EncodeError, FileError
from bulkio.files import Keeping, csv, open_source
from bulkio.files.formats.csv.options import CsvOptions
from bulkio.files.formats.csv.reader import CsvPart
from bulkio.files.source import FileSource

if TYPE_CHECKING:
    from bulkio.files.formats.part import Records
    from bulkio.protocols import Reject

#: lines of a CSV with two columns, some of which are bad
LINES = [b"\xff\xc3,\xc3", b"1,2", b'"x\ny",', b"3", b"", b"\\.", b"\0,1", b'"",""', "ä,🐘".encode(), b'"\r\n",z']


def records_of(source: FileSource, rows: list[int], count: int = 1) -> list[Records]:
    """Return the records of these rows of the source, in so many chunks that tell their rows."""
    found: list[Records] = []
    for chunk in source.chunks(count):
        for _ in source.read(chunk, lambda _: None):
            pass
        here = [r for r in rows if chunk.rows is None or chunk.counts_from <= r < chunk.counts_from + chunk.rows]
        found += source.records(here, chunk)
    return found


def flat(found: list[Records]) -> list[tuple[str, int, int, bytes]]:
    """Return each record of a CSV: file, row, line, text."""
    return [
        (Path(some.path).name, *record)
        for some in found
        for record in zip(some.rows, some.lines, some.data, strict=True)
    ]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_records_of_csv(tmp_path, data):
    """Whatever rows of whatever files, in chunks: each is its line of the file, good or bad, with its place."""
    end = data.draw(st.sampled_from([b"\n", b"\r\n", b"\r"]))
    paths, expected = [], []
    for name in "xy":
        lines = data.draw(st.lists(st.sampled_from(LINES), max_size=12))
        path = tmp_path / f"{name}.csv"
        last = b"" if lines and lines[-1] and data.draw(st.booleans()) else end
        text = b"skip\na,b" + end + end.join(lines) + (last if lines else b"")
        path.write_bytes(gzip.compress(text) if data.draw(st.booleans()) else text)
        heights = [1 + line.count(b"\n") for line in lines]
        expected += [(path.name, i + 1, 3 + sum(heights[:i]), line) for i, line in enumerate(lines)]
        paths.append(str(path))
    options = CsvOptions(skip_lines=1)
    source = FileSource([CsvPart(path, options=options, tolerant=True) for path in paths], batch_rows=3)
    rows = sorted(row for row in data.draw(st.sets(st.integers(1, 24))) if row <= len(expected))
    wanted = [expected[row - 1] for row in rows]
    assert flat(records_of(source, rows)) == wanted
    if all(chunk.rows is not None for chunk in source.chunks(5)):
        assert flat(records_of(source, rows, 5)) == wanted


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(text=st.lists(st.sampled_from(b'ab,,""\n\n\r\\.\0\xc3\xa4\xff'), max_size=40), batch_rows=st.integers(1, 4))
def test_good_and_bad_records_apart(tmp_path, text, batch_rows):
    """Whatever bytes: good records alone are read strictly as the same rows, and bad ones alone are bad again."""
    path = tmp_path / "x.csv"
    path.write_bytes(bytes(text))
    options = CsvOptions(header_names=("a", "b"))

    def read(data: bytes) -> tuple[list[dict[str, str | None]], list[Reject], list[bytes]]:
        path.write_bytes(data)
        source = FileSource([CsvPart(str(path), options=options, tolerant=True)], batch_rows=batch_rows)
        told: list[Reject] = []
        chunks = source.chunks(3)
        rows = [row for chunk in chunks for batch in source.read(chunk, told.append) for row in batch.to_pylist()]
        ranges = {c: range(c.counts_from, c.counts_from + (len(rows) if c.rows is None else c.rows)) for c in chunks}
        raw = [data for c, numbers in ranges.items() for some in source.records(numbers, c) for data in some.data]
        assert len(raw) == len(rows)
        return rows, told, raw

    try:
        rows, told, raw = read(bytes(text))
    except FileError:
        return
    bad = {reject.row: (reject.column, reject.message) for reject in told}
    good = [data for row, data in enumerate(raw, 1) if row not in bad]
    again, told, _ = read(b"".join(data + b"\n" for data in good))
    assert (again, told) == ([row for number, row in enumerate(rows, 1) if number not in bad], [])
    path.write_bytes(b"".join(data + b"\n" for data in good))
    strict = FileSource([CsvPart(str(path), options=options)], batch_rows=batch_rows)
    assert [row for batch in strict.batches() for row in batch.to_pylist()] == again
    _, told, _ = read(b"".join(raw[row - 1] + b"\n" for row in bad))
    assert [reject.column for reject in told] == [column for column, _ in bad.values()]
    pairs = zip(told, bad.values(), strict=True)  # at the end of a file a character lacks bytes, else it has wrong ones
    assert all(reject.message.partition("(")[0] == message.partition("(")[0] for reject, (_, message) in pairs)


@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "cp1252", "shift_jis", "iso2022_jp"])
def test_encodings(tmp_path, encoding, header):
    """Head and records are in the file's encoding: put together, they are the file."""
    head = "a,b\r\n" if header else ""
    lines = ["1,x", "2", '"x\ny",z', ",", "5,6"]
    data = (head + "".join(f"{line}\r\n" for line in lines)).encode(encoding)
    path = tmp_path / "x.csv"
    path.write_bytes(data)
    options = CsvOptions(encoding=encoding, header_names=None if header else ("a", "b"))
    part = CsvPart(str(path), options=options, tolerant=True)
    found = flat(records_of(FileSource([part], batch_rows=2), [1, 2, 3, 4, 5]))
    assert part.layout.line_ends == "\r\n"
    end = "\r\n".encode(part.layout.codec)
    assert part.head() + b"".join(record + end for *_, record in found) == data
    assert [record for *_, record in found] == [line.encode(part.layout.codec) for line in lines]


def test_heads(tmp_path):
    """The mark, the lines skipped, and the header stand before the records, to the byte."""
    body = b"1,2\n3,4\n"
    for head, options in [
        (b"a,b\n", CsvOptions()),
        (b"\xef\xbb\xbfa,b\n", CsvOptions()),
        (b'sep=,\r\n"\r\xef\xbb\xbfa,b\n', CsvOptions(skip_lines=2)),
        (b"\xef\xbb\xbfskip\n", CsvOptions(skip_lines=1, header_names=("a", "b"))),
        (b"", CsvOptions(header=False)),
        ("\ufeffä,b\n".encode("utf-16-be"), CsvOptions(encoding="utf-16")),
    ]:
        path = tmp_path / "x.csv"
        data = head + (body.decode().encode("utf-16-be") if options.encoding == "utf-16" else body)
        for content in (data, gzip.compress(data)):
            path.write_bytes(content)
            assert CsvPart(str(path), options=options).head() == head


TABLE = pa.table(
    {
        "id": range(1, 101),
        "few": pa.array([str(i % 3) for i in range(100)]).dictionary_encode(),
        "nested": [[{"x": i}] for i in range(100)],
    },
    schema=pa.schema(
        [
            pa.field("id", pa.int64(), nullable=False),
            ("few", pa.dictionary(pa.int32(), pa.string())),
            ("nested", pa.list_(pa.struct([("x", pa.int64())]))),
        ],
        metadata={"of": "the file"},
    ),
)


def write(path: Path, rows: pa.Table, unit_rows: int) -> None:
    """Write a table in units of so many rows, as the path ends."""
    if path.suffix == ".parquet":
        pq.write_table(rows, path, row_group_size=unit_rows)
        return
    writer = pa.ipc.new_file if path.suffix == ".arrow" else pa.ipc.new_stream
    with writer(path, rows.schema) as file:
        file.write_table(rows, max_chunksize=unit_rows)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(st.data())
def test_typed_records(tmp_path, data):
    """Records of typed files have all columns, chosen or not, under the file's own names."""
    ending = data.draw(st.sampled_from([".parquet", ".arrow", ".arrows"]))
    paths = [tmp_path / f"{n}{ending}" for n in range(2)]
    for path, rows in zip(paths, (TABLE.slice(0, 60), TABLE.slice(60)), strict=True):
        write(path, rows, data.draw(st.integers(7, 40)))
    source = open_source(paths, batch_rows=9, columns=["id"])
    chunks = source.chunks(data.draw(st.integers(1, 6)))
    numbers = []
    for chunk in chunks:
        ids = [row for batch in source.read(chunk) for row in batch["id"].to_pylist()]
        shift = chunk.counts_from - ids[0]
        wanted = sorted(data.draw(st.sets(st.sampled_from(ids), max_size=9)))
        found = list(source.records([row + shift for row in wanted], chunk))
        for some in found:
            assert some.lines is None
            assert some.data.schema.equals(source.record_schema, check_metadata=True)
            first = 0 if some.path == str(paths[0]) else 60
            assert [row + first for row in some.rows] == some.data["id"].to_pylist()
        got = [row for some in found for row in some.data.to_pylist()]
        assert got == [row for row in TABLE.to_pylist() if row["id"] in wanted]
        numbers += [row["id"] for row in got]
    assert numbers == sorted(numbers)


def test_a_file_that_was_changed(tmp_path):
    """What is read again must be the file that was read."""
    path = tmp_path / "x.csv"
    path.write_bytes(b"a\n1\n")
    source = open_source(path, batch_rows=9, keeping=Keeping())
    [chunk] = source.chunks(1)
    path.write_bytes(b"a\n12\n")
    with pytest.raises(FileError, match="was changed or replaced"):
        list(source.records([1], chunk))


def test_encodings_of_the_other_order(tmp_path):
    """Of UTF-16 each file's own mark tells the order of its bytes."""
    for name, mark in (("x", "utf-16-le"), ("y", "utf-16-be")):
        (tmp_path / f"{name}.csv").write_bytes("\ufeffa\n1\n".encode(mark))
    source = open_source(csv(str(tmp_path / "*.csv"), encoding="utf-16"), batch_rows=9, keeping=Keeping())
    assert [data for *_, data in flat(records_of(source, [1, 2]))] == [b"1\0", b"\x001"]


def test_many_records_cost_one_reading(tmp_path):
    """Ten thousand records of a file take about as long as one reading of it, not as many."""
    path = tmp_path / "x.csv"
    path.write_bytes(b"a,b\n" + b"".join(b"%d,%s\n" % (i, b"x" * 60) for i in range(200_000)))
    source = open_source(path, batch_rows=16384, keeping=Keeping())
    [chunk] = source.chunks(1)
    began = time.process_time()
    for _ in source.read(chunk):
        pass
    once = time.process_time() - began
    began = time.process_time()
    found = list(source.records(list(range(7, 200_000, 20)), chunk))
    assert sum(len(some.rows) for some in found) == 10_000
    assert time.process_time() - began < 3 * once + 1


def test_timestamps_that_are_not_kept(tmp_path):
    """A column that is not loaded may hold what no file could keep: that is told, or allowed."""
    path = tmp_path / "x.parquet"
    values = pa.array([0, 1_000, 1], pa.timestamp("ns"))
    pq.write_table(pa.table({"id": range(3), "t": values}), path, use_deprecated_int96_timestamps=True)
    options = {"batch_rows": 9, "columns": ["id"], "keeping": Keeping()}
    source = open_source(path, **options)
    with pytest.raises(EncodeError, match=r'row 3, column "t": 1970-01-01 00:00:00.000000001 has nanoseconds'):
        list(source.records([1], source.chunks(1)[0]))
    source = open_source(path, **options, allow_lossy=True)
    [some] = source.records([3], source.chunks(1)[0])
    assert some.data["t"].cast(pa.int64()).to_pylist() == [0]
