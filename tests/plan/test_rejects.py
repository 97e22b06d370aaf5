"""Plans with rejects: how the source is cut, what is refused and noted, how staged rows are numbered."""

from __future__ import annotations

import doctest
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

import bulkio
from bulkio.catalog.sharing import SharingFacts
from bulkio.options import LoadRequest
from bulkio.plan import LoadPlan, numbers, plan_lasting, rejects, wanted_chunks
from bulkio.plan.rejects import reject_lines, reject_notes
from servers import connect

if TYPE_CHECKING:
    from bulkio.choices import Mode

MIB = 1 << 20
FACTS = SharingFacts(
    oid=1,
    max_prepared=0,
    prepared=0,
    may_create=True,
    trigger="",
    is_foreign=False,
    is_unlogged=False,
    has_unique=True,
    self_reference="",
    publication="",
)
SOURCE = pa.table({"id": pa.array([1], pa.int64()), "v": ["a"]})


def request(**options: Any) -> LoadRequest:
    """Return a request with rejects."""
    return LoadRequest("a.csv", "t", rejects="bad.csv", **{"max_rejects": "10", **options})


def plan(dsn: str, mode: Mode = "append", **options: Any) -> LoadPlan:
    """Plan a load of one row into t, with rejects."""
    return bulkio.plan_load(SOURCE, "t", dsn, mode=mode, **{"rejects": "bad.csv", **options})


def test_examples_run() -> None:
    """The docstrings' examples give what they say."""
    for module in (numbers, rejects):
        assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize(
    ("size", "workers", "chunks"),
    [
        (None, 1, 1),
        (0, 1, 1),
        (4 * MIB, 1, 1),
        (4 * MIB + 1, 1, 2),
        (100 * MIB, 1, 25),
        (1 << 40, 1, 60),
        (1 << 40, 3, 180),
        (8 * MIB, 2, 2),
    ],
)
def test_chunks_of_a_transaction(size: int | None, workers: int, chunks: int) -> None:
    """Some megabytes each; a transaction has no more of them than savepoints that it may release."""
    assert wanted_chunks(request(workers=workers), size, 8) == chunks


def test_chunks_that_commit_for_themselves() -> None:
    """Each has its own transaction: they are cut as without rejects."""
    for workers in (1, 2):
        alone = request(commit="chunk", workers=workers)
        assert wanted_chunks(alone, 10 << 30, 8) == wanted_chunks(
            replace(alone, rejects=None, max_rejects="0"), 10 << 30, 8
        )


def test_what_the_plan_says() -> None:
    """Where rejected records go, and how many there may be; nothing without rejects."""
    assert reject_lines(request()) == [
        "records that cannot be stored go to bad.csv: at most 10 (max_rejects), or the load fails"
    ]
    assert "at most 0.5% of all (max_rejects)" in reject_lines(request(max_rejects="0.5%"))[0]
    assert reject_lines(LoadRequest("a.csv", "t")) == []


def test_a_self_reference_is_noted() -> None:
    """Rows that come before those that they refer to may be rejected, and the second try stores them."""
    facts = replace(FACTS, self_reference="up")
    assert reject_notes(request(), facts, "t") == (
        'by foreign key "up" rows may refer to others of the table: one that comes before the row that it refers to may'
        " be rejected, and is stored by the second try",
    )
    assert reject_notes(request(), FACTS, "t") == ()
    assert reject_notes(LoadRequest("a.csv", "t"), facts, "t") == ()


def test_foreign_tables_are_refused(one_dsn: str) -> None:
    """Another server may keep what a savepoint takes back; a foreign partition counts."""
    with connect(one_dsn) as conn:
        conn.execute(
            "CREATE EXTENSION postgres_fdw; CREATE SERVER s FOREIGN DATA WRAPPER postgres_fdw;"
            " CREATE TABLE t (id bigint, v text) PARTITION BY LIST (id);"
            " CREATE FOREIGN TABLE t_1 PARTITION OF t DEFAULT SERVER s"
        )
    with pytest.raises(bulkio.SchemaError) as caught:
        plan(one_dsn)
    assert str(caught.value) == (
        "t, or a partition of it, is a foreign table, which rejects cannot load: what another server has stored may not"
        " come back when a savepoint is rolled back"
    )
    assert bulkio.plan_load(SOURCE, "t", one_dsn).work.freezes is False


def test_no_rows_are_frozen_behind_a_savepoint(one_dsn: str) -> None:
    """The new or empty table is analyzed all the same."""
    for mode in ("append", "create", "replace"):
        work = plan(one_dsn, mode).work
        assert (work.freezes, work.analyzes) == (False, True)
        assert bulkio.plan_load(SOURCE, "t", one_dsn, mode=mode).work.freezes
    with connect(one_dsn) as conn:
        conn.execute("CREATE TABLE t (id bigint, v text)")
    truncate = plan(one_dsn, "truncate")
    assert (truncate.work.analyzes, truncate.target.freeze) == (True, False)
    assert not plan(one_dsn).work.analyzes


@pytest.mark.parametrize("mode", ["upsert", "insert-new"])
def test_staged_rows_are_numbered(one_dsn: str, mode: Mode) -> None:
    """By a column more, which is not shown as one of the source's; a staging table that lasts has the same one."""
    with connect(one_dsn) as conn:
        conn.execute("CREATE TABLE t (id bigint PRIMARY KEY, v text, bulkio_row bigserial)")
    numbered = plan(one_dsn, mode)
    assert numbered.work.number == "bulkio_row"
    assert [field.name for field in numbered.fields] == ["id", "v", "bulkio_row"]
    assert [field.name for field in numbered.columns] == ["id", "v"]
    assert numbered.sequences == ()
    assert numbered.target.columns == ("id", "v", "bulkio_row")
    assert numbered.work.before == (
        'CREATE TEMPORARY TABLE bulkio_staging ON COMMIT DROP AS SELECT "id", "v", 0::bigint AS "bulkio_row" FROM'
        ' "public"."t" WITH NO DATA',
    )
    assert numbered.work.merge is not None
    assert numbered.work.merge.insert.place == '"bulkio_row"'
    assert "bulkio_row" not in numbered.describe().partition("columns\n")[2]
    lasting = plan_lasting(numbered, "1f", unlogged=False)
    assert lasting.number == "bulkio_row"
    assert lasting.plan.fields == numbered.fields
    assert bulkio.plan_load(SOURCE, "t", one_dsn, mode=mode).work.number == ""


def test_a_dry_run_tells_of_rejects(one_dsn: str) -> None:
    """For people, behind how it is done."""
    lines = plan(one_dsn, max_rejects="1%").describe().splitlines()
    assert lines[3] == "records that cannot be stored go to bad.csv: at most 1% of all (max_rejects), or the load fails"
