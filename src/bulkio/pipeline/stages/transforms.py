"""Transforms that look at one batch at a time: rename, cast, filter, drop, and a function of the user's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from bulkio.errors import ConfigError, EncodeError, SchemaError
from bulkio.pipeline.stages.parts import Work
from bulkio.show import did_you_mean, show_name, show_value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from bulkio.pipeline.stages.parts import Place

__all__ = ["cast", "drop", "filter", "map", "no_rows", "refuse_absent", "rename"]


def refuse_absent(schema: pa.Schema, names: Sequence[str]) -> None:
    """Raise `SchemaError` for names that are not columns."""
    absent = tuple(name for name in names if name not in schema.names)
    if absent:
        mend = did_you_mean(absent[0], schema.names)
        what = f"there is no column {', '.join(show_name(name) for name in absent)}"
        raise SchemaError(f"{what}; {mend or 'there are ' + ', '.join(schema.names)}", columns=absent)


def no_rows(schema: pa.Schema) -> pa.RecordBatch:
    """Return a batch of this schema without rows."""
    return pa.RecordBatch.from_arrays([pa.nulls(0, kind) for kind in schema.types], schema=schema)


def _names(values: Sequence[str], what: str) -> tuple[str, ...]:
    if isinstance(values, str) or not all(isinstance(name, str) for name in values):
        raise ConfigError(f"{what} takes a list of the names of columns, not {values!r}")
    return tuple(values)


@dataclass(frozen=True, slots=True)
class _Rename:
    columns: Mapping[str, str]
    name = "rename"

    def plan(self, schema: pa.Schema) -> Work:
        refuse_absent(schema, tuple(self.columns))
        fields = [field.with_name(self.columns.get(field.name, field.name)) for field in schema]
        names = [field.name for field in fields]
        twice = tuple(name for name in dict.fromkeys(names) if names.count(name) > 1)
        if twice:
            raise SchemaError(f"two columns would be called {show_name(twice[0])}", columns=twice)
        renamed = pa.schema(fields, metadata=schema.metadata)
        return Work(
            renamed,
            lambda batches, _: (pa.RecordBatch.from_arrays(batch.columns, schema=renamed) for batch in batches),
        )


def rename(columns: Mapping[str, str]) -> _Rename:
    """Change the names of columns, from old to new."""
    return _Rename(dict(columns))


@dataclass(frozen=True, slots=True)
class _Drop:
    columns: tuple[str, ...]
    name = "drop"

    def plan(self, schema: pa.Schema) -> Work:
        refuse_absent(schema, self.columns)
        kept = [name for name in schema.names if name not in self.columns]
        if not kept:
            raise SchemaError("no column would be left", columns=self.columns)
        left = pa.schema([schema.field(name) for name in kept], metadata=schema.metadata)
        return Work(left, lambda batches, _: (batch.select(kept) for batch in batches))


def drop(columns: Sequence[str]) -> _Drop:
    """Leave columns out."""
    return _Drop(_names(columns, "drop"))


@dataclass(frozen=True, slots=True)
class _Filter:
    condition: pc.Expression
    name = "filter"

    def plan(self, schema: pa.Schema) -> Work:
        try:
            _kept(no_rows(schema), self.condition)
        except (pa.ArrowException, TypeError, ValueError) as error:
            raise SchemaError(f"{self.condition} does not fit the columns: {str(error).splitlines()[0]}") from error
        return Work(schema, lambda batches, _: (kept for batch in batches for kept in _kept(batch, self.condition)))


def _kept(batch: pa.RecordBatch, condition: pc.Expression) -> list[pa.RecordBatch]:
    kept: list[pa.RecordBatch] = pa.Table.from_batches([batch]).filter(condition).to_batches()
    return kept


def filter(condition: pc.Expression) -> _Filter:  # noqa: A001 - its name among stages
    """Keep the rows for which a `pyarrow.compute` expression is true; where it is NULL, the row goes."""
    if not isinstance(condition, pc.Expression):
        raise ConfigError(
            f"filter takes an expression such as pyarrow.compute.field('price') > 10, not {condition!r}; sql(…) takes"
            " SQL, map(…) a function"
        )
    return _Filter(condition)


@dataclass(frozen=True, slots=True)
class _Cast:
    types: Mapping[str, pa.DataType]
    allow_lossy: bool
    name = "cast"

    def plan(self, schema: pa.Schema) -> Work:
        refuse_absent(schema, tuple(self.types))
        fields = [field.with_type(self.types.get(field.name, field.type)) for field in schema]
        for before, after in zip(schema, fields, strict=True):
            _refuse_cast(before, after)
        # What was recorded of a column's old type is not true of its new one.
        fields = [field if field.name not in self.types else field.remove_metadata() for field in fields]
        planned = pa.schema(fields, metadata=schema.metadata)
        return Work(planned, lambda batches, place: self._apply(batches, planned, place))

    def _apply(self, batches: Iterator[pa.RecordBatch], schema: pa.Schema, _: Place) -> Iterator[pa.RecordBatch]:
        row = 1
        for batch in batches:
            columns = [self._column(batch.column(index), field, row) for index, field in enumerate(schema)]
            yield pa.RecordBatch.from_arrays(columns, schema=schema)
            row += batch.num_rows

    def _column(self, values: pa.Array, field: pa.Field, row: int) -> pa.Array:
        if field.name not in self.types:
            return values
        if self.allow_lossy:
            return values.cast(field.type, safe=False)
        changed = _cast(values, field.type)
        return changed if changed is not None else _refuse_value(values, field, row)


def _refuse_cast(before: pa.Field, after: pa.Field) -> None:
    try:
        pa.nulls(0, before.type).cast(after.type)
    except pa.ArrowException as error:
        what = f"column {show_name(before.name)} is {before.type}, which cannot become {after.type}"
        raise SchemaError(what, columns=(before.name,)) from error


def _cast(values: pa.Array, to: pa.DataType) -> pa.Array | None:
    """Return the values as another type; None if one of them would change.

    pyarrow's safe casts let some pass: a timestamp loses its time in a date, a double its digits in a float. So what is
    not text is cast back and compared.
    """
    try:
        changed = values.cast(to)
        if _is_text(values.type) or _is_text(to):
            return changed
        return changed if _same(changed.cast(values.type), values) else None
    except pa.ArrowException:
        return None


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_text(kind.value_type)
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _same(back: pa.Array, values: pa.Array) -> bool:
    """Tell whether two arrays are the same, where NaN is NaN."""
    if pa.types.is_floating(values.type):
        back, values = (pc.if_else(pc.is_nan(each), None, each) for each in (back, values))
    return bool(back.equals(values))


def _refuse_value(values: pa.Array, field: pa.Field, row: int) -> pa.Array:
    for index in range(len(values)):
        if _cast(values.slice(index, 1), field.type) is None:
            value = values[index].as_py()
            shown = show_value(value if isinstance(value, str) else str(value))
            raise EncodeError(f"{shown} would change as {field.type}", column=field.name, row=row + index)
    raise EncodeError(f"a value would change as {field.type}", column=field.name, row=row)


def cast(types: Mapping[str, pa.DataType | str], *, allow_lossy: bool = False) -> _Cast:
    """Change columns' types: pyarrow's types, or their names, such as "int32" or "timestamp[us]".

    A value that would change is an `EncodeError`, unless `allow_lossy`: then it is rounded, cut or wrapped.
    """
    return _Cast({name: _type(kind) for name, kind in types.items()}, allow_lossy)


def _type(kind: pa.DataType | str) -> pa.DataType:
    if isinstance(kind, pa.DataType):
        return kind
    try:
        return pa.type_for_alias(kind)
    except (ValueError, TypeError):
        raise ConfigError(
            f"{kind!r} is not the name of an Arrow type: use one such as 'int32', or a type such as"
            " pyarrow.decimal128(10, 2)"
        ) from None


@dataclass(frozen=True, slots=True)
class _Map:
    function: Callable[[pa.RecordBatch], pa.RecordBatch]
    schema: pa.Schema | None
    name = "map"

    def plan(self, schema: pa.Schema) -> Work:
        planned = self.schema
        if planned is None:
            planned = _batch(self.function(no_rows(schema)), "of no rows").schema
        return Work(planned, lambda batches, _: self._apply(batches, planned))

    def _apply(self, batches: Iterator[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        for number, batch in enumerate(batches, 1):
            made = _batch(self.function(batch), f"number {number}")
            if made.schema != schema:
                raise SchemaError(f"{_difference(schema, made.schema)} in what the function makes of batch {number}")
            yield made


def _batch(made: object, which: str) -> pa.RecordBatch:
    if not isinstance(made, pa.RecordBatch):
        raise SchemaError(f"the function makes a {type(made).__name__} of the batch {which}, not a RecordBatch")
    return made


def _difference(wanted: pa.Schema, found: pa.Schema) -> str:
    if found.names != wanted.names:
        return f"the columns are {', '.join(found.names)}, not {', '.join(wanted.names)},"
    for expected, field in zip(wanted, found, strict=True):
        if field.type != expected.type:
            return f"column {show_name(field.name)} is {field.type}, not {expected.type},"
    return "the nullability of a column differs"


def map(  # noqa: A001 - its name among stages
    function: Callable[[pa.RecordBatch], pa.RecordBatch], *, schema: pa.Schema | None = None
) -> _Map:
    """Call a function with each batch; it runs in a thread.

    Before the run it is called with a batch of no rows, to know its columns, unless `schema` tells them. An error that
    it raises ends the pipeline, and is raised as it is.
    """
    if not callable(function):
        raise ConfigError(f"map takes a function of a RecordBatch, not {function!r}")
    return _Map(function, schema)
