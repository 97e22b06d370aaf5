"""PostgreSQL -> Arrow: which Arrow type a column becomes, and the decoder that makes it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pyarrow as pa

from bulkio.types.arrow_json import json_type
from bulkio.types.casts import INTERVAL_STRUCT, Cast, parent_of, range_struct
from bulkio.types.pgtypes import ARRAY, SERVER_TEXT

if TYPE_CHECKING:
    from collections.abc import Callable

    from bulkio.types.pgtypes import PgType

__all__ = ["cast_from_pg", "interval_struct", "numeric_as", "with_leaves"]


def cast_from_pg(pg: PgType) -> Cast:
    """Choose the Arrow type and the decoder for a column of type `pg`."""
    nested = _NESTED_FROM_PG.get(pg.codec)
    if nested is not None:
        return nested(pg)
    decoder, arrow = _FROM_PG[pg.codec]
    return Cast(decoder, arrow, pg)


def with_leaves(how: Cast, change: Callable[[Cast], Cast]) -> Cast:
    """Return the same cast with every leaf, at any depth, as `change` makes it."""
    if not how.children:
        return change(how)
    children = [with_leaves(child, change) for child in how.children]
    return how if tuple(children) == how.children else parent_of(how, children)


def interval_struct(leaf: Cast) -> Cast:
    """Return an interval as a struct: Parquet cannot hold Arrow's own."""
    return Cast("interval_struct", INTERVAL_STRUCT, leaf.pg) if leaf.codec == "interval" else leaf


def numeric_as(leaf: Cast, arrow: pa.DataType) -> Cast:
    """Return a numeric without precision as `arrow`, a decimal or float64, that a user asks for."""
    if leaf.codec != "numeric_text" or leaf.pg.precision is not None:
        return leaf
    return Cast("numeric_float" if pa.types.is_float64(arrow) else "decimal", arrow, leaf.pg)


# codec: name of the decoder, Arrow type
_FROM_PG = {
    "bool": ("bool", pa.bool_()),
    "int2": ("int2", pa.int16()),
    "int4": ("int4", pa.int32()),
    "int8": ("int8", pa.int64()),
    "uint4": ("uint4", pa.uint32()),
    "uint8": ("uint8", pa.uint64()),
    "float4": ("float4", pa.float32()),
    "float8": ("float8", pa.float64()),
    "text": ("text", pa.string()),
    SERVER_TEXT: ("text", pa.string()),
    "bytea": ("bytea", pa.binary()),
    "json": ("json", json_type()),
    "jsonb": ("jsonb", json_type()),
    "uuid": ("uuid", pa.uuid()),
    "date": ("date", pa.date32()),
    "time": ("time", pa.time64("us")),
    "timetz": ("timetz", pa.string()),
    "timestamp": ("timestamp", pa.timestamp("us")),
    "timestamptz": ("timestamp", pa.timestamp("us", "UTC")),
    "interval": ("interval", pa.month_day_nano_interval()),
    "enum": ("enum", pa.dictionary(pa.int32(), pa.string())),
    "inet": ("inet", pa.string()),
    "macaddr": ("macaddr", pa.string()),
    "macaddr8": ("macaddr", pa.string()),
    "bit": ("bit", pa.string()),
    "pg_lsn": ("pg_lsn", pa.string()),
    "versioned_text": ("versioned_text", pa.string()),
    "point": ("point", pa.struct([("x", pa.float64()), ("y", pa.float64())])),
    "hstore": ("hstore", pa.map_(pa.string(), pa.string())),
    "geometry": ("geometry", pa.binary()),
    "geography": ("geometry", pa.binary()),
}


def _array_from_pg(pg: PgType) -> Cast:
    inner = replace(pg, dimensions=pg.dimensions - 1)
    elements = _array_from_pg(inner) if pg.dimensions > 1 else cast_from_pg(pg.item)
    return Cast(ARRAY, pa.list_(elements.arrow), pg, (elements,))


def _composite_from_pg(pg: PgType) -> Cast:
    children = tuple(cast_from_pg(field) for _, field in pg.fields)
    names = [name for name, _ in pg.fields]
    return Cast("composite", pa.struct(list(zip(names, (c.arrow for c in children), strict=True))), pg, children)


def _range_from_pg(pg: PgType) -> Cast:
    bound = cast_from_pg(pg.item)
    return Cast("range", range_struct(bound.arrow), pg, (bound, bound))


def _multirange_from_pg(pg: PgType) -> Cast:
    ranges = cast_from_pg(pg.item)
    return Cast("multirange", pa.list_(ranges.arrow), pg, (ranges,))


def _money_from_pg(pg: PgType) -> Cast:
    return Cast("money", pa.decimal128(19, pg.money_scale), pg)


def _vector_from_pg(pg: PgType) -> Cast:
    element = pa.float32() if pg.codec == "vector" else pa.float16()
    return Cast(pg.codec, pa.list_(element, pg.typmod) if pg.typmod > 0 else pa.list_(element), pg)


def _numeric_from_pg(pg: PgType) -> Cast:
    """Choose a decimal as wide as its precision needs, a string past 76 digits or without a precision."""
    if pg.precision is None:
        return Cast("numeric_text", pa.string(), pg)
    precision, scale = max(pg.precision, pg.scale), pg.scale
    if scale < 0:
        precision, scale = precision - scale, 0
    if precision > 76:
        return Cast("numeric_text", pa.string(), pg)
    decimal = pa.decimal128 if precision <= 38 else pa.decimal256
    return Cast("decimal", decimal(precision, scale), pg)


_NESTED_FROM_PG = {
    ARRAY: _array_from_pg,
    "composite": _composite_from_pg,
    "range": _range_from_pg,
    "multirange": _multirange_from_pg,
    "money": _money_from_pg,
    "vector": _vector_from_pg,
    "halfvec": _vector_from_pg,
    "numeric": _numeric_from_pg,
}
