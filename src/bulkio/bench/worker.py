"""One run in a process of its own: `python -m bulkio.bench.worker`, a `Job` on stdin, one JSON object on stdout.

What is timed runs from before connecting until the connection is closed; COMMIT lies in between. All imports come
first.
"""

from __future__ import annotations

import hashlib
import json
import resource
import signal
import sys
import time
from contextlib import closing
from dataclasses import asdict, replace
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, cast

from bulkio.bench import limits, psql
from bulkio.bench.machine import core_ticks
from bulkio.bench.spec import Job, Run
from bulkio.errors import BulkioError
from bulkio.quote import qualified

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import pyarrow as pa
    from typing_extensions import Buffer

    from bulkio.pgcopy import Block, Field
    from bulkio.plan import LoadPlan

__all__ = ["main", "measure"]

#: modules that would be imported on first use
_IMPORTED_BY_LIMITS = ("asyncpg", "psycopg")
_IMPORTED_BY_BULKIO = (
    "bulkio.sync",
    "bulkio.files.formats.parquet",
    "bulkio.files.formats.ipc",
    "bulkio.drivers.asyncpg",
    "bulkio.drivers.psycopg",
)
_LIMITS = ("calibrate", "replay", "drain", "server", "psql", "psql_out")
_PIECE_BYTES = 1 << 20
_CALIBRATION_ROUNDS = 3


def main() -> int:
    """Do the job on stdin and print its answer, or ``{"error": …}``."""
    # The bench ends a worker with SIGTERM: what it has under way is cancelled on the server too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    job = Job.from_json(sys.stdin.read())
    for module in _IMPORTED_BY_LIMITS if job.action in _LIMITS else _IMPORTED_BY_BULKIO:
        import_module(module)
    try:
        answer = _ACTIONS[job.action](job)
    except KeyboardInterrupt:
        return 130
    except Exception as error:  # the bench's process raises it again
        message = str(error) if isinstance(error, BulkioError) else f"{type(error).__name__}: {error}"
        answer = {"error": message}
    print(json.dumps(answer))  # noqa: T201 - this is the answer
    return 0


def measure(work: Callable[[], tuple[int, int]]) -> dict[str, object]:
    """Time `work`, which gives rows and bytes."""
    start_mb = _peak_mb()
    cpu = _cpu_s()
    before = core_ticks()
    wall = time.perf_counter()
    rows, size = work()
    wall = time.perf_counter() - wall
    after = core_ticks()
    idle = after.idle_share(before) if after and before else None
    return asdict(Run(wall, _cpu_s() - cpu, _peak_mb(), start_mb, rows, size, idle))


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _peak_mb() -> float:
    """Return the process's peak memory. Not Linux's ru_maxrss: that starts at the peak of the process that forked."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        scale = 1 << 20 if sys.platform == "darwin" else 1 << 10
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


# --- Loads --------------------------------------------------------------------------------------------------


def _prepare(job: Job) -> dict[str, object]:
    """Plan the load, and encode the source once; `ends` are the offsets at which a row begins or ends."""
    import bulkio
    from bulkio.files import is_csv_name

    folder = Path(job.folder)
    source = _head(job) if job.rows else job.source
    is_csv = is_csv_name(source)
    named = bulkio.csv(source, infer=True) if is_csv else source
    plan = bulkio.plan_load(named, qualified(job.schema, job.table), job.dsn, mode="create")
    stream = folder / "stream.copy"
    rows, ends = _encode(plan, source, stream)
    return {
        "source": source,
        "stream": str(stream),
        "ends": ends,
        "head_bytes": ends[0],
        "tail_bytes": stream.stat().st_size - ends[-1],
        "rows": rows,
        "bytes": stream.stat().st_size,
        "method": plan.method,
        "is_csv": is_csv,
        "columns": [[f.name, f.cast.pg.ddl, f.nullable] for f in plan.fields],
    }


def _head(job: Job) -> str:
    """Write the source's first rows as a Parquet file of the same build, and return its path."""
    import pyarrow.parquet as pq

    from bulkio.errors import ConfigError
    from bulkio.files.faults import reading

    path = Path(job.folder) / "head.parquet"
    if not Path(job.source).is_file() or Path(job.source).suffix != ".parquet":
        raise ConfigError("--rows needs a source that is one .parquet file")
    with reading(job.source), pq.ParquetFile(job.source) as file:
        left = job.rows
        compression = file.metadata.row_group(0).column(0).compression if file.metadata.num_row_groups else "snappy"
        with pq.ParquetWriter(path, file.schema_arrow, compression=compression.lower()) as writer:
            for group in range(file.metadata.num_row_groups):
                if left > 0:
                    table = file.read_row_group(group).slice(0, left)
                    writer.write_table(table)
                    left -= table.num_rows
    return str(path)


def _encode(plan: LoadPlan, source: str, stream: Path) -> tuple[int, list[int]]:
    """Write what a load would send, made by its own `Sender`; return its rows, and where they begin and blocks end."""
    from bulkio.options import LoadRequest
    from bulkio.pgcopy.encoder import HEADER, TRAILER
    from bulkio.transfer.opening import open_in_thread
    from bulkio.transfer.send import Sender, Tally

    head, tail = (len(HEADER), len(TRAILER)) if plan.method == "binary" else (0, 0)
    sent_rows, ends = 0, [head]
    with closing(open_in_thread(LoadRequest(source, "t"))) as opened, stream.open("wb") as out:
        for block, rows in Sender(plan, opened, Tally(plan)).blocks(opened.batches()):
            sent_rows += rows
            out.write(cast("Buffer", block))
            ends.append(out.tell())
        ends[-1] -= tail
    return sent_rows, ends


def _split(job: Job) -> dict[str, object]:
    """Cut a CSV into a file for each psql, each with the header."""
    from bulkio.options import LoadRequest
    from bulkio.transfer.opening import open_in_thread

    with closing(open_in_thread(LoadRequest(job.source, "t"))) as opened:
        ranges = [found for chunk in opened.chunks(job.workers) for _, found in chunk.ranges]
    parts = [Path(job.folder) / f"part-{job.workers}-{number}.csv" for number in range(len(ranges))]
    with open(job.source, "rb") as file:  # noqa: PTH123 - as the other files here
        header = file.read(ranges[0].start)
        for path, found in zip(parts, ranges, strict=True):
            with path.open("wb") as part:
                part.write(header)
                file.seek(found.start)
                end = Path(job.source).stat().st_size if found.end is None else found.end
                while piece := file.read(min(_PIECE_BYTES, end - file.tell())):
                    part.write(piece)
    return {"parts": [str(path) for path in parts]}


def _calibrate(job: Job) -> dict[str, object]:
    """Replay by each driver and block size in turn, into the emptied table; return the median seconds of each."""
    from statistics import median

    walls: dict[tuple[str, int], list[float]] = {choice: [] for choice in limits.CHOICES}
    for _ in range(_CALIBRATION_ROUNDS):
        for driver, block_bytes in limits.CHOICES:
            limits.empty_table(job)
            started = time.perf_counter()
            limits.replay(replace(job, driver=driver, block_bytes=block_bytes))
            walls[driver, block_bytes].append(time.perf_counter() - started)
    return {"walls": [[driver, size, median(found)] for (driver, size), found in walls.items()]}


def _replay(job: Job) -> dict[str, object]:
    return measure(lambda: limits.replay(job))


def _load(job: Job) -> dict[str, object]:
    import bulkio

    table = qualified(job.schema, job.table)

    def work() -> tuple[int, int]:
        report = bulkio.load(
            job.source,
            table,
            job.dsn,
            driver=job.driver,
            method=job.method,  # type: ignore[arg-type]
            mode="append",
            workers=job.workers,
            ledger_schema=job.schema,
        )
        if report.why_one:
            raise BulkioError(f"one connection did it, and not {job.workers}: {report.why_one}")
        return report.rows, report.bytes

    return measure(work)


# --- Exports ------------------------------------------------------------------------------------------------


def _psql(job: Job) -> dict[str, object]:
    return _of_children(lambda: psql.copy_in(job))


def _psql_out(job: Job) -> dict[str, object]:
    dest = Path(job.folder) / "psql.csv"
    try:
        return _of_children(lambda: psql.copy_out(job, dest))
    finally:
        dest.unlink(missing_ok=True)


def _of_children(work: Callable[[], tuple[int, int]]) -> dict[str, object]:
    """Time a program that `work` runs; CPU and memory are its own."""
    answer = measure(work)
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    scale = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return {**answer, "cpu_s": usage.ru_utime + usage.ru_stime, "peak_mb": usage.ru_maxrss / scale, "start_mb": 0.0}


def _csv(job: Job) -> dict[str, object]:
    return _into_file(job, "export.csv")


def _parquet(job: Job) -> dict[str, object]:
    return _into_file(job, "export.parquet")


def _into_file(job: Job, name: str) -> dict[str, object]:
    """Time an export into a file, which is removed afterwards."""
    import bulkio

    dest = Path(job.folder) / name

    def work() -> tuple[int, int]:
        report = bulkio.export(job.table, dest, job.dsn, driver=job.driver)
        return report.rows, report.bytes

    try:
        return measure(work)
    finally:
        dest.unlink(missing_ok=True)


def _drain(job: Job) -> dict[str, object]:
    return measure(lambda: limits.drain(job))


def _server(job: Job) -> dict[str, object]:
    return measure(lambda: limits.server_alone(job))


def _read(job: Job) -> dict[str, object]:
    """Count the batches' rows and bytes, and throw them away."""

    def work() -> tuple[int, int]:
        rows = size = 0
        for batch in _export_batches(job):
            rows += batch.num_rows
            size += batch.get_total_buffer_size()
        return rows, size

    return measure(work)


def _digest(job: Job) -> dict[str, object]:
    """Digest what a line exports, as COPY BINARY: a raw drain's own bytes, or the batches encoded again.

    The digest is None where a column's type goes one way only.
    """
    import bulkio

    if job.method == "drain":
        sums = hashlib.blake2b()
        rows, _ = limits.drain(job, sums.update)
        return {"digest": sums.hexdigest(), "rows": rows}
    if job.method in ("csv", "psql_out"):
        return _digest_csv(job)
    if job.method != "parquet":
        return _digest_batches(_export_batches(job), job)
    dest = Path(job.folder) / "export.parquet"
    try:
        bulkio.export(job.table, dest, job.dsn, driver=job.driver)
        return _digest_batches(_batches(str(dest)), job)
    finally:
        dest.unlink(missing_ok=True)


def _digest_csv(job: Job) -> dict[str, object]:
    """Digest a CSV file's bytes."""
    import bulkio

    dest = Path(job.folder) / "digest.csv"
    try:
        if job.method == "csv":
            rows = bulkio.export(job.table, dest, job.dsn, driver=job.driver).rows
        else:
            rows, _ = psql.copy_out(job, dest)
        with dest.open("rb") as file:
            return {"digest": hashlib.file_digest(file, "blake2b").hexdigest(), "rows": rows}
    finally:
        dest.unlink(missing_ok=True)


def _digest_batches(batches: Iterable[pa.RecordBatch], job: Job) -> dict[str, object]:
    ahead = iter(batches)
    first = next(ahead, None)
    fields = None if first is None else _fields_back(first.schema, job)
    if fields is None:
        return {"digest": None, "rows": 0}
    sums = hashlib.blake2b()
    rows = 0
    for block in _encoded(chain([first], ahead), fields):
        sums.update(block)
        rows += block.rows
    return {"digest": sums.hexdigest(), "rows": rows}


def _fields_back(schema: pa.Schema, job: Job) -> list[Field] | None:
    """Return the encoders for the types of the table's columns."""
    import bulkio
    from bulkio.pgcopy import Field
    from bulkio.types import cast_to_pg

    fields = []
    for column, planned in zip(schema, bulkio.plan_export(job.table, "plan.arrows", job.dsn).fields, strict=True):
        cast = cast_to_pg(column.type, planned.cast.pg)
        if cast is None or cast.needs_server:
            return None
        fields.append(Field(column.name, cast))
    return fields


def _export_batches(job: Job) -> Iterator[pa.RecordBatch]:
    import bulkio

    method = "cursor" if job.method == "cursor" else "binary"
    yield from bulkio.read(job.table, job.dsn, driver=job.driver, method=method)  # type: ignore[arg-type]


def _batches(source: str) -> Iterator[pa.RecordBatch]:
    """Read a file as a load does that has no options."""
    from bulkio.options import LoadRequest
    from bulkio.transfer.opening import open_in_thread

    with closing(open_in_thread(LoadRequest(source, "t"))) as opened:
        yield from opened.batches()


def _encoded(batches: Iterable[pa.RecordBatch], fields: Sequence[Field]) -> Iterator[Block]:
    """Encode batches as a load does that has no options."""
    from bulkio.forms.encoding import encode_batches
    from bulkio.transfer.send import BLOCK_BYTES

    return encode_batches(batches, fields, block_bytes=BLOCK_BYTES)


_ACTIONS: dict[str, Callable[[Job], dict[str, object]]] = {
    "prepare": _prepare,
    "split": _split,
    "calibrate": _calibrate,
    "load": _load,
    "replay": _replay,
    "read": _read,
    "parquet": _parquet,
    "drain": _drain,
    "server": _server,
    "digest": _digest,
    "psql": _psql,
    "psql_out": _psql_out,
    "csv": _csv,
}


if __name__ == "__main__":
    sys.exit(main())
