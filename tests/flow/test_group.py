"""A group of tasks fails as one error, as it was raised, and leaves no ExceptionGroup anywhere."""

from __future__ import annotations

import anyio
import pytest

from bulkio.errors import CountError, FileError
from bulkio.flow import Closed, task_group


async def fail(error: BaseException) -> None:
    """Raise an error, from the cause that it has."""
    raise error


def raised(*errors: BaseException, body: BaseException | None = None) -> BaseException:
    """Return what a group raises whose tasks and body raise these."""

    async def run() -> None:
        async with task_group() as group:
            for error in errors:
                group.start_soon(fail, error)
            if body is not None:
                raise body

    with pytest.raises(BaseException) as caught:  # noqa: PT011 - whichever comes
        anyio.run(run)
    return caught.value


def contexts(error: BaseException | None) -> list[BaseException]:
    """Return an error and all that it followed from, shown or not."""
    return [] if error is None else [error, *contexts(error.__context__)]


@pytest.mark.parametrize(
    ("errors", "body"),
    [
        ((FileError("gone", path="f"),), None),
        ((KeyError("mine"), FileError("gone", path="f")), None),
        ((FileError("gone", path="f"),), Closed("the other end has left")),
        ((), FileError("gone", path="f")),
    ],
)
def test_bulkio_s_error_comes_first(errors: tuple[BaseException, ...], body: BaseException | None) -> None:
    """It is that very error, not what it made of the others, and no context is a group."""
    error = raised(*errors, body=body)
    assert any(error is each for each in (*errors, body))
    assert isinstance(error, FileError)
    assert not [each for each in contexts(error) if isinstance(each, BaseExceptionGroup)]


def test_a_user_s_own_error_comes_as_itself() -> None:
    """It stands before a signal between the parties."""
    mine = KeyError("mine")
    assert raised(Closed("the other end has left"), mine) is mine
    assert raised(mine, body=Closed("the other end has left")) is mine


def test_a_cause_stays() -> None:
    """What an error was raised from is still told."""
    error = CountError("the row counts differ", expected=3, found=2)
    error.__cause__ = OSError("no route to host")
    assert isinstance(raised(error).__cause__, OSError)
