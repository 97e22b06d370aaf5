"""The folders and files around a cluster: made private, checked before use, written whole.

Owns the layout's safety. Only paths that bulkio itself makes are created, given a mode or removed here.
"""

from __future__ import annotations

import contextlib
import fcntl
import grp
import os
import pwd
import re
import shutil
import stat
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bulkio.errors import ConfigError, ConnectError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bulkio.server.account import Account

__all__ = [
    "check_root",
    "exposure",
    "locked",
    "make_folder",
    "make_root",
    "make_socket_folder",
    "remove_socket_folder",
    "write_whole",
]

#: The longest socket path that every platform takes: sun_path holds 108 bytes on Linux, 104 on macOS, with
#: its NUL.
SOCKET_PATH_BYTES = 103
#: Folder for a socket whose own path is too long: $TMPDIR may be long itself.
SHORT_PARENT = Path("/tmp")  # noqa: S108  only ever by mkdtemp
#: Prefix of the folders' names there.
SHORT_PREFIX = "bulkio-"
#: Bytes of `/.s.PGSQL.` and a port of up to five digits.
_SOCKET_NAME_BYTES = 15
#: Names that need no quoting in unix_socket_directories, in a DSN or in a shell.
_PLAIN = re.compile(r"[A-Za-z0-9_./+-]+")


def make_root(root: Path, account: Account) -> None:
    """Make the folder that holds a cluster; refuse one that other users could reach into.

    A server that runs as another user must be able to walk through it, to the folders that are its own.
    """
    root.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        root.mkdir(mode=0o700)
        root.chmod(0o711 if account.is_other_user else 0o700)
    check_root(root, account.owner_uid)


def check_root(root: Path, owner_uid: int) -> None:
    """Raise ConfigError where another user than the server's could have made the folder of a cluster, or may enter it.

    His cluster, with his own password in it, would look like ours.
    """
    allowed = 0o700 if owner_uid == os.geteuid() else 0o711
    facts = root.lstat()
    mode = stat.S_IMODE(facts.st_mode)
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.geteuid() or mode & ~allowed:
        raise ConfigError(
            f"the server's folder {root} must be a folder of user id {os.geteuid()} that nobody else can "
            f"enter (mode {allowed:o}); it belongs to user id {facts.st_uid}, mode {mode:o}. "
            "Set BULKIO_HOME to another folder"
        )
    reason = _open_parent(root, owner_uid)
    if reason:
        raise ConfigError(f"the server's folder {root} is not safe there: {reason}. Set BULKIO_HOME to another folder")


def exposure(folder: Path, owner_uid: int) -> str:
    """Say why a socket in this folder may be another user's; nothing where it can only be the server's own.

    The folder must be the server's and closed, and nobody else may be able to put another in its place.
    """
    try:
        facts = folder.lstat()
    except OSError as err:
        return f"{folder}: {err.strerror}"
    mode = stat.S_IMODE(facts.st_mode)
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != owner_uid or mode & 0o077:
        return f"{folder} belongs to user id {facts.st_uid} and not to {owner_uid}, or is not closed (mode {mode:o})"
    return _open_parent(folder, owner_uid)


def _open_parent(path: Path, owner_uid: int) -> str:
    """Say which folder above lets somebody else rename or remove what lies in it; nothing where none does.

    Root, we and the server's user may. In a sticky folder, like /tmp, only who owns an entry may: its owner is looked
    at too. A link on the way is looked at both as itself and as what it leads to.
    """
    trusted = {0, os.geteuid(), owner_uid}
    for folder in dict.fromkeys([*path.parents, path.resolve(), *path.resolve().parents]):
        facts = folder.lstat()
        mode = stat.S_IMODE(facts.st_mode)
        others = mode & 0o002 or (mode & 0o020 and not _is_private_group(facts.st_gid))
        if facts.st_uid not in trusted:
            return f"{folder} belongs to user id {facts.st_uid}"
        if others and not stat.S_ISLNK(facts.st_mode) and not mode & stat.S_ISVTX:
            return f"{folder} may be written by other users (mode {mode:o})"
    return ""


def _is_private_group(gid: int) -> bool:
    """Tell whether nobody else is in a group: root's, and the one of his own that many systems give each user."""
    try:
        group, me = grp.getgrgid(gid), pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return False
    return group.gr_name in ("root", me) and set(group.gr_mem) <= {"root", me}


def make_folder(path: Path, account: Account) -> None:
    """Make a folder that only the account may enter."""
    path.mkdir(mode=0o700)
    path.chmod(0o700)
    account.give(path)


def make_socket_folder(link: Path, account: Account) -> Path:
    """Return the empty folder for the socket: `link`, or where its path is too long or odd, one in /tmp.

    `link` points to it then. The name in /tmp is a fresh one each time (mkdtemp), so nobody can wait for us
    there with a folder of his own. What a dead server left is removed: PostgreSQL would trust a stale lock
    file whose pid another process has now.
    """
    remove_socket_folder(link)
    folder = _new_socket_folder(link, account)
    reason = exposure(folder, account.owner_uid)
    if reason:
        raise ConfigError(f"another user could put a socket in place of the server's: {reason}")
    return folder


def _new_socket_folder(link: Path, account: Account) -> Path:
    if len(os.fsencode(link)) + _SOCKET_NAME_BYTES <= SOCKET_PATH_BYTES and _PLAIN.fullmatch(str(link)):
        make_folder(link, account)
        return link
    target = Path(tempfile.mkdtemp(prefix=SHORT_PREFIX, dir=SHORT_PARENT))
    account.give(target)
    link.symlink_to(target)
    return target


def remove_socket_folder(link: Path) -> None:
    """Remove the socket's folder, and the folder in /tmp it may point to if that is still the one we made."""
    if link.is_symlink():
        target = link.readlink()
        if target.parent == SHORT_PARENT and target.name.startswith(SHORT_PREFIX):
            # rmtree follows no link, and what is not ours the sticky /tmp does not let us remove unless we
            # are root.
            with contextlib.suppress(OSError):
                shutil.rmtree(target)
        link.unlink()
    elif link.exists():
        shutil.rmtree(link)


def write_whole(path: Path, text: str, *, mode: int = 0o600) -> None:
    """Write a file under a temporary name and rename it, so that nobody reads half of it."""
    fd, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            file.write(text)
            os.fchmod(file.fileno(), mode)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def locked(path: Path, *, timeout_s: float) -> Iterator[None]:
    """Hold an exclusive lock that the kernel frees when its holder ends, however it ends.

    Raises ConnectError (retryable) where another process holds it for longer than `timeout_s`.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        _acquire(fd, path, timeout_s)
        try:
            yield
        finally:
            # By hand: a child that another thread forked may share this descriptor and outlive us.
            fcntl.flock(fd, fcntl.LOCK_UN)
    finally:
        os.close(fd)


def _acquire(fd: int, path: Path, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                message = f"another process starts or stops the server for {timeout_s:.0f} s now (it holds {path})"
                raise ConnectError(message, retryable=True) from None
            time.sleep(0.02)
        else:
            return
