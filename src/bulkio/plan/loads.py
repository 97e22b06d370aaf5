"""The plan of a load: the DDL, and for each column how its values are converted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bulkio import sql
from bulkio.catalog import READABLE, WRITABLE, SequenceUse, Table, UniqueKey
from bulkio.errors import SchemaError
from bulkio.forms.rewriting import has_commas
from bulkio.forms.rows import row_oid, unsupported
from bulkio.pgcopy import Field
from bulkio.plan.around import Around, plan_around
from bulkio.plan.existing_columns import existing_columns
from bulkio.plan.modes import MODES, Work, empties, plan_work
from bulkio.plan.new_columns import new_cast, new_column
from bulkio.plan.newtable import NewTable
from bulkio.plan.numbers import number_field
from bulkio.plan.rebuild import plan_rebuild
from bulkio.plan.recorded import recorded_table
from bulkio.plan.refusals import misfit, refuse, refuse_changed, refuse_odd_dimensions, unlike
from bulkio.plan.rejects import reject_lines, reject_notes
from bulkio.plan.replaced_columns import replaced_columns
from bulkio.plan.sharing import ONE, Sharing
from bulkio.plan.target import Target
from bulkio.protocols import CopyTarget
from bulkio.quote import NAME_BYTES
from bulkio.show import column_lines, did_you_mean, printable, show_name, show_option, show_rows, show_type
from bulkio.sql import KeyColumn
from bulkio.types import with_charset
from bulkio.types.isotexts import with_iso_texts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pyarrow as pa

    from bulkio.catalog.definition import Definition
    from bulkio.choices import DriverName, LoadMethod
    from bulkio.options import LoadRequest
    from bulkio.plan.rebuild import Rebuild
    from bulkio.plan.request import Database, SourceFacts

__all__ = ["LoadPlan", "empty_source", "plan_load"]


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """What a load will do."""

    request: LoadRequest
    #: name of the source in messages
    source: str
    #: the source's own row count; None if it has none
    source_rows: int | None
    schema: str
    table: str
    #: columns of the stream, in its order: those of the source that are loaded, and perhaps a number
    fields: tuple[Field, ...]
    driver: DriverName
    method: LoadMethod
    #: work of the server around the rows, by the load's mode
    work: Work
    #: the user's own statements around the rows
    around: Around
    #: the table that is created, where it is missing
    new_table: NewTable | None = None
    #: statements that create the table, or add columns to it
    ddl: tuple[str, ...] = ()
    #: statements that ran before those: they make the types that the table needs, so that it can be planned
    types_ddl: tuple[str, ...] = ()
    #: the source's columns that are left out: the table generates them
    skipped: tuple[str, ...] = ()
    #: notes on where the table differs from what the source recorded, and on what of the source is left out
    notes: tuple[str, ...] = ()
    #: notes on what of the table makes the load slow; none where the plan is carried out
    slow: tuple[str, ...] = ()
    #: sequences to advance past the values that are loaded; those of a new table do not exist yet
    sequences: tuple[SequenceUse, ...] = ()
    #: indexes of an existing table that are built after the rows
    rebuild: Rebuild | None = None
    #: how several connections share it
    sharing: Sharing = ONE
    #: foreign key by which rows may refer to others of the table, of a load with rejects; "" for none
    self_reference: str = ""

    @property
    def columns(self) -> tuple[Field, ...]:
        """The columns of the source that are loaded, in stream order."""
        return tuple(field for field in self.fields if field.name != self.work.number)

    @property
    def creates(self) -> bool:
        """Tell whether a missing table is created."""
        return self.new_table is not None

    @property
    def target(self) -> CopyTarget:
        """The COPY's target: the table, or the one that the rows are staged in."""
        hidden = self.work.replacement and self.work.replacement.hidden
        schema, table = self.work.staging or hidden or (self.schema, self.table)
        return CopyTarget(
            schema,
            table,
            tuple(field.name for field in self.fields),
            tuple(row_oid(field.cast.pg) for field in self.fields),
            where=self.work.where,
            freeze=self.work.freezes,
        )

    @property
    def statements(self) -> tuple[str, ...]:
        """What runs before the rows, in this order."""
        hidden = () if self.work.replacement is None else self.work.replacement.before
        dropped = () if self.rebuild is None else self.rebuild.before
        return (*self.ddl, *self.work.before, *dropped, *hidden, *([self.work.delete] if self.work.delete else []))

    @property
    def late_ddl(self) -> tuple[str, ...]:
        """What makes the table's indexes and keys after the rows, where that was put off until then."""
        if self.rebuild is not None:
            return self.rebuild.after
        return () if self.new_table is None else self.new_table.late_ddl

    def __str__(self) -> str:
        return self.describe()

    def describe(self) -> str:
        """Return the plan as text, for people."""
        rows = (
            "its rows were not read: only a load checks them"
            if self.source_rows is None
            else show_rows(self.source_rows)
        )
        lines = [
            f"load {printable(self.source)} ({rows})",
            f"into {show_name(self.schema)}.{show_name(self.table)}"
            f" with {self.driver}, method {self.method}, mode {self.request.mode}",
            self.sharing.describe(),
            *reject_lines(self.request),
            *(f"  before: {printable(statement.text)}" for statement in self.around.before),
            *(f"  {_shown(statement)}" for statement in self.types_ddl + self.statements),
            *self._work_lines(),
            *(f"  {each.option}: {printable(each.text)}" for each in self.around.after + self.around.check),
            "columns",
            *(f"  {show_name(name)} is generated by the server: skipped" for name in self.skipped),
            *column_lines((f.name, str(f.cast.arrow), f.cast.pg.sql, f.nullable) for f in self.columns),
            *(f"note: {note}" for note in self.notes),
            *(f"slow: {note}" for note in self.slow),
        ]
        return "\n".join(lines)

    def _work_lines(self) -> Iterator[str]:
        """Show what becomes of the rows, where that is more than to be stored in the table."""
        if self.work.where:
            yield f"  COPY takes rows that meet {_shown(self.work.where)}: any other is an error"
        if self.late_ddl:
            yield "  COPY, then"
            yield from (f"  {printable(statement)}" for statement in self.late_ddl)
        if self.work.merge is not None:
            yield "  COPY into the staging table, then"
            yield from (f"  {printable(statement)}" for statement in self.work.merge.statements)
        if self.work.replacement is not None:
            yield "  COPY into the new table, then"
            yield from (f"  {printable(statement)}" for statement in self.work.replacement.after)
            yield "  and, as soon as nobody uses the old table"
            swap = (self.work.replacement.lock, *self.work.replacement.drop, *self.work.replacement.swap)
            yield from (f"  {printable(statement)}" for statement in swap)


def plan_load(request: LoadRequest, source: SourceFacts, database: Database) -> LoadPlan:
    """Decide how the source goes into a table, or into a new one.

    Raises:
        SchemaError: with every column at fault and what to do about it.
    """
    refuse_odd_names(source.schema, database.facts.name_bytes)
    refuse_changed(database.charset, source.schema.names, "the column's name")
    refuse_changed(database.charset, database.made, "the statement")
    _refuse_unknown_types(request, source)
    if source.rows == 0 and empties(request) and request.if_empty == "error":
        raise empty_source(request, source.name)
    _refuse_temporary(request, database)
    if database.table is None:
        return _plan_new(request, source, database)
    if not MODES[request.mode].loads_existing:
        append, truncate = show_option("mode", "append"), show_option("mode", "truncate")
        raise SchemaError(f"table {database.name} exists already: use {append} to add rows, {truncate} to replace them")
    return _plan_existing(request, source, database.table, database)


def _refuse_temporary(request: LoadRequest, database: Database) -> None:
    """Refuse a temporary table: it goes with the connection, or behind a pooler it is somebody else's.

    One of a connection that the caller has is his, but what is recorded of such a load would outlast it; and nothing
    tells how a table that takes its place would have to behave at COMMIT.
    """
    schema = database.new_schema if database.table is None else database.table.schema
    if schema is None or not schema.startswith(_TEMPORARY):
        return
    if request.connection is None:
        raise SchemaError(
            f"table {database.name} is, or would be, a temporary one, since pg_temp comes first in the search_path: its"
            " rows would be gone with the connection; name the table with its schema, as in public.t"
        )
    if request.load_id is not None:
        raise SchemaError(
            f"table {database.name} is, or would be, a temporary one: its rows are gone with the connection, and"
            f" {show_option('load_id')} would keep them from being loaded again"
        )
    if database.table is not None and MODES[request.mode].replaces:
        raise SchemaError(
            f"table {database.name} is a temporary one, of which the server does not tell what becomes of it at COMMIT:"
            f" {show_option('mode', 'truncate')} replaces its rows"
        )


def empty_source(request: LoadRequest, name: str, rejected: int = 0) -> SchemaError:
    """Return the error for a source without rows, or with none that can be stored, that would delete the table's."""
    what = (
        f"has no rows but {show_rows(rejected)} that {'is' if rejected == 1 else 'are'} rejected"
        if rejected
        else "has no rows"
    )
    return SchemaError(
        f"{printable(name)} {what}, and {show_option('mode', request.mode)} would delete the table's: if that is"
        f" what you want, say so with {show_option('if_empty', 'ok')}"
    )


def _shown(statement: str) -> str:
    """Show a statement in one line, without the line ends that keep the user's condition apart."""
    return printable(statement.replace("(\n", "(").replace("\n)", ")"))


def _plan_new(request: LoadRequest, source: SourceFacts, database: Database) -> LoadPlan:
    if not MODES[request.mode].creates:
        why = f"table {database.name} does not exist, so it cannot be truncated"
        near = "" if database.similar is None else f"did you mean {database.similar.typed}? If not, "
        raise SchemaError(f"{why}: {near}use {show_option('mode', 'create')} or {show_option('mode', 'append')}")
    schema = database.new_schema
    if schema is None:
        where = (
            f"schema {printable(database.name.schema)}" if database.name.schema else "the search_path's first schema"
        )
        raise SchemaError(f"{where} does not exist: create it first")
    fields: list[Field] = []
    faults, notes = [], []
    policies = request.policies
    for column in source.schema:
        pg, cast, note = new_cast(column, database, policies)
        notes += [note] if note else []
        if cast is not None:
            fields.append(Field(column.name, cast, column.nullable))
        elif pg is not None:
            faults.append((column.name, misfit(column, pg, pg.sql)))
        else:
            faults.append((column.name, unlike(column)))
    refuse(faults, f"table {database.name} cannot be created")
    refuse_odd_dimensions(policies, fields, "the source")
    recorded = recorded_table(source.schema, request.rename)
    columns = [new_column(field, recorded, database) for field in fields]
    notes += recorded.notes(column.name for column in columns if column.options is not None)
    key = tuple(recorded.primary_key)
    if MODES[request.mode].by_key:
        key = tuple(request.key or key)
    recorded_key = UniqueKey("", tuple(map(KeyColumn, key)), is_primary=True) if key else None
    target = Target(
        schema,
        database.name.name,
        tuple(field.name for field in fields),
        None,
        () if recorded_key is None else (recorded_key,),
        database.server_version,
    )
    plan = _load_plan(request, source, database, fields, target)
    table = NewTable(schema, target.name, tuple(columns), key, defers=request.defer_indexes)
    return replace(plan, new_table=table, ddl=(table.ddl,), types_ddl=database.made, notes=plan.notes + tuple(notes))


def _plan_existing(request: LoadRequest, source: SourceFacts, table: Table, database: Database) -> LoadPlan:
    kind = READABLE.get(table.kind)
    if table.kind not in WRITABLE:
        what = "not a table" if kind is None else f"a {kind}"
        raise SchemaError(f"{database.name} is {what}: COPY can only load into tables")
    if table.kind not in MODES[request.mode].kinds:
        raise SchemaError(f"{database.name} is a {kind}, which {show_option('mode', request.mode)} cannot load")
    if database.facts.definition is not None:
        return _plan_replaced(request, source, table, database.facts.definition, database)
    columns = existing_columns(request, source, table, database)
    refuse_odd_dimensions(request.policies, columns.fields, "the source")
    if not columns.fields:
        faults = [(name, "the column is generated") for name in columns.skipped]
        faults += [
            (name, "the table has no such column") for name in source.schema.names if name not in columns.skipped
        ]
        refuse(faults, f"nothing can be loaded into {database.name}")
    target = Target(
        table.schema,
        table.name,
        tuple(field.name for field in columns.fields),
        table,
        database.facts.keys,
        database.server_version,
    )
    plan = _load_plan(request, source, database, columns.fields, target)
    notes = plan.notes + columns.notes
    if database.facts.children:
        notes += (f"TRUNCATE also empties the tables that inherit from this one: {', '.join(database.facts.children)}",)
    ddl = (sql.add_columns(table.schema, table.name, columns.added),) if columns.added else ()
    if ddl:
        notes += ("ALTER TABLE keeps others out of the table, readers too, until COMMIT",)
    rebuild = None
    if request.defer_indexes:
        rebuild = plan_rebuild(request, table, database.facts.indexing)
        notes += ("building the indexes after the rows keeps others out of the table, readers too, until COMMIT",)
    return replace(plan, skipped=columns.skipped, notes=notes, ddl=ddl, types_ddl=database.made, rebuild=rebuild)


def _plan_replaced(
    request: LoadRequest, source: SourceFacts, table: Table, definition: Definition, database: Database
) -> LoadPlan:
    replaced = replaced_columns(request, source.schema, table, definition, database)
    refuse_odd_dimensions(request.policies, replaced.fields, "the source")
    if not replaced.fields:
        faults = [(name, "the column is generated") for name in replaced.skipped]
        refuse(faults, f"nothing can be loaded into {database.name}")
    names = tuple(field.name for field in replaced.fields)
    target = Target(table.schema, table.name, names, table, (), database.server_version, replaced)
    plan = _load_plan(request, source, database, replaced.fields, target)
    gone = () if plan.work.replacement is None else plan.work.replacement.notes
    return replace(plan, skipped=replaced.skipped, notes=(*plan.notes, *replaced.notes, *gone))


def _kept_in(fields: Sequence[Field], database: Database) -> list[Field]:
    """Return the fields for a database that keeps this encoding."""
    return [replace(field, cast=with_charset(field.cast, database.charset)) for field in fields]


def _load_plan(
    request: LoadRequest, source: SourceFacts, database: Database, fields: Sequence[Field], target: Target
) -> LoadPlan:
    work = plan_work(request, target)
    fields = [replace(field, nullable=field.nullable and field.name not in work.key) for field in fields]
    added = request.add or {}
    if source.spelling is not None and source.spelling.decimal_comma:
        _refuse_commas([field for field in fields if field.name not in added])
    fields = [
        replace(field, cast=with_iso_texts(field.cast)) if source.spelling is not None or field.name in added else field
        for field in fields
    ]
    return LoadPlan(
        request=request,
        source=source.name,
        source_rows=source.rows,
        schema=target.schema,
        table=target.name,
        fields=(*_kept_in(fields, database), *([number_field(work.number)] if work.number else [])),
        driver=database.driver,
        method=_method(request, fields),
        notes=source.notes + reject_notes(request, database.facts.sharing, str(database.name)),
        work=work,
        around=plan_around(request),
        self_reference="" if database.facts.sharing is None else database.facts.sharing.self_reference,
    )


def _refuse_commas(fields: Sequence[Field]) -> None:
    """Refuse columns in whose text nobody can tell a decimal comma from one between two values."""
    mend = "write points there, or load it as text"
    kinds = [(field.name, field.cast.pg) for field in fields if has_commas(field.cast.pg)]
    faults = [(name, f"in {show_type(pg.sql)} a comma separates the values: {mend}") for name, pg in kinds]
    refuse(faults, f"a decimal comma ({show_option('decimal_comma')}) cannot be read in these columns")


def _method(request: LoadRequest, fields: Sequence[Field]) -> LoadMethod:
    """Let the load travel as text where the server has to parse a column; refuse rows that cannot hold a column."""
    if request.method == "binary" and any(field.cast.needs_server for field in fields):
        return "csv"
    if request.method == "records":
        refuse(
            [(field.name, why) for field in fields if (why := unsupported(field.cast)) is not None],
            "method records cannot carry these columns: use binary",
        )
    return request.method


#: prefix of the schemas of temporary tables, each session's own
_TEMPORARY = "pg_temp"

_SYSTEM_COLUMNS = frozenset({"tableoid", "ctid", "xmin", "xmax", "cmin", "cmax"})


def _refuse_unknown_types(request: LoadRequest, source: SourceFacts) -> None:
    """Refuse types for columns that the source does not have."""
    known = set(source.schema.names)
    option = show_option("types")
    faults = []
    for name in request.types or {}:
        if name not in known:
            several = f"repeat {option} for each column" if "=" in name and "," in name else ""
            mend = did_you_mean(name, known) or several
            faults.append((name, f"{option} names it; {mend}".rstrip("; ")))
    refuse(faults, "the source has no such columns")


def refuse_odd_names(schema: pa.Schema, name_bytes: Mapping[str, int]) -> None:
    """Refuse what no table can have: no columns, two of one name, a name that is empty, too long or has a NUL."""
    if len(schema) == 0:
        raise SchemaError("the source has no columns, so there is nothing to load")
    faults = [(name, "the source has this column twice") for name, n in Counter(schema.names).items() if n > 1]
    for name in schema.names:
        if not name or "\0" in name:
            faults.append((name, "PostgreSQL cannot have this name: rename the column in the source"))
        elif name in _SYSTEM_COLUMNS:
            faults.append((name, "every table has a system column of this name: rename it in the source"))
        elif name_bytes.get(name, len(name.encode())) > NAME_BYTES:
            faults.append((name, f"the name is longer than PostgreSQL's {NAME_BYTES} bytes, which it would cut"))
    refuse(faults, "the source's column names cannot be used")
