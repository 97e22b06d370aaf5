"""Isolate the staged rows that the server refuses: store the rest of them whole.

What is refused by INSERT … SELECT (a foreign key, a trigger, a deferred constraint) does not say which row it is about.
So the rows are walked over in the order of their numbers: a range that is refused is halved, under savepoints, until a
row is left that is refused alone, with those before it in the table. Nothing of the walk stays: it is rolled back, the
refused rows leave the staging table, and the others are stored by the statement that would have stored all.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from bulkio.errors import DriverError
from bulkio.sql import Places
from bulkio.sql.savepoints import release, roll_back_to, savepoint, take_back
from bulkio.transfer.refusals import is_about_rows

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from bulkio.protocols import Session
    from bulkio.sql import StagedInsert

    Result = TypeVar("Result")
    #: what is told of each row that is refused: its place in the staging table, and what the server said of it
    RefusePlace = Callable[[int, DriverError], None]

__all__ = ["RefusePlace", "without_refused"]

#: names of the savepoints that everything is behind, and a walk
_POINT = "bulkio_merge"
_WALK = "bulkio_walk"
#: ranges of the walk that stay stored behind a savepoint each: of 64 and more, every other session has to look up on
#: disk what is committed
_MOST_RANGES = 40
#: places that one DELETE names
_NAMED_PLACES = 10_000


async def without_refused(
    session: Session,
    insert: StagedInsert,
    statement: Callable[[StagedInsert], str],
    store: Callable[[], Awaitable[Result]],
    refuse: RefusePlace,
) -> Result:
    """Let `store` bring the staged rows into the table, without those that the server refuses, which are told.

    `statement` builds what stores a part of them. One savepoint stays released.

    Raises:
        DriverError: the server refuses what no single row is to blame for.
    """
    await session.execute(f"SET CONSTRAINTS ALL IMMEDIATE; {savepoint(_POINT)}")
    refused: list[int] = []
    while True:
        try:
            result = await store()
        except DriverError as error:
            if not is_about_rows(error):
                raise
            await session.execute(roll_back_to(_POINT))
            await _leave_out(session, insert, refused)  # which has been rolled back, too
            await session.execute(savepoint(_WALK))
            more = await _Walk(session, insert, statement, refuse).run(error)
            await session.execute(take_back(_WALK))
            await _leave_out(session, insert, more)
            refused += more
        else:
            await session.execute(release(_POINT))
            return result


async def _leave_out(session: Session, insert: StagedInsert, places: Sequence[int]) -> None:
    for first in range(0, len(places), _NAMED_PLACES):
        await session.execute(insert.delete_places(places[first : first + _NAMED_PLACES]))


@dataclass(frozen=True, slots=True)
class _Range:
    """Staged rows that follow each other, and their number; the first place is that of a row."""

    first: int
    end: int
    count: int


class _Walk:
    """One walk over the staged rows. What it has stored of them lies behind savepoints, each inside the one before."""

    def __init__(
        self, session: Session, insert: StagedInsert, statement: Callable[[StagedInsert], str], refuse: RefusePlace
    ) -> None:
        self._session = session
        self._insert = insert
        self._statement = statement
        self._refuse = refuse
        #: what is stored; between two of these there are none but refused rows
        self._stored: list[_Range] = []
        #: places of the rows that are refused
        self._refused: list[int] = []

    async def run(self, error: DriverError) -> Sequence[int]:
        """Return the places of the rows that are refused, after `error` was said of all.

        Raises:
            DriverError: it is about none of them.
        """
        if self._insert.keep:  # a row that would never be stored is not refused
            await self._session.execute(self._insert.delete_superseded())
        await self._session.execute(self._insert.index_places())
        [(count, first, last)] = await self._session.fetch(self._insert.extent())
        if not count or await self._try(_Range(int(str(first)), int(str(first)), 0)) is not None:
            raise error  # it is said of no rows, too
        whole = _Range(int(str(first)), int(str(last)) + 1, int(str(count)))
        todo = [(whole, error if whole.count > 1 else None)]
        while todo:
            part, known = todo.pop()
            said = known or await self._try(part)
            if said is None:
                continue
            if part.count > 1:
                todo += await self._halves(part, said)
            else:
                self._refused.append(part.first)
                self._refuse(part.first, said)
        if not self._refused:
            raise error
        return self._refused

    async def _halves(self, part: _Range, error: DriverError) -> list[tuple[_Range, DriverError | None]]:
        """Return what is left to do of a range that is refused, the last first, with what is known to be said of it."""
        half = part.count // 2
        [(found,)] = await self._session.fetch(self._insert.place_at(Places(part.first, part.end), half))
        middle = int(str(found))
        left, right = _Range(part.first, middle, half), _Range(middle, part.end, part.count - half)
        if (said := await self._try(left)) is not None:
            return [(right, None), (left, said)]
        return [(right, error if right.count > 1 else None)]

    async def _try(self, part: _Range) -> DriverError | None:
        """Store a range; where the server refuses that, return what it said.

        Raises:
            DriverError: it is not about the rows.
        """
        point = _point(len(self._stored))
        text = self._statement(self._insert.part(Places(part.first, part.end)))
        try:
            await self._session.execute(f"{savepoint(point)}; {text}")
        except DriverError as error:
            if not is_about_rows(error):
                raise
            await self._session.execute(take_back(point))
            return error
        self._stored.append(part)
        if len(self._stored) > _MOST_RANGES:
            await self._join()
        return None

    async def _join(self) -> None:
        """Store the last ranges again, as one: so many that each is larger than all behind it together.

        So a row is stored again only as often as its range doubles.
        """
        first = len(self._stored) - 2
        count = self._stored[first].count + self._stored[-1].count
        while first and self._stored[first - 1].count <= count:
            first -= 1
            count += self._stored[first].count
        joined = _Range(self._stored[first].first, self._stored[-1].end, count)
        but = self._refused[bisect_left(self._refused, joined.first) : bisect_left(self._refused, joined.end)]
        places = Places(joined.first, joined.end, tuple(but))
        await self._session.execute(f"{roll_back_to(_point(first))}; {self._statement(self._insert.part(places))}")
        self._stored[first:] = [joined]


def _point(number: int) -> str:
    return f"bulkio_part_{number:d}"
