"""The ledger: who may use it, how it comes to be, and what it shows and forgets."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

import bulkio
import bulkio.aio
import traps
from bulkio.transfer.records import LoadWork, record_of
from bulkio.transfer.report import LoadReport
from servers import connect, fetch

if TYPE_CHECKING:
    from servers import TestServer

DRIVERS = ["asyncpg", "psycopg"]
TABLE = pa.table({"a": [1, 2, 3]})


def load(dsn: str, load_id: str, table: str = "t", **options: object) -> bulkio.LoadReport:
    return bulkio.load(TABLE, table, dsn, load_id=load_id, source_version="1", **options)


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_record_tells_all_of_a_load(dsn: str, driver: str) -> None:
    """Listed, shown and forgotten, it is the same, and goes into JSON."""
    report = load(dsn, "x", mode="create", driver=driver)
    [record] = bulkio.list_loads(dsn, driver=driver)
    assert bulkio.show_load("x", dsn, driver=driver) == record
    assert (record.load_id, record.table, record.state, record.rows) == ("x", "public.t", "done", 3)
    assert record.report.as_dict() == {**report.as_dict(), "seconds": record.report.seconds}
    assert record.started_at < record.finished_at < datetime.now(UTC) + timedelta(minutes=1)
    assert record.bulkio_version == bulkio.__version__
    told = json.loads(json.dumps(record.as_dict()))
    assert (told["source"], told["mode"], told["report"]["rows"]) == ({"version": "1"}, "create", 3)
    assert bulkio.forget_load("x", dsn, driver=driver) == record
    assert bulkio.list_loads(dsn) == ()


def test_a_report_goes_to_json_and_back() -> None:
    """All of it; what another version of bulkio has told besides is left out."""
    report = LoadReport(3, 9, 0.5, "asyncpg", "binary", "append", "s.t", created=True, notes=("a",), load_id="x")
    told = json.loads(json.dumps(report.as_dict()))
    assert LoadReport.from_dict({**told, "of_tomorrow": 1}) == report


def test_async_functions_do_the_same(one_dsn: str) -> None:
    """Inside a running loop, the sync ones work too."""

    async def use() -> list[object]:
        await bulkio.aio.load(TABLE, "t", one_dsn, load_id="x", source_version="1", mode="create")
        records = await bulkio.aio.list_loads(one_dsn)
        shown = await bulkio.aio.show_load("x", one_dsn)
        assert await bulkio.aio.gc_loads(one_dsn, older_than="1d") == ()
        return [*records, shown, await bulkio.aio.forget_load("x", one_dsn)]

    records = asyncio.run(use())
    assert records == [records[0]] * 3


def test_an_unknown_id_gets_the_nearest(one_dsn: str) -> None:
    """Typos are told; where nothing was ever recorded there is nothing to name."""
    for call in (bulkio.show_load, bulkio.forget_load):
        with pytest.raises(bulkio.LedgerError, match=r"the ledger has no load 'nihgtly'$"):
            call("nihgtly", one_dsn)
    assert bulkio.list_loads(one_dsn) == ()
    assert bulkio.gc_loads(one_dsn, older_than="0d") == ()
    load(one_dsn, "nightly")
    for call in (bulkio.show_load, bulkio.forget_load):
        with pytest.raises(bulkio.LedgerError, match=r"no load 'nihgtly'; did you mean \"nightly\"\?") as caught:
            call("nihgtly", one_dsn)
        assert caught.value.load_id == "nihgtly"


def test_appended_rows_are_not_forgotten_at_once(one_dsn: str) -> None:
    """A retry would append them again; after a while nobody retries, and `gc_loads` forgets them."""
    load(one_dsn, "x")
    with pytest.raises(bulkio.LedgerError, match=r"load 'x' has appended 3 rows to public\.t: forgotten, a retry"):
        bulkio.forget_load("x", one_dsn)
    assert bulkio.gc_loads(one_dsn, older_than="1d") == ()
    with connect(one_dsn) as conn:
        conn.execute("UPDATE bulkio_ledger.loads SET finished_at = now() - interval '25 hours'")
    load(one_dsn, "y")
    assert [record.load_id for record in bulkio.gc_loads(one_dsn, older_than="1d")] == ["x"]
    assert [record.load_id for record in bulkio.list_loads(one_dsn)] == ["y"]


@pytest.mark.parametrize("text", ["90", "d", "", "1.5d", 90])
def test_an_age_needs_its_unit(text: object) -> None:
    """A number alone could be days or seconds."""
    with pytest.raises(bulkio.ConfigError, match="must be a number of days, such as '90d'"):
        bulkio.gc_loads("host=nowhere", older_than=text)


FOREIGN = {
    "CREATE TABLE bulkio_ledger.loads (id text PRIMARY KEY)": "its column table_schema is missing",
    "CREATE VIEW bulkio_ledger.loads AS SELECT * FROM mine": "it is not a table",
    "CREATE TABLE bulkio_ledger.loads (LIKE mine)": "id is not its key",
    "CREATE TABLE bulkio_ledger.loads (LIKE mine, PRIMARY KEY (id, run))": "id is not its key",
}


@pytest.mark.parametrize("ddl", FOREIGN)
def test_a_table_of_its_name_is_not_taken_for_the_ledger(one_dsn: str, ddl: str) -> None:
    """It is an error that says what is odd, and in another schema all is well; nothing is loaded meanwhile."""
    with connect(one_dsn) as conn:
        conn.execute(bulkio.ledger_ddl(role="bulkio"))
        conn.execute("CREATE TABLE mine (LIKE bulkio_ledger.loads)")
        conn.execute(f"DROP TABLE bulkio_ledger.loads; {ddl}")
    for call in (lambda: load(one_dsn, "x"), lambda: bulkio.list_loads(one_dsn)):
        with pytest.raises(
            bulkio.LedgerError, match=rf"is not a ledger of bulkio's: {FOREIGN[ddl]}.*\(ledger_schema\)"
        ):
            call()
    assert fetch(one_dsn, "SELECT to_regclass('t')") == [(None,)]
    assert load(one_dsn, "x", ledger_schema='odd "schema"').rows == 3
    assert [record.load_id for record in bulkio.list_loads(one_dsn, ledger_schema='odd "schema"')] == ["x"]


def as_plain(dsn: str) -> str:
    return f"postgresql://plain:x@{dsn.partition('@')[2]}"


@pytest.mark.parametrize("driver", DRIVERS)
def test_the_printed_grants_are_enough_and_needed(server: TestServer, dsn: str, driver: str) -> None:
    """A role with just these loads with an id; without them, and without each, the error names what prints them."""
    server.admin.execute("CREATE ROLE plain LOGIN PASSWORD 'x'")
    try:
        with connect(dsn) as conn:
            conn.execute("CREATE TABLE t (a int8); GRANT INSERT ON t TO plain")
            denied = (
                r"may not use the ledger of loads, schema \"bulkio_ledger\" \(permission denied.*`bulkio loads ddl`"
            )
            with pytest.raises(bulkio.LedgerError, match=denied):
                load(as_plain(dsn), "x", driver=driver)
            conn.execute(bulkio.ledger_ddl(role="plain"))
            assert [load(as_plain(dsn), "x", driver=driver).already for _ in range(2)] == [False, True]
            assert len(bulkio.list_loads(as_plain(dsn), driver=driver)) == 1
            with pytest.raises(bulkio.LedgerError, match=denied):
                bulkio.gc_loads(as_plain(dsn), older_than="0d", driver=driver)
            for privilege in ("INSERT", "SELECT"):
                conn.execute(f"REVOKE {privilege} ON bulkio_ledger.loads FROM plain")
                with pytest.raises(bulkio.LedgerError, match=denied):
                    load(as_plain(dsn), "y", driver=driver)
            assert fetch(dsn, "SELECT count(*) FROM t") == [(3,)]
            conn.execute("DROP SCHEMA bulkio_ledger CASCADE; DROP TABLE t")
    finally:
        server.admin.execute("DROP ROLE plain")


@pytest.mark.parametrize("what", ["schema", "table"])
def test_a_ledger_of_a_stranger_is_refused(server: TestServer, dsn: str, what: str) -> None:
    """A trigger of his would run with the rights of whoever loads: a superuser's, here."""
    server.admin.execute("CREATE ROLE plain LOGIN PASSWORD 'x'")
    try:
        with connect(dsn) as conn:
            if what == "table":
                conn.execute(bulkio.ledger_ddl())
                conn.execute("ALTER TABLE bulkio_ledger.loads OWNER TO plain")
            else:
                conn.execute("CREATE SCHEMA bulkio_ledger AUTHORIZATION plain")
            refused = (
                r'schema "bulkio_ledger", belongs to role "plain", whose triggers would run with this role\'s rights'
            )
            for call in (lambda: load(dsn, "x"), lambda: bulkio.list_loads(dsn)):
                with pytest.raises(bulkio.LedgerError, match=refused):
                    call()
            assert fetch(dsn, "SELECT to_regclass('t')") == [(None,)]
            if what == "table":
                conn.execute("GRANT USAGE ON SCHEMA bulkio_ledger TO plain; CREATE TABLE t (a int8)")
                conn.execute("GRANT INSERT ON t TO plain")
                assert load(as_plain(dsn), "x").rows == 3  # it is his own
            conn.execute("DROP SCHEMA bulkio_ledger CASCADE; DROP TABLE IF EXISTS t")
    finally:
        server.admin.execute("DROP ROLE plain")


def test_nobody_else_gets_a_privilege(dsn: str) -> None:
    """Whatever the default privileges are, the public gets none."""
    with connect(dsn) as conn:
        conn.execute("ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC")
        conn.execute("ALTER DEFAULT PRIVILEGES GRANT ALL ON SCHEMAS TO PUBLIC")
    load(dsn, "x")
    acls = "SELECT nspacl::text FROM pg_namespace WHERE nspname = 'bulkio_ledger' UNION ALL"
    acls += " SELECT relacl::text FROM pg_class WHERE oid = 'bulkio_ledger.loads'::regclass"
    assert not [acl for (acl,) in fetch(dsn, acls) if "{=" in acl or ",=" in acl]


@pytest.mark.parametrize("path", traps.PATHS)
@pytest.mark.parametrize("driver", DRIVERS)
def test_the_search_path_has_no_say(dsn: str, path: str, driver: str) -> None:
    """Operators, functions and types that look like PostgreSQL's own are not called by the ledger's statements."""
    with connect(dsn) as conn:
        traps.lay_traps(conn, path)
    assert [load(dsn, "x", "public.t", driver=driver).already for _ in range(2)] == [False, True]
    assert bulkio.show_load("x", dsn, driver=driver).rows == 3
    assert len(bulkio.gc_loads(dsn, older_than="0d", driver=driver)) == 1


def test_a_row_that_is_not_done_has_no_end() -> None:
    """It commits in parts, and says how another run could go on with it."""
    work = json.dumps(LoadWork(chunks=7, place=("s", "bulkio_staging_1"), paths=("/a b",)).as_dict())
    started = "2026-01-02 03:04:05.6+00"
    row = ("x", "s", "t", "append", "{}", "{}", "running", work, started, None, None, None, "1", "run")
    record = record_of(row)
    assert (record.finished_at, record.rows, record.report, record.appended_rows) == (None, None, None, 0)
    assert record.work == LoadWork(chunks=7, place=("s", "bulkio_staging_1"), paths=("/a b",))
    assert record.started_at == datetime(2026, 1, 2, 3, 4, 5, 600_000, UTC)
    assert record.as_dict()["finished_at"] is None
