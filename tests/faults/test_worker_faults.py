"""The faults that two workers meet, with both kinds of commit; after each the same load comes to the expected rows.

CI runs a part: each fault with some of the modes, where those go round. `make faults` runs all combinations.
"""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fault_scene import MODES, Scene, meet_and_load_again, run_client
from worker_faults import COLUMNS, WORKER_FAULTS, another_run, fits

import bulkio
from servers import TestServer, connect, fetch, found_servers

if TYPE_CHECKING:
    from pathlib import Path

DRIVERS = ("asyncpg", "psycopg")
SERVERS = tuple(found_servers())
#: one of so many modes, in CI, for each fault
THINNED = 5


def combinations() -> list[tuple[str, str, str, str, str]]:
    """Return (fault, mode, commit, driver, server): all of them, or some, in which drivers and servers go round."""
    fitting = [(fault, *column) for fault, column in itertools.product(WORKER_FAULTS, COLUMNS) if fits(fault, *column)]
    if os.environ.get("FAULTS") == "all":
        return [(*each, driver, server) for each, driver, server in itertools.product(fitting, DRIVERS, SERVERS)]
    rows = {fault: row for row, fault in enumerate(WORKER_FAULTS)}
    chosen = []
    for fault, mode, commit in fitting:
        place = rows[fault] + COLUMNS.index((mode, commit))
        if fault.startswith("two phases") or place % THINNED == 0:
            server, driver = divmod(place // THINNED + rows[fault], len(DRIVERS))
            chosen.append((fault, mode, commit, DRIVERS[driver], SERVERS[server % len(SERVERS)]))
    return chosen


@pytest.mark.parametrize(("fault", "mode", "commit", "driver", "server_id"), combinations())
def test_the_second_run_comes_to_the_expected_rows(
    fault: str, mode: str, commit: str, driver: str, server_id: str, clusters: dict[str, TestServer], source: Path
) -> None:
    """Whatever the first one has left: rows are there once, and all of them."""
    meet_and_load_again(
        WORKER_FAULTS[fault], clusters[server_id], source, driver, mode, commit, is_disk_small=fault == "disk full"
    )


def _leaves_nothing(dsn: str) -> bool:
    relations = fetch(dsn, "SELECT relname FROM pg_class WHERE relname LIKE '%bulkio%' AND relnamespace = 2200")
    return not (relations or fetch(dsn, "SELECT gid FROM pg_prepared_xacts"))


@pytest.mark.parametrize(("rows", "driver"), [(2000, "asyncpg"), (0, "psycopg")])
@pytest.mark.parametrize(("mode", "commit"), COLUMNS)
def test_an_empty_chunk_is_stored_like_any_other(
    one_dsn: str, mode: str, commit: str, rows: int, driver: str, tmp_path: Path
) -> None:
    """Here the first file and the last one have no rows, and in the end the one between them has none either."""
    for number, count in enumerate([0, rows, 0]):
        table = pa.table({"id": pa.array(range(count), pa.int64()), "v": pa.array(["new"] * count, pa.string())})
        pq.write_table(table, tmp_path / f"{number}.parquet")
    options = {**MODES[mode], "workers": 2, "commit": commit, "chunk_bytes": 1, "driver": driver, "load_id": "empty"}
    options |= {"if_empty": "ok"} if mode in ("replace", "delete-missing", "replace-where") else {}
    if mode != "create":
        with connect(one_dsn) as conn:
            conn.execute("CREATE TABLE t (id bigint PRIMARY KEY, v text)")
    report = bulkio.load(tmp_path, "t", one_dsn, **options)
    assert report.rows == rows
    assert fetch(one_dsn, "SELECT count(*), count(DISTINCT id) FROM t") == [(rows, rows)]
    assert fetch(one_dsn, "SELECT state, rows FROM bulkio_ledger.loads") == [("done", rows)]
    assert bulkio.load(tmp_path, "t", one_dsn, **options).already
    assert _leaves_nothing(one_dsn)


@pytest.mark.parametrize(("commit", "driver"), [("all", "asyncpg"), ("chunk", "psycopg")])
def test_the_same_key_in_two_chunks(one_dsn: str, commit: str, driver: str, tmp_path: Path) -> None:
    """It is an error, by chunks again and again: nobody hangs, and at most whole chunks are stored."""
    ids = [*range(3000), 5, *range(3001, 4000)]
    pq.write_table(pa.table({"id": pa.array(ids, pa.int64())}), tmp_path / "rows.parquet", row_group_size=1000)
    with connect(one_dsn) as conn:
        conn.execute("CREATE TABLE t (id bigint PRIMARY KEY)")
    options = {"workers": 2, "commit": commit, "chunk_bytes": 1, "driver": driver, "load_id": "doubled"}
    for _ in range(2 if commit == "chunk" else 1):
        with pytest.raises(bulkio.BulkioError) as caught:
            bulkio.load(tmp_path / "rows.parquet", "t", one_dsn, **options)
        cause = caught.value.__cause__ if isinstance(caught.value, bulkio.LoadUnfinished) else caught.value
        assert isinstance(cause, bulkio.DriverError)
        [(stored, whole)] = fetch(
            one_dsn,
            "SELECT (SELECT count(*) FROM t), (SELECT coalesce(sum(rows), 0) FROM bulkio_ledger.chunks)",
        )
        assert stored == whole
        assert _leaves_nothing(one_dsn)
    if commit == "all":
        assert fetch(one_dsn, "SELECT count(*) FROM t, bulkio_ledger.loads") == [(0,)]


@pytest.mark.parametrize(("mode", "driver"), [("create", "asyncpg"), ("replace", "psycopg"), ("upsert", "asyncpg")])
def test_a_run_meets_one_that_is_just_beginning(one_dsn: str, mode: str, driver: str, source: Path) -> None:
    """A client may die during its first COMMIT, whose lock is free then: the next run hears that another has begun."""
    scene = Scene(None, one_dsn, source, driver, mode, "chunk")  # type: ignore[arg-type]
    scene.prepare()
    assert run_client(scene, kill_after_s=None, point={"half": True})
    scene.check_ledger(scene.table())
    [(schema, table)] = fetch(one_dsn, "SELECT work -> 'place' ->> 0, work -> 'place' ->> 1 FROM bulkio_ledger.loads")
    with connect(one_dsn) as first, another_run(scene) as (start, outcome):
        first.execute(f'CREATE TABLE kept AS TABLE bulkio_ledger.loads; DROP TABLE "{schema}"."{table}"')
        first.execute("DELETE FROM bulkio_ledger.loads; DELETE FROM bulkio_ledger.chunks")
        first.execute(f'BEGIN; CREATE TABLE "{schema}"."{table}" (a int); INSERT INTO bulkio_ledger.loads TABLE kept')
        start()
        while not fetch(one_dsn, "SELECT FROM pg_locks WHERE NOT granted"):
            assert not outcome
        first.execute("COMMIT")
    assert isinstance(outcome[0], bulkio.LoadRunning), outcome
