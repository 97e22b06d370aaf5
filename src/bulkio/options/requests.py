"""The requests: every option of a load, a read and an export, with its words, its check and its help.

A new option is one field here. The API takes it, help() shows it, the command line has it and docs/cli.md lists it;
what is left to write is its use and its test.
"""

# Without `from __future__ import annotations`: the annotations are read at run time.

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, fields
from typing import TYPE_CHECKING, Annotated

from bulkio.choices import (
    LEDGER_SCHEMA,
    MAX_DELETE,
    MODE_ADVICE,
    BoundsPolicy,
    Commit,
    DriverChoice,
    Duplicates,
    ExportMethod,
    IfEmpty,
    InfinityPolicy,
    LoadInfinity,
    LoadMethod,
    Mode,
    NanPolicy,
    NewColumns,
    NulPolicy,
    byte_count,
    check_columns,
    check_load_id,
    check_names,
    check_schema,
    check_share,
    check_workers,
    days,
    milliseconds,
)
from bulkio.errors import ConfigError
from bulkio.options.option import Option, fields_of
from bulkio.options.params import Param, check_params
from bulkio.options.templates import check_templates
from bulkio.protocols import File, Progress
from bulkio.show import show_option

if TYPE_CHECKING:
    from bulkio.types import Policies

__all__ = [
    "ConnectionRequest",
    "DdlRequest",
    "ExecuteRequest",
    "ExportRequest",
    "ForgetRequest",
    "GcRequest",
    "LedgerRequest",
    "LoadRequest",
    "PoolRequest",
    "QueryRequest",
    "ReadRequest",
    "RecordRequest",
    "ResumeRequest",
    "RunRecordRequest",
    "RunsRequest",
    "ScanRequest",
    "WriteRequest",
]

_Dsn = Annotated[
    str | None,
    Option(
        "The database: a libpq URI or key=value string, `@name` of a connection in a bulkio.toml, or `embedded`.",
        metavar="DSN",
        default="BULKIO_DSN, DATABASE_URL or the PG* variables",
        is_recorded=False,
        group="Connection",
    ),
]
_Driver = Annotated[
    DriverChoice,
    Option(
        "The driver that carries the bytes; auto takes the faster one that can honour the connection string.",
        is_recorded=False,
        group="Connection",
    ),
]
_Password = Annotated[
    str | Callable[[], str] | None,
    Option(
        "Replaces the DSN's; a callable is asked at each connection (tokens that expire).",
        is_flag=False,
        is_recorded=False,
    ),
]
_LedgerSchema = Annotated[
    str,
    Option(
        "Schema of the ledger, which records loads that have an id.",
        metavar="NAME",
        check=check_schema,
        is_recorded=False,
        group="Transactions",
    ),
]
_LoadId = Annotated[str, Option("The load's id.", is_flag=False, check=check_load_id)]
_Params = Annotated[
    Sequence[Param],
    Option(
        "Values for $1, $2, … of a query: text, numbers, dates, times, bytes; None is NULL.",
        is_flag=False,
        check=check_params,
    ),
]
_TableOrQuery = Annotated[str, Option("`table`, `schema.table`, or one SELECT.", is_flag=False)]


def _check(request: object) -> None:
    """Check each field of a request, and keep what nobody else can change."""
    kind: type = type(request)
    for option in fields_of(kind):
        object.__setattr__(request, option.name, option.kept(getattr(request, option.name)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Connecting:
    """The options of whatever connects to a database."""

    driver: _Driver = "auto"
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
    password: _Password = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        _check(self)


_Columns = Annotated[
    Sequence[str] | None,
    Option(
        "Only these columns, in this order; or, each with a minus in front, all but these.",
        metavar="NAME,...",
        default="all",
        check=check_columns,
        group="Source",
    ),
]
_BatchRows = Annotated[
    int, Option("Rows handled at once; bounds the memory.", least=1, group="Connection", is_recorded=False)
]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shared(_Connecting):
    """The options of whatever moves rows."""

    columns: _Columns = None
    batch_rows: _BatchRows = 16384
    dimensions: Annotated[
        Mapping[str, int] | None,
        Option(
            "Dimensions of an array column that has more than one: lists of lists.", metavar="COLUMN=N", group="Values"
        ),
    ] = None

    def __post_init__(self) -> None:
        _check(self)
        _ = self.policies  # they check what the words of each alone do not tell

    @property
    def policies(self) -> "Policies":
        """What becomes of values that have no exact counterpart."""
        from bulkio.types import Policies  # it brings pyarrow

        known = {each.name for each in fields(Policies)}
        return Policies(**{each.name: getattr(self, each.name) for each in fields(self) if each.name in known})


@dataclass(frozen=True, slots=True)
class LoadRequest(_Shared):
    """A load, as the user asks for it."""

    source: Annotated[
        object,
        Option(
            "A path, a list of paths, a folder or a glob pattern of Parquet, Arrow IPC or CSV files; `bulkio.csv(…)`; a"
            " list of dicts, whose values go into the target's types as they are: a key that a row lacks is NULL, a str"
            " in json is JSON text, and in a new table each column has values of one type. Read once, as they come: any"
            " object with `__arrow_c_stream__` (pyarrow, polars, DuckDB, pandas, …), a pyarrow Dataset or Scanner, an"
            " iterable of RecordBatches or Tables, an async one too, and a file that is open in binary mode, which its"
            " content tells to be Parquet or Arrow IPC (of a CSV, `bulkio.csv(file)`).",
            is_flag=False,
            is_recorded=False,
        ),
    ] = field(repr=False, compare=False)
    table: Annotated[
        str,
        Option(
            "`table` or `schema.table`, by SQL's rules: capitals need double quotes.", is_flag=False, is_recorded=False
        ),
    ]
    dsn: _Dsn = field(default=None, repr=False)
    _: KW_ONLY
    mode: Annotated[
        Mode,
        Option(
            "append: add rows; create: the table must not exist; truncate: replace all rows; replace: replace"
            " the table by one with the source's columns; upsert: insert new rows and update those whose key exists;"
            " insert-new: insert new rows only; replace-where: replace the rows of a condition. All but truncate create"
            " a missing table.",
            advice=MODE_ADVICE,
            is_recorded=False,
            group="Table and mode",
        ),
    ] = "append"
    key: Annotated[
        Sequence[str] | None,
        Option(
            "upsert and insert-new: the columns of the unique key that tells which rows are new.",
            metavar="NAME,...",
            default="the primary key",
            group="Table and mode",
        ),
    ] = None
    duplicates: Annotated[
        Duplicates,
        Option(
            "upsert and insert-new: what to do if rows of the source have the same key: refuse, or keep first or last.",
            group="Table and mode",
        ),
    ] = "error"
    order_by: Annotated[
        str | None,
        Option(
            "upsert and insert-new: the column that tells which of the duplicates is first or last.",
            metavar="NAME",
            default="the source's order",
            group="Table and mode",
        ),
    ] = None
    update: Annotated[
        Sequence[str] | None,
        Option(
            "upsert: update only these columns of existing rows.",
            metavar="NAME,...",
            default="all",
            group="Table and mode",
        ),
    ] = None
    delete_missing: Annotated[
        bool, Option("upsert: delete the rows whose key the source lacks, up to max_delete.", group="Table and mode")
    ] = False
    max_delete: Annotated[
        str | None,
        Option(
            "The most rows that delete_missing may delete: a number, or a percentage of the table's rows.",
            metavar="N|P%",
            default=MAX_DELETE,
            check=check_share,
            is_recorded=False,
            group="Table and mode",
        ),
    ] = None
    where: Annotated[
        str | None,
        Option(
            "replace-where: the condition, in SQL, of the rows that are replaced; all rows loaded must meet it.",
            metavar="SQL",
            group="Table and mode",
        ),
    ] = None
    params: Annotated[
        Sequence[str | None],
        Option("Values for $1, $2, … of the condition, as text; None is NULL.", is_flag=False, check=check_params),
    ] = ()
    if_empty: Annotated[
        IfEmpty,
        Option(
            "Whether a source without rows may empty the table, if the mode deletes rows.",
            is_recorded=False,
            group="Table and mode",
        ),
    ] = "error"
    rename: Annotated[
        Mapping[str, str] | None,
        Option(
            "New names for columns of the source; all other options but columns name them by these.",
            metavar="OLD=NEW",
            check=check_names,
            group="Source",
        ),
    ] = None
    add: Annotated[
        Mapping[str, str] | None,
        Option(
            "Columns to add after the source's: a text, read as a field of CSV is, or {file} (path of the row's file),"
            " {row} (its number), {now} (time of the transaction), {load_id}; braces are doubled.",
            metavar="COLUMN=VALUE",
            check=check_templates,
            is_text=True,
            group="Source",
        ),
    ] = None
    new_columns: Annotated[
        NewColumns,
        Option(
            "What to do with columns of the source that the table lacks: refuse, leave them out, or add them to the"
            " table, at its end.",
            group="Table and mode",
        ),
    ] = "error"
    # The user's SQL is not recorded: a password may stand in it.
    before: Annotated[
        Sequence[str],
        Option(
            "A statement to run in the load's transaction before the rows, and before the mode deletes any; several run"
            " in their order.",
            metavar="SQL",
            is_text=True,
            is_recorded=False,
            group="Transactions",
        ),
    ] = ()
    after: Annotated[
        Sequence[str],
        Option(
            "A statement to run in the load's transaction once the rows are stored.",
            metavar="SQL",
            is_text=True,
            is_recorded=False,
            group="Transactions",
        ),
    ] = ()
    check: Annotated[
        Sequence[str],
        Option(
            "A query to run last; its one row must have true in its first column, otherwise nothing is loaded and"
            " the message shows the row.",
            metavar="SQL",
            is_text=True,
            is_recorded=False,
            group="Transactions",
        ),
    ] = ()
    method: Annotated[
        LoadMethod,
        Option(
            "How rows travel. All store the same rows; binary is by far the fastest.",
            is_recorded=False,
            group="Connection",
        ),
    ] = "binary"
    types: Annotated[
        Mapping[str, str] | None,
        Option(
            "The type of a new table's column, as DDL spells it: jsonb, numeric(10,2), a composite's name. In an"
            " existing table, the column must have it.",
            metavar="COLUMN=TYPE",
            group="Table and mode",
        ),
    ] = None
    infinity: Annotated[
        LoadInfinity,
        Option(
            "Infinite dates and timestamps, and 24:00:00; with sentinel, Arrow's extreme values are loaded as these, as"
            " an export with sentinel wrote them.",
            group="Values",
        ),
    ] = "error"
    nul: Annotated[
        NulPolicy, Option("NUL characters in text: strip takes them out, replace puts U+FFFD there.", group="Values")
    ] = "error"
    allow_lossy: Annotated[
        bool,
        Option(
            "Allow float64 into float4, floats into numeric, ns into us, and numeric to be rounded.", group="Values"
        ),
    ] = False
    retries: Annotated[
        int | None,
        Option(
            "How often to try again if the connection is lost or the server ends the load for reasons outside it"
            " (deadlock, shutdown); never for errors of data, nor of what can be read once.",
            default="0, or without limit within retry_for",
            least=0,
            is_recorded=False,
            group="Transactions",
        ),
    ] = None
    retry_for: Annotated[
        str | None,
        Option(
            "How long to go on trying, such as 10m.",
            metavar="TIME",
            default="as often as retries says",
            check=milliseconds,
            is_recorded=False,
            group="Transactions",
        ),
    ] = None
    load_id: Annotated[
        str | None,
        Option(
            "A permanent name for this load: what is done under it is not done again, only reported again.",
            metavar="ID",
            default="none, and nothing is recorded",
            check=check_load_id,
            is_recorded=False,
            group="Transactions",
        ),
    ] = None
    source_version: Annotated[
        str | None,
        Option(
            "With a load id: the version of a source that is not a file (files are hashed).",
            metavar="TEXT",
            check=check_load_id,
            is_recorded=False,
            group="Source",
        ),
    ] = None
    wait: Annotated[
        bool,
        Option(
            "With a load id: if another run is at work on it, wait for its end.",
            is_recorded=False,
            group="Transactions",
        ),
    ] = False
    restart: Annotated[
        bool,
        Option(
            "With a load id: load again what is done; refused if that would add the same rows twice.",
            is_recorded=False,
            group="Transactions",
        ),
    ] = False
    ledger_schema: _LedgerSchema = LEDGER_SCHEMA
    workers: Annotated[
        int | str,
        Option(
            "Connections that load at the same time. auto takes as many as there are processors, at most two for a"
            " table with a unique key, and one for each 32 MiB of files.",
            metavar="N|auto",
            check=check_workers,
            is_recorded=False,
            group="Transactions",
        ),
    ] = 1
    commit: Annotated[
        Commit,
        Option(
            "all: all rows or none; several workers commit in two phases, or fill a table that nobody sees yet. chunk:"
            " each chunk of the source for itself; a load that was ended in between goes on where it was when it runs"
            " again under its id.",
            is_recorded=False,
            group="Transactions",
        ),
    ] = "all"
    chunk_bytes: Annotated[
        int | str,
        Option(
            "With several workers, or commit chunk: bytes of the source's files in each chunk, such as 64MB or 64MiB.",
            metavar="SIZE",
            check=byte_count,
            is_recorded=False,
            group="Transactions",
        ),
    ] = "64MiB"
    unlogged: Annotated[
        bool,
        Option(
            "Do not log the table that several workers fill before its rows are shown: faster, but a load that was"
            " ended begins anew.",
            is_recorded=False,
            group="Transactions",
        ),
    ] = False
    defer_indexes: Annotated[
        bool,
        Option(
            "Build a new or empty table's indexes and keys after the rows: faster.",
            is_recorded=False,
            group="Table and mode",
        ),
    ] = False
    block_bytes: Annotated[
        int,
        Option(
            "Bytes of COPY data sent at once; use more for a distant server.",
            least=1024,
            is_recorded=False,
            group="Connection",
        ),
    ] = 256 << 10
    progress: Annotated[
        Callable[[Progress], None] | None,
        Option("Called after each block that was sent.", is_flag=False, is_recorded=False),
    ] = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        _Shared.__post_init__(self)
        alone = [name for name in ("source_version", "wait", "restart") if getattr(self, name)]
        if self.load_id is None and alone:
            raise ConfigError(f"{show_option(alone[0])} goes with {show_option('load_id')}, which is not given")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reading(_Shared):
    """The options of whatever reads a table or a query."""

    params: _Params = ()
    method: Annotated[
        ExportMethod,
        Option(
            "How rows travel: binary (COPY TO), or cursor (a server-side one). Both give the same rows.",
            group="Connection",
        ),
    ] = "binary"
    infinity: Annotated[
        InfinityPolicy,
        Option(
            "Infinite dates and timestamps, and 24:00:00; the sentinel is the Arrow type's extreme value.",
            group="Values",
        ),
    ] = "error"
    nan: Annotated[
        NanPolicy, Option("NaN and infinity of numeric(p,s), which a decimal cannot hold.", group="Values")
    ] = "error"
    bounds: Annotated[BoundsPolicy, Option("Arrays whose lower bound is not 1: drop the bound.", group="Values")] = (
        "error"
    )
    numeric: Annotated[
        str,
        Option(
            "What numeric without precision becomes: string, decimal(p,s), in which every value must fit, or float64,"
            " which rounds.",
            metavar="FORM",
            group="Values",
        ),
    ] = "string"


@dataclass(frozen=True, slots=True)
class ReadRequest(_Reading):
    """A read of batches, as the user asks for it."""

    table_or_query: _TableOrQuery
    dsn: _Dsn = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class ExportRequest(_Reading):
    """An export, as the user asks for it."""

    table_or_query: _TableOrQuery
    dest: Annotated[
        str | os.PathLike[str] | File,
        Option(
            "A path; its ending tells the format (.parquet; .arrow, .feather; .arrows; .csv; of the last two also"
            " .gz and .zst); or `bulkio.csv(path)`.",
            is_flag=False,
        ),
    ]
    dsn: _Dsn = field(default=None, repr=False)
    _: KW_ONLY
    progress: Annotated[
        Callable[[Progress], None] | None, Option("Called after each batch that was written.", is_flag=False)
    ] = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class QueryRequest(_Connecting):
    """A query for one row."""

    query: Annotated[str, Option("One SELECT, which changes nothing.", is_flag=False)]
    dsn: _Dsn = field(default=None, repr=False)
    _: KW_ONLY
    params: _Params = ()


@dataclass(frozen=True, slots=True)
class ExecuteRequest(_Connecting):
    """Statements that run together."""

    sql: Annotated[
        Sequence[str],
        Option("A text of one statement or of several, or a list of such texts.", is_flag=False, is_text=True),
    ]
    dsn: _Dsn = field(default=None, repr=False)
    _: KW_ONLY
    params: _Params = ()
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
    ledger_schema: _LedgerSchema = LEDGER_SCHEMA


@dataclass(frozen=True, slots=True)
class ConnectionRequest:
    """A question to a connection: whether it can be made, and what it leads to."""

    dsn: _Dsn = field(default=None, repr=False)
    _: KW_ONLY
    driver: _Driver = "auto"
    password: _Password = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        _check(self)


_Source = Annotated[
    object,
    Option("What `load` takes: files, an Arrow object, dicts, batches, an async iterable of batches.", is_flag=False),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scanning:
    """The options of whatever reads a source without a database."""

    columns: _Columns = None
    batch_rows: _BatchRows = 16384
    allow_lossy: Annotated[bool, Option("Allow timestamps of files to lose their nanoseconds (Parquet's INT96).")] = (
        False
    )

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True, slots=True)
class ScanRequest(_Scanning):
    """A read of a source that is not a database."""

    source: _Source = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class WriteRequest(_Scanning):
    """A file to be written from a source."""

    source: _Source = field(repr=False, compare=False)
    dest: Annotated[
        str | os.PathLike[str] | File,
        Option("A path; its ending tells the format (.parquet; .arrow, .feather; .arrows).", is_flag=False),
    ]
    _: KW_ONLY
    progress: Annotated[
        Callable[[Progress], None] | None, Option("Called after each batch that was written.", is_flag=False)
    ] = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolRequest:
    """Pools of sessions."""

    max_sessions: Annotated[
        int, Option("Sessions that are kept for each connection; more are opened where all are in use.", least=1)
    ] = 4

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True, slots=True)
class LedgerRequest(_Connecting):
    """A question to the ledger of loads."""

    dsn: _Dsn = field(default=None, repr=False)
    _: KW_ONLY
    ledger_schema: _LedgerSchema = LEDGER_SCHEMA


@dataclass(frozen=True, slots=True)
class RecordRequest(_Connecting):
    """A request about one load of the ledger."""

    load_id: _LoadId
    dsn: _Dsn = field(default=None, repr=False)
    _: KW_ONLY
    ledger_schema: _LedgerSchema = LEDGER_SCHEMA


@dataclass(frozen=True, slots=True)
class ForgetRequest(_Connecting):
    """A request to take a load out of the ledger."""

    load_id: _LoadId
    dsn: _Dsn = field(default=None, repr=False)
    _: KW_ONLY
    rows_removed: Annotated[
        bool,
        Option("The rows that it has appended were deleted: nothing is stored twice when its files are loaded again."),
    ] = False
    ledger_schema: _LedgerSchema = LEDGER_SCHEMA


@dataclass(frozen=True, slots=True)
class ResumeRequest(_Connecting):
    """A request to go on with a load that the ledger has as unfinished."""

    load_id: _LoadId
    dsn: _Dsn = field(default=None, repr=False)
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
    ledger_schema: _LedgerSchema = LEDGER_SCHEMA
    progress: Annotated[
        Callable[[Progress], None] | None, Option("Called after each block that was sent.", is_flag=False)
    ] = field(default=None, repr=False, compare=False)

    @property
    def record(self) -> RecordRequest:
        """The request for what is recorded of it."""
        shared = {each.name: getattr(self, each.name) for each in fields(_Connecting)}
        return RecordRequest(self.load_id, self.dsn, ledger_schema=self.ledger_schema, **shared)


@dataclass(frozen=True, slots=True)
class GcRequest(_Connecting):
    """A request to forget what was done long ago."""

    dsn: _Dsn = field(default=None, repr=False)
    _: KW_ONLY
    older_than: Annotated[str, Option("Days since the end of what is to be forgotten.", metavar="DAYS", check=days)]
    ledger_schema: _LedgerSchema = LEDGER_SCHEMA


@dataclass(frozen=True, slots=True)
class RunsRequest(_Connecting):
    """A question for the runs of pipelines."""

    dsn: _Dsn = field(default=None, repr=False)
    _: KW_ONLY
    pipeline: Annotated[str | None, Option("The pipeline's name.", is_flag=False, default="all pipelines")] = None
    limit: Annotated[int, Option("The latest so many runs.", metavar="N", least=1)] = 50
    ledger_schema: _LedgerSchema = LEDGER_SCHEMA


@dataclass(frozen=True, slots=True)
class RunRecordRequest(_Connecting):
    """A request about one run of a pipeline."""

    run: Annotated[str, Option("The run: pipeline/run, or the run's id alone where only one has it.", is_flag=False)]
    dsn: _Dsn = field(default=None, repr=False)
    _: KW_ONLY
    ledger_schema: _LedgerSchema = LEDGER_SCHEMA


@dataclass(frozen=True, slots=True, kw_only=True)
class DdlRequest:
    """A request for the statements that make the ledger."""

    ledger_schema: _LedgerSchema = LEDGER_SCHEMA
    role: Annotated[
        str | None,
        Option(
            "Role that is to load with an id, as the server has its name.",
            metavar="NAME",
            default="its grants are comments",
        ),
    ] = None

    def __post_init__(self) -> None:
        _check(self)
