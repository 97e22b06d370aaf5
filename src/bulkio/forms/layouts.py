"""Arrow layouts made plain: maps as lists of structs, run-end encoded columns as what they stand for. Pure.

And made whole: views that pyarrow can hand over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = [
    "has_dictionary",
    "has_views",
    "map_entries",
    "texts_where",
    "values_at",
    "with_all_buffers",
    "without_run_ends",
]


#: values of a dictionary up to which it is handed on whole
_FEW_VALUES = 1000


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


def texts_where(mask: pa.Array, texts: pa.Array) -> pa.Array:
    """Return texts where `mask` is true, and null elsewhere."""
    # not by a null scalar, with which pyarrow before 24 takes wrong bytes of texts that begin at an offset
    return pc.if_else(mask, texts, pa.nulls(len(texts), texts.type))


def values_at(column: pa.Array, indices: Sequence[int]) -> pa.Array:
    """Return the values at these places, in this order, with no more memory behind them than they need."""
    try:
        return _with_few_values(column.take(pa.array(indices, pa.int64())))
    except pa.ArrowNotImplementedError:  # run-ends and views, at any depth
        return _without_rest(pa.concat_arrays([column.slice(index, 1) for index in indices]))


def _with_few_values(column: pa.Array) -> pa.Array:
    """Return a dictionary with those values alone that occur, if it is a large one, and their order does not count."""
    if not isinstance(column, pa.DictionaryArray) or column.type.ordered:
        return column
    if len(column.dictionary) <= max(_FEW_VALUES, len(column)):
        return column
    encoded = column.dictionary_decode().dictionary_encode()
    return pa.DictionaryArray.from_arrays(encoded.indices.cast(column.type.index_type), encoded.dictionary)


def _without_rest(column: pa.Array) -> pa.Array:
    """Return a column without what else lies in the buffers that its views are of: all of that would be written."""
    if not has_views(column.type):
        return column
    if isinstance(column, pa.ExtensionArray):
        return column.type.wrap_array(_without_rest(column.storage))
    try:
        return with_all_buffers(column.cast(_without_views(column.type)).cast(column.type))
    except pa.ArrowNotImplementedError:  # of some nested types
        return column


def _without_views(kind: pa.DataType) -> pa.DataType:
    """Return a type that holds the same values, and copies them: Arrow casts to it and back."""
    if _is_view(kind):
        return pa.large_string() if pa.types.is_string_view(kind) else pa.large_binary()
    if pa.types.is_map(kind):
        return pa.map_(_without_views(kind.key_type), _without_views(kind.item_type))
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_without_views(field.type)) for field in kind])
    make = next((make for is_kind, make in _LISTS if is_kind(kind)), None)
    return kind if make is None else make(kind, kind.value_field.with_type(_without_views(kind.value_type)))


#: lists that Arrow casts by their values, and how each is made anew
_LISTS: tuple[tuple[Callable[[pa.DataType], bool], Callable[[pa.DataType, pa.Field], pa.DataType]], ...] = (
    (pa.types.is_list, lambda _, field: pa.list_(field)),
    (pa.types.is_large_list, lambda _, field: pa.large_list(field)),
    (pa.types.is_fixed_size_list, lambda kind, field: pa.list_(field, kind.list_size)),
)


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


def has_views(kind: pa.DataType) -> bool:
    """Tell whether strings or binaries in a type, at any depth, are views."""
    for name in ("storage_type", "value_type"):  # of extensions; of dictionaries, lists, run-ends
        if hasattr(kind, name):
            return has_views(getattr(kind, name))
    return _is_view(kind) or any(has_views(kind.field(index).type) for index in range(kind.num_fields))


def has_dictionary(kind: pa.DataType) -> bool:
    """Tell whether a type is a dictionary's, or has one at any depth."""
    if pa.types.is_dictionary(kind):
        return True
    for name in ("storage_type", "value_type"):
        if hasattr(kind, name):
            return has_dictionary(getattr(kind, name))
    return any(has_dictionary(kind.field(index).type) for index in range(kind.num_fields))


def _is_view(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string_view(kind) or pa.types.is_binary_view(kind))


def _lacks_buffers(array: pa.Array) -> bool:
    if not has_views(array.type):
        return False
    if _is_view(array.type):
        _, _, *data = array.buffers()
        return any(buffer is None for buffer in data)
    return any(map(_lacks_buffers, _children(array)))


def _children(array: pa.Array) -> list[pa.Array]:
    """Return the children that views may be in: of some other types an older pyarrow makes no arrays."""
    for name in ("storage", "dictionary", "values"):  # of extensions, dictionaries, and lists, maps, run-ends
        if hasattr(array, name):
            return [getattr(array, name)]
    kind = array.type
    return [array.field(index) for index in range(kind.num_fields) if has_views(kind.field(index).type)]
