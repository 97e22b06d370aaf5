"""Local times, given the offset of their zone. A time that the zone has twice, or not at all, is not guessed.

Offsets are Python's zoneinfo. One is looked up for each hour that occurs, once: an hour of one offset throughout, which
nearly all are, serves all its values. In the others each value is looked at.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["Zone"]

#: an ISO date, and its time of day to the minute at least; a zone behind it
_LOCAL = r"^\d{4}-\d\d-\d\d([ Tt]\d\d:\d\d(:\d\d(\.\d+)?)?)?$"
_ZONED = r"^(\d{4}-\d\d-\d\d[ Tt]\d\d:\d\d(:\d\d(\.\d+)?)? ?([Zz]|[+-]\d\d(:?\d\d(:?\d\d)?)?)|-?infinity)$"
_DATE_CHARS, _HOUR_CHARS, _SECOND_CHARS = len("2025-12-31"), len("2025-12-31 23"), len("2025-12-31 23:59:59")


class Zone:
    """One time zone, by its IANA name.

    >>> Zone("Europe/Berlin").complete(pa.array(["2025-07-01 12:00:00", "2025-01-01", "2025-01-01 00:00Z"])).to_pylist()
    ['2025-07-01 12:00:00+02:00', '2025-01-01 00:00:00+01:00', '2025-01-01 00:00Z']
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._zone = ZoneInfo(name)
        #: offset throughout an hour, empty where there is not one
        self._hours: dict[str, str] = {}

    def complete(self, texts: pa.Array) -> pa.Array:
        """Append the offset to each text that tells no zone. Raises `ValueError(row, reason)`, the row from 0."""
        local = pc.match_substring_regex(texts, _LOCAL)
        strange = pc.and_not(pc.invert(local), pc.match_substring_regex(texts, _ZONED))
        row = pc.index(strange, True).as_py()
        if row >= 0:
            raise ValueError(row, "is not an ISO date and time, with a zone or without one")
        plain = pc.if_else(local, texts, pa.scalar(None, texts.type))
        hours = pc.utf8_slice_codeunits(plain, 0, _HOUR_CHARS).dictionary_encode()
        offsets = pa.array([self._hour(hour, hours) for hour in hours.dictionary.to_pylist()], texts.type)
        suffixes = self._settle(plain, offsets.take(hours.indices))
        return pc.coalesce(pc.binary_join_element_wise(plain, suffixes, ""), texts)

    def _hour(self, hour: str, hours: pa.DictionaryArray) -> str:
        known = self._hours.get(hour)
        if known is None:
            try:
                known = self._hours[hour] = self._offset_of_hour(hour)
            except (ValueError, OverflowError) as exc:
                row = pc.index(hours.indices, hours.dictionary.index(hour)).as_py()
                raise ValueError(row, "is not a date and time") from exc
        return known

    def _offset_of_hour(self, hour: str) -> str:
        date = datetime.fromisoformat(hour[:_DATE_CHARS])
        if len(hour) == _DATE_CHARS:
            offset = self._offset(date)
            return f" 00:00:00{offset}" if offset else ""
        start = date.replace(hour=int(hour[_DATE_CHARS + 1 :]))
        first, last = self._offset(start), self._offset(start + timedelta(minutes=59, seconds=59))
        return first if first == last else ""

    def _settle(self, texts: pa.Array, suffixes: pa.Array) -> pa.Array:
        """Look at each value of an hour that has no one offset."""
        open_rows = pc.indices_nonzero(pc.fill_null(pc.equal(suffixes, ""), fill_value=False)).to_pylist()
        if not open_rows:
            return suffixes
        settled = suffixes.to_pylist()
        for row in open_rows:
            text = texts[row].as_py()
            try:
                when = datetime.fromisoformat(text[:_SECOND_CHARS])
            except ValueError as exc:
                raise ValueError(row, "is not a date and time") from exc
            settled[row] = self._offset(when)
            if not settled[row]:
                raise ValueError(row, f"is a time that {self.name} {self._trouble(when)}: write its offset behind it")
        return pa.array(settled, suffixes.type)

    def _offset(self, when: datetime) -> str:
        """Give the offset of a local time; an empty text where the zone has that time twice or not at all."""
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
