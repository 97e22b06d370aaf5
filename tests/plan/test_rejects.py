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
from bulkio.plan.hidden import final_names
from bulkio.plan.rejects import reject_lines, reject_notes
from servers import connect, fetch

if TYPE_CHECKING:
    from pathlib import Path

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
    return bulkio.plan_load(SOURCE, "t", dsn, mode=mode, **{"rejects": "bad.parquet", **options})


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
        'by foreign key "up" rows may refer to others of the table: where any row is rejected, so may be one that comes'
        " before the row that it refers to; the second try stores it, once the bad ones are mended",
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
    assert (
        lines[3]
        == "records that cannot be stored go to bad.parquet: at most 1% of all (max_rejects), or the load fails"
    )


# --- What the chunks fill -----------------------------------------------------------------------------------


def test_a_new_table_has_its_key_before_its_rows(one_dsn: str, tmp_path: Path) -> None:
    """As an index that goes before the key comes; where a NULL may not be, the client refuses it."""
    with connect(one_dsn) as conn:
        conn.execute("CREATE TABLE o (id bigint PRIMARY KEY, v text)")
    bulkio.export("o", tmp_path / "o.parquet", one_dsn)
    plans = [
        bulkio.plan_load(tmp_path / "o.parquet", "t", one_dsn, mode="create", rejects=rejects)
        for rejects in (None, "bad.parquet")
    ]
    plain, strict = [plan_lasting(each, "1f", unlogged=False) for each in plans]
    early = 'CREATE UNIQUE INDEX "bulkio_new_1f_key" ON "public"."bulkio_new_1f" ("id")'
    assert strict.setup == (*plain.setup, early)
    assert [each for each in strict.finish if each not in plain.finish] == [
        'DROP INDEX "public"."bulkio_new_1f_key" RESTRICT'
    ]
    assert [field.nullable for field in strict.plan.fields] == [False, True]


@pytest.mark.parametrize("mode", ["create", "replace", "upsert", "append"])
def test_a_load_with_rejects_is_another_one_to_its_chunks(one_dsn: str, mode: Mode) -> None:
    """What is filled with rejects lacks rows: a run without them does not go on with it, but where readers see it."""
    if mode != "create":
        with connect(one_dsn) as conn:
            conn.execute("CREATE TABLE t (id bigint PRIMARY KEY, v text)")
    plans = [
        bulkio.plan_load(SOURCE, "t", one_dsn, mode=mode, rejects=rejects)
        for rejects in (None, "bad.parquet", "b.parquet")
    ]
    plain, strict, other = [plan_lasting(each, "1f", unlogged=False).digest for each in plans]
    assert strict == other
    assert (plain == strict) == (mode == "append")


def test_messages_have_the_final_names(one_dsn: str) -> None:
    """Of what is hidden until all rows are there."""
    created = plan_lasting(plan(one_dsn, "create"), "1f", unlogged=False).plan
    assert final_names(created, 'index "bulkio_new_1f_key" of "bulkio_new_1f"') == 'index "t_pkey" of "t"'
    with connect(one_dsn) as conn:
        conn.execute("CREATE TABLE t (id bigint PRIMARY KEY, v text)")
    [(oid,)] = fetch(one_dsn, "SELECT 't_pkey'::regclass::oid::int8")
    replaced = plan(one_dsn, "replace")
    assert final_names(replaced, f'constraint "bulkio_replaces_{oid}_1f"') == 'constraint "t_pkey"'
    assert final_names(plan(one_dsn), "as it is") == "as it is"
