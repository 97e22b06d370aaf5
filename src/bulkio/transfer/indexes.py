"""Indexes and keys that come after the rows: drop those of an existing table, and build them at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bulkio import sql
from bulkio.catalog.definition import changed_parts
from bulkio.catalog.lookup import find_indexing
from bulkio.errors import DriverError, SchemaError
from bulkio.plan import refuse_rows
from bulkio.show import show_name, show_option

if TYPE_CHECKING:
    from bulkio.plan import LoadPlan
    from bulkio.protocols import Session

__all__ = ["build_indexes", "drop_indexes"]


async def drop_indexes(session: Session, plan: LoadPlan) -> None:
    """Drop the indexes that are built again after the rows. The table is locked, and nobody has used it since.

    Raises:
        SchemaError: the user's statements before the rows have changed them, or stored rows.
        DriverError: somebody else has changed one: the table's lock does not hold off ALTER INDEX.
    """
    if plan.rebuild is None:
        return
    planned = plan.rebuild.indexing
    now = await find_indexing(session, planned.table)
    if parts := changed_parts(planned, now):
        name = f"{show_name(plan.schema)}.{show_name(plan.table)}"
        what = f"the indexes of table {name} ({parts})"
        if plan.around.before:
            options = " and ".join(statement.name for statement in plan.around.before)
            raise SchemaError(
                f"{options} changed {what}, for which the load was planned already: do that in {show_option('after')},"
                " or in a transaction of its own, ahead of the load"
            )
        raise DriverError(f"{what} were changed meanwhile: nothing was loaded, load again", retryable=True)
    refuse_rows(now)
    for statement in plan.rebuild.before:
        await session.execute(statement)


async def build_indexes(session: Session, plan: LoadPlan) -> None:
    """Build what was put off until the rows are there. The path is the user's before, and again after."""
    if plan.rebuild is not None:
        await session.execute(sql.OWN_PATH)
    for statement in plan.late_ddl:
        await session.execute(statement)
    if plan.rebuild is not None:
        await session.execute(sql.USERS_PATH)
