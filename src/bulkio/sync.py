"""The sync façade: the functions of `bulkio.aio`, for code without an event loop.

Each call runs its own event loop in its own thread (`bulkio.flow.portal`), so it also works inside a running loop
(Jupyter) and after a fork. An exception in the calling thread (Ctrl-C, a signal handler) cancels the work, waits for
its end, and then propagates. If it came too late, its `__cause__` tells how the work had ended: `Finished`, or an
error. A second one while the first waits propagates at once; its `__cause__` is then an `OutcomeUnknown`.
"""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

import pyarrow as pa

from bulkio import aio
from bulkio.drivers.joined import refuse_async
from bulkio.flow.portal import LoopThread, opened
from bulkio.options import LoadRequest, ReadRequest, ScanRequest, described, refuse_wrong_call

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from contextlib import AbstractAsyncContextManager

    from bulkio.pipeline import RunReport, StepPlan
    from bulkio.transfer.export import BatchStream
    from bulkio.transfer.scan import ScanStream

    run_pipeline: Callable[..., RunReport]
    plan_pipeline: Callable[..., tuple[StepPlan, ...]]

__all__ = [
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
    "plan_export",
    "plan_load",
    "plan_pipeline",
    "read",
    "resume_load",
    "run_pipeline",
    "scan",
    "show_load",
    "show_run",
    "write",
]

P = ParamSpec("P")
T = TypeVar("T")


def _public(run: Callable[P, T], function: Callable[P, object], doc: str | None = None) -> Callable[P, T]:
    """Let a function look as what it is to its users: `bulkio`'s own, not another of `bulkio.aio`."""
    functools.update_wrapper(run, function)
    run.__module__ = __package__
    run.__doc__ = doc or function.__doc__
    del run.__wrapped__  # type: ignore[attr-defined]  # a coroutine function
    return run


def _blocking(function: Callable[P, Coroutine[Any, Any, T]], doc: str | None = None) -> Callable[P, T]:
    """Return a function that runs a coroutine function to its end."""

    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        refuse_wrong_call(function, args, kwargs)
        refuse_async(kwargs.get("connection"))  # of load and plan_load
        return LoopThread(functools.partial(function, *args, **kwargs)).run()

    return _public(run, function, doc)


def _plain(function: Callable[P, T]) -> Callable[P, T]:
    """Return a function that does what a function without any I/O does."""

    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        return function(*args, **kwargs)

    return _public(run, function)


_LOAD = """Load a source into a table, in one transaction: all of it, or nothing.

>>> bulkio.load("trips.parquet", "public.trips", "postgresql://localhost/db").rows  # doctest: +SKIP
1000000

Raises:
    ConfigError, FileError, SchemaError, EncodeError, DriverError, ConnectError: the table is unchanged.
    TooManyRejects: more records are rejected than max_rejects allows; the table is unchanged.
    OutcomeUnknown: the connection was lost during COMMIT and the server cannot say what became of it.
    KeyboardInterrupt: Ctrl-C. The table is unchanged, unless its `__cause__` is a `Finished`, whose `result` is the
        report of a load that was done already, or an `OutcomeUnknown`.
"""

load = _blocking(aio.load, described(_LOAD, LoadRequest))
check_connection = _blocking(aio.check_connection)
doctor = _blocking(aio.doctor)
export = _blocking(aio.export)
plan_load = _blocking(aio.plan_load)
plan_export = _blocking(aio.plan_export)
execute = _blocking(aio.execute)
fetch_row = _blocking(aio.fetch_row)
check = _blocking(aio.check)
list_loads = _blocking(aio.list_loads)
show_load = _blocking(aio.show_load)
resume_load = _blocking(aio.resume_load)
forget_load = _blocking(aio.forget_load)
gc_loads = _blocking(aio.gc_loads)
gc_runs = _blocking(aio.gc_runs)
list_runs = _blocking(aio.list_runs)
show_run = _blocking(aio.show_run)
write = _blocking(aio.write)

#: functions that are made when they are first used: whoever has no pipelines does not wait for what reads them
_OF_PIPELINES = ("plan_pipeline", "run_pipeline")


def __getattr__(name: str) -> object:
    if name not in _OF_PIPELINES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from bulkio import pipeline

    globals()[name] = function = _blocking(getattr(pipeline, name))
    return function


ledger_ddl = _plain(aio.ledger_ddl)


def _batches(
    opening: AbstractAsyncContextManager[BatchStream | ScanStream],
) -> Iterator[BatchStream | ScanStream | pa.RecordBatch]:
    """Yield the stream, then its batches. Closing this iterator, as its last reference goes, ends the export."""
    with opened(opening) as stream:
        yield stream
        yield from stream


def _streaming(
    function: Callable[P, AbstractAsyncContextManager[BatchStream | ScanStream]], doc: str
) -> Callable[P, pa.RecordBatchReader]:
    """Return a function that opens the stream and hands it out as a reader."""

    def run(*args: P.args, **kwargs: P.kwargs) -> pa.RecordBatchReader:
        batches = _batches(function(*args, **kwargs))
        stream = cast("BatchStream", next(batches))
        return stream.hand_out(pa.RecordBatchReader.from_batches(stream.schema, batches))

    public = _public(run, function, doc)
    public.__signature__ = inspect.signature(function).replace(  # type: ignore[attr-defined]
        return_annotation=pa.RecordBatchReader
    )
    return public


_READ = """Stream a table or a query as a `pyarrow.RecordBatchReader`.

Planning happens here, so its errors are raised here; errors of the stream are raised while reading. A reader that
is dropped (del) before its end cancels the COPY on the server and closes the connection; pyarrow's close() does
not. Memory is bounded.
"""

_SCAN = """Stream what `load` takes as a `pyarrow.RecordBatchReader`, without any database. A CSV's columns are text."""

read = _streaming(aio.read, described(_READ, ReadRequest))
scan = _streaming(aio.scan, described(_SCAN, ScanRequest))
