"""Replace the table `orders` by a file's rows, compare the two, and export the day's copy. Safe to run again.

Cron runs it like this, and mails what stands on stderr; BULKIO_DSN is set above it, passwords are in ~/.pgpass:

    15 2 * * *  cd /srv/orders && .venv/bin/python pipelines/orders_nightly.py in/orders.parquet out/orders.parquet

The table is made once, by `bulkio load in/orders.parquet orders --mode create`.
"""

from __future__ import annotations

import sys
from decimal import Decimal
from typing import NamedTuple

import pyarrow.compute as pc
import pyarrow.parquet as pq

import bulkio

TABLE = "orders"
CHECK = "select count(*) as orders, coalesce(sum(o_totalprice), 0)::numeric(30, 2) as total from orders"


class Totals(NamedTuple):
    """What the file and the table must agree on."""

    orders: int
    price: Decimal


def totals_of_file(path: str) -> Totals:
    """Count the file's rows and add up their prices, a batch at a time."""
    with pq.ParquetFile(path) as file:
        prices = [pc.sum(batch["o_totalprice"]).as_py() for batch in file.iter_batches(columns=["o_totalprice"])]
        return Totals(file.metadata.num_rows, sum((price for price in prices if price is not None), Decimal(0)))


def totals_of_table() -> Totals:
    """Ask the database the same."""
    answer = bulkio.read(CHECK).read_all().to_pylist()[0]
    return Totals(answer["orders"], answer["total"])


def main(source: str, dest: str) -> int:
    """Load, compare, export; give the exit code."""
    try:
        loaded = bulkio.load(source, TABLE, mode="truncate")
        in_file, in_table = totals_of_file(source), totals_of_table()
        if in_file != in_table:
            print(f"orders_nightly: {source} has {in_file}, {TABLE} has {in_table}; not exported", file=sys.stderr)
            return 1
        exported = bulkio.export(TABLE, dest)
    except (bulkio.BulkioError, OSError) as err:
        print(f"orders_nightly: {' '.join(str(err).split())}", file=sys.stderr)
        return 1
    print(f"{loaded.rows} orders loaded, total {in_table.price}; {exported.rows} exported to {dest}")
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit("usage: orders_nightly.py SOURCE DEST")
    raise SystemExit(main(*sys.argv[1:]))
