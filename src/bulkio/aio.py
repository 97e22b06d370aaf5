"""bulkio for asyncio: the public API at its core. `bulkio` itself offers the same functions without await.

report = await bulkio.aio.load("trips.parquet", "public.trips", dsn)

async with bulkio.aio.read("select * from trips", dsn) as reader:
async for batch in reader:
...

report = await bulkio.aio.export("trips", "trips.parquet", dsn)

What each function takes is defined in `bulkio.options`: one request for `load` and `plan_load`, one for `export` and
`plan_export`, and one, with the same options, for `read`.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager  # noqa: TC003 - signatures show it

from bulkio.drivers.named import named_dsn
from bulkio.files import file_dest, named_file
from bulkio.options import (
    ConnectionRequest,
    DdlRequest,
    DoctorRequest,
    ExecuteRequest,
    ExportRequest,
    ForgetRequest,
    GcRequest,
    LedgerRequest,
    LoadRequest,
    PoolRequest,
    QueryRequest,
    ReadRequest,
    RecordRequest,
    ResumeRequest,
    RunRecordRequest,
    RunsRequest,
    ScanRequest,
    WriteRequest,
    taking,
)
from bulkio.plan import ExportPlan, LoadPlan
from bulkio.protocols import Progress
from bulkio.transfer import ledger, query
from bulkio.transfer.connection import ConnectionReport
from bulkio.transfer.connection import check_connection as _check_connection
from bulkio.transfer.doctor import DoctorReport
from bulkio.transfer.doctor import doctor as _doctor
from bulkio.transfer.execute import execute as _execute
from bulkio.transfer.export import BatchStream, export_plan, open_batches
from bulkio.transfer.export import export as _export
from bulkio.transfer.export_csv import export_csv
from bulkio.transfer.forget import forget_load as _forget_load
from bulkio.transfer.journal import RunRecord, StepRecord
from bulkio.transfer.journal import gc_runs as _gc_runs
from bulkio.transfer.journal import list_runs as _list_runs
from bulkio.transfer.journal import show_run as _show_run
from bulkio.transfer.load import load as _load
from bulkio.transfer.load import load_plan
from bulkio.transfer.pooled import pooled as _pooled
from bulkio.transfer.records import LoadRecord
from bulkio.transfer.report import ExecuteReport, ExportReport, LoadReport, WriteReport
from bulkio.transfer.resume import resume_load as _resume_load
from bulkio.transfer.scan import ScanStream, open_scan
from bulkio.transfer.scan import write as _write

__all__ = [
    "BatchStream",
    "ConnectionReport",
    "DoctorReport",
    "ExecuteReport",
    "ExportPlan",
    "ExportReport",
    "LoadPlan",
    "LoadRecord",
    "LoadReport",
    "Progress",
    "RunRecord",
    "ScanStream",
    "StepRecord",
    "WriteReport",
    "check",
    "check_connection",
    "doctor",
    "execute",
    "export",
    "fetch_row",
    "forget_load",
    "gc_loads",
    "gc_runs",
    "ledger_ddl",
    "list_loads",
    "list_runs",
    "load",
    "named_dsn",
    "named_file",
    "plan_export",
    "plan_load",
    "pooled",
    "read",
    "resume_load",
    "scan",
    "show_load",
    "show_run",
    "write",
]


@taking(LoadRequest)
async def load(request: LoadRequest) -> LoadReport:
    """Load a source into a table: all of it, or nothing; or with commit="chunk", chunk by chunk.

    >>> bulkio.load("trips.parquet", "public.trips", "postgresql://localhost/db").rows  # doctest: +SKIP
    1000000

    Raises:
        ConfigError, FileError, SchemaError, EncodeError, DriverError, ConnectError: the table is unchanged.
        TooManyRejects: more records are rejected than max_rejects allows; the table is unchanged.
        OutcomeUnknown: the connection was lost during COMMIT and the server cannot say what became of it; or the load
            was cancelled during COMMIT and the server did not answer within 30 s.
        LoadUnfinished: a load that commits in parts was ended; under its id the next run goes on where it was.
        CancelledError: the load was cancelled and the table is unchanged. A cancellation, timeout or `wait_for` that
            comes after COMMIT was sent waits for its outcome; if the rows are stored, it came too late, and the report
            is returned. (Python 3.11's `wait_for` discards a report if its own caller is cancelled meanwhile.)
    """
    return await _load(request)


@taking(LoadRequest)
async def plan_load(request: LoadRequest) -> LoadPlan:
    """Plan a load without doing it; takes what `load` takes, and raises what it raises before the first byte."""
    return await load_plan(request)


@taking(ExportRequest)
async def export(request: ExportRequest) -> ExportReport:
    """Export a table or a query into a file, from one snapshot. The file appears whole, or not at all.

    Raises:
        ConfigError, FileError, SchemaError, DecodeError, DriverError, ConnectError: no file is left behind, and an
            existing one is unchanged.
    """
    from_batches = file_dest(request.dest).from_batches
    return await (_export(request) if from_batches else export_csv(request))


@taking(ExportRequest)
async def plan_export(request: ExportRequest) -> ExportPlan:
    """Plan an export without doing it; takes what `export` takes, and raises what it raises before the first row."""
    return await export_plan(request)


@taking(ReadRequest)
def read(request: ReadRequest) -> AbstractAsyncContextManager[BatchStream]:
    """Stream a table or a query as Arrow record batches.

    The reader has `schema` and is an async iterator of `pyarrow.RecordBatch`. Leaving the block early cancels the COPY
    on the server and closes the connection. Memory is bounded, whatever the size of the result.
    """
    return open_batches(request)


@taking(ExecuteRequest)
async def execute(request: ExecuteRequest) -> ExecuteReport:
    """Run statements in one transaction, all of them or none; with `once`, once for all time.

    They run under the role's own search_path, and what one of them sets holds for the next. As in all of bulkio's
    transactions the time zone is UTC, dates are ISO, and the level is READ COMMITTED. What begins or ends a
    transaction, and COPY between server and client, is refused; VACUUM and whatever else cannot run inside of a
    transaction is refused by the server.

    >>> bulkio.execute("DELETE FROM trips WHERE day = $1", dsn, params=["2026-11-26"]).rows  # doctest: +SKIP
    1000

    Raises:
        ConfigError, DriverError, ConnectError, LedgerError: nothing was changed; the message names the statement.
        LoadDiffers: under this id, other statements were done; nothing was changed.
        OutcomeUnknown: the connection was lost during COMMIT and nobody can say what became of it; with `once` the
            same call is right then, whatever it was.
    """
    return await _execute(request)


@taking(QueryRequest)
async def fetch_row(request: QueryRequest) -> tuple[object, ...] | None:
    """Return the first row of a query, None where it has none; the transaction may only read.

    The values are those that Arrow makes of what `read` gives: a number, a text, a datetime in UTC, a list; numeric
    without a precision is a text.

    >>> bulkio.fetch_row("SELECT max(day), count(*) FROM trips", dsn)  # doctest: +SKIP
    (datetime.date(2026, 11, 26), 1000)

    Raises:
        ConfigError, DriverError, DecodeError, ConnectError: it is not one query, it writes, or it fails.
    """
    return await query.fetch_row(request)


@taking(QueryRequest)
async def check(request: QueryRequest) -> None:
    """Ask a query whose one row must have true in its first column; the transaction may only read.

    >>> bulkio.check("SELECT count(*) > 0, count(*) FROM trips", dsn)  # doctest: +SKIP

    Raises:
        CheckError: it is not true; the message shows the row.
        ConfigError, DriverError, ConnectError: it is not one query, it writes, or it fails.
    """
    await query.check(request)


@taking(ConnectionRequest)
async def check_connection(request: ConnectionRequest) -> ConnectionReport:
    """Connect, ask the server what it is, and measure how long that takes.

    >>> bulkio.check_connection("@warehouse").server_version  # doctest: +SKIP
    '18.3'

    Raises:
        ConfigError, ConnectError: there is no connection.
    """
    return await _check_connection(request)


@taking(DoctorRequest)
async def doctor(request: DoctorRequest) -> DoctorReport:
    """Look for what is wrong with a server, or would be: each finding is ok, warn or fail, with what to do about it.

    It asks about the connection, the role's privileges, settings, what was left behind, and one table; and changes
    nothing. What the role may not see is a finding.

    >>> bulkio.doctor("trips").worst  # doctest: +SKIP
    'warn'

    Raises:
        ConfigError, ConnectError: there is no connection, or the table's name is not one.
    """
    return await _doctor(request)


@taking(ScanRequest)
def scan(request: ScanRequest) -> AbstractAsyncContextManager[ScanStream]:
    """Stream what `load` takes as Arrow record batches, without any database.

    The stream has `schema` and is an async iterator of `pyarrow.RecordBatch`. A CSV's columns are text. Memory is
    bounded.
    """
    return open_scan(request)


@taking(WriteRequest)
async def write(request: WriteRequest) -> WriteReport:
    """Write what `load` takes into a Parquet or Arrow file, which appears whole, or not at all.

    Raises:
        ConfigError, FileError, SchemaError: no file is left behind, and an existing one is unchanged.
    """
    return await _write(request)


@taking(PoolRequest)
def pooled(request: PoolRequest) -> AbstractAsyncContextManager[None]:
    """Let the calls in a block use sessions again: those that name the same DSN, driver and password.

    What one call leaves in a session (settings, temporary tables, locks) is gone before the next has it; a session
    that was cancelled is closed. No call waits for another's session. The tasks that the block starts have part in it,
    and at its end all sessions are closed. What a DSN means is found out once.

    >>> async with bulkio.aio.pooled():  # doctest: +SKIP
    ...     for path in paths:
    ...         await bulkio.aio.load(path, "orders", "@warehouse")
    """
    return _pooled(request)


@taking(LedgerRequest)
async def list_loads(request: LedgerRequest) -> tuple[LoadRecord, ...]:
    """Return what the ledger records of the loads that had an id, the latest first."""
    return await ledger.list_loads(request)


@taking(RecordRequest)
async def show_load(request: RecordRequest) -> LoadRecord:
    """Return what the ledger records of a load.

    Raises:
        LedgerError: it has no load of this id.
    """
    return await ledger.show_load(request)


@taking(ResumeRequest)
async def resume_load(request: ResumeRequest) -> LoadReport:
    """Go on with a load that was ended before it was done, from its recorded options and its files' absolute paths.

    One that is done is only reported again.

    Raises:
        LedgerError: there is none of this id, its files have changed, or the ledger cannot tell what its source was.
        LoadUnfinished: it is still not done.
        And whatever `load` raises.
    """
    return await _resume_load(request)


@taking(ForgetRequest)
async def forget_load(request: ForgetRequest) -> LoadRecord:
    """Take a load out of the ledger, so that its id is free again; return what was recorded. Its rows stay.

    Of one that is unfinished, the table goes that holds its rows until the end.

    Raises:
        LedgerError: there is no load of this id, or it has appended rows, which a retry would append again; unless they
            are said to be removed.
    """
    return await _forget_load(request)


@taking(GcRequest)
async def gc_loads(request: GcRequest) -> tuple[LoadRecord, ...]:
    """Forget the loads that ended long ago, appends too; return what was recorded. Their rows stay.

    A retry that comes later than that loads again. SQL that ran once that long ago is forgotten, too.
    """
    return await ledger.gc_loads(request)


@taking(RunsRequest)
async def list_runs(request: RunsRequest) -> tuple[RunRecord, ...]:
    """Return the latest runs of pipelines, the latest first, without their steps."""
    return await _list_runs(request)


@taking(RunRecordRequest)
async def show_run(request: RunRecordRequest) -> RunRecord:
    """Return what the journal records of a pipeline's run, with its steps.

    Raises:
        LedgerError: there is no such run, or several pipelines have one of this id.
    """
    return await _show_run(request)


@taking(GcRequest)
async def gc_runs(request: GcRequest) -> tuple[RunRecord, ...]:
    """Forget the runs of pipelines that ended long ago, with their steps; return them. How far exports are stays.

    A run of the past that is begun again later than that knows of no step that is done: the loads' ids do.
    """
    return await _gc_runs(request)


@taking(DdlRequest)
def ledger_ddl(request: DdlRequest) -> str:
    """Return the SQL that makes the ledger, and the smallest grants for a role that loads with an id.

    A role that may create a schema needs none of it: its first load with an id makes the ledger.

    >>> print(bulkio.ledger_ddl(role="loader").splitlines()[0])
    CREATE SCHEMA IF NOT EXISTS "bulkio_ledger";
    """
    return ledger.ledger_ddl(request)
