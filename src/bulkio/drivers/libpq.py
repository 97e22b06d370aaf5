"""Ask libpq itself what a connection string means: its parser, environment, service and password files.

libpq has no call that resolves a connection string without connecting. But it first resolves everything, then
checks the values, and only then opens a socket. So a *probe* here is a connection with one value that libpq is
bound to refuse: everything that it resolved can be read, and nothing went over the network. None of libpq's rules
is written here again.

libpq's own messages quote parts of the connection string, and in a malformed one such a part may come from the
password (``password=my secret``). So messages about syntax are in our own words; only those about values pass
through.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from psycopg import conninfo as psycopg_conninfo
from psycopg import errors as psycopg_errors
from psycopg import pq

from bulkio.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["SECRET_KEYS", "default_host", "keys", "parse", "passfile_password", "resolve"]

#: libpq keys whose values are secrets: they never get into a message.
SECRET_KEYS = frozenset({"password", "sslpassword", "scram_client_key", "scram_server_key", "oauth_client_secret"})

#: Kind of session that no server has; libpq refuses it after it has resolved and checked nearly all else.
_REFUSED_ATTRS = "bulkio-probe"

_ESCAPE = "percent-encode reserved characters in user and password (@ is %40, / is %2F, : is %3A)"

#: Beginnings of libpq's messages on syntax (fe-connect.c), and what we say instead.
_SYNTAX = (
    ("invalid connection option", "it has a key that libpq does not know"),
    ("invalid URI query parameter", "it has a key that libpq does not know"),
    ('missing "=" after', "a key=value pair lacks its ="),
    ("unterminated quoted string", "a quoted value has no closing quote"),
    ("invalid percent-encoded token", "a % is not followed by two hexadecimal digits"),
    ("forbidden value %00", "it has a %00"),
    ("missing key/value separator", "a parameter after the ? lacks its ="),
    ("extra key/value separator", "a parameter after the ? has two ="),
    ("end of string reached when looking for matching", "an IPv6 address lacks its closing ]"),
    ("unexpected character", "an IPv6 address is followed by neither : nor /"),
)


@dataclass(frozen=True, slots=True)
class _Probe:
    """What libpq had resolved when it refused, and why it refused."""

    values: dict[str, str] = field(repr=False)
    message: str = field(repr=False)
    password: str = field(repr=False)
    host: str


def keys() -> tuple[str, ...]:
    """Return the keys that this libpq knows."""
    return tuple(option.keyword.decode() for option in pq.Conninfo.get_defaults())


def parse(dsn: str) -> dict[str, str]:
    """Return the keys and values that stand in `dsn` itself, a URI or key=value pairs.

    Raises `ConfigError`, without quoting anything that may belong to a password.
    """
    if "\0" in dsn:
        raise ConfigError("the connection string has a NUL character")
    _refuse_stray_at(dsn)
    try:
        options = pq.Conninfo.parse(dsn.encode())
        return {o.keyword.decode(): o.val.decode() for o in options if o.val is not None}
    except psycopg_errors.Error as error:
        raise ConfigError(f"the connection string cannot be parsed: {_explain(str(error), dsn)}") from None
    except UnicodeError:
        raise ConfigError("the connection string is not UTF-8") from None


def resolve(given: Mapping[str, str]) -> dict[str, str]:
    """Complete `given` with the service, the environment and libpq's defaults, as a connection would.

    The password file is not read: which password it has depends on the host (`passfile_password`). Raises
    `ConfigError` where libpq would refuse a value.
    """
    first = _probe({**given, "password": "unused", "target_session_attrs": _REFUSED_ATTRS})
    if _REFUSED_ATTRS not in first.message:
        # It quotes the value. One with an @ may be what libpq made of an unescaped password.
        reason = f"some value is wrong; {_ESCAPE}" if "@" in first.message else first.message
        raise ConfigError(f"the connection's parameters are not valid: {reason}")
    # The two values overridden above, seen through another refusal: more ports than hosts. It comes before
    # libpq reads the password file, so that its warnings about that file are not printed once more.
    names = first.values.get("host", "") + first.values.get("hostaddr", "")
    second = _probe({**given, "port": "," * (names.count(",") + 2)})
    values = {**second.values, "port": first.values.get("port", "")}
    for key in ("service", "servicefile"):  # resolved: what is left of them would be read a second time
        values.pop(key, None)
    return values


def passfile_password(
    *, host: str, hostaddr: str, port: int, user: str, dbname: str, passfile: str | None
) -> str | None:
    """Look one server up in the password file, by libpq's own rules; None where it has no entry.

    libpq warns on stderr where it ignores the file for its permissions.
    """
    wanted = {"host": host, "hostaddr": hostaddr, "port": str(port), "user": user, "dbname": dbname}
    if passfile:
        wanted["passfile"] = passfile
    return _probe({**wanted, "password": "", "target_session_attrs": _REFUSED_ATTRS}).password or None


@functools.lru_cache(maxsize=1)
def default_host() -> str:
    """Return the socket directory that this libpq was built with, or ``localhost`` where there are none."""
    blank = {"host": "", "hostaddr": "", "port": "", "password": "unused"}
    return _probe({**blank, "target_session_attrs": _REFUSED_ATTRS}).host


def _probe(parameters: Mapping[str, str]) -> _Probe:
    """Start a connection that libpq must refuse before it opens a socket."""
    text = psycopg_conninfo.make_conninfo("", **parameters)
    try:
        connection = pq.PGconn.connect_start(text.encode())
    except UnicodeError:
        raise ConfigError("a connection parameter is not UTF-8") from None
    try:
        return _Probe(
            values={o.keyword.decode(): o.val.decode() for o in connection.info if o.val is not None},
            message=connection.error_message.decode(errors="replace").strip(),
            password=connection.password.decode(),
            host=connection.host.decode(),
        )
    except UnicodeError:
        raise ConfigError("a connection parameter is not UTF-8: see the PG* variables and the service file") from None
    finally:
        connection.finish()


def _refuse_stray_at(dsn: str) -> None:
    """Refuse a URI whose unescaped password makes libpq take parts of it for the host or the database.

    libpq reads ``postgresql://u:se@cret@host/db`` as host ``cret@host``; such a host would end up in
    messages.
    """
    scheme, separator, rest = dsn.partition("://")
    if not separator or scheme not in {"postgresql", "postgres"}:
        return
    rest, _, _ = rest.partition("?")
    authority, _, path = rest.partition("/")
    if authority.count("@") > 1 or "@" in path:
        raise ConfigError(f"the connection URI has one @ too many: {_ESCAPE}")


def _explain(message: str, dsn: str) -> str:
    """Say in our own words what libpq says about a connection string it cannot parse."""
    scheme, separator, _ = dsn.partition("://")
    if separator and scheme.isascii() and scheme.replace("+", "").isalnum() and not scheme.startswith("postgres"):
        return "its scheme is not postgresql://"
    if separator and scheme.startswith(("postgres+", "postgresql+")):
        return "write postgresql:// without the +driver"
    for prefix, words in _SYNTAX:
        if message.startswith(prefix):
            return words + _name_key(message, dsn)
    return f"write postgresql://user@host:port/database or key=value pairs; {_ESCAPE}"


def _name_key(message: str, dsn: str) -> str:
    """Quote the unknown key, unless it may be a piece of a password (``password=my sec=ret``)."""
    before, quote, rest = message.partition('"')
    key = rest.rpartition('"')[0]
    known = before.strip() in {"invalid connection option", "invalid URI query parameter:"}
    if not (known and quote and key.isidentifier()) or "pass" in dsn.lower():
        return ""
    return "" if "@" in dsn[dsn.rfind(key) :] else f": {key}"
