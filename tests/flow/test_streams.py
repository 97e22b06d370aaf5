"""The hand-over between threads and the event loop: order, bounds, errors and cancellation at every place."""

from __future__ import annotations

import asyncio
import random
import threading
from contextlib import closing
from itertools import pairwise

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from bulkio.flow import Closed, EndOfStream, Stream, feed, pump

#: far above what any test takes; only a deadlock meets it
LIMIT_S = 20


def run(function, *args):
    """Run an async test: it must end in time, and leave no thread at work."""

    async def limited():
        with anyio.fail_after(LIMIT_S):
            return await function(*args)

    return anyio.run(limited)


@pytest.fixture(autouse=True)
def _no_threads_at_work():
    yield
    # anyio's idle workers end with their event loop.
    for thread in threading.enumerate():
        if thread is not threading.main_thread() and "AnyIO" in thread.name:
            thread.join(LIMIT_S)
            assert not thread.is_alive()


def one(_):
    return 1


async def drain(stream, error_at_50=None):
    async for item in stream:
        if item == 50 and error_at_50:
            raise error_at_50


async def until(condition):
    """Wait for a state that another thread brings about."""
    while not condition():
        await anyio.lowlevel.checkpoint()


def test_order_bound_and_end():
    """Items come once, in order, never more bytes than allowed; then the end, every time it is asked for."""

    async def main():
        stream = Stream(100)
        async with anyio.create_task_group() as group:
            group.start_soon(pump, lambda: range(1000), stream, lambda n: n % 50)
            with stream:
                assert [item async for item in stream] == list(range(1000))
        for _ in range(2):
            with pytest.raises(EndOfStream):
                await stream.get()
            with pytest.raises(EndOfStream):
                stream.get_blocking()
        assert stream.queued_bytes == 0
        assert 50 <= stream.peak_bytes <= 100

    run(main)


def test_item_above_the_budget_passes_alone():
    """It waits until nothing else is queued."""

    async def main():
        stream = Stream(10)
        await stream.put("small", 1)
        async with anyio.create_task_group() as group:
            group.start_soon(stream.put, "huge", 1000)
            await anyio.wait_all_tasks_blocked()
            assert stream.queued_bytes == 1
            assert await stream.get() == "small"
            assert await stream.get() == "huge"
        assert stream.peak_bytes == 1000

    run(main)


@pytest.mark.parametrize("seed", range(60))
def test_random_chains(seed):
    """Chains of one to three threads with random sizes, budgets and breaks lose, double and reorder nothing."""
    rng = random.Random(seed)  # noqa: S311
    count = rng.randint(0, 300)
    sizes = [rng.randint(0, 40) for _ in range(count)]
    depth = rng.randint(1, 3)
    limits = [rng.choice((0, 1, 10, 50, 10_000)) for _ in range(depth)]
    breaks = {rng.randrange(300) for _ in range(20)}

    def relay(upstream):
        with upstream:
            yield from upstream

    async def main():
        streams = [Stream(limit) for limit in limits]
        taken = []
        async with anyio.create_task_group() as group:
            group.start_soon(pump, lambda: iter(range(count)), streams[0], lambda n: sizes[n])
            for above, below in pairwise(streams):
                group.start_soon(pump, lambda above=above: relay(above), below, lambda n: sizes[n])
            with streams[-1] as last:
                async for item in last:
                    taken.append(item)
                    if item in breaks:
                        await anyio.lowlevel.checkpoint()
        assert taken == list(range(count))
        for stream, limit in zip(streams, limits, strict=True):
            assert stream.queued_bytes == 0
            assert stream.peak_bytes <= max([limit, *sizes])

    run(main)


@pytest.mark.parametrize("seed", range(20))
def test_many_producers_and_consumers_of_both_kinds(seed):
    """Each item is taken exactly once."""
    rng = random.Random(seed)  # noqa: S311
    numbers = [range(start, start + rng.randint(0, 60)) for start in range(0, 400, 100)]
    taken: list[int] = []

    async def main():
        stream = Stream(rng.randint(1, 20))

        def put_from_thread(items):
            for item in items:
                stream.put_blocking(item, item % 7)

        async def put_from_task(items):
            for item in items:
                await stream.put(item, item % 7)

        async def take_in_task():
            async for item in stream:
                taken.append(item)

        async with anyio.create_task_group() as takers:
            takers.start_soon(take_in_task)
            takers.start_soon(take_in_task)
            takers.start_soon(anyio.to_thread.run_sync, lambda: taken.extend(stream))
            async with anyio.create_task_group() as putters:
                putters.start_soon(put_from_task, numbers[0])
                putters.start_soon(put_from_task, numbers[1])
                putters.start_soon(anyio.to_thread.run_sync, put_from_thread, numbers[2])
                putters.start_soon(anyio.to_thread.run_sync, put_from_thread, numbers[3])
            stream.close()
        assert sorted(taken) == sorted(item for items in numbers for item in items)

    run(main)


@pytest.mark.parametrize("place", ["make", "first", "later", "close", "size"])
def test_error_in_the_iterator_reaches_the_consumer(place):
    """Itself, not wrapped, wherever it was raised."""
    error = LookupError("mine")

    class Items:
        def __init__(self):
            if place == "make":
                raise error
            self.given = 0

        def __iter__(self):
            return self

        def __next__(self):
            self.given += 1
            if place == "first" or (place == "later" and self.given == 5):
                raise error
            if place == "close" and self.given == 3:
                raise StopIteration
            return self.given

        def close(self):
            if place == "close":
                raise error

    def size_of(_):
        if place == "size":
            raise error
        return 1

    async def main():
        stream = Stream(2)
        async with anyio.create_task_group() as group:
            group.start_soon(pump, Items, stream, size_of)
            with stream, pytest.raises(LookupError) as caught:
                await drain(stream)
        assert caught.value is error

    run(main)


@pytest.mark.parametrize("stage", [0, 1, 2])
def test_error_in_any_thread_ends_the_chain(stage):
    """Reader, encoder or sender: everybody ends, and the sender's side sees that error."""
    error = LookupError("mine")

    def endless():
        number = 0
        while True:
            number += 1
            if stage == 0 and number == 50:
                raise error
            yield number

    def relay(upstream):
        with upstream:
            for item in upstream:
                if stage == 1 and item == 50:
                    raise error
                yield item

    async def main():
        first, second = Stream(5), Stream(5)
        async with anyio.create_task_group() as group:
            group.start_soon(pump, endless, first, one)
            group.start_soon(pump, lambda: relay(first), second, one)
            with second, pytest.raises(LookupError) as caught:
                await drain(second, error if stage == 2 else None)
        assert caught.value is error

    run(main)


def test_early_leave_closes_the_iterator_in_its_thread():
    """The consumer stops; the producer's blocked put ends, and its iterator is closed."""
    closed_in = []

    def endless():
        try:
            while True:
                yield 1
        finally:
            closed_in.append(threading.current_thread())

    async def main():
        stream = Stream(3)
        async with anyio.create_task_group() as group:
            group.start_soon(pump, endless, stream, one)
            with stream:
                async for _ in stream:
                    break
        assert len(closed_in) == 1
        assert closed_in[0] is not threading.main_thread()
        with pytest.raises(Closed):
            await stream.get()

    run(main)


@pytest.mark.parametrize("after", [0, 1, 2, 3, 5, 10, 40, 200])
def test_cancellation_ends_all_threads(after):
    """Cancelled after any number of steps, a chain ends, without the consumer's help."""
    ended = []

    def endless():
        try:
            while True:
                yield 1
        finally:
            ended.append("reader")

    def relay(upstream):
        try:
            with closing(iter(upstream)) as items:
                yield from items
        finally:
            ended.append("encoder")

    async def main():
        first, second = Stream(5), Stream(5)
        async with anyio.create_task_group() as group:
            group.start_soon(pump, endless, first, one)
            group.start_soon(pump, lambda: relay(first), second, one)
            for _ in range(after):
                await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()
        assert sorted(ended) in (["encoder", "reader"], ["reader"], ["encoder"], [])
        for stream in (first, second):
            with pytest.raises(Closed):
                await stream.put(1, 1)

    run(main)


def test_cancelled_while_full_and_while_empty():
    """The threads hang in put or in get when the cancellation comes."""

    async def main():
        full, empty, out = Stream(1), Stream(1), Stream(1)
        async with anyio.create_task_group() as group:
            group.start_soon(pump, lambda: iter(int, 1), full, one)
            group.start_soon(pump, lambda: iter(empty), out, one)
            await until(lambda: full.queued_bytes == 1)
            group.cancel_scope.cancel()
            # `empty` has no pump; whoever feeds it must end it.
            empty.stop()

    run(main)


def test_cancelled_get_takes_nothing_and_put_leaves_nothing():
    """Neither an item nor a sleeper stays behind."""

    async def main():
        stream = Stream(1)
        async with anyio.create_task_group() as group:
            group.start_soon(stream.get)
            await anyio.wait_all_tasks_blocked()
            group.cancel_scope.cancel()
        await stream.put("a", 1)
        async with anyio.create_task_group() as group:
            group.start_soon(stream.put, "b", 1)
            await anyio.wait_all_tasks_blocked()
            group.cancel_scope.cancel()
        stream.close()
        assert [item async for item in stream] == ["a"]
        assert not stream._sleepers

    run(main)


def test_queued_items_survive_the_end_of_their_pump():
    """The pump has ended, even been left, before the consumer begins."""

    async def main():
        stream = Stream(100)
        await pump(lambda: range(50), stream, one)
        assert [item async for item in stream] == list(range(50))

    run(main)


def test_stop_is_never_taken_for_the_end():
    """Nor is it undone by close or fail; it wakes those who wait, in threads and in tasks."""

    async def main():
        stream = Stream(1)
        ends = []

        async def get():
            with pytest.raises(Closed):
                await stream.get()
            ends.append("task")

        def get_blocking():
            with pytest.raises(Closed):
                stream.get_blocking()
            ends.append("thread")

        async with anyio.create_task_group() as group:
            group.start_soon(get)
            group.start_soon(anyio.to_thread.run_sync, get_blocking)
            await until(lambda: stream._sleepers)
            stream.stop()
        assert sorted(ends) == ["task", "thread"]
        stream.close()
        stream.fail(ValueError())
        for call in (stream.get_blocking, lambda: stream.put_blocking(1, 1)):
            with pytest.raises(Closed):
                call()

    run(main)


def test_failure_overtakes_what_is_queued():
    """The consumer hears at once; a later close does not hide it."""

    async def main():
        stream = Stream(10)
        await stream.put(1, 1)
        stream.fail(LookupError("mine"))
        stream.close()
        assert stream.queued_bytes == 0
        with pytest.raises(LookupError, match="mine"):
            await stream.get()
        with pytest.raises(Closed):
            await stream.put(1, 1)

    run(main)


def test_many_pumps_do_not_starve_each_other():
    """More waiting threads than anyio's default pool has (40)."""

    async def main():
        count = 60
        firsts, seconds = [Stream(1) for _ in range(count)], [Stream(1) for _ in range(count)]
        async with anyio.create_task_group() as group:
            for first, second in zip(firsts, seconds, strict=True):
                group.start_soon(pump, lambda first=first: iter(first), second, one)
            for first in firsts:
                group.start_soon(pump, lambda: range(3), first, one)
            for second in seconds:
                assert [item async for item in second] == [0, 1, 2]

    run(main)


def test_a_stream_outlives_its_event_loop():
    """A thread may still put after the loop has gone."""
    stream = Stream(10)

    async def main():
        with anyio.move_on_after(0):
            await stream.get()

    anyio.run(main)
    stream.put_blocking(1, 1)
    assert stream.get_blocking() == 1


class Asynchronous:
    """An async iterable of numbers; it tells in which tasks it ran, and that it was closed."""

    def __init__(self, count, *, then=None):
        self.tasks, self.closed = set(), False
        self._count, self._then = count, then

    async def __aiter__(self):
        try:
            for number in range(self._count):
                self.tasks.add(asyncio.current_task())
                yield number
            if self._then is not None:
                raise self._then
            await anyio.sleep_forever() if self._count == 3 else None
        finally:
            self.tasks.add(asyncio.current_task())
            await anyio.lowlevel.checkpoint()
            self.closed = True


def test_feed_takes_all_in_one_task_and_closes():
    """A thread gets what an async iterable yields, in order, and the iterable is closed in the task that took it."""

    async def main():
        stream, items = Stream(2), Asynchronous(100)
        async with anyio.create_task_group() as group:
            group.start_soon(feed, items, stream, one)
            assert await anyio.to_thread.run_sync(list, stream) == list(range(100))
        assert stream.peak_bytes <= 2
        assert items.closed
        assert len(items.tasks) == 1

    run(main)


def test_feed_hands_its_error_to_the_consumer():
    """It is not raised in the task that feeds."""

    async def main():
        stream, items = Stream(200), Asynchronous(2, then=KeyError("mine"))
        await feed(items, stream, one)
        with pytest.raises(KeyError, match="mine"):
            await stream.get()
        assert items.closed

    run(main)


@pytest.mark.parametrize("stops", [True, False])
def test_feed_ends_with_its_consumer_or_its_task(stops):
    """Where nobody takes more, or at a cancellation, the iterable is closed, and the other end gets `Closed`."""

    async def main():
        stream, items = Stream(1), Asynchronous(1000 if stops else 3)
        feeding = asyncio.create_task(feed(items, stream, one))
        assert [await stream.get() for _ in range(3)] == [0, 1, 2]
        stream.stop() if stops else feeding.cancel()
        await asyncio.wait([feeding])
        assert items.closed
        with pytest.raises(Closed):
            await stream.get()

    run(main)
