"""The requests to the ledger: about loads, and runs of pipelines."""

# Without `from __future__ import annotations`: the annotations are read at run time.

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field, fields
from typing import Annotated

from bulkio.choices import LEDGER_SCHEMA, check_workers, days
from bulkio.options.option import Option
from bulkio.options.shared import Connecting, Dsn, LedgerSchema, LoadId, check_fields
from bulkio.protocols import Progress

__all__ = [
    "DdlRequest",
    "ForgetRequest",
    "GcRequest",
    "LedgerRequest",
    "RecordRequest",
    "ResumeRequest",
    "RunRecordRequest",
    "RunsRequest",
]


@dataclass(frozen=True, slots=True)
class LedgerRequest(Connecting):
    """A question to the ledger of loads."""

    dsn: Dsn = field(default=None, repr=False)
    _: KW_ONLY
    ledger_schema: LedgerSchema = LEDGER_SCHEMA


@dataclass(frozen=True, slots=True)
class RecordRequest(Connecting):
    """A request about one load of the ledger."""

    load_id: LoadId
    dsn: Dsn = field(default=None, repr=False)
    _: KW_ONLY
    ledger_schema: LedgerSchema = LEDGER_SCHEMA


@dataclass(frozen=True, slots=True)
class ForgetRequest(Connecting):
    """A request to take a load out of the ledger."""

    load_id: LoadId
    dsn: Dsn = field(default=None, repr=False)
    _: KW_ONLY
    rows_removed: Annotated[
        bool,
        Option("The rows that it has appended were deleted: nothing is stored twice when its files are loaded again."),
    ] = False
    ledger_schema: LedgerSchema = LEDGER_SCHEMA


@dataclass(frozen=True, slots=True)
class ResumeRequest(Connecting):
    """A request to go on with a load that the ledger has as unfinished."""

    load_id: LoadId
    dsn: Dsn = field(default=None, repr=False)
    _: KW_ONLY
    workers: Annotated[
        int | str | None,
        Option(
            "Connections that load at the same time.",
            metavar="N|auto",
            default="as many as the load has begun with",
            check=check_workers,
        ),
    ] = None
    wait: Annotated[bool, Option("If another run is at work on it, wait for its end.")] = False
    ledger_schema: LedgerSchema = LEDGER_SCHEMA
    progress: Annotated[
        Callable[[Progress], None] | None, Option("Called after each block that was sent.", is_flag=False)
    ] = field(default=None, repr=False, compare=False)

    @property
    def record(self) -> RecordRequest:
        """The request for what is recorded of it."""
        shared = {each.name: getattr(self, each.name) for each in fields(Connecting)}
        return RecordRequest(self.load_id, self.dsn, ledger_schema=self.ledger_schema, **shared)


@dataclass(frozen=True, slots=True)
class GcRequest(Connecting):
    """A request to forget what was done long ago."""

    dsn: Dsn = field(default=None, repr=False)
    _: KW_ONLY
    older_than: Annotated[str, Option("Days since the end of what is to be forgotten.", metavar="DAYS", check=days)]
    ledger_schema: LedgerSchema = LEDGER_SCHEMA


@dataclass(frozen=True, slots=True)
class RunsRequest(Connecting):
    """A question for the runs of pipelines."""

    dsn: Dsn = field(default=None, repr=False)
    _: KW_ONLY
    pipeline: Annotated[str | None, Option("The pipeline's name.", is_flag=False, default="all pipelines")] = None
    limit: Annotated[int, Option("The latest so many runs.", metavar="N", least=1)] = 50
    ledger_schema: LedgerSchema = LEDGER_SCHEMA


@dataclass(frozen=True, slots=True)
class RunRecordRequest(Connecting):
    """A request about one run of a pipeline."""

    run: Annotated[str, Option("The run: pipeline/run, or the run's id alone where only one has it.", is_flag=False)]
    dsn: Dsn = field(default=None, repr=False)
    _: KW_ONLY
    ledger_schema: LedgerSchema = LEDGER_SCHEMA


@dataclass(frozen=True, slots=True, kw_only=True)
class DdlRequest:
    """A request for the statements that make the ledger."""

    ledger_schema: LedgerSchema = LEDGER_SCHEMA
    role: Annotated[
        str | None,
        Option(
            "Role that is to load with an id, as the server has its name.",
            metavar="NAME",
            default="its grants are comments",
        ),
    ] = None

    def __post_init__(self) -> None:
        check_fields(self)
