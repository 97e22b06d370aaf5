"""Files and streams of bytes as pieces, decompressed and compressed. gzip and zstd are recognised by their first bytes.

What the bytes are is not told here. pyarrow decompresses both; an end that is cut off,
a wrong checksum and bytes after the end are errors (its own, an OSError, which `faults.reading` maps).
"""

from __future__ import annotations

import gzip
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol, cast

import pyarrow as pa

from bulkio.errors import ConfigError
from bulkio.files.stores.paths import COMPRESSIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = [
    "BinaryFile",
    "compression_of",
    "compressor",
    "is_plain",
    "open_path",
    "open_stream",
    "read_pieces",
    "with_head",
]

#: first bytes of compressed files (RFC 1952, RFC 8878)
_MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
#: enough for the first bytes of every compression and format
_HEAD_BYTES = 8
_PIECE_BYTES = 1 << 20
#: level of gzip: on CSV of lineitem it is twice as fast as 9, and files are 3% larger
_GZIP_LEVEL = 6


class BinaryFile(Protocol):
    """What is read from: a file opened in binary mode, stdin's buffer, a socket's file."""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes, none at the end."""


class _Joined:
    """A stream whose first bytes were read already."""

    closed = False

    def __init__(self, head: bytes, rest: BinaryFile) -> None:
        self._head = head
        self._rest = rest

    def read(self, size: int = _PIECE_BYTES, /) -> bytes:
        if self._head:
            data, self._head = self._head[:size], self._head[size:]
            return data
        return _read(self._rest, size)

    def close(self) -> None:
        """Leave the stream open: it is the caller's."""


def compression_of(head: bytes) -> str | None:
    r"""Tell how a file that begins so is compressed.

    >>> compression_of(b"\x1f\x8b\x08"), compression_of(b"a,b")
    ('gzip', None)
    """
    return next((name for magic, name in _MAGIC.items() if head.startswith(magic)), None)


def is_plain(path: str) -> bool:
    """Tell whether a file's own bytes are its text's."""
    with Path(path).open("rb") as file:
        return compression_of(file.read(_HEAD_BYTES)) is None


@contextmanager
def open_path(path: str, *, start: int = 0) -> Iterator[BinaryFile]:
    """Open a file's text, decompressed, or its bytes from `start` on."""
    with Path(path).open("rb", buffering=0) as file:
        if start:
            file.seek(start)
            yield file
            return
        with open_stream(file) as stream:
            yield stream


@contextmanager
def open_stream(stream: BinaryFile) -> Iterator[BinaryFile]:
    """Decompress a stream, if it is compressed. It stays open: it is the caller's."""
    head, joined = with_head(stream)
    codec = compression_of(head)
    if codec is None:
        yield joined
        return
    with pa.CompressedInputStream(pa.PythonFile(joined, mode="r"), codec) as plain:
        yield plain


def with_head(stream: BinaryFile) -> tuple[bytes, BinaryFile]:
    """Return the first bytes of a stream, and the stream as if they had not been read."""
    head = b"".join(read_pieces(stream, size_bytes=_HEAD_BYTES))
    return head, _Joined(head, stream)


def read_pieces(file: BinaryFile, *, size_bytes: int | None = None, piece_bytes: int = _PIECE_BYTES) -> Iterator[bytes]:
    """Read to the end, or `size_bytes` bytes at the most, in pieces of at most `piece_bytes` bytes."""
    left = size_bytes
    while left is None or left > 0:
        piece = _read(file, piece_bytes if left is None else min(left, piece_bytes))
        if not piece:
            return
        if left is not None:
            left -= len(piece)
        yield piece


def _read(file: BinaryFile, size: int) -> bytes:
    data = file.read(size)
    if isinstance(data, str):
        raise ConfigError("the stream gives text: open it in binary mode")
    if data is None:
        raise OSError("the stream is not blocking")
    return data


def compressor(file: IO[bytes], path: str) -> IO[bytes] | None:
    """Return what compresses into an open file as `path` ends, None where that says nothing; `file` stays open."""
    codec = COMPRESSIONS.get(Path(path).suffix.lower())
    if codec is None:
        return None
    if codec == "gzip":
        return cast("IO[bytes]", gzip.GzipFile("", "wb", _GZIP_LEVEL, file, mtime=0))
    return cast("IO[bytes]", pa.CompressedOutputStream(pa.PythonFile(_Kept(file.write), mode="w"), codec))


class _Kept:
    """A file that stays open when what compresses into it closes it."""

    closed = False

    def __init__(self, write: Callable[[bytes], int]) -> None:
        self.write = write

    def flush(self) -> None:
        """Do nothing: the file is flushed when it is finished."""

    def close(self) -> None:
        """Do nothing: the file is closed by its owner."""
