"""Exports and readers: queries, snapshots, abandoned readers, and what cannot be exported."""

from __future__ import annotations

import asyncio
import gc
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import bulkio
from bulkio import aio, flow
from gaps import lacking
from servers import connect

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import psycopg

    from servers import TestServer


def with_setting(dsn: str, setting: str) -> str:
    return f"{dsn}{'&' if '?' in dsn else '?'}options={quote('-c' + setting)}"


METHODS = ["binary", "cursor"]
DRIVERS = ["asyncpg", "psycopg"]


def run(dsn: str, *statements: str) -> list[tuple[object, ...]]:
    with connect(dsn) as conn:
        for statement in statements:
            cursor = conn.execute(statement)
        return cursor.fetchall() if cursor.description else []


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("method", METHODS)
def test_a_query_with_parameters(dsn: str, driver: str, method: str) -> None:
    """Types and typmods are those that the server describes, whichever driver asks."""
    table = bulkio.read(
        "SELECT $1::numeric(10,2) AS n, $2::int[] AS a, $3 AS t -- $4",
        dsn,
        params=["12.3", "{1,NULL}", "it's; \\ $1"],
        driver=driver,
        method=method,
    ).read_all()
    assert table.schema.types == [pa.decimal128(10, 2), pa.list_(pa.int32()), pa.string()]
    assert [str(v) for v in table.to_pylist()[0].values()] == ["12.30", "[1, None]", "it's; \\ $1"]


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("method", METHODS)
def test_an_empty_result_has_its_schema(one_dsn: str, driver: str, method: str) -> None:
    """Zero rows are a valid result, and a valid file."""
    table = bulkio.read("SELECT 1 AS a, 'x'::text AS b WHERE false", one_dsn, driver=driver, method=method).read_all()
    assert (table.num_rows, table.schema.names) == (0, ["a", "b"])


def test_a_result_with_one_name_twice(one_dsn: str) -> None:
    """Arrow can hold it, so it is read."""
    assert bulkio.read("SELECT 1 AS a, 2 AS a", one_dsn).read_all().column(1).to_pylist() == [2]


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("'infinity'::date", "an infinity or NaN in date has no counterpart in Arrow's date32"),
        ("'-infinity'::timestamptz", "an infinity or NaN in timestamptz"),
        ("'NaN'::numeric(5,2)", r"an infinity or NaN in numeric\(5,2\)"),
        ("'24:00'::time", "a value of time is outside what Arrow's time64"),
        ("'294276-12-31'::timestamp", "a value of timestamp is outside"),
        ("'{{1,2},{3,4}}'::int[]", "an array of (2|several) dimensions"),
        ("'[0:1]={1,2}'::int[]", "an array with lower bound 0"),
        ("ARRAY['infinity'::date]", "an infinity or NaN in date"),
    ],
)
def test_what_arrow_cannot_hold_names_its_row_and_column(
    one_dsn: str, driver: str, method: str, expression: str, message: str
) -> None:
    """Every driver and method refuses it, at the same row, in the same words."""
    typed = expression.rpartition("::")[2] if "::" in expression and "ARRAY" not in expression else "date[]"
    query = f"SELECT (CASE WHEN i = 3 THEN {expression} END)::{typed} AS v FROM generate_series(1, 5) i"
    with pytest.raises(bulkio.DecodeError, match=f'row 3, column "v": .*{message}') as caught:
        bulkio.read(query, one_dsn, driver=driver, method=method).read_all()
    assert (caught.value.row, caught.value.column) == (3, "v")


def test_a_type_without_a_codec_comes_as_the_servers_text(one_dsn: str) -> None:
    """A type that bulkio has never heard of travels as text, and its metadata names it."""
    reader = bulkio.read("SELECT '(1,1),(0,0)'::box b, 1 AS i, '{1}'::int[] IS NULL AS n", one_dsn)
    assert reader.schema.field("b").metadata[b"ADBC:postgresql:typname"] == b"box"
    assert reader.read_all().to_pylist() == [{"b": "(1,1),(0,0)", "i": 1, "n": False}]


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("method", METHODS)
def test_text_is_that_of_the_types_output_function(dsn: str, driver: str, method: str) -> None:
    """Not that of a cast to text, which a user may have made; and NULL, empty and all-null values stay apart."""
    run(
        dsn,
        "CREATE TYPE cu AS (a int, b box)",
        "CREATE FUNCTION cut(cu) RETURNS text LANGUAGE sql AS $$SELECT 'LOSSY'$$",
        "CREATE CAST (cu AS text) WITH FUNCTION cut(cu)",
        "CREATE DOMAIN dom AS cu",
        "CREATE TABLE t (i int, c cu, d dom, arr cu[], v tsvector)",
        "INSERT INTO t VALUES (1, '(1,\"(1,1),(0,0)\")', '(,)', '{\"(2,)\",NULL}', ''), (2, NULL, NULL, NULL, NULL),"
        " (3, '(,)', NULL, '{}', 'a')",
    )
    rows = bulkio.read("t", dsn, driver=driver, method=method).read_all().to_pylist()
    assert [list(row.values()) for row in rows] == [
        [1, '(1,"(1,1),(0,0)")', "(,)", '{"(2,)",NULL}', ""],
        [2, None, None, None, None],
        [3, "(,)", None, "{}", "'a'"],
    ]


_PATH_DEPENDENT = {
    "regclass": "s1.t",
    "regtype": "s1.t",
    "regproc": "s1.f",
    "regprocedure": "s1.f(s1.t)",
    "regoper": "s1.###",
    "regoperator": "s1.###(integer,integer)",
    "regcollation": "s1.c",
    "regconfig": "s1.conf",
    "regdictionary": "s1.dict",
    "regclass[]": "{s1.t}",
    "public.pair": "(1,s1.t)",
    "public.named": "s1.t",
    "public.pair[]": '{"(1,s1.t)"}',
}


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("method", METHODS)
def test_names_of_objects_have_their_schemas(dsn: str, driver: str, method: str, tmp_path: Path) -> None:
    """What a session's search_path finds is another object under another path; without a pin, it is refused."""
    setup = """
        CREATE SCHEMA {0}; SET search_path = {0}, public; CREATE TABLE {0}.t (a int);
        CREATE FUNCTION f(t) RETURNS int LANGUAGE sql AS 'SELECT 1';
        CREATE FUNCTION g(int, int) RETURNS int LANGUAGE sql AS 'SELECT 1';
        CREATE OPERATOR ### (FUNCTION = g, LEFTARG = int, RIGHTARG = int); CREATE COLLATION c (LOCALE = 'C');
        CREATE TEXT SEARCH CONFIGURATION conf (COPY = pg_catalog.simple);
        CREATE TEXT SEARCH DICTIONARY dict (TEMPLATE = pg_catalog.simple)
    """
    columns = ", ".join(f"c{i} {kind}" for i, kind in enumerate(_PATH_DEPENDENT))
    values = ", ".join(f"'{value}'" for value in _PATH_DEPENDENT.values())
    run(
        dsn,
        setup.format("s1"),
        setup.format("s2"),
        "CREATE TYPE public.pair AS (a int, r regclass); CREATE DOMAIN public.named AS regclass",
        f"CREATE TABLE public.rc ({columns})",
        f"INSERT INTO public.rc VALUES ({values})",
        "CREATE VIEW public.v AS SELECT * FROM public.rc",
    )
    ways = {"driver": driver, "method": method}
    first, second = (with_setting(dsn, f"search_path={schema},public") for schema in ("s1", "s2"))
    [row] = bulkio.read("public.rc", first, **ways).read_all().to_pylist()
    assert list(row.values()) == list(_PATH_DEPENDENT.values())
    bulkio.export("public.rc", tmp_path / "rc.arrow", first, **ways)
    bulkio.load(tmp_path / "rc.arrow", "public.rc", second, driver=driver)
    assert len(run(dsn, "SELECT DISTINCT c0::oid, c1::oid, c2::oid, c3::oid, c4::oid, c10::text FROM public.rc")) == 1
    for query in ("SELECT * FROM rc", "public.v"):
        with pytest.raises(bulkio.SchemaError, match="select it as oid") as caught:
            bulkio.read(query, first, **ways)
        assert len(caught.value.columns) == len(_PATH_DEPENDENT)


def test_a_view_keeps_the_search_path_that_its_functions_need(dsn: str) -> None:
    """Only tables are read under another one."""
    run(
        dsn,
        "CREATE SCHEMA s; CREATE TABLE s.t AS SELECT 7 AS a",
        "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT a FROM t); END'",
        "CREATE VIEW v AS SELECT f() AS a, '(1,1),(0,0)'::box AS b, 'pg_monitor'::text::regrole AS r",
    )
    rows = bulkio.read("v", with_setting(dsn, "search_path=public,s")).read_all().to_pylist()
    assert rows == [{"a": 7, "b": "(1,1),(0,0)", "r": "pg_monitor"}]


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("method", METHODS)
def test_money_within_text_is_that_of_the_c_locale(dsn: str, driver: str, method: str) -> None:
    """As a load reads it; and only where there is some, for a query may ask for its own locale's."""
    run(dsn, "CREATE TYPE mc AS (a money, b box)", "CREATE TABLE t AS SELECT '(1234.5,)'::mc AS m")
    query = "SELECT m, current_setting('lc_monetary') AS c FROM t"
    posix = with_setting(dsn, "lc_monetary=POSIX")
    rows = bulkio.read(query, posix, driver=driver, method=method).read_all().to_pylist()
    assert rows == [{"m": '("$1,234.50",)', "c": "C"}]
    query = "SELECT '(1,1),(0,0)'::box AS b, current_setting('lc_monetary') AS c"
    rows = bulkio.read(query, posix, driver=driver, method=method).read_all().to_pylist()
    assert rows == [{"b": "(1,1),(0,0)", "c": "POSIX"}]


def test_pseudo_types_come_as_text(dsn: str) -> None:
    """Anonymous records, and arrays of any type as the statistics have them."""
    run(dsn, "CREATE TABLE t AS SELECT 1 AS a FROM generate_series(1, 100)", "ANALYZE t")
    query = "SELECT most_common_vals AS v, ROW(1, NULL, 'x y') AS r FROM pg_stats WHERE tablename = 't'"
    assert bulkio.read(query, dsn).read_all().to_pylist() == [{"v": "{1}", "r": '(1,,"x y")'}]


def test_partitions_views_and_children_are_read(one_dsn: str) -> None:
    """COPY t TO would refuse or skip them."""
    run(
        one_dsn,
        "CREATE TABLE p (a int) PARTITION BY LIST (a)",
        "CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1)",
        "INSERT INTO p VALUES (1)",
        "CREATE VIEW v AS SELECT a + 1 AS b FROM p",
        "CREATE TABLE parent (a int)",
        "CREATE TABLE child () INHERITS (parent)",
        "INSERT INTO child VALUES (7)",
    )
    read = [bulkio.read(name, one_dsn).read_all().to_pylist() for name in ("p", "v", "parent")]
    assert read == [[{"a": 1}], [{"b": 2}], [{"a": 7}]]


#: what a transaction does to tt(a int), of 900 rows and 100 more in a child -> the columns and rows that are then read
_CHANGES = {
    "truncate": ("TRUNCATE tt; INSERT INTO tt SELECT g FROM generate_series(1, 500) g", ["a"], 500),
    "rewrite": ("ALTER TABLE tt ALTER a TYPE bigint", ["a"], 1000),
    "another type, no rewrite": ("ALTER TABLE tt ALTER a TYPE oid", ["a"], 1000),
    "new column": ("ALTER TABLE tt ADD z int DEFAULT (random() * 10)::int", ["a", "z"], 1000),
    "new column, no rewrite": ("ALTER TABLE tt ADD z int DEFAULT 7", ["a", "z"], 1000),
    "swap": (
        "CREATE TABLE t2 AS SELECT a FROM tt WHERE a <= 700; DROP TABLE tt CASCADE; ALTER TABLE t2 RENAME TO tt",
        ["a"],
        700,
    ),
    "no inherit": ("LOCK TABLE tt; ALTER TABLE child NO INHERIT tt; INSERT INTO tt SELECT a FROM child", ["a"], 1000),
    "nothing": ("LOCK TABLE tt", ["a"], 1000),
}


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("what", ["tt", "SELECT * FROM tt"])
@pytest.mark.parametrize("change", _CHANGES)
def test_an_export_that_waits_for_a_change_sees_all_of_it(
    dsn: str, driver: str, method: str, what: str, change: str
) -> None:
    """The snapshot is taken once the locks are held: TRUNCATE and its like leave nothing for an older one."""
    statements, columns, rows = _CHANGES[change]
    run(dsn, "CREATE TABLE tt AS SELECT g::int AS a FROM generate_series(1, 900) g")
    run(dsn, "CREATE TABLE child () INHERITS (tt)", "INSERT INTO child SELECT g FROM generate_series(901, 1000) g")
    table = read_during(dsn, statements, lambda: bulkio.read(what, dsn, driver=driver, method=method).read_all())
    assert (table.column_names, table.num_rows) == (columns, rows)
    assert table.schema == bulkio.read(what, dsn, driver=driver, method=method).schema


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize(
    "change",
    [
        "TRUNCATE p1; INSERT INTO p1 SELECT 1 FROM generate_series(1, 100)",
        "ALTER TABLE p DETACH PARTITION p1; CREATE TABLE q (a int); INSERT INTO q SELECT a FROM p1;"
        " ALTER TABLE p ATTACH PARTITION q FOR VALUES IN (1)",
        "DELETE FROM p; ALTER TABLE p ATTACH PARTITION spare FOR VALUES IN (3)",
        "DELETE FROM p; DROP TABLE p2; INSERT INTO p SELECT 1 FROM generate_series(1, 100)",
    ],
)
def test_a_view_of_partitions_that_change(dsn: str, driver: str, change: str) -> None:
    """All that a view reads is locked first, and its partitions are those of the same moment."""
    run(
        dsn,
        "CREATE TABLE p (a int) PARTITION BY LIST (a)",
        "CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1)",
        "CREATE TABLE p2 PARTITION OF p FOR VALUES IN (2)",
        "INSERT INTO p SELECT 1 FROM generate_series(1, 100)",
        "CREATE TABLE spare AS SELECT 3 AS a FROM generate_series(1, 100)",
        "CREATE VIEW v AS SELECT a FROM p",
    )
    table = read_during(dsn, f"LOCK TABLE p; {change}", lambda: bulkio.read("v", dsn, driver=driver).read_all())
    assert table.num_rows == 100


def read_during(dsn: str, change: str, read: Callable[[], pa.Table]) -> pa.Table:
    """Begin to read while a transaction has all locked and changed; commit it, and give what was read."""
    with ThreadPoolExecutor(1) as thread, connect(dsn) as changer:
        changer.execute("BEGIN")
        changer.execute(change)
        reading = thread.submit(read)
        while not run(dsn, "SELECT 1 FROM pg_locks WHERE NOT granted"):
            assert not reading.done()
            time.sleep(0.01)
        changer.execute("COMMIT")
        return reading.result()


_NULLS = {
    "NOT VALID": (
        18,
        "CREATE TABLE t (a int, b int NOT NULL); INSERT INTO t VALUES (NULL, 1);"
        " ALTER TABLE t ADD CONSTRAINT n NOT NULL a NOT VALID",
    ),
    "a child without the parent's NOT NULL": (
        15,
        "CREATE TABLE t (b int NOT NULL, a int); CREATE TABLE child () INHERITS (t);"
        " CREATE TABLE grandchild () INHERITS (child); ALTER TABLE ONLY t ALTER a SET NOT NULL;"
        " INSERT INTO grandchild VALUES (1, NULL)",
    ),
    "NO INHERIT": (
        18,
        "CREATE TABLE t (b int NOT NULL, a int, CONSTRAINT n NOT NULL a NO INHERIT);"
        " CREATE TABLE child () INHERITS (t); INSERT INTO child VALUES (1, NULL)",
    ),
    "foreign table": (
        0,
        "CREATE EXTENSION file_fdw; CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;"
        " CREATE TABLE t (b int NOT NULL, a int NOT NULL) PARTITION BY LIST (b); CREATE FOREIGN TABLE t1 PARTITION OF t"
        " FOR VALUES IN (1) SERVER files OPTIONS (program 'echo 1,', format 'csv')",
    ),
}


@pytest.mark.parametrize("case", _NULLS)
def test_what_may_hold_nulls_is_nullable(dsn: str, server: TestServer, case: str, tmp_path: Path) -> None:
    """A field is declared to hold no NULLs only where that is proven for every row that is read."""
    version, setup = _NULLS[case]
    if version not in (0, server.version):
        lacking(f"PostgreSQL {version}")  # others have another syntax, or other rules
    run(dsn, setup)
    bulkio.export("t", tmp_path / "t.parquet", dsn)
    schema = pq.read_schema(tmp_path / "t.parquet")
    assert (schema.field("a").nullable, schema.field("b").nullable) == (True, case == "foreign table")
    report = bulkio.load(tmp_path / "t.parquet", "again", dsn)
    assert (report.created, run(dsn, "SELECT a, b FROM again")) == (True, [(None, 1)])


def test_row_security_fails_instead_of_hiding_rows(one_dsn: str) -> None:
    """An export by a role that a policy limits is an error."""
    password = one_dsn.split("//", 1)[1].split("@", maxsplit=1)[0].split(":")[1]
    run(
        one_dsn,
        "CREATE TABLE t (a int)",
        "ALTER TABLE t ENABLE ROW LEVEL SECURITY",
        f"CREATE ROLE reader_{time.time_ns()} LOGIN PASSWORD '{password}'",
    )
    (role,) = run(one_dsn, "SELECT max(rolname) FROM pg_roles WHERE rolname LIKE 'reader_%'")[0]
    run(one_dsn, f"GRANT SELECT ON t TO {role}")
    try:
        with pytest.raises(bulkio.DriverError, match="row-level security"):
            bulkio.read("t", one_dsn.replace("//bulkio:", f"//{role}:"))
    finally:
        run(one_dsn, f"DROP OWNED BY {role}", f"DROP ROLE {role}")


def test_unknown_tables_and_columns(one_dsn: str) -> None:
    """The error says which."""
    run(one_dsn, "CREATE TABLE t (a int)")
    with pytest.raises(bulkio.SchemaError, match=r"table public\.nope does not exist"):
        bulkio.read("public.nope", one_dsn)
    with pytest.raises(bulkio.SchemaError, match='"b": the table has no such column'):
        bulkio.read("t", one_dsn, columns=["b"])
    with pytest.raises(bulkio.ConfigError, match=r"'SELEC 1' is not a table's name: .*; or begin a query with SELECT"):
        bulkio.read("SELEC 1", one_dsn)
    with pytest.raises(bulkio.DriverError, match="syntax error"):
        bulkio.read("SELECT FROM FROM", one_dsn)


BIG = "SELECT i, repeat('x', 100) AS s FROM generate_series(1, 3000000) i"


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("method", METHODS)
def test_an_abandoned_reader_frees_its_connection(dsn: str, driver: str, method: str) -> None:
    """Dropping the reader cancels the COPY on the server."""
    reader = bulkio.read(BIG, dsn, driver=driver, method=method)
    assert reader.read_next_batch().num_rows > 0
    with connect(dsn) as conn:
        assert sessions(conn) == 1
    del reader
    gc.collect()
    assert all_sessions_end(dsn)


def sessions(conn: psycopg.Connection) -> int:
    """Count the other sessions of the database."""
    query = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
    )
    return int(conn.execute(query).fetchone()[0])


def all_sessions_end(dsn: str) -> bool:
    """Wait for those that are closing; by one connection, as each new one would be another that closes."""
    deadline = time.monotonic() + 60
    with connect(dsn) as conn:
        while (left := sessions(conn)) and time.monotonic() < deadline:
            time.sleep(0.01)
    return left == 0


@pytest.mark.parametrize("driver", DRIVERS)
def test_the_async_reader_can_be_left_early(dsn: str, driver: str) -> None:
    """Leaving the block ends the COPY and closes the connection."""

    async def first() -> int:
        async with aio.read(BIG, dsn, driver=driver) as reader:
            async for batch in reader:
                return int(batch.num_rows)
        return 0

    assert asyncio.run(first()) > 0
    assert all_sessions_end(dsn)


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_server_error_in_mid_stream_leaves_no_file(one_dsn: str, driver: str, tmp_path: Path) -> None:
    """The old file stays, no temporary is left, and the error is the server's."""
    file = tmp_path / "out.parquet"
    file.write_bytes(b"old")
    with pytest.raises(bulkio.DriverError, match="division by zero") as caught:
        bulkio.export("SELECT 1 / (i - 200000) AS a FROM generate_series(1, 300000) i", file, one_dsn, driver=driver)
    assert caught.value.sqlstate == "22012"
    assert file.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["out.parquet"]


def test_an_export_counts_its_rows(one_dsn: str, tmp_path: Path) -> None:
    """The report, the file's footer and the table agree."""
    file = tmp_path / "out.parquet"
    report = bulkio.export("SELECT i FROM generate_series(1, 100000) i", file, one_dsn)
    assert report.rows == pq.read_metadata(file).num_rows == 100_000
    assert report.bytes == file.stat().st_size


def test_cancelling_an_export_leaves_no_file(one_dsn: str, tmp_path: Path) -> None:
    """Neither the file nor a temporary, and no session."""

    async def cancelled() -> None:
        task = asyncio.create_task(aio.export(BIG, tmp_path / "out.parquet", one_dsn))
        while not list(tmp_path.iterdir()):
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    assert list(tmp_path.iterdir()) == []
    assert all_sessions_end(one_dsn)


@pytest.mark.parametrize("processors", [1, 8])
@pytest.mark.parametrize("driver", DRIVERS)
def test_decoding_has_a_thread_of_its_own_where_there_are_processors(
    one_dsn: str, monkeypatch: pytest.MonkeyPatch, driver: str, processors: int
) -> None:
    """Few processors or many: the same rows, the same errors, and an abandoned reader ends in both."""
    monkeypatch.setattr(flow, "processors", lambda: processors)
    query = "SELECT i FROM generate_series(1, 200000) i"
    assert bulkio.read(query, one_dsn, driver=driver).read_all()["i"].to_pylist() == list(range(1, 200_001))
    with pytest.raises(bulkio.DecodeError, match='row 150000, column "d"'):
        bulkio.read(
            "SELECT CASE WHEN i = 150000 THEN date 'infinity' END d FROM generate_series(1, 200000) i",
            one_dsn,
            driver=driver,
        ).read_all()
    with pytest.raises(bulkio.DriverError, match="division by zero"):
        bulkio.read("SELECT 1 / (i - 150000) FROM generate_series(1, 200000) i", one_dsn, driver=driver).read_all()
    reader = bulkio.read(BIG, one_dsn, driver=driver)
    reader.read_next_batch()
    del reader
    gc.collect()
    assert all_sessions_end(one_dsn)


def test_two_columns_of_one_name_do_not_go_into_parquet(one_dsn: str, tmp_path: Path) -> None:
    """A join's query often has them; no file appears."""
    with pytest.raises(bulkio.SchemaError, match="two columns of one name: id"):
        bulkio.export("SELECT 1 AS id, 2 AS id", tmp_path / "x.parquet", one_dsn)
    assert not list(tmp_path.iterdir())
