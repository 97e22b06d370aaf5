"""One row of a query: as values, or as a check that it is true. Nothing is changed: the transaction may only read."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from bulkio import sql
from bulkio.errors import ConfigError, DriverError
from bulkio.options import ReadRequest
from bulkio.plan import plan_check
from bulkio.show import show_value
from bulkio.transfer.around import check_error, failure_of
from bulkio.transfer.export import open_batches
from bulkio.transfer.session import open_session, transaction

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bulkio.options import QueryRequest
    from bulkio.plan import Statement

__all__ = ["check", "fetch_row"]

#: rows decoded at once: one is wanted
_BATCH_ROWS = 64
#: words that begin what writes, which the server would not take for a part of a query
_WRITES = frozenset({"insert", "update", "delete", "merge"})
_ADVICE = "a check, or a query for a row, only reads; execute is for what writes"
#: SQLSTATE read_only_sql_transaction
_READ_ONLY = "25006"


async def check(request: QueryRequest) -> None:
    """Ask a check.

    Raises:
        CheckError: it does not give one row, whose first column is true.
    """
    _refuse_writing(request.query)
    planned = plan_check(request.query, request.params)
    with _told_of_writing():
        failure = await _ask(request, planned)
    if failure:
        raise check_error(planned, f"the check failed: {failure}")


async def _ask(request: QueryRequest, planned: Statement) -> str:
    async with (
        open_session(request.dsn, request) as session,
        transaction(session, read_only=True, lock_timeout=request.lock_timeout),
    ):
        await session.execute(sql.USERS_PATH)
        return await failure_of(session, planned)


async def fetch_row(request: QueryRequest) -> tuple[object, ...] | None:
    """Return the first row of a query; None where it has none."""
    _refuse_writing(request.query)
    if not sql.begins_query(request.query):
        raise ConfigError(f"{show_value(request.query)} must be a query, such as SELECT max(id) FROM orders")  # noqa: S608
    read = ReadRequest(
        request.query,
        request.dsn,
        params=request.params,
        driver=request.driver,
        lock_timeout=request.lock_timeout,
        password=request.password,
        batch_rows=_BATCH_ROWS,
    )
    with _told_of_writing():
        async with open_batches(read) as batches:
            async for batch in batches:
                if batch.num_rows:
                    return tuple(column[0].as_py() for column in batch.columns)
    return None


def _refuse_writing(query: str) -> None:
    if (word := sql.first_word(query)) in _WRITES:
        raise ConfigError(f"{show_value(query)} would write, and {word.upper()} is not a query: {_ADVICE}")


@contextmanager
def _told_of_writing() -> Iterator[None]:
    """Say what writes, where the server says that a query may not."""
    try:
        yield
    except DriverError as error:
        if error.sqlstate != _READ_ONLY:
            raise
        raise error.with_message(f"{error.args[0]}: {_ADVICE}") from error
