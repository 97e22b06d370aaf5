"""The one place where errors of pyarrow and of the operating system become `FileError`.

No other error of pyarrow, and no OSError, may leave `bulkio.files`.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pyarrow as pa

from bulkio.errors import FileError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["reading", "writing"]

#: What pyarrow raises on bad input: its own tree, OSError, UnicodeDecodeError (a ValueError) for names, and
#: MemoryError or OverflowError for absurd lengths.
_FOREIGN = (pa.ArrowException, OSError, ValueError, MemoryError, OverflowError)
_SHOWN_CHARS = 300


@contextmanager
def reading(path: str) -> Iterator[None]:
    """Turn foreign errors into `FileError`: `path` cannot be read."""
    try:
        yield
    except _FOREIGN as exc:
        raise FileError(f"{path}: cannot be read: {_reason(exc)}", path=path) from exc


@contextmanager
def writing(path: str) -> Iterator[None]:
    """Turn foreign errors into `FileError`: `path` cannot be written."""
    try:
        yield
    except _FOREIGN as exc:
        raise FileError(f"{path}: cannot be written: {_reason(exc)}", path=path) from exc


def _reason(exc: BaseException) -> str:
    if isinstance(exc, OSError) and exc.errno:
        return os.strerror(exc.errno)
    lines = str(exc).strip().splitlines() or [type(exc).__name__]
    return lines[0][:_SHOWN_CHARS]
