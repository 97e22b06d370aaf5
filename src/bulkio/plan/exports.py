"""The plan of an export: the query, and the Arrow schema that it gives."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Literal

import pyarrow as pa

from bulkio import sql
from bulkio.catalog import READABLE, Column, Table
from bulkio.choices import ColumnChoice
from bulkio.errors import ConfigError, SchemaError
from bulkio.forms.rows import unsupported
from bulkio.pgcopy import Field
from bulkio.plan.recorded import record_column, record_table
from bulkio.plan.refusals import refuse, refuse_odd_dimensions
from bulkio.show import column_lines, did_you_mean, printable, show_option
from bulkio.types import ARRAY, SERVER_TEXT, Cast, cast_from_pg, resolve_type, with_policies
from bulkio.types.from_pg import numeric_as, with_leaves
from bulkio.types.geo import field_metadata
from bulkio.types.policies import numeric_form
from bulkio.types.texts import holds_money, names_objects

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from bulkio.choices import DriverName, ExportMethod
    from bulkio.options import ExportRequest, ReadRequest
    from bulkio.plan.request import Destination, Rows
    from bulkio.protocols import ResultColumn
    from bulkio.types import Policies, TypeFacts

__all__ = ["ExportPlan", "cursor_query", "key_columns", "plan_csv_export", "plan_export", "table_columns"]

#: decoders of types that have infinities, or 24:00:00, where Arrow has none
INFINITE = frozenset({"date", "time", "timestamp", "interval", "interval_struct"})


@dataclass(frozen=True, slots=True)
class ExportPlan:
    """What an export or a read will do: what it reads, the Arrow schema that gives, and where that goes."""

    request: ReadRequest | ExportRequest
    #: settings for the read alone
    pins: tuple[str, ...]
    #: text of one SELECT, with all that makes sure of its columns
    query: str
    #: the same as the user has it
    shown_query: str
    #: name that messages use: the table's, or "query"
    name: str
    fields: tuple[Field, ...]
    arrow_schema: pa.Schema
    driver: DriverName
    #: binary or cursor; csv where the server writes the file's bytes
    method: ExportMethod | Literal["csv"]
    #: destination of the file; None for a read, which hands the batches out
    dest: Destination | None = None

    def __str__(self) -> str:
        return self.describe()

    def describe(self) -> str:
        """Return the plan as text, for people."""
        dest = () if self.dest is None else (f"to {printable(self.dest.path)} ({self.dest.format_name})",)
        lines = [
            f"export {printable(self.name)} with {self.driver}, method {self.method}",
            *dest,
            *(f"  {pin}" for pin in self.pins),
            *(f"  {printable(line)}" for line in self.shown_query.strip().splitlines()),
            "in one read-only transaction: one snapshot",
            "columns",
            *column_lines((f.name, f.cast.pg.sql, str(f.cast.arrow), f.nullable) for f in self.fields),
        ]
        return "\n".join(lines)


def table_columns(table: Table, wanted: Sequence[str] | None) -> tuple[Column, ...]:
    """Choose the columns of a table to export.

    Raises:
        SchemaError: it has no rows to read, or a wanted column does not exist.
    """
    if table.kind not in READABLE:
        raise SchemaError(
            f"{printable(f'{table.schema}.{table.name}')} is neither a table nor a view, it has no rows to export"
        )
    columns = {column.name: column for column in table.columns}
    choice = ColumnChoice.of(wanted) if wanted is not None else ColumnChoice((), excludes=True)
    unknown = [name for name in choice.names if name not in columns]
    faults = [(n, f"the table has no such column; {did_you_mean(n, columns)}".rstrip("; ")) for n in unknown]
    refuse(faults, "unknown columns")
    return tuple(columns[name] for name in choice.among(tuple(columns)))


def key_columns(table: Table, wanted: Iterable[str]) -> tuple[str, ...]:
    """Return the primary key of the wanted columns' rows, in its order; none where a part of it is left out."""
    key = sorted((column.key_position, column.name) for column in table.columns if column.key_position)
    names = tuple(name for _, name in key)
    return names if {*names} <= {*wanted} else ()


def plan_export(request: ReadRequest | ExportRequest, rows: Rows, dest: Destination | None) -> ExportPlan:
    """Decide the Arrow schema for the columns of a result; a type without a codec comes as the server's text."""
    if not rows.columns:
        raise ConfigError(f"{printable(rows.name)} has no columns, so there is nothing to export")
    not_null = {column.name for column in rows.table_columns} - rows.facts.nullable
    casts = [(c.name, _cast(c, rows.facts.types, request.policies, dest)) for c in rows.columns]
    fields = [Field(name, cast, name not in not_null or _may_be_nulled(cast)) for name, cast in casts]
    refuse_odd_dimensions(request.policies, fields, rows.name)
    if request.method == "cursor":
        if unknown := request.policies.changes_exports:
            raise ConfigError(f"method cursor does not know the policy {' and '.join(unknown)}: use binary")
        refuse(
            [(field.name, why) for field in fields if (why := unsupported(field.cast)) is not None],
            "method cursor cannot carry these columns: use binary",
        )
    texts = {i: field.cast.pg.base_name for i, field in enumerate(fields) if field.cast.pg.codec == SERVER_TEXT}
    pins = _text_pins(rows, [rows.columns[i] for i in texts])
    query = rows.query
    if not rows.table_columns:  # a table's are locked
        query = sql.with_types_checked(query, [column.type_oid for column in rows.columns])
    if texts:
        query = sql.with_texts(query, len(fields), texts)
    schema = pa.schema(
        [
            pa.field(f.name, f.cast.arrow, f.nullable, metadata=record_column(f.cast.pg) | field_metadata(f.cast.pg))
            for f in fields
        ],
        metadata=record_table(rows.table_columns, _kept_key(rows, fields), rows.facts.sequences) or None,
    )
    if dest is not None:
        dest.refuse(schema)
    return ExportPlan(
        request, pins, query, rows.query, rows.name, tuple(fields), schema, rows.driver, request.method, dest
    )


def plan_csv_export(request: ReadRequest | ExportRequest, rows: Rows, dest: Destination | None) -> ExportPlan:
    """Plan what the server itself writes as CSV: every column as its text. Nothing is left for policies to decide."""
    if unknown := request.policies.changes_exports:
        raise ConfigError(f"CSV holds the server's own text, unchanged: leave {' and '.join(unknown)} out")
    if request.method != "binary":
        raise ConfigError(f"CSV is written by the server's COPY: leave {show_option('method')} out")
    plan = plan_export(request, rows, dest)
    return replace(plan, pins=_text_pins(rows, rows.columns), query=rows.query, method="csv")


def _may_be_nulled(how: Cast) -> bool:
    """Tell whether a policy puts NULL in the place of some values."""
    policies = how.policies
    return (policies.infinity == "null" and how.codec in INFINITE) or (
        policies.nan == "null" and how.codec == "decimal"
    )


def _kept_key(rows: Rows, fields: Sequence[Field]) -> tuple[str, ...]:
    """Return the key, which holds in the file as long as no policy makes NULLs in it."""
    nulled = {field.name for field in fields if _may_be_nulled(field.cast)}
    return rows.key if nulled.isdisjoint(rows.key) else ()


def _text_pins(rows: Rows, columns: Sequence[ResultColumn]) -> tuple[str, ...]:
    """Return the settings under which the text of columns means the same to every session that loads it.

    Raises:
        SchemaError: it would not, for the search_path is the query's own.
    """
    pins = []
    names = [column.name for column in columns if names_objects(column.type_oid, rows.facts.types)]
    if rows.is_plain:
        pins += [sql.OWN_PATH] if names else []
    else:
        why = "its text leaves out the schemas of this session's search_path: select it as oid (column::oid) or text"
        refuse(
            [(name, why) for name in names],
            f"columns of {printable(rows.name)} name other objects in other sessions",
        )
    if any(holds_money(column.type_oid, rows.facts.types) for column in columns):
        pins.append(sql.PLAIN_MONEY)
    return tuple(pins)


def _cast(column: ResultColumn, types: Mapping[int, TypeFacts], policies: Policies, dest: Destination | None) -> Cast:
    pg = resolve_type(column.type_oid, column.typmod, types)
    pg = replace(pg, dimensions=policies.dimensions.get(column.name, 1))
    how = cast_from_pg(pg)
    if dest is not None:
        how = with_leaves(how, dest.adapt)
    if policies.numeric != "string":
        how = with_leaves(how, partial(numeric_as, arrow=numeric_form(policies.numeric)))
    return with_policies(how, policies)


def cursor_query(plan: ExportPlan) -> str:
    """Return the query that a cursor reads: the plan's own, and the bounds of its arrays behind its columns.

    A driver's lists do not keep the lower ones, so they are looked at apart (`rows.from_rows`).
    """
    arrays = [i for i, field in enumerate(plan.fields) if field.cast.codec == ARRAY]
    return sql.with_array_shapes(plan.query, len(plan.fields), arrays) if arrays else plan.query
