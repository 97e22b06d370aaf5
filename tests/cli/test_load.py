"""`bulkio load`, the real program."""

from __future__ import annotations

import json
import os
import re
import shutil
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from psycopg.conninfo import conninfo_to_dict

from cli.program import Terminal, snapshot

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg

    from cli.program import Program

RESULT = r"loaded 1,000 rows into public\.orders in \d+\.\d\d s \([\d,]+ rows/s, asyncpg binary\)"


def test_load_says_what_it_did(bulkio: Program, orders: Path) -> None:
    """The result line is on stdout, and says whether the table was created; stderr stays empty."""
    first, second = bulkio("load", orders, "orders"), bulkio("load", orders, "orders")
    assert (first.code, first.err, second.code, second.err) == (0, "", 0, "")
    assert re.fullmatch(RESULT + "; the table was created\n", first.out)
    assert re.fullmatch(RESULT + "; the table already had 1,000 rows\n", second.out)


def test_a_load_that_waits_says_for_whom(bulkio: Program, db: psycopg.Connection, orders: Path) -> None:
    """After three seconds, on stderr; the load goes on."""
    assert bulkio("load", orders, "orders").code == 0
    db.execute("BEGIN; LOCK TABLE orders")
    waiting = bulkio.start("load", orders, "orders")
    assert waiting.stderr is not None
    told = waiting.stderr.readline()
    db.execute("ROLLBACK")
    holder = rf"held by process {db.info.backend_pid} \(role bulkio, idle in transaction for \d+ s: BEGIN; LOCK TABLE"
    assert re.match(rf"the load has waited \d+ s for a lock on table public\.orders, {holder} orders\)\n", told)
    done = bulkio.finish(waiting)
    assert (done.code, done.err) == (0, "")
    assert "the table already had 1,000 rows" in done.out


@pytest.mark.parametrize(
    ("driver", "method"), [("asyncpg", "csv"), ("psycopg", "binary"), ("psycopg", "records")], ids=str
)
def test_load_json(bulkio: Program, db: psycopg.Connection, orders: Path, driver: str, method: str) -> None:
    """--json prints one object with the promised keys, and the options reach the API."""
    done = bulkio("load", orders, "orders", "--json", "--driver", driver, "--method", method, "--mode", "create")
    report = json.loads(done.out)
    assert (done.code, done.err) == (0, "")
    assert report.pop("seconds") > 0
    assert report.pop("rows_per_s") > 0
    assert report.pop("bytes") >= 0
    assert report == {
        "rows": 1000,
        "driver": driver,
        "method": method,
        "table": "public.orders",
        "mode": "create",
        "created": True,
        "notes": [],
        "lifted": [],
        "rows_before": 0,
        "rows_before_estimated": False,
        "inserted": 1000,
        "updated": 0,
        "skipped": 0,
        "deleted": 0,
        "load_id": None,
        "workers": 1,
        "commit": "all",
        "why_one": "",
        "visibility": "",
        "rejected": 0,
        "rejects": None,
        "already": False,
    }
    assert len(snapshot(db)["orders"]) == 1000


def test_columns_and_modes(bulkio: Program, db: psycopg.Connection, tmp_path: Path) -> None:
    """--columns takes odd names in quotes; --mode truncate replaces."""
    path = tmp_path / "odd.parquet"
    pq.write_table(pa.table({"a": [1], "b, c": [2], "d": [3], "E": [4]}), path)
    db.execute('CREATE TABLE odd ("E" int8, "b, c" int8, a int8); INSERT INTO odd VALUES (0, 0, 0)')
    done = bulkio("load", path, "odd", "--columns", 'E,"b, c"', "--columns", "a", "--mode", "truncate")
    assert done.code == 0
    assert snapshot(db) == {"odd": ["('(4,2,1)',)"]}


def test_several_sources(bulkio: Program, db: psycopg.Connection, orders: Path, tmp_path: Path) -> None:
    """Several files become one load; --quiet prints nothing. The same file twice is a mistake."""
    again = bulkio("load", orders, orders, "orders")
    assert (again.code, again.out) == (1, "")
    assert "is the same file as" in again.err
    more = shutil.copy(orders, tmp_path / "more.parquet")
    done = bulkio("load", orders, more, "orders", "--quiet", "--batch-rows", "10")
    assert (done.code, done.out, done.err) == (0, "", "")
    assert len(snapshot(db)["orders"]) == 2000


def test_dry_run(bulkio: Program, db: psycopg.Connection, orders: Path) -> None:
    """--dry-run prints the plan, as text or as JSON, and changes nothing."""
    text, plan = bulkio("load", orders, "orders", "--dry-run"), bulkio("load", orders, "orders", "--dry-run", "--json")
    assert text.code == plan.code == 0
    assert 'into "public"."orders"' in text.out
    found = json.loads(plan.out)
    assert (found["table"], found["creates"], found["source_rows"]) == ("public.orders", True, 1000)
    assert found["columns"][0] == {"name": "id", "arrow": "int64", "postgresql": "int8", "nullable": True}
    assert snapshot(db) == {}


def test_password_on_the_command_line(bulkio: Program, one_dsn: str, orders: Path) -> None:
    """A password in --dsn works, and is warned of without being shown."""
    done = bulkio("load", orders, "orders", "--dsn", one_dsn, "--quiet")
    password = conninfo_to_dict(one_dsn)["password"]
    assert done.code == 0
    assert done.err.startswith("Warning: --dsn contains a password")
    assert str(password) not in done.err


def test_reader_that_has_left(bulkio: Program, db: psycopg.Connection, orders: Path) -> None:
    """A broken pipe on stdout is no failure of the load."""
    reader, writer = os.pipe()
    os.close(reader)
    done = bulkio("load", orders, "orders", stdout=writer)
    os.close(writer)
    assert (done.code, done.err) == (0, "")
    assert len(snapshot(db)["orders"]) == 1000


def test_report_that_cannot_be_written(bulkio: Program, db: psycopg.Connection, orders: Path) -> None:
    """Where stdout is full, the load is done all the same, and says so."""
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = bulkio("load", orders, "orders", stdout=full)
    assert done.code == 0
    assert "the work is done, but its report could not be written" in done.err
    assert len(snapshot(db)["orders"]) == 1000


# --- the terminal -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("options", "shown"), [([], True), (["--quiet"], False), (["--json"], False)], ids=str)
def test_progress_bar_on_a_terminal(bulkio: Program, orders: Path, options: list[str], *, shown: bool) -> None:
    """The bar is on stderr, on a terminal only, and not with --quiet or --json. Elsewhere it is absent (above)."""
    terminal = Terminal()
    done = bulkio("load", orders, "orders", *options, stderr=terminal.slave, env={"TERM": "xterm", "NO_COLOR": "1"})
    seen = terminal.close()
    assert done.code == 0
    assert ("rows/s" in seen) is shown
    assert ("load orders" in seen) is shown
    assert ("committing" in seen) is shown
    assert "100%" not in seen.rpartition("committing")[2]
    assert "\x1b[3" not in seen  # NO_COLOR
    assert "\x1b" not in done.out


def test_lock_timeout(bulkio: Program, db: psycopg.Connection, orders: Path, tmp_path: Path) -> None:
    """--lock-timeout ends the wait for a table that somebody has locked, of load and of export."""
    db.execute("CREATE TABLE orders (o_orderkey bigint)")
    db.execute("BEGIN; LOCK TABLE orders")
    for arguments in (("load", orders, "orders"), ("export", "orders", tmp_path / "o.parquet")):
        done = bulkio(*arguments, "--lock-timeout", "50ms")
        assert (done.code, done.out) == (1, "")
        assert "lock timeout" in done.err
        assert bulkio(*arguments, "--lock-timeout", "50").code == 2
    db.execute("ROLLBACK")


def test_lifted_limits_are_told(bulkio: Program, db: psycopg.Connection, orders: Path) -> None:
    """A limit that was not made for this load is lifted, and the program says so."""
    db.execute(f"ALTER DATABASE {db.info.dbname} SET statement_timeout = '20s'")
    done = bulkio("load", orders, "orders")
    assert done.code == 0
    assert "statement_timeout of 20000 ms was lifted" in done.err
