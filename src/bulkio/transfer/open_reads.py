"""The reads that are open in this process, so that a load does not wait for one that waits for the load.

Owns which of the server's processes serve them, and whether somebody reads them on.
"""

from __future__ import annotations

import time
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import TYPE_CHECKING

import anyio

from bulkio import sql
from bulkio.errors import BulkioError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence

    from bulkio.protocols import Row, Session

__all__ = ["OpenRead", "execute_alone", "opened"]

#: seconds for which a read that stands in the way may go without anybody taking its next batch
PATIENCE_S = 60.0
#: seconds between two looks
_LOOK_S = 0.2


class OpenRead:
    """One read; its reader tells here that it goes on."""

    def __init__(self) -> None:
        #: the object that hands the batches out to whoever reads
        self.reader: Callable[[], object] = lambda: None
        self._readers = 0
        self._left_at = time.monotonic()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Run the wait for the next batch."""
        self._readers += 1
        try:
            yield
        finally:
            self._readers -= 1
            self._left_at = time.monotonic()

    def idle_s(self) -> float:
        """Return the seconds since somebody last asked for a batch; 0 while somebody waits for one."""
        return 0.0 if self._readers else time.monotonic() - self._left_at


#: open reads by the server's process, as `sql.BACKEND` names it
_open: dict[Row, OpenRead] = {}


@asynccontextmanager
async def opened(session: Session) -> AsyncIterator[OpenRead]:
    """Keep a session's read in the list while the block runs."""
    [backend] = await session.fetch(sql.BACKEND)
    read = _open[backend] = OpenRead()
    try:
        yield read
    finally:
        del _open[backend]


async def execute_alone(session: Session, statement: str, source: object, schema: str, table: str) -> None:
    """Run a statement, under the user's search_path, that waits until nobody reads a table: but not for a stuck read.

    Raises:
        BulkioError: it would wait for ever for a read of this process.
    """
    readers = [each for each in await session.fetch(sql.holders_of(schema, table)) if each in _open] if _open else []
    name = f"{schema}.{table}"
    _refuse_source(readers, source, name)
    work = partial(session.execute, sql.as_user(statement))
    await (_watch(readers, work, name) if readers else work())


def _refuse_source(readers: Sequence[Row], source: object, table: str) -> None:
    """Raise BulkioError where one of these reads is the source itself, which the load reads only afterwards."""
    origin = getattr(source, "origin", source)  # of a pipeline, what its source has opened
    reads = [read.reader() for backend in readers if (read := _open.get(backend)) is not None]
    if any(read is source or read is origin for read in reads):
        raise BulkioError(
            f"the source is a read() of this process that is open on table {table}: the load would wait for it, and it"
            " for the load, for ever: read it first, as with read_all(), and drop the reader"
        )


async def _watch(readers: Sequence[Row], work: Callable[[], Awaitable[object]], table: str) -> None:
    """Run a statement that waits for these reads to end; cancel it where nobody reads one of them on.

    Raises:
        BulkioError: for `PATIENCE_S` nobody has asked one for its next batch.
    """
    failures: list[BulkioError] = []
    stuck = anyio.Event()
    async with anyio.create_task_group() as group:
        group.start_soon(_look, readers, stuck, group.cancel_scope)
        try:
            await work()
        except BulkioError as error:
            failures.append(error)
        group.cancel_scope.cancel()
    if failures:
        raise failures[0]
    if stuck.is_set():
        raise BulkioError(
            f"a read() of this process is open on table {table}, and for {PATIENCE_S:g} s nobody has read it on, so"
            " that the load would wait for it for ever: read it to its end first (read_all()), or drop the reader (del"
            " reader; pyarrow's close() does not reach it)"
        )


async def _look(readers: Sequence[Row], stuck: anyio.Event, statement: anyio.CancelScope) -> None:
    """Look at the reads until one is stuck; then cancel the statement."""
    while True:
        await anyio.sleep(_LOOK_S)
        if any(read.idle_s() > PATIENCE_S for backend in readers if (read := _open.get(backend)) is not None):
            stuck.set()
            statement.cancel()
            return
