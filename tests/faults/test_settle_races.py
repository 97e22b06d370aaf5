"""Runs that settle a load in two phases while it is at its commit: it ends whole or not at all, as the ledger says.

Their way is free because the session ends that holds the lock of the load's id. CI runs a few; `make races` 200 of each
kind. RACES_SEED repeats a run.
"""

from __future__ import annotations

import contextlib
import os
import random
import time
from typing import TYPE_CHECKING

import anyio
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from worker_faults import end_lock_session

import bulkio
from bulkio import aio
from bulkio.options import LoadRequest
from bulkio.transfer.settle import settle
from servers import connect, fetch

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg

ROUNDS = max(6, int(os.environ.get("RACES", "0")) * 2)
SEED = int(os.environ.get("RACES_SEED", time.time_ns()))
ROWS = 400
#: seconds after all rows are sent in which a load is at its commit, on a quiet machine
LATEST_S = 0.04


class _Race:
    """One load, and those who settle it."""

    def __init__(self, dsn: str, conn: psycopg.Connection, source: Path, chance: random.Random) -> None:
        self.dsn = dsn
        self.conn = conn
        self.source = source
        self.chance = chance
        self.driver = chance.choice(["asyncpg", "psycopg"])
        self.report: bulkio.LoadReport | None = None
        #: errors of those who settle it
        self.errors: list[bulkio.BulkioError] = []

    async def run(self, *, rivals: bool) -> None:
        """Load; `rivals` wait to load, too, where others only settle what they find."""
        is_begun, is_sent = anyio.Event(), anyio.Event()
        async with anyio.create_task_group() as group:
            group.start_soon(self._load, is_begun, is_sent)
            if rivals:
                while not self.conn.execute("SELECT FROM pg_locks WHERE locktype = 'advisory'").fetchall():
                    await anyio.sleep(0.001)
                group.start_soon(self._rival)
                group.start_soon(self._rival)
            # A rival looks at the ledger and connects before it settles what it finds.
            await (is_begun if rivals else is_sent).wait()
            await anyio.sleep(LATEST_S * self.chance.random() ** 2)
            end_lock_session(self.conn)
            if not rivals:
                group.start_soon(self._settle)
                group.start_soon(self._settle)

    async def _load(self, is_begun: anyio.Event, is_sent: anyio.Event) -> None:
        def watch(progress: bulkio.Progress) -> None:
            is_begun.set()
            if progress.committing:
                is_sent.set()

        with contextlib.suppress(bulkio.LoadRunning):
            self.report = await self._call(self.driver, progress=watch)

    async def _call(self, driver: str, **options: object) -> bulkio.LoadReport:
        return await aio.load(
            self.source, "t", self.dsn, load_id="night", driver=driver, workers=2, chunk_bytes=1, **options
        )

    async def _settle(self) -> None:
        request = LoadRequest(self.source, "t", self.dsn, driver=self.chance.choice(["asyncpg", "psycopg"]))
        await self._note(settle(request, "bulkio_ledger", "night"))

    async def _rival(self) -> None:
        await self._note(self._call(self.chance.choice(["asyncpg", "psycopg"]), wait=True, retries=3))

    async def _note(self, work: object) -> None:
        try:
            await work  # type: ignore[misc]
        except bulkio.BulkioError as error:
            self.errors.append(error)


@pytest.mark.parametrize("rivals", [False, True], ids=["settlers", "rivals"])
def test_a_load_that_others_settle_ends_whole_or_not_at_all(one_dsn: str, rivals: bool, tmp_path: Path) -> None:
    """What it reports, what the ledger says and what the table holds agree; nothing stays prepared."""
    print(f"RACES_SEED={SEED}")  # noqa: T201 - shown where it fails
    chance = random.Random(f"{SEED} {rivals}")  # noqa: S311
    source = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"id": range(ROWS)}), source, row_group_size=ROWS // 4)
    with connect(one_dsn) as conn:
        conn.execute(f"CREATE TABLE t (id bigint); {bulkio.ledger_ddl(role=None)}")
        ends = {"whole": 0, "not at all": 0}
        for _ in range(ROUNDS):
            conn.execute("TRUNCATE t; DELETE FROM bulkio_ledger.loads")
            race = _Race(one_dsn, conn, source, chance)
            anyio.run(lambda race=race: race.run(rivals=rivals))
            assert not race.errors
            assert fetch(one_dsn, "SELECT gid FROM pg_prepared_xacts") == []
            states = fetch(one_dsn, "SELECT state, rows FROM bulkio_ledger.loads")
            stored = fetch(one_dsn, "SELECT count(*), count(DISTINCT id) FROM t")
            if race.report is not None or rivals:
                assert (states, stored) == ([("done", ROWS)], [(ROWS, ROWS)])
            else:
                assert (states, stored) == ([], [(0, 0)])
            ends["not at all" if race.report is None else "whole"] += 1
    print(ends)  # noqa: T201
