"""What cannot be had beside a connection of the caller's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bulkio.choices import number_of_workers
from bulkio.errors import ConfigError
from bulkio.show import show_option

if TYPE_CHECKING:
    from bulkio.options.loading import LoadRequest

__all__ = ["refuse_beside_connection"]

_SERVER = "the connection leads to its server, and has logged in already"
_YOURS = "the load is a part of your transaction, which you commit"
_RETRY = "an error leaves your transaction as it was before, and what comes next is for you to decide"


def refuse_beside_connection(request: LoadRequest) -> None:
    """Refuse the options that say how a load connects, or commits.

    Raises:
        ConfigError: with the first of them.
    """
    reasons = {
        "dsn": _SERVER if request.dsn is not None else "",
        "driver": "the connection's own driver carries the rows" if request.driver != "auto" else "",
        "password": _SERVER if request.password is not None else "",
        "method": "what you have registered on it could change values" if request.method == "records" else "",
        "workers": _YOURS if number_of_workers("workers", request.workers) != 1 else "",
        "commit": _YOURS if request.commit != "all" else "",
        "retries": _RETRY if request.retries else "",
        "retry_for": _RETRY if request.retry_for is not None else "",
        "rejects": "rejected rows are looked for in a transaction of the load's own" if request.rejects else "",
    }
    for name, why in reasons.items():
        if why:
            raise ConfigError(f"{show_option(name)} and {show_option('connection')} cannot be had together: {why}")
