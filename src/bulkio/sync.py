"""The sync façade: the functions of `bulkio.aio`, for code without an event loop.

Each call runs its own event loop in its own thread, so that it also works inside a running loop (Jupyter) and after a
fork. An exception in the calling thread (Ctrl-C, a signal handler) cancels the work, waits for its end, and goes on.
Where it came too late, its `__cause__` tells how the work had ended: `Finished`, or an error.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, ParamSpec, TypeVar, cast

import pyarrow as pa
from anyio.from_thread import start_blocking_portal

from bulkio import aio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from contextlib import AbstractAsyncContextManager

    from bulkio.exporter import BatchStream

__all__ = ["export", "load", "plan_export", "plan_load", "read"]

P = ParamSpec("P")
T = TypeVar("T")


class Finished(Exception):  # noqa: N818 (no error: the cause of an interruption)
    """The work was done before an interruption could stop it; `result` is what the call would have returned."""

    def __init__(self, result: object) -> None:
        super().__init__("the work was done already")
        self.result = result


def _blocking(function: Callable[P, Awaitable[T]]) -> Callable[P, T]:
    """Give a function that runs a coroutine function to its end."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        results: list[T] = []
        errors: list[Exception] = []

        async def work() -> T:
            try:
                results.append(await function(*args, **kwargs))
            except Exception as error:
                errors.append(error)
                raise
            return results[0]

        try:
            with start_blocking_portal("asyncio") as portal:
                return portal.call(work)
        except BaseException as raised:
            if results:
                raise raised from Finished(results[0])
            if errors and errors[0] is not raised:
                raise raised from errors[0]
            raise

    return run


load = _blocking(aio.load)
export = _blocking(aio.export)
plan_load = _blocking(aio.plan_load)
plan_export = _blocking(aio.plan_export)


def _batches(
    opening: AbstractAsyncContextManager[BatchStream],
) -> Iterator[pa.Schema | pa.RecordBatch]:
    """Give the schema, then the batches. Closing this iterator, as its last reference goes, ends the export."""
    with start_blocking_portal("asyncio") as portal, portal.wrap_async_context_manager(opening) as stream:
        yield stream.schema
        yield from stream


def _streaming(function: Callable[P, AbstractAsyncContextManager[BatchStream]]) -> Callable[P, pa.RecordBatchReader]:
    """Give a function that opens the stream and hands it out as a reader."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> pa.RecordBatchReader:
        batches = _batches(function(*args, **kwargs))
        schema = cast("pa.Schema", next(batches))
        return pa.RecordBatchReader.from_batches(schema, batches)

    run.__doc__ = """Stream a table or a query as a `pyarrow.RecordBatchReader`; takes what `export` takes, but no file.

    Planning happens here, so its errors are raised here; errors of the stream are raised while reading. A reader that
    is dropped before its end cancels the COPY on the server and closes the connection. Memory is bounded.
    """
    return run


read = _streaming(aio.read)
