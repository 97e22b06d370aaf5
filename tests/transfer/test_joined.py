"""A load in the caller's own transaction: it is a part of that, and leaves all else as it was."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pyarrow as pa
import pytest
from joined_callers import KINDS, Asyncpg, Caller, InThread, SyncPsycopg

import bulkio
from bulkio import ConfigError
from servers import connect, fetch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from bulkio.choices import Mode

ROWS = pa.table({"id": pa.array([1, 2], pa.int64()), "v": ["a", "b"]})
MORE = pa.table({"id": pa.array([2, 3], pa.int64()), "v": ["B", "C"]})
#: what each mode needs beside the source, and what it makes of the rows (1, old) and (2, old) by those of `MORE`
MODES: Mapping[Mode, tuple[Mapping[str, object], list[tuple[int, str]]]] = {
    "append": ({}, [(1, "old"), (2, "old"), (2, "B"), (3, "C")]),
    "truncate": ({}, [(2, "B"), (3, "C")]),
    "replace": ({}, [(2, "B"), (3, "C")]),
    "upsert": ({"key": ["id"]}, [(1, "old"), (2, "B"), (3, "C")]),
    "insert-new": ({"key": ["id"]}, [(1, "old"), (2, "old"), (3, "C")]),
    "replace-where": ({"where": "id > 1"}, [(1, "old"), (2, "B"), (3, "C")]),
}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> type[Caller]:
    return KINDS[request.param]


@pytest.fixture
def caller(dsn: str, kind: type[Caller]) -> Iterator[Caller]:
    """Make a caller on each server, who has begun."""
    made = kind(dsn)
    made.begin()
    yield made
    made.close()


@pytest.fixture
def one_caller(one_dsn: str, kind: type[Caller]) -> Iterator[Caller]:
    """Make a caller on the embedded server, who has begun."""
    made = kind(one_dsn)
    made.begin()
    yield made
    made.close()


def old_table(mode: str) -> str:
    """Make the statements for a table with two rows; with a key, if the mode wants one."""
    key = " PRIMARY KEY" if mode in ("upsert", "insert-new") else ""
    return f"DROP TABLE IF EXISTS t; CREATE TABLE t (id int8{key}, v text); INSERT INTO t VALUES (1, 'old'), (2, 'old')"


# --- what becomes of the rows


def test_every_mode_is_a_part_of_the_transaction(dsn: str, caller: Caller) -> None:
    """What the caller rolls back was never there; what he commits is there for all, and was for nobody before."""
    caller.roll_back()
    for number, (mode, (options, expected)) in enumerate(MODES.items()):
        for commits in (False, True):
            method = ("binary", "csv")[(number + commits) % 2]
            caller.execute(old_table(mode))
            caller.commit()
            caller.begin()
            report = caller.load(MORE, "t", mode=mode, method=method, **options)
            assert (report.rows, report.driver, report.method, report.mode) == (2, caller.driver, method, mode)
            assert sorted(caller.fetch("SELECT * FROM t")) == sorted(expected)
            if mode not in ("truncate", "replace"):  # of these a reader waits
                assert fetch(dsn, "SELECT * FROM t ORDER BY id") == [(1, "old"), (2, "old")]
            caller.commit() if commits else caller.roll_back()
            left = sorted(fetch(dsn, "SELECT * FROM t"))
            assert left == (sorted(expected) if commits else [(1, "old"), (2, "old")])


def test_a_missing_table_is_created_in_it(one_dsn: str, one_caller: Caller) -> None:
    """With a rollback the table is gone, too; with a commit it stays, and its rows are analyzed."""
    for mode in ("create", "append"):
        one_caller.load(ROWS, "new", mode=mode)
        one_caller.roll_back()
        assert fetch(one_dsn, "SELECT to_regclass('new')") == [(None,)]
        one_caller.begin()
    one_caller.load(ROWS, "new", mode="create")
    one_caller.commit()
    assert fetch(one_dsn, "SELECT reltuples FROM pg_class WHERE oid = 'new'::regclass") == [(2.0,)]


def test_savepoints_of_the_callers_lie_around_it(one_dsn: str, one_caller: Caller) -> None:
    """A rollback to one that came before the load undoes it; one that is released keeps it."""
    one_caller.execute("CREATE TABLE t (id int8, v text)")
    one_caller.execute("SAVEPOINT outer_one")
    one_caller.load(ROWS, "t")
    one_caller.execute("SAVEPOINT inner_one")
    one_caller.load(ROWS, "t", mode="truncate")
    one_caller.execute("ROLLBACK TO SAVEPOINT inner_one")
    assert one_caller.fetch("SELECT count(*) FROM t") == [(2,)]
    one_caller.execute("ROLLBACK TO SAVEPOINT outer_one")
    assert one_caller.fetch("SELECT count(*) FROM t") == [(0,)]
    one_caller.load(MORE, "t")
    one_caller.execute("RELEASE SAVEPOINT outer_one")
    one_caller.commit()
    assert fetch(one_dsn, "SELECT * FROM t ORDER BY id") == [(2, "B"), (3, "C")]


def test_several_loads_in_one_transaction(one_dsn: str, one_caller: Caller) -> None:
    """Each has its staging table to itself, and sees what came before."""
    one_caller.execute("CREATE TABLE t (id int8 PRIMARY KEY, v text)")
    first = one_caller.load(ROWS, "t", mode="upsert")
    again = one_caller.load(MORE, "t", mode="upsert")
    assert (first.inserted, first.updated, again.inserted, again.updated) == (2, 0, 1, 1)
    one_caller.load(ROWS, "t", mode="replace")
    assert one_caller.load(MORE, "t", mode="insert-new").inserted == 1
    one_caller.execute("CREATE TEMPORARY TABLE bulkio_staging (a int)")  # nothing of the name is left
    one_caller.commit()
    assert fetch(one_dsn, "SELECT * FROM t ORDER BY id") == [(1, "a"), (2, "b"), (3, "C")]


def test_a_temporary_table_of_the_callers(one_caller: Caller) -> None:
    """It lives as long as his connection, so that it can be loaded, in every mode but replace."""
    one_caller.execute("CREATE TEMPORARY TABLE tmp (id int8 PRIMARY KEY, v text) ON COMMIT DROP")
    one_caller.load(ROWS, "tmp")
    for mode in ("upsert", "insert-new", "truncate"):
        one_caller.load(MORE, "tmp", mode=mode)
    one_caller.load(MORE, "pg_temp.tmp", mode="replace-where", where="true")
    assert one_caller.fetch("SELECT * FROM tmp ORDER BY id") == [(2, "B"), (3, "C")]
    with pytest.raises(bulkio.SchemaError, match=r"tmp is a temporary one.*mode='truncate' replaces its rows"):
        one_caller.load(ROWS, "tmp", mode="replace")
    one_caller.execute(bulkio.ledger_ddl())
    with pytest.raises(bulkio.SchemaError, match=r"tmp is, or would be, a temporary one: its rows are gone with"):
        one_caller.load(ROWS, "tmp", load_id="x", source_version="1")


@pytest.mark.parametrize("kind", [InThread])
def test_a_sync_connection_in_an_event_loop(one_caller: Caller) -> None:
    """A thread carries its rows while the coroutine waits."""
    assert one_caller.load(ROWS, "t", mode="create").rows == 2
    assert one_caller.fetch("SELECT count(*) FROM t") == [(2,)]


# --- errors


def broken_source() -> Iterator[pa.RecordBatch]:
    """Yield some rows, and then fail."""
    yield from ROWS.to_batches()
    raise OSError("the source is gone")


#: loads that fail, each at another place: source, table, options, by error
FAILURES = {
    "a value": (pa.table({"id": pa.array([1, 2**40], pa.int64())}), "small", {}, bulkio.EncodeError),
    "a key": (ROWS, "keyed", {}, bulkio.DriverError),
    "a check": (ROWS, "plain", {"check": "SELECT false"}, bulkio.CheckError),
    "a statement": (ROWS, "plain", {"after": "SELECT 1 / 0"}, bulkio.DriverError),
    "a column": (pa.table({"other": [1]}), "plain", {}, bulkio.SchemaError),
    "a table's name": (ROWS, "a.b.c.d", {}, bulkio.ConfigError),
    "a file": ("/nowhere/x.parquet", "plain", {}, bulkio.FileError),
    "the source": (broken_source, "plain", {}, OSError),
    "doubled rows": (pa.concat_tables([ROWS, ROWS]), "keyed", {"mode": "upsert"}, bulkio.SchemaError),
    "a swap": (ROWS, "seen", {"mode": "replace"}, bulkio.SchemaError),
    "no privilege": (ROWS, "foreign_one", {"before": "SET LOCAL ROLE joined_nobody"}, bulkio.DriverError),
}


def test_an_error_leaves_the_transaction_as_it_was(dsn: str, caller: Caller) -> None:
    """What the caller did before it is still there, his settings too; he can go on, and commit."""
    caller.execute(
        "CREATE TABLE small (id int4); CREATE TABLE plain (id int8, v text); CREATE TABLE seen (id int8, v text);"
        " CREATE TABLE keyed (id int8 PRIMARY KEY, v text); INSERT INTO keyed VALUES (2, 'mine');"
        " CREATE VIEW sees AS TABLE seen; CREATE TABLE foreign_one (id int8, v text);"
        " SET LOCAL TimeZone = 'Asia/Tokyo'; DROP ROLE IF EXISTS joined_nobody; CREATE ROLE joined_nobody"
    )
    before = caller.settings()
    for source, table, options, kind in FAILURES.values():
        with pytest.raises(kind):
            caller.load(source() if callable(source) else source, table, **options)
        assert caller.settings() == before
    counts = "SELECT (SELECT count(*) FROM plain) + (SELECT count(*) FROM small) + (SELECT count(*) FROM seen)"
    assert caller.fetch(counts) == [(0,)]
    assert caller.load(ROWS, "plain").rows == 2
    caller.execute("DROP ROLE joined_nobody")
    caller.commit()
    assert fetch(dsn, "SELECT * FROM keyed") == [(2, "mine")]
    assert fetch(dsn, "SELECT count(*) FROM plain") == [(2,)]


def test_what_the_server_denies_is_told_with_the_grant(one_dsn: str, one_caller: Caller) -> None:
    """As in a load of its own, although the question is asked in the caller's transaction."""
    one_caller.execute("CREATE TABLE t (id int8, v text); CREATE ROLE joined_reader; SET LOCAL ROLE joined_reader")
    with pytest.raises(bulkio.DriverError, match=r"can GRANT INSERT ON TABLE \"t\" TO \"joined_reader\""):
        one_caller.load(ROWS, "public.t")
    one_caller.execute("RESET ROLE")
    one_caller.load(ROWS, "t")
    one_caller.roll_back()


# --- loads with an id


def test_an_id_is_recorded_with_the_callers_commit(one_dsn: str, one_caller: Caller) -> None:
    """Exactly once goes by the transaction: rolled back, it was not loaded; committed, it is not loaded again."""
    options = {"load_id": "x", "source_version": "1"}
    with pytest.raises(bulkio.LedgerError, match=r"is not there yet, and a load in your transaction cannot make it"):
        one_caller.load(ROWS, "t", **options)
    one_caller.execute(f"CREATE TABLE t (id int8, v text); {bulkio.ledger_ddl()}")
    one_caller.commit()
    one_caller.begin()
    assert not one_caller.load(ROWS, "t", **options).already
    assert one_caller.load(ROWS, "t", **options).already
    with pytest.raises(bulkio.LoadRunning, match="another run is at work on load 'x'"):
        bulkio.load(ROWS, "t", one_dsn, **options)
    one_caller.roll_back()
    assert bulkio.list_loads(one_dsn) == ()
    one_caller.begin()
    report = one_caller.load(ROWS, "t", **options)
    one_caller.commit()
    [record] = bulkio.list_loads(one_dsn)
    assert (record.load_id, record.state, record.rows) == ("x", "done", 2)
    assert bulkio.load(ROWS, "t", one_dsn, **options).already
    one_caller.begin()
    assert one_caller.load(ROWS, "t", **options).rows == report.rows
    assert one_caller.fetch("SELECT count(*) FROM t") == [(2,)]
    with pytest.raises(bulkio.LoadDiffers, match="is done, and was a different one"):
        one_caller.load(ROWS, "t", load_id="x", source_version="2")
    with pytest.raises(bulkio.LedgerError, match="loaded again, they would be there twice"):
        one_caller.load(ROWS, "t", restart=True, **options)


@pytest.mark.parametrize("kind", [SyncPsycopg])
def test_an_id_can_be_loaded_again(one_dsn: str, one_caller: Caller) -> None:
    """With restart, where the mode makes that harmless."""
    one_caller.execute(f"CREATE TABLE t (id int8, v text); {bulkio.ledger_ddl()}")
    options = {"load_id": "x", "source_version": "1", "mode": "truncate"}
    one_caller.load(ROWS, "t", **options)
    assert not one_caller.load(ROWS, "t", restart=True, **options).already
    assert one_caller.fetch("SELECT count(*) FROM t") == [(2,)]


@pytest.mark.parametrize("kind", [Asyncpg])
def test_what_was_begun_in_parts_goes_on_by_itself(one_dsn: str, one_caller: Caller, tmp_path: Path) -> None:
    """A load by chunks commits: in the caller's transaction it is refused."""
    path = tmp_path / "t.csv"
    path.write_text("id\n1\n2\nx\n")
    with connect(one_dsn) as other:
        other.execute("CREATE TABLE t (id int8)")
    with pytest.raises(bulkio.LoadUnfinished):
        bulkio.load(path, "t", one_dsn, load_id="x", commit="chunk", chunk_bytes=4)
    with pytest.raises(bulkio.LedgerError, match="load 'x' is unfinished: it was begun in transactions of its own"):
        one_caller.load(path, "t", load_id="x")
    assert one_caller.fetch("SELECT count(*) > 0 FROM t") == [(True,)]


# --- what else belongs to a load


def test_a_plan_changes_nothing(one_caller: Caller) -> None:
    """It is made within the savepoint, which is undone."""
    one_caller.execute("CREATE TABLE t (id int8, v text); SET LOCAL search_path = public, pg_catalog")
    before = one_caller.settings()
    plan = one_caller.plan(ROWS, "new", mode="create")
    assert (plan.creates, plan.driver) == (True, one_caller.driver)
    assert "COPY" in str(one_caller.plan(MORE, "t", mode="replace"))
    assert one_caller.settings() == before
    with pytest.raises(bulkio.SchemaError):
        one_caller.plan(ROWS, "t", mode="create")
    assert one_caller.fetch("SELECT to_regclass('new'), (SELECT count(*) FROM t)") == [(None, 0)]


def test_the_users_statements_are_a_part_of_it(one_caller: Caller) -> None:
    """They see the caller's own work, and what they set ends with the load."""
    one_caller.execute("CREATE TABLE t (id int8, v text); CREATE TABLE seen AS SELECT 1 AS n")
    before = one_caller.settings()
    report = one_caller.load(
        ROWS,
        "t",
        before=[
            "SET LOCAL work_mem = '77MB'",
            "SET LOCAL search_path = pg_temp, public",
            "SET LOCAL lock_timeout = 77",
        ],
        after=["UPDATE seen SET n = (SELECT count(*) FROM t)", "SET LOCAL DateStyle = 'German'"],
        check="SELECT n = 2 FROM seen",
    )
    assert (report.rows, one_caller.fetch("SELECT n FROM seen")) == (2, [(2,)])
    assert one_caller.settings() == before
    one_caller.load(ROWS, "t", before="SET work_mem = '77MB'")
    assert one_caller.settings() == before
    one_caller.commit()
    assert one_caller.fetch("SHOW work_mem") == [("77MB",)]
    with pytest.raises(ConfigError, match="COMMIT would end or split it"):
        one_caller.load(ROWS, "t", after="COMMIT")


def test_progress_and_lifted_limits_are_told(one_dsn: str, kind: type[Caller]) -> None:
    """As by any load. A limit that the caller has set himself stays, and so does that of his whole transaction."""
    with connect(one_dsn) as conn:
        for limit in ("statement_timeout = '60s'", "transaction_timeout = '70s'"):
            conn.execute(f"ALTER DATABASE {conn.info.dbname} SET {limit}")
    caller, seen = kind(one_dsn), []
    caller.begin()
    caller.execute("CREATE TABLE t (id int8, v text); SET LOCAL idle_in_transaction_session_timeout = 50000")
    limits = "SELECT current_setting('statement_timeout'), current_setting('transaction_timeout')"
    report = caller.load(
        ROWS, "t", progress=seen.append, check=f"SELECT (a, b) = ('0', '70s') FROM ({limits}) AS limits(a, b)"
    )
    assert (seen[-1].rows, seen[-1].committing) == (2, True)
    assert report.lifted == (
        "idle_in_transaction_session_timeout of 50000 ms",
        "statement_timeout of 60000 ms",
    )
    assert caller.fetch(limits) == [("1min", "70s")]
    caller.execute("SET LOCAL statement_timeout = 80000")
    assert caller.load(ROWS, "t").lifted == ("idle_in_transaction_session_timeout of 50000 ms",)
    caller.close()


@pytest.mark.parametrize("kind", [SyncPsycopg])
def test_two_phase_commit_of_the_callers_own(one_dsn: str, one_caller: Caller) -> None:
    """He may prepare the transaction, unless rows were staged in it, in a temporary table."""
    one_caller.load(ROWS, "t", mode="create")
    one_caller.execute("PREPARE TRANSACTION 'mine'")
    with connect(one_dsn) as conn:
        conn.execute("COMMIT PREPARED 'mine'")
        conn.execute("ALTER TABLE t ADD PRIMARY KEY (id)")
    one_caller.load(MORE, "t", mode="upsert")
    with pytest.raises(psycopg.errors.FeatureNotSupported, match="operated on temporary objects"):
        one_caller.execute("PREPARE TRANSACTION 'mine'")


def test_sequences_and_types_are_the_transactions(one_dsn: str, one_caller: Caller) -> None:
    """A sequence goes on behind the loaded rows; a type that a new table needs is made in the transaction."""
    one_caller.execute("CREATE TABLE t (id serial PRIMARY KEY, v text)")
    one_caller.load(ROWS, "t")
    one_caller.execute("INSERT INTO t (v) VALUES ('next')")
    assert one_caller.fetch("SELECT max(id) FROM t") == [(3,)]
    one_caller.load(MORE, "t", mode="upsert")
    one_caller.commit()
    assert fetch(one_dsn, "SELECT * FROM t ORDER BY id") == [(1, "a"), (2, "B"), (3, "C")]
