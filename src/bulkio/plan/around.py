"""The user's own statements: before, after and check of a load, or those of a transaction of their own. Pure.

They run in bulkio's transaction, so none may end it. They are read by the rules of `sql.user_query`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bulkio import sql
from bulkio.errors import ConfigError
from bulkio.show import show_option, show_value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bulkio.options import LoadRequest, Param

__all__ = ["Around", "Statement", "plan_around", "plan_check", "plan_statements"]


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of the user's."""

    #: option that it comes from; "" if there is nothing but statements
    option: str
    #: position among the option's statements, from 1; 0 if it is the only one
    number: int
    text: str

    @property
    def name(self) -> str:
        """What messages call it, with the beginning of its text."""
        number = f" {self.number}" if self.number else ""
        kind = show_option(self.option) if self.option else "statement"
        return f"{kind}{number} ({show_value(self.text)})"


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
    return Around(*(_numbered(option, getattr(request, option), ()) for option in ("before", "after", "check")))


def plan_statements(texts: Sequence[str], params: Sequence[Param] = ()) -> tuple[Statement, ...]:
    """Read statements that run in a transaction of their own; each text may hold several.

    Raises:
        ConfigError: there is none, or one is not complete, or would end the transaction; or the parameters do not fit.
    """
    found = [statement for text in texts for statement in sql.statements_of(text)]
    if not found:
        raise ConfigError("there is no statement to run: the SQL is empty, or nothing but comments")
    sql.refuse_unused(found, params)
    return _numbered("", found, params)


def plan_check(query: str, params: Sequence[Param] = ()) -> Statement:
    """Read a check that stands for itself. Raises as `plan_around` does."""
    sql.refuse_unused([query], params)
    return _numbered("check", [query], params)[0]


def _numbered(option: str, texts: Sequence[str], params: Sequence[Param]) -> tuple[Statement, ...]:
    several = len(texts) > 1
    named = [Statement(option, number if several else 0, text) for number, text in enumerate(texts, 1)]
    return tuple(_bound(statement, params) for statement in named)


def _bound(statement: Statement, params: Sequence[Param]) -> Statement:
    """Check a statement, and bind its parameters."""
    name, text = statement.name, statement.text
    try:
        bound = sql.bind_literals(text, params, uses_all=False)
    except ConfigError as error:
        raise ConfigError(f"{name}: {str(error).replace('the query', 'the statement')}") from error
    if command := sql.transaction_command(text):
        whose = "the load's own transaction" if statement.option else "a transaction of bulkio's"
        raise ConfigError(f"{name} runs in {whose}, and {command} would end or split it")
    if statement.option == "check" and not sql.begins_query(text):
        raise ConfigError(f"{name} must be a query whose first column tells whether the check has passed")
    if sql.is_copy_of_client(text):
        raise ConfigError(f"{name}: COPY between server and client is what loads and exports do: name a server's file")
    return replace(statement, text=bound)
