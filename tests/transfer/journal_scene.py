"""What the tests of the journal share: a tick, and processes that begin its run."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime

from bulkio.options import LedgerRequest
from bulkio.transfer.journal import Journal, RunFacts, open_journal
from servers import connect

TICK = datetime.fromisoformat("2026-10-25T02:15+02:00")
RUN = "2026-10-25T02:15+02:00"
FACTS = RunFacts("/p/orders.toml", "tick", TICK)


async def journal_of(dsn: str, **options: object) -> Journal:
    return await open_journal(LedgerRequest(dsn, **options))


def change(dsn: str, statement: str) -> None:
    with connect(dsn) as conn:
        conn.execute(statement)


def another_process(
    dsn: str, code: str = "", *, run: str = RUN, kind: str = "tick", beat_s: float = 10
) -> subprocess.Popen[str]:
    """Start a process that begins a run, runs `code` in its heartbeat, and sleeps; return it when it has begun."""
    program = f"""
import asyncio
from datetime import datetime
from bulkio.options import LedgerRequest
from bulkio.transfer.journal import RunFacts, open_journal, run as journal_run
journal_run.BEAT_S = {beat_s}
async def main():
    journal = await open_journal(LedgerRequest({dsn!r}))
    facts = RunFacts("/p/orders.toml", {kind!r}, datetime.fromisoformat({RUN!r}))
    run = await journal.begin("orders", {run!r}, facts)
    async with run.held():
        {code or "pass"}
        print("begun", flush=True)
        await asyncio.sleep(60)
asyncio.run(main())
"""
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout as told:
        assert told.readline() == "begun\n"
    return process
