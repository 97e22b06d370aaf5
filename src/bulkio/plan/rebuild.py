"""Indexes of an existing, empty table that are dropped before the rows and built again after them. Pure.

All of it is in the load's one transaction: whatever ends that before COMMIT, the table has its indexes and keys still.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bulkio.catalog import READABLE
from bulkio.errors import SchemaError
from bulkio.plan.indexes import IndexPlan, key_of
from bulkio.plan.modes import MODES
from bulkio.plan.obstacles import refuse_index_obstacles
from bulkio.quote import qualified
from bulkio.show import show_name, show_option
from bulkio.sql import replacing as sql

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bulkio.catalog import Table
    from bulkio.catalog.indexing import IndexedTable, Indexing
    from bulkio.options import LoadRequest

__all__ = ["Rebuild", "plan_rebuild", "refuse_rows"]


@dataclass(frozen=True, slots=True)
class Rebuild:
    """The statements, all of them for the path `pg_catalog, pg_temp`."""

    indexing: Indexing
    #: statements that drop the indexes
    before: tuple[str, ...]
    #: statements that build them again
    after: tuple[str, ...]


def plan_rebuild(request: LoadRequest, table: Table, indexing: Indexing | None) -> Rebuild:
    """Decide what drops a table's indexes and builds them again.

    Raises:
        SchemaError: the table has rows that stay, or what stands in the way.
    """
    if indexing is None:
        raise SchemaError(
            f"{_name(table)} is a {READABLE[table.kind]}, and {show_option('defer_indexes', value=True)} is for tables"
            " that have indexes of their own alone"
        )
    refuse_index_obstacles(indexing)
    if not MODES[request.mode].truncates:
        refuse_rows(indexing)
    return Rebuild(indexing, tuple(_before(indexing)), tuple(_after(indexing)))


def refuse_rows(indexing: Indexing) -> None:
    """Refuse a table that is not empty."""
    if indexing.table.has_rows:
        option, truncate = show_option("defer_indexes", value=True), show_option("mode", "truncate")
        raise SchemaError(
            f"{option} is for new and empty tables, and table {_name(indexing.table)} has rows: load without it, or"
            f" replace them ({truncate})"
        )


def _name(table: Table | IndexedTable) -> str:
    return f"{show_name(table.schema)}.{show_name(table.name)}"


def _before(indexing: Indexing) -> Iterator[str]:
    table = indexing.table
    keys = {key.index for key in indexing.keys}
    if keys:
        yield sql.drop_constraints(qualified(table.schema, table.name), [key.name for key in indexing.keys])
    if others := [index.name for index in indexing.indexes if index.oid not in keys]:
        yield sql.drop_indexes(table.schema, others)


def _after(indexing: Indexing) -> Iterator[str]:
    if not indexing.indexes:
        return
    table = indexing.table
    yield sql.set_local("default_tablespace", "")
    for index in indexing.indexes:
        yield from IndexPlan(index, key_of(index, indexing.keys), table.schema, table.name, index.name).statements()
    yield sql.set_local("default_tablespace", table.users_tablespace)
