"""Measure sources of many small files: opening, cutting into chunks, hashing, reading, and a load of them.

    python benchmarks/many_files.py [--files 10000] [--rows 100] [--formats parquet,csv,arrow,arrows] [--no-load]
                                    [--data FOLDER] [--out benchmarks/results/many-files.json]

Files of one schema, eight columns, in one folder for each format. Every step of a format runs in one process, which
may have 1024 open files as shells allow it; the load, by one connection into an embedded server of its own, in another.
Memory is the process's high-water mark (VmHWM) after the step, with interpreter and libraries. The files are in the
page cache.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.ipc as pa_ipc
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Callable

FORMATS = ("parquet", "csv", "arrow", "arrows")
#: numbers of chunks that a load might ask for: a few, and about as many as there are files
CHUNKS = (8, 1000)
BATCH_ROWS = 16384
OPEN_FILES = 1024


def main() -> None:
    """Make the files, measure, print, and write the result where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--rows", type=int, default=100, help="rows in each file")
    parser.add_argument("--formats", default=",".join(FORMATS))
    parser.add_argument("--no-load", action="store_true", help="leave the load out")
    parser.add_argument("--data", type=Path, help="a folder that keeps the files for the next time")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--step", choices=["steps", "load"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        print(json.dumps({"steps": steps, "load": load}[options.step](options.data)))
        return
    with tempfile.TemporaryDirectory(prefix="bulkio-many-") as folder:
        found = measure(options, Path(folder))
    print(json.dumps(found, indent=1))
    if options.out is not None:
        options.out.write_text(json.dumps(found, indent=1) + "\n")


def measure(options: argparse.Namespace, folder: Path) -> dict[str, object]:
    """Return the figures of each format."""
    found: dict[str, object] = {"files": options.files, "rows": options.rows}
    data = options.data or folder
    formats = options.formats.split(",")
    for fmt in formats:
        make_files(data / f"{fmt}-{options.files}-{options.rows}", fmt, options.files, options.rows)
    os.environ["BULKIO_HOME"] = str(folder / "home")
    from bulkio.server import embedded

    try:
        if not options.no_load:
            embedded.ensure()
        for fmt in formats:
            source = data / f"{fmt}-{options.files}-{options.rows}"
            found[fmt] = ask("steps", source) | ({} if options.no_load else ask("load", source))
    finally:
        embedded.stop()
    return found


def make_files(folder: Path, fmt: str, files: int, rows: int) -> None:
    """Write the files, unless they are there."""
    if folder.exists():
        return
    folder.mkdir(parents=True)
    for number in range(files):
        write(folder / f"part-{number:06}.{fmt}", table(number * rows, rows))


def table(first: int, rows: int) -> pa.Table:
    """Return rows whose `id` counts through all files."""
    ids = range(first, first + rows)
    return pa.table(
        {
            "id": pa.array(ids, pa.int64()),
            "customer": pa.array([n * 7919 % 100_003 for n in ids], pa.int32()),
            "state": pa.array(["open", "paid", "sent", "back"][n % 4] for n in ids),
            "note": pa.array(f"order {n} of a customer" for n in ids),
            "price": pa.array([n * 31 % 99_991 for n in ids], pa.int64()).cast(pa.decimal128(19, 0)),
            "weight": pa.array([n / 8 for n in ids], pa.float64()),
            "made": pa.array([n * 1_000_000 for n in ids], pa.timestamp("us")),
            "is_gift": pa.array([n % 3 == 0 for n in ids]),
        }
    )


def write(path: Path, content: pa.Table) -> None:
    """Write one file in the format of its ending."""
    if path.suffix == ".parquet":
        pq.write_table(content, path)
    elif path.suffix == ".csv":
        pa_csv.write_csv(content, path)
    else:
        make = pa_ipc.new_file if path.suffix == ".arrow" else pa_ipc.new_stream
        with make(path, content.schema) as writer:
            writer.write_table(content)


def ask(step: str, source: Path) -> dict[str, object]:
    """Measure in a process of its own."""
    command = [sys.executable, __file__, "--step", step, "--data", str(source)]
    found: dict[str, object] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return found


def steps(folder: Path) -> dict[str, object]:
    """Open, cut, hash and read one source."""
    from bulkio.files import open_source

    resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, OPEN_FILES))
    found: dict[str, object] = {}
    named = named_source(folder)
    open_source(next(folder.iterdir()), batch_rows=BATCH_ROWS).close()  # what is imported late
    source = timed(found, "open", lambda: open_source(named, batch_rows=BATCH_ROWS))
    for count in CHUNKS:
        timed(found, f"chunks({count})", lambda count=count: source.chunks(count))
    timed(found, "fingerprints", lambda: source.fingerprints(lambda: False))
    timed(found, "read", lambda: sum(batch.num_rows for batch in source.batches()))
    timed(found, "close", source.close)
    return found


def load(folder: Path) -> dict[str, object]:
    """Load one source by one connection."""
    import bulkio
    from bulkio.server import embedded

    found: dict[str, object] = {}
    timed(found, "load", lambda: bulkio.load(named_source(folder), "many", embedded.ensure(), mode="replace"))
    return found


def named_source(folder: Path) -> object:
    """Return what a user would name: a folder, and a pattern for CSV."""
    return f"{folder}/*.csv" if folder.name.startswith("csv") else folder


def timed(found: dict[str, object], step: str, work: Callable[[], object]) -> object:
    """Note the seconds, the processor's seconds and the memory of a step; return what it gives."""
    start, cpu = time.perf_counter(), time.process_time()
    result = work()
    found[step] = {
        "seconds": round(time.perf_counter() - start, 3),
        "cpu": round(time.process_time() - cpu, 3),
        "peak_mb": peak_mb(),
    }
    return result


def peak_mb() -> int:
    """Return the process's high-water mark of memory."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) >> 10


if __name__ == "__main__":
    main()
