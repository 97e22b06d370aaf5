"""Measure the codec alone: Arrow to COPY BINARY and back, on one core, without a server or a socket.

    python benchmarks/codec.py [lineitem.parquet] [--json]

Speeds are bytes of COPY BINARY per second of CPU time, the best of several rounds after a warm-up; CPU time, so that
other work on the machine counts for less.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from bulkio.pgcopy import Decoder, Encoder, Field
from bulkio.types import Cast, PgType, cast_from_pg, cast_to_pg, pg_type_for

if TYPE_CHECKING:
    from collections.abc import Sequence

SAMPLE = Path(__file__).parents[1] / "sample_data" / "lineitem.parquet"
ROUNDS = 7
BATCH_ROWS = 8192
LINEITEM_ROWS = 500_000
CHUNK_BYTES = 1 << 20


def lineitem(path: Path) -> pa.Table:
    """Read the first rows of TPC-H's lineitem."""
    batches = []
    rows = 0
    for batch in pq.ParquetFile(path).iter_batches(BATCH_ROWS):
        batches.append(batch)
        rows += batch.num_rows
        if rows >= LINEITEM_ROWS:
            break
    return pa.Table.from_batches(batches)


def null_heavy(rows: int = 200_000) -> pa.Table:
    """Make 20 columns of five types in which nine values of ten are NULL."""
    random = Random(1)
    columns = {}
    for index in range(20):
        kind = (pa.int64(), pa.float64(), pa.string(), pa.timestamp("us"), pa.bool_())[index % 5]
        values = [_value(kind, random) if random.random() < 0.1 else None for _ in range(rows)]
        columns[f"c{index}"] = pa.array(values, kind)
    return pa.table(columns)


def string_heavy(rows: int = 100_000) -> pa.Table:
    """Make 4 columns of strings of up to 200 characters, some beyond ASCII."""
    random = Random(2)
    words = ["copy", "arrow", "batch", "Zürich", "データ", "naïve", "row"]
    columns = {
        f"c{index}": pa.array(" ".join(random.choices(words, k=random.randint(0, 30))) for _ in range(rows))
        for index in range(4)
    }
    return pa.table(columns)


def nested(rows: int = 100_000) -> pa.Table:
    """Make lists of integers and of strings, of up to 20 elements."""
    random = Random(3)
    integers = [[random.getrandbits(31) for _ in range(random.randint(0, 20))] for _ in range(rows)]
    strings = [[f"tag{random.randint(0, 99)}" for _ in range(random.randint(0, 20))] for _ in range(rows)]
    return pa.table({"integers": pa.array(integers, pa.list_(pa.int64())), "strings": pa.array(strings)})


def wide(rows: int = 30_000) -> pa.Table:
    """Make 100 columns of numbers, times and short strings."""
    random = Random(4)
    kinds = (pa.int32(), pa.int64(), pa.float64(), pa.string(), pa.date32())
    return pa.table(
        {f"c{i}": pa.array((_value(kinds[i % 5], random) for _ in range(rows)), kinds[i % 5]) for i in range(100)}
    )


def _value(kind: pa.DataType, random: Random) -> object:
    if pa.types.is_floating(kind):
        return random.random()
    if pa.types.is_string(kind):
        return f"value {random.getrandbits(20)}"
    if pa.types.is_boolean(kind):
        return random.random() < 0.5
    return random.getrandbits(14)


def measure(table: pa.Table, types: Sequence[PgType] = ()) -> dict[str, float]:
    """Return the speeds for one table, and what they were measured on; types that are not given are a new table's."""
    schema = table.schema
    pg_types = list(types) or [_pg_type(field.type) for field in schema]
    fields = [Field(field.name, _cast(field.type, pg)) for field, pg in zip(schema, pg_types, strict=True)]
    batches = table.to_batches(max_chunksize=BATCH_ROWS)
    stream = b"".join(bytes(block) for block in _encoded(fields, batches))
    encode_s = _best(lambda: _drop(_encoded(fields, batches)))

    back = [Field(field.name, cast_from_pg(pg)) for field, pg in zip(schema, pg_types, strict=True)]
    back_schema = pa.schema([pa.field(field.name, field.cast.arrow) for field in back])
    chunks = [stream[start : start + CHUNK_BYTES] for start in range(0, len(stream), CHUNK_BYTES)]
    decode_s = _best(lambda: _decode(back, back_schema, chunks))
    return {
        "rows": table.num_rows,
        "columns": table.num_columns,
        "copy_bytes": len(stream),
        "encode_gb_per_s": round(len(stream) / encode_s / 1e9, 3),
        "decode_gb_per_s": round(len(stream) / decode_s / 1e9, 3),
        "encode_s_per_million_rows": round(encode_s / table.num_rows * 1e6, 4),
        "decode_s_per_million_rows": round(decode_s / table.num_rows * 1e6, 4),
    }


def _pg_type(kind: pa.DataType) -> PgType:
    pg = pg_type_for(kind)
    if pg is None:
        raise SystemExit(f"no PostgreSQL type for {kind}")
    return pg


def _cast(kind: pa.DataType, pg: PgType) -> Cast:
    cast = cast_to_pg(kind, pg)
    if cast is None:
        raise SystemExit(f"{kind} does not go into {pg.sql}")
    return cast


def _encoded(fields, batches):
    encoder = Encoder(fields)
    for batch in batches:
        yield from encoder.encode(batch)
    yield encoder.finish()


def _drop(blocks) -> None:
    for _ in blocks:
        pass


def _decode(fields, schema, chunks) -> None:
    decoder = Decoder(fields, schema)
    for chunk in chunks:
        decoder.feed(chunk)
        for batch in decoder.batches():
            pa.record_batch(batch)
    for batch in decoder.finish():
        pa.record_batch(batch)


def _best(work) -> float:
    """Return the least CPU seconds of several rounds; the first one warms up."""
    found = []
    for _ in range(ROUNDS + 1):
        started = time.process_time()
        work()
        found.append(time.process_time() - started)
    return min(found[1:])


def main() -> None:
    """Measure every table and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lineitem", nargs="?", type=Path, default=SAMPLE, help="TPC-H lineitem as Parquet")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    tables = {
        "lineitem": lineitem(options.lineitem),
        "null-heavy": null_heavy(),
        "string-heavy": string_heavy(),
        "nested": nested(),
        "100 columns": wide(),
    }
    found = {name: measure(table) for name, table in tables.items()}
    if options.json:
        print(json.dumps(found, indent=1))
        return
    print(f"{'table':14} {'rows':>8} {'columns':>8} {'MB':>6} {'encode GB/s':>12} {'decode GB/s':>12}")
    for name, line in found.items():
        print(
            f"{name:14} {line['rows']:8} {line['columns']:8} {line['copy_bytes'] / 1e6:6.0f}"
            f" {line['encode_gb_per_s']:12.2f} {line['decode_gb_per_s']:12.2f}"
        )


if __name__ == "__main__":
    main()
