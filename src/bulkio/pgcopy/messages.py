"""The words for a cell that cannot go: what the codec's status codes (wire.pxd, Status) mean to a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bulkio.text import show_name, show_value

if TYPE_CHECKING:
    from bulkio.pgcopy import Field

# The numbers are those of wire.pxd.
NULL_REFUSED, OUT_OF_RANGE, WOULD_ROUND, TOO_LONG, HAS_NUL, NOT_UTF8, BAD_SYNTAX, FIELD_TOO_BIG = range(2, 10)
BAD_LENGTH, BAD_VALUE, BAD_DIMENSIONS, BAD_LOWER_BOUND, BAD_ELEMENT_TYPE = range(20, 25)
IS_INFINITE, NOT_IN_ARROW, BATCH_TOO_BIG = range(25, 28)
DUPLICATE_KEY, NULL_KEY, NULL_ELEMENT, NOT_FINITE, WRONG_DIMENSIONS, WRONG_SRID = range(50, 56)

_ENCODE = {
    NULL_REFUSED: "NULL in a column that is NOT NULL",
    OUT_OF_RANGE: "{value} is out of range for {pg}",
    WOULD_ROUND: "{value} would be rounded by {pg}",
    TOO_LONG: "{value} is longer than {pg} allows",
    HAS_NUL: "{value} contains a NUL character, which {pg} cannot store",
    NOT_UTF8: "{value} is not valid UTF-8",
    BAD_SYNTAX: "{value} is not a valid {pg}",
    FIELD_TOO_BIG: "the value is larger than the 1 GB that a field of PostgreSQL can have",
    BAD_VALUE: "the Arrow data is damaged: an index points outside its dictionary",
    DUPLICATE_KEY: "{value} has a key twice, of which {pg} would keep one",
    NULL_KEY: "{value} has a key that is NULL, which {pg} cannot store",
    NULL_ELEMENT: "{value} has an element that is NULL, which {pg} cannot store",
    NOT_FINITE: "{value} has a NaN or an infinity, which {pg} cannot store",
    WRONG_DIMENSIONS: "{value} does not have the number of dimensions of {pg} (1 to 16,000)",
    WRONG_SRID: "{value} has another SRID than {pg}, or one of its parts has",
}

_DECODE = {
    HAS_NUL: "a NUL character in {pg}",
    NOT_UTF8: "the bytes of {pg} are not valid UTF-8 (is the database SQL_ASCII?)",
    BAD_LENGTH: "a wrong length for {pg}: expected {expected} bytes, found {found}",
    BAD_VALUE: "the bytes are no valid {pg}",
    BAD_DIMENSIONS: "an array of {found} dimensions cannot go into a list: select it as text (column::text)",
    BAD_LOWER_BOUND: "an array with lower bound {found} cannot go into a list without losing it",
    BAD_ELEMENT_TYPE: "an array of elements with oid {found}, expected oid {expected}",
    IS_INFINITE: "an infinity or NaN in {pg} has no counterpart in Arrow's {arrow}: select it as text (column::text)",
    NOT_IN_ARROW: "a value of {pg} is outside what Arrow's {arrow} can hold: select it as text (column::text)",
    BATCH_TOO_BIG: "a row is larger than the 2 GiB that an Arrow column of strings can hold",
    WRONG_DIMENSIONS: "a value of {pg} with {found} dimensions, expected {expected}",
    WRONG_SRID: "a value of {pg} with SRID {found}, expected {expected}: select it as geometry (column::geometry)",
}


def encode_message(status: int, field: Field, row: int, batch: object, column_index: int, batch_row: int) -> str:
    """Word an EncodeError; the value is taken from the batch, where that offers it as pyarrow does."""
    template = _ENCODE[status]
    # a value that is not shown may be too large to make
    value = _value(batch, column_index, batch_row) if "{value}" in template else ""
    return f"row {row}, column {show_name(field.name)}: " + template.format(value=value, pg=field.cast.pg.sql)


def decode_message(status: int, field: Field, row: int, expected: int, found: int) -> str:
    """Word a DecodeError."""
    return f"row {row}, column {show_name(field.name)}: " + _DECODE[status].format(
        pg=field.cast.pg.sql, arrow=field.cast.arrow, expected=expected, found=found
    )


def _value(batch: object, column: int, row: int) -> str:
    """Show one value of a batch; some (far dates, broken UTF-8) have no Python form, so their raw form is shown."""
    try:
        scalar = batch.column(column)[row]  # type: ignore[attr-defined]  # any producer may come, pyarrow's usually does
    except (AttributeError, TypeError, LookupError):
        return "the value"
    while True:
        try:
            if getattr(scalar.type, "unit", "") == "ns":  # Python's own types would hide the nanoseconds
                return show_value(scalar.cast("string").as_py()).strip("'")
            return show_value(scalar.as_py())
        except (AttributeError, ValueError, ArithmeticError, LookupError):
            if hasattr(scalar, "as_buffer"):
                return show_value(bytes(scalar.as_buffer()))
            try:
                scalar = scalar.value  # of a dictionary or an extension: one more scalar
            except (AttributeError, LookupError):
                return "the value"
        if isinstance(scalar, int):
            return show_value(scalar)
