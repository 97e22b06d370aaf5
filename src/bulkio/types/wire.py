"""PostgreSQL -> Arrow once more, with nothing translated: each value as its binary form has it.

Dates and times are PostgreSQL's own integers, an interval is its three, money is a count of its smallest unit, PostGIS
is EWKB; numeric, enums and json are text. Every value that a column can have fits, infinities and 24:00 too. The
methods `csv` and `records` start from this form.
"""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa

from bulkio.types.casts import INTERVAL_STRUCT, Cast, parent_of, with_policies
from bulkio.types.from_pg import cast_from_pg
from bulkio.types.pgtypes import ARRAY, SERVER_TEXT
from bulkio.types.policies import Policies

__all__ = ["wire_cast"]

#: name of the decoder and the Arrow type, by the codec of the PostgreSQL type
_OF_WIRE = {
    "date": ("int4", pa.int32()),
    "time": ("int8", pa.int64()),
    "timestamp": ("int8", pa.int64()),
    "timestamptz": ("int8", pa.int64()),
    "money": ("int8", pa.int64()),
    "interval": ("interval_struct", INTERVAL_STRUCT),
    "numeric": ("numeric_text", pa.string()),
    "enum": ("text", pa.string()),
    "json": ("text", pa.string()),
    "jsonb": ("jsonb", pa.string()),
    "uuid": ("uuid", pa.binary(16)),
    "geometry": ("bytea", pa.binary()),
    "geography": ("bytea", pa.binary()),
}

#: codecs of types that `from_pg` does not translate either
_AS_FROM_PG = frozenset(
    {
        *("bool", "int2", "int4", "int8", "uint4", "uint8", "float4", "float8", "text", SERVER_TEXT, "bytea"),
        *("timetz", "inet", "macaddr", "macaddr8", "bit", "pg_lsn", "versioned_text"),
        *("point", "hstore", "vector", "halfvec"),
    }
)

_NESTED = (ARRAY, "composite", "range", "multirange")


#: policies for the wire's own types: infinite intervals, which have no integers of their own, come as the extremes
_POLICIES = Policies(infinity="sentinel")


def wire_cast(how: Cast) -> Cast:
    """Return the cast that decodes what `how`, a load's, has encoded."""
    return with_policies(_wire(how), _POLICIES)


def _wire(how: Cast) -> Cast:
    if how.codec == "dictionary":
        return _wire(how.children[0])
    if how.codec == "null":
        return _wire(cast_from_pg(how.pg))
    if how.codec == SERVER_TEXT:
        return Cast("text", pa.string(), how.pg)
    if how.codec in _NESTED:
        return parent_of(how, [_wire(child) for child in how.children])
    if how.pg.codec in _AS_FROM_PG:
        return cast_from_pg(replace(how.pg, typmod=-1))
    return Cast(*_OF_WIRE[how.pg.codec], how.pg)
