"""The export: a table or a query, through one read-only transaction, into batches and on into a file.

The driver pushes pieces, a thread decodes them, a thread writes the file. `flow.Stream` bounds in bytes what waits
between them.
"""

from __future__ import annotations

import weakref
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
import pyarrow as pa

from bulkio import catalog, flow, sql
from bulkio.catalog import TableName, bad_name, is_table_name
from bulkio.catalog.facts import Wanted
from bulkio.catalog.lookup import (
    find_table,
    gather,
    look_up,
    similar_table,
    users_path,
)
from bulkio.errors import ConfigError, CountError, DriverError, SchemaError
from bulkio.files import file_dest, open_sink
from bulkio.flow import shelter
from bulkio.forms.rows import from_rows
from bulkio.forms.sizes import batch_bytes
from bulkio.options import ExportRequest
from bulkio.pgcopy import Decoder
from bulkio.plan import (
    ExportPlan,
    Rows,
    cursor_query,
    key_columns,
    plan_csv_export,
    plan_export,
    refuse_changed,
    table_columns,
)
from bulkio.protocols import ResultColumn
from bulkio.show import show_option, show_rows
from bulkio.transfer import open_reads
from bulkio.transfer.session import open_session, transaction
from bulkio.transfer.writing import FileWriter, in_thread
from bulkio.types import charset_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from bulkio.files import FileDest
    from bulkio.options import ReadRequest
    from bulkio.plan import Destination
    from bulkio.protocols import Row, Session
    from bulkio.transfer.open_reads import OpenRead
    from bulkio.transfer.report import ExportReport

__all__ = ["QUEUE_BYTES", "BatchStream", "estimate_rows", "export", "export_plan", "open_batches", "plan_in"]

#: bytes of COPY data, and of batches, that may wait between two of the three parties
QUEUE_BYTES = 8 << 20


#: bytes of COPY data that are decoded at once on the event loop
HERE_BYTES = 256 << 10


class BatchStream:
    """The batches of an export that is under way, in order: `async for`, or blocking from a thread."""

    def __init__(self, plan: ExportPlan, lifted: tuple[str, ...], read: OpenRead) -> None:
        self.plan = plan
        self.lifted = lifted
        self.schema: pa.Schema = plan.arrow_schema
        #: rows as the planner estimates them, if progress is to be shown
        self.estimated_rows: int | None = None
        self._batches: flow.Stream[pa.RecordBatch] = flow.Stream(QUEUE_BYTES)
        self._read = read
        self._read.reader = weakref.ref(self)

    def hand_out(self, reader: pa.RecordBatchReader) -> pa.RecordBatchReader:
        """Note the reader that gives these batches to its user, and return it."""
        self._read.reader = weakref.ref(reader)
        return reader

    async def __aiter__(self) -> AsyncIterator[pa.RecordBatch]:
        with suppress(flow.EndOfStream):
            while True:
                with self._read.waiting():
                    batch = await self._batches.get()
                yield batch

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        with suppress(flow.EndOfStream):
            while True:
                with self._read.waiting():
                    batch = self._batches.get_blocking()
                yield batch


async def export(request: ExportRequest) -> ExportReport:
    """Export into a file: the whole result appears under its name, or nothing does."""
    writer = FileWriter(request.progress)
    dest = file_dest(request.dest)
    try:
        async with open_batches(request, dest) as stream:
            # The writer's thread waits for batches: only the stream's end, good or bad, lets it go.
            work = partial(_write_all, stream, dest, writer)
            await shelter.finish(in_thread(work), on_cancel=stream._batches.stop)
    except BaseException:
        await writer.discard()
        raise
    await writer.publish()
    return writer.report(stream.plan, writer.rows, stream.lifted)


def _write_all(stream: BatchStream, dest: FileDest, writer: FileWriter) -> None:
    """Open the file and write every batch."""
    sink = writer.open(open_sink(dest, stream.schema))
    writer.estimated_rows = stream.estimated_rows
    for batch in stream:
        sink.write(batch)
        writer.rows += batch.num_rows
        writer.tell()


async def export_plan(request: ExportRequest) -> ExportPlan:
    """Plan an export and read nothing."""
    dest = file_dest(request.dest)
    _names_table(request)
    async with (
        open_session(request.dsn, request) as session,
        transaction(session, read_only=True, lock_timeout=request.lock_timeout),
    ):
        return await plan_in(session, request, dest)


@asynccontextmanager
async def open_batches(
    request: ReadRequest | ExportRequest, dest: Destination | None = None
) -> AsyncIterator[BatchStream]:
    """Plan, and read in the background; leaving early cancels the COPY on the server."""
    _names_table(request)  # what is neither a table nor a query is told without a connection
    async with (
        open_session(request.dsn, request) as session,
        transaction(session, read_only=True, lock_timeout=request.lock_timeout) as begun,
        open_reads.opened(session) as read,
    ):
        stream = BatchStream(await plan_in(session, request, dest), begun.lifted, read)
        if isinstance(request, ExportRequest) and request.progress is not None:
            stream.estimated_rows = await estimate_rows(session, request)
        for pin in (sql.USERS_PATH, *stream.plan.pins):
            await session.execute(pin)
        async with flow.task_group() as group:
            work = _read_cursor if stream.plan.method == "cursor" else _read_binary
            group.start_soon(work, session, stream)
            try:
                yield stream
            finally:
                stream._batches.stop()
                group.cancel_scope.cancel()


async def estimate_rows(session: Session, request: ExportRequest) -> int | None:
    """Return how many rows a table has by the planner's estimate; None for queries, views, and where there is none."""
    found = (await look_up(session, request.table_or_query)).table if _names_table(request) else None
    if found is None or found.kind not in ("r", "p"):
        return None
    question = catalog.size_query(found.schema, found.name)
    [size] = question.read(await session.fetch(question.sql))
    return size.estimate


async def plan_in(session: Session, request: ReadRequest | ExportRequest, dest: Destination | None) -> ExportPlan:
    """Lock what is read, look at its columns, and plan."""
    find = _table_rows if _names_table(request) else _query_rows
    plan = plan_export if dest is None or dest.from_batches else plan_csv_export
    return plan(request, await find(session, request), dest)


def _names_table(request: ReadRequest | ExportRequest) -> bool:
    """Tell a table's name from a query.

    Raises:
        ConfigError: it is neither.
    """
    text = request.table_or_query
    if is_table_name(text) and not request.params:
        return True
    if not request.params and not sql.begins_query(text):
        raise bad_name(text, or_query=True)
    return False


async def _query_rows(session: Session, request: ReadRequest | ExportRequest) -> Rows:
    """Lock what a query reads, then look at its columns."""
    if request.columns is not None:
        raise ConfigError(f"{show_option('columns')} can be chosen for a table only: name them in the query")
    text = sql.bind_literals(request.table_or_query, request.params)
    refuse_changed(charset_of(session.server_encoding), [text], "the query")
    async with users_path(session, sql.lock_for_export(text)):
        columns = await session.describe(text)
    facts = await gather(session, Wanted(type_oids=[column.type_oid for column in columns]))
    return Rows(session.driver, text, "query", columns, facts)


async def _table_rows(session: Session, request: ReadRequest | ExportRequest) -> Rows:
    """Lock a table, then look at its columns, then lock what else reading them needs, such as what a view reads."""
    table = request.table_or_query
    refuse_changed(charset_of(session.server_encoding), [table], "the table's name")
    looked_up = await look_up(session, table)
    found = looked_up.table
    if found is None:
        raise await _no_table(session, looked_up.name)
    table_columns(found, request.columns)  # what cannot be read is not locked
    await session.execute(sql.as_user(sql.lock_for_export(sql.select_columns(found.schema, found.name, ()))))
    known = await find_table(session, TableName(found.schema, found.name))
    if known is None:
        raise await _no_table(session, looked_up.name)
    columns = table_columns(known, request.columns)
    text = sql.select_columns(known.schema, known.name, [column.name for column in columns])
    await session.execute(sql.as_user(sql.lock_for_export(text)))
    wanted = Wanted(known, type_oids=[column.type_oid for column in columns], sequences=True, nullable=True)
    return Rows(
        session.driver,
        text,
        f"{known.schema}.{known.name}",
        tuple(ResultColumn(column.name, column.type_oid, column.typmod) for column in columns),
        await gather(session, wanted),
        is_plain=known.kind != "v",
        table_columns=columns,
        key=key_columns(known, [column.name for column in columns]),
    )


async def _no_table(session: Session, name: TableName) -> SchemaError:
    near = await similar_table(session, name)
    return SchemaError(f"table {name} does not exist" + ("" if near is None else f"; did you mean {near.typed}?"))


async def _read_binary(session: Session, stream: BatchStream) -> None:
    """COPY TO: the driver pushes pieces, which are decoded into batches."""
    decoding = _Decoding(stream.plan)
    read = _decode_apart if flow.processors() > flow.SCARCE_PROCESSORS else _decode_here
    try:
        await read(session, stream, decoding)
    except flow.Closed:
        pass  # nobody reads any more
    except Exception as error:
        stream._batches.fail(error)


@contextmanager
def _types_checked(plan: ExportPlan) -> Iterator[None]:
    """Say in bulkio's words what `sql.with_types_checked` has found."""
    try:
        yield
    except DriverError as error:
        _, found, types = str(error).partition(sql.TYPES_CHANGED)
        if not found:
            raise
        expected = ", ".join(field.cast.pg.sql for field in plan.fields)
        raise DriverError(
            f"the types of the query's columns have changed since they were looked at, from {expected} to"
            f" {types.partition('}')[0].lstrip('{')}: a function or a type was created anew; export again",
            sqlstate=error.sqlstate,
            retryable=True,
        ) from error


async def _decode_here(session: Session, stream: BatchStream, decoding: _Decoding) -> None:
    """Decode on the event loop, between two reads: another thread would take turns with the server."""

    async def sink(piece: bytes) -> None:
        for batch in decoding.feed(piece):
            await stream._batches.put(batch, batch_bytes(batch))

    with _types_checked(stream.plan):
        copied = await session.copy_out(stream.plan.query, sink, gather_bytes=HERE_BYTES)
    for batch in decoding.finish(copied):
        await stream._batches.put(batch, batch_bytes(batch))
    stream._batches.close()


async def _decode_apart(session: Session, stream: BatchStream, decoding: _Decoding) -> None:
    """Decode in a thread, while the driver goes on reading."""
    pieces: flow.Stream[bytes] = flow.Stream(QUEUE_BYTES)
    copied: list[int] = []
    async with flow.task_group() as group:
        group.start_soon(flow.pump, lambda: _decoded(pieces, decoding, copied), stream._batches, batch_bytes)
        try:
            with _types_checked(stream.plan):
                copied.append(await session.copy_out(stream.plan.query, lambda piece: pieces.put(piece, len(piece))))
            pieces.close()
        except flow.Closed:
            pass  # the decoder has met an error, which the batches' reader gets
        except BaseException as error:
            pieces.fail(error)
            if not isinstance(error, Exception):
                raise


def _decoded(pieces: flow.Stream[bytes], decoding: _Decoding, copied: list[int]) -> Iterator[pa.RecordBatch]:
    with pieces:
        for piece in pieces:
            yield from decoding.feed(piece)
    yield from decoding.finish(copied[0])  # set before the stream of pieces was closed


class _Decoding:
    """One stream on its way into batches, and its row count against the server's."""

    def __init__(self, plan: ExportPlan) -> None:
        self._decoder = Decoder(plan.fields, plan.arrow_schema, batch_rows=plan.request.batch_rows)

    def feed(self, piece: bytes) -> list[pa.RecordBatch]:
        """Return the batches that a piece completes."""
        self._decoder.feed(piece)
        return [pa.record_batch(batch) for batch in self._decoder.batches()]

    def finish(self, copied: int) -> list[pa.RecordBatch]:
        """Return the last batches; `copied` is the row count of the server's COPY tag."""
        last = [pa.record_batch(batch) for batch in self._decoder.finish()]
        if copied != self._decoder.rows:
            raise CountError(
                f"the row counts differ, so nothing was written: the server counted {show_rows(copied)},"
                f" {self._decoder.rows} arrived (a broken connection or proxy?): export again",
                expected=copied,
                found=self._decoder.rows,
            )
        return last


async def _read_cursor(session: Session, stream: BatchStream) -> None:
    """Read a server-side cursor, a batch at a time."""
    plan = stream.plan
    row_number = 1
    try:
        with _types_checked(plan):
            async for rows in session.cursor(cursor_query(plan), prefetch=min(plan.request.batch_rows, 8192)):
                batch = await anyio.to_thread.run_sync(_cursor_batch, rows, plan, row_number)
                row_number += len(rows)
                await stream._batches.put(batch, batch_bytes(batch))
        stream._batches.close()
    except flow.Closed:
        pass
    except Exception as error:
        stream._batches.fail(error)


def _cursor_batch(rows: Sequence[Row], plan: ExportPlan, first_row: int) -> pa.RecordBatch:
    return from_rows(rows, plan.fields, plan.arrow_schema, first_row=first_row)
