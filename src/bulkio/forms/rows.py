"""Arrow batches <-> rows of Python objects, for the methods `records` and `cursor`.

The values are those of the row contract in `bulkio.drivers`: dates and times are PostgreSQL's own integers, a uuid is
16 bytes, a numeric a Decimal. Pure. Loads come here after the codec has checked every value; exports are checked here.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa
import pyarrow.compute as pc

from bulkio.errors import DecodeError
from bulkio.forms.times import (
    DATE_INFINITIES,
    DAY_US,
    EPOCH_DAYS,
    INTERVAL_INFINITIES,
    TIMESTAMP_INFINITIES,
    timetz_fields,
    timetz_text,
)
from bulkio.pgcopy.messages import IS_DAYS_END, IS_INFINITE, NOT_IN_ARROW, refusal
from bulkio.protocols import ROW_TYPE_OIDS
from bulkio.show import show_type
from bulkio.types import ARRAY, SERVER_TEXT, PgType, known_type

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from bulkio.pgcopy import Field
    from bulkio.protocols import Row
    from bulkio.types import Cast

__all__ = ["from_rows", "row_oid", "to_rows", "unsupported"]

EPOCH_US = EPOCH_DAYS * DAY_US
#: the last microseconds that 64-bit nanoseconds hold
INTERVAL_US_MAX = (2**63 - 1) // 1000

#: codecs of types whose oid each database gives: a label, and what the server writes and parses, are text
_TEXTS = frozenset({"enum", SERVER_TEXT})
_ROW_OIDS = frozenset(ROW_TYPE_OIDS.values())


def unsupported(how: Cast) -> str | None:
    """Say why a column cannot travel as Python rows; None where it can."""
    if how.pg.codec == ARRAY:
        # psycopg has neither a dumper nor a loader for arrays of a type that a database has made itself
        has_form = known_type(cast("PgType", how.pg.element).oid) is not None
    else:
        has_form = how.pg.codec in _TEXTS or how.pg.base.oid in _ROW_OIDS
    if not has_form or how.needs_server:
        return f"the drivers' rows have no exact form for {show_type(how.pg.sql)}"
    return next((why for child in how.children if (why := unsupported(child)) is not None), None)


def row_oid(pg: PgType) -> int:
    """Return the oid of the type that the values of a row are; a domain's are those of its base type.

    >>> from bulkio.types import base_type
    >>> row_oid(PgType("posint", 16400, 16401, "int4", "public", domain_of=base_type("int4")))
    23
    """
    return pg.base.oid if known_type(pg.base.oid) is not None else pg.oid


# --- Loads --------------------------------------------------------------------------------------------------


def to_rows(batch: pa.RecordBatch, fields: Sequence[Field]) -> list[Row]:
    """Return the rows of one of `bulkio.forms.wire`'s batches."""
    return list(zip(*(_values(batch.column(i), field.cast) for i, field in enumerate(fields)), strict=True))


def _values(column: pa.Array, how: Cast) -> list[object]:
    if how.codec == ARRAY:
        return _lists(column, how.children[0])
    values = cast("list[object]", column.to_pylist())
    change = _CHANGES.get(how.codec)
    return values if change is None else [None if value is None else change(value) for value in values]


def _lists(column: pa.Array, how: Cast) -> list[object]:
    elements = _values(column.flatten(), how)
    lists: list[object] = []
    at = 0
    for length in pc.list_value_length(column).to_pylist():
        lists.append(None if length is None else elements[at : at + length])
        at += length or 0
    return lists


# codec: how a value becomes the contract's; all others are as the wire has them
_CHANGES: dict[str, Callable[[Any], object]] = {
    "numeric_text": Decimal,
    "interval_struct": lambda value: tuple(value.values()),
    "timetz": timetz_fields,
}


# --- Exports ------------------------------------------------------------------------------------------------


def from_rows(rows: Sequence[Row], fields: Sequence[Field], schema: pa.Schema, *, first_row: int = 1) -> pa.RecordBatch:
    """Make a batch of the rows of `plan.cursor_query`: the fields' values, then the bounds of the arrays.

    Raises DecodeError, with row and column, for a value that Arrow cannot hold.
    """
    columns: list[Sequence[object]] = list(zip(*rows, strict=True))
    shapes = iter(columns[len(fields) :])
    arrays = []
    for field, values in zip(fields, columns, strict=False):
        try:
            if field.cast.codec == ARRAY:
                _refuse_shapes(next(shapes), field.cast)
            arrays.append(_array(values, field.cast))
        except _NotInArrow as exc:
            raise DecodeError(str(exc), column=field.name, row=first_row + exc.index) from None
    return pa.record_batch(arrays, schema=schema)


class _NotInArrow(Exception):  # noqa: N818 - never leaves this module
    """A value at `index` of its column that has no counterpart in Arrow."""

    def __init__(self, index: int, message: str) -> None:
        super().__init__(message)
        self.index = index


def _array(values: Sequence[object], how: Cast) -> pa.Array:
    if how.codec == ARRAY:
        return _list_array(values, how)
    if how.codec == "enum":
        return _enum_array(values, how)
    if how.codec in _SHIFTS:
        values = _shifted(values, how)
    elif how.codec == "numeric_text":
        values = [None if value is None else format(cast("Decimal", value), "f") for value in values]
    elif how.codec == "timetz":
        values = [None if value is None else timetz_text(*cast("tuple[int, int]", value)) for value in values]
    elif how.codec in ("interval", "interval_struct"):
        return _intervals(values, how)
    elif how.codec == "decimal":
        _refuse(values, lambda value: not cast("Decimal", value).is_finite(), refusal(IS_INFINITE, how))
    if isinstance(how.arrow, pa.BaseExtensionType):
        return pa.ExtensionArray.from_storage(how.arrow, pa.array(values, how.arrow.storage_type))
    return pa.array(values, how.arrow)


def _list_array(values: Sequence[object], how: Cast) -> pa.Array:
    lists = cast("Sequence[list[object] | None]", values)
    offsets: list[int | None] = []
    elements: list[object] = []
    owners: list[int] = []
    for index, items in enumerate(lists):
        offsets.append(None if items is None else len(elements))
        elements += items or ()
        owners += [index] * len(items or ())
    offsets.append(len(elements))
    try:
        child = _array(elements, how.children[0])
    except _NotInArrow as exc:
        raise _NotInArrow(owners[exc.index], str(exc)) from None
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), child, type=how.arrow)


def _refuse_shapes(shapes: Sequence[object], how: Cast) -> None:
    """Refuse arrays of other dimensions than declared, or with a lower bound that is not 1: ``[0:2][1:5]``."""
    dimensions = how.pg.dimensions
    for index, shape in enumerate(shapes):
        lower = re.findall(r"\[(-?\d+):", cast("str", shape)) if shape is not None else []
        if lower and len(lower) != dimensions:
            raise _NotInArrow(index, _ONE_DIMENSION if dimensions == 1 else _DECLARED.format(len(lower), dimensions))
        bound = next((bound for bound in lower if bound != "1"), None)
        if bound is not None and how.policies.bounds == "error":
            raise _NotInArrow(index, f"an array with lower bound {bound} cannot go into a list without losing it")


_ONE_DIMENSION = "an array of several dimensions cannot go into a list: select it as text (column::text)"
_DECLARED = "an array of {} dimensions in a column that was declared to have {}"


def _enum_array(values: Sequence[object], how: Cast) -> pa.Array:
    """Return all the labels in their order, as the codec does; asyncpg has labels as str, psycopg as bytes."""
    texts = [value.decode() if isinstance(value, bytes) else value for value in values]
    places: dict[object, int | None] = {label: place for place, label in enumerate(how.pg.labels)}
    _refuse(
        texts,
        lambda text: text not in places,
        f"a label that {show_type(how.pg.sql)} did not have when its labels were read",
    )
    places[None] = None
    indices = pa.array([places[text] for text in texts], pa.int32())
    return pa.DictionaryArray.from_arrays(indices, pa.array(how.pg.labels, pa.string()))


# codec: (what to add to PostgreSQL's integer, the infinities)
_SHIFTS = {
    "date": (EPOCH_DAYS, DATE_INFINITIES),
    "time": (0, ()),
    "timestamp": (EPOCH_US, TIMESTAMP_INFINITIES),
}


def _shifted(values: Sequence[object], how: Cast) -> list[object]:
    shift, infinities = _SHIFTS[how.codec]
    numbers = cast("list[int | None]", values)
    _refuse(numbers, lambda value: value in infinities, refusal(IS_INFINITE, how))
    last, why = (DAY_US - 1, IS_DAYS_END) if how.codec == "time" else (2**63 - 1, NOT_IN_ARROW)
    _refuse(numbers, lambda value: cast("int", value) + shift > last, refusal(why, how))
    return [None if value is None else value + shift for value in numbers]


def _intervals(values: Sequence[object], how: Cast) -> pa.Array:
    spans = cast("Sequence[tuple[int, int, int] | None]", values)
    _refuse(spans, lambda value: value in INTERVAL_INFINITIES, refusal(IS_INFINITE, how))
    if how.codec == "interval_struct":
        names = [field.name for field in how.arrow]
        return pa.array([None if span is None else dict(zip(names, span, strict=True)) for span in spans], how.arrow)
    _refuse(
        spans,
        lambda value: not -INTERVAL_US_MAX <= cast("tuple[int, int, int]", value)[2] <= INTERVAL_US_MAX,
        refusal(NOT_IN_ARROW, how),
    )
    return pa.array([None if span is None else (span[0], span[1], span[2] * 1000) for span in spans], how.arrow)


def _refuse(values: Iterable[object], test: Callable[[object], bool], message: str) -> None:
    for index, value in enumerate(values):
        if value is not None and test(value):
            raise _NotInArrow(index, message)
