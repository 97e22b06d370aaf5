"""Values that the encoder refuses: each status, with row, column and value in the message."""

from __future__ import annotations

import mmap
import re
from pathlib import Path

import pyarrow as pa
import pytest

from bulkio.errors import EncodeError
from bulkio.pgcopy import Encoder, Field, messages
from bulkio.types import PgType, array_of, base_type, cast_to_pg
from pgcopy import codec_build as arrays

LIST = pa.list_(pa.int32())
INT64 = pa.int64()


def numeric(precision: int, scale: int) -> PgType:
    """Return a numeric type by precision and scale."""
    return base_type("numeric", ((precision << 16) | (scale & 0x7FF)) + 4)


def refusal(array: pa.Array, pg: PgType, *, nullable: bool = True) -> EncodeError:
    """Encode one column that must be refused."""
    encoder = Encoder([Field("a\x1bb", cast_to_pg(array.type, pg), nullable)])
    with pytest.raises(EncodeError) as caught:
        list(encoder.encode(pa.record_batch([array], ["a"])))
    return caught.value


def texts(*values: bytes) -> pa.Array:
    """Build strings that may not be UTF-8."""
    return pa.array(values, pa.binary()).view(pa.string())


def _integers(*values: int, arrow: pa.DataType = INT64) -> pa.Array:
    return pa.array(values, arrow)


def _decimals(*unscaled: int) -> pa.Array:
    return arrays.by_unscaled(list(unscaled), pa.decimal128(38, 3))


def _moments(value: int, unit: str = "us", zone: str | None = None) -> pa.Array:
    return pa.array([0, value], pa.int64()).view(pa.timestamp(unit, zone))


def _maps(keys: list[str | None]) -> pa.Array:
    # pyarrow makes no map with a NULL key; in a dictionary's values it does not look
    encoded = pa.DictionaryArray.from_arrays(pa.array([0, 1], pa.int8()), pa.array(keys))
    return pa.MapArray.from_arrays(pa.array([0, 0, 2], pa.int32()), encoded, pa.array(["", ""]))


def _vectors(elements: list[float | None]) -> pa.Array:
    return pa.array([[1, 2], elements], pa.list_(pa.float32()))


HSTORE = PgType("hstore", 70001, 70002, "hstore", "public")
VECTOR = PgType("vector", 70003, 70004, "vector", "public", 2)
GEOMETRY = PgType("geometry", 70005, 70006, "geometry", "public", 4326 << 8)
POINT = b"\1\1\0\0\0" + bytes(16)
BAD_INDEX = pa.DictionaryArray.from_arrays(pa.array([0, 7], pa.int8()), pa.array(["a"]), safe=False)

#: status: (array whose second row is refused, type, words)
REFUSED = {
    "OUT_OF_RANGE int2": (_integers(0, 32768), base_type("int2"), "32768 is out of range for int2"),
    "OUT_OF_RANGE -int2": (_integers(0, -32769), base_type("int2"), "-32769 is out of range for int2"),
    "OUT_OF_RANGE int4": (_integers(0, 1 << 31), base_type("int4"), "2147483648 is out of range for int4"),
    "OUT_OF_RANGE uint64": (_integers(0, 1 << 63, arrow=pa.uint64()), base_type("int8"), "9223372036854775808 is out"),
    "OUT_OF_RANGE uint64 max": (_integers(0, (1 << 64) - 1, arrow=pa.uint64()), base_type("int8"), "1615 is out of"),
    "OUT_OF_RANGE int numeric": (_integers(0, 1000), numeric(3, 0), "1000 is out of range for numeric(3,0)"),
    "OUT_OF_RANGE float": (pa.array([0, 2.0**63]), base_type("int8"), "9.223372036854776e+18 is out of range"),
    "OUT_OF_RANGE NaN": (pa.array([0, float("nan")]), base_type("int4"), "nan is out of range for int4"),
    "OUT_OF_RANGE infinity": (pa.array([0, float("-inf")]), base_type("int2"), "-inf is out of range for int2"),
    "OUT_OF_RANGE decimal": (_decimals(0, 1_000_000), numeric(5, 2), "1000.000 is out of range for numeric(5,2)"),
    "OUT_OF_RANGE wide": (_decimals(0, 10**37), numeric(20, 2), "out of range for numeric(20,2)"),
    "OUT_OF_RANGE decimal int": (_decimals(0, 32768000), base_type("int2"), "32768.000 is out of range for int2"),
    "OUT_OF_RANGE wide int": (_decimals(0, 10**37), base_type("int8"), "out of range for int8"),
    "OUT_OF_RANGE s > p": (_decimals(0, 10), numeric(3, 5), "0.010 is out of range for numeric(3,5)"),
    "OUT_OF_RANGE text": (pa.array(["0", "1000"]), numeric(5, 2), "'1000' is out of range for numeric(5,2)"),
    "OUT_OF_RANGE text inf": (pa.array(["0", "Infinity"]), numeric(5, 2), "'Infinity' is out of range"),
    "OUT_OF_RANGE text 1e131072": (pa.array(["0", "1e131072"]), base_type("numeric"), "'1e131072' is out of range"),
    "OUT_OF_RANGE text 1e9..9": (pa.array(["0", "1e99999999999999999999"]), base_type("numeric"), "out of range"),
    "OUT_OF_RANGE date": (
        arrays.by_integer([0, (1 << 31) - 2], pa.date32()),
        base_type("date"),
        "out of range for date",
    ),
    "OUT_OF_RANGE -date": (arrays.by_integer([0, 2 - (1 << 31)], pa.date32()), base_type("date"), "-2147483646 is out"),
    "OUT_OF_RANGE date ts": (arrays.by_integer([0, 200_000_000], pa.date32()), base_type("timestamp"), "out of range"),
    "OUT_OF_RANGE time": (
        pa.array([0, 86400], pa.int32()).view(pa.time32("s")),
        base_type("time"),
        "out of range for time",
    ),
    "OUT_OF_RANGE -time": (
        pa.array([0, -1], pa.int64()).view(pa.time64("us")),
        base_type("time"),
        "out of range for time",
    ),
    "OUT_OF_RANGE timestamp": (_moments(2 - (1 << 63)), base_type("timestamp"), "-9223372036854775806 is out of range"),
    "OUT_OF_RANGE seconds": (_moments((1 << 63) - 2, "s"), base_type("timestamp"), "9223372036854775806 is out"),
    "OUT_OF_RANGE instant": (
        _moments(-(1 << 62), "ms", "UTC"),
        base_type("timestamptz"),
        "out of range for timestamptz",
    ),
    "WOULD_ROUND decimal": (_decimals(0, 1001), numeric(10, 2), "1.001 would be rounded by numeric(10,2)"),
    "WOULD_ROUND wide": (_decimals(0, 10**30 + 1), numeric(38, 2), "would be rounded by numeric(38,2)"),
    "WOULD_ROUND decimal int": (_decimals(0, 1500), base_type("int4"), "1.500 would be rounded by int4"),
    "WOULD_ROUND negative scale": (_integers(0, 150), numeric(5, -2), "150 would be rounded by numeric(5,-2)"),
    "WOULD_ROUND text": (pa.array(["0", "1.005"]), numeric(10, 2), "'1.005' would be rounded by numeric(10,2)"),
    "WOULD_ROUND text exponent": (pa.array(["0", "5e-3"]), numeric(10, 2), "'5e-3' would be rounded"),
    "WOULD_ROUND text tiny": (pa.array(["0", "1e-16384"]), base_type("numeric"), "'1e-16384' would be rounded"),
    "WOULD_ROUND float": (pa.array([0, 1.5]), base_type("int4"), "1.5 would be rounded by int4"),
    "WOULD_ROUND int float4": (_integers(0, (1 << 24) + 1), base_type("float4"), "16777217 would be rounded by float4"),
    "WOULD_ROUND int float8": (_integers(0, (1 << 53) + 1), base_type("float8"), "would be rounded by float8"),
    "WOULD_ROUND uint float8": (
        _integers(0, (1 << 64) - 1, arrow=pa.uint64()),
        base_type("float8"),
        "would be rounded",
    ),
    "WOULD_ROUND ns": (
        _moments(-1, "ns"),
        base_type("timestamp"),
        "1969-12-31 23:59:59.999999999 would be rounded by timestamp",
    ),
    "WOULD_ROUND ns time": (
        pa.array([0, 1], pa.int64()).view(pa.time64("ns")),
        base_type("time"),
        "00:00:00.000000001 would be rounded by time",
    ),
    "WOULD_ROUND date64": (arrays.by_integer([0, 1], pa.date64()), base_type("date"), "would be rounded by date"),
    "WOULD_ROUND date64 ts": (
        arrays.by_integer([0, -1], pa.date64()),
        base_type("timestamp"),
        "would be rounded by timestamp",
    ),
    "WOULD_ROUND timestamp(0)": (
        _moments(500_000),
        base_type("timestamp", 0),
        ".500000 would be rounded by timestamp(0)",
    ),
    "WOULD_ROUND timestamptz(3)": (_moments(-1, "us", "UTC"), base_type("timestamptz", 3), "rounded by timestamptz(3)"),
    "WOULD_ROUND time(2)": (
        pa.array([0, 5], pa.int32()).view(pa.time32("ms")),
        base_type("time", 2),
        "rounded by time(2)",
    ),
    "TOO_LONG varchar": (
        pa.array(["", "éééé"]),
        base_type("varchar", 4 + 3),
        "'éééé' is longer than varchar(3) allows",
    ),
    "TOO_LONG blanks": (pa.array(["", "abc "]), base_type("varchar", 4 + 3), "'abc ' is longer than varchar(3) allows"),
    "TOO_LONG char": (pa.array(["", "ab"]), base_type("bpchar", 4 + 1), "'ab' is longer than char(1) allows"),
    "HAS_NUL": (
        pa.array(["", "a\0b"]),
        base_type("text"),
        "'a\\x00b' contains a NUL character, which text cannot store",
    ),
    "HAS_NUL long": (pa.array(["", "a" * 100 + "\0"]), base_type("json"), "contains a NUL character, which json"),
    "HAS_NUL jsonb": (pa.array(["", "\0"]), base_type("jsonb"), "contains a NUL character, which jsonb"),
    "NOT_UTF8": (texts(b"", b"\xff\xfe"), base_type("text"), "'\\xfffe' is not valid UTF-8"),
    "NOT_UTF8 cut": (texts(b"", b"12345678\xc3"), base_type("varchar"), "is not valid UTF-8"),
    "NOT_UTF8 jsonb": (texts(b"", b"\xed\xa0\x80"), base_type("jsonb"), "is not valid UTF-8"),
    "NOT_UTF8 view": (
        pa.array([b"", b"\xf8"], pa.binary_view()).view(pa.string_view()),
        base_type("text"),
        "UTF-8",
    ),
    "NOT_UTF8 dictionary": (texts(b"", b"\xff").dictionary_encode(), base_type("text"), "'\\xff' is not valid UTF-8"),
    "BAD_SYNTAX": (pa.array(["0", "twelve"]), base_type("numeric"), "'twelve' is not a valid numeric"),
    "DUPLICATE_KEY": (_maps(["a", "a"]), HSTORE, "[('a', ''), ('a', '')] has a key twice"),
    "NULL_KEY": (_maps(["a", None]), HSTORE, "has a key that is NULL"),
    "NULL_ELEMENT": (_vectors([1, None]), VECTOR, "[1.0, None] has an element that is NULL"),
    "NOT_FINITE": (_vectors([1, float("nan")]), VECTOR, "[1.0, nan] has a NaN or an infinity"),
    "WRONG_DIMENSIONS": (_vectors([1, 2, 3]), VECTOR, "does not have the number of dimensions"),
    "WRONG_SRID": (pa.array([POINT, b"\1\1\0\0\x20\1\0\0\0" + POINT[5:]]), GEOMETRY, "another SRID than"),
    "NOT_ABSOLUTE": (pa.array(["1970-01-01Z", "today"]), base_type("timestamptz"), "'today' means another timestamptz"),
    "SIGNED_ZERO": (
        pa.array(["0", "[-0.0]"]),
        base_type("jsonb"),
        "'[-0.0]' has a negative zero, of which jsonb would",
    ),
    "MEANS_INFINITY": (
        _moments((1 << 63) - 1),
        base_type("timestamp"),
        "9223372036854775807 has an infinite date or time, which DuckDB, for one, writes as an extreme",
    ),
    "BAD_VALUE": (BAD_INDEX, base_type("text"), "an index points outside its dictionary"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_value_names_row_column_and_value(name):
    """Each status of a value that cannot go gives its words, the row, the column (escaped) and the value."""
    array, pg, words = REFUSED[name]
    error = refusal(array, pg)
    assert words in str(error)
    assert str(error).startswith('row 2, column "a\\x1bb": ')
    assert (error.row, error.column) == (2, "a\x1bb")
    assert not error.retryable


@pytest.mark.parametrize("name", [n for n, (array, _, _) in REFUSED.items() if not pa.types.is_dictionary(array.type)])
def test_a_refused_value_in_a_list(name):
    """Inside a list the same values are refused, with the array's type and the list's row."""
    array, pg, _ = REFUSED[name]
    lists = pa.ListArray.from_arrays(pa.array([0, 1, 2], pa.int32()), array)
    error = refusal(lists, array_of(pg))
    assert error.row == 2
    assert pg.sql + "[]" in str(error) or "UTF-8" in str(error)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "-",
        "+",
        ".",
        "e5",
        "1e",
        "1e+",
        "1 2",
        "1..2",
        "1.2.3",
        "--1",
        "+-1",
        "0x10",
        "1_000",
        "١",
        "nano",
        "infin",
        "1e5.0",
        "- 1",
    ],
)
def test_texts_that_are_no_number(text):
    """What the server's numeric input refuses (or takes in new versions only) is refused."""
    assert "is not a valid numeric" in str(refusal(pa.array([text]), base_type("numeric")))


def test_every_status_has_its_test():
    """Each status that an encoder can answer is reached above or in one of this file's other tests."""
    from pgcopy import test_composites

    elsewhere = {messages.NULL_REFUSED, messages.FIELD_TOO_BIG}
    # test_bits, test_points and test_intervals, test_servertext, test_charsets
    elsewhere |= {messages.WRONG_BITS, messages.NULL_MEMBER, messages.WOULD_DROP, messages.CHANGED_CHAR}
    elsewhere.add(messages.DAMAGED)  # test_damaged_buffers
    reached = {getattr(messages, name.split()[0]) for name in REFUSED | test_composites.REFUSED}
    assert set(messages._ENCODE) == reached | elsewhere


@pytest.mark.parametrize(
    "array",
    [
        pa.array([1, None], pa.int32()),
        pa.array([[1], None], LIST),
        pa.array([None, None]).slice(1).cast(pa.int32()),
        pa.array(["a", None]).dictionary_encode(),
        pa.DictionaryArray.from_arrays(pa.array([0, 1], pa.int8()), pa.array(["a", None])),
        pa.array([None], pa.null()),
        pa.array([[None], None], pa.list_(pa.null())),
    ],
    ids=lambda array: str(array.type),
)
def test_null_in_a_column_that_is_not_null(array):
    """A NULL is refused where the column is NOT NULL: plain, in a dictionary's indices or its values, of type null."""
    pg = base_type("int4") if pa.types.is_integer(array.type) else base_type("text")
    if pa.types.is_list(array.type):
        pg = array_of(base_type("int4"))
    error = refusal(array, pg, nullable=False)
    assert "NULL in a column that is NOT NULL" in str(error)
    assert error.row == len(array)


def test_null_elements_are_no_null_cells():
    """In a NOT NULL column of arrays the elements may be NULL: NOT NULL speaks of the array."""
    for array in (pa.array([[1, None], []], LIST), pa.array([[None]], pa.list_(pa.null()))):
        field = Field("c", cast_to_pg(array.type, array_of(base_type("int4"))), nullable=False)
        encoder = Encoder([field])
        assert list(encoder.encode(pa.record_batch([array], ["c"]))) == []
        assert encoder.rows == len(array)


def test_bad_indices_under_nulls_do_not_matter():
    """What lies under a NULL is never looked at."""
    indices = pa.Array.from_buffers(pa.int8(), 2, [arrays.bitmap([True, False]), pa.py_buffer(bytes([0, 99]))])
    array = pa.DictionaryArray.from_arrays(indices, pa.array(["a"]), safe=False)
    encoder = Encoder([Field("c", cast_to_pg(array.type, base_type("text")))])
    list(encoder.encode(pa.record_batch([array], ["c"])))
    assert encoder.rows == 2


def _untouched(size: int) -> pa.Buffer:
    """Map memory that costs nothing until it is read, which must not happen."""
    return pa.py_buffer(mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=mmap.PROT_READ))


class _Producer:
    """Offers a batch's C Data Interface alone: its values cannot be made for a message."""

    def __init__(self, array: pa.Array) -> None:
        self.batch = pa.record_batch([array], ["c"])

    def __arrow_c_array__(self, requested_schema: object = None) -> object:
        return self.batch.__arrow_c_array__()


@pytest.mark.parametrize(
    ("arrow", "pg", "size"),
    [
        (pa.large_string(), base_type("text"), 1 << 30),
        (pa.large_string(), base_type("jsonb"), (1 << 30) - 1),
        (pa.large_binary(), base_type("bytea"), 1 << 30),
        (pa.large_list(pa.int8()), array_of(base_type("int2")), 1 << 28),
        (pa.map_(pa.string(), pa.string()), PgType("hstore", 70001, 70002, "hstore", "public"), 1 << 27),
    ],
    ids=str,
)
def test_a_field_past_one_gigabyte(arrow, pg, size):
    """What is larger than the server's MaxAllocSize is refused by its length alone, before a byte of it is read."""
    offsets = pa.array([0, size], pa.int64()).buffers()[1]
    if pa.types.is_map(arrow):
        texts = pa.Array.from_buffers(pa.string(), size, [None, _untouched(4 * size + 4), pa.py_buffer(b"")])
        entries = pa.StructArray.from_arrays([texts, texts], fields=[arrow.key_field, arrow.item_field])
        offsets = pa.array([0, size], pa.int32()).buffers()[1]
        array = pa.Array.from_buffers(arrow, 1, [None, offsets], children=[entries])
    elif pa.types.is_large_list(arrow):
        child = pa.Array.from_buffers(pa.int8(), size, [None, _untouched(size)])
        array = pa.Array.from_buffers(arrow, 1, [None, offsets], children=[child])
    else:
        array = pa.Array.from_buffers(arrow, 1, [None, offsets, _untouched(size)])
    for batch in (_Producer(array), pa.record_batch([array], ["c"])):
        with pytest.raises(EncodeError, match=r"row 1, .* larger than the 1 GB"):
            list(Encoder([Field("c", cast_to_pg(arrow, pg))]).encode(batch))


def test_long_values_are_cut_in_messages():
    """A refused value of any length makes a short message on one line."""
    error = refusal(pa.array(["x\n" * 100_000]), base_type("varchar", 4 + 3))
    assert len(str(error)) < 200
    assert "\n" not in str(error)


def test_the_numbers_are_those_of_the_c_level():
    """Every status of wire.pxd has its name and number here, but for those that are no fault of a value."""
    source = (Path(__file__).parents[2] / "src/bulkio/pgcopy/wire.pxd").read_text()
    statuses = source.partition("cdef enum Status:")[2].partition("\n\n")[0]
    there = {name: int(number) for name, number in re.findall(r"(\w+) = (\d+)", statuses)}
    here = {name: value for name, value in vars(messages).items() if type(value) is int}
    assert {name: there[name] for name in there.keys() - {"OK", "NO_MEMORY", "AS_NULL"}} == here
    assert set(messages._ENCODE) | set(messages._DECODE) == set(here.values())


def test_rounding_says_whether_it_can_be_allowed() -> None:
    """`allow_lossy` is named where it lets the value pass, and only there."""
    can = refusal(pa.array(["0", "1.005"]), numeric(10, 2))
    cannot = refusal(pa.array([0, 1.5]), base_type("int4"))
    assert str(can).endswith(
        "would be rounded by numeric(10,2): allow that (allow_lossy=True), or round it in the source"
    )
    assert str(cannot).endswith("1.5 would be rounded by int4: round it in the source")
