"""The mode replace: a new table, with all that the old one has, in the old one's place."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from psycopg.conninfo import make_conninfo
from replaced_tables import ALL, FEATURES, NEW_FEATURES, contents, drop_roles, dump, make, tablespace

import bulkio
from bulkio.transfer import replacing
from servers import column_types, connect, fetch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from bulkio.choices import Commit, DriverName, LoadMethod
    from servers import TestServer

DRIVERS = ["asyncpg", "psycopg"]


def replace_with_itself(dsn: str, tmp_path: Path, driver: DriverName = "psycopg") -> bulkio.LoadReport:
    """Export app.t and replace it by that."""
    path = tmp_path / "t.parquet"
    bulkio.export("app.t", path, dsn)
    return bulkio.load(path, "app.t", dsn, mode="replace", driver=driver)


@pytest.mark.parametrize("feature", [*FEATURES, *NEW_FEATURES])
def test_each_feature_is_carried_over(
    server: TestServer, dsn: str, roles: tuple[str, str], tmp_path: Path, feature: str
) -> None:
    """The server's own dump of the schema says the same before and after, and the rows are the same."""
    if feature in NEW_FEATURES and server.version < 18:
        return
    make(dsn, roles, {**FEATURES, **NEW_FEATURES}[feature])
    before, rows, [(oid,)] = dump(server, dsn), contents(dsn), fetch(dsn, "SELECT 'app.t'::regclass::oid::int8")
    replace_with_itself(dsn, tmp_path)
    assert dump(server, dsn) == before
    assert contents(dsn) == rows
    assert fetch(dsn, "SELECT 'app.t'::regclass::oid::int8") != [(oid,)]
    drop_roles(dsn, roles)


@pytest.mark.parametrize("driver", DRIVERS)
def test_all_features_together(
    server: TestServer, dsn: str, roles: tuple[str, str], tmp_path: Path, driver: DriverName
) -> None:
    """They do not get into each other's way; a second replace finds the same table again."""
    make(dsn, roles, *(FEATURES[feature] for feature in ALL))
    before, rows = dump(server, dsn), contents(dsn)
    for _ in range(2):
        replace_with_itself(dsn, tmp_path, driver)
        assert dump(server, dsn) == before
        assert contents(dsn) == rows
    drop_roles(dsn, roles)


@pytest.mark.parametrize("options", [{"commit": "chunk"}, {"workers": 2}])
def test_generated_columns_stay_where_it_is_planned_more_than_once(
    server: TestServer, dsn: str, roles: tuple[str, str], tmp_path: Path, options: dict[str, Any]
) -> None:
    """Their values are not loaded, and they are columns of the source all the same: an index of theirs stays, too."""
    make(dsn, roles, FEATURES["generated"])
    before, rows = dump(server, dsn), contents(dsn)
    path = tmp_path / "t.parquet"
    bulkio.export("app.t", path, dsn)
    bulkio.load(path, "app.t", dsn, mode="replace", **options)
    with connect(dsn) as conn:
        conn.execute("DROP SCHEMA IF EXISTS bulkio_ledger CASCADE")
    assert dump(server, dsn) == before
    assert contents(dsn) == rows
    drop_roles(dsn, roles)


# --- What is refused ----------------------------------------------------------------------------------------

PUBLISHED = "use mode='truncate', or mode='replace-where' with where='true', which blocks no reader"


@pytest.mark.parametrize(
    ("ddl", "messages"),
    [
        (
            "ALTER TABLE app.t ADD PRIMARY KEY (id);"
            " CREATE TABLE app.child (t int4 CONSTRAINT refers REFERENCES app.t)",
            ["foreign keys refer to it: constraint refers on table app.child", "use mode='upsert' with delete_missing"],
        ),
        ("CREATE VIEW app.v AS SELECT a FROM app.t", ["views read it: app.v", PUBLISHED]),
        ("CREATE MATERIALIZED VIEW app.m AS SELECT a FROM app.t", ["materialized views read it: app.m"]),
        (
            "ALTER TABLE app.t ADD PRIMARY KEY (id); CREATE VIEW app.g AS SELECT id, b FROM app.t GROUP BY id",
            ["views read it: app.g"],
        ),
        ("CREATE FUNCTION app.f() RETURNS SETOF app.t LANGUAGE sql AS 'TABLE app.t'", ["functions are made for it: f"]),
        ("CREATE FUNCTION app.f(app.t) RETURNS int4 LANGUAGE sql AS 'SELECT 1'", ["functions are made for it: f"]),
        (
            "CREATE FUNCTION app.f() RETURNS int8 LANGUAGE sql BEGIN ATOMIC SELECT count(*) FROM app.t; END",
            ["functions are made for it: f"],
        ),
        ("CREATE POLICY own ON app.t USING (a > 0)", ["policies guard its rows: policy own on table app.t"]),
        ("CREATE PUBLICATION mine FOR TABLE app.t", ["publication mine sends it", PUBLISHED]),
        ("CREATE PUBLICATION everything FOR ALL TABLES", ["publication everything sends it"]),
        ("CREATE PUBLICATION there FOR TABLES IN SCHEMA app", ["publication there sends it"]),
        ("CREATE TABLE app.kid () INHERITS (app.t)", ["tables inherit from it: table app.kid"]),
        (
            "DROP TABLE app.t; CREATE TABLE app.above (id int4); CREATE TABLE app.t (a int4, b text, d date,"
            " n numeric) INHERITS (app.above)",
            ["it inherits from another table"],
        ),
        (
            "DROP TABLE app.t; CREATE TYPE app.typed AS (id int4, a int4, b text, d date, n numeric);"
            " CREATE TABLE app.t OF app.typed",
            ["it is a table OF a type"],
        ),
        (
            "DROP TABLE app.t; CREATE TABLE app.whole (id int4, a int4, b text, d date, n numeric) PARTITION BY LIST"
            " (id); CREATE TABLE app.t PARTITION OF app.whole DEFAULT",
            ["it is a partition"],
        ),
        ("ALTER EXTENSION plpgsql ADD TABLE app.t", ["it, or a part of it, belongs to an extension"]),
        (
            "CREATE INDEX i ON app.t (a); ALTER INDEX app.i DEPENDS ON EXTENSION plpgsql",
            ["it, or a part of it, belongs to an extension"],
        ),
        ("CREATE TABLE app.other (ts app.t[])", ["others depend on it (pg_class): column ts of table app.other"]),
        (
            "ALTER TABLE app.t ADD s serial; CREATE TABLE app.other (s int8 DEFAULT nextval('app.t_s_seq'))",
            ["others depend on it (pg_attrdef): default value for column s of table app.other"],
        ),
        ("CREATE DOMAIN app.dom AS app.t", ["others depend on it (pg_type): type app.dom"]),
        (
            "ALTER TABLE app.t ADD CONSTRAINT whole CHECK (t IS DISTINCT FROM NULL)",
            ['constraint "whole" reads whole rows by the table\'s name'],
        ),
        (
            "GRANT USAGE ON SCHEMA app TO {r1}; GRANT SELECT ON app.t TO {r1} WITH GRANT OPTION;"
            " SET ROLE {r1}; GRANT SELECT ON app.t TO {r2}; RESET ROLE",
            ["which is not the owner, has granted privileges on it"],
        ),
        (
            "ALTER TABLE app.t ADD CONSTRAINT fk FOREIGN KEY (a) REFERENCES app.parent;"
            " ALTER TABLE app.t DISABLE TRIGGER ALL",
            ['triggers of constraint "fk" are not enabled in the usual way'],
        ),
        (
            "ALTER TABLE app.t ADD CONSTRAINT later UNIQUE (a) DEFERRABLE; ALTER TABLE app.t DISABLE TRIGGER ALL",
            ['triggers of constraint "later" are not enabled in the usual way'],
        ),
    ],
)
def test_what_cannot_be_carried_over_is_refused(
    dsn: str, roles: tuple[str, str], ddl: str, messages: list[str]
) -> None:
    """The error names it and says what to do instead, nothing is changed, and the plan says the same."""
    make(dsn, roles, ddl)
    oid = fetch(dsn, "SELECT 'app.t'::regclass::oid::int8")
    source = pa.table({"id": [1], "a": [1], "b": ["x"], "d": [date(2026, 1, 1)], "n": [Decimal("1.25")], "s": [1]})
    with pytest.raises(bulkio.SchemaError) as caught:
        bulkio.load(source, "app.t", dsn, mode="replace")
    assert str(caught.value).startswith('table "app"."t" cannot be replaced:\n  ')
    for message in messages:
        assert message in str(caught.value)
    with pytest.raises(bulkio.SchemaError, match="cannot be replaced"):
        bulkio.plan_load(source, "app.t", dsn, mode="replace")
    assert fetch(dsn, "SELECT 'app.t'::regclass::oid::int8") == oid
    drop_roles(dsn, roles)


def test_all_is_refused_at_once(dsn: str, roles: tuple[str, str]) -> None:
    """One error lists everything."""
    make(dsn, roles, "CREATE VIEW app.v AS TABLE app.t; CREATE VIEW app.w AS TABLE app.t; CREATE POLICY p ON app.t")
    with pytest.raises(bulkio.SchemaError) as caught:
        bulkio.load(pa.table({"id": [1]}), "app.t", dsn, mode="replace")
    assert str(caught.value) == (
        'table "app"."t" cannot be replaced:\n  policies guard its rows: policy p on table app.t\n  views read it:'
        f" app.v, app.w\nto replace its rows and keep the table, {PUBLISHED}"
    )
    drop_roles(dsn, roles)


def test_what_needs_a_missing_column_is_refused(dsn: str, roles: tuple[str, str]) -> None:
    """Keys, indexes, checks, triggers, statistics and generated columns name the column that the source lacks."""
    parts = ("keys", "checks", "indexes", "triggers", "statistics", "generated", "rules")
    make(dsn, roles, *(FEATURES[part] for part in parts))
    source = pa.table({"id": pa.array([1], pa.int32()), "g": pa.array([1], pa.int32())})
    with pytest.raises(bulkio.SchemaError) as caught:
        bulkio.load(source, "app.t", dsn, mode="replace")
    for what, column in [
        ('constraint "The Key"', '"a", "b"'),
        ('constraint "later"', '"n"'),
        ('constraint "not yet"', '"n"'),
        ('index "e"', '"a", "b"'),
        ('index "h"', '"b"'),
        ('trigger "one"', '"a", "b"'),
        ('rule "quiet"', '"a"'),
        ('statistics "st"', '"a", "b"'),
        ('generated column "g"', '"a"'),
    ]:
        assert f"\n  {what} needs {column}, which the source does not have" in str(caught.value)
    drop_roles(dsn, roles)


def test_a_default_that_does_not_fit_the_new_type_is_refused(dsn: str, roles: tuple[str, str]) -> None:
    """It would be lost, or mean something else; so would an identity, and a sequence of a column that goes."""
    make(dsn, roles, FEATURES["serial"], "ALTER TABLE app.t ADD z int4 DEFAULT nextval('app.t_s_seq')")
    with pytest.raises(bulkio.SchemaError) as caught:
        bulkio.load(pa.table({"a": ["x"], "z": [1]}), "app.t", dsn, mode="replace", types={"a": "uuid"})
    assert 'column "a" would become pg_catalog.uuid, and its default is made for integer' in str(caught.value)
    assert (
        'default of column "z" draws on sequence "t_s_seq", which belongs to "s", which the source does not have'
        in str(caught.value)
    )
    drop_roles(dsn, roles)


def test_who_is_not_the_owner_is_told_so(dsn: str, roles: tuple[str, str]) -> None:
    """Privileges alone do not suffice: the table is dropped."""
    make(dsn, roles, "GRANT USAGE, CREATE ON SCHEMA app TO {r1}; ALTER ROLE {r1} LOGIN PASSWORD 'x'")
    other = make_conninfo(dsn, user=roles[0], password="x")
    with pytest.raises(
        bulkio.DriverError, match=r"permission denied for table t: role .* replacing a table needs the rights of the"
    ):
        bulkio.load(pa.table({"id": [1]}), "app.t", other, mode="replace")
    with connect(dsn) as conn:
        conn.execute(f'GRANT ALL ON app.t TO "{roles[0]}"')
    with pytest.raises(bulkio.SchemaError, match="may not act as its owner"):
        bulkio.load(pa.table({"id": [1]}), "app.t", other, mode="replace")
    drop_roles(dsn, roles)


# --- The new table ------------------------------------------------------------------------------------------


def test_the_columns_are_the_sources(dsn: str, roles: tuple[str, str]) -> None:
    """In its order: old ones keep their type where the values fit, others get a new one, those it lacks go."""
    make(
        dsn, roles, "ALTER TABLE app.t ALTER b SET NOT NULL, ALTER a SET NOT NULL; COMMENT ON COLUMN app.t.b IS 'kept'"
    )
    source = pa.table({"new": [1.5], "n": [Decimal("1.25")], "b": ["x"], "a": ["not a number"]})
    report = bulkio.load(source, "app.t", dsn, mode="replace", types={"a": "text"})
    assert column_types(dsn, "app.t") == {"new": "double precision", "n": "numeric(8,2)", "b": "text", "a": "text"}
    columns = "SELECT attname, attnotnull FROM pg_attribute WHERE attrelid = 'app.t'::regclass AND attnum > 0"
    assert fetch(dsn, columns) == [
        ("new", False), ("n", False), ("b", True), ("a", True)
    ]  # fmt: skip
    assert fetch(dsn, "SELECT col_description('app.t'::regclass, 3), n FROM app.t") == [("kept", Decimal("1.25"))]
    assert report.notes == (
        '"a" was integer, it becomes text',
        'the source does not have these columns of the table, which are dropped: "id", "d"',
    )
    names = "SELECT conname FROM pg_constraint WHERE conrelid = 'app.t'::regclass ORDER BY 1"
    assert fetch(dsn, names) in ([], [("t_a_not_null",), ("t_b_not_null",)])
    drop_roles(dsn, roles)


def test_a_csv_keeps_old_types_and_infers_new_ones(dsn: str, tmp_path: Path) -> None:
    """What looks like a number stays the text that it was."""
    path = tmp_path / "t.csv"
    path.write_text("v,w,id\n007,1.50,1\n,2,2\n")
    with connect(dsn) as conn:
        conn.execute("CREATE TABLE t (id int2, v text)")
    bulkio.load(bulkio.csv(path, infer=True), "t", dsn, mode="replace")
    assert column_types(dsn, "t") == {"v": "text", "w": "numeric", "id": "smallint"}
    assert fetch(dsn, "SELECT * FROM t") == [("007", Decimal("1.50"), 1), (None, Decimal(2), 2)]


@pytest.mark.parametrize(
    ("ddl", "message"),
    [
        (
            "CREATE TABLE t (id int4) PARTITION BY LIST (id)",
            "t is a partitioned table, which mode='replace' cannot load",
        ),
        ("CREATE VIEW t AS SELECT 1 AS id", "t is a view: COPY can only load into tables"),
    ],
)
def test_what_is_no_plain_table_is_refused(dsn: str, ddl: str, message: str) -> None:
    """And called what it is."""
    with connect(dsn) as conn:
        conn.execute(ddl)
    with pytest.raises(bulkio.SchemaError, match=message):
        bulkio.load(pa.table({"id": [1]}), "t", dsn, mode="replace")


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_missing_table_is_created(dsn: str, driver: DriverName) -> None:
    """The first night's load makes it, the second one replaces it; an empty source has to be allowed to."""
    source = pa.table({"id": [1, 2]})
    assert bulkio.load(source, "t", dsn, mode="replace", driver=driver).created
    assert not bulkio.load(source, "t", dsn, mode="replace", driver=driver).created
    assert fetch(dsn, "SELECT * FROM t") == [(1,), (2,)]
    with pytest.raises(bulkio.SchemaError, match="has no rows, and mode='replace' would delete the table's"):
        bulkio.load(source.slice(0, 0), "t", dsn, mode="replace", driver=driver)
    bulkio.load(source.slice(0, 0), "t", dsn, mode="replace", driver=driver, if_empty="ok")
    assert fetch(dsn, "SELECT * FROM t") == []


@pytest.mark.parametrize("driver", DRIVERS)
def test_sequences_go_on(dsn: str, roles: tuple[str, str], tmp_path: Path, driver: DriverName) -> None:
    """Past the loaded values, and past those that the old table has given."""
    make(
        dsn,
        roles,
        "ALTER TABLE app.t ALTER id SET NOT NULL, ALTER id ADD GENERATED ALWAYS AS IDENTITY, ADD s serial;"
        " SELECT setval('app.t_id_seq', 40); SELECT setval('app.t_s_seq', 50)",
    )
    replace_with_itself(dsn, tmp_path, driver)
    with connect(dsn) as conn:
        assert conn.execute("INSERT INTO app.t (b) VALUES ('q') RETURNING id, s").fetchone() == (41, 51)
    source = pa.table({"id": pa.array([70], pa.int32()), "s": pa.array([90], pa.int32())})
    bulkio.load(source, "app.t", dsn, mode="replace", driver=driver)
    with connect(dsn) as conn:
        assert conn.execute("INSERT INTO app.t DEFAULT VALUES RETURNING id, s").fetchone() == (71, 91)
    drop_roles(dsn, roles)


def test_default_privileges_are_undone(server: TestServer, dsn: str, roles: tuple[str, str], tmp_path: Path) -> None:
    """The new table has the privileges of the old one, not those that new tables get by now."""
    make(
        dsn,
        roles,
        FEATURES["identity"],
        "ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC; ALTER DEFAULT PRIVILEGES IN SCHEMA app GRANT SELECT ON"
        " TABLES TO {r2}; ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO {r1}, PUBLIC; ALTER DEFAULT PRIVILEGES"
        " REVOKE INSERT, UPDATE ON TABLES FROM CURRENT_USER",
    )
    before = dump(server, dsn)
    replace_with_itself(dsn, tmp_path)
    assert dump(server, dsn) == before
    drop_roles(dsn, roles)


def test_an_owner_without_other_rights_can_replace(
    server: TestServer, dsn: str, roles: tuple[str, str], tmp_path: Path
) -> None:
    """No superuser is needed."""
    parts = ("keys", "identity", "triggers", "comments", "generated")
    make(
        dsn,
        roles,
        *(FEATURES[part] for part in parts),
        "GRANT USAGE, CREATE ON SCHEMA app TO {r1}; ALTER TABLE app.t OWNER TO {r1};"
        " ALTER ROLE {r1} LOGIN PASSWORD 'x'",
    )
    before = dump(server, dsn)
    replace_with_itself(make_conninfo(dsn, user=roles[0], password="x"), tmp_path)
    assert dump(server, dsn) == before
    drop_roles(dsn, roles)


def test_hostile_names(server: TestServer, dsn: str, tmp_path: Path) -> None:
    """Quotes, blanks, keywords, what looks like SQL, and names as long as they can be."""
    table, long = """ "My ""Schema"."select ' REFERENCES x(" """, "ä" * 31
    with connect(dsn) as conn:
        conn.execute('CREATE SCHEMA "My ""Schema"; CREATE TABLE public.pg_class (id int4 PRIMARY KEY)')
        conn.execute(
            f"""CREATE TABLE {table} ("a ""b" serial PRIMARY KEY, "user" int4 GENERATED ALWAYS AS IDENTITY,
                "{long}" text
                DEFAULT $$); DROP TABLE x; --$$ NOT NULL, "c) REFERENCES y(" int4,
                UNIQUE ("c) REFERENCES y(", "user"));
            ALTER TABLE {table} ADD CONSTRAINT "{long}" FOREIGN KEY ("c) REFERENCES y(", "user")
                REFERENCES {table} ("c) REFERENCES y(", "user"), ADD FOREIGN KEY ("c) REFERENCES y(")
                REFERENCES public.pg_class;
            CREATE INDEX "{long}" ON {table} (lower("{long}"), "c) REFERENCES y(") WHERE "{long}" <> ' FROM x';
            CREATE STATISTICS "My ""Schema"." FROM z" ON "{long}", "user" FROM {table};
            CREATE FUNCTION public.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
            CREATE TRIGGER "; x" AFTER UPDATE OF "{long}" ON {table} FOR EACH ROW
                EXECUTE FUNCTION public.f('; DROP TABLE x; --');
            COMMENT ON COLUMN {table}."{long}" IS '; DROP TABLE x; --'; INSERT INTO {table} DEFAULT VALUES"""
        )
    before = dump(server, dsn)
    for driver in DRIVERS:
        path = tmp_path / f"{driver}.parquet"
        bulkio.export(table.strip(), path, dsn)
        bulkio.load(path, table.strip(), dsn, mode="replace", driver=driver)
        assert dump(server, dsn) == before


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("method", ["binary", "csv", "records"])
def test_every_method_fills_the_new_table(dsn: str, driver: DriverName, method: LoadMethod) -> None:
    """And its triggers do not run for the rows that are loaded: they are made behind them."""
    with connect(dsn) as conn:
        conn.execute("CREATE TABLE t (id int4 PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'old')")
        conn.execute("CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.v = ''f''; RETURN NEW; END'")
        conn.execute("CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()")
    source = pa.table({"id": [1, 2], "v": ["new", None]})
    report = bulkio.load(source, "t", dsn, mode="replace", driver=driver, method=method)
    assert (report.rows, report.inserted, report.deleted, report.created) == (2, 2, None, False)
    with connect(dsn) as conn:
        conn.execute("INSERT INTO t VALUES (3, 'x')")
    assert fetch(dsn, "SELECT id, v FROM t ORDER BY 1") == [(1, "new"), (2, None), (3, "f")]


def test_tablespaces_are_kept(server: TestServer, dsn: str, roles: tuple[str, str], tmp_path: Path) -> None:
    """The table's and an index's, whatever the session's default is."""
    with tablespace(dsn) as space:
        make(
            dsn,
            roles,
            f"ALTER TABLE app.t SET TABLESPACE {space}; CREATE INDEX one ON app.t (a);"
            f"CREATE INDEX two ON app.t (b) TABLESPACE {space}",
        )
        before = dump(server, dsn)
        with_default = make_conninfo(dsn, options=f"-c default_tablespace={space}")
        replace_with_itself(with_default, tmp_path)
        assert dump(server, dsn) == before
    drop_roles(dsn, roles)


# --- Beside others ------------------------------------------------------------------------------------------


def during(action: Callable[[], object], rows: int = 2) -> pa.RecordBatchReader:
    """Return a source of the column id that calls `action` when the last of its two batches is asked for."""
    schema = pa.schema([("id", pa.int32())])

    def batches() -> Iterator[pa.RecordBatch]:
        yield pa.record_batch({"id": pa.array(range(10, 10 + rows - 1), pa.int32())}, schema)
        action()
        yield pa.record_batch({"id": pa.array([99], pa.int32())}, schema)

    return pa.RecordBatchReader.from_batches(schema, batches())


@pytest.mark.parametrize("driver", DRIVERS)
def test_the_old_table_is_read_and_written_until_the_swap(dsn: str, driver: DriverName) -> None:
    """Rows that are written to it meanwhile are lost with it."""
    seen = []
    with connect(dsn) as conn, connect(dsn) as other:
        conn.execute("CREATE TABLE t AS SELECT 1 AS id")

        def write() -> None:
            other.execute("INSERT INTO t VALUES (2)")
            seen.extend(other.execute("SELECT count(*) FROM t").fetchall())

        bulkio.load(during(write), "t", dsn, mode="replace", driver=driver)
    assert seen == [(2,)]
    assert fetch(dsn, "SELECT id FROM t ORDER BY 1") == [(10,), (99,)]


def test_a_reader_sees_the_old_or_the_new_rows(dsn: str) -> None:
    """All of one or all of the other, whenever it looks."""
    with connect(dsn) as conn:
        conn.execute("CREATE TABLE t AS SELECT g AS id FROM generate_series(1, 1000) AS g")
    done, seen = threading.Event(), set()

    def read() -> None:
        with connect(dsn) as conn:
            while not done.is_set():
                seen.add(conn.execute("SELECT count(*), min(id) FROM t").fetchone())

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for start in (2000, 3000, 4000):
            bulkio.load(pa.table({"id": range(start, start + 500)}), "t", dsn, mode="replace")
    finally:
        done.set()
        reader.join()
    assert seen <= {(1000, 1), (500, 2000), (500, 3000), (500, 4000)}
    assert fetch(dsn, "SELECT min(id) FROM t") == [(4000,)]


def test_an_older_snapshot_sees_the_new_rows(dsn: str) -> None:
    """They are stored as frozen: a REPEATABLE READ transaction that is older, and has not read the table, has them."""
    with connect(dsn) as conn, connect(dsn) as old:
        conn.execute("CREATE TABLE t AS SELECT 1 AS id; CREATE TABLE u AS SELECT 1 AS id")
        old.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        old.execute("SELECT * FROM u")
        bulkio.load(pa.table({"id": [7]}), "t", dsn, mode="replace")
        assert old.execute("SELECT * FROM t").fetchall() == [(7,)]
        old.execute("COMMIT")


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_table_in_use_is_left_alone(dsn: str, driver: DriverName) -> None:
    """The error can be retried; those who come meanwhile are let through; nothing is changed."""
    with connect(dsn) as conn, connect(dsn) as reader:
        conn.execute("CREATE TABLE t AS SELECT 1 AS id")
        oid = fetch(dsn, "SELECT 't'::regclass::oid::int8")
        reader.execute("BEGIN; SELECT * FROM t")
        with pytest.raises(bulkio.DriverError) as caught:
            bulkio.load(pa.table({"id": [7]}), "t", dsn, mode="replace", driver=driver, lock_timeout="300ms")
        assert str(caught.value) == (
            'table "public"."t" was in use by others for 0.3 s, so the new one could not take its place, and nothing'
            " was changed: load again, or wait longer with lock_timeout"
        )
        assert (caught.value.retryable, caught.value.sqlstate) == (True, "55P03")
        reader.execute("COMMIT")
    assert fetch(dsn, "SELECT 't'::regclass::oid::int8") == oid
    assert fetch(dsn, "SELECT * FROM t") == [(1,)]


@pytest.mark.parametrize("driver", DRIVERS)
def test_the_swap_tries_again(dsn: str, driver: DriverName, monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits a moment, lets others go, and comes back until the table is free."""
    monkeypatch.setattr(replacing, "TRY_S", 0.05)
    with connect(dsn) as conn, connect(dsn) as reader, ThreadPoolExecutor() as pool:
        conn.execute("CREATE TABLE t AS SELECT 1 AS id")
        reader.execute("BEGIN; SELECT * FROM t")
        load = pool.submit(bulkio.load, pa.table({"id": [7]}), "t", dsn, mode="replace", driver=driver)
        for granted in (False, True, False):  # it waits, lets others go, waits again
            _await_lock(conn, granted)
        assert conn.execute("SELECT * FROM t").fetchall() == [(1,)]
        reader.execute("COMMIT")
        load.result()
    assert fetch(dsn, "SELECT * FROM t") == [(7,)]


def _await_lock(conn: psycopg.Connection, granted: bool) -> None:
    """Wait until somebody waits for ACCESS EXCLUSIVE on t, or nobody does."""
    deadline = time.monotonic() + 30
    query = "SELECT count(*) FROM pg_locks WHERE relation = 't'::regclass AND mode = 'AccessExclusiveLock'"
    while (conn.execute(query).fetchone() == (0,)) != granted:
        assert time.monotonic() < deadline


def test_who_waits_for_the_swap_meets_the_new_table(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An INSERT that comes during the swap is stored in the new table, and not lost."""
    monkeypatch.setattr(replacing, "TRY_S", 60)
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 't'::regclass"
    with connect(dsn) as conn, connect(dsn) as reader, connect(dsn) as writer, ThreadPoolExecutor() as pool:
        conn.execute("CREATE TABLE t AS SELECT 1 AS id")
        writer.execute("PREPARE put AS INSERT INTO t VALUES (8)")
        reader.execute("BEGIN; SELECT * FROM t")
        load = pool.submit(bulkio.load, pa.table({"id": [7]}), "t", dsn, mode="replace", lock_timeout="0")
        _await_lock(conn, granted=False)
        insert = pool.submit(writer.execute, "EXECUTE put")
        deadline = time.monotonic() + 30
        while conn.execute(waiting).fetchone() != (2,):
            assert time.monotonic() < deadline
        reader.execute("COMMIT")
        insert.result()
        load.result()
    assert fetch(dsn, "SELECT id FROM t ORDER BY 1") == [(7,), (8,)]


def test_foreign_keys_lock_what_they_refer_to(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the swap waits for a reader of the table, the other one is read, and not written."""
    monkeypatch.setattr(replacing, "TRY_S", 60)
    with connect(dsn) as conn, connect(dsn) as reader, ThreadPoolExecutor() as pool:
        conn.execute("CREATE TABLE u (id int4 PRIMARY KEY); INSERT INTO u VALUES (7)")
        conn.execute("CREATE TABLE t (id int4 REFERENCES u)")
        reader.execute("BEGIN; SELECT * FROM t")
        load = pool.submit(bulkio.load, pa.table({"id": [7]}), "t", dsn, mode="replace")
        _await_lock(conn, granted=False)
        assert conn.execute("SELECT * FROM u").fetchall() == [(7,)]
        conn.execute("SET lock_timeout = '50ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            conn.execute("INSERT INTO u VALUES (8)")
        reader.execute("COMMIT")
        load.result()
    assert fetch(dsn, "SELECT * FROM t") == [(7,)]


def test_two_replaces_of_one_table_go_one_after_the_other(dsn: str) -> None:
    """The second waits for the first, and then replaces what that has made."""
    with connect(dsn) as conn:
        conn.execute("CREATE TABLE t AS SELECT 1 AS id")
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND mode = 'ShareUpdateExclusiveLock'"
    with ThreadPoolExecutor() as pool:
        second = []

        def begin() -> None:
            second.append(pool.submit(bulkio.load, pa.table({"id": [5]}), "t", dsn, mode="replace"))
            deadline = time.monotonic() + 30
            while fetch(dsn, waiting) == [(0,)]:
                assert time.monotonic() < deadline

        bulkio.load(during(begin), "t", dsn, mode="replace")
        assert second[0].result().rows == 1
    assert fetch(dsn, "SELECT * FROM t") == [(5,)]


@pytest.mark.parametrize(
    ("change", "part"),
    [("GRANT SELECT ON t TO PUBLIC", "grants"), ("CREATE VIEW v AS SELECT 1 FROM t", "dependents")],
)
def test_a_change_of_the_old_table_is_not_lost(dsn: str, change: str, part: str) -> None:
    """What nobody could hold off makes the load fail; it can be retried."""
    with connect(dsn) as conn, connect(dsn) as other:
        conn.execute("CREATE TABLE t AS SELECT 1 AS id")
        with pytest.raises(bulkio.DriverError, match=rf"was changed during the load \(.*{part}.*\)") as caught:
            bulkio.load(during(lambda: other.execute(change)), "t", dsn, mode="replace")
    assert caught.value.retryable
    assert fetch(dsn, "SELECT * FROM t") == [(1,)]


@pytest.mark.parametrize("driver", DRIVERS)
def test_with_a_load_id(dsn: str, tmp_path: Path, driver: DriverName) -> None:
    """The second run of one id replaces nothing, and a table in use is tried again where retries are allowed."""
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"id": [1, 2]}), path)
    with connect(dsn) as conn:
        conn.execute("CREATE TABLE t AS SELECT 0 AS id")
        oid = "SELECT 't'::regclass::oid::int8"
        assert not bulkio.load(path, "t", dsn, mode="replace", driver=driver, load_id="one").already
        first = conn.execute(oid).fetchone()
        assert bulkio.load(path, "t", dsn, mode="replace", driver=driver, load_id="one").already
        assert conn.execute(oid).fetchone() == first
        with connect(dsn) as reader, ThreadPoolExecutor() as pool:
            reader.execute("BEGIN; SELECT * FROM t")
            options = {"load_id": "two", "lock_timeout": "50ms", "retries": 1000}
            load = pool.submit(bulkio.load, path, "t", dsn, mode="replace", driver=driver, **options)
            for granted in (False, True):
                _await_lock(conn, granted)
            reader.execute("COMMIT")
            assert load.result().rows == 2
    assert fetch(dsn, "SELECT id FROM t") == [(1,), (2,)]


def test_statements_around_the_rows(dsn: str) -> None:
    """A check sees the new table under its name, and what fails it brings the old one back; so does a change before."""
    with connect(dsn) as conn:
        conn.execute("CREATE TABLE t AS SELECT 1 AS id")
    source, checks = pa.table({"id": [5, 6]}), ["SELECT count(*) = 2, min(id) FROM t"]
    bulkio.load(source, "t", dsn, mode="replace", check=checks)
    with pytest.raises(bulkio.CheckError):
        bulkio.load(source.slice(0, 1), "t", dsn, mode="replace", check=checks)
    with pytest.raises(bulkio.SchemaError, match=r"changed table \"public\".\"t\" \(indexes\), for which"):
        bulkio.load(source, "t", dsn, mode="replace", before=["CREATE INDEX ON t (id)"])
    assert fetch(dsn, "SELECT id FROM t") == [(5,), (6,)]


@pytest.mark.parametrize(
    ("ddl", "message"),
    [
        ("ALTER TABLE t ADD PRIMARY KEY (id)", 'could not create unique index "t_pkey"'),
        ("ALTER TABLE t ADD CHECK (id < 50)", 'row 3: new row for relation "t" violates check constraint "t_id_check"'),
        ("ALTER TABLE t ADD FOREIGN KEY (id) REFERENCES u", 'on table "t" violates foreign key constraint "t_id_fkey"'),
        ("ALTER TABLE t ADD EXCLUDE (id WITH =)", 'could not create exclusion constraint "t_id_excl"'),
    ],
)
def test_rows_that_break_a_rule_leave_the_old_table(dsn: str, ddl: str, message: str) -> None:
    """Nothing of the new table is left, and the message calls all by the names that it would have had."""
    with connect(dsn) as conn:
        conn.execute("CREATE TABLE u (id int4 PRIMARY KEY); INSERT INTO u VALUES (1); CREATE TABLE t AS TABLE u")
        conn.execute(ddl)
    source = pa.table({"id": pa.array([1, 1, 99], pa.int32())})
    with pytest.raises(bulkio.DriverError, match=message) as caught:
        bulkio.load(source, "t", dsn, mode="replace")
    assert "bulkio" not in str(caught.value)
    assert caught.value.sqlstate is not None
    assert fetch(dsn, "SELECT * FROM t") == [(1,)]
    assert fetch(dsn, "SELECT relname FROM pg_class WHERE relname LIKE 'bulkio%'") == []


def test_a_constraint_that_is_not_valid_holds_for_new_rows(dsn: str) -> None:
    """As for those of an INSERT; of a foreign key the plan says that nobody looks."""
    with connect(dsn) as conn:
        conn.execute("CREATE TABLE u (id int4 PRIMARY KEY); CREATE TABLE t AS SELECT 1 AS id")
        conn.execute("ALTER TABLE t ADD CONSTRAINT c CHECK (id < 50) NO INHERIT NOT VALID")
        conn.execute("ALTER TABLE t ADD CONSTRAINT fk FOREIGN KEY (id) REFERENCES u NOT VALID")
    with pytest.raises(bulkio.DriverError, match='row 2: new row for relation "t" violates check constraint "c"'):
        bulkio.load(pa.table({"id": [1, 99]}), "t", dsn, mode="replace")
    report = bulkio.load(pa.table({"id": [1, 2]}), "t", dsn, mode="replace")
    assert report.notes == ('foreign key "fk" is NOT VALID: the rows are not looked up in the table that it refers to',)
    valid = "SELECT conname, convalidated FROM pg_constraint WHERE conrelid = 't'::regclass ORDER BY 1"
    assert fetch(dsn, valid) == [("c", False), ("fk", False)]


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_table_is_replaced_from_a_read_of_itself(dsn: str, driver: DriverName) -> None:
    """Its rows have all been read when the swap locks it."""
    with connect(dsn) as conn:
        conn.execute("CREATE TABLE t AS SELECT g AS id FROM generate_series(1, 10) AS g")
    source = bulkio.read("SELECT id FROM t WHERE id > 3", dsn, driver=driver)
    bulkio.load(source, "t", dsn, mode="replace", driver=driver, lock_timeout="5s")
    assert fetch(dsn, "SELECT count(*) FROM t") == [(7,)]


def test_the_plan_shows_every_statement(dsn: str, roles: tuple[str, str]) -> None:
    """What runs before the rows, behind them, and in the swap."""
    make(dsn, roles, FEATURES["primary key"], FEATURES["triggers"])
    source = bulkio.read("SELECT * FROM app.t", dsn).read_all()
    shown = bulkio.plan_load(source, "app.t", dsn, mode="replace").describe()
    order = ["CREATE TABLE", "COPY into the new table, then", "CREATE UNIQUE INDEX", "ANALYZE", "nobody uses the old",
             "LOCK TABLE", "DROP TABLE", "RENAME TO \"t\"", "CREATE TRIGGER"]  # fmt: skip
    places = [shown.index(words) for words in order]
    assert places == sorted(places)
    assert contents(dsn) != []
    drop_roles(dsn, roles)


# --- With rejects: what may refuse a row is there before the rows -------------------------------------------

#: features that go together, and those of PostgreSQL 18
_REFUSING = (
    ALL,
    (
        "exclusion",
        "self reference",
        "nulls not distinct",
        "replica identity index",
        "generated",
        "not null",
        "identity",
    ),
    ("named not null", "without overlaps", "not enforced", "virtual"),
)


@pytest.mark.parametrize("commit", ["all", "chunk"])
@pytest.mark.parametrize("features", _REFUSING, ids=["all", "others", "new"])
def test_with_rejects_the_table_ends_the_same(
    server: TestServer, dsn: str, roles: tuple[str, str], tmp_path: Path, features: tuple[str, ...], commit: Commit
) -> None:
    """Keys, exclusion constraints and foreign keys are made before the rows, and to pg_dump nothing has changed."""
    if server.version < 18 and not FEATURES.keys() >= set(features):
        return
    make(dsn, roles, *({**FEATURES, **NEW_FEATURES}[feature] for feature in features))
    before, rows, [(oid,)] = dump(server, dsn), contents(dsn), fetch(dsn, "SELECT 'app.t'::regclass::oid::int8")
    path = tmp_path / "t.parquet"
    bulkio.export("app.t", path, dsn)
    bulkio.load(path, "app.t", dsn, mode="replace", rejects=str(tmp_path / "bad.parquet"), commit=commit)
    assert dump_without_ledger(server, dsn) == before
    assert contents(dsn) == rows
    assert fetch(dsn, "SELECT 'app.t'::regclass::oid::int8") != [(oid,)]
    drop_roles(dsn, roles)


def dump_without_ledger(server: TestServer, dsn: str) -> str:
    with connect(dsn) as conn:
        conn.execute("DROP SCHEMA IF EXISTS bulkio_ledger CASCADE")
    return dump(server, dsn)


def test_with_rejects_what_refuses_rows_comes_before_them(dsn: str, roles: tuple[str, str]) -> None:
    """The rest comes after them, as without rejects: plain indexes, foreign keys that are NOT VALID, grants."""
    make(dsn, roles, *(FEATURES[feature] for feature in ("keys", "indexes", "foreign keys", "exclusion", "grants")))
    source = pa.table({"id": [1], "a": [1], "b": ["x"], "d": [date(2026, 1, 1)], "n": [Decimal("1.25")]})
    plans = [
        bulkio.plan_load(source, "app.t", dsn, mode="replace", rejects=rejects).work.replacement
        for rejects in (None, "bad.parquet")
    ]
    assert all(plans)
    plain, strict = plans
    moved = [statement for statement in plain.after if statement not in strict.after]
    assert list(strict.before) == [*plain.before, *moved]
    assert sorted(plain.after) == sorted([*strict.after, *moved])
    kinds = [
        word
        for statement in moved
        for word in ("UNIQUE INDEX", "PRIMARY KEY", "EXCLUDE", "FOREIGN KEY")
        if word in statement
    ]
    assert kinds == [
        "UNIQUE INDEX",
        "UNIQUE INDEX",
        "PRIMARY KEY",
        "EXCLUDE",
        "UNIQUE INDEX",
        "UNIQUE INDEX",
        "FOREIGN KEY",
    ]
    assert not any("NOT VALID" in statement for statement in moved)
    drop_roles(dsn, roles)
