"""What cannot be had beside a connection of the caller's."""

from __future__ import annotations

from bulkio.errors import ConfigError
from bulkio.show import show_option

__all__ = ["refuse_beside_connection"]

_SERVER = "the connection leads to its server, and has logged in already"
_YOURS = "the load is a part of your transaction, which you commit"
_RETRY = "an error leaves your transaction as it was before, and what comes next is for you to decide"

#: values that say nothing against the connection, and why others do, by option
_ALLOWED: dict[str, tuple[tuple[object, ...], str]] = {
    "dsn": ((None,), _SERVER),
    "driver": (("auto",), "the connection's own driver carries the rows"),
    "password": ((None,), _SERVER),
    "method": (("binary", "csv"), "what you have registered on it could change values"),
    "workers": ((1, "1"), _YOURS),
    "commit": (("all",), _YOURS),
    "retries": ((None, 0), _RETRY),
    "retry_for": ((None,), _RETRY),
    "rejects": ((None,), "rejected rows are looked for in a transaction of the load's own"),
}


def refuse_beside_connection(request: object) -> None:
    """Refuse a load's options that say how it connects, or commits.

    Raises:
        ConfigError: with the first of them.
    """
    for name, (allowed, why) in _ALLOWED.items():
        if getattr(request, name) not in allowed:
            raise ConfigError(f"{show_option(name)} and {show_option('connection')} cannot be had together: {why}")
