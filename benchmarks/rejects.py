"""Measure what rejected records cost: a file in which every hundredth is bad, against the same file without faults.

    python benchmarks/rejects.py [--pairs 5] [--scale 0.2] [--out benchmarks/results/rejects.json]

The rows are TPC-H's lineitem, as CSV and as Parquet; each kind of fault that the client detects has a file of its own.
All loads append to the same table, emptied before; the clean file is loaded with the same options, and without any.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Callable

TABLE = """CREATE TABLE target (
    l_orderkey bigint NOT NULL, l_partkey bigint, l_suppkey bigint, l_linenumber int, l_quantity numeric(15, 2),
    l_extendedprice numeric(15, 2), l_discount numeric(15, 2), l_tax numeric(15, 2), l_returnflag char(1),
    l_linestatus char(1), l_shipdate date, l_commitdate date, l_receiptdate date, l_shipinstruct varchar(25),
    l_shipmode varchar(10), l_comment varchar(44))"""
#: every so many records is bad
EACH = 100
#: field of a CSV's record, by its place, and what stands there instead
CSV_FAULTS: dict[str, tuple[int, str]] = {
    "range": (3, "99999999999"),
    "null": (0, ""),
    "nul": (15, "a\0b"),
    "type": (4, "many"),
    "length": (14, "LONGER THAN TEN"),
    "ragged": (15, "one,more"),
}
PARQUET_FAULTS: dict[str, tuple[str, object]] = {
    "range": ("l_linenumber", 99_999_999_999),
    "null": ("l_orderkey", None),
    "nul": ("l_comment", "a\0b"),
    "length": ("l_shipmode", "LONGER THAN TEN"),
}
#: Student's t, two-sided 95%, by the number of pairs
STUDENT = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78, 10: 2.26, 15: 2.14}


def main() -> None:
    """Run the pairs; print and write the ratios with their intervals."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--scale", type=float, default=0.2)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bulkio-rejects-") as folder:
        os.environ["BULKIO_HOME"] = str(Path(folder) / "home")
        from bulkio.server import embedded

        try:
            files, rows = make_files(Path(folder), options.scale)
            runs = measure(embedded.ensure(), Path(folder), files, rows, options.pairs)
        finally:
            embedded.stop()
    result = {"rows": rows, "each": EACH, "lines": {name: summary(runs, name) for name in runs}}
    print(json.dumps(result, indent=2))
    if options.out is not None:
        options.out.write_text(json.dumps(result, indent=2) + "\n")


def make_files(folder: Path, scale: float) -> tuple[dict[str, Path], int]:
    """Make the files; return them by the names of their lines, and the number of rows of each."""
    program = str(Path(sys.executable).with_name("tpchgen-cli"))
    for kind in ("csv", "parquet"):
        made = [program, kind, "-s", str(scale), "-T", "lineitem", "-o", str(folder), "--quiet"]
        subprocess.run(made, check=True)
    table = pq.read_table(folder / "lineitem.parquet")
    wide = table.set_column(3, "l_linenumber", table["l_linenumber"].cast(pa.int64()))
    files = {"csv clean": folder / "lineitem.csv", "parquet clean": folder / "clean.parquet"}
    pq.write_table(wide, files["parquet clean"])
    lines = files["csv clean"].read_text().splitlines()
    for fault, (place, text) in CSV_FAULTS.items():
        files[f"csv {fault}"] = spoil_csv(lines, place, text, folder / f"{fault}.csv")
    for fault, (column, value) in PARQUET_FAULTS.items():
        values = wide[column].to_pylist()
        values[::EACH] = [value] * len(values[::EACH])
        place = wide.schema.get_field_index(column)
        spoiled = wide.set_column(place, column, pa.array(values, wide.schema.field(column).type))
        files[f"parquet {fault}"] = folder / f"{fault}.parquet"
        pq.write_table(spoiled, files[f"parquet {fault}"])
    return files, wide.num_rows


def spoil_csv(lines: list[str], place: int, text: str, path: Path) -> Path:
    """Write the lines with another field in every so many; lineitem has no quotes."""
    with path.open("w") as out:
        for number, line in enumerate(lines):
            if number % EACH == 1:
                fields = line.split(",", 15)
                fields[place] = text
                line = ",".join(fields)  # noqa: PLW2901 - the line that is written
            out.write(line + "\n")
    return path


def measure(dsn: str, folder: Path, files: dict[str, Path], rows: int, pairs: int) -> dict[str, list[float]]:
    """Return the seconds of each run, by its line."""
    lines: dict[str, Callable[[], float]] = {}
    for name, path in files.items():
        bad = 0 if name.endswith(" clean") else -(-rows // EACH)
        lines[name] = lambda path=path, bad=bad: seconds(dsn, path, folder / "rejects", bad)
        if not bad:
            lines[f"{name}, no rejects"] = lambda path=path: seconds(dsn, path, None, 0)
    for name, line in lines.items():  # warms the server's cache, and the client's imports
        print(f"{name} {line():.2f} s", file=sys.stderr)
    runs: dict[str, list[float]] = {name: [] for name in lines}
    for pair in range(pairs):
        for name in lines if pair % 2 else reversed(lines):
            runs[name].append(lines[name]())
        print(f"pair {pair + 1} of {pairs}", file=sys.stderr)
    return runs


def seconds(dsn: str, path: Path, rejects: Path | None, bad: int) -> float:
    """Load a file into the empty table; return the seconds that it took."""
    import psycopg

    import bulkio

    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute(f"DROP TABLE IF EXISTS target; {TABLE}; CHECKPOINT")
    options = {}
    if rejects is not None:
        shutil.rmtree(rejects, ignore_errors=True)
        rejects.mkdir()
        options = {"rejects": str(rejects / f"bad{path.suffix}"), "max_rejects": "2%"}
    started = time.perf_counter()
    report = bulkio.load(path, "target", dsn, **options)  # type: ignore[arg-type]
    took = time.perf_counter() - started
    if report.rejected != bad:
        raise SystemExit(f"{path}: {report.rejected} records were rejected, and {bad} are bad")
    return took


def summary(runs: dict[str, list[float]], name: str) -> dict[str, object]:
    """Return the median, and the geometric mean of the pairs' ratios to the clean file with its 95% interval."""
    clean = runs[f"{name.partition(' ')[0]} clean, no rejects"]
    logs = [math.log(mine / other) for mine, other in zip(runs[name], clean, strict=True)]
    mean = statistics.fmean(logs)
    spread = statistics.stdev(logs) / math.sqrt(len(logs)) * STUDENT.get(len(logs), 2.0) if len(logs) > 1 else 0.0
    interval = [round(math.exp(mean + sign * spread), 3) for sign in (-1, 1)]
    ratio = {"ratio": round(math.exp(mean), 3), "interval": interval, "pairs": len(logs)}
    return {"seconds": round(statistics.median(runs[name]), 2), **ratio}


if __name__ == "__main__":
    main()
