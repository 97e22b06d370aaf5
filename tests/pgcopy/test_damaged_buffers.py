"""Arrow data whose offsets, sizes or views lead out of their buffers: told, never followed.

Nothing is wrong with their length as far as Arrow's cheap checks look: the last offset of each is as it should be.
"""

from __future__ import annotations

import struct

import pyarrow as pa
import pytest

from bulkio.errors import BulkioError, EncodeError
from bulkio.files import open_source
from bulkio.forms.prepare import prepare_batch, prepared_fields
from bulkio.pgcopy import Encoder, Field
from bulkio.types import PgType, array_of, base_type, cast_to_pg
from pgcopy import one_column

FAR = 1 << 30
DATA = pa.py_buffer(b"1" * 40)
ITEMS = pa.array([1, 2, 3, 4], pa.int32())
OUTSIDE = "the Arrow data is damaged: an offset, a size or a view points outside its buffer"
#: second of three values
OFFSETS = {
    "decreasing": (0, 3, 1, 4),
    "far": (0, FAR, FAR, 4),
    "far and back": (0, FAR, 2, 4),
    "negative": (0, -FAR, 1, 4),
}


def texts(kind: pa.DataType, offsets: tuple[int, ...]) -> pa.Array:
    """Make three strings by their offsets."""
    fmt = "q" if kind in (pa.large_string(), pa.large_binary()) else "i"
    packed = pa.py_buffer(struct.pack(f"<4{fmt}", *offsets))
    return pa.Array.from_buffers(kind, 3, [None, packed, DATA])


def lists(kind: pa.DataType, offsets: tuple[int, ...], items: pa.Array = ITEMS) -> pa.Array:
    """Make three lists by their offsets."""
    fmt = "q" if pa.types.is_large_list(kind) else "i"
    packed = pa.py_buffer(struct.pack(f"<4{fmt}", *offsets))
    return pa.Array.from_buffers(kind, 3, [None, packed], children=[items])


def views(second: bytes, kind: pa.DataType | None = None) -> pa.Array:
    """Make three views, of which the second is given."""
    short = struct.pack("<i12s", 1, b"1")
    return pa.Array.from_buffers(kind or pa.string_view(), 3, [None, pa.py_buffer(short + second + short), DATA])


def list_views(fmt: str, first: int, size: int) -> pa.Array:
    """Make three list views, of which the second is given."""
    starts, sizes = (pa.py_buffer(struct.pack(f"<3{fmt}", 0, value, 0)) for value in (first, size))
    kind = pa.list_view(pa.int32()) if fmt == "i" else pa.large_list_view(pa.int32())
    return pa.Array.from_buffers(kind, 3, [None, starts, sizes], children=[ITEMS])


def made(name: str) -> PgType:
    """Make a type that an extension brings."""
    return PgType(name, 70_000, 70_001, name, "public")


def encode(column: pa.Array, pg: PgType, *, batch_rows: int = 100) -> bytes:
    """Encode a column as a load does that reads it from a stream of this process."""
    cast = cast_to_pg(column.type, pg)
    assert cast is not None
    fields = [Field("c", cast)]
    encoder = Encoder(prepared_fields(fields))
    blocks = []
    for batch in open_source(pa.record_batch([column], ["c"]), batch_rows=batch_rows).batches():
        blocks += encoder.encode(prepare_batch(batch, fields, encoder.rows + 1))
    return b"".join(map(bytes, [*blocks, encoder.finish()]))


TEXT_KINDS = [pa.string(), pa.large_string(), pa.binary(), pa.large_binary()]
FROM_TEXT = [
    "text",
    "int4",
    "float8",
    "numeric",
    "uuid",
    "inet",
    "macaddr",
    "timetz",
    "pg_lsn",
    "jsonb",
    "varbit",
    "date",
]


@pytest.mark.parametrize("offsets", OFFSETS.values(), ids=OFFSETS)
@pytest.mark.parametrize("kind", TEXT_KINDS, ids=str)
@pytest.mark.parametrize("batch_rows", [100, 1])
def test_offsets_of_strings(kind: pa.DataType, offsets: tuple[int, ...], batch_rows: int) -> None:
    """Of each width, in one batch or cut into several."""
    pg = base_type("bytea" if kind in (pa.binary(), pa.large_binary()) else "text")
    with pytest.raises(BulkioError, match=f"row [12], .*{OUTSIDE}|cannot be read: .*offset"):
        encode(texts(kind, offsets), pg, batch_rows=batch_rows)


@pytest.mark.parametrize("name", FROM_TEXT)
def test_offsets_of_text_that_is_parsed(name: str) -> None:
    """Each parser has its own loop over the bytes, and meets the value first."""
    for column in (texts(pa.string(), (0, 9, 1, 4)), views(struct.pack("<iiii", 20, 0, 7, 0))):
        with pytest.raises(EncodeError, match=rf"^row 1, .*: {OUTSIDE}$"):
            encode(column if column.type == pa.string() else column.slice(1), base_type(name))


@pytest.mark.parametrize(
    "view",
    [
        struct.pack("<iiii", -1, 0, 0, 0),
        struct.pack("<iiii", -FAR, 0, 0, 0),
        struct.pack("<iiii", 20, 0, 1, 0),
        struct.pack("<iiii", 20, 0, -1, 0),
        struct.pack("<iiii", 20, 0, 0, 21),
        struct.pack("<iiii", 20, 0, 0, -1),
        struct.pack("<iiii", 41, 0, 0, 0),
        struct.pack("<iiii", FAR, 0, 0, FAR),
    ],
)
@pytest.mark.parametrize("kind", [pa.string_view(), pa.binary_view()], ids=str)
def test_views_of_strings(kind: pa.DataType, view: bytes) -> None:
    """Their length, the buffer they point into, and where."""
    pg = base_type("bytea" if kind == pa.binary_view() else "text")
    with pytest.raises(EncodeError, match=f"row 2, .*{OUTSIDE}"):
        encode(views(view, kind), pg)
    assert encode(views(struct.pack("<iiii", 20, 0, 0, 20), kind), pg).count(b"1" * 20) == 1


@pytest.mark.parametrize("offsets", OFFSETS.values(), ids=OFFSETS)
@pytest.mark.parametrize("kind", [pa.list_(pa.int32()), pa.large_list(pa.int32())], ids=str)
@pytest.mark.parametrize("batch_rows", [100, 1])
def test_offsets_of_lists(kind: pa.DataType, offsets: tuple[int, ...], batch_rows: int) -> None:
    """The elements before and behind are somebody else's memory."""
    with pytest.raises(BulkioError, match=f"row [12], .*{OUTSIDE}|cannot be read: "):
        encode(lists(kind, offsets), array_of(base_type("int4")), batch_rows=batch_rows)


@pytest.mark.parametrize(("first", "size"), [(-1, 1), (0, -1), (0, 5), (4, 1), (FAR, 1), (1, FAR), (FAR, FAR)])
@pytest.mark.parametrize("fmt", ["i", "q"])
def test_views_of_lists(fmt: str, first: int, size: int) -> None:
    """Each has an offset and a size of its own."""
    with pytest.raises(EncodeError, match=f"row 2, .*{OUTSIDE}"):
        encode(list_views(fmt, first, size), array_of(base_type("int4")))


@pytest.mark.parametrize("offsets", OFFSETS.values(), ids=OFFSETS)
def test_what_lies_in_other_arrays(offsets: tuple[int, ...]) -> None:
    """Strings in lists, in dictionaries, in maps; lists in lists, in vectors and in multiranges; maps."""
    strings = texts(pa.string(), offsets)
    whole = (0, 1, 2, 3)
    halves = pa.array([1.0] * 4, pa.float32())
    entries = pa.StructArray.from_arrays([pa.array(["1", "2", "3", "4"])] * 2, ["key", "value"])
    map_type = pa.map_(pa.string(), pa.string())
    cases = [
        (lists(pa.list_(pa.string()), whole, strings), array_of(base_type("text"))),
        (pa.DictionaryArray.from_arrays(pa.array([0, 1, 2], pa.int8()), strings, safe=False), base_type("text")),
        (lists(pa.list_(pa.float32()), offsets, halves), made("vector")),
        (
            pa.Array.from_buffers(
                map_type, 3, [None, lists(pa.list_(pa.int32()), offsets).buffers()[1]], children=[entries]
            ),
            made("hstore"),
        ),
    ]
    for column, pg in cases:
        with pytest.raises(BulkioError, match=f"row [123], .*{OUTSIDE}|cannot be read: |number of dimensions"):
            encode(column, pg)


@pytest.mark.parametrize("offsets", OFFSETS.values(), ids=OFFSETS)
def test_what_becomes_json(offsets: tuple[int, ...]) -> None:
    """Nested values go through pyarrow, which follows what it is given: they are validated in full before."""
    strings = texts(pa.string(), offsets)
    columns = [
        lists(pa.list_(pa.string()), (0, 1, 2, 3), strings),
        pa.StructArray.from_arrays([strings], ["a"]),
        lists(pa.list_(pa.int32()), offsets),
    ]
    for column in columns:
        with pytest.raises(BulkioError, match=r"the Arrow data is damaged: |cannot be read: "):
            encode(column, base_type("jsonb"))


def test_an_error_s_message_follows_nothing_that_is_damaged() -> None:
    """The value that is at fault is shown, but not where it lies beside one that leads astray."""
    column = lists(pa.list_(pa.string()), (0, 3, 3, 3), texts(pa.string(), (0, 1, FAR, 1)))
    with pytest.raises(EncodeError, match=r'row 1, column "c": the value is not a valid int4|damaged'):
        encode(column, array_of(base_type("int4")))
    bad = pa.Array.from_buffers(
        pa.string(), 3, [None, pa.py_buffer(struct.pack("<4i", 0, 1, FAR, 40)), pa.py_buffer(b"x" * 40)]
    )
    with pytest.raises(EncodeError, match=r'^row 1, column "c": the value is not a valid int4\[\]$'):
        encode(lists(pa.list_(pa.string()), (0, 3, 3, 3), bad), array_of(base_type("int4")))


def test_an_empty_array_may_have_no_offsets() -> None:
    """Arrow allows it."""
    empty = pa.Array.from_buffers(pa.string(), 0, [None, None, pa.py_buffer(b"")])
    nothing = lists(pa.list_(pa.string()), (0, 0, 0, 0), empty)
    assert one_column.encode(nothing, array_of(base_type("text"))).count(b"\0\0\0\x19") == 3
