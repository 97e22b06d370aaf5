"""What modes lock, and what others see meanwhile: docs/loading.md's table."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import psycopg
import pyarrow as pa
import pytest

import bulkio
from servers import connect, fetch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: options of each mode, by a name for it
MODES: dict[str, dict[str, object]] = {
    "append": {"mode": "append"},
    "truncate": {"mode": "truncate"},
    "upsert": {"mode": "upsert"},
    "insert-new": {"mode": "insert-new"},
    "delete-missing": {"mode": "upsert", "delete_missing": True, "max_delete": "100%"},
    "replace-where": {"mode": "replace-where", "where": "true"},
}
NEW = pa.table({"id": [2, 3], "v": ["new", "new"]})


class Held:
    """A load that is held before its last batch: its rows are on their way, and nothing is committed."""

    def __init__(self, dsn: str, options: dict[str, object]) -> None:
        self.report: bulkio.LoadReport | None = None
        self._read, self._go = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._load, args=(dsn, options))

    def __enter__(self) -> Held:
        self._thread.start()
        assert self._read.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        self._go.set()
        self._thread.join(30)
        assert self.report is not None

    def _load(self, dsn: str, options: dict[str, object]) -> None:
        reader = pa.RecordBatchReader.from_batches(NEW.schema, self._batches())
        self.report = bulkio.load(reader, "t", dsn, **options)

    def _batches(self) -> Iterator[pa.RecordBatch]:
        yield from NEW.slice(0, 1).to_batches()
        self._read.set()
        self._go.wait(30)
        yield from NEW.slice(1).to_batches()


@pytest.fixture
def table(dsn: str) -> str:
    """Return a database with the table t of two rows."""
    with connect(dsn) as conn:
        conn.execute("CREATE TABLE t (id bigint PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'old'), (9, 'old')")
    return dsn


def locks(dsn: str) -> set[str]:
    """Return the modes of the locks that are held on t."""
    rows = fetch(dsn, "SELECT mode FROM pg_locks WHERE relation = 't'::regclass AND granted")
    return {str(mode) for (mode,) in rows}


def eventually(what: Callable[[], bool]) -> None:
    """Wait until it is so."""
    limit = time.monotonic() + 30
    while not what():
        assert time.monotonic() < limit
        threading.Event().wait(0.01)


def try_to(dsn: str, statement: str) -> bool:
    """Tell whether a statement gets its locks at once."""
    try:
        with connect(dsn) as conn:
            conn.execute("SET lock_timeout = '50ms'")
            conn.execute(statement)
    except psycopg.errors.LockNotAvailable:
        return False
    return True


@pytest.mark.parametrize("mode", MODES)
def test_readers_go_on(table: str, mode: str) -> None:
    """While rows travel, others read the old rows, or wait (truncate); writers as the docs say; then all is there."""
    with Held(table, MODES[mode]):
        wanted = {"truncate": "AccessExclusiveLock"}.get(mode)
        wanted = wanted or (
            "RowExclusiveLock" if mode in ("append", "upsert", "insert-new") else "ShareRowExclusiveLock"
        )
        eventually(lambda: wanted in locks(table))
        assert try_to(table, "SELECT * FROM t") == (mode != "truncate")
        assert try_to(table, "UPDATE t SET v = v WHERE id = 1") == (wanted == "RowExclusiveLock")
        if mode != "truncate":
            assert fetch(table, "SELECT v FROM t") == [("old",), ("old",)] * 1
    kept = mode in ("append", "upsert", "insert-new")
    assert fetch(table, "SELECT id FROM t ORDER BY 1") == [(i,) for i in ((1, 2, 3, 9) if kept else (2, 3))]


@pytest.mark.parametrize("mode", MODES)
def test_a_lock_that_is_not_had_changes_nothing(table: str, mode: str) -> None:
    """lock_timeout ends the wait with an error that says that it may be retried."""
    with connect(table) as conn, conn.transaction():
        conn.execute("LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(bulkio.DriverError, match="lock timeout") as caught:
            bulkio.load(NEW, "t", table, lock_timeout="50ms", **MODES[mode])
        assert caught.value.sqlstate == "55P03"
    assert fetch(table, "SELECT count(*) FROM t WHERE v = 'old'") == [(2,)]


@pytest.mark.parametrize(("mode", "seen"), [("truncate", 2), ("replace-where", 2)])
def test_an_old_snapshot(table: str, mode: str, seen: int) -> None:
    """Who began before a truncate sees none of the old rows; with replace-where, all of them."""
    with connect(table) as conn, conn.transaction():
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        conn.execute("SELECT 1")  # takes the snapshot, and no lock
        bulkio.load(NEW, "t", table, **MODES[mode])
        rows = conn.execute("SELECT v FROM t").fetchall()
    assert rows == [("new" if mode == "truncate" else "old",)] * seen


@pytest.mark.parametrize("mode", MODES)
def test_the_privileges_that_the_docs_name(table: str, mode: str) -> None:
    """These suffice; without one of them the message says which to grant."""
    needed = {
        "append": "INSERT", "truncate": "INSERT, TRUNCATE", "upsert": "SELECT, INSERT, UPDATE",
        "insert-new": "SELECT, INSERT", "delete-missing": "SELECT, INSERT, UPDATE, DELETE",
        "replace-where": "SELECT, INSERT, DELETE",
    }[mode]  # fmt: skip
    login, role = table.split("//", 1)[1].split("@", 1)[0].split(":"), f"role_{time.time_ns()}"
    with connect(table) as conn:
        conn.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{login[1]}'")
        try:
            dsn = table.replace(f"//{login[0]}:", f"//{role}:")
            with pytest.raises(bulkio.DriverError, match=f"its owner can GRANT {needed} ON TABLE"):
                bulkio.load(NEW, "t", dsn, **MODES[mode])
            conn.execute(f"GRANT {needed} ON t TO {role}")
            bulkio.load(NEW, "t", dsn, **MODES[mode])
        finally:
            conn.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")
