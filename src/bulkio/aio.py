"""bulkio for asyncio: the public API as it really is. `bulkio` itself offers the same functions without await.

report = await bulkio.aio.load("trips.parquet", "public.trips", dsn)

async with bulkio.aio.read("select * from trips", dsn) as reader:
async for batch in reader:
...

report = await bulkio.aio.export("trips", "trips.parquet", dsn)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bulkio.catalog import bad_name, is_table_name
from bulkio.choices import LoadInfinity, check_choice
from bulkio.errors import ConfigError
from bulkio.files import CsvFile, FormattedFile, dest_format
from bulkio.plan import ExportPlan, LoadPlan
from bulkio.sql import begins_query
from bulkio.transfer.export import BatchStream, export_plan, open_batches
from bulkio.transfer.export import export as _export
from bulkio.transfer.export_csv import export_csv
from bulkio.transfer.load import load as _load
from bulkio.transfer.load import load_plan
from bulkio.transfer.options import ExportOptions, LoadOptions, Query
from bulkio.transfer.report import ExportReport, LoadReport, Progress
from bulkio.types import Policies

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from bulkio.choices import (
        BoundsPolicy,
        DriverChoice,
        ExportMethod,
        InfinityPolicy,
        LoadMethod,
        NanPolicy,
        NulPolicy,
    )
    from bulkio.plan import Mode

__all__ = [
    "BatchStream",
    "ExportPlan",
    "ExportReport",
    "LoadPlan",
    "LoadReport",
    "Progress",
    "export",
    "load",
    "plan_export",
    "plan_load",
    "read",
]


async def load(
    source: object,
    table: str,
    dsn: str | None = None,
    *,
    driver: DriverChoice = "auto",
    method: LoadMethod = "binary",
    mode: Mode = "append",
    columns: Sequence[str] | None = None,
    types: Mapping[str, str] | None = None,
    batch_rows: int = 16384,
    infinity: LoadInfinity = "error",
    nul: NulPolicy = "error",
    dimensions: Mapping[str, int] | None = None,
    allow_lossy: bool = False,
    lock_timeout: str | None = None,
    password: str | Callable[[], str] | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> LoadReport:
    """Load a source into a table, in one transaction: all of it, or nothing.

    >>> bulkio.load("trips.parquet", "public.trips", "postgresql://localhost/db").rows  # doctest: +SKIP
    1000000

    Args:
        source: a path, a list of paths, a folder or a glob pattern of Parquet or Arrow IPC files; or any object with
            `__arrow_c_stream__` (pyarrow, polars, DuckDB, pandas, …), which is read once.
        table: `table` or `schema.table`, by SQL's rules: capitals need double quotes.
        dsn: a libpq connection string or URI; "embedded" for the embedded server. None: BULKIO_DSN, DATABASE_URL, the
            PG* variables.
        driver: "auto" takes the faster one that can honour the connection string.
        method: "binary", "csv" or "records". All store the same rows; binary is by far the fastest.
        mode: "append" (creates a missing table), "create" (the table must not exist), "truncate" (replaces its rows).
        columns: load only these of the source's columns.
        types: by column, the type that a new table's column gets, as DDL spells it: "jsonb", "numeric(10,2)", a
            composite's name. In a table that is there already, the column must have it.
        batch_rows: rows read and encoded at once; bounds the memory.
        infinity: with "sentinel", the extreme dates and timestamps of Arrow, and 24:00:00, are loaded as infinity and
            24:00:00: what an export with the same policy made of them.
        nul: NUL characters in text: "error", "strip" them, or "replace" them by U+FFFD.
        dimensions: by column, how many dimensions the array of a list of lists has; otherwise it is loaded as jsonb.
        allow_lossy: let float64 go into float4, floats into numeric, nanoseconds into microseconds, and let the server
            round numeric.
        lock_timeout: how long to wait for each lock: "500ms", "10s", "5min"; "0" waits for ever. None: as the DSN, the
            role or the server says.
        password: replaces the DSN's; a callable is asked at each connection (tokens that expire).
        progress: called after each block that was sent.

    Raises:
        ConfigError, FileError, SchemaError, EncodeError, DriverError, ConnectError: the table is unchanged.
        OutcomeUnknown: the connection was lost during COMMIT and the server cannot say what became of it; or the load
            was cancelled during COMMIT and the server did not answer within 30 s from then on.
        CancelledError: the load was cancelled and the table is unchanged. A cancellation, timeout or `wait_for` that
            comes once COMMIT is sent waits for its outcome; where the rows are stored it came too late, and the report
            is returned. (Python 3.11's `wait_for` throws a report away when its own caller is cancelled meanwhile.)
    """
    options = LoadOptions(
        driver=driver,
        method=method,
        mode=mode,
        columns=_names(columns),
        types=dict(types or {}),
        batch_rows=batch_rows,
        lock_timeout=lock_timeout,
        password=password,
        progress=progress,
        policies=_load_policies(infinity, nul, dimensions, allow_lossy=allow_lossy),
    )
    return await _load(source, table, dsn, options)


async def plan_load(
    source: object,
    table: str,
    dsn: str | None = None,
    *,
    driver: DriverChoice = "auto",
    method: LoadMethod = "binary",
    mode: Mode = "append",
    columns: Sequence[str] | None = None,
    types: Mapping[str, str] | None = None,
    batch_rows: int = 16384,
    infinity: LoadInfinity = "error",
    nul: NulPolicy = "error",
    dimensions: Mapping[str, int] | None = None,
    allow_lossy: bool = False,
    lock_timeout: str | None = None,
    password: str | Callable[[], str] | None = None,
) -> LoadPlan:
    """Plan a load without doing it; takes what `load` takes, and raises what it raises before the first byte."""
    options = LoadOptions(
        driver=driver,
        method=method,
        mode=mode,
        columns=_names(columns),
        types=dict(types or {}),
        batch_rows=batch_rows,
        lock_timeout=lock_timeout,
        password=password,
        policies=_load_policies(infinity, nul, dimensions, allow_lossy=allow_lossy),
    )
    return await load_plan(source, table, dsn, options)


async def export(
    table_or_query: str,
    dest: str | os.PathLike[str] | CsvFile | FormattedFile,
    dsn: str | None = None,
    *,
    params: Sequence[str | None] = (),
    driver: DriverChoice = "auto",
    method: ExportMethod = "binary",
    columns: Sequence[str] | None = None,
    batch_rows: int = 16384,
    infinity: InfinityPolicy = "error",
    nan: NanPolicy = "error",
    bounds: BoundsPolicy = "error",
    dimensions: Mapping[str, int] | None = None,
    numeric: str = "string",
    lock_timeout: str | None = None,
    password: str | Callable[[], str] | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> ExportReport:
    """Export a table or a query into a file, from one snapshot. The file appears whole, or not at all.

    Args:
        table_or_query: `table`, `schema.table`, or one SELECT.
        dest: a path; its ending tells the format (.parquet; .arrow, .feather; .arrows; .csv); or `bulkio.csv(path)`.
        dsn: as for `load`.
        params: values for $1, $2, … of a query, as text; None is NULL.
        driver: as for `load`.
        method: "binary" (COPY TO) or "cursor" (a server-side cursor).
        columns: export only these of the table's columns.
        batch_rows: rows of a batch, at the most.
        infinity: infinite dates and timestamps, and 24:00:00: "error", "null", or "sentinel", the Arrow type's extreme.
        nan: NaN and infinity of numeric(p,s) in a decimal: "error" or "null".
        bounds: arrays whose lower bound is not 1: "error", or "drop" the bound.
        dimensions: by column, how many dimensions its arrays have: they become lists of lists.
        numeric: what numeric without precision becomes: "string", "decimal(p,s)", in which every value must fit, or
            "float64", which rounds.
        lock_timeout: as for `load`.
        password: as for `load`.
        progress: called after each batch that was written.

    Raises:
        ConfigError, FileError, SchemaError, DecodeError, DriverError, ConnectError: no file is left behind, and one
            that was there before is as it was.
    """
    options = ExportOptions(
        driver=driver,
        method=method,
        columns=_names(columns),
        batch_rows=batch_rows,
        lock_timeout=lock_timeout,
        password=password,
        progress=progress,
        policies=_export_policies(infinity, nan, bounds, dimensions, numeric),
    )
    query = _query(table_or_query, params)
    if isinstance(dest, CsvFile) or dest_format(dest) == "csv":
        return await export_csv(query, dest, dsn, options)
    return await _export(query, dest, dsn, options)


async def plan_export(
    table_or_query: str,
    dsn: str | None = None,
    *,
    params: Sequence[str | None] = (),
    driver: DriverChoice = "auto",
    method: ExportMethod = "binary",
    columns: Sequence[str] | None = None,
    infinity: InfinityPolicy = "error",
    nan: NanPolicy = "error",
    bounds: BoundsPolicy = "error",
    dimensions: Mapping[str, int] | None = None,
    numeric: str = "string",
    lock_timeout: str | None = None,
    password: str | Callable[[], str] | None = None,
) -> ExportPlan:
    """Plan an export without doing it; raises what `export` raises before the first row."""
    policies = _export_policies(infinity, nan, bounds, dimensions, numeric)
    options = ExportOptions(
        driver, method, _names(columns), lock_timeout=lock_timeout, password=password, policies=policies
    )
    return await export_plan(_query(table_or_query, params), dsn, options)


def read(
    table_or_query: str,
    dsn: str | None = None,
    *,
    params: Sequence[str | None] = (),
    driver: DriverChoice = "auto",
    method: ExportMethod = "binary",
    columns: Sequence[str] | None = None,
    batch_rows: int = 16384,
    infinity: InfinityPolicy = "error",
    nan: NanPolicy = "error",
    bounds: BoundsPolicy = "error",
    dimensions: Mapping[str, int] | None = None,
    numeric: str = "string",
    lock_timeout: str | None = None,
    password: str | Callable[[], str] | None = None,
) -> AbstractAsyncContextManager[BatchStream]:
    """Stream a table or a query as Arrow record batches; takes what `export` takes.

    The reader has `schema` and is an async iterator of `pyarrow.RecordBatch`. Leaving the block early cancels the COPY
    on the server and closes the connection. Memory is bounded, whatever the size of the result.
    """
    policies = _export_policies(infinity, nan, bounds, dimensions, numeric)
    options = ExportOptions(driver, method, _names(columns), batch_rows, lock_timeout, password, policies=policies)
    return open_batches(_query(table_or_query, params), dsn, options)


def _load_policies(
    infinity: LoadInfinity, nul: NulPolicy, dimensions: Mapping[str, int] | None, *, allow_lossy: bool
) -> Policies:
    check_choice("infinity", infinity, LoadInfinity)
    return Policies(infinity=infinity, nul=nul, dimensions=dict(dimensions or {}), allow_lossy=allow_lossy)


def _export_policies(
    infinity: InfinityPolicy, nan: NanPolicy, bounds: BoundsPolicy, dimensions: Mapping[str, int] | None, numeric: str
) -> Policies:
    return Policies(infinity=infinity, nan=nan, bounds=bounds, dimensions=dict(dimensions or {}), numeric=numeric)


def _names(columns: Sequence[str] | None) -> tuple[str, ...] | None:
    if isinstance(columns, str):  # it would be one column for each letter
        raise ConfigError(f"columns is one text, {columns!r}: give a list of them")
    return None if columns is None else tuple(columns)


def _query(table_or_query: str, params: Sequence[str | None]) -> Query:
    """Tell a table's name from a query."""
    if isinstance(params, str):
        raise ConfigError(f"the parameters are one text, {params!r}: give a list of them")
    if is_table_name(table_or_query) and not params:
        return Query(table=table_or_query)
    if not params and not begins_query(table_or_query):
        raise bad_name(table_or_query, or_query=True)
    return Query(sql=table_or_query, params=tuple(params))
