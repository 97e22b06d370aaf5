"""The pairs: which codec takes an Arrow type into a PostgreSQL type, and which Arrow type a PostgreSQL type becomes.

A pair that is not here is refused before a byte is sent. Each codec that is named is exact, or checks every value.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import pyarrow as pa

from bulkio.types.pgtypes import ARRAY, PgType, array_of, base_type

__all__ = ["Cast", "arrow_kind", "cast_from_pg", "cast_to_pg", "pg_type_for"]


@dataclass(frozen=True, slots=True)
class Cast:
    """How one node of a column's type is converted: the codec class's name, both types, and the nodes below."""

    codec: str
    arrow: pa.DataType
    pg: PgType
    children: tuple[Cast, ...] = ()


_INTEGERS = ("int2", "int4", "int8")
_FLOATS = ("float4", "float8")
_TEXTS = ("text", "json")

# (kind of the Arrow type, the PostgreSQL types' codecs): name of the encoder
_PAIRS: dict[tuple[str, tuple[str, ...]], str] = {
    ("bool", ("bool",)): "bool",
    ("int", _INTEGERS): "int",
    ("int", _FLOATS): "int_to_float",
    ("int", ("numeric",)): "int_to_numeric",
    ("float32", _FLOATS): "float",
    ("float64", ("float8",)): "float",
    ("float32", _INTEGERS): "float_to_int",
    ("float64", _INTEGERS): "float_to_int",
    ("decimal", ("numeric",)): "decimal",
    ("decimal", _INTEGERS): "decimal_to_int",
    ("text", _TEXTS): "text",
    ("text", ("jsonb",)): "jsonb",
    ("text", ("numeric",)): "text_to_numeric",
    ("json", _TEXTS): "text",
    ("json", ("jsonb",)): "jsonb",
    ("binary", ("bytea",)): "bytes",
    ("binary16", ("bytea",)): "bytes",
    ("binary16", ("uuid",)): "uuid",
    ("uuid", ("uuid",)): "uuid",
    ("date", ("date",)): "date",
    ("date", ("timestamp",)): "date_to_timestamp",
    ("time", ("time",)): "time",
    ("timestamp", ("timestamp",)): "timestamp",
    ("instant", ("timestamptz",)): "timestamp",
}

_ENCODERS = {(kind, codec): encoder for (kind, codecs), encoder in _PAIRS.items() for codec in codecs}


def arrow_kind(arrow: pa.DataType) -> str:
    """Give the family of an Arrow type that the table of pairs speaks of; the type's own text where it has none."""
    if isinstance(arrow, pa.UuidType):
        return "uuid"
    if isinstance(arrow, pa.JsonType):
        return "json"
    if pa.types.is_timestamp(arrow):
        return "timestamp" if arrow.tz is None else "instant"
    if pa.types.is_fixed_size_binary(arrow):
        return "binary16" if arrow.byte_width == 16 else "binary"
    for kind, test in _KINDS:
        if test(arrow):
            return kind
    return str(arrow)


def _is_text(arrow: pa.DataType) -> bool:
    return bool(pa.types.is_string(arrow) or pa.types.is_large_string(arrow) or pa.types.is_string_view(arrow))


def _is_binary(arrow: pa.DataType) -> bool:
    return bool(pa.types.is_binary(arrow) or pa.types.is_large_binary(arrow) or pa.types.is_binary_view(arrow))


def _is_list(arrow: pa.DataType) -> bool:
    types = pa.types
    tests = (types.is_list, types.is_large_list, types.is_fixed_size_list)
    views = (types.is_list_view, types.is_large_list_view)
    return any(test(arrow) for test in tests + views)


_KINDS = (
    ("bool", pa.types.is_boolean),
    ("int", pa.types.is_integer),
    # every float16 is a float32
    ("float32", lambda arrow: pa.types.is_float16(arrow) or pa.types.is_float32(arrow)),
    ("float64", pa.types.is_float64),
    ("decimal", pa.types.is_decimal),
    ("text", _is_text),
    ("binary", _is_binary),
    ("date", pa.types.is_date),
    ("time", pa.types.is_time),
    ("list", _is_list),
    ("dictionary", pa.types.is_dictionary),
    ("null", pa.types.is_null),
)


def cast_to_pg(arrow: pa.DataType, pg: PgType) -> Cast | None:
    """Choose how values of `arrow` go into a column of type `pg`; None where the pair is refused."""
    kind = arrow_kind(arrow)
    if kind == "null":
        return Cast("null", arrow, pg)
    if kind == "dictionary":
        values = cast_to_pg(arrow.value_type, pg)
        # the wrapper is bound to the array of indices
        return values and Cast("dictionary", arrow, pg, (values,))
    if kind == "list" and pg.element is not None:
        elements = cast_to_pg(arrow.value_type, replace(pg.element, typmod=pg.typmod))
        return elements and Cast("array", arrow, pg, (elements,))
    encoder = _ENCODERS.get((kind, pg.codec))
    return Cast(encoder, arrow, pg) if encoder else None


def cast_from_pg(pg: PgType) -> Cast:
    """Choose the Arrow type and the decoder for a column of type `pg`."""
    if pg.codec == ARRAY and pg.element is not None:
        elements = cast_from_pg(replace(pg.element, typmod=pg.typmod))
        return Cast("array", pa.list_(elements.arrow), pg, (elements,))
    if pg.codec == "numeric":
        return _numeric_from_pg(pg)
    decoder, arrow = _FROM_PG[pg.codec]
    return Cast(decoder, arrow, pg)


# codec: name of the decoder, Arrow type
_FROM_PG = {
    "bool": ("bool", pa.bool_()),
    "int2": ("int2", pa.int16()),
    "int4": ("int4", pa.int32()),
    "int8": ("int8", pa.int64()),
    "float4": ("float4", pa.float32()),
    "float8": ("float8", pa.float64()),
    "text": ("text", pa.string()),
    "bytea": ("bytea", pa.binary()),
    "json": ("json", pa.json_()),
    "jsonb": ("jsonb", pa.json_()),
    "uuid": ("uuid", pa.uuid()),
    "date": ("date", pa.date32()),
    "time": ("time", pa.time64("us")),
    "timestamp": ("timestamp", pa.timestamp("us")),
    "timestamptz": ("timestamp", pa.timestamp("us", "UTC")),
}


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


def pg_type_for(arrow: pa.DataType) -> PgType | None:
    """Choose the type that a new table's column gets for `arrow`; None where there is none."""
    kind = arrow_kind(arrow)
    if kind == "int":
        return _integer_for(arrow)
    if kind == "decimal":
        return _numeric_for(arrow)
    if kind == "dictionary":
        return pg_type_for(arrow.value_type)
    if kind == "list":
        element = pg_type_for(arrow.value_type)
        return array_of(element) if element is not None and element.codec != ARRAY else None
    name = _NEW_COLUMN.get(kind)
    return base_type(name) if name else None


_NEW_COLUMN = {
    "bool": "bool",
    "float32": "float4",
    "float64": "float8",
    "text": "text",
    "json": "json",
    "binary": "bytea",
    "binary16": "bytea",
    "uuid": "uuid",
    "date": "date",
    "time": "time",
    "timestamp": "timestamp",
    "instant": "timestamptz",
    "null": "text",
}


def _integer_for(arrow: pa.DataType) -> PgType:
    """Choose the smallest integer that holds the whole range; numeric(20,0) for uint64."""
    bits = arrow.bit_width + (0 if pa.types.is_signed_integer(arrow) else 1)
    if bits > 64:
        return base_type("numeric", _numeric_typmod(20, 0))
    return base_type("int2" if bits <= 16 else "int4" if bits <= 32 else "int8")


def _numeric_for(arrow: pa.DataType) -> PgType:
    """Choose numeric(p,s), in the form that every PostgreSQL version takes: no negative scale."""
    precision, scale = arrow.precision, arrow.scale
    if scale < 0:
        precision, scale = precision - scale, 0
    return base_type("numeric", _numeric_typmod(max(precision, scale), scale))


def _numeric_typmod(precision: int, scale: int) -> int:
    return ((precision << 16) | (scale & 0x7FF)) + 4
