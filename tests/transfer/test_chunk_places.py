"""Errors of a chunk name the file and line of its own row, whichever worker meets them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import bulkio
from servers import connect

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("value", ["x", "-1"])
def test_a_row_of_a_second_file_is_not_looked_for_in_the_first(one_dsn: str, tmp_path: Path, value: str) -> None:
    """A CSV does not tell its rows, so the next one's are counted anew: what the codec and what the server refuses."""
    with connect(one_dsn) as conn:
        conn.execute("CREATE TABLE t (id int CHECK (id > 0))")
    for name in ("a", "b"):
        rows = [str(number) for number in range(1, 101)]
        if name == "b":
            rows[49] = value
        (tmp_path / f"{name}.csv").write_text("id\n" + "\n".join(rows) + "\n")
    source = bulkio.csv([tmp_path / "a.csv", tmp_path / "b.csv"])
    with pytest.raises(bulkio.BulkioError) as caught:
        bulkio.load(source, "t", one_dsn, commit="chunk", load_id="places", chunk_bytes=300)
    assert f"{tmp_path / 'b.csv'}" in str(caught.value)
    assert "line 51" in str(caught.value)
