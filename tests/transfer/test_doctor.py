"""`bulkio.doctor` on real servers with each fault planted: what it says, and that its remedy cures it."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import closing
from typing import TYPE_CHECKING

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

import bulkio
from bulkio.options import LedgerRequest
from bulkio.plan.doctor import CHECKS, leftovers
from bulkio.quote import quote_literal
from bulkio.sql.ledger import lock_key, prefix_of, tag_of
from bulkio.transfer import doctor as asking
from bulkio.transfer.journal import RunFacts, open_journal
from servers import connect, found_servers, replicated_pair

if TYPE_CHECKING:
    from pathlib import Path

    from bulkio.plan.doctor import Finding
    from servers import TestServer

DRIVERS = ["asyncpg", "psycopg"]
ROWS = pa.table({"id": pa.array([1, 2], pa.int32())})
SCHEMA = "bulkio_ledger"
ORDER = ["fail", "warn", "ok"]
#: what the test servers are like, so that tests are fast
THROW_AWAY = {"wal_size", "durability", "autovacuum"}


def look(dsn: str, table: str | None = None, **options: str) -> dict[str, list[Finding]]:
    """Ask the doctor; the findings of each check."""
    found = defaultdict(list)
    for finding in bulkio.doctor(table, dsn, **options).findings:
        found[finding.check].append(finding)
    return found


def levels(dsn: str, table: str | None = None, **options: str) -> dict[str, str]:
    """Return the worst level of each check that is not ok, but for the test servers' own."""
    found = look(dsn, table, **options)
    worst = {check: min((each.level for each in all_), key=ORDER.index) for check, all_ in found.items()}
    return {check: level for check, level in worst.items() if level != "ok" and check not in THROW_AWAY}


def run(dsn: str, statements: str) -> None:
    with connect(dsn) as conn:
        conn.execute(statements)


@pytest.fixture
def weak(server: TestServer, dsn: str, roles: tuple[str, str]) -> str:
    """Return the DSN of a role that may log in, and nothing else."""
    server.admin.execute(f"ALTER ROLE \"{roles[1]}\" LOGIN PASSWORD 'weak'")
    return make_conninfo(dsn, user=roles[1], password="weak")


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_healthy_server(server: TestServer, dsn: str, driver: str) -> None:
    """Each check has a finding, only what makes test servers fast is told, and nothing is changed."""
    run(dsn, "CREATE TABLE t (id int PRIMARY KEY)")
    [(before,)] = server.admin.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())").fetchall()
    found = look(dsn, "t", driver=driver)
    assert server.admin.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())").fetchall() == [(before,)]
    assert list(found) == [check for checks in CHECKS.values() for check in checks]
    assert levels(dsn, "t", driver=driver) == {}
    assert {check for check in THROW_AWAY if found[check][0].level == "warn"} == THROW_AWAY
    assert all(bool(each.remedy) == (each.level != "ok") for all_ in found.values() for each in all_)


TABLE = """
    CREATE TABLE far (id int PRIMARY KEY);
    CREATE UNLOGGED TABLE t (id int NOT NULL, a int REFERENCES far, twice int GENERATED ALWAYS AS (id * 2) STORED,
                             num int GENERATED ALWAYS AS IDENTITY, UNIQUE (num) DEFERRABLE)
                             WITH (autovacuum_enabled = no);
    INSERT INTO far VALUES (1);
    INSERT INTO t (id, a) SELECT 1, 1 FROM generate_series(1, 20000);
    CREATE TABLE refers (num int, UNIQUE (num));
    CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
    CREATE TRIGGER slow BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f();
    CREATE VIEW v AS SELECT id FROM t;
"""


def test_a_table_of_many_faults(dsn: str) -> None:
    """Each is told by its name; SQL that is the remedy cures it."""
    run(dsn, TABLE)
    with closing(connect(dsn)) as conn, pytest.raises(psycopg.errors.UniqueViolation):
        conn.execute("CREATE UNIQUE INDEX CONCURRENTLY twins ON t (id)")
    found = look(dsn, "t")
    expected = {
        "triggers": ("slow", "the load takes too long"),
        "foreign_keys": ("t_a_fkey", "NOT VALID"),
        "keys": ("no unique key", "PRIMARY KEY"),
        "replace": ("views read it: public.v", "mode='truncate'"),
        "logging": ("unlogged", "ALTER TABLE public.t SET LOGGED"),
        "statistics": ("never analyzed", "ANALYZE public.t"),
        "table_autovacuum": ("off for it", "ALTER TABLE public.t RESET (autovacuum_enabled)"),
        "indexes": ("public.twins is not valid", "DROP INDEX public.twins"),
    }
    for check, (text, remedy) in expected.items():
        assert found[check][0].level == "warn"
        assert text in found[check][0].text, check
        assert remedy in found[check][0].remedy, check
    assert "is deferrable" in found["keys"][0].text
    assert found["columns"][0].text.startswith('"twice": generated')
    assert '"num": GENERATED ALWAYS AS IDENTITY' in found["columns"][0].text
    for statement in (*(expected[check][1] for check in ("indexes", "logging", "statistics", "table_autovacuum")),):
        run(dsn, statement)
    run(dsn, "DROP VIEW v; DROP TRIGGER slow ON t; ALTER TABLE t DROP CONSTRAINT t_a_fkey, ADD PRIMARY KEY (num)")
    assert levels(dsn, "t") == {}


def test_dead_rows(dsn: str) -> None:
    """They are told, and VACUUM clears them away."""
    run(dsn, "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 20000)")
    run(dsn, "DELETE FROM t WHERE id > 5000")
    [found] = look(dsn, "t")["dead_rows"]
    assert (found.level, found.text) == ("warn", "15,000 dead rows beside 5,000: scans read them too")
    run(dsn, found.remedy)
    assert levels(dsn, "t") == {}


def test_tables_that_take_no_rows(dsn: str, weak: str) -> None:
    """A view, no partition, none at all; and one that is nearly called so."""
    run(dsn, "CREATE TABLE p (id int PRIMARY KEY) PARTITION BY LIST (id); CREATE VIEW v AS SELECT 1 AS a")
    assert levels(dsn, "p") == {"partitions": "fail"}
    run(dsn, "CREATE TABLE q PARTITION OF p DEFAULT")
    assert levels(dsn, "p") == {}
    assert look(dsn, "p")["partitions"][0].text == "1 partitions; one takes what fits no other"
    assert look(dsn, "q")["partitions"][0].text == "a partition itself"
    assert levels(dsn, "v") == {"kind": "fail"}
    assert look(dsn, "public.pp")["kind"][0].text == "public.pp is not there: a load makes it; did you mean public.p?"
    run(dsn, "REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    assert look(weak, "pp")["kind"][0].level == "fail"


def test_publications_and_foreign_keys_of_others(dsn: str) -> None:
    """UPDATE of what is published needs an identity; TRUNCATE of what is referred to is refused."""
    run(dsn, "CREATE TABLE t (id int UNIQUE); CREATE TABLE u (id int REFERENCES t (id))")
    run(dsn, "CREATE PUBLICATION p FOR TABLE t")
    found = look(dsn, "t")
    assert found["truncate"][0].text == "foreign keys of public.u refer to it: mode='truncate' is refused"
    assert found["publications"][0].level == "warn"
    run(dsn, found["publications"][0].remedy.partition(",")[0])
    assert look(dsn, "t")["publications"][0].text == 'publication "p" sends its changes'


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_role_without_rights(dsn: str, weak: str, driver: str) -> None:
    """What it may not do is told, with the grants, which are enough; and nothing that it may not see is an error."""
    bulkio.load(ROWS, "t", dsn, load_id="x", source_version="1")
    run(dsn, "REVOKE ALL ON SCHEMA public FROM PUBLIC; GRANT USAGE ON SCHEMA public TO PUBLIC")
    run(dsn, "ALTER TABLE t ADD PRIMARY KEY (id)")
    with connect(dsn) as conn:
        conn.execute(f"REVOKE TEMPORARY ON DATABASE {conn.info.dbname} FROM PUBLIC")
    lacking = dict.fromkeys(("schema", "temporary", "ledger", "chunks", "journal", "activity", "replace"), "warn")
    lacking |= {"rights": "fail", "own_tables": "warn", "loads": "warn", "runs": "warn"}
    found = look(weak, "public.t", driver=driver)
    assert levels(weak, "public.t", driver=driver) == lacking
    assert "permission denied" in found["loads"][0].text
    for check in ("schema", "temporary", "ledger", "activity", "rights"):
        run(dsn, found[check][0].remedy)
    for _ in range(2):  # USAGE on the schema comes first
        found = look(weak, "public.t", driver=driver)
        for check in ("ledger", "chunks", "journal"):
            run(dsn, found[check][0].remedy) if found[check][0].remedy else None
    assert levels(weak, "public.t", driver=driver) == {"replace": "warn"}
    assert bulkio.load(ROWS.slice(0, 0), "t", weak, load_id="y", source_version="1").rows == 0


def test_row_security(dsn: str, weak: str) -> None:
    """COPY FROM is refused for whom the policies hold."""
    run(dsn, "CREATE TABLE t (id int PRIMARY KEY); ALTER TABLE t ENABLE ROW LEVEL SECURITY; GRANT ALL ON t TO PUBLIC")
    assert look(weak, "t")["policies"][0].level == "fail"
    assert look(dsn, "t")["policies"][0].text == "row security is on, and does not hold for the role"


def test_a_ledger_that_is_none(dsn: str, weak: str) -> None:
    """Another table of its name; no ledger, and no right to make it."""
    assert look(weak)["ledger"][0].remedy.startswith("bulkio loads ddl --role ")
    run(dsn, "CREATE SCHEMA other; CREATE TABLE other.loads (id int)")
    found = look(dsn, ledger_schema="other")
    assert [found[check][0].level for check in ("ledger", "chunks", "journal")] == ["fail"] * 3
    assert "other.loads is not a ledger of bulkio's" in found["ledger"][0].text


SETTINGS = {
    "maintenance_work_mem": ("1MB", "index_memory"),
    "session_replication_role": ("replica", "triggers_off"),
    "lock_timeout": ("5s", "lock_limit"),
    "temp_file_limit": ("1GB", "temp_limit"),
}


def test_settings_of_role_and_database(server: TestServer, dsn: str, roles: tuple[str, str]) -> None:
    """Each is told, with what takes it back where it was made."""
    database = psycopg.conninfo.conninfo_to_dict(dsn)["dbname"]
    limits = ("statement_timeout", "idle_in_transaction_session_timeout")
    server.admin.execute(f"ALTER ROLE \"{roles[1]}\" SUPERUSER LOGIN PASSWORD 'weak'")
    own = make_conninfo(dsn, user=roles[1], password="weak")
    for whose in (f"ROLE {sql.Identifier(roles[1]).as_string()}", f"DATABASE {database}"):
        for name, (value, _) in SETTINGS.items():
            server.admin.execute(f"ALTER {whose} SET {name} = '{value}'")
        for name in limits:
            server.admin.execute(f"ALTER {whose} SET {name} = '5s'")
        found = look(own)
        assert found["time_limits"][0].level == "ok"
        assert "statement_timeout is 5000 ms" in found["time_limits"][0].text
        for name, (_, check) in SETTINGS.items():
            assert found[check][0].level == "warn"
            assert name in found[check][0].text
            reset = f"ALTER {whose} RESET {name}"
            assert found[check][0].remedy.replace('"', "").endswith(reset.replace('"', ""))
            server.admin.execute(reset)
        for name in limits:
            server.admin.execute(f"ALTER {whose} RESET {name}")
        assert levels(own) == {}


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_limit_in_the_connection_string(dsn: str, driver: str) -> None:
    """It is meant for loads too, and ends them."""
    limited = make_conninfo(dsn, options="-c statement_timeout=60000")
    [found] = look(limited, driver=driver)["time_limits"]
    assert found.level == "fail"
    assert "the connection string asks for statement_timeout" in found.text


def test_encodings(server: TestServer, latin1_dsn: str) -> None:
    """Text that they lack is refused, or not even checked."""
    assert levels(latin1_dsn) == {"encoding": "warn"}
    with server.database("SQL_ASCII") as dsn:
        assert "counts bytes as characters" in look(dsn)["encoding"][0].text


def test_what_dead_runs_have_left(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a load in two phases: its prepared transaction and its row; a table that it needs is no orphan."""
    monkeypatch.setattr(leftovers, "_PREPARED_S", 0)
    bulkio.load(ROWS, "t", dsn, load_id="dead's", source_version="1")
    with closing(connect(dsn)) as conn:
        conn.execute(f"UPDATE {SCHEMA}.loads SET state = 'running'")
        [(owner,)] = conn.execute(f"SELECT run::text FROM {SCHEMA}.loads").fetchall()
        conn.execute(f"CREATE TABLE bulkio_staging_{tag_of(SCHEMA, 'dead' + chr(39) + 's', owner)} ()")
        conn.execute("CREATE TABLE bulkio_replaces_1_0123456789abcdef (); CREATE TABLE bulkio_new_mine ()")
        names = (f"{prefix_of(SCHEMA, 'dead' + chr(39) + 's')}run:0", "bulkio:0123:run:0", "the users' own")
        for name in names:
            conn.execute(f"BEGIN; INSERT INTO t VALUES (3); PREPARE TRANSACTION {quote_literal(name)}")
    try:
        found = look(dsn)
        whose = {each.text.partition(",")[0].partition(" is bulkio")[0]: each.remedy for each in found["prepared"]}
        assert {each.level for each in found["prepared"]} == {"fail"}
        go_on = "bulkio loads resume 'dead'\"'\"'s', or: bulkio loads forget 'dead'\"'\"'s'"
        [own, ours, users] = whose.values()
        assert own == go_on
        assert "ledger_schema" in ours
        assert users.startswith("ask who has prepared it, then ROLLBACK PREPARED 'the users'' own', or COMMIT")
        assert [each.remedy for each in found["loads"]] == [go_on]
        [orphan] = found["own_tables"]
        assert orphan.remedy.endswith(': DROP TABLE "public"."bulkio_replaces_1_0123456789abcdef"')
        with closing(connect(dsn)) as conn:  # a run of it that lives
            conn.execute(f"SELECT pg_advisory_lock({lock_key(SCHEMA, 'dead' + chr(39) + 's')})")
            assert look(dsn)["loads"][0].text == "1 unfinished, at work just now"
        run(dsn, orphan.remedy.rpartition(": ")[2])
    finally:
        with closing(connect(dsn)) as conn:
            for name in names:
                conn.execute(f"ROLLBACK PREPARED {quote_literal(name)}")
    assert levels(dsn) == {"loads": "warn"}
    bulkio.forget_load("dead's", dsn, rows_removed=True)
    run(dsn, f"DROP TABLE bulkio_staging_{tag_of(SCHEMA, 'dead' + chr(39) + 's', owner)}")
    assert levels(dsn) == {}


def test_a_lost_run(dsn: str) -> None:
    """Its lease has run out."""

    async def begin() -> None:
        journal = await open_journal(LedgerRequest(dsn))
        await journal.begin("nightly", "one", RunFacts())

    asyncio.run(begin())
    assert levels(dsn) == {}
    run(dsn, f"UPDATE {SCHEMA}.runs SET lease_until = now() - interval '1 s'")
    assert look(dsn)["runs"][0].remedy == "bulkio runs resume nightly/one"


def test_a_long_transaction(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose it is, and what ends it."""
    monkeypatch.setattr(asking, "LONG_S", 0)
    with closing(connect(make_conninfo(dsn, application_name="lunch"))) as conn:
        conn.execute("BEGIN; SELECT 1")
        [found] = look(dsn)["long_transactions"]
        assert "application 'lunch'" in found.text
        assert found.remedy.endswith(f"SELECT pg_terminate_backend({conn.info.backend_pid})")


def test_a_standby_and_a_slot() -> None:
    """A standby takes no loads; a slot that nobody reads from holds the log."""
    with replicated_pair(next(iter(found_servers().values()))) as (primary, standby):
        run(primary.url(), "SELECT pg_create_physical_replication_slot('gone', true)")
        [slot] = look(primary.url())["slots"]
        assert slot.level == "warn"
        assert slot.text.startswith('slot "gone" is not in use and holds ')
        assert look(standby.url())["primary"][0].level == "fail"
        run(primary.url(), slot.remedy.rpartition(": ")[2])
        assert look(primary.url())["slots"][0].level == "ok"


AT_WORK = {
    "chunks": ({"table": "t", "commit": "chunk"}, False),
    "two phases": ({"table": "t", "workers": 2, "chunk_bytes": 1}, False),
    "staging": ({"table": "t", "commit": "chunk", "mode": "upsert"}, True),
    "hidden": ({"table": "t", "workers": 2, "chunk_bytes": 1, "mode": "replace"}, True),
    "new": ({"table": "u", "workers": 2, "chunk_bytes": 1, "mode": "create"}, True),
}


@pytest.mark.parametrize(("options", "is_staged"), AT_WORK.values(), ids=AT_WORK)
def test_a_load_that_is_at_work(one_dsn: str, tmp_path: Path, options: dict[str, object], is_staged: bool) -> None:
    """Neither it, nor what it needs until its end, is a leftover."""
    run(one_dsn, "CREATE TABLE t (id int PRIMARY KEY)")
    for number in range(2):
        pq.write_table(pa.table({"id": pa.array([number], pa.int32())}), tmp_path / f"{number}.parquet")
    seen = []

    def watch(_progress: bulkio.Progress) -> None:
        seen.append(look(one_dsn))

    bulkio.load(tmp_path, dsn=one_dsn, load_id="x", progress=watch, **options)  # type: ignore[arg-type]
    bad = [each for found in seen for check in CHECKS["leftovers"] for each in found[check] if each.level != "ok"]
    assert not bad
    assert "1 unfinished, at work just now" in {found["loads"][0].text for found in seen}
    assert ("1 staging tables, of unfinished loads" in {found["own_tables"][0].text for found in seen}) == is_staged


def test_what_cannot_be_seen(dsn: str, weak: str) -> None:
    """An administrator hides views; somebody has the table for himself: that is told, and all else is looked at."""
    views = "pg_prepared_xacts, pg_replication_slots, pg_stat_activity, pg_stat_database, pg_locks"
    run(dsn, f"REVOKE SELECT ON {views} FROM PUBLIC; CREATE TABLE t (id int PRIMARY KEY)")
    hidden = {"prepared", "slots", "long_transactions", "connections", "loads", "own_tables"}
    found = look(weak)
    assert {check for check, all_ in found.items() if "could not be looked at" in all_[0].text} == hidden
    run(dsn, "REVOKE SELECT ON pg_settings FROM PUBLIC")
    assert look(weak)["wal_size"][0].text.startswith("could not be looked at: permission denied")
    with closing(connect(dsn)) as conn:
        conn.execute("BEGIN; LOCK TABLE t")
        [kind] = look(dsn, "t")["kind"]
        assert (kind.level, kind.remedy) == ("warn", "look again once nobody has it locked")
