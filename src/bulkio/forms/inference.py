"""Types for columns of text, from all their values: only a type that prints each of them back exactly.

All values are examined, not a sample, so that no surprise comes later. An integer is bigint, whatever its size: a table
outlives the file that it was made for. A column without any value is text.

If the source has its own spelling, its numbers and dates are examined as `rewriting` will hand them on, and what that
would refuse does not count as one: with a decimal comma 1,50 is numeric, and 1.50 is text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow.compute as pc

from bulkio.forms.dates import DateFormat
from bulkio.forms.spellings import ALL, MOMENTS, NUMBERS, TYPES, spellings
from bulkio.protocols import Spelling

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Inference"]


class Inference:
    """What the batches fed so far leave possible.

    >>> import pyarrow as pa
    >>> inference = Inference(("id", "price", "code"))
    >>> inference.feed(pa.record_batch([["1", None], ["1.50", "2"], ["00123", "7"]], names=["id", "price", "code"]))
    >>> inference.types()
    {'id': 'bigint', 'price': 'numeric', 'code': 'text'}
    """

    def __init__(self, names: tuple[str, ...], spelling: Spelling | None = None) -> None:
        spelling = spelling or Spelling()
        self._decimal_comma = spelling.decimal_comma
        self._format = None if spelling.date_format is None else DateFormat(spelling.date_format)
        self._has_zone = spelling.timezone is not None
        self._names = names
        self._masks = [ALL] * len(names)
        self._has_values = [False] * len(names)

    def feed(self, batch: pa.RecordBatch) -> None:
        """Look at one more batch of strings, its columns in the order of the names."""
        for i, column in enumerate(batch.columns):
            self._masks[i] = self._spellings(column, self._masks[i])
            self._has_values[i] = self._has_values[i] or column.null_count < len(column)

    def types(self) -> dict[str, str]:
        """Return each column's type, as PostgreSQL calls it."""
        found = zip(self._names, self._masks, self._has_values, strict=True)
        return {name: self._type_of(mask) if has_values else "text" for name, mask, has_values in found}

    def _spellings(self, texts: pa.Array, mask: int) -> int:
        numbers = NUMBERS if self._decimal_comma else 0
        moments = MOMENTS if self._format is not None else 0
        bits = spellings(texts, mask & ~(numbers | moments))
        if mask & numbers:
            bits |= spellings(_with_points(texts), mask & numbers)
        if self._format is not None and mask & moments:
            bits |= spellings(_in_iso(texts, self._format), mask & moments)
        return bits

    def _type_of(self, mask: int) -> str:
        if self._format is not None and mask & MOMENTS:  # 20251231 is a date where the user says that dates look so
            mask &= MOMENTS
        name = next((name for bit, name in TYPES if mask & bit), "text")
        # A time that the zone has twice, or skips, is an error of the load, not a reason for another type.
        return "timestamptz" if name == "timestamp" and self._has_zone else name


def _with_points(texts: pa.Array) -> pa.Array:
    """Turn commas into points; a point becomes what stands in no number."""
    return pc.replace_substring(pc.replace_substring(texts, ".", ";"), ",", ".")


def _in_iso(texts: pa.Array, fmt: DateFormat) -> pa.Array:
    """Turn dates into ISO's; what is not one becomes the empty text, which no type prints."""
    return pc.if_else(texts.is_valid(), pc.fill_null(fmt.one_spelling(texts), ""), texts)
