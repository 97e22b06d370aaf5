"""Run the user's own statements around the rows, in the load's transaction and under the user's search_path."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from bulkio import sql
from bulkio.catalog import TableName
from bulkio.catalog.lookup import find_table
from bulkio.errors import CheckError, ConfigError, DriverError, SchemaError
from bulkio.protocols import ROW_TYPE_OIDS
from bulkio.show import printable, show_name, show_value
from bulkio.sql import replacing, savepoints

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bulkio.plan import LoadPlan, Replacement, Statement
    from bulkio.protocols import Session

__all__ = [
    "check_error",
    "check_replacement",
    "failure_of",
    "run_after",
    "run_before",
    "run_checks",
    "run_statements",
]

#: characters of a query that a message shows, and columns of its result
_SHOWN_CHARS = 300
_SHOWN_COLUMNS = 20


async def run_before(session: Session, plan: LoadPlan) -> None:
    """Run what stands before the rows. The plan was made before it, so the table's columns must stay as they are.

    Raises:
        SchemaError: they did not.
    """
    if not plan.around.before:
        return
    name = TableName(plan.schema, plan.table)
    planned = await find_table(session, name)
    await run_statements(session, plan.around.before)
    # What a value means shall not depend on what the user has set: only then do the rows come.
    await session.execute(f"{sql.OWN_PATH}; {sql.VALUE_PINS}")
    if await find_table(session, name) != planned:
        options = " and ".join(statement.name for statement in plan.around.before)
        raise SchemaError(
            f"{options} made or changed table {show_name(plan.schema)}.{show_name(plan.table)}, for which the load was"
            " planned already: do that in a transaction of its own, ahead of the load"
        )


async def run_after(session: Session, plan: LoadPlan) -> None:
    """Run what stands behind the rows, and last the checks. The user's search_path stays, for COMMIT's triggers.

    Raises:
        CheckError: a check is not true.
    """
    await run_statements(session, plan.around.after)
    if plan.around.after or plan.work.replacement is None:  # else the hidden table was checked, before the swap
        await run_checks(session, plan.around.check)


async def run_statements(session: Session, statements: Sequence[Statement]) -> tuple[str, ...]:
    """Run statements of the user's; return their command tags. The user's search_path stays.

    What one of them sets holds for those that follow.

    Raises:
        DriverError: the server refused one; the message names it.
        ConfigError: one has ended the transaction, in spite of all.
    """
    if not statements:
        return ()
    tags: list[str] = []
    begun = await session.fetch(sql.XACT_ID)
    await session.execute(sql.USERS_PATH)
    for statement in statements:
        with _named(statement):
            tags.append(await session.execute(statement.text))
        if await session.fetch(sql.XACT_ID) != begun:
            raise ConfigError(f"{statement.name} has ended the transaction: what came before it may be stored")
    await session.execute(sql.USERS_PATH)
    return tuple(tags)


async def run_checks(session: Session, checks: Sequence[Statement], path: str = sql.USERS_PATH) -> None:
    """Ask each check of a load. The search_path that `path` sets stays.

    Raises:
        CheckError: the first one that does not give one row, whose first column is true.
    """
    for check in checks:
        await session.execute(path)
        if failure := await failure_of(session, check):
            raise _failed(check, failure)


async def failure_of(session: Session, check: Statement) -> str:
    """Ask a check, under the search_path that is set; return why it has failed, "" where it has not."""
    with _named(check):
        columns = await session.describe(check.text)
        if not columns or columns[0].type_oid != ROW_TYPE_OIDS["bool"]:
            return "the first column of its result must be boolean, and is not"
        rows = await session.fetch(sql.first_texts(check.text, len(columns), rows=2))
    if not rows:
        return "it returned no row"
    values = [f"{show_name(column.name)}: {_shown(text)}" for column, text in zip(columns, rows[0], strict=True)]
    shown = ", ".join(values[:_SHOWN_COLUMNS] + ["..."] * (len(values) > _SHOWN_COLUMNS))
    if len(rows) > 1:
        return f"it returned more than one row, the first being {shown}"
    return "" if rows[0][0] == "t" else f"it gave {shown}"


async def check_replacement(session: Session, plan: LoadPlan, replacement: Replacement) -> None:
    """Ask the checks while the old table is in use still: its name, without a schema, is the hidden table's for them.

    Runs under bulkio's own search_path.

    Raises:
        CheckError: a check is not true, or reads the old table, as it does by a name with its schema.
    """
    table = replacement.definition.table
    for check in plan.around.check:
        before = await session.fetch(replacing.reads_of(table.oid))
        await session.execute(savepoints.savepoint(replacing.CHECK_POINT))
        await session.execute(replacing.stand_in(table.name, replacement.hidden))
        await run_checks(session, [check], replacing.STAND_IN_PATH)
        await session.execute(sql.OWN_PATH)
        if await session.fetch(replacing.reads_of(table.oid)) != before:
            raise _failed(check, f"it reads the old table: name it {show_name(table.name)}, without its schema")
        await session.execute(savepoints.take_back(replacing.CHECK_POINT))


def _shown(text: object) -> str:
    return "NULL" if text is None else show_value(text)


def _failed(check: Statement, why: str) -> CheckError:
    number = f" {check.number}" if check.number else ""
    return check_error(check, f"check{number} failed, so nothing was loaded: {why}")


def check_error(check: Statement, message: str) -> CheckError:
    """Return the error of a check that has failed, which shows its text."""
    return CheckError(f"{message}\n  {printable(check.text, _SHOWN_CHARS)}", query=check.text)


@contextmanager
def _named(statement: Statement) -> Iterator[None]:
    """Let the server's error say which statement it is about."""
    try:
        yield
    except DriverError as error:
        raise error.about(statement.name) from error.__cause__
