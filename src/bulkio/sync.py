"""The sync façade: the functions of `bulkio.aio`, for code without an event loop.

Each call runs its own event loop in its own thread (`bulkio.flow.portal`), so that it also works inside a running loop
(Jupyter) and after a fork. An exception in the calling thread (Ctrl-C, a signal handler) cancels the work, waits for
its end, and goes on. Where it came too late, its `__cause__` tells how the work had ended: `Finished`, or an error. A
second one while the first waits goes on at once; its `__cause__` is then an `OutcomeUnknown`.
"""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

import pyarrow as pa

from bulkio import aio
from bulkio.flow.portal import LoopThread, opened
from bulkio.options import ReadRequest, described

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from contextlib import AbstractAsyncContextManager

    from bulkio.transfer.export import BatchStream

__all__ = ["export", "load", "plan_export", "plan_load", "read"]

P = ParamSpec("P")
T = TypeVar("T")


def _blocking(function: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    """Return a function that runs a coroutine function to its end."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        return LoopThread(functools.partial(function, *args, **kwargs)).run()

    return run


load = _blocking(aio.load)
export = _blocking(aio.export)
plan_load = _blocking(aio.plan_load)
plan_export = _blocking(aio.plan_export)


def _batches(
    opening: AbstractAsyncContextManager[BatchStream],
) -> Iterator[BatchStream | pa.RecordBatch]:
    """Yield the stream, then its batches. Closing this iterator, as its last reference goes, ends the export."""
    with opened(opening) as stream:
        yield stream
        yield from stream


def _streaming(function: Callable[P, AbstractAsyncContextManager[BatchStream]]) -> Callable[P, pa.RecordBatchReader]:
    """Return a function that opens the stream and hands it out as a reader."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> pa.RecordBatchReader:
        batches = _batches(function(*args, **kwargs))
        stream = cast("BatchStream", next(batches))
        return stream.hand_out(pa.RecordBatchReader.from_batches(stream.schema, batches))

    run.__doc__ = described(_READ, ReadRequest)
    run.__signature__ = inspect.signature(function).replace(  # type: ignore[attr-defined]
        return_annotation="pa.RecordBatchReader"
    )
    return run


_READ = """Stream a table or a query as a `pyarrow.RecordBatchReader`.

Planning happens here, so its errors are raised here; errors of the stream are raised while reading. A reader that
is dropped (del) before its end cancels the COPY on the server and closes the connection; pyarrow's close() does
not. Memory is bounded.
"""


read = _streaming(aio.read)
