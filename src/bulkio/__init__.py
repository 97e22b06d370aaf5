"""Move bulk data in and out of PostgreSQL through COPY, at the server's speed, without ever changing a value.

    import bulkio

    report = bulkio.load("trips.parquet", "public.trips", "postgresql://localhost/db")
    reader = bulkio.read("select * from trips where fare > $1", params=[10])
    report = bulkio.export("public.trips", "trips.parquet")

`bulkio.aio` has the same functions for asyncio; `bulkio.errors` draws the tree of errors.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bulkio.errors import (
        BulkioError,
        CheckError,
        ConfigError,
        ConnectError,
        CountError,
        CsvError,
        DecodeError,
        DriverError,
        EncodeError,
        FileError,
        LedgerError,
        LoadDiffers,
        LoadRunning,
        LoadUnfinished,
        OutcomeUnknown,
        RunFailed,
        RunRunning,
        RunTaken,
        SchemaError,
        StageError,
        StepTimeout,
        TooManyRejects,
    )
    from bulkio.files import csv
    from bulkio.options import options_of
    from bulkio.pipeline import RunReport, StepReport, read_pipeline
    from bulkio.plan import ExportPlan, LoadPlan
    from bulkio.protocols import Progress
    from bulkio.sync import (
        check,
        check_connection,
        doctor,
        execute,
        export,
        fetch_row,
        forget_load,
        gc_loads,
        gc_runs,
        ledger_ddl,
        list_loads,
        list_runs,
        load,
        plan_export,
        plan_load,
        plan_pipeline,
        read,
        resume_load,
        run_pipeline,
        scan,
        show_load,
        show_run,
        write,
    )
    from bulkio.transfer.connection import ConnectionReport
    from bulkio.transfer.doctor import DoctorReport
    from bulkio.transfer.journal import RunRecord, StepRecord
    from bulkio.transfer.records import LoadRecord
    from bulkio.transfer.report import ExecuteReport, ExportReport, LoadReport, WriteReport

__version__ = "0.1.0"

# Imported when they are first used: `bulkio --help` needs neither pyarrow nor a driver.
_HOMES = {
    "BulkioError": "errors",
    "CheckError": "errors",
    "ConfigError": "errors",
    "ConnectError": "errors",
    "ConnectionReport": "transfer.connection",
    "CountError": "errors",
    "CsvError": "errors",
    "DecodeError": "errors",
    "DoctorReport": "transfer.doctor",
    "DriverError": "errors",
    "EncodeError": "errors",
    "ExecuteReport": "transfer.report",
    "ExportPlan": "plan",
    "ExportReport": "transfer.report",
    "FileError": "errors",
    "LedgerError": "errors",
    "LoadDiffers": "errors",
    "LoadPlan": "plan",
    "LoadRecord": "transfer.records",
    "LoadReport": "transfer.report",
    "LoadRunning": "errors",
    "LoadUnfinished": "errors",
    "OutcomeUnknown": "errors",
    "Progress": "protocols",
    "RunFailed": "errors",
    "RunRecord": "transfer.journal",
    "RunReport": "pipeline",
    "RunRunning": "errors",
    "RunTaken": "errors",
    "SchemaError": "errors",
    "StageError": "errors",
    "StepRecord": "transfer.journal",
    "StepReport": "pipeline",
    "StepTimeout": "errors",
    "TooManyRejects": "errors",
    "WriteReport": "transfer.report",
    "check": "sync",
    "check_connection": "sync",
    "csv": "files",
    "doctor": "sync",
    "execute": "sync",
    "export": "sync",
    "fetch_row": "sync",
    "forget_load": "sync",
    "gc_loads": "sync",
    "gc_runs": "sync",
    "ledger_ddl": "sync",
    "list_loads": "sync",
    "list_runs": "sync",
    "load": "sync",
    "options_of": "options",
    "plan_export": "sync",
    "plan_load": "sync",
    "plan_pipeline": "sync",
    "read": "sync",
    "read_pipeline": "pipeline",
    "resume_load": "sync",
    "run_pipeline": "sync",
    "scan": "sync",
    "show_load": "sync",
    "show_run": "sync",
    "write": "sync",
}

__all__ = [
    "BulkioError",
    "CheckError",
    "ConfigError",
    "ConnectError",
    "ConnectionReport",
    "CountError",
    "CsvError",
    "DecodeError",
    "DoctorReport",
    "DriverError",
    "EncodeError",
    "ExecuteReport",
    "ExportPlan",
    "ExportReport",
    "FileError",
    "LedgerError",
    "LoadDiffers",
    "LoadPlan",
    "LoadRecord",
    "LoadReport",
    "LoadRunning",
    "LoadUnfinished",
    "OutcomeUnknown",
    "Progress",
    "RunFailed",
    "RunRecord",
    "RunReport",
    "RunRunning",
    "RunTaken",
    "SchemaError",
    "StageError",
    "StepRecord",
    "StepReport",
    "StepTimeout",
    "TooManyRejects",
    "WriteReport",
    "check",
    "check_connection",
    "csv",
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
    "options_of",
    "plan_export",
    "plan_load",
    "plan_pipeline",
    "read",
    "read_pipeline",
    "resume_load",
    "run_pipeline",
    "scan",
    "show_load",
    "show_run",
    "write",
]


#: modules that users reach as attributes
_MODULES = ("aio", "errors")


def __getattr__(name: str) -> object:
    if name in _MODULES:
        return import_module(f"bulkio.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'bulkio' has no attribute {name!r}")
    value = getattr(import_module(f"bulkio.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Name what is public, loaded already or not: TAB shows it."""
    return sorted([*__all__, *_MODULES, "__version__"])
