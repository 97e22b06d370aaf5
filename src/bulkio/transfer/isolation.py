"""Isolate the staged rows that the server refuses: store the rest of them whole.

What is refused by INSERT … SELECT (a foreign key, a trigger, a deferred constraint) does not say which row it is about.
So the rows are walked over in the order of their numbers: a range that is refused is halved, under savepoints, until a
row is left that is refused alone, with those before it in the table. Nothing of the walk stays: it is rolled back, the
refused rows leave the staging table, and the others are stored by the statement that would have stored all.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, TypeVar

from bulkio.errors import DriverError
from bulkio.sql import Places
from bulkio.sql.savepoints import CHECK_CONSTRAINTS, release, roll_back_to, savepoint, take_back
from bulkio.transfer.ranges import Range, Ranges
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
#: ranges that a walk keeps stored, each behind a savepoint
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
    await session.execute(f"{CHECK_CONSTRAINTS}; {savepoint(_POINT)}")
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


class _Walk:
    """One walk over the staged rows."""

    def __init__(
        self, session: Session, insert: StagedInsert, statement: Callable[[StagedInsert], str], refuse: RefusePlace
    ) -> None:
        self._session = session
        self._insert = insert
        self._statement = statement
        self._refuse = refuse
        #: what is stored of them
        self._stored = Ranges(session, self._send, _MOST_RANGES)
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
        if not count or await self._stored.add(Range(int(str(first)), int(str(first)), 0)) is not None:
            raise error  # it is said of no rows, too
        whole = Range(int(str(first)), int(str(last)) + 1, int(str(count)))
        todo = [(whole, error if whole.count > 1 else None)]
        while todo:
            part, known = todo.pop()
            said = known or await self._stored.add(part)
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

    async def _halves(self, part: Range, error: DriverError) -> list[tuple[Range, DriverError | None]]:
        """Return what is left to do of a range that is refused, the last first, with what is known to be said of it."""
        half = part.count // 2
        [(found,)] = await self._session.fetch(self._insert.place_at(Places(part.first, part.end), half))
        middle = int(str(found))
        left, right = Range(part.first, middle, half), Range(middle, part.end, part.count - half)
        if (said := await self._stored.add(left)) is not None:
            return [(right, None), (left, said)]
        return [(right, error if right.count > 1 else None)]

    async def _send(self, first: int, end: int, opening: str) -> None:
        refused = self._refused[bisect_left(self._refused, first) : bisect_left(self._refused, end)]
        part = self._insert.part(Places(first, end, but=tuple(refused)))
        await self._session.execute(f"{opening}; {self._statement(part)}")
