"""The round-trip cases: which Arrow type goes into which PostgreSQL type, with which values, and what comes back.

A case's values are plain Python: integers for numbers, dates and times, bits for floats, unscaled integers for
decimals.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from hypothesis import strategies as st

from bulkio.pgcopy import Decoder, Encoder, Field
from bulkio.types import PgType, array_of, base_type, cast_from_pg, cast_to_pg, pg_type_for
from older_pyarrow import VIEWS_IN_EXTENSIONS
from pgcopy import codec_build as arrays

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Values = list[Any]


def _same(value: object) -> object:
    return value


@dataclass(frozen=True)
class Case:
    """One pair of types, with its values and how they are built, read back and compared."""

    arrow: pa.DataType
    pg: PgType
    values: st.SearchStrategy[Any]
    edges: tuple[Any, ...]
    build: Callable[[Values, pa.DataType], pa.Array] = arrays.plain
    read: Callable[[pa.Array], Values] = arrays.read_plain
    #: what a value is once it came back, in the terms of `read`
    expect: Callable[[Any], Any] = _same
    layout: arrays.ListLayout | None = None

    @property
    def id(self) -> str:
        """The case's name in test ids and in the summary."""
        storage = f"({self.arrow.storage_type})" if isinstance(self.arrow, pa.BaseExtensionType) else ""
        return f"{self.arrow}{storage}->{self.pg.sql}"

    def array(self, values: Values) -> pa.Array:
        """Build the Arrow array of these values, None for NULL."""
        if self.layout is None:
            return self.build(values, self.arrow)
        return arrays.build_lists(values, self.layout, self.build, self.arrow.value_type)

    def cells(self, edges: bool = False) -> st.SearchStrategy[Any]:
        """Return a strategy for one cell: a NULL, an edge or any value."""
        one = st.sampled_from(self.edges) if edges else self.values | st.sampled_from(self.edges)
        if self.layout is None:
            return st.none() | one
        size = self.layout.size
        return st.none() | st.lists(st.none() | one, min_size=size or 0, max_size=5 if size is None else size)

    def edge_rows(self) -> Values:
        """Return every edge, with NULLs between them."""
        rows = [x for edge in self.edges for x in (edge, None)]
        if self.layout is None:
            return rows
        if self.layout.size is not None:
            return [None] + [rows[i : i + 2] for i in range(0, len(rows), 2)]
        return [[], None, rows, rows[:1], [None]]

    def back(self, array: pa.Array) -> Values:
        """Read a decoded array in the terms of `expected`."""
        if self.layout is None:
            return self.read(array)
        flat = self.read(array.values)
        bounds = [(array.offsets[i].as_py(), array.offsets[i + 1].as_py()) for i in range(len(array))]
        return [flat[a:b] if array[i].is_valid else None for i, (a, b) in enumerate(bounds)]

    def expected(self, values: Values) -> Values:
        """Return what `back` must read for these values."""
        if self.layout is None:
            return [None if v is None else self.expect(v) for v in values]
        return [None if one is None else [None if v is None else self.expect(v) for v in one] for one in values]


def encode(case: Case, batches: Iterable[pa.Array], **options: int) -> bytes:
    """Encode one column, one array for each batch."""
    encoder = Encoder([Field("c", cast_to_pg(case.arrow, case.pg))], **options)
    out = [bytes(block) for array in batches for block in encoder.encode(pa.record_batch([array], ["c"]))]
    return b"".join([*out, bytes(encoder.finish())])


def decoder(case: Case, **options: int) -> Decoder:
    """Make a decoder for the one column."""
    cast = cast_from_pg(case.pg)
    return Decoder([Field("c", cast)], pa.schema([pa.field("c", cast.arrow)]), **options)


def decode(case: Case, chunks: Iterable[bytes], **options: int) -> list[pa.RecordBatch]:
    """Decode one column; every batch is validated in full."""
    reader = decoder(case, **options)
    done = []
    for chunk in chunks:
        reader.feed(chunk)
        done += reader.batches()
    batches = [pa.record_batch(batch) for batch in done + reader.finish()]
    for batch in batches:
        batch.validate(full=True)
    return batches


# --- booleans and integers ---------------------------------------------------------------------

_INTEGERS = (pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64())
_INT_BITS = {"int2": 16, "int4": 32, "int8": 64}


def _integer_range(arrow: pa.DataType) -> tuple[int, int]:
    if pa.types.is_signed_integer(arrow):
        return -(1 << (arrow.bit_width - 1)), (1 << (arrow.bit_width - 1)) - 1
    return 0, (1 << arrow.bit_width) - 1


def _integers(arrow: pa.DataType, low: int, high: int) -> dict[str, Any]:
    own = _integer_range(arrow)
    low, high = max(low, own[0]), min(high, own[1])
    edges = {low, high, *(v for v in (0, 1, -1, 9999, 10000, 10001, -10000, 127, 128, 255) if low <= v <= high)}
    return {"values": st.integers(low, high), "edges": tuple(sorted(edges))}


def _integer_cases() -> list[Case]:
    cases = [Case(pa.bool_(), base_type("bool"), st.booleans(), (True, False))]
    for arrow in _INTEGERS:
        for name, bits in _INT_BITS.items():
            both = _integers(arrow, -(1 << (bits - 1)), (1 << (bits - 1)) - 1)
            cases.append(Case(arrow, base_type(name), **both))
        for pg in (base_type("numeric"), base_type("numeric", numeric_typmod(20, 0))):
            cases.append(Case(arrow, pg, **_integers(arrow, -(1 << 63), 1 << 64), read=arrays.read_number, expect=str))
        for name, significand in (("float4", 24), ("float8", 53)):
            both = _integers(arrow, -(1 << significand), 1 << significand)
            code = "f" if name == "float4" else "d"
            cases.append(
                Case(
                    arrow,
                    base_type(name),
                    **both,
                    read=arrays.read_bits,
                    expect=lambda v, code=code: int.from_bytes(struct.pack(f"<{code}", v), "little"),
                )
            )
    return cases


def numeric_typmod(precision: int, scale: int) -> int:
    """Pack numeric(p, s) as pg_attribute has it (src/backend/utils/adt/numeric.c, make_numeric_typmod)."""
    return ((precision << 16) | (scale & 0x7FF)) + 4


# --- floats ------------------------------------------------------------------------------------

_FLOAT_BITS = {
    pa.float16(): (16, (0x0000, 0x8000, 0x0001, 0x83FF, 0x7BFF, 0x7C00, 0xFC00, 0x3C00, 0x0400)),
    pa.float32(): (
        32,
        (0, 1 << 31, 1, 0x807FFFFF, 0x7F7FFFFF, 0x7F800000, 0xFF800000, 0x7FC00000, 0x7F800001, 0xFFABCDEF),
    ),
    pa.float64(): (
        64,
        (
            *(0, 1 << 63, 1, 0x800FFFFFFFFFFFFF, 0x7FEFFFFFFFFFFFFF, 0x7FF0000000000000, 0xFFF0000000000000),
            *(0x7FF8000000000000, 0x7FF0000000000001, 0xFFFABCDEF0123456),
        ),
    ),
}
_CODES = {16: "e", 32: "f", 64: "d"}


def _widen(bits: int, source: int, target: int) -> int | str:
    value = struct.unpack(f"<{_CODES[source]}", bits.to_bytes(source // 8, "little"))[0]
    wide = int.from_bytes(struct.pack(f"<{_CODES[target]}", value), "little")
    return arrays.nan_or_bits(wide, target // 8) or 0


def _float_cases() -> list[Case]:
    cases = []
    for arrow, name in (
        *((pa.float16(), "float4"), (pa.float16(), "float8")),
        *((pa.float32(), "float4"), (pa.float32(), "float8"), (pa.float64(), "float8")),
    ):
        bits, edges = _FLOAT_BITS[arrow]
        width = 4 if name == "float4" else 8
        case = Case(arrow, base_type(name), st.integers(0, (1 << bits) - 1), edges, arrays.by_bits, arrays.read_bits)
        if bits != 8 * width:  # widened: a NaN stays a NaN; unchanged types keep every bit of it

            def read(array: pa.Array, width: int = width) -> Values:
                return [arrays.nan_or_bits(b, width) for b in arrays.read_bits(array)]

            def expect(v: int, bits: int = bits, width: int = width) -> int | str:
                return _widen(v, bits, 8 * width)

            case = replace(case, read=read, expect=expect)
        cases.append(case)
    for arrow, code in ((pa.float16(), "e"), (pa.float32(), "f"), (pa.float64(), "d")):
        for name, most in (("int2", 1 << 11), ("int4", 1 << (11 if code == "e" else 24)), ("int8", 1 << 11)):
            cases.append(
                Case(
                    arrow,
                    base_type(name),
                    st.integers(-most, most),
                    (0, 1, -1, most, -most),
                    lambda values, arrow, code=code: arrays.by_bits(
                        [None if v is None else int.from_bytes(struct.pack(f"<{code}", v), "little") for v in values],
                        arrow,
                    ),
                )
            )
    return cases


# --- numeric -----------------------------------------------------------------------------------

_DECIMALS = (
    *(pa.decimal32(9, 2), pa.decimal32(5, 0), pa.decimal32(9, 9)),
    *(pa.decimal64(18, 4), pa.decimal64(18, 1), pa.decimal64(12, -3)),
    *(pa.decimal128(15, 2), pa.decimal128(38, 0), pa.decimal128(38, 10), pa.decimal128(38, 38), pa.decimal128(20, -5)),
    *(pa.decimal128(30, 3), pa.decimal128(19, 18), pa.decimal128(10, -4)),
    *(pa.decimal256(76, 0), pa.decimal256(76, 38), pa.decimal256(76, 76), pa.decimal256(50, -10), pa.decimal256(40, 1)),
)


def _decimal_edges(arrow: pa.DataType) -> tuple[int, ...]:
    most = 10**arrow.precision - 1
    near = {0, 1, -1, most, -most, 1230, 10 ** (arrow.precision - 1), 1 << 63, (1 << 64) - 1, 1 << 64}
    for power in range(arrow.scale % 4, arrow.precision, 4):  # where a base-10000 digit ends
        near |= {10**power, 10**power - 1, 10**power + 1, -(10**power)}
    return tuple(sorted(v for v in near if -most <= v <= most))


def _decimal_values(arrow: pa.DataType) -> st.SearchStrategy[int]:
    """Return integers of every length, and ones with zeros at the end."""
    digits = st.integers(1, arrow.precision)
    any_length = digits.flatmap(lambda n: st.integers(-(10**n) + 1, 10**n - 1))
    zeros = st.tuples(st.integers(-99, 99), st.integers(0, max(arrow.precision - 2, 0)))
    return any_length | zeros.map(lambda pair: pair[0] * 10 ** pair[1]).filter(lambda v: abs(v) < 10**arrow.precision)


def _decimal_cases() -> list[Case]:
    cases = []
    for arrow in _DECIMALS:
        # the last: as text, since Arrow has no decimal so wide; the decimal's own places stay, the server adds zeros
        for pg in (
            base_type("numeric"),
            pg_type_for(arrow),
            base_type("numeric", numeric_typmod(160, max(arrow.scale, 0) + 3)),
        ):

            def expect(v: int, scale: int = arrow.scale) -> str:
                return arrays.show_unscaled(v, scale)

            cases.append(
                Case(
                    arrow,
                    pg,
                    _decimal_values(arrow),
                    _decimal_edges(arrow),
                    arrays.by_unscaled,
                    arrays.read_number,
                    expect,
                )
            )
    for arrow in (
        pa.decimal32(9, 2),
        pa.decimal64(18, 0),
        pa.decimal128(38, 17),
        pa.decimal128(38, 20),
        pa.decimal128(5, -3),
        pa.decimal256(50, 1),
    ):
        for name, bits in _INT_BITS.items():
            # whole numbers in the range of both
            most = min((1 << (bits - 1)) - 1, 10 ** (arrow.precision - arrow.scale) - 1)
            step = 10 ** max(-arrow.scale, 0)
            most -= most % step
            cases.append(
                Case(
                    arrow,
                    base_type(name),
                    st.integers(-most // step, most // step).map(lambda v, step=step: v * step),
                    tuple({0, step, -step, most, -most}),
                    lambda values, arrow: arrays.by_unscaled(
                        [None if v is None else int(Decimal(v).scaleb(arrow.scale)) for v in values], arrow
                    ),
                )
            )
    return cases


_NUMBER_EDGES = (
    *("0", "-0", "0.00", "-0.000", "1", "12.30", "-12.3400", "9999", "10000", "10001", "0.0001", "0.00001", "1e5"),
    *("1.50e1", "15e-3", ".5", "5.", "+7", " 42 ", "NaN", "nan", "Infinity", "-inf", "1e131071", "1e-16383"),
    *("99999999999999999999999999999999999999.99999999", "0.000000000000000000000000000000000000012300", "00012.50"),
)


def _show_number(text: str) -> str:
    number = Decimal(text.strip())
    if number.is_nan():
        return "NaN"
    if number.is_infinite():
        return "Infinity" if number > 0 else "-Infinity"
    shown = format(number, "f")
    return shown.removeprefix("-") if number == 0 else shown


def _number_text_cases() -> list[Case]:
    digits = st.text("0123456789", min_size=1, max_size=60)
    values = st.tuples(st.sampled_from(["", "-", "+"]), digits, st.just("") | digits.map(lambda d: "." + d)).map(
        "".join
    )
    exponents = st.tuples(digits.map(lambda d: d[:5]), st.integers(-40, 40)).map(lambda pair: f"{pair[0]}e{pair[1]}")
    return [
        Case(arrow, base_type("numeric"), values | exponents, _NUMBER_EDGES, expect=_show_number)
        for arrow in (pa.string(), pa.large_string(), pa.string_view())
    ]


# --- text, binary, uuid, json ------------------------------------------------------------------

#: No NUL and no surrogates: what a UTF8 database can store.
_CHARACTERS = st.characters(exclude_characters="\0", exclude_categories=["Cs"])
_TEXT_EDGES = ("", "a", "exactly12byt", "thirteen byte", "é", "\U0010ffff", "\x01\n\t\\N", "naïve " * 9, "  ", "𝄞" * 70)
_BYTES_EDGES = (b"", b"\0", b"exactly12byt", b"thirteen byte", bytes(range(256)), b"\xff" * 13)
_INDEX_TYPES = _INTEGERS
_STRINGS = (pa.string(), pa.large_string(), pa.string_view())
_BINARIES = (pa.binary(), pa.large_binary(), pa.binary_view())


def _text_cases() -> list[Case]:
    values = st.text(_CHARACTERS, max_size=40)
    cases = [
        Case(arrow, base_type(name), values, _TEXT_EDGES)
        for arrow in _STRINGS
        for name in ("text", "varchar", "bpchar")
    ]
    short = st.text(_CHARACTERS, max_size=15)  # a name has 63 bytes at the most
    edges = tuple(text for text in _TEXT_EDGES if len(text.encode()) <= 63)
    cases += [Case(arrow, base_type("name"), short, (*edges, "é" * 31 + "x")) for arrow in _STRINGS]
    cases += [Case(pa.string(), base_type("varchar", 4 + 630), values, _TEXT_EDGES)]
    dictionary = arrays.by_dictionary(arrays.plain)
    for index in _INDEX_TYPES:
        for string in _STRINGS:
            cases.append(Case(pa.dictionary(index, string), base_type("text"), values, _TEXT_EDGES, dictionary))
    return cases


def _binary_cases() -> list[Case]:
    cases = [Case(arrow, base_type("bytea"), st.binary(max_size=40), _BYTES_EDGES) for arrow in _BINARIES]
    for width in (1, 3, 16):
        cases.append(Case(pa.binary(width), base_type("bytea"), *_fixed(width)))
    for value in (pa.binary(), pa.binary_view(), pa.binary(16)):
        cases.append(
            Case(pa.dictionary(pa.int32(), value), base_type("bytea"), *_fixed(16), arrays.by_dictionary(arrays.plain))
        )
    return cases


def _fixed(width: int) -> tuple[st.SearchStrategy[bytes], tuple[bytes, ...]]:
    return st.binary(min_size=width, max_size=width), (b"\0" * width, b"\xff" * width)


_UUID_EDGES = (bytes(16), b"\xff" * 16, bytes(range(16)))
_JSON = ('{"a": 1, "b": [true, null]}', "1", '"é"', "[]", "null", '{"long": "' + "x" * 40 + '"}')


def _uuid_and_json_cases() -> list[Case]:
    uuids = {"values": st.binary(min_size=16, max_size=16), "edges": _UUID_EDGES, "read": arrays.read_storage}
    json = {"values": st.sampled_from(_JSON), "edges": _JSON}
    cases = [
        Case(pa.uuid(), base_type("uuid"), **uuids, build=arrays.by_storage),
        Case(pa.binary(16), base_type("uuid"), **uuids),
    ]
    for name in ("json", "jsonb"):
        cases += [Case(arrow, base_type(name), **json, read=arrays.read_storage) for arrow in _STRINGS]
        for arrow in map(pa.json_, _STRINGS if VIEWS_IN_EXTENSIONS else _STRINGS[:2]):
            cases.append(Case(arrow, base_type(name), **json, build=arrays.by_storage, read=arrays.read_storage))
    cases.append(Case(pa.json_(pa.string()), base_type("text"), **json, build=arrays.by_storage))
    index = pa.dictionary(pa.int16(), pa.string())
    cases.append(
        Case(index, base_type("jsonb"), **json, build=arrays.by_dictionary(arrays.plain), read=arrays.read_storage)
    )
    return cases


# --- dates and times ---------------------------------------------------------------------------

#: Days from 1970-01-01: PostgreSQL's first and last date (src/include/datatype/timestamp.h).
DATE_FIRST, DATE_LAST = -2451545 + 10957, 2145031949 + 10957 - 1
#: Microseconds from 1970-01-01: PostgreSQL's first instant; the last of timestamp[us].
# the integer behind the last one stands for infinity
INSTANT_FIRST, INSTANT_LAST = -211813488000000000 + 946684800000000, (1 << 63) - 2
_DAY_US = 86_400_000_000
#: How many of a unit make a second.
UNITS = {"s": 1, "ms": 1000, "us": 1_000_000, "ns": 1_000_000_000}


def _spread(low: int, high: int, *more: int) -> dict[str, Any]:
    edges = tuple(sorted({low, high, *(v for v in (-1, 0, 1, *more) if low <= v <= high)}))
    return {"values": st.integers(low, high), "edges": edges}


def _date_cases() -> list[Case]:
    kinds = {"build": arrays.by_integer, "read": arrays.read_integer}
    days = _spread(DATE_FIRST, DATE_LAST, 10957, -719162, -719163, 2932896)
    near = _spread(DATE_FIRST, INSTANT_LAST // _DAY_US, 10957)
    day_ms = 86_400_000

    def in_ms(both: dict[str, Any]) -> dict[str, Any]:
        return {
            "values": both["values"].map(lambda day: day * day_ms),
            "edges": tuple(day * day_ms for day in both["edges"]),
        }

    return [
        Case(pa.date32(), base_type("date"), **days, **kinds),
        Case(pa.date64(), base_type("date"), **in_ms(days), **kinds, expect=lambda v: v // day_ms),
        Case(pa.date32(), base_type("timestamp"), **near, **kinds, expect=lambda v: v * _DAY_US),
        Case(pa.date64(), base_type("timestamp"), **in_ms(near), **kinds, expect=lambda v: v * 1000),
    ]


def to_us(unit: str) -> Callable[[int], int]:
    """Return the function from a unit to microseconds, for values that are exact."""
    return lambda v: v * 1_000_000 // UNITS[unit]


def _in_unit(unit: str, low_us: int, high_us: int, *more_us: int) -> dict[str, Any]:
    if unit == "ns":  # whole microseconds only
        low_us, high_us = max(low_us, -(1 << 63) // 1000 + 1), min(high_us, ((1 << 63) - 1) // 1000)
        both = _spread(low_us, high_us, *more_us)
        return {"values": both["values"].map(lambda v: v * 1000), "edges": tuple(v * 1000 for v in both["edges"])}
    step = 1_000_000 // UNITS[unit]
    return _spread(-(-low_us // step), high_us // step, *(v // step for v in more_us))


def _clock_cases() -> list[Case]:
    kinds = {"build": arrays.by_integer, "read": arrays.read_integer}
    times = {"s": pa.time32("s"), "ms": pa.time32("ms"), "us": pa.time64("us"), "ns": pa.time64("ns")}
    cases = [
        Case(arrow, base_type("time"), **_in_unit(unit, 0, _DAY_US - 1, 43_200_000_000), **kinds, expect=to_us(unit))
        for unit, arrow in times.items()
    ]
    for unit in UNITS:
        for zone, name in ((None, "timestamp"), ("UTC", "timestamptz"), ("Europe/Berlin", "timestamptz")):
            values = _in_unit(unit, INSTANT_FIRST, INSTANT_LAST, 946_684_800_000_000, -999_999)
            cases.append(Case(pa.timestamp(unit, zone), base_type(name), **values, **kinds, expect=to_us(unit)))
    return cases


def _null_cases() -> list[Case]:
    return [Case(pa.null(), base_type(name), st.none(), (None,)) for name in ("text", "int4", "bytea")]


_FAMILIES = (
    *(_integer_cases, _float_cases, _decimal_cases, _number_text_cases, _text_cases),
    *(_binary_cases, _uuid_and_json_cases, _date_cases, _clock_cases),
)
FLAT = tuple({case.id: case for family in _FAMILIES for case in family()}.values())
NULL = tuple(_null_cases())


def _list_cases() -> list[Case]:
    """Every list layout over one flat case for each pair of families, and over every layout of strings."""
    cases = []
    for flat in _ELEMENTS:
        for layout in arrays.LIST_LAYOUTS:
            cases.append(replace(flat, arrow=layout.of(flat.arrow), pg=array_of(flat.pg), layout=layout))
    return cases


def find(arrow: pa.DataType, name: str) -> Case:
    """Return the first flat case of this pair."""
    return next(case for case in FLAT if case.arrow == arrow and case.pg.name == name)


_ELEMENTS = (
    find(pa.bool_(), "bool"),
    *(find(arrow, name) for arrow, name in ((pa.int16(), "int2"), (pa.int32(), "int4"), (pa.uint32(), "int8"))),
    *(find(pa.float32(), "float4"), find(pa.float64(), "float8")),
    *(find(pa.decimal128(15, 2), "numeric"), find(pa.decimal256(76, 38), "numeric"), find(pa.uint64(), "numeric")),
    *(find(arrow, "text") for arrow in _STRINGS),
    find(pa.dictionary(pa.int8(), pa.string_view()), "text"),
    *(find(arrow, "bytea") for arrow in (pa.binary(), pa.binary_view(), pa.binary(3))),
    *(find(pa.uuid(), "uuid"), find(pa.json_(), "json"), find(pa.json_(), "jsonb")),
    *(
        find(pa.date32(), "date"),
        find(pa.date64(), "date"),
        find(pa.time64("us"), "time"),
        find(pa.time32("s"), "time"),
    ),
    *(find(pa.timestamp("us"), "timestamp"), find(pa.timestamp("ns", "UTC"), "timestamptz")),
)
LISTS = tuple(_list_cases())
ALL = FLAT + LISTS + NULL
