"""Measure what indexes, foreign keys, triggers and WAL cost a load: the factors that `--dry-run` tells.

    python benchmarks/slow_tables.py [--rows 300000] [--rounds 5] [--out benchmarks/results/slow-tables.json]

An embedded server of its own, which is gone afterwards. Each round loads the same rows into a plain table and into one
table of each kind; what counts is the median of the server's CPU time for the load, by the plain table's: a load waits
for the server's one process, and a busy machine disturbs that less than the time.
Ranges, for the exclusion constraint, are loaded apart: they travel as text, so their plain table is another one.
The factors stand in `bulkio/plan/slowness.py`.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pyarrow as pa

import bulkio
from bulkio.server import embedded

if TYPE_CHECKING:
    from collections.abc import Iterator

COLUMNS = "id bigint, k bigint, code text, at timestamptz"
FUNCTION = "CREATE FUNCTION noop() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'"
#: what follows CREATE TABLE, by kind; t is the table's name
KINDS = {
    "plain": [],
    "plain, ranges": ["ALTER TABLE t ADD span int8range"],
    "primary key, rising": ["ALTER TABLE t ADD PRIMARY KEY (id)"],
    "index, random number": ["CREATE INDEX ON t (k)"],
    "index, random text": ["CREATE INDEX ON t (code)"],
    "four indexes": [
        "ALTER TABLE t ADD PRIMARY KEY (id)",
        *(f"CREATE INDEX ON t ({column})" for column in ("k", "code", "at")),
    ],
    "foreign key": ["ALTER TABLE t ADD FOREIGN KEY (k) REFERENCES referred"],
    "trigger, before each row": ["CREATE TRIGGER a BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION noop()"],
    "trigger, after each row": ["CREATE TRIGGER a AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION noop()"],
    "exclusion constraint": ["ALTER TABLE t ADD span int8range, ADD EXCLUDE USING gist (span WITH &&)"],
    "unlogged": ["ALTER TABLE t SET UNLOGGED"],
}


def main() -> None:
    """Measure, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "slow-tables.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bulkio-figures-") as folder:
        os.environ["BULKIO_HOME"] = str(Path(folder) / "home")
        try:
            found = measure(embedded.ensure(), options.rows, options.rounds)
        finally:
            embedded.stop()
    options.out.write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found["factors"], indent=2))


def measure(dsn: str, rows: int, rounds: int) -> dict[str, object]:
    """Return the factors, and what they come from."""
    source = make_rows(rows)
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute(FUNCTION)
        conn.execute("CREATE TABLE stat AS SELECT ''::text AS line")
        conn.execute("CREATE TABLE referred (id bigint PRIMARY KEY)")
        conn.execute("INSERT INTO referred SELECT generate_series(0, 99999)")
        times: dict[str, list[float]] = {kind: [] for kind in KINDS}
        for _ in range(rounds):
            for kind, seconds in one_round(conn, dsn, source):
                times[kind].append(seconds)
        [version] = conn.execute("SHOW server_version").fetchone() or ("",)
    factors = {
        kind: round(statistics.median(found) / statistics.median(times[plain_of(kind)]), 2)
        for kind, found in times.items()
    }
    seconds = {kind: [round(each, 3) for each in found] for kind, found in times.items()}
    facts = {"rows": rows, "server": version, "processors": os.cpu_count()}
    return {**facts, "factors": factors, "cpu_s": seconds}


def one_round(conn: psycopg.Connection, dsn: str, source: pa.Table) -> Iterator[tuple[str, float]]:
    """Load into a table of each kind, in an order of chance."""
    for kind in random.sample(list(KINDS), len(KINDS)):
        conn.execute(f"DROP TABLE IF EXISTS t; CREATE TABLE t ({COLUMNS})")
        for statement in KINDS[kind]:
            conn.execute(statement)
        rows = source if plain_of(kind) == "plain, ranges" else source.drop_columns(["span"])
        bulkio.load(rows, "t", dsn, after="UPDATE stat SET line = pg_read_file('/proc/self/stat')")
        [line] = conn.execute("SELECT line FROM stat").fetchone() or ("",)
        user, system = line.rpartition(")")[2].split()[11:13]  # proc(5): utime and stime, in ticks
        yield kind, (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def plain_of(kind: str) -> str:
    """Return the kind that another is compared with."""
    return "plain, ranges" if kind in ("exclusion constraint", "plain, ranges") else "plain"


def make_rows(rows: int) -> pa.Table:
    """Return rows of the columns."""
    chance = random.Random(7)
    day = 1_700_000_000_000_000
    return pa.table(
        {
            "id": pa.array(range(rows), pa.int64()),
            "k": pa.array([chance.randrange(100_000) for _ in range(rows)], pa.int64()),
            "code": [f"{chance.getrandbits(64):016x}" for _ in range(rows)],
            "at": pa.array([day + chance.randrange(10**13) for _ in range(rows)], pa.timestamp("us", "UTC")),
            "span": [f"[{i},{i + 1})" for i in chance.sample(range(rows), rows)],
        }
    )


if __name__ == "__main__":
    main()
