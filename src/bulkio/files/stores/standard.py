"""Standard input and output as files: stdin without a name, stdout with nothing to rename."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import IO, cast

__all__ = ["StdoutFile", "stdin"]


def stdin() -> IO[bytes]:
    """Return standard input, in binary."""
    buffer = sys.stdin.buffer
    return cast("IO[bytes]", _Typed(buffer)) if buffer.isatty() else buffer


class _Typed:
    """A terminal, which is not asked again after its end: it would wait for one more Ctrl-D each time."""

    closed = False

    def __init__(self, terminal: IO[bytes]) -> None:
        self._terminal = getattr(terminal, "raw", terminal)  # a buffered file reads on to fill its buffer
        self._has_ended = False

    def read(self, size: int = -1, /) -> bytes:
        """Return what was typed up to the end of a line, nothing at the end."""
        data: bytes = b"" if self._has_ended else self._terminal.read(size)
        self._has_ended = not data
        return data


class StdoutFile:
    """Standard output in the place of a `StagedFile`: what was written stays written."""

    def __init__(self) -> None:
        self.file = self
        self.closed = False
        self._bytes = 0
        self._out = sys.stdout.buffer

    def write(self, data: bytes) -> int:
        """Write, and count. Raises BrokenPipeError where nobody reads any more."""
        self._out.write(data)
        count = memoryview(data).nbytes
        self._bytes += count
        return count

    def tell(self) -> int:
        """Return the bytes written so far."""
        return self._bytes

    def flush(self) -> None:
        """Hand on what is still held back."""
        self._out.flush()

    def close(self) -> None:
        """Leave stdout open: it is the program's."""

    def commit(self) -> None:
        """Hand on what is still held back."""
        self._out.flush()

    def abort(self) -> None:
        """Let the program end without another error where the pipe is closed. Never raises."""
        with suppress(OSError, ValueError):
            try:
                self._out.flush()
            except BrokenPipeError:
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, self._out.fileno())
                os.close(nowhere)
