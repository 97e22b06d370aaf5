"""The bench: every figure that bulkio publishes is made here (`bulkio bench load`, `bulkio bench export`).

A *line* is one way to move the rows: a *candidate* (a driver and a method of bulkio's) or a *limit*, which does the
least that a client can do for the same work on the server. Each run has a process of its own, candidates alternate with
their limit in pairs, what a run stored is compared before the next one starts, and a ratio is the median over pairs.

    spec        what a worker is asked for, and what it answers
    worker      the process of one run; `limits` holds the lines that do nothing but move bytes
    processes   starts workers and ends them
    scratch     the server's side: a schema for the bench's tables, their comparison, their end
    pairs       the order of the runs
    load, export   the two benches
    stats, machine, result, table   what comes out
"""

from __future__ import annotations

from bulkio.bench.export import ExportBench, bench_export
from bulkio.bench.load import LoadBench, bench_load
from bulkio.bench.result import Result

__all__ = ["ExportBench", "LoadBench", "Result", "bench_export", "bench_load"]
