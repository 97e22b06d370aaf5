"""Measure what SQL over the stream costs: table -> DuckDB's projection -> table against the same without the SQL.

    python benchmarks/stages.py [--source table|file] [--pairs 5] [--scale 1] [--out benchmarks/results/stages.json]

All columns of TPC-H's lineitem go from a table, or a Parquet file, into a new table of the same server; the projection
computes one of them. Both go through the same stages otherwise, in one process, and take turns. The third line is the
same source straight into `bulkio.aio.load`, without a pipeline.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bulkio.pipeline.stages import PipelineReport

PROJECTION = "select * replace (upper(l_shipmode) as l_shipmode) from input"
LINES = ("with SQL", "without", "no pipeline")
#: Student's t, two-sided 95%, by the number of pairs
STUDENT = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78, 10: 2.26, 15: 2.14}


def main() -> None:
    """Run the pairs; print and write the ratios with their intervals."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", choices=["table", "file"], default="table")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bulkio-stages-") as folder:
        os.environ["BULKIO_HOME"] = str(Path(folder) / "home")
        from bulkio.server import embedded

        try:
            runs, rows = measure(embedded.ensure(), Path(folder), options)
        finally:
            embedded.stop()
    result = summary(runs) | {"source": options.source, "rows": rows}
    print(json.dumps(result, indent=2))
    if options.out is not None:
        options.out.write_text(json.dumps(result, indent=2) + "\n")


def measure(dsn: str, folder: Path, options: argparse.Namespace) -> tuple[dict[str, list[float]], int]:
    """Return the seconds of each run, by its line, and the number of rows."""
    import bulkio

    program = str(Path(sys.executable).with_name("tpchgen-cli"))
    made = [program, "parquet", "-s", str(options.scale), "-T", "lineitem", "-o", str(folder), "--quiet"]
    subprocess.run(made, check=True)
    rows = bulkio.load(folder / "lineitem.parquet", "lineitem", dsn, mode="create").rows
    path = str(folder / "lineitem.parquet") if options.source == "file" else None
    for line in LINES:  # warms the server's cache, and the client's imports
        seconds(line, dsn, path)
    runs: dict[str, list[float]] = {line: [] for line in LINES}
    for pair in range(options.pairs):
        for line in LINES if pair % 2 else reversed(LINES):
            runs[line].append(seconds(line, dsn, path))
            print(f"pair {pair + 1}: {line} {runs[line][-1]:.2f} s", file=sys.stderr)
    return runs, rows


def seconds(line: str, dsn: str, path: str | None) -> float:
    """Run one line into a new table; return its seconds."""
    import psycopg

    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("DROP TABLE IF EXISTS target")
        conn.execute("CHECKPOINT")
    started = time.perf_counter()
    report = asyncio.run(WORK[line](dsn, path))
    took = time.perf_counter() - started
    if report is not None:
        print(report, file=sys.stderr)
    return took


async def without(dsn: str, path: str | None, *between: object) -> PipelineReport:
    """Read, run the stages between, load."""
    from bulkio.pipeline import stages as p

    source = p.table("lineitem", dsn) if path is None else p.files(path)
    return await p.Pipeline(source, *between, p.to_table("target", dsn, mode="create")).run()


async def with_sql(dsn: str, path: str | None) -> PipelineReport:
    """Put the projection between the two."""
    from bulkio.pipeline import stages as p

    return await without(dsn, path, p.sql(PROJECTION))


async def no_pipeline(dsn: str, path: str | None) -> None:
    """Read straight into a load."""
    from bulkio import aio

    if path is not None:
        await aio.load(path, "target", dsn, mode="create")
        return
    async with aio.read("lineitem", dsn) as stream:
        await aio.load(stream, "target", dsn, mode="create")


WORK = {"with SQL": with_sql, "without": without, "no pipeline": no_pipeline}


def summary(runs: dict[str, list[float]]) -> dict[str, object]:
    """Return the medians, and the geometric means of the pairs' ratios with their 95% intervals."""
    return {
        "seconds": {line: round(statistics.median(found), 2) for line, found in runs.items()},
        "sql": ratio(runs["with SQL"], runs["without"]),
        "pipeline": ratio(runs["without"], runs["no pipeline"]),
    }


def ratio(ours: list[float], theirs: list[float]) -> dict[str, object]:
    """Return the ratio of pairs."""
    logs = [math.log(mine / other) for mine, other in zip(ours, theirs, strict=True)]
    mean = statistics.fmean(logs)
    spread = statistics.stdev(logs) / math.sqrt(len(logs)) * STUDENT.get(len(logs), 2.0) if len(logs) > 1 else 0.0
    interval = [round(math.exp(mean + sign * spread), 3) for sign in (-1, 1)]
    return {"ratio": round(math.exp(mean), 3), "interval": interval, "pairs": len(logs)}


if __name__ == "__main__":
    main()
