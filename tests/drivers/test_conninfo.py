"""What a connection string means: the same for both drivers, and never with a password in a message."""

from __future__ import annotations

import os
import ssl
from typing import TYPE_CHECKING

import pytest
from psycopg import conninfo as psycopg_conninfo
from psycopg import pq

from bulkio.drivers import asyncpg_params, libpq
from bulkio.drivers.choose import choose_driver, default_dsn
from bulkio.drivers.conninfo import parse_conninfo, password_in_dsn
from bulkio.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "hunter2"


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Take away whatever libpq would read of this machine, and give an empty home folder instead."""
    for name in [n for n in os.environ if n.startswith("PG") or n in {"BULKIO_DSN", "DATABASE_URL"}]:
        monkeypatch.delenv(name)
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("PGSYSCONFDIR", str(folder))
    return folder


def set_environment(monkeypatch: pytest.MonkeyPatch, environ: dict[str, str]) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)


def asyncpg_parsed(attempt: dict[str, object]) -> tuple[list[object], object]:
    """Let asyncpg's own code read one attempt, as `asyncpg.connect` would."""
    from asyncpg.connect_utils import _parse_connect_dsn_and_args

    arguments = {k: v for k, v in attempt.items() if k not in ("timeout", "statement_cache_size")}
    unset = {"dsn": None, "passfile": None, "service": None, "servicefile": None}
    return _parse_connect_dsn_and_args(**unset, **arguments)


def facts_for_psycopg(text: str | None, *, alone: bool) -> list[tuple[object, ...]]:
    """Return (host, port, user, database) of each host that psycopg would try, as its libpq reports them.

    With `alone`, psycopg gets the text itself, untouched by bulkio.
    """
    from psycopg._conninfo_utils import split_attempts

    given = psycopg_conninfo.conninfo_to_dict(text or "") if alone else parse_conninfo(text).psycopg_kwargs()
    facts: list[tuple[object, ...]] = []
    for attempt in split_attempts(given):
        refused = {**attempt, "target_session_attrs": "none"}
        connection = pq.PGconn.connect_start(psycopg_conninfo.make_conninfo("", **refused).encode())
        host, user, database = connection.host, connection.user, connection.db
        facts.append((host.decode(), int(connection.port), user.decode(), database.decode()))
        connection.finish()
    return facts


def facts_for_asyncpg(text: str | None) -> list[tuple[object, ...]]:
    """Return the same facts as asyncpg's own code reads them."""
    facts: list[tuple[object, ...]] = []
    for attempt in asyncpg_params.attempts(parse_conninfo(text)):
        (address,), params = asyncpg_parsed(attempt)
        if isinstance(address, str):
            folder, _, port = address.rpartition("/.s.PGSQL.")
            address = (folder, int(port))
        fact = (*address, params.user, params.database)
        if fact not in facts:  # TLS and plain are two attempts
            facts.append(fact)
    return facts


SPELLINGS = {
    "nothing": (None, {}),
    "empty": ("", {"PGUSER": "ann"}),
    "uri": ("postgresql://ann@db.example:5433/sales", {}),
    "uri, short scheme": ("postgres://ann@db.example/sales", {}),
    "uri, password": (f"postgresql://ann:{SECRET}@db.example/sales", {}),
    "uri, escapes": ("postgresql://a%40b:p%2Fw@db.example/s%20ales", {}),
    "uri, two hosts": ("postgresql://ann@one:5433,two/sales", {}),
    "uri, two hosts, no names": ("postgresql://:5433,:5434/sales", {"PGUSER": "ann"}),
    "uri, IPv6": ("postgresql://ann@[::1]:5433/sales", {}),
    "uri, socket": ("postgresql:///sales?host=/run/pg&port=5433&user=ann", {}),
    "uri, escaped socket": ("postgresql://ann@%2Frun%2Fpg:5433/sales", {}),
    "key=value": ("host=db.example port=5433 user=ann dbname=sales", {}),
    "key=value, quoted": (r"host=db.example user='an\'n' dbname='two words'", {}),
    "no database": ("host=db.example user=ann", {}),
    "two hosts, one port": ("host=one,two port=5433 user=ann dbname=sales", {}),
    "an empty host in the list": ("host=one,,two port=5433,,5435 user=ann dbname=sales", {}),
    "all from the environment": (
        None,
        {"PGHOST": "one,two", "PGPORT": "1,2", "PGUSER": "ann", "PGDATABASE": "sales", "PGPASSWORD": SECRET},
    ),
    "string over environment": (
        "host=db.example dbname=sales",
        {"PGHOST": "other", "PGPORT": "9", "PGUSER": "ann"},
    ),
    "an empty variable": ("user=ann dbname=sales", {"PGHOST": "", "PGPORT": ""}),
    "sslmode from the environment": ("postgresql://ann@db.example/sales", {"PGSSLMODE": "require"}),
    "service": ("service=nightly user=ann", {}),
    "service from the environment": (None, {"PGSERVICE": "nightly", "PGHOST": "ignored"}),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_both_drivers_resolve_alike(spelling: str, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """Host, port, user and database are the same for asyncpg and for libpq, however they were spelled."""
    text, environ = SPELLINGS[spelling]
    (home / ".pg_service.conf").write_text("[nightly]\nhost=db1,db2\nport=1,2\nuser=bob\ndbname=night\n")
    set_environment(monkeypatch, environ)
    expected = facts_for_psycopg(text, alone=False)
    assert facts_for_asyncpg(text) == expected
    if "service" not in spelling:  # psycopg alone does not split a service's hosts
        assert facts_for_psycopg(text, alone=True) == expected


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_asyncpg_reads_nothing_of_its_own(spelling: str, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """Once parsed, no variable changes what asyncpg does: every argument that it would look up was passed."""
    text, environ = SPELLINGS[spelling]
    (home / ".pg_service.conf").write_text("[nightly]\nhost=db1,db2\nport=1,2\nuser=bob\ndbname=night\n")
    set_environment(monkeypatch, environ)
    attempts = asyncpg_params.attempts(parse_conninfo(text))
    before = [asyncpg_parsed(a) for a in attempts]
    for name in (
        "HOST",
        "PORT",
        "USER",
        "DATABASE",
        "PASSWORD",
        "PASSFILE",
        "SERVICE",
        "SSLMODE",
        "SSLNEGOTIATION",
    ):
        monkeypatch.setenv(f"PG{name}", "hostile")
    for name in ("SSLROOTCERT", "SSLCERT", "SSLKEY", "SSLCRL", "TARGETSESSIONATTRS", "KRBSRVNAME", "GSSLIB"):
        monkeypatch.setenv(f"PG{name}", "hostile")
    monkeypatch.setenv("PGSSLMINPROTOCOLVERSION", "hostile")
    assert [asyncpg_parsed(a) for a in attempts] == before


def test_values_keep_their_order_of_precedence(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """The string wins over the service, the service over the environment, the environment over defaults."""
    (home / "services").write_text("[s]\nuser=from-service\ndbname=from-service\n")
    for name, value in {
        "PGUSER": "from-env",
        "PGAPPNAME": "from-env",
        "PGSERVICEFILE": str(home / "services"),
    }.items():
        monkeypatch.setenv(name, value)
    params = parse_conninfo("service=s dbname=from-string").params
    assert (params["dbname"], params["user"]) == ("from-string", "from-service")
    assert (params["application_name"], params["port"]) == ("from-env", "5432")


def test_password_comes_from_argument_then_string_then_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The argument wins over the DSN, the DSN over PGPASSWORD."""
    monkeypatch.setenv("PGPASSWORD", "env")
    assert parse_conninfo("host=x").psycopg_kwargs()["password"] == "env"
    assert parse_conninfo("host=x password=dsn").psycopg_kwargs()["password"] == "dsn"
    assert parse_conninfo("host=x password=dsn", password="arg").psycopg_kwargs()["password"] == "arg"


def test_callable_password_is_called_at_each_connect() -> None:
    """Tokens expire: each connect calls anew, and within one connect asyncpg's attempts share a token."""
    tokens = iter("abc")
    info = parse_conninfo("host=one,two user=ann", password=lambda: next(tokens))
    assert info.psycopg_kwargs()["password"] == "a"
    first, second = asyncpg_params.attempts(info), asyncpg_params.attempts(info)
    assert {a["password"]() for a in first} == {"b"}  # type: ignore[operator]
    assert {a["password"]() for a in second} == {"c"}  # type: ignore[operator]


def passfile(home: Path, mode: int = 0o600) -> Path:
    path = home / "my pass"
    path.write_text(
        "# comment\none:1:sales:ann:first\n*:2:*:ann:sec\\:ond\\\\x\nlocalhost:*:sales:*:local\n"
        "10.0.0.1:*:*:*:addr\n/run/pg:*:*:*:socket\n"
    )
    path.chmod(mode)
    return path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("host=one,two,three port=1,2,3", ["first", "sec:ond\\x", ""]),
        ("port=9", ["local"]),  # the default socket directory goes as localhost
        ("host=/run/pg", ["socket"]),  # another one goes as itself
        ("hostaddr=10.0.0.1", ["addr"]),
        ("host=one port=1 user=bob", [""]),
    ],
)
def test_password_file_is_read_by_libpqs_rules(text: str, expected: list[str], home: Path) -> None:
    """For asyncpg too: each host's own password, from the file that libpq would read."""
    given = f"dbname=sales user=ann sslmode=disable passfile='{passfile(home)}' {text}"
    attempts = asyncpg_params.attempts(parse_conninfo(given))
    assert [a["password"]() for a in attempts] == expected  # type: ignore[operator]


def test_password_file_that_others_can_read_is_ignored(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """As libpq does, with libpq's own warning."""
    given = f"host=one port=1 dbname=sales user=ann sslmode=disable passfile='{passfile(home, 0o640)}'"
    (attempt,) = asyncpg_params.attempts(parse_conninfo(given))
    assert capfd.readouterr().err == ""
    assert attempt["password"]() == ""  # type: ignore[operator]
    assert "group or world access" in capfd.readouterr().err


def test_password_file_is_found_through_home_and_pgpassfile(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """~/.pgpass by default, PGPASSFILE over it, and any given password over both."""
    path = home / ".pgpass"
    path.write_text("*:*:*:*:home")
    path.chmod(0o600)

    def found(**arguments: str) -> object:
        (attempt,) = asyncpg_params.attempts(
            parse_conninfo("host=one port=1 dbname=sales user=ann sslmode=disable", **arguments)
        )
        return attempt["password"]()  # type: ignore[operator]

    assert found() == "home"
    monkeypatch.setenv("PGPASSFILE", str(passfile(home)))
    assert found() == "first"
    assert found(password="given") == "given"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"postgresql://ann:{SECRET}@db.example:5433/sales", "postgresql://ann@db.example:5433/sales"),
        (f"host=a,b user=ann password={SECRET} dbname=sales", "postgresql://ann@a:5432,b:5432/sales"),
        ("host=/run/pg user=a@b dbname='x y'", "postgresql://a%40b@/x%20y?host=/run/pg&port=5432"),
        ("host=::1 user=ann dbname=d", "postgresql://ann@[::1]:5432/d"),
        ("hostaddr=10.0.0.1 user=ann dbname=d", "postgresql://ann@10.0.0.1:5432/d"),
    ],
)
def test_display_is_a_uri_without_password(text: str, expected: str) -> None:
    """What messages show can be given to libpq again."""
    info = parse_conninfo(text)
    assert info.display == expected
    assert SECRET not in repr(info)
    assert parse_conninfo(info.display).hosts == info.hosts or info.hosts[0].hostaddr


MALFORMED = [
    f"host=x password=my {SECRET}",
    f"host=x password=my {SECRET}=1",
    f"host=x password='{SECRET}",
    f"host=x password={SECRET} hots=y",
    f"postgresql://ann:{SECRET}%zz@db/sales",
    f"postgresql://ann:{SECRET}%00@db/sales",
    f"postgresql://ann:p@{SECRET}@db/sales",
    f"postgresql://ann:p/{SECRET}@db/sales",
    f"postgresql://ann:1/{SECRET}@db/sales",
    f"postgresql://ann:1?{SECRET}=1/a@db/sales",
    f"postgresql://ann:1?sslmode={SECRET}/a@db/sales",
    f"postgresql://ann:{SECRET}",
    f"postgresql://ann:{SECRET}/sales",
    f"postgresql://ann:p?@{SECRET}@db/sales",
    f"postgresql://ann:{SECRET}@[::1/sales",
    f"postgresql://ann:{SECRET}@[::1]x/sales",
    f"postgresql://ann:{SECRET}@db:54x/sales",
    f"postgresql://ann:{SECRET}@db:99999/sales",
    f"postgresql://ann:{SECRET}@db/sales?nonsense=1",
    f"postgresql://ann:{SECRET}@db/sales?sslmode",
    f"postgresql://ann:{SECRET}@db/sales?sslmode=full",
    f"postgresql://ann:{SECRET}@db/sales?target_session_attrs=leader",
    f"postgresql://ann:{SECRET}@db/sales?load_balance_hosts=all",
    f"postgresql://ann:{SECRET}@db/sales?connect_timeout=soon",
    f"postgresql://ann:{SECRET}@a,b:1,c:2/sales?port=1,2",
    f"postgresql://ann:{SECRET}@db/sales?service=missing",
    f"postgresql+psycopg://ann:{SECRET}@db/sales",
    f"mysql://ann:{SECRET}@db/sales",
    f"{SECRET}",
    f"host=x password={SECRET}\0",
    f"host=x password={SECRET}\udcff",
    f"=5 password={SECRET}",
]


@pytest.mark.parametrize("text", MALFORMED)
def test_no_message_has_a_password(text: str) -> None:
    """A malformed string gives a ConfigError that quotes no possible piece of a password, nor its cause."""
    with pytest.raises(ConfigError) as caught:
        parse_conninfo(text)
    error: BaseException | None = caught.value
    while error is not None:
        assert SECRET not in str(error)
        error = error.__cause__
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hots=db user=ann", "hots"),
        ("postgresql://ann@db/sales?sslmod=x", "sslmod"),
        ("sslmode=full", 'invalid sslmode value: "full"'),
        ("service=missing", 'definition of service "missing" not found'),
        ("mysql://ann@db/sales", "not postgresql://"),
        ("postgresql+asyncpg://ann@db/sales", r"without the \+driver"),
        ("postgresql://ann:p@ss@db/sales", "percent-encode"),
        ("channel_binding=maybe", "channel_binding"),
        ("port=1,2 host=a,b,c", "could not match 2 port numbers to 3 hosts"),
        ("port=x", "a port is not a number"),
    ],
)
def test_messages_name_what_is_wrong(text: str, words: str) -> None:
    """Where nothing can be secret, the key or the value at fault is named."""
    with pytest.raises(ConfigError, match=words):
        parse_conninfo(text)


def test_nothing_goes_over_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parsing names that cannot be resolved neither fails nor waits."""
    assert parse_conninfo("host=no-such-host.invalid hostaddr=192.0.2.1 port=1").hosts[0].hostaddr == "192.0.2.1"


def test_every_key_of_this_libpq_has_a_rule() -> None:
    """No key of the installed libpq falls to the rule for unknown ones."""
    keys = {o.keyword.decode() for o in pq.Conninfo.get_defaults()} - {"service", "servicefile"}
    assert keys <= set(asyncpg_params.KEYS)


REFUSED = [
    "channel_binding=require",
    "require_auth=scram-sha-256",
    "requirepeer=postgres",
    "gssencmode=require",
    "gssdelegation=1",
    "sslcertmode=require",
    "sslsni=0",
    "sslmode=require sslnegotiation=direct",
    "replication=database",
    "min_protocol_version=3.2",
    "hostaddr=10.0.0.1 host=db",
    "hostaddr=10.0.0.1 sslmode=verify-full sslrootcert=system",
    "host=@abstract",
    "sslkeylogfile=/tmp/keys",
    "oauth_issuer=https://id.example oauth_client_id=x",
]


@pytest.mark.parametrize("text", REFUSED)
def test_what_asyncpg_cannot_honour_is_never_dropped(text: str) -> None:
    """The error names the key and the mend; auto takes psycopg, which gets every value."""
    try:
        info = parse_conninfo(text)
    except ConfigError as error:  # this libpq was built without it, and says so itself
        assert text.startswith(("gss", "sslkeylogfile", "min_", "oauth"))
        assert text.split("=", 1)[0] in str(error)  # noqa: PT017
        return
    key = "sslnegotiation" if "nego" in text else text.split("=", 1)[0]
    with pytest.raises(ConfigError, match=rf"asyncpg cannot honour {key}.*driver='psycopg'"):
        choose_driver(info, "asyncpg")
    with pytest.raises(ConfigError, match=key):
        asyncpg_params.attempts(info)
    assert choose_driver(info, "auto") == "psycopg"
    assert choose_driver(info, "psycopg") == "psycopg"
    assert libpq.parse(text).items() <= info.psycopg_kwargs().items()


def test_a_key_unknown_to_bulkio_is_refused_for_asyncpg(monkeypatch: pytest.MonkeyPatch) -> None:
    """A future libpq's key must not be dropped in silence."""
    info = parse_conninfo("host=db")
    info.params["quantum_safe"] = "require"  # type: ignore[index]
    assert asyncpg_params.refusals(info) == ("quantum_safe: bulkio does not know how asyncpg would honour it",)


HONOURED = [
    "",
    "channel_binding=prefer",
    "channel_binding=disable sslmode=prefer",
    "keepalives=0 keepalives_idle=5 tcp_user_timeout=9 client_encoding=LATIN1",
    "hostaddr=10.0.0.1 sslmode=disable host=db",
    "hostaddr=10.0.0.1 host=10.0.0.1",
    "options='-c work_mem=64MB' application_name=x",
    "sslrootcert=system",
    "gssencmode=disable",
]


@pytest.mark.parametrize("text", HONOURED)
def test_auto_takes_asyncpg_where_it_can_honour_all(text: str) -> None:
    """The faster driver is taken wherever nothing speaks against it."""
    info = parse_conninfo(text)
    assert choose_driver(info, "auto") == "asyncpg"
    assert choose_driver(info, "asyncpg") == "asyncpg"
    assert asyncpg_params.attempts(info)


def test_unknown_driver_is_refused() -> None:
    """A driver's name comes from the user."""
    with pytest.raises(ConfigError, match="psycopg2"):
        choose_driver(parse_conninfo(""), "psycopg2")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("", None),
        ("connect_timeout=0", None),
        ("connect_timeout=-1", None),
        ("connect_timeout=1", 2),
        ("connect_timeout=7", 7),
    ],
)
def test_connect_timeout(text: str, seconds: float | None) -> None:
    """Zero and less wait for ever, and one second is two, as in libpq; asyncpg's 60 s never apply."""
    assert {a["timeout"] for a in asyncpg_params.attempts(parse_conninfo(text))} == {seconds}


@pytest.mark.parametrize(
    ("text", "environ", "expected"),
    [
        ("", {}, {"application_name": "bulkio"}),
        ("application_name=mine", {}, {"application_name": "mine"}),
        ("fallback_application_name=theirs", {}, {"application_name": "theirs"}),
        ("", {"PGAPPNAME": "env"}, {"application_name": "env"}),
        ("options='-c a.b=1 --c-d=2'", {}, {"application_name": "bulkio", "options": "-c a.b=1 --c-d=2"}),
        ("", {"PGTZ": "UTC", "PGGEQO": "default"}, {"application_name": "bulkio", "timezone": "UTC"}),
    ],
)
def test_settings_for_the_startup_packet(
    text: str, environ: dict[str, str], expected: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the server go the settings that libpq would send, and no other key by accident."""
    set_environment(monkeypatch, environ)
    (attempt, *_) = asyncpg_params.attempts(parse_conninfo(text))
    assert attempt["server_settings"] == expected


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("host=a sslmode=disable", ["plain"]),
        ("host=a sslmode=allow", ["plain", "tls"]),
        ("host=a sslmode=prefer", ["tls", "plain"]),
        ("host=a sslmode=require", ["tls"]),
        ("host=/run/pg sslmode=verify-full", ["plain"]),  # libpq has no TLS on sockets
    ],
)
def test_sslmode_decides_what_is_tried(text: str, order: list[str]) -> None:
    """Each mode's attempts, in libpq's order."""
    attempts = asyncpg_params.attempts(parse_conninfo(text))
    assert ["tls" if isinstance(a["ssl"], ssl.SSLContext) else "plain" for a in attempts] == order


def test_prefer_standby_tries_standbys_on_all_hosts_first() -> None:
    """Then whatever there is, as libpq does."""
    attempts = asyncpg_params.attempts(parse_conninfo("host=a,b sslmode=disable target_session_attrs=prefer-standby"))
    order = [(a["host"], a["target_session_attrs"]) for a in attempts]
    assert order == [("a", "standby"), ("b", "standby"), ("a", "any"), ("b", "any")]


def test_load_balance_hosts_shuffles() -> None:
    """Over many connects every host comes first at times."""
    info = parse_conninfo("host=a,b,c sslmode=disable load_balance_hosts=random")
    assert {asyncpg_params.attempts(info)[0]["host"] for _ in range(200)} == {"a", "b", "c"}


@pytest.mark.parametrize(
    ("dsn", "environ", "interactive", "expected"),
    [
        ("postgresql://x", {"BULKIO_DSN": "b"}, True, "postgresql://x"),
        (None, {"BULKIO_DSN": "b", "DATABASE_URL": "d", "PGHOST": "h"}, True, "b"),
        (None, {"DATABASE_URL": "d", "PGHOST": "h"}, True, "d"),
        (None, {"PGHOST": "h"}, True, ""),
        (None, {"PGHOSTADDR": "h"}, False, ""),
        (None, {"PGSERVICE": "s"}, False, ""),
        (None, {"PGDATABASE": "s"}, False, ""),
        (None, {}, True, "embedded"),
        ("", {}, True, "embedded"),
        (None, {"PGSSLMODE": "require", "PGAPPNAME": "x"}, True, "embedded"),
        ("embedded", {"PGHOST": "h"}, False, "embedded"),
    ],
)
def test_default_dsn(dsn: str | None, environ: dict[str, str], interactive: bool, expected: str) -> None:
    """The embedded server is the default only on a terminal where nothing else is configured."""
    assert default_dsn(dsn=dsn, environ=environ, interactive=interactive) == expected


@pytest.mark.parametrize("dsn", [None, ""])
def test_a_job_that_lost_its_dsn_fails(dsn: str | None) -> None:
    """Without a terminal nothing is guessed, and an empty variable counts as none."""
    with pytest.raises(ConfigError, match=r"no database is named: give dsn.*BULKIO_DSN.*dsn='@NAME'.*dsn='embedded'"):
        default_dsn(dsn=dsn, environ={"PGHOST": "", "BULKIO_DSN": ""}, interactive=False)


@pytest.mark.parametrize(
    ("dsn", "expected"),
    [
        (f"postgresql://ann:{SECRET}@db/x", True),
        (f"postgresql://ann@db/x?password={SECRET}", True),
        (f"user=ann password={SECRET}", True),
        (f"sslpassword={SECRET}", True),
        ("postgresql://ann@db/x", False),
        ("postgresql://ann:@db/x", False),
        ("host=db passfile=/x", False),
        ("embedded", False),
        ("", False),
    ],
)
def test_password_in_dsn(dsn: str, expected: bool) -> None:
    """The CLI warns where other users could read a secret."""
    assert password_in_dsn(dsn) is expected
