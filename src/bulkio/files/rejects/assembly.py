"""From parts to both files: the records under their head, and the reasons as lines of JSON, in the source's order."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from bulkio.files.faults import writing
from bulkio.files.formats.part import rows_of
from bulkio.files.rejects.folder import names_of
from bulkio.files.rejects.form import CsvForm, sink_of
from bulkio.files.rejects.parts import PartName, list_parts, read_part, reason_lines
from bulkio.files.stores.local import StagedFile
from bulkio.forms.layouts import has_dictionary

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bulkio.files.rejects.form import TypedForm

__all__ = ["assemble"]


class _Writer(Protocol):
    """What the records go to, or the reasons."""

    def write(self, batch: pa.RecordBatch, /) -> None:
        """Append some. Raises `FileError`."""

    def commit(self) -> None:
        """Finish the file. Raises `FileError`."""

    def abort(self) -> None:
        """Remove it, unless it is finished. Never raises."""


def assemble(folder: Path, dest: str, form: CsvForm | TypedForm, load_id: str | None) -> int:
    """Put both files together in the folder of the parts, under their own names; return how many records they have.

    Nothing is made where there are no records. Raises `FileError`.
    """
    count = 0
    records_path, reasons_path = (str(folder / name) for name in names_of(dest))
    with ExitStack() as files:
        writers: list[_Writer] = []
        for records, reasons in _in_order(folder):
            if not writers:  # the reasons first: where the records are, these are, too
                for make in (partial(_Lines, reasons_path, load_id), partial(_record_writer, records_path, form)):
                    writers.append(make())
                    files.callback(writers[-1].abort)
            writers[0].write(reasons)
            writers[1].write(pa.RecordBatch.from_arrays(records.columns, schema=form.schema))
            count += records.num_rows
        for writer in writers:
            writer.commit()
    return count


def _in_order(folder: Path) -> Iterator[tuple[pa.RecordBatch, pa.RecordBatch]]:
    """Yield all parts, chunk by chunk, each by its rows."""
    names = list_parts(folder)
    for name in names:
        if PartName(name.chunk, not name.staged) in names:
            if name.staged:
                yield from _merged(folder, name.chunk)
        else:
            yield from read_part(folder / str(name))


def _merged(folder: Path, chunk: int) -> Iterator[tuple[pa.RecordBatch, pa.RecordBatch]]:
    """Yield what was rejected of a chunk as it was sent and later, as one, by its rows."""
    batches = [both for staged in (False, True) for both in read_part(folder / str(PartName(chunk, staged)))]
    records, reasons = (pa.Table.from_batches(each) for each in zip(*batches, strict=True))
    order = pc.sort_indices(reasons["source_row"]).to_pylist()
    wholes = [each.unify_dictionaries().combine_chunks().to_batches()[0] for each in (records, reasons)]
    yield rows_of(wholes[0], order), rows_of(wholes[1], order)


class _Bytes:
    """A file of bytes under a temporary name, until it is committed."""

    def __init__(self, path: str) -> None:
        self._path = path
        with writing(path):
            self._staged = StagedFile(path)

    def put(self, data: bytes) -> None:
        """Append bytes."""
        with writing(self._path):
            self._staged.file.write(data)

    def commit(self) -> None:
        """Finish the file."""
        with writing(self._path):
            self._staged.commit()

    def abort(self) -> None:
        """Remove it."""
        self._staged.abort()


class _Lines(_Bytes):
    """The reasons."""

    def __init__(self, path: str, load_id: str | None) -> None:
        super().__init__(path)
        self._load_id = load_id

    def write(self, batch: pa.RecordBatch) -> None:
        """Append a line for each."""
        self.put(reason_lines(batch, self._load_id))


class _CsvRecords(_Bytes):
    """Records that are text."""

    def __init__(self, path: str, form: CsvForm) -> None:
        super().__init__(path)
        self._form = form
        self._has_begun = False

    def write(self, batch: pa.RecordBatch) -> None:
        """Append records, each with its line's end."""
        records = batch.column(0).to_pylist()
        if not self._has_begun:
            self._has_begun = True
            self.put(self._form.head_before(records[0]))
        self.put(b"".join(record + self._form.line_end for record in records))


class _TypedRecords:
    """Records that are rows of Arrow. Dictionaries that differ become one: Arrow's file format has room for no more."""

    def __init__(self, path: str, form: TypedForm) -> None:
        self._sink = sink_of(path, form.schema)
        self._held: list[pa.RecordBatch] | None = [] if any(map(has_dictionary, form.schema.types)) else None

    def write(self, batch: pa.RecordBatch) -> None:
        """Append rows."""
        if self._held is None:
            self._sink.write(batch)
        else:
            self._held.append(batch)

    def commit(self) -> None:
        """Finish the file."""
        if self._held:
            for batch in pa.Table.from_batches(self._held).unify_dictionaries().combine_chunks().to_batches():
                self._sink.write(batch)
        self._sink.commit()

    def abort(self) -> None:
        """Remove it."""
        self._sink.abort()


def _record_writer(path: str, form: CsvForm | TypedForm) -> _Writer:
    return _CsvRecords(path, form) if isinstance(form, CsvForm) else _TypedRecords(path, form)
