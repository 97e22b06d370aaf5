"""The tree of errors: where a message tells its row and column, and that nobody changes an error that was raised."""

from __future__ import annotations

import ast
import copy
import inspect
import pickle
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import bulkio
from bulkio import errors
from bulkio.errors import BulkioError, CountError, DecodeError, DriverError, EncodeError

if TYPE_CHECKING:
    from collections.abc import Callable

SOURCES = Path(bulkio.__file__).parent
KINDS = [getattr(errors, name) for name in errors.__all__]
#: arguments for what a constructor asks for, or may be told, by keyword
KEYWORDS: dict[str, object] = {
    "column": 'a"',
    "columns": ("a", "b"),
    "differences": ("mode: append then, truncate now",),
    "expected": 3,
    "stored": 2,
    "chunks": 3,
    "found": 2,
    "line": 8,
    "load_id": "nightly",
    "number": 2,
    "offset": 17,
    "query": "select false",
    "path": "odd\nname.csv",
    "rejected": 2,
    "rejects": ("row 4",),
    "report": ("load", "done"),
    "rows": 9,
    "stage": "2 (map)",
    "retryable": True,
    "row": 7,
    "run": "orders/2026-10-25T02:15+02:00",
    "sqlstate": "08006",
}
PLACED = (EncodeError, DecodeError, DriverError)


@pytest.mark.parametrize("kind", PLACED)
def test_a_message_begins_with_its_place(kind: type[EncodeError]) -> None:
    """Row and column stand before the message, the column's name as messages show names; without a row, neither."""
    assert str(kind("it is odd", row=3, column='a"\n')) == 'row 3, column "a"\\n": it is odd'
    assert str(kind("it is odd", row=3)) == "row 3: it is odd"
    assert str(kind("it is odd", column="a")) == "it is odd"


def test_only_errors_words_a_place() -> None:
    """No other module writes "row N, column C" into a message."""
    worded = re.compile(r"""row \{[^"']*\}, column|["']row \{[^"']*\}: """)
    found = [
        str(path.relative_to(SOURCES))
        for pattern in ("*.py", "*.pyx")
        for path in SOURCES.rglob(pattern)
        if path.name != "errors.py" and worded.search(path.read_text())
    ]
    assert found == []


def test_no_error_is_changed_after_it_was_made() -> None:
    """Nothing but a constructor sets what an error says of itself."""
    changed = [
        f"{path.relative_to(SOURCES)}:{node.lineno}"
        for path in SOURCES.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and isinstance(node.value, ast.Name)
        and node.value.id in ("error", "exc", "err")
        and not node.attr.startswith("__")
    ]
    assert changed == []


def test_an_error_at_another_row_is_another_error() -> None:
    """`at_row` keeps all but the row, and leaves the error itself as it was."""
    error = bulkio.ConnectError("gone", sqlstate="08006", retryable=True, row=7, column="a")
    moved = error.at_row(3)
    assert type(moved) is bulkio.ConnectError
    assert str(moved) == 'row 3, column "a": gone'
    assert (moved.sqlstate, moved.retryable, error.row) == ("08006", True, 7)


def test_counts_that_differ() -> None:
    """The counts stand on the error, and it is not a value's nor the server's."""
    error = CountError("the row counts differ", expected=3, found=2)
    assert (error.expected, error.found, error.retryable) == (3, 2, False)
    assert CountError.__bases__ == (BulkioError,)


def example(kind: type[BulkioError]) -> BulkioError:
    """Return an error of a kind, of which everything that its constructor takes is told."""
    taken = inspect.signature(kind.__init__).parameters.values()
    return kind("it is odd", **{each.name: KEYWORDS[each.name] for each in taken if each.kind is each.KEYWORD_ONLY})


def pickled(error: BulkioError) -> BulkioError:
    """Return what another process gets."""
    return pickle.loads(pickle.dumps(error))  # noqa: S301 - bytes of its own


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickled])
def test_an_error_survives_pickle_and_copy(kind: type[BulkioError], copied: Callable[..., BulkioError]) -> None:
    """Whoever catches it in another process (Spark, Airflow, a pool) has the same error, with its notes."""
    error = example(kind)
    error.add_note("in task 3")
    again = copied(error)
    assert type(again) is kind
    assert (str(again), again.args, vars(again)) == (str(error), error.args, vars(error))
    assert again.__notes__ == ["in task 3"]
