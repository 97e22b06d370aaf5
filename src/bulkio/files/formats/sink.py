"""The steps that the sinks of all formats share: check a batch, write it, count bytes, commit or clean up."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Protocol, cast

from bulkio.errors import FileError, SchemaError
from bulkio.files.faults import writing
from bulkio.files.stores.local import StagedFile
from bulkio.files.stores.standard import StdoutFile
from bulkio.show import printable

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

__all__ = ["FileSink", "Writer"]


class Writer(Protocol):
    """What a format does with an open file. Foreign errors may escape: `FileSink` maps them."""

    def write(self, batch: pa.RecordBatch) -> None:
        """Append one batch, which has the writer's schema."""

    def close(self) -> None:
        """Write what is held back and the format's end; leave the file open."""


class FileSink:
    """A `protocols.Sink` for one file. The first error removes the temporary file; the sink is then dead."""

    def __init__(self, path: str, schema: pa.Schema, make_writer: Callable[[IO[bytes]], Writer]) -> None:
        self.path = path
        self.schema = schema
        self.bytes_written = 0
        with writing(path):
            self._staged = StdoutFile() if path == "-" else StagedFile(path)
        self._writer: Writer | None = None
        try:
            with writing(path):
                self._writer = make_writer(cast("IO[bytes]", self._staged.file))
        except BaseException:
            self.abort()
            raise

    def write(self, batch: pa.RecordBatch) -> None:
        """Append one batch. Raises `SchemaError` for another schema, `FileError` if it cannot be written."""
        if not batch.schema.equals(self.schema, check_metadata=False):
            raise SchemaError(
                f"{printable(self.path)}: a batch has another schema than the file: {_difference(self.schema, batch)}"
            )
        try:
            with writing(self.path):
                self._living().write(batch)
                self.bytes_written = self._staged.file.tell()
        except BaseException:
            self.abort()
            raise

    def commit(self) -> None:
        """Finish the file, fsync it and its folder, and give it its final name. Raises `FileError`."""
        try:
            with writing(self.path):
                self._living().close()
                self.bytes_written = self._staged.file.tell()
                self._staged.commit()
        except BaseException:
            self.abort()
            raise
        self._writer = None

    def abort(self) -> None:
        """Remove whatever was written. Never raises; harmless after `commit`."""
        self._staged.abort()
        self._writer = None

    def _living(self) -> Writer:
        if self._writer is None:
            raise FileError(f"{self.path}: was already finished or given up", path=self.path)
        return self._writer


def _difference(schema: pa.Schema, batch: pa.RecordBatch) -> str:
    wanted = ", ".join(f"{printable(field.name)} {field.type}" for field in schema if field not in batch.schema)
    return wanted or "the columns stand in another order"
