"""The bench: every figure that bulkio publishes is made here (`bulkio bench load`, `bulkio bench export`).

A *line* is one way to move the rows: a *candidate* (one of bulkio's drivers with one of its methods) or a *limit*,
which does the least that a client can do for the same work on the server, over as many connections. Each run has its
own process, candidates alternate with their limit in pairs, what a run stored is compared before the next one starts,
and a ratio is the median over pairs.

    spec        a worker's job, and its answer
    worker      the process of one run; `limits` holds the lines that do nothing but move bytes
    processes   starts workers and ends them
    scratch     the server's side: a schema for the bench's tables, comparing them, dropping them
    pairs       the order of the runs
    load, export   the two benches
    stats, machine, result, table   the result, and how it is shown
"""

from __future__ import annotations

from bulkio.bench.export import ExportBench, bench_export
from bulkio.bench.load import LoadBench, bench_load
from bulkio.bench.result import Result

__all__ = ["ExportBench", "LoadBench", "Result", "bench_export", "bench_load"]
