"""Edge values of the types whose round trips stand in files of their own, for the fuzzer: one case for each."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from bulkio.types import INTERVAL_STRUCT, PgType, base_type
from older_pyarrow import halves

if TYPE_CHECKING:
    from collections.abc import Sequence

    Value = object

_POINT = pa.struct([("x", pa.float64()), ("y", pa.float64())])
_WKB = struct.pack("<BIdd", 1, 1, 1.5, -2.5)
_EWKB = struct.pack("<BIIdd", 1, 0x20000001, 4326, 1.5, -2.5)
_LINE = struct.pack("<BIIdddd", 1, 2, 2, 0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True)
class Edges:
    """One pair of types, and values at their edges."""

    arrow: pa.DataType
    pg: PgType
    edges: tuple[Value, ...]

    def edge_rows(self) -> list[Value]:
        """Return the values, and NULL."""
        return [*self.edges, None]

    def array(self, values: Sequence[Value]) -> pa.Array:
        """Make an Arrow array of some of them."""
        half = pa.types.is_list(self.arrow) or pa.types.is_fixed_size_list(self.arrow)
        if half and self.arrow.value_type == pa.float16():
            return halves(values, self.arrow)
        return pa.array(values, self.arrow)


def _made(name: str, codec: str, typmod: int = -1) -> PgType:
    return PgType(name, 90000, 90001, codec, "public", typmod)


ALL = (
    Edges(
        pa.string(), base_type("inet"), ("0.0.0.0/0", "255.255.255.255", "::", "1:2:3:4:5:6:7:8/64", "::ffff:1.2.3.4")
    ),
    Edges(pa.string(), base_type("cidr"), ("10.0.0.0/8", "::/0", "2001:db8::/32")),
    Edges(pa.string(), base_type("macaddr"), ("00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff")),
    Edges(pa.string(), base_type("macaddr8"), ("00:00:00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff:ff:ff")),
    Edges(pa.string(), base_type("bit", 3), ("000", "111", "101")),
    Edges(pa.string(), base_type("varbit"), ("", "1", "10101010", "1" * 65)),
    Edges(pa.string(), base_type("pg_lsn"), ("0/0", "FFFFFFFF/FFFFFFFF")),
    Edges(pa.string(), base_type("jsonpath"), ("$", "$.a[*]")),
    Edges(pa.string(), base_type("timetz"), ("00:00:00+00", "24:00:00-15:59:59", "12:34:56.789+02")),
    Edges(pa.month_day_nano_interval(), base_type("interval"), ((0, 0, 0), (-1, 2, 3000), (2**31 - 1, -(2**31), 1000))),
    Edges(INTERVAL_STRUCT, base_type("interval"), ({"months": 1, "days": -1, "microseconds": -(10**12)},)),
    Edges(pa.decimal128(19, 2), base_type("money"), (0, 1, -1)),
    Edges(pa.uint32(), base_type("oid"), (0, 2**32 - 1)),
    Edges(pa.uint64(), base_type("xid8"), (0, 2**63, 2**64 - 1)),
    Edges(_POINT, base_type("point"), ({"x": 0.0, "y": float("inf")}, {"x": -0.0, "y": 1e300})),
    Edges(
        pa.map_(pa.string(), pa.string()), _made("hstore", "hstore"), ([], [("a", None), ("", "b")], [("é", "x" * 40)])
    ),
    Edges(pa.list_(pa.float32(), 3), _made("vector", "vector", 3), ([1.0, 2.0, -0.0], [0.0, 0.0, 1e38])),
    Edges(pa.list_(pa.float32()), _made("vector", "vector"), ([1.0], [1.0] * 20)),
    Edges(pa.list_(pa.float16(), 2), _made("halfvec", "halfvec", 2), ([1.0, -2.0], [0.0, 65504.0])),
    Edges(pa.binary(), _made("geometry", "geometry"), (_WKB, _LINE)),
    Edges(pa.binary(), _made("geometry", "geometry", 4326 << 8), (_WKB, _LINE)),
    Edges(pa.binary(), _made("geography", "geography"), (_EWKB,)),
)
