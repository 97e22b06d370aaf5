"""docs/loading.md, rejects.md, airflow.md and stages.md: behind each claim stands a test."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
_TEST = re.compile(r"\[(tests/[\w/]+\.py)::(\w+)\]")
PAGES = [(ROOT / f"docs/{page}.md").read_text() for page in ("loading", "rejects", "airflow", "stages")]
CLAIMS = [claim for page in PAGES for claim in _TEST.findall(page)]


@pytest.mark.parametrize(("path", "name"), sorted(set(CLAIMS)))
def test_each_named_test_exists(path: str, name: str) -> None:
    """A test that was renamed leaves no claim without proof."""
    tree = ast.parse((ROOT / path).read_text())
    assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
