"""Plans: what a load or an export is going to do, decided before any of it is done.

Pure: catalog facts, an Arrow schema and options in, a frozen plan out. Every mismatch is found here, and all are told
at once. `--dry-run` prints `describe()`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import pyarrow as pa

from bulkio import sql
from bulkio.catalog import READABLE, WRITABLE, Column, Table, TableName
from bulkio.errors import ConfigError, SchemaError
from bulkio.pgcopy import Field
from bulkio.protocols import CopyTarget, ResultColumn
from bulkio.text import printable, show_name
from bulkio.types import ARRAY, Cast, PgType, cast_from_pg, cast_to_pg, known_type, named_type, pg_type_for

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bulkio.protocols import DriverName, ExportMethod, LoadMethod

__all__ = ["MODES", "ExportPlan", "LoadPlan", "Mode", "cursor_query", "plan_export", "plan_load", "result_columns"]

Mode = Literal["append", "create", "truncate"]
MODES: tuple[Mode, ...] = ("append", "create", "truncate")

#: Field metadata that tells a later load which PostgreSQL type a column had: the ADBC driver's key for the name, our
#: own for the typmod.
TYPE_NAME_KEY = b"ADBC:postgresql:typname"
TYPMOD_KEY = b"bulkio:typmod"


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """What a load will do: in one transaction on one connection, all of it or nothing."""

    source: str
    #: the source's own count, None where it has none
    source_rows: int | None
    schema: str
    table: str
    mode: Mode
    #: a missing table is created
    creates: bool
    #: statements before the rows
    ddl: tuple[str, ...]
    #: the columns in stream order: the source's
    fields: tuple[Field, ...]
    driver: DriverName
    method: LoadMethod
    batch_rows: int

    @property
    def target(self) -> CopyTarget:
        """The COPY's target."""
        return CopyTarget(
            self.schema,
            self.table,
            tuple(field.name for field in self.fields),
            tuple(field.cast.pg.oid for field in self.fields),
        )

    def describe(self) -> str:
        """Give the plan as text, for people."""
        rows = "an unknown number of rows" if self.source_rows is None else f"{self.source_rows:,} rows"
        lines = [
            f"load {printable(self.source)} ({rows})",
            f"into {show_name(self.schema)}.{show_name(self.table)}"
            f" with {self.driver}, method {self.method}, mode {self.mode}",
            "in one transaction on one connection: all rows or none",
            *(f"  {printable(statement)}" for statement in self.ddl),
            "columns",
            *_column_lines((f.name, str(f.cast.arrow), f.cast.pg.sql, f.nullable) for f in self.fields),
        ]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class ExportPlan:
    """What an export will read, and the Arrow schema it gives."""

    #: one SELECT
    query: str
    #: what messages call it
    name: str
    fields: tuple[Field, ...]
    arrow_schema: pa.Schema
    driver: DriverName
    method: ExportMethod

    def describe(self) -> str:
        """Give the plan as text, for people."""
        lines = [
            f"export {printable(self.name)} with {self.driver}, method {self.method}",
            f"  {printable(self.query)}",
            "in one read-only transaction: one snapshot",
            "columns",
            *_column_lines((f.name, f.cast.pg.sql, str(f.cast.arrow), f.nullable) for f in self.fields),
        ]
        return "\n".join(lines)


def _column_lines(columns: object) -> list[str]:
    rows = [
        (show_name(name), left, right, "" if nullable else "NOT NULL")
        for name, left, right, nullable in columns  # type: ignore[attr-defined]
    ]
    name_width = max((len(row[0]) for row in rows), default=0)
    left_width = max((len(row[1]) for row in rows), default=0)
    return [
        f"  {name:{name_width}}  {left:{left_width}} -> {right} {null}".rstrip() for name, left, right, null in rows
    ]


# --- Loads --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LoadRequest:
    """What the user asked for."""

    source: str
    source_schema: pa.Schema
    source_rows: int | None
    table: TableName
    mode: Mode
    driver: DriverName
    method: LoadMethod
    batch_rows: int


def plan_load(request: LoadRequest, table: Table | None, new_schema: str | None) -> LoadPlan:
    """Decide how the source goes into `table`, or into a new one in the schema `new_schema`.

    Raises:
        SchemaError: with every column at fault and what to do about it.
    """
    _refuse_odd_names(request.source_schema)
    if request.mode == "create" and table is not None:
        raise SchemaError(
            f"table {request.table} exists already: use --mode append to add rows, truncate to replace them"
        )
    if table is None:
        return _plan_new(request, new_schema)
    return _plan_existing(request, table)


def _plan_new(request: LoadRequest, new_schema: str | None) -> LoadPlan:
    if request.mode == "truncate":
        raise SchemaError(
            f"table {request.table} does not exist, so it cannot be truncated: use --mode create or append"
        )
    if new_schema is None:
        where = f"schema {request.table.schema}" if request.table.schema else "the search_path's first schema"
        raise SchemaError(f"{where} does not exist: create it first")
    fields, faults = [], []
    for column in request.source_schema:
        pg = _recorded_type(column) or pg_type_for(column.type)
        cast = cast_to_pg(column.type, pg) if pg is not None else None
        if cast is None:
            faults.append((column.name, f"bulkio has no PostgreSQL type for Arrow's {column.type} yet"))
        else:
            fields.append(Field(column.name, cast, column.nullable))
    _refuse(faults, f"table {request.table} cannot be created")
    ddl = sql.create_table(new_schema, request.table.name, [(f.name, f.cast.pg.sql, f.nullable) for f in fields])
    return _load_plan(request, new_schema, request.table.name, (ddl,), fields, creates=True)


def _plan_existing(request: LoadRequest, table: Table) -> LoadPlan:
    if table.kind not in WRITABLE:
        what = READABLE.get(table.kind, "no table")
        raise SchemaError(f"{request.table} is a {what}: COPY can only load into tables")
    columns = {column.name: column for column in table.columns}
    fields, faults = [], []
    for arrow in request.source_schema:
        column = columns.get(arrow.name)
        if column is None:
            faults.append((arrow.name, _unknown_column(arrow.name, columns)))
            continue
        cast, fault = _cast_into(arrow, column)
        if cast is None:
            faults.append((arrow.name, fault))
        else:
            fields.append(Field(arrow.name, cast, not column.not_null))
    faults += _missing_columns(request.source_schema.names, table)
    _refuse(faults, f"the source does not fit table {request.table}")
    ddl = (sql.truncate_table(table.schema, table.name),) if request.mode == "truncate" else ()
    return _load_plan(request, table.schema, table.name, ddl, fields, creates=False)


def _load_plan(
    request: LoadRequest, schema: str, table: str, ddl: tuple[str, ...], fields: Sequence[Field], *, creates: bool
) -> LoadPlan:
    return LoadPlan(
        source=request.source,
        source_rows=request.source_rows,
        schema=schema,
        table=table,
        mode=request.mode,
        creates=creates,
        ddl=ddl,
        fields=tuple(fields),
        driver=request.driver,
        method=request.method,
        batch_rows=request.batch_rows,
    )


def _refuse_odd_names(schema: pa.Schema) -> None:
    """Refuse what no table can have: no columns, two of one name, a name that is empty, too long or has a NUL."""
    if len(schema) == 0:
        raise SchemaError("the source has no columns, so there is nothing to load")
    faults = [(name, "the source has this column twice") for name, n in Counter(schema.names).items() if n > 1]
    for name in schema.names:
        if not name or "\0" in name:
            faults.append((name, "PostgreSQL cannot have this name: rename the column in the source"))
        elif len(name.encode()) > 63:
            faults.append((name, "the name is longer than PostgreSQL's 63 bytes, which it would cut"))
    _refuse(faults, "the source's column names cannot be used")


def _unknown_column(name: str, columns: dict[str, Column]) -> str:
    near = [known for known in columns if known.lower() == name.lower()]
    hint = f"did the table's {show_name(near[0])} mean it?" if near else "leave it out with --columns"
    return f"the table has no such column; {hint}"


def _cast_into(arrow: pa.Field, column: Column) -> tuple[Cast | None, str]:
    if column.generated:
        return None, "the column is generated, its values cannot be loaded: leave it out with --columns"
    pg = known_type(column.type_oid, column.typmod)
    if pg is None:
        return None, f"bulkio has no codec for type {column.type_name} yet"
    cast = cast_to_pg(arrow.type, pg)
    if cast is None:
        return None, f"Arrow's {arrow.type} does not go into {pg.sql} unchanged: cast it in the source first"
    return cast, ""


def _missing_columns(names: Sequence[str], table: Table) -> list[tuple[str, str]]:
    return [
        (column.name, "the column is NOT NULL without a default, and the source does not have it")
        for column in table.columns
        if column.name not in names
        and column.not_null
        and not (column.has_default or column.identity or column.generated)
    ]


def _refuse(faults: Sequence[tuple[str, str]], what: str) -> None:
    """Raise one SchemaError for all the columns at fault."""
    if faults:
        lines = "".join(f"\n  {show_name(name)}: {fault}" for name, fault in faults)
        raise SchemaError(f"{what}:{lines}", columns=tuple(name for name, _ in faults))


def _recorded_type(field: pa.Field) -> PgType | None:
    """Give the type that an earlier export recorded in the field's metadata, where the data still fits it."""
    metadata = field.metadata or {}
    typmod = metadata.get(TYPMOD_KEY, b"")
    if not typmod.lstrip(b"-").isdigit():
        return None
    pg = named_type(metadata.get(TYPE_NAME_KEY, b"").decode(errors="replace"), int(typmod))
    return pg if pg is not None and cast_to_pg(field.type, pg) is not None else None


# --- Exports ------------------------------------------------------------------------------------------------


def result_columns(table: Table, wanted: Sequence[str] | None) -> tuple[tuple[ResultColumn, bool], ...]:
    """Choose the columns of a table to export, each with whether it may be NULL.

    Raises:
        SchemaError: a wanted column does not exist.
    """
    if table.kind not in READABLE:
        raise SchemaError(f"{table.schema}.{table.name} is neither a table nor a view, it has no rows to export")
    columns = {column.name: column for column in table.columns}
    names = list(columns) if wanted is None else list(wanted)
    _refuse([(n, "the table has no such column") for n in names if n not in columns], "unknown columns")
    chosen = (columns[name] for name in names)
    return tuple((ResultColumn(c.name, c.type_oid, c.typmod), not c.not_null) for c in chosen)


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """What the user asked for."""

    query: str
    name: str
    driver: DriverName
    method: ExportMethod


def plan_export(request: ExportRequest, columns: Sequence[tuple[ResultColumn, bool]]) -> ExportPlan:
    """Decide the Arrow schema for the columns of a result.

    Raises:
        SchemaError: with every column whose type bulkio cannot decode.
    """
    fields, faults = [], []
    for column, nullable in columns:
        pg = known_type(column.type_oid, column.typmod)
        if pg is None:
            faults.append((column.name, f"no codec for type oid {column.type_oid} yet: select it as text"))
        else:
            fields.append(Field(column.name, cast_from_pg(pg), nullable))
    _refuse(faults, f"{request.name} cannot be exported")
    if not fields:
        raise ConfigError(f"{request.name} has no columns, so there is nothing to export")
    schema = pa.schema([pa.field(f.name, f.cast.arrow, f.nullable, metadata=_record_type(f.cast.pg)) for f in fields])
    return ExportPlan(request.query, request.name, tuple(fields), schema, request.driver, request.method)


def _record_type(pg: PgType) -> dict[bytes, bytes]:
    return {TYPE_NAME_KEY: pg.name.encode(), TYPMOD_KEY: str(pg.typmod).encode()}


def cursor_query(plan: ExportPlan) -> str:
    """Give the query that a cursor reads: the plan's own, and the lower bounds of its arrays behind its columns.

    A driver's lists do not keep them, so they are looked at apart (`rows.from_rows`).
    """
    arrays = [i for i, field in enumerate(plan.fields) if field.cast.codec == ARRAY]
    return sql.with_lower_bounds(plan.query, len(plan.fields), arrays) if arrays else plan.query
