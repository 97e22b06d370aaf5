"""The user's own statements around the rows of a load: before, after and check. Pure.

They run in the load's transaction, so none may end it. A text is one statement, read by the rules of `sql.user_query`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bulkio import sql
from bulkio.errors import ConfigError
from bulkio.show import show_option, show_value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bulkio.options import LoadRequest

__all__ = ["Around", "Statement", "plan_around"]


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of the user's."""

    #: option that it comes from
    option: str
    #: position among the option's statements, from 1; 0 if it is the only one
    number: int
    text: str

    @property
    def name(self) -> str:
        """What messages call it, with the beginning of its text."""
        number = f" {self.number}" if self.number else ""
        return f"{show_option(self.option)}{number} ({show_value(self.text)})"


@dataclass(frozen=True, slots=True)
class Around:
    """All of them, in the order in which they run: the rows come between the first two."""

    before: tuple[Statement, ...] = ()
    after: tuple[Statement, ...] = ()
    check: tuple[Statement, ...] = ()


def plan_around(request: LoadRequest) -> Around:
    """Read the statements.

    Raises:
        ConfigError: one is not one complete statement, would end the load's transaction, or gives no rows to check.
    """
    return Around(*(_statements(option, getattr(request, option)) for option in ("before", "after", "check")))


def _statements(option: str, texts: Sequence[str]) -> tuple[Statement, ...]:
    several = len(texts) > 1
    return tuple(_statement(option, number if several else 0, text) for number, text in enumerate(texts, 1))


def _statement(option: str, number: int, text: str) -> Statement:
    name = Statement(option, number, text).name
    try:
        statement = Statement(option, number, sql.bind_literals(text))
    except ConfigError as error:
        raise ConfigError(f"{name}: {str(error).replace('the query', 'the statement')}") from error
    if command := sql.transaction_command(text):
        raise ConfigError(f"{name} runs in the load's own transaction, and {command} would end or split it")
    if option == "check" and not sql.begins_query(text):
        raise ConfigError(f"{name} must be a query whose first column tells whether the rows may stay")
    if sql.is_copy_of_client(text):
        raise ConfigError(f"{name}: COPY between server and client is what the load itself does: name a server's file")
    return statement
