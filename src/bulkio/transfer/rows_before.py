"""How many rows a table had before a load appended to it: whoever loads twice by mistake shall see it.

A table of up to `COUNTED_BYTES` is counted, which takes milliseconds. Of a larger one the estimate is told that the
server's planner works with, marked as one; where there is none (never analyzed), or where the role may not read the
table, nothing is told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bulkio import catalog, sql
from bulkio.plan import MODES

if TYPE_CHECKING:
    from bulkio.plan import LoadPlan
    from bulkio.protocols import Session

__all__ = ["COUNTED_BYTES", "rows_before"]

#: bytes of the largest heap that is counted: 1,000 pages are read in about a millisecond from memory
COUNTED_BYTES = 8 << 20


async def rows_before(session: Session, plan: LoadPlan) -> tuple[int | None, bool]:
    """Return how many rows the plan's table has, and whether that is an estimate; (None, False) where it is unknown."""
    if plan.creates:
        return 0, False
    if not MODES[plan.request.mode].repeats:
        return None, False
    question = catalog.size_query(plan.schema, plan.table)
    [size] = question.read(await session.fetch(question.sql))
    if size.countable and size.bytes <= COUNTED_BYTES:
        [(count,)] = await session.fetch(sql.count_rows(plan.schema, plan.table, only=not size.is_partitioned))
        return int(str(count)), False
    return size.estimate, size.estimate is not None
