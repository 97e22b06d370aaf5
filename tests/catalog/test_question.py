"""Questions to the catalog: each column of the answer has the name of what it becomes."""

from __future__ import annotations

import doctest
import inspect
from typing import TYPE_CHECKING

import pytest

from bulkio import catalog
from bulkio.catalog import Column, TableName, question
from bulkio.catalog.question import Question

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

QUESTIONS = {
    "table_query": catalog.table_query(TableName("pg_catalog", "pg_class")),
    "tables_query": catalog.tables_query(),
    "size_query": catalog.size_query("pg_catalog", "pg_class"),
    "columns_query": catalog.columns_query(1259),
    "schema_query": catalog.schema_query("pg_catalog"),
    "schemas_query": catalog.schemas_query(),
    "sequences_query": catalog.sequences_query(1259),
    "nullable_query": catalog.nullable_query(1259),
    "children_query": catalog.children_query(1259),
    "key_columns_query": catalog.key_columns_query(1259),
    "name_query": catalog.name_query("pg_class"),
    "name_bytes_query": catalog.name_bytes_query(["é"]),
    "types_query": catalog.types_query([23]),
    "visible_types_query": catalog.visible_types_query(["int4", "no_such"]),
    "named_types_query": catalog.named_types_query([("pg_catalog", "int4", "")], {}),
    "column_types_query": catalog.column_types_query([23]),
    "type_names_query": catalog.type_names_query([(1700, 655366)]),
    "extension_types_query": catalog.extension_types_query("postgis"),
}


def test_examples_run() -> None:
    """The docstrings' examples give what they say."""
    assert doctest.testmod(question).failed == 0


def test_these_are_all_questions() -> None:
    """The list above has each one."""
    assert sorted(QUESTIONS) == sorted(name for name in catalog.__all__ if name.endswith("_query"))


@pytest.mark.parametrize("name", QUESTIONS)
def test_the_server_gives_the_names(dsn: str, connect: Callable[[str], psycopg.Connection], name: str) -> None:
    """The columns of the result are called as the parameters of the fact, in whatever order, and a fact can be made."""
    ask = QUESTIONS[name]
    cursor = connect(dsn).execute(ask.sql)
    assert [column.name for column in cursor.description] == list(ask.columns)
    parameters = inspect.signature(ask.fact).parameters.values()
    wanted = {one.name for one in parameters if one.default is one.empty and one.kind is not one.VAR_KEYWORD}
    assert wanted <= ask.columns.keys()
    for fact in ask.read(cursor.fetchall()):
        assert fact is not None


def test_order_is_nothing() -> None:
    """Columns that change places are still who they were."""
    columns = catalog.columns_query(1).columns
    row = {name: place for place, name in enumerate(columns)}
    turned = Question(Column, dict(reversed(columns.items())), "")
    assert turned.read([tuple(reversed(row.values()))]) == [Column(**row)]
