"""Arrow layouts made plain: maps as lists of structs, run-end encoded columns as what they stand for. Pure."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["map_entries", "without_run_ends"]


def map_entries(column: pa.Array) -> pa.Array:
    """Return a map as the list of structs of keys and values that it is, which more kernels take."""
    # not by a cast, which makes invalid arrays where items are of Arrow's type null, at any depth (pyarrow 26)
    entries = pa.StructArray.from_arrays([column.keys, column.items], ["key", "value"])
    offsets = pc.add(column.offsets, pa.scalar(0, pa.int32()))  # a copy that begins at its own beginning
    return pa.ListArray.from_arrays(offsets, entries, mask=column.is_null())


def without_run_ends(column: pa.Array) -> pa.Array:
    """Return a run-end encoded column as a dictionary: pyarrow's own kernel decodes values of few types."""
    places = pa.array(range(len(column.values)), pa.int64())
    runs = pa.RunEndEncodedArray.from_arrays(column.run_ends, places)
    return pa.DictionaryArray.from_arrays(pc.run_end_decode(runs.slice(column.offset, len(column))), column.values)
