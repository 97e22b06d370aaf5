"""The page of types is what the code's tables say."""

from __future__ import annotations

import runpy
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"


def test_types_page_is_up_to_date() -> None:
    """docs/types.md is what docs/make_types.py makes."""
    made = runpy.run_path(str(DOCS / "make_types.py"))["page"]()
    assert (DOCS / "types.md").read_text() == made, "run docs/make_types.py"
