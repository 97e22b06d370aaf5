"""A question to the catalog: SQL with a name for each column, and the fact that a row of the answer becomes. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from bulkio.protocols import Row

__all__ = ["Question"]

Fact = TypeVar("Fact")


@dataclass(frozen=True, slots=True)
class Question(Generic[Fact]):
    """What to ask, and what to make of the answer: a session gives tuples, and here alone do they meet their names."""

    #: callable that takes a row's columns by name, such as a dataclass
    fact: Callable[..., Fact]
    #: the SQL expression of each column, by name
    columns: Mapping[str, str]
    #: text after the columns: FROM and the rest
    rest: str
    #: text before SELECT: WITH and its queries
    before: str = ""

    @property
    def sql(self) -> str:
        """The query.

        >>> Question(dict, {"oid": "c.oid::bigint"}, "FROM pg_catalog.pg_class AS c").sql
        'SELECT c.oid::bigint AS oid FROM pg_catalog.pg_class AS c'
        """
        names = ", ".join(f"{expression} AS {name}" for name, expression in self.columns.items())
        return f"{self.before} SELECT {names} {self.rest}".strip()

    def read(self, rows: Iterable[Row]) -> list[Fact]:
        """Return a fact for each row of the answer.

        >>> Question(dict, {"a": "1", "b": "2"}, "").read([(1, 2)])
        [{'a': 1, 'b': 2}]
        """
        return [self.fact(**dict(zip(self.columns, row, strict=True))) for row in rows]
