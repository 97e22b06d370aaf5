"""What forbids to replace a table, or to drop its indexes and build them again: all of it, told at once.

A load carries over what it knows how to make again. All else is listed here, so that nothing is lost in silence.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from bulkio.catalog.definition import ColumnDefinition
from bulkio.errors import SchemaError
from bulkio.show import printable, show_name, show_option, show_type

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from bulkio.catalog.definition import ConstraintDefinition, Definition, Dependent, IndexDefinition
    from bulkio.catalog.indexing import Indexing
    from bulkio.sql import NewColumn

__all__ = ["refuse_index_obstacles", "refuse_obstacles"]

#: words for what several dependents of a kind do; others are called by their catalogs
_KINDS = {
    "foreign key": "foreign keys refer to it",
    "view": "views read it",
    "materialized view": "materialized views read it",
    "child": "tables inherit from it",
    "pg_proc": "functions are made for it",
    "pg_policy": "policies guard its rows",
    "pg_publication_rel": "publications send it",
}

#: the same of what depends on a table's indexes and keys
_INDEX_KINDS = {
    "foreign key": "foreign keys need its keys",
    "view": "views need its keys",
    "materialized view": "materialized views need its keys",
    "pg_proc": "functions need its keys",
    "pg_rewrite": "rules need its keys",
}


def refuse_obstacles(definition: Definition, columns: Sequence[ColumnDefinition | NewColumn]) -> None:
    """Refuse a table that cannot be replaced by one with these columns.

    Raises:
        SchemaError: with everything that stands in the way, and what to do instead.
    """
    faults = [
        *_of_the_table(definition),
        *_of_dependents(definition.dependents, _KINDS),
        *_of_texts(definition),
        *_of_grants(definition),
        *_of_missing_columns(definition, {column.name for column in columns}),
        *_of_new_types(definition, columns),
        *_of_sequences(definition, columns),
    ]
    if faults:
        name = f"{show_name(definition.table.schema)}.{show_name(definition.table.name)}"
        raise _refusal(f"table {name} cannot be replaced", faults, _advice(definition))


def refuse_index_obstacles(indexing: Indexing) -> None:
    """Refuse a table whose indexes cannot be dropped, or not be built again as they are once it has rows.

    Raises:
        SchemaError: with everything that stands in the way.
    """
    faults = [
        *indexing.table.oddities,
        *_of_dependents(indexing.dependents, _INDEX_KINDS),
        *_of_indexes(indexing.indexes),
        *_of_triggers(indexing.keys),
    ]
    if faults:
        name = f"{show_name(indexing.table.schema)}.{show_name(indexing.table.name)}"
        what = f"the indexes of table {name} cannot be built after its rows"
        raise _refusal(what, faults, f"load without {show_option('defer_indexes', value=True)}")


def _refusal(what: str, faults: Sequence[str], advice: str) -> SchemaError:
    lines = "".join(f"\n  {printable(fault)}" for fault in faults)
    return SchemaError(f"{what}:{lines}\n{advice}")


def _advice(definition: Definition) -> str:
    """Say what stores the same rows and keeps the table."""
    if any(dependent.kind == "foreign key" for dependent in definition.dependents):
        upsert = f"{show_option('mode', 'upsert')} with {show_option('delete_missing')}"
        return f"to make its rows those of the source and keep the table, use {upsert}"
    truncate, where = show_option("mode", "truncate"), show_option("mode", "replace-where")
    return (
        f"to replace its rows and keep the table, use {truncate}, or {where} with {show_option('where', 'true')}, which"
        " blocks no reader"
    )


def _of_the_table(definition: Definition) -> Iterator[str]:
    table = definition.table
    yield from table.oddities
    if not table.is_owner:
        yield f"role {show_name(table.role)} may not act as its owner, {show_name(table.owner)}"


def _of_dependents(dependents: Sequence[Dependent], kinds: Mapping[str, str]) -> Iterator[str]:
    names: dict[str, list[str]] = defaultdict(list)
    for dependent in dependents:
        names[kinds.get(dependent.kind, f"others depend on it ({dependent.kind})")].append(dependent.name)
    for what, listed in names.items():
        yield f"{what}: {', '.join(listed)}"


def _of_texts(definition: Definition) -> Iterator[str]:
    """Tell of what is there, and cannot be made again as it is."""
    yield from _of_indexes(definition.indexes)
    for statistics in definition.statistics:
        if statistics.middle is None:
            yield f"statistics {show_name(statistics.name)} have a definition that bulkio does not understand"
    for constraint in definition.constraints:
        if constraint.is_self_reference and not constraint.self_parts:
            yield f"constraint {show_name(constraint.name)} has a definition that bulkio does not understand"
        if constraint.reads_rows:
            yield f"constraint {show_name(constraint.name)} reads whole rows by the table's name"
    yield from _of_triggers(definition.constraints)


def _of_indexes(indexes: Sequence[IndexDefinition]) -> Iterator[str]:
    for index in indexes:
        if not index.is_valid:
            yield f"index {show_name(index.name)} is not valid: REINDEX or DROP it"
        elif index.tail is None:
            yield f"index {show_name(index.name)} has a definition that bulkio does not understand"


def _of_triggers(constraints: Sequence[ConstraintDefinition]) -> Iterator[str]:
    for constraint in constraints:
        if constraint.has_odd_triggers:
            yield f"triggers of constraint {show_name(constraint.name)} are not enabled in the usual way"


def _of_grants(definition: Definition) -> Iterator[str]:
    others = {grant.grantor for grant in definition.grants if not grant.is_owners}
    for role in sorted(others):
        yield f"role {show_name(role)}, which is not the owner, has granted privileges on it"


def _of_missing_columns(definition: Definition, names: Collection[str]) -> Iterator[str]:
    keys = {constraint.index for constraint in definition.constraints if constraint.index}
    named = [
        *((f"constraint {show_name(one.name)}", one.needs) for one in definition.constraints if one.kind != "n"),
        *((f"index {show_name(one.name)}", one.needs) for one in definition.indexes if one.oid not in keys),
        *((f"{one.kind.lower()} {show_name(one.name)}", one.needs) for one in definition.hooks),
        *((f"statistics {show_name(one.name)}", one.needs) for one in definition.statistics),
        *(
            (f"generated column {show_name(one.name)}", one.needs)
            for one in definition.columns
            if one.generated and one.name in names
        ),
    ]
    for what, needs in named:
        if missing := [show_name(need) for need in needs if need not in names]:
            yield f"{what} needs {', '.join(missing)}, which the source does not have"


def _of_new_types(definition: Definition, columns: Sequence[ColumnDefinition | NewColumn]) -> Iterator[str]:
    """Tell of what a column of another type would lose."""
    known = {column.name: column for column in definition.columns}
    for column in columns:
        if isinstance(column, ColumnDefinition) or (old := known.get(column.name)) is None:
            continue
        what = "identity" if old.identity else "expression" if old.generated else "default" if old.default else ""
        if what:
            yield (
                f"column {show_name(column.name)} would become {show_type(column.type_sql)}, and its {what} is made for"
                f" {show_type(old.type_sql)}"
            )


def _of_sequences(definition: Definition, columns: Sequence[ColumnDefinition | NewColumn]) -> Iterator[str]:
    names = {column.name for column in columns}
    gone = {sequence.oid: sequence for sequence in definition.sequences if sequence.column not in names}
    for column in columns:
        for oid in column.sequences if isinstance(column, ColumnDefinition) else ():
            if oid in gone:
                yield (
                    f"the default of column {show_name(column.name)} draws on sequence {show_name(gone[oid].name)},"
                    f" which belongs to {show_name(gone[oid].column)}, which the source does not have"
                )
    for sequence in definition.sequences:
        if sequence.is_odd:
            yield f"sequence {show_name(sequence.name)} has another type or persistence than its identity column"
