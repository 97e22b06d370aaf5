"""The limit lines: the least that a client can do while the server does the same work. No codec, no queue, no thread.

A load's limit replays encoded bytes in one transaction that pins as a load does; or parts of them over several
connections at once, in a transaction each. An export's limit drains the same COPY and looks at nothing; the server
alone writes it to /dev/null, without any client.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from bulkio import sql
from bulkio.drivers import asyncpg_params
from bulkio.drivers.conninfo import parse_conninfo

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

    from bulkio.bench.spec import Job
    from bulkio.choices import DriverName

__all__ = ["CHOICES", "connect", "cut_stream", "drain", "empty_table", "replay", "server_alone"]

#: the drivers and block sizes that the calibration of a load's limit tries
CHOICES: tuple[tuple[DriverName, int], ...] = (
    ("asyncpg", 64 << 10),
    ("asyncpg", 128 << 10),
    ("asyncpg", 256 << 10),
    ("asyncpg", 1 << 20),
    ("psycopg", 64 << 10),
    ("psycopg", 128 << 10),
    ("psycopg", 256 << 10),
    ("psycopg", 1 << 20),
)


def connect(dsn: str) -> psycopg.Connection:
    """Connect with psycopg, in autocommit mode and UTF8."""
    arguments = {**parse_conninfo(dsn).psycopg_kwargs(), "client_encoding": "UTF8"}
    return psycopg.connect(autocommit=True, prepare_threshold=None, **arguments)  # type: ignore[arg-type]


# --- Loads --------------------------------------------------------------------------------------------------


def cut_stream(ends: Sequence[int], count: int) -> tuple[int, ...]:
    """Cut a stream's rows into `count` parts of about the same size; return where each begins, and where the last ends.

    `ends` are the offsets at which a row begins or ends, in order: the rows lie between the first and the last one.

    >>> cut_stream([19, 40, 61, 100], 2)
    (19, 61, 100)
    """
    size = ends[-1] - ends[0]
    return tuple(ends[bisect_left(ends, ends[0] + size * part // count)] for part in range(count + 1))


def empty_table(job: Job) -> None:
    """Empty the table of `job`, in a transaction of its own."""
    with connect(job.dsn) as conn:
        conn.execute(sql.truncate_table(job.schema, job.table))


def replay(job: Job) -> tuple[int, int]:
    """Send each part of `job.stream` through a connection's COPY FROM; return the tags' row count and the bytes."""
    parts = list(pairwise(job.cuts))
    if job.driver == "asyncpg":
        sent = asyncio.run(_replay_asyncpg(job, parts))
    elif len(parts) == 1:
        sent = [_replay_psycopg(job, parts[0])]
    else:
        with ThreadPoolExecutor(len(parts)) as threads:
            sent = list(threads.map(partial(_replay_psycopg, job), parts))
    ends = (len(parts) - 1) * (job.head_bytes + job.tail_bytes)  # the stream has one header and one trailer
    return sum(rows for rows, _ in sent), sum(size for _, size in sent) - ends


def _before_copy_in(job: Job) -> tuple[str, ...]:
    pins = "; ".join((*sql.session_pins(export=False), sql.LIFT_TIMEOUTS))
    money = (sql.PLAIN_MONEY,) if job.fmt == "csv" else ()
    return sql.begin(read_only=False), pins, *money


def _pieces(job: Job, part: tuple[int, int]) -> Iterator[memoryview]:
    """Read a part, with a header and a trailer of its own. A piece is valid until the next one."""
    stream_bytes = Path(job.stream).stat().st_size
    stretches = ((0, job.head_bytes), part, (stream_bytes - job.tail_bytes, stream_bytes))
    # Both drivers copy what they are given before they ask for more: one buffer serves for all.
    buffer = memoryview(bytearray(job.block_bytes))
    with open(job.stream, "rb", buffering=0) as file:  # noqa: PTH123 - the file is in the page cache
        for start, end in stretches:
            file.seek(start)
            while size := file.readinto(buffer[: end - file.tell()]):
                yield buffer[:size]


async def _replay_asyncpg(job: Job, parts: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    return await asyncio.gather(*(_send_asyncpg(job, part) for part in parts))


async def _send_asyncpg(job: Job, part: tuple[int, int]) -> tuple[int, int]:
    size = 0

    async def pieces() -> AsyncIterator[memoryview]:
        nonlocal size
        for piece in _pieces(job, part):
            yield piece
            size += len(piece)

    conn = await asyncpg_params.connect(parse_conninfo(job.dsn))
    try:
        for statement in _before_copy_in(job):
            await conn.execute(statement)
        tag = await conn.copy_to_table(
            job.table,
            schema_name=job.schema,
            columns=job.columns,
            source=pieces(),
            **asyncpg_params.copy_in_options(job.fmt),
        )
        await conn.execute(sql.COMMIT)
    finally:
        await conn.close()
    return _tag_rows(tag), size


def _replay_psycopg(job: Job, part: tuple[int, int]) -> tuple[int, int]:
    size = 0
    with connect(job.dsn) as conn, conn.cursor() as cursor:
        for statement in _before_copy_in(job):
            cursor.execute(statement)
        with cursor.copy(sql.copy_from_stdin(job.target(), job.fmt)) as copy:
            for piece in _pieces(job, part):
                copy.write(piece)
                size += len(piece)
        rows = cursor.rowcount
        cursor.execute(sql.COMMIT)
    return rows, size


# --- Exports ------------------------------------------------------------------------------------------------


def drain(job: Job, look: Callable[[bytes], object] | None = None) -> tuple[int, int]:
    """Read COPY TO's stream and drop it, or show each piece to `look`; return the tag's row count and the bytes."""
    if job.driver == "asyncpg":
        return asyncio.run(_drain_asyncpg(job, look))
    return _drain_psycopg(job, look)


def _before_copy_out(job: Job) -> tuple[str, ...]:
    pins = (*sql.session_pins(export=True), sql.LIFT_TIMEOUTS, sql.USERS_PATH, *job.pins)
    return sql.begin(read_only=True), "; ".join(pins)


async def _drain_asyncpg(job: Job, look: Callable[[bytes], object] | None) -> tuple[int, int]:
    size = 0

    async def count(piece: bytes) -> None:
        nonlocal size
        size += len(piece)
        if look is not None:
            look(piece)

    conn = await asyncpg_params.connect(parse_conninfo(job.dsn))
    try:
        for statement in _before_copy_out(job):
            await conn.execute(statement)
        tag = await conn.copy_from_query(f"\n{job.query}\n", output=count, format="binary")
        await conn.execute(sql.COMMIT)
    finally:
        await conn.close()
    return _tag_rows(tag), size


def _drain_psycopg(job: Job, look: Callable[[bytes], object] | None) -> tuple[int, int]:
    size = 0
    with connect(job.dsn) as conn, conn.cursor() as cursor:
        for statement in _before_copy_out(job):
            cursor.execute(statement)
        # psycopg's own loop costs a generator for each row; libpq's blocking read is the fastest there is.
        conn.pgconn.exec_(sql.copy_to_stdout(job.query).encode())
        get_copy_data = conn.pgconn.get_copy_data
        while (found := get_copy_data(0))[0] > 0:
            size += found[0]
            if look is not None:
                look(bytes(found[1]))
        result = conn.pgconn.get_result()
        if result is None or result.status != psycopg.pq.ExecStatus.COMMAND_OK:
            raise psycopg.OperationalError(conn.pgconn.error_message.decode(errors="replace"))
        rows = result.command_tuples or 0
        while conn.pgconn.get_result() is not None:
            pass
        cursor.execute(sql.COMMIT)
    return rows, size


def server_alone(job: Job) -> tuple[int, int]:
    """Let the server write the same stream to its own /dev/null; needs the rights of pg_write_server_files."""
    with connect(job.dsn) as conn, conn.cursor() as cursor:
        for statement in _before_copy_out(job):
            cursor.execute(statement)
        cursor.execute(f"COPY (\n{job.query}\n) TO '/dev/null' (FORMAT binary)")
        rows = cursor.rowcount
        cursor.execute(sql.COMMIT)
    return rows, 0


def _tag_rows(tag: str) -> int:
    return int(tag.rpartition(" ")[2])
