"""Throw-away PostgreSQL servers for the tests: the embedded one and each one found on this machine.

BULKIO_TEST_SERVERS=/opt/pg19/bin:/opt/pg17/bin names the folders of other servers' programs, to be used instead of
those found.

Owns their finding, their start on first use, their end with the session, and a fresh database for each test.
They are run by bulkio's own Cluster class, but not durable: nothing here survives the session, not even when
it is killed (the next session clears away what a killed one left).
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass, replace
from functools import cache, cached_property
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from bulkio.server import embedded, folders, settings
from bulkio.server.account import own_account, service_account
from bulkio.server.cluster import Cluster
from bulkio.server.postmaster import alive

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = [
    "Fleet",
    "TestServer",
    "column_types",
    "connect",
    "fetch",
    "found_servers",
    "make_cluster",
    "replicated_pair",
    "server_version",
]

#: The environment variable that names the servers to test on.
VARIABLE = "BULKIO_TEST_SERVERS"
#: Where Debian installs PostgreSQL, each version in a folder of its own.
DEBIAN = Path("/usr/lib/postgresql")
#: What the folders of test sessions are called, before the pid of the session.
_PREFIX = "bulkio-test-"
_PLACES = (Path("/dev/shm"), Path("/tmp"))
_ROOM_BYTES = 4 << 30
#: Fast and small. fsync=off is what makes a database of its own for each test affordable.
_OPTIONS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "shared_buffers": "128MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "1h",
}


@cache
def found_servers() -> dict[str, Path]:
    """Return each server's id and the folder of its programs: the embedded one first, then by version.

    BULKIO_TEST_SERVERS names others to use instead of this machine's, like /opt/pg19/bin:/opt/pg17/bin. Its folders
    must have a server that runs; those that are only found are passed over if they have none.
    """
    found: dict[str, Path] = {}
    bundled = embedded.programs_dir()
    if (version := server_version(bundled)) is not None:
        found[f"pg{version}-embedded"] = bundled
    for version, folder in sorted(_wanted() or _at_hand()):
        if folder.resolve() not in {known.resolve() for known in found.values()}:
            found[_free_id(f"pg{version}", found)] = folder
    return found


def _wanted() -> list[tuple[int, Path]]:
    """Return version and folder of the servers that the variable names."""
    folders = [Path(text).absolute() for text in os.environ.get(VARIABLE, "").split(":") if text]
    wanted = [(server_version(folder), folder) for folder in folders]
    for version, folder in wanted:
        if version is None:
            raise pytest.UsageError(f"{VARIABLE}: {folder} has no `postgres` and `initdb` that run")
    return [(version, folder) for version, folder in wanted if version is not None]


def _at_hand() -> list[tuple[int, Path]]:
    """Return version and folder of a machine's servers, the first of each version: Debian's, and those on the PATH."""
    found: dict[int, Path] = {}
    for folder in [*sorted(DEBIAN.glob("*/bin")), *_on_path()]:
        version = server_version(folder)
        if version is not None:
            found.setdefault(version, folder)
    return list(found.items())


def _on_path() -> list[Path]:
    """Return the folder that pg_config on the PATH names, and the one a `postgres` on the PATH lies in."""
    folders = []
    if (config := shutil.which("pg_config")) is not None:
        done = subprocess.run([config, "--bindir"], capture_output=True, text=True, check=False)
        folders.append(Path(done.stdout.strip() or "/nonexistent"))
    if (program := shutil.which("postgres")) is not None:
        folders.append(Path(program).resolve().parent)
    return folders


def server_version(folder: Path) -> int | None:
    """Return the major version of the server whose programs lie in a folder; None where none runs.

    Its name says nothing: a release that is not ready yet is called like 19devel, 19beta2 or 19rc1.
    """
    if not (folder / "initdb").exists():
        return None
    try:
        # Runs for root too: --version is answered before the check for root.
        done = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    number = re.search(r"\) (\d+)", done.stdout)
    return int(number[1]) if number else None


def _free_id(wanted: str, taken: Mapping[str, Path]) -> str:
    """Return a server's id, numbered where another server has the same version."""
    later = (f"{wanted}.{number}" for number in count(2))
    return next(name for name in chain([wanted], later) if name not in taken)


def connect(dsn: str) -> psycopg.Connection:
    """Open a psycopg connection in autocommit mode, its client_encoding pinned to UTF8."""
    return psycopg.connect(dsn, autocommit=True, client_encoding="UTF8")


@dataclass
class TestServer:
    """One running throw-away server. `id` is like `pg15`."""

    __test__ = False

    id: str
    cluster: Cluster
    _made: int = 0

    @cached_property
    def version(self) -> int:
        """The major version, like 15."""
        return int((self.cluster.data / "PG_VERSION").read_text())

    @cached_property
    def admin(self) -> psycopg.Connection:
        """The harness's own connection, as superuser, to the database `postgres`."""
        return connect(self.cluster.url())

    @contextlib.contextmanager
    def database(self, encoding: str = "UTF8") -> Iterator[str]:
        """Make an empty database, give its DSN, and drop it. `encoding` is UTF8 or LATIN1."""
        self._made += 1
        name = f"t{self._made}"
        options = "" if encoding == "UTF8" else f"ENCODING {encoding} LOCALE 'C'"
        if options and self.version >= 15:
            # The builtin C.UTF-8 that initdb chose does not go with LATIN1.
            options += " LOCALE_PROVIDER libc"
        if self.version >= 15:
            options += " STRATEGY file_copy"  # a tenth of wal_log's time where fsync is off
        self.admin.execute(f"CREATE DATABASE {name} TEMPLATE template0 {options}")
        try:
            yield self.cluster.url(name)
        finally:
            self.admin.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def sessions(self, dsn: str) -> list[str]:
        """Return the client connections to a test's database, after a moment for those that are ending."""
        database = psycopg.conninfo.conninfo_to_dict(dsn)["dbname"]
        # Without the query's text: it is shown in its own database's encoding, and may be no UTF-8.
        query = (
            "SELECT concat_ws(' ', pid, application_name, state, wait_event) FROM pg_stat_activity"
            " WHERE datname = %s AND backend_type = 'client backend'"
        )
        deadline = time.monotonic() + 30  # passed only where one is left open, or the machine is very busy
        while True:
            found = [str(row[0]) for row in self.admin.execute(query, [database])]
            if not found or time.monotonic() > deadline:
                return found
            time.sleep(0.005)

    def close(self) -> None:
        """End the harness's connection, and the server."""
        if "admin" in self.__dict__:
            self.admin.close()
        self.cluster.stop(mode="immediate")


class Fleet:
    """The session's servers, each started when first asked for."""

    def __init__(self) -> None:
        _clear_away_dead_sessions()
        self._programs = found_servers()
        self._running: dict[str, TestServer] = {}
        self._root: Path | None = None

    def get(self, server_id: str) -> TestServer:
        """Return a server by its id."""
        if server_id not in self._running:
            root = self._make_root() / server_id
            cluster = make_cluster(self._programs[server_id], root)
            cluster.start()
            self._running[server_id] = TestServer(server_id, cluster)
        return self._running[server_id]

    def close(self) -> None:
        """Stop every server and remove every file."""
        for running in self._running.values():
            running.close()
        self._running.clear()
        if self._root is not None:
            shutil.rmtree(self._root)
            self._root = None

    def _make_root(self) -> Path:
        if self._root is None:
            self._root = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=_place()))
            self._root.chmod(0o711)  # a system user may have to reach its own folders below
        return self._root


def _place() -> Path:
    """Return where the servers' folders go: in memory if there is room, as a database is 300 small files."""
    memory, disk = _PLACES
    roomy = memory.is_dir() and shutil.disk_usage(memory).free >= _ROOM_BYTES
    return memory if roomy else disk


def make_cluster(bin_dir: Path, root: Path) -> Cluster:
    """Return a throw-away cluster in `root`, run by whichever account can run it here."""
    account = own_account() or service_account()
    assert account is not None, "this machine allows root no user namespace and has no user to run PostgreSQL"
    if account.is_other_user:
        bin_dir = embedded.reachable_programs(bin_dir)
    options = {**settings.bulk_settings(), **_OPTIONS}
    return Cluster(root, bin_dir, lambda: account, options, durable=False)


#: A server that others may replicate from; its options go over those of `make_cluster`.
_REPLICATED = {"wal_level": "replica", "max_wal_senders": "4", "wal_writer_delay": "10s"}
_HBA = "local all all scram-sha-256\nlocal replication all scram-sha-256\n"


@contextlib.contextmanager
def replicated_pair(bin_dir: Path) -> Iterator[tuple[Cluster, Cluster]]:
    """Run a primary, and a standby that has streamed from it; both are stopped and removed at the end."""
    root = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=_place()))
    root.chmod(0o711)
    primary, standby = make_cluster(bin_dir, root / "a"), make_cluster(bin_dir, root / "b")
    primary, standby = (replace(one, options={**one.options, **_REPLICATED}) for one in (primary, standby))
    kept, settings.HBA = settings.HBA, _HBA
    try:
        primary.start()
        _copy_as_standby(primary, standby)
        standby.start()
        yield primary, standby
    finally:
        settings.HBA = kept
        standby.stop(mode="immediate")
        primary.stop(mode="immediate")
        shutil.rmtree(root)


def _copy_as_standby(primary: Cluster, standby: Cluster) -> None:
    account = primary.account()
    folders.make_root(standby.root, account)
    folders.make_folder(standby.data, account)
    folders.write_whole(standby.root / "password", primary.password() + "\n")
    program = primary.bin_dir / "pg_basebackup"
    command = [
        program,
        "-D",
        standby.data,
        "-d",
        primary.url(),
        "--write-recovery-conf",
        "--checkpoint=fast",
        "--no-sync",
    ]
    done = account.run(command, cwd=standby.root)
    assert done.returncode == 0, done.stderr


def _clear_away_dead_sessions() -> None:
    """Stop and remove what test sessions left that were killed."""
    for root in (found for place in _PLACES for found in place.glob(f"{_PREFIX}*")):
        pid = root.name.removeprefix(_PREFIX).split("-")[0]
        if not pid.isdigit() or alive(int(pid)) or root.stat().st_uid != os.geteuid():
            continue
        for folder in root.iterdir():
            Cluster(folder, Path("/nonexistent")).stop(mode="immediate")
        shutil.rmtree(root, ignore_errors=True)


def fetch(dsn: str, query: str) -> list[tuple[object, ...]]:
    """Return the rows of a query."""
    with connect(dsn) as conn:
        return conn.execute(query).fetchall()


def column_types(dsn: str, table: str) -> dict[str, str]:
    """Return the type of each column of a table, as the server spells it."""
    query = (
        "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute"
        f" WHERE attrelid = '{table}'::regclass AND attnum > 0"
    )
    return dict(fetch(dsn, query))
