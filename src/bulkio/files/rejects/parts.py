"""The parts of a file of rejected records: one Arrow stream for each chunk, of records and the reasons for them."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.ipc as pa_ipc

from bulkio.files.faults import reading, writing
from bulkio.files.stores.local import StagedFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from bulkio.protocols import Reject

__all__ = ["REASONS", "PartName", "Reason", "list_parts", "read_part", "reason_batch", "reason_lines", "write_part"]

#: what stands behind the columns of the records, by position: those may have any names
REASONS = pa.schema(
    [
        ("source_row", pa.int64()),
        ("file", pa.binary()),
        ("row", pa.int64()),
        ("line", pa.int64()),
        ("column", pa.string()),
        ("sqlstate", pa.string()),
        ("message", pa.string()),
    ]
)
_NAME = re.compile(r"(\d+)\.(sent|staged)")
_OPTIONS = pa_ipc.IpcWriteOptions(use_threads=False)


@dataclass(frozen=True, slots=True, order=True)
class PartName:
    """Whose records a part has: those of a chunk that were rejected as it was sent, or once they were `staged`."""

    chunk: int
    staged: bool = False

    def __str__(self) -> str:
        return f"{self.chunk}.{'staged' if self.staged else 'sent'}"


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a record was rejected, and where it stands."""

    reject: Reject
    file: str
    row: int
    line: int | None


def list_parts(folder: Path) -> list[PartName]:
    """Return the names of the parts in a folder, sorted. Raises `FileError`."""
    with reading(str(folder)):
        names = [_NAME.fullmatch(path.name) for path in folder.iterdir()]
    return sorted(PartName(int(name[1]), name[2] == "staged") for name in names if name)


def reason_batch(reasons: Sequence[Reason]) -> pa.RecordBatch:
    """Return reasons as a part keeps them."""
    rows = [
        (
            reason.reject.row,
            os.fsencode(reason.file),
            reason.row,
            reason.line,
            reason.reject.column,
            reason.reject.sqlstate,
            reason.reject.message,
        )
        for reason in reasons
    ]
    columns = zip(*rows, strict=True)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, REASONS, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=REASONS)


def write_part(path: Path, schema: pa.Schema, batches: Iterable[tuple[pa.RecordBatch, pa.RecordBatch]]) -> None:
    """Write records of this schema and their reasons; the file appears when it is on disk, in an older one's place.

    Raises `FileError`, also those of `batches`; then what was there before is still there.
    """
    whole = pa.schema([*schema, *REASONS], metadata=schema.metadata)
    with writing(str(path)):
        staged = StagedFile(str(path))
        try:
            with pa_ipc.new_stream(staged.file, whole, options=_OPTIONS) as writer:
                for records, reasons in batches:
                    writer.write_batch(pa.RecordBatch.from_arrays([*records.columns, *reasons.columns], schema=whole))
            staged.commit()
        except BaseException:
            staged.abort()
            raise


def read_part(path: Path) -> Iterator[tuple[pa.RecordBatch, pa.RecordBatch]]:
    """Yield the batches of a part: records, and reasons. Raises `FileError`."""
    with reading(str(path)), path.open("rb") as file, pa_ipc.open_stream(file) as reader:
        for batch in reader:
            width = batch.num_columns - len(REASONS)
            records = pa.schema([*batch.schema][:width], metadata=batch.schema.metadata)
            yield (
                pa.RecordBatch.from_arrays(batch.columns[:width], schema=records),
                pa.RecordBatch.from_arrays(batch.columns[width:], schema=REASONS),
            )


def reason_lines(reasons: pa.RecordBatch, load_id: str | None) -> bytes:
    """Return reasons as lines of JSON."""
    lines = []
    for reason in reasons.to_pylist():
        del reason["source_row"]
        reason["file"] = os.fsdecode(reason["file"])
        # A name that is not UTF-8 has lone surrogates, whose escapes are those of JSON.
        lines.append(json.dumps({**reason, "load_id": load_id}, ensure_ascii=False).encode(errors="backslashreplace"))
    return b"".join(line + b"\n" for line in lines)
