"""Text columns of a CSV in the spelling that PostgreSQL reads, where the options say that the file has another.

Which columns an option concerns is told by the target's types. What comes out is text again: the type's own parser
reads and checks it. Nothing is guessed: a text that is not surely in the spelling named is an error with its row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from bulkio.errors import EncodeError
from bulkio.forms.dates import DateFormat
from bulkio.forms.zones import Zone
from bulkio.show import show_value

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from bulkio.pgcopy import Field
    from bulkio.protocols import Spelling

__all__ = ["Rewriter", "rewritten"]

#: PostgreSQL's types by their names in pg_type, and in SQL
_NUMBERS = frozenset({"numeric", "decimal", "float4", "real", "float8", "double precision", "money"})
_DATES = frozenset({"date"})
_STAMPS = frozenset({"timestamp", "timestamp without time zone"})
_INSTANTS = frozenset({"timestamptz", "timestamp with time zone"})
#: what may stand in a file of decimal commas: no digits, such as NaN, or digits without a mark, or with one comma
_COMMA_NUMBER = r"^([^.,]*|\s*[+-]?\d+,\d+([eE][+-]?\d+)?\s*)$"


class Rewriter:
    """Rewrites the columns of one source.

    >>> from bulkio.protocols import Spelling
    >>> rewriter = Rewriter(Spelling(decimal_comma=True))
    >>> rewriter.rewrite(pa.array(["1234,50", None]), pg_type="numeric(12,2)", column="price").to_pylist()
    ['1234.50', None]
    """

    def __init__(self, spelling: Spelling) -> None:
        self._decimal_comma = spelling.decimal_comma
        self._format = None if spelling.date_format is None else DateFormat(spelling.date_format)
        self._zone = None if spelling.timezone is None else Zone(spelling.timezone)

    def concerns(self, pg_type: str) -> bool:
        """Tell whether `rewrite` may change a column of this type."""
        base = _base(pg_type)
        if base in _NUMBERS:
            return self._decimal_comma
        if base in _INSTANTS:
            return self._format is not None or self._zone is not None
        return self._format is not None and base in _DATES | _STAMPS

    def rewrite(self, texts: pa.Array, *, pg_type: str, column: str, first_row: int = 1) -> pa.Array:
        """Return `texts`, for a column of `pg_type`, as PostgreSQL spells it.

        `pg_type` is a type's name, with or without a modifier. Raises `EncodeError` that names the row, counted from
        `first_row`, the column and the text.
        """
        if not self.concerns(pg_type):
            return texts
        base = _base(pg_type)
        try:
            if base in _NUMBERS:
                return _with_points(texts)
            if self._format is not None:
                texts = _in_iso(texts, self._format, with_time=base not in _DATES)
            return texts if self._zone is None or base not in _INSTANTS else self._zone.complete(texts)
        except ValueError as exc:
            row, reason = exc.args
            message = f"{show_value(texts[row].as_py())} {reason}"
            raise EncodeError(message, column=column, row=first_row + row) from None


def rewritten(
    batches: Iterable[pa.RecordBatch], fields: Sequence[Field], spelling: Spelling | None, *, first_row: int = 1
) -> Iterator[pa.RecordBatch]:
    """Rewrite all batches of a source, which may have more columns than `fields`. Raises `EncodeError`."""
    rewriter = Rewriter(spelling) if spelling is not None else None
    types = {f.name: f.cast.pg.base.name for f in fields if rewriter and rewriter.concerns(f.cast.pg.base.name)}
    if rewriter is None or not types:
        yield from batches
        return
    for batch in batches:
        columns = [
            rewriter.rewrite(column, pg_type=types[name], column=name, first_row=first_row) if name in types else column
            for name, column in zip(batch.schema.names, batch.columns, strict=True)
        ]
        yield pa.record_batch(columns, schema=batch.schema)
        first_row += batch.num_rows


def _base(pg_type: str) -> str:
    """Take the modifier off: numeric(12,2), timestamp(3) with time zone."""
    before, _, rest = pg_type.removeprefix("pg_catalog.").partition("(")
    return before.strip() + rest.partition(")")[2]


def _with_points(texts: pa.Array) -> pa.Array:
    _refuse(pc.invert(pc.match_substring_regex(texts, _COMMA_NUMBER)), "is not a number with a decimal comma alone")
    return pc.replace_substring(texts, ",", ".")


def _in_iso(texts: pa.Array, fmt: DateFormat, *, with_time: bool) -> pa.Array:
    iso = fmt.iso(texts, with_time=with_time)
    _refuse(pc.and_(iso.is_null(), texts.is_valid()), f"is not a date that is written as {fmt.text}")
    return iso


def _refuse(wrong: pa.Array, reason: str) -> None:
    row = pc.index(wrong, True).as_py()
    if row >= 0:
        raise ValueError(row, reason)
