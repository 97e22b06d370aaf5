"""The load: carry out a `LoadPlan` in one transaction, and report.

Reading and encoding run in threads beside the driver, which sends the blocks. `flow.Stream` bounds in bytes what waits
between them.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from bulkio import catalog, flow, openreads, sql
from bulkio.catalog import TableName
from bulkio.catalog.lookup import (
    asked_types,
    children,
    extension_types,
    find_sequences,
    find_table,
    find_types,
    look_up,
    name_bytes,
    named_types,
    path_schemas,
    spelled_typmods,
    users_path,
)
from bulkio.choices import DriverChoice, LoadMethod, check_choice, check_number, milliseconds
from bulkio.errors import BulkioError, DriverError
from bulkio.files import open_source
from bulkio.flow import shelter
from bulkio.forms.copy_csv import Lines, csv_block
from bulkio.forms.prepare import prepare_batch, prepared_fields
from bulkio.forms.rows import to_rows
from bulkio.forms.wire import wire_batches, wire_fields
from bulkio.pgcopy import Encoder
from bulkio.plan import (
    Database,
    LoadPlan,
    LoadRequest,
    Mode,
    loaded_sequences,
    missing_types,
    plan_load,
    recorded_names,
    recorded_typmods,
    refuse_changed,
    with_sequences,
)
from bulkio.session import commit, open_session, transaction
from bulkio.types import STRICT, Policies, charset_of
from bulkio.types.geo import arrow_extension

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping

    import pyarrow as pa

    from bulkio.choices import DriverName
    from bulkio.pgcopy import Block, Field
    from bulkio.protocols import CopyFormat, Row, Session, Source

__all__ = ["LoadOptions", "LoadReport", "Progress", "load", "load_plan"]

#: what may wait between two of the three parties
QUEUE_BYTES = 4 << 20
BLOCK_BYTES = 256 << 10


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a load or an export has come."""

    rows: int
    bytes: int
    total_rows: int | None


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How to load. Every field is an option of `bulkio load` of the same name."""

    driver: DriverChoice = "auto"
    method: LoadMethod = "binary"
    mode: Mode = "append"
    #: the source's columns to load; None means all
    columns: tuple[str, ...] | None = None
    #: rows read and encoded at once
    batch_rows: int = 16384
    #: of COPY data, sent at once
    block_bytes: int = BLOCK_BYTES
    #: how long to wait for a lock, as PostgreSQL spells it ("10s"); None for what the role or the DSN says
    lock_timeout: str | None = None
    password: str | Callable[[], str] | None = field(default=None, repr=False)
    progress: Callable[[Progress], None] | None = None
    policies: Policies = STRICT
    #: PostgreSQL types for the columns of a new table, as DDL spells them, by column
    types: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_choice("driver", self.driver, DriverChoice)
        check_choice("method", self.method, LoadMethod)
        check_choice("mode", self.mode, Mode)
        check_number("batch_rows", self.batch_rows, 1)
        if self.lock_timeout is not None:
            milliseconds("lock_timeout", self.lock_timeout)


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What a load did."""

    rows: int
    #: bytes of COPY data sent to the server
    bytes: int
    seconds: float
    driver: DriverName
    method: LoadMethod
    mode: Mode
    #: schema-qualified
    table: str
    #: the table was missing and has been created
    created: bool
    #: what is otherwise than the source records it (columns of another type), and what of the source is left out
    notes: tuple[str, ...] = ()
    #: the time limits that were lifted, such as "statement_timeout of 30000 ms"
    lifted: tuple[str, ...] = ()

    @property
    def rows_per_s(self) -> float:
        """Rows per second, connecting and committing included."""
        return self.rows / self.seconds if self.seconds else 0.0


async def load(source: object, table: str, dsn: str | None, options: LoadOptions) -> LoadReport:
    """Load a source into a table: all of it, or nothing.

    Raises any `BulkioError`; then the table is unchanged, except where it is `OutcomeUnknown`.
    """
    started = time.perf_counter()
    async with (
        _opened(source, options) as opened,
        open_session(dsn, options) as session,
        transaction(session, read_only=False, lock_timeout=options.lock_timeout) as lifted,
    ):
        plan = await _plan(session, opened, table, options)
        await _define(session, plan)
        sender = _Sender(plan, opened, options)
        copied = await sender.run(session)
        _compare_counts(plan, copied, sender.rows)
        await _advance_sequences(session, plan)
        await session.execute(sql.USERS_PATH)  # for the triggers that are deferred until COMMIT
        await commit(session, dsn, options)
    return LoadReport(
        rows=copied,
        bytes=sender.bytes,
        seconds=time.perf_counter() - started,
        driver=session.driver,
        method=plan.method,
        mode=plan.mode,
        table=f"{plan.schema}.{plan.table}",
        created=plan.creates,
        notes=plan.notes,
        lifted=lifted,
    )


async def load_plan(source: object, table: str, dsn: str | None, options: LoadOptions) -> LoadPlan:
    """Plan a load and change nothing."""
    async with (
        _opened(source, options) as opened,
        open_session(dsn, options) as session,
        transaction(session, read_only=False, lock_timeout=options.lock_timeout),
    ):
        plan = await _plan(session, opened, table, options)
        await session.execute(sql.ROLLBACK)
        return plan


class _opened:  # noqa: N801 - reads as a verb
    """Open the source in a worker thread, close it at the end."""

    def __init__(self, source: object, options: LoadOptions) -> None:
        self._open: Callable[[], Source] = partial(
            open_source,
            source,
            batch_rows=options.batch_rows,
            columns=options.columns,
            allow_lossy=options.policies.allow_lossy,
        )
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


async def _plan(session: Session, source: Source, table: str, options: LoadOptions) -> LoadPlan:
    """Ask the catalog and plan. The table is locked first, so that what the plan was made for is what COPY meets."""
    charset = charset_of(session.server_encoding)
    refuse_changed(charset, [table], "the table's name")
    refuse_changed(charset, options.types.values(), "the type")
    found = await look_up(session, table)
    if found.table is None and found.new_schema is not None and options.mode != "truncate":
        await session.execute(sql.lock_creation(found.new_schema, found.name.name))
        found = await look_up(session, table)  # somebody else may have created it meanwhile
    request = LoadRequest(
        policies=options.policies,
        source=source.name,
        source_schema=source.schema,
        source_rows=source.rows,
        source_notes=source.notes,
        table=found.name,
        mode=options.mode,
        driver=session.driver,
        method=options.method,
        batch_rows=options.batch_rows,
        types=options.types,
    )
    known = found.table
    asked = dict(zip(options.types, await asked_types(session, options.types.values()), strict=True))
    if known is None:
        return plan_load(request, await _for_new_table(session, request, found.new_schema, asked))
    if known.kind in catalog.WRITABLE and options.mode != "create":
        await session.execute(sql.as_user(sql.lock_for_load(known.schema, known.name)))
        known = await find_table(session, TableName(known.schema, known.name)) or known
    types = await find_types(session, [column.type_oid for column in known.columns])
    emptied = await children(session, known) if options.mode == "truncate" else ()
    database = Database(
        known,
        found.new_schema,
        types,
        asked,
        children=emptied,
        charset=charset,
        name_bytes=await name_bytes(session, source.schema.names),
    )
    plan = plan_load(request, database)
    return with_sequences(plan, await find_sequences(session, known))


async def _for_new_table(
    session: Session, request: LoadRequest, new_schema: str | None, asked: Mapping[str, tuple[int, int]]
) -> Database:
    """Look up the types that the source records; create those that are missing, needed and recorded in full."""
    schema = request.source_schema
    lengths = await name_bytes(session, schema.names)
    postgis = await extension_types(session, "postgis") if any(map(arrow_extension, schema)) else {}
    others = [*postgis.values(), *(oid for oid, _ in asked.values())]
    names = recorded_names(schema)
    charset = charset_of(session.server_encoding)
    database = Database(None, new_schema, {}, asked, postgis=postgis, charset=charset, name_bytes=lengths)
    database = await _with_named(session, database, names, others)
    if len(database.named) < len(names) and new_schema is not None:
        allowed = {new_schema} | await path_schemas(session)
        if missing_types(schema, database, request.policies, allowed):
            await session.execute(sql.lock_creation(""))
            database = await _with_named(session, database, names, others)  # somebody else may have made them
        ddl = missing_types(schema, database, request.policies, allowed)
        for statement in ddl:
            await session.execute(sql.as_user(statement))
        if ddl:
            database = await _with_named(session, replace(database, made=ddl), names, others)
    typmods = await spelled_typmods(session, [*asked.values(), *recorded_typmods(schema, database.named)])
    return replace(database, typmods=typmods)


async def _with_named(
    session: Session, database: Database, names: Iterable[tuple[str, str, str]], others: Iterable[int]
) -> Database:
    """Look up the types of these names that there are, and what they and others are made of."""
    named = await named_types(session, names)
    recorded = [oid for found in named.values() for oid in (found.oid, found.array_oid)]
    return replace(database, named=named, types=await find_types(session, [*recorded, *others]))


async def _define(session: Session, plan: LoadPlan) -> None:
    """Run the plan's DDL. TRUNCATE waits for every reader, but not for one that waits for this load."""
    readers = []
    if plan.mode == "truncate" and openreads.any_open():
        readers = openreads.among(await session.fetch(sql.holders_of(plan.schema, plan.table)))
    for statement in plan.ddl:
        work = partial(session.execute, sql.as_user(statement))
        await (openreads.watch(readers, work, f"{plan.schema}.{plan.table}") if readers else work())


async def _advance_sequences(session: Session, plan: LoadPlan) -> None:
    """Take the sequences of the columns that were loaded past their values: the next INSERT shall not meet one."""
    uses = plan.sequences
    if plan.creates and (table := await find_table(session, TableName(plan.schema, plan.table))):
        uses = loaded_sequences(plan, await find_sequences(session, table))
    for use in uses:
        # Two statements: between reading where the sequence is and setting it, no time shall pass.
        async with users_path(session):  # for the functions of the table's own policies
            [(last,)] = await session.fetch(sql.last_value(plan.schema, plan.table, use.column, use.options))
        if last is not None:
            await session.fetch(sql.advance_sequence(use.name, int(str(last)), ascends=use.options.ascends))


def _compare_counts(plan: LoadPlan, copied: int, sent: int) -> None:
    """Compare what the server says it stored, what was sent, and what the source promised."""
    promised = sent if plan.source_rows is None else plan.source_rows
    if not copied == sent == promised:
        raise BulkioError(
            f"the row counts differ, so nothing was loaded: the source promised {promised}, {sent} were sent,"
            f" the server stored {copied} (a trigger or a rule may have dropped rows)"
        )


class _Sender:
    """Run the three parties: read, encode, send."""

    def __init__(self, plan: LoadPlan, source: Source, options: LoadOptions) -> None:
        self.plan = plan
        self.source = source
        self.options = options
        #: sent so far
        self.rows = 0
        self.bytes = 0
        self._lines = Lines()
        self._blocks: flow.Stream[tuple[object, int]] = flow.Stream(max(QUEUE_BYTES, 2 * options.block_bytes))

    async def run(self, session: Session) -> int:
        """Send every row; give the row count of the server's COPY tag."""
        make = {"binary": self._binary, "csv": self._csv, "records": self._records}[self.plan.method]
        read: Callable[[], Iterator[pa.RecordBatch]] = self.source.batches
        try:
            async with anyio.create_task_group() as group:
                if flow.processors() > flow.SCARCE_PROCESSORS:
                    batches: flow.Stream[pa.RecordBatch] = flow.Stream(QUEUE_BYTES)
                    group.start_soon(flow.pump, self.source.batches, batches, _batch_bytes)
                    read = partial(_taken, batches)
                group.start_soon(flow.pump, lambda: make(read()), self._blocks, _block_bytes)
                with self._blocks:
                    return await self._send(session)
        except BaseExceptionGroup as errors:
            error = first_error(errors)
            if isinstance(error, DriverError) and error.row is not None and self.plan.method == "csv":
                error.row = self._lines.row_of(error.row)
            raise error from None
        raise AssertionError("a task group that ends without an error has returned")

    async def _send(self, session: Session) -> int:
        target = self.plan.target
        if self.plan.method == "csv":
            await session.execute(sql.PLAIN_MONEY)
        fmt: CopyFormat = "csv" if self.plan.method == "csv" else "binary"
        async with users_path(session):
            if self.plan.method == "records":
                return await session.copy_in_records(target, self._counted())  # type: ignore[arg-type]
            return await session.copy_in(target, self._counted(), fmt)  # type: ignore[arg-type]

    async def _counted(self) -> AsyncIterator[object]:
        """Give the blocks, and count what was sent once the next one is asked for."""
        report = self.options.progress
        async for block, rows in self._blocks:
            yield block
            self.rows += rows
            self.bytes += _sent_bytes(block)
            if report is not None:
                report(Progress(self.rows, self.bytes, self.plan.source_rows))

    # Each of these runs in a thread: batches in, (what is sent at once, its rows) out.

    def _binary(self, batches: Iterator[pa.RecordBatch]) -> Iterator[tuple[Block, int]]:
        encoder = Encoder(prepared_fields(self.plan.fields), block_bytes=self.options.block_bytes)
        for batch in batches:
            for block in encoder.encode(prepare_batch(batch, self.plan.fields, encoder.rows + 1)):
                yield block, block.rows
        last = encoder.finish()
        yield last, last.rows

    def _csv(self, batches: Iterator[pa.RecordBatch]) -> Iterator[tuple[bytes, int]]:
        fields, encoded = self._encoded(batches)
        for batch in encoded:
            block = csv_block(batch, fields)
            self._lines.add(block, batch.num_rows)
            yield block, batch.num_rows

    def _records(self, batches: Iterator[pa.RecordBatch]) -> Iterator[tuple[list[Row], int]]:
        fields, encoded = self._encoded(batches)
        for batch in encoded:
            yield to_rows(batch, fields), batch.num_rows

    def _encoded(self, batches: Iterator[pa.RecordBatch]) -> tuple[tuple[Field, ...], Iterator[pa.RecordBatch]]:
        """Give what the binary method would send, as batches: so every method sends the same, or refuses it alike."""
        fields = wire_fields(prepared_fields(self.plan.fields))
        blocks = (block for block, _ in self._binary(batches))
        return fields, wire_batches(blocks, fields, batch_rows=self.plan.batch_rows)


def _taken(batches: flow.Stream[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Give what another thread reads; the end of this iterator stops it."""
    with batches:
        yield from batches


def first_error(errors: BaseExceptionGroup) -> BaseException:
    """Give the error that a task group's others followed from: bulkio's own before the signals between the parties."""
    leaves = list(_leaves(errors))
    for wanted in (BulkioError, Exception):
        for error in leaves:
            if isinstance(error, wanted) and not isinstance(error, flow.Closed):
                return error
    return leaves[0]


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for child in error.exceptions:
            yield from _leaves(child)
    else:
        yield error


def _batch_bytes(batch: pa.RecordBatch) -> int:
    return int(batch.nbytes)


def _block_bytes(item: tuple[object, int]) -> int:
    return _sent_bytes(item[0]) or 1 << 16


def _sent_bytes(block: object) -> int:
    """Bytes of a block; a list of rows has none that are known here."""
    return 0 if isinstance(block, list) else len(block)  # type: ignore[arg-type]
