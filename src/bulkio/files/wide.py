"""Which columns hold integers of more than 64 bits: pyarrow refuses to open their file and does not name them.

Polars writes such integers. The names stand in the Arrow schema that the file carries, a FlatBuffer
(https://flatbuffers.dev/internals, Arrow's Schema.fbs and Message.fbs), of which this reads no more than it needs.
"""

from __future__ import annotations

import base64
import struct
from contextlib import contextmanager, suppress
from mmap import mmap
from typing import TYPE_CHECKING

import pyarrow as pa

from bulkio.show import show_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Table", "ipc_file_schema", "naming_wide_integers", "parquet_schema", "stream_schema"]

_Bytes = bytes | mmap

# slots of the tables' fields, in the order of their declaration
_MESSAGE_HEADER = 2
_FOOTER_SCHEMA, _FOOTER_BATCHES = 1, 3
_BATCH_LENGTH = 0
#: a Block of the footer: where a message lies, bytes of its header, bytes of its body
_BLOCK = "<qi4xq"
_SCHEMA_FIELDS = 1
_FIELD_NAME, _FIELD_TYPE_ID, _FIELD_TYPE, _FIELD_CHILDREN = 0, 2, 3, 5
_INT_BIT_WIDTH = 0
#: number of Int in the union Type
_INT = 2
_WIDEST = 64
#: bytes before each message of a stream, and their size together with the message's length
_CONTINUATION, _PREFIX_BYTES = b"\xff\xff\xff\xff", 8
#: bytes after an IPC file's footer: its length, and the magic bytes
_FILE_END_BYTES = 10
#: depth to which a schema is examined, so that a damaged one ends
_MAX_DEPTH = 16
_RECORDED_SCHEMA = b"ARROW:schema"
#: byte by which Thrift's compact protocol introduces a string after a string: the next field of a struct, binary
_NEXT_BINARY = 0x18


class Table:
    """One table of a FlatBuffer. Reading outside the buffer raises struct.error."""

    def __init__(self, data: _Bytes, at: int) -> None:
        self._data = data
        self._at = at
        self._slots = at - _int32(data, at)
        self._slots_bytes = _uint16(data, self._slots)

    def offset(self, slot: int) -> int | None:
        """Return where a field's value lies, None where it has its default."""
        entry = 4 + 2 * slot
        if entry + 2 > self._slots_bytes:
            return None
        relative = _uint16(self._data, self._slots + entry)
        return self._at + relative if relative else None

    def table(self, slot: int) -> Table | None:
        """Return the table that a field refers to."""
        at = self.offset(slot)
        return None if at is None else Table(self._data, at + _uint32(self._data, at))

    def tables(self, slot: int) -> Iterator[Table]:
        """Return the tables of a vector of them."""
        at = self.offset(slot)
        if at is None:
            return
        at += _uint32(self._data, at)
        for index in range(min(_uint32(self._data, at), len(self._data))):
            item = at + 4 + 4 * index
            yield Table(self._data, item + _uint32(self._data, item))

    def structs(self, slot: int, fmt: str) -> Iterator[tuple[int, ...]]:
        """Return a vector's structs, which lie in it one after the other."""
        at = self.offset(slot)
        if at is None:
            return
        at += _uint32(self._data, at)
        for index in range(_uint32(self._data, at)):
            yield struct.unpack_from(fmt, self._data, at + 4 + index * struct.calcsize(fmt))

    def text(self, slot: int) -> str:
        """Return a string."""
        at = self.offset(slot)
        if at is None:
            return ""
        at += _uint32(self._data, at)
        return self._data[at + 4 : at + 4 + _uint32(self._data, at)].decode("utf-8", "replace")

    def number(self, slot: int, fmt: str) -> int:
        """Return a number; 0 is every default that is read here."""
        at = self.offset(slot)
        return 0 if at is None else int(struct.unpack_from(fmt, self._data, at)[0])


@contextmanager
def naming_wide_integers(schema: Callable[[], Table | None]) -> Iterator[None]:
    """Turn pyarrow's error into a ValueError that names the columns; `schema` finds the schema in the file."""
    try:
        yield
    except pa.ArrowNotImplementedError as exc:
        if explained := _explain(schema):
            raise ValueError(explained) from exc
        raise


def stream_schema(message: _Bytes) -> Table | None:
    """Return the schema in the message that begins a stream."""
    return message_header(message)


def message_header(message: _Bytes) -> Table | None:
    """Return what a message describes: a schema, a batch."""
    start = _PREFIX_BYTES if message[:4] == _CONTINUATION else 4
    return Table(message, start + _uint32(message, start)).table(_MESSAGE_HEADER)


def ipc_file_schema(data: _Bytes) -> Table | None:
    """Return the schema in the footer of a file."""
    return ipc_file_footer(data).table(_FOOTER_SCHEMA)


def ipc_file_footer(data: _Bytes) -> Table:
    """Return the footer of a file, which ends with the footer's length, 32 bits, and the magic bytes."""
    end = len(data) - _FILE_END_BYTES
    footer = data[end - _uint32(data, end) : end]
    return Table(footer, _uint32(footer, 0))


def ipc_batch_rows(data: _Bytes) -> list[int]:
    """Return the numbers of rows of a file's batches, from their headers. Raises ValueError where it is damaged."""
    try:
        return [_batch_rows(data, block) for block in ipc_file_footer(data).structs(_FOOTER_BATCHES, _BLOCK)]
    except struct.error as exc:
        raise ValueError("its footer points outside it: it is damaged") from exc


def _batch_rows(data: _Bytes, block: tuple[int, ...]) -> int:
    offset, header_bytes, _ = block
    batch = message_header(data[offset : offset + header_bytes])
    return 0 if batch is None else batch.number(_BATCH_LENGTH, "<q")


def parquet_schema(footer: bytes) -> Table | None:
    """Return the Arrow schema that the footer of a Parquet file carries, as a message in Base64, if any."""
    key = footer.find(_RECORDED_SCHEMA)
    at = key + len(_RECORDED_SCHEMA)
    if key < 0 or footer[at : at + 1] != bytes([_NEXT_BINARY]):
        return None
    size, shift, at = 0, 0, at + 1
    while at < len(footer) and footer[at] & 0x80:  # all bytes of the length but the last
        size |= (footer[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
    size |= int.from_bytes(footer[at : at + 1], "little") << shift
    return stream_schema(base64.b64decode(footer[at + 1 : at + 1 + size]))


def _explain(schema: Callable[[], Table | None]) -> str:
    """Say which columns are too wide; "" where none is."""
    names: list[str] = []
    with suppress(struct.error, ValueError):
        found = schema()
        fields = [] if found is None else found.tables(_SCHEMA_FIELDS)
        names += [field.text(_FIELD_NAME) for field in fields if _is_wide(field, _MAX_DEPTH)]
    if not names:
        return ""
    columns = ("column " if len(names) == 1 else "columns ") + ", ".join(map(show_name, names))
    hold = "holds" if len(names) == 1 else "hold"
    return (
        f"{columns} {hold} integers of more than {_WIDEST} bits, which cannot be read: cast where the file is written"
    )


def _is_wide(field: Table, depth: int) -> bool:
    if field.number(_FIELD_TYPE_ID, "<B") == _INT:
        kind = field.table(_FIELD_TYPE)
        return kind is not None and kind.number(_INT_BIT_WIDTH, "<i") > _WIDEST
    return depth > 0 and any(_is_wide(child, depth - 1) for child in field.tables(_FIELD_CHILDREN))


def _int32(data: _Bytes, at: int) -> int:
    return int(struct.unpack_from("<i", data, at)[0])


def _uint32(data: _Bytes, at: int) -> int:
    return int(struct.unpack_from("<I", data, at)[0])


def _uint16(data: _Bytes, at: int) -> int:
    return int(struct.unpack_from("<H", data, at)[0])
