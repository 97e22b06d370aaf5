"""Encoding with rows left out: the stream is that of the other rows, and each row that is left out is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkio.errors import EncodeError
from bulkio.forms.encoding import LeftOut, encode_batches
from bulkio.pgcopy import Field
from bulkio.protocols import Reject, Spelling
from bulkio.types import STRICT, base_type, cast_to_pg

if TYPE_CHECKING:
    from collections.abc import Sequence

#: a number that int2 holds, one that it does not, and none at all
CELLS = st.sampled_from([1, -7, 32767, 32768, None])


def _field(name: str, arrow: pa.DataType, pg: str, *, nullable: bool = True) -> Field:
    cast = cast_to_pg(arrow, base_type(pg), STRICT)
    assert cast is not None
    return Field(name, cast, nullable)


def _stream(
    batches: Sequence[pa.RecordBatch], fields: Sequence[Field], left: LeftOut | None, **options: object
) -> bytes:
    blocks = encode_batches(batches, fields, block_bytes=64, left_out=left, **options)  # type: ignore[arg-type]
    return b"".join(map(bytes, blocks))


@given(
    st.lists(st.lists(st.tuples(CELLS, CELLS), max_size=20), max_size=4),
    st.sets(st.integers(5, 60), max_size=10),
)
def test_the_stream_is_that_of_the_other_rows(
    cells: list[list[tuple[int | None, int | None]]], known: set[int]
) -> None:
    """However the batches are cut, what goes is what would go had the bad rows never been there."""
    fields = [_field("a", pa.int64(), "int2", nullable=False), _field("b", pa.int64(), "int2")]
    schema = pa.schema([("a", pa.int64()), ("b", pa.int64())])
    told: list[Reject] = []
    left = LeftOut([Reject(row, "before") for row in known], told.append)
    batches = [pa.RecordBatch.from_pylist([{"a": a, "b": b} for a, b in batch], schema) for batch in cells]
    stream = _stream(batches, fields, left, first_row=5)
    rows = [pair for batch in cells for pair in batch]
    is_bad = [a is None or a > 32767 or (b or 0) > 32767 for a, b in rows]
    good = [number for number, bad in enumerate(is_bad, 5) if not bad and number not in known]
    kept = pa.RecordBatch.from_pylist([{"a": rows[n - 5][0], "b": rows[n - 5][1]} for n in good], schema)
    assert stream == _stream([kept], fields, None)
    assert [reject.row for reject in told] == [n for n, bad in enumerate(is_bad, 5) if bad and n not in known]
    assert [left.row_of(position, first_row=5) for position in range(1, len(good) + 1)] == good


def test_each_row_has_its_column_and_reason() -> None:
    """What an error would say of the row stands in its reject; a row has one, of its first column at fault."""
    fields = [_field("a", pa.int64(), "int2", nullable=False), _field("t", pa.string(), "text")]
    batch = pa.record_batch({"a": [1, None, 70000, 4], "t": ["x", "y", "z\0", "n\0"]})
    left = LeftOut()
    _stream([batch], fields, left)
    assert left.rejects == [
        Reject(2, "NULL in a column that is NOT NULL", "a"),
        Reject(3, "70000 is out of range for int2", "a"),
        Reject(4, "'n\\x00' contains a NUL character, which text cannot store", "t"),
    ]


def test_texts_in_another_spelling() -> None:
    """Of a whole column that is rewritten first, only the rows at fault are left out, each with its own text."""
    texts = [f"{number % 28 + 1:02d}.03.2026" for number in range(1000)]
    bad = [0, 255, 256, 600, 601, 999]
    for row in bad:
        texts[row] = f"3/{row}"
    fields = [_field("d", pa.string(), "date")]
    left = LeftOut()
    stream = _stream([pa.record_batch({"d": texts})], fields, left, spelling=Spelling(date_format="DD.MM.YYYY"))
    assert [(reject.row, reject.message) for reject in left.rejects] == [
        (row + 1, f"'3/{row}' is not a date written as DD.MM.YYYY") for row in bad
    ]
    good = [text for row, text in enumerate(texts) if row not in bad]
    assert stream == _stream([pa.record_batch({"d": good})], fields, None, spelling=Spelling(date_format="DD.MM.YYYY"))


def test_nested_values_that_json_cannot_hold() -> None:
    """What whole columns are made ready for is told row by row as well."""
    fields = [_field("j", pa.struct([("x", pa.float64())]), "jsonb")]
    values = [{"x": 1.5}, {"x": float("nan")}, {"x": 2.5}]
    left = LeftOut()
    stream = _stream([pa.record_batch({"j": pa.array(values)})], fields, left)
    assert [(reject.row, reject.column) for reject in left.rejects] == [(2, "j")]
    assert stream == _stream([pa.record_batch({"j": pa.array([values[0], values[2]])})], fields, None)


def test_damaged_data_is_no_matter_of_a_row() -> None:
    """An index that leads out of its dictionary ends the load, whoever takes rows that cannot go."""
    indices = pa.Array.from_buffers(pa.int8(), 2, [None, pa.py_buffer(b"\x00\x05")])
    column = pa.DictionaryArray.from_arrays(indices, pa.array(["x"]), safe=False)
    fields = [_field("t", column.type, "text")]
    with pytest.raises(EncodeError, match="an index points outside its dictionary"):
        _stream([pa.record_batch({"t": column})], fields, LeftOut())
