"""Translate libpq's parameters for asyncpg, one explicit rule for each key, and connect with them.

asyncpg reads DSNs, the environment, service and password files in its own way, and sends keys it does not
know to the server as settings. So it gets none of these to read: every argument that it would look up is
passed. A key without a rule here, such as a future libpq's, is refused as soon as it has a value.
"""

from __future__ import annotations

import functools
import os
import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from bulkio.drivers import keepalive, libpq, peer, tls
from bulkio.errors import ConfigError
from bulkio.show import printable, show_option

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping, Sequence

    from bulkio.drivers.asyncpg_connection import Connection
    from bulkio.drivers.conninfo import ConnInfo, Host
    from bulkio.protocols import CopyFormat

__all__ = ["KEYS", "Key", "attempts", "connect", "copy_in_options", "refusals", "refused"]


@dataclass(frozen=True, slots=True)
class Key:
    """How asyncpg honours one libpq key."""

    treatment: Literal["kept", "ignored", "limited"]
    #: reason why it can be ignored, way in which it is kept, or what asyncpg lacks
    note: str
    #: values of a limited key under which asyncpg does what libpq would do
    accepts: frozenset[str] = frozenset()


def _kept(note: str) -> Key:
    return Key("kept", note)


def _ignored(note: str) -> Key:
    return Key("ignored", note)


def _limited(note: str, *accepts: str) -> Key:
    return Key("limited", note, frozenset(accepts))


_TLS = "in the ssl.SSLContext"
_SOCKET = "on the socket, once it is connected; until then tcp_user_timeout limits the whole attempt"
_NO_OAUTH = "asyncpg has no OAuth"

KEYS: Mapping[str, Key] = {
    "user": _kept("user"),
    "password": _kept("password"),
    "passfile": _kept("read through libpq, for each host"),
    "dbname": _kept("database"),
    "host": _kept("host, one for each attempt"),
    "hostaddr": _kept("host, where no TLS would need the name as well"),
    "port": _kept("port"),
    "connect_timeout": _kept("timeout, for each attempt"),
    "options": _kept("server_settings: the startup packet has the same field"),
    "application_name": _kept("server_settings"),
    "fallback_application_name": _kept("server_settings"),
    "sslmode": _kept("ssl, and the order of attempts"),
    "sslcert": _kept(_TLS),
    "sslkey": _kept(_TLS),
    "sslpassword": _kept(_TLS),
    "sslrootcert": _kept(_TLS),
    "sslcrl": _kept(_TLS),
    "sslcrldir": _kept(_TLS),
    "ssl_min_protocol_version": _kept(_TLS),
    "ssl_max_protocol_version": _kept(_TLS),
    "krbsrvname": _kept("krbsrvname"),
    "gsslib": _kept("gsslib"),
    "target_session_attrs": _kept("target_session_attrs, and the order of attempts"),
    "load_balance_hosts": _kept("the order of attempts"),
    "client_encoding": _ignored("asyncpg speaks UTF-8 only, and bulkio pins UTF8 with both drivers"),
    "keepalives": _kept(_SOCKET),
    "keepalives_idle": _kept(_SOCKET),
    "keepalives_interval": _kept(_SOCKET),
    "keepalives_count": _kept(_SOCKET),
    "tcp_user_timeout": _kept(_SOCKET),
    "sslcompression": _ignored("Python never compresses TLS, nor does any OpenSSL of today"),
    "max_protocol_version": _ignored("asyncpg speaks 3.0, the lowest there is"),
    "min_protocol_version": _limited("asyncpg speaks protocol 3.0", "3.0"),
    "channel_binding": _limited("asyncpg has no channel binding", "prefer", "disable"),
    "require_auth": _limited("asyncpg cannot refuse a method of authentication"),
    "requirepeer": _limited("asyncpg cannot check who owns a socket"),
    "sslcertmode": _limited("asyncpg cannot require that the server asks for a certificate", "allow", "disable"),
    "sslnegotiation": _limited("asyncpg does not check the protocol of direct TLS", "postgres"),
    "sslsni": _limited("asyncpg always sends the server's name", "1"),
    "sslkeylogfile": _limited("bulkio does not write TLS keys for asyncpg"),
    "gssencmode": _limited("asyncpg has no GSSAPI encryption", "disable", "prefer"),
    "gssdelegation": _limited("asyncpg cannot delegate credentials", "0"),
    "replication": _limited("bulkio needs an ordinary connection"),
    "scram_client_key": _limited("asyncpg needs the password itself"),
    "scram_server_key": _limited("asyncpg needs the password itself"),
    "oauth_issuer": _limited(_NO_OAUTH),
    "oauth_client_id": _limited(_NO_OAUTH),
    "oauth_client_secret": _limited(_NO_OAUTH),
    "oauth_scope": _limited(_NO_OAUTH),
}

_UNKNOWN = _limited("bulkio does not know how asyncpg would honour it")

#: Variables that libpq itself sends to the server as settings (fe-protocol3.c, EnvironmentOptions).
_SETTING_VARIABLES = {"PGDATESTYLE": "datestyle", "PGTZ": "timezone", "PGGEQO": "geqo"}


def copy_in_options(fmt: CopyFormat) -> dict[str, str]:
    """Return what `copy_to_table` needs: asyncpg writes the COPY itself; these are `sql.copy_from_stdin`'s options."""
    if fmt == "binary":
        return {"format": "binary"}
    return {"format": "csv", "delimiter": ",", "quote": '"', "escape": '"', "null": "", "encoding": "UTF8"}


def refusals(info: ConnInfo) -> tuple[str, ...]:
    """Name every parameter that asyncpg cannot honour, each as ``key: reason``."""
    found = []
    for name, value in info.params.items():
        key = KEYS.get(name, _UNKNOWN)
        if value and key.treatment == "limited" and value not in key.accepts:
            shown = f"{name}={printable(value)}" if key.accepts else name
            found.append(f"{shown}: {key.note}")
    for host in info.hosts:
        reason = _host_refusal(host, info.params.get("sslmode") or "prefer")
        if reason and reason not in found:
            found.append(reason)
    return tuple(found)


def refused(reasons: Sequence[str]) -> ConfigError:
    """Make the error for parameters that asyncpg cannot honour."""
    return ConfigError(
        f"asyncpg cannot honour {'; '.join(reasons)}. Use {show_option('driver', 'psycopg')}, or leave this out"
    )


def _host_refusal(host: Host, sslmode: str) -> str:
    if host.is_socket and host.host.startswith("@"):
        return "host: asyncpg does not know abstract sockets"
    if not host.hostaddr or host.hostaddr == host.host or sslmode == "disable":
        return ""
    if host.host:
        return "hostaddr: asyncpg cannot do TLS for a name over an address given for it"
    return "hostaddr: sslmode=verify-full needs a host to verify" if sslmode == "verify-full" else ""


def attempts(info: ConnInfo) -> tuple[dict[str, object], ...]:
    """Return the arguments of `asyncpg.connect`, a set for each attempt, in the order libpq would try them.

    Each has one host, because libpq's timeout and password are each host's own. Reads certificate files. Raises
    `ConfigError` where asyncpg cannot honour a parameter.
    """
    reasons = refusals(info)
    if reasons:
        raise refused(reasons)
    hosts = list(info.hosts)
    if info.params.get("load_balance_hosts") == "random":
        random.shuffle(hosts)  # balances load, hides nothing
    transports = _transports(info)
    shared = _shared(info)
    secret = functools.cache(info.secret)
    return tuple(
        {**shared, **_address(info, host, secret), "ssl": transport, "target_session_attrs": target}
        for target in _targets(info)
        for host in hosts
        for transport in ((False,) if host.is_socket else transports)
    )


def _targets(info: ConnInfo) -> tuple[str, ...]:
    """Say which kinds of session are looked for, one after the other, each on all hosts."""
    target = info.params.get("target_session_attrs") or "any"
    return ("standby", "any") if target == "prefer-standby" else (target,)


def _transports(info: ConnInfo) -> tuple[ssl.SSLContext | Literal[False], ...]:
    """Say what is tried on a TCP host: plain (False), TLS, or one after the other.

    A context makes asyncpg demand TLS; the modes that may fall back are two attempts here. So asyncpg never
    builds a context of its own, which would read variables and files by other rules than libpq's.
    """
    sslmode = info.params.get("sslmode") or "prefer"
    if sslmode == "disable" or all(host.is_socket for host in info.hosts):
        return (False,)
    context = tls.client_context({**info.params, "sslmode": sslmode})
    if sslmode == "allow":
        return (False, context)
    return (context, False) if sslmode == "prefer" else (context,)


def _shared(info: ConnInfo) -> dict[str, object]:
    """Return the arguments that all attempts share; each one named keeps asyncpg from looking for its own."""
    return {
        "user": info.user,
        "database": info.database,
        "server_settings": _settings(info.params),
        "direct_tls": False,
        # Behind PgBouncer a statement's name may meet another server's; and a cached statement keeps stale codecs.
        "statement_cache_size": 0,
        "krbsrvname": info.params.get("krbsrvname") or "postgres",
        "gsslib": "sspi" if info.params.get("gsslib") == "sspi" else "gssapi",
    }


def _settings(params: Mapping[str, str]) -> dict[str, str]:
    """Return the settings that libpq would put into the startup packet."""
    settings = {}
    for variable, name in _SETTING_VARIABLES.items():
        value = os.environ.get(variable, "default")
        if value.lower() != "default":
            settings[name] = value
    application = params.get("application_name", params.get("fallback_application_name"))
    if application:
        settings["application_name"] = application
    if params.get("options"):
        settings["options"] = params["options"]
    return settings


def _address(info: ConnInfo, host: Host, secret: Callable[[], str | None]) -> dict[str, object]:
    """Return one host's own arguments. The password is a callable: so asyncpg never looks for one itself."""

    def password() -> str:
        return secret() or _from_passfile(info, host) or ""

    # The socket's whole path: asyncpg takes a directory apart by other rules.
    name = f"{host.host}/.s.PGSQL.{host.port}" if host.is_socket else host.hostaddr or host.host
    timeout_s = info.timeout_s or (None if host.is_socket else keepalive.patience_s(info.params))
    return {"host": name, "port": host.port, "password": password, "timeout": timeout_s}


def has_password(info: ConnInfo) -> bool:
    """Tell whether a password was given, or the password file has one for a host."""
    return info.password is not None or any(_from_passfile(info, host) for host in info.hosts)


def _from_passfile(info: ConnInfo, host: Host) -> str | None:
    return libpq.passfile_password(
        host=host.host,
        hostaddr=host.hostaddr,
        port=host.port,
        user=info.user,
        dbname=info.database,
        passfile=info.params.get("passfile"),
    )


async def connect(info: ConnInfo) -> Connection:
    """Connect with asyncpg as psycopg would: attempt by attempt, going on to the next after any refusal.

    Raises `ConfigError`, or asyncpg's own error or OSError: of several, the one that says most.
    """
    import anyio.to_thread
    import asyncpg

    from bulkio.drivers.asyncpg_connection import Connection

    failures: list[Exception] = []
    unreachable = set()
    if info.peer_uid is not None:
        await anyio.to_thread.run_sync(peer.check, info)
    if callable(info.password):  # it may take a while, and is no part of what the attempts' timeouts limit
        secret = await anyio.to_thread.run_sync(info.password, abandon_on_cancel=True)
        info = replace(info, password=secret)
    for arguments in attempts(info):
        address = (arguments["host"], arguments["port"])
        if address in unreachable:
            continue
        try:
            conn: Connection = await asyncpg.connect(**arguments, connection_class=Connection)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
            failures.append(error)
            if _is_unreachable(error):
                unreachable.add(address)
        else:
            keepalive.tune(conn._transport.get_extra_info("socket"), info.params)  # there is no public way to it
            return conn
    raise _most_telling(failures)


def _is_unreachable(error: Exception) -> bool:
    """Tell whether another try with other TLS or another target is useless."""
    import socket

    return isinstance(error, (ConnectionRefusedError, TimeoutError, FileNotFoundError, socket.gaierror))


def _most_telling(failures: Sequence[Exception]) -> Exception:
    """Choose a refused password, then any answer of a server, then the last failure.

    Under sslmode=prefer the second attempt often fails with a mere "no pg_hba.conf entry".
    """
    import asyncpg

    def silence(failure: Exception) -> int:
        if isinstance(failure, asyncpg.InvalidPasswordError):
            return 0
        return 1 if isinstance(failure, asyncpg.PostgresError) else 2

    return min(reversed(failures), key=silence)
