"""A cast: how one node of a column's type is converted between Arrow and PostgreSQL. Families of Arrow types."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pyarrow as pa

from bulkio.types.arrow_json import is_json
from bulkio.types.charsets import UTF8, Charset
from bulkio.types.pgtypes import SERVER_TEXT
from bulkio.types.policies import STRICT, Policies

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bulkio.types.pgtypes import PgType

__all__ = [
    "INTERVAL_STRUCT",
    "NESTED_JSON",
    "PREPARED",
    "RANGE_FIELDS",
    "RUN_ENDS",
    "Cast",
    "arrow_kind",
    "parent_of",
    "range_struct",
    "with_charset",
    "with_policies",
    "without_opaque",
]


#: The codec name of nested values that become JSON text first (`bulkio.forms.json_text`); its child takes the text.
NESTED_JSON = "nested_json"

#: The codec name of run-end encoded columns, which become dictionaries first; the child takes those.
RUN_ENDS = "run_ends"

#: Codecs of columns that the loader converts as a whole before a codec sees them; only at the top, not inside nested
#: types.
PREPARED = frozenset({NESTED_JSON, RUN_ENDS})


@dataclass(frozen=True, slots=True)
class Cast:
    """How one node of a column's type is converted: the codec class's name, both types, and the nodes below."""

    codec: str
    arrow: pa.DataType
    pg: PgType
    children: tuple[Cast, ...] = ()
    policies: Policies = STRICT
    #: the database's encoding
    charset: Charset = UTF8

    @property
    def needs_server(self) -> bool:
        """Tell whether the server has to parse the values: then the load travels as text."""
        return self.codec == SERVER_TEXT or any(child.needs_server for child in self.children)


def without_opaque(arrow: pa.DataType) -> pa.DataType:
    """Return what an arrow.opaque is stored as: its values have that layout, and nothing more is known of them."""
    return without_opaque(arrow.storage_type) if isinstance(arrow, pa.OpaqueType) else arrow


def arrow_kind(arrow: pa.DataType) -> str:
    """Return the family of an Arrow type that the table of pairs speaks of; the type's own text where it has none."""
    if isinstance(arrow, pa.UuidType):
        return "uuid"
    if is_json(arrow):
        return "json"
    if isinstance(arrow, pa.Bool8Type):
        return "bool8"
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
    ("struct", pa.types.is_struct),
    ("map", pa.types.is_map),
    ("union", pa.types.is_union),
    # pyarrow has no names for the other two, but takes them from other libraries
    ("interval", lambda arrow: pa.types.is_interval(arrow) or str(arrow) in ("month_interval", "day_time_interval")),
    ("duration", pa.types.is_duration),
    ("null", pa.types.is_null),
    ("run_ends", pa.types.is_run_end_encoded),
)


RANGE_FIELDS = ["lower", "upper", "lower_inc", "upper_inc", "empty"]

#: The type of an interval in Parquet, which cannot hold month_day_nano.
INTERVAL_STRUCT = pa.struct([("months", pa.int32()), ("days", pa.int32()), ("microseconds", pa.int64())])


def with_policies(how: Cast, policies: Policies) -> Cast:
    """Return the same cast, and all below it, under the user's policies."""
    children = tuple(with_policies(child, policies) for child in how.children)
    return replace(how, children=children, policies=policies)


def parent_of(how: Cast, children: Sequence[Cast]) -> Cast:
    """Return the same node, of a cast from PostgreSQL, over other children; its Arrow type follows from theirs."""
    if how.codec == "composite":
        names = [name for name, _ in how.pg.fields]
        arrow = pa.struct(list(zip(names, (child.arrow for child in children), strict=True)))
    elif how.codec == "range":
        arrow = range_struct(children[0].arrow, children[1].arrow)
    else:  # an array, a multirange
        arrow = pa.list_(children[0].arrow)
    return replace(how, arrow=arrow, children=tuple(children))


def range_struct(lower: pa.DataType, upper: pa.DataType | None = None) -> pa.DataType:
    """Return the struct that a range becomes. An infinite bound is null; an empty range has no bounds."""
    return pa.struct(list(zip(RANGE_FIELDS, (lower, upper or lower, *[pa.bool_()] * 3), strict=True)))


def with_charset(how: Cast, charset: Charset) -> Cast:
    """Return the same cast, and all below it, for a database that keeps this encoding."""
    return replace(how, charset=charset, children=tuple(with_charset(child, charset) for child in how.children))
