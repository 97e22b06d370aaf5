"""Connections that have a name, such as ``@warehouse``: from a `bulkio.toml`, or the user's own configuration.

    [connections.warehouse]
    dsn = "postgresql://etl@db.example/warehouse"     # or libpq's keys: host = …, dbname = …, service = …
    password_command = ["pass", "show", "warehouse"]  # run anew at each connection

Owns these files: where they are, what may stand in them, and whether they can be trusted. What a connection string
means is libpq's (`conninfo`). Nothing here opens a connection.
"""

from __future__ import annotations

import os
import re
import shlex
import stat
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from psycopg import conninfo as psycopg_conninfo

from bulkio.drivers import libpq
from bulkio.drivers.password_command import PasswordCommand
from bulkio.errors import ConfigError
from bulkio.options.environment import expand_environment
from bulkio.show import did_you_mean, printable, show_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = [
    "MARK",
    "Connection",
    "config_files",
    "find_connection",
    "known_connections",
    "named_dsn",
    "read_connections",
]

#: what stands in front of a connection's name, in the place of a DSN
MARK = "@"
#: name of the file beside the pipelines
LOCAL_FILE = "bulkio.toml"
#: seconds that a password_command may take, unless password_timeout says otherwise
PASSWORD_TIMEOUT_S = 30

_OWN_KEYS = ("dsn", "password_command", "password_timeout")

#: a text that is nothing but a variable of the environment, without a default
_VARIABLE = re.compile(r"\$\{\w+\}")


@dataclass(frozen=True, slots=True)
class Connection:
    """One connection as its file has it: variables of the environment are not filled in yet."""

    name: str
    path: Path
    #: libpq's keys and their values, or `dsn` alone
    params: Mapping[str, str] = field(repr=False)
    #: the command that prints the password, empty if there is none
    password_command: tuple[str, ...] = ()
    password_timeout_s: int = PASSWORD_TIMEOUT_S
    #: True if the file is not its owner's alone
    is_shared: bool = False

    @property
    def place(self) -> str:
        """Where it stands, for messages."""
        return _place(self.path, self.name)

    def resolve(self, environ: Mapping[str, str]) -> tuple[str, str | Callable[[], str] | None]:
        """Return the DSN, and the password that replaces the DSN's; None: none does.

        Raises:
            ConfigError: a variable is not set, or a password stands in a file that others can read.
        """
        params = {key: self._expand(key, text, environ) for key, text in self.params.items()}
        self._refuse_shared_secret(params)
        secret = params.pop("password", None)
        dsn = params["dsn"] if "dsn" in params else psycopg_conninfo.make_conninfo("", **params)
        if not self.password_command:
            return dsn, secret
        key = "password_command"
        command = tuple(self._expand(key, word, environ) for word in self.password_command)
        return dsn, PasswordCommand(command, self.path.parent, self.password_timeout_s, f"{self.place}: {key}")

    def _expand(self, key: str, text: str, environ: Mapping[str, str]) -> str:
        try:
            return expand_environment(text, environ)
        except ConfigError as error:
            raise ConfigError(f"{self.place}, key {show_name(key)}: {error}") from None

    def _refuse_shared_secret(self, expanded: Mapping[str, str]) -> None:
        if self.is_shared and _has_secret(self.params, expanded):
            path = printable(str(self.path))
            raise ConfigError(
                f"{self.place}: a password stands in a file that is not yours alone: chmod 600 {path}, or take"
                " password_command, ${VARIABLE} or .pgpass"
            )


def _has_secret(params: Mapping[str, str], expanded: Mapping[str, str]) -> bool:
    """Tell whether a secret stands in the file itself, and not in the environment."""
    if any(map(_is_written_out, map(params.get, libpq.SECRET_KEYS))):
        return True
    if not any(map(_values(expanded.get("dsn", "")).get, libpq.SECRET_KEYS)):
        return False
    as_written = _values(params["dsn"])  # nothing, if it is no connection string before its variables are filled in
    return not as_written or any(map(_is_written_out, map(as_written.get, libpq.SECRET_KEYS)))


def _is_written_out(secret: str | None) -> bool:
    return bool(secret) and not _VARIABLE.fullmatch(secret or "")


def _values(dsn: str) -> Mapping[str, str]:
    """Return what stands in a DSN; nothing if it is `embedded`, or wrong: then the connection ends with that error."""
    try:
        return libpq.parse(dsn)
    except ConfigError:
        return {}


def named_dsn(dsn: str | None, folder: str | os.PathLike[str]) -> tuple[str | None, str | Callable[[], str] | None]:
    """Return the connection string and the password that ``@name`` stands for; any other DSN as it is.

    The password is None where the connection has none of its own, a text, or a function that runs its
    `password_command`. The name is looked up in `folder`'s bulkio.toml, then in the user's configuration.

    Raises:
        ConfigError: there is no such connection, or its file is wrong; the message says where.
    """
    if dsn is None or not dsn.startswith(MARK):
        return dsn, None
    return find_connection(dsn.removeprefix(MARK), Path(folder)).resolve(os.environ)


def config_files(folder: Path) -> tuple[Path, ...]:
    """Return the files that may have connections, the nearest first; they need not be there."""
    import platformdirs

    return folder / LOCAL_FILE, platformdirs.user_config_path("bulkio") / "config.toml"


def known_connections(folder: Path) -> list[Connection]:
    """Return the connections that names lead to, the user's own first; of two with one name the nearer."""
    found: dict[str, Connection] = {}
    for path in reversed(config_files(folder)):
        found |= read_connections(path)
    return list(found.values())


def find_connection(name: str, folder: Path) -> Connection:
    """Return the connection of this name: that of the nearer file, where both have one."""
    known: list[str] = []
    files = config_files(folder)
    for path in files:
        there = read_connections(path)
        if name in there:
            return there[name]
        known += there
    near = did_you_mean(name, known)
    paths = " nor ".join(printable(str(path)) for path in files)
    raise ConfigError(
        f"there is no connection {show_name(name)}, neither in {paths}" + (f"; {near}" if near else _listed(known))
    )


def _listed(names: Iterable[str]) -> str:
    listed = ", ".join(map(show_name, dict.fromkeys(names)))
    return f", which have {listed}" if listed else ": [connections.NAME] with dsn = … makes one"


def read_connections(path: Path) -> dict[str, Connection]:
    """Return the connections of a file, none where there is no file.

    Raises:
        ConfigError: it cannot be read, or trusted, or has something that does not belong there.
    """
    shown = printable(str(path))
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            _refuse_untrusted(path, status)
            tree = tomllib.load(file)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigError(f"{shown} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        what = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
        raise ConfigError(f"{shown} is not TOML: {printable(what)}") from None
    _refuse_unknown(shown, tree, ("connections",))
    connections = tree.get("connections", {})
    if not isinstance(connections, dict):
        raise ConfigError(f"{shown}: connections must be tables, such as [connections.warehouse]")
    is_shared = bool(status.st_mode & (stat.S_IRWXG | stat.S_IRWXO))
    return {name: _connection(name, path, settings, is_shared=is_shared) for name, settings in connections.items()}


def _refuse_untrusted(path: Path, status: os.stat_result) -> None:
    """Refuse a file that others may have put there, to have the user's rows, or run commands of theirs."""
    owners = {0, os.geteuid(), path.parent.stat().st_uid}
    if status.st_uid not in owners:
        raise ConfigError(
            f"{printable(str(path))} belongs to another user, and neither to you nor to its folder's owner"
        )
    if status.st_mode & stat.S_IWOTH:
        shown = printable(str(path))
        raise ConfigError(f"{shown} can be changed by every user: chmod o-w {shown}")


def _connection(name: str, path: Path, settings: object, *, is_shared: bool) -> Connection:
    place = _place(path, name)
    if not isinstance(settings, dict):
        raise ConfigError(f"{place}: it must be a table: [connections.{printable(name)}] with dsn = …")
    _refuse_unknown(place, settings, (*_OWN_KEYS, *libpq.keys()))
    _refuse_two_ways(place, settings)
    params = {key: _text(place, key, value) for key, value in settings.items() if key not in _OWN_KEYS[1:]}
    command = _command(place, settings.get("password_command", []))
    timeout_s = settings.get("password_timeout", PASSWORD_TIMEOUT_S)
    if type(timeout_s) is not int or timeout_s < 1:
        raise ConfigError(f"{place}, key password_timeout: it must be a whole number of seconds, at least 1")
    return Connection(name, path, params, command, timeout_s, is_shared)


def _place(path: Path, name: str) -> str:
    return f"{printable(str(path))}, connection {show_name(name)}"


def _refuse_unknown(place: str, settings: Mapping[str, object], known: Iterable[str]) -> None:
    known = tuple(known)
    for key in settings:
        if key not in known:
            near = did_you_mean(key, known)
            raise ConfigError(f"{place}: the key {show_name(key)} is not known" + (f"; {near}" if near else ""))


def _refuse_two_ways(place: str, settings: Mapping[str, object]) -> None:
    """Refuse what says one thing in two ways: nobody could tell which of them counts."""
    if "password" in settings and "password_command" in settings:
        raise ConfigError(f"{place}: it has both password and password_command")
    beside = [key for key in settings if key not in (*_OWN_KEYS, "password")]
    if "dsn" in settings and beside:
        raise ConfigError(f"{place}: it has both dsn and {show_name(beside[0])}: put that into the dsn")
    if not beside and "dsn" not in settings:
        raise ConfigError(f"{place}: it has neither dsn nor keys of libpq, such as host")


def _text(place: str, key: str, value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ConfigError(f"{place}, key {show_name(key)}: it must be a text or a whole number")
    return str(value)


def _command(place: str, value: object) -> tuple[str, ...]:
    """Return a command's words: of one text, as a shell would take it apart."""
    words = value
    if isinstance(value, str):
        try:
            words = shlex.split(value)
        except ValueError as error:
            raise ConfigError(f"{place}, key password_command: {error}") from None
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise ConfigError(f"{place}, key password_command: it must be a text, or a list of texts")
    if not words and value != []:
        raise ConfigError(f"{place}, key password_command: it is empty")
    return tuple(words)
