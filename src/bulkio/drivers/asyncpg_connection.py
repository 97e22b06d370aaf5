"""asyncpg's connection, with what it lacks: questions of its own that find the server's names, and type modifiers.

Owns the knowledge of where asyncpg asks for types that it does not know, and of how the server describes a result. Both
are hooks below asyncpg's public API: tests watch them.
"""

from __future__ import annotations

import asyncio
import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import asyncpg

from bulkio.errors import BulkioError
from bulkio.protocols import ResultColumn
from bulkio.show import show_option
from bulkio.sql import OWN_PATH, restore_path, save_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Connection"]

#: setting in which `_introspect_types` keeps the search_path; not the one for the user's path
_PATH_SETTING = "bulkio.asyncpg_path"

#: layout of a field of RowDescription after its name: table, column, type, its size, its modifier, format
_FIELD = struct.Struct("!IhIhih")


class Connection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg shows no types
    """One connection to one server."""

    async def _introspect_types(self, typeoids: Sequence[int], timeout: float | None) -> Any:  # noqa: ASYNC109 - as there
        """Ask for types under pg_catalog's path: these queries leave their names and operators to the search_path.

        It is asyncpg's own hook; the statement at hand has been parsed before, under the path that it is written for.
        """
        await self.execute(f"{save_path(_PATH_SETTING)}; {OWN_PATH}")
        answer = await super()._introspect_types(typeoids, timeout)
        await self.execute(restore_path(_PATH_SETTING))
        return answer

    async def describe(self, query: str) -> tuple[ResultColumn, ...]:
        """Return the columns of `query`, with the type modifiers, which asyncpg receives and keeps to itself."""
        self._check_open()
        with self._overhearing() as heard:
            # The public call would go on to look for codecs, and refuse types that a COPY can carry.
            await self._protocol.prepare(
                "", query, None, record_class=self._protocol.get_record_class(), ignore_custom_codec=True
            )
        columns = _row_description(bytes(heard))
        if columns is None:
            raise BulkioError(
                f"the server's description of the query cannot be read: use {show_option('driver', 'psycopg')}"
            )
        return columns

    @contextmanager
    def _overhearing(self) -> Iterator[bytearray]:
        """Yield a buffer that gets what the server sends meanwhile."""
        transport, protocol = self._transport, self._protocol
        relay = _Relay(protocol)
        transport.set_protocol(relay)
        try:
            yield relay.heard
        finally:
            transport.set_protocol(protocol)


class _Relay(asyncio.Protocol):
    """Stands between a transport and asyncpg, and keeps a copy of what is received."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        self._protocol = protocol
        self.heard = bytearray()

    def data_received(self, data: bytes) -> None:
        self.heard += data
        self._protocol.data_received(data)

    def eof_received(self) -> bool | None:
        return self._protocol.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._protocol.connection_lost(exc)

    def pause_writing(self) -> None:
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        self._protocol.resume_writing()


def _row_description(heard: bytes) -> tuple[ResultColumn, ...] | None:
    """Read the answer to Parse and Describe (PostgreSQL docs, 55.7 "Message Formats"); None where it is not one.

    That is ParseComplete, ParameterDescription, and RowDescription or NoData; notices may come at any place.
    """
    messages: dict[bytes, bytes] = {}
    at = 0
    while at < len(heard):
        end = at + 1 + int.from_bytes(heard[at + 1 : at + 5], "big")
        messages[heard[at : at + 1]] = heard[at + 5 : end]
        at = end
    if at != len(heard) or not messages.keys() >= {b"1", b"t"}:
        return None
    if (body := messages.get(b"T")) is not None:
        return tuple(_fields(body))
    return () if b"n" in messages else None


def _fields(body: bytes) -> Iterator[ResultColumn]:
    at = 2
    for _ in range(int.from_bytes(body[:2], "big")):
        end = body.index(b"\0", at)
        _, _, type_oid, _, typmod, _ = _FIELD.unpack_from(body, end + 1)
        yield ResultColumn(body[at:end].decode(), type_oid, typmod)
        at = end + 1 + _FIELD.size
