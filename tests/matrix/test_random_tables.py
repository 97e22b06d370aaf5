"""Random tables come back as they were: a few hundred in CI, thousands by `make random-tables`."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, find, given, settings
from hypothesis import strategies as st
from random_tables import KINDS, check_table, tables
from random_values import scalars

from gaps import lacking
from printed_matrix import note
from servers import found_servers

if TYPE_CHECKING:
    from matrix_check import Place

SCALARS = scalars(parquet=True, infinity=False)
NAMES = tuple(SCALARS)
#: about half of the types of its part are in each table: so each is met, however few the tables are
PARTS = 8
#: in each part, on each server, where no profile asks for more
TABLES = 15
_LONG = settings.default.max_examples == settings.get_profile("random-tables").max_examples
#: CI makes the same tables each time; the longer run others, which --hypothesis-seed repeats
CI = settings(derandomize=True, database=None, deadline=None)
#: how often each type was met, and how many tables there were, by name and server
_counts: Counter[tuple[str, str]] = Counter()
#: what some server has
_extensions: set[str] = set()


@pytest.mark.parametrize("part", range(PARTS))
@settings(
    CI,
    max_examples=settings.default.max_examples if _LONG else TABLES,
    derandomize=not _LONG,
    # The database is the session's, and each table has a schema of its own.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(data=st.data())
def test_tables(data: st.DataObject, part: int, place: Place) -> None:
    """A table of any types comes back with its types, its keys and its rows."""
    table = data.draw(tables(frozenset(place.extensions), NAMES[part::PARTS]))
    check_table(place, table)
    for name in ("tables", *table.met):
        _counts[name, place.server.id] += 1
    _extensions.update(place.extensions)


def test_all_types_were_met() -> None:
    """When all the tables were made, each type was in one; the counts go into the printed matrix."""
    for (name, server), count in sorted(_counts.items()):
        note("random tables: how often each was drawn", name, server, f"{count:,}")
    met = {name for name, _ in _counts}
    if {server for _, server in _counts} == set(found_servers()):
        nowhere = {scalar.extension for scalar in SCALARS.values()} - {"", *_extensions}
        assert {*KINDS, *(name for name, scalar in SCALARS.items() if scalar.extension not in nowhere)} <= met
        if nowhere:
            lacking(f"the extension {' and '.join(sorted(nowhere))}")


def test_a_table_that_fails_shrinks() -> None:
    """What a failure shows is one column of the type at fault, without rows where none are needed."""
    drawn = find(
        tables(frozenset(), NAMES[::PARTS]),
        lambda table: "dropped attribute" in table.met,
        settings=settings(CI, max_examples=1000),
    )
    assert drawn.statements == (
        'CREATE TYPE "c0" AS (gone text, "f0" bool)',
        'ALTER TYPE "c0" DROP ATTRIBUTE gone',
        'CREATE TABLE t ("a" "c0")',
    )
