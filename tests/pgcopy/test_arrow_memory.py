"""Arrow arrays as other producers make them: exact allocations, odd addresses, offsets everywhere, buffers left out.

Each must encode to the very bytes that pyarrow's own tidy arrays give. Under AddressSanitizer (tests/fuzz/asan.sh) the
exact allocations show a read of one byte too far.
"""

from __future__ import annotations

import ctypes

import pyarrow as pa
import pytest

from bulkio.errors import EncodeError, SchemaError
from bulkio.pgcopy import Encoder, Field
from bulkio.pgcopy.registry import ENCODERS
from bulkio.types import Cast, PgType, Policies, array_of, base_type, cast_to_pg
from bulkio.types.isotexts import with_iso_texts
from pgcopy import codec_cases, composite_cases, scalar_cases

LOSSY = Policies(allow_lossy=True)
HSTORE = PgType("hstore", 70001, 70002, "hstore", "public")
VECTOR = PgType("vector", 70003, 70004, "vector", "public")
BOX = PgType("box", 603, 1020, "", "pg_catalog")
BOOL8 = pa.ExtensionArray.from_storage(pa.bool8(), pa.array([0, 1, None, -3], pa.int8()))
UUID_TEXTS = pa.array(["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", None, "A0EEBC999C0B4EF8BB6D6BB9BD380A11"])


def iso_cast(name: str) -> Cast:
    """Return the cast of texts that are spelled as PostgreSQL prints them."""
    how = cast_to_pg(pa.string(), base_type(name))
    assert how is not None
    return with_iso_texts(how)


#: Encoders that the round-trip cases do not reach, and layouts of their own.
MORE: dict[str, tuple[pa.Array, Cast | None]] = {
    "bool8": (BOOL8, cast_to_pg(BOOL8.type, base_type("bool"))),
    "text_to_uuid": (UUID_TEXTS, cast_to_pg(UUID_TEXTS.type, base_type("uuid"))),
    "server_text": (pa.array(["(1,1),(0,0)", None, "x" * 40]), cast_to_pg(pa.string(), BOX)),
    "text of parts": (
        pa.array(["{1.5,NULL}", None, '{" 2 ","-3e-1"}', "{}"]),
        cast_to_pg(pa.string(), array_of(base_type("numeric"))),
    ),
    "text_to_int": (pa.array(["1", None, " -20000 ", "0"]), cast_to_pg(pa.string(), base_type("int4"))),
    "text_to_float": (pa.array(["1.5", None, "-1e300", "NaN"]), cast_to_pg(pa.string(), base_type("float8"))),
    "iso_to_date": (pa.array(["2025-12-31", None, "0044-03-15 BC", "infinity"]), iso_cast("date")),
    "iso_to_time": (pa.array(["23:59:59.5", None, "24:00:00"]), iso_cast("time")),
    "iso_to_timestamp": (pa.array(["2025-12-31", None, "2025-12-31 23:59:59.999999"]), iso_cast("timestamp")),
    "iso_to_timestamptz": (pa.array(["2025-12-31 00:00:00+01", None, "-infinity"]), iso_cast("timestamptz")),
    "text_to_bool": (pa.array(["true", None, "f", "off"]), iso_cast("bool")),
    "float_to_numeric": (
        pa.array([1.5, None, -1e300, 5e-324]),
        cast_to_pg(pa.float64(), base_type("numeric"), LOSSY),
    ),
    "duration": (
        pa.array([0, None, -(10**12)], pa.int64()).view(pa.duration("us")),
        cast_to_pg(pa.duration("us"), base_type("interval")),
    ),
    "vector of views": (
        pa.array([[1.0, 2.0], None, [0.5]], pa.list_view(pa.float32())),
        cast_to_pg(pa.list_view(pa.float32()), VECTOR),
    ),
    "hstore of views": (
        pa.array([[("k" * 20, "v" * 20)], None, []], pa.map_(pa.string_view(), pa.string_view())),
        cast_to_pg(pa.map_(pa.string_view(), pa.string_view()), HSTORE),
    ),
    "two dimensions of views": (
        pa.array([[["a", None], ["b", "c" * 30]], None], pa.list_view(pa.large_list_view(pa.string_view()))),
        cast_to_pg(pa.list_view(pa.large_list_view(pa.string_view())), composite_cases.matrix(base_type("text"), 2)),
    ),
}


def _all_cases() -> dict[str, tuple[pa.Array, Cast | None]]:
    found = dict(MORE)
    for case in codec_cases.ALL + composite_cases.ALL:
        found[case.id] = (case.array(case.edge_rows()), cast_to_pg(case.arrow, case.pg))
    for edges in scalar_cases.ALL:
        found[f"{edges.arrow}->{edges.pg.sql}"] = (edges.array(edges.edge_rows()), cast_to_pg(edges.arrow, edges.pg))
    return found


CASES = _all_cases()


def encode(cast: Cast, *batches: object) -> bytes:
    """Encode batches of one column."""
    encoder = Encoder([Field("c", cast)])
    blocks = [bytes(block) for batch in batches for block in encoder.encode(batch)]
    return b"".join([*blocks, bytes(encoder.finish())])


def batch_of(array: pa.Array) -> pa.RecordBatch:
    return pa.record_batch([array], ["c"])


class ArrowArray(ctypes.Structure):
    """The C Data Interface's struct (https://arrow.apache.org/docs/format/CDataInterface.html)."""


ArrowArray._fields_ = [
    *((name, ctypes.c_int64) for name in ("length", "null_count", "offset", "n_buffers", "n_children")),
    ("buffers", ctypes.POINTER(ctypes.c_void_p)),
    ("children", ctypes.POINTER(ctypes.POINTER(ArrowArray))),
    ("dictionary", ctypes.POINTER(ArrowArray)),
    ("release", ctypes.c_void_p),
    ("private_data", ctypes.c_void_p),
]
_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.restype = ctypes.c_void_p
_pointer.argtypes = [ctypes.py_object, ctypes.c_char_p]


class Untidy:
    """A batch whose buffers are moved `shift` bytes into allocations that end with their last byte.

    Null counts are left unknown, and arrays without rows have no buffers.
    """

    def __init__(self, batch: pa.RecordBatch, shift: int) -> None:
        self.batch = batch
        self.shift = shift
        self.sizes: dict[int, int] = {}
        self.memory: list[object] = []
        for column in batch.columns:
            self._note_sizes(column)

    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[object, object]:
        schema, capsule = self.batch.__arrow_c_array__(requested_schema)
        array = ArrowArray.from_address(_pointer(capsule, b"arrow_array"))
        for i in range(array.n_children):
            self._move(array.children[i].contents)
        return schema, capsule

    def _note_sizes(self, array: pa.Array) -> None:
        self.sizes.update((b.address, b.size) for b in array.buffers() if b is not None)
        if isinstance(array.type, pa.BaseExtensionType):
            self._note_sizes(array.storage)
        elif pa.types.is_dictionary(array.type):
            self._note_sizes(array.dictionary)
        else:
            for child in children_of(array):
                self._note_sizes(child)

    def _move(self, array: ArrowArray) -> None:
        array.null_count = -1 if array.n_buffers else array.null_count
        for i in range(array.n_buffers):
            if array.length + array.offset == 0:
                array.buffers[i] = None
            elif array.buffers[i] in self.sizes:
                array.buffers[i] = self._moved(array.buffers[i], self.sizes[array.buffers[i]])
        for i in range(array.n_children):
            self._move(array.children[i].contents)
        if array.dictionary:
            self._move(array.dictionary.contents)

    def _moved(self, address: int, size: int) -> int:
        room = 16 + self.shift  # ctypes keeps the smallest arrays inside an object
        memory = (ctypes.c_char * (room + size)).from_buffer_copy(bytes(room) + ctypes.string_at(address, size))
        self.memory.append(memory)
        return ctypes.addressof(memory) + room


def children_of(array: pa.Array) -> list[pa.Array]:
    """Return the children of a nested array."""
    if pa.types.is_struct(array.type):
        return [array.field(i) for i in range(array.type.num_fields)]
    if pa.types.is_map(array.type):
        return [array.keys, array.items]
    return [array.values] if pa.types.is_nested(array.type) else []


def behind_an_offset(array: pa.Array) -> pa.Array:
    """Make the children of structs, lists and maps slices of longer ones."""
    if pa.types.is_struct(array.type) and array.type.num_fields:
        fields = [_behind(behind_an_offset(child), 1 + i) for i, child in enumerate(children_of(array))]
        return pa.StructArray.from_arrays(fields, fields=list(array.type), mask=array.is_null())
    if pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
        values = _behind(behind_an_offset(array.values), 3)
        return type(array).from_arrays(array.offsets, values, type=array.type, mask=array.is_null())
    if pa.types.is_map(array.type):
        return pa.MapArray.from_arrays(
            array.offsets, _behind(array.keys, 1), _behind(array.items, 2), type=array.type, mask=array.is_null()
        )
    return array


def _behind(array: pa.Array, count: int) -> pa.Array:
    """Put so many other values in front of an array, out of sight."""
    if not len(array):
        return array
    return pa.concat_arrays([*[array[-1:]] * count, array]).slice(count)


def test_the_cases_cover_every_encoder() -> None:
    """An encoder without a case here fails."""

    def codecs(how: Cast) -> set[str]:
        return {how.codec}.union(*map(codecs, how.children))

    assert set(ENCODERS) == set().union(*(codecs(how) for _, how in CASES.values()))


@pytest.mark.parametrize("name", CASES)
def test_memory_as_others_lay_it_out(name: str) -> None:
    """Slices, odd addresses, unknown null counts and children behind offsets change nothing in the stream."""
    array, how = CASES[name]
    for part in (array, array[1:], array[3:], array[len(array) :], array[:0]):
        batch = batch_of(part)
        expected = encode(how, batch)
        for shift in (0, 1):
            assert encode(how, Untidy(batch, shift)) == expected
    moved = behind_an_offset(array)
    for start in (0, 1):
        assert encode(how, Untidy(batch_of(moved.slice(start)), 0)) == encode(how, batch_of(array.slice(start)))


def int32s(*values: int) -> pa.Buffer:
    return pa.array(values, pa.int32()).buffers()[1]


SECOND_IS_NULL = pa.py_buffer(b"\x01")
GARBAGE = 0x7FFFFFF0


@pytest.mark.parametrize(
    ("array", "pg", "tidy"),
    [
        (
            pa.DictionaryArray.from_buffers(
                pa.dictionary(pa.int32(), pa.string()), 2, [SECOND_IS_NULL, int32s(0, GARBAGE)], pa.array(["a"])
            ),
            base_type("text"),
            pa.array(["a", None]).dictionary_encode(),
        ),
        (
            pa.Array.from_buffers(
                pa.list_view(pa.int32()),
                2,
                [SECOND_IS_NULL, int32s(0, GARBAGE), int32s(1, GARBAGE)],
                children=[pa.array([7], pa.int32())],
            ),
            array_of(base_type("int4")),
            pa.array([[7], None], pa.list_view(pa.int32())),
        ),
        (
            pa.Array.from_buffers(
                pa.string_view(), 2, [SECOND_IS_NULL, pa.py_buffer(b"\1\0\0\0a" + bytes(11) + b"\xf0" * 16)]
            ),
            base_type("text"),
            pa.array(["a", None], pa.string_view()),
        ),
    ],
    ids=["dictionary", "list_view", "string_view"],
)
def test_what_lies_under_a_null_is_not_looked_at(array: pa.Array, pg: PgType, tidy: pa.Array) -> None:
    """Arrow lets anything lie there."""
    how = cast_to_pg(array.type, pg)
    assert encode(how, batch_of(array)) == encode(cast_to_pg(tidy.type, pg), batch_of(tidy))


@pytest.mark.parametrize("index", [1, -1, GARBAGE])
def test_an_index_outside_its_dictionary_is_an_error(index: int) -> None:
    """Also inside a list, where nobody has looked before."""
    kind = pa.dictionary(pa.int32(), pa.string())
    values = pa.DictionaryArray.from_buffers(kind, 2, [None, int32s(0, index)], pa.array(["a"]))
    lists = pa.ListArray.from_arrays(pa.array([0, 2], pa.int32()), values)
    for array, pg in ((values, base_type("text")), (lists, array_of(base_type("text")))):
        with pytest.raises(EncodeError, match=r'column "c": .* an index points outside its dictionary'):
            encode(cast_to_pg(array.type, pg), batch_of(array))


def test_run_ends_must_be_decoded_before() -> None:
    """A run-end-encoded batch is not taken for the plain one that the plan speaks of."""
    runs = pa.RunEndEncodedArray.from_arrays(pa.array([2], pa.int32()), pa.array([7], pa.int32()))
    with pytest.raises(SchemaError, match=r"'\+r', the plan was made for 'i'"):
        encode(cast_to_pg(pa.int32(), base_type("int4")), batch_of(runs))
