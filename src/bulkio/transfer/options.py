"""How to load and how to export: the options, checked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bulkio.choices import DriverChoice, ExportMethod, LoadMethod, check_choice, check_number, milliseconds
from bulkio.errors import ConfigError
from bulkio.plan import Mode
from bulkio.types import STRICT, Policies

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bulkio.transfer.report import Progress

__all__ = ["BLOCK_BYTES", "ExportOptions", "LoadOptions", "Query"]

BLOCK_BYTES = 256 << 10


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How to load. Every field is an option of `bulkio load` of the same name."""

    driver: DriverChoice = "auto"
    method: LoadMethod = "binary"
    mode: Mode = "append"
    #: the source's columns to load; None means all
    columns: tuple[str, ...] | None = None
    #: rows read and encoded at once
    batch_rows: int = 16384
    #: of COPY data, sent at once
    block_bytes: int = BLOCK_BYTES
    #: how long to wait for a lock, as PostgreSQL spells it ("10s"); None for what the role or the DSN says
    lock_timeout: str | None = None
    password: str | Callable[[], str] | None = field(default=None, repr=False)
    progress: Callable[[Progress], None] | None = None
    policies: Policies = STRICT
    #: PostgreSQL types for the columns of a new table, as DDL spells them, by column
    types: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_choice("driver", self.driver, DriverChoice)
        check_choice("method", self.method, LoadMethod)
        check_choice("mode", self.mode, Mode)
        check_number("batch_rows", self.batch_rows, 1)
        if self.lock_timeout is not None:
            milliseconds("lock_timeout", self.lock_timeout)


@dataclass(frozen=True, slots=True)
class Query:
    """What to read: a table by name, or one SELECT with its parameters."""

    table: str | None = None
    sql: str | None = None
    #: values for $1, $2, …, as text
    params: tuple[str | None, ...] = ()

    def __post_init__(self) -> None:
        for number, value in enumerate(self.params, 1):
            if not isinstance(value, str | None):
                raise ConfigError(f"parameter ${number} is {value!r}: give it as text, as the server shall read it")


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """How to export. Every field is an option of `bulkio export` of the same name."""

    driver: DriverChoice = "auto"
    method: ExportMethod = "binary"
    #: the table's columns to export; None means all
    columns: tuple[str, ...] | None = None
    #: rows of a batch, at the most
    batch_rows: int = 16384
    #: how long to wait for a lock, as PostgreSQL spells it ("10s"); None for what the role or the DSN says
    lock_timeout: str | None = None
    password: str | Callable[[], str] | None = field(default=None, repr=False)
    progress: Callable[[Progress], None] | None = None
    policies: Policies = STRICT
    #: intervals as structs; set for Parquet
    interval_struct: bool = False

    def __post_init__(self) -> None:
        check_choice("driver", self.driver, DriverChoice)
        check_choice("method", self.method, ExportMethod)
        check_number("batch_rows", self.batch_rows, 1)
        if self.lock_timeout is not None:
            milliseconds("lock_timeout", self.lock_timeout)
