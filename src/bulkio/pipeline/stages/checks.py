"""Checks: stages that let every batch pass, and end the pipeline, or warn, where the rows are not as they should be.

A check that fails ends the stream with its error, so that no sink commits. What can be told of one batch fails with
that batch; the rest at the end.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal

import pyarrow as pa
import pyarrow.compute as pc

from bulkio import flow
from bulkio.errors import CheckError, ConfigError, SchemaError
from bulkio.forms.sizes import batch_bytes
from bulkio.pipeline.stages.duck import Query
from bulkio.pipeline.stages.parts import Work
from bulkio.pipeline.stages.transforms import no_rows, refuse_absent
from bulkio.show import show_name, show_rows, show_value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from bulkio.pipeline.stages.parts import Place

__all__ = ["OnFailure", "accepted", "check_sql", "fresh", "not_null", "row_count", "unique"]

OnFailure = Literal["fail", "warn"]
#: values that a message shows, at most
_SHOWN_VALUES = 5
#: bytes of keys that `unique` holds, at most
MAX_KEY_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class _Judge:
    """What a check does where it fails."""

    #: text of the check, for messages
    check: str
    on_failure: OnFailure

    def __post_init__(self) -> None:
        if self.on_failure not in ("fail", "warn"):
            raise ConfigError(f"on_failure is {self.on_failure!r}, and can be 'fail' or 'warn'")

    @property
    def fails(self) -> bool:
        """Tell whether it ends the pipeline."""
        return self.on_failure == "fail"

    def found(self, what: str, place: Place) -> None:
        """Raise `CheckError`, or warn."""
        if not self.fails:
            place.warn(f"{self.check}: {what}")
            return
        raise CheckError(f"stage {place.label}: check failed, so nothing was stored: {what}", query=self.check)


def _columns(names: tuple[str, ...], check: str) -> tuple[str, ...]:
    if not names or not all(isinstance(name, str) for name in names):
        raise ConfigError(f"{check} takes the names of columns")
    return names


def _passing(
    batches: Iterator[pa.RecordBatch], look: Callable[[pa.RecordBatch, int], object]
) -> Iterator[pa.RecordBatch]:
    """Yield all batches, each after a look at it, with the number of its first row."""
    row = 1
    for batch in batches:
        look(batch, row)
        yield batch
        row += batch.num_rows


@dataclass(frozen=True, slots=True)
class _NotNull:
    judge: _Judge
    columns: tuple[str, ...]
    name = "not_null"

    def plan(self, schema: pa.Schema) -> Work:
        refuse_absent(schema, self.columns)
        return Work(schema, self._apply)

    def _apply(self, batches: Iterator[pa.RecordBatch], place: Place) -> Iterator[pa.RecordBatch]:
        seen: dict[str, tuple[int, int]] = {}

        def look(batch: pa.RecordBatch, row: int) -> None:
            for column in self.columns:
                if batch.column(column).null_count:
                    nulls = pc.is_null(batch.column(column))
                    count, first = seen.get(column, (0, row + pc.index(nulls, value=True).as_py()))
                    seen[column] = (count + batch.column(column).null_count, first)
            if seen and self.judge.fails:
                self._tell(seen, place)

        yield from _passing(batches, look)
        if seen:
            self._tell(seen, place)

    def _tell(self, seen: dict[str, tuple[int, int]], place: Place) -> None:
        each = [f"column {show_name(column)} is NULL, first in row {first}" for column, (_, first) in seen.items()]
        if not self.judge.fails:
            each = [f"{what} ({show_rows(count)})" for what, (count, _) in zip(each, seen.values(), strict=True)]
        self.judge.found("; ".join(each), place)


def not_null(*columns: str, on_failure: OnFailure = "fail") -> _NotNull:
    """Check that columns have no NULL."""
    return _NotNull(_Judge("not_null", on_failure), _columns(columns, "not_null"))


@dataclass(frozen=True, slots=True)
class _Accepted:
    judge: _Judge
    column: str
    values: tuple[object, ...]
    name = "accepted"

    def plan(self, schema: pa.Schema) -> Work:
        refuse_absent(schema, (self.column,))
        kind = _value_type(schema.field(self.column).type)
        try:
            known = pa.array(self.values, kind)
            pc.is_in(pa.nulls(0, kind), value_set=known)
        except (pa.ArrowException, TypeError, ValueError) as error:
            raise SchemaError(
                f"column {show_name(self.column)} is {kind}, which does not hold {list(self.values)}: {error}",
                columns=(self.column,),
            ) from error
        return Work(schema, lambda batches, place: self._apply(batches, place, known))

    def _apply(self, batches: Iterator[pa.RecordBatch], place: Place, known: pa.Array) -> Iterator[pa.RecordBatch]:
        others: dict[object, int] = {}

        def look(batch: pa.RecordBatch, row: int) -> None:
            values = _storage(batch.column(self.column))
            odd = pc.and_(pc.invert(pc.is_in(values, value_set=known)), pc.is_valid(values))
            if not pc.any(odd).as_py():
                return
            first = row + pc.index(odd, value=True).as_py()
            for value in pc.unique(values.filter(odd)).to_pylist()[:_SHOWN_VALUES]:
                others.setdefault(value, first)
            if self.judge.fails:
                self._tell(others, place)

        yield from _passing(batches, look)
        if others:
            self._tell(others, place)

    def _tell(self, others: dict[object, int], place: Place) -> None:
        shown = ", ".join(show_value(str(value)) for value in list(others)[:_SHOWN_VALUES])
        first = min(others.values())
        self.judge.found(f"column {show_name(self.column)} has {shown}, first in row {first}", place)


def accepted(column: str, values: Sequence[object], *, on_failure: OnFailure = "fail") -> _Accepted:
    """Check that a column has none but these values; NULL passes (`not_null` checks that)."""
    if isinstance(values, str):
        raise ConfigError(f"accepted takes a list of values, not the text {values!r}")
    return _Accepted(_Judge("accepted", on_failure), column, tuple(values))


@dataclass(frozen=True, slots=True)
class _RowCount:
    judge: _Judge
    least: int | None
    most: int | None
    name = "row_count"

    def plan(self, schema: pa.Schema) -> Work:
        return Work(schema, self._apply)

    def _apply(self, batches: Iterator[pa.RecordBatch], place: Place) -> Iterator[pa.RecordBatch]:
        rows = 0
        for batch in batches:
            rows += batch.num_rows
            if self.most is not None and rows > self.most and self.judge.fails:
                self.judge.found(f"there are more than {show_rows(self.most)}", place)
            yield batch
        if self.most is not None and rows > self.most:
            self.judge.found(f"there are {show_rows(rows)}, and at most {self.most:,} may be", place)
        if self.least is not None and rows < self.least:
            self.judge.found(f"there are {show_rows(rows)}, and at least {self.least:,} must be", place)


def row_count(*, least: int | None = None, most: int | None = None, on_failure: OnFailure = "fail") -> _RowCount:
    """Check the number of rows."""
    if least is None and most is None:
        raise ConfigError("row_count takes least, most, or both")
    return _RowCount(_Judge("row_count", on_failure), least, most)


@dataclass(frozen=True, slots=True)
class _Fresh:
    judge: _Judge
    column: str
    within: timedelta
    name = "fresh"

    def plan(self, schema: pa.Schema) -> Work:
        refuse_absent(schema, (self.column,))
        kind = schema.field(self.column).type
        if not (pa.types.is_timestamp(kind) or pa.types.is_date(kind)):
            raise SchemaError(
                f"column {show_name(self.column)} is {kind}, and fresh looks at timestamps and dates",
                columns=(self.column,),
            )
        return Work(schema, self._apply)

    def _apply(self, batches: Iterator[pa.RecordBatch], place: Place) -> Iterator[pa.RecordBatch]:
        latest: list[pa.Scalar] = []

        def look(batch: pa.RecordBatch, _: int) -> None:
            highest = pc.max(batch.column(self.column))
            if highest.is_valid and (not latest or highest.value > latest[0].value):
                latest[:] = [highest]

        yield from _passing(batches, look)
        if not latest:
            self.judge.found(f"column {show_name(self.column)} has no value", place)
            return
        now_us = (datetime.now(UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
        value_us = _microseconds(latest[0])
        if value_us < now_us - self.within // timedelta(microseconds=1):
            age = timedelta(seconds=(now_us - value_us) // 1_000_000)
            shown = show_name(self.column)
            self.judge.found(f"the latest {shown} is {age} old, and may be {self.within} old at most", place)


def fresh(column: str, *, within: timedelta, on_failure: OnFailure = "fail") -> _Fresh:
    """Check that the latest timestamp or date is not older than this. One without a zone is taken as UTC."""
    if not isinstance(within, timedelta):
        raise ConfigError(f"within is {within!r}, and must be a datetime.timedelta")
    return _Fresh(_Judge("fresh", on_failure), column, within)


#: microseconds in a unit of Arrow's; of ns, a thousand are one
_UNITS_US = {"s": 1_000_000, "ms": 1000, "us": 1}


def _microseconds(value: pa.Scalar) -> int:
    """Return a timestamp or a date as microseconds since 1970 began in UTC."""
    number = int(value.value)
    if pa.types.is_date32(value.type):
        return number * 86_400_000_000
    if pa.types.is_date64(value.type):
        return number * 1000
    return number // 1000 if value.type.unit == "ns" else number * _UNITS_US[value.type.unit]


@dataclass(frozen=True, slots=True)
class _Unique:
    judge: _Judge
    columns: tuple[str, ...]
    max_bytes: int
    name = "unique"

    def plan(self, schema: pa.Schema) -> Work:
        refuse_absent(schema, self.columns)
        for column in self.columns:
            try:
                _first_twice(_keys(no_rows(schema), (column,)))
            except pa.ArrowException as error:
                kind = schema.field(column).type
                raise SchemaError(
                    f"column {show_name(column)} is {kind}, whose values unique cannot compare", columns=(column,)
                ) from error
        return Work(schema, self._apply)

    def _apply(self, batches: Iterator[pa.RecordBatch], place: Place) -> Iterator[pa.RecordBatch]:
        keys: list[pa.Table] = []
        size = 0
        for batch in batches:
            keys.append(_keys(batch, self.columns))
            size += keys[-1].nbytes
            if size > self.max_bytes:
                raise CheckError(
                    f"stage {place.label}: the keys take more than {self.max_bytes} bytes: raise max_bytes, or let a"
                    " unique key of the table, or check_sql, which works on disk, look for duplicates",
                    query=self.judge.check,
                )
            yield batch
        if keys and (twice := _first_twice(pa.concat_tables(keys))):
            shown = ", ".join(f"{show_name(name)} {show_value(str(value))}" for name, value in twice.items())
            self.judge.found(f"two rows have the same values, such as {shown}", place)


def _keys(batch: pa.RecordBatch, columns: Sequence[str]) -> pa.Table:
    """Return the key columns in a form whose equality is that of values; a row with a NULL is equal to none."""
    keys = pa.table({column: _comparable(_storage(batch.column(column))) for column in columns})
    return keys.drop_null() if any(column.null_count for column in keys.columns) else keys


def _comparable(values: pa.Array) -> pa.Array:
    """Let values that are equal have the same bytes: 0.0 and -0.0, NaN and NaN."""
    if not pa.types.is_floating(values.type):
        return values
    plain = pc.if_else(pc.is_nan(values), pa.scalar(float("nan"), values.type), values)
    return pc.if_else(pc.equal(plain, pa.scalar(0.0, values.type)), pa.scalar(0.0, values.type), plain)


def _first_twice(keys: pa.Table) -> dict[str, object] | None:
    """Return a key that more than one row has."""
    counted = keys.group_by(keys.column_names, use_threads=False).aggregate([([], "count_all")])
    twice = counted.filter(pc.field("count_all") > 1)
    if not twice.num_rows:
        return None
    row = twice.slice(0, 1).to_pylist()[0]
    return {name: row[name] for name in keys.column_names}


def unique(*columns: str, max_bytes: int = MAX_KEY_BYTES, on_failure: OnFailure = "fail") -> _Unique:
    """Check that no two rows have the same values in these columns; a row with a NULL among them is like no other.

    Exact: the keys themselves are held until the end of the stream, up to `max_bytes`, and as much again while they are
    compared. Texts are compared byte by byte.
    """
    return _Unique(_Judge("unique", on_failure), _columns(columns, "unique"), max_bytes)


@dataclass(frozen=True, slots=True)
class _CheckSql:
    judge: _Judge
    memory_limit: str | None
    name = "check_sql"

    def plan(self, schema: pa.Schema) -> Work:
        query = Query(self.judge.check, schema, self.memory_limit)
        kind = query.schema.field(0).type
        if not pa.types.is_boolean(kind):
            raise SchemaError(f"the first column of the check's result must be boolean, and is {kind}")
        return Work(schema, lambda batches, place: self._apply(batches, place, query), query.interrupt)

    def _apply(self, batches: Iterator[pa.RecordBatch], place: Place, query: Query) -> Iterator[pa.RecordBatch]:
        copies: flow.Stream[pa.RecordBatch] = flow.Stream(_COPIES_BYTES)
        with ThreadPoolExecutor(1) as pool, copies:
            result = pool.submit(_rows, query, copies, place)
            try:
                for batch in batches:
                    with suppress(flow.Closed):  # it wants no more, or has failed, as is told at the end
                        copies.put_blocking(batch, batch_bytes(batch))
                    yield batch
                copies.close()
                rows = result.result()
            except BaseException:
                copies.abandon()
                query.interrupt()
                raise
        if len(rows) != 1 or next(iter(rows[0].values())) is not True:
            shown = f"it gave {rows[0]}" if len(rows) == 1 else f"it must give one row, and gave {show_rows(len(rows))}"
            self.judge.found(shown, place)


#: bytes of batches that may wait for a check's SQL
_COPIES_BYTES = 4 << 20


def _rows(query: Query, copies: flow.Stream[pa.RecordBatch], place: Place) -> list[dict[str, object]]:
    """Return what a query gives of the batches; more than two rows are as wrong as two."""
    with copies:
        rows: list[dict[str, object]] = []
        for batch in query.run(iter(copies), place):
            rows += batch.slice(0, 2).to_pylist()
            if len(rows) > 1:
                break
        return rows


def check_sql(text: str, *, memory_limit: str | None = None, on_failure: OnFailure = "fail") -> _CheckSql:
    """Check with one SELECT of DuckDB's SQL over the stream, its table `input`.

    Its one row must have true in its first column, such as select count(*) > 0 from input.
    """
    return _CheckSql(_Judge(text, on_failure), memory_limit)


def _value_type(kind: pa.DataType) -> pa.DataType:
    if isinstance(kind, pa.BaseExtensionType):
        return kind.storage_type
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _storage(values: pa.Array) -> pa.Array:
    """Return the values in their plain type, which pyarrow can compare."""
    if isinstance(values, pa.ExtensionArray):
        return values.storage
    return values.dictionary_decode() if pa.types.is_dictionary(values.type) else values
