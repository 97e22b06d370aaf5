"""A question to the catalog: SQL with a name for each column, and the fact that a row of the answer becomes. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Mapping

    from bulkio.protocols import Row

__all__ = ["Question", "frozen", "texts_where"]

Fact = TypeVar("Fact")


def frozen(fact: Callable[..., Fact], *, numbers: Container[str] = ()) -> Callable[..., Fact]:
    """Return a fact that takes arrays, which drivers give as lists, as tuples; `numbers` names those of numbers.

    These are asked for as text[]: for any other array asyncpg asks the server about its type first, and reads what is
    in it by the codec that a connection's owner may have set.

    >>> frozen(dict, numbers={"places"})(names=["a", ["b"]], places=["1", ["2"]])
    {'names': ('a', ('b',)), 'places': (1, (2,))}
    """

    def read(**values: object) -> Fact:
        return fact(**{name: _tuples(value, int if name in numbers else _same) for name, value in values.items()})

    return read


def _tuples(value: object, leaf: Callable[[Any], object]) -> object:
    if isinstance(value, list):
        return tuple(_tuples(each, leaf) for each in value)
    return leaf(value)


def _same(value: object) -> object:
    return value


def texts_where(conditions: Mapping[str, str]) -> str:
    """Return an expression: an array of those texts whose conditions hold.

    >>> texts_where({"it is a partition": "c.relispartition"})
    "pg_catalog.array_remove(ARRAY[CASE WHEN c.relispartition THEN 'it is a partition' END], NULL)"
    """
    cases = ", ".join(f"CASE WHEN {condition} THEN '{text}' END" for text, condition in conditions.items())
    return f"pg_catalog.array_remove(ARRAY[{cases}], NULL)"


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
