"""The words for a cell that cannot go: what the codec's status codes (wire.pxd, Status) mean to a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bulkio.show import show_option, show_type, show_value

if TYPE_CHECKING:
    from bulkio.pgcopy.field import Field
    from bulkio.types import Cast

# The numbers are those of wire.pxd.
NULL_REFUSED, OUT_OF_RANGE, WOULD_ROUND, TOO_LONG, HAS_NUL, NOT_UTF8, BAD_SYNTAX, FIELD_TOO_BIG, DAMAGED = range(2, 11)
BAD_LENGTH, BAD_VALUE, BAD_DIMENSIONS, BAD_LOWER_BOUND, BAD_ELEMENT_TYPE = range(20, 25)
IS_INFINITE, NOT_IN_ARROW, BATCH_TOO_BIG, IS_DAYS_END = range(25, 29)
NOT_A_LABEL, NULL_IN_RANGE, EMPTY_WITH_BOUNDS, RAGGED, EMPTY_INNER, NULL_INNER = range(40, 46)
NOT_AS_DECLARED, BAD_FIELD_COUNT, BAD_FIELD_TYPE, UNKNOWN_LABEL = range(46, 50)
DUPLICATE_KEY, NULL_KEY, NULL_ELEMENT, NOT_FINITE, WRONG_DIMENSIONS, WRONG_SRID = range(50, 56)
WRONG_BITS, NULL_MEMBER, WOULD_DROP, NOT_ABSOLUTE, SIGNED_ZERO, MEANS_INFINITY, CHANGED_CHAR = range(70, 77)

_ENCODE = {
    NULL_REFUSED: "NULL in a column that is NOT NULL",
    OUT_OF_RANGE: "{value} is out of range for {pg}",
    WOULD_ROUND: "{value} would be rounded by {pg}",
    TOO_LONG: "{value} is longer than {pg} allows",
    HAS_NUL: "{value} contains a NUL character, which {pg} cannot store",
    NOT_UTF8: "{value} is not valid UTF-8",
    BAD_SYNTAX: "{value} is not a valid {pg}",
    FIELD_TOO_BIG: "the value is larger than the 1 GB that a field of PostgreSQL can have",
    DAMAGED: "the Arrow data is damaged: an offset, a size or a view points outside its buffer",
    BAD_VALUE: "the Arrow data is damaged: an index points outside its dictionary",
    NOT_A_LABEL: "{value} {is_not} a label of {enum}: correct it, or ALTER TYPE … ADD VALUE first",
    NULL_IN_RANGE: (
        "{value} has a null where {pg} can have none: only lower, upper and a whole range can be null,"
        " and no range of a multirange"
    ),
    EMPTY_WITH_BOUNDS: "{value} is an empty range that has bounds: the bounds of an empty range must be null",
    RAGGED: "{value} is ragged: all lists of one dimension of {pg} have the same length",
    EMPTY_INNER: "{value} has an empty list inside: PostgreSQL would store '{{}}', an array without dimensions",
    NULL_INNER: "{value} has a NULL in place of an inner list: only the elements of {pg} can be NULL",
    DUPLICATE_KEY: "{value} has a key twice, of which {pg} would keep one",
    NULL_KEY: "{value} has a key that is NULL, which {pg} cannot store",
    NULL_ELEMENT: "{value} has an element that is NULL, which {pg} cannot store",
    NOT_FINITE: "{value} has a NaN or an infinity, which {pg} cannot store",
    WRONG_DIMENSIONS: "{value} does not have the number of dimensions of {pg} (1 to 16,000)",
    WRONG_SRID: "{value} has another SRID than {pg}, or one of its parts has",
    WRONG_BITS: "{value} does not have the number of bits of {pg}",
    NULL_MEMBER: "{value} has a NULL in it, which {pg} cannot have",
    WOULD_DROP: "{value} may say more than {pg} keeps, and the server would silently drop the rest"
    " (dates go by ISO 8601, with all digits of the year)",
    NOT_ABSOLUTE: "{value} means another {pg} at another time or place: write the date and time out, with the zone"
    " of an instant as Z or an offset such as +02:00",
    SIGNED_ZERO: "{value} has a negative zero, of which {pg} would drop the sign",
    CHANGED_CHAR: "{value} has a character that the database's encoding, {charset}, does not keep: the server would"
    " store another in its place",
    MEANS_INFINITY: "{value} has an infinite date or time, which DuckDB, for one, writes as an extreme integer: load it"
    " as {pg} has it ({sentinel}), or change it in the source",
}

_DECODE = {
    HAS_NUL: "a NUL character in {pg}",
    NOT_UTF8: "the bytes of {pg} are not valid UTF-8 (is the database SQL_ASCII?)",
    BAD_LENGTH: "a wrong length for {pg}: expected {expected} bytes, found {found}",
    BAD_VALUE: "the bytes are not a valid {pg}",
    BAD_DIMENSIONS: "an array of {found} dimensions cannot go into a list: select it as text (column::text)",
    BAD_LOWER_BOUND: "an array with lower bound {found} cannot go into a list without losing it",
    BAD_ELEMENT_TYPE: "an array of elements with oid {found}, expected oid {expected}",
    IS_INFINITE: "an infinity or NaN in {pg} has no counterpart in Arrow's {arrow}: select it as text (column::text),"
    " or choose what becomes of it ({infinity}, {nan})",
    NOT_IN_ARROW: "a value of {pg} is outside what Arrow's {arrow} can hold: select it as text (column::text)",
    IS_DAYS_END: "a value of {pg} is outside what Arrow's {arrow} can hold (24:00:00): select it as text"
    " (column::text), or choose what becomes of it ({infinity})",
    BATCH_TOO_BIG: "a row is larger than the 2 GiB that an Arrow column of strings can hold",
    NOT_AS_DECLARED: "an array of {found} dimensions in a column that was declared to have {expected}",
    BAD_FIELD_COUNT: "a composite of {found} fields in {pg}, expected {expected}: was its type altered meanwhile?",
    BAD_FIELD_TYPE: "a field with oid {found} in {pg}, expected oid {expected}: was its type altered meanwhile?",
    UNKNOWN_LABEL: "a label that {enum} did not have when its labels were read: was one added or renamed meanwhile?",
    WRONG_DIMENSIONS: "a value of {pg} with {found} dimensions, expected {expected}",
    WRONG_SRID: "a value of {pg} with SRID {found}, expected {expected}: select it as geometry (column::geometry)",
}


def encode_message(status: int, field: Field, batch: object, column_index: int, batch_row: int) -> str:
    """Word an EncodeError; the value is taken from the batch, where that offers it as pyarrow does."""
    template = _ENCODE[status]
    # a value that is not shown may be too large to make
    value = _value(batch, column_index, batch_row) if "{value}" in template else ""
    is_not = "is not" if field.cast.pg.codec == "enum" else "holds what is not"
    return template.format(
        value=value,
        pg=show_type(field.cast.pg.sql),
        enum=_enums(field.cast),
        is_not=is_not,
        charset=field.cast.charset.name,
        sentinel=show_option("infinity", "sentinel"),
    )


def refusal(status: int, cast: Cast, expected: int = 0, found: int = 0) -> str:
    """Say why a value cannot come out of PostgreSQL, by whatever method it travels."""
    return _DECODE[status].format(
        pg=show_type(cast.pg.sql),
        arrow=show_type(cast.arrow),
        enum=_enums(cast),
        expected=expected,
        found=found,
        infinity=show_option("infinity"),
        nan=show_option("nan"),
    )


def _enums(cast: Cast) -> str:
    """Name the enums in a column's type."""
    found = {show_type(cast.pg.sql): None} if cast.pg.codec == "enum" else {}
    found.update((name, None) for child in cast.children for name in _enums(child).split(" or ") if name)
    return " or ".join(found)


_DAY = {"s": 86_400, "ms": 86_400_000, "us": 86_400_000_000, "ns": 86_400_000_000_000}


def _value(batch: object, column: int, row: int) -> str:
    """Show one value of a batch; some (far dates, broken UTF-8) have no Python form, so their raw form is shown."""
    try:
        scalar = batch.column(column)[row]  # type: ignore[attr-defined]  # any producer may come, pyarrow's usually does
        if scalar.type.num_fields:  # what lies beside the part that is at fault may lead out of its buffers
            batch.column(column).slice(row, 1).validate(full=True)  # type: ignore[attr-defined]
    except (AttributeError, TypeError, LookupError, ValueError):
        return "the value"
    while True:
        try:
            if str(scalar.type).startswith(("time32", "time64")) and not 0 <= scalar.value < _DAY[scalar.type.unit]:
                return f"{scalar.value} {scalar.type.unit}"  # Python would wrap it
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
