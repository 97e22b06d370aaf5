"""psycopg's COPY, driven by hand: block by block, in both directions.

psycopg's own context manager and generators cannot span the calls of several threads, and cost a Python object a row.
What carries blocks to the server is a generator that yields where it would block, as psycopg's own are: so sync and
async connections share it.
"""

from __future__ import annotations

import os
import re
import socket
import struct
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import generators
from psycopg.copy import LibpqWriter
from psycopg.pq import ExecStatus
from psycopg.waiting import Ready, Wait

from bulkio.drivers.psycopg_rows import dumped_as
from bulkio.drivers.psycopg_statements import checked_result
from bulkio.errors import EncodeError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from psycopg.abc import Buffer, PQGen
    from psycopg.pq.abc import PGresult

    from bulkio.drivers.psycopg_statements import AnyConnection
    from bulkio.protocols import Row

__all__ = ["CANCEL_TIMEOUT_S", "CopyIn", "CopyOut", "CopyRecords"]

CANCEL_TIMEOUT_S = 5.0
#: bytes that psycopg itself puts into one call of libpq's
_PIECE_BYTES = 128 << 10

#: errors that psycopg's dumpers raise for a value that its type cannot hold
_DUMPER_ERRORS = (TypeError, ValueError, OverflowError, AttributeError, struct.error, psycopg.DataError)


class CopyIn:
    """COPY FROM STDIN of blocks."""

    def __init__(self, conn: AnyConnection, sql: str) -> None:
        self._conn = conn
        self._sql = sql
        self._stream = _Stream(conn)
        self._is_open = False

    def begin(self) -> PQGen[None]:
        """Start COPY."""
        encoding = self._conn.info.encoding
        self._conn.pgconn.send_query(self._sql.encode(encoding))
        [result] = yield from generators.execute(self._conn.pgconn)
        if result.status != ExecStatus.COPY_IN:
            raise psycopg.errors.error_from_result(result, encoding=encoding)
        self._is_open = True

    def write(self, block: bytes) -> PQGen[bool]:
        """Send one block; False where the server has already answered, which can only be an error."""
        yield from self._stream.send(block)
        return not self._stream.answered

    def finish(self) -> PQGen[int]:
        """End COPY and return the rows that the server counted. Raises the server's error."""
        self._is_open = False
        result = yield from self._stream.end()
        return result.command_tuples or 0

    def abandon(self) -> PQGen[None]:
        """End COPY with a failure, so that the server forgets its rows; does nothing after `finish`."""
        if self._is_open:
            self._is_open = False
            with suppress(psycopg.errors.QueryCanceled):
                yield from self._stream.end(b"the client gave up")


class _Stream:
    """Sends COPY data until the server answers in the middle of it, which libpq tells only at the end.

    Such an answer is an error. It is seen by a peek at the socket before libpq reads it: an ErrorResponse begins with
    ``E``, its length and the field S, the severity, then V (PostgreSQL docs, 55.7 "Message Formats"). What is not
    seen (under TLS, or behind a notice) is still reported, at the source's end.
    """

    _ERROR = re.compile(rb"E.{4}S[^\0]*\0V(?:ERROR|FATAL|PANIC)\0", re.DOTALL)

    def __init__(self, conn: AnyConnection) -> None:
        self._conn = conn
        #: True once the server has answered or is gone; nothing more is sent
        self.answered = False
        self._twin: socket.socket | None = None

    def send(self, data: Buffer) -> PQGen[None]:
        """Send `data` in pieces; a piece that is too large drives libpq into an endless loop (psycopg's #255)."""
        pieces = memoryview(data)
        for start in range(0, len(pieces), _PIECE_BYTES):
            if not self._came():
                yield from self._send(pieces[start : start + _PIECE_BYTES])

    def end(self, reason: bytes | None = None) -> PQGen[PGresult]:
        """End COPY, as failed for a `reason`; raises the server's error.

        psycopg's own waits to write and reads nothing: for ever, where the server waits until its notices are read.
        """
        if self._twin is not None:
            self._twin.close()
        pgconn = self._conn.pgconn
        yield from self._read_while(lambda: pgconn.put_copy_end(reason) == 0)
        yield from self._read_while(lambda: pgconn.flush() != 0)
        [result] = yield from generators.fetch_many(pgconn)
        return checked_result(result, self._conn.info.encoding)

    def _send(self, piece: Buffer) -> PQGen[None]:
        pgconn = self._conn.pgconn
        yield from self._read_while(lambda: pgconn.put_copy_data(piece) == 0)
        while pgconn.flush() != 0:
            if (yield from self._server_writes()):
                if self._came():
                    return
                self._read()

    def _read_while(self, is_stuck: Callable[[], bool]) -> PQGen[None]:
        """Call `is_stuck`, which tries to send, until it is not, and read meanwhile what the server writes."""
        while is_stuck():
            if (yield from self._server_writes()):
                self._read()

    def _server_writes(self) -> PQGen[bool]:
        """Wait until the server reads or writes; tell whether it writes. Until that is read, it may not read on."""
        ready = yield from _ready(Wait.RW)
        return bool(ready & Ready.R)

    def _read(self) -> None:
        """Read what the server writes while COPY runs, notices, and hand them on: they would fill the memory."""
        self._conn.pgconn.consume_input()
        self._conn.pgconn.is_busy()

    def _came(self) -> bool:
        if not self.answered and hasattr(socket, "MSG_DONTWAIT"):
            try:
                if self._twin is None:
                    self._twin = socket.socket(fileno=os.dup(self._conn.fileno()))
                said = self._twin.recv(128, socket.MSG_PEEK | socket.MSG_DONTWAIT)
                self.answered = not said or self._ERROR.match(said) is not None
            except (BlockingIOError, InterruptedError):
                pass
            except OSError:
                self.answered = True  # the connection is lost; libpq says how when COPY ends
        return self.answered


class _GaveUpError(Exception):
    """Tells psycopg that a COPY ends early; never leaves this module."""


class _Copy:
    """One COPY of psycopg's, begun and ended by hand: its context manager cannot span several threads' calls."""

    def __init__(self, conn: psycopg.Connection, sql: str) -> None:
        self._conn = conn
        self._cursor = conn.cursor()
        self._writer = _WatchfulWriter(self._cursor)
        self._manager = self._cursor.copy(sql, writer=self._writer)
        self._copy: psycopg.Copy | None = None

    def begin(self) -> None:
        self._copy = self._manager.__enter__()

    def _leave(self, error: BaseException | None = None) -> None:
        """Leave psycopg's context once; with an error it cancels the COPY and waits for the server's answer."""
        if self._copy is not None:
            self._copy = None
            with suppress(_GaveUpError):
                self._manager.__exit__(type(error) if error else None, error, None)


class CopyRecords(_Copy):
    """COPY FROM STDIN of rows."""

    def __init__(self, conn: psycopg.Connection, sql: str, type_oids: Sequence[int]) -> None:
        super().__init__(conn, sql)
        self._type_oids = type_oids

    def begin(self) -> None:
        """Start COPY."""
        super().begin()
        if self._copy is not None:
            self._copy.set_types([dumped_as(self._conn, oid) for oid in self._type_oids])

    def write(self, rows: Sequence[Row]) -> bool:
        """Send some rows; False where the server has already answered, which can only be an error."""
        if self._copy is None:
            return False
        write_row = self._copy.write_row
        try:
            for row in rows:
                write_row(row)
        except _DUMPER_ERRORS as exc:
            raise EncodeError(f"psycopg cannot encode a value of the row: {exc}") from exc
        return not self._writer.stream.answered

    def finish(self) -> int:
        """End COPY and return the rows that the server counted. Raises the server's error."""
        self._leave()
        return self._cursor.rowcount

    def abandon(self) -> None:
        """End COPY with a failure, so that the server forgets its rows; does nothing after `finish`."""
        self._leave(_GaveUpError())


class _WatchfulWriter(LibpqWriter):
    """Sends what psycopg's own COPY has made by `_Stream`."""

    def __init__(self, cursor: psycopg.Cursor[Any]) -> None:
        super().__init__(cursor)
        self.stream = _Stream(self.connection)

    def write(self, data: Buffer) -> None:
        """Send `data`."""
        self.connection.wait(self.stream.send(data))

    def finish(self, exc: BaseException | None = None) -> None:
        """End COPY, with an error where there is one; raises the server's error."""
        reason = None if exc is None else b"the client gave up"
        with suppress(psycopg.errors.QueryCanceled) if exc is not None else nullcontext():
            self.cursor._results = [self.connection.wait(self.stream.end(reason))]


class CopyOut(_Copy):
    """COPY TO STDOUT, gathered into blocks."""

    #: row count of the tag, once the stream has ended
    rows: int = 0
    _ended = False

    def read_block(self, block_bytes: int) -> bytes:
        """Read rows until they make a block; an empty one is the end."""
        get_row = self._conn.pgconn.get_copy_data
        # Copied at once: rows that are kept, each in memory of libpq's, cost a quarter more by page faults.
        block = bytearray()
        while len(block) < block_bytes and not self._ended:
            # psycopg's own read() costs a generator for each row; this loop only where libpq has to wait.
            row_bytes, row = get_row(1)
            if row_bytes > 0:
                block += row
            elif row_bytes == 0:
                self._wait_for_input()
            else:
                self._end_of_data()
        return bytes(block)

    def end(self) -> None:
        """Leave COPY. What is left of it is cancelled and dropped."""
        with suppress(psycopg.Error):  # the cancellation itself, or a lost connection
            if self._copy is not None and not self._ended:
                self._conn.cancel_safe(timeout=CANCEL_TIMEOUT_S)
                while self.read_block(1 << 20):
                    pass
        self._leave()

    def _wait_for_input(self) -> None:
        self._conn.wait(_ready(Wait.R))
        self._conn.pgconn.consume_input()

    def _end_of_data(self) -> None:
        self._ended = True
        pgconn = self._conn.pgconn
        results: list[PGresult] = []
        while True:
            while pgconn.is_busy():
                self._wait_for_input()
            if (result := pgconn.get_result()) is None:
                break
            results.append(result)
        for result in results:
            self.rows = checked_result(result, self._conn.info.encoding).command_tuples or 0


def _ready(state: Wait) -> Generator[Wait, int, int]:
    """Wait for the socket, in the way of psycopg's own generators."""
    while not (ready := (yield state)):
        pass
    return ready
