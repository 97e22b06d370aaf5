"""Measure the codec type by type: nanoseconds of CPU time a value, Arrow to COPY BINARY and back.

    python benchmarks/codec_types.py

One column of 100,000 values for each PostgreSQL type that has a codec, in the Arrow type that an export gives.
"""

from __future__ import annotations

import uuid
from dataclasses import replace
from decimal import Decimal
from random import Random

import pyarrow as pa
from codec import measure

from bulkio.types import PgType, array_of, base_type, cast_from_pg, numeric_typmod
from bulkio.types.pgtypes import EXTENSION_CODECS

ROWS = 100_000
RANDOM = Random(5)
INT4, TEXT, DATE = base_type("int4"), base_type("text"), base_type("date")


def made(name: str, codec: str, **more: object) -> PgType:
    """Return a type as a database makes it itself."""
    return replace(PgType(name, 50_000, 50_001, codec, "public"), **more)  # type: ignore[arg-type]


def point_wkb() -> bytes:
    """Return POINT(1 2) as little-endian WKB."""
    return bytes.fromhex("0101000000000000000000f03f0000000000000040")


RANGE = made("int4range", "range", element=INT4)
SPAN = {"lower": 1, "upper": 9, "lower_inc": True, "upper_inc": False, "empty": False}
NUMERIC = base_type("numeric")

#: (PostgreSQL type, a maker of its values in the Arrow type of an export)
TYPES = [
    (base_type("bool"), lambda: RANDOM.random() < 0.5),
    *((base_type(name), lambda: RANDOM.getrandbits(14)) for name in ("int2", "int4", "int8", "oid", "xid", "xid8")),
    (base_type("float4"), RANDOM.random),
    (base_type("float8"), RANDOM.random),
    (base_type("numeric", numeric_typmod(15, 2)), lambda: Decimal(RANDOM.getrandbits(30)).scaleb(-2)),
    (base_type("numeric", numeric_typmod(60, 10)), lambda: Decimal(RANDOM.getrandbits(120)).scaleb(-10)),
    (NUMERIC, lambda: f"{RANDOM.getrandbits(30)}.{RANDOM.getrandbits(10)}"),
    (base_type("money"), lambda: Decimal(RANDOM.getrandbits(30)).scaleb(-2)),
    *((base_type(name), lambda: f"value {RANDOM.getrandbits(20)}") for name in ("text", "varchar", "bpchar", "name")),
    (base_type("bytea"), lambda: RANDOM.randbytes(12)),
    (base_type("json"), lambda: f'{{"a": {RANDOM.getrandbits(20)}}}'),
    (base_type("jsonb"), lambda: f'{{"a": {RANDOM.getrandbits(20)}}}'),
    (base_type("uuid"), lambda: uuid.UUID(int=RANDOM.getrandbits(128)).bytes),
    (DATE, lambda: RANDOM.getrandbits(14)),
    (base_type("time"), lambda: RANDOM.getrandbits(36)),
    (base_type("timetz"), lambda: f"12:34:{RANDOM.randrange(60):02}.789+02"),
    (base_type("timestamp"), lambda: RANDOM.getrandbits(50)),
    (base_type("timestamptz"), lambda: RANDOM.getrandbits(50)),
    (base_type("interval"), lambda: (1, 2, 1000 * RANDOM.getrandbits(40))),
    (base_type("inet"), lambda: f"10.{RANDOM.randrange(256)}.3.4"),
    (base_type("cidr"), lambda: f"10.{RANDOM.randrange(256)}.0.0/16"),
    (base_type("macaddr"), lambda: f"08:00:2b:01:02:{RANDOM.randrange(256):02x}"),
    (base_type("macaddr8"), lambda: f"08:00:2b:01:02:03:04:{RANDOM.randrange(256):02x}"),
    (base_type("bit", 8), lambda: f"{RANDOM.getrandbits(8):08b}"),
    (base_type("varbit"), lambda: f"{RANDOM.getrandbits(12):b}"),
    (base_type("pg_lsn"), lambda: f"16/{RANDOM.getrandbits(32):X}"),
    (base_type("jsonpath"), lambda: "$.a[*]"),
    (base_type("point"), lambda: {"x": RANDOM.random(), "y": 2.5}),
    (made("mood", "enum", labels=("sad", "ok", "happy")), lambda: RANDOM.choice(("sad", "ok", "happy"))),
    (array_of(INT4), lambda: [RANDOM.getrandbits(20) for _ in range(4)]),
    (array_of(TEXT), lambda: [f"tag{RANDOM.randrange(99)}" for _ in range(4)]),
    (made("pair", "composite", fields=(("a", INT4), ("b", TEXT))), lambda: {"a": RANDOM.getrandbits(20), "b": "x"}),
    (RANGE, lambda: SPAN),
    (made("int4multirange", "multirange", element=RANGE), lambda: [SPAN, SPAN]),
    (made("hstore", "hstore"), lambda: [("a", "1"), ("b", None)]),
    (made("citext", EXTENSION_CODECS["citext", "citext"]), lambda: f"value {RANDOM.getrandbits(20)}"),
    (made("ltree", EXTENSION_CODECS["ltree", "ltree"]), lambda: "Top.Science"),
    (made("vector", "vector", typmod=8), lambda: [RANDOM.random() for _ in range(8)]),
    (made("geometry", "geometry"), point_wkb),
]


def column(pg: PgType, values: list[object]) -> pa.Array:
    """Make the column in the Arrow type of an export."""
    arrow = cast_from_pg(pg).arrow
    if isinstance(arrow, pa.BaseExtensionType):
        return pa.ExtensionArray.from_storage(arrow, pa.array(values, arrow.storage_type))
    if pa.types.is_time(arrow) or pa.types.is_timestamp(arrow):
        return pa.array(values, pa.int64()).cast(arrow)
    return pa.array(values, arrow)


def main() -> None:
    """Measure every type and print the figures."""
    print(f"{'type':28} {'bytes':>6} {'encode ns':>10} {'decode ns':>10} {'encode GB/s':>12} {'decode GB/s':>12}")
    for pg, make in TYPES:
        line = measure(pa.table({"c": column(pg, [make() for _ in range(ROWS)])}), [pg])
        print(
            f"{pg.sql.replace(chr(34), ''):28} {line['copy_bytes'] / ROWS:6.1f}"
            f" {1e3 * line['encode_s_per_million_rows']:10.0f} {1e3 * line['decode_s_per_million_rows']:10.0f}"
            f" {line['encode_gb_per_s']:12.2f} {line['decode_gb_per_s']:12.2f}"
        )


if __name__ == "__main__":
    main()
