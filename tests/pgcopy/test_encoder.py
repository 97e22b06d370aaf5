"""The encoder's blocks: where they are cut, whose memory they are, what it refuses to encode at all."""

from __future__ import annotations

import gc
import io
import weakref

import pyarrow as pa
import pytest

from bulkio.errors import EncodeError, SchemaError
from bulkio.pgcopy import Decoder, Encoder, Field
from bulkio.pgcopy.encoder import HEADER, TRAILER
from bulkio.types import INTERVAL_STRUCT, PgType, base_type, cast_from_pg, cast_to_pg, pg_type_for
from bulkio.types.casts import range_struct
from pgcopy import codec_cases as cases

INT4 = Field("c", cast_to_pg(pa.int32(), base_type("int4")))
TEXT = Field("t", cast_to_pg(pa.string(), base_type("text")))


def _batch(*values):
    return pa.record_batch([pa.array(values, pa.int32())], ["c"])


def test_an_empty_stream():
    """Without rows the stream is its header and trailer, whatever the batches' number."""
    encoder = Encoder([INT4])
    assert list(encoder.encode(_batch())) == []
    last = encoder.finish()
    assert bytes(last) == HEADER + TRAILER
    assert (last.rows, encoder.rows) == (0, 0)


@pytest.mark.parametrize("block_bytes", [0, 1, 33, 1000, 1 << 20])
def test_blocks_are_cut_at_rows_and_say_how_many(block_bytes):
    """The size of blocks changes nothing in the stream; a block ends with a row, and the blocks' rows add up."""
    encoder = Encoder([INT4, TEXT], block_bytes=block_bytes)
    blocks = []
    for start in range(0, 300, 100):
        numbers = pa.array(range(start, start + 100), pa.int32())
        texts = pa.array(["x" * (i % 50) for i in range(start, start + 100)])
        blocks += encoder.encode(pa.record_batch([numbers, texts], ["c", "t"]))
    blocks.append(encoder.finish())
    stream = b"".join(map(bytes, blocks))
    assert sum(block.rows for block in blocks) == encoder.rows == 300
    assert all(len(block) >= block_bytes for block in blocks[:-1])
    whole = Encoder([INT4, TEXT])
    everything = pa.record_batch(
        [pa.array(range(300), pa.int32()), pa.array(["x" * (i % 50) for i in range(300)])], ["c", "t"]
    )
    assert stream == b"".join(map(bytes, [*whole.encode(everything), whole.finish()]))
    decoder = Decoder(
        [Field("c", cast_from_pg(base_type("int4"))), Field("t", cast_from_pg(base_type("text")))], everything.schema
    )
    done = 0
    for block in blocks[:-1]:
        decoder.feed(block)
        done += block.rows
        assert decoder.rows == done


def test_a_row_larger_than_a_block():
    """A row larger than block_bytes makes a larger block, and is whole in it."""
    encoder = Encoder([TEXT], block_bytes=100)
    batch = pa.record_batch([pa.array(["a", "b" * 5000, "c"])], ["t"])
    blocks = [*encoder.encode(batch), encoder.finish()]
    assert [block.rows for block in blocks] == [2, 1]
    assert len(blocks[0]) > 5000


def test_blocks_that_are_held_are_not_written_again():
    """Memory is reused only when the last reference, also a memoryview, is gone."""
    encoder = Encoder([TEXT], block_bytes=200)
    held, copies = [], []
    for i in range(60):
        batch = pa.record_batch([pa.array([chr(65 + i % 26) * 120] * 10)], ["t"])
        for number, block in enumerate(encoder.encode(batch)):
            if number % 2:
                held.append(memoryview(block))
                copies.append(bytes(block))
    assert [bytes(view) for view in held] == copies
    assert len(held) > 100


def test_a_view_outlives_block_and_encoder():
    """A memoryview alone keeps a block's bytes."""
    encoder = Encoder([INT4])
    list(encoder.encode(_batch(1, 2, 3)))
    view = memoryview(encoder.finish())
    del encoder
    gc.collect()
    assert bytes(view).endswith(TRAILER)


def test_the_buffer_protocol_of_a_block():
    """A block is a read-only, contiguous buffer of bytes; nobody can write into it."""
    block = Encoder([INT4]).finish()
    view = memoryview(block)
    assert (view.format, view.itemsize, view.ndim, view.nbytes, view.readonly) == ("B", 1, 1, len(block), True)
    assert bytes(block) == bytes(view) == bytearray(block) == HEADER + TRAILER
    assert pa.py_buffer(block).to_pybytes() == HEADER + TRAILER
    assert b"".join([block, block]) == (HEADER + TRAILER) * 2
    sink = io.BytesIO()
    assert sink.write(block) == len(block)
    with pytest.raises(TypeError, match="read-write"):
        io.BytesIO(b"overwritten").readinto(block)
    assert bytes(block) == HEADER + TRAILER


def test_a_block_in_a_garbage_cycle():
    """A block that only a cycle holds is collected without harm (its pool once went before it)."""
    encoder = Encoder([INT4], block_bytes=10)
    for _ in range(3):
        cycle = list(encoder.encode(_batch(1, 2, 3)))
        cycle.append(cycle)
        del cycle
        gc.collect()
    assert encoder.finish().rows == 0


def test_the_batch_is_freed_when_it_is_encoded():
    """The encoder keeps no batch alive once its blocks are taken."""
    encoder = Encoder([INT4])
    batch = _batch(*range(100))
    alive = weakref.ref(batch)
    list(encoder.encode(batch))
    del batch
    gc.collect()
    assert alive() is None


def test_any_producer_of_the_c_data_interface():
    """An object that has `__arrow_c_array__` and nothing else is encoded; its refused values get a message too."""

    class Producer:
        def __init__(self, batch):
            self.batch = batch

        def __arrow_c_array__(self, requested_schema=None):
            return self.batch.__arrow_c_array__(requested_schema)

    encoder = Encoder([INT4])
    assert list(encoder.encode(Producer(_batch(1, 2)))) == []
    assert encoder.rows == 2
    narrow = Encoder([Field("c", cast_to_pg(pa.int32(), base_type("int2")))])
    with pytest.raises(EncodeError, match='row 2, column "c": the value is out of range for int2'):
        list(narrow.encode(Producer(_batch(1, 70000))))


@pytest.mark.parametrize(
    ("planned", "got", "words"),
    [
        (pa.int32(), pa.array([1], pa.int64()), "'l', the plan was made for 'i'"),
        (pa.string(), pa.array(["a"], pa.large_string()), "'U', the plan was made for 'u'"),
        (pa.timestamp("us", "UTC"), pa.array([1], pa.timestamp("us")), "format"),
        (pa.int32(), pa.array(["a", "b"]).dictionary_encode(), "whether the column is a dictionary"),
        (pa.dictionary(pa.int32(), pa.string()), pa.array([0, 1], pa.int32()), "whether the column is a dictionary"),
        (
            pa.dictionary(pa.int32(), pa.string()),
            pa.array([b"a"]).dictionary_encode(),
            "'z', the plan was made for 'u'",
        ),
        (pa.dictionary(pa.int8(), pa.string()), pa.array(["a"]).dictionary_encode(), "'i', the plan was made for 'c'"),
        (pa.decimal128(5, 2), pa.array([1], pa.decimal128(5, 1)), "'d:5,1', the plan was made for 'd:5,2'"),
        (pa.list_(pa.int32()), pa.array([["a"]]), "'u', the plan was made for 'i'"),
        (pa.list_(pa.int32()), pa.array([[1]], pa.large_list(pa.int32())), "format"),
        (pa.list_(pa.int32(), 2), pa.array([[1]], pa.list_(pa.int32(), 1)), "'+w:1', the plan was made for '+w:2'"),
    ],
    ids=str,
)
def test_a_batch_of_another_type_is_refused(planned, got, words):
    """A batch whose layout is not the planned one is a SchemaError, also where a dictionary's format hides it."""
    encoder = Encoder([Field("c", cast_to_pg(planned, pg_type_for(planned)))])
    with pytest.raises(SchemaError) as caught:
        list(encoder.encode(pa.record_batch([got], ["c"])))
    assert words in str(caught.value)
    assert encoder.rows == 0


_RANGE = range_struct(pa.int32())


@pytest.mark.parametrize(
    ("planned", "pg"),
    [
        (pa.struct([("x", pa.float64()), ("y", pa.float64())]), base_type("point")),
        (INTERVAL_STRUCT, base_type("interval")),
        (_RANGE, PgType("int4range", 3904, 3905, "range", element=base_type("int4"))),
        (
            pa.struct([("a", pa.int32()), ("b", pa.int32())]),
            PgType(
                "ab", 50000, 50001, "composite", "public", fields=(("a", base_type("int4")), ("b", base_type("int4")))
            ),
        ),
    ],
    ids=["point", "interval", "range", "composite"],
)
def test_a_struct_of_other_fields_is_refused(planned, pg):
    """Fields that are missing, more, or in another order: x and y are never exchanged in silence."""
    cast = cast_to_pg(planned, pg)
    for got in (list(planned)[:-1], [*planned, pa.field("z", pa.int32())], list(planned)[::-1], []):
        with pytest.raises(SchemaError, match="the batch's struct has the fields"):
            list(Encoder([Field("c", cast)]).encode(pa.record_batch([pa.nulls(3, pa.struct(got))], ["c"])))
    list(Encoder([Field("c", cast)]).encode(pa.record_batch([pa.nulls(3, planned)], ["c"])))


def test_a_batch_with_another_number_of_columns():
    """Too many or too few columns are a SchemaError that gives both numbers."""
    encoder = Encoder([INT4])
    column = pa.array([1], pa.int32())
    with pytest.raises(SchemaError, match="has 2 columns, the plan 1"):
        list(encoder.encode(pa.record_batch([column, column], ["a", "b"])))
    with pytest.raises(SchemaError, match="has 0 columns, the plan 1"):
        list(encoder.encode(pa.record_batch([], [])))
    assert bytes(encoder.finish()) == HEADER + TRAILER


def test_what_is_no_record_batch():
    """A list array, or a struct array with null rows, is no record batch, even where its children would fit."""
    encoder = Encoder([INT4])
    with pytest.raises(SchemaError, match="no record batch"):
        list(encoder.encode(pa.array([[1], [2]], pa.list_(pa.int32()))))
    column = pa.array([1, 2], pa.int32())
    with pytest.raises(SchemaError, match="null rows"):
        list(encoder.encode(pa.StructArray.from_arrays([column], ["c"], mask=pa.array([True, False]))))
    list(encoder.encode(pa.StructArray.from_arrays([column], ["c"]).slice(1)))
    assert encoder.rows == 1


def test_an_error_ends_the_stream():
    """After a refused value, neither another batch nor a trailer is accepted: half a row is in the buffer."""
    encoder = Encoder([Field("c", INT4.cast, nullable=False)])
    with pytest.raises(EncodeError, match="NOT NULL"):
        list(encoder.encode(_batch(1, None)))
    with pytest.raises(EncodeError, match="cannot go on"):
        list(encoder.encode(_batch(1)))
    with pytest.raises(EncodeError, match="cannot go on"):
        encoder.finish()


def test_a_batch_that_is_not_encoded_to_its_end():
    """A second batch, or the trailer, while blocks of the first are still to come is refused: rows would be lost."""
    encoder = Encoder([INT4], block_bytes=1)
    blocks = encoder.encode(_batch(1, 2, 3))
    next(blocks)
    with pytest.raises(EncodeError, match="not encoded to its end"):
        next(encoder.encode(_batch(4)))
    with pytest.raises(EncodeError, match="not encoded to its end"):
        encoder.finish()
    assert [block.rows for block in blocks] == [1, 1]
    assert len(encoder.finish()) == len(TRAILER)


def test_rows_are_counted_over_all_batches():
    """An error's row counts from 1 over the whole stream."""
    encoder = Encoder([Field("c", cast_to_pg(pa.int32(), base_type("int2")))], block_bytes=1)
    list(encoder.encode(_batch(1, 2, 3)))
    with pytest.raises(EncodeError) as caught:
        list(encoder.encode(_batch(4, 5, 70000).slice(1)))
    assert (caught.value.row, caught.value.column) == (5, "c")
    assert "70000" in str(caught.value)


def test_the_fields_stay_readable():
    """The plan's fields are kept as they were given."""
    assert Encoder([INT4, TEXT]).fields == (INT4, TEXT)
    assert cases.decoder(cases.FLAT[0]).fields[0].name == "c"


def test_bool8_is_a_bool():
    """A byte that is not 0 is true (arrow.bool8), NULLs and slices included."""
    storage = pa.array([0, 1, None, -3, 0], pa.int8()).slice(1)
    column = pa.ExtensionArray.from_storage(pa.bool8(), storage)
    field = Field("a", cast_to_pg(pa.bool8(), base_type("bool")))
    encoder = Encoder([field])
    blocks = [*encoder.encode(pa.record_batch([column], names=["a"])), encoder.finish()]
    true, null, false = bytes.fromhex("000100000001 01"), bytes.fromhex("0001ffffffff"), bytes.fromhex("00010000000100")
    assert b"".join(map(bytes, blocks))[19:-2] == true + null + true + false


def test_a_name_has_63_bytes_at_the_most():
    """PostgreSQL would refuse a longer one without saying in which row's column it met it."""
    field = Field("a", cast_to_pg(pa.string(), base_type("name")))
    encoder = Encoder([field])
    with pytest.raises(EncodeError, match=r'row 2, column "a": .* is longer than name allows'):
        list(encoder.encode(pa.record_batch([pa.array(["x" * 63, "x" * 64])], names=["a"])))


def test_an_encoder_without_init_does_not_crash():
    """A subclass that forgets to call __init__ gets an empty stream, not a segmentation fault."""
    assert bytes(Encoder.__new__(Encoder).finish()) == b"\xff\xff"
