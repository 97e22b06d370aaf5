"""A file of rejected records, as a load sees it: begun, filled chunk by chunk, finished or discarded."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from bulkio.errors import FileError, LedgerError
from bulkio.files.faults import writing
from bulkio.files.formats.csv.reader import CsvPart
from bulkio.files.rejects.assembly import assemble
from bulkio.files.rejects.checks import checked_source, refuse_existing, refuse_unfit
from bulkio.files.rejects.ending import count_records, finish_folder, finish_rejects
from bulkio.files.rejects.folder import Load, PartsFolder, folder_of, names_of, refuse_in_use
from bulkio.files.rejects.form import TypedForm, form_of, try_out
from bulkio.files.rejects.parts import PartName, Reason, reason_batch, write_part
from bulkio.show import printable, show_option

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pyarrow as pa

    from bulkio.protocols import Chunk, Reject, Source

__all__ = ["RejectFile"]


class RejectFile:
    """Where the records go that a load rejects; see the package's docstring for what is on disk when.

    The constructor makes nothing. Raises `ConfigError` where the source's records cannot be kept, or not under this
    name, and `FileError`. All methods may be called from any thread; `store` from several, for different chunks.
    """

    def __init__(self, dest: str, source: Source, *, load_id: str | None = None) -> None:
        #: the file as the user has named it, and the folder of its parts
        self.path = dest
        self.parts = str(folder_of(dest))
        self._dest = str(Path(dest).absolute())
        self._source = checked_source(source)
        refuse_unfit(dest, self._source, load_id)
        refuse_in_use(self._dest, load_id)
        self._form = form_of(self._source)
        self._codecs = {p.path: p.layout.codec for p in self._source.parts if isinstance(p, CsvPart)}
        self._folder: PartsFolder | None = None

    def begin(self, load_id: str | None, *, goes_on: bool = True) -> None:
        """Begin a load of which nothing is stored: what an earlier one under its id has left is removed.

        `goes_on` tells whether another run can go on with it, by its id.

        Raises:
            ConfigError: the records of another load are in the way.
            FileError: nothing can be written, or another process writes there.
        """
        self.close()
        self._folder = PartsFolder.begun(self._dest, Load(load_id, self._form.facts, goes_on))
        try:
            refuse_existing(self._dest, load_id)  # once more: while the folder is there, no other load makes it
        except BaseException:
            self.discard()
            raise

    def go_on(self, load_id: str, counts: Mapping[int, int]) -> None:
        """Go on with a load of which chunks are stored, each with so many records rejected; drop parts of others.

        Raises:
            LedgerError: some of these records are not there.
        """
        self.close()
        self._folder = PartsFolder.opened(self._dest, load_id)
        if self._folder is None and not any(counts.values()):
            self.begin(load_id)
        here = {} if self._folder is None else count_records(self._folder.path)
        missing = next((chunk for chunk, count in counts.items() if count and here.get(PartName(chunk)) != count), None)
        if missing is not None:
            raise LedgerError(
                f"the {counts[missing]:,} rejected records of chunk {missing + 1} are not in {printable(self.parts)}:"
                " they were written on another host, or removed; begin the load anew"
                f" ({show_option('restart', value=True)})",
                load_id=load_id,
            )
        for name in here:
            if name.staged or not counts.get(name.chunk):
                self._drop(name)
        self._drop_assembled()

    def store(self, chunk: Chunk, rejects: Sequence[Reject]) -> None:
        """Keep the records that are rejected of a chunk, in the place of what was kept of it: on disk at return."""
        self._store(PartName(chunk.number), chunk, rejects)

    def store_staged(self, chunk: Chunk, rejects: Sequence[Reject]) -> None:
        """Keep those that are rejected later, out of a staging table; a load that goes on drops them."""
        self._store(PartName(chunk.number, staged=True), chunk, rejects)

    def mark_committing(self) -> None:
        """Make ready for a COMMIT whose outcome nobody could tell after a crash: the files lie in the folder then."""
        folder = self._begun()
        assemble(folder.path, self._dest, self._form, folder.load.load_id)

    def finish(self, rejected: int, load_id: str | None = None) -> None:
        """Put the file together, with as many records; or do so for the load with this id, which another run has done.

        There is no file where there are no records. Raises `FileError`; then what is there stays.
        """
        if self._folder is None:
            finish_rejects(self._dest, load_id, rejected)
            return
        finish_folder(self._folder, self._dest, rejected)
        self._folder = None

    def discard(self) -> None:
        """Remove all: nothing of the load is stored. Raises `FileError`."""
        if self._folder is not None:
            self._folder.remove()
            self._folder = None

    def close(self) -> None:
        """Leave what there is to another run of the load."""
        if self._folder is not None:
            self._folder.close()
            self._folder = None

    def _begun(self) -> PartsFolder:
        if self._folder is None:
            raise FileError(f"{self.path}: no load has begun to write it", path=self.path)
        return self._folder

    def _drop(self, name: PartName) -> None:
        with writing(self.parts):
            (self._begun().path / str(name)).unlink(missing_ok=True)

    def _drop_assembled(self) -> None:
        """Remove what was put together before there was more."""
        if self._folder is not None:
            with writing(self.parts):
                for name in names_of(self._dest):
                    (self._folder.path / name).unlink(missing_ok=True)

    def _store(self, name: PartName, chunk: Chunk, rejects: Sequence[Reject]) -> None:
        folder = self._begun()
        self._drop_assembled()
        if not rejects:
            self._drop(name)
            return
        first: dict[int, Reject] = {}
        for reject in rejects:
            first.setdefault(reject.row, reject)
        ordered = [first[row] for row in sorted(first)]
        write_part(folder.path / str(name), self._form.schema, self._explained(chunk, ordered))

    def _explained(self, chunk: Chunk, rejects: Sequence[Reject]) -> Iterator[tuple[pa.RecordBatch, pa.RecordBatch]]:
        """Read rejected records again, with the reason for each."""
        reasons = iter(rejects)
        seen = 0
        for some in self._source.records([reject.row for reject in rejects], chunk):
            lines = some.lines or [None] * len(some.rows)
            file = some.path if self._source.has_files else self._source.name
            places = zip(islice(reasons, len(some.rows)), some.rows, lines, strict=True)
            explained = [Reason(reject, file, row, line) for reject, row, line in places]
            batch = self._form.batch(some, self._codecs.get(some.path, ""))
            if isinstance(self._form, TypedForm):
                try_out(self._dest, batch)
            yield batch, reason_batch(explained)
            seen += len(explained)
        if seen != len(rejects):
            message = f"{len(rejects) - seen} of its records that were rejected are not there any more"
            raise FileError(f"{self._source.name}: {message}", path=self._source.name)
