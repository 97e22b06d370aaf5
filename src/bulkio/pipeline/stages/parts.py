"""What a source, a transform and a sink must offer, and what is counted of each.

A transform is planned before the run, from the schema that comes in: it becomes `Work`, whose schema goes out. The work
runs in a thread of its own.
"""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from bulkio import flow
from bulkio.forms.sizes import batch_bytes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from contextlib import AbstractAsyncContextManager
    from typing import TypeAlias

    import pyarrow as pa

    from bulkio.aio import LoadPlan, LoadReport, WriteReport

    BatchIterator: TypeAlias = Iterator[pa.RecordBatch]

__all__ = ["Batches", "Place", "Sink", "Source", "Transform", "Work"]

_log = logging.getLogger("bulkio")


class Batches(Protocol):
    """A stream of batches in the event loop."""

    schema: pa.Schema

    def __aiter__(self) -> AsyncIterator[pa.RecordBatch]:
        """Yield the batches, in order."""


class Source(Protocol):
    """The first stage."""

    @property
    def name(self) -> str:
        """What reports call it."""

    def open(self) -> AbstractAsyncContextManager[Batches]:
        """Open what is read. At the end of the block, nothing of it is left open, read to its end or not."""


class Transform(Protocol):
    """A stage in between: it changes batches, or checks them."""

    @property
    def name(self) -> str:
        """What reports call it."""

    def plan(self, schema: pa.Schema) -> Work:
        """Tell what is done to batches of this schema. Raises `ConfigError`, `SchemaError`."""


class Sink(Protocol):
    """A last stage."""

    @property
    def name(self) -> str:
        """What reports call it."""

    @property
    def target(self) -> object:
        """What it writes to: two sinks of one pipeline must not write to the same."""

    async def plan(self, schema: pa.Schema, /) -> LoadPlan | None:
        """Plan what would be done; None if there is nothing to plan. Raises what `run` raises before the first row."""

    async def run(self, batches: Batches) -> LoadReport | WriteReport:
        """Store all batches, or nothing."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a transform does in a run."""

    #: schema of the batches that go out
    schema: pa.Schema
    #: function from the batches that come in, and the stage's place, to the batches that go out; runs in a thread
    apply: Callable[[BatchIterator, Place], BatchIterator]
    #: function that ends what runs for long without asking for a batch, called from the event loop; None if none does
    interrupt: Callable[[], object] | None = None


@dataclass(slots=True)
class Place:
    """One stage in one run: where it stands, and what is counted of it."""

    #: position among the stages, from 1
    number: int
    name: str
    rows_in: int = 0
    rows_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    #: seconds from the stage's beginning to its end, and how many of these it has waited
    seconds: float = 0.0
    waited_for_input_s: float = 0.0
    waited_for_output_s: float = 0.0
    #: bytes that have waited ahead of it, at most
    queue_peak_bytes: int = 0
    warnings: list[str] = field(default_factory=list)
    _started: float = field(default_factory=time.perf_counter)

    @property
    def label(self) -> str:
        """What messages call it.

        >>> Place(2, "cast").label
        '2 (cast)'
        """
        return f"{self.number} ({self.name})"

    def begin(self) -> None:
        """Count the time from now on."""
        self._started = time.perf_counter()

    def end(self) -> None:
        """Note the time that it has taken."""
        self.seconds = time.perf_counter() - self._started

    def warn(self, text: str) -> None:
        """Note what its user has to read."""
        self.warnings.append(text)
        _log.warning("stage %s: %s", self.label, text)

    def add_note(self, error: Exception) -> None:
        """Let an error say that it began here, unless it began ahead."""
        if not getattr(error, "__notes__", ()):
            error.add_note(f"in stage {self.label} of the pipeline")

    def took(self, rows: int, size: int, waited_s: float) -> None:
        """Count a batch that has come in."""
        self.rows_in += rows
        self.bytes_in += size
        self.waited_for_input_s += waited_s

    def gave(self, rows: int, size: int, waited_s: float) -> None:
        """Count a batch that has gone out."""
        self.rows_out += rows
        self.bytes_out += size
        self.waited_for_output_s += waited_s

    def taken(self, stream: flow.Stream[pa.RecordBatch]) -> BatchIterator:
        """Yield what comes in, blocking this thread."""
        with suppress(flow.EndOfStream):
            while True:
                started = time.perf_counter()
                batch = stream.get_blocking()
                self.took(batch.num_rows, batch_bytes(batch), time.perf_counter() - started)
                yield batch
