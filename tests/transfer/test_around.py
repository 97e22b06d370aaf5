"""The user's own statements around the rows: their order, what they may not do, and what a failed check says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pyarrow as pa
import pytest

import bulkio
from bulkio.options import LoadRequest
from bulkio.plan import MODES, Statement
from bulkio.transfer.around import run_statements
from bulkio.transfer.session import open_session, transaction
from servers import connect, fetch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bulkio.choices import DriverName, Mode

DRIVERS = ["asyncpg", "psycopg"]
ROWS = pa.table({"id": pa.array([1, 2], pa.int64()), "v": ["a", "b"]})
#: what each mode needs beside the source
MODE_OPTIONS: Mapping[Mode, Mapping[str, object]] = {
    "upsert": {"key": ["id"]},
    "insert-new": {"key": ["id"]},
    "replace-where": {"where": "id < 10"},
}


def make(dsn: str, *statements: str) -> None:
    """Run statements in the test's database."""
    with connect(dsn) as conn:
        for statement in statements:
            conn.execute(statement)


@pytest.mark.parametrize("driver", DRIVERS)
def test_statements_run_around_the_rows_in_their_order(dsn: str, driver: DriverName) -> None:
    """Before, rows, after, check: each sees what came before it, under the user's search_path."""
    make(
        dsn,
        "CREATE SCHEMA s",
        "CREATE TABLE s.t (id bigint, v text)",
        "INSERT INTO s.t VALUES (9, 'old')",
        "CREATE TABLE s.seen (what text, n bigint)",
    )
    bulkio.load(
        ROWS,
        "t",
        f"{dsn}&options=-csearch_path%3Ds",
        driver=driver,
        mode="truncate",
        before=["INSERT INTO seen SELECT 'before', count(*) FROM t;", "SELECT 'rows are dropped' -- and this"],
        after="INSERT INTO seen SELECT 'after', count(*) FROM t",
        check=["SELECT count(*) = 2 FROM seen", "SELECT true, 'more'"],
    )
    assert fetch(dsn, "SELECT * FROM s.seen ORDER BY n") == [("before", 1), ("after", 2)]


@pytest.mark.parametrize("driver", DRIVERS)
def test_what_a_statement_sets_holds_for_the_next(dsn: str, driver: DriverName) -> None:
    """Of the same option; the rows and what stands behind them go by the user's own path again."""
    make(dsn, "CREATE SCHEMA s", "CREATE SCHEMA r", "CREATE TABLE s.t (id bigint, v text)")
    bulkio.load(
        ROWS,
        "t",
        f"{dsn}&options=-csearch_path%3Ds",
        driver=driver,
        before=["SET LOCAL search_path = r", "CREATE TABLE u AS SELECT 1 AS a"],
        after="CREATE TABLE w AS TABLE t",
    )
    assert fetch(dsn, "SELECT (SELECT a FROM r.u), (SELECT count(*) FROM s.w), count(*) FROM s.t") == [(1, 2, 2)]


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode != "create"])
def test_every_mode_takes_them_and_rolls_all_back(dsn: str, mode: Mode) -> None:
    """Where the check fails, what stands before and after the rows is undone with them."""
    make(dsn, "CREATE TABLE t (id bigint PRIMARY KEY, v text)", "INSERT INTO t VALUES (5, 'x')")
    around = {
        "before": "CREATE TABLE made_before ()",
        "after": "CREATE TABLE made_after AS SELECT * FROM t",
        **MODE_OPTIONS.get(mode, {}),
    }
    with pytest.raises(bulkio.CheckError):
        bulkio.load(ROWS, "t", dsn, mode=mode, check="SELECT count(*) > 99 FROM t", **around)
    assert fetch(dsn, "SELECT * FROM t") == [(5, "x")]
    assert fetch(dsn, "SELECT to_regclass('made_before'), to_regclass('made_after')") == [(None, None)]
    bulkio.load(ROWS, "t", dsn, mode=mode, check="SELECT bool_or(v = 'b') FROM t", **around)
    assert fetch(dsn, "SELECT v FROM t WHERE id = 2") == [("b",)]
    assert fetch(dsn, "SELECT to_regclass('made_before') IS NOT NULL, count(*) >= 2 FROM made_after") == [(True, True)]


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize(
    ("check", "message"),
    [
        ("SELECT count(*) = 3 AS ok, count(*) AS n, max(v) FROM t", """it gave "ok": 'f', "n": '2', "max": 'b'"""),
        ("SELECT NULL::boolean", 'it gave "bool": NULL'),
        ("SELECT true WHERE false", "it returned no row"),
        ("SELECT id > 1 AS ok FROM t ORDER BY id", """it returned more than one row, the first being "ok": 'f'"""),
        ("SELECT 1", "the first column of its result must be boolean, and is not"),
        ("SELECT true FROM (VALUES (1), (2)) AS x -- both", "it returned more than one row, the first being"),
        (f"SELECT false, {', '.join('1' * 30)}", "..."),
    ],
)
def test_a_failed_check_shows_its_result(dsn: str, driver: DriverName, check: str, message: str) -> None:
    """Anything but one true is a failure, whose message has the query and the row; nothing is left."""
    with pytest.raises(bulkio.CheckError) as caught:
        bulkio.load(ROWS, "t", dsn, driver=driver, check=check)
    assert str(caught.value).startswith("check failed, so nothing was loaded: ")
    assert message in str(caught.value)
    assert str(caught.value).endswith(f"\n  {check}")
    assert caught.value.query == check
    assert fetch(dsn, "SELECT to_regclass('t')") == [(None,)]


def test_which_of_several_checks_failed(dsn: str) -> None:
    """The message counts them."""
    with pytest.raises(bulkio.CheckError, match="check 2 failed, so nothing was loaded"):
        bulkio.load(ROWS, "t", dsn, check=["SELECT true", "SELECT false"])


@pytest.mark.parametrize("option", ["before", "after", "check"])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("COMMIT", "runs in the load's own transaction, and COMMIT would end or split it"),
        ("/* x */ rollback to a", "and ROLLBACK would end or split it"),
        ("savepoint x", "and SAVEPOINT would end or split it"),
        ("prepare\ntransaction 'x'", "and PREPARE TRANSACTION would end or split it"),
        ("SELECT 1; SELECT 2", "the statement holds more than one statement"),
        ("", "the statement is empty"),
        ("SELECT $1", r"the statement uses \$1"),
        ("SELECT (", "the statement leaves a bracket open"),
    ],
)
def test_what_is_refused_before_anything_is_tried(option: str, text: str, message: str) -> None:
    """One statement that stays inside of the transaction, told before a connection is made."""
    with pytest.raises(bulkio.ConfigError, match=message) as caught:
        bulkio.load(ROWS, "t", "host=/nowhere", **{option: ["SELECT true", text]})
    assert str(caught.value).startswith(f"{option} 2 (")


def test_other_refusals() -> None:
    """A check must be a query, COPY of the client is the load's, and a statement is a text."""
    with pytest.raises(bulkio.ConfigError, match="must be a query whose first column tells"):
        bulkio.load(ROWS, "t", "host=/nowhere", check="ANALYZE")
    with pytest.raises(bulkio.ConfigError, match="COPY between server and client"):
        bulkio.load(ROWS, "t", "host=/nowhere", after="COPY t FROM STDIN")
    with pytest.raises(bulkio.ConfigError, match="before has 1, and must be a text, or a list of texts"):
        bulkio.load(ROWS, "t", "host=/nowhere", before=[1])


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("option", ["before", "after", "check"])
def test_the_server_s_error_names_the_statement(dsn: str, driver: DriverName, option: str) -> None:
    """What the server refuses is told as that statement's."""
    with pytest.raises(bulkio.DriverError) as caught:
        bulkio.load(ROWS, "t", dsn, driver=driver, **{option: ["SELECT true", "SELECT missing.f()"]})
    assert str(caught.value) == f"{option} 2 ('SELECT missing.f()'): schema \"missing\" does not exist"
    assert caught.value.sqlstate == "3F000"
    assert fetch(dsn, "SELECT to_regclass('t')") == [(None,)]


async def _ended(dsn: str, driver: DriverName) -> None:
    request = LoadRequest(ROWS, "t", dsn, driver=driver)
    async with open_session(dsn, request) as session, transaction(session, read_only=False):
        await run_statements(session, [Statement("before", 0, "COMMIT")])


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_transaction_that_was_ended_all_the_same_is_noticed(dsn: str, driver: DriverName) -> None:
    """What the words of a statement do not tell, the transaction's id does."""
    with pytest.raises(bulkio.ConfigError, match="has ended the transaction"):
        anyio.run(_ended, dsn, driver)


@pytest.mark.parametrize(
    ("ddl", "before"),
    [
        ("CREATE TABLE t (id bigint, v text)", "ALTER TABLE t ALTER id TYPE float8"),
        ("CREATE TABLE other ()", "CREATE TABLE t (id float8, v text)"),
    ],
)
def test_a_table_that_is_another_than_was_planned_for(dsn: str, ddl: str, before: str) -> None:
    """COPY BINARY would put the bits of an integer into a float: that is refused."""
    make(dsn, ddl)
    with pytest.raises(
        bulkio.SchemaError, match=r'made or changed table "public"\."t", for which the load was planned'
    ):
        bulkio.load(ROWS, "t", dsn, before=before)


@pytest.mark.parametrize("method", ["binary", "csv"])
def test_settings_of_a_statement_change_no_value(dsn: str, method: str) -> None:
    """Whatever it sets, text stays UTF-8, and a date means what it meant."""
    rows = pa.table({"v": ["é"], "d": pa.array([0], pa.date32())})
    settings = ["SET client_encoding = 'LATIN1'", "SET DateStyle = 'SQL, DMY'", "SET LOCAL search_path = pg_temp"]
    bulkio.load(rows, "public.t", dsn, method=method, before=settings)
    assert fetch(dsn, "SELECT v, d::text FROM t") == [("é", "1970-01-01")]


def test_the_plan_shows_them(dsn: str) -> None:
    """A dry run lists them and runs none."""
    plan = bulkio.plan_load(ROWS, "t", dsn, before="CREATE TABLE x ()", after="ANALYZE x", check="SELECT true")
    lines = str(plan).splitlines()
    assert (
        lines.index("  before: CREATE TABLE x ()")
        < lines.index("  after: ANALYZE x")
        < lines.index("  check: SELECT true")
    )
    assert fetch(dsn, "SELECT to_regclass('x')") == [(None,)]


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("path", ["public", "%22%24user%22,public,pg_temp", ""])
def test_checks_of_a_replace(dsn: str, driver: DriverName, path: str) -> None:
    """They see the hidden table by the table's own name, while the old one is not even locked against readers."""
    make(dsn, "CREATE TABLE public.t (id bigint, v text)", "INSERT INTO public.t VALUES (7, 'old')")
    locked = "SELECT count(*) = 0 FROM pg_locks WHERE relation = 'public.t'::regclass AND mode = 'AccessExclusiveLock'"
    options = {"mode": "replace", "driver": driver, "before": "SELECT count(*) FROM public.t"}
    dsn = f"{dsn}&options=-csearch_path%3D{path or '%27%27'}"
    with pytest.raises(bulkio.CheckError, match=r"it gave \"ok\": 'f', \"count\": '2'"):
        bulkio.load(ROWS, "public.t", dsn, check="SELECT count(*) > 2 AS ok, count(*) FROM t", **options)
    assert fetch(dsn, "SELECT v FROM public.t") == [("old",)]
    bulkio.load(ROWS, "public.t", dsn, check=["SELECT count(*) = 2 FROM t", locked], **options)
    assert fetch(dsn, "SELECT v FROM public.t ORDER BY v") == [("a",), ("b",)]


def test_checks_of_a_replace_must_not_read_the_old_table(dsn: str) -> None:
    """A name with its schema is the old table's, of which nothing will be left, even where it was read before."""
    make(dsn, "CREATE TABLE t (id bigint, v text)", "INSERT INTO t VALUES (7, 'old')")
    for before in ((), "SELECT count(*) FROM t"):
        with pytest.raises(bulkio.CheckError, match='it reads the old table: name it "t", without its schema'):
            bulkio.load(ROWS, "t", dsn, mode="replace", before=before, check="SELECT count(*) = 1 FROM public.t")


def test_checks_of_a_replace_are_asked_again_after_after(dsn: str) -> None:
    """What `after` does to the new table is checked, too."""
    make(dsn, "CREATE TABLE t (id bigint, v text)")
    with pytest.raises(bulkio.CheckError, match="it gave"):
        bulkio.load(ROWS, "t", dsn, mode="replace", after="DELETE FROM t", check="SELECT count(*) = 2 FROM t")
