"""The export to CSV: the server's own COPY, byte for byte, into a file or stdout."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from bulkio import flow, sql
from bulkio.errors import BulkioError
from bulkio.files import csv_dest, file_dest
from bulkio.files.formats.csv.row_count import RowCount
from bulkio.files.text_sink import TextSink
from bulkio.flow import shelter
from bulkio.transfer.export import QUEUE_BYTES, estimate_rows, plan_in
from bulkio.transfer.session import open_session, transaction
from bulkio.transfer.writing import FileWriter, in_thread

if TYPE_CHECKING:
    from bulkio.files import CsvFile
    from bulkio.options import ExportRequest
    from bulkio.transfer.report import ExportReport

__all__ = ["export_csv"]

#: byte order mark (UTF-8)
_BOM = b"\xef\xbb\xbf"


async def export_csv(request: ExportRequest) -> ExportReport:
    """Export as CSV: the whole file appears under its name, or nothing does. Stdout keeps what was written."""
    writer = FileWriter(request.progress)
    target = csv_dest(request.dest)
    try:
        async with (
            open_session(request.dsn, request) as session,
            transaction(session, read_only=True, lock_timeout=request.lock_timeout) as begun,
        ):
            plan = await plan_in(session, request, file_dest(target))
            if writer.tells:
                writer.estimated_rows = await estimate_rows(session, request)
            for pin in (sql.USERS_PATH, *plan.pins):
                await session.execute(pin)
            chunks: flow.Stream[bytes] = flow.Stream(QUEUE_BYTES)
            async with flow.task_group() as group:
                group.start_soon(_write, chunks, target, writer)
                try:
                    copied = await session.copy_out(
                        plan.query, lambda chunk: chunks.put(chunk, len(chunk)), csv=target.form
                    )
                    chunks.close()
                except BaseException as error:
                    chunks.fail(error)
                    raise
    except BaseException:
        await writer.discard()
        raise
    await writer.publish()
    return writer.report(plan, copied, begun.lifted)


async def _write(chunks: flow.Stream[bytes], target: CsvFile, writer: FileWriter) -> None:
    """Write in a thread, which waits for chunks: only their end, good or bad, lets it go."""
    try:
        await shelter.finish(in_thread(partial(_write_all, chunks, target, writer)), on_cancel=chunks.stop)
    except BulkioError:
        chunks.stop()
        raise


def _write_all(chunks: flow.Stream[bytes], target: CsvFile, writer: FileWriter) -> None:
    """Open the file and write every chunk. Rows are counted where somebody is told of them: the server sends bytes."""
    sink = writer.open(TextSink(str(target.path)))
    if target.bom:
        sink.write(_BOM)
    form = target.form
    count = RowCount(quote=form.quote.encode(), escape=form.escape.encode(), has_header=form.header)
    with chunks:
        for chunk in chunks:
            sink.write(chunk)
            if writer.tells:
                count.feed(chunk)
                writer.rows = count.rows
                writer.tell()
