"""Composites, ranges, multiranges, enums and arrays of more dimensions: round trips, layouts, and what is refused."""

from __future__ import annotations

import struct
from dataclasses import replace

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bulkio.errors import DecodeError, SchemaError
from bulkio.pgcopy import Decoder, Encoder, Field
from bulkio.pgcopy.encoder import HEADER, TRAILER
from bulkio.types import PgType, Policies, array_of, cast_from_pg, cast_to_pg, with_policies
from pgcopy import codec_cases as cases
from pgcopy import composite_cases as composites
from pgcopy.composite_cases import EMPTY, INT4, INT4RANGE, MOOD, PAIR, RANGES, matrix, range_value
from pgcopy.test_messages import refusal

quick = settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
RANGE = cast_from_pg(INT4RANGE).arrow
ALL = pytest.mark.parametrize("case", composites.ALL, ids=lambda case: case.id)


def field_of(stream: bytes) -> bytes:
    """Return the one field of a stream of one row, without its length."""
    assert stream.startswith(HEADER)
    assert stream.endswith(TRAILER)
    (n,) = struct.unpack_from(">i", stream, len(HEADER) + 2)
    field = stream[len(HEADER) + 6 : -len(TRAILER)]
    assert len(field) == n
    return field


def stream_of(*fields: bytes) -> bytes:
    """Return a stream of rows of one field each."""
    return HEADER + b"".join(struct.pack(">hi", 1, len(field)) + field for field in fields) + TRAILER


def words(*numbers: int) -> bytes:
    """Pack 32-bit integers."""
    return struct.pack(f">{len(numbers)}i", *numbers)


@ALL
def test_any_value_comes_back(case):
    """Random cells survive, as slices with offsets, over several batches, blocks and chunks of any size."""

    @quick
    @given(st.data())
    def round_trip(data):
        rows = data.draw(st.lists(case.cells(), max_size=15))
        padding = data.draw(st.lists(case.cells(edges=True), max_size=9))
        whole = case.array(padding + rows + padding).slice(len(padding), len(rows))
        cut = data.draw(st.integers(0, len(rows)))
        block_bytes = data.draw(st.sampled_from([1, 64, 1 << 20]))
        stream = cases.encode(case, [whole.slice(0, cut), whole.slice(cut)], block_bytes=block_bytes)
        step = data.draw(st.integers(1, len(stream)))
        chunks = [stream[i : i + step] for i in range(0, len(stream), step)]
        batches = cases.decode(case, chunks, batch_rows=data.draw(st.integers(1, 20)))
        assert [cell for batch in batches for cell in batch.column(0).to_pylist()] == rows

    round_trip()


@ALL
def test_every_edge_comes_back_byte_by_byte(case):
    """Each edge survives, with NULLs between, fed in single bytes."""
    rows = case.edge_rows()
    stream = cases.encode(case, [case.array(rows)])
    batches = cases.decode(case, (stream[i : i + 1] for i in range(len(stream))))
    assert [cell for batch in batches for cell in batch.column(0).to_pylist()] == rows
    nulls = cases.decode(case, [cases.encode(case, [case.array([None] * 17)])])
    assert [batch.column(0).null_count for batch in nulls] == [17]


@ALL
def test_a_field_that_is_cut_or_too_long(case):
    """Every prefix of a field, and a field with more behind it, is refused: or is a shorter text."""
    for edge in case.edges:
        field = field_of(cases.encode(case, [case.array([edge])]))
        for cut in [*(field[:n] for n in range(len(field))), field + b"\0"]:
            try:
                (batch,) = cases.decode(case, [stream_of(cut)])
            except DecodeError:
                continue
            assert case.pg.codec == "enum"
            assert batch.column(0)[0].as_py() in MOOD.labels


# --- layouts ---------------------------------------------------------------------------------------------------------


def encode(array: pa.Array, pg: PgType) -> bytes:
    """Encode one column of one batch."""
    cast = cast_to_pg(array.type, pg)
    assert cast is not None
    encoder = Encoder([Field("c", cast)])
    blocks = [bytes(block) for block in encoder.encode(pa.record_batch([array], ["c"]))]
    return b"".join([*blocks, bytes(encoder.finish())])


def decode(stream: bytes, pg: PgType, policies: Policies | None = None) -> pa.Array:
    """Decode one column."""
    cast = with_policies(cast_from_pg(pg), policies or Policies())
    decoder = Decoder([Field("c", cast)], pa.schema([pa.field("c", cast.arrow)]))
    decoder.feed(stream)
    (batch,) = map(pa.record_batch, decoder.finish())
    batch.validate(full=True)
    return batch.column(0)


def test_the_bytes_of_a_composite():
    """Fields stand in the composite's order, each with its column's oid, whatever the struct's order."""
    array = pa.array([{"b": "x", "a": 7}], pa.struct([("b", pa.large_string()), ("a", pa.int64())]))
    assert field_of(encode(array, PAIR)) == words(2, 23, 4, 7, 25, 1) + b"x"


def test_a_field_that_the_struct_lacks_is_null():
    """A missing field is NULL; one that is of Arrow's type null too."""
    expected = words(2, 23, -1, 25, 1) + b"x"
    assert field_of(encode(pa.array([{"b": "x"}], pa.struct([("b", pa.string())])), PAIR)) == expected
    array = pa.array([{"b": "x", "a": None}], pa.struct([("b", pa.string()), ("a", pa.null())]))
    assert field_of(encode(array, PAIR)) == expected
    assert cast_to_pg(pa.struct([("b", pa.string()), ("c", pa.int32())]), PAIR) is None


def test_a_domain_inside_goes_by_its_own_oid():
    """The oid of a field is that of the column's declared type, also for an array's elements."""
    pg = composites.composite("d", 1, x=composites.POSITIVE, y=array_of(composites.POSITIVE))
    array = pa.array([{"x": 7, "y": [8]}], cast_from_pg(pg).arrow)
    expected = words(2, 50004, 4, 7, 50005, 28, 1, 0, 50004, 1, 1, 4, 8)
    assert field_of(encode(array, pg)) == expected


def test_a_slice_of_structs_whose_children_are_slices():
    """Offsets of the struct and of its children add up; what is null above hides what is below."""
    a = pa.array([9, 9, 1, 2, 3], pa.int32()).slice(1)
    b = pa.array(["-", "a", "b", "c"])
    array = pa.StructArray.from_arrays([a, b], names=["a", "b"], mask=pa.array([False, False, True, False])).slice(1)
    expected = [{"a": 1, "b": "a"}, None, {"a": 3, "b": "c"}]
    assert decode(encode(array, PAIR), PAIR).to_pylist() == expected
    assert decode(encode(array.slice(2), PAIR), PAIR).to_pylist() == expected[2:]


def test_a_batch_with_other_fields_than_planned():
    """Structs whose fields changed their order between batches are refused, not swapped."""
    one, two = (pa.struct([(name, pa.int32()) for name in names]) for names in ("ab", "ba"))
    pg = composites.composite("two", 1, a=INT4, b=INT4)
    encoder = Encoder([Field("c", cast_to_pg(one, pg))])
    with pytest.raises(SchemaError, match="has the fields"):
        list(encoder.encode(pa.record_batch([pa.array([{"a": 1, "b": 2}], two)], ["c"])))


def test_the_bytes_of_ranges():
    """Flags say which bounds there are."""
    for value, expected in (
        (EMPTY, b"\x01"),
        (range_value(None, None), b"\x18"),
        (range_value(1, 5, "[]"), b"\x06" + words(4, 1, 4, 5)),
        (range_value(None, 5, "()"), b"\x08" + words(4, 5)),
        (range_value(1, None), b"\x12" + words(4, 1)),
    ):
        assert field_of(encode(pa.array([value], RANGE), INT4RANGE)) == expected
        stream = encode(pa.array([[value, value]], pa.large_list(RANGE)), RANGES)
        assert field_of(stream) == words(2) + 2 * (words(len(expected)) + expected)


def test_an_inclusive_infinite_bound_is_exclusive():
    """[,] is (,): PostgreSQL's own rule. An empty range has no use for its flags either."""
    value = {**range_value(None, None), "lower_inc": True, "upper_inc": True}
    assert field_of(encode(pa.array([value], RANGE), INT4RANGE)) == b"\x18"
    assert field_of(encode(pa.array([{**value, "empty": True}], RANGE), INT4RANGE)) == b"\x01"


def test_bounds_in_a_dictionary():
    """A null among the dictionary's values is an infinite bound."""
    bounds = pa.DictionaryArray.from_arrays(pa.array([0, 1]), pa.array(["x", None]))
    no = pa.array([False, False])
    array = pa.StructArray.from_arrays([bounds, bounds, no, no, no], names=[f.name for f in RANGE])
    back = decode(encode(array, composites.TEXTRANGE), composites.TEXTRANGE)
    assert back.to_pylist() == [range_value("x", "x", "()"), range_value(None, None)]


def test_an_infinity_that_is_a_bound_is_never_dropped():
    """As null it would be no bound at all, another range: it stays an error under that policy."""
    stream = stream_of(b"\x02" + words(4, 0, 4, (1 << 31) - 1))
    for infinity in ("error", "null"):
        with pytest.raises(DecodeError, match="an infinity"):
            decode(stream, composites.DATERANGE, Policies(infinity=infinity))


def test_an_exported_enum_has_all_its_labels():
    """Each batch has the whole dictionary, in the enum's order, and outlives the decoder."""
    case = composites.ALL[0]
    stream = cases.encode(case, [case.array(["happy", None, "sad"] * 3)])
    batches = cases.decode(case, [stream], batch_rows=2)
    assert len(batches) == 5
    for batch in batches:
        assert batch.column(0).dictionary.to_pylist() == list(MOOD.labels)


def test_an_enum_of_many_labels():
    """A thousand labels that share prefixes are told apart."""
    labels = tuple(f"{'x' * (i % 7)}{i}" for i in range(1000))
    pg = replace(MOOD, labels=labels)
    assert decode(encode(pa.array(labels), pg), pg).to_pylist() == list(labels)
    assert decode(encode(pa.array([None, None], pa.string()), replace(MOOD, labels=())), MOOD).null_count == 2


def test_the_bytes_of_two_dimensions():
    """The sizes of both, lower bounds 1, then all elements in a row."""
    pg = matrix(INT4, 2)
    expected = words(2, 1, 23, 2, 1, 3, 1, 4, 1, 4, 2, -1, 4, 4, 4, 5, 4, 6)
    rows = [[[1, 2, None], [4, 5, 6]]]
    for inner in (pa.list_, pa.large_list, lambda t: pa.list_(t, 3), pa.list_view, pa.large_list_view):
        for outer in (pa.list_, pa.large_list, lambda t: pa.list_(t, 2), pa.list_view):
            array = pa.array([None, *rows], outer(inner(pa.int64())))
            assert field_of(encode(array.slice(1), pg)) == expected
    assert field_of(encode(pa.array([[]], pa.list_(pa.list_(pa.int32()))), pg)) == words(0, 0, 23)


def test_too_many_dimensions():
    """PostgreSQL has six."""
    pg = matrix(INT4, 7)
    with pytest.raises(SchemaError, match="1 to 6 dimensions"):
        Encoder([Field("c", cast_to_pg(cast_from_pg(pg).arrow, pg))])


def test_bounds_dropped_when_asked():
    """A lower bound other than 1 is an error, or dropped."""
    stream = stream_of(words(2, 0, 23, 1, 1, 2, -5, 4, 1, 4, 2))
    with pytest.raises(DecodeError, match="lower bound -5"):
        decode(stream, matrix(INT4, 2))
    assert decode(stream, matrix(INT4, 2), Policies(bounds="drop")).to_pylist() == [[[1, 2]]]


def test_composites_of_nulls_do_not_inflate():
    """A NULL composite takes more of Arrow than of the wire: batches end early for it."""
    wide = composites.composite("wide", 1, **{f"f{i}": INT4 for i in range(1000)})
    cast = cast_from_pg(array_of(wide))
    field = words(1, 1, 1, 1000, 1) + words(-1) * 1000
    decoder = Decoder([Field("c", cast)], pa.schema([pa.field("c", cast.arrow)]), batch_bytes=1 << 20)
    decoder.feed(stream_of(*[field] * 3))
    assert [batch.rows for batch in decoder.finish()] == [1, 1, 1]


# --- what is refused -------------------------------------------------------------------------------------------------

_MATRIX = pa.list_(pa.list_(pa.int32()))
_PAIR = pa.struct([("a", pa.int64()), ("b", pa.string())])

#: status: (array whose second row is refused, type, words)
REFUSED = {
    "NOT_A_LABEL": (pa.array(["ok", "OK"]), MOOD, '\'OK\' is not a label of "public"."mood"'),
    "NOT_A_LABEL long": (pa.array(["ok", "x" * 64]), MOOD, "is not a label"),
    "NOT_A_LABEL past them all": (pa.array(["ok", "x" * 6400]), MOOD, "is not a label"),
    "NOT_A_LABEL dictionary": (pa.array(["ok", "no"]).dictionary_encode(), MOOD, "'no' is not a label"),
    "NOT_A_LABEL view": (pa.array(["ok", "no, this is none"], pa.string_view()), MOOD, "is not a label"),
    "NOT_A_LABEL array": (
        pa.array([[], ["ok", "no"]]),
        array_of(MOOD),
        "['ok', 'no'] holds what is not a label of \"public\".\"mood\"",
    ),
    "NULL_IN_RANGE": (
        pa.array([EMPTY, {**EMPTY, "empty": None}], RANGE),
        INT4RANGE,
        "has a null where int4range can have none",
    ),
    "NULL_IN_RANGE inc": (pa.array([EMPTY, {**EMPTY, "lower_inc": None}], RANGE), INT4RANGE, "has a null where"),
    "NULL_IN_RANGE multirange": (pa.array([[], [None]], pa.list_(RANGE)), RANGES, "[None] has a null where"),
    "EMPTY_WITH_BOUNDS": (
        pa.array([EMPTY, range_value(1, None, empty=True)], RANGE),
        INT4RANGE,
        "is an empty range that has bounds",
    ),
    "EMPTY_WITH_BOUNDS upper": (pa.array([EMPTY, range_value(None, 1, empty=True)], RANGE), INT4RANGE, "that has"),
    "RAGGED": (pa.array([[], [[1], [2, 3]]], _MATRIX), matrix(INT4, 2), "[[1], [2, 3]] is ragged"),
    "RAGGED deep": (
        pa.array([[], [[[1]], [[2], [3]]]], pa.list_(_MATRIX)),
        matrix(INT4, 3),
        "is ragged: all lists of one dimension",
    ),
    "EMPTY_INNER": (pa.array([[], [[], []]], _MATRIX), matrix(INT4, 2), "PostgreSQL would store '{}'"),
    "EMPTY_INNER last": (pa.array([[], [[1], []]], _MATRIX), matrix(INT4, 2), "has an empty list inside"),
    "NULL_INNER": (pa.array([[], [[1], None]], _MATRIX), matrix(INT4, 2), "has a NULL in place of an inner list"),
    "NULL_INNER first": (pa.array([[], [None, [1]]], _MATRIX), matrix(INT4, 2), "has a NULL in place"),
    "OUT_OF_RANGE composite": (pa.array([None, {"a": 1 << 31, "b": ""}], _PAIR), PAIR, 'out of range for "public"'),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_value_names_row_column_and_value(name):
    """Each status of a value that cannot go gives its words, the row, the column and the value."""
    array, pg, expected = REFUSED[name]
    error = refusal(array, pg)
    assert expected in str(error)
    assert (error.row, error.column) == (2, "a\x1bb")


#: status: (type, field, words)
BAD_FIELDS = {
    "NOT_AS_DECLARED 1": (matrix(INT4, 2), words(1, 0, 23, 1, 1, 4, 7), "an array of 1 dimensions in a column that"),
    "NOT_AS_DECLARED 3": (matrix(INT4, 2), words(3, 0, 23), "was declared to have 2"),
    "BAD_LOWER_BOUND inner": (matrix(INT4, 2), words(2, 0, 23, 1, 1, 1, 2, 4, 7), "lower bound 2"),
    "BAD_LENGTH no size": (matrix(INT4, 2), words(2, 0, 23, 1, 1, 1), "expected 28 bytes, found 24"),
    "BAD_LENGTH zero": (matrix(INT4, 2), words(2, 0, 23, 1, 1, 0, 1), "wrong length"),
    "BAD_LENGTH huge": (matrix(INT4, 2), words(2, 0, 23, (1 << 31) - 1, 1, (1 << 31) - 1, 1), "wrong length"),
    "BAD_LENGTH negative": (matrix(INT4, 2), words(2, 0, 23, 1, 1, -1, 1), "wrong length"),
    "BAD_FIELD_COUNT": (PAIR, words(1, 23, 4, 1), "a composite of 1 fields in"),
    "BAD_FIELD_COUNT negative": (PAIR, words(-1), "a composite of -1 fields in"),
    "BAD_FIELD_TYPE": (PAIR, words(2, 20, 4, 1, 25, -1), "a field with oid 20"),
    "BAD_FIELD_TYPE high": (PAIR, words(2, -1, 4, 1, 25, -1), "a field with oid 4294967295"),
    "BAD_LENGTH composite": (PAIR, b"", "expected 4 bytes, found 0"),
    "BAD_LENGTH field": (PAIR, words(2, 23, 4, 1, 25, -2), "wrong length"),
    "BAD_LENGTH rest": (PAIR, words(2, 23, 4, 1, 25, -1, 0), "expected 0 bytes, found 4"),
    "UNKNOWN_LABEL": (MOOD, b"OK", 'a label that "public"."mood" did not have'),
    "BAD_LENGTH range": (INT4RANGE, b"", "expected 1 bytes, found 0"),
    "BAD_LENGTH no upper": (INT4RANGE, b"\x02" + words(4, 1), "expected 4 bytes, found 0"),
    "BAD_LENGTH null bound": (INT4RANGE, b"\x12" + words(-1), "wrong length"),
    "BAD_LENGTH empty with a rest": (INT4RANGE, b"\x01" + words(4, 1), "found 8"),
    "BAD_VALUE unknown flag": (INT4RANGE, b"\x81", "not a valid int4range"),
    "BAD_VALUE empty and more": (INT4RANGE, b"\x09", "not a valid int4range"),
    "BAD_VALUE inclusive infinity": (INT4RANGE, b"\x1a", "not a valid int4range"),
    "BAD_VALUE null range": (RANGES, words(1, -1), "not a valid int4multirange"),
    "BAD_LENGTH multirange": (RANGES, b"", "expected 4 bytes, found 0"),
    "BAD_LENGTH negative count": (RANGES, words(-1), "wrong length"),
    "BAD_ELEMENT_TYPE": (array_of(PAIR), words(1, 0, 23, 1, 1, -1), "oid 23, expected oid 50010"),
}


@pytest.mark.parametrize("name", BAD_FIELDS)
def test_a_bad_field_names_row_and_column(name):
    """Each status of a field that cannot be decoded gives its message."""
    pg, field, expected = BAD_FIELDS[name]
    with pytest.raises(DecodeError) as caught:
        decode(stream_of(field), pg)
    assert expected in str(caught.value)
    assert (caught.value.row, caught.value.column) == (1, "c")
