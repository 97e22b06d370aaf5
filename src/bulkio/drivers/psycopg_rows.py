"""psycopg's adapters for bulkio's rows (the contract in `bulkio.drivers`): exact integers for dates and times.

Owns what is registered; sends nothing.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import psycopg
from psycopg.adapt import Dumper, Loader
from psycopg.pq import Format
from psycopg.types.numeric import (
    Float4BinaryDumper,
    Float4BinaryLoader,
    Int2BinaryDumper,
    Int2BinaryLoader,
    Int4BinaryDumper,
    Int4BinaryLoader,
    Int8BinaryDumper,
    Int8BinaryLoader,
    OidBinaryDumper,
    OidBinaryLoader,
)
from psycopg.types.string import ByteaBinaryLoader, BytesBinaryDumper, StrBinaryDumper, TextBinaryLoader

from bulkio.protocols import ROW_TYPE_OIDS

if TYPE_CHECKING:
    from psycopg.abc import Buffer
    from psycopg.adapt import AdaptersMap

__all__ = ["dumped_as", "register_row_types"]

_TEXT_OID = ROW_TYPE_OIDS["text"]
_INTERVAL = struct.Struct("!qii")  # microseconds, days, months
_TIMETZ = struct.Struct("!qi")  # microseconds, seconds west of UTC
_JSONB_VERSION = b"\x01"


class _IntervalDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: tuple[int, int, int]) -> Buffer:
        months, days, microseconds = obj
        return _INTERVAL.pack(microseconds, days, months)


class _IntervalLoader(Loader):
    format = Format.BINARY

    def load(self, data: Buffer) -> tuple[int, int, int]:
        microseconds, days, months = _INTERVAL.unpack(data)
        return (months, days, microseconds)


class _TimetzDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: tuple[int, int]) -> Buffer:
        return _TIMETZ.pack(*obj)


class _TimetzLoader(Loader):
    format = Format.BINARY

    def load(self, data: Buffer) -> tuple[int, ...]:
        return _TIMETZ.unpack(data)


class _JsonbDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: str) -> Buffer:
        return _JSONB_VERSION + obj.encode()


class _JsonbLoader(Loader):
    format = Format.BINARY

    def load(self, data: Buffer) -> str:
        if bytes(data[:1]) != _JSONB_VERSION:
            raise psycopg.DataError(f"jsonb of an unknown version: {bytes(data[:1])!r}")
        return str(data[1:], "utf-8")


#: the dumper's base and the loader, for each type that psycopg would turn into something else; and for int2, int4 and
#: oid, because psycopg's compiled dumpers silently wrap what is out of range. Subclasses are Python's, which check.
_ADAPTERS: dict[str, tuple[type[Dumper], type[Loader]]] = {
    "int2": (Int2BinaryDumper, Int2BinaryLoader),
    "int4": (Int4BinaryDumper, Int4BinaryLoader),
    "oid": (OidBinaryDumper, OidBinaryLoader),
    "float4": (Float4BinaryDumper, Float4BinaryLoader),
    "date": (Int4BinaryDumper, Int4BinaryLoader),
    "time": (Int8BinaryDumper, Int8BinaryLoader),
    "timestamp": (Int8BinaryDumper, Int8BinaryLoader),
    "timestamptz": (Int8BinaryDumper, Int8BinaryLoader),
    "timetz": (_TimetzDumper, _TimetzLoader),
    "interval": (_IntervalDumper, _IntervalLoader),
    "uuid": (BytesBinaryDumper, ByteaBinaryLoader),
    "json": (StrBinaryDumper, TextBinaryLoader),
    "jsonb": (_JsonbDumper, _JsonbLoader),
    "bpchar": (StrBinaryDumper, TextBinaryLoader),
}


def register_row_types(adapters: AdaptersMap) -> None:
    """Make the rows of whatever goes by these adapters those of the contract, both ways."""
    for name, (dumper, loader) in _ADAPTERS.items():
        oid = ROW_TYPE_OIDS[name]
        adapters.register_dumper(None, type(f"{name}Dumper", (dumper,), {"oid": oid}))
        adapters.register_loader(oid, loader)


def dumped_as(conn: psycopg.Connection, oid: int) -> int:
    """Return the type to dump a column as: a type that psycopg has no binary dumper for (an enum) goes as text."""
    try:
        conn.adapters.get_dumper_by_oid(oid, Format.BINARY)
    except psycopg.ProgrammingError:
        return _TEXT_OID
    return oid
