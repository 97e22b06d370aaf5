"""What a connection string means, found once for both drivers, and which driver can honour it.

`parse_conninfo` gives a `ConnInfo`: libpq's own resolution of the string, the PG* variables, the service file
and the defaults. psycopg gets these parameters as they are; asyncpg gets them translated key by key
(`asyncpg_params`), never as a DSN. Nothing here opens a connection, and no text made here has a password in
it.
"""

from __future__ import annotations

import contextlib
import pwd
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote

from bulkio.drivers import keepalive, libpq
from bulkio.errors import ConfigError
from bulkio.show import printable, show_option

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["ConnInfo", "Host", "parse_conninfo", "password_in_dsn"]

_TARGETS = frozenset({"any", "read-write", "read-only", "primary", "standby", "prefer-standby"})


_BALANCING = frozenset({"disable", "random"})


#: libpq's variables that say which server is meant. (PGSSLMODE and the like only say how to reach one.)
_SERVER_VARIABLES = ("PGHOST", "PGHOSTADDR", "PGPORT", "PGDATABASE", "PGUSER", "PGPASSWORD", "PGSERVICE")


def no_database() -> ConfigError:
    """Make the error for a call that names no database, in any of the ways to name one."""
    return ConfigError(
        f"no database is named: give {show_option('dsn')}, or set BULKIO_DSN, DATABASE_URL or libpq's PGHOST,"
        f" PGDATABASE, PGSERVICE..., or say {show_option('dsn', '@NAME')} for a connection of bulkio.toml,"
        f" {show_option('dsn', 'embedded')} for the embedded server"
    )


@dataclass(frozen=True, slots=True)
class Host:
    """One server to try: a name, a socket's directory, or an address, and its port."""

    #: name of a host, or a socket's directory; empty if only `hostaddr` is given
    host: str
    #: the address to connect to instead of looking `host` up; mostly empty
    hostaddr: str
    port: int

    @property
    def is_socket(self) -> bool:
        """Tell whether this is a Unix socket (`@` begins an abstract one)."""
        return not self.hostaddr and self.host.startswith(("/", "@"))

    @property
    def is_local(self) -> bool:
        """Tell whether no network lies between: a socket, or this machine's own address."""
        return self.is_socket or (self.hostaddr or self.host) in ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True, repr=False)
class ConnInfo:
    """Everything that libpq would connect with. Its repr has no password."""

    hosts: tuple[Host, ...]
    user: str
    database: str
    #: libpq's parameters under libpq's names, without the password; values that were never set are missing
    params: Mapping[str, str]
    #: the password, or a function that returns one at each connect; None: the password file is asked, for each host
    password: str | Callable[[], str] | None = field(default=None)
    #: the user id that must run the server, if its socket is one of our own; None: any
    peer_uid: int | None = None

    def __repr__(self) -> str:
        return f"ConnInfo({self.display})"

    @property
    def display(self) -> str:
        """The connection for people: a URI without password or options."""
        name = f"{quote(self.user, safe='')}@" if self.user else ""
        end = f"/{quote(self.database, safe='')}"
        if any(h.is_socket for h in self.hosts):
            hosts = quote(",".join(h.host or h.hostaddr for h in self.hosts), safe="/,:@")
            return f"postgresql://{name}{end}?host={hosts}&port={','.join(str(h.port) for h in self.hosts)}"
        return f"postgresql://{name}{','.join(_authority(h) for h in self.hosts)}{end}"

    @property
    def timeout_s(self) -> float | None:
        """Seconds to wait for each host; None waits as long as the system does. As in libpq, at least 2."""
        seconds = int(self.params.get("connect_timeout") or 0)
        return max(seconds, 2) if seconds > 0 else None

    def secret(self) -> str | None:
        """Return the password, calling for it where it is a callable; None where the password file decides."""
        return self.password() if callable(self.password) else self.password

    def psycopg_kwargs(self) -> dict[str, str]:
        """Return the arguments for `psycopg.connect`, for one connect: a callable password is called now."""
        secret = self.secret()
        arguments = {**self.params} if secret is None else {**self.params, "password": secret}
        if self.peer_uid is not None:
            with contextlib.suppress(KeyError):  # an id without a name, in containers: libpq asks by name
                arguments["requirepeer"] = pwd.getpwuid(self.peer_uid).pw_name
        return arguments


def parse_conninfo(dsn: str | None, *, password: str | Callable[[], str] | None = None) -> ConnInfo:
    """Resolve `dsn` as libpq does: a URI or key=value pairs, over service file, PG* variables and defaults.

    None and an empty string name nothing: variables and defaults decide. `password` wins over any other; a
    callable is called at each connect. Raises `ConfigError`; its message never has a password in it.

        >>> parse_conninfo("postgresql://ann:secret@db.example/sales").display
        'postgresql://ann@db.example:5432/sales'
    """
    params = libpq.resolve(libpq.parse(dsn or ""))
    found = params.pop("password", None)
    params = {"fallback_application_name": "bulkio", **keepalive.completed(params)}
    _check_values(params)
    hosts = _hosts(params)
    user = params.get("user", "")
    return ConnInfo(
        hosts=hosts,
        user=user,
        database=params.get("dbname") or user,
        params=params,
        password=found if password is None else password,
    )


def password_in_dsn(dsn: str) -> bool:
    """Tell whether `dsn` itself has a secret in it, which others can read on a command line."""
    try:
        return any(libpq.parse(dsn).get(key) for key in libpq.SECRET_KEYS)
    except ConfigError:
        return False  # the run ends with that error


def _check_values(params: Mapping[str, str]) -> None:
    """Check what libpq checks only when it connects, or not in every version."""
    target = params.get("target_session_attrs") or "any"
    if target not in _TARGETS:
        raise ConfigError(f"target_session_attrs={printable(target)} is none of {', '.join(sorted(_TARGETS))}")
    balancing = params.get("load_balance_hosts") or "disable"
    if balancing not in _BALANCING:
        raise ConfigError(f"load_balance_hosts={printable(balancing)} is neither disable nor random")
    try:
        int(params.get("connect_timeout") or 0)
    except ValueError:
        raise ConfigError("connect_timeout is not a whole number of seconds") from None


def _hosts(params: Mapping[str, str]) -> tuple[Host, ...]:
    """Pair hosts, addresses and ports by libpq's rules; `libpq.resolve` has compared their numbers."""
    names, addresses = _split(params.get("host")), _split(params.get("hostaddr"))
    count = max(len(names), len(addresses), 1)
    names, addresses = names or [""] * count, addresses or [""] * count
    ports = [_port(p) for p in _split(params.get("port")) or [""]]
    ports = ports * count if len(ports) == 1 else ports
    hosts = []
    for name, address, port in zip(names, addresses, ports, strict=True):
        if "@" in name[1:]:  # most likely a piece of an unescaped password
            raise ConfigError("a host has an @ in it: percent-encode reserved characters in user and password")
        hosts.append(Host(name if name or address else libpq.default_host(), address, port))
    return tuple(hosts)


def _split(text: str | None) -> list[str]:
    return text.split(",") if text else []


def _port(text: str) -> int:
    """Read a port. The text is not quoted: in ``postgresql://user:secret`` it is a password."""
    try:
        port = int(text or "5432")
    except ValueError:
        port = 0
    if not 1 <= port <= 65535:
        raise ConfigError("a port is not a number from 1 to 65535: the form is postgresql://user:password@host:port/db")
    return port


def _authority(host: Host) -> str:
    name = host.host or host.hostaddr
    return f"[{name}]:{host.port}" if ":" in name else f"{quote(name, safe='')}:{host.port}"
