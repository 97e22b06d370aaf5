"""Carry out a `Replacement`: build what stands behind the rows, and swap the two tables.

The swap needs the old table for itself. Whoever comes meanwhile waits behind it, so it waits for a moment only, lets
the others go, and tries again.
"""

from __future__ import annotations

import math
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import anyio

from bulkio import sql
from bulkio.catalog.definition import changed_parts
from bulkio.catalog.lookup import find_definition
from bulkio.errors import DriverError, SchemaError
from bulkio.show import show_name, show_option
from bulkio.sql import replacing, savepoints
from bulkio.transfer.around import check_replacement

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bulkio.catalog import SequenceUse
    from bulkio.plan import LoadPlan, Replacement
    from bulkio.protocols import Session

__all__ = ["begin_replacement", "final_names", "finish_replacement"]

#: seconds that one try of the swap waits for locks, at most: readers wait behind it
TRY_S = 1.0
#: seconds for which the tries go on, unless the user said how long to wait for a lock
PATIENCE_S = 60.0
#: SQLSTATE lock_not_available and deadlock_detected
_LOCKED_OUT = frozenset({"55P03", "40P01"})


@contextmanager
def final_names(replacement: Replacement) -> Iterator[None]:
    """Let the server's errors in this block call the new table, and what is made of it, as users know them."""
    try:
        yield
    except DriverError as error:
        message = replacing.final_names(error.args[0], replacement.names)
        if message == error.args[0]:
            raise
        raise error.with_message(message) from error.__cause__


async def begin_replacement(session: Session, plan: LoadPlan, replacement: Replacement) -> None:
    """Make the hidden table.

    Raises:
        SchemaError: the user's statements before the rows have changed the table that it was planned after.
    """
    if plan.around.before and (parts := await _changed_parts(session, replacement)):
        options = " and ".join(statement.name for statement in plan.around.before)
        raise SchemaError(
            f"{options} changed table {_shown(replacement)} ({parts}), for which the load was planned already: do that"
            " in a transaction of its own, ahead of the load"
        )
    for statement in replacement.before:
        await session.execute(statement)


async def finish_replacement(session: Session, plan: LoadPlan, replacement: Replacement) -> None:
    """Put the hidden table, whose rows are there, in the old one's place.

    All of it runs under bulkio's own search_path, and the user's is set again behind it. The sequences of the loaded
    columns are taken past their values.

    Raises:
        CheckError: a check of the user's is not true.
        DriverError: a constraint or an index does not hold, or, `retryable`, the old table was in use for too long.
    """
    await session.execute(sql.OWN_PATH)
    for statement in replacement.after:
        await session.execute(statement)
    last_values = [await _last_value(session, replacement, use) for use in plan.sequences]
    await check_replacement(session, plan, replacement)
    await _drop(session, replacement, plan.request.lock_timeout)
    await session.execute("; ".join(replacement.swap))
    for use, last in zip(plan.sequences, last_values, strict=True):
        if last is not None:
            await session.fetch(sql.advance_sequence(use.name, last, ascends=use.options.ascends))
    await session.execute(sql.USERS_PATH)


async def _last_value(session: Session, replacement: Replacement, use: SequenceUse) -> int | None:
    """Look up the last loaded value of a column, now that its index is there and nobody waits."""
    [(last,)] = await session.fetch(sql.last_value(*replacement.hidden, use.column, use.options))
    return None if last is None else int(str(last))


async def _drop(session: Session, replacement: Replacement, lock_timeout: str | None) -> None:
    """Drop the old table as soon as nobody uses it, in short tries."""
    [(setting,)] = await session.fetch(sql.LOCK_TIMEOUT_MS)
    limit_ms = int(str(setting))
    patience_s = limit_ms / 1000 or (PATIENCE_S if lock_timeout is None else math.inf)
    ends_at = time.monotonic() + patience_s
    while (left_s := ends_at - time.monotonic()) > 0:
        wait_ms = max(1, round(min(TRY_S, left_s) * 1000))
        if await _try_drop(session, replacement, wait_ms=wait_ms, limit_ms=limit_ms):
            return
        await anyio.sleep(min(TRY_S, max(0.0, ends_at - time.monotonic())))
    raise DriverError(
        f"table {_shown(replacement)} was in use by others for {patience_s:g} s, so the new one could not take its"
        f" place, and nothing was changed: load again, or wait longer with {show_option('lock_timeout')}",
        sqlstate="55P03",
        retryable=True,
    )


async def _try_drop(session: Session, replacement: Replacement, *, wait_ms: int, limit_ms: int) -> bool:
    """Drop the old table; tell whether it could be locked in time."""
    await session.execute(f"{savepoints.savepoint(replacing.SWAP_POINT)}; SET LOCAL lock_timeout = {wait_ms:d}")
    try:
        await session.execute(replacement.lock)
        await _refuse_changed_table(session, replacement)
        await session.execute("; ".join(replacement.drop))
    except DriverError as error:
        if error.sqlstate not in _LOCKED_OUT:
            raise
        await session.execute(savepoints.roll_back_to(replacing.SWAP_POINT))
        return False
    await session.execute(f"{savepoints.release(replacing.SWAP_POINT)}; SET LOCAL lock_timeout = {limit_ms:d}")
    return True


async def _refuse_changed_table(session: Session, replacement: Replacement) -> None:
    """Refuse to drop a table that is not any more what the new one was made after.

    The first lock holds off ALTER TABLE, but neither GRANT nor CREATE VIEW.
    """
    if parts := await _changed_parts(session, replacement):
        raise DriverError(
            f"the definition of table {_shown(replacement)} was changed during the load ({parts}), and the new table"
            " does not have the change: nothing was replaced, load again",
            retryable=True,
        )


async def _changed_parts(session: Session, replacement: Replacement) -> str:
    """Look up what of the old table's definition is not any more what it was, such as "indexes, grants"."""
    then = replacement.definition
    now = await find_definition(session, then.table.oid)
    now = replace(now, table=replace(now.table, users_tablespace=then.table.users_tablespace))
    return changed_parts(then, now)


def _shown(replacement: Replacement) -> str:
    table = replacement.definition.table
    return f"{show_name(table.schema)}.{show_name(table.name)}"
