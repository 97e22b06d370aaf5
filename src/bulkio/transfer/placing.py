"""The last step of a load by chunks: from the table that they have filled, the rows come to where they belong."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bulkio import sql
from bulkio.errors import CountError
from bulkio.sql import replacing, savepoints
from bulkio.transfer.merge import Changes, insert_all
from bulkio.transfer.replacing import final_names, finish_replacement
from bulkio.transfer.storing import advance_sequences, compare_counts, delete_rows, merge_staged, recount

if TYPE_CHECKING:
    from bulkio.plan import Lasting
    from bulkio.protocols import Session
    from bulkio.sql import StagedInsert
    from bulkio.transfer.rejects import Rejects
    from bulkio.transfer.send import Tally

__all__ = ["count_unlogged", "place_rows"]


async def place_rows(session: Session, lasting: Lasting, tally: Tally, rejects: Rejects | None) -> Changes:
    """Put the table that was filled in its place, or bring its rows into the load's own; return what has changed."""
    plan = lasting.plan
    if plan.work.replacement is not None:
        await session.execute(replacing.set_local("default_tablespace", ""))
        with final_names(plan.work.replacement):
            await finish_replacement(session, plan, plan.work.replacement)
        return Changes(tally.rows, 0, None)
    if rejects is not None:
        await session.execute(f"{sql.USERS_PATH}; {savepoints.CHECK_CONSTRAINTS}")
    deleted: int | None = 0
    if plan.work.delete:
        deleted = await delete_rows(session, plan)
    changes = Changes(tally.rows, 0, deleted)
    if plan.work.merge is not None:
        await session.execute(sql.USERS_PATH)
        changes = await merge_staged(session, plan.work.merge, rejects)
    elif plan.work.insert is not None:
        await session.execute(sql.USERS_PATH)
        inserted = await _insert(session, plan.work.insert, rejects)
        staged, rejected = (0, 0) if rejects is None else (rejects.staged, rejects.rejected)
        compare_counts(plan, inserted, tally.rows - staged, rejected)
        await recount(session, plan, inserted)
        changes = Changes(inserted, 0, deleted)
    await session.execute(sql.OWN_PATH)
    for statement in lasting.finish:
        await session.execute(statement)
    await advance_sequences(session, plan)
    return changes


async def _insert(session: Session, insert: StagedInsert, rejects: Rejects | None) -> int:
    if rejects is None:
        return await insert_all(session, insert)
    async with rejects.limited():
        return await insert_all(session, insert, rejects.refuse_staged)


async def count_unlogged(session: Session, place: tuple[str, str], rows: int) -> None:
    """Count the rows of a table that a crash of the server may have emptied meanwhile. Raises `CountError`."""
    [(found,)] = await session.fetch(sql.count_rows(*place, only=True))
    if int(str(found)) != rows:
        raise CountError(
            f"{rows} rows were stored in an unlogged table, and {found} are there: the server has crashed"
            " meanwhile; load again",
            expected=rows,
            found=int(str(found)),
        )
