"""Async iterables of batches as sources: what `bulkio.aio.read` returns, a stream of a pipeline, a user's generator.

One task of the running event loop takes the batches, from the first to the last, since generators may hold what belongs
to one task. A thread reads them, as it reads every other source; what waits between the two is bounded in bytes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterable
from contextlib import asynccontextmanager, closing
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, TypeGuard

import anyio.to_thread
import pyarrow as pa

from bulkio import flow
from bulkio.errors import ConfigError
from bulkio.files.batches import flattened, schema_of
from bulkio.files.spool import spooled_batches
from bulkio.files.stream import StreamSource
from bulkio.flow import shelter
from bulkio.forms.sizes import batch_bytes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from bulkio.files.source import FileSource
    from bulkio.files.spool import Keeping

__all__ = ["is_async", "open_async_source"]

#: bytes of batches that wait for the thread
QUEUE_BYTES = 4 << 20

_log = logging.getLogger("bulkio")


def is_async(source: object) -> TypeGuard[AsyncIterable[object]]:
    """Tell whether a source is one that the event loop iterates over."""
    return isinstance(source, AsyncIterable)


@asynccontextmanager
async def open_async_source(
    source: AsyncIterable[object],
    *,
    batch_rows: int,
    columns: tuple[str, ...] | None,
    keeping: Keeping | None = None,
) -> AsyncIterator[StreamSource | FileSource]:
    """Open an async iterable; at the end of the block nothing of it runs any more.

    Its columns are those of its attribute `schema`, else of its first batch. The source's `feed` must run while a
    thread reads it: when that is cancelled, the thread is let go. With `keeping`, all is read here, and kept.

    Raises:
        ConfigError: it yields nothing, or what is not a batch.
        SchemaError: unknown `columns`.
    """
    name = type(source).__name__
    items: flow.Stream[object] = flow.Stream(QUEUE_BYTES)
    taking = asyncio.create_task(flow.feed(source, items, _item_bytes))
    try:
        schema, read = await _begun(source, items, name)
        reader = pa.RecordBatchReader.from_batches(schema, flattened(read, name))
        if keeping is None:
            opened = StreamSource(reader, batch_rows=batch_rows, columns=columns, name=name)
            opened.feed = lambda: _wait(taking, items)
            yield opened
        else:
            stream = StreamSource(reader, batch_rows=batch_rows, name=name)
            keep = partial(spooled_batches, stream, batch_rows=batch_rows, columns=columns, keeping=keeping)
            spooled = await shelter.finish(anyio.to_thread.run_sync(keep), on_cancel=items.stop)
            with closing(spooled):
                yield spooled
    finally:
        items.stop()
        if not taking.done():  # a load that is done waits for nothing any more: a cancellation would come too late
            taking.cancel()
            await shelter.finish(_ended(taking))
        _log_failure(taking, name)


async def _begun(source: object, items: flow.Stream[object], name: str) -> tuple[pa.Schema, Iterable[object]]:
    """Return the schema, and all items."""
    schema = getattr(source, "schema", None)
    if isinstance(schema, pa.Schema):
        return schema, items
    try:
        first = await items.get()
    except flow.EndOfStream:
        message = f"the {name} yields nothing, and only a batch would tell the columns: give it an attribute schema"
        raise ConfigError(message) from None
    return schema_of(first, name, 1), chain([first], items)


def _item_bytes(item: object) -> int:
    return batch_bytes(item) if isinstance(item, pa.RecordBatch | pa.Table) else 0


async def _wait(taking: asyncio.Task[None], items: flow.Stream[object]) -> None:
    """Wait until all was taken; at a cancellation let the reader go, which would wait for more."""
    try:
        await asyncio.wait([taking])
    except BaseException:
        items.stop()
        raise


async def _ended(taking: asyncio.Task[None]) -> None:
    await asyncio.wait([taking])


def _log_failure(taking: asyncio.Task[None], name: str) -> None:
    """Log what has failed as a generator was closed: the batches' own errors have gone to whoever reads them."""
    error = None if taking.cancelled() else taking.exception()
    if error is not None:
        _log.warning("the %s could not be closed: %s", name, error)
