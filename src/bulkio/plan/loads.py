"""The plan of a load: the DDL, and for each column how its values are converted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from bulkio import csvform, sql
from bulkio.catalog import READABLE, WRITABLE, Column, Table, TableName
from bulkio.errors import ConfigError, SchemaError
from bulkio.pgcopy import Field
from bulkio.plan.common import column_lines, refuse
from bulkio.plan.recorded import RecordedTable, recorded_table, recorded_type
from bulkio.protocols import CopyTarget
from bulkio.rows import row_oid, unsupported
from bulkio.text import printable, show_name
from bulkio.types import Cast, cast_to_pg, pg_type_for, resolve_type
from bulkio.types.geo import arrow_extension, field_typmod

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

    from bulkio.protocols import DriverName, LoadMethod
    from bulkio.types import PgType, Policies, TypeFacts

__all__ = ["MODES", "Database", "LoadPlan", "LoadRequest", "Mode", "plan_load"]

Mode = Literal["append", "create", "truncate"]
MODES: tuple[Mode, ...] = ("append", "create", "truncate")


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
            tuple(row_oid(field.cast.pg) for field in self.fields),
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
            *column_lines((f.name, str(f.cast.arrow), f.cast.pg.sql, f.nullable) for f in self.fields),
        ]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class LoadRequest:
    """What the user asked for."""

    policies: Policies

    source: str
    source_schema: pa.Schema
    source_rows: int | None
    table: TableName
    mode: Mode
    driver: DriverName
    method: LoadMethod
    batch_rows: int


@dataclass(frozen=True, slots=True)
class Database:
    """What the plan needs to know of the target's database."""

    table: Table | None
    #: the schema in which a missing table is created; None where that does not exist
    new_schema: str | None
    #: the types of the table's columns, and the recorded ones, that bulkio does not know by heart
    types: Mapping[int, TypeFacts]
    #: oids of the types that the source's fields record, by (schema, name)
    named: Mapping[tuple[str, str], int]
    #: oids of the types that PostGIS has brought, by name
    postgis: Mapping[str, int]


def plan_load(request: LoadRequest, database: Database) -> LoadPlan:
    """Decide how the source goes into a table, or into a new one.

    Raises:
        SchemaError: with every column at fault and what to do about it.
    """
    refuse_odd_names(request.source_schema)
    if request.mode == "create" and database.table is not None:
        raise SchemaError(
            f"table {request.table} exists already: use --mode append to add rows, truncate to replace them"
        )
    if database.table is None:
        return _plan_new(request, database)
    return _plan_existing(request, database.table, database.types)


def _plan_new(request: LoadRequest, database: Database) -> LoadPlan:
    if request.mode == "truncate":
        raise SchemaError(
            f"table {request.table} does not exist, so it cannot be truncated: use --mode create or append"
        )
    schema = database.new_schema
    if schema is None:
        where = f"schema {request.table.schema}" if request.table.schema else "the search_path's first schema"
        raise SchemaError(f"{where} does not exist: create it first")
    fields, faults = [], []
    for column in request.source_schema:
        cast = _cast_into_new(column, database, request.policies)
        if cast is None:
            faults.append((column.name, f"bulkio has no PostgreSQL type for Arrow's {column.type} yet"))
        else:
            fields.append(Field(column.name, cast, column.nullable))
    refuse(faults, f"table {request.table} cannot be created")
    recorded = recorded_table(request.source_schema)
    columns = [_new_column(field, recorded) for field in fields]
    ddl = sql.create_table(schema, request.table.name, columns, recorded.primary_key)
    return _load_plan(request, schema, request.table.name, (ddl,), fields, creates=True)


def _new_column(field: Field, recorded: RecordedTable) -> sql.NewColumn:
    pg = field.cast.pg
    type_sql = pg.sql
    if field.name in recorded.serial and pg.codec in ("int2", "int4", "int8") and not pg.is_domain:
        type_sql = {"int2": "smallserial", "int4": "serial", "int8": "bigserial"}[pg.codec]
    return sql.NewColumn(field.name, type_sql, field.nullable, recorded.identity.get(field.name, ""))


def _cast_into_new(column: pa.Field, database: Database, policies: Policies) -> Cast | None:
    """Choose the type that was recorded, where the database has it and the data fits; else the default one."""
    recorded = recorded_type(column)
    if recorded is not None:
        oid = database.named.get((recorded.schema, recorded.name))
        pg = None if oid is None else resolve_type(oid, recorded.typmod, database.types)
        cast = None if pg is None else cast_to_pg(column.type, _declared(pg, column.name, policies), policies)
        if cast is not None:
            return cast
    spatial = database.postgis.get(arrow_extension(column) or "")
    if spatial is not None:
        return cast_to_pg(column.type, resolve_type(spatial, field_typmod(column), database.types), policies)
    pg = pg_type_for(column.type, policies.dimensions.get(column.name, 1))
    return None if pg is None else cast_to_pg(column.type, pg, policies)


def _declared(pg: PgType, column: str, policies: Policies) -> PgType:
    return replace(pg, dimensions=policies.dimensions.get(column, 1))


def _plan_existing(request: LoadRequest, table: Table, types: Mapping[int, TypeFacts]) -> LoadPlan:
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
        cast, fault = _cast_into(arrow, column, types, request.policies)
        if cast is None:
            faults.append((arrow.name, fault))
        else:
            fields.append(Field(arrow.name, cast, not column.not_null))
    faults += _missing_columns(request.source_schema.names, table)
    refuse(faults, f"the source does not fit table {request.table}")
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
        method=_method(request, fields),
        batch_rows=request.batch_rows,
    )


def _method(request: LoadRequest, fields: Sequence[Field]) -> LoadMethod:
    """Let the load travel as text where the server has to parse a column; refuse rows that cannot hold a column."""
    wanted = request.method
    travels = "csv" if wanted == "binary" and any(field.cast.needs_server for field in fields) else wanted
    changed = request.policies.changes_loads
    if travels != "binary" and changed:
        hint = ", but a column that the server has to parse makes this load travel as csv" if wanted == "binary" else ""
        raise ConfigError(f"{' and '.join(changed)} need method binary{hint}")
    if travels == "csv":
        refuse(
            [(field.name, why) for field in fields if (why := csvform.unsupported(field.cast)) is not None],
            "CSV, in which this load travels because the server has to parse a column, cannot carry these columns"
            if wanted == "binary"
            else "method csv cannot carry these columns",
        )
    if wanted == "records":
        refuse(
            [(field.name, why) for field in fields if (why := unsupported(field.cast)) is not None],
            "method records cannot carry these columns: use binary",
        )
    return travels


def refuse_odd_names(schema: pa.Schema) -> None:
    """Refuse what no table can have: no columns, two of one name, a name that is empty, too long or has a NUL."""
    if len(schema) == 0:
        raise SchemaError("the source has no columns, so there is nothing to load")
    faults = [(name, "the source has this column twice") for name, n in Counter(schema.names).items() if n > 1]
    for name in schema.names:
        if not name or "\0" in name:
            faults.append((name, "PostgreSQL cannot have this name: rename the column in the source"))
        elif len(name.encode()) > 63:
            faults.append((name, "the name is longer than PostgreSQL's 63 bytes, which it would cut"))
    refuse(faults, "the source's column names cannot be used")


def _unknown_column(name: str, columns: dict[str, Column]) -> str:
    near = [known for known in columns if known.lower() == name.lower()]
    hint = f"did the table's {show_name(near[0])} mean it?" if near else "leave it out with --columns"
    return f"the table has no such column; {hint}"


def _cast_into(
    arrow: pa.Field, column: Column, types: Mapping[int, TypeFacts], policies: Policies
) -> tuple[Cast | None, str]:
    if column.generated:
        return None, "the column is generated, its values cannot be loaded: leave it out with --columns"
    pg = _declared(resolve_type(column.type_oid, column.typmod, types), column.name, policies)
    cast = cast_to_pg(arrow.type, pg, policies)
    if cast is None:
        return None, f"Arrow's {arrow.type} does not go into {column.type_name} unchanged: cast it in the source first"
    return cast, ""


def _missing_columns(names: Sequence[str], table: Table) -> list[tuple[str, str]]:
    return [
        (column.name, "the column is NOT NULL without a default, and the source does not have it")
        for column in table.columns
        if column.name not in names
        and column.not_null
        and not (column.has_default or column.identity or column.generated)
    ]
