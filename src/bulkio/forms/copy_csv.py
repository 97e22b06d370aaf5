"""Arrow batches -> CSV that PostgreSQL's COPY reads back as the same values, for the method `csv`.

pyarrow.csv writes it, at its speed; what pyarrow would not write as PostgreSQL reads it (bytea, arrays, far and BC
dates) is turned into text here first. The batches are `bulkio.forms.wire`'s. Pure.
"""

from __future__ import annotations

from collections import deque
from decimal import Decimal
from typing import TYPE_CHECKING, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from bulkio.forms.layouts import map_entries, texts_where
from bulkio.forms.times import (
    DATE_INFINITIES,
    DAY_US,
    EPOCH_DAYS,
    INTERVAL_INFINITIES,
    TIMESTAMP_INFINITIES,
    clock_text,
    date_text,
    interval_text,
    timestamp_text,
)
from bulkio.types import ARRAY

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bulkio.pgcopy import Field
    from bulkio.types import Cast, PgType

__all__ = ["Lines", "csv_block"]

# "needed" quotes every string, so that an empty one differs from NULL.
_OPTIONS = pa_csv.WriteOptions(include_header=False, quoting_style="needed")


#: days of 0001-01-01 and 9999-12-31 since 1970-01-01: in between, pyarrow writes dates as PostgreSQL reads them
_PLAIN_DAYS = (-719162, 2932896)


def csv_block(batch: pa.RecordBatch, fields: Sequence[Field]) -> bytes:
    """Return the batch as CSV without a header: NULL is an empty field, an empty string is ``""``."""
    columns = [_printable(batch.column(i), field.cast) for i, field in enumerate(fields)]
    sink = pa.BufferOutputStream()
    pa_csv.write_csv(pa.record_batch(columns, names=[f"c{i}" for i in range(len(columns))]), sink, _OPTIONS)
    return cast("bytes", sink.getvalue().to_pybytes())


class Lines:
    """Which row a line of the CSV belongs to that was sent: a value may hold line ends, and the server counts lines."""

    #: bytes of the latest blocks with such values that are kept; an error arrives before much more is sent
    KEPT_BYTES = 16 << 20

    def __init__(self) -> None:
        #: blocks kept, each with its first line and first row; empty if it has no more lines than rows
        self._blocks: deque[tuple[int, int, bytes]] = deque()
        self._kept_bytes = 0
        self._lines = 0
        self._rows = 0
        #: lines that the server counts too few: before the first row has ended it does not know what ends a line, and
        #: counts each CR in quotes instead of each LF (src/backend/commands/copyfromparse.c, CopyReadLineText)
        self._uncounted = 0

    def add(self, block: bytes, rows: int) -> None:
        """Note a block that comes next."""
        lines = block.count(b"\n")
        if self._rows == 0 and rows:
            first = _first_row(block)
            self._uncounted = first.count(b"\n") - first.count(b"\r")
        if lines != rows or not self._blocks or self._blocks[-1][2]:
            kept = block if lines != rows else b""
            self._blocks.append((self._lines + 1, self._rows + 1, kept))
            self._kept_bytes += len(kept)
            while self._kept_bytes > self.KEPT_BYTES and len(self._blocks) > 1:
                self._kept_bytes -= len(self._blocks.popleft()[2])
        self._lines += lines
        self._rows += rows

    def row_of(self, line: int) -> int | None:
        """Return the row that has this line, from 1; None where it is not known any more."""
        line = max(line + self._uncounted, 1)
        for first_line, first_row, block in reversed(self._blocks):
            if line >= first_line:
                return first_row + (_rows_before(block, line - first_line) if block else line - first_line)
        return None


def _first_row(block: bytes) -> bytes:
    """Return the first row, without the line end behind it."""
    end = block.find(b"\n")
    while block.count(b'"', 0, end) % 2:
        end = block.find(b"\n", end + 1)
    return block[:end]


def _rows_before(block: bytes, line: int) -> int:
    """Count the rows that end before a line of a block, from 0: a row ends where all quotes are closed."""
    quotes = rows = 0
    for part in block.split(b"\n")[:line]:
        quotes += part.count(b'"')
        rows += quotes % 2 == 0
    return rows


def _printable(column: pa.Array, how: Cast) -> pa.Array:
    """Return a column in a type that pyarrow.csv writes as PostgreSQL reads it."""
    change = _NODES.get(how.codec) or _LEAVES[how.codec, how.pg.codec]
    return change(column, how)


def _as_is(column: pa.Array, _: Cast) -> pa.Array:
    return column


def _dates(column: pa.Array, _: Cast) -> pa.Array:
    if _all_within(column, (_PLAIN_DAYS[0] - EPOCH_DAYS, _PLAIN_DAYS[1] - EPOCH_DAYS)):
        return pc.add(column, pa.scalar(EPOCH_DAYS, pa.int32())).cast(pa.date32()).cast(pa.string())
    return _texts(column, lambda days: _infinity(days, DATE_INFINITIES) or date_text(days + EPOCH_DAYS))


def _times(column: pa.Array, _: Cast) -> pa.Array:
    if _all_within(column, (0, DAY_US - 1)):
        return column.cast(pa.time64("us")).cast(pa.string())
    return _texts(column, clock_text)


def _timestamps(column: pa.Array, _: Cast) -> pa.Array:
    shift = EPOCH_DAYS * DAY_US
    if _all_within(column, (_PLAIN_DAYS[0] * DAY_US - shift, (_PLAIN_DAYS[1] + 1) * DAY_US - 1 - shift)):
        return pc.add(column, shift).cast(pa.timestamp("us")).cast(pa.string())
    return _texts(column, lambda us: _infinity(us, TIMESTAMP_INFINITIES) or timestamp_text(us + shift))


def _infinity(value: object, infinities: Sequence[object]) -> str:
    """Name the infinity that a value is; "" for none."""
    return ("infinity", "-infinity")[infinities.index(value)] if value in infinities else ""


def _arrays(column: pa.Array, how: Cast) -> pa.Array:
    """Array literals (PostgreSQL docs, 8.15.2): every element quoted, but for NULL; an inner list is not."""
    texts = _strings(column.flatten(), how.children[0])
    members = [_quoted(text) for text in texts] if how.pg.dimensions == 1 else texts
    return _joined(members, pc.list_value_length(column), ("{", "}"), cast("PgType", how.pg.element).delimiter)


def _multiranges(column: pa.Array, how: Cast) -> pa.Array:
    """Multirange literals (8.17.5): ranges in braces, not quoted again."""
    return _joined(_strings(column.flatten(), how.children[0]), pc.list_value_length(column), ("{", "}"))


def _hstores(column: pa.Array, _: Cast) -> pa.Array:
    """Return hstore's text (PostgreSQL docs, F.17.1): every key and value quoted, but for NULL."""
    pairs = map_entries(column)
    keys, values = (part.to_pylist() for part in pairs.flatten().flatten())
    members = [f"{_quoted(key)}=>{_quoted(value)}" for key, value in zip(keys, values, strict=True)]
    return _joined(members, pc.list_value_length(pairs), ("", ""))


def _vectors(column: pa.Array, _: Cast) -> pa.Array:
    """Return pgvector's text: the fewest digits that give the same float."""
    floats = column.flatten().cast(pa.float32()).cast(pa.large_string()).to_pylist()
    return _joined(floats, pc.list_value_length(column), ("[", "]"))


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
    fields = [_strings(part, child) for part, child in zip(column.flatten(), how.children, strict=True)]
    quoted = [["" if text is None else _quoted(text) for text in texts] for texts in fields]
    rows = zip(*quoted, strict=True) if quoted else iter([()] * len(column))
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
    return texts_where(column.is_valid(), pa.array(literals, pa.large_string()))


def _texts(column: pa.Array, form: Callable[..., str]) -> pa.Array:
    return pa.array([None if value is None else form(value) for value in column.to_pylist()], pa.large_string())


def _intervals(column: pa.Array, _: Cast) -> pa.Array:
    def text(value: dict[str, int]) -> str:
        parts = tuple(value.values())
        return _infinity(parts, INTERVAL_INFINITIES) or interval_text(*parts)

    return _texts(column, text)


def _points(column: pa.Array, _: Cast) -> pa.Array:
    return _texts(column, lambda value: f"({value['x']!r},{value['y']!r})")


def _money(column: pa.Array, _: Cast) -> pa.Array:
    """Write money as the C locale has it, with two places, whatever the server's: see `sql.PLAIN_MONEY`."""
    return _texts(column, lambda units: f"{Decimal(units).scaleb(-2):f}")


#: functions that make a column printable, by the codec of its node
_NODES: dict[str, Callable[[pa.Array, Cast], pa.Array]] = {
    ARRAY: _arrays,
    "composite": _composites,
    "range": _ranges,
    "multirange": _multiranges,
    "text": _as_is,
}

#: codecs whose values pyarrow.csv writes as PostgreSQL reads them
_PRINTED = ("bool", "int2", "int4", "int8", "uint4", "uint8", "float4", "float8", "jsonb", "timetz")
_SPELLED = ("inet", "macaddr", "bit", "pg_lsn", "versioned_text")

#: functions that make a leaf printable, by its codec and its PostgreSQL type
_LEAVES: dict[tuple[str, str], Callable[[pa.Array, Cast], pa.Array]] = {
    **{(codec, codec): _as_is for codec in (*_PRINTED, *_SPELLED)},
    ("macaddr", "macaddr8"): _as_is,
    ("numeric_text", "numeric"): _as_is,
    ("int4", "date"): _dates,
    ("int8", "time"): _times,
    ("int8", "timestamp"): _timestamps,
    ("int8", "timestamptz"): _timestamps,
    ("int8", "money"): _money,
    ("interval_struct", "interval"): _intervals,
    ("bytea", "bytea"): lambda column, _: _texts(column, lambda value: "\\x" + value.hex()),
    ("bytea", "geometry"): lambda column, _: _texts(column, bytes.hex),
    ("bytea", "geography"): lambda column, _: _texts(column, bytes.hex),
    ("uuid", "uuid"): lambda column, _: _texts(column, bytes.hex),
    ("point", "point"): _points,
    ("hstore", "hstore"): _hstores,
    ("vector", "vector"): _vectors,
    ("halfvec", "halfvec"): _vectors,
}


def _all_within(column: pa.Array, bounds: tuple[int, int]) -> bool:
    span = pc.min_max(column)
    low, high = span["min"].as_py(), span["max"].as_py()
    return low is None or (low >= bounds[0] and high <= bounds[1])
