"""`bulkio doctor`: a line for each finding, and the exit code."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psycopg

    from cli.program import Program


def test_nothing_fails(db: psycopg.Connection, bulkio: Program) -> None:
    """Warnings are no failure; a remedy stands below its finding."""
    db.execute("CREATE UNLOGGED TABLE t (id int PRIMARY KEY)")
    done = bulkio("doctor", "t")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert "connection:" in lines
    assert "  ok    kind: public.t is a table, heap 0" in lines
    place = lines.index("  warn  logging: it is unlogged: loads are fast, and a crash of the server empties it")
    assert lines[place + 1] == "          ALTER TABLE public.t SET LOGGED"
    assert lines[-1].endswith(" 0 fail")


def test_a_name_makes_no_line(db: psycopg.Connection, bulkio: Program) -> None:
    """A remedy that has it is one line all the same."""
    db.execute('CREATE UNLOGGED TABLE "a\n  fail  b" (id int PRIMARY KEY)')
    done = bulkio("doctor", '"a\n  fail  b"')
    assert done.code == 0
    assert '          ALTER TABLE public."a\\n  fail  b" SET LOGGED' in done.out.splitlines()


def test_something_fails(db: psycopg.Connection, bulkio: Program) -> None:
    """Exit code 1; and all of it as one object."""
    db.execute("CREATE TABLE p (id int) PARTITION BY LIST (id)")
    done = bulkio("doctor", "p", "--json")
    assert (done.code, done.err) == (1, "")
    report = json.loads(done.out)
    assert (report["table"], report["worst"], report["counts"]["fail"]) == ("p", "fail", 1)
    [found] = [each for each in report["findings"] if each["level"] == "fail"]
    assert found == {
        "area": "table",
        "check": "partitions",
        "level": "fail",
        "text": "it has no partition: each row is refused",
        "remedy": "CREATE TABLE … PARTITION OF it",
    }


def test_no_connection(bulkio_alone: Program) -> None:
    """Exit code 5, and of a name that is none 2."""
    done = bulkio_alone("doctor", "--dsn", "host=/nowhere dbname=x")
    assert done.code == 5
    assert "cannot connect to" in done.err


def test_no_name(bulkio: Program) -> None:
    """What is no table's name is refused as anywhere."""
    done = bulkio("doctor", "SELECT 1")
    assert done.code == 2
