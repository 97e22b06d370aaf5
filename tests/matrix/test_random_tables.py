"""Random tables come back as they were: a few hundred in CI, thousands by `make random-tables`."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from matrix_check import RESULTS
from random_tables import KINDS, check_table, tables
from random_values import scalars

from servers import found_servers

if TYPE_CHECKING:
    from matrix_check import Place

NAMES = tuple(scalars(parquet=True, infinity=False))
#: half of the types in a part's tables are its own: so each is met, however few the tables are
PARTS = 8
#: in each part, on each server, where no profile asks for more
TABLES = 15
_LONG = settings.default.max_examples == settings.get_profile("random-tables").max_examples
_counts: Counter[str] = Counter()


@pytest.mark.parametrize("part", range(PARTS))
@settings(
    max_examples=settings.default.max_examples if _LONG else TABLES,
    # CI makes the same tables each time; the longer run others, which --hypothesis-seed repeats.
    derandomize=not _LONG,
    database=None,
    deadline=None,
    # The database is the session's, and each table has a schema of its own.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(data=st.data())
def test_tables(data: st.DataObject, part: int, place: Place) -> None:
    """A table of any types comes back with its types, its keys and its rows."""
    table = data.draw(tables(frozenset(place.extensions), NAMES[part::PARTS]))
    check_table(place, table)
    _counts.update((f"tables on {place.server.id}", *table.met))


def test_all_types_were_met() -> None:
    """When all the tables were made, each type was in one; the counts go into the printed matrix."""
    for name, count in sorted(_counts.items()):
        RESULTS.setdefault(f"random: {name}", {})["columns"] = f"{count:,}"
    if sum(name.startswith("tables") for name in _counts) == len(found_servers()):
        assert {*NAMES, *KINDS} - _counts.keys() == set()
