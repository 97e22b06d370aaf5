"""Measure what connecting costs small calls, and what `aio.pooled` saves of it.

    python benchmarks/pooled.py [--calls 200] [--rounds 3] [--dsn DSN]

Without a DSN, an embedded server of its own over its Unix socket, which is gone afterwards; over TLS and a network
connecting costs more. Rounds with the pool and without take turns; what counts is the median.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from bulkio import aio
from bulkio.server import embedded

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Call = Callable[[], Awaitable[object]]


def main() -> None:
    """Measure, and print the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dsn")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bulkio-figures-") as folder:
        os.environ["BULKIO_HOME"] = str(Path(folder) / "home")
        try:
            found = asyncio.run(measure(options.dsn or embedded.ensure(), options.calls, options.rounds))
        finally:
            embedded.stop()
    print(json.dumps(found, indent=2))


async def measure(dsn: str, calls: int, rounds: int) -> dict[str, object]:
    """Return the milliseconds of one call, by kind of call and driver."""
    found: dict[str, object] = {}
    for driver in ("asyncpg", "psycopg"):
        settings = {"driver": driver}
        kinds: dict[str, Call] = {
            "fetch_row": lambda settings=settings: aio.fetch_row("SELECT 1", dsn, **settings),
            "list_loads": lambda settings=settings: aio.list_loads(dsn, **settings),
            "load of one row": lambda settings=settings: aio.load([{"a": 1}], "pooled_bench", dsn, **settings),
        }
        for kind, call in kinds.items():
            await call()
            alone, pooled = [], []
            for _ in range(rounds):
                alone.append(await per_call_ms(call, calls, nullcontext()))
                pooled.append(await per_call_ms(call, calls, aio.pooled()))
            found[f"{kind}, {driver}"] = {
                "alone_ms": round(statistics.median(alone), 2),
                "pooled_ms": round(statistics.median(pooled), 2),
            }
    return found


async def per_call_ms(call: Call, calls: int, block: object) -> float:
    """Return the milliseconds of one call, of so many one after the other; the pool's start and end are part of it."""
    begun = time.perf_counter()
    async with block:  # type: ignore[attr-defined]
        for _ in range(calls):
            await call()
    return (time.perf_counter() - begun) / calls * 1e3


if __name__ == "__main__":
    main()
