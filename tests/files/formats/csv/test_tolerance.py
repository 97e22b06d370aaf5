"""A tolerant reader: which records it passes over, what stands in their place, and what stays an error."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import csv_cases as cases
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bulkio.errors import CsvError, FileError
from bulkio.files.formats.csv.masking import open_utf8
from bulkio.files.formats.csv.options import CsvOptions
from bulkio.files.formats.csv.parsing import make_parser, parse
from bulkio.files.formats.csv.reader import CsvPart
from bulkio.files.formats.part import ReadOptions
from bulkio.files.shape import ShapedSource
from bulkio.files.source import FileSource
from bulkio.protocols import Reject

Rows = list[list[str | None]]
Told = list[tuple[int, str | None, str]]

#: bytes that the grammar knows, and a few that it does not
ALPHABET = b'ab,,"\n\n\r\\.\0\xc3\xa4\xff'
#: the lines of columns a and b that are no record, with the column and the words that tell why
BAD_LINES = {
    b"1": (None, "1 field, where there are 2 columns"),
    b"1,2,3": (None, "3 fields, where there are 2 columns"),
    b'"x\ny",2,"3"': (None, "3 fields"),
    b"": (None, "a blank line"),
    b"\\.": (None, r"a line of \. alone"),
    b"\0,2": ("a", "a NUL byte"),
    b"1,x\0\0y": ("b", "a NUL byte"),
    b'1,"\0\n\0"': ("b", "a NUL byte"),
    b"1,2,\0": (None, "a NUL byte"),
    b"1\0": ("a", "a NUL byte"),
    b"\xff,2": ("a", "bytes ff are not valid utf-8 (invalid start byte); if the file has another encoding"),
    b"1,x\xc3y\xc3\xff": ("b", "bytes c3 are not valid utf-8 (invalid continuation byte)"),
    b'1,"\xe2\x82\n\xff"': ("b", "bytes e2 82 are not valid utf-8"),
    b"1,\xc3": ("b", "bytes c3 are not valid utf-8"),
    b"\xf0\x9f\x90": ("a", "bytes f0 9f 90 are not valid utf-8"),
    b"1,\xed\xa0\x80,\0": ("b", "bytes ed are not valid utf-8"),
    b"1,\0\xff": ("b", "a NUL byte"),
}
#: lines of columns a and b, and their rows
GOOD_LINES = {
    b"1,2": ["1", "2"],
    b",": [None, None],
    b'"",': ["", None],
    b'"x\ny",z': ["x\ny", "z"],
    b"\\.,\\.": ["\\.", "\\."],
    "ä🐘,é".encode(): ["ä🐘", "é"],
}


def read(data: bytes, *, cuts: list[int] | None = None, batch_rows: int = 1000, **options: object) -> tuple[Rows, Told]:
    """Return what a tolerant parser gives and tells, of two columns without a header."""
    places = sorted({0, len(data), *(cut for cut in cuts or [] if cut < len(data))})
    pieces = [data[start:end] for start, end in pairwise(places)]
    told: Told = []
    rows: Rows = []
    csv_options = CsvOptions(header_names=("a", "b"), **options)
    parser = make_parser("x", csv_options, names=None, batch_rows=batch_rows, tolerant=True)
    utf8 = open_utf8(csv_options.encoding, tolerant=True)
    for batch in parse(parser, utf8, pieces, lambda *fault: told.append(fault)):
        if batch is not None:
            batch.validate(full=True)
            assert 0 < batch.num_rows <= batch_rows
            rows += [list(row.values()) for row in batch.to_pylist()]
            assert all(row <= len(rows) for row, _, _ in told)
    return rows, told


def reading(data: bytes, **options: object) -> object:
    """Return what is read, or the error's text."""
    try:
        return read(data, **options)
    except FileError as exc:
        return str(exc)


@pytest.mark.parametrize("line", BAD_LINES)
def test_what_is_passed_over(line):
    """Each bad record is told once, by its row, and a row of NULLs stands at its place, however the file is cut."""
    column, words = BAD_LINES[line]
    for end in (b"\n", b"\r\n", b"\r"):
        for last in (end, b""):
            data = b"3,4" + end + line + end + b"5,6" + end + line + last
            if not line and not last:
                continue  # then there is no record
            for cuts in ([], list(range(len(data)))):
                for batch_rows in (1, 2, 1000):
                    rows, told = read(data, cuts=cuts, batch_rows=batch_rows)
                    assert rows == [["3", "4"], [None, None], ["5", "6"], [None, None]]
                    assert [(row, name) for row, name, _ in told] == [(2, column), (4, column)]
                    assert words in told[0][2]


@pytest.mark.parametrize("case", [case for case in cases.GOOD if len(case.names) == 2], ids=lambda case: case.id)
def test_good_files_are_read_alike(tmp_path, case):
    """A tolerant reader gives the batches that a strict one does, and tells of nothing."""
    path = tmp_path / "x.csv"
    path.write_bytes(case.data)
    told: list[Reject] = []
    for batch_rows in (1, 100):
        options = ReadOptions(batch_rows, None, frozenset())
        tolerant = ReadOptions(batch_rows, None, frozenset(), refuse=told.append)
        strict = list(CsvPart(str(path), options=case.options).batches(options))
        assert list(CsvPart(str(path), options=case.options, tolerant=True).batches(tolerant)) == strict
    assert told == []


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b'1,2\nx"y",3\n', 'line 2, column 1 "a": a quote inside'),
        (b'1,2\n"x"y,3\n', 'line 2, column 1 "a": text after a closing quote'),
        (b'1,2\n3,"x\n4,5\n', 'line 2, column 2 "b": the quote that opens here'),
        (b"1,2\n3,4\r\n", 'line 2, column 2 "b": a line end of another kind'),
        (b'1\n"x"\0,3\n', 'line 2, column 1 "a": text after a closing quote'),
        (b"1\n\0,2\r\n", 'line 2, column 2 "b": a line end of another kind'),
        (b'1\n\0,2"\n', 'line 2, column 2 "b": a quote inside'),
    ],
)
def test_what_stays_an_error(data, words):
    """After these nobody knows where a record ends, whatever was passed over before."""
    with pytest.raises(CsvError) as caught:
        read(data)
    assert str(caught.value).startswith(f"x: {words}")


@pytest.mark.parametrize(
    ("encoding", "bad", "words"),
    [
        ("ascii", b"\xc3\xa4", "bytes c3 are not valid ascii (ordinal not in range(128)); if the file has another"),
        ("cp1252", b"\x81", "bytes 81 are not valid cp1252 (character maps to <undefined>); if the file has another"),
        ("cp1253", b"\xd2\xaa", "bytes d2 are not valid cp1253"),
        ("latin-1", b"\x80", "byte 80 is a control character in latin-1, and a letter or sign in files from Windows"),
        ("utf-8-sig", b"\xff", "bytes ff are not valid utf-8-sig"),
    ],
)
def test_other_encodings(tmp_path, encoding, bad, words):
    """Where a bad byte can hide nothing, its record is passed over in every encoding, and kept as it was."""
    path = tmp_path / "x.csv"
    good = b"1,2" if encoding in ("ascii", "utf-8-sig") else b"1,\xe1"
    lines = [good, b"3," + bad, bad + good, good, b"4,5" + bad]
    path.write_bytes(b"a,b\n" + b"\n".join(lines))
    part = CsvPart(str(path), options=CsvOptions(encoding=encoding), tolerant=True)
    source = FileSource([part], batch_rows=9)
    [chunk] = source.chunks(1)
    told: list[Reject] = []
    [batch] = source.read(chunk, told.append)
    assert [reject.row for reject in told] == [2, 3, 5]
    assert all(reject.message.startswith(words) for reject in told)
    assert batch.column(0).to_pylist() == ["1", None, None, "1", None]
    assert [data for some in source.records([1, 2, 3, 4, 5], chunk) for data in some.data] == lines
    with pytest.raises(CsvError) as caught:
        list(source.batches())
    assert told[0].message in str(caught.value)


@pytest.mark.parametrize("encoding", ["utf-16-le", "shift_jis", "utf-7", "gb18030"])
def test_encodings_that_stay_strict(encoding):
    """Where a bad byte may hide whatever follows, it stays an error."""
    good = "a,b\n1,2\n".encode(encoding)
    bad = {"utf-16-le": b"\x00\xdc", "shift_jis": b"\x81\n", "utf-7": b"\xff", "gb18030": b"\x81\n"}[encoding]
    with pytest.raises(CsvError, match="not valid"):
        read(good + bad + good, encoding=encoding)


def test_bad_bytes_in_a_header(tmp_path):
    """They are the error that a strict reader has; bad bytes in lines that are skipped are none."""
    path = tmp_path / "x.csv"
    for data in (b"a,\xff\n1,2\n", "a,b\n".encode("utf-16"), b"\xef\xbb\xbfa,\xc3"):
        path.write_bytes(data)
        errors = []
        for tolerant in (False, True):
            with pytest.raises(CsvError) as caught:
                CsvPart(str(path), tolerant=tolerant)
            errors.append(str(caught.value))
        assert errors[0] == errors[1]
    path.write_bytes(b"\xff\xc3\na,b\n1,\xc3\n")
    part = CsvPart(str(path), options=CsvOptions(skip_lines=1), tolerant=True)
    assert part.head() == b"\xff\xc3\na,b\n"
    assert [data for some in part.records(part.ranges(1)[0], [1]) for data in some.data] == [b"1,\xc3"]


def test_headers_stay_strict(tmp_path):
    """What is wrong with the record that tells the columns is an error."""
    for data, options in [
        (b"a,\0\n1,2\n", CsvOptions()),
        (b"\n1,2\n", CsvOptions()),
        (b"\\.\n1\n", CsvOptions(header=False)),
        (b"1,\0\n", CsvOptions(header=False)),
    ]:
        path = tmp_path / "x.csv"
        path.write_bytes(data)
        with pytest.raises(CsvError):
            CsvPart(str(path), options=options, tolerant=True)


def test_a_first_record_that_is_bad(tmp_path):
    """Where names are given, the first record may be bad like any other."""
    path = tmp_path / "x.csv"
    path.write_bytes(b"1\n2,3\n")
    options = CsvOptions(header_names=("a", "b"))
    with pytest.raises(CsvError):
        CsvPart(str(path), options=options)
    source = FileSource([CsvPart(str(path), options=options, tolerant=True)], batch_rows=9)
    told: list[Reject] = []
    [chunk] = source.chunks(1)
    [batch] = source.read(chunk, told.append)
    assert batch.to_pylist() == [{"a": None, "b": None}, {"a": "2", "b": "3"}]
    assert told == [Reject(1, "1 field, where there are 2 columns; is it the right delimiter?")]


@settings(deadline=None)
@given(st.data())
def test_no_cut_changes_anything(data):
    """Any bytes, cut anywhere, with batches of any size, give the same rows and faults, or the same error."""
    text = bytes(data.draw(st.lists(st.sampled_from(ALPHABET), max_size=24)))
    options = {
        "encoding": data.draw(st.sampled_from(["utf-8", "ascii", "latin-1", "cp1252", "cp1253"])),
        "escape": data.draw(st.sampled_from([None, "\\"])),
        "null": data.draw(st.sampled_from(["", "a"])),
    }
    cuts = data.draw(st.lists(st.integers(1, 30)))
    batch_rows = data.draw(st.integers(1, 4))
    assert reading(text, cuts=cuts, batch_rows=batch_rows, **options) == reading(text, **options)


LINES = st.lists(st.sampled_from([*BAD_LINES, *GOOD_LINES]), max_size=30)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(LINES, st.integers(1, 6), st.data())
def test_rows_keep_their_numbers(tmp_path, lines, count, data):
    """In whatever chunks, good records have their rows, and bad ones are told by theirs, as lines are."""
    end = data.draw(st.sampled_from([b"\n", b"\r\n", b"\r"]))
    path = tmp_path / "x.csv"
    path.write_bytes(b"a,b" + end + b"".join(line + end for line in lines))
    source = FileSource([CsvPart(str(path), tolerant=True)], batch_rows=data.draw(st.integers(1, 5)))
    told: list[Reject] = []
    rows = []
    for chunk in source.chunks(count):
        for batch in source.read(chunk, told.append):
            rows += [list(row.values()) for row in batch.to_pylist()]
            assert all(reject.row <= len(rows) for reject in told)
    bad = [(row, BAD_LINES[line]) for row, line in enumerate(lines, 1) if line in BAD_LINES]
    assert rows == [GOOD_LINES.get(line, [None, None]) for line in lines]
    assert [(reject.row, reject.column) for reject in told] == [(row, column) for row, (column, _) in bad]
    heights = [1 + line.count(b"\n") for line in lines]
    assert [source.place_of_row(row) for row in range(1, len(lines) + 1)] == [
        (str(path), 2 + sum(heights[:i])) for i in range(len(lines))
    ]


def test_rows_are_the_sources(tmp_path):
    """In the second file of a source a bad record has the row that errors would give it, and columns new names."""
    for name in "xy":
        Path(tmp_path / f"{name}.csv").write_bytes(b"a,b\n1,2\n3,\0\n")
    source = FileSource([CsvPart(str(tmp_path / f"{n}.csv"), tolerant=True) for n in "xy"], batch_rows=9)
    shaped = ShapedSource(source, rename={"b": "c"}, add={"n": "{row}", "f": "{file}"})
    for count, expected in ((1, [2, 4]), (2, [2, 4])):
        told: list[Reject] = []
        batches = [batch for chunk in shaped.chunks(count) for batch in shaped.read(chunk, told.append)]
        assert [(reject.row, reject.column) for reject in told] == [(row, "c") for row in expected]
        assert [row["n"] for batch in batches for row in batch.to_pylist()] == [1, 2, 3, 4]


def test_inference_passes_over_bad_records(tmp_path):
    """Types are inferred from the good records."""
    path = tmp_path / "x.csv"
    path.write_bytes(b"a,b\n1,2\nx\n3,4\n")
    options = CsvOptions(infer=True)
    assert CsvPart(str(path), options=options, tolerant=True).inferred_types() == {"a": "bigint", "b": "bigint"}
    with pytest.raises(CsvError):
        CsvPart(str(path), options=options).inferred_types()


def test_columns_that_are_not_read(tmp_path):
    """A record that is bad in a column that nobody wants is bad all the same."""
    path = tmp_path / "x.csv"
    path.write_bytes(b"a,b\n1,\0\n2,3\n")
    source = FileSource([CsvPart(str(path), tolerant=True)], batch_rows=9, columns=("a",))
    told: list[Reject] = []
    [batch] = source.read(source.chunks(1)[0], told.append)
    assert batch.to_pylist() == [{"a": None}, {"a": "2"}]
    assert [(reject.row, reject.column) for reject in told] == [(1, "b")]
