"""More faults, for loads by two workers: of two-phase commit, of chunks, and between runs."""

from __future__ import annotations

import contextlib
import functools
import itertools
import re
import threading
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from fault_scene import CHUNKS, FAULTS, ROWS, Scene, proxied, run_client, strikes_in_sql

import bulkio
from bulkio.sql.ledger import lock_load
from servers import connect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import psycopg

    from lossy import Moment

__all__ = ["COLUMNS", "WORKER_FAULTS", "another_run", "end_lock_session", "fits"]

#: modes and kinds of commit that several workers can do
COLUMNS = (
    *((mode, "all") for mode in ("append", "create", "replace", "upsert", "delete-missing", "insert-new")),
    ("replace-where", "all"),
    *((mode, "chunk") for mode in ("append", "create", "replace", "upsert", "delete-missing", "insert-new")),
)
_COMMIT = b"COMMIT\0"
_MOMENTS: dict[str, Moment] = {"unheard": "before the server hears it", "lost": "after the server has answered"}
#: statements around which a load in two phases loses its connection: by bytes, and which one of those
_IN_TWO_PHASES = {
    "COMMIT of the beginning": (_COMMIT, 1),
    "first PREPARE": (b"PREPARE TRANSACTION", 1),
    "second PREPARE": (b"PREPARE TRANSACTION", 2),
    "COMMIT of the decision": (_COMMIT, 2),
    "COMMIT of the look at it": (_COMMIT, 3),
    "first COMMIT PREPARED": (b"COMMIT PREPARED", 1),
    "second COMMIT PREPARED": (b"COMMIT PREPARED", 2),
    "COMMIT of the end": (_COMMIT, 4),
}
_BY_CHUNKS = {
    "COMMIT of the beginning": (_COMMIT, 1),
    "a chunk's COMMIT": (_COMMIT, 5),
    "last chunk's COMMIT": (_COMMIT, CHUNKS + 1),
    "last COMMIT": (_COMMIT, CHUNKS + 2),
}


def _lost(moment: Moment, statement: bytes, nth: int, scene: Scene) -> None:
    """Lose the connection around one statement."""
    with proxied(scene, moment, statement=statement, nth=nth) as proxy:
        error = _error_of(lambda: scene.load(dsn=proxy.dsn))
        assert error is None or error.retryable, error
        assert proxy.has_lost


def _error_of(load: Callable[[], bulkio.LoadReport]) -> bulkio.BulkioError | None:
    try:
        load()
    except bulkio.BulkioError as error:
        return error
    return None


def _losses(statements: dict[str, tuple[bytes, int]]) -> dict[str, Callable[[Scene], object]]:
    return {
        f"{name} {how}": functools.partial(_lost, moment, *statement)
        for (name, statement), (how, moment) in itertools.product(statements.items(), _MOMENTS.items())
    }


# --- what cannot be prepared: then one connection does it ---------------------------------------------------


def _is_done_by_one(scene: Scene, strike: Callable[[], object] | None, why: str) -> None:
    report = scene.load(strike=strike)
    assert isinstance(report, bulkio.LoadReport)
    assert report.workers == 1
    assert re.search(why, report.why_one), report.why_one


def _no_slots(scene: Scene) -> None:
    """Use up the server's prepared transactions meanwhile."""
    names: list[str] = []

    def use_up() -> None:
        with connect(scene.dsn) as other, contextlib.suppress(Exception):
            for number in range(1000):
                other.execute(f"BEGIN; SELECT pg_current_xact_id(); PREPARE TRANSACTION 'other {number}'")
                names.append(f"other {number}")

    try:
        _is_done_by_one(scene, use_up, "maximum number of prepared transactions reached")
    finally:
        with connect(scene.dsn) as other:
            for name in names:
                other.execute(f"ROLLBACK PREPARED '{name}'")


def _notifies(scene: Scene) -> None:
    """Notify in a function, which no trigger shows."""
    with strikes_in_sql(scene, "notify"):
        _is_done_by_one(scene, None, "cannot PREPARE a transaction that has executed LISTEN, UNLISTEN, or NOTIFY")


def _uses_temporary_objects(scene: Scene) -> None:
    with strikes_in_sql(scene, "temporary"):
        _is_done_by_one(scene, None, "cannot PREPARE a transaction that has operated on temporary objects")


# --- two runs ---------------------------------------------------------------------------------------------


@contextlib.contextmanager
def another_run(scene: Scene, **options: object) -> Iterator[tuple[Callable[[], object], list[object]]]:
    """Yield what starts another run of the load, and the list that has its report or error at the end."""
    outcome: list[object] = []

    def run() -> None:
        try:
            outcome.append(scene.load(**options))  # type: ignore[arg-type]
        except bulkio.BulkioError as error:
            outcome.append(error)

    thread = threading.Thread(target=run)
    yield thread.start, outcome
    thread.join(60)
    assert outcome, "the other run hangs"


def _two_runs(scene: Scene) -> None:
    with another_run(scene) as (start, outcome):
        report = scene.load(strike=start)
    assert isinstance(report, bulkio.LoadReport)
    assert not report.already
    [other] = outcome
    assert isinstance(other, bulkio.LoadRunning) or (isinstance(other, bulkio.LoadReport) and other.already), other


def end_lock_session(conn: psycopg.Connection) -> bool:
    """End the session that holds the lock of the load's id; tell whether there was one."""
    key = lock_load("bulkio_ledger", "night", waits=True).partition("lock")[2].strip("()")
    ended = conn.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        f" AND (classid::bigint << 32) | objid::bigint = {key}"
    )
    return ended.fetchall() == [(True,)]


def _taken_over(scene: Scene) -> None:
    """End the session that holds the lock of the load's id; another run takes over while the first is at work."""
    with another_run(scene, wait=True) as (start, outcome):

        def strike() -> None:
            with connect(scene.dsn) as conn:
                assert end_lock_session(conn)
            start()

        try:
            outcome.append(scene.load(strike=strike))
        except bulkio.BulkioError as error:
            outcome.append(error)
    assert len(outcome) == 2, outcome
    for each in outcome:
        assert isinstance(each, bulkio.LoadReport) or (isinstance(each, bulkio.BulkioError) and each.retryable), each
    assert any(isinstance(each, bulkio.LoadReport) for each in outcome), outcome


def _source_changed(scene: Scene) -> None:
    """Kill the client, and change its file: the next run is refused, and says which file."""
    assert run_client(scene, kill_after_s=None, point={"half": True})
    table = pq.read_table(scene.source)
    changed = scene.folder / "changed.parquet"
    values = pc.replace_substring(table["v"], f"new {ROWS - 1} ", f"NEW {ROWS - 1} ")
    pq.write_table(pa.table({"id": table["id"], "v": values}), changed, row_group_size=ROWS // CHUNKS)
    with pytest.raises(bulkio.LoadDiffers, match=r"changed\.parquet: its content is different"):
        scene.load(source=changed, wait=True)


#: faults that a load by several workers meets: those of one worker but COMMIT's, and more
WORKER_FAULTS: dict[str, Callable[[Scene], object]] = {
    **{name: fault for name, fault in FAULTS.items() if not name.startswith("COMMIT") or "killed" in name},
    **{f"two phases: {name}": fault for name, fault in _losses(_IN_TWO_PHASES).items()},
    **{f"chunks: {name}": fault for name, fault in _losses(_BY_CHUNKS).items()},
    "two phases: no slots": _no_slots,
    "two phases: NOTIFY": _notifies,
    "two phases: temporary objects": _uses_temporary_objects,
    "two runs": _two_runs,
    "taken over": _taken_over,
    "source changed": _source_changed,
}


def fits(fault: str, mode: str, commit: str) -> bool:
    """Tell whether a load of this kind can meet the fault."""
    is_two_phase = (mode, commit) == ("append", "all")
    return is_two_phase or not fault.startswith("two phases") if not fault.startswith("chunks") else not is_two_phase
