"""A server that vanishes is noticed: the options of both drivers' sockets, and a cable that is pulled."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest

from bulkio.drivers import asyncpg_params, keepalive
from bulkio.drivers.conninfo import parse_conninfo
from bulkio.errors import ConfigError
from gaps import lacking
from servers import connect
from sessions import open_session

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bulkio.protocols import Session

OPTIONS = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT),
)
each_driver = pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])


@contextlib.contextmanager
def tcp_relay(dsn: str, address: str = "127.0.0.1") -> Iterator[str]:
    """Yield a DSN with which the server's Unix socket is reached through TCP."""
    parts = urlsplit(dsn)
    query = parse_qs(parts.query)
    target = f"{query['host'][0]}/.s.PGSQL.{query['port'][0]}"
    ends: list[socket.socket] = []
    threads: list[threading.Thread] = []
    listener = socket.create_server((address, 0))

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(target)
                ends.extend((client, server))
                for source, sink in ((client, server), (server, client)):
                    threads.append(threading.Thread(target=pass_on, args=(source, sink)))
                    threads[-1].start()

    threads.append(threading.Thread(target=accept))
    threads[0].start()
    try:
        yield f"postgresql://{parts.netloc}{address}:{listener.getsockname()[1]}{parts.path}"
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        threads[0].join()
        listener.close()
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()
        for end in ends:
            end.close()


def pass_on(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    for end in (source, sink):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


def socket_options(session: Session) -> list[int]:
    """Ask the kernel for the options of a session's own socket."""
    if session.driver == "asyncpg":
        number = session._conn._transport.get_extra_info("socket").fileno()
    else:
        number = session._conn.fileno()
    with socket.socket(fileno=os.dup(number)) as twin:
        return [twin.getsockopt(level, option) for level, option in OPTIONS]


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@each_driver
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("", [1, 60, 10, 6, 120_000]),
        ("?keepalives_idle=7&tcp_user_timeout=5000", [1, 7, 10, 6, 5000]),
        ("?keepalives_interval=3&keepalives_count=2&keepalives=1", [1, 60, 3, 2, 120_000]),
        ("?keepalives=0&keepalives_idle=7", [0, None, None, None, None]),
        ("?keepalives_idle=0&tcp_user_timeout=0&keepalives_count=-1", [1, None, 10, None, None]),
    ],
)
async def test_both_drivers_set_the_same_options(one_dsn: str, driver: str, given: str, expected: list[int]) -> None:
    """What the DSN says, and where it is silent two minutes; 0 is what the system has."""
    with socket.socket() as fresh:
        own = [fresh.getsockopt(level, option) for level, option in OPTIONS]
    wanted = [system if value is None else value for value, system in zip(expected, own, strict=True)]
    with tcp_relay(one_dsn) as dsn:
        async with open_session(parse_conninfo(dsn + given), driver) as session:
            assert socket_options(session) == wanted


@pytest.mark.parametrize("key", ["keepalives", "keepalives_idle", "tcp_user_timeout"])
def test_a_value_that_is_no_number(key: str) -> None:
    """It is refused before anything is connected, with either driver."""
    with pytest.raises(ConfigError, match=f"{key} is not a whole number"):
        parse_conninfo(f"host=nowhere.invalid {key}=soon")


def test_the_login_has_a_limit_too() -> None:
    """The socket of asyncpg cannot be had before it has logged in, so that another limit holds until then."""

    def timeouts(dsn: str) -> set[object]:
        return {arguments["timeout"] for arguments in asyncpg_params.attempts(parse_conninfo(dsn))}

    assert timeouts("host=h") == {120.0}
    assert timeouts("host=h connect_timeout=3") == {3}
    assert timeouts("host=h tcp_user_timeout=5000") == {5.0}
    assert timeouts("host=h tcp_user_timeout=0") == {None}
    assert timeouts("host=h keepalives=0") == {None}
    assert timeouts("host=/tmp") == {None}


def test_a_unix_socket_is_left_alone() -> None:
    """It has no such options, and its other end cannot vanish."""
    with socket.socket(socket.AF_UNIX) as sock:
        keepalive.tune(sock, keepalive.DEFAULTS)


# --- A cable that is pulled -----------------------------------------------------------------------------------

#: names and addresses of this process's own
NAMESPACE, HERE, THERE = f"bulkio-{os.getpid()}", f"bk{os.getpid()}a", f"bk{os.getpid()}b"
NETWORK = f"10.213.{os.getpid() % 250}"


def ip(*words: str, check: bool = True) -> bool:
    """Run iproute2's program; tell whether it could do that."""
    program = shutil.which("ip") or "/bin/false"
    return subprocess.run([program, *words], check=check, capture_output=True).returncode == 0


@pytest.fixture
def cable() -> Iterator[str]:
    """Lay a cable between this network and another of the client's own; give this end's address."""
    if not ip("netns", "add", NAMESPACE, check=False):
        lacking("a network of the test's own: root's rights and iproute2")
    try:
        ip("link", "add", HERE, "type", "veth", "peer", "name", THERE, "netns", NAMESPACE)
        ip("addr", "add", f"{NETWORK}.1/30", "dev", HERE)
        ip("link", "set", HERE, "up")
        ip("-n", NAMESPACE, "addr", "add", f"{NETWORK}.2/30", "dev", THERE)
        ip("-n", NAMESPACE, "link", "set", THERE, "up")
        yield f"{NETWORK}.1"
    finally:
        ip("link", "del", HERE, check=False)
        ip("netns", "del", NAMESPACE)


EXPORT = """
import sys, bulkio
try:
    bulkio.export("SELECT pg_sleep(600)::text AS waited", sys.argv[1], sys.argv[2], driver=sys.argv[3])
except bulkio.ConnectError as error:
    print("ConnectError", error.retryable)
"""


@each_driver
def test_an_export_notices_that_the_server_has_vanished(one_dsn: str, cable: str, driver: str, tmp_path: Path) -> None:
    """Nothing comes back any more, not even that the connection is closed: keepalives find out."""
    with connect(one_dsn) as watch, tcp_relay(one_dsn, cable) as relayed:
        dsn = relayed + "?keepalives_idle=1&keepalives_interval=1&keepalives_count=2&tcp_user_timeout=2000"
        command = [shutil.which("ip"), "netns", "exec", NAMESPACE, sys.executable, "-c", EXPORT]
        with subprocess.Popen(
            [*command, tmp_path / "x.parquet", dsn, driver], stdout=subprocess.PIPE, text=True
        ) as client:
            try:
                sleeper = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
                deadline = time.monotonic() + 60
                while not watch.execute(sleeper).fetchall():
                    assert time.monotonic() < deadline
                    time.sleep(0.05)
                ip("link", "set", HERE, "down")
                said, _ = client.communicate(timeout=60)
            finally:
                client.kill()
                watch.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'")
    assert said == "ConnectError True\n"


def test_a_unix_socket_takes_several_blocks_at_once() -> None:
    """As far as the system lets it; TCP's buffer is left to the system, which knows the way."""
    with socket.socket(socket.AF_UNIX) as sock, socket.socket(socket.AF_INET) as tcp:
        before = (
            sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF),
            tcp.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF),
        )
        keepalive.tune(sock, keepalive.DEFAULTS)
        keepalive.tune(tcp, keepalive.DEFAULTS)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) > before[0]
        assert tcp.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) == before[1]
