"""The export to CSV: the server's own COPY, byte for byte, into a file or stdout."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from bulkio import flow, sql
from bulkio.errors import BulkioError
from bulkio.files import csv_dest, file_dest
from bulkio.files.text_sink import TextSink
from bulkio.flow import shelter
from bulkio.protocols import Progress
from bulkio.transfer.export import QUEUE_BYTES, in_thread, plan_in, publish
from bulkio.transfer.report import ExportReport
from bulkio.transfer.session import open_session, transaction

if TYPE_CHECKING:
    from bulkio.files import CsvFile
    from bulkio.options import ExportRequest

__all__ = ["export_csv"]

#: byte order mark (UTF-8)
_BOM = b"\xef\xbb\xbf"


async def export_csv(request: ExportRequest) -> ExportReport:
    """Export as CSV: the whole file appears under its name, or nothing does. Stdout keeps what was written."""
    started = time.perf_counter()
    target = csv_dest(request.dest)
    writing = _Writing(target, request)
    try:
        async with (
            open_session(request.dsn, request) as session,
            transaction(session, read_only=True, lock_timeout=request.lock_timeout) as begun,
        ):
            plan = await plan_in(session, request, file_dest(target))
            for pin in (sql.USERS_PATH, *plan.pins):
                await session.execute(pin)
            chunks: flow.Stream[bytes] = flow.Stream(QUEUE_BYTES)
            async with flow.task_group() as group:
                group.start_soon(_write, chunks, writing)
                try:
                    copied = await session.copy_out(
                        plan.query, lambda chunk: chunks.put(chunk, len(chunk)), csv=target.form
                    )
                    chunks.close()
                except BaseException as error:
                    chunks.fail(error)
                    raise
    except BaseException:
        await shelter.finish(in_thread(writing.abort))
        raise
    await shelter.conclude(publish(writing.commit))
    return ExportReport(
        rows=copied,
        bytes=writing.bytes_written,
        seconds=time.perf_counter() - started,
        driver=plan.driver,
        method=plan.method,
        table=plan.name,
        lifted=begun.lifted,
    )


async def _write(chunks: flow.Stream[bytes], writing: _Writing) -> None:
    """Write in a thread, which waits for chunks: only their end, good or bad, lets it go."""
    try:
        await shelter.finish(in_thread(partial(writing.write_all, chunks)), on_cancel=chunks.stop)
    except BulkioError:
        chunks.stop()
        raise


class _Writing:
    """The file that is written, in a thread."""

    def __init__(self, dest: CsvFile, request: ExportRequest) -> None:
        self._dest = dest
        self._report = request.progress
        self._sink: TextSink | None = None

    @property
    def bytes_written(self) -> int:
        """Bytes written so far."""
        return self._sink.bytes_written if self._sink is not None else 0

    def write_all(self, chunks: flow.Stream[bytes]) -> None:
        """Open the file and write every chunk."""
        self._sink = sink = TextSink(str(self._dest.path))
        if self._dest.bom:
            sink.write(_BOM)
        with chunks:
            for chunk in chunks:
                sink.write(chunk)
                if self._report is not None:
                    self._report(Progress(0, sink.bytes_written, None))

    def commit(self) -> None:
        """Give the file its name."""
        if self._sink is not None:
            self._sink.commit()

    def abort(self) -> None:
        """Remove what was written."""
        if self._sink is not None:
            self._sink.abort()
