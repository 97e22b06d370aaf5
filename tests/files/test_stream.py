"""Objects of pyarrow's as sources: none kills the process, whichever layout pyarrow has given its columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from bulkio.files import open_source

if TYPE_CHECKING:
    from collections.abc import Callable

#: Before pyarrow 25 this lacks a buffer, and pyarrow's own export of it is a segmentation fault
BATCH = pa.record_batch([pa.array(["a", None, "c"]).cast(pa.string_view()), pa.array([1, 2, 3])], ["text", "id"])
STRUCTS = pa.StructArray.from_arrays(BATCH.columns, names=BATCH.schema.names)

SOURCES: dict[str, Callable[[], object]] = {
    "table": lambda: pa.Table.from_batches([BATCH]),
    "batch": lambda: BATCH,
    "reader": lambda: pa.Table.from_batches([BATCH]).to_reader(),
    "iterator": lambda: iter([BATCH]),
    "array": lambda: STRUCTS,
    "chunked array": lambda: pa.chunked_array([STRUCTS, STRUCTS]),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_views_that_a_cast_made(kind: str) -> None:
    """They come in pieces that Arrow's C interface exports, as the codec asks for."""
    source = open_source(SOURCES[kind](), batch_rows=2)
    batches = list(source.batches())
    source.close()
    for batch in batches:
        batch.__arrow_c_array__()
    times = 2 if kind == "chunked array" else 1
    assert pa.Table.from_batches(batches).to_pylist() == BATCH.to_pylist() * times
