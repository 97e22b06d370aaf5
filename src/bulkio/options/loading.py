"""The request to load. A new option is one field here.

The API takes it, help() shows it, the command line has it and docs/cli.md lists it; what is left to write is its use
and its test.
"""

# Without `from __future__ import annotations`: the annotations are read at run time.

from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Annotated

from bulkio.choices import (
    LEDGER_SCHEMA,
    MAX_DELETE,
    MODE_ADVICE,
    Commit,
    Duplicates,
    IfEmpty,
    LoadInfinity,
    LoadMethod,
    Mode,
    NewColumns,
    NulPolicy,
    byte_count,
    check_load_id,
    check_names,
    check_share,
    check_workers,
    milliseconds,
)
from bulkio.errors import ConfigError
from bulkio.options.joining import refuse_beside_connection
from bulkio.options.option import Option
from bulkio.options.params import check_params
from bulkio.options.shared import Dsn, LedgerSchema, Moving
from bulkio.options.templates import check_templates
from bulkio.protocols import Progress
from bulkio.show import show_option

__all__ = ["LoadRequest"]


@dataclass(frozen=True, slots=True)
class LoadRequest(Moving):
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
    dsn: Dsn = field(default=None, repr=False)
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
        int | str | None,
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
    ledger_schema: LedgerSchema = LEDGER_SCHEMA
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
    rejects: Annotated[
        str | None,
        Option(
            "A file for the records that cannot be stored: they are left out, up to max_rejects, and loading that file"
            " is the second try. It has the source's format and header; the reason for each stands beside it, in"
            " FILE.errors.jsonl.",
            metavar="FILE",
            default="the first such record ends the load",
            is_recorded=False,
            group="Rejects",
        ),
    ] = None
    max_rejects: Annotated[
        int | str,
        Option(
            "The most records that may be rejected: a number, or a percentage of all, which is looked at as the load"
            " ends, or with commit chunk as each chunk does.",
            metavar="N|P%",
            check=check_share,
            is_recorded=False,
            group="Rejects",
        ),
    ] = 0
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
    connection: Annotated[
        object,
        Option(
            "A connection of yours in a READ COMMITTED transaction, of which the load becomes a part: a"
            " psycopg.Connection, in `bulkio.aio` also an asyncpg.Connection or a psycopg.AsyncConnection. Rows are"
            " stored as you commit; an error leaves the transaction as it was before the load.",
            default="one that the load opens, and its own transaction",
            is_flag=False,
            is_recorded=False,
        ),
    ] = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        Moving.__post_init__(self)
        if self.connection is not None:
            refuse_beside_connection(self)
        alone = [name for name in ("source_version", "wait", "restart") if getattr(self, name)]
        if self.load_id is None and alone:
            raise ConfigError(f"{show_option(alone[0])} goes with {show_option('load_id')}, which is not given")
        if self.rejects is None and str(self.max_rejects) != "0":
            raise ConfigError(
                f"{show_option('max_rejects')} goes with {show_option('rejects')}, which says where rejected records go"
            )
        if self.rejects is not None and self.delete_missing:
            raise ConfigError(
                f"{show_option('rejects')} and {show_option('delete_missing', value=True)} cannot be had together: the"
                " key of a rejected record would count as missing, and its row be deleted"
            )
        if self.rejects is not None and self.defer_indexes:
            raise ConfigError(
                f"{show_option('rejects')} and {show_option('defer_indexes', value=True)} cannot be had together: an"
                " index that is built after the rows does not tell which of them it refuses"
            )
