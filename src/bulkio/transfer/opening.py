"""The source of a load, a scan or a write: opened where it may block nobody, closed at the end of a block."""

from __future__ import annotations

from threading import Event
from typing import TYPE_CHECKING

import anyio.to_thread

from bulkio.files import Keeping, is_async, open_async_source, open_source
from bulkio.flow import shelter

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from bulkio.options import LoadRequest, ScanRequest, WriteRequest
    from bulkio.protocols import Source

__all__ = ["open_in_thread", "opened_source"]


def _never() -> bool:
    return False


def opened_source(request: LoadRequest | ScanRequest | WriteRequest) -> AbstractAsyncContextManager[Source]:
    """Open what a request names as its source, reading its metadata only; close it at the end of the block."""
    if is_async(request.source):
        columns = None if request.columns is None else tuple(request.columns)
        return open_async_source(
            request.source, batch_rows=request.batch_rows, columns=columns, keeping=_keeping(request, _never)
        )
    return _InThread(request)


def open_in_thread(request: LoadRequest | ScanRequest | WriteRequest, stopped: Callable[[], bool] = _never) -> Source:
    """Open a source that threads read, blocking this one; give up where `stopped` says so. The caller closes it."""
    return open_source(
        request.source,
        batch_rows=request.batch_rows,
        columns=request.columns,
        allow_lossy=request.allow_lossy,
        keeping=_keeping(request, stopped),
    )


def _keeping(request: LoadRequest | ScanRequest | WriteRequest, stopped: Callable[[], bool]) -> Keeping | None:
    """Say how a source is kept whose rejected records are read again."""
    return None if getattr(request, "rejects", None) is None else Keeping(stopped)


class _InThread:
    """A source that a worker thread opens."""

    def __init__(self, request: LoadRequest | ScanRequest | WriteRequest) -> None:
        self._request = request
        self._stopped = Event()
        self._source: Source | None = None

    async def __aenter__(self) -> Source:
        try:
            opening = anyio.to_thread.run_sync(self._open_source)
            return await shelter.finish(opening, on_cancel=self._stopped.set)
        except BaseException:
            self._close()
            raise

    async def __aexit__(self, *_: object) -> None:
        self._close()

    def _open_source(self) -> Source:
        self._source = open_in_thread(self._request, self._stopped.is_set)
        return self._source

    def _close(self) -> None:
        if self._source is not None:
            self._source.close()
