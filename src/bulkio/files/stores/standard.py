"""Standard input and output as files: stdin without a name, stdout with nothing to rename."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import IO

__all__ = ["StdoutFile", "stdin"]


def stdin() -> IO[bytes]:
    """Return standard input, in binary."""
    return sys.stdin.buffer


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
