"""The run of a pipeline: a task for each stage, and a stream of bounded size between two of them.

    source --> transform --> … --> transform --+--> sink
                                               +--> sink

Transforms and checks work in threads, one each; the source and the sinks in the event loop. A stage that fails fails
the streams on both of its sides, and the group of tasks ends all others. The source closes what it has open before its
stream ends, and a stream ends only after all stages ahead of it are done: so no sink commits before the last row was
read, and has passed the last check.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import anyio
import anyio.abc

from bulkio import flow
from bulkio.errors import SchemaError
from bulkio.forms.sizes import batch_bytes
from bulkio.pipeline.stages.parts import Place
from bulkio.pipeline.stages.report import PipelineReport, stage_report

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    import pyarrow as pa

    from bulkio.aio import LoadReport, WriteReport
    from bulkio.pipeline.stages.parts import Batches, Sink, Source, Transform, Work

__all__ = ["QUEUE_BYTES", "Chain", "plan_works"]

#: bytes of batches that may wait between two stages
QUEUE_BYTES = 4 << 20


def plan_works(transforms: Sequence[tuple[Place, Transform]], schema: pa.Schema) -> list[Work]:
    """Plan the transforms one after the other, from the source's schema on.

    Raises:
        SchemaError: one does not fit what comes out of the one ahead of it.
    """
    works: list[Work] = []
    for place, transform in transforms:
        try:
            _refuse_twice(schema)
            works.append(transform.plan(schema))
        except SchemaError as error:
            raise SchemaError(f"stage {place.label}: {error}", columns=error.columns) from error.__cause__
        except Exception as error:
            place.add_note(error)
            raise
        schema = works[-1].schema
    return works


def _refuse_twice(schema: pa.Schema) -> None:
    twice = tuple(name for name in dict.fromkeys(schema.names) if schema.names.count(name) > 1)
    if twice:
        raise SchemaError(f"two of the columns that come in are called {twice[0]}", columns=twice)


class Chain:
    """One run of a pipeline."""

    def __init__(self, source: Source, transforms: Sequence[Transform], sinks: Sequence[Sink]) -> None:
        stages: list[Source | Transform | Sink] = [source, *transforms, *sinks]
        self.places = [Place(number, stage.name) for number, stage in enumerate(stages, 1)]
        self._source = source
        self._transforms = transforms
        self._sinks = sinks
        #: what ends the run
        self.scope = anyio.CancelScope()
        self._streams: list[flow.Stream[pa.RecordBatch]] = []
        self._planned = anyio.Event()
        self._results: dict[int, LoadReport | WriteReport] = {}

    async def run(self) -> PipelineReport:
        """Run all stages to their end; return their reports.

        Raises:
            The error of the stage that has failed.
            CancelledError: the scope was cancelled, and not all sinks were done already.
        """
        started = time.perf_counter()
        with self.scope:
            async with flow.task_group() as group:
                await self._start(group)
        if len(self._results) < len(self._sinks):
            raise asyncio.CancelledError
        for place, stream in zip(self.places[1:], self._streams, strict=True):
            place.queue_peak_bytes = stream.peak_bytes
        reports = tuple(stage_report(place, self._results.get(place.number)) for place in self.places)
        return PipelineReport(time.perf_counter() - started, reports)

    async def _start(self, group: anyio.abc.TaskGroup) -> None:
        """Open the source, plan, and start all stages."""
        count = len(self._transforms)
        opened = await group.start(self._read, self._new_stream())
        works = plan_works(list(zip(self.places[1:], self._transforms, strict=False)), opened.schema)
        for place, work in zip(self.places[1:], works, strict=False):
            upstream, downstream = self._streams[-1], self._new_stream()
            group.start_soon(self._work, place, work, upstream, downstream)
        last = self._streams[-1]
        inputs = [last] if len(self._sinks) == 1 else [flow.Stream(QUEUE_BYTES) for _ in self._sinks]
        if len(inputs) > 1:
            group.start_soon(self._share, last, inputs)
        self._streams[-1:] = inputs
        schema = works[-1].schema if works else opened.schema
        for place, sink, stream in zip(self.places[count + 1 :], self._sinks, inputs, strict=True):
            group.start_soon(self._store, sink, _Input(schema, stream, place, opened), group.cancel_scope)
        self._planned.set()

    def _new_stream(self) -> flow.Stream[pa.RecordBatch]:
        stream: flow.Stream[pa.RecordBatch] = flow.Stream(QUEUE_BYTES)
        self._streams.append(stream)
        return stream

    async def _read(
        self,
        stream: flow.Stream[pa.RecordBatch],
        *,
        task_status: anyio.abc.TaskStatus[Batches],
    ) -> None:
        """Open the source and tell it; once all is planned, read it."""
        place = self.places[0]
        try:
            async with self._source.open() as batches:
                task_status.started(batches)
                await self._planned.wait()
                place.begin()
                async for batch in batches:
                    started = time.perf_counter()
                    await stream.put(batch, batch_bytes(batch))
                    place.gave(batch.num_rows, batch_bytes(batch), time.perf_counter() - started)
            stream.close()
        except flow.Closed:
            stream.stop()
        except Exception as error:
            place.add_note(error)
            raise
        finally:
            place.end()
            stream.abandon()

    async def _work(
        self,
        place: Place,
        work: Work,
        upstream: flow.Stream[pa.RecordBatch],
        downstream: flow.Stream[pa.RecordBatch],
    ) -> None:
        """Run a transform in a thread; its error goes downstream, to the sinks."""
        async with anyio.create_task_group() as group:
            group.start_soon(_interrupt_at_cancel, work)
            await flow.pump(lambda: _outputs(place, work, upstream), downstream, batch_bytes)
            group.cancel_scope.cancel()

    async def _share(
        self, upstream: flow.Stream[pa.RecordBatch], inputs: Sequence[flow.Stream[pa.RecordBatch]]
    ) -> None:
        """Hand each batch to every sink, as fast as the slowest takes them; one that is done already gets no more."""
        with upstream:
            async for batch in upstream:
                for stream in inputs:
                    with suppress(flow.Closed):
                        await stream.put(batch, batch_bytes(batch))
        for stream in inputs:
            stream.close()

    async def _store(self, sink: Sink, batches: _Input, all_stages: anyio.CancelScope) -> None:
        """Run a sink. With the last of them all other stages end, read to the end or not."""
        place = batches.place
        place.begin()
        try:
            self._results[place.number] = await sink.run(batches)
        except Exception as error:
            place.add_note(error)
            raise
        finally:
            place.end()
            batches.stream.stop()
        if len(self._results) == len(self._sinks):
            all_stages.cancel()


class _Input:
    """What a sink gets."""

    def __init__(self, schema: pa.Schema, stream: flow.Stream[pa.RecordBatch], place: Place, origin: Batches) -> None:
        self.schema = schema
        #: what the pipeline's source has opened: a load must not wait for that
        self.origin = origin
        self.stream = stream
        self.place = place

    async def __aiter__(self) -> AsyncIterator[pa.RecordBatch]:
        with suppress(flow.EndOfStream):
            while True:
                started = time.perf_counter()
                batch = await self.stream.get()
                self.place.took(batch.num_rows, batch_bytes(batch), time.perf_counter() - started)
                yield batch


def _outputs(place: Place, work: Work, upstream: flow.Stream[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield what a transform makes; runs in its thread."""
    place.begin()
    try:
        with upstream:
            for batch in work.apply(place.taken(upstream), place):
                started = time.perf_counter()
                yield batch
                place.gave(batch.num_rows, batch_bytes(batch), time.perf_counter() - started)
    except flow.Closed:
        raise
    except Exception as error:
        place.add_note(error)
        raise
    finally:
        place.end()


async def _interrupt_at_cancel(work: Work) -> None:
    """Wait until the run is cancelled, and end what would go on without noticing."""
    try:
        await anyio.sleep_forever()
    finally:
        if work.interrupt is not None:
            work.interrupt()
