"""What stands around the rows, on the command line: statements, names, and texts that hold commas and equals signs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg

    from cli.program import Program


def test_flags_take_what_the_api_takes(bulkio: Program, db: psycopg.Connection, tmp_path: Path) -> None:
    """Statements are taken whole and in order; an added text may hold equals signs, a renamed column, too."""
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"a=b": [1], "odd": [2], "c": [3]}), path)
    shape = ["--columns", "-odd", "--rename", "a=b=id", "--add", "note=x=1, y=2", "--add", "none="]
    around = ["--before", "CREATE TABLE s (a int, b int)", "--before", "INSERT INTO s VALUES (1, 2)"]
    done = bulkio(
        "load", path, "t", *shape, *around, "--after", "DROP TABLE s", "--check", "SELECT count(*) = 1 FROM t"
    )
    assert (done.code, done.err) == (0, "")
    assert db.execute("SELECT id, c, note, none FROM t").fetchall() == [(1, 3, "x=1, y=2", "")]


def test_a_failed_check(bulkio: Program, db: psycopg.Connection, tmp_path: Path) -> None:
    """Exit code 6, the row in the message, and nothing is left."""
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"a": [1]}), path)
    done = bulkio("load", path, "t", "--check", "SELECT count(*) > 1 AS enough, count(*) FROM t")
    assert done.code == 6
    assert "check failed, so nothing was loaded: it gave \"enough\": 'f', \"count\": '1'" in done.err
    assert db.execute("SELECT to_regclass('t')").fetchone() == (None,)


def test_slips(bulkio: Program) -> None:
    """Flags are named as flags."""
    done = bulkio("load", "a.parquet", "t", "--after", "COMMIT")
    assert (done.code, "--after ('COMMIT') runs in the load's own transaction" in done.err) == (2, True)
    done = bulkio("load", "a.parquet", "t", "--add", "note")
    assert (done.code, "'note' is not COLUMN=VALUE" in done.err) == (2, True)
