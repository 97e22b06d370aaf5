"""Nobody passes for the embedded server: its folders, its process and its socket are its user's, or it is not used."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

import bulkio
from bulkio.errors import ConfigError
from bulkio.server import embedded, folders, postmaster
from bulkio.transfer import session
from embedded import ask, await_true, kill, needs_root, running_pid
from impostor import impostor

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def far_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Yield a home that is too deep for a socket, which lies in /tmp therefore."""
    monkeypatch.setenv("BULKIO_HOME", str(tmp_path / ("deep " * 30)))
    yield tmp_path
    embedded.stop()


def socket_folder() -> Path:
    found = embedded.status().socket
    assert found is not None
    return found.parent


@needs_root
def test_after_a_crash_another_users_socket_gets_no_password(far_home: Path) -> None:
    """A crash and a cleared /tmp: another user makes the same folder and listens. It is not taken for our server."""
    embedded.ensure()
    folder = socket_folder()
    kill()
    shutil.rmtree(folder)
    with impostor(folder) as other:
        assert embedded.status().running is False
        with pytest.raises(ConfigError, match="is not running"):
            embedded.url()
        assert ask(embedded.ensure(), "SELECT 1") == 1
        assert socket_folder() != folder
        assert other.heard() == ""


@needs_root
def test_a_live_servers_folder_that_another_user_has_made_anew(far_home: Path) -> None:
    """The server lives, but its folder was cleared away and is somebody else's now: nobody connects there."""
    embedded.ensure()
    folder = socket_folder()
    shutil.rmtree(folder)
    with impostor(folder) as other:
        for use in (embedded.ensure, embedded.url, embedded.psql):
            with pytest.raises(ConfigError, match=r"belongs to user id \d+.*bulkio server stop"):
                use()
        assert other.heard() == ""
    assert embedded.stop() is True
    assert ask(embedded.ensure(), "SELECT 1") == 1


@needs_root
def test_another_users_process_is_not_our_postmaster(bulkio_home: Path) -> None:
    """One that got the dead postmaster's pid and says in its arguments that it works in our data."""
    embedded.ensure()
    data = embedded.status().data_dir
    kill()
    lock_file = data / "postmaster.pid"
    nobody = pwd.getpwnam("nobody")
    sleeper = ["sh", "-c", f'exec -a "postgres {data}" sleep 60', "sh"]
    sleeper[0] = shutil.which("bash") or "bash"
    with subprocess.Popen(sleeper, user=nobody.pw_uid, group=nobody.pw_gid, extra_groups=[], cwd=data) as other:
        await_true(lambda: postmaster._arguments(other.pid)[0].startswith("postgres"))
        rest = lock_file.read_text().split("\n", 1)[1]
        lock_file.write_text(f"{other.pid}\n{rest}")
        assert embedded.status().running is False
        other.kill()


@needs_root
def test_another_users_root_is_refused_although_a_server_runs_in_it(bulkio_home: Path) -> None:
    """Where the home lies in a folder that others may write, one may have put a cluster of his own there."""
    embedded.ensure()
    root = bulkio_home / "server"
    nobody = pwd.getpwnam("nobody")
    os.chown(root, nobody.pw_uid, nobody.pw_gid)
    try:
        for use in (embedded.ensure, embedded.url):
            with pytest.raises(ConfigError, match="BULKIO_HOME"):
                use()
    finally:
        os.chown(root, 0, 0)


def test_parents_that_others_may_write_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever may write a folder above can move ours away; in a sticky one, like /tmp, he cannot."""
    shared = tmp_path / "shared"
    shared.mkdir()
    monkeypatch.setenv("BULKIO_HOME", str(shared / "home"))
    try:
        shared.chmod(0o777)
        with pytest.raises(ConfigError, match=rf"{shared} .*mode 777.*BULKIO_HOME"):
            embedded.ensure()
        shared.chmod(0o1777)
        assert ask(embedded.ensure(), "SELECT 1") == 1
        shared.chmod(0o777)
        with pytest.raises(ConfigError, match=rf"{shared} .*mode 777"):
            embedded.url()
    finally:
        embedded.stop()


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
@pytest.mark.parametrize("where", ["in a namespace", pytest.param("as a system user", marks=needs_root)])
def test_both_drivers_know_the_servers_user(
    bulkio_home: Path, where: str, driver: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The owner of the process is checked whichever account runs it, and is the right one."""
    if where == "as a system user":
        monkeypatch.setattr(embedded, "own_account", lambda: None)
    table = pa.table({"a": [1, 2]})
    assert bulkio.load(table, "t", "embedded", mode="create", driver=driver).rows == 2
    info = session.resolve_dsn("embedded")
    assert info.peer_uid == Path(f"/proc/{running_pid()}").stat().st_uid
    assert info.psycopg_kwargs()["requirepeer"] == pwd.getpwuid(info.peer_uid).pw_name
    assert embedded.psql().env["PGREQUIREPEER"] == pwd.getpwuid(info.peer_uid).pw_name


@needs_root
@pytest.mark.parametrize(
    ("mode", "group", "safe"),
    [(0o755, "nogroup", True), (0o775, "root", True), (0o775, "nogroup", False), (0o1775, "nogroup", True)],
)
def test_a_group_that_may_write(tmp_path: Path, mode: int, group: str, safe: bool) -> None:
    """A folder above may be written by its owner's own group, which has no other member, and by no other one."""
    above = tmp_path / "above"
    (above / "run").mkdir(parents=True)
    (above / "run").chmod(0o700)
    shutil.chown(above, group=group)
    above.chmod(mode)
    assert (folders.exposure(above / "run", 0) == "") is safe


@needs_root
@pytest.mark.parametrize("owner", ["root", "nobody"])
def test_a_link_on_the_way(tmp_path: Path, owner: str) -> None:
    """Who owns a link can point it elsewhere, although all that it leads to is ours."""
    (tmp_path / "real" / "run").mkdir(parents=True)
    (tmp_path / "real" / "run").chmod(0o700)
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "real")
    os.chown(link, pwd.getpwnam(owner).pw_uid, -1, follow_symlinks=False)
    assert (folders.exposure(link / "run", 0) == "") is (owner == "root")


def test_a_folder_that_is_gone_is_not_ours(tmp_path: Path) -> None:
    """What does not exist may be made by anybody."""
    assert "No such file" in folders.exposure(tmp_path / "gone", os.geteuid())
