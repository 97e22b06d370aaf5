"""The grammar: what is read, what is refused and where, and that no cut of the input changes it."""

from __future__ import annotations

import encodings.aliases
import io
from itertools import pairwise

import csv_cases as cases
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bulkio.errors import ConfigError, CsvError, FileError
from bulkio.files.formats.csv.options import CsvOptions
from bulkio.files.formats.csv.parser import Parser
from bulkio.files.formats.csv.reader import CsvStream

#: bytes that the grammar knows, and a few that it does not
ALPHABET = b'a,"\n\r\\\xc3\xa4'


#: codecs of Python that are not from bytes to text, or are Windows' alone
NOT_READ = {"base64_codec", "bz2_codec", "hex_codec", "mbcs", "quopri_codec", "rot_13", "uu_codec", "zlib_codec"}


class Pieces:
    """A file whose reads end at given places."""

    def __init__(self, data: bytes, cuts: list[int]) -> None:
        places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
        self._pieces = [data[start:end] for start, end in pairwise(places)]

    def read(self, size: int, /) -> bytes:
        """Return the next piece."""
        if not self._pieces:
            return b""
        piece = self._pieces.pop(0)
        if len(piece) > size:
            self._pieces.insert(0, piece[size:])
        return piece[:size]


def read(data: bytes, options: CsvOptions, *, cuts: list[int] | None = None, batch_rows: int = 1000) -> list[object]:
    """Return the names and the rows of a CSV; all batches are validated."""
    stream = CsvStream(Pieces(data, cuts or []), options, batch_rows=batch_rows)
    batches = list(stream.batches())
    for batch in batches:
        batch.validate(full=True)
        assert batch.schema == stream.schema
        assert 0 < batch.num_rows <= batch_rows
    return [stream.schema.names, [list(row.values()) for batch in batches for row in batch.to_pylist()]]


def reading(data: bytes, options: CsvOptions, **cut: object) -> object:
    """Return what is read, or the error's text."""
    try:
        return read(data, options, **cut)
    except FileError as exc:
        return str(exc)


@pytest.mark.parametrize("case", cases.GOOD, ids=lambda case: case.id)
def test_what_is_read(case):
    """Each small CSV gives its names and rows, whole and byte by byte."""
    for cuts in ([], list(range(len(case.data)))):
        assert read(case.data, case.options, cuts=cuts) == [case.names, case.rows]
        assert read(case.data, case.options, cuts=cuts, batch_rows=1) == [case.names, case.rows]


@pytest.mark.parametrize("case", cases.BAD, ids=lambda case: case.id)
def test_what_is_refused(case):
    """Each wrong CSV is an error that names the line and the column, whole and byte by byte."""
    for cuts in ([], list(range(len(case.data)))):
        with pytest.raises(FileError) as caught:
            read(case.data, case.options, cuts=cuts)
        assert str(caught.value).startswith(f"stdin: {case.place}")
        assert case.reason in str(caught.value)
        assert getattr(caught.value, "column", None) == case.column


def test_rows_before_an_error_are_given():
    """Batches that were complete before a fault come first; the fault names the row, too."""
    stream = CsvStream(io.BytesIO(b'a\n1\n2\n3\nx"\n'), batch_rows=2)
    batches = stream.batches()
    assert next(batches).to_pylist() == [{"a": "1"}, {"a": "2"}]
    with pytest.raises(CsvError) as caught:
        next(batches)
    assert (caught.value.row, caught.value.line, caught.value.column) == (4, 5, "a")


@settings(deadline=None)
@given(st.data())
def test_no_cut_changes_anything(data):
    """Any bytes, cut anywhere, with batches of any size, give the same rows or the same error as in one piece."""
    text = b"x,y\n" * data.draw(st.booleans()) + bytes(data.draw(st.lists(st.sampled_from(ALPHABET), max_size=24)))
    options = CsvOptions(
        header=data.draw(st.booleans()),
        escape=data.draw(st.sampled_from([None, "\\"])),
        null=data.draw(st.sampled_from(["", "a"])),
        skip_lines=data.draw(st.integers(0, 2)),
        encoding=data.draw(st.sampled_from(["utf-8", "latin-1"])),
    )
    cuts = data.draw(st.lists(st.integers(1, 30)))
    batch_rows = data.draw(st.integers(1, 4))
    assert reading(text, options, cuts=cuts, batch_rows=batch_rows) == reading(text, options)


@settings(deadline=None)
@given(
    st.lists(
        st.lists(
            st.none() | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
            min_size=2,
            max_size=2,
        )
    ),
    st.data(),
)
def test_what_was_written_is_read(rows, data):
    """Rows of any texts, written with every field quoted, are read back."""
    end = data.draw(st.sampled_from(["\n", "\r\n", "\r"]))
    encoding = data.draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "gb18030"]))
    fields = [
        ["" if text is None else '"' + text.replace('"', '""') + '"' for text in row] for row in [["a", "b"], *rows]
    ]
    written = "".join(",".join(row) + end for row in fields)
    cuts = data.draw(st.lists(st.integers(1, 200)))
    assert read(written.encode(encoding), CsvOptions(encoding=encoding), cuts=cuts) == [["a", "b"], rows]


@pytest.mark.parametrize("encoding", sorted(set(encodings.aliases.aliases.values())))
def test_encodings(encoding):
    """Every encoding that Python has, and that bulkio does not refuse, gives what was written, however it is cut."""
    try:
        options = CsvOptions(encoding=encoding)
    except ConfigError:
        assert encoding in NOT_READ
        return
    text = 'a,b\n1,"x\n"\n'
    data = text.encode(encoding)
    decoded = data.decode(encoding)
    assert decoded == text
    for cuts in ([], list(range(len(data)))):
        assert read(data, options, cuts=cuts) == [["a", "b"], [["1", "x\n"]]]


def test_a_batch_ends_with_its_bytes():
    """A batch ends with the record that reaches the bytes allowed, so that a huge record passes alone."""
    parser = Parser("x", header=False, batch_bytes=10)
    data = b"1\n" * 7 + b"z" * 5000 + b"\n" + b"2\n"
    sizes = []
    while data:
        data = data[parser.feed(data) :]
        if parser.full:
            sizes.append(parser.take().num_rows)
    parser.finish()
    assert [*sizes, parser.take().num_rows] == [5, 3, 1]


def test_a_batch_outlives_the_parser():
    """Batches own their memory, also where a column has no bytes at all."""
    parser = Parser("x", header=False)
    parser.feed(b'1,,""\n' * 1000)
    parser.finish()
    batch = parser.take()
    del parser
    assert batch.to_pylist() == [{"column1": "1", "column2": None, "column3": ""}] * 1000


def test_columns_are_chosen():
    """Columns that are not wanted are checked all the same."""
    stream = CsvStream(io.BytesIO(b"a,b,c\n1,2,3\n4,,6\n"), columns=["c", "b"])
    assert pa.Table.from_batches(stream.batches(), stream.schema).to_pylist() == [
        {"c": "3", "b": "2"},
        {"c": "6", "b": None},
    ]
    with pytest.raises(CsvError, match="line 2"):
        list(CsvStream(io.BytesIO(b'a,b,c\nx"y,2,3\n'), columns=["c"]).batches())


def test_many_columns_and_rows():
    """Buffers grow: 500 columns whose number the first record tells, and more rows than at first expected."""
    line = ",".join(str(i) for i in range(500)).encode() + b"\n"
    parser = Parser("x", header=False)
    data = line * 3000
    while data:
        data = data[parser.feed(data) :]
        if parser.full:
            batch = parser.take()
            batch.validate(full=True)
            assert batch.to_pylist() == [{f"column{i + 1}": str(i) for i in range(500)}] * batch.num_rows
    assert parser.rows == 3000
    assert parser.width == 500


def test_a_dead_parser_stays_dead():
    """After an error nothing more is read."""
    parser = Parser("x")
    with pytest.raises(CsvError):
        parser.feed(b'a"')
    for call in (lambda: parser.feed(b"1"), parser.finish, parser.take):
        with pytest.raises(RuntimeError):
            call()
