"""Compare an upsert with the same work by hand: `bulkio load --mode upsert` against SQL that one would type.

    python benchmarks/upsert.py [--pairs 5] [--rows 6000000] [--new-rows 1000000] [--out benchmarks/results/upsert.json]

By hand: COPY of the same rows, encoded before, into an unlogged table, the same look for doubled keys, INSERT … ON
CONFLICT with the same WHERE, ANALYZE of the staging table, DROP, COMMIT. Half of the rows are new, half change one
column. Both start from a copy of one database, so that no run meets what another has left; they take turns.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

KEYS = ("l_orderkey", "l_linenumber")


def main() -> None:
    """Run the pairs; print and write the ratio with its interval."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--rows", type=int, default=6_000_000)
    parser.add_argument("--new-rows", type=int, default=1_000_000)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bulkio-upsert-") as folder:
        os.environ["BULKIO_HOME"] = str(Path(folder) / "home")
        from bulkio.server import embedded

        try:
            runs = measure(embedded.ensure(), Path(folder), options)
        finally:
            embedded.stop()
    result = summary(runs) | {"rows": options.rows, "new_rows": options.new_rows}
    print(json.dumps(result, indent=2))
    if options.out is not None:
        options.out.write_text(json.dumps(result, indent=2) + "\n")


def measure(dsn: str, folder: Path, options: argparse.Namespace) -> dict[str, list[float]]:
    """Return the seconds of each run, by who made it."""
    source, encoded = prepare(dsn, folder, options)
    runs: dict[str, list[float]] = {"bulkio": [], "by hand": []}
    for pair in range(options.pairs):
        turns = list(runs) if pair % 2 else list(reversed(runs))
        for who in turns:
            fresh(dsn)
            target = dsn.replace("/postgres?", "/target?")
            runs[who].append(bulkio_load(source, target) if who == "bulkio" else by_hand(encoded, target))
            print(f"pair {pair + 1}: {who} {runs[who][-1]:.2f} s", file=sys.stderr)
    return runs


def prepare(dsn: str, folder: Path, options: argparse.Namespace) -> tuple[Path, Path]:
    """Make the database that runs start from; return the rows to load, as Parquet and as COPY's own bytes."""
    import psycopg

    import bulkio

    scale = options.rows / 6_000_000 * 1.01
    program = str(Path(sys.executable).with_name("tpchgen-cli"))
    subprocess.run(
        [program, "parquet", "-s", f"{scale:.3f}", "-T", "lineitem", "-o", str(folder), "--quiet"], check=True
    )
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("CREATE DATABASE base")
    base = dsn.replace("/postgres?", "/base?")
    bulkio.load(folder / "lineitem.parquet", "everything", base, mode="create")
    with psycopg.connect(base, autocommit=True) as conn:
        conn.execute("CREATE TABLE lineitem (LIKE everything)")
        half = options.new_rows // 2
        conn.execute(
            f"CREATE TABLE numbered AS SELECT row_number() OVER () AS n, * FROM everything LIMIT {options.rows}"
        )
        names = ", ".join(f'"{row[0]}"' for row in conn.execute("SELECT * FROM everything LIMIT 0").description)
        conn.execute(f"INSERT INTO lineitem SELECT {names} FROM numbered WHERE n > {half}")
        conn.execute(f"ALTER TABLE lineitem ADD PRIMARY KEY ({', '.join(KEYS)})")
        changed = names.replace('"l_comment"', "l_comment || '!' AS l_comment")
        step = options.rows // half
        query = (
            f"SELECT {names} FROM numbered WHERE n <= {half}"
            f" UNION ALL SELECT {changed} FROM numbered WHERE n > {half} AND n % {step} = 0"
        )
        encoded = folder / "rows.copy"
        with encoded.open("wb") as file, conn.cursor().copy(f"COPY ({query}) TO STDOUT (FORMAT binary)") as copy:
            for piece in copy:
                file.write(piece)
        bulkio.export(query, folder / "rows.parquet", base)
        conn.execute("DROP TABLE everything, numbered")
        conn.execute("VACUUM (FREEZE, ANALYZE) lineitem")
    return folder / "rows.parquet", encoded


def fresh(dsn: str) -> None:
    """Copy the database that runs start from."""
    import psycopg

    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("DROP DATABASE IF EXISTS target WITH (FORCE)")
        conn.execute("CREATE DATABASE target TEMPLATE base STRATEGY file_copy")
        conn.execute("CHECKPOINT")


def bulkio_load(source: Path, dsn: str) -> float:
    """Run the program's own load, without its start; return the seconds."""
    import bulkio

    return bulkio.load(source, "lineitem", dsn, mode="upsert").seconds


def by_hand(encoded: Path, dsn: str) -> float:
    """Do it in SQL; return the seconds."""
    import psycopg

    started = time.perf_counter()
    with psycopg.connect(dsn) as conn:
        conn.execute("CREATE UNLOGGED TABLE staging AS SELECT * FROM lineitem WITH NO DATA")
        with encoded.open("rb") as file, conn.cursor().copy("COPY staging FROM STDIN (FORMAT binary)") as copy:
            while block := file.read(256 << 10):
                copy.write(block)
        conn.execute("ANALYZE staging")
        keys = ", ".join(KEYS)
        if conn.execute(f"SELECT 1 FROM staging GROUP BY {keys} HAVING count(*) > 1 LIMIT 1").fetchall():
            raise ValueError("keys are doubled")
        names = [row[0] for row in conn.execute("SELECT * FROM staging LIMIT 0").description or ()]
        sets = ", ".join(f"{name} = EXCLUDED.{name}" for name in names)
        old, new = (", ".join(f"{table}.{name}" for name in names) for table in ("t", "EXCLUDED"))
        conn.execute(
            f"INSERT INTO lineitem AS t SELECT * FROM staging ON CONFLICT ({keys}) DO UPDATE SET {sets}"
            f" WHERE ROW({old})::record *<> ROW({new})::record"
        )
        conn.execute("DROP TABLE staging")
    return time.perf_counter() - started


def summary(runs: dict[str, list[float]]) -> dict[str, object]:
    """Return the medians, and the geometric mean of the pairs' ratios with its 95% interval."""
    logs = [math.log(ours / theirs) for ours, theirs in zip(runs["bulkio"], runs["by hand"], strict=True)]
    mean = statistics.fmean(logs)
    spread = statistics.stdev(logs) / math.sqrt(len(logs)) * STUDENT.get(len(logs), 2.0) if len(logs) > 1 else 0.0
    return {
        "bulkio_s": round(statistics.median(runs["bulkio"]), 2),
        "by_hand_s": round(statistics.median(runs["by hand"]), 2),
        "ratio": round(math.exp(mean), 3),
        "interval": [round(math.exp(mean - spread), 3), round(math.exp(mean + spread), 3)],
        "pairs": len(logs),
    }


#: Student's t, two-sided 95%, by the number of pairs
STUDENT = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78, 15: 2.14}


if __name__ == "__main__":
    main()
