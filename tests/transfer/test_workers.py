"""Loads on several connections: which way each goes, what is stored, what is told, and that nothing is left."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import bulkio
from bulkio.catalog.sharing import SharingFacts
from bulkio.options import LoadRequest
from bulkio.pgcopy import Field
from bulkio.plan import Around, LoadPlan, Sharing, plan_sharing, wanted_chunks
from bulkio.plan.modes import Work
from bulkio.types import STRICT, base_type, cast_to_pg
from servers import connect, fetch

if TYPE_CHECKING:
    from pathlib import Path

    from servers import TestServer

ROWS = 5_000
DRIVERS = ["asyncpg", "psycopg"]
#: rows that are there before, one of them under a key of the source's
BEFORE = {7: "old", 100_000: "other"}
NEW = {key: f"new {key}" for key in range(ROWS)}

#: what each load is called with, and what the table holds then
LOADS: dict[str, tuple[dict[str, Any], dict[int, str]]] = {
    "append": ({}, NEW),
    "append by chunks": ({"commit": "chunk"}, NEW),
    "create": ({"mode": "create"}, NEW),
    "create by chunks": ({"mode": "create", "commit": "chunk"}, NEW),
    "append to a missing table": ({}, NEW),
    "replace": ({"mode": "replace"}, NEW),
    "replace by chunks": ({"mode": "replace", "commit": "chunk"}, NEW),
    "upsert": ({"mode": "upsert"}, BEFORE | NEW),
    "upsert by chunks": ({"mode": "upsert", "commit": "chunk"}, BEFORE | NEW),
    "upsert, delete missing": ({"mode": "upsert", "delete_missing": True, "max_delete": "100%"}, NEW),
    "insert-new": ({"mode": "insert-new"}, NEW | BEFORE),
    "insert-new by chunks": ({"mode": "insert-new", "commit": "chunk"}, NEW | BEFORE),
    "replace-where": ({"mode": "replace-where", "where": "k < 50000"}, BEFORE | NEW),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Make a file of ten row groups."""
    return write(tmp_path / "a.parquet", NEW)


def write(path: Path, rows: dict[int, str]) -> Path:
    table = pa.table({"k": pa.array(rows, pa.int64()), "v": pa.array(rows.values(), pa.string())})
    pq.write_table(table, path, row_group_size=max(1, len(rows) // 10))
    return path


def make_table(dsn: str, rows: dict[int, str], columns: str = "k bigint PRIMARY KEY, v text") -> None:
    with connect(dsn) as conn:
        conn.execute(f"CREATE TABLE t ({columns})")
        with conn.cursor().copy("COPY t (k, v) FROM STDIN") as copy:
            for row in rows.items():
                copy.write_row(row)


def stored(dsn: str) -> dict[int, str]:
    """Return the table's rows, each of which is there once."""
    rows = fetch(dsn, "SELECT k, v FROM t")
    assert len(dict(rows)) == len(rows)
    return dict(rows)  # type: ignore[arg-type]


def load(path: Path, dsn: str, **options: Any) -> bulkio.LoadReport:
    return bulkio.load(path, "t", dsn, **{"workers": 2, "chunk_bytes": 4000, **options})


def assert_nothing_is_left(dsn: str) -> None:
    """No staging or hidden table, no prepared transaction, no chunk in the ledger."""
    assert fetch(dsn, "SELECT relname FROM pg_class WHERE relname LIKE 'bulkio\\_%'") == []
    assert fetch(dsn, "SELECT gid FROM pg_prepared_xacts WHERE database = current_database()") == []
    if fetch(dsn, "SELECT to_regclass('bulkio_ledger.chunks')") != [(None,)]:
        assert fetch(dsn, "SELECT * FROM bulkio_ledger.chunks") == []


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("name", LOADS)
def test_every_mode_stores_the_same_rows_as_one_worker(dsn: str, path: Path, name: str, driver: str) -> None:
    """Twice: the second time under an id that is done."""
    options, expected = LOADS[name]
    if "create" not in name and "missing table" not in name:
        make_table(dsn, {} if name.startswith("append") else BEFORE)
    report = load(path, dsn, driver=driver, load_id="night", **options)
    assert (report.rows, report.workers, report.why_one, report.load_id) == (ROWS, 2, "", "night")
    assert stored(dsn) == expected
    assert load(path, dsn, driver=driver, load_id="night", **options).already
    assert stored(dsn) == expected
    assert fetch(dsn, "SELECT id, state, rows FROM bulkio_ledger.loads") == [("night", "done", ROWS)]
    assert_nothing_is_left(dsn)


@pytest.mark.parametrize("name", LOADS)
def test_the_report_counts_as_with_one_worker(one_dsn: str, path: Path, name: str) -> None:
    """What is inserted, updated, skipped and deleted."""
    options, _ = LOADS[name]
    found = []
    for more in ({"workers": 2}, {"workers": 1, "commit": "all"}):
        if "create" not in name and "missing table" not in name:
            make_table(one_dsn, {} if name.startswith("append") else BEFORE)
        report = load(path, one_dsn, **options | more)
        found.append((report.inserted, report.updated, report.skipped, report.deleted, report.created, report.rows))
        with connect(one_dsn) as conn:
            conn.execute("DROP TABLE t")
    assert found[0] == found[1]


def test_the_report_says_what_readers_may_see(one_dsn: str, path: Path) -> None:
    """Nothing of a table that nobody looks at."""
    make_table(one_dsn, {})
    assert load(path, one_dsn).visibility == (
        "between two COMMIT PREPARED readers may see the rows of some connections and not yet those of others"
    )
    assert load(path, one_dsn, mode="upsert").visibility == ""
    with connect(one_dsn) as conn:
        conn.execute("TRUNCATE t")
    report = load(path, one_dsn, commit="chunk")
    assert report.visibility == "readers see the rows of each chunk as soon as it is stored"


def test_without_an_id_one_is_made_up(one_dsn: str, path: Path) -> None:
    """It is in the report, and the ledger has it."""
    make_table(one_dsn, {})
    report = load(path, one_dsn)
    assert report.load_id is not None
    assert report.load_id.startswith("unnamed/")
    assert bulkio.show_load(report.load_id, one_dsn).state == "done"


def test_one_worker_needs_no_ledger(one_dsn: str, path: Path) -> None:
    """Nor does a load that several were asked for, where one has to do it."""
    make_table(one_dsn, {})
    assert load(path, one_dsn, workers=1).load_id is None
    assert load(path, one_dsn, mode="truncate").load_id is None
    assert fetch(one_dsn, "SELECT to_regnamespace('bulkio_ledger')") == [(None,)]


# --- which way it goes ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"before": "SELECT 1"}, "before runs in the load's own transaction"),
        ({"after": "SELECT 1"}, "after runs in the load's own transaction"),
        ({"check": "SELECT true"}, "check runs in the load's own transaction"),
        ({"mode": "truncate"}, "TRUNCATE and the rows belong into one transaction"),
        ({"new_columns": "add", "add": {"x": "1"}}, "the columns are added in the load's own transaction"),
    ],
)
def test_what_belongs_into_one_transaction_is_done_by_one(
    one_dsn: str, path: Path, options: dict[str, Any], why: str
) -> None:
    """The report says why; where each chunk was to commit for itself, that is an error before anything is done."""
    make_table(one_dsn, {})
    with pytest.raises(bulkio.ConfigError) as caught:
        load(path, one_dsn, commit="chunk", **options)
    assert str(caught.value) == f"commit='chunk' cannot be had here: {why}"
    assert stored(one_dsn) == {}
    report = load(path, one_dsn, **options)
    assert (report.workers, report.why_one) == (1, why)
    assert stored(one_dsn) == NEW


def test_a_trigger_makes_it_one(one_dsn: str, path: Path) -> None:
    """It may NOTIFY, which cannot be prepared; chunks that commit for themselves may."""
    make_table(one_dsn, {})
    with connect(one_dsn) as conn:
        conn.execute(
            "CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN PERFORM pg_notify('x', 'y'); RETURN new; END $$;"
            " CREATE TRIGGER tell AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION tell()"
        )
    report = load(path, one_dsn)
    assert report.why_one == 'trigger "tell" may do what cannot be prepared, such as NOTIFY'
    with connect(one_dsn) as conn:
        conn.execute("TRUNCATE t")
    assert load(path, one_dsn, commit="chunk").workers == 2


@pytest.mark.parametrize("driver", DRIVERS)
def test_what_cannot_be_prepared_after_all_is_done_by_one(one_dsn: str, path: Path, driver: str) -> None:
    """Here a default tells somebody: nobody could see that before."""
    with connect(one_dsn) as conn:
        conn.execute(
            "CREATE FUNCTION tell() RETURNS int LANGUAGE plpgsql AS"
            " $$ BEGIN PERFORM pg_notify('x', 'y'); RETURN 1; END $$;"
            " CREATE TABLE t (k bigint PRIMARY KEY, v text, told int DEFAULT tell())"
        )
    for load_id in ("night", None):
        report = load(path, one_dsn, driver=driver, load_id=load_id)
        assert report.why_one.startswith("the server cannot prepare what the load does (cannot PREPARE a transaction")
        assert stored(one_dsn) == NEW
        assert_nothing_is_left(one_dsn)
        with connect(one_dsn) as conn:
            conn.execute("TRUNCATE t")


def test_a_role_that_may_not_create_tables(one_server: TestServer, one_dsn: str, path: Path) -> None:
    """Staged rows would have no place; an append needs none."""
    make_table(one_dsn, {})
    with connect(one_dsn) as conn:
        conn.execute("CREATE ROLE plain LOGIN PASSWORD 'plain'; GRANT SELECT, INSERT, UPDATE ON t TO plain")
        conn.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        conn.execute(bulkio.ledger_ddl(role="plain"))
        conn.execute("GRANT UPDATE, DELETE ON bulkio_ledger.loads TO plain")
    try:
        dsn = f"{one_dsn}&user=plain&password=plain"
        report = load(path, dsn, mode="upsert")
        assert report.why_one.startswith('the role may not create a table in schema "public"')
        assert load(path, dsn, mode="upsert", workers=1).rows == ROWS
        with connect(one_dsn) as conn:
            conn.execute("TRUNCATE t")
            conn.execute("GRANT SELECT, INSERT, DELETE ON bulkio_ledger.chunks TO plain")
        assert load(path, dsn).workers == 2
    finally:
        with connect(one_dsn) as conn:
            conn.execute("DROP OWNED BY plain; DROP ROLE plain")


class Stop(Exception):  # noqa: N818 - a signal
    """The load is to end here."""


def test_an_unlogged_load_begins_anew(one_dsn: str, path: Path) -> None:
    """What was stored may be gone: it is not counted on; and chunks for themselves cannot be unlogged."""
    make_table(one_dsn, BEFORE)

    def stop(progress: bulkio.Progress) -> None:
        if progress.rows > ROWS // 2:
            raise Stop

    with pytest.raises(Stop):
        load(path, one_dsn, mode="upsert", unlogged=True, load_id="night", progress=stop)
    record = bulkio.show_load("night", one_dsn)
    assert (record.state, record.stored_chunks > 0) == ("running", True)
    kinds = fetch(one_dsn, "SELECT relpersistence::text FROM pg_class WHERE relname LIKE 'bulkio_staging%'")
    assert kinds == [("u",)]
    with connect(one_dsn) as conn:  # as a crash would
        [(name,)] = fetch(one_dsn, "SELECT relname FROM pg_class WHERE relname LIKE 'bulkio_staging%'")
        conn.execute(f"TRUNCATE {name}")
    assert load(path, one_dsn, mode="upsert", unlogged=True, load_id="night").rows == ROWS
    assert stored(one_dsn) == BEFORE | NEW
    assert_nothing_is_left(one_dsn)
    with pytest.raises(bulkio.ConfigError, match="a crash empties what is unlogged=True, so that nothing could go on"):
        load(path, one_dsn, mode="upsert", unlogged=True, commit="chunk")


def test_rows_that_refer_to_others_are_stored_by_one(one_dsn: str, path: Path) -> None:
    """What another connection has stored, a foreign key does not see."""
    with connect(one_dsn) as conn:
        conn.execute("CREATE TABLE t (k bigint PRIMARY KEY, v text, up bigint REFERENCES t)")
    assert load(path, one_dsn).why_one.startswith('by foreign key "t_up_fkey" rows may refer to rows')


def test_a_serial_column_is_made_by_one(one_dsn: str, path: Path, tmp_path: Path) -> None:
    """Its sequence's name is the server's choice."""
    make_table(one_dsn, NEW, "k bigserial PRIMARY KEY, v text")
    bulkio.export("t", tmp_path / "t.parquet", one_dsn)
    pq.write_table(pq.read_table(tmp_path / "t.parquet"), tmp_path / "t.parquet", row_group_size=300)
    report = bulkio.load(tmp_path / "t.parquet", "u", one_dsn, mode="create", workers=2, chunk_bytes=99)
    assert report.why_one == 'column "k" is serial: its sequence is made together with the table'


def test_what_is_published_is_not_staged(dsn: str, path: Path) -> None:
    """A subscriber would look for the staging table; an append is published as ever."""
    make_table(dsn, {})
    with connect(dsn) as conn:
        conn.execute("CREATE PUBLICATION everything FOR ALL TABLES")
    why = 'publication "everything" would publish the table where the rows are until all are there'
    assert load(path, dsn, mode="upsert").why_one == why
    assert bulkio.load(path, "u", dsn, mode="create", workers=2, chunk_bytes=4000).why_one == why
    with connect(dsn) as conn:
        conn.execute("TRUNCATE t")
    assert load(path, dsn).workers == 2


@pytest.mark.parametrize("mode", ["upsert", "replace", "create"])
def test_nobody_else_sees_or_adds_rows_before_the_end(one_dsn: str, path: Path, mode: str) -> None:
    """Whatever the default privileges give to others; afterwards the table has them."""
    if mode != "create":
        make_table(one_dsn, {})
    with connect(one_dsn) as conn:
        conn.execute("CREATE ROLE other; ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO other")
    found: list[object] = []

    def look(progress: bulkio.Progress) -> None:
        if progress.rows > ROWS // 2 and not found:
            [(name,)] = fetch(one_dsn, "SELECT relname FROM pg_class WHERE relname LIKE 'bulkio\\_%' AND relkind = 'r'")
            with connect(one_dsn) as conn:
                conn.execute("SET ROLE other")
                found.append(conn.execute(f"SELECT count(*) FROM {name}").fetchall())
                with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
                    conn.execute(f"INSERT INTO {name} (k, v) VALUES (-1, 'mine')")

    try:
        load(path, one_dsn, mode=mode, progress=look)
        assert found == [[(0,)]]
        assert stored(one_dsn) == NEW
        hidden = fetch(one_dsn, "SELECT relrowsecurity FROM pg_class WHERE oid = 't'::regclass")
        assert hidden == [(False,)]
    finally:
        with connect(one_dsn) as conn:
            conn.execute(
                "ALTER DEFAULT PRIVILEGES REVOKE ALL ON TABLES FROM other; DROP OWNED BY other; DROP ROLE other"
            )


def test_a_role_that_could_begin_and_not_end_is_refused(one_dsn: str, path: Path) -> None:
    """Before anything is sent; with the rights that are named, it goes."""
    make_table(one_dsn, {})
    with connect(one_dsn) as conn:
        conn.execute("CREATE ROLE plain LOGIN PASSWORD 'plain'; GRANT SELECT, INSERT ON t TO plain")
        conn.execute(bulkio.ledger_ddl(role="plain"))
    try:
        dsn = f"{one_dsn}&user=plain&password=plain"
        words = (
            'an administrator can GRANT UPDATE ON "bulkio_ledger"."loads", DELETE ON "bulkio_ledger"."loads", SELECT ON'
            ' "bulkio_ledger"."chunks", INSERT ON "bulkio_ledger"."chunks", DELETE ON "bulkio_ledger"."chunks" (`bulkio'
        )
        with pytest.raises(bulkio.LedgerError, match=re.escape(words)):
            load(path, dsn)
        with connect(one_dsn) as conn:
            conn.execute("GRANT UPDATE, DELETE ON bulkio_ledger.loads TO plain")
            conn.execute("GRANT SELECT, INSERT, DELETE ON bulkio_ledger.chunks TO plain")
        assert load(path, dsn).workers == 2
    finally:
        with connect(one_dsn) as conn:
            conn.execute("DROP OWNED BY plain; DROP ROLE plain")


@pytest.mark.parametrize("options", [{}, {"mode": "upsert"}])
def test_fewer_workers_where_the_role_has_no_more_connections(
    one_dsn: str, path: Path, options: dict[str, Any]
) -> None:
    """Those that there are do the work."""
    make_table(one_dsn, {})
    with connect(one_dsn) as conn:
        conn.execute("CREATE ROLE plain LOGIN PASSWORD 'plain' CONNECTION LIMIT 3; GRANT ALL ON t TO plain")
        conn.execute("GRANT CREATE ON SCHEMA public TO plain")
        conn.execute(bulkio.ledger_ddl(role="plain"))
        conn.execute("GRANT UPDATE, DELETE ON bulkio_ledger.loads TO plain; GRANT ALL ON bulkio_ledger.chunks TO plain")
    try:
        assert load(path, f"{one_dsn}&user=plain&password=plain", workers=4, **options).rows == ROWS
        assert stored(one_dsn) == NEW
        assert_nothing_is_left(one_dsn)
    finally:
        with connect(one_dsn) as conn:
            conn.execute("DROP OWNED BY plain; DROP ROLE plain")


def test_rows_outside_of_the_condition_may_be_the_source_s(one_dsn: str, path: Path) -> None:
    """Those that are staged are not looked at one by one."""
    make_table(one_dsn, BEFORE)
    with pytest.raises(
        bulkio.CountError, match=r"4000 of the table's rows meet .*: rows of the source do not meet it, or"
    ):
        load(path, one_dsn, mode="replace-where", where="k < 4000")
    assert stored(one_dsn) == BEFORE
    assert_nothing_is_left(one_dsn)


def test_an_object_has_no_chunks(one_dsn: str) -> None:
    """Nothing could go on with it."""
    make_table(one_dsn, {})
    with pytest.raises(bulkio.ConfigError, match="commit='chunk' cannot be had here: Table is not a file, so that"):
        bulkio.load(pa.table({"k": [1], "v": ["a"]}), "t", one_dsn, commit="chunk")


def test_a_source_in_one_piece(one_dsn: str) -> None:
    """An object is read once, in its order."""
    make_table(one_dsn, {})
    report = bulkio.load(pa.table({"k": [1], "v": ["a"]}), "t", one_dsn, workers=2)
    assert report.why_one == "the source is read in one piece"


FACTS = SharingFacts(
    oid=1,
    max_prepared=10,
    prepared=0,
    may_create=True,
    trigger="",
    is_foreign=False,
    is_unlogged=False,
    has_unique=False,
    self_reference="",
    publication="",
)


def planned(facts: SharingFacts, *, size: int | None = 1 << 30, processors: int = 8, **options: Any) -> Sharing:
    """Decide for an append to a table of one column."""
    request = LoadRequest("a.parquet", "t", **options)
    cast = cast_to_pg(pa.int64(), base_type("int8"), STRICT)
    plan = LoadPlan(request, "a", None, "s", "t", (Field("k", cast),), "asyncpg", "binary", Work(), Around())
    return plan_sharing(request, plan, facts, chunks=100, size_bytes=size, processors=processors)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"max_prepared": 0}, "the server's max_prepared_transactions is 0"),
        (
            {"max_prepared": 10, "prepared": 8},
            "8 of the server's 10 prepared transactions (max_prepared_transactions) are in use, and 3 are needed",
        ),
        ({"is_foreign": True}, "the table, or a partition of it, is a foreign one"),
        ({"self_reference": "fk"}, 'by foreign key "fk" rows may refer to rows that another connection stores'),
    ],
)
def test_where_nothing_can_be_prepared_it_is_one(changed: dict[str, Any], why: str) -> None:
    """The report says so."""
    assert planned(replace(FACTS, **changed), workers=3) == Sharing(why_one=why)


def test_chunks_do_not_go_into_an_unlogged_table() -> None:
    """A crash would empty it."""
    with pytest.raises(bulkio.ConfigError, match="the table is unlogged: a crash would empty it, and the ledger would"):
        planned(replace(FACTS, is_unlogged=True), commit="chunk")


def test_auto_takes_as_many_as_pay() -> None:
    """At most the processors, two for a unique key, one for a small source, and it says why; or the number."""
    assert planned(FACTS, workers="auto").workers == 8
    assert planned(replace(FACTS, has_unique=True), workers="auto").workers == 2
    assert planned(FACTS, workers="auto", size=(100 << 20)).workers == 3
    one = planned(FACTS, workers="auto", size=1 << 20)
    assert one == Sharing(why_one="a second one does not pay for less than 64 MiB of files")
    assert (
        planned(FACTS, workers="auto", size=None).why_one == "auto goes by the bytes of files, and the source is none"
    )
    assert planned(FACTS, workers="auto", processors=1).why_one == "the client has one processor"
    assert planned(FACTS, workers=1, size=1 << 20) == Sharing()
    assert planned(FACTS, workers=9, size=1 << 20).workers == 9


def test_the_number_of_chunks() -> None:
    """By bytes; several workers get some each, unless they were too small."""
    request = LoadRequest("a", "t", workers=2)
    assert wanted_chunks(request, None, 8) == 1
    assert wanted_chunks(request, 1000, 8) == 1
    assert wanted_chunks(request, 5 << 20, 8) == 5
    assert wanted_chunks(request, 100 << 20, 8) == 16
    assert wanted_chunks(request, 10 << 30, 8) == 160
    assert wanted_chunks(replace(request, workers=1), 100 << 20, 8) == 2


# --- what users meet --------------------------------------------------------------------------------


@pytest.mark.parametrize("commit", ["all", "chunk"])
def test_errors_name_the_row_of_the_file(one_dsn: str, tmp_path: Path, commit: str) -> None:
    """Whether bulkio finds them or the server does, whichever worker."""
    path = write(tmp_path / "b.parquet", {**NEW, 3210: "x" * 20})
    make_table(one_dsn, {}, "k bigint PRIMARY KEY, v varchar(10)")
    with pytest.raises(bulkio.BulkioError, match='row 3211, column "v"'):
        load(path, one_dsn, commit=commit)
    with connect(one_dsn) as conn:
        conn.execute("DROP TABLE t")
    make_table(one_dsn, {}, "k bigint CHECK (k <> 4321), v text")
    with pytest.raises(bulkio.BulkioError, match="row 4322"):
        load(path, one_dsn, commit=commit)


def test_doubled_keys_are_named_by_their_rows(one_dsn: str, tmp_path: Path) -> None:
    """Across chunks, however they were staged."""
    path = tmp_path / "b.parquet"
    keys = [*range(1000), 5, *range(1000, 2000), 1700]
    pq.write_table(
        pa.table({"k": pa.array(keys, pa.int64()), "v": list(map(str, range(len(keys))))}), path, row_group_size=200
    )
    make_table(one_dsn, {})
    with pytest.raises(bulkio.SchemaError, match=r"'5': rows 6, 1001\n  '1700': rows 1702, 2002"):
        load(path, one_dsn, mode="upsert")
    assert_nothing_is_left(one_dsn)
    for keep, values in (("first", ("5", "1701")), ("last", ("1000", "2001"))):
        load(path, one_dsn, mode="upsert", duplicates=keep)
        assert (stored(one_dsn)[5], stored(one_dsn)[1700]) == values


def test_the_same_key_in_two_chunks_is_an_error(one_dsn: str, tmp_path: Path) -> None:
    """Nothing is stored, nothing is left, and nobody waits for ever."""
    path = tmp_path / "b.parquet"
    keys = [*range(1000), *range(1000)]
    pq.write_table(pa.table({"k": pa.array(keys, pa.int64()), "v": list(map(str, keys))}), path, row_group_size=1000)
    make_table(one_dsn, {})
    with pytest.raises(bulkio.DriverError):
        load(path, one_dsn, chunk_bytes=1, lock_timeout="2s")
    assert stored(one_dsn) == {}
    assert_nothing_is_left(one_dsn)


@pytest.mark.parametrize("options", [{}, {"mode": "upsert"}, {"commit": "chunk"}])
def test_sequences_are_past_what_all_workers_have_stored(one_dsn: str, path: Path, options: dict[str, Any]) -> None:
    """Whichever of them had the largest value."""
    make_table(one_dsn, {}, "k bigserial PRIMARY KEY, v text")
    load(path, one_dsn, **options)
    assert fetch(one_dsn, "INSERT INTO t (v) VALUES ('next') RETURNING k") == [(ROWS,)]


def test_a_created_table_is_what_one_worker_makes(one_dsn: str, path: Path, tmp_path: Path) -> None:
    """With its key, its identity and their names, from what an export has recorded."""
    with connect(one_dsn) as conn:
        conn.execute(
            "CREATE TABLE o (k bigint PRIMARY KEY, i int GENERATED ALWAYS AS IDENTITY (START 7 INCREMENT 2),"
            " v varchar(20) NOT NULL, n numeric(10,2));"
            " INSERT INTO o (k, v, n) SELECT g, 'v' || g, g / 3.0 FROM generate_series(1, 3000) g;"
            " CREATE TABLE another (k int CONSTRAINT t_pkey PRIMARY KEY)"  # the name that the key would have
        )
    bulkio.export("o", tmp_path / "o.parquet", one_dsn)
    pq.write_table(pq.read_table(tmp_path / "o.parquet"), tmp_path / "o.parquet", row_group_size=300)
    described = []
    rejecting = {"commit": "chunk", "rejects": str(tmp_path / "bad.parquet")}
    for options, workers in (({"workers": 1}, 1), ({}, 2), ({"unlogged": True}, 2), (rejecting, 1)):
        report = bulkio.load(
            tmp_path / "o.parquet", "t", one_dsn, mode="create", **{"workers": 2, "chunk_bytes": 999, **options}
        )
        assert report.workers == workers
        described.append(fetch(one_dsn, DESCRIPTION))
        with connect(one_dsn) as conn:
            conn.execute("DROP TABLE t")
    assert described == [described[0]] * 4
    assert_nothing_is_left(one_dsn)


DESCRIPTION = """
    SELECT attname::text, format_type(atttypid, atttypmod), attnotnull::text || attidentity::text,
           coalesce(pg_get_expr(adbin, adrelid), '') || coalesce(pg_get_serial_sequence('t', attname), '')
      FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
     WHERE attrelid = 't'::regclass AND attnum > 0
    UNION ALL SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid), '', ''
      FROM pg_index WHERE indrelid = 't'::regclass
    UNION ALL SELECT conname, pg_get_constraintdef(oid), '', '' FROM pg_constraint WHERE conrelid = 't'::regclass
    UNION ALL SELECT relpersistence::text, (SELECT count(*)::text FROM t), '', ''
      FROM pg_class WHERE oid = 't'::regclass
    ORDER BY 1, 2"""


def test_progress_counts_all_workers(one_dsn: str, path: Path) -> None:
    """It rises, and ends at the source's rows, once with COMMIT ahead."""
    make_table(one_dsn, {})
    seen: list[bulkio.Progress] = []
    load(path, one_dsn, progress=seen.append)
    rows = [each.rows for each in seen]
    assert rows == sorted(rows)
    assert (rows[-1], seen[-1].total_rows, [each.committing for each in seen].count(True)) == (ROWS, ROWS, 1)


def test_a_plan_says_how_it_would_go(one_dsn: str, path: Path) -> None:
    """And changes nothing."""
    make_table(one_dsn, {})
    options = {"workers": 2, "chunk_bytes": 4000}
    plans = {
        "in two phases on 2 connections: all rows or none; between two COMMIT PREPARED": {},
        "chunk by chunk on 2 connections: readers see the rows of each chunk": {"commit": "chunk"},
        "chunk by chunk on 2 connections, where nobody looks; a transaction at the end shows all rows": {
            "mode": "upsert"
        },
        "in one transaction on one connection: all rows or none, and not on more: TRUNCATE and": {"mode": "truncate"},
    }
    for text, more in plans.items():
        assert text in str(bulkio.plan_load(path, "t", one_dsn, **options | more))
    assert stored(one_dsn) == {}
    assert fetch(one_dsn, "SELECT to_regnamespace('bulkio_ledger')") == [(None,)]


@pytest.mark.parametrize("workers", [0, 65, "many", 1.5, True])
def test_odd_numbers_of_workers(workers: object) -> None:
    """They are refused before anything is tried."""
    with pytest.raises(bulkio.ConfigError, match=r"workers is .*, and must be a number from 1 to 64, or 'auto'"):
        bulkio.load("a.parquet", "t", workers=workers)
