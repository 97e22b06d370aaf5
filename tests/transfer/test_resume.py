"""A load whose chunks commit for themselves goes on wherever it was ended, exactly once, or says why it does not."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import bulkio
from bulkio import aio
from bulkio.transfer import by_chunks, two_phase
from servers import connect, fetch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ROWS = 2_000
NEW = {key: f"new {key}" for key in range(ROWS)}
CHUNKS = 10
#: loads that can be resumed, with the table before them, and after
LOADS: dict[str, dict[str, Any]] = {
    "append": {},
    "create": {"mode": "create"},
    "replace": {"mode": "replace"},
    "upsert": {"mode": "upsert"},
    "insert-new": {"mode": "insert-new"},
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Make a file of ten row groups."""
    return write(tmp_path / "a.parquet")


def write(path: Path, rows: dict[int, str] = NEW) -> Path:
    table = pa.table({"k": pa.array(rows, pa.int64()), "v": pa.array(rows.values(), pa.string())})
    pq.write_table(table, path, row_group_size=ROWS // CHUNKS)
    return path


class Stop(Exception):  # noqa: N818 - a signal
    """The load is to end here."""


def stop_after(rows: int) -> Callable[[bulkio.Progress], None]:
    """Return a callback that ends a load once so many rows were sent."""

    def watch(progress: bulkio.Progress) -> None:
        if progress.rows > rows:
            raise Stop

    return watch


def load(path: Path, dsn: str, **options: Any) -> bulkio.LoadReport:
    """Load by chunks, one after the other."""
    return bulkio.load(path, "t", dsn, **{"commit": "chunk", "chunk_bytes": 1, "load_id": "night", **options})


def interrupted(path: Path, dsn: str, **options: Any) -> bulkio.LoadRecord:
    """Load half of the rows; return what is recorded."""
    given = {"commit": "chunk", "chunk_bytes": 1, "load_id": "night", **options}
    with pytest.raises(Stop):
        bulkio.load(path, "t", dsn, progress=stop_after(ROWS // 2), **given)
    return bulkio.show_load("night", dsn)


def make_table(dsn: str, mode: str = "append") -> None:
    with connect(dsn) as conn:
        if mode != "create":
            conn.execute("CREATE TABLE t (k bigint PRIMARY KEY, v text)")


def stored(dsn: str) -> dict[int, str]:
    rows = fetch(dsn, "SELECT k, v FROM t")
    assert len(dict(rows)) == len(rows)
    return dict(rows)  # type: ignore[arg-type]


def left(dsn: str) -> list[tuple[object, ...]]:
    """Return the tables of bulkio's own beside the ledger, and its chunks."""
    chunks = fetch(dsn, "SELECT 'chunk ' || chunk FROM bulkio_ledger.chunks")
    return fetch(dsn, "SELECT relname::text FROM pg_class WHERE relname LIKE 'bulkio\\_%' AND relkind = 'r'") + chunks


@pytest.mark.parametrize("mode", LOADS)
@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
def test_the_next_run_goes_on(dsn: str, path: Path, mode: str, driver: str) -> None:
    """It stores what is missing, and nothing twice; the report is that of all runs."""
    make_table(dsn, mode)
    record = interrupted(path, dsn, driver=driver, **LOADS[mode])
    assert record.state == "running"
    assert record.work is not None
    assert 0 < record.stored_chunks < CHUNKS == record.work.chunks
    if mode == "append":
        assert stored(dsn) == {key: NEW[key] for key in list(NEW)[: record.stored_rows]}
    else:
        assert fetch(dsn, "SELECT to_regclass('t') IS NULL OR NOT EXISTS (TABLE t)" if mode != "create" else
                     "SELECT to_regclass('t') IS NULL") == [(True,)]  # fmt: skip
    sent: list[bulkio.Progress] = []
    report = bulkio.load(
        path, "t", dsn, commit="chunk", workers=2, load_id="night", driver=driver, progress=sent.append, **LOADS[mode]
    )
    assert (report.rows, report.inserted, report.already) == (ROWS, ROWS, False)
    assert sent[0].rows > record.stored_rows
    assert stored(dsn) == NEW
    assert left(dsn) == []
    assert bulkio.show_load("night", dsn).state == "done"


def test_one_worker_goes_on_without_being_told(one_dsn: str, path: Path) -> None:
    """The ledger says how the load was begun."""
    make_table(one_dsn)
    interrupted(path, one_dsn)
    assert bulkio.load(path, "t", one_dsn, load_id="night").rows == ROWS
    assert stored(one_dsn) == NEW


@pytest.mark.parametrize("mode", LOADS)
def test_resume_needs_nothing_but_the_id(one_dsn: str, path: Path, mode: str) -> None:
    """The options and the files' absolute paths are recorded; a load that is done is only reported."""
    make_table(one_dsn, mode)
    interrupted(path, one_dsn, **LOADS[mode])
    report = bulkio.resume_load("night", one_dsn)
    assert (report.rows, report.mode, report.already) == (ROWS, LOADS[mode].get("mode", "append"), False)
    assert stored(one_dsn) == NEW
    assert bulkio.resume_load("night", one_dsn).already


def test_resume_of_a_csv_with_all_its_options(one_dsn: str, tmp_path: Path) -> None:
    """How it is written, what is renamed and added, how many may be deleted."""
    path = tmp_path / "a.dat"
    path.write_text("key;value\n" + "".join(f"{key};{value}\n" for key, value in NEW.items()))
    make_table(one_dsn)
    with connect(one_dsn) as conn:
        conn.execute("ALTER TABLE t ADD w text; INSERT INTO t VALUES (-1, 'gone')")
    with pytest.raises(Stop):
        bulkio.load(
            bulkio.csv(path, delimiter=";"),
            "t",
            one_dsn,
            mode="upsert",
            commit="chunk",
            chunk_bytes=3000,
            load_id="night",
            rename={"key": "k", "value": "v"},
            add={"w": "x{{}}"},
            delete_missing=True,
            max_delete="100%",
            progress=stop_after(ROWS // 2),
        )
    report = bulkio.resume_load("night", one_dsn, workers=2)
    assert (report.workers, report.deleted) == (2, 1)
    assert stored(one_dsn) == NEW
    assert fetch(one_dsn, "SELECT DISTINCT w FROM t") == [("x{}",)]


def test_a_source_that_has_changed_is_refused_by_name(one_dsn: str, path: Path) -> None:
    """By both ways to go on, and nothing is stored."""
    make_table(one_dsn)
    record = interrupted(path, one_dsn)
    write(path, {**NEW, 7: "changed"})
    again: list[Callable[[], object]] = [
        lambda: bulkio.resume_load("night", one_dsn),
        lambda: bulkio.load(path, "t", one_dsn, load_id="night", commit="chunk"),
    ]
    for way in again:
        with pytest.raises(
            bulkio.LoadDiffers, match=r"is unfinished, and is a different one:\n  file 1, .*a\.parquet: "
        ):
            way()
    assert len(stored(one_dsn)) == record.stored_rows


def test_a_file_that_is_gone(one_dsn: str, path: Path) -> None:
    """It is named."""
    make_table(one_dsn)
    interrupted(path, one_dsn)
    path.unlink()
    with pytest.raises(bulkio.FileError, match=str(path)):
        bulkio.resume_load("night", one_dsn)


@pytest.mark.parametrize(
    "change", ["ALTER TABLE t ALTER v TYPE varchar(30)", "DROP TABLE t; CREATE TABLE t (k bigint, v text)"]
)
def test_a_table_that_has_changed_is_refused(one_dsn: str, path: Path, change: str) -> None:
    """Rows that were stored may not be there any more, or of another type."""
    make_table(one_dsn)
    interrupted(path, one_dsn)
    with connect(one_dsn) as conn:
        conn.execute(change)
    with pytest.raises(
        bulkio.LedgerError, match=r"cannot go on: the table, or how the source is cut, is not what it was"
    ):
        bulkio.resume_load("night", one_dsn)


def test_a_refusal_to_go_on_leaves_what_is_stored(one_dsn: str, path: Path) -> None:
    """Nor does it say that the load went on."""
    make_table(one_dsn)
    interrupted(path, one_dsn, mode="upsert")
    with connect(one_dsn) as conn:
        conn.execute("ALTER TABLE t ADD x int")
        conn.execute("ALTER TABLE t ALTER v TYPE varchar(30)")
    with pytest.raises(bulkio.LedgerError, match="cannot go on: the table") as caught:
        bulkio.resume_load("night", one_dsn)
    assert not isinstance(caught.value, bulkio.LoadUnfinished)
    with connect(one_dsn) as conn:
        conn.execute("ALTER TABLE t RENAME TO u")
    with pytest.raises(bulkio.BulkioError):
        bulkio.resume_load("night", one_dsn)
    with connect(one_dsn) as conn:
        conn.execute("ALTER TABLE u ALTER v TYPE text")
        conn.execute("ALTER TABLE u RENAME TO t")
    assert bulkio.resume_load("night", one_dsn).rows == ROWS
    assert stored(one_dsn) == NEW


def test_restart_begins_a_hidden_load_anew(one_dsn: str, path: Path) -> None:
    """Even with another file; an append whose chunks are stored cannot."""
    make_table(one_dsn)
    interrupted(path, one_dsn, mode="upsert")
    write(path, {**NEW, 1: "one"})
    assert bulkio.load(path, "t", one_dsn, mode="upsert", load_id="night", restart=True).rows == ROWS
    assert stored(one_dsn) == {**NEW, 1: "one"}
    assert left(one_dsn) == []
    with connect(one_dsn) as conn:
        conn.execute("TRUNCATE t; DELETE FROM bulkio_ledger.loads")
    interrupted(path, one_dsn)
    with pytest.raises(bulkio.LedgerError, match=r"has appended 1,000 rows to public\.t: loaded again, they would be"):
        load(path, one_dsn, restart=True)


def test_forget_takes_the_staged_rows_along(one_dsn: str, path: Path) -> None:
    """But not where rows were appended."""
    make_table(one_dsn)
    interrupted(path, one_dsn, mode="upsert")
    assert bulkio.forget_load("night", one_dsn).state == "running"
    assert (left(one_dsn), bulkio.list_loads(one_dsn)) == ([], ())
    interrupted(path, one_dsn)
    with pytest.raises(bulkio.LedgerError, match=r"has appended 1,000 rows to public\.t: forgotten, a retry would add"):
        bulkio.forget_load("night", one_dsn)


def test_a_load_whose_rows_were_deleted_is_forgotten(one_dsn: str, path: Path) -> None:
    """If one says so: only then is its id free again."""
    make_table(one_dsn)
    interrupted(path, one_dsn)
    with connect(one_dsn) as conn:
        conn.execute("TRUNCATE t")
    with pytest.raises(bulkio.LedgerError, match=r"or delete them, and say so \(rows_removed=True\)"):
        bulkio.forget_load("night", one_dsn)
    assert bulkio.forget_load("night", one_dsn, rows_removed=True).load_id == "night"
    assert load(path, one_dsn).rows == ROWS
    assert stored(one_dsn) == NEW


def test_what_another_run_has_begun_anew_is_not_touched(one_dsn: str, path: Path, tmp_path: Path) -> None:
    """A run that has lost its lock, and is slow, adds no chunk to the load that took its place: another file's."""
    make_table(one_dsn)
    other = write(tmp_path / "b.parquet", dict.fromkeys(range(ROWS), "other"))

    async def main() -> list[object]:
        slow, gone_on = asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()
        released = threading.Event()

        def watch(progress: bulkio.Progress) -> None:
            if progress.rows > ROWS // 2 and not slow.is_set() and not released.is_set():
                end_lock(one_dsn)
                loop.call_soon_threadsafe(slow.set)

        original = by_chunks._Load._store

        async def store(self: object, session: object, chunk: object) -> None:
            if slow.is_set() and not gone_on.is_set() and self.claim.request.restart is False:  # type: ignore[attr-defined]
                await gone_on.wait()
            await original(self, session, chunk)  # type: ignore[arg-type]

        by_chunks._Load._store = store  # type: ignore[method-assign,assignment]
        options = {"mode": "replace", "commit": "chunk", "chunk_bytes": 1, "load_id": "night"}

        async def first() -> object:
            return await aio.load(path, "t", one_dsn, progress=watch, **options)

        async def second() -> object:
            await slow.wait()
            try:
                return await aio.load(other, "t", one_dsn, restart=True, wait=True, **options)
            finally:
                gone_on.set()

        try:
            return await asyncio.gather(first(), second(), return_exceptions=True)
        finally:
            by_chunks._Load._store = original  # type: ignore[method-assign]

    outcomes = asyncio.run(main())
    assert isinstance(outcomes[0], bulkio.BulkioError), outcomes
    assert isinstance(outcomes[1], bulkio.LoadReport), outcomes
    assert set(stored(one_dsn).values()) == {"other"}
    assert left(one_dsn) == []


def test_an_error_leaves_what_is_stored(one_dsn: str, path: Path) -> None:
    """It says how much, and how to go on; once its cause is gone, the load goes on."""
    make_table(one_dsn)
    with connect(one_dsn) as conn:
        conn.execute("INSERT INTO t VALUES (1500, 'mine')")
    with pytest.raises(bulkio.LoadUnfinished) as caught:
        load(path, one_dsn)
    assert str(caught.value).startswith("row 1501: duplicate key value violates")
    assert str(caught.value).endswith(
        "load 'night' is unfinished: 7 of its 10 chunks are stored; load again with the same id to go on, or run"
        " `bulkio loads resume night`"
    )
    assert (caught.value.stored, caught.value.chunks, caught.value.load_id) == (7, 10, "night")
    assert isinstance(caught.value.__cause__, bulkio.DriverError)
    with connect(one_dsn) as conn:
        conn.execute("DELETE FROM t WHERE v = 'mine'")
    assert load(path, one_dsn).rows == ROWS
    assert stored(one_dsn) == NEW


def test_an_error_in_the_first_chunk_leaves_nothing(one_dsn: str, path: Path) -> None:
    """Neither a row in the ledger, nor a table; it is the error itself."""
    make_table(one_dsn)
    with connect(one_dsn) as conn:
        conn.execute("INSERT INTO t VALUES (5, 'mine')")
    with pytest.raises(bulkio.DriverError, match="row 6: duplicate key"):
        load(path, one_dsn)
    assert (left(one_dsn), bulkio.list_loads(one_dsn)) == ([], ())


@pytest.mark.parametrize("mode", ["create", "replace", "upsert"])
def test_a_load_without_an_id_leaves_nothing(one_dsn: str, path: Path, mode: str) -> None:
    """Nobody could go on with it: what nobody sees is taken away, if the load was cancelled, too."""
    make_table(one_dsn, mode)

    async def main() -> None:
        reached = asyncio.Event()
        loop = asyncio.get_running_loop()

        def watch(progress: bulkio.Progress) -> None:
            if progress.rows > ROWS // 2:
                loop.call_soon_threadsafe(reached.set)

        work = aio.load(path, "t", one_dsn, mode=mode, workers=2, chunk_bytes=1, progress=watch)
        task = asyncio.ensure_future(work)
        await reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert (left(one_dsn), bulkio.list_loads(one_dsn)) == ([], ())
    with pytest.raises(Stop):
        bulkio.load(path, "t", one_dsn, mode=mode, workers=2, chunk_bytes=1, progress=stop_after(ROWS // 2))
    assert (left(one_dsn), bulkio.list_loads(one_dsn)) == ([], ())


def test_a_cancelled_load_says_how_to_go_on(one_dsn: str, path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Where something is stored, and nobody has chosen its id."""
    make_table(one_dsn)
    with pytest.raises(Stop):
        bulkio.load(path, "t", one_dsn, commit="chunk", chunk_bytes=1, progress=stop_after(ROWS // 2))
    [record] = bulkio.list_loads(one_dsn)
    assert f"`bulkio loads resume {record.load_id}`" in caplog.text
    assert bulkio.resume_load(record.load_id, one_dsn).rows == ROWS
    assert stored(one_dsn) == NEW


@contextmanager
def unsettled(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Lose the connection whenever a load would end its prepared transactions."""

    async def lose(*_: object) -> str:
        raise bulkio.ConnectError("the network is down")

    with monkeypatch.context() as patched:
        patched.setattr(two_phase, "settle", lose)
        yield


@pytest.mark.parametrize("load_id", ["night", None])
def test_a_load_that_is_decided_is_committed_by_whoever_comes(
    one_dsn: str, path: Path, load_id: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection is lost between the decision and COMMIT PREPARED: nothing is visible, and nothing is lost."""
    make_table(one_dsn)

    with unsettled(monkeypatch), pytest.raises(bulkio.LoadUnfinished) as caught:
        bulkio.load(path, "t", one_dsn, workers=2, chunk_bytes=1, load_id=load_id)
    name = str(caught.value.load_id)
    assert "is decided, and not all of its transactions are committed yet (the network is down): load again" in str(
        caught.value
    )
    assert (stored(one_dsn), bulkio.show_load(name, one_dsn).state) == ({}, "committing")
    with pytest.raises(bulkio.LedgerError, match=r"has appended 2,000 rows to public\.t: forgotten, a retry would add"):
        bulkio.forget_load(name, one_dsn)  # it has settled that
    assert stored(one_dsn) == NEW
    assert bulkio.resume_load(name, one_dsn).rows == ROWS
    assert fetch(one_dsn, "SELECT gid FROM pg_prepared_xacts WHERE database = current_database()") == []


def test_resume_commits_what_is_decided(one_dsn: str, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its source, which is gone; and what is not decided it loads again."""
    make_table(one_dsn)

    with unsettled(monkeypatch), pytest.raises(bulkio.LoadUnfinished):
        bulkio.load(path, "t", one_dsn, workers=2, chunk_bytes=1)
    [record] = bulkio.list_loads(one_dsn)
    source = path.read_bytes()
    path.unlink()
    assert bulkio.resume_load(record.load_id, one_dsn).rows == ROWS
    assert stored(one_dsn) == NEW
    path.write_bytes(source)
    with connect(one_dsn) as conn:
        conn.execute("TRUNCATE t")
    with unsettled(monkeypatch), pytest.raises(Stop):
        bulkio.load(path, "t", one_dsn, workers=2, chunk_bytes=1, load_id="night", progress=stop_after(ROWS // 2))
    assert bulkio.show_load("night", one_dsn).state == "preparing"
    assert bulkio.resume_load("night", one_dsn).rows == ROWS
    assert stored(one_dsn) == NEW


def test_what_cannot_be_resumed(one_dsn: str, path: Path) -> None:
    """Each says why."""
    with pytest.raises(bulkio.LedgerError, match="the ledger has no load 'night'"):
        bulkio.resume_load("night", one_dsn)
    bulkio.load(path, "u", one_dsn, load_id="whole")
    assert bulkio.resume_load("whole", one_dsn).already
    table = pq.read_table(path)
    make_table(one_dsn)
    options = {"commit": "chunk", "load_id": "night", "source_version": "1"}
    with pytest.raises(Stop):
        bulkio.load(table, "t", one_dsn, progress=stop_after(-1), mode="upsert", batch_rows=100, **options)
    assert bulkio.list_loads(one_dsn)[0].load_id == "whole"


def test_two_runs_at_once_share_the_chunks(one_dsn: str, path: Path) -> None:
    """One whose lock was lost goes on, and so does the one that takes over: each chunk is stored once."""
    make_table(one_dsn)

    async def main() -> list[object]:
        taken = asyncio.Event()
        loop = asyncio.get_running_loop()

        def watch(progress: bulkio.Progress) -> None:
            if progress.rows > ROWS // 4:
                end_lock(one_dsn)
                loop.call_soon_threadsafe(taken.set)

        async def first() -> object:
            return await aio.load(path, "t", one_dsn, commit="chunk", chunk_bytes=1, load_id="night", progress=watch)

        async def second() -> object:
            await taken.wait()
            return await aio.load(path, "t", one_dsn, commit="chunk", load_id="night", wait=True)

        return await asyncio.gather(first(), second(), return_exceptions=True)

    outcomes = asyncio.run(main())
    assert any(isinstance(outcome, bulkio.LoadReport) for outcome in outcomes), outcomes
    assert all(isinstance(outcome, bulkio.LoadReport | bulkio.LedgerError | bulkio.DriverError) for outcome in outcomes)
    assert bulkio.load(path, "t", one_dsn, commit="chunk", load_id="night").rows == ROWS
    assert stored(one_dsn) == NEW
    assert left(one_dsn) == []


def end_lock(dsn: str) -> None:
    """Terminate the session that holds a load's lock, if it is there still."""
    with connect(dsn) as conn:
        conn.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks JOIN pg_stat_activity USING (pid)"
            " WHERE locktype = 'advisory' AND mode = 'ExclusiveLock' AND state = 'idle in transaction'"
            " AND query NOT LIKE '%chunks%'"
        )
