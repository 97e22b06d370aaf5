"""Signals and a lost server in the middle of the work: cancelled, rolled back, and said so."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from cli.program import snapshot, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg

    from cli.program import Program

#: The trigger waits in the middle of the COPY, or at COMMIT, for the advisory lock that the test holds.
TABLE = """
CREATE TABLE t (id int8 NOT NULL, note text);
INSERT INTO t VALUES (0, 'was here before');
CREATE FUNCTION wait_for_the_test() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.id = 500 THEN PERFORM pg_advisory_xact_lock(1); END IF;
  RETURN NEW;
END $$;
SELECT pg_advisory_lock(1);
"""
MID_COPY = "CREATE TRIGGER w BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION wait_for_the_test()"
AT_COMMIT = (
    "CREATE CONSTRAINT TRIGGER w AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED"
    " FOR EACH ROW EXECUTE FUNCTION wait_for_the_test()"
)
WAITING = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'advisory'"
#: finds a row once nothing of the program runs on the server any more, while the test still holds the lock
ALL_ENDED = (
    "SELECT 1 WHERE NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()"
    " AND backend_type = 'client backend' AND pid <> pg_backend_pid())"
)
DRIVERS = ["asyncpg", "psycopg"]
#: a program whose command gets a signal while a weak reference's callback runs
DROPPING = """
import os, signal, sys, time, weakref
import click
from bulkio.cli import main
from bulkio.cli.app import COMMANDS, CommandRow

class Thing: pass

@click.command()
def drop():
    thing = Thing()
    watch = weakref.ref(thing, lambda _: os.kill(os.getpid(), signal.Signals[sys.argv[1]]))
    del thing
    time.sleep(30)
    print("went on")

COMMANDS["drop"] = CommandRow("__main__", "drop", "")
main(["drop"])
"""


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)], ids=str
)
def test_signal_mid_load(
    bulkio: Program, db: psycopg.Connection, orders: Path, driver: str, number: signal.Signals, code: int
) -> None:
    """A signal ends the COPY on the server; the table is unchanged, which the message says."""
    db.execute(TABLE + MID_COPY)
    before = snapshot(db)
    process = bulkio.start("load", orders, "t", "--mode", "truncate", "--driver", driver)
    wait_until(db, WAITING)
    process.send_signal(number)
    done = bulkio.finish(process)
    assert (done.code, done.out) == (code, "")
    assert done.err == "interrupted: the load was rolled back, table t is unchanged\n"
    wait_until(db, ALL_ENDED)
    assert snapshot(db) == before


@pytest.mark.parametrize("driver", DRIVERS)
def test_signal_while_waiting_for_the_table(bulkio: Program, db: psycopg.Connection, orders: Path, driver: str) -> None:
    """A load that waits for its lock on the table can be interrupted."""
    db.execute("CREATE TABLE t (id int8, note text)")
    db.execute("BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
    process = bulkio.start("load", orders, "t", "--driver", driver, "--json")
    wait_until(db, "SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 't'::regclass")
    process.send_signal(signal.SIGINT)
    done = bulkio.finish(process)
    assert done.code == 130
    assert json.loads(done.out)["error"]["type"] == "Interrupted"
    db.execute("ROLLBACK")
    assert snapshot(db) == {"t": []}


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("method", ["binary", "cursor"])
def test_signal_mid_export(bulkio: Program, db: psycopg.Connection, tmp_path: Path, driver: str, method: str) -> None:
    """An interrupted export ends on the server and leaves the old file as it was."""
    db.execute("SELECT pg_advisory_lock(1)")
    dest = tmp_path / "out.parquet"
    dest.write_text("the old one")
    query = (
        "SELECT i, CASE WHEN i = 90000 THEN pg_advisory_xact_lock_shared(1)::text END FROM generate_series(1, 100000) i"
    )
    process = bulkio.start("export", "--query", query, dest, "--driver", driver, "--method", method)
    wait_until(db, WAITING)
    process.send_signal(signal.SIGTERM)
    done = bulkio.finish(process)
    assert (done.code, done.out) == (143, "")
    assert done.err == f"interrupted: the export was cancelled, {dest} was not written\n"
    wait_until(db, ALL_ENDED)
    assert [path.name for path in tmp_path.iterdir()] == ["out.parquet"]
    assert dest.read_text() == "the old one"


@pytest.mark.parametrize("driver", DRIVERS)
def test_signal_at_commit_comes_too_late(bulkio: Program, db: psycopg.Connection, orders: Path, driver: str) -> None:
    """Once COMMIT was sent a signal undoes nothing, and the program does not claim that it did."""
    db.execute(TABLE + AT_COMMIT)
    process = bulkio.start("load", orders, "t", "--driver", driver)
    wait_until(db, WAITING)
    process.send_signal(signal.SIGINT)
    db.execute("SELECT pg_advisory_unlock(1)")
    done = bulkio.finish(process)
    assert done.code == 0
    assert done.out.startswith("loaded 1,000 rows into public.t ")
    assert "rolled back" not in done.err
    assert len(snapshot(db)["t"]) == 1001


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=str)
def test_signal_at_commit_awaits_the_outcome(
    bulkio: Program, db: psycopg.Connection, orders: Path, driver: str, number: signal.Signals
) -> None:
    """The first signal after COMMIT was sent says that its outcome is awaited; a rollback is then told as one."""
    db.execute(TABLE + AT_COMMIT)
    db.execute("CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$")
    db.execute(
        "CREATE CONSTRAINT TRIGGER x AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW WHEN (NEW.id = 501) EXECUTE FUNCTION refuse()"
    )
    before = snapshot(db)
    process = bulkio.start("load", orders, "t", "--driver", driver)
    wait_until(db, WAITING)
    process.send_signal(number)
    assert "COMMIT was sent, and its outcome is awaited" in process.stderr.readline()
    db.execute("SELECT pg_advisory_unlock(1)")
    done = bulkio.finish(process)
    assert done.code == 128 + number
    assert done.err == "interrupted: the load was rolled back, table t is unchanged\n"
    assert snapshot(db) == before


@pytest.mark.parametrize("driver", DRIVERS)
def test_two_signals_at_commit_are_unknown(bulkio: Program, db: psycopg.Connection, orders: Path, driver: str) -> None:
    """A second signal while COMMIT has no answer ends the program, which claims nothing about the table."""
    db.execute(TABLE + AT_COMMIT)
    process = bulkio.start("load", orders, "t", "--driver", driver)
    wait_until(db, WAITING)
    process.send_signal(signal.SIGTERM)
    assert "its outcome is awaited" in process.stderr.readline()
    while process.poll() is None:  # one that follows the first too soon counts as the same
        process.send_signal(signal.SIGTERM)
        time.sleep(0.1)
    done = bulkio.finish(process)
    assert (done.code, done.out) == (7, "")
    assert done.err.startswith("interrupted again: not waiting for COMMIT's outcome any more: it is unknown")
    db.execute("SELECT pg_advisory_unlock(1)")
    wait_until(db, ALL_ENDED)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=str)
@pytest.mark.parametrize("as_json", [False, True])
def test_signal_while_nobody_reads_the_report(
    bulkio: Program, db: psycopg.Connection, orders: Path, number: signal.Signals, *, as_json: bool
) -> None:
    """With stdout stalled a signal ends the program, which still exits with what has become of the work."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while os.write(writer, b"x" * 4096):
            pass
    os.set_blocking(writer, True)
    db.execute("CREATE TABLE t (id int8, note text)")
    process = bulkio.start("load", orders, "t", *(["--json"] if as_json else []), stdout=writer)
    os.close(writer)
    wait_until(db, "SELECT 1 FROM t LIMIT 1")
    wait_until(db, ALL_ENDED)  # so that it has heard of its COMMIT
    process.send_signal(number)
    done = bulkio.finish(process)
    os.close(reader)
    assert done.code == 0
    assert done.err == f"{number.name} came too late: the work was done already\n"
    assert len(snapshot(db)["t"]) == 1000


@pytest.mark.parametrize("delay_s", [0, 0.02, 0.04, 0.06, 0.08, 0.12])
def test_signal_while_the_program_shuts_down(
    bulkio: Program, db: psycopg.Connection, orders: Path, delay_s: float
) -> None:
    """Python drops its signal handlers some time before the process ends: none kills it after the rows are stored."""
    process = bulkio.start("load", orders, "t", "--json")
    assert process.stdout.readline().startswith("{")
    time.sleep(delay_s)
    process.send_signal(signal.SIGTERM)
    assert bulkio.finish(process).code == 0
    assert len(snapshot(db)["t"]) == 1000


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=str)
def test_signal_in_a_callback_that_drops_exceptions(number: signal.Signals, code: int) -> None:
    """An import, of which a program has hundreds, ends in such a callback: the signal counts all the same."""
    done = subprocess.run(
        [sys.executable, "-c", DROPPING, number.name], check=False, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr == "interrupted: nothing was changed\n"


@pytest.mark.parametrize("driver", DRIVERS)
def test_server_killed_mid_load(bulkio: Program, db: psycopg.Connection, orders: Path, driver: str) -> None:
    """A connection that is lost in the middle of the COPY exits with 5."""
    db.execute(TABLE + MID_COPY)
    before = snapshot(db)
    process = bulkio.start("load", orders, "t", "--mode", "truncate", "--driver", driver)
    pid = wait_until(db, WAITING)
    db.execute("SELECT pg_terminate_backend(%s)", [pid])
    done = bulkio.finish(process)
    assert (done.code, done.out) == (5, "")
    assert "terminating connection" in done.err
    assert snapshot(db) == before


@pytest.mark.parametrize("driver", DRIVERS)
def test_server_killed_at_commit(bulkio: Program, db: psycopg.Connection, orders: Path, driver: str) -> None:
    """Where COMMIT got no reply the server is asked; it says that nothing was changed."""
    db.execute(TABLE + AT_COMMIT)
    before = snapshot(db)
    process = bulkio.start("load", orders, "t", "--driver", driver)
    pid = wait_until(db, WAITING)
    db.execute("SELECT pg_terminate_backend(%s)", [pid])
    done = bulkio.finish(process)
    assert done.code == 5
    assert "nothing was changed" in done.err
    assert snapshot(db) == before


def test_outcome_unknown(bulkio: Program, db: psycopg.Connection, orders: Path) -> None:
    """Where the server cannot be asked either, the outcome is unknown, and so says the exit code."""
    db.execute(TABLE + AT_COMMIT)
    process = bulkio.start("load", orders, "t", "--json")
    pid = wait_until(db, WAITING)
    db.execute("ALTER FUNCTION pg_xact_status(xid8) RENAME TO no_such_function")  # in this database only
    db.execute("SELECT pg_terminate_backend(%s)", [pid])
    done = bulkio.finish(process)
    assert done.code == 7
    assert "before you load again" in done.err
    assert json.loads(done.out)["error"]["type"] == "OutcomeUnknown"


@pytest.mark.parametrize("driver", DRIVERS)
def test_ignored_signals_stay_ignored(bulkio: Program, db: psycopg.Connection, orders: Path, driver: str) -> None:
    """What `nohup`, or `&` in a script, has the program ignore does not end it; SIGTERM still does."""
    db.execute(TABLE + MID_COPY)
    command = ("load", orders, "t", "--driver", driver)
    process = bulkio.start(*command, by=["sh", "-c", "trap '' INT HUP; exec \"$@\"", "sh"])
    wait_until(db, WAITING)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGHUP)
    db.execute("SELECT pg_advisory_unlock(1)")
    done = bulkio.finish(process)
    assert (done.code, done.out[:18]) == (0, "loaded 1,000 rows ")
    db.execute("SELECT pg_advisory_lock(1)")
    process = bulkio.start(*command, by=["sh", "-c", "trap '' INT HUP; exec \"$@\"", "sh"])
    wait_until(db, WAITING)
    process.send_signal(signal.SIGTERM)
    assert bulkio.finish(process).code == 143
    assert len(snapshot(db)["t"]) == 1001
