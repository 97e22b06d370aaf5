"""What several requests have in common: each option is defined once."""

# Without `from __future__ import annotations`: the annotations are read at run time.

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Annotated

from bulkio.choices import DriverChoice, check_columns, check_load_id, check_schema, milliseconds
from bulkio.options.option import Option, fields_of
from bulkio.options.params import Param, check_params

if TYPE_CHECKING:
    from bulkio.types import Policies

__all__ = [
    "BatchRows",
    "Columns",
    "Connecting",
    "Driver",
    "Dsn",
    "LedgerSchema",
    "LoadId",
    "Moving",
    "Params",
    "Password",
    "TableOrQuery",
    "check_fields",
]

Dsn = Annotated[
    str | None,
    Option(
        "The database: a libpq URI or key=value string, `@name` of a connection in a bulkio.toml, or `embedded`.",
        metavar="DSN",
        default="BULKIO_DSN, DATABASE_URL or the PG* variables",
        is_recorded=False,
        group="Connection",
    ),
]


Driver = Annotated[
    DriverChoice,
    Option(
        "The driver that carries the bytes; auto takes the faster one that can honour the connection string.",
        is_recorded=False,
        group="Connection",
    ),
]


Password = Annotated[
    str | Callable[[], str] | None,
    Option(
        "Replaces the DSN's; a callable is asked at each connection (tokens that expire).",
        is_flag=False,
        is_recorded=False,
    ),
]


LedgerSchema = Annotated[
    str,
    Option(
        "Schema of the ledger, which records loads that have an id.",
        metavar="NAME",
        check=check_schema,
        is_recorded=False,
        group="Transactions",
    ),
]


LoadId = Annotated[str, Option("The load's id.", is_flag=False, check=check_load_id)]


Params = Annotated[
    Sequence[Param],
    Option(
        "Values for $1, $2, … of a query: text, numbers, dates, times, bytes; None is NULL.",
        is_flag=False,
        check=check_params,
    ),
]


TableOrQuery = Annotated[str, Option("`table`, `schema.table`, or one SELECT.", is_flag=False)]


Columns = Annotated[
    Sequence[str] | None,
    Option(
        "Only these columns, in this order; or, each with a minus in front, all but these.",
        metavar="NAME,...",
        default="all",
        check=check_columns,
        group="Source",
    ),
]


BatchRows = Annotated[
    int, Option("Rows handled at once; bounds the memory.", least=1, group="Connection", is_recorded=False)
]


def check_fields(request: object) -> None:
    """Check each field of a request, and keep what nobody else can change."""
    kind: type = type(request)
    for option in fields_of(kind):
        object.__setattr__(request, option.name, option.kept(getattr(request, option.name)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Connecting:
    """The options of whatever connects to a database."""

    driver: Driver = "auto"
    lock_timeout: Annotated[
        str | None,
        Option(
            "How long to wait for each lock, such as 10s or 5min; 0 is for ever.",
            metavar="TIME",
            default="the DSN's or role's",
            check=milliseconds,
            is_recorded=False,
            group="Connection",
        ),
    ] = None
    password: Password = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moving(Connecting):
    """The options of whatever moves rows."""

    columns: Columns = None
    batch_rows: BatchRows = 16384
    dimensions: Annotated[
        Mapping[str, int] | None,
        Option(
            "Dimensions of an array column that has more than one: lists of lists.", metavar="COLUMN=N", group="Values"
        ),
    ] = None

    def __post_init__(self) -> None:
        check_fields(self)
        _ = self.policies  # they check what the words of each alone do not tell

    @property
    def policies(self) -> "Policies":
        """What becomes of values that have no exact counterpart."""
        from bulkio.types import Policies  # it brings pyarrow

        known = {each.name for each in fields(Policies)}
        return Policies(**{each.name: getattr(self, each.name) for each in fields(self) if each.name in known})
