"""The load bench: each driver's methods against the same bytes replayed.

Every run appends to a fresh table, and the limit does so, too: neither writes rows frozen, skips the log or analyzes the
table, as `truncate` does. So the server's work is the same, and a ratio is what the client costs.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from bulkio import sql
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


@dataclass(frozen=True, slots=True)
class LoadBench:
    """What to compare."""

    source: str
    drivers: tuple[DriverName, ...] = ("asyncpg", "psycopg")
    methods: tuple[LoadMethod, ...] = ("binary", "csv", "records")
    pairs: int = 5
    #: rows of the source, from its start; None takes all
    rows: int | None = None


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
        base = replace(self._job, source=prepared["source"], stream=prepared["stream"], columns=names, fmt=fmt)
        tried: dict[str, float] = {}
        if prepared["is_csv"]:
            limit = Line("psql's \\copy", "limit", replace(base, action="psql"))
        else:
            limit, tried = self._calibrated(replace(base, stream=prepared["sample"]), base)
        lines = [
            Line(f"{driver} {method}", "candidate", replace(base, action="load", driver=driver, method=method), limit)
            for driver in self._bench.drivers
            for method in self._bench.methods
        ]
        run_pairs(lines, self._bench.pairs, self._run, self._note)
        return make_result(
            "load",
            [limit, *lines],
            source={"name": Path(self._bench.source).name, "rows": self._rows, "copy_bytes": prepared["bytes"]},
            method={"limit": limit.name, "calibration_s": tried, "compared": "count and hash of every row's text"},
            server=self._server.facts(),
        )

    def _calibrated(self, sample: Job, whole: Job) -> tuple[Line, dict[str, float]]:
        """Find the fastest way to replay; return its line, and what each took for the sample."""
        self._note("look for the fastest replay")
        table = self._fresh_table()
        answer: dict[str, Any] = ask(replace(sample, action="calibrate", table=table))
        self._server.drop_table(table)
        driver, block_bytes, _ = min(answer["walls"], key=lambda found: float(found[2]))
        tried = {f"{name} {size >> 10}K": round(wall, 4) for name, size, wall in answer["walls"]}
        job = replace(whole, action="replay", driver=driver, block_bytes=block_bytes)
        return Line(f"replay ({driver}, {block_bytes >> 10}K blocks)", "limit", job), tried

    def _fresh_table(self) -> str:
        table = f"run_{next(self._tables)}"
        self._server.make_table(table, self._columns)
        return table

    def _run(self, line: Line) -> Run:
        """Run one line into a table of its own, and compare what it stored."""
        table = self._fresh_table()
        self._server.checkpoint()
        measured = run(replace(line.job, table=table))
        content = self._server.content(table)
        self._server.drop_table(table)
        if self._first is None:
            self._first = content
        if not measured.rows == content.rows == self._rows or content != self._first:
            raise BulkioError(
                f"bench: {line.name} stored other rows than the first run: it reported {measured.rows} and the table"
                f" has {content.rows} of {self._rows}, hash sum {content.hash_sum} instead of {self._first.hash_sum}"
            )
        return measured
