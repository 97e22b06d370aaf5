"""Whole columns made ready for the codec: nested values become JSON text, run-end encoded ones dictionaries. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pyarrow as pa

from bulkio.errors import EncodeError
from bulkio.forms.json_text import json_texts
from bulkio.forms.layouts import without_run_ends
from bulkio.types import NESTED_JSON, PREPARED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bulkio.pgcopy import Field

__all__ = ["prepare_batch", "prepared_fields"]


def prepared_fields(fields: Sequence[Field]) -> tuple[Field, ...]:
    """Return the fields as the codec meets them, after `prepare_batch`."""
    return tuple(
        replace(field, cast=field.cast.children[0]) if field.cast.codec in PREPARED else field for field in fields
    )


def prepare_batch(batch: pa.RecordBatch, fields: Sequence[Field], first_row: int) -> pa.RecordBatch:
    """Make the columns of a batch ready; it is given back as it is where none needs that.

    `first_row` counts from 1 over the whole load. Raises EncodeError for a value that JSON cannot hold.
    """
    if len(fields) != batch.num_columns:  # some are left out
        batch = batch.select([field.name for field in fields])
    if not any(field.cast.codec in PREPARED for field in fields):
        return batch
    columns = [_prepared(column, field, first_row) for column, field in zip(batch.columns, fields, strict=True)]
    return pa.record_batch(columns, names=batch.schema.names)


def _refuse_damaged(column: pa.Array, field: Field, first_row: int) -> None:
    """Raise EncodeError where offsets lead astray: pyarrow follows them, unlike the codec. JSON costs far more."""
    try:
        pa.array(_Layout(column)).validate(full=True)
    except pa.ArrowInvalid as exc:
        where = f"in this row or one of the {len(column) - 1} after it"
        raise EncodeError(f"the Arrow data is damaged: {where}: {exc}", column=field.name, row=first_row) from exc


class _Layout:
    """An array whose values may be any: what is wrong with one of them is told by its row, later."""

    def __init__(self, array: pa.Array) -> None:
        self._array = array

    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[object, object]:
        _, array = self._array.__arrow_c_array__()
        return _layout(self._array.type).__arrow_c_schema__(), array


def _layout(kind: pa.DataType) -> pa.DataType:
    """Return a type of the same buffers, in which each value is as good as any other."""
    if isinstance(kind, pa.BaseExtensionType):
        return _layout(kind.storage_type)
    if pa.types.is_dictionary(kind):
        return pa.dictionary(kind.index_type, _layout(kind.value_type))
    if pa.types.is_run_end_encoded(kind):
        return pa.run_end_encoded(kind.run_end_type, _layout(kind.value_type))
    if pa.types.is_map(kind):
        return pa.map_(_layout(kind.key_type), _layout(kind.item_type))
    inner = [kind.field(index) for index in range(kind.num_fields)]
    inner = [field.with_type(_layout(field.type)) for field in inner]
    if pa.types.is_struct(kind):
        return pa.struct(inner)
    if pa.types.is_union(kind):
        return pa.union(inner, kind.mode, kind.type_codes)
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(inner[0], kind.list_size)
    for is_kind, make in _LISTS:
        if is_kind(kind):
            return make(inner[0])
    return _PLAIN.get(kind, kind)


_LISTS = (
    (pa.types.is_list, pa.list_),
    (pa.types.is_large_list, pa.large_list),
    (pa.types.is_list_view, pa.list_view),
    (pa.types.is_large_list_view, pa.large_list_view),
)

#: types in which some bytes are not valid values, each with a type of the same width in which all are
_PLAIN = {
    pa.string(): pa.binary(),
    pa.large_string(): pa.large_binary(),
    pa.string_view(): pa.binary_view(),
    pa.time32("s"): pa.int32(),
    pa.time32("ms"): pa.int32(),
    pa.time64("us"): pa.int64(),
    pa.time64("ns"): pa.int64(),
    pa.date64(): pa.int64(),
}


def _prepared(column: pa.Array, field: Field, first_row: int) -> pa.Array:
    if field.cast.codec in PREPARED:
        _refuse_damaged(column, field, first_row)
    if field.cast.codec == NESTED_JSON:
        return json_texts(column, name=field.name, first_row=first_row)
    if field.cast.codec in PREPARED:
        return without_run_ends(column)
    return column
