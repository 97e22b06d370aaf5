"""Measure the memory and the time of several threads that read chunks of one source at the same time.

    python benchmarks/readers.py lineitem.parquet [--readers 1,2,4] [--chunks 16] [--out FILE]

`lineitem.parquet` is what `run.py` makes. Each number of readers is a process of its own, in which each thread takes
the next chunk that nobody has. `peak_mb` is the process's high-water mark (VmHWM), `start_mb` what it was before
reading, with interpreter and libraries; `batch_mb` is the largest batch.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bulkio.protocols import Chunk


def main() -> None:
    """Measure each number of readers; print, and write the result where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file")
    parser.add_argument("--readers", default="1,2,4")
    parser.add_argument("--chunks", type=int, default=16)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.file, int(options.readers), options.chunks)))
        return
    found = {readers: ask(options, readers) for readers in options.readers.split(",")}
    print(json.dumps(found, indent=1))
    if options.out is not None:
        options.out.write_text(json.dumps(found, indent=1) + "\n")


def ask(options: argparse.Namespace, readers: str) -> dict[str, float]:
    """Measure in a process of its own."""
    command = [sys.executable, __file__, options.file, "--readers", readers, "--chunks", str(options.chunks), "--one"]
    found: dict[str, float] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return found


def measure(path: str, readers: int, count: int) -> dict[str, float]:
    """Read all chunks, by so many threads."""
    from bulkio.files import open_source
    from bulkio.forms.sizes import batch_bytes

    source = open_source(path, batch_rows=16384)
    chunks = source.chunks(count)

    def read(chunk: Chunk) -> tuple[int, int]:
        rows = largest = 0
        for batch in source.read(chunk):
            rows += batch.num_rows
            largest = max(largest, batch_bytes(batch))
        return rows, largest

    start_mb, started, cpu = peak_mb(), time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(readers) as threads:
        found = list(threads.map(read, chunks))
    return {
        "seconds": round(time.perf_counter() - started, 2),
        "cpu": round(time.process_time() - cpu, 2),
        "rows": sum(rows for rows, _ in found),
        "chunks": len(chunks),
        "batch_mb": round(max(largest for _, largest in found) / (1 << 20), 1),
        "start_mb": start_mb,
        "peak_mb": peak_mb(),
    }


def peak_mb() -> int:
    """Return the process's high-water mark of memory."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) >> 10


if __name__ == "__main__":
    main()
