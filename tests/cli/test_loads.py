"""`bulkio load --load-id` and `bulkio loads`, the real program."""

from __future__ import annotations

import json
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

from cli.program import snapshot, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg

    from cli.program import Program


def test_a_retry_says_that_it_did_nothing(bulkio: Program, db: psycopg.Connection, orders: Path) -> None:
    """Exit 0, and a line that tells it from a load; --json says `already`."""
    assert bulkio("load", orders, "orders", "--load-id", "nightly").code == 0
    again = bulkio("load", orders, "orders", "--load-id", "nightly")
    told = bulkio("load", orders, "orders", "--load-id", "nightly", "--json")
    line = "load nightly was done before: 1,000 rows into public.orders; nothing was done\n"
    assert (again.code, again.out, again.err) == (0, line, "")
    assert (json.loads(told.out)["already"], json.loads(told.out)["load_id"]) == (True, "nightly")
    assert len(snapshot(db)["orders"]) == 1000


def test_another_file_is_an_error_that_names_flags(bulkio: Program, orders: Path, tmp_path: Path) -> None:
    """Exit 1: the first load stands, and the message says what differs and what to do."""
    first = bulkio("load", orders, "orders", "--load-id", "x", "--mode", "replace")
    assert first.code == 0
    other = tmp_path / "other.csv"
    other.write_text("id,note\n1,a\n")
    done = bulkio("load", other, "orders", "--load-id", "x", "--mode", "replace", "--json")
    assert done.code == 1
    assert "Error: load 'x' is done, and was a different one:\n  file 1, " in done.err
    assert done.err.endswith("use another --load-id, or load again under this one (--restart)\n")
    error = json.loads(done.out)["error"]
    assert (error["type"], error["load_id"], error["retryable"]) == ("LoadDiffers", "x", False)
    assert bulkio("load", orders, "orders", "--load-id", "y").code == 0
    appended = bulkio("load", other, "orders", "--load-id", "y")
    assert appended.err.endswith("use another --load-id\n")  # a restart would be refused


def test_a_second_run_at_the_same_time_exits_with_8(bulkio: Program, db: psycopg.Connection, orders: Path) -> None:
    """One that waits reports what the first has done."""
    bulkio("load", orders, "orders", "--load-id", "first")
    db.execute("BEGIN; LOCK TABLE orders")  # holds the first up in mid-load
    running = bulkio.start("load", orders, "orders", "--load-id", "x")
    blocked = "SELECT 1 FROM pg_locks WHERE relation = 'orders'::regclass AND NOT granted"
    wait_until(db, blocked)
    busy = bulkio("load", orders, "orders", "--load-id", "x", "--json")
    waiting = bulkio.start("load", orders, "orders", "--load-id", "x", "--wait", "--json")
    wait_until(db, "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
    db.execute("COMMIT")
    assert (busy.code, json.loads(busy.out)["error"]["retryable"]) == (8, True)
    assert "another run is at work on load 'x': try again later, or wait for its end (--wait)" in busy.err
    assert bulkio.finish(running).code == 0
    assert json.loads(bulkio.finish(waiting).out)["already"]
    assert len(snapshot(db)["orders"]) == 2000


def test_a_killed_program_is_taken_over(bulkio: Program, db: psycopg.Connection, orders: Path) -> None:
    """SIGKILL in mid-load leaves no row, and the next run of the id loads all of it."""
    bulkio("load", orders, "orders", "--load-id", "first")
    db.execute("BEGIN; LOCK TABLE orders")
    running = bulkio.start("load", orders, "orders", "--load-id", "x")
    wait_until(db, "SELECT 1 FROM pg_locks WHERE relation = 'orders'::regclass AND NOT granted")
    running.send_signal(signal.SIGKILL)
    running.communicate()
    db.execute("COMMIT")
    done = bulkio("load", orders, "orders", "--load-id", "x", "--wait", "--json")
    assert (done.code, json.loads(done.out)["already"]) == (0, False)
    assert len(snapshot(db)["orders"]) == 2000


def test_stdin_needs_a_version(bulkio: Program, orders: Path, tmp_path: Path) -> None:
    """The message names the flag; with it, what is piped in is loaded once."""
    path = tmp_path / "a.csv"
    path.write_text("a\n1\n")
    codes = []
    for version in ([], ["--source-version", "7"], ["--source-version", "7"]):
        with path.open("rb") as stdin:
            done = bulkio("load", "-", "t", "--format", "csv", "--load-id", "x", *version, stdin=stdin)
        codes.append(done.code)
        assert version or "with --load-id, say which version it is (--source-version)" in done.err
    assert codes == [2, 0, 0]
    assert "nothing was done" in done.out


def test_rejected_records_are_shown(bulkio: Program, tmp_path: Path) -> None:
    """How many, and the file that has them."""
    (tmp_path / "in.csv").write_text("id\n1\none\n")
    bad = tmp_path / "bad.csv"
    loaded = bulkio(
        "load", tmp_path / "in.csv", "t", "--types", "id=int", "--load-id", "r", "--rejects", bad, "--max-rejects", "1"
    )
    assert loaded.code == 4
    assert f"  rejected: 1\n  rejects: {bad}\n" in bulkio("loads", "show", "r").out


def test_loads_are_listed_shown_and_forgotten(bulkio: Program, orders: Path) -> None:
    """As text and as one JSON object each."""
    assert bulkio("loads", "list").out == "no load was recorded\n"
    bulkio("load", orders, "orders", "--load-id", "a", "--mode", "create")
    bulkio("load", orders, "orders", "--load-id", "b", "--columns", "id")
    lines = bulkio("loads", "list").out.splitlines()
    assert [line.split()[:5] for line in lines[1:]] == [
        ["b", "done", "1,000", "append", "public.orders"],
        ["a", "done", "1,000", "create", "public.orders"],
    ]
    assert [each["load_id"] for each in json.loads(bulkio("loads", "list", "--json").out)["loads"]] == ["b", "a"]
    shown = bulkio("loads", "show", "b").out
    assert f"  files: name {orders}, bytes " in shown
    assert "options:\n  columns: ['id']\n" in shown
    assert shown.startswith("load: b\nstate: done\ntable: public.orders\nmode: append\nsource:\n")
    assert "rows: 1,000\nreport:\n  seconds: " in shown
    assert not any(word in shown for word in ("xxh3", "work:", "already", "stored", "[]"))
    assert json.loads(bulkio("loads", "show", "b", "--json").out)["options"] == {"columns": ["id"]}
    refused = bulkio("loads", "forget", "b")
    assert (refused.code, "load 'b' has appended 1,000 rows to public.orders" in refused.err) == (1, True)
    assert bulkio("loads", "forget", "a").out == "load a is forgotten; its rows in public.orders stay\n"
    assert json.loads(bulkio("loads", "gc", "--older-than", "0d", "--json").out) == {"forgotten": ["b"]}
    assert bulkio("loads", "gc", "--older-than", "90d").out == "0 loads were forgotten\n"


def test_what_is_wrong_in_a_call(bulkio: Program, orders: Path) -> None:
    """Typos of ids, an age without its unit, none at all, and options that need an id."""
    bulkio("load", orders, "orders", "--load-id", "nightly")
    typo = bulkio("loads", "show", "nihgtly")
    assert (typo.code, typo.err) == (1, "Error: the ledger has no load 'nihgtly'; did you mean \"nightly\"?\n")
    unit = bulkio("loads", "gc", "--older-than", "90")
    assert (unit.code, "--older-than is '90', and must be a number of days" in unit.err) == (2, True)
    assert "Missing option '--older-than'" in bulkio("loads", "gc").err
    alone = bulkio("load", orders, "orders", "--restart")
    assert (alone.code, "--restart goes with --load-id, which is not given" in alone.err) == (2, True)


def test_the_ddl_is_what_a_role_needs(bulkio: Program, db: psycopg.Connection, orders: Path) -> None:
    """Run as it is printed, it makes the ledger that a load then finds."""
    text = bulkio("loads", "ddl", "--role", "bulkio").out
    assert json.loads(bulkio("loads", "ddl", "--role", "bulkio", "--json").out) == {"ddl": text.rstrip("\n")}
    db.execute(text)
    assert bulkio("load", orders, "orders", "--load-id", "x").code == 0
    assert len(snapshot(db)["bulkio_ledger.loads"]) == 1


@pytest.mark.parametrize("command", ["list", "show", "forget", "gc", "ddl"])
def test_each_command_explains_itself(bulkio_alone: Program, command: str) -> None:
    """Help needs no database."""
    done = bulkio_alone("loads", command, "--help")
    assert (done.code, "--ledger-schema" in done.out, "--json" in done.out) == (0, True, True)
    assert subprocess.list2cmdline(["loads", command]) in done.out
