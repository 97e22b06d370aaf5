"""Foreign errors, mapped onto bulkio's tree in this one place. No driver's exception gets past it.

Errors are recognised by module and attributes, so that using one driver does not import the other:

    what                                                             becomes          retryable
    asyncpg, psycopg: SQLSTATE of class 08, 53300, 57P01 to 57P03    ConnectError     yes
    SQLSTATE of class 28, 3D000, 57P04, 57P05, 25P03, 25P04          ConnectError     no
    SQLSTATE 40001, 40P01                                            DriverError      yes
    any other SQLSTATE                                               DriverError      no
    no SQLSTATE, and the connection is gone                          ConnectError     yes, as 08006
    OSError (a host name, a refused or reset socket, TLS), timeouts  ConnectError     yes, as 08001 or 08006
    asyncpg's ClientConfigurationError, a bad conninfo               ConfigError      no
    the drivers' errors without SQLSTATE                             DriverError      no

A message is the server's own, followed by COPY's position, the detail and the hint. It never contains a password:
neither driver puts one into its messages.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from bulkio.drivers.copyplace import copy_place
from bulkio.errors import BulkioError, ConfigError, ConnectError, DriverError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["is_foreign", "map_connect_error", "map_error", "mapped_errors"]

#: SQLSTATEs of connection errors (PostgreSQL docs, appendix A "PostgreSQL Error Codes")
UNABLE_TO_CONNECT = "08001"
CONNECTION_FAILURE = "08006"

_CONNECT_CLASSES = ("08", "28")
_CONNECT_STATES = frozenset(
    {
        "3D000",  # no such database
        "53300",  # too many connections
        "57P01",  # admin shutdown, or pg_terminate_backend
        "57P02",  # crash shutdown
        "57P03",  # cannot connect now: starting up or shutting down
        "57P04",  # database dropped
        "57P05",  # idle session timeout
        "25P03",  # idle in transaction timeout; ends the connection
        "25P04",  # transaction timeout; ends the connection
    }
)
_RETRYABLE = frozenset({"40001", "40P01", "53300", "57P01", "57P02", "57P03"})

# What libpq says where a login failed; it keeps the SQLSTATE to itself. English only: in another language the
# error is still a ConnectError, as 08001.
_LOGIN_FAILURES = (
    (re.compile(r"password authentication failed|no password supplied|SCRAM"), "28P01"),
    (re.compile(r'role ".*" does not exist|no pg_hba\.conf entry|authentication failed'), "28000"),
    (re.compile(r'database ".*" does not exist'), "3D000"),
    (re.compile(r"too many (?:clients|connections)|remaining connection slots"), "53300"),
    (re.compile(r"the database system is (?:starting up|shutting down|in recovery|not yet)"), "57P03"),
)
_LIBPQ_PREFIX = re.compile(
    r"^(?:connection (?:failed|is bad): )?(?:connection to server (?:at|on) .*? failed: )?(?:FATAL:\s+)?"
)


@dataclass(frozen=True, slots=True)
class _Facts:
    """What either driver knows about an error."""

    message: str
    sqlstate: str | None = None
    detail: str | None = None
    hint: str | None = None
    context: str | None = None

    def text(self) -> str:
        """Say it in one line: what, detail, hint."""
        said = _one_line(self.message) or "the driver gave no reason"
        if self.detail:
            said = f"{said}. {_one_line(self.detail)}"
        if self.hint:
            said = f"{said.rstrip('.')}. Hint: {_one_line(self.hint)}"
        return said

    def place(self) -> tuple[int | None, str | None]:
        """Return the line and the column of the COPY; in the binary format a line is a row."""
        return copy_place(self.context or "")


@contextmanager
def mapped_errors(lost: Callable[[], bool]) -> Iterator[None]:
    """Run the block; raise what a driver raises in it as an error of bulkio's.

    `lost` tells afterwards whether the connection is gone: drivers say so in many ways.
    """
    try:
        yield
    except BulkioError:
        raise
    except Exception as exc:
        if not is_foreign(exc):
            raise
        raise map_error(exc, lost=lost()) from exc


def is_foreign(exc: BaseException) -> bool:
    """Tell whether an exception is a driver's own, or the operating system's about a socket."""
    return _origin(exc) is not None or isinstance(exc, (OSError, EOFError))


def map_error(exc: BaseException, *, lost: bool = False) -> BulkioError:
    """Map a foreign error of a statement; `lost` says that the connection is gone."""
    if _is_config_error(exc):
        return ConfigError(_facts(exc).text())
    if isinstance(exc, (OSError, EOFError)):
        return _lost(_Facts(_os_reason(exc)))
    facts = _facts(exc)
    if facts.sqlstate in ("08000", "08003", "08006") or (lost and facts.sqlstate is None):
        return _lost(_last_words(exc) or facts)
    return _from_facts(facts)


#: words of libpq when it was asked for a password and had none
_NOT_SUPPLIED = "no password supplied"


def map_connect_error(exc: BaseException, where: str, *, has_password: bool = True) -> BulkioError:
    """Map what a driver raised while it connected to `where`, the server's name without any password.

    `has_password` tells whether one was given: asyncpg sends an empty one where there is none.
    """
    if _is_config_error(exc):
        return ConfigError(_facts(exc).text())
    facts = _Facts(_os_reason(exc)) if isinstance(exc, (OSError, EOFError)) else _facts(exc)
    message = _LIBPQ_PREFIX.sub("", facts.message.partition("\n")[0])
    sqlstate = facts.sqlstate or _login_state(message) or UNABLE_TO_CONNECT
    if _NOT_SUPPLIED in message or (sqlstate == "28P01" and not has_password):
        message = "the server wants a password, and none was given: put it into ~/.pgpass, PGPASSWORD or BULKIO_DSN"
    said = _Facts(message, sqlstate, facts.detail, facts.hint).text()
    return ConnectError(f"cannot connect to {where}: {said}", sqlstate=sqlstate, retryable=_is_retryable(sqlstate))


def _from_facts(facts: _Facts) -> DriverError:
    state = facts.sqlstate
    gone = state is not None and (state.startswith(_CONNECT_CLASSES) or state in _CONNECT_STATES)
    kind = ConnectError if gone else DriverError
    row, column = facts.place()
    return kind(facts.text(), sqlstate=state, retryable=_is_retryable(state), row=row, column=column)


def _lost(facts: _Facts) -> ConnectError:
    state = facts.sqlstate if facts.sqlstate in _CONNECT_STATES else CONNECTION_FAILURE
    words = _Facts(facts.message.partition("\n")[0], None, facts.detail, facts.hint).text()
    return ConnectError(f"the connection was lost: {words}", sqlstate=state, retryable=_is_retryable(state or ""))


def _last_words(exc: BaseException) -> _Facts | None:
    """Return the server's FATAL error that asyncpg keeps as the cause of a lost connection."""
    cause = exc.__cause__
    while cause is not None and _facts(cause).sqlstate is None:
        cause = cause.__cause__
    return _facts(cause) if cause is not None else None


def _is_retryable(state: str | None) -> bool:
    return state is not None and (state in _RETRYABLE or state.startswith("08"))


def _login_state(message: str) -> str | None:
    return next((state for pattern, state in _LOGIN_FAILURES if pattern.search(message)), None)


def _origin(exc: BaseException) -> Literal["asyncpg", "psycopg"] | None:
    for kind in type(exc).__mro__:
        package = kind.__module__.partition(".")[0]
        if package == "asyncpg":
            return "asyncpg"
        if package in ("psycopg", "psycopg_binary", "psycopg_c"):
            return "psycopg"
    return None


def _is_config_error(exc: BaseException) -> bool:
    names = {kind.__name__ for kind in type(exc).__mro__}
    if _origin(exc) == "asyncpg":
        return "ClientConfigurationError" in names
    # psycopg reports a conninfo that libpq cannot parse so, with this text and no SQLSTATE.
    return _origin(exc) == "psycopg" and "ProgrammingError" in names and "connection option" in str(exc)


def _facts(exc: BaseException) -> _Facts:
    # asyncpg sets the fields on the exception, psycopg on its `diag`.
    diag = getattr(exc, "diag", None)
    if diag is not None and diag.message_primary:
        return _Facts(diag.message_primary, diag.sqlstate, diag.message_detail, diag.message_hint, diag.context)
    message = str(exc.args[0]) if exc.args else type(exc).__name__
    if _origin(exc) != "asyncpg":
        return _Facts(message, _text(exc, "sqlstate"))
    return _Facts(message, *(_text(exc, name) for name in ("sqlstate", "detail", "hint", "context")))


def _text(exc: BaseException, name: str) -> str | None:
    value = getattr(exc, name, None)
    return value if isinstance(value, str) else None


def _os_reason(exc: BaseException) -> str:
    """Say why a socket failed, without errno numbers and addresses: those are in the server's name."""
    if isinstance(exc, TimeoutError) and not exc.args:
        return "timed out"
    if isinstance(exc, ConnectionRefusedError):
        return "Connection refused"
    reason = getattr(exc, "strerror", None)
    return str(reason or exc or type(exc).__name__)


def _one_line(text: str) -> str:
    return " ".join(text.split())
