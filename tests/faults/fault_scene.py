"""A load that meets a fault half-way, and what must be so after it: on throw-away clusters, with the real thing broken.

Each fault strikes once, when half of the rows are on their way or around COMMIT. Then the same load runs again under
the same id, and must come to the same table whatever the fault has left.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import bulkio
from bulkio import aio
from bulkio.server.postmaster import alive
from lossy import LossyProxy, Moment
from servers import connect, fetch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bulkio.server.cluster import Cluster

__all__ = [
    "EXPECTED",
    "FAULTS",
    "MODES",
    "START",
    "Scene",
    "durable",
    "run_client",
    "small_disk",
    "stored",
    "write_source",
]

ROWS = 20_000
#: what the table has before: rows that a source has too, and some that it has not
START = dict.fromkeys((*range(0, 400, 2), *range(ROWS, ROWS + 100)), "old")

#: what each mode is called with
MODES: dict[str, dict[str, object]] = {
    "append": {"mode": "append"},
    "create": {"mode": "create"},
    "truncate": {"mode": "truncate"},
    "replace": {"mode": "replace"},
    "upsert": {"mode": "upsert", "key": ["id"]},
    "delete-missing": {"mode": "upsert", "key": ["id"], "delete_missing": True, "max_delete": "100%"},
    "insert-new": {"mode": "insert-new", "key": ["id"]},
    "replace-where": {"mode": "replace-where", "where": f"id < {ROWS}"},
}

_NEW = {k: f"new {k} " + "x" * 80 for k in range(ROWS)}
#: what is stored once a load is done
EXPECTED: dict[str, dict[int, str]] = {
    "append": {**{k + 1_000_000: v for k, v in START.items()}, **_NEW},
    "create": _NEW,
    "truncate": _NEW,
    "replace": _NEW,
    "upsert": START | _NEW,
    "delete-missing": _NEW,
    "insert-new": _NEW | START,
    "replace-where": {**{k: v for k, v in START.items() if k >= ROWS}, **_NEW},
}


def write_source(path: Path) -> None:
    """Write the rows to load, in several row groups."""
    table = pa.table({"id": pa.array(_NEW, pa.int64()), "v": pa.array(_NEW.values(), pa.string())})
    pq.write_table(table, path, row_group_size=ROWS // 10, compression="none")


def stored(dsn: str) -> dict[int, str]:
    """Return what the table holds; a row that is there twice is an error."""
    rows = fetch(dsn, "SELECT id, v FROM t")
    found = dict(rows)
    assert len(found) == len(rows), "rows are stored twice"
    return found  # type: ignore[return-value]


@dataclass
class Scene:
    """One load, and where it can be struck."""

    cluster: Cluster
    #: of the load's own database
    dsn: str
    folder: Path
    driver: str
    mode: str
    #: what is undone when the fault is over
    over: list[Callable[[], object]] = field(default_factory=list)

    @property
    def source(self) -> Path:
        """The file to load."""
        return self.folder / "rows.parquet"

    def prepare(self) -> None:
        """Make the table and what the faults need."""
        shift = 1_000_000 if self.mode == "append" else 0
        with connect(self.dsn) as conn:
            conn.execute("CREATE TABLE u (a int)")
            # It is made in a transaction of its own, whose COMMIT is not the load's.
            conn.execute(bulkio.ledger_ddl(role=conn.info.user))
            if self.mode != "create":
                conn.execute("CREATE TABLE t (id bigint PRIMARY KEY, v text)")
                with conn.cursor().copy("COPY t FROM STDIN") as copy:
                    for key, value in START.items():
                        copy.write_row((key + shift, value))

    def load(self, *, dsn: str | None = None, strike: Callable[[], object] | None = None, **options: object) -> object:
        """Load the file under the id; `strike` when half of the rows are sent."""
        given = self.options(strike) | options
        return bulkio.load(given.pop("source", self.source), "t", dsn or self.dsn, **given)

    def options(self, strike: Callable[[], object] | None = None) -> dict[str, object]:
        """Return what the load is called with."""
        struck: list[bool] = []

        def watch(progress: bulkio.Progress) -> None:
            if strike is not None and progress.rows >= ROWS // 2 and not struck:
                struck.append(True)
                strike()

        options = {"driver": self.driver, "load_id": "night", "block_bytes": 65536, "batch_rows": 2048}
        return {**MODES[self.mode], **options, "progress": watch}

    def sql(self, statement: str) -> None:
        """Run a statement beside the load."""
        with connect(self.dsn) as conn:
            conn.execute(statement)

    def check_nothing_is_left(self) -> None:
        """Fail where a staging table, a temporary file, a lock, a transaction or a connection is left."""
        left = (
            "SELECT 'relation ' || relname FROM pg_class WHERE relname LIKE 'bulkio%' AND relkind = 'r'"
            " AND relpersistence <> 'p' OR relname LIKE '%bulkio%' AND relnamespace = 'public'::regnamespace"
            " UNION ALL SELECT 'lock ' || locktype || ' ' || mode FROM pg_locks WHERE pid <> pg_backend_pid()"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            " UNION ALL SELECT 'prepared ' || gid FROM pg_prepared_xacts"
            " UNION ALL SELECT 'session ' || state FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
            " UNION ALL SELECT 'file ' || name FROM pg_ls_tmpdir()"
        )
        deadline = time.monotonic() + 30
        while found := fetch(self.dsn, left):  # a backend takes a moment to see that its client is gone
            assert time.monotonic() < deadline, found
            time.sleep(0.02)


# --- faults: each runs the load once, and breaks it -------------------------------------------------


def _backend_terminated(scene: Scene) -> None:
    _fails(scene, lambda: scene.sql(_ON_OTHERS.format("pg_terminate_backend")))


def _query_cancelled(scene: Scene) -> None:
    _fails(scene, lambda: scene.sql(_ON_OTHERS.format("pg_cancel_backend")))


_ON_OTHERS = (
    "SELECT {}(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    " AND backend_type = 'client backend'"
)


def _source_error(scene: Scene) -> None:
    damaged = scene.folder / "damaged.parquet"
    data = bytearray(scene.source.read_bytes())
    middle = len(data) * 2 // 3
    data[middle : middle + 4096] = bytes(4096)
    damaged.write_bytes(data)
    _fails(scene, None, source=damaged)


def _task_cancelled(scene: Scene) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        options = scene.options(lambda: loop.call_soon_threadsafe(task.cancel))
        task = asyncio.ensure_future(aio.load(scene.source, "t", scene.dsn, **options))
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert task.cancelled()

    asyncio.run(main())


_PROGRAM = """
import os, signal, sys
sys.path[:0] = sys.argv[1].split(os.pathsep)
from pathlib import Path
from fault_scene import Scene
scene = Scene(None, sys.argv[2], Path(sys.argv[3]), sys.argv[4], sys.argv[5])
kill = lambda: os.kill(os.getpid(), signal.SIGKILL)
print("loading", flush=True)
scene.load(strike=kill if sys.argv[6] == "half" else None)
"""


def run_client(scene: Scene, *, kill_after_s: float | None) -> bool:
    """Run the load in a process that is killed after a time, or (None) half-way; tell whether it came to its end."""
    path = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[1])])
    args = [path, scene.dsn, str(scene.folder), scene.driver, scene.mode, "half" if kill_after_s is None else ""]
    with subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(kill_after_s)
        finally:
            process.kill()
        _, said = process.communicate()
    assert process.returncode in (0, -signal.SIGKILL), said
    return process.returncode == 0


def _client_killed(scene: Scene) -> None:
    assert not run_client(scene, kill_after_s=None)


def _server_stopped_fast(scene: Scene) -> None:
    _fails(scene, lambda: _restart(scene.cluster, "fast"))


def _server_stopped_immediately(scene: Scene) -> None:
    _fails(scene, lambda: _restart(scene.cluster, "immediate"))


def _server_killed(scene: Scene) -> None:
    _fails(scene, lambda: _restart(scene.cluster, "kill"))


def _restart(cluster: Cluster, how: str) -> None:
    if how == "kill":
        running = cluster.postmaster()
        assert running is not None
        os.kill(running.pid, signal.SIGKILL)
        while alive(running.pid):
            time.sleep(0.01)
    else:
        cluster.stop(mode=how)  # type: ignore[arg-type]
    cluster.start()


def _network_stall(scene: Scene) -> None:
    with _proxied(scene, "never") as proxy:
        _fails(scene, lambda: proxy.stall(0.3), dsn=proxy.dsn)


def _commit_unheard(scene: Scene) -> None:
    with _proxied(scene, "before the server hears it") as proxy:
        _fails(scene, None, dsn=proxy.dsn)


def _commit_answer_lost(scene: Scene) -> None:
    with _proxied(scene, "after the server has answered") as proxy:
        scene.load(dsn=proxy.dsn)  # the ledger has told that it is done


def _commit_lost_and_server_killed(scene: Scene) -> None:
    def successor() -> str:
        _restart(scene.cluster, "kill")
        return scene.dsn

    with _proxied(scene, "after the server has answered", successor) as proxy, contextlib.suppress(bulkio.DriverError):
        scene.load(dsn=proxy.dsn)


@contextlib.contextmanager
def _proxied(scene: Scene, moment: Moment, successor: Callable[[], str] | None = None) -> Iterator[LossyProxy]:
    with (
        tempfile.TemporaryDirectory(dir="/tmp") as folder,
        LossyProxy(scene.dsn, Path(folder), moment, successor) as proxy,
    ):
        yield proxy


def _deadlock(scene: Scene) -> None:
    """Another transaction has what the load wants next, and wants what the load has."""
    with connect(scene.dsn) as other:
        other.execute("BEGIN; SET deadlock_timeout = '10s'; LOCK TABLE u")
        waiter = threading.Thread(target=lambda: other.execute("SELECT pg_advisory_xact_lock(1)"))
        try:
            _fails(
                scene,
                waiter.start,
                dsn=f"{scene.dsn}&options=-cdeadlock_timeout%3D20ms",
                before="SELECT pg_advisory_xact_lock(1)",
                after="LOCK TABLE u",
                state="40P01",
            )
        finally:
            waiter.join(30)


def _lock_timeout(scene: Scene) -> None:
    with connect(scene.dsn) as other:
        other.execute("BEGIN; LOCK TABLE u")
        _fails(scene, None, after="LOCK TABLE u", lock_timeout="20ms", state="55P03")


def _serialization_failure(scene: Scene) -> None:
    raises = "DO $$ BEGIN RAISE EXCEPTION 'meet' USING ERRCODE = '40001'; END $$"
    _fails(scene, None, after=raises, state="40001")


def _disk_full(scene: Scene) -> None:
    """Load into a database on a small file system (`small_disk`), which is made larger afterwards."""
    _fails(scene, None, state="53100")
    for undo in scene.over:
        undo()


def _fails(scene: Scene, strike: Callable[[], object] | None, *, state: str | None = None, **options: object) -> None:
    with pytest.raises(bulkio.BulkioError) as caught:
        scene.load(strike=strike, **options)  # type: ignore[arg-type]
    assert state in (None, getattr(caught.value, "sqlstate", None)), caught.value


FAULTS: dict[str, Callable[[Scene], object]] = {
    "backend terminated": _backend_terminated,
    "query cancelled": _query_cancelled,
    "source error": _source_error,
    "task cancelled": _task_cancelled,
    "client killed": _client_killed,
    "server stopped fast": _server_stopped_fast,
    "server stopped immediately": _server_stopped_immediately,
    "server killed": _server_killed,
    "network stall": _network_stall,
    "COMMIT unheard": _commit_unheard,
    "COMMIT's answer lost": _commit_answer_lost,
    "COMMIT lost, server killed": _commit_lost_and_server_killed,
    "deadlock": _deadlock,
    "lock timeout": _lock_timeout,
    "serialization failure": _serialization_failure,
    "disk full": _disk_full,
}


@contextlib.contextmanager
def small_disk(cluster: Cluster, megabytes: int) -> Iterator[tuple[str, Callable[[], object]] | None]:
    """Make a tablespace on a small file system; yield its name and what makes that larger; None where it is denied."""
    folder = Path(tempfile.mkdtemp(prefix="disk_", dir="/tmp"))
    if _mount("-t", "tmpfs", "-o", f"size={megabytes}m,mode=0711", "none", folder) != 0:
        folder.rmdir()
        yield None
        return
    try:
        place = folder / "t"
        place.mkdir(0o700)
        os.chown(place, cluster.owner_uid, -1)
        name = folder.name.lower()
        with connect(cluster.url()) as conn:
            conn.execute(f"CREATE TABLESPACE {name} LOCATION '{place}'")
        yield name, lambda: _mount("-o", "remount,size=200m", folder)
        with connect(cluster.url()) as conn:
            conn.execute(f"DROP TABLESPACE {name}")
    finally:
        subprocess.run(["/bin/umount", folder], check=True)
        folder.rmdir()


def _mount(*args: str | Path) -> int:
    return subprocess.run(["/bin/mount", *args], capture_output=True, check=False).returncode


def durable(cluster: Cluster) -> Cluster:
    """Return a cluster whose commits outlive its own death (not the machine's)."""
    return replace(cluster, options={**cluster.options, "synchronous_commit": "on", "full_page_writes": "on"})
