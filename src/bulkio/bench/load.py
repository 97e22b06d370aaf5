"""The load bench: each driver's methods, by one worker or several, against a replay over as many connections.

Every run appends to a fresh table, and the limit does so, too: neither writes rows frozen, skips the log or analyzes
the table, as `truncate` does. So the server's work is the same, and a ratio is what the client costs.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from bulkio import sql
from bulkio.bench.limits import cut_stream
from bulkio.bench.pairs import Line, run_pairs
from bulkio.bench.processes import ask, run
from bulkio.bench.result import Result, make_result
from bulkio.bench.scratch import Content, Server, find_dsn
from bulkio.bench.spec import Job
from bulkio.errors import BulkioError
from bulkio.show import printable

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from bulkio.bench.spec import Run
    from bulkio.choices import DriverName, LoadMethod
    from bulkio.protocols import CopyFormat

__all__ = ["LoadBench", "bench_load"]

#: bytes of the encoded stream that the calibration sends: enough that connecting counts for little
_SAMPLE_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class LoadBench:
    """What to compare."""

    source: str
    drivers: tuple[DriverName, ...] = ("asyncpg", "psycopg")
    methods: tuple[LoadMethod, ...] = ("binary", "csv", "records")
    pairs: int = 5
    #: rows of the source, from its start; None takes all
    rows: int | None = None
    #: numbers of connections that load at the same time
    workers: tuple[int, ...] = (1,)


def bench_load(bench: LoadBench, dsn: str | None, note: Callable[[str], None]) -> Result:
    """Run the bench; `note` is told what goes on.

    Raises:
        BulkioError: a run failed, or stored other rows than the first one. Whatever the end, nothing is left behind.
    """
    found = find_dsn(dsn)
    with Server(found) as server, tempfile.TemporaryDirectory(prefix="bulkio-bench-") as folder:
        server.make_schema()
        return _Loads(bench, server, folder, note).result()


class _Loads:
    """One bench under way."""

    def __init__(self, bench: LoadBench, server: Server, folder: str, note: Callable[[str], None]) -> None:
        self._bench = bench
        self._server = server
        self._note = note
        self._job = Job(
            "prepare", server.dsn, source=bench.source, schema=server.schema, table="planned", folder=folder
        )
        self._tables = count(1)
        #: seconds of each way to replay the sample, by limit
        self._tried: dict[str, dict[str, float]] = {}
        self._columns: list[sql.NewColumn] = []
        self._rows = 0
        self._first: Content | None = None

    def result(self) -> Result:
        self._note("encode the source for the limit")
        prepared: dict[str, Any] = ask(replace(self._job, rows=self._bench.rows or 0))
        self._columns = [sql.NewColumn(*column) for column in prepared["columns"]]
        self._rows = prepared["rows"]
        if not self._rows:
            raise BulkioError(f"{printable(self._bench.source)} has no rows: there is nothing to measure")
        names = tuple(column.name for column in self._columns)
        fmt: CopyFormat = "csv" if prepared["method"] == "csv" else "binary"
        base = replace(
            self._job,
            source=prepared["source"],
            stream=prepared["stream"],
            head_bytes=prepared["head_bytes"],
            tail_bytes=prepared["tail_bytes"],
            columns=names,
            fmt=fmt,
        )
        limits: dict[int, Line] = {}
        for workers in sorted(set(self._bench.workers)):
            if prepared["is_csv"]:
                limit = self._copies(base, workers)
            else:
                limit = self._calibrated(base, prepared["ends"], workers)
            limit.alone = limits.get(1)
            limits[workers] = limit
        lines = self._candidates(base, limits)
        run_pairs(lines, self._bench.pairs, self._run, self._note)
        psql = "psql's \\copy of the same file, by as many psqls"
        return make_result(
            "load",
            [*limits.values(), *lines],
            source={"name": Path(self._bench.source).name, "rows": self._rows, "copy_bytes": prepared["bytes"]},
            method={
                "limit": psql if prepared["is_csv"] else "a replay of the same bytes, over as many connections",
                "calibration_s": self._tried,
                "compared": "count and hash of every row's text",
            },
            server=self._server.facts(),
        )

    def _candidates(self, base: Job, limits: dict[int, Line]) -> list[Line]:
        """Return the candidates' lines, by driver, method and number of workers."""
        lines: list[Line] = []
        for driver in self._bench.drivers:
            for method in self._bench.methods:
                alone: Line | None = None
                for workers, limit in limits.items():
                    job = replace(base, action="load", driver=driver, method=method, workers=workers)
                    line = Line(_with_workers(f"{driver} {method}", workers), "candidate", job, limit, alone)
                    alone = line if workers == 1 else alone
                    lines.append(line)
        return lines

    def _copies(self, base: Job, workers: int) -> Line:
        """Return the line of psql's copy of a CSV, which is cut for several psqls."""
        parts = [base.source]
        if workers > 1:
            self._note(f"cut the source for {workers} psqls")
            parts = ask(replace(base, action="split", workers=workers))["parts"]  # type: ignore[assignment]
        self._refuse_too_small(len(parts), workers)
        job = replace(base, action="psql", parts=tuple(parts), workers=workers)
        return Line("psql's \\copy" if workers == 1 else f"psql's \\copy, {workers} at once", "limit", job)

    def _calibrated(self, base: Job, ends: list[int], workers: int) -> Line:
        """Find the fastest way to replay over so many connections, and return its line."""
        over = "" if workers == 1 else f" over {workers} connections"
        self._note(f"look for the fastest replay{over}")
        cuts = cut_stream(ends, workers)
        self._refuse_too_small(len(set(cuts)) - 1, workers)
        in_sample = [end for end in ends if end - ends[0] <= _SAMPLE_BYTES]
        sample = cut_stream(in_sample if len(in_sample) > workers else ends, workers)
        table = self._fresh_table()
        answer: dict[str, Any] = ask(replace(base, action="calibrate", table=table, cuts=sample))
        self._server.drop_table(table)
        driver, block_bytes, _ = min(answer["walls"], key=lambda found: float(found[2]))
        job = replace(base, action="replay", driver=driver, block_bytes=block_bytes, cuts=cuts, workers=workers)
        line = Line(f"replay{over} ({driver}, {block_bytes >> 10}K blocks)", "limit", job)
        self._tried[line.name] = {f"{name} {size >> 10}K": round(wall, 4) for name, size, wall in answer["walls"]}
        return line

    def _refuse_too_small(self, parts: int, workers: int) -> None:
        """Raise `BulkioError` where there is not a part of the source for each worker."""
        if parts < workers:
            raise BulkioError(
                f"{printable(self._bench.source)} is too small for {workers} workers: it is cut into {parts}"
                f" part{'s' * (parts != 1)} for the limit"
            )

    def _fresh_table(self) -> str:
        table = f"run_{next(self._tables)}"
        self._server.make_table(table, self._columns)
        return table

    def _run(self, line: Line) -> Run:
        """Run one line into a table of its own, and compare what it stored."""
        table = self._fresh_table()
        self._server.checkpoint()
        measured = run(replace(line.job, table=table))
        content, transactions = self._server.content(table)
        self._server.drop_table(table)
        if self._first is None:
            self._first = content
        if not measured.rows == content.rows == self._rows or content != self._first:
            raise BulkioError(
                f"bench: {line.name} stored other rows than the first run: it reported {measured.rows} and the table"
                f" has {content.rows} of {self._rows}, hash sum {content.hash_sum} instead of {self._first.hash_sum}"
            )
        if transactions != line.job.workers:
            in_many = "one transaction" if transactions == 1 else f"{transactions} transactions"
            raise BulkioError(
                f"bench: {line.name} stored its rows in {in_many}, and not in {line.job.workers}, one a worker"
            )
        return measured


def _with_workers(name: str, workers: int) -> str:
    return name if workers == 1 else f"{name}, {workers} workers"
