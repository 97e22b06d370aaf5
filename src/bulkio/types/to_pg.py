"""Arrow -> PostgreSQL: which codec takes an Arrow type into a column, and which column a new table gets.

A pair that is not here is refused before a byte is sent. Each codec that is named is exact, or checks every value.
"""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa

from bulkio.types.casts import (
    INTERVAL_STRUCT,
    NESTED_JSON,
    PREPARED,
    RANGE_FIELDS,
    RUN_ENDS,
    Cast,
    arrow_kind,
    with_policies,
    without_opaque,
)
from bulkio.types.pgtypes import ARRAY, SERVER_TEXT, PgType, array_of, base_type, numeric_typmod
from bulkio.types.policies import STRICT, Policies

__all__ = ["cast_to_pg", "pg_type_for"]

# the Arrow type of what a text has inside
_PART = pa.large_string()

_INTEGERS = ("int2", "int4", "int8")
_FLOATS = ("float4", "float8")
_TEXTS = ("text", "json")

# (kind of the Arrow type, the PostgreSQL types' codecs): name of the encoder
_PAIRS: dict[tuple[str, tuple[str, ...]], str] = {
    ("bool", ("bool",)): "bool",
    ("bool8", ("bool",)): "bool8",
    ("int", (*_INTEGERS, "uint4", "uint8")): "int",
    ("int", _FLOATS): "int_to_float",
    ("int", ("numeric",)): "int_to_numeric",
    ("float32", _FLOATS): "float",
    ("float64", ("float8",)): "float",
    ("float32", _INTEGERS): "float_to_int",
    ("float64", _INTEGERS): "float_to_int",
    ("decimal", ("numeric",)): "decimal",
    ("decimal", _INTEGERS): "decimal_to_int",
    ("decimal", ("money",)): "decimal_to_money",
    ("text", _TEXTS): "text",
    ("text", ("jsonb",)): "jsonb",
    ("text", (*_INTEGERS, "uint4", "uint8")): "text_to_int",
    ("text", _FLOATS): "text_to_float",
    ("text", ("numeric",)): "text_to_numeric",
    ("text", ("enum",)): "enum",
    ("text", ("uuid",)): "text_to_uuid",
    ("text", ("inet",)): "inet",
    ("text", ("macaddr", "macaddr8")): "macaddr",
    ("text", ("bit",)): "bit",
    ("text", ("timetz",)): "timetz",
    ("text", ("pg_lsn",)): "pg_lsn",
    ("text", ("versioned_text",)): "versioned_text",
    ("json", _TEXTS): "text",
    ("json", ("jsonb",)): "jsonb",
    ("binary", ("bytea",)): "bytes",
    ("binary", ("geometry", "geography")): "geometry",
    ("binary16", ("bytea",)): "bytes",
    ("binary16", ("uuid",)): "uuid",
    ("uuid", ("uuid",)): "uuid",
    ("date", ("date",)): "date",
    ("date", ("timestamp",)): "date_to_timestamp",
    ("time", ("time",)): "time",
    ("timestamp", ("timestamp",)): "timestamp",
    ("instant", ("timestamptz",)): "timestamp",
    ("interval", ("interval",)): "interval",
    ("duration", ("interval",)): "duration",
}

#: names of encoders, by (kind of the Arrow type, codec of the PostgreSQL type)
_Pairs = dict[tuple[str, str], str]

_ENCODERS: _Pairs = {(kind, codec): encoder for (kind, codecs), encoder in _PAIRS.items() for codec in codecs}


# pairs that may lose something, for `allow_lossy` alone
_LOSSY: _Pairs = {
    ("float64", "float4"): "float",
    ("float64", "numeric"): "float_to_numeric",
    ("float32", "numeric"): "float_to_numeric",
}


#: decimal places of money in the C locale, in which the server reads text
PLAIN_MONEY_SCALE = 2

#: scales that PostgreSQL's numeric can have (NUMERIC_MAX_PRECISION of src/include/utils/numeric.h)
_SCALES = range(-1000, 1001)


def cast_to_pg(arrow: pa.DataType, pg: PgType, policies: Policies = STRICT) -> Cast | None:
    """Choose how values of `arrow` go into a column of type `pg`; None where the pair is refused.

    Strings go into every type: where bulkio has no parser, the server's own reads them.
    """
    how = _cast(arrow, pg, _ENCODERS | _LOSSY if policies.allow_lossy else _ENCODERS)
    if how is None or any(_is_prepared(child) for child in how.children):
        return None
    if how.needs_server and pg.codec == "money" and pg.money_scale != PLAIN_MONEY_SCALE:
        return None  # the server would take yen for cents
    return with_policies(how, policies)


def _is_prepared(how: Cast) -> bool:
    return how.codec in PREPARED or any(_is_prepared(child) for child in how.children)


def _cast(arrow: pa.DataType, pg: PgType, pairs: _Pairs) -> Cast | None:
    arrow = without_opaque(arrow)
    kind = arrow_kind(arrow)
    if kind == "null":
        return Cast("null", arrow, pg)
    if kind == "run_ends":
        values = _cast(pa.dictionary(pa.int64(), arrow.value_type), pg, pairs)
        return values and Cast(RUN_ENDS, arrow, pg, (values,))
    if kind == "dictionary":
        values = _cast(arrow.value_type, pg, pairs)
        # the wrapper is bound to the array of indices
        return values and Cast("dictionary", arrow, pg, (values,))
    nested = _NESTED.get((kind, pg.codec))
    if nested is not None:
        return nested(arrow, pg, pairs)
    if kind == "decimal" and arrow.scale not in _SCALES:
        return None
    if kind == "text":
        return _from_text(pg, arrow)
    encoder = pairs.get((kind, pg.codec))
    return Cast(encoder, arrow, pg) if encoder else None


def _parts_of_text(pg: PgType) -> tuple[Cast, ...]:
    """Return the casts by which the parts of a text are checked: what would encode each as a column of its own."""
    if pg.codec in ("geometry", "geography"):  # EWKB in hexadecimal digits, coordinates
        return Cast("geometry", pa.large_binary(), pg), _from_text(base_type("float8"))
    if pg.codec == SERVER_TEXT and pg.base_name in ("cid", "oidvector"):
        return (_from_text(base_type("oid")),)
    if pg.fields:
        return tuple(_from_text(field) for _, field in pg.fields)
    return () if pg.element is None else (_from_text(pg.item),)


def _from_text(pg: PgType, arrow: pa.DataType = _PART) -> Cast:
    """Choose how strings go into any type: where bulkio has no parser, the server's own reads them."""
    encoder = _ENCODERS.get(("text", pg.codec))
    return Cast(encoder, arrow, pg) if encoder else Cast(SERVER_TEXT, arrow, pg, _parts_of_text(pg))


def _list_to_array(arrow: pa.DataType, pg: PgType, pairs: _Pairs) -> Cast | None:
    """Let a list of lists go into an array of as many dimensions as the user declared."""
    inner = without_opaque(arrow.value_type)
    if pg.dimensions > 1:
        rest = replace(pg, dimensions=pg.dimensions - 1)
        lists = _list_to_array(inner, rest, pairs) if arrow_kind(inner) == "list" else None
        return lists and Cast(ARRAY, arrow, pg, (lists,))
    elements = _cast(inner, pg.item, pairs)
    return elements and Cast(ARRAY, arrow, pg, (elements,))


def _struct_to_composite(arrow: pa.DataType, pg: PgType, pairs: _Pairs) -> Cast | None:
    """Fields go by name: what the struct does not have is NULL, what the composite does not have is refused."""
    names = [field.name for field in arrow]
    if len(set(names)) != len(names) or not set(names) <= {name for name, _ in pg.fields}:
        return None
    children = []
    for name, field in pg.fields:
        child = _cast(arrow.field(name).type if name in names else pa.null(), field, pairs)
        if child is None:
            return None
        children.append(child)
    return Cast("composite", arrow, pg, tuple(children))


def _struct_to_range(arrow: pa.DataType, pg: PgType, pairs: _Pairs) -> Cast | None:
    """Take the five fields of `range_struct`, in their order."""
    names = [field.name for field in arrow]
    if names != RANGE_FIELDS or not all(pa.types.is_boolean(arrow.field(name).type) for name in names[2:]):
        return None
    lower, upper = (_cast(arrow.field(name).type, pg.item, pairs) for name in names[:2])
    return Cast("range", arrow, pg, (lower, upper)) if lower and upper else None


def _list_to_multirange(arrow: pa.DataType, pg: PgType, pairs: _Pairs) -> Cast | None:
    ranges = _cast(arrow.value_type, pg.item, pairs)
    return ranges and Cast("multirange", arrow, pg, (ranges,))


def _struct_to_point(arrow: pa.DataType, pg: PgType, _: _Pairs) -> Cast | None:
    fits = [(f.name, f.type) for f in arrow] == [("x", pa.float64()), ("y", pa.float64())]
    return Cast("point", arrow, pg) if fits else None


def _struct_to_interval(arrow: pa.DataType, pg: PgType, _: _Pairs) -> Cast | None:
    fits = [(f.name, f.type) for f in arrow] == [(f.name, f.type) for f in INTERVAL_STRUCT]
    return Cast("interval_struct", arrow, pg) if fits else None


def _map_to_hstore(arrow: pa.DataType, pg: PgType, pairs: _Pairs) -> Cast | None:
    keys, items = (_cast(part, base_type("text"), pairs) for part in (arrow.key_type, arrow.item_type))
    if not keys or not items or not {keys.codec, items.codec} <= {"text", "dictionary", "null"}:
        return None
    return Cast("hstore", arrow, pg, (keys, items))


def _list_to_vector(arrow: pa.DataType, pg: PgType, _: _Pairs) -> Cast | None:
    """Elements widen, never narrow; the number of dimensions is checked cell by cell."""
    elements = _cast(arrow.value_type, base_type("float4"), _ENCODERS)
    narrow = pg.codec == "halfvec" and not pa.types.is_float16(arrow.value_type)
    if elements is None or elements.codec != "float" or narrow:
        return None
    return Cast(pg.codec, arrow, pg, (elements,))


def _nested_to_json(arrow: pa.DataType, pg: PgType, pairs: _Pairs) -> Cast | None:
    text = _cast(pa.large_string(), pg, pairs)
    return text and Cast(NESTED_JSON, arrow, pg, (text,))


def _to_parts(arrow: pa.DataType, pg: PgType, pairs: _Pairs) -> Cast | None:
    """Let a list or a struct go into an array or a composite of which the server has to parse some part."""
    if arrow_kind(arrow) == "list":
        return _list_to_array(arrow, pg, pairs) if pg.element is not None else None
    return _struct_to_composite(arrow, pg, pairs) if pg.fields else None


_NESTED = {
    ("list", "json"): _nested_to_json,
    ("list", "jsonb"): _nested_to_json,
    ("struct", "json"): _nested_to_json,
    ("struct", "jsonb"): _nested_to_json,
    ("map", "json"): _nested_to_json,
    ("map", "jsonb"): _nested_to_json,
    ("union", "json"): _nested_to_json,
    ("union", "jsonb"): _nested_to_json,
    ("list", ARRAY): _list_to_array,
    ("list", "multirange"): _list_to_multirange,
    ("list", "vector"): _list_to_vector,
    ("list", "halfvec"): _list_to_vector,
    ("struct", "composite"): _struct_to_composite,
    ("list", SERVER_TEXT): _to_parts,
    ("struct", SERVER_TEXT): _to_parts,
    ("struct", "range"): _struct_to_range,
    ("struct", "point"): _struct_to_point,
    ("struct", "interval"): _struct_to_interval,
    ("map", "hstore"): _map_to_hstore,
}


def pg_type_for(arrow: pa.DataType, dimensions: int = 1) -> PgType | None:
    """Choose the type that a new table's column gets for `arrow`; None where there is none.

    Lists of lists become jsonb, or an array of as many dimensions as the user declared. Unions become jsonb only where
    a user asks for it, because that does not tell which of its types a value had.
    """
    if _has_union(arrow):
        return None
    arrow = without_opaque(arrow)
    kind = arrow_kind(arrow)
    if kind == "int":
        return _integer_for(arrow)
    if kind == "decimal":
        return _numeric_for(arrow) if arrow.scale in _SCALES else None
    if kind in ("dictionary", "run_ends"):
        return pg_type_for(arrow.value_type)
    if kind == "list":
        return _array_for(arrow, dimensions)
    name = _NEW_COLUMN.get(kind)
    return base_type(name) if name else None


def _has_union(arrow: pa.DataType) -> bool:
    return pa.types.is_union(arrow) or any(_has_union(arrow.field(i).type) for i in range(arrow.num_fields))


def _array_for(arrow: pa.DataType, dimensions: int) -> PgType | None:
    inner = arrow
    for _ in range(dimensions):
        if arrow_kind(inner) != "list":
            return None
        inner = without_opaque(inner.value_type)
    if arrow_kind(inner) in ("list", "struct", "map"):
        return base_type("jsonb")
    element = pg_type_for(inner)
    return None if element is None else replace(array_of(element), dimensions=dimensions)


_NEW_COLUMN = {
    "bool": "bool",
    "bool8": "bool",
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
    "interval": "interval",
    "duration": "interval",
    "struct": "jsonb",
    "map": "jsonb",
    "null": "text",
}


def _integer_for(arrow: pa.DataType) -> PgType:
    """Choose the smallest integer that holds the whole range; numeric(20,0) for uint64."""
    bits = arrow.bit_width + (0 if pa.types.is_signed_integer(arrow) else 1)
    if bits > 64:
        return base_type("numeric", numeric_typmod(20, 0))
    return base_type("int2" if bits <= 16 else "int4" if bits <= 32 else "int8")


def _numeric_for(arrow: pa.DataType) -> PgType:
    """Choose numeric(p,s), in the form that every PostgreSQL version takes: no negative scale."""
    precision, scale = arrow.precision, arrow.scale
    if scale < 0:
        precision, scale = precision - scale, 0
    return base_type("numeric", numeric_typmod(max(precision, scale), scale))
