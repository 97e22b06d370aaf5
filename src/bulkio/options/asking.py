"""The requests about a connection, and to run SQL of the user's own."""

# Without `from __future__ import annotations`: the annotations are read at run time.

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Annotated

from bulkio.choices import LEDGER_SCHEMA, check_load_id, milliseconds
from bulkio.options.option import Option
from bulkio.options.shared import Connecting, Driver, Dsn, LedgerSchema, Params, Password, check_fields

__all__ = ["ConnectionRequest", "DoctorRequest", "ExecuteRequest", "PoolRequest", "QueryRequest"]


@dataclass(frozen=True, slots=True)
class ConnectionRequest:
    """A question to a connection: whether it can be made, and what it leads to."""

    dsn: Dsn = field(default=None, repr=False)
    _: KW_ONLY
    driver: Driver = "auto"
    password: Password = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True, slots=True)
class DoctorRequest:
    """A question for what is wrong with a server, and with one of its tables."""

    table: Annotated[
        str | None,
        Option("A table to look at, too: `table` or `schema.table`.", is_flag=False, default="the server alone"),
    ] = None
    dsn: Dsn = field(default=None, repr=False)
    _: KW_ONLY
    driver: Driver = "auto"
    password: Password = field(default=None, repr=False, compare=False)
    ledger_schema: LedgerSchema = LEDGER_SCHEMA

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolRequest:
    """Pools of sessions."""

    max_sessions: Annotated[
        int, Option("Sessions that are kept for each connection; more are opened where all are in use.", least=1)
    ] = 4

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True, slots=True)
class QueryRequest(Connecting):
    """A query for one row."""

    query: Annotated[str, Option("One SELECT, which changes nothing.", is_flag=False)]
    dsn: Dsn = field(default=None, repr=False)
    _: KW_ONLY
    params: Params = ()


@dataclass(frozen=True, slots=True)
class ExecuteRequest(Connecting):
    """Statements that run together."""

    sql: Annotated[
        Sequence[str],
        Option("A text of one statement or of several, or a list of such texts.", is_flag=False, is_text=True),
    ]
    dsn: Dsn = field(default=None, repr=False)
    _: KW_ONLY
    params: Params = ()
    once: Annotated[
        str | None,
        Option(
            "A permanent name for these statements: what is done under it is not done again, only reported again.",
            metavar="ID",
            default="they run each time, and nothing is recorded",
            check=check_load_id,
        ),
    ] = None
    retries: Annotated[
        int | None,
        Option(
            "How often to try again if the connection is lost or the server ends the transaction for reasons outside it"
            " (deadlock, shutdown); never for errors of the statements.",
            default="0, or without limit within retry_for",
            least=0,
        ),
    ] = None
    retry_for: Annotated[
        str | None,
        Option(
            "How long to go on trying, such as 10m.",
            metavar="TIME",
            default="as often as retries says",
            check=milliseconds,
        ),
    ] = None
    ledger_schema: LedgerSchema = LEDGER_SCHEMA
