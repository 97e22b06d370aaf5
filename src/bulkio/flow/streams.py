"""A hand-over between worker threads and the event loop, bounded in bytes.

    reader thread --batches--> encoder thread --blocks--> event loop --> server

`Stream` is one such queue; either end may be a thread or a task. `pump` runs a blocking iterator in a worker
thread and feeds a stream with it; `feed` takes an async one. Knows nothing of batches, files or sockets.

The rules, each of which has its test:

- An item waits until it fits. In an empty queue every item fits: one above the budget passes alone.
- The producer ends with `close` (the consumer still gets what is queued) or `fail` (it gets the error at once).
- The consumer ends with `stop`: whoever waits at either end gets `Closed` at once, and so does every later call.
  So an early end never looks like the end of the data. `with stream:` on the consumer's side calls it.
- Items arrive once and in order. A cancelled `get` takes no item, a cancelled `put` leaves none behind.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Generic, TypeVar

import anyio
import anyio.lowlevel
import anyio.to_thread

from bulkio.flow import shelter

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
    from types import TracebackType

__all__ = ["SCARCE_PROCESSORS", "Closed", "EndOfStream", "Stream", "feed", "processors", "pump"]

T = TypeVar("T")

#: Number of processors up to which one more thread of the client takes turns with a server on the same machine: on 2,
#: loading lineitem was 12% slower when reading and encoding each had a thread, and the same holds for decoding.
SCARCE_PROCESSORS = 2


class Closed(Exception):  # noqa: N818 (a signal between the two ends, as anyio's ClosedResourceError)
    """The other end has left, or the stream was closed before this call."""


class EndOfStream(Exception):  # noqa: N818 (a signal)
    """The producer has closed the stream and every item was taken."""


class Stream(Generic[T]):
    """A first-in first-out queue of items whose sizes add up to at most `max_bytes`.

    Any number of threads and of asyncio tasks may use one stream, in any mix.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        #: bytes queued now
        self.queued_bytes = 0
        #: the most that was ever queued
        self.peak_bytes = 0
        self._items: deque[tuple[T, int]] = deque()
        self._ended = False
        self._stopped = False
        self._error: BaseException | None = None
        self._changed = threading.Condition(threading.Lock())
        self._sleepers: set[_Sleeper] = set()

    # -- the producer's side

    async def put(self, item: T, size_bytes: int) -> None:
        """Queue one item, waiting in the event loop until it fits. Raises `Closed`."""
        await anyio.lowlevel.checkpoint()
        while (sleeper := self._put_or_sleep(item, size_bytes)) is not None:
            await self._sleep(sleeper)

    def put_blocking(self, item: T, size_bytes: int) -> None:
        """Queue one item, blocking this thread until it fits. Raises `Closed`."""
        with self._changed:
            while not self._try_put(item, size_bytes):
                self._changed.wait()

    def close(self) -> None:
        """Tell the consumer that nothing more comes. What is queued can still be taken."""
        with self._changed:
            self._ended = True
            self._wake()

    def fail(self, error: BaseException) -> None:
        """Raise `error` at the consumer, now, drop what is queued. Ignored after `close`, `fail`, `stop`."""
        with self._changed:
            if not (self._ended or self._stopped):
                self._ended = True
                self._error = error
                self._drop()
                self._wake()

    def abandon(self) -> None:
        """Stop the stream, unless its producer has ended it. For a producer that is cancelled."""
        with self._changed:
            if not self._ended:
                self._halt()

    # -- the consumer's side

    async def get(self) -> T:
        """Take the next item, waiting in the event loop.

        Raises `EndOfStream`, `Closed`, or the producer's error.
        """
        await anyio.lowlevel.checkpoint()
        while True:
            with self._changed:
                if self._ready():
                    return self._take()
                sleeper = self._new_sleeper()
            await self._sleep(sleeper)

    def get_blocking(self) -> T:
        """Take the next item, blocking this thread. Raises as `get` does."""
        with self._changed:
            while not self._ready():
                self._changed.wait()
            return self._take()

    def stop(self) -> None:
        """Leave: drop what is queued, and wake both ends with `Closed`. Harmless when all was taken."""
        with self._changed:
            if not (self._ended and not self._items and self._error is None):
                self._halt()

    async def __aiter__(self) -> AsyncIterator[T]:
        """Yield the items until the end. Use it in ``with stream:``: leaving early stops the producer."""
        with suppress(EndOfStream):
            while True:
                yield await self.get()

    def __iter__(self) -> Iterator[T]:
        """Yield the items until the end, blocking this thread. Use it inside ``with stream:``."""
        with suppress(EndOfStream):
            while True:
                yield self.get_blocking()

    def __enter__(self) -> Stream[T]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # -- under the lock

    def _try_put(self, item: T, size_bytes: int) -> bool:
        if self._ended or self._stopped:
            raise Closed("the stream is closed")
        if self._items and self.queued_bytes + size_bytes > self.max_bytes:
            return False
        self._items.append((item, size_bytes))
        self.queued_bytes += size_bytes
        self.peak_bytes = max(self.peak_bytes, self.queued_bytes)
        self._wake()
        return True

    def _ready(self) -> bool:
        return bool(self._items) or self._ended or self._stopped

    def _take(self) -> T:
        if self._stopped:
            raise Closed("the stream was stopped")
        if self._error is not None:
            raise self._error
        if not self._items:
            raise EndOfStream
        item, size_bytes = self._items.popleft()
        self.queued_bytes -= size_bytes
        self._wake()
        return item

    def _halt(self) -> None:
        self._stopped = True
        self._drop()
        self._wake()

    def _drop(self) -> None:
        self._items.clear()
        self.queued_bytes = 0

    def _wake(self) -> None:
        self._changed.notify_all()
        for sleeper in self._sleepers:
            sleeper.wake()
        self._sleepers.clear()

    # -- waiting in the event loop

    def _put_or_sleep(self, item: T, size_bytes: int) -> _Sleeper | None:
        with self._changed:
            return None if self._try_put(item, size_bytes) else self._new_sleeper()

    def _new_sleeper(self) -> _Sleeper:
        # Registered under the lock under which the state was found wanting: no wake-up can be lost.
        sleeper = _Sleeper()
        self._sleepers.add(sleeper)
        return sleeper

    async def _sleep(self, sleeper: _Sleeper) -> None:
        try:
            await sleeper.event.wait()
        finally:
            with self._changed:
                self._sleepers.discard(sleeper)


class _Sleeper:
    """One task that waits, and how another thread wakes it."""

    __slots__ = ("_loop", "_thread", "event")

    def __init__(self) -> None:
        self.event = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()

    def wake(self) -> None:
        if threading.get_ident() == self._thread:
            self.event.set()
        else:
            with suppress(RuntimeError):  # the loop was closed: nobody waits any more
                self._loop.call_soon_threadsafe(self.event.set)


def processors() -> int:
    """Count the processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


async def pump(make: Callable[[], Iterable[T]], stream: Stream[T], size_of: Callable[[T], int]) -> None:
    """Run the iterator that `make` returns in a worker thread, and feed its items to `stream`.

    `make` runs in that thread too, and the iterator is closed there. Its error goes to the stream's consumer
    and is not raised here. Returns once the thread has ended: after the last item or, if the consumer has stopped
    or this task was cancelled, as soon as the iterator yields its next item or raises. An iterator that blocks on
    another stream is woken if that stream's own `pump` is cancelled as well.
    """
    # A limiter of its own: threads that wait for each other must not share a bounded pool.
    limiter = anyio.CapacityLimiter(1)
    try:
        feeding = anyio.to_thread.run_sync(_feed, make, stream, size_of, limiter=limiter)
        await shelter.finish(feeding, on_cancel=stream.abandon)
    finally:
        stream.abandon()


def _feed(make: Callable[[], Iterable[T]], stream: Stream[T], size_of: Callable[[T], int]) -> None:
    try:
        items = make()
        try:
            for item in items:
                stream.put_blocking(item, size_of(item))
        finally:
            close = getattr(items, "close", None)
            if close is not None:
                close()
    except Closed:
        stream.stop()
    except BaseException as error:
        stream.fail(error)
    else:
        stream.close()


async def feed(items: AsyncIterable[T], stream: Stream[T], size_of: Callable[[T], int]) -> None:
    """Take the items of an async iterable in this task, and feed them to `stream`.

    Its error goes to the stream's consumer and is not raised here. An async generator is closed here, whatever its end.
    """
    iterator = aiter(items)
    try:
        async for item in iterator:
            await stream.put(item, size_of(item))
    except Closed:
        stream.stop()
    except Exception as error:
        stream.fail(error)
    else:
        stream.close()
    finally:
        stream.abandon()
        close = getattr(iterator, "aclose", None)
        if close is not None:
            with anyio.CancelScope(shield=True):
                await close()
