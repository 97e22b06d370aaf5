"""Arrow layouts made plain: maps as lists of structs, run-end encoded columns as what they stand for. Pure.

And made whole: views that pyarrow can hand over.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["map_entries", "with_all_buffers", "without_run_ends"]


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


def with_all_buffers(array: pa.Array) -> pa.Array:
    """Return an array that Arrow's C interface can export, which kills the process of pyarrow before 25 otherwise.

    Its casts to views leave a null in the place of a buffer that no value needs. Newer ones call that invalid.
    """
    if not _lacks_buffers(array):
        return array
    if isinstance(array, pa.ExtensionArray):  # of a type that may not be registered
        return array.type.wrap_array(with_all_buffers(array.storage))
    batch = pa.record_batch([array], [""])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return pa.ipc.open_stream(sink.getvalue()).read_next_batch().column(0)


def _lacks_buffers(array: pa.Array) -> bool:
    if pa.types.is_string_view(array.type) or pa.types.is_binary_view(array.type):
        _, _, *data = array.buffers()
        return any(buffer is None for buffer in data)
    return any(map(_lacks_buffers, _children(array)))


def _children(array: pa.Array) -> list[pa.Array]:
    for name in ("storage", "dictionary", "values"):  # of extensions, dictionaries, and lists, maps, run-ends
        if hasattr(array, name):
            return [getattr(array, name)]
    return [array.field(index) for index in range(array.type.num_fields)]
