"""What the server does around the rows of a load, in the transaction that they are stored in."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from bulkio import sql
from bulkio.catalog import TableName
from bulkio.catalog.lookup import find_sequences, find_table, users_path
from bulkio.errors import CountError, DriverError
from bulkio.plan import MODES, empties, empty_source, loaded_sequences
from bulkio.show import show_option
from bulkio.transfer import open_reads
from bulkio.transfer.indexes import build_indexes, drop_indexes
from bulkio.transfer.merge import Changes, merge, tag_rows
from bulkio.transfer.replacing import begin_replacement, final_names, finish_replacement

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bulkio.plan import LoadPlan, Merge, Replacement
    from bulkio.protocols import Session
    from bulkio.transfer.rejects import Rejects
    from bulkio.transfer.send import Sender
    from bulkio.transfer.sieve import Sieve

__all__ = ["advance_sequences", "compare_counts", "delete_rows", "merge_staged", "recount", "store"]


async def store(session: Session, plan: LoadPlan, sender: Sender | Sieve) -> tuple[int, Changes]:
    """Send the rows, with what the server does before and after them; return their number, and what has changed."""
    if plan.work.replacement is not None:
        copied = await _replace_table(session, plan, plan.work.replacement, sender)
        return copied, Changes(copied, 0, None)
    deleted = await _prepare_table(session, plan)
    copied = await sender.run(session)
    compare_counts(plan, copied, sender.rows, sender.rejected)
    if plan.work.recount:
        await recount(session, plan, copied)
    changes = Changes(copied, 0, deleted)
    if plan.work.merge is not None:
        changes = await merge_staged(session, plan.work.merge, sender.rejects)
    await build_indexes(session, plan)
    await advance_sequences(session, plan)
    if plan.work.analyzes and copied:
        await session.execute(sql.analyze(plan.schema, plan.table))
    return copied, changes


async def merge_staged(session: Session, work: Merge, rejects: Rejects | None) -> Changes:
    """Bring the staged rows into the table; those that the server refuses are rejected, if that may be."""
    if rejects is None:
        return await merge(session, work)
    async with rejects.limited():
        return await merge(session, work, rejects.refuse_staged, rejects.row_of)


async def recount(session: Session, plan: LoadPlan, copied: int) -> None:
    """Compare the rows that meet the condition with those loaded, under the user's path: nobody else writes.

    COPY looks at a row before its triggers do; what they have made of it, the next run would not delete. Nor are rows
    deleted that a trigger or a rule has kept.
    """
    [(found,)] = await session.fetch(plan.work.recount)
    if int(str(found)) != copied:
        who = "a trigger or a rule changes what it is about, or keeps rows from being deleted"
        if plan.work.insert is not None and not plan.work.where:  # the rows were staged, and not looked at before
            who = f"rows of the source do not meet it, or {who}"
        raise CountError(
            f"{copied} rows were loaded, and {found} of the table's rows meet the condition {show_option('where')}:"
            f" {who}, so that a second run would store rows twice; nothing was loaded",
            expected=copied,
            found=int(str(found)),
        )


async def _replace_table(session: Session, plan: LoadPlan, replacement: Replacement, sender: Sender | Sieve) -> int:
    """Put a table with the rows in the place of the old one; return their number."""
    with final_names(replacement):
        await begin_replacement(session, plan, replacement)
        copied = await sender.run(session)
        compare_counts(plan, copied, sender.rows, sender.rejected)
        await finish_replacement(session, plan, replacement)
    return copied


async def _prepare_table(session: Session, plan: LoadPlan) -> int | None:
    """Run what comes before the rows; return how many rows it deleted, or None where nobody counts them.

    TRUNCATE waits for every reader, but not for one that waits for this load.
    """
    truncates = MODES[plan.request.mode].truncates
    for statement in plan.ddl + plan.work.before:
        if truncates:
            await open_reads.execute_alone(session, statement, plan.request.source, plan.schema, plan.table)
        else:
            await session.execute(sql.as_user(statement))
    await drop_indexes(session, plan)
    if not plan.work.delete:
        return None if truncates else 0
    return await delete_rows(session, plan)


async def delete_rows(session: Session, plan: LoadPlan) -> int:
    """Delete the rows that the source's replace; return their number."""
    with _naming_condition():
        async with users_path(session):
            return tag_rows(await session.execute(plan.work.delete))


@contextmanager
def _naming_condition() -> Iterator[None]:
    """Let the server's error about the user's condition say so: its spelling, its names, its values."""
    try:
        yield
    except DriverError as error:
        state = error.sqlstate or ""
        if state[:2] not in ("22", "42") or state == "42501":  # a right is missing, which says what to do
            raise
        raise error.about(show_option("where")) from error.__cause__


async def advance_sequences(session: Session, plan: LoadPlan) -> None:
    """Take the sequences of the columns that were loaded past their values: the next INSERT shall not meet one.

    The path is the user's before, and again after: COMMIT runs the triggers that are deferred until then.
    """
    uses = plan.sequences
    if not (uses or plan.creates):
        return
    await session.execute(sql.OWN_PATH)
    if plan.creates and (table := await find_table(session, TableName(plan.schema, plan.table))):
        uses = loaded_sequences(plan, await find_sequences(session, table))
    for use in uses:
        # Two statements: between reading where the sequence is and setting it, no time shall pass.
        async with users_path(session):  # for the functions of the table's own policies
            [(last,)] = await session.fetch(sql.last_value(plan.schema, plan.table, use.column, use.options))
        if last is not None:
            await session.fetch(sql.advance_sequence(use.name, int(str(last)), ascends=use.options.ascends))
    await session.execute(sql.USERS_PATH)


def compare_counts(plan: LoadPlan, copied: int, sent: int, rejected: int = 0) -> None:
    """Compare what the server says it stored, what was sent, and what the source promised, but for rejected records."""
    promised = sent if plan.source_rows is None else plan.source_rows - rejected
    if sent == 0 and empties(plan.request) and plan.request.if_empty == "error":
        raise empty_source(plan.request, plan.source, rejected)
    if sent == promised and copied < sent and plan.work.where:
        do = "does" if sent - copied == 1 else "do"
        raise CountError(
            f"{sent - copied} of the source's {sent} rows {do} not meet the condition {show_option('where')}, so"
            " nothing was loaded: leave such rows out of the source, or widen the condition",
            expected=sent,
            found=copied,
        )
    if not copied == sent == promised:
        raise CountError(
            f"the row counts differ, so nothing was loaded: the source promised {promised}, {sent} were sent,"
            f" the server stored {copied} (a trigger or a rule may have dropped rows)",
            expected=promised,
            found=sent if sent != promised else copied,
        )
