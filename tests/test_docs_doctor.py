"""docs/doctor.md: each finding that there is, in its area and in its order."""

from __future__ import annotations

import re
from pathlib import Path

from bulkio.plan.doctor import CHECKS
from bulkio.plan.doctor.connection import CLOCK_S, NEWEST, OLDEST, SLOW_S
from bulkio.plan.doctor.leftovers import LONG_S

TEXT = (Path(__file__).parents[1] / "docs/doctor.md").read_text()


def test_each_check_has_its_row() -> None:
    """Area by area."""
    sections = re.split(r"^## (\w+)$", TEXT, flags=re.MULTILINE)[1:]
    told = {
        area: tuple(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE))
        for area, text in zip(sections[::2], sections[1::2], strict=True)
    }
    assert told == CHECKS


def test_numbers() -> None:
    """Those that the text names."""
    assert (f"takes {SLOW_S * 1e3:.0f} ms or more" in TEXT, "five seconds or more" in TEXT, CLOCK_S) == (True, True, 5)
    assert f"before PostgreSQL {OLDEST}, warn after {NEWEST}" in TEXT
    assert ("older than an hour" in TEXT, LONG_S) == (True, 3600)
