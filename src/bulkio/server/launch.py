"""Start one program as the account that may run PostgreSQL; run as a script, in an interpreter of its own.

PostgreSQL's programs refuse to run with effective user id 0. This script keeps its user, or stops being root in
one of two ways, and then becomes the program:

    plain            keep the user
    map UID GID      enter a new user namespace in which our own ids are called UID and GID. To the kernel we stay
                     the same user, so folders with mode 0700 stay readable, and nothing has to change its owner or mode
    become UID GID   setgroups, setgid, setuid

    python -I -S launch.py plain|map|become UID GID LOG PROGRAM ARG...

If LOG is `-`, the program replaces this process. Otherwise it starts detached and its output is appended to LOG:
it is a child of init in a session of its own, so that no terminal's Ctrl-C reaches it; its pid is printed.

It is a separate process because only a process with a single thread can enter a namespace, and because a
postmaster must not be our child: a dead one would remain as a zombie, which PostgreSQL mistakes for a live
server. It imports the standard library only.
"""

from __future__ import annotations

import ctypes
import os
import sys

__all__ = ["main"]

#: `CLONE_NEWUSER` of <linux/sched.h>; Python has it from 3.12 on only.
CLONE_NEWUSER = 0x10000000


def main(argv: list[str]) -> None:
    """Become the account, then the program."""
    mode, uid, gid, log, *command = argv
    os.umask(0o077)
    if mode == "map":
        _enter_namespace(int(uid), int(gid))
    elif mode == "become":
        os.setgroups([])
        os.setgid(int(gid))
        os.setuid(int(uid))
    if log != "-":
        _detach(log)
    os.execv(command[0], command)  # noqa: S606  no shell is wanted


def _enter_namespace(uid: int, gid: int) -> None:
    """Call our user `uid` and our group `gid` from here on. See user_namespaces(7)."""
    outer_uid, outer_gid = os.geteuid(), os.getegid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWUSER) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), "unshare")
    # Without CAP_SETGID in the outer namespace a gid map is accepted only after setgroups was given up.
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/uid_map", f"{uid} {outer_uid} 1")
    _write("/proc/self/gid_map", f"{gid} {outer_gid} 1")


def _write(path: str, text: str) -> None:
    # One write call: the kernel takes a map in one piece only.
    fd = os.open(path, os.O_WRONLY)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def _detach(log: str) -> None:
    """Go on in a child with its own session and `log` for output; the parent prints its pid and ends."""
    out = os.open(log, os.O_WRONLY | os.O_APPEND)
    pid = os.fork()
    if pid:
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()
        os._exit(0)
    os.setsid()
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(out, 1)
    os.dup2(out, 2)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except OSError as err:
        sys.exit(f"{os.path.basename(sys.argv[0])}: {err}")  # noqa: PTH119  pathlib costs 10 ms
