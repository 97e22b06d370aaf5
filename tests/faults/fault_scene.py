"""A load that meets a fault half-way, and what must be so after it: on throw-away clusters, with the real thing broken.

Each fault strikes once, when half of the rows are on their way or around COMMIT. Then the same load runs again under
the same id, and must come to the same table whatever the fault has left. `worker_faults` has more for several workers.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import bulkio
from bulkio import aio
from bulkio.server.postmaster import alive
from gaps import lacking
from lossy import LossyProxy, Moment
from servers import connect, fetch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from bulkio.server.cluster import Cluster
    from servers import TestServer

__all__ = [
    "CHUNKS",
    "EXPECTED",
    "FAULTS",
    "MODES",
    "ROWS",
    "START",
    "Killed",
    "Scene",
    "await_quiet",
    "check_nothing_is_left",
    "durable",
    "fails",
    "killed",
    "meet_and_load_again",
    "proxied",
    "restart",
    "run_client",
    "small_disk",
    "small_folder",
    "stored",
    "strikes_in_sql",
    "write_source",
]

ROWS = 20_000
#: megabytes that hold an empty database and the table's first rows
SMALL_MB = 9
#: row groups of the file, each of which is a chunk
CHUNKS = 10
CHUNK_ROWS = ROWS // CHUNKS
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
    pq.write_table(table, path, row_group_size=CHUNK_ROWS, compression="none")


def stored(dsn: str) -> dict[int, str]:
    """Return what the table holds; a row that is there twice is an error."""
    rows = fetch(dsn, "SELECT id, v FROM t")
    found = dict(rows)
    assert len(found) == len(rows), "rows are stored twice"
    return found  # type: ignore[return-value]


def _rows_of(chunk: int) -> range:
    return range(chunk * CHUNK_ROWS, (chunk + 1) * CHUNK_ROWS)


_OTHERS = (
    "SELECT {} FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    " AND backend_type = 'client backend'"
)


@dataclass
class Scene:
    """One load, and where it can be struck."""

    cluster: Cluster
    #: of the load's own database
    dsn: str
    folder: Path
    driver: str
    mode: str
    #: kind of commit of a load by two workers; "" for one worker
    commit: str = ""
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

    def load(
        self, *, dsn: str | None = None, strike: Callable[[], object] | None = None, **options: object
    ) -> bulkio.LoadReport:
        """Load the file under the id; `strike` when half of the rows are sent."""
        given = self.options(strike) | options
        return bulkio.load(given.pop("source", self.source), "t", dsn or self.dsn, **given)

    @property
    def is_two_phase(self) -> bool:
        """True if each worker prepares its transaction."""
        return self.commit == "all" and self.mode == "append"

    def options(self, strike: Callable[[], object] | None = None) -> dict[str, object]:
        """Return what the load is called with."""
        struck: list[bool] = []

        def watch(progress: bulkio.Progress) -> None:
            if strike is not None and progress.rows >= ROWS // 2 and not struck:
                struck.append(True)
                strike()

        options = {"driver": self.driver, "load_id": "night", "block_bytes": 65536, "batch_rows": 2048}
        if self.commit:
            options |= {"workers": 2, "commit": self.commit, "chunk_bytes": 200_000}
        return {**MODES[self.mode], **options, "progress": watch}

    def sql(self, statement: str) -> None:
        """Run a statement beside the load."""
        with connect(self.dsn) as conn:
            conn.execute(statement)

    def table(self) -> dict[int, str] | None:
        """Return what the table holds, None where there is none."""
        return stored(self.dsn) if fetch(self.dsn, "SELECT to_regclass('t') IS NOT NULL") == [(True,)] else None

    def check_ledger(self, before: dict[int, str] | None) -> str:
        """Fail where the table, which was like this before, is not what the ledger records; return the load's state."""
        await_quiet(self.dsn)
        query = "SELECT state, rows, work ->> 'place' FROM bulkio_ledger.loads WHERE id = 'night'"
        [(state, rows, place)] = fetch(self.dsn, query) or [("", None, None)]
        chunks = fetch(self.dsn, "SELECT chunk, rows FROM bulkio_ledger.chunks WHERE load_id = 'night'")
        assert all(count == CHUNK_ROWS for _, count in chunks), chunks
        found = self.table()
        if state == "done":
            assert (found, rows, chunks) == (EXPECTED[self.mode], ROWS, [])
        elif state == "committing":
            assert found is not None
            assert (before or {}).items() <= found.items() <= EXPECTED[self.mode].items()
        elif state == "running" and not json.loads(place):
            new = {row: _NEW[row] for number, _ in chunks for row in _rows_of(int(str(number)))}
            assert found == {**(before or {}), **new}
        else:
            assert found == before
            assert not chunks or state == "running"
        if state == "running" and (hidden := json.loads(place)):
            [(count,)] = fetch(self.dsn, f'SELECT count(*) FROM "{hidden[0]}"."{hidden[1]}"')
            assert count == CHUNK_ROWS * len(chunks)
        return str(state)

    def check_nothing_is_left(self) -> None:
        """Fail where anything is left on the server."""
        check_nothing_is_left(self.dsn)


def await_quiet(dsn: str, *, but: int = 0) -> None:
    """Wait until the backends, but so many, have seen that their client is gone."""
    deadline = time.monotonic() + 30
    while len(found := fetch(dsn, _OTHERS.format("pid, state, query"))) > but:
        assert time.monotonic() < deadline, found
        time.sleep(0.01)


def check_nothing_is_left(dsn: str) -> None:
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
    while found := fetch(dsn, left):  # a backend takes a moment to see that its client is gone
        assert time.monotonic() < deadline, found
        time.sleep(0.02)


# --- faults: each runs the load once, and breaks it -------------------------------------------------


def _backend_terminated(scene: Scene) -> None:
    fails(scene, lambda: scene.sql(_OTHERS.format("pg_terminate_backend(pid)")))


def _query_cancelled(scene: Scene) -> None:
    """Cancel whatever runs, from the half on: a COPY whose last bytes have come does not look any more."""

    def watch(progress: bulkio.Progress) -> None:
        if progress.rows >= ROWS // 2 and not progress.committing:
            scene.sql(_OTHERS.format("pg_cancel_backend(pid)"))

    fails(scene, None, progress=watch)


def _source_error(scene: Scene) -> None:
    """Damage the file: from the start; or, where it was hashed then, half-way."""
    damaged = scene.folder / "damaged.parquet"
    data = bytearray(scene.source.read_bytes())
    place = len(data) * (4 if scene.commit else 2) // (5 if scene.commit else 3)
    data[place : place + 4096] = bytes(4096)
    shutil.copyfile(scene.source, damaged)
    if not scene.commit:
        damaged.write_bytes(data)
    fails(scene, lambda: damaged.write_bytes(data), source=damaged)


def _task_cancelled(scene: Scene) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        options = scene.options(lambda: loop.call_soon_threadsafe(task.cancel))
        task = asyncio.ensure_future(aio.load(scene.source, "t", scene.dsn, **options))
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert task.cancelled()

    asyncio.run(main())


@dataclass(frozen=True)
class Killed:
    """A client that was killed."""

    #: phases that it was in, each begun and not ended; the one that it had ended last, if it was in none
    inside: tuple[str, ...]
    last: str


def run_client(scene: Scene, *, kill_after_s: float | None, point: Mapping[str, object] | None = None) -> Killed | None:
    """Run the load in a process (`client`) that is killed after a time, or at a point; None if it came to its end."""
    path = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[1])])
    options = {each: str(getattr(scene, each)) for each in ("dsn", "folder", "driver", "mode", "commit")}
    spec = json.dumps({**options, "point": point})
    with subprocess.Popen(
        [sys.executable, Path(__file__).with_name("client.py"), path, spec],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(kill_after_s)
        finally:
            process.kill()
        told, said = process.communicate()
    assert process.returncode in (0, -signal.SIGKILL), said
    return None if process.returncode == 0 else killed(told.splitlines())


def killed(told: list[str]) -> Killed:
    """Return where a client was, of whose phases each has told its beginning (+) and its end (-)."""
    begun: list[str] = []
    last = ""
    for line in told:
        sign, phase = line[:1], line[1:]
        if sign == "+":
            begun.append(phase)
        elif phase in begun:  # else the line was cut off
            begun.remove(phase)
            last = phase
    return Killed(tuple(begun), last)


def _client_killed(scene: Scene) -> None:
    assert run_client(scene, kill_after_s=None, point={"half": True})


def _server_stopped_fast(scene: Scene) -> None:
    fails(scene, lambda: restart(scene.cluster, "fast"))


def _server_stopped_immediately(scene: Scene) -> None:
    fails(scene, lambda: restart(scene.cluster, "immediate"))


def _server_killed(scene: Scene) -> None:
    fails(scene, lambda: restart(scene.cluster, "kill"))


def restart(cluster: Cluster, how: str) -> None:
    """Stop a server, or kill it, and start it again."""
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
    with proxied(scene, "never") as proxy:
        fails(scene, lambda: proxy.stall(0.3), dsn=proxy.dsn)


def _commit_unheard(scene: Scene) -> None:
    with proxied(scene, "before the server hears it") as proxy:
        fails(scene, None, dsn=proxy.dsn)


def _commit_answer_lost(scene: Scene) -> None:
    with proxied(scene, "after the server has answered") as proxy:
        scene.load(dsn=proxy.dsn)  # the ledger has told that it is done


def _commit_lost_and_server_killed(scene: Scene) -> None:
    def successor() -> str:
        restart(scene.cluster, "kill")
        return scene.dsn

    nth = 2 if scene.is_two_phase else 5 if scene.commit else 1  # the decision's, a chunk's, the load's own
    with (
        proxied(scene, "after the server has answered", successor, nth=nth) as proxy,
        contextlib.suppress(bulkio.BulkioError),
    ):
        scene.load(dsn=proxy.dsn)


@contextlib.contextmanager
def proxied(
    scene: Scene,
    moment: Moment,
    successor: Callable[[], str] | None = None,
    *,
    statement: bytes = b"COMMIT\0",
    nth: int = 1,
) -> Iterator[LossyProxy]:
    """Run a proxy before the scene's server; see `LossyProxy`."""
    with (
        tempfile.TemporaryDirectory(dir="/tmp") as folder,
        LossyProxy(scene.dsn, Path(folder), moment, successor, statement=statement, nth=nth) as proxy,
    ):
        yield proxy


def _deadlock(scene: Scene) -> None:
    """Another transaction has what the load wants next, and wants what the load has."""
    with strikes_in_sql(scene, "deadlock") as how, connect(scene.dsn) as other:
        other.execute("BEGIN; SET deadlock_timeout = '10s'; LOCK TABLE u")
        waiter = threading.Thread(target=lambda: other.execute(f"{_AWAIT_HOLDER}; SELECT pg_advisory_xact_lock(1)"))
        waiter.start()
        try:
            fails(scene, None, dsn=f"{scene.dsn}&options=-cdeadlock_timeout%3D20ms", state="40P01", **how)
        finally:
            scene.sql(_OTHERS.format("pg_cancel_backend(pid)"))
            waiter.join(30)


def _lock_timeout(scene: Scene) -> None:
    with strikes_in_sql(scene, "lock") as how, connect(scene.dsn) as other:
        other.execute("BEGIN; LOCK TABLE u")
        fails(scene, None, lock_timeout="20ms", state="55P03", **how)


def _serialization_failure(scene: Scene) -> None:
    with strikes_in_sql(scene, "serialization") as how:
        fails(scene, None, state="40001", **how)


#: what the server itself does in the course of a load, by the word that the database's setting fault.kind has
_MEET = """
CREATE FUNCTION meet() RETURNS int LANGUAGE plpgsql AS $$
DECLARE kind text := coalesce(current_setting('fault.kind', true), '');
BEGIN
    IF kind = 'deadlock' THEN
        PERFORM pg_advisory_xact_lock(1);
        WHILE NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND pid IN
            (SELECT pid FROM pg_locks WHERE relation = 'public.u'::regclass AND granted)) LOOP
            PERFORM pg_sleep(0.002);
        END LOOP;
        LOCK TABLE public.u;
    ELSIF kind = 'lock' THEN
        LOCK TABLE public.u;
    ELSIF kind = 'serialization' THEN
        RAISE EXCEPTION 'meet' USING ERRCODE = '40001';
    ELSIF kind = 'notify' THEN
        PERFORM pg_notify('met', '');
    ELSIF kind = 'temporary' THEN
        CREATE TEMPORARY TABLE IF NOT EXISTS met (a int);
    END IF;
    RETURN 0;
END $$;
CREATE FUNCTION meet_too() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM public.meet(); END $$
"""
_AWAIT_HOLDER = """DO $$ BEGIN
    WHILE NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND objid = 1) LOOP
        PERFORM pg_sleep(0.002);
    END LOOP;
END $$"""


@contextlib.contextmanager
def strikes_in_sql(scene: Scene, kind: str) -> Iterator[dict[str, object]]:
    """Let the server call `meet` in each load: for a column's default; or, where the table is a new one, in its DDL.

    Yield the options with which a load of one worker calls it, which alone may have them.
    """
    scene.sql(_MEET)
    options = {} if scene.commit else {"after": "SELECT meet()"}
    if scene.commit and scene.mode in ("create", "replace"):
        when = "ddl_command_end WHEN TAG IN ('ALTER TABLE')"
        scene.sql(f"CREATE EVENT TRIGGER meet ON {when} EXECUTE FUNCTION meet_too()")
    elif scene.commit:
        scene.sql("ALTER TABLE t ADD COLUMN w int DEFAULT meet()")
    alter = "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I {}', current_database()); END $$"
    scene.sql(alter.format(f"SET fault.kind = {kind}"))
    try:
        yield options
    finally:
        scene.sql(alter.format("RESET fault.kind"))


def _disk_full(scene: Scene) -> None:
    """Load into a database on a small file system (`small_disk`), which is made larger afterwards."""
    fails(scene, None, state="53100")
    for undo in scene.over:
        undo()


def fails(scene: Scene, strike: Callable[[], object] | None, *, state: str | None = None, **options: object) -> None:
    """Load, which must fail; with this SQLSTATE, if one is given."""
    with pytest.raises(bulkio.BulkioError) as caught:
        scene.load(strike=strike, **options)  # type: ignore[arg-type]
    error = caught.value
    cause = error.__cause__ if isinstance(error, bulkio.LoadUnfinished) else error
    assert state in (None, getattr(cause, "sqlstate", None)), error


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


@contextlib.contextmanager
def small_folder(folder: Path, kilobytes: int) -> Iterator[Callable[[], object]]:
    """Make a folder on a small file system; yield what makes that larger."""
    folder.mkdir()
    if _mount("-t", "tmpfs", "-o", f"size={kilobytes}k", "none", folder) != 0:
        lacking("a small file system of the test's own")
    try:
        yield lambda: _mount("-o", "remount,size=10m", folder)
    finally:
        subprocess.run(["/bin/umount", folder], check=True)


def _mount(*args: str | Path) -> int:
    return subprocess.run(["/bin/mount", *args], capture_output=True, check=False).returncode


def meet_and_load_again(
    fault: Callable[[Scene], object],
    server: TestServer,
    folder: Path,
    driver: str,
    mode: str,
    commit: str = "",
    *,
    is_disk_small: bool = False,
) -> None:
    """Load in a database of its own and meet the fault; load again, and check what must be so then."""
    with contextlib.ExitStack() as stack:
        over: list[Callable[[], object]] = []
        space = ""
        if is_disk_small:
            small = stack.enter_context(small_disk(server.cluster, SMALL_MB))
            if small is None:
                lacking("a small file system of the test's own")
            over = [small[1]]
            space = f" TABLESPACE {small[0]} STRATEGY file_copy"
        name = f"f{zlib.crc32(repr((fault, mode, commit, driver)).encode())}"
        with connect(server.cluster.url()) as admin:
            admin.execute(f"CREATE DATABASE {name} TEMPLATE template0{space}")
        try:
            scene = Scene(server.cluster, server.cluster.url(name), folder, driver, mode, commit, over)
            scene.prepare()
            before = scene.table()
            fault(scene)
            scene.check_ledger(before)
            report = scene.load()
            assert stored(scene.dsn) == EXPECTED[mode]
            assert report.load_id == "night"
            assert scene.load().already
            assert scene.check_ledger(before) == "done"
            scene.check_nothing_is_left()
        finally:
            server.cluster.start()
            with connect(server.cluster.url()) as admin:
                admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


def durable(cluster: Cluster) -> Cluster:
    """Return a cluster whose commits outlive its own death (not the machine's)."""
    return replace(cluster, options={**cluster.options, "synchronous_commit": "on", "full_page_writes": "on"})
