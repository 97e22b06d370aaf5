"""The source of a load, a scan or a write: opened where it may block nobody, closed at the end of a block."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import anyio.to_thread

from bulkio.files import is_async, open_async_source, open_source
from bulkio.flow import shelter

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from bulkio.options import LoadRequest, ScanRequest, WriteRequest
    from bulkio.protocols import Source

__all__ = ["open_in_thread", "opened_source"]


def opened_source(request: LoadRequest | ScanRequest | WriteRequest) -> AbstractAsyncContextManager[Source]:
    """Open what a request names as its source, reading its metadata only; close it at the end of the block."""
    if is_async(request.source):
        columns = None if request.columns is None else tuple(request.columns)
        return open_async_source(request.source, batch_rows=request.batch_rows, columns=columns)
    return _InThread(partial(open_in_thread, request))


def open_in_thread(request: LoadRequest | ScanRequest | WriteRequest) -> Source:
    """Open a source that threads read, blocking this one. The caller closes it."""
    return open_source(
        request.source,
        batch_rows=request.batch_rows,
        columns=request.columns,
        allow_lossy=request.allow_lossy,
        keeps_rejects=getattr(request, "rejects", None) is not None,
    )


class _InThread:
    """A source that a worker thread opens."""

    def __init__(self, open_: Callable[[], Source]) -> None:
        self._open = open_
        self._source: Source | None = None

    async def __aenter__(self) -> Source:
        try:
            return await shelter.finish(anyio.to_thread.run_sync(self._open_source))
        except BaseException:
            self._close()
            raise

    async def __aexit__(self, *_: object) -> None:
        self._close()

    def _open_source(self) -> Source:
        self._source = self._open()
        return self._source

    def _close(self) -> None:
        if self._source is not None:
            self._source.close()
