"""What a dry run says of a table that makes loads slow, each thing by its name."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

import bulkio
from bulkio.catalog.burdens import Burden
from bulkio.plan.slowness import SHARES, UNLOGGED, slow_notes
from servers import connect

if TYPE_CHECKING:
    from bulkio.choices import DriverName

ROWS = pa.table({"id": pa.array([1], pa.int64()), "k": pa.array([2], pa.int64())})
RESULTS = Path(__file__).parents[2] / "benchmarks" / "results" / "slow-tables.json"


def make(dsn: str, *statements: str) -> None:
    """Run statements in the test's database."""
    with connect(dsn) as conn:
        for statement in statements:
            conn.execute(statement)


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
def test_each_thing_is_told_by_its_name(dsn: str, driver: DriverName) -> None:
    """Indexes, constraints and triggers of rows; neither triggers of statements, nor those that are disabled."""
    make(
        dsn,
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
        "CREATE TABLE other (id bigint PRIMARY KEY)",
        "CREATE TABLE t (id bigint CONSTRAINT key PRIMARY KEY, k bigint CONSTRAINT ref REFERENCES other,"
        " r int8range, CONSTRAINT apart EXCLUDE USING gist (r WITH &&))",
        "CREATE INDEX odd ON t (k)",
        "CREATE TRIGGER early BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()",
        "CREATE TRIGGER late AFTER INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION f()",
        "CREATE TRIGGER other AFTER UPDATE ON t FOR EACH ROW EXECUTE FUNCTION f()",
        "CREATE TRIGGER whole AFTER INSERT ON t EXECUTE FUNCTION f()",
        "CREATE TRIGGER off AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()",
        "ALTER TABLE t DISABLE TRIGGER off",
    )
    plan = bulkio.plan_load(ROWS, "t", dsn, driver=driver)
    heads = [note.partition(":")[0] for note in plan.slow]
    assert heads[:-1] == [
        '2 indexes ("key", "odd")',
        '1 exclusion constraint ("apart")',
        '1 foreign key ("ref")',
        '1 trigger before each row ("early")',
        '1 trigger after each row ("late")',
        "all of these",
    ]
    assert heads[-1].startswith("each row is written to the log (wal_level is ")
    assert "\nslow: 2 indexes" in str(plan)
    assert not any("index" in note for note in plan.notes)


def test_a_load_s_report_has_none_of_it(dsn: str) -> None:
    """Nobody asks for it where rows are loaded."""
    make(dsn, "CREATE TABLE t (id bigint PRIMARY KEY, k bigint)")
    assert bulkio.load(ROWS, "t", dsn).notes == ()


@pytest.mark.parametrize("mode", ["append", "replace"])
def test_what_is_new_has_no_burdens(dsn: str, mode: str) -> None:
    """A new table has none, and a replace builds its indexes behind the rows."""
    if mode == "replace":
        make(dsn, "CREATE TABLE t (id bigint PRIMARY KEY, k bigint)")
    assert bulkio.plan_load(ROWS, "t", dsn, mode=mode).slow == ()


def test_tables_without_a_log(dsn: str) -> None:
    """An unlogged table is fast, and says what that costs."""
    make(dsn, "CREATE UNLOGGED TABLE t (id bigint, k bigint)")
    plan = bulkio.plan_load(ROWS, "t", dsn)
    assert plan.slow == ("the table is unlogged: that is fast, and a crash of the server empties it",)
    emptied = slow_notes([Burden("log", "minimal")], freezes=True)
    assert emptied == ("its rows are not written to the log: wal_level is minimal, and the table is empty before",)


def test_partitioned_tables(dsn: str) -> None:
    """What all partitions have is the parent's."""
    make(dsn, "CREATE TABLE t (id bigint PRIMARY KEY, k bigint) PARTITION BY RANGE (id)")
    assert bulkio.plan_load(ROWS, "t", dsn).slow[0].startswith('1 index ("t_pkey"): about ')


def test_the_factors_are_those_that_were_measured() -> None:
    """What the plan says is what benchmarks/slow_tables.py has found, rounded."""
    factors = json.loads(RESULTS.read_text())["factors"]
    assert round(factors["unlogged"], 1) == UNLOGGED
    indexes = [factors[kind] - 1 for kind in ("primary key, rising", "index, random number", "index, random text")]
    assert pytest.approx(sum(indexes) / 3, abs=0.06) == SHARES["index"]
    for kind, name in {
        "exclusion constraint": "exclusion constraint",
        "foreign key": "foreign key",
        "before trigger": "trigger, before each row",
        "after trigger": "trigger, after each row",
    }.items():
        assert pytest.approx(factors[name] - 1, abs=0.06) == SHARES[kind]


def test_the_sum_is_told_where_there_are_several() -> None:
    """Each kind has its factor, and all of them one."""
    notes = slow_notes([Burden("index", "a"), Burden("index", "b"), Burden("foreign key", "c")], freezes=False)
    factors = [float(match[1]) for note in notes if (match := re.search(r"about ([\d.]+)x", note))]
    assert factors[2] == pytest.approx(factors[0] + factors[1] - 1, abs=0.11)
