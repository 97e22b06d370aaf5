"""The rejected records of one try of a load: how many there may be, and what becomes of the file that they go to."""

from __future__ import annotations

import math
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import anyio.to_thread

from bulkio.choices import share_of
from bulkio.errors import FileError, LoadUnfinished, OutcomeUnknown, TooManyRejects
from bulkio.files import RejectFile, finish_rejects
from bulkio.flow import shelter
from bulkio.forms.encoding import LeftOut
from bulkio.plan.numbers import ROW_BITS
from bulkio.protocols import Reject
from bulkio.show import printable, show_name, show_option

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence

    from bulkio.errors import DriverError
    from bulkio.options import LoadRequest
    from bulkio.protocols import Chunk, Source
    from bulkio.transfer.report import LoadReport

__all__ = ["Rejects", "finish_recorded", "opened_rejects"]

T = TypeVar("T")

#: rejected records that a message names, at most
_NAMED = 5


class _TooMany(Exception):  # noqa: N818 - a signal
    """More records are rejected than may be; some of them, of one chunk."""

    def __init__(self, chunk: Chunk, rejects: Sequence[Reject]) -> None:
        super().__init__()
        self.chunk = chunk
        self.rejects = rejects


class Rejects:
    """The rejected records of one try."""

    def __init__(self, request: LoadRequest, source: Source) -> None:
        self._source = source
        self._limit = str(request.max_rejects)
        self._by_chunks = request.commit == "chunk"
        #: records of the source, where that is known
        self._records = source.rows
        self._file = RejectFile(str(request.rejects), source, load_id=request.load_id)
        #: records rejected and rows stored, by chunk; of a chunk that is on its way, those that have turned up
        self._counts: dict[int, tuple[int, int]] = {}
        self._chunks: dict[int, Chunk] = {}
        #: records that the server has refused after they were staged, by chunk
        self._staged: dict[int, list[Reject]] = {}
        #: the first records of each chunk of this try, for messages
        self._first: dict[int, Sequence[Reject]] = {}
        #: True if what is on disk may be of rows that are stored
        self.is_kept = False

    # --- Counting --------------------------------------------------------------------------------------------

    @property
    def rejected(self) -> int:
        """Records rejected so far."""
        return sum(count for count, _ in self._counts.values()) + self.staged

    @property
    def staged(self) -> int:
        """Those among them that were counted as rows before."""
        return sum(map(len, self._staged.values()))

    @property
    def path(self) -> str | None:
        """Where they are; None if there are none."""
        return self._file.path if self.rejected else None

    def left_out(self, chunk: Chunk, known: Iterable[Reject]) -> LeftOut:
        """Begin a chunk anew, of which some records are rejected already."""
        self._chunks[chunk.number] = chunk
        left_out = LeftOut(known, lambda _: self._count(chunk, left_out))
        self._count(chunk, left_out)
        return left_out

    def _count(self, chunk: Chunk, left_out: LeftOut) -> None:
        self._counts[chunk.number] = (len(left_out), 0)
        if self.rejected > self._most(chunk):
            raise _TooMany(chunk, left_out.rejects)

    def _most(self, chunk: Chunk) -> float:
        """Return how many records may be rejected as long as this chunk is on its way: more end the load at once."""
        if not self._limit.endswith("%"):
            return share_of(self._limit, 0)
        records = self._records_with(chunk)
        return math.inf if records is None else share_of(self._limit, records)

    def _records_with(self, chunk: Chunk) -> int | None:
        """Return how many records a percentage goes by, as long as a chunk is on its way; None if nobody knows."""
        if not self._by_chunks:
            return self._records
        others = sum(sum(pair) for number, pair in self._counts.items() if number != chunk.number)
        return None if chunk.rows is None else others + chunk.rows  # what will be looked at as it ends

    def know_chunks(self, chunks: Sequence[Chunk]) -> None:
        """Take note of what is known of the source once it is cut."""
        self._chunks = {chunk.number: chunk for chunk in chunks}
        counts = [chunk.rows for chunk in chunks]
        if None not in counts:
            self._records = sum(count or 0 for count in counts)

    def refuse_staged(self, place: int, error: DriverError) -> None:
        """Reject a row that was staged under this number: the server does not take it from there."""
        chunk = self._chunks[place >> ROW_BITS]
        rejects = self._staged.setdefault(chunk.number, [])
        rejects.append(Reject(self.row_of(place), str(error.args[0]), error.column, error.sqlstate))
        if self.rejected > self._most(chunk):
            raise _TooMany(chunk, rejects)

    def row_of(self, place: int) -> int:
        """Return the row of the source that was staged under a number."""
        return self._chunks[place >> ROW_BITS].counts_from + (place & ((1 << ROW_BITS) - 1))

    async def judge(self, chunks: Collection[int] | None = None) -> None:
        """Look whether too many records of some chunks are rejected, or of all.

        Raises:
            TooManyRejects: there are.
        """
        chosen = {number: pair for number, pair in self._counts.items() if chunks is None or number in chunks}
        staged = sum(len(rejects) for number, rejects in self._staged.items() if chunks is None or number in chunks)
        records = sum(map(sum, chosen.values()))
        if sum(count for count, _ in chosen.values()) + staged > share_of(self._limit, records):
            first = [(number, each) for number in sorted(chosen) for each in self._first_of(number)]
            raise await self._too_many(first, records)

    @asynccontextmanager
    async def limited(self) -> AsyncIterator[None]:
        """Raise `TooManyRejects` where the body meets more of them than may be."""
        try:
            yield
        except _TooMany as many:
            rejects = [(many.chunk.number, reject) for reject in many.rejects]
            raise await self._too_many(rejects, self._records_with(many.chunk)) from None

    def _first_of(self, chunk: int) -> Sequence[Reject]:
        return [*self._first.get(chunk, ()), *self._staged.get(chunk, ())]

    async def _too_many(self, rejects: Sequence[tuple[int, Reject]], records: int | None) -> TooManyRejects:
        """Return the error; of so many `records`, if that is known."""
        shown = rejects[:_NAMED]
        lines = [await _in_thread(self._described, self._chunks[number], reject) for number, reject in shown]
        if records is None:
            records = sum(map(sum, self._counts.values()))  # those that have been there
        of_all = f" of {records:,}" if self._limit.endswith("%") else ""
        verb = "record is" if self.rejected == 1 else "records are"
        return TooManyRejects(
            f"{self.rejected:,}{of_all} {verb} rejected, and {show_option('max_rejects')} allows {self._limit}"
            + "".join(f"\n  {line}" for line in lines),
            rejected=self.rejected,
            rows=records,
            rejects=tuple(reject for _, reject in shown),
        )

    def _described(self, chunk: Chunk, reject: Reject) -> str:
        place = None
        with suppress(FileError):  # the file has changed, or is gone
            place = self._source.place_of_row(reject.row, chunk)
        where = "" if place is None else f"{printable(place[0])}, line {place[1]}: "
        column = "" if reject.column is None else f", column {show_name(reject.column)}"
        return f"{where}row {reject.row}{column}: {reject.message}"

    def recount(self, counts: Mapping[int, tuple[int, int]]) -> None:
        """Go by what the ledger has of all chunks, whoever has stored them."""
        self._counts = dict(counts)

    # --- On disk ---------------------------------------------------------------------------------------------

    async def begin(self, load_id: str | None, *, goes_on: bool = True) -> None:
        """Begin a load of which nothing is stored: what an earlier try has left is not needed any more.

        It may have begun before, in another way that has stored nothing. `goes_on` tells whether another run can go on
        with it, by its id.
        """
        await _in_thread(self._file.discard)
        await _in_thread(partial(self._file.begin, load_id, goes_on=goes_on))
        self._counts, self._staged, self._first = {}, {}, {}

    async def go_on(self, load_id: str, chunks: Sequence[Chunk], counts: Mapping[int, tuple[int, int]]) -> None:
        """Go on with a load of which chunks are stored, with so many records rejected and rows stored of each.

        Raises:
            LedgerError: their records are not there.
        """
        self.know_chunks(chunks)
        self.recount(counts)
        self.is_kept = bool(counts)
        await _in_thread(self._file.go_on, load_id, {number: rejected for number, (rejected, _) in counts.items()})

    async def store(self, chunk: Chunk, rejects: Sequence[Reject], rows: int) -> None:
        """Store the records of a chunk of which so many rows are stored, before its COMMIT."""
        self._counts[chunk.number] = (len(rejects), rows)
        self._first[chunk.number] = rejects[:_NAMED]
        await _in_thread(self._file.store, chunk, rejects)

    async def seal(self, *, is_named: bool) -> None:
        """Make ready for the COMMIT that ends the load, whose outcome may stay unknown.

        Raises:
            TooManyRejects: there are too many of them.
        """
        await self.judge()
        for number, rejects in self._staged.items():
            await _in_thread(self._file.store_staged, self._chunks[number], rejects)
        if not is_named:
            await _in_thread(self._file.mark_committing)

    async def finish(self, report: LoadReport) -> LoadReport:
        """Put the file together, once the load is done; return its report.

        Where that is not possible, it has a note, and no file.
        """
        return await _finished(report, self._file.path, self._file.finish, report.rejected, report.load_id)

    async def leave(self, *, removes: bool) -> None:
        """End the work on the file; it `removes` what is on disk, where nothing of the load is stored."""
        await _in_thread(self._file.discard if removes else self._file.close)


@asynccontextmanager
async def opened_rejects(request: LoadRequest, source: Source) -> AsyncIterator[Rejects | None]:
    """Yield what keeps the rejected records of a try, if it keeps any; where it fails, they are removed.

    They stay where rows are stored, or may be, that they belong to.
    """
    if request.rejects is None:
        yield None
        return
    rejects = await _in_thread(Rejects, request, source)
    try:
        yield rejects
    except BaseException as error:
        is_kept = rejects.is_kept or isinstance(error, LoadUnfinished | OutcomeUnknown)
        with suppress(FileError):  # the error on its way says more
            await rejects.leave(removes=not is_kept)
        raise
    await rejects.leave(removes=False)


async def finish_recorded(report: LoadReport, *names: str | None) -> LoadReport:
    """Put the file together of a load that another run has done, where that has not, under the name that it had.

    That is one of these: a name that the ledger cannot hold is not told by it. Returns the report as `finish` does.
    """
    for name in dict.fromkeys(filter(None, names)):
        report = await _finished(report, name, finish_rejects, name, report.load_id, report.rejected)
    return report


async def _finished(report: LoadReport, dest: str, work: Callable[..., None], *args: object) -> LoadReport:
    tell = shelter.decision_watch.get()
    if report.rejected:
        tell("gathering")
    try:
        await _in_thread(work, *args)
    except FileError as error:
        return replace(report, rejects=None, notes=(*report.notes, _left_note(dest, report.load_id, error)))
    finally:
        if report.rejected:
            tell("gathered")
    return report


def _left_note(dest: str, load_id: str | None, error: FileError) -> str:
    """Say where rejected records are whose file could not be made of them, and how it can be."""
    what = f"the load is done, but {printable(dest)} could not be put together ({error}): the rejected records are in"
    if load_id is None:  # both files were made before the COMMIT
        return f"{what} the folder {printable(dest)}.parts, in two files of these names: take them out, and remove it"
    mend = f"mend that, and run `bulkio loads resume {printable(load_id)}`"
    return f"{what} the folder {printable(dest)}.parts, in pieces: {mend}"


async def _in_thread(work: Callable[..., T], *args: object) -> T:
    return await shelter.finish(anyio.to_thread.run_sync(work, *args))
