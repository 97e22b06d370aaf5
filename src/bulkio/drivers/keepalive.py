"""How soon a server that has vanished is noticed: TCP keepalives and the time that sent data may stay unanswered.

Owns the values that hold where the connection string is silent, and puts them on asyncpg's socket as libpq does on its
own (fe-connect.c, `setKeepalivesIdle` and its neighbours). The kernel's own default is two hours.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from bulkio.errors import ConfigError

if TYPE_CHECKING:
    from asyncio.trsock import TransportSocket
    from collections.abc import Mapping

__all__ = ["DEFAULTS", "completed", "patience_s", "tune"]

#: values of libpq's keys: seconds, seconds, a number of probes, milliseconds; two minutes in all
DEFAULTS: Mapping[str, str] = {
    "keepalives_idle": "60",
    "keepalives_interval": "10",
    "keepalives_count": "6",
    "tcp_user_timeout": "120000",
}

#: bytes that a Unix socket may hold of what was sent; the system allows less where an administrator has said so
SEND_BUFFER_BYTES = 1 << 20

#: names of a key's socket option; systems differ in which they have
_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "keepalives_idle": ("TCP_KEEPIDLE", "TCP_KEEPALIVE"),
    "keepalives_interval": ("TCP_KEEPINTVL",),
    "keepalives_count": ("TCP_KEEPCNT",),
    "tcp_user_timeout": ("TCP_USER_TIMEOUT",),
}


def completed(params: Mapping[str, str]) -> dict[str, str]:
    """Return the parameters with the defaults in them, and without those that ask for the system's own value by a 0.

    (libpq's manual says so of 0, but libpq passes it on, and Linux refuses it.) Raises `ConfigError` for a value that
    is not a whole number, as libpq does when it connects.
    """
    for key in ("keepalives", *_OPTIONS):
        try:
            int(params.get(key) or 0)
        except ValueError:
            raise ConfigError(f"{key} is not a whole number") from None
    merged = {**DEFAULTS, **params}
    return {key: value for key, value in merged.items() if key not in _OPTIONS or _number(merged, key)}


def patience_s(params: Mapping[str, str]) -> float | None:
    """Return how long asyncpg may take to connect and log in where nothing else limits it; None for no limit.

    Its socket cannot be had before that, and nothing else would notice a server that vanishes meanwhile.
    """
    return _number(params, "tcp_user_timeout") / 1000 or None if _are_wanted(params) else None


def tune(sock: TransportSocket | socket.socket, params: Mapping[str, str]) -> None:
    """Set the options of a connected TCP socket; keepalives=0 means none, as in libpq.

    A Unix socket needs none, but takes more at once: with the system's 208 kB, no block of a load goes in one piece.
    TCP's own buffer grows as the way needs it, unless somebody sets it.
    """
    if sock.family == getattr(socket, "AF_UNIX", None):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    if sock.family not in (socket.AF_INET, socket.AF_INET6) or not _are_wanted(params):
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for key, names in _OPTIONS.items():
        option = next((getattr(socket, name) for name in names if hasattr(socket, name)), None)
        if option is not None and (value := _number(params, key)):
            sock.setsockopt(socket.IPPROTO_TCP, option, value)


def _are_wanted(params: Mapping[str, str]) -> bool:
    return int(params.get("keepalives") or 1) != 0


def _number(params: Mapping[str, str], key: str) -> int:
    return max(int(params.get(key) or 0), 0)
