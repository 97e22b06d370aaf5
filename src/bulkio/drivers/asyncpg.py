"""asyncpg as a `Session`: COPY and cursors on the event loop.

Owns one asyncpg connection and the knowledge of where asyncpg differs from what bulkio needs: its codecs for dates and
times (replaced by exact integers), its habit of pulling a source on after the server has answered, and a wait that
nothing ends when the connection is lost while its buffer is full.
"""

from __future__ import annotations

import asyncio
import struct
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import asdict
from itertools import count
from typing import TYPE_CHECKING, TypeVar

import anyio
import asyncpg

from bulkio.drivers import asyncpg_params
from bulkio.drivers.errors import map_connect_error, mapped_errors
from bulkio.errors import BulkioError, EncodeError
from bulkio.flow import shelter
from bulkio.sql import close_cursor, declare_cursor, fetch_forward

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from bulkio.choices import DriverName
    from bulkio.drivers.asyncpg_connection import Connection
    from bulkio.drivers.conninfo import ConnInfo
    from bulkio.protocols import CopyFormat, CopyTarget, CsvForm, ResultColumn, Row

__all__ = ["AsyncpgSession"]

T = TypeVar("T")

_CLOSE_TIMEOUT_S = 5.0

_PIECE_BYTES = 64 << 10

#: errors that asyncpg's encoders raise for a value that its type cannot hold
_ENCODER_ERRORS = (TypeError, ValueError, OverflowError, struct.error)


class AsyncpgSession:
    """One asyncpg connection; see `bulkio.protocols.Session`."""

    driver: DriverName = "asyncpg"

    def __init__(self, conn: Connection) -> None:
        self._conn = conn
        self._cursor_numbers = count(1)
        #: wait for the next item of a COPY's source
        self._waiting = anyio.CancelScope()

    @classmethod
    async def open(cls, info: ConnInfo) -> AsyncpgSession:
        """Connect and set the codecs of bulkio's rows. Raises `ConnectError` or `ConfigError`."""
        try:
            conn = await asyncpg_params.connect(info)
        except BulkioError:
            raise
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as exc:
            has_password = asyncpg_params.has_password(info)
            raise map_connect_error(exc, info.display, has_password=has_password) from exc
        session = cls(conn)
        try:
            await session._prepare_connection()
        except BaseException:
            await session.close()
            raise
        return session

    @property
    def connection(self) -> Connection:
        """The connection, for a pool that keeps it."""
        return self._conn

    @property
    def closed(self) -> bool:
        """Tell whether the connection is gone."""
        return bool(self._conn.is_closed())

    @property
    def server_encoding(self) -> str:
        """The encoding that the database keeps text in; the server reports it when a session begins."""
        return str(getattr(self._conn.get_settings(), "server_encoding", "UTF8"))

    @property
    def server_version(self) -> int:
        """The server's version as a number, such as 180003."""
        version = self._conn.get_server_version()
        return int(version.major) * 10_000 + int(version.minor)

    @property
    def login_pid(self) -> int:
        """The process that was named at the login."""
        return int(self._conn.get_server_pid())

    @property
    def uses_tls(self) -> bool:
        """Tell whether what goes to the server, or to its pooler, is encrypted."""
        return self._conn._transport.get_extra_info("ssl_object") is not None  # there is no public way to it

    async def execute(self, sql: str) -> str:
        """Run one statement (or several, joined by semicolons); return the last one's command tag."""
        with self._mapped():
            return str(await self._conn.execute(sql))

    async def fetch(self, sql: str) -> list[Row]:
        """Run one query and return all its rows."""
        with self._mapped():
            return [tuple(row) for row in await self._conn.fetch(sql)]

    async def describe(self, query: str) -> tuple[ResultColumn, ...]:
        """Return the columns of `query`."""
        with self._mapped():
            return await self._conn.describe(query)

    async def copy_in(self, target: CopyTarget, blocks: AsyncIterator[bytes], fmt: CopyFormat) -> int:
        """Send `blocks` through `copy_to_table`; see the Protocol."""
        async with self._fed(blocks) as feed, aclosing(_pieces(feed, self._is_lost)) as pieces:
            tag = await self._conn.copy_to_table(
                target.table,
                source=pieces,
                columns=target.columns,
                schema_name=target.schema or None,
                freeze=target.freeze or None,
                where=target.where or None,
                **asyncpg_params.copy_in_options(fmt),
            )
        return _tag_rows(tag)

    async def copy_in_records(self, target: CopyTarget, rows: AsyncIterator[Sequence[Row]]) -> int:
        """Send rows through `copy_records_to_table`; see the Protocol.

        Raises:
            EncodeError: a value is not of the kind that a row of bulkio's holds for its column's type.
        """
        with self._mapped():
            # The encoders come from a cached statement: after DROP and CREATE on this connection it wrote int8 1
            # into a float8 column as 5e-324.
            await self._conn.reload_schema_state()
        async with self._fed(rows) as feed, aclosing(_flat(feed, self._is_lost)) as records:
            try:
                tag = await self._conn.copy_records_to_table(
                    target.table,
                    records=records,
                    columns=target.columns,
                    schema_name=target.schema or None,
                    where=target.where or None,
                )
            except _ENCODER_ERRORS as exc:
                if isinstance(exc, asyncpg.InterfaceError):
                    raise  # some of these are ValueErrors too
                raise EncodeError(f"asyncpg cannot encode a value of the row: {exc}") from exc
        return _tag_rows(tag)

    async def copy_out(
        self,
        query: str,
        sink: Callable[[bytes], Awaitable[None]],
        *,
        gather_bytes: int = 1 << 20,
        csv: CsvForm | None = None,
    ) -> int:
        """Push COPY's pieces, gathered, to `sink`; see the Protocol."""
        gather = _Gather(sink, gather_bytes)
        done: list[object] = []
        # asyncpg writes the COPY statement itself; these are the options of `sql.copy_to_stdout`.
        options = {"format": "binary"} if csv is None else {"format": "csv", "encoding": "UTF8", **asdict(csv)}
        try:
            # The line ends keep a comment at the query's end from swallowing asyncpg's bracket.
            with self._listening(lambda waiter: done.extend(_copy_is_done(waiter))), self._mapped():
                tag = await self._conn.copy_from_query(f"\n{query}\n", output=gather.push, **options)
        except _ForeignCodeError as exc:
            error = exc.error
        except asyncio.CancelledError:
            self._leave_copy(done)
            raise
        else:
            await gather.flush()
            return _tag_rows(tag)
        self._leave_copy(done)
        raise error

    def _leave_copy(self, done: list[object]) -> None:
        """Drop the connection where the server has sent all of a COPY that ends early.

        asyncpg then cancels what has ended already, and would wait for ever for the server's word that it has.
        """
        if done:
            self._conn.terminate()

    async def cursor(self, query: str, *, prefetch: int) -> AsyncGenerator[Sequence[Row], None]:
        """Read `query` through a cursor of the server's, inside a transaction; see the Protocol.

        Not through asyncpg's own: before 0.32 it asks for a transaction that asyncpg has begun.
        """
        name = f"bulkio_{next(self._cursor_numbers)}"
        await self.execute(declare_cursor(name, query))
        more = True
        while more:
            rows = await self.fetch(fetch_forward(name, prefetch))
            more = len(rows) == prefetch
            if rows:
                yield rows
        await self.execute(close_cursor(name))

    async def cancel(self) -> None:
        """Ask the server to cancel what runs now; does nothing where nothing runs."""
        if self.closed:
            return
        # asyncpg has no public call for this. Its own one takes a future that it sets when the request is sent.
        # It takes a cancellation for its own and swallows it.
        with self._mapped():
            await shelter.finish(self._conn._cancel(asyncio.get_running_loop().create_future()))

    async def close(self) -> None:
        """Close the connection. Raises no error; a connection that does not answer is dropped."""
        if not self.closed:
            await shelter.finish(self._close())

    async def _close(self) -> None:
        try:
            await self._conn.close(timeout=_CLOSE_TIMEOUT_S)
        except Exception:  # whatever it was: the socket goes
            self._conn.terminate()

    def _is_lost(self) -> bool:
        """Tell whether the socket has failed; asyncpg itself hears of that in the loop's next turn only."""
        return bool(self._conn._transport.is_closing())

    def _mapped(self) -> AbstractContextManager[None]:
        return mapped_errors(self._conn.is_closed)

    @asynccontextmanager
    async def _fed(self, items: AsyncIterator[T]) -> AsyncIterator[AsyncGenerator[T, None]]:
        """Yield a feed of `items` for one COPY; map what asyncpg raises, and pass on what the source raises."""
        try:
            with self._answers() as answers, self._mapped():
                async with aclosing(self._feed(items, answers)) as feed:
                    yield feed
            return
        except _ForeignCodeError as exc:
            error = exc.error
        raise error

    async def _feed(self, items: AsyncIterator[T], answers: list[BaseException]) -> AsyncGenerator[T, None]:
        """Yield the items until the server has answered: asyncpg itself pulls on to the end before it looks."""
        answers.clear()
        source = aiter(items)
        while not answers and not self.closed:
            # A source may be slow: whoever waits for it is woken by the server's answer.
            with anyio.CancelScope() as self._waiting:
                try:
                    item = await anext(source)
                except StopAsyncIteration:
                    return
                except Exception as exc:
                    raise _ForeignCodeError(exc) from exc
            if self._waiting.cancelled_caught:
                return
            yield item

    @contextmanager
    def _answers(self) -> Iterator[list[BaseException]]:
        """Yield a list that holds an error as soon as the server has sent one.

        There is no public way to see it, so this listens where asyncpg itself does. Should a later asyncpg change
        that, an error during COPY is still reported, at the source's end; a test watches it.
        """
        answers: list[BaseException] = []

        def note_error(waiter: asyncio.Future[object]) -> None:
            error = None if waiter.cancelled() else waiter.exception()
            if error is not None:
                answers.append(error)
                self._waiting.cancel()

        with self._listening(note_error):
            yield answers

    @contextmanager
    def _listening(self, listener: Callable[[asyncio.Future[object]], None]) -> Iterator[None]:
        """Show the listener what asyncpg waits for, each time that it has come."""
        protocol = self._conn._protocol
        original = getattr(protocol, "_on_waiter_completed", None)
        if original is None:
            yield
            return

        def listen(waiter: asyncio.Future[object]) -> None:
            listener(waiter)
            original(waiter)

        protocol._on_waiter_completed = listen
        try:
            yield
        finally:
            del protocol._on_waiter_completed

    async def _prepare_connection(self) -> None:
        """Set the codecs of bulkio's rows, and mend the wait that a lost connection leaves hanging."""
        with self._mapped():
            for form, encoder, decoder, names in _CODECS:
                for name in names:
                    # asyncpg knows these types by heart: nothing is sent.
                    await self._conn.set_type_codec(
                        name, schema="pg_catalog", encoder=encoder, decoder=decoder, format=form
                    )
        # A COPY that waits for room in the socket's buffer waits for ever once the connection is lost.
        protocol = self._conn._protocol
        self._conn.add_termination_listener(lambda _conn: protocol.resume_writing())
        self._conn.add_termination_listener(lambda _conn: self._waiting.cancel())


def _copy_is_done(waiter: asyncio.Future[object]) -> list[object]:
    """Return the tag of a COPY TO, once the server has sent all of it."""
    if waiter.cancelled() or waiter.exception() is not None:
        return []
    match waiter.result():
        case (_, True, tag):
            return [tag]
    return []


class _ForeignCodeError(Exception):
    """What a source or a sink raised, so that it is not taken for asyncpg's own."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


class _Gather:
    """Gathers pieces to about `block_bytes` before they go to `sink`."""

    def __init__(self, sink: Callable[[bytes], Awaitable[None]], block_bytes: int) -> None:
        self._sink = sink
        self._block_bytes = block_bytes
        self._pieces: list[bytes] = []
        self._held_bytes = 0

    async def push(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._held_bytes += len(piece)
        if self._held_bytes >= self._block_bytes:
            try:
                await self.flush()
            except Exception as exc:
                raise _ForeignCodeError(exc) from exc

    async def flush(self) -> None:
        if self._pieces:
            block = b"".join(self._pieces)
            self._pieces.clear()
            self._held_bytes = 0
            await self._sink(block)


async def _pieces(blocks: AsyncIterator[bytes], is_lost: Callable[[], bool]) -> AsyncGenerator[memoryview, None]:
    """Cut blocks into what the socket takes at once: asyncio copies what is left over, again and again."""
    async for block in blocks:
        with memoryview(block) as view:
            for start in range(0, len(view), _PIECE_BYTES):
                if is_lost():
                    return
                with view[start : start + _PIECE_BYTES] as piece:
                    yield piece


async def _flat(lists: AsyncIterator[Sequence[Row]], is_lost: Callable[[], bool]) -> AsyncGenerator[Row, None]:
    async for rows in lists:
        for row in rows:
            if is_lost():
                return
            yield row


def _tag_rows(tag: object) -> int:
    """Read the row count of a tag such as ``COPY 10``."""
    return int(str(tag).rpartition(" ")[2])


# --- The codecs of bulkio's rows (see bulkio.drivers) ---------------------------------------------------------


def _same(value: object) -> object:
    return value


def _wrap(value: int) -> tuple[int]:
    return (value,)


def _unwrap(value: tuple[int]) -> int:
    return value[0]


#: codecs that replace asyncpg's own: exchange format, encoder, decoder, type names
_CODECS: tuple[tuple[str, Callable[..., object], Callable[..., object], tuple[str, ...]], ...] = (
    ("tuple", _wrap, _unwrap, ("date", "time", "timestamp", "timestamptz")),
    ("tuple", _same, _same, ("timetz", "interval")),
    ("binary", _same, _same, ("uuid",)),
)
