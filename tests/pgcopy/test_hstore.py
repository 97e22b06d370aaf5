"""hstore, without a server: golden bytes, round trips, refusals, hostile bytes."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkio.errors import DecodeError, EncodeError
from bulkio.types import PgType
from pgcopy.one_column import decode, encode, field_of

HSTORE = PgType("hstore", 70001, 70002, "hstore", "public")
GOLDEN_HSTORE = bytes.fromhex("00000002 00000001 61 00000001 31 00000001 62 ffffffff")  # '"a"=>"1", "b"=>NULL'
MAP = pa.map_(pa.string(), pa.string())


def maps(values: list[object], arrow: pa.DataType = MAP) -> pa.Array:
    return pa.array(values, arrow)


def test_hstore_golden() -> None:
    """The bytes are those of hstore_send, and come back."""
    stream = encode(maps([[("a", "1"), ("b", None)]]), HSTORE)
    assert stream == field_of(GOLDEN_HSTORE)
    assert decode(stream, HSTORE).to_pylist() == [[("a", "1"), ("b", None)]]


TEXTS = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=5)


@given(st.lists(st.none() | st.dictionaries(TEXTS, st.none() | TEXTS, max_size=20)))
def test_hstore_round_trip(rows: list[dict[str, str | None] | None]) -> None:
    """Any maps of texts come back, from a slice too, however the stream is cut."""
    array = maps([None if row is None else list(row.items()) for row in rows])
    for part in (array, array[1:]):
        stream = encode(part, HSTORE)
        for chunk_bytes in (None, 1):
            assert decode(stream, HSTORE, chunk_bytes=chunk_bytes).to_pylist() == part.to_pylist()


@pytest.mark.parametrize(
    "arrow",
    [
        pa.map_(pa.large_string(), pa.string_view()),
        pa.map_(pa.dictionary(pa.int8(), pa.string()), pa.dictionary(pa.int32(), pa.large_string())),
        pa.map_(pa.string(), pa.null()),
    ],
    ids=str,
)
def test_hstore_layouts(arrow: pa.DataType) -> None:
    """Keys and values may have any layout of text."""
    value = None if pa.types.is_null(arrow.item_type) else "v"
    if pa.types.is_dictionary(arrow.key_type):
        entries = [pa.array(["k", "l"]).cast(arrow.key_type), pa.array(["v", "v"]).cast(arrow.item_type)]
        array = pa.MapArray.from_arrays(pa.array([0, 0, 2], pa.int32()), *entries)
    else:
        array = maps([[], [("k", value), ("l", value)]], arrow)
    assert decode(encode(array, HSTORE), HSTORE).to_pylist() == [[], [("k", value), ("l", value)]]


@pytest.mark.parametrize("more", [0, 30])
def test_hstore_refuses_equal_keys(more: int) -> None:
    """A key that is there twice is refused, among few and among many."""
    many = [(f"key{i}", "") for i in range(more)]
    with pytest.raises(EncodeError, match=r'row 2, column "c": .* has a key twice, of which "public"."hstore"') as info:
        encode(maps([[("a", "1")], [("a", "1"), *many, ("a", "2")]]), HSTORE)
    assert (info.value.row, info.value.column) == (2, "c")


def test_hstore_refuses_null_keys_and_nul() -> None:
    """A NULL key is refused, and so is a NUL character."""
    # pyarrow makes none; in a dictionary's values it does not look
    keys = pa.DictionaryArray.from_arrays(pa.array([0, 1], pa.int8()), pa.array(["a", None]))
    array = pa.MapArray.from_arrays(pa.array([0, 2], pa.int32()), keys, pa.array(["1", "2"]))
    with pytest.raises(EncodeError, match="a key that is NULL"):
        encode(array, HSTORE)
    with pytest.raises(EncodeError, match="NUL"):
        encode(maps([[("a\0", "")]]), HSTORE)


@pytest.mark.parametrize(
    "bad",
    ["", "000000", "ffffffff", "00000001", "00000001 ffffffff 00000000", "00000001 00000005 61 00000000",
     "00000001 00000001 61 fffffffe", "00000000 00", "7fffffff 00000000 00000000", "00000001 00000001 ff 00000000"],
)  # fmt: skip
def test_hstore_refuses_bad_bytes(bad: str) -> None:
    """Whatever is no hstore is a DecodeError with row and column."""
    with pytest.raises(DecodeError, match='row 1, column "c"'):
        decode(field_of(bytes.fromhex(bad)), HSTORE)
