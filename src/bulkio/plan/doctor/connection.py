"""The connection: how it is made, how fast and how safe it is, and what answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bulkio.plan.doctor.finding import fail, ok, warn
from bulkio.show import printable, show_name, show_option

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bulkio.catalog.health.server import ServerFacts
    from bulkio.plan.doctor.finding import Finding

__all__ = ["NEWEST", "OLDEST", "Link", "connection_findings"]

#: versions of PostgreSQL that docs/support.md names
OLDEST, NEWEST = 13, 18
#: seconds that a question may take before it is told
SLOW_S = 0.05
#: seconds between the clocks that are told
CLOCK_S = 5.0


@dataclass(frozen=True, slots=True)
class Link:
    """The way to the server, as this side sees it."""

    driver: str
    #: parameters that the faster driver, asyncpg, cannot honour, each with the reason
    refusals: tuple[str, ...]
    tls: bool
    #: True if no network lies between: a socket, or this machine's own address
    is_local: bool
    sslmode: str
    latency_s: float
    #: process that was named at the login; a pooler names one that the server does not know
    login_pid: int
    #: seconds that the server's clock is ahead of this machine's
    ahead_s: float
    #: the server's version as a number, such as 180003
    server_version: int
    #: encoding in which the database keeps text
    encoding: str


def connection_findings(link: Link, server: ServerFacts) -> Iterator[Finding]:
    """Judge the connection."""
    yield _driver(link)
    yield _latency(link)
    yield _tls(link)
    yield _version(link, server)
    yield _pooler(link, server)
    yield _primary(server)
    yield _encoding(link)
    yield _clock(link)


def _driver(link: Link) -> Finding:
    if link.refusals:
        why = printable("; ".join(link.refusals))
        return ok("driver", f"{link.driver}: asyncpg, which is faster, cannot honour {why}")
    if link.driver == "psycopg":
        return ok("driver", "psycopg, as was asked for; auto would take asyncpg, which is faster")
    return ok("driver", f"{link.driver}, the faster one, which can honour the connection string")


def _latency(link: Link) -> Finding:
    text = f"a question takes {link.latency_s * 1e3:.1f} ms"
    if link.latency_s < SLOW_S:
        return ok("latency", text)
    more = "a load asks some twenty, and each chunk or file some more"
    return warn("latency", f"{text}: {more}", "run bulkio nearer to the server, and load few large files")


def _tls(link: Link) -> Finding:
    if link.is_local:
        return ok("tls", "TLS" if link.tls else "no TLS, and no network: the server is on this machine")
    if not link.tls:
        remedy = f"add sslmode=verify-full and sslrootcert=FILE (or sslrootcert=system) to {show_option('dsn')}"
        return warn("tls", "no TLS: whoever is on the way reads the rows, and can change them", remedy)
    if link.sslmode in ("verify-ca", "verify-full"):
        return ok("tls", f"TLS, and the server's certificate is verified (sslmode={link.sslmode})")
    remedy = f"add sslmode=verify-full and sslrootcert=FILE (or sslrootcert=system) to {show_option('dsn')}"
    return warn("tls", f"TLS, but sslmode={printable(link.sslmode)} lets any server pass for this one", remedy)


def _version(link: Link, server: ServerFacts) -> Finding:
    major, text = link.server_version // 10_000, f"PostgreSQL {printable(server.version)}"
    if major < OLDEST:
        return fail("version", f"{text}: bulkio needs {OLDEST} or later", f"upgrade the server to {OLDEST} or later")
    if major > NEWEST:
        return warn("version", f"{text}: newer than all that bulkio was tested with", "look for a newer bulkio")
    return ok("version", text)


def _pooler(link: Link, server: ServerFacts) -> Finding:
    if link.login_pid == server.pid:
        return ok("pooler", "none: the server itself has answered the login")
    return warn(
        "pooler",
        f"a pooler is in between: process {server.pid} serves this session, and the login was told another; each of a"
        " load's workers keeps one of its connections to the server until the load ends",
        f"name the server itself in {show_option('dsn')}; or let the pool (PgBouncer: default_pool_size) have more"
        f" connections than {show_option('workers')}, and a query_wait_timeout longer than a load",
    )


def _primary(server: ServerFacts) -> Finding:
    if server.standby:
        text = "a standby: it can be exported from, and takes no loads"
        return fail("primary", text, "name all servers in the DSN, and add target_session_attrs=primary")
    return ok("primary", f"a primary; role {show_name(server.role)}, database {show_name(server.database)}")


def _encoding(link: Link) -> Finding:
    name = printable(link.encoding)
    if link.encoding == "UTF8":
        return ok("encoding", "UTF8")
    remedy = "load into a database that is made with ENCODING 'UTF8'"
    if link.encoding == "SQL_ASCII":
        return warn("encoding", f"{name}: the server checks no text, and counts bytes as characters", remedy)
    return warn("encoding", f"{name}: text with characters that it lacks is refused", remedy)


def _clock(link: Link) -> Finding:
    text = f"the server's clock is {abs(link.ahead_s):.1f} s {'ahead of' if link.ahead_s > 0 else 'behind'} this one's"
    if abs(link.ahead_s) < CLOCK_S:
        return ok("clock", text)
    return warn("clock", f"{text}: schedules are due by this one, leases end by that one", "set both by NTP")
