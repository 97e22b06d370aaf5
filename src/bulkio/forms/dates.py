"""Dates in another order than ISO's, such as 31.12.2025, rewritten as PostgreSQL reads them everywhere.

A format is what PostgreSQL's to_date calls a template pattern: YYYY, MM and DD, each once, with what stands between.
The time of day, where a value has one, follows the date after a blank or a T, as ISO has it; its hour may have one
digit.
"""

from __future__ import annotations

import re

import pyarrow as pa
import pyarrow.compute as pc

from bulkio.errors import ConfigError
from bulkio.forms.layouts import texts_where

__all__ = ["DateFormat"]

_FIELD = re.compile("YYYY|MM|DD")
_NAMES = {"YYYY": "year", "MM": "month", "DD": "day"}
#: directives of strptime, and what they are here
_STRPTIME = {"%Y": "YYYY", "%m": "MM", "%d": "DD"}


class DateFormat:
    """One format. Raises `ConfigError` for what is not one.

    >>> DateFormat("DD.MM.YYYY").iso(pa.array(["31.12.2025", "1.2.2025", None, "2025-12-31"])).to_pylist()
    ['2025-12-31', '2025-02-01', None, None]
    """

    def __init__(self, text: str) -> None:
        self.text = text
        fields = _FIELD.findall(text.upper())
        between = _FIELD.split(text.upper())
        if sorted(fields) != ["DD", "MM", "YYYY"] or re.search("[A-Za-z0-9%]", "".join(between)):
            raise ConfigError(_complaint(text))
        # Without marks between them, only the number of digits tells where a field ends.
        two = r"\d{1,2}" if all(between[1:-1]) else r"\d{2}"
        digits = {"YYYY": r"\d{4}", "MM": two, "DD": two}
        patterns = [f"(?P<{_NAMES[name]}>{digits[name]})" for name in fields]
        marks = [re.escape(mark) for mark in between]
        self._date = marks[0] + "".join(p + mark for p, mark in zip(patterns, marks[1:], strict=True))
        self._full_date = self._date.replace(r"\d{1,2}", r"\d{2}")

    def one_spelling(self, texts: pa.Array) -> pa.Array:
        """Write as ISO 8601 what has each digit: 01.02.2025, where `iso` takes 1.2.2025, too. Null for all else."""
        full = pc.match_substring_regex(texts, rf"^{self._full_date}(?: \d{{2}}:.+)?$")
        return self.iso(texts_where(full, texts), with_time=True)

    def iso(self, texts: pa.Array, *, with_time: bool = False) -> pa.Array:
        """Write `texts` as ISO 8601 does; return null for what is not written so. No calendar is looked at."""
        rest = r"(?:[ Tt](?P<time>\d{1,2}:.+))?" if with_time else ""
        parts = pc.extract_regex(texts, f"^{self._date}{rest}$")
        year, month, day = (pc.struct_field(parts, name) for name in _NAMES.values())
        date = pc.binary_join_element_wise(year, _two_digits(month), _two_digits(day), "-")
        if not with_time:
            return date
        time = pc.struct_field(parts, "time")
        time = pc.replace_substring_regex(time, r"^(\d):", r"0\1:")
        return pc.if_else(pc.equal(time, ""), date, pc.binary_join_element_wise(date, time, " "))


def _two_digits(column: pa.Array) -> pa.Array:
    return pc.ascii_lpad(column, 2, "0")


def _complaint(text: str) -> str:
    message = f"date_format is {text!r}, and must have YYYY, MM and DD once each, as in DD.MM.YYYY"
    told = text
    for theirs, ours in _STRPTIME.items():
        told = told.replace(theirs, ours)
    if told != text and "%" not in told:
        return f"{message}: write {told}"
    if re.fullmatch("[^Y]*YY[^Y]*", text.upper()):
        return f"{message}; two digits do not tell the century"
    return message
