"""What an older pyarrow does wrong with views, and with texts that begin at an offset, is gone round."""

from __future__ import annotations

import pyarrow as pa
import pytest

from bulkio.forms.layouts import texts_where, values_at, with_all_buffers


class Tag(pa.ExtensionType):
    """A type that nobody has registered."""

    def __init__(self) -> None:
        super().__init__(pa.string_view(), "bulkio.tests.tag")

    def __arrow_ext_serialize__(self) -> bytes:
        """Return nothing: it has no parameters."""
        return b""


def cast(*values: str | None) -> pa.Array:
    """Return views as pyarrow's cast makes them."""
    return pa.array(values, pa.string()).cast(pa.string_view())


LONG = "longer than a view holds"
PAIR = pa.array([0, 1], pa.int32())
VIEWS = {
    "short": cast("a", "b"),
    "long": cast("a", LONG),
    "null": cast(None, None),
    "none": cast(),
    "binary": pa.array([b"a", None]).cast(pa.binary_view()),
    "slice": cast("a", "b", "c")[1:2],
    "short and long": pa.concat_arrays([cast("a"), cast(LONG)]),
    "extension": pa.ExtensionArray.from_storage(Tag(), cast("a", "b")),
    "dictionary": pa.DictionaryArray.from_arrays(pa.array([0, 1, 0], pa.int8()), cast("a", "b")),
    "struct": pa.StructArray.from_arrays([PAIR, cast("a", None)], ["n", "v"])[1:],
    "list": pa.ListArray.from_arrays(pa.array([0, 2, 2], pa.int32()), cast("a", "b")),
    "large list": pa.LargeListArray.from_arrays(pa.array([0, 2, 2], pa.int64()), cast("a", "b"))[1:],
    "fixed-size list": pa.FixedSizeListArray.from_arrays(cast("a", "b"), 2),
    "map": pa.MapArray.from_arrays(pa.array([0, 2], pa.int32()), PAIR, cast("a", "b")),
    "run-end encoded": pa.RunEndEncodedArray.from_arrays(pa.array([2, 3], pa.int32()), cast("a", "b")),
    "union": pa.UnionArray.from_sparse(pa.array([0, 1], pa.int8()), [PAIR, cast("a", "b")]),
}


@pytest.mark.parametrize("name", VIEWS)
def test_views_have_all_buffers(name: str) -> None:
    """They are exported, which kills the process where a buffer is lacking, and keep type and values."""
    whole = with_all_buffers(VIEWS[name])
    pa.record_batch([whole], ["a"]).__arrow_c_array__()
    assert whole.type == VIEWS[name].type
    assert whole.to_pylist() == VIEWS[name].to_pylist()


@pytest.mark.parametrize("array", [pa.array(["a", LONG], pa.string_view()), pa.array([[1]]), pa.array(["a"])])
def test_an_array_that_lacks_nothing(array: pa.Array) -> None:
    """It is returned as it is, not copied."""
    assert with_all_buffers(array) is array


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_texts_where(kind: pa.DataType) -> None:
    """Texts that begin at an offset are the same texts: pyarrow before 24 took them from the column's beginning."""
    texts = pa.array(["before", "é", LONG, None, "last"], kind).slice(1)
    found = texts_where(pa.array([True, True, True, None]), texts)
    assert found.equals(pa.array(["é", LONG, None, None], kind))
    assert texts_where(pa.array([False] * 4), texts).null_count == 4


@pytest.mark.parametrize("name", VIEWS)
def test_values_at_places(name: str) -> None:
    """Values of whatever layout, in whatever order, are the same, and can be exported."""
    places = list(reversed(range(len(VIEWS[name]))))
    if not places:
        return
    found = values_at(VIEWS[name], places)
    pa.record_batch([found], ["a"]).__arrow_c_array__()
    assert found.type == VIEWS[name].type
    assert found.to_pylist() == VIEWS[name].to_pylist()[::-1]


def written(array: pa.Array) -> int:
    """Return the bytes of a file with an array."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, pa.schema([("a", array.type)])) as writer:
        writer.write_batch(pa.record_batch([array], ["a"]))
    return sink.getvalue().size


MANY = pa.array([f"{LONG} {number}" for number in range(10_000)])
WIDE = {
    "texts": MANY,
    "views": MANY.cast(pa.string_view()),
    "lists of views": pa.ListArray.from_arrays(pa.array(range(10_001), pa.int32()), MANY.cast(pa.string_view())),
    "an extension": pa.ExtensionArray.from_storage(Tag(), MANY.cast(pa.string_view())),
    "a dictionary": MANY.dictionary_encode(),
    "run-ends": pa.RunEndEncodedArray.from_arrays(pa.array(range(1, 10_001), pa.int32()), MANY),
}


@pytest.mark.parametrize("name", WIDE)
def test_values_without_the_rest(name: str) -> None:
    """A few values of many are written without the others, which their buffers hold or their dictionary."""
    found = values_at(WIDE[name], [9_999, 5, 7])
    assert found.to_pylist() == [WIDE[name][place].as_py() for place in (9_999, 5, 7)]
    assert written(found) < 3_000


def test_an_order_that_counts() -> None:
    """An ordered dictionary keeps all of its values, in their order."""
    ordered = pa.DictionaryArray.from_arrays(pa.array(range(10_000), pa.int32()), MANY, ordered=True)
    assert len(values_at(ordered, [1]).dictionary) == 10_000
