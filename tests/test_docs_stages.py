"""docs/stages.md: its examples run, one after the other."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from servers import fetch

ROOT = Path(__file__).parents[1]
BLOCKS = re.findall(r"^```python\n(.*?)^```$", (ROOT / "docs/stages.md").read_text(), re.MULTILINE | re.DOTALL)


def test_examples_run(one_dsn: str, tmp_path: Path) -> None:
    """As one program, in a folder with the sample data."""
    (tmp_path / "sample_data").mkdir()
    shutil.copy(ROOT / "sample_data" / "orders.parquet", tmp_path / "sample_data")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", "\n".join(BLOCKS)],
        cwd=tmp_path,
        env={**os.environ, "BULKIO_DSN": one_dsn},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "2 sql: o_orderkey int64, o_custkey int64, status string, o_totalprice decimal128(15, 2)\n" in done.stdout
    assert re.search(
        r"^1 query: 0 rows in, [\d,]+ out, .* s \(waited .* s for input, .* s for output\)$", done.stdout, re.M
    )
    assert fetch(one_dsn, 'SELECT count(*), max("row") FROM numbered') == [(100, 100)]
    assert {path.name for path in tmp_path.iterdir()} == {"sample_data", "recent_orders.parquet", "gross.arrow"}
