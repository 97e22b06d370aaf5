"""Who listens on a Unix socket: asked before a password goes there.

libpq asks by itself (requirepeer), by a user's name; asyncpg cannot. Nothing is sent here: PostgreSQL takes a
connection that ends without a byte for nothing at all.
"""

from __future__ import annotations

import ctypes
import socket
import struct
import time
from typing import TYPE_CHECKING

from bulkio.errors import ConnectError
from bulkio.show import printable

if TYPE_CHECKING:
    from bulkio.drivers.conninfo import ConnInfo

__all__ = ["check", "uid_of"]

#: `struct ucred` of <sys/socket.h>: pid, uid, gid.
_UCRED = struct.Struct("iII")
_TIMEOUT_S = 10.0


def check(info: ConnInfo) -> None:
    """Raise ConnectError where a socket of `info` is not the one of the user that must run the server.

    A socket where nobody listens is left to the driver, which says so.
    """
    sockets = [f"{host.host}/.s.PGSQL.{host.port}" for host in info.hosts if host.is_socket]
    for path in sockets if info.peer_uid is not None else ():
        uid = uid_of(path)
        if uid not in (None, info.peer_uid):
            raise ConnectError(
                f"{printable(path)} is the socket of user id {uid}, and not of {info.peer_uid}, who runs the server; "
                "nothing was sent there"
            )


def uid_of(path: str) -> int | None:
    """Return the user id of the process that listens on a socket; None where nobody does."""
    with socket.socket(socket.AF_UNIX) as probe:
        return _credential(probe) if _connects(probe, path) else None


def _connects(probe: socket.socket, path: str) -> bool:
    """Connect without waiting for ever: a listener that takes nobody lets a blocking connect hang."""
    probe.settimeout(0)
    deadline = time.monotonic() + _TIMEOUT_S
    while True:
        try:
            probe.connect(path)
        except BlockingIOError:  # its queue is full
            if time.monotonic() > deadline:
                message = f"{printable(path)} has accepted no connection for {_TIMEOUT_S:.0f} s"
                raise ConnectError(message, retryable=True) from None
            time.sleep(0.01)
        except OSError:
            return False
        else:
            return True


def _credential(probe: socket.socket) -> int:
    """Return the user id at the other end, as the kernel knows it (unix(7), getpeereid(3))."""
    if hasattr(socket, "SO_PEERCRED"):  # Linux
        _, uid, _ = _UCRED.unpack(probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
        return int(uid)
    uid, gid = ctypes.c_uint32(), ctypes.c_uint32()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.getpeereid(probe.fileno(), ctypes.byref(uid), ctypes.byref(gid)) != 0:
        raise ConnectError("cannot tell who listens on a socket: getpeereid failed")
    return uid.value
