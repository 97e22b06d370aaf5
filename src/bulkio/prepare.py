"""Whole columns made ready for the codec: nested values become JSON text, run-end encoded ones dictionaries. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pyarrow as pa

from bulkio.jsonform import json_texts, without_run_ends
from bulkio.types import NESTED_JSON, PREPARED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bulkio.pgcopy import Field

__all__ = ["prepare_batch", "prepared_fields"]


def prepared_fields(fields: Sequence[Field]) -> tuple[Field, ...]:
    """Give the fields as the codec meets them, after `prepare_batch`."""
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


def _prepared(column: pa.Array, field: Field, first_row: int) -> pa.Array:
    if field.cast.codec == NESTED_JSON:
        return json_texts(column, name=field.name, first_row=first_row)
    if field.cast.codec in PREPARED:
        return without_run_ends(column)
    return column
