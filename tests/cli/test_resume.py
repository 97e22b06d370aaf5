"""`bulkio load --commit chunk` that is ended, and what goes on with it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from bulkio.cli.exits import Exit
from servers import connect, fetch

if TYPE_CHECKING:
    from pathlib import Path

    from cli.program import Program


def test_the_program_goes_on(bulkio: Program, one_dsn: str, tmp_path: Path) -> None:
    """Exit code 3, then `loads list`, `loads show` and `loads resume`."""
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"k": pa.array(range(2000), pa.int64())}), path, row_group_size=200)
    with connect(one_dsn) as conn:
        conn.execute("CREATE TABLE t (k bigint PRIMARY KEY); INSERT INTO t VALUES (1500)")
    done = bulkio("load", path, "t", "--commit", "chunk", "--chunk-bytes", "1", "--load-id", "night")
    assert done.code == Exit.RESUMABLE
    assert "7 of its 10 chunks are stored" in done.err
    assert "`bulkio loads resume night`" in done.err
    assert "night  7 of 10 chunks  1,400  append  public.t" in bulkio("loads", "list").out
    shown = json.loads(bulkio("loads", "show", "night", "--json").out)
    assert (shown["state"], shown["stored_chunks"], shown["work"]["chunks"]) == ("running", 7, 10)
    assert "delete them, and say so (--rows-removed)" in bulkio("loads", "forget", "night").err
    with connect(one_dsn) as conn:
        conn.execute("DELETE FROM t WHERE k = 1500")
    resumed = bulkio("loads", "resume", "night")
    assert resumed.code == 0, resumed.err
    assert resumed.out.startswith("loaded 2,000 rows into public.t")
    assert fetch(one_dsn, "SELECT count(*), count(DISTINCT k) FROM t") == [(2001 - 1, 2000)]


def test_what_is_said_of_several_workers(bulkio: Program, one_dsn: str, tmp_path: Path) -> None:
    """Their number, what readers may have seen, the id that was made up; why one did it. Nothing with --quiet."""
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"k": pa.array(range(2000), pa.int64())}), path, row_group_size=200)
    with connect(one_dsn) as conn:
        conn.execute("CREATE TABLE t (k bigint)")
    done = bulkio("load", path, "t", "--workers", "2", "--chunk-bytes", "1kB")
    assert ", 2 workers)" in done.out
    assert "Note: between two COMMIT PREPARED readers may see" in done.err
    assert "Note: without --load-id, the load's id in the ledger is unnamed/" in done.err
    done = bulkio("load", path, "t", "--workers", "2", "--mode", "truncate")
    assert "Note: on one connection: TRUNCATE and the rows belong into one transaction" in done.err
    assert bulkio("load", path, "t", "--workers", "2", "--quiet", "--chunk-bytes", "100").err == ""
