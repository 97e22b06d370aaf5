"""Ranges of rows that are stored while rows are tried, each behind a savepoint inside of the one before.

Every savepoint behind which something is stored is a subtransaction. Of more than 64 of them the server keeps no list
in memory, from then on until the transaction ends, and every other session looks up on disk what is committed
(PostgreSQL docs, "Subtransactions"). So only a few ranges are kept: the last ones are taken back and stored as one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bulkio.errors import DriverError
from bulkio.sql import savepoints
from bulkio.transfer.refusals import is_about_rows

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from bulkio.protocols import Session

__all__ = ["Range", "Ranges"]


@dataclass(frozen=True, slots=True)
class Range:
    """Rows from the first, up to the end, and how many they are."""

    first: int
    end: int
    count: int


class Ranges:
    """Ranges that are stored, in their order; between two of them there are none but rows that are left out."""

    def __init__(self, session: Session, send: Callable[[int, int, str], Awaitable[object]], most: int) -> None:
        """Keep at most so many; `send` stores rows from the first up to the end, behind a statement that it runs."""
        self._session = session
        self._send = send
        self._most = most
        self._stored: list[Range] = []

    async def add(self, rows: Range) -> DriverError | None:
        """Store a range; where the server refuses its rows, take it back and return the error.

        Raises:
            DriverError: it is not about the rows.
        """
        point = _point(len(self._stored))
        try:
            await self._send(rows.first, rows.end, savepoints.savepoint(point))
        except DriverError as error:
            if not is_about_rows(error):
                raise
            await self._session.execute(savepoints.take_back(point))
            return error
        self._stored.append(rows)
        if len(self._stored) > self._most:
            await self._join(self._last_ones())
        return None

    async def release(self) -> None:
        """Leave all that is stored behind one savepoint, which is released."""
        if len(self._stored) > 1:
            await self._join(0)
        if self._stored:
            await self._session.execute(savepoints.release(_point(0)))

    def _last_ones(self) -> int:
        """Return from which range on they are joined: each before that is larger than all behind it together.

        So a row is sent again only as often as its range doubles.
        """
        place = len(self._stored) - 2
        count = self._stored[place].count + self._stored[-1].count
        while place and self._stored[place - 1].count <= count:
            place -= 1
            count += self._stored[place].count
        return place

    async def _join(self, place: int) -> None:
        first, end = self._stored[place].first, self._stored[-1].end
        joined = Range(first, end, sum(each.count for each in self._stored[place:]))
        await self._send(first, end, savepoints.roll_back_to(_point(place)))
        self._stored[place:] = [joined]


def _point(number: int) -> str:
    return f"bulkio_range_{number:d}"
