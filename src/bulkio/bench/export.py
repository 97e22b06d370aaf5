"""The export bench: each driver's methods, to Arrow batches that are thrown away and to Parquet, against a raw drain.

What a line exports is compared once, before it is measured: its batches, encoded again, must be the raw stream, byte
for byte. In each measured run the rows are counted.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, cast

from bulkio.bench.pairs import Line, run_pairs
from bulkio.bench.processes import ask, run
from bulkio.bench.result import Result, make_result
from bulkio.bench.scratch import Server, find_dsn
from bulkio.bench.spec import Job
from bulkio.errors import BulkioError

if TYPE_CHECKING:
    from collections.abc import Callable

    from bulkio.bench.spec import Run
    from bulkio.choices import DriverName
    from bulkio.plan import ExportPlan

__all__ = ["ExportBench", "ExportLine", "bench_export"]

#: lines of an export: binary and cursor return Arrow batches, parquet writes a file by the binary method
ExportLine = Literal["binary", "cursor", "parquet", "csv"]


@dataclass(frozen=True, slots=True)
class ExportBench:
    """What to compare."""

    table: str
    drivers: tuple[DriverName, ...] = ("asyncpg", "psycopg")
    methods: tuple[ExportLine, ...] = ("binary", "cursor", "parquet")
    pairs: int = 5


def bench_export(bench: ExportBench, dsn: str | None, note: Callable[[str], None]) -> Result:
    """Run the bench; `note` is told what goes on.

    Raises:
        BulkioError: a run failed, or gave other rows than the server sent.
    """
    found = find_dsn(dsn)
    with Server(found) as server, tempfile.TemporaryDirectory(prefix="bulkio-bench-") as folder:
        return _Exports(bench, server, folder, note).result()


class _Exports:
    """One bench under way."""

    def __init__(self, bench: ExportBench, server: Server, folder: str, note: Callable[[str], None]) -> None:
        from bulkio.sync import plan_export

        self._bench = bench
        self._server = server
        self._note = note
        self._plan: ExportPlan = plan_export(bench.table, "plan.arrows", server.dsn)
        self._job = Job(
            "drain", server.dsn, query=self._plan.query, pins=self._plan.pins, folder=folder, table=bench.table
        )
        self._rows = 0

    def result(self) -> Result:
        limits = {
            driver: Line(f"{driver} raw drain", "limit", replace(self._job, driver=driver))
            for driver in self._bench.drivers
        }
        copy = Line("psql's \\copy to CSV", "limit", replace(self._job, action="psql_out", method="psql_out"))
        lines = [
            Line(
                f"{driver} {_SHOWN[method]}",
                "candidate",
                self._line_job(driver, method),
                copy if method == "csv" else limits[driver],
            )
            for driver in self._bench.drivers
            for method in self._bench.methods
        ]
        compared = self._compare(lines)
        alone = []
        if self._server.allows_server_files():
            alone = [Line("server alone, to /dev/null", "limit", replace(self._job, action="server"))]
        run_pairs([*alone, *lines], self._bench.pairs, self._run, self._note)
        return make_result(
            "export",
            [*alone, *(limit for limit in (*limits.values(), copy) if limit.runs), *lines],
            source={"name": self._bench.table, "rows": self._rows, "columns": len(self._plan.fields)},
            method={"limit": "the same driver's raw drain", "compared": compared},
            server=self._server.facts(),
        )

    def _line_job(self, driver: DriverName, method: ExportLine) -> Job:
        actions: dict[ExportLine, Literal["read", "parquet", "csv"]] = {"parquet": "parquet", "csv": "csv"}
        return replace(self._job, action=actions.get(method, "read"), driver=driver, method=method)

    def _compare(self, lines: list[Line]) -> str:
        """Compare what each line exports with the raw stream."""
        self._note("compare what each line exports")
        raw = ask(replace(self._job, action="digest", method="drain", driver=self._bench.drivers[0]))
        self._rows = int(cast("int", raw["rows"]))
        if not self._rows:
            raise BulkioError(f"{self._bench.table} has no rows: there is nothing to measure")
        one_way = False
        for line in lines:
            found = ask(replace(line.job, action="digest"))
            if line.job.method == "csv":
                _refuse_other(line, found, ask(replace(self._job, action="digest", method="psql_out")))
            elif found["digest"] is None:
                one_way = True
            else:
                _refuse_other(line, found, raw)
        return "row counts only: a type cannot be encoded back" if one_way else "digest of the COPY BINARY stream"

    def _run(self, line: Line) -> Run:
        self._server.checkpoint()
        measured = run(line.job)
        if measured.rows != self._rows:
            raise BulkioError(f"bench: {line.name} gave {measured.rows} rows of {self._rows}")
        return measured


def _refuse_other(line: Line, found: dict[str, object], wanted: dict[str, object]) -> None:
    """Raise `BulkioError` where a line gives other bytes than its limit."""
    if found != wanted:
        raise BulkioError(
            f"bench: {line.name} gave other rows than the server sent: {found['rows']} of {wanted['rows']}, digest"
            f" {found['digest']} instead of {wanted['digest']}"
        )


_SHOWN: dict[ExportLine, str] = {
    "binary": "binary to Arrow",
    "cursor": "cursor to Arrow",
    "parquet": "binary to Parquet",
    "csv": "to CSV",
}
