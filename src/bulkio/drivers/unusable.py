"""Why a connection of the caller's cannot be joined now."""

from __future__ import annotations

import asyncio

from bulkio.errors import ConfigError
from bulkio.show import show_option

__all__ = ["BUSY", "FAILED", "not_in_transaction", "refuse_other_loop", "unusable"]

#: reasons why a connection cannot be used
BUSY = "something else is using it: a statement, a COPY, or another task or thread"
FAILED = "its transaction has failed: roll that back first"


def refuse_other_loop(loop: object) -> None:
    """Refuse a connection of an event loop that is not the one that runs here; None is not known.

    Raises:
        ConfigError: it is another one.
    """
    if loop not in (None, asyncio.get_running_loop()):
        raise unusable("it belongs to another event loop: load in that one")


def unusable(why: str) -> ConfigError:
    """Return the error for a connection that cannot be joined now."""
    return ConfigError(f"{show_option('connection')} cannot be used: {why}")


def not_in_transaction(block: str) -> ConfigError:
    """Return the error for a connection that is not in a transaction; `block` is how one begins."""
    return unusable(f"it is not in a transaction, which the load would be a part of: load within `{block}:`")
