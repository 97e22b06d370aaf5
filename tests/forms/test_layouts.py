"""What an older pyarrow does wrong with views, and with texts that begin at an offset, is gone round."""

from __future__ import annotations

import pyarrow as pa
import pytest

from bulkio.forms.layouts import texts_where, with_all_buffers


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
