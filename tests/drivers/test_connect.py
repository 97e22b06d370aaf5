"""Both drivers, given the same connection string, are let in or refused alike, with and without TLS."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import psycopg
import pytest

from bulkio.drivers import asyncpg_params
from bulkio.drivers.conninfo import parse_conninfo
from bulkio.errors import ConfigError
from bulkio.server.account import service_account
from gaps import lacking
from servers import found_servers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SSLMODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
TLS_QUERY = "SELECT coalesce((SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl), 'plain')"


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Take away whatever libpq would read of this machine, and give an empty home folder instead."""
    for name in [n for n in os.environ if n.startswith("PG") or n in {"BULKIO_DSN", "DATABASE_URL"}]:
        monkeypatch.delenv(name)
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("PGSYSCONFDIR", str(folder))
    return folder


#: One loop for all tests. asyncpg does not wait for TLS to shut down after a refusal, so a loop that ended with
#: the test would leave the socket to the garbage collector, which warns.
RUNNER = asyncio.Runner()


@pytest.fixture(scope="module", autouse=True)
def _close_runner() -> Iterator[None]:
    yield
    for _ in range(5):  # what the servers have closed long ago is closed here too
        RUNNER.run(asyncio.sleep(0))
    RUNNER.close()


def psycopg_answer(text: str, query: str, *, password: str | Callable[[], str] | None = None) -> str:
    """Return the query's value, or what kind of refusal psycopg met."""
    try:
        kwargs = parse_conninfo(text, password=password).psycopg_kwargs()
        with psycopg.connect(**kwargs) as connection:
            row = connection.execute(query).fetchone()
            return str(row[0] if row else None)
    except (psycopg.OperationalError, ConfigError):
        return "refused"


def asyncpg_answer(text: str, query: str, *, password: str | Callable[[], str] | None = None) -> str:
    """Return the query's value, or what kind of refusal asyncpg met."""

    async def ask() -> str:
        connection = await asyncpg_params.connect(parse_conninfo(text, password=password))
        try:
            return str(await connection.fetchval(query))
        finally:
            await connection.close()

    try:
        return RUNNER.run(ask())
    except (OSError, asyncpg.PostgresError, asyncpg.InternalClientError, ConfigError):
        return "refused"


def both(text: str, query: str = TLS_QUERY, *, password: str | Callable[[], str] | None = None) -> str:
    """Ask with both drivers, and give the answer on which they must agree."""
    answers = {
        "psycopg": psycopg_answer(text, query, password=password),
        "asyncpg": asyncpg_answer(text, query, password=password),
    }
    assert answers["psycopg"] == answers["asyncpg"], (text, answers)
    return answers["psycopg"]


def dsn_with(dsn: str, **changes: str) -> str:
    return psycopg.conninfo.make_conninfo(dsn, **changes)


@pytest.fixture
def dead_port() -> Iterator[int]:
    """Yield a port on which nobody listens, held so that nobody else takes it."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Yield a port that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def test_plain_connection(one_dsn: str) -> None:
    """The string that names the fresh database leads both drivers into it, under bulkio's name."""
    query = "SELECT current_database() || ' ' || current_setting('application_name')"
    assert both(one_dsn, query) == f"{parse_conninfo(one_dsn).database} bulkio"


def test_options_and_application_name_arrive(one_dsn: str) -> None:
    """What the string asks the server to set is set, with both."""
    text = dsn_with(one_dsn, options="-c work_mem=77MB -c bulkio.a=b\\ c", application_name="mine")
    query = "SELECT concat_ws('|', current_setting('work_mem'), current_setting('bulkio.a'), application_name)"
    query += " FROM pg_stat_activity WHERE pid = pg_backend_pid()"
    assert both(text, query) == "77MB|b c|mine"


def test_environment_settings_arrive(one_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """PGTZ and PGDATESTYLE count for both, as they do for psql."""
    monkeypatch.setenv("PGTZ", "Asia/Tokyo")
    monkeypatch.setenv("PGDATESTYLE", "German")
    assert (
        both(one_dsn, "SELECT current_setting('timezone') || current_setting('datestyle')") == "Asia/TokyoGerman, DMY"
    )


def test_wrong_password_is_refused(one_dsn: str) -> None:
    """By an error of the server's, whose text has no password in it."""
    assert both(one_dsn, password="not-it") == "refused"
    with pytest.raises(asyncpg.InvalidPasswordError) as caught:
        RUNNER.run(asyncpg_params.connect(parse_conninfo(one_dsn, password="not-it")))
    assert "not-it" not in str(caught.value)


def test_password_from_a_callable_and_from_the_password_file(one_dsn: str, home: Path) -> None:
    """Each way of giving the right password works with both drivers."""
    info = parse_conninfo(one_dsn)
    secret = info.secret() or ""
    without = psycopg.conninfo.make_conninfo("", **info.params)
    assert both(without, "SELECT 1", password=lambda: secret) == "1"
    assert both(without, "SELECT 1") == "refused"
    passfile = home / ".pgpass"
    passfile.write_text(f"{info.hosts[0].host}:{info.hosts[0].port}:*:*:{secret}\n")
    passfile.chmod(0o600)
    assert both(without, "SELECT 1") == "1"


def test_unknown_host_is_refused() -> None:
    """A name that cannot be resolved is an OSError, for any number of attempts."""
    assert both("host=no-such-host.invalid user=ann dbname=x") == "refused"


def test_missing_socket_is_refused(home: Path) -> None:
    """A socket's directory without a socket, too."""
    assert both(f"host={home} user=ann dbname=x") == "refused"


def second_host(one_dsn: str, first: str, port: int) -> str:
    host = parse_conninfo(one_dsn).hosts[0]
    return dsn_with(one_dsn, host=f"{first},{host.host}", port=f"{port},{host.port}")


def test_the_second_host_is_tried(one_dsn: str, dead_port: int) -> None:
    """A first host that refuses connections is passed over."""
    assert both(second_host(one_dsn, "127.0.0.1", dead_port), "SELECT 1") == "1"
    assert both(second_host(one_dsn, "no-such-host.invalid", 5432), "SELECT 1") == "1"


def test_connect_timeout_is_each_hosts_own(one_dsn: str, silent_port: int) -> None:
    """A first host that never answers costs the timeout, and the second is reached."""
    text = dsn_with(second_host(one_dsn, "127.0.0.1", silent_port), connect_timeout="4")
    assert both(text, "SELECT 1") == "1"


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("any", "1"),
        ("read-write", "1"),
        ("primary", "1"),
        ("prefer-standby", "1"),
        ("standby", "refused"),
        ("read-only", "refused"),
    ],
)
def test_target_session_attrs(one_dsn: str, target: str, expected: str) -> None:
    """A lone primary is, or is not, what each value asks for."""
    assert both(dsn_with(one_dsn, target_session_attrs=target), "SELECT 1") == expected


def test_target_session_attrs_on_a_read_only_session(one_dsn: str) -> None:
    """A session that is read-only by default is refused under read-write."""
    read_only = dsn_with(one_dsn, options="-c default_transaction_read_only=on")
    assert both(dsn_with(read_only, target_session_attrs="read-only"), "SELECT 1") == "1"
    assert both(dsn_with(read_only, target_session_attrs="read-write"), "SELECT 1") == "refused"


def test_require_on_a_server_without_tls_is_refused(one_dsn: str, tls: TlsServer) -> None:
    """TLS that is not to be had is a refusal; a socket has no TLS and ignores the mode, as in libpq."""
    assert both(dsn_with(one_dsn, sslmode="require")) == "plain"
    assert both(f"{tls.text} user=plain_only sslmode=require") == "refused"


# TLS: a server of our own, with certificates of our own.


@dataclass(frozen=True)
class TlsServer:
    """One server with TLS. Its certificate is for localhost, signed by ca.crt; other.crt signed nothing."""

    port: int
    certificates: Path

    @property
    def text(self) -> str:
        """The start of a connection string."""
        return f"host=localhost port={self.port} dbname=postgres"

    def file(self, name: str) -> str:
        """Return a certificate's, key's or list's path."""
        return str(self.certificates / name)


HBA = """
host    all plain_or_tls all trust
hostssl all tls_only     all trust
hostnossl all plain_only all trust
hostssl all certified    all cert
host    all scram        all scram-sha-256
local   all postgres         trust
"""

CA_CONFIG = """
[ca]
default_ca = here
[here]
database = index.txt
default_md = sha256
default_crl_days = 30
[req]
distinguished_name = none
[none]
"""


def openssl(folder: Path, command: str) -> str:
    program = shutil.which("openssl")
    assert program is not None, "the tests make certificates with openssl"
    done = subprocess.run([program, *command.split()], cwd=folder, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def make_certificates(folder: Path) -> None:
    """Make two CAs, a server's certificate for localhost, a client's for `certified`, revocation lists."""
    (folder / "ca.cnf").write_text(CA_CONFIG)
    (folder / "san.ext").write_text("subjectAltName=DNS:localhost\n")
    (folder / "no.ext").touch()
    (folder / "index.txt").touch()
    key = "-newkey rsa:2048 -nodes -keyout"
    for ca in ("ca", "other"):
        openssl(folder, f"req -x509 {key} {ca}.key -out {ca}.crt -subj /CN=bulkio-{ca} -days 30")
    for name, subject, extensions in (("server", "localhost", "san.ext"), ("client", "certified", "no.ext")):
        openssl(folder, f"req {key} {name}.key -out {name}.csr -subj /CN={subject} -config ca.cnf")
        signer = f"-CA ca.crt -CAkey ca.key -CAcreateserial -days 30 -extfile {extensions}"
        openssl(folder, f"x509 -req -in {name}.csr -out {name}.crt {signer}")
    signed = "ca -config ca.cnf -cert ca.crt -keyfile ca.key"
    openssl(folder, f"{signed} -gencrl -out clean.crl")
    openssl(folder, f"{signed} -revoke server.crt")
    openssl(folder, f"{signed} -gencrl -out revoked.crl")
    openssl(folder, "rsa -aes128 -passout pass:open-sesame -in client.key -out locked.key")
    for private in ("client.key", "locked.key"):
        (folder / private).chmod(0o600)
    shutil.copy(folder / "client.key", folder / "loose.key")
    (folder / "loose.key").chmod(0o644)


def tls_programs() -> Path | None:
    """Return the folder of the newest server's programs that were built with OpenSSL; the embedded ones were not."""
    for folder in reversed(found_servers().values()):
        if b"libssl" in (folder / "postgres").read_bytes():
            return folder
    return None


@pytest.fixture(scope="session")
def tls() -> Iterator[TlsServer]:
    """Run a throw-away server with TLS for the whole session."""
    programs = tls_programs()
    if programs is None:
        lacking("a PostgreSQL with TLS")
    folder = Path(tempfile.mkdtemp(prefix="bulkio-tls-", dir="/tmp"))
    folder.chmod(0o711)  # the server's account passes through
    data, certificates = folder / "data", folder / "certificates"
    data.mkdir(mode=0o700)
    certificates.mkdir()
    try:
        make_certificates(certificates)
        port = make_cluster(programs, data, certificates)
        as_server(programs / "pg_ctl", "-D", data, "-w", "-l", data / "log", "start")
        try:
            make_roles(data, port)
            yield TlsServer(port, certificates)
        finally:
            as_server(programs / "pg_ctl", "-D", data, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder)


def as_server(*command: str | Path) -> None:
    """Run one of the server's programs; as root, under another account: it refuses root."""
    runner = service_account() if os.geteuid() == 0 else None
    account = {"user": runner.uid, "group": runner.gid, "extra_groups": []} if runner else {}
    # No pipes: the server that pg_ctl starts would hold them open.
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run([str(c) for c in command], check=True, cwd="/", **quiet, **account)


def make_cluster(programs: Path, data: Path, certificates: Path) -> int:
    """Make a cluster that speaks TLS, and give the port that it is going to listen on."""
    give_to_server(data)
    as_server(programs / "initdb", "--auth=trust", "--username=postgres", "--no-sync", "-D", data)
    for name in ("server.crt", "server.key", "ca.crt"):
        shutil.copy(certificates / name, data / name)
        (data / name).chmod(0o600)
        give_to_server(data / name)
    (data / "pg_hba.conf").write_text(HBA)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with (data / "postgresql.conf").open("a") as conf:
        conf.write(f"port={port}\nlisten_addresses='127.0.0.1'\nunix_socket_directories='{data}'\nfsync=off\n")
        conf.write("ssl=on\nssl_cert_file='server.crt'\nssl_key_file='server.key'\nssl_ca_file='ca.crt'\n")
    return int(port)


def give_to_server(path: Path) -> None:
    """Return a file to the account that the server runs under."""
    runner = service_account() if os.geteuid() == 0 else None
    if runner:
        runner.give(path)


def make_roles(data: Path, port: int) -> None:
    """Make the roles that pg_hba.conf speaks of."""
    with psycopg.connect(f"host={data} port={port} user=postgres dbname=postgres", autocommit=True) as admin:
        for role in ("plain_or_tls", "tls_only", "plain_only", "certified"):
            admin.execute(f"CREATE ROLE {role} LOGIN")
        admin.execute("CREATE ROLE scram LOGIN PASSWORD 'secret'")


def expected(sslmode: str, roots: str, host: str, user: str) -> str:
    """Say what must happen, by the manual's table of sslmodes."""
    verified = sslmode.startswith("verify-") or (roots != "none" and sslmode != "disable")
    tls = roots == "ca" if verified else True
    if sslmode.startswith("verify-") and roots == "none":
        return "refused"
    if sslmode == "verify-full" and host != "localhost":
        tls = False
    first = {"disable": ["plain"], "allow": ["plain", "tls"], "prefer": ["tls", "plain"]}.get(sslmode, ["tls"])
    for kind in first:
        if kind == "plain" and user != "tls_only":
            return "plain"
        if kind == "tls" and tls and user != "plain_only":
            return "TLSv1.3"
    return "refused"


@pytest.mark.parametrize("user", ["plain_or_tls", "tls_only", "plain_only"])
@pytest.mark.parametrize("roots", ["none", "ca", "other"])
@pytest.mark.parametrize("sslmode", SSLMODES)
def test_sslmode_means_the_same_with_both(tls: TlsServer, sslmode: str, roots: str, user: str) -> None:
    """Every mode, with the right, the wrong and no root certificate, the right and a wrong host name."""
    text = f"{tls.text} user={user} sslmode={sslmode}"
    if roots != "none":
        text += f" sslrootcert={tls.file(roots + '.crt')}"
    for host in ("localhost", "127.0.0.1"):
        assert both(f"{text} host={host}") == expected(sslmode, roots, host, user)


def test_root_certificates_are_found_in_the_home_folder(tls: TlsServer, home: Path) -> None:
    """~/.postgresql/root.crt and root.crl count for both."""
    text = f"{tls.text} user=tls_only sslmode=verify-full"
    assert both(text) == "refused"
    folder = home / ".postgresql"
    folder.mkdir()
    shutil.copy(tls.file("ca.crt"), folder / "root.crt")
    assert both(text) == "TLSv1.3"
    shutil.copy(tls.file("revoked.crl"), folder / "root.crl")
    assert both(text) == "refused"


def test_system_roots(tls: TlsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """sslrootcert=system means OpenSSL's own roots and implies verify-full."""
    text = f"{tls.text} user=tls_only sslrootcert=system"
    assert both(text) == "refused"
    monkeypatch.setenv("SSL_CERT_FILE", tls.file("ca.crt"))
    assert both(text) == "TLSv1.3"
    assert both(f"{text} host=127.0.0.1") == "refused"
    assert both(f"{text} sslmode=require") == "refused"


def test_revocation_lists(tls: TlsServer, home: Path) -> None:
    """A revoked certificate is refused, from a file and from a folder; a list without it changes nothing."""
    text = f"{tls.text} user=tls_only sslmode=verify-ca sslrootcert={tls.file('ca.crt')}"
    assert both(f"{text} sslcrl={tls.file('clean.crl')}") == "TLSv1.3"
    assert both(f"{text} sslcrl={tls.file('revoked.crl')}") == "refused"
    digest = openssl(tls.certificates, "crl -hash -noout -in revoked.crl")
    shutil.copy(tls.file("revoked.crl"), home / f"{digest}.r0")
    assert both(f"{text} sslcrldir={home}") == "refused"


def test_a_named_revocation_list_must_exist(tls: TlsServer) -> None:
    """Without it libpq goes on in silence; bulkio with asyncpg does not."""
    text = f"{tls.text} user=tls_only sslmode=verify-ca sslrootcert={tls.file('ca.crt')}"
    for key in ("sslcrl", "sslcrldir"):
        with pytest.raises(ConfigError, match=key):
            asyncpg_params.attempts(parse_conninfo(f"{text} {key}=/nonexistent"))


def test_client_certificates(tls: TlsServer) -> None:
    """A role that needs a certificate gets in with it, and only with it."""
    text = f"{tls.text} user=certified sslmode=require"
    assert both(text) == "refused"
    with_cert = f"{text} sslcert={tls.file('client.crt')}"
    assert both(f"{with_cert} sslkey={tls.file('client.key')}") == "TLSv1.3"
    assert both(f"{with_cert} sslkey={tls.file('client.key')} sslcertmode=disable") == "refused"
    assert both(f"{with_cert} sslkey={tls.file('locked.key')} sslpassword=open-sesame") == "TLSv1.3"
    assert both(f"{with_cert} sslkey={tls.file('locked.key')} sslpassword=wrong") == "refused"
    assert both(f"{with_cert} sslkey={tls.file('locked.key')}") == "refused"
    assert both(f"{with_cert} sslkey={tls.file('server.key')}") == "refused"
    assert both(f"{with_cert} sslkey={tls.file('loose.key')}") == "refused"
    assert both(f"{with_cert} sslkey=/nonexistent") == "refused"


def test_no_message_has_the_keys_passphrase(tls: TlsServer) -> None:
    """What cannot be loaded is named by its path."""
    text = f"{tls.text} user=certified sslcert={tls.file('client.crt')} sslkey={tls.file('locked.key')}"
    with pytest.raises(ConfigError, match=r"locked\.key") as caught:
        asyncpg_params.attempts(parse_conninfo(f"{text} sslpassword=wrong-words"))
    assert "wrong-words" not in str(caught.value)


def test_tls_versions(tls: TlsServer) -> None:
    """The highest version allowed is the one used."""
    text = f"{tls.text} user=tls_only sslmode=require"
    assert both(f"{text} ssl_max_protocol_version=TLSv1.2") == "TLSv1.2"
    assert both(f"{text} ssl_min_protocol_version=tlsv1.3") == "TLSv1.3"
    assert both(f"{text} ssl_min_protocol_version=TLSv1.3 ssl_max_protocol_version=TLSv1.2") == "refused"
    assert both(f"{text} ssl_min_protocol_version=SSLv3") == "refused"


def test_scram_over_tls(tls: TlsServer) -> None:
    """The right password gets in over TLS and plain; a wrong one gives the server's own answer."""
    for sslmode in ("disable", "allow", "prefer", "require"):
        text = f"{tls.text} user=scram sslmode={sslmode}"
        assert both(text, "SELECT 1", password="secret") == "1"
        assert both(text, "SELECT 1", password="wrong") == "refused"
        with pytest.raises(asyncpg.InvalidPasswordError):
            RUNNER.run(asyncpg_params.connect(parse_conninfo(text, password="wrong")))


def test_channel_binding(tls: TlsServer) -> None:
    """Required, it works with psycopg over TLS, and asyncpg is never tried without it."""
    text = f"{tls.text} user=scram password=secret sslmode=require channel_binding=require"
    assert psycopg_answer(text, "SELECT 1") == "1"
    with pytest.raises(ConfigError, match="channel_binding=require"):
        RUNNER.run(asyncpg_params.connect(parse_conninfo(text)))


def test_cancel_works_over_tls(tls: TlsServer) -> None:
    """The cancel request goes the way that the connection went."""

    async def cancelled() -> None:
        connection = await asyncpg_params.connect(parse_conninfo(f"{tls.text} user=tls_only sslmode=require"))
        try:
            with pytest.raises(TimeoutError):
                await connection.fetchval("SELECT pg_sleep(60)", timeout=0.05)
            assert await connection.fetchval("SELECT 1") == 1
        finally:
            await connection.close()

    RUNNER.run(cancelled())
