"""Which driver, and which connection string."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bulkio.drivers import asyncpg_params
from bulkio.drivers.conninfo import _SERVER_VARIABLES, ConnInfo, no_database
from bulkio.errors import ConfigError
from bulkio.show import nearest, show_value

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bulkio.choices import DriverChoice, DriverName

__all__ = ["choose_driver", "default_dsn"]

#: word for the embedded server in place of a DSN
EMBEDDED = "embedded"


def choose_driver(info: ConnInfo, requested: DriverChoice) -> DriverName:
    """Take the driver that was asked for; with ``auto`` the faster one that can honour `info`.

    The faster one is asyncpg. Raises `ConfigError` where asyncpg was asked for and cannot honour a parameter.
    """
    if requested == "psycopg":
        return "psycopg"
    if requested not in ("auto", "asyncpg"):
        raise ConfigError(f"there is no driver {requested!r}: take auto, asyncpg or psycopg")
    refusals = asyncpg_params.refusals(info)
    if requested == "asyncpg" and refusals:
        raise asyncpg_params.refused(refusals)
    return "psycopg" if refusals else "asyncpg"


def default_dsn(*, dsn: str | None, environ: Mapping[str, str], interactive: bool) -> str:
    """Return the DSN to use, by the first of these that names one.

    `dsn`, BULKIO_DSN, DATABASE_URL, libpq's own variables (given as ""), and on a terminal ``embedded``.
    The embedded server is the default on a terminal only: a cron job that lost its DSN must fail. An empty
    value counts as none. Raises `ConfigError` where nothing names a database.
    """
    named = dsn or environ.get("BULKIO_DSN") or environ.get("DATABASE_URL")
    if named:
        _refuse_misspelled(named)
        return named
    if any(environ.get(name) for name in _SERVER_VARIABLES):
        return ""
    if interactive:
        return EMBEDDED
    raise no_database()


def _refuse_misspelled(dsn: str) -> None:
    """Refuse a word that is most likely to mean the embedded server: libpq would only miss a `=` in it."""
    if dsn != EMBEDDED and not set(dsn) & set("=:/@") and nearest(dsn, [EMBEDDED]):
        raise ConfigError(f"{show_value(dsn)} is not a connection string; did you mean {EMBEDDED}?")
