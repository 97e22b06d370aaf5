"""Local times, given the offset of their zone. A time that the zone has twice, or not at all, is not guessed.

Offsets are Python's zoneinfo. One is looked up for each day that occurs, once: a day of one offset throughout, which
nearly all are, serves all its values. In the others each value is looked at. (No zone changes its offset twice in less
than four days; two looks at a day are enough.)
"""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc

from bulkio.forms.layouts import texts_where

__all__ = ["Zone"]

#: pattern of an ISO date, with or without its time of day to the minute at least, and no zone
_LOCAL = r"^\d{4}-\d\d-\d\d([ Tt]([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d+)?)?)?$"
_ZONED = r"^(\d{4,6}-\d\d-\d\d[ Tt]\d\d:\d\d(:\d\d(\.\d+)?)? ?([Zz]|[+-]\d\d(:?\d\d(:?\d\d)?)?)( BC)?|-?infinity)$"
_DATE_CHARS, _SECOND_CHARS = len("2025-12-31"), len("2025-12-31 23:59:59")
_MIDNIGHT = " 00:00:00"


class Zone:
    """One time zone, by its IANA name.

    >>> Zone("Europe/Berlin").complete(pa.array(["2025-07-01 12:00:00", "2025-01-01", "2025-01-01 00:00Z"])).to_pylist()
    ['2025-07-01 12:00:00+02:00', '2025-01-01 00:00:00+01:00', '2025-01-01 00:00Z']
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._zone = ZoneInfo(name)
        #: offset throughout a day; empty if it changes on that day
        self._days: dict[str, str] = {}

    def complete(self, texts: pa.Array) -> pa.Array:
        """Append the offset to each text that tells no zone. Raises `ValueError(row, reason)`, the row from 0."""
        local = pc.match_substring_regex(texts, _LOCAL)
        strange = pc.and_not(pc.invert(local), pc.match_substring_regex(texts, _ZONED))
        row = pc.index(strange, True).as_py()
        if row >= 0:
            raise ValueError(row, "is not an ISO date and time, with a zone or without one")
        plain = texts_where(local, texts)
        # a date alone is its midnight
        plain = pc.if_else(pc.equal(pc.utf8_length(plain), _DATE_CHARS), _joined(plain, _MIDNIGHT), plain)
        days = pc.utf8_slice_codeunits(plain, 0, _DATE_CHARS).dictionary_encode()
        offsets = pa.array([self._offset_of_day(day, days) for day in days.dictionary.to_pylist()], texts.type)
        return pc.coalesce(_joined(plain, self._settled(plain, offsets.take(days.indices))), texts)

    def _offset_of_day(self, day: str, days: pa.DictionaryArray) -> str:
        known = self._days.get(day)
        if known is None:
            try:
                start = datetime.fromisoformat(day)
            except ValueError as exc:
                row = pc.index(days.indices, days.dictionary.index(day)).as_py()
                raise ValueError(row, "is not a date and time") from exc
            first, last = self._offset(start), self._offset(start.replace(hour=23, minute=59, second=59))
            known = self._days[day] = first if first == last else ""
        return known

    def _settled(self, texts: pa.Array, suffixes: pa.Array) -> pa.Array:
        """Return `suffixes` with the offset of each value of a day that does not have one throughout."""
        open_rows = pc.indices_nonzero(pc.fill_null(pc.equal(suffixes, ""), fill_value=False)).to_pylist()
        if not open_rows:
            return suffixes
        settled = suffixes.to_pylist()
        for row in open_rows:
            text = texts[row].as_py()
            when = datetime.fromisoformat(text[:_SECOND_CHARS])
            settled[row] = self._offset(when)
            if not settled[row]:
                raise ValueError(row, f"is a time that {self.name} {self._trouble(when)}: write its offset behind it")
        return pa.array(settled, suffixes.type)

    def _offset(self, when: datetime) -> str:
        """Return the offset of a local time; an empty text where the zone has that time twice or not at all."""
        first, second = self._folds(when)
        if first != second:
            return ""
        seconds = int(abs(first).total_seconds())
        sign = "-" if first < timedelta(0) else "+"
        text = f"{sign}{seconds // 3600:02}:{seconds // 60 % 60:02}"
        return text + (f":{seconds % 60:02}" if seconds % 60 else "")

    def _trouble(self, when: datetime) -> str:
        first, second = self._folds(when)
        return "has twice" if first > second else "skips"

    def _folds(self, when: datetime) -> tuple[timedelta, timedelta]:
        # PEP 495: the two differ where the time is ambiguous, and where it does not exist.
        first, second = (when.replace(tzinfo=self._zone, fold=fold).utcoffset() for fold in (0, 1))
        return first or timedelta(0), second or timedelta(0)


def _joined(left: pa.Array, right: pa.Array | str) -> pa.Array:
    return pc.binary_join_element_wise(left, right, "")
