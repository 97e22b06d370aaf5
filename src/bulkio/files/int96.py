"""INT96 timestamps of Parquet, which reach further than any one 64-bit unit: read in three, each proves the next.

An INT96 is a Julian day and the nanoseconds of it. pyarrow makes 64 bits of that by arithmetic that wraps: in
nanoseconds past the year 2262, in microseconds past 294246, in seconds never. What is handed on are microseconds;
modulo 2**64 nanoseconds less 1000 times these are what microseconds leave out.
"""

from __future__ import annotations

from collections import deque
from datetime import date, timedelta
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from bulkio.errors import EncodeError
from bulkio.show import printable, show_option

if TYPE_CHECKING:
    from collections.abc import Iterator
__all__ = ["Witness"]

#: the last second that lies wholly within 64 bits of microseconds
_LAST_SECOND = (2**63 - 1) // 10**6 - 1
_DAY_S = 86_400
#: period after which the calendar's years repeat, in days and in years
_CYCLE_DAYS, _CYCLE_YEARS = 146_097, 400

#: column, or what lies below it, in microseconds, nanoseconds and seconds
_Units = tuple[pa.Array, pa.Array, pa.Array]


class Witness:
    """The same columns in nanoseconds and in seconds, which prove those in microseconds, batch by batch.

    `names` are the columns; `row` is the row, from 1, of the load with which the batches begin.
    """

    def __init__(
        self,
        others: tuple[Iterator[pa.RecordBatch], Iterator[pa.RecordBatch]],
        names: list[str],
        row: int,
        *,
        lossy: bool,
    ) -> None:
        self._others = tuple(_Rows(batches) for batches in others)
        self._names = names
        self._row = row
        self._lossy = lossy

    def prove(self, batch: pa.RecordBatch) -> None:
        """Raise EncodeError for the first timestamp that microseconds do not hold."""
        others = [rows.take(batch.num_rows) for rows in self._others]
        for name in self._names:
            units = (batch.column(name), *(other.column(name) for other in others))
            if _fault(units, lossy=self._lossy):
                self._raise(name, units)
        self._row += batch.num_rows

    def _raise(self, name: str, units: _Units) -> None:
        for index in range(len(units[0])):
            what = _fault(tuple(array.slice(index, 1) for array in units), lossy=self._lossy)
            if what:
                row = self._row + index
                raise EncodeError(what, column=name, row=row)


class _Rows:
    """Batches of any size, to be taken by numbers of rows."""

    def __init__(self, batches: Iterator[pa.RecordBatch]) -> None:
        self._batches = batches
        self._held: deque[pa.RecordBatch] = deque()

    def take(self, rows: int) -> pa.RecordBatch:
        held = sum(batch.num_rows for batch in self._held)
        while held < rows:
            batch = next(self._batches, None)
            if batch is None:
                raise ValueError("its columns have different numbers of rows: it is damaged")
            self._held.append(batch)
            held += batch.num_rows
        table = pa.Table.from_batches(self._held)
        self._held = deque(table.slice(rows).to_batches())
        return table.slice(0, rows).combine_chunks().to_batches()[0]


def _fault(units: _Units, *, lossy: bool) -> str:
    """Tell what is wrong with the first value, at any depth, that microseconds do not hold; "" where there is none."""
    us, ns, _ = units
    if us.type.equals(ns.type):  # no INT96 in it
        return ""
    if pa.types.is_timestamp(us.type):
        return _leaf_fault(units, lossy=lossy)
    for parts in zip(*map(_parts, units), strict=True):
        if what := _fault(parts, lossy=lossy):
            return what
    return ""


def _leaf_fault(units: _Units, *, lossy: bool) -> str:
    us, ns, seconds = (array.view(pa.int64()) for array in units)
    # These wrap, as what they undo did.
    far = pc.greater(seconds, _LAST_SECOND)
    inexact = pc.not_equal(pc.subtract(ns, pc.multiply(us, 1000)), 0)
    index = pc.index(far if lossy else pc.or_(far, inexact), True).as_py()
    if index < 0:
        return ""
    shown = _show_instant(seconds[index].as_py(), ns[index].as_py())
    if far[index].as_py():
        return f"{shown} is past the years that Arrow's microseconds hold"
    allow = show_option("allow_lossy", value=True)
    return f"{shown} has nanoseconds, which would be rounded to microseconds: allow that ({allow}), or round it"


def _parts(array: pa.Array) -> list[pa.Array]:
    """Return the arrays that lie directly below: of a struct its fields, of lists their elements."""
    if pa.types.is_struct(array.type):
        return list(array.flatten())
    if pa.types.is_map(array.type):
        first, end = array.offsets[0].as_py(), array.offsets[-1].as_py()
        return [part.slice(first, end - first) for part in (array.keys, array.items)]
    return [array.flatten()]


def _show_instant(seconds: int, ns: int) -> str:
    """Write out an instant of any year; `ns` are its nanoseconds modulo 2**64."""
    days, second = divmod(seconds, _DAY_S)
    cycles, day = divmod(days, _CYCLE_DAYS)
    near = date(1970, 1, 1) + timedelta(days=day)
    year = near.year + _CYCLE_YEARS * cycles
    era = "" if year > 0 else " BC"
    clock = f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"
    fraction = f"{(ns - seconds * 10**9) % 2**64:09}"
    return printable(f"{year if year > 0 else 1 - year:04}-{near:%m-%d} {clock}.{fraction}{era}")
