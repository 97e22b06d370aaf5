"""The one place where errors of pyarrow and of the operating system become `FileError`.

No other error of pyarrow, and no OSError, may leave `bulkio.files`.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bulkio.errors import FileError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["is_pyarrow_s", "reading", "writing"]

#: Errors that pyarrow raises on bad input besides its own classes: OSError, UnicodeDecodeError (a ValueError) for
#: names, and MemoryError or OverflowError for absurd lengths.
_BUILT_IN = (OSError, ValueError, MemoryError, OverflowError)
_SHOWN_CHARS = 300


@contextmanager
def reading(path: str) -> Iterator[None]:
    """Turn foreign errors into `FileError`: `path` cannot be read."""
    try:
        yield
    except Exception as exc:
        if not _is_foreign(exc):
            raise
        raise FileError(f"{path}: cannot be read: {_reason(exc)}", path=path) from exc


@contextmanager
def writing(path: str) -> Iterator[None]:
    """Turn foreign errors into `FileError`: `path` cannot be written."""
    try:
        yield
    except Exception as exc:
        if not _is_foreign(exc):
            raise
        raise FileError(f"{path}: cannot be written: {_reason(exc)}", path=path) from exc


def is_pyarrow_s(exc: BaseException) -> bool:
    """Tell whether an exception is of one of pyarrow's classes, not each of which is an ArrowException."""
    return any(kind.__module__.partition(".")[0] == "pyarrow" for kind in type(exc).__mro__)


def _is_foreign(exc: BaseException) -> bool:
    """Tell whether an exception is pyarrow's or the system's."""
    return isinstance(exc, _BUILT_IN) or is_pyarrow_s(exc)


def _reason(exc: BaseException) -> str:
    if isinstance(exc, OSError) and exc.errno:
        return os.strerror(exc.errno)
    lines = str(exc).strip().splitlines() or [type(exc).__name__]
    return lines[0][:_SHOWN_CHARS]
