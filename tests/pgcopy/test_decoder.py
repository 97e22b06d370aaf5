"""The decoder's state machine: each case whole, byte by byte, cut anywhere, with trailing bytes; and its batches."""

from __future__ import annotations

import gc
import itertools
import resource
import struct
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bulkio.errors import DecodeError
from bulkio.forms import rows
from bulkio.pgcopy import Decoder, Encoder, Field, messages
from bulkio.pgcopy.encoder import HEADER, TRAILER
from bulkio.types import BASE_TYPES, array_of, base_type, cast_from_pg, cast_to_pg
from pgcopy import codec_cases as cases

#: One case for each PostgreSQL type and form.
DISTINCT = tuple({case.pg.sql: case for case in cases.ALL}.values())
INT4 = cases.find(pa.int32(), "int4")
TEXT = cases.find(pa.string(), "text")


def _contents(batches):
    """Serialize batches, to compare them by every bit, NaN payloads included."""
    return [bytes(batch.serialize()) for batch in batches]


def _feed_all(reader, chunks):
    for chunk in chunks:
        reader.feed(chunk)


def _row(*fields: bytes | None) -> bytes:
    """Write one row of a stream."""
    cells = b"".join(struct.pack(">i", -1) if f is None else struct.pack(">i", len(f)) + f for f in fields)
    return struct.pack(">h", len(fields)) + cells


def _stream(case: cases.Case) -> bytes:
    return cases.encode(case, [case.array(case.edge_rows()[:5])])


@pytest.mark.parametrize("case", DISTINCT, ids=lambda case: case.id)
def test_whole_byte_by_byte_and_at_every_cut(case):
    """A stream decodes alike whole, byte by byte and in two halves cut anywhere."""
    stream = _stream(case)
    whole = _contents(cases.decode(case, [stream]))
    assert _contents(cases.decode(case, [stream[i : i + 1] for i in range(len(stream))])) == whole
    for cut in range(0, len(stream), max(1, len(stream) // 60)):
        assert _contents(cases.decode(case, [stream[:cut], stream[cut:]])) == whole


@pytest.mark.parametrize("case", DISTINCT, ids=lambda case: case.id)
def test_truncated_anywhere(case):
    """A stream that ends early is an error in finish(), wherever it is cut, and says where."""
    stream = _stream(case)
    for end in range(0, len(stream), max(1, len(stream) // 120)):
        reader = cases.decoder(case)
        reader.feed(stream[:end])
        with pytest.raises(DecodeError, match="the stream ends early") as caught:
            reader.finish()
        assert caught.value.offset == end


@pytest.mark.parametrize("case", DISTINCT, ids=lambda case: case.id)
def test_trailing_bytes(case):
    """Bytes behind the trailer are an error, in the same chunk or in the next."""
    stream = _stream(case)
    for chunks in ([stream + b"\0"], [stream, b"\0"], [stream[:-1], stream[-1:] + stream]):
        reader = cases.decoder(case)
        with pytest.raises(DecodeError, match="after the stream's trailer") as caught:
            _feed_all(reader, chunks)
        assert caught.value.offset == len(stream)


def _wide() -> tuple[list[Field], pa.Schema, bytes]:
    names = [str(i) for i in range(len(DISTINCT))]
    encoder = Encoder([Field(n, cast_to_pg(c.arrow, c.pg)) for n, c in zip(names, DISTINCT, strict=True)])
    batch = pa.record_batch([c.array((c.edge_rows() * 20)[:20]) for c in DISTINCT], names)
    stream = b"".join(map(bytes, [*encoder.encode(batch), encoder.finish()]))
    casts = [cast_from_pg(c.pg) for c in DISTINCT]
    schema = pa.schema([pa.field(n, cast.arrow) for n, cast in zip(names, casts, strict=True)])
    return [Field(n, cast) for n, cast in zip(names, casts, strict=True)], schema, stream


WIDE_FIELDS, WIDE_SCHEMA, WIDE = _wide()


@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(st.lists(st.integers(0, len(WIDE)), max_size=40), st.integers(1, 25), st.sampled_from([1, 5000, 1 << 30]))
def test_split_invariance(cuts, batch_rows, batch_bytes):
    """However a stream of every type is cut into chunks, the same batches come."""

    def run(bounds):
        decoder = Decoder(WIDE_FIELDS, WIDE_SCHEMA, batch_rows=batch_rows, batch_bytes=batch_bytes)
        batches = []
        for a, b in itertools.pairwise(bounds):
            decoder.feed(WIDE[a:b])
            batches += decoder.batches()
        return _contents(map(pa.record_batch, batches + decoder.finish()))

    assert run([0, *sorted(cuts), len(WIDE)]) == run([0, len(WIDE)])


def test_header_extension_is_skipped():
    """The header's extension is passed over, as the manual asks, also when chunks cut it; uncritical flags are too."""
    extended = HEADER[:11] + struct.pack(">ii", 0xFFFF, 300) + bytes(300)
    stream = extended + _row(b"\0\0\0\7") + TRAILER
    for step in (1, 7, len(stream)):
        (batch,) = cases.decode(INT4, [stream[i : i + step] for i in range(0, len(stream), step)])
        assert batch.column(0).to_pylist() == [7]


@pytest.mark.parametrize(
    ("stream", "words"),
    [
        (b"COPY t FROM STDIN (FORMAT BINARY)", "does not begin with COPY BINARY's signature"),
        (b"PGCOPY\n\xff\n\x00" + bytes(10), "does not begin with COPY BINARY's signature"),
        (HEADER[:11] + struct.pack(">ii", 1 << 16, 0), "unknown critical flags: 0x10000"),
        (HEADER[:11] + struct.pack(">ii", 0, -1), "extension's length is negative"),
        (HEADER + _row(b"abcd", b"efgh"), "row 1 has 2 fields, expected 1"),
        (HEADER + _row(b"abcd") + struct.pack(">h", -2), "row 2 has -2 fields, expected 1"),
        (HEADER + _row(b"abcd") + _row(), "row 2 has 0 fields, expected 1"),
        (HEADER + struct.pack(">hi", 1, -2), "expected 0 bytes, found -2"),
        (HEADER + _row(b"abc"), "expected 4 bytes, found 3"),
    ],
)
def test_what_is_not_this_stream(stream, words):
    """A wrong signature, flag, field count or length is an error that says what was found, byte by byte too."""
    for step in (len(stream), 1):
        reader = cases.decoder(INT4)
        with pytest.raises(DecodeError, match=words) as caught:
            _feed_all(reader, [stream[i : i + step] for i in range(0, len(stream), step)])
        assert caught.value.offset is not None


def test_a_decoder_that_failed_stays_dead():
    """After an error no more bytes are taken, and finish() never succeeds."""
    reader = cases.decoder(INT4)
    with pytest.raises(DecodeError, match="signature"):
        reader.feed(b"nonsense")
    with pytest.raises(DecodeError, match="has met an error before"):
        reader.feed(HEADER)
    with pytest.raises(DecodeError):
        reader.finish()


def test_a_length_alone_allocates_nothing():
    """A field that claims 2 GB waits for its bytes: nothing is allocated for the claim."""
    reader = cases.decoder(TEXT)
    reader.feed(HEADER + struct.pack(">hi", 1, (1 << 31) - 1))
    before = pa.total_allocated_bytes()
    reader.feed(b"x" * 100)
    assert pa.total_allocated_bytes() == before
    with pytest.raises(DecodeError, match="the stream ends early, after 0 rows"):
        reader.finish()


def test_batches_end_by_rows_and_by_bytes():
    """A batch ends with its number of rows, or with the row that reaches its bytes; each is given once."""
    stream = HEADER + b"".join(_row(struct.pack(">i", i)) for i in range(10)) + TRAILER
    assert [b.num_rows for b in cases.decode(INT4, [stream], batch_rows=4)] == [4, 4, 2]
    # the header counts, and ten bytes a row
    assert [b.num_rows for b in cases.decode(INT4, [stream], batch_bytes=30)] == [2, 3, 3, 2]
    assert [b.num_rows for b in cases.decode(INT4, [stream], batch_rows=10)] == [10]
    reader = cases.decoder(INT4, batch_rows=3)
    reader.feed(stream)
    assert reader.rows == 10
    assert len(reader.batches()) == 3
    assert reader.batches() == []
    assert [b.rows for b in reader.finish()] == [1]


def test_numbers_that_swell_end_a_batch_early():
    """Numbers whose text is far longer than their bytes count with their text."""
    case = cases.find(pa.string(), "numeric")
    stream = cases.encode(case, [pa.array(["1e100000"] * 10)])
    assert len(stream) < 300
    assert [b.num_rows for b in cases.decode(case, [stream], batch_bytes=250_000)] == [3, 3, 3, 1]


def test_an_array_of_zeros_with_weights():
    """Zeros without digits stay zeros, whatever weight they claim."""
    zero = _numeric(0, 32767, 0, 0)
    huge = struct.pack(">iiiii", 1, 0, 1700, 10, 1) + (struct.pack(">i", len(zero)) + zero) * 10
    case = next(c for c in DISTINCT if c.pg.sql == "numeric[]")
    (batch,) = cases.decode(case, [HEADER + _row(huge) + TRAILER])
    assert batch.column(0).to_pylist() == [["0"] * 10]


def test_a_batch_is_given_once():
    """The first consumer takes a batch over; the second is told."""
    (batch,) = _one_batch()
    assert pa.record_batch(batch).num_rows == 1
    with pytest.raises(pa.ArrowInvalid, match="released"):
        pa.record_batch(batch)


def _one_batch():
    reader = cases.decoder(INT4)
    reader.feed(HEADER + _row(b"\0\0\0\1") + TRAILER)
    return reader.finish()


def test_batches_outlive_their_decoder_and_may_be_dropped():
    """A batch keeps its memory when the decoder is gone; one that nobody takes is freed."""
    (batch,) = _one_batch()
    gc.collect()
    taken = pa.record_batch(batch)
    del batch
    gc.collect()
    assert taken.column(0).to_pylist() == [1]
    schema, array = _one_batch()[0].__arrow_c_array__()
    del schema, array
    gc.collect()


@pytest.mark.parametrize(
    "wrap",
    [bytes, bytearray, memoryview, pa.py_buffer, lambda b: memoryview(bytearray(b)), lambda b: memoryview(b).cast("b")],
    ids=["bytes", "bytearray", "memoryview", "pa.Buffer", "writable view", "signed view"],
)
def test_any_contiguous_buffer_is_fed(wrap):
    """Chunks may be any contiguous buffer; empty ones change nothing."""
    reader = cases.decoder(INT4)
    reader.feed(wrap(b""))
    reader.feed(wrap(HEADER + _row(b"\0\0\0\1")))
    reader.feed(wrap(b""))
    reader.feed(wrap(TRAILER))
    assert [pa.record_batch(b).column(0).to_pylist() for b in reader.finish()] == [[1]]


def test_what_is_no_buffer_is_refused():
    """A str, None or a view with gaps is a TypeError or BufferError, and the decoder goes on."""
    reader = cases.decoder(INT4)
    for wrong in ("text", None, 7):
        with pytest.raises(TypeError):
            reader.feed(wrong)
    with pytest.raises(BufferError):
        reader.feed(memoryview(HEADER * 2)[::2])
    reader.feed(HEADER + TRAILER)
    assert reader.finish() == []


def test_no_columns_and_rows():
    """A stream of rows without fields gives batches that have a length and no columns."""
    decoder = Decoder([], pa.schema([]), batch_rows=2)
    decoder.feed(HEADER + _row() * 3 + TRAILER)
    assert [b.rows for b in decoder.finish()] == [2, 1]


def _decoder_of(name: str) -> Decoder:
    cast = cast_from_pg(base_type(name))
    return Decoder([Field("c", cast)], pa.schema([pa.field("c", cast.arrow)]))


def _decode_one(pg, field: bytes) -> pa.RecordBatch:
    cast = cast_from_pg(pg)
    decoder = Decoder([Field("a\nb", cast)], pa.schema([pa.field("c", cast.arrow)]))
    decoder.feed(HEADER + _row(None) + _row(field) + TRAILER)
    return pa.record_batch(decoder.finish()[0])


def _numeric(ndigits: int, weight: int, sign: int, dscale: int, *digits: int) -> bytes:
    return struct.pack(f">HhHH{len(digits)}H", ndigits, weight, sign, dscale, *digits)


def _array(dimensions: int, oid: int, *rest: int) -> bytes:
    return struct.pack(f">{3 + len(rest)}i", dimensions, 0, oid, *rest)


NUMERIC_5_2 = base_type("numeric", ((5 << 16) | 2) + 4)
BAD_FIELDS = {
    "HAS_NUL text": (base_type("text"), b"a\0b", "a NUL character in text"),
    "HAS_NUL json": (base_type("json"), b"\0", "a NUL character in json"),
    "NOT_UTF8 text": (base_type("text"), b"plain ascii then \xff", "not valid UTF-8"),
    "NOT_UTF8 cut": (base_type("varchar"), "é".encode()[:1], "not valid UTF-8"),
    "NOT_UTF8 surrogate": (base_type("name"), b"\xed\xa0\x80", "not valid UTF-8"),
    "NOT_UTF8 overlong": (base_type("jsonb"), b"\x01\xc0\x80", "not valid UTF-8"),
    "NOT_UTF8 past the end": (base_type("text"), b"\xf4\x90\x80\x80", "not valid UTF-8"),
    "BAD_LENGTH bool": (base_type("bool"), b"", "expected 1 bytes, found 0"),
    "BAD_LENGTH int8": (base_type("int8"), b"1234567", "expected 8 bytes, found 7"),
    "BAD_LENGTH uuid": (base_type("uuid"), b"1" * 17, "expected 16 bytes, found 17"),
    "BAD_LENGTH jsonb": (base_type("jsonb"), b"", "expected 1 bytes, found 0"),
    "BAD_LENGTH date": (base_type("date"), b"12345", "expected 4 bytes, found 5"),
    "BAD_LENGTH numeric header": (base_type("numeric"), b"1234567", "expected 8 bytes, found 7"),
    "BAD_LENGTH numeric digits": (NUMERIC_5_2, _numeric(36864, 0, 0, 0, 1), "expected 73736 bytes, found 10"),
    "BAD_LENGTH array": (array_of(base_type("int4")), b"12345678901", "expected 12 bytes, found 11"),
    "BAD_LENGTH dimension": (array_of(base_type("int4")), _array(1, 23, 1), "expected 20 bytes, found 16"),
    "BAD_LENGTH too few elements": (
        array_of(base_type("int4")),
        _array(1, 23, 2, 1, 4, 7),
        "expected 4 bytes, found 0",
    ),
    "BAD_LENGTH an element past the end": (array_of(base_type("int4")), _array(1, 23, 1, 1, 400, 7), "found 4"),
    "BAD_LENGTH elements left over": (array_of(base_type("int4")), _array(1, 23, 1, 1, 4, 7, 0), "found 4"),
    "BAD_LENGTH negative count": (array_of(base_type("int4")), _array(1, 23, -1, 1), "wrong length"),
    "BAD_LENGTH negative element": (array_of(base_type("text")), _array(1, 25, 1, 1, -2), "wrong length"),
    "BAD_LENGTH empty with a rest": (array_of(base_type("int4")), _array(0, 23, 1), "found 4"),
    "BAD_VALUE bool": (base_type("bool"), b"\2", "not a valid bool"),
    "BAD_VALUE jsonb version": (base_type("jsonb"), b"\2{}", "not a valid jsonb"),
    "BAD_VALUE time": (base_type("time"), struct.pack(">q", -1), "not a valid time"),
    "BAD_VALUE numeric digit": (NUMERIC_5_2, _numeric(1, 0, 0, 0, 10000), "not a valid numeric"),
    "BAD_VALUE numeric sign": (base_type("numeric"), _numeric(0, 0, 0x8000, 0), "not a valid numeric"),
    "BAD_VALUE numeric dscale": (base_type("numeric"), _numeric(0, 0, 0, 0x4000), "not a valid numeric"),
    "BAD_VALUE date": (base_type("date"), struct.pack(">i", 2147483646), "not a valid date"),
    "BAD_DIMENSIONS 2": (array_of(base_type("int4")), _array(2, 23, 1, 1, 1, 1, 4, 7), "an array of 2 dimensions"),
    "BAD_DIMENSIONS -1": (array_of(base_type("int4")), _array(-1, 23), "an array of -1 dimensions"),
    "BAD_LOWER_BOUND": (array_of(base_type("int4")), _array(1, 23, 1, 0, 4, 7), "lower bound 0"),
    "BAD_ELEMENT_TYPE": (array_of(base_type("int4")), _array(1, 20, 0, 1), "oid 20, expected oid 23"),
    "IS_INFINITE date": (base_type("date"), struct.pack(">i", 2147483647), "an infinity or NaN in date"),
    "IS_INFINITE -date": (base_type("date"), struct.pack(">i", -2147483648), "an infinity or NaN in date"),
    "IS_INFINITE timestamp": (base_type("timestamp"), struct.pack(">q", (1 << 63) - 1), "an infinity or NaN"),
    "IS_INFINITE timestamptz": (base_type("timestamptz"), struct.pack(">q", -(1 << 63)), "an infinity or NaN"),
    "IS_INFINITE NaN": (NUMERIC_5_2, _numeric(0, 0, 0xC000, 0), "an infinity or NaN in numeric"),
    "IS_INFINITE numeric": (NUMERIC_5_2, _numeric(0, 0, 0xD000, 0), "an infinity or NaN in numeric"),
    "IS_INFINITE -numeric": (NUMERIC_5_2, _numeric(0, 0, 0xF000, 0), "an infinity or NaN in numeric"),
    "IS_DAYS_END": (
        base_type("time"),
        struct.pack(">q", 86_400_000_000),
        "outside what Arrow's time64[us] can hold (24:00:00): select it as text (column::text),"
        " or choose what becomes of it (infinity)",
    ),
    "NOT_IN_ARROW far": (base_type("timestamp"), struct.pack(">q", (1 << 63) - 2), "outside what Arrow's timestamp"),
    "NOT_IN_ARROW digits": (NUMERIC_5_2, _numeric(1, 0, 0, 0, 1000), "outside what Arrow's decimal128"),
    "NOT_IN_ARROW places": (NUMERIC_5_2, _numeric(1, -1, 0, 4, 1), "outside what Arrow's decimal128"),
    "NOT_IN_ARROW weight": (NUMERIC_5_2, _numeric(1, 32767, 0, 0, 1), "outside what Arrow's decimal128"),
    "NOT_IN_ARROW tiny": (NUMERIC_5_2, _numeric(1, -32768, 0, 0, 1), "outside what Arrow's decimal128"),
}


@pytest.mark.parametrize("name", BAD_FIELDS)
def test_a_bad_field_names_row_and_column(name):
    """Each status of a field that cannot be decoded gives its message, the row, the column and the offset."""
    pg, field, words = BAD_FIELDS[name]
    with pytest.raises(DecodeError) as caught:
        _decode_one(pg, field)
    assert words in str(caught.value)
    assert str(caught.value).startswith('row 2, column "a\\nb": ')
    assert (caught.value.row, caught.value.column) == (2, "a\nb")
    # the field's length stands at the offset: header, a row of one NULL, a field count
    assert caught.value.offset == len(HEADER) + 6 + 2


def test_a_decoder_without_memory_is_dead():
    """What it had read of a row is lost then, so it must not go on as if nothing had been."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    decoder = _decoder_of("bytea")
    decoder.feed(HEADER + struct.pack(">hi", 1, 1 << 30))
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    piece = bytes(1 << 24)
    resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 28), hard))
    try:
        with pytest.raises(MemoryError, match="no memory for a batch"):
            _feed_all(decoder, [piece] * 64)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    for call in (lambda: decoder.feed(piece), decoder.finish):
        with pytest.raises(DecodeError, match="has met an error before"):
            call()


@pytest.mark.parametrize(
    ("name", "binary", "row"),
    [
        ("date", struct.pack(">i", 2147483647), 2147483647),
        ("time", struct.pack(">q", 86_400_000_000), 86_400_000_000),
        ("timestamp", struct.pack(">q", -(1 << 63)), -(1 << 63)),
        ("timestamptz", struct.pack(">q", (1 << 63) - 2), (1 << 63) - 2),
        (
            "interval",
            struct.pack(">qii", (1 << 63) - 1, 2147483647, 2147483647),
            (2147483647, 2147483647, (1 << 63) - 1),
        ),
        ("interval", struct.pack(">qii", 1 << 62, 0, 0), (0, 0, 1 << 62)),
    ],
)
def test_the_method_cursor_says_the_same(name, binary, row):
    """What Arrow cannot hold is refused in the same words from a driver's rows, where the value is a Python object."""
    pg = base_type(name)
    with pytest.raises(DecodeError) as from_bytes:
        _decode_one(pg, binary)
    cast = cast_from_pg(pg)
    with pytest.raises(DecodeError) as from_rows:
        rows.from_rows([(None,), (row,)], [Field("a\nb", cast)], pa.schema([pa.field("a\nb", cast.arrow)]))
    assert str(from_rows.value) == str(from_bytes.value)


def test_every_status_has_its_test():
    """Each status that a decoder can answer is reached above."""
    from pgcopy import test_composites

    reached = {getattr(messages, name.split()[0]) for name in BAD_FIELDS | test_composites.BAD_FIELDS}
    # those of pgvector and PostGIS stand in test_vectors.py and test_geometry.py
    elsewhere = {messages.WRONG_DIMENSIONS, messages.WRONG_SRID}
    # two GiB in one column need a longer run: tests/fuzz/big_fields.py
    assert set(messages._DECODE) == reached | elsewhere | {messages.BATCH_TOO_BIG}


def test_odd_but_valid_fields():
    """Encodings that the server would not choose, but could, decode to the same value."""
    assert _decode_one(NUMERIC_5_2, _numeric(0, 32767, 0, 0)).column(0).to_pylist()[1] == 0
    many = _numeric(3, 1, 0x4000, 2, 0, 123, 4500)
    assert str(_decode_one(NUMERIC_5_2, many).column(0)[1]) == "-123.45"
    assert _decode_one(base_type("numeric"), many).column(0)[1].as_py() == "-123.45"
    assert _decode_one(array_of(base_type("int4")), _array(1, 23, 0, 1)).column(0)[1].as_py() == []
    assert _decode_one(array_of(base_type("int4")), _array(0, 23)).column(0)[1].as_py() == []


@pytest.mark.parametrize("pg", [*BASE_TYPES, *map(array_of, BASE_TYPES)], ids=lambda pg: pg.sql)
def test_no_type_takes_every_length(pg):
    """Fields of zeros of any length up to 40 decode or give DecodeError, and what decodes is valid."""
    for size in range(41):
        try:
            _decode_one(pg, bytes(size)).validate(full=True)
        except DecodeError as error:
            assert error.row == 2  # noqa: PT017  # either outcome is right
