"""docs/loading.md, rejects.md, airflow.md and stages.md: behind each claim stands a test."""

from __future__ import annotations

import ast
import asyncio
import re
import shutil
from pathlib import Path
from textwrap import dedent
from typing import Any

import asyncpg
import pytest

from servers import connect, fetch

ROOT = Path(__file__).parents[1]
_TEST = re.compile(r"\[(tests/[\w/]+\.py)::(\w+)\]")
PAGES = [(ROOT / f"docs/{page}.md").read_text() for page in ("loading", "rejects", "airflow", "stages")]
CLAIMS = [claim for page in PAGES for claim in _TEST.findall(page)]


@pytest.mark.parametrize(("path", "name"), sorted(set(CLAIMS)))
def test_each_named_test_exists(path: str, name: str) -> None:
    """A test that was renamed leaves no claim without proof."""
    tree = ast.parse((ROOT / path).read_text())
    assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_the_examples_in_your_own_transaction_run(
    one_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With psycopg and with asyncpg, in the page's order."""
    section = PAGES[0].partition("## In your own transaction")[2].partition("\n## ")[0]
    blocks = re.findall(r"^```python\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    shutil.copy(ROOT / "sample_data" / "orders.parquet", tmp_path)
    monkeypatch.chdir(tmp_path)
    with connect(one_dsn) as conn:
        conn.execute("CREATE TABLE deliveries (day date, orders int)")
    names: dict[str, Any] = {"dsn": one_dsn}
    for block in blocks:
        exec(dedent(block), names)  # noqa: S102 - our own page

    async def deliver() -> None:
        conn = await asyncpg.connect(one_dsn)
        await names["deliver"](conn)
        await conn.close()

    asyncio.run(deliver())
    assert fetch(one_dsn, "SELECT day::text, orders FROM deliveries ORDER BY 1") == [
        ("2026-11-26", 15_000),
        ("2026-11-27", None),
    ]
    assert fetch(one_dsn, "SELECT count(*) FROM orders_2") == [(15_000,)]
