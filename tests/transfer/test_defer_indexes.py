"""The option defer_indexes: indexes and keys come after the rows, and a table is never left without them."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
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
from servers import connect, fetch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from bulkio.choices import DriverName, Mode
    from servers import TestServer

DRIVERS = ["asyncpg", "psycopg"]
TABLE = pa.table(
    {
        "id": pa.array([1, 2], pa.int32()),
        "a": pa.array([1, 2], pa.int32()),
        "b": ["x", "y"],
        "d": [date(2026, 1, 1), date(2026, 1, 2)],
        "n": pa.array([Decimal("1.50"), None], pa.decimal128(8, 2)),
    }
)
#: features of which something waits for COMMIT, or needs a key: those are refused
REFUSED = {"foreign keys", "self reference", "triggers"}
KEPT = {**{name: text for name, text in FEATURES.items() if name not in REFUSED}, **NEW_FEATURES}


def load(source: object, table: str, dsn: str, **options: Any) -> bulkio.LoadReport:
    return bulkio.load(source, table, dsn, **{"defer_indexes": True, **options})


def oids(dsn: str) -> list[tuple[object, ...]]:
    """Return the oids of app.t's indexes: those that were built again have others."""
    return fetch(dsn, "SELECT indexrelid::int8 FROM pg_index WHERE indrelid = 'app.t'::regclass")


# --- The table is what it was -------------------------------------------------------------------------------


@pytest.mark.parametrize("feature", KEPT)
def test_each_feature_is_kept(server: TestServer, dsn: str, roles: tuple[str, str], feature: str) -> None:
    """The server's own dump of the schema says the same before and after."""
    if feature in NEW_FEATURES and server.version < 18:
        return
    make(dsn, roles, KEPT[feature], rows="")
    before, old = dump(server, dsn), oids(dsn)
    assert load(TABLE, "app.t", dsn).inserted == 2
    assert dump(server, dsn) == before
    assert fetch(dsn, "SELECT id, a, b, d::text, n::text FROM app.t ORDER BY 1") == [
        (1, 1, "x", "2026-01-01", "1.50"),
        (2, 2, "y", "2026-01-02", None),
    ]
    assert not set(old) & set(oids(dsn))
    drop_roles(dsn, roles)


@pytest.mark.parametrize(
    "ddl",
    [
        "CREATE VIEW app.v AS SELECT a FROM app.t",
        "CREATE PUBLICATION mine FOR TABLE app.t",
        "CREATE POLICY own ON app.t USING (a > 0)",
        "ALTER TABLE app.t ADD FOREIGN KEY (a) REFERENCES app.parent DEFERRABLE",
        "CREATE FUNCTION app.f() RETURNS SETOF app.t LANGUAGE sql AS 'TABLE app.t'",
        "CREATE TABLE app.above (id int4); ALTER TABLE app.t INHERIT app.above",
        "CREATE CONSTRAINT TRIGGER watch AFTER UPDATE ON app.t DEFERRABLE INITIALLY DEFERRED FOR EACH ROW"
        " EXECUTE FUNCTION app.touch()",
    ],
)
def test_what_needs_no_index_stays(server: TestServer, dsn: str, roles: tuple[str, str], ddl: str) -> None:
    """Others may depend on the table itself, which stays the same one."""
    make(dsn, roles, FEATURES["keys"], ddl, rows="")
    before, old = dump(server, dsn), oids(dsn)
    assert load(TABLE, "app.t", dsn).inserted == 2
    assert dump(server, dsn) == before
    assert not set(old) & set(oids(dsn))
    drop_roles(dsn, roles)


@pytest.mark.parametrize("mode", ["append", "truncate"])
@pytest.mark.parametrize("driver", DRIVERS)
def test_all_features_together(
    server: TestServer, dsn: str, roles: tuple[str, str], driver: DriverName, mode: Mode
) -> None:
    """They do not get into each other's way, nor do the indexes hold another row than the table does."""
    features = [FEATURES[feature] for feature in ALL if feature not in REFUSED]
    make(dsn, roles, *features, *([] if mode == "truncate" else ["TRUNCATE app.t"]))
    before, old = dump(server, dsn), oids(dsn)
    load(TABLE, "app.t", dsn, mode=mode, driver=driver)
    assert dump(server, dsn) == before
    assert len(contents(dsn)) == 2
    assert len(old) == len(oids(dsn)) == 11
    assert not set(old) & set(oids(dsn))
    with connect(dsn) as conn:
        conn.execute("SET enable_seqscan = off")
        assert conn.execute("SELECT a FROM app.t WHERE id = 2 AND a = 2").fetchall() == [(2,)]
        with pytest.raises(psycopg.errors.UniqueViolation):
            conn.execute("INSERT INTO app.t (id, a) VALUES (1, 1)")
    drop_roles(dsn, roles)


def test_tablespaces_are_kept(server: TestServer, dsn: str, roles: tuple[str, str]) -> None:
    """Those of indexes and of a key, whatever the session's default is, which is the user's again behind it."""
    with tablespace(dsn) as space:
        make(
            dsn,
            roles,
            f"CREATE INDEX one ON app.t (a); CREATE INDEX two ON app.t (b) TABLESPACE {space};"
            f"ALTER TABLE app.t ADD PRIMARY KEY (id) USING INDEX TABLESPACE {space}, ADD UNIQUE (n)",
            rows="",
        )
        before = dump(server, dsn)
        with_default = make_conninfo(dsn, options=f"-c default_tablespace={space}")
        load(TABLE, "app.t", with_default, check=[f"SELECT current_setting('default_tablespace') = '{space}'"])
        assert dump(server, dsn) == before
    drop_roles(dsn, roles)


def test_an_owner_without_other_rights_can_do_it(server: TestServer, dsn: str, roles: tuple[str, str]) -> None:
    """No superuser is needed; the index is the owner's, although a member of that role has built it."""
    one, two = roles
    make(dsn, roles, FEATURES["keys"], "GRANT ALL ON SCHEMA app TO {r1}", rows="")
    with connect(dsn) as conn:
        conn.execute(f'ALTER TABLE app.t OWNER TO "{one}"; GRANT "{one}" TO "{two}"')
    before = dump(server, dsn)
    load(TABLE, "app.t", make_conninfo(dsn, options=f"-c role={two}"))
    assert dump(server, dsn) == before
    drop_roles(dsn, roles)


@pytest.mark.parametrize("mode", ["append", "create", "replace"])
@pytest.mark.parametrize("driver", DRIVERS)
def test_a_new_table_is_like_one_made_at_once(
    server: TestServer, dsn: str, tmp_path: Path, driver: DriverName, mode: Mode
) -> None:
    """Its key, identity and serial column are those that it has without the option, and go on after the rows."""
    path = tmp_path / "t.parquet"
    with connect(dsn) as conn:
        conn.execute(
            'CREATE TABLE t ("I d" int4 GENERATED ALWAYS AS IDENTITY, s serial, k text, PRIMARY KEY (k, "I d"))'
        )
        conn.execute("INSERT INTO t (k) VALUES ('x'), ('y')")
        bulkio.export("t", path, dsn)
        dumps = []
        for defer_indexes in (False, True):
            conn.execute("DROP TABLE t")
            report = load(path, "t", dsn, mode=mode, driver=driver, defer_indexes=defer_indexes)
            assert report.created
            dumps.append(dump(server, dsn))
        assert dumps[0] == dumps[1]
        assert "PRIMARY KEY" in dumps[1]
        conn.execute("INSERT INTO t (k) VALUES ('z')")
    assert fetch(dsn, "SELECT * FROM t ORDER BY 1") == [(1, 1, "x"), (2, 2, "y"), (3, 3, "z")]


def test_several_workers_fill_a_new_table(dsn: str, tmp_path: Path) -> None:
    """They put its key off in any case."""
    path = tmp_path / "t.parquet"
    with connect(dsn) as conn:
        conn.execute("CREATE TABLE t (id int4 PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 5000)")
        pq.write_table(bulkio.read("t", dsn).read_all(), path, row_group_size=500)
        conn.execute("DROP TABLE t")
    report = load(path, "t", dsn, workers=2, chunk_bytes=4000)
    assert (report.rows, report.workers, report.why_one) == (5000, 2, "")
    assert fetch(dsn, "SELECT count(*) FROM t") == [(5000,)]
    key = "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 't'::regclass AND contype = 'p'"
    assert fetch(dsn, key) == [("PRIMARY KEY (id)",)]


# --- A fault half-way ---------------------------------------------------------------------------------------


def batches(then: Callable[[], object]) -> pa.RecordBatchReader:
    """Return a source of id and a that calls `then` when the last of its two batches is asked for."""
    schema = pa.schema([("id", pa.int32()), ("a", pa.int32())])

    def read() -> Iterator[pa.RecordBatch]:
        yield pa.record_batch({"id": pa.array(range(5000), pa.int32()), "a": pa.array(range(5000), pa.int32())}, schema)
        then()
        yield pa.record_batch({"id": pa.array([5000], pa.int32()), "a": pa.array([13], pa.int32())}, schema)

    return pa.RecordBatchReader.from_batches(schema, read())


#: ends whoever computes it of 13, which is whoever builds an index on it
DEADLY = """CREATE FUNCTION app.deadly(int4) RETURNS int4 IMMUTABLE LANGUAGE plpgsql AS
    'BEGIN IF $1 = 13 THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF; RETURN $1; END';
    CREATE INDEX last ON app.t (app.deadly(a))"""


@pytest.mark.parametrize("moment", ["rows", "indexes"])
@pytest.mark.parametrize("driver", DRIVERS)
def test_a_lost_connection_leaves_the_indexes(
    server: TestServer, dsn: str, roles: tuple[str, str], driver: DriverName, moment: str
) -> None:
    """While the rows are stored, and while the last index is built, which others come before."""
    make(dsn, roles, FEATURES["keys"], FEATURES["indexes"], *([DEADLY] if moment == "indexes" else []), rows="")
    before, old = dump(server, dsn), oids(dsn)

    def strike() -> None:
        if moment == "rows":
            fetch(
                dsn,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()",
            )

    with pytest.raises(bulkio.ConnectError):
        load(batches(strike), "app.t", dsn, driver=driver)
    assert (dump(server, dsn), oids(dsn), contents(dsn)) == (before, old, [])
    drop_roles(dsn, roles)


_CLIENT = """
import os, signal, sys
import pyarrow as pa, bulkio
schema = pa.schema([("id", pa.int32()), ("a", pa.int32())])
def read():
    numbers = pa.array(range(100_000), pa.int32())
    yield pa.record_batch([numbers, numbers], schema)
    os.kill(os.getpid(), signal.SIGKILL)
source = pa.RecordBatchReader.from_batches(schema, read())
bulkio.load(source, "app.t", sys.argv[1], driver=sys.argv[2], defer_indexes=True)
"""


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_killed_client_leaves_the_indexes(
    server: TestServer, dsn: str, roles: tuple[str, str], driver: DriverName
) -> None:
    """SIGKILL, while the indexes are dropped and rows are on their way."""
    make(dsn, roles, FEATURES["keys"], FEATURES["indexes"], rows="")
    before, old = dump(server, dsn), oids(dsn)
    done = subprocess.run([sys.executable, "-c", _CLIENT, dsn, driver], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    with connect(dsn) as conn:
        conn.execute("BEGIN; LOCK app.t; ROLLBACK")  # the server has noticed
    assert (dump(server, dsn), oids(dsn), contents(dsn)) == (before, old, [])
    drop_roles(dsn, roles)


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_doubled_key_leaves_the_table_as_it_was(dsn: str, driver: DriverName) -> None:
    """The error names the key; a truncated table has its rows again. A new table is not made."""
    source = pa.table({"id": [1, 2, 2]})
    with connect(dsn) as conn:
        conn.execute("CREATE SCHEMA app; CREATE TABLE app.t (id int8 PRIMARY KEY)")
        old = oids(dsn)
        with pytest.raises(bulkio.DriverError, match=r'unique index "t_pkey"') as caught:
            load(source, "app.t", dsn, driver=driver)
        assert caught.value.sqlstate == "23505"
        assert "Key (id)=(2) is duplicated" in str(caught.value)
        conn.execute("INSERT INTO app.t VALUES (7)")
        with pytest.raises(bulkio.DriverError, match=r'unique index "t_pkey"'):
            load(source, "app.t", dsn, driver=driver, mode="truncate")
    assert (oids(dsn), contents(dsn)) == (old, [("(7)",)])


# --- What is refused ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ddl", "message"),
    [
        (
            "ALTER TABLE app.t ADD PRIMARY KEY (id);"
            " CREATE TABLE app.child (t int4 CONSTRAINT refers REFERENCES app.t)",
            "foreign keys need its keys: constraint refers on table app.child",
        ),
        (FEATURES["self reference"], "foreign keys need its keys: constraint up on table app.t"),
        (
            "ALTER TABLE app.t ADD PRIMARY KEY (id); CREATE VIEW app.g AS SELECT id, b FROM app.t GROUP BY id",
            "views need its keys: app.g",
        ),
        (
            "ALTER TABLE app.t ADD PRIMARY KEY (id);"
            " CREATE MATERIALIZED VIEW app.g AS SELECT id, b FROM app.t GROUP BY id",
            "materialized views need its keys: app.g",
        ),
        (
            "ALTER TABLE app.t ADD PRIMARY KEY (id); CREATE FUNCTION app.f() RETURNS int8 LANGUAGE sql"
            " BEGIN ATOMIC SELECT count(b) FROM (SELECT b FROM app.t GROUP BY id) AS g; END",
            "functions need its keys: function app.f()",
        ),
        (
            "ALTER TABLE app.t ADD CONSTRAINT pk PRIMARY KEY (id); CREATE TABLE app.log (id int4);"
            " CREATE RULE r AS ON INSERT TO app.log DO ALSO"
            " INSERT INTO app.t (id) VALUES (NEW.id) ON CONFLICT ON CONSTRAINT pk DO NOTHING",
            "rules need its keys: rule r on table app.log",
        ),
        ("CREATE TABLE app.kid () INHERITS (app.t)", "tables inherit from it"),
        (
            "DROP TABLE app.t; CREATE TABLE app.whole (id int4 PRIMARY KEY) PARTITION BY LIST (id);"
            " CREATE TABLE app.t PARTITION OF app.whole DEFAULT",
            "it is a partition, whose indexes may be parts of others",
        ),
        (
            "CREATE INDEX i ON app.t (id); CREATE EXTENSION IF NOT EXISTS hstore;"
            " ALTER INDEX app.i DEPENDS ON EXTENSION hstore",
            "an index of it belongs to an extension",
        ),
        (
            "ALTER TABLE app.t ADD CONSTRAINT fk FOREIGN KEY (a) REFERENCES app.parent INITIALLY DEFERRED",
            "foreign key fk waits for COMMIT (INITIALLY DEFERRED), and no index can be built meanwhile",
        ),
        (
            "CREATE CONSTRAINT TRIGGER later AFTER INSERT ON app.t DEFERRABLE INITIALLY DEFERRED FOR EACH ROW"
            " EXECUTE FUNCTION app.touch()",
            "trigger later waits for COMMIT (INITIALLY DEFERRED), and no index can be built meanwhile",
        ),
        (
            "ALTER TABLE app.t ADD CONSTRAINT u UNIQUE (a) DEFERRABLE; ALTER TABLE app.t DISABLE TRIGGER ALL",
            'triggers of constraint "u" are not enabled in the usual way',
        ),
        (
            "CREATE INDEX i ON app.t (id); UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'app.i'::regclass",
            'index "i" is not valid: REINDEX or DROP it',
        ),
    ],
)
def test_what_stands_in_the_way_is_told(dsn: str, roles: tuple[str, str], ddl: str, message: str) -> None:
    """Before a row is sent, by a plan as well; and the table keeps its indexes."""
    make(dsn, roles, ddl, rows="")
    old = oids(dsn)
    expected = f'the indexes of table "app"."t" cannot be built after its rows:\n  {message}\n'
    for act in (bulkio.plan_load, bulkio.load):
        with pytest.raises(bulkio.SchemaError) as caught:
            act(TABLE.select(["id"]), "app.t", dsn, defer_indexes=True)
        assert str(caught.value) == f"{expected}load without defer_indexes=True"
    assert oids(dsn) == old
    drop_roles(dsn, roles)


def test_privileges_that_an_index_needs(dsn: str, roles: tuple[str, str]) -> None:
    """The owner's rights; and CREATE on the schema and the tablespace, which an owner may lack."""
    role = roles[1]
    as_role = make_conninfo(dsn, options=f"-c role={role}")
    with tablespace(dsn) as space, connect(dsn) as conn:
        make(dsn, roles, f"CREATE INDEX i ON app.t (id) TABLESPACE {space}", rows="")
        conn.execute(f'GRANT USAGE ON SCHEMA app TO "{role}"; GRANT INSERT, TRUNCATE ON app.t TO "{role}"')
        for mode in ("append", "truncate"):
            with pytest.raises(bulkio.DriverError) as refused:
                load(TABLE, "app.t", as_role, mode=mode)
            assert str(refused.value).startswith(
                'only its owner can alter table "app"."t": defer_indexes=True needs a role that has the owner\'s rights'
            )
        conn.execute(f'ALTER TABLE app.t OWNER TO "{role}"')
        with pytest.raises(bulkio.SchemaError) as caught:
            load(TABLE, "app.t", as_role)
    assert "the role may not create in its schema, where its indexes are" in str(caught.value)
    assert "the role may not create in the tablespace of an index" in str(caught.value)
    drop_roles(dsn, roles)


def test_a_table_with_rows_is_refused(dsn: str) -> None:
    """By a plan as well; rows that are deleted do not count."""
    with connect(dsn) as conn:
        conn.execute("CREATE TABLE t (id int8 PRIMARY KEY); INSERT INTO t VALUES (7)")
        for act in (bulkio.plan_load, bulkio.load):
            with pytest.raises(bulkio.SchemaError) as caught:
                act(pa.table({"id": [1]}), "t", dsn, defer_indexes=True)
            assert str(caught.value) == (
                'defer_indexes=True is for new and empty tables, and table "public"."t" has rows: load without it, or'
                " replace them (mode='truncate')"
            )
        conn.execute("DELETE FROM t")
        assert load(pa.table({"id": [1]}), "t", dsn).inserted == 1
        assert load(pa.table({"id": [2]}), "t", dsn, mode="truncate").inserted == 1
        assert load(pa.table({"id": [3]}), "t", dsn, mode="replace").inserted == 1
    assert fetch(dsn, "SELECT * FROM t") == [(3,)]


@pytest.mark.parametrize(
    "options", [{"mode": "upsert"}, {"mode": "insert-new"}, {"mode": "replace-where", "where": "true"}]
)
def test_modes_that_need_what_is_there_refuse_it(options: dict[str, Any]) -> None:
    """ON CONFLICT goes by the key, and a condition by whatever index there is."""
    takers = " or ".join(f"mode='{mode}'" for mode in ("append", "create", "truncate", "replace"))
    with pytest.raises(bulkio.ConfigError) as caught:
        load(TABLE, "t", "postgresql://nowhere.invalid", **options)
    assert str(caught.value) == f"defer_indexes is for {takers}, not for mode='{options['mode']}'"


def test_only_plain_tables_have_indexes_of_their_own(dsn: str) -> None:
    """Those of a partitioned table are its partitions', too."""
    with connect(dsn) as conn:
        conn.execute("CREATE TABLE t (id int8 PRIMARY KEY) PARTITION BY LIST (id)")
    with pytest.raises(bulkio.SchemaError) as caught:
        load(pa.table({"id": [1]}), "t", dsn)
    assert str(caught.value) == (
        '"public"."t" is a partitioned table, and defer_indexes=True is for tables that have indexes of their own alone'
    )


def test_one_connection_does_it(dsn: str, tmp_path: Path) -> None:
    """The report says why, and chunks that commit for themselves are refused."""
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"id": range(5000)}), path, row_group_size=500)
    with connect(dsn) as conn:
        conn.execute("CREATE TABLE t (id int8 PRIMARY KEY)")
    why = "the indexes are built again in the load's own transaction"
    with pytest.raises(bulkio.ConfigError, match=rf"^commit='chunk' cannot be had here: {why}$"):
        load(path, "t", dsn, workers=2, chunk_bytes=4000, commit="chunk", load_id="one")
    report = load(path, "t", dsn, workers=2, chunk_bytes=4000)
    assert (report.rows, report.workers, report.why_one) == (5000, 1, why)


# --- Beside others ------------------------------------------------------------------------------------------


def test_a_plan_shows_it(dsn: str) -> None:
    """The statements in their order; what is slow does not count them; and the note says who is kept out."""
    with connect(dsn) as conn:
        conn.execute("CREATE TABLE t (id int8 PRIMARY KEY, b text); CREATE INDEX i ON t (b)")
        conn.execute("CREATE TABLE other (id int8 PRIMARY KEY)")
        conn.execute("ALTER TABLE t ADD CONSTRAINT ref FOREIGN KEY (id) REFERENCES other, ADD EXCLUDE (b WITH =)")
    source = pa.table({"id": [1], "b": ["x"]})
    plan = bulkio.plan_load(source, "t", dsn, mode="truncate", defer_indexes=True)
    note = "building the indexes after the rows keeps others out of the table, readers too, until COMMIT"
    assert plan.notes == (note,)
    assert [note.partition(":")[0] for note in plan.slow][:1] == ['1 foreign key ("ref")']
    assert not any("index" in note or "exclusion" in note for note in plan.slow)
    text = plan.describe()
    shown = [
        'TRUNCATE TABLE "public"."t"',
        'ALTER TABLE "public"."t" DROP CONSTRAINT "t_b_excl" RESTRICT, DROP CONSTRAINT "t_pkey" RESTRICT',
        'DROP INDEX "public"."i" RESTRICT',
        "  COPY, then",
        'CREATE INDEX "i" ON "public"."t" USING btree (b)',
        'ADD CONSTRAINT "t_b_excl" EXCLUDE USING btree (b WITH =)',
        'CREATE UNIQUE INDEX "t_pkey" ON "public"."t" USING btree (id)',
        'ADD CONSTRAINT "t_pkey" PRIMARY KEY USING INDEX "t_pkey"',
    ]
    places = [text.find(each) for each in shown]
    assert -1 not in places
    assert places == sorted(places)
    fresh = bulkio.plan_load(source, "new", dsn, defer_indexes=True)
    assert (fresh.notes, fresh.late_ddl) == ((), ())


@pytest.mark.parametrize("driver", DRIVERS)
def test_others_are_kept_out_until_commit(dsn: str, driver: DriverName) -> None:
    """A reader would see a table without its key, and a writer could store a second row of one."""
    states = []
    with connect(dsn) as conn, connect(dsn) as other:
        conn.execute("CREATE SCHEMA app; CREATE TABLE app.t (id int4 PRIMARY KEY, a int4)")
        other.execute("SET lock_timeout = '50ms'")

        def look() -> None:
            for statement in ("SELECT FROM app.t", "INSERT INTO app.t VALUES (1)"):
                with contextlib.suppress(psycopg.errors.LockNotAvailable):
                    other.execute(statement)
                    states.append(statement)

        load(batches(look), "app.t", dsn, driver=driver)
    assert states == []


def test_a_source_that_reads_the_table_is_not_waited_for(dsn: str) -> None:
    """The load would wait for the read, and the read for the load."""
    with connect(dsn) as conn:
        conn.execute("CREATE TABLE t (a int8, b text)")
        conn.execute("INSERT INTO t SELECT i, repeat('x', 100) FROM generate_series(1, 300000) i")
    source = bulkio.read("t", dsn)
    with pytest.raises(bulkio.BulkioError, match=r"source is a read\(\) of this process"):
        load(source, "t", dsn, mode="truncate")
    assert source.read_all().num_rows == 300_000


@pytest.mark.parametrize(
    ("statement", "parts"),
    [
        ("DROP INDEX i", "indexes"),
        ("COMMENT ON CONSTRAINT t_pkey ON t IS 'x'", "keys"),
        ("CREATE VIEW v AS SELECT id, b FROM t GROUP BY id", "dependents"),
        ("ALTER INDEX i DEPENDS ON EXTENSION plpgsql", "table"),
    ],
)
def test_indexes_that_change_after_the_plan_are_not_lost(dsn: str, statement: str, parts: str) -> None:
    """By the user's own statements; or by somebody else, as by this trigger."""
    source = pa.table({"id": [1], "b": ["x"]})
    with connect(dsn) as conn:
        conn.execute("CREATE TABLE t (id int8 PRIMARY KEY, b text); CREATE INDEX i ON t (b)")
        with pytest.raises(bulkio.SchemaError) as refused:
            load(source, "t", dsn, before=[statement])
        assert f'changed the indexes of table "public"."t" ({parts}), for which the load was' in str(refused.value)
        assert str(refused.value).endswith("do that in after, or in a transaction of its own, ahead of the load")
        quoted = statement.replace("'", "''")
        conn.execute(f"CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN {quoted}; RETURN NULL; END'")
        conn.execute("CREATE TRIGGER early BEFORE TRUNCATE ON t EXECUTE FUNCTION f()")
    with pytest.raises(bulkio.DriverError) as caught:
        load(source, "t", dsn, mode="truncate")
    assert str(caught.value).startswith(
        f'the indexes of table "public"."t" ({parts}) were changed meanwhile: nothing was loaded, load again'
    )
    assert caught.value.retryable


def test_rows_that_come_before_the_rows_are_refused(dsn: str) -> None:
    """The user's statements may do what leaves the indexes alone, and the table empty."""
    source = pa.table({"id": [1]})
    with connect(dsn) as conn:
        conn.execute("CREATE TABLE t (id int8 PRIMARY KEY)")
    with pytest.raises(bulkio.SchemaError, match="is for new and empty tables"):
        load(source, "t", dsn, before=["INSERT INTO t VALUES (7)"])
    load(source, "t", dsn, before=["GRANT SELECT ON t TO PUBLIC"], after=["INSERT INTO t VALUES (7)"])
    assert fetch(dsn, "SELECT * FROM t ORDER BY 1") == [(1,), (7,)]


def test_a_trigger_meets_no_index(dsn: str) -> None:
    """ON CONFLICT has no key to go by; foreign keys to other tables are looked up as always."""
    source = pa.table({"id": [1]})
    with connect(dsn) as conn:
        conn.execute("CREATE TABLE up (id int8 PRIMARY KEY); CREATE TABLE t (id int8 PRIMARY KEY REFERENCES up)")
        with pytest.raises(bulkio.DriverError, match='foreign key constraint "t_id_fkey"'):
            load(source, "t", dsn)
        conn.execute(
            "INSERT INTO up VALUES (1), (2); CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS"
            " 'BEGIN INSERT INTO t VALUES (2) ON CONFLICT (id) DO NOTHING; RETURN NEW; END'"
        )
        conn.execute("CREATE TRIGGER more AFTER INSERT ON t FOR EACH ROW WHEN (NEW.id = 1) EXECUTE FUNCTION f()")
        with pytest.raises(bulkio.DriverError, match="no unique or exclusion constraint matching the ON CONFLICT"):
            load(source, "t", dsn)
        bulkio.load(source, "t", dsn)
    assert fetch(dsn, "SELECT id FROM t ORDER BY 1") == [(1,), (2,)]
