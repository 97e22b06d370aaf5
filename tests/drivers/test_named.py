"""Connections with a name: which file decides, what may stand in it, and that no password gets out of it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from bulkio.drivers import libpq
from bulkio.drivers.conninfo import parse_conninfo
from bulkio.drivers.named import (
    _OWN_KEYS,
    PASSWORD_TIMEOUT_S,
    config_files,
    find_connection,
    named_dsn,
    read_connections,
)
from bulkio.drivers.password_command import PasswordCommand
from bulkio.errors import ConfigError, ConnectError

SECRET = "hunter2"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder for pipelines; the user's configuration is in another."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "config" / "bulkio").mkdir(parents=True)
    here = tmp_path / "pipelines"
    here.mkdir()
    return here


def write(folder: Path, text: str, *, mode: int = 0o600) -> Path:
    """Write the folder's file."""
    path = folder / "bulkio.toml"
    path.write_text(text)
    path.chmod(mode)
    return path


def users(text: str) -> Path:
    """Write the user's file."""
    path = config_files(Path())[1]
    path.write_text(text)
    path.chmod(0o600)
    return path


def secret_of(folder: Path, name: str = "@w") -> str:
    """Return the password that the named connection has."""
    _, password = named_dsn(name, folder)
    assert callable(password)
    return password()


def test_a_dsn_that_is_no_name_stays(folder: Path) -> None:
    """Nothing is read for it."""
    write(folder, "not TOML")
    assert named_dsn("postgresql://@/x", folder) == ("postgresql://@/x", None)
    assert named_dsn(None, folder) == (None, None)
    assert named_dsn("", folder) == ("", None)


def test_the_nearer_file_wins(folder: Path) -> None:
    """As a whole: nothing of the other's connection is left."""
    user = users('[connections.a]\nhost="far"\nuser="ann"\n[connections.b]\ndsn="host=far"')
    write(folder, '[connections.a]\nhost = "near"')
    assert named_dsn("@a", folder) == ("host=near", None)
    assert named_dsn("@b", folder) == ("host=far", None)
    assert user == Path(os.environ["XDG_CONFIG_HOME"], "bulkio", "config.toml")


def test_libpq_s_keys(folder: Path) -> None:
    """They mean what libpq says, and nothing in them is taken apart once more."""
    write(folder, '[connections.w]\nhost="db.example"\nport=6432\ndbname="it\'s"\nuser="a b"\nsslmode="verify-full"')
    dsn, password = named_dsn("@w", folder)
    info = parse_conninfo(dsn)
    assert (info.hosts[0].host, info.hosts[0].port, info.database, info.user) == ("db.example", 6432, "it's", "a b")
    assert info.params["sslmode"] == "verify-full"
    assert password is None


def test_variables_are_filled_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the one connection that is asked for: another's may be missing."""
    monkeypatch.setenv("DB_HOST", "db.example")
    write(
        folder,
        '[connections.w]\nhost="${DB_HOST}"\ndbname="${DB_NAME:-sales}"\n'
        '[connections.x]\nhost="${NOWHERE}"\n[connections.y]\nhost="${NO-WHERE}"',
    )
    assert named_dsn("@w", folder)[0] == "host=db.example dbname=sales"
    message = r'bulkio.toml, connection "x", key "host": the environment has no variable "NOWHERE" \(\$\{NOWHERE:-…\}'
    with pytest.raises(ConfigError, match=message):
        named_dsn("@x", folder)
    with pytest.raises(ConfigError, match=r'"y", key "host": there is a \$\{ without a name and a } behind it'):
        named_dsn("@y", folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[connections", r"bulkio\.toml is not TOML: Expected ']'"),
        ("[conections.w]\nhost='x'", 'bulkio.toml: the key "conections" is not known; did you mean "connections"?'),
        ("connections=1", "bulkio.toml: connections must be tables, such as \\[connections.warehouse\\]"),
        ("[connections]\nw='host=x'", r'connection "w": it must be a table: \[connections.w\] with dsn = …'),
        ("[connections.w]\nhots='x'", 'connection "w": the key "hots" is not known; did you mean "host"?'),
        ("[connections.w]\npasword_command='x'", 'not known; did you mean "password_command"?'),
        ("[connections.w]\ndsn=''\nhost='x'", 'connection "w": it has both dsn and "host": put that into the dsn'),
        ("[connections.w]\npassword='x'", 'connection "w": it has neither dsn nor keys of libpq, such as host'),
        ("[connections.w]\nhost=''\npassword='x'\npassword_command='x'", "it has both password and password_command"),
        ("[connections.w]\nkeepalives=true", 'key "keepalives": it must be a text or a whole number'),
        ("[connections.w]\ndsn=['x']", 'key "dsn": it must be a text or a whole number'),
        ("[connections.w]\nhost=''\npassword_command=1", "password_command: it must be a text, or a list of texts"),
        ("[connections.w]\nhost=''\npassword_command=[1]", "password_command: it must be a text, or a list of texts"),
        ("[connections.w]\nhost=''\npassword_command=' '", "password_command: it is empty"),
        ("[connections.w]\nhost=''\npassword_command='a \"'", "password_command: No closing quotation"),
        ("[connections.w]\nhost=''\npassword_timeout=0", "password_timeout: it must be a whole number of seconds, at"),
    ],
)
def test_what_does_not_belong_there(folder: Path, text: str, message: str) -> None:
    """The file, the connection and the key are named, whichever connection is asked for."""
    write(folder, text)
    with pytest.raises(ConfigError, match=message):
        named_dsn("@other", folder)


def test_bytes_that_are_no_text(folder: Path) -> None:
    """A file in another encoding is named."""
    write(folder, "").write_bytes(b"[connections.\xff]")
    with pytest.raises(ConfigError, match=r"bulkio\.toml is not TOML: it is not UTF-8"):
        named_dsn("@w", folder)


def test_a_file_that_cannot_be_read(folder: Path) -> None:
    """It may have the name that is looked for: no other file is taken for it."""
    (folder / "bulkio.toml").mkdir()
    with pytest.raises(ConfigError, match=r"bulkio\.toml cannot be read: Is a directory"):
        named_dsn("@w", folder)


def test_an_unknown_name(folder: Path) -> None:
    """The files are named, and the nearest name in any of them."""
    with pytest.raises(ConfigError, match=r'no connection "w", .*bulkio.toml nor .*config.toml: \[connections.NAME\]'):
        named_dsn("@w", folder)
    users('[connections.warehouse]\nhost="x"')
    with pytest.raises(ConfigError, match=r'"warehous", neither in .*; did you mean "warehouse"\?'):
        named_dsn("@warehous", folder)
    with pytest.raises(ConfigError, match=r'no connection "", neither in .*, which have "warehouse"$'):
        named_dsn("@", folder)


# --- passwords ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        f'host="x"\npassword="{SECRET}"',
        f'dsn="postgresql://ann:{SECRET}@db/x"',
        f'dsn="host=x password={SECRET}"',
        f'dsn="host=x"\npassword="{SECRET}"',
        f'host="x"\nsslpassword="{SECRET}"',
        f'host="x"\npassword="${{PGPASSWORD_X:-{SECRET}}}"',
        f'dsn="postgresql://ann:{SECRET}@${{HOST:-db}}/x"',
    ],
)
def test_a_password_in_a_file_that_others_can_read(folder: Path, settings: str) -> None:
    """It is refused, where libpq would ignore its password file; a file of the user's own is all right."""
    path = write(folder, f"[connections.w]\n{settings}", mode=0o640)
    with pytest.raises(
        ConfigError, match=f"a password stands in a file that is not yours alone: chmod 600 {path}"
    ) as e:
        named_dsn("@w", folder)
    assert SECRET not in str(e.value)
    path.chmod(0o600)
    dsn, password = named_dsn("@w", folder)
    assert SECRET in f"{dsn}{password}"


@pytest.mark.parametrize(
    "settings",
    [
        'host="x"\npassword="${SECRET}"',
        'dsn="postgresql://ann:${SECRET}@db/x"',
        'dsn="postgresql://ann@${HOST:-db}/x"',
        'dsn="host=x password=${SECRET}"',
        'dsn="embedded"',
    ],
)
def test_a_file_without_a_password_may_be_read(folder: Path, settings: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that comes from the environment does not stand in it."""
    monkeypatch.setenv("SECRET", SECRET)
    write(folder, f"[connections.w]\n{settings}", mode=0o644)
    named_dsn("@w", folder)


def test_a_file_that_others_can_change(folder: Path) -> None:
    """Its connections could lead anywhere, and its commands do anything."""
    path = write(folder, '[connections.w]\nhost="x"', mode=0o646)
    with pytest.raises(ConfigError, match=f"can be changed by every user: chmod o-w {path}"):
        named_dsn("@w", folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a file of another user's")
def test_a_file_of_another_user(folder: Path) -> None:
    """In a folder where everybody may put files, such as /tmp, it is refused; in that user's own it is not."""
    path = write(folder, '[connections.w]\nhost="x"')
    os.chown(path, 54321, -1)
    with pytest.raises(
        ConfigError, match=r"bulkio.toml belongs to another user, and neither to you nor to its folder's"
    ):
        named_dsn("@w", folder)
    os.chown(folder, 54321, -1)
    assert named_dsn("@w", folder) == ("host=x", None)


def test_no_repr_shows_a_password(folder: Path) -> None:
    """Not of a connection either."""
    write(folder, f'[connections.w]\ndsn="postgresql://ann:{SECRET}@db/x"')
    assert SECRET not in repr(find_connection("w", folder))
    assert SECRET not in repr(read_connections(folder / "bulkio.toml"))


def test_the_command_s_first_line_is_the_password(folder: Path) -> None:
    """It runs in its file's folder, each time anew, and a text is split as a shell would."""
    counter = folder / "count"
    script = folder / "token.sh"
    script.write_text(f"#!/bin/sh\necho x >> {counter}\nwc -l < {counter}\necho second line\n")
    script.chmod(0o700)
    write(folder, '[connections.w]\nhost="x"\npassword_command="./token.sh \'a b\'"\n')
    _, password = named_dsn("@w", folder)
    assert isinstance(password, PasswordCommand)
    assert password.command == ("./token.sh", "a b")
    assert [password(), password()] == ["1", "2"]


def test_variables_in_a_command(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are filled in once it is a list: a blank in one makes no new word."""
    monkeypatch.setenv("WORDS", "one two")
    write(folder, '[connections.w]\nhost="x"\npassword_command="printf %s/ ${WORDS}"\n')
    assert secret_of(folder) == "one two/"


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (f"print('{SECRET}'); print('no key', file=sys.stderr); sys.exit(3)", "failed with exit code 3: no key"),
        (f"print('{SECRET}', file=sys.stderr); print('{SECRET}'); sys.exit(1)", "failed with exit code 1: …"),
        ("pass", "printed no password, and said nothing"),
        (f"print(); print('{SECRET}')", "printed no password, and said nothing"),
        ("os.kill(os.getpid(), 9)", "was ended by signal 9, and said nothing"),
        (
            f"print('{SECRET}', flush=True); print('asking', file=sys.stderr, flush=True); time.sleep(9)",
            r"did not end within 1 s \(password_timeout\): asking",
        ),
    ],
)
def test_a_command_that_fails(folder: Path, code: str, message: str) -> None:
    """Its stderr is told, and nothing of its stdout."""
    program = [sys.executable, "-c", f"import os, sys, time\n{code}"]
    write(folder, f'[connections.w]\nhost="x"\npassword_timeout=1\npassword_command={json.dumps(program)}')
    with pytest.raises(ConnectError, match=f'connection "w": password_command: the command {message}$') as e:
        secret_of(folder)
    assert e.value.retryable
    assert e.value.__cause__ is None
    assert e.value.__suppress_context__
    assert SECRET not in str(e.value)


def test_a_command_that_is_not_there(folder: Path) -> None:
    """The program is named."""
    write(folder, '[connections.w]\nhost="x"\npassword_command="no-such-program"')
    with pytest.raises(ConfigError, match="password_command: no-such-program cannot be run: No such file"):
        secret_of(folder)


def test_each_key_is_documented() -> None:
    """With its type and default."""
    page = Path(__file__).parents[2].joinpath("docs", "connections.md").read_text()
    rows = [line.split("|") for line in page.splitlines() if line.startswith("| `")]
    documented = {key.strip(" `") for row in rows for key in row[1].split(",")} - {"…"}
    assert {"dsn", "password", "password_command", "password_timeout"} <= documented
    assert documented <= {*_OWN_KEYS, *libpq.keys()}
    assert [row[3].strip() for row in rows if "password_timeout" in row[1]] == [f"`{PASSWORD_TIMEOUT_S}`"]
