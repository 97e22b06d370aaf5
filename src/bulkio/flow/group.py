"""Tasks that run together, and fail as one error: nobody who calls bulkio meets an ExceptionGroup.

Not even as the context of an error: IPython looks for groups there, and prints all of them.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio

from bulkio.errors import BulkioError
from bulkio.flow.streams import Closed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from anyio.abc import TaskGroup

__all__ = ["task_group"]


@asynccontextmanager
async def task_group() -> AsyncIterator[TaskGroup]:
    """Open a group of tasks; where some fail, raise the one error that the others followed from, and no group."""
    failure: BaseException | None = None
    try:
        async with anyio.create_task_group() as group:
            yield group
    except BaseExceptionGroup as errors:
        failure = _first(errors)
    if failure is not None:
        raise failure from failure.__cause__


def _first(errors: BaseExceptionGroup) -> BaseException:
    """Return the error that the others followed from: bulkio's own before signals between the parties."""
    leaves = list(_leaves(errors))
    for wanted in (BulkioError, Exception):
        for error in leaves:
            if isinstance(error, wanted) and not isinstance(error, Closed):
                return error
    return leaves[0]


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for child in error.exceptions:
            yield from _leaves(child)
    else:
        yield error
