"""A connection of the caller's as a `Session`: what it must be like, and whose it is while a block runs.

A load that joins the caller's transaction must meet nothing that the caller has set on the connection, and must leave
all of it as it was: codecs, adapters, factories, prepared statements. So both drivers' sessions go around the
connection's own methods.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from bulkio.errors import ConfigError
from bulkio.show import show_option

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager
    from typing import TypeAlias

    from bulkio.protocols import JoinedSession

    _Kind: TypeAlias = Literal["asyncpg", "psycopg", "psycopg's async"]

__all__ = ["joined_session", "refuse_async"]

_KINDS = "a psycopg.Connection, or in bulkio.aio a psycopg.AsyncConnection or an asyncpg.Connection"


def joined_session(connection: object) -> AbstractAsyncContextManager[JoinedSession]:
    """Return a context in which a connection of the caller's is a session; it stays open, and its transaction too.

    Raises:
        ConfigError: it is not a connection that can be joined, or not now; the message says why.
    """
    kind = _kind(connection)
    if kind is None:
        raise ConfigError(f"{show_option('connection')} is {_shown(connection)}, and must be {_KINDS}")
    if kind == "asyncpg":
        from bulkio.drivers import asyncpg_joined

        return asyncpg_joined.joined(connection)
    from bulkio.drivers import psycopg_joined

    return psycopg_joined.joined_async(connection) if kind == "psycopg's async" else psycopg_joined.joined(connection)


def refuse_async(connection: object) -> None:
    """Refuse a connection that is used on an event loop, for a call that blocks the caller's.

    Raises:
        ConfigError: with the call to use.
    """
    if _kind(connection) in ("asyncpg", "psycopg's async"):
        raise ConfigError(
            f"{show_option('connection')} is {_shown(connection)}, which belongs to an event loop: there,"
            " await bulkio.aio.load(…) with it; bulkio.load takes a psycopg Connection"
        )


def _kind(connection: object) -> _Kind | None:
    """Tell whose connection it is, without importing what was not imported."""
    names = {f"{kind.__module__.partition('.')[0]}.{kind.__name__}" for kind in type(connection).__mro__}
    if names & {"asyncpg.Connection", "asyncpg.PoolConnectionProxy"}:
        return "asyncpg"
    if "psycopg.AsyncConnection" in names:
        return "psycopg's async"
    return "psycopg" if "psycopg.Connection" in names else None


def _shown(connection: object) -> str:
    kind = type(connection)
    return f"a {kind.__module__}.{kind.__qualname__}" if kind.__module__ != "builtins" else f"a {kind.__qualname__}"
