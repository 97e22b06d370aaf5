"""SQL over the stream, by DuckDB (extra `bulkio[duckdb]`): the stream is its table `input`; rows stream in and out.

What goes through must arrive unchanged. So before the run each column that comes in is compared with what DuckDB would
hand on of it: a type that is not the same is refused. Only the layout may differ: a dictionary, a view or a large
string arrives as its plain type.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pyarrow as pa

from bulkio.errors import ConfigError, SchemaError, StageError
from bulkio.pipeline.stages.parts import Work
from bulkio.pipeline.stages.unchanged import unchanged_columns
from bulkio.quote import quote_ident
from bulkio.show import show_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bulkio.pipeline.stages.parts import Place

__all__ = ["Query", "sql"]

#: rows of a batch that DuckDB makes
BATCH_ROWS = 16384
#: DuckDB's types of whole numbers above int64, such as a sum's, and what they go on as
_WIDE = {"HUGEINT": "DECIMAL(38,0)", "UHUGEINT": "DECIMAL(38,0)"}


@dataclass(frozen=True, slots=True)
class _Sql:
    text: str
    memory_limit: str | None
    name = "sql"

    def plan(self, schema: pa.Schema) -> Work:
        query = Query(self.text, schema, self.memory_limit)
        return Work(query.schema, query.run, query.interrupt)


def sql(text: str, *, memory_limit: str | None = None) -> _Sql:
    """Run one SELECT of DuckDB's SQL over the stream, which is its table `input`.

    What has to hold many rows (joins, sorts, groups) takes up to `memory_limit`, such as "1GB", by default DuckDB's 80%
    of the machine's memory; what is beyond that goes into temporary files.
    """
    return _Sql(text, memory_limit)


class Query:
    """One SELECT over batches of one schema.

    Raises:
        ConfigError: DuckDB is not installed, or the text is not one SELECT that it understands.
        SchemaError: a column of a type that DuckDB would change, or lacks; or that Arrow lacks.
    """

    def __init__(self, text: str, schema: pa.Schema, memory_limit: str | None = None) -> None:
        self._text = text
        self._memory_limit = memory_limit
        self._lock = threading.Lock()
        #: connections that are at work
        self._open: list[Any] = []
        with self._connected() as con:
            _refuse_changed(con, schema)
            self._plan_text, self.schema = _planned(con, text, schema)
        self._input = schema

    def run(self, batches: Iterator[pa.RecordBatch], place: Place) -> Iterator[pa.RecordBatch]:
        """Yield the result's batches. Raises what `batches` raises, and `StageError` for what DuckDB does."""
        failures: list[BaseException] = []
        rows = pa.RecordBatchReader.from_batches(self._input, _kept_errors(batches, failures))
        with self._connected() as con:
            with _mapped(failures, place):
                con.register("input", rows)
                result = con.sql(self._plan_text).to_arrow_reader(BATCH_ROWS)
            while True:
                with _mapped(failures, place):
                    batch = next(result, None)
                if batch is None:
                    return
                if batch.num_rows:
                    yield _as(batch, self.schema)

    def interrupt(self) -> None:
        """End what DuckDB is at, from any thread."""
        with self._lock:
            for con in self._open:
                con.interrupt()

    @contextmanager
    def _connected(self) -> Iterator[Any]:
        """Open a database of its own in memory; what it spills into goes with it."""
        duckdb = _duckdb()
        spilled = Path(tempfile.gettempdir()) / f"bulkio-duckdb-{uuid4()}"
        config = {"temp_directory": str(spilled), "arrow_lossless_conversion": "true"}
        config["python_enable_replacements"] = "false"
        if self._memory_limit is not None:
            config["memory_limit"] = self._memory_limit
        try:
            con = duckdb.connect(":memory:", config=config)
        except duckdb.Error as error:
            raise ConfigError(f"DuckDB refuses its settings: {_message(error)}") from error
        try:
            with self._lock:
                self._open.append(con)
            con.execute("SET TimeZone = 'UTC'")
            yield con
        finally:
            with self._lock:
                self._open.remove(con)
            con.close()
            shutil.rmtree(spilled, ignore_errors=True)


def _duckdb() -> Any:
    try:
        import duckdb
    except ImportError:
        raise ConfigError("SQL over a stream needs DuckDB: pip install 'bulkio[duckdb]'") from None
    return duckdb


def _as(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Return a batch in the plain layout of its types, and with what is recorded of its columns."""
    if batch.schema.types != schema.types:
        batch = batch.cast(pa.schema(list(zip(schema.names, schema.types, strict=True))))
    return pa.RecordBatch.from_arrays(batch.columns, schema=schema)


def _kept_errors(batches: Iterator[pa.RecordBatch], failures: list[BaseException]) -> Iterator[pa.RecordBatch]:
    try:
        yield from batches
    except BaseException as error:
        failures.append(error)
        raise


@contextmanager
def _mapped(failures: list[BaseException], place: Place) -> Iterator[None]:
    """Raise what the stages ahead have failed with, of which DuckDB makes a text; else DuckDB's own error as ours."""
    try:
        yield
    except (_duckdb().Error, pa.ArrowException, OSError, MemoryError) as error:  # pyarrow hands some on as OSError
        if failures:
            raise failures[0] from failures[0].__cause__
        raise StageError(_message(error), stage=place.label) from error


# -- before the run


def _planned(con: Any, text: str, schema: pa.Schema) -> tuple[str, pa.Schema]:
    """Return the text that is run, and the schema of what comes out."""
    duckdb = _duckdb()
    try:
        statements = con.extract_statements(text)
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise ConfigError("the SQL of a stage is one SELECT, such as select * from input")
        con.register("input", pa.RecordBatchReader.from_batches(schema, []))
        _refuse_names(con, schema)
        relation = con.sql(text)
        names, kinds = list(relation.columns), [str(kind) for kind in relation.types]
        if any(kind in _WIDE for kind in kinds):
            text = _narrowed(statements[0].query, names, kinds)
            relation = con.sql(text)
        _refuse_second_read(con, text)
        found = relation.to_arrow_reader(BATCH_ROWS).schema
        handed_on = unchanged_columns(con, statements[0].query, schema.names)
    except duckdb.Error as error:
        raise ConfigError(f"DuckDB: {_message(error)}") from error
    out = [_outgoing(field, kind) for field, kind in zip(found, kinds, strict=True)]
    if len(handed_on) == len(out):
        out = [_recorded(field, schema, source) for field, source in zip(out, handed_on, strict=True)]
    return text, pa.schema(out)


def _recorded(field: pa.Field, schema: pa.Schema, source: str | None) -> pa.Field:
    """Return a column with what was recorded of the one that it is."""
    if source is None or not _same(schema.field(source).type, field.type):
        return field
    return schema.field(source).with_name(field.name).with_type(field.type)


def _refuse_second_read(con: Any, text: str) -> None:
    """Raise `ConfigError` where the stream, which is there once, would be read twice; at the run DuckDB refuses it."""
    [(_, plan)] = con.sql(f"explain {text}").fetchall()
    if plan.count("ARROW_SCAN") > 1:
        raise ConfigError(
            "the SQL reads input more than once, and a stream is there once: begin it with"
            " with rows as materialized (select * from input), and read rows"
        )


def _message(error: Exception) -> str:
    """Return DuckDB's message without the picture of the text."""
    return str(error).partition("\n\nLINE ")[0].strip().replace("\n", " ")


def _narrowed(text: str, names: list[str], kinds: list[str]) -> str:
    """Wrap a query: its wide whole numbers become decimals, or an error where they do not fit."""
    columns = [f"c{number}" for number in range(len(names))]
    out = [
        f"{column}{f'::{_WIDE[kind]}' if kind in _WIDE else ''} AS {quote_ident(name)}"
        for column, name, kind in zip(columns, names, kinds, strict=True)
    ]
    inner = text.rstrip().rstrip(";")
    return f"SELECT {', '.join(out)} FROM ({inner}\n) AS result({', '.join(columns)})"  # noqa: S608 - the user's own


def _outgoing(field: pa.Field, kind: str) -> pa.Field:
    out = _plain(field.type)
    if _has(out, _is_foreign):
        raise SchemaError(
            f"column {show_name(field.name)} of the result is DuckDB's {kind}, which has no counterpart: cast it in the"
            " SQL",
            columns=(field.name,),
        )
    return pa.field(field.name, out)


def _refuse_changed(con: Any, schema: pa.Schema) -> None:
    """Raise `SchemaError` for columns that would not come out as they are."""
    changed = {field.name: found for field in schema if (found := _change(con, field.type)) is not None}
    if changed:
        what = "; ".join(
            f"column {show_name(name)} is {schema.field(name).type}, which {found}" for name, found in changed.items()
        )
        raise SchemaError(f"{what}: cast it ahead of the SQL, or drop it", columns=tuple(changed))


def _refuse_names(con: Any, schema: pa.Schema) -> None:
    """Raise `SchemaError` for names that would not come out as they are."""
    found = con.sql("select * from input").columns
    changed = [(name, other) for name, other in zip(schema.names, found, strict=True) if name != other]
    for name, other in changed[:1]:
        raise SchemaError(
            f"DuckDB would call column {show_name(name)} {show_name(other)}: rename it ahead of the SQL, or drop it",
            columns=(name,),
        )


def _change(con: Any, kind: pa.DataType) -> str | None:
    """Return what DuckDB would do to a type; None if it goes in and comes out as the same, but for its layout."""
    if _has(kind, pa.types.is_interval) or _has(kind, pa.types.is_duration):
        return "DuckDB keeps as an interval in microseconds"
    try:
        con.register("probe", pa.RecordBatchReader.from_batches(pa.schema([("c", kind)]), []))
        found = con.sql("select * from probe").to_arrow_reader(1).schema.field(0).type
    except (_duckdb().Error, pa.ArrowException):
        return "DuckDB does not have"
    finally:
        con.unregister("probe")
    return None if _same(found, kind) else f"DuckDB would turn into {_plain(found)}"


def _is_foreign(kind: pa.DataType) -> bool:
    """Tell DuckDB's own types, and those that no column of PostgreSQL has."""
    is_opaque = isinstance(kind, pa.BaseExtensionType) and kind.extension_name == "arrow.opaque"
    return is_opaque or bool(pa.types.is_union(kind))


def _has(kind: pa.DataType, test: Callable[[pa.DataType], bool]) -> bool:
    """Tell whether a type, or one inside it, is of a kind."""
    if test(kind):
        return True
    if pa.types.is_dictionary(kind):
        return _has(kind.value_type, test)
    return any(_has(kind.field(index).type, test) for index in range(kind.num_fields))


def _same(one: pa.DataType, other: pa.DataType) -> bool:
    """Tell whether two types are the same but for their layout. As text: pyarrow 18 crashes on JSON inside a struct."""
    return str(_plain(one)) == str(_plain(other))


def _plain(kind: pa.DataType) -> pa.DataType:
    """Return the plain layout of a type: the same values in Arrow's simplest form."""
    if isinstance(kind, pa.BaseExtensionType):
        return pa.bool_() if kind.extension_name == "arrow.bool8" else kind
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return _plain(kind.value_type)
    for test, plain in _LAYOUTS:
        if test(kind):
            return plain
    if pa.types.is_map(kind):
        return pa.map_(_plain(kind.key_type), _plain(kind.item_type))
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(_plain(kind.value_type), kind.list_size)
    if pa.types.is_nested(kind) and not pa.types.is_struct(kind) and not pa.types.is_union(kind):
        return pa.list_(_plain(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(each.name, _plain(each.type)) for each in kind])
    return kind


_LAYOUTS = (
    (pa.types.is_large_string, pa.string()),
    (pa.types.is_string_view, pa.string()),
    (pa.types.is_large_binary, pa.binary()),
    (pa.types.is_binary_view, pa.binary()),
)
