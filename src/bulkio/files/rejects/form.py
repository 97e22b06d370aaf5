"""How a file of rejected records is written: what of its source's first file it shares. It outlives the source."""

from __future__ import annotations

import io
from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import pyarrow as pa
import pyarrow.parquet as pq

from bulkio.files.faults import writing
from bulkio.files.formats.csv.reader import CsvPart
from bulkio.files.formats.registry import format_of_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bulkio.files.formats.part import Records
    from bulkio.files.formats.registry import Format
    from bulkio.files.formats.sink import FileSink
    from bulkio.files.source import FileSource

__all__ = ["CsvForm", "TypedForm", "form_of", "read_form", "sink_of", "try_out", "typed_format"]

_LINE_END = "\n"


@dataclass(frozen=True, slots=True)
class CsvForm:
    """Text: a head, and records that each end with the same line end."""

    head: bytes
    line_end: bytes
    #: encoding of a record
    codec: str

    @property
    def schema(self) -> pa.Schema:
        """The records as a part keeps them."""
        return pa.schema([("record", pa.large_binary())])

    @property
    def facts(self) -> dict[str, str]:
        """All of it as JSON can hold it."""
        return {"head": _text(self.head), "line_end": _text(self.line_end), "codec": self.codec}

    def head_before(self, first: bytes) -> bytes:
        """Return what stands before the first record, whose beginning must not be taken for a byte order mark."""
        try:
            mark = "\ufeff".encode(self.codec)
        except UnicodeEncodeError:
            return self.head
        return self.head or (mark if first.startswith(mark) else b"")

    def batch(self, records: Records, codec: str) -> pa.RecordBatch:
        """Return records of a file in this encoding as a part keeps them."""
        data = list(cast("tuple[bytes, ...]", records.data))
        if codec != self.codec:
            data = [record.decode(codec).encode(self.codec) for record in data]
        return pa.record_batch([pa.array(data, pa.large_binary())], schema=self.schema)


@dataclass(frozen=True, slots=True)
class TypedForm:
    """Rows of Arrow in one of the formats that have a sink."""

    schema: pa.Schema

    @property
    def facts(self) -> dict[str, str]:
        """All of it as JSON can hold it."""
        return {"schema": _text(self.schema.serialize().to_pybytes())}

    def batch(self, records: Records, _codec: str) -> pa.RecordBatch:
        """Return records as a part keeps them."""
        return pa.RecordBatch.from_arrays(cast("pa.RecordBatch", records.data).columns, schema=self.schema)


def typed_format(path: str) -> Format | None:
    """Return the format that a file's name tells, if it is one that batches are written in."""
    known = format_of_name(path)
    return None if known is None or known.open_sink is None else known


def sink_of(path: str, schema: pa.Schema) -> FileSink:
    """Open a file for rows of Arrow. Raises `FileError`."""
    known = typed_format(path)
    if known is None or known.open_sink is None:
        raise ValueError(f"no batches can be written to {path}")
    return known.open_sink(path, schema)


def try_out(path: str, batch: pa.RecordBatch) -> None:
    """Raise `FileError` for rows that could not be written to a file of this name: better now than after a COMMIT."""
    known = typed_format(path)
    if known is not None and known.name == "parquet":  # what it has no type for becomes another one, which may not fit
        with writing(path):
            pq.write_table(pa.Table.from_batches([batch]), io.BytesIO())


def form_of(source: FileSource) -> CsvForm | TypedForm:
    """Return how the records of a source are written. Raises `FileError`."""
    first = source.parts[0]
    if not isinstance(first, CsvPart):
        return TypedForm(source.record_schema)
    ends = (part.layout.line_ends for part in source.parts if isinstance(part, CsvPart))
    line_end = next(filter(None, ends), _LINE_END).encode(first.layout.codec)
    head = first.head()
    if first.options.has_header and not head.endswith(line_end):
        head += line_end
    return CsvForm(head, line_end, first.layout.codec)


def read_form(facts: Mapping[str, str]) -> CsvForm | TypedForm:
    """Return what `facts` were made of."""
    if "schema" in facts:
        return TypedForm(pa.ipc.read_schema(pa.py_buffer(b64decode(facts["schema"]))))
    return CsvForm(b64decode(facts["head"]), b64decode(facts["line_end"]), facts["codec"])


def _text(data: bytes) -> str:
    return b64encode(data).decode()
