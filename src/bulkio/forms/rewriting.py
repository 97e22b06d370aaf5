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
    from collections.abc import Sequence

    from bulkio.pgcopy import Field
    from bulkio.protocols import Spelling
    from bulkio.types import PgType

__all__ = ["BatchRewriter", "Rewriter", "has_commas"]

#: PostgreSQL's types by their names in pg_type, and in SQL
_NUMBERS = frozenset({"numeric", "decimal", "float4", "real", "float8", "double precision", "money"})
_DATES = frozenset({"date"})
_STAMPS = frozenset({"timestamp", "timestamp without time zone"})
_INSTANTS = frozenset({"timestamptz", "timestamp with time zone"})
#: types whose text holds several numbers with commas between them
_SEVERAL = frozenset({"point", "line", "lseg", "box", "path", "polygon", "circle", "cube"})
_VECTORS = frozenset({"vector", "halfvec", "sparsevec"})
#: pattern of a value in a file of decimal commas: no digits, such as NaN, or digits without a mark, or with one comma
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
        base, given = _base(pg_type), texts
        try:
            if base in _NUMBERS:
                return _with_points(texts)
            if self._format is not None:
                texts = _in_iso(texts, self._format, with_time=base not in _DATES)
            return texts if self._zone is None or base not in _INSTANTS else self._zone.complete(texts)
        except ValueError as exc:
            row, reason = exc.args
            message = f"{show_value(given[row].as_py())} {reason}"
            raise EncodeError(message, column=column, row=first_row + row) from None


class BatchRewriter:
    """Rewrites the batches of one source, which may have more columns than `fields`; without a `spelling` none."""

    def __init__(self, fields: Sequence[Field], spelling: Spelling | None) -> None:
        self._rewriter = Rewriter(spelling) if spelling is not None else None
        types = {field.name: field.cast.pg.base.name for field in fields}
        self._types = {name: kind for name, kind in types.items() if self._rewriter and self._rewriter.concerns(kind)}

    def rewrite(self, batch: pa.RecordBatch, first_row: int) -> pa.RecordBatch:
        """Return a batch as PostgreSQL spells it. Raises `EncodeError` with the row, counted from `first_row`."""
        rewriter = self._rewriter
        if rewriter is None or not self._types:
            return batch
        columns = [
            rewriter.rewrite(column, pg_type=self._types[name], column=name, first_row=first_row)
            if name in self._types
            else column
            for name, column in zip(batch.schema.names, batch.columns, strict=True)
        ]
        return pa.record_batch(columns, schema=batch.schema)

    def in_own_text(self, error: EncodeError, source: pa.RecordBatch, first_row: int) -> EncodeError:
        """Return an error about a value of `source`, with the value's own text where that was rewritten."""
        if self._rewriter is None or error.row is None or error.column not in self._types:
            return error
        text = source.column(error.column).slice(error.row - first_row, 1)
        sent = self._rewriter.rewrite(text, pg_type=self._types[error.column], column=error.column)
        message = _shown_as(str(error.args[0]), sent[0].as_py(), text[0].as_py())
        return EncodeError(message, column=error.column, row=error.row)


def _shown_as(message: str, sent: str, own: str) -> str:
    shown = show_value(sent)
    return message.replace(shown if shown in message else shown.strip("'"), show_value(own))


def has_commas(pg: PgType) -> bool:
    """Tell whether the text of a type has numbers with fractions and, outside these, commas: {1,50} is two numbers."""
    base = pg.base
    if base.name in _SEVERAL | _VECTORS:
        return True
    parts = [base.element] if base.element is not None else [kind for _, kind in base.fields]
    return any(part.base.name in _NUMBERS or has_commas(part) for part in parts)


def _base(pg_type: str) -> str:
    """Take the modifier off: numeric(12,2), timestamp(3) with time zone."""
    before, _, rest = pg_type.removeprefix("pg_catalog.").partition("(")
    return before.strip() + rest.partition(")")[2]


def _with_points(texts: pa.Array) -> pa.Array:
    _refuse(pc.invert(pc.match_substring_regex(texts, _COMMA_NUMBER)), "is not a number with a decimal comma alone")
    return pc.replace_substring(texts, ",", ".")


def _in_iso(texts: pa.Array, fmt: DateFormat, *, with_time: bool) -> pa.Array:
    iso = fmt.iso(texts, with_time=with_time)
    _refuse(pc.and_(iso.is_null(), texts.is_valid()), f"is not a date written as {fmt.text}")
    return iso


def _refuse(wrong: pa.Array, reason: str) -> None:
    row = pc.index(wrong, True).as_py()
    if row >= 0:
        raise ValueError(row, reason)
