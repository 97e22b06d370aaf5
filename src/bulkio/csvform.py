"""Arrow batches -> CSV that PostgreSQL's COPY reads back as the same values, for the method `csv`.

pyarrow.csv writes it, at its speed; what pyarrow would write otherwise than PostgreSQL reads (bytea, arrays, uuid, far
and BC dates) is turned into text here first. Pure. The codec has checked every value before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from bulkio.rows import DAY_US, durations_us, map_entries, plain, timestamps_us
from bulkio.spans import interval_text
from bulkio.types.geo import fixed_srid, with_srid

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bulkio.pgcopy import Field
    from bulkio.types import Cast

__all__ = ["csv_block"]

# "needed" quotes every string, so that an empty one differs from NULL.
_OPTIONS = pa_csv.WriteOptions(include_header=False, quoting_style="needed")

#: 0001-01-01 and 9999-12-31, days since 1970-01-01: in between, pyarrow writes dates as PostgreSQL reads them
_PLAIN_DAYS = (-719162, 2932896)


def csv_block(batch: pa.RecordBatch, fields: Sequence[Field]) -> bytes:
    """Give the batch as CSV without a header: NULL is an empty field, an empty string is ``""``."""
    columns = [_printable(batch.column(i), field.cast) for i, field in enumerate(fields)]
    sink = pa.BufferOutputStream()
    pa_csv.write_csv(pa.record_batch(columns, names=[f"c{i}" for i in range(len(columns))]), sink, _OPTIONS)
    return cast("bytes", sink.getvalue().to_pybytes())


def _printable(column: pa.Array, how: Cast) -> pa.Array:
    """Give a column in a type that pyarrow.csv writes as PostgreSQL reads it."""
    column = plain(column)
    if how.codec == "dictionary":
        return _printable(column, how.children[0])
    if how.codec in ("float_to_int", "decimal_to_int"):
        return column.cast(pa.int64())
    change = _FORMS.get(how.codec)
    return column if change is None else change(column, how)


def _dates(column: pa.Array, _: Cast) -> pa.Array:
    days = column.cast(pa.int32())
    if _all_within(days, _PLAIN_DAYS):
        return column.cast(pa.string())
    return _texts(days, date_text)


def _timestamps(column: pa.Array, _: Cast) -> pa.Array:
    us = timestamps_us(column)
    if _all_within(us, (_PLAIN_DAYS[0] * DAY_US, (_PLAIN_DAYS[1] + 1) * DAY_US - 1)):
        return us.cast(pa.timestamp("us")).cast(pa.string())
    return _texts(us, timestamp_text)


def _arrays(column: pa.Array, how: Cast) -> pa.Array:
    """Array literals (PostgreSQL docs, 8.15.2): every element quoted, but for NULL; an inner list is not."""
    texts = _strings(column.flatten(), how.children[0])
    members = [_quoted(text) for text in texts] if how.pg.dimensions == 1 else texts
    element = how.pg.element
    # PostGIS has made its types with a colon between an array's elements (pg_type.typdelim)
    delimiter = ":" if element is not None and element.codec in ("geometry", "geography") else ","
    return _joined(members, pc.list_value_length(column), ("{", "}"), delimiter)


def _multiranges(column: pa.Array, how: Cast) -> pa.Array:
    """Multirange literals (8.17.5): ranges in braces, not quoted again."""
    return _joined(_strings(column.flatten(), how.children[0]), pc.list_value_length(column), ("{", "}"))


def _hstores(column: pa.Array, how: Cast) -> pa.Array:
    """Give hstore's text (PostgreSQL docs, F.17.1): every key and value quoted, but for NULL."""
    pairs = map_entries(column)
    keys, values = (_strings(part, child) for part, child in zip(pairs.flatten().flatten(), how.children, strict=True))
    members = [f"{_quoted(key)}=>{_quoted(value)}" for key, value in zip(keys, values, strict=True)]
    return _joined(members, pc.list_value_length(pairs), ("", ""))


def _vectors(column: pa.Array, _: Cast) -> pa.Array:
    """Give pgvector's text: the fewest digits that give the same float."""
    floats = column.flatten().cast(pa.float32()).cast(pa.large_string()).to_pylist()
    return _joined(floats, pc.list_value_length(column), ("[", "]"))


def _geometries(column: pa.Array, how: Cast) -> pa.Array:
    srid = fixed_srid(how.pg) if how.pg.typmod >= 0 else None
    return _texts(column, lambda value: (with_srid(value, srid) if srid else value).hex())


def _quoted(text: str | None) -> str:
    return "NULL" if text is None else '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _joined(members: Sequence[str | None], lengths: pa.Array, frame: tuple[str, str], delimiter: str = ",") -> pa.Array:
    """Join the members of each list, that lie one behind the other, and frame them."""
    texts: list[str | None] = []
    at = 0
    for length in lengths.to_pylist():
        items = cast("Sequence[str]", members[at : at + (length or 0)])
        texts.append(None if length is None else frame[0] + delimiter.join(items) + frame[1])
        at += length or 0
    return pa.array(texts, pa.large_string())


def _composites(column: pa.Array, how: Cast) -> pa.Array:
    """Composite literals (8.16.2): every field quoted; NULL is nothing at all."""
    parts = column.flatten()
    fields = []
    for (name, _), child in zip(how.pg.fields, how.children, strict=True):
        place = column.type.get_field_index(name)
        texts = [None] * len(column) if place < 0 else _strings(parts[place], child)
        fields.append(["" if text is None else _quoted(text) for text in texts])
    rows = zip(*fields, strict=True) if fields else iter([()] * len(column))
    literals = ["(" + ",".join(row) + ")" for row in rows]
    return _with_nulls(literals, column)


def _ranges(column: pa.Array, how: Cast) -> pa.Array:
    """Range literals (8.17.5): both bounds quoted; an infinite one is nothing at all."""
    parts = column.flatten()
    lower, upper = (_strings(part, child) for part, child in zip(parts[:2], how.children, strict=True))
    flags = (part.to_pylist() for part in parts[2:])
    return _with_nulls([_range(*row) for row in zip(lower, upper, *flags, strict=True)], column)


def _range(lower: str | None, upper: str | None, lower_inc: bool, upper_inc: bool, empty: bool) -> str:  # noqa: FBT001 - one value's parts
    if empty:
        return "empty"
    bounds = ["" if text is None else _quoted(text) for text in (lower, upper)]
    return f"{'[' if lower_inc else '('}{bounds[0]},{bounds[1]}{']' if upper_inc else ')'}"


def _strings(column: pa.Array, how: Cast) -> list[str | None]:
    return cast("list[str | None]", _printable(column, how).cast(pa.large_string()).to_pylist())


def _with_nulls(literals: list[str], column: pa.Array) -> pa.Array:
    return pc.if_else(column.is_valid(), pa.array(literals, pa.large_string()), pa.scalar(None, pa.large_string()))


def _texts(column: pa.Array, form: Callable[..., str]) -> pa.Array:
    return pa.array([None if value is None else form(value) for value in column.to_pylist()], pa.large_string())


def _intervals(column: pa.Array, _: Cast) -> pa.Array:
    return _texts(column, lambda value: interval_text(value[0], value[1], value[2] // 1000))


def _interval_structs(column: pa.Array, _: Cast) -> pa.Array:
    return _texts(column, lambda value: interval_text(*value.values()))


def _durations(column: pa.Array, _: Cast) -> pa.Array:
    return _texts(durations_us(column), lambda us: interval_text(0, 0, us))


def _points(column: pa.Array, _: Cast) -> pa.Array:
    return _texts(column, lambda value: f"({value['x']!r},{value['y']!r})")


def _money(column: pa.Array, how: Cast) -> pa.Array:
    """Write money as the C locale has it, with two places, whatever the server's: see `sql.PLAIN_MONEY`."""
    amounts = column.cast(pa.decimal128(38, how.pg.money_scale))
    cents = pa.Array.from_buffers(
        pa.decimal128(38, 2), len(amounts), amounts.buffers(), amounts.null_count, amounts.offset
    )
    return cents.cast(pa.string())


# codec: the column, made printable
_FORMS: dict[str, Callable[[pa.Array, Cast], pa.Array]] = {
    "array": _arrays,
    "composite": _composites,
    "range": _ranges,
    "multirange": _multiranges,
    "bytes": lambda column, _: _texts(column, lambda value: "\\x" + value.hex()),
    "uuid": lambda column, _: _texts(column, lambda value: value.hex()),
    "date": _dates,
    "date_to_timestamp": _dates,
    "time": lambda column, _: column.cast(pa.string()),
    "timestamp": _timestamps,
    "interval": _intervals,
    "interval_struct": _interval_structs,
    "duration": _durations,
    "point": _points,
    "decimal_to_money": _money,
    "decimal": lambda column, _: column.cast(pa.string()),
    "null": lambda column, _: column.cast(pa.string()),
    "hstore": _hstores,
    "vector": _vectors,
    "halfvec": _vectors,
    "geometry": _geometries,
}


def _all_within(column: pa.Array, bounds: tuple[int, int]) -> bool:
    span = pc.min_max(column)
    low, high = span["min"].as_py(), span["max"].as_py()
    return low is None or (low >= bounds[0] and high <= bounds[1])


def date_text(days: int) -> str:
    """Write a date of any year as PostgreSQL reads it; `days` since 1970-01-01.

    >>> date_text(-719163), date_text(2932897)
    ('0001-12-31 BC', '10000-01-01')
    """
    # The civil calendar, counted in eras of 400 years that begin on March 1.
    era, day = divmod(days + 719468, 146097)
    year_of_era = (day - day // 1460 + day // 36524 - day // 146096) // 365
    day_of_year = day - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    month_from_march = (5 * day_of_year + 2) // 153
    day_of_month = day_of_year - (153 * month_from_march + 2) // 5 + 1
    month = month_from_march + 3 if month_from_march < 10 else month_from_march - 9
    year = year_of_era + 400 * era + (month <= 2)
    return f"{year:04}-{month:02}-{day_of_month:02}" if year > 0 else f"{1 - year:04}-{month:02}-{day_of_month:02} BC"


def timestamp_text(us: int) -> str:
    """Write a timestamp of any year as PostgreSQL reads it; `us` since 1970-01-01."""
    days, rest = divmod(us, DAY_US)
    seconds, micros = divmod(rest, 1_000_000)
    clock = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{micros:06}"
    date, _, bc = date_text(days).partition(" ")
    return f"{date} {clock}" + (" BC" if bc else "")
