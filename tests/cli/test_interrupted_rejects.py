"""Signals in a load with rejects: while the server's rows are walked over, and while the file is put together."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from cli.program import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg

    from cli.program import Program

#: a record that is refused, and one on whose second try the server waits for the lock that the test holds
TABLE = """
CREATE TABLE t (id int CHECK (id <> 7));
CREATE SEQUENCE tries;
CREATE FUNCTION wait_for_the_test() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.id = 5 AND nextval('tries') = 2 THEN PERFORM pg_advisory_xact_lock(1); END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER w BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION wait_for_the_test();
SELECT pg_advisory_lock(1);
"""
WAITING = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'advisory'"
ALL_ENDED = (
    "SELECT 1 WHERE NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()"
    " AND backend_type = 'client backend' AND pid <> pg_backend_pid())"
)
#: the program, which waits for its input as it begins to put the file together
GATHERING = """
import sys
from bulkio.cli import interrupts, main
from bulkio.files.rejects import ending
interrupts.GRACE_S = interrupts.REPEAT_S = 0.05
made = ending.assemble
def assemble(*args):
    print("gathering", flush=True)
    sys.stdin.readline()
    return made(*args)
ending.assemble = assemble
main(sys.argv[1:])
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Make a file of which one record is refused, in its last part."""
    path = tmp_path / "in.csv"
    path.write_text("id\n" + "".join(f"{number}\n" for number in [*range(100, 200), 5, 6, 7, 8]))
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def arguments(source: Path, *more: str) -> list[object]:
    return ["load", source, "t", "--rejects", source.parent / "bad.csv", "--max-rejects", "1", *more]


def start_gathering(bulkio: Program, source: Path, *more: str) -> subprocess.Popen[str]:
    """Start the program, and wait until it begins to put the file together."""
    command = [sys.executable, "-c", GATHERING, *map(str, arguments(source, *more))]
    process = subprocess.Popen(
        command, env=bulkio.env, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    bulkio.started.append(process)
    assert process.stdout is not None
    assert process.stdout.readline() == "gathering\n"
    return process


@pytest.mark.parametrize(
    ("driver", "number", "code"), [("asyncpg", signal.SIGINT, 130), ("psycopg", signal.SIGTERM, 143)], ids=str
)
def test_signal_in_the_middle_of_a_walk(
    bulkio: Program, db: psycopg.Connection, source: Path, driver: str, number: signal.Signals, code: int
) -> None:
    """The server's statement is cancelled; nothing is stored, and there is no file."""
    db.execute(TABLE)
    process = bulkio.start(*arguments(source, "--driver", driver))
    wait_until(db, WAITING)
    process.send_signal(number)
    done = bulkio.finish(process)
    assert (done.code, done.out) == (code, "")
    assert done.err == "interrupted: the load was rolled back, table t is unchanged\n"
    wait_until(db, ALL_ENDED)
    assert db.execute("SELECT * FROM t").fetchall() == []
    assert names(source.parent) == ["in.csv"]


def test_signal_in_the_middle_of_a_chunks_walk(bulkio: Program, db: psycopg.Connection, source: Path) -> None:
    """What is stored stays, and the message tells how to go on; the next run comes to the end."""
    db.execute(TABLE)
    command = arguments(source, "--commit", "chunk", "--chunk-bytes", "200", "--load-id", "night")
    process = bulkio.start(*command)
    wait_until(db, WAITING)
    process.send_signal(signal.SIGINT)
    done = bulkio.finish(process)
    assert (done.code, done.out) == (130, "")
    assert "load 'night' is unfinished: 2 of its 3 chunks are stored; load again with the same id to go on" in done.err
    assert done.err.endswith("interrupted: chunks that are stored stay (`bulkio loads list` shows them)\n"), done.err
    wait_until(db, ALL_ENDED)
    assert names(source.parent) == ["bad.csv.parts", "in.csv"]
    done = bulkio("loads", "resume", "night")
    assert done.code == 4, done
    assert db.execute("SELECT count(*), count(DISTINCT id) FROM t").fetchall() == [(103, 103)]
    assert (source.parent / "bad.csv").read_text() == "id\n7\n"
    assert names(source.parent) == ["bad.csv", "bad.csv.errors.jsonl", "in.csv"]


def test_signal_while_the_file_is_put_together(bulkio: Program, db: psycopg.Connection, source: Path) -> None:
    """It comes too late, and waits for the file, however long that takes; the exit code is that of rejects."""
    db.execute("CREATE TABLE t (id int CHECK (id <> 7))")
    process = start_gathering(bulkio, source, "--load-id", "night")
    process.send_signal(signal.SIGINT)
    assert process.stderr.readline() == (
        "SIGINT came too late: the work was done already, and the rejected records are put into their file"
        " (a second signal ends that)\n"
    )
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.3)  # several times what a signal leaves else
    process.stdin.write("go on\n")
    process.stdin.flush()
    done = bulkio.finish(process)
    assert done.code == 4, done
    assert "Warning: 1 record was rejected: it is in" in done.err
    assert names(source.parent) == ["bad.csv", "bad.csv.errors.jsonl", "in.csv"]


def test_two_signals_while_the_file_is_put_together(bulkio: Program, db: psycopg.Connection, source: Path) -> None:
    """The second one ends the program, which says where the records are; the next run puts them together."""
    db.execute("CREATE TABLE t (id int CHECK (id <> 7))")
    process = start_gathering(bulkio, source, "--load-id", "night")
    process.send_signal(signal.SIGTERM)
    process.stderr.readline()
    while process.poll() is None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.1)
        process.send_signal(signal.SIGTERM)
    done = bulkio.finish(process)
    assert done.code == 4, done
    assert done.err == (
        "interrupted again: not waiting for the file of rejected records any more, which are still in pieces: the load"
        " is done, and run again with its id, it puts them together\n"
    )
    assert names(source.parent) == ["bad.csv.parts", "in.csv"]
    assert bulkio(*arguments(source, "--load-id", "night")).code == 4
    assert names(source.parent) == ["bad.csv", "bad.csv.errors.jsonl", "in.csv"]
