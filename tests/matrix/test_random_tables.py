"""Random tables come back as they were; `random_tables.py` makes more of them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest
from matrix_check import RESULTS
from random_tables import SCALARS, check_table

if TYPE_CHECKING:
    from matrix_check import Place

TABLES, PART = 200, 10
_counts: Counter[str] = Counter()


@pytest.mark.parametrize("first", range(0, TABLES // 2, PART))
def test_tables(first: int, place: Place) -> None:
    """Ten tables, each from its own seed, which a failure names."""
    start = first + (TABLES if place.server.version < 18 else 0)
    for seed in range(start, start + PART):
        try:
            _counts.update(check_table(place, seed))
        except Exception as error:
            error.add_note(f"seed {seed}")
            raise


def test_all_types_were_met() -> None:
    """When all the tables were made, each type was in one; the counts go into the printed matrix."""
    if sum(_counts.values()) < TABLES * 2:
        return
    for name, count in sorted(_counts.items()):
        RESULTS.setdefault(f"random: {name}", {})["columns"] = str(count)
    assert set(SCALARS) <= set(_counts)
