"""Where text goes that the server itself writes: a staged file, compressed as its name ends, or stdout."""

from __future__ import annotations

from typing import IO, cast

from bulkio.files.faults import writing
from bulkio.files.stores.compression import compressor
from bulkio.files.stores.local import StagedFile
from bulkio.files.stores.standard import StdoutFile

__all__ = ["TextSink"]


class TextSink:
    """One file, or stdout for "-". The first error removes it. Raises `FileError`."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.bytes_written = 0
        with writing(path):
            self._staged = StdoutFile() if path == "-" else StagedFile(path)
        try:
            with writing(path):
                self._packed = compressor(cast("IO[bytes]", self._staged.file), path)
        except BaseException:
            self.abort()
            raise

    def write(self, data: bytes) -> None:
        """Append bytes."""
        with writing(self.path):
            (self._packed or self._staged.file).write(data)
            self.bytes_written = self._staged.file.tell()

    def commit(self) -> None:
        """Finish the file, fsync it and its folder, and give it its final name."""
        try:
            with writing(self.path):
                if self._packed is not None:
                    self._packed.close()
                self.bytes_written = self._staged.file.tell()
                self._staged.commit()
        except BaseException:
            self.abort()
            raise

    def abort(self) -> None:
        """Remove whatever was written. Never raises; harmless after `commit`."""
        self._staged.abort()
