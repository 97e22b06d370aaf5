"""What a caller has set on his connection: it changes no value that is loaded, and is as it was behind the load."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import asyncpg
import psycopg
import pyarrow as pa
import pytest
from joined_callers import KINDS, Asyncpg, AsyncPsycopg, Caller, SyncPsycopg
from psycopg.adapt import AdaptersMap, Dumper, Loader
from psycopg.rows import dict_row

import bulkio
from servers import connect, fetch
from traps import lay_traps, with_path

if TYPE_CHECKING:
    from collections.abc import Callable

#: what a load pins or lifts, with values that would change what rows mean
HOSTILE = {
    "DateStyle": "German, DMY",
    "IntervalStyle": "sql_standard",
    "TimeZone": "Asia/Tokyo",
    "extra_float_digits": "-15",
    "bytea_output": "escape",
    "xmloption": "document",
    "quote_all_identifiers": "on",
    "array_nulls": "off",
    "standard_conforming_strings": "off",
    "lc_monetary": "C.UTF-8",
    "lock_timeout": "70s",
    "idle_in_transaction_session_timeout": "80s",
    "statement_timeout": "90s",
    "default_tablespace": "pg_default",
    "transform_null_equals": "on",
    "client_encoding": "LATIN1",
}
#: statements that give them these values, after SET or SET LOCAL
ODD_PATH = 'search_path = "Odd, one", public'
ROWS = pa.table(
    {
        "id": pa.array([1, 2], pa.int64()),
        "at": pa.array([0, 10**15], pa.timestamp("us", "UTC")),
        "x": [0.1, 1e300],
        "b": [b"\\x00'", b"\xff"],
        "v": ["€\\'", None],
        "tags": [["NULL", None], []],
    }
)
TABLE = "CREATE TABLE t (id int8 PRIMARY KEY, at timestamptz, x float8, b bytea, v text, tags text[])"
CONTENT = "SELECT id, (at AT TIME ZONE 'UTC')::text, x::text, b::text, v, tags::text FROM t ORDER BY id"


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> type[Caller]:
    return KINDS[request.param]


def content_of(dsn: str) -> list[tuple[object, ...]]:
    """Make the table, and return what it is to hold: what bulkio's own connection loads."""
    with connect(dsn) as conn:
        conn.execute(f"{TABLE}; {TABLE.replace('TABLE t', 'TABLE model')}")
    bulkio.load(ROWS, "model", dsn)
    return fetch(dsn, CONTENT.replace("FROM t", "FROM model"))


def sets(words: str) -> str:
    """Make statements that set all that is hostile."""
    return "; ".join([f"{words} {ODD_PATH}", *(f"{words} {name} = '{value}'" for name, value in HOSTILE.items())])


def load_in_all_ways(caller: Caller) -> None:
    """Load by each way that sets something."""
    caller.load(ROWS, "public.t", mode="truncate", lock_timeout="5s")
    caller.load(ROWS, "public.t", mode="upsert", method="csv")
    caller.load(ROWS, "public.t", mode="replace")


def test_each_setting_is_as_it_was(dsn: str, kind: type[Caller]) -> None:
    """In the transaction and after its end: what was set before it, in it, locally, and for the database."""
    content = content_of(dsn)
    with connect(dsn) as conn:
        conn.execute('CREATE SCHEMA "Odd, one"')
        for setting in ("TimeZone = 'Asia/Tokyo'", "work_mem = '5MB'", "statement_timeout = '95s'"):
            conn.execute(f"ALTER DATABASE {conn.info.dbname} SET {setting}")
    for words, is_before in (("SET", True), ("SET", False), ("SET LOCAL", False)):
        caller = kind(dsn)
        for end in (caller.roll_back, caller.commit):
            plain = caller.settings()
            caller.roll_back()
            if is_before:
                caller.execute(sets(words))
                caller.commit()
                plain = caller.settings()
                caller.roll_back()
            caller.begin()
            caller.execute("SELECT" if is_before else sets(words))
            stays = caller.settings() if words == "SET" and end == caller.commit else plain
            caller.execute("SAVEPOINT mine; SET LOCAL work_mem = '6MB'")
            mine = caller.settings()
            load_in_all_ways(caller)
            assert caller.settings() == mine
            caller.execute("RELEASE mine")
            caller.load(ROWS, "public.t", mode="truncate")
            assert caller.settings() == mine
            end()
            assert caller.settings() == stays
            caller.roll_back()
        caller.close()
        assert fetch(dsn, CONTENT) == content


class Trap(Exception):  # noqa: N818 - nothing is wrong with it
    """Is raised by whatever of the caller's a load must not use."""


def spring(*_args: object, **_kwargs: object) -> Any:
    """Raise a Trap."""
    raise Trap


class TrapLoader(Loader):
    """Loads nothing."""

    load = spring


class TrapDumper(Dumper):
    """Dumps nothing."""

    dump = spring


class TrapRecord(asyncpg.Record):
    """A row that is not one any more."""

    __iter__ = spring


def lay(adapters: AdaptersMap) -> None:
    """Let psycopg's adapters be traps."""
    for name in ("text", "bool", "int2", "int4", "int8", "oid", "name", "float8", "numeric", "json", "varchar"):
        for fmt in psycopg.pq.Format:
            trap = type("Binary" if fmt else "Text", (TrapLoader,), {"format": fmt})
            adapters.register_loader(name, trap)
    for python in (str, int, bool, bytes, list):
        adapters.register_dumper(python, TrapDumper)


def trapped_psycopg(kind: type[Caller]) -> Callable[[str], Caller]:
    """Return what connects with psycopg, and lays traps on the connection."""

    def connect_(dsn: str) -> Caller:
        caller = kind(dsn, row_factory=dict_row, prepare_threshold=0, client_encoding="LATIN1")
        lay(caller.conn.adapters)
        caller.conn.cursor_factory = caller.conn.server_cursor_factory = spring
        caller.conn.row_factory = spring
        caller.conn.add_notice_handler(spring)
        return caller

    return connect_


def trapped_asyncpg(dsn: str) -> Caller:
    """Connect with asyncpg, and lay traps on the connection."""
    paths = {"search_path": "pg_catalog"}
    caller = Asyncpg(dsn, server_settings=paths, record_class=TrapRecord, command_timeout=0.1)
    names = "text bool int2 int4 int8 oid float8 numeric json jsonb bytea uuid timestamptz varchar"
    for name in names.split():
        caller.run(caller.conn.set_type_codec(name, schema="pg_catalog", encoder=str, decoder=spring, format="text"))
    caller.execute("SET client_encoding = 'LATIN1'; SET search_path = trap, pg_catalog, public")
    return caller


TRAPPED = {
    "psycopg": trapped_psycopg(SyncPsycopg),
    "psycopg-async": trapped_psycopg(AsyncPsycopg),
    "asyncpg": trapped_asyncpg,
}


@pytest.mark.parametrize("name", TRAPPED)
def test_nothing_on_the_connection_counts(one_dsn: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No codec, adapter, factory, time limit, encoding nor path of the caller's; nor what psycopg has for all."""
    content = content_of(one_dsn)
    with connect(one_dsn) as conn:
        lay_traps(conn, "trap, pg_catalog, public")
        conn.execute(
            "CREATE TYPE public.pair AS (a int4, b text[]); CREATE TABLE public.pairs (id int8, p public.pair)"
        )
    pairs = pa.table({"id": [1], "p": [{"a": 7, "b": ["é"]}]})
    with monkeypatch.context() as patch:
        for fact in ("_loaders", "_dumpers", "_dumpers_by_oid"):  # of psycopg as a whole
            kept = getattr(psycopg.adapters, fact)
            patch.setattr(psycopg.adapters, fact, {**kept} if fact == "_dumpers" else [*map(dict, kept)])
        lay(psycopg.adapters)
        caller = TRAPPED[name](one_dsn)
        caller.begin()
        caller.load(ROWS, "public.t", mode="truncate", before="SELECT pg_catalog.pg_sleep(0.2)")
        caller.load(ROWS, "public.t", mode="upsert", method="csv", check="SELECT true, 'é'")
        caller.load(ROWS, "public.t", mode="replace")
        caller.load(pairs, "public.pairs")
        caller.load(pairs, "public.pairs", mode="replace-where", where="true")
        with pytest.raises(bulkio.EncodeError):
            caller.load(pa.table({"id": pa.array([2**63], pa.uint64())}), "public.pairs")
        caller.commit()
        caller.close()
    clean = with_path(one_dsn, "pg_catalog, public")
    assert fetch(clean, CONTENT) == content
    assert fetch(clean, "SELECT p::text FROM pairs") == [("(7,{é})",)]


# --- what is open on it


@pytest.mark.parametrize("kind", [SyncPsycopg, AsyncPsycopg])
def test_psycopgs_statements_and_cursors_are_there_still(one_dsn: str, kind: type[Caller]) -> None:
    """A cursor reads on; what is prepared is used again, but for a table whose columns have changed."""
    caller = kind(one_dsn, prepare_threshold=1)
    caller.execute(f"{TABLE}; INSERT INTO t (id) SELECT generate_series(1, 5)")
    caller.execute("DECLARE mine CURSOR FOR SELECT id FROM t ORDER BY id; PREPARE manual AS SELECT count(*) FROM t")
    for _ in range(3):
        assert caller.fetch("SELECT count(*) FROM t") == [(5,)]
    prepared = "SELECT count(*) FROM pg_prepared_statements WHERE statement !~ 'pg_prepared'"
    assert caller.fetch(prepared) == [(2,)]
    assert caller.fetch("FETCH 2 FROM mine") == [(1,), (2,)]
    caller.load(pa.table({"id": [7]}), "t", mode="upsert")
    caller.load(pa.table({"id": [8]}), "other", mode="create")
    assert caller.fetch(prepared) == [(2,)]
    assert caller.fetch("SELECT count(*) FROM t") == caller.fetch("EXECUTE manual") == [(6,)]
    assert caller.fetch("FETCH 2 FROM mine") == [(3,), (4,)]
    caller.execute("CLOSE mine")
    for _ in range(3):
        assert len(caller.fetch("SELECT * FROM t")[0]) == 6
    caller.load(pa.table({"id": [9]}), "t", mode="replace")
    assert caller.fetch("SELECT * FROM t") == [(9,)]
    assert caller.fetch("EXECUTE manual") == [(1,)]
    caller.close()


async def cursor_of(statement: Any) -> Any:
    """Open a cursor of asyncpg's."""
    return await statement.cursor()


def test_asyncpgs_statements_and_cursors_are_there_still(one_dsn: str) -> None:
    """A cursor reads on; what is prepared is used again, but for a table whose columns have changed."""
    caller = Asyncpg(one_dsn)
    caller.run(caller.conn.transaction().start())
    caller.execute(f"{TABLE}; INSERT INTO t (id) SELECT generate_series(1, 5)")
    statement = caller.run(caller.conn.prepare("SELECT id FROM t ORDER BY id"))
    cursor = caller.run(cursor_of(statement))
    assert len(caller.run(cursor.fetch(2))) == 2
    assert caller.fetch("SELECT count(*) FROM t") == [(5,)]
    prepared = "SELECT count(*) FROM pg_prepared_statements WHERE statement !~ 'pg_prepared'"
    assert caller.fetch(prepared) == [(2,)]
    caller.load(pa.table({"id": [7]}), "t", mode="upsert")
    caller.load(pa.table({"id": [8]}), "other", mode="create")
    assert caller.fetch(prepared) == [(2,)]
    assert [row["id"] for row in caller.run(cursor.fetch(2))] == [3, 4]
    assert len(caller.run(statement.fetch())) == 6
    assert len(caller.fetch("SELECT * FROM t")[0]) == 6
    caller.execute("CLOSE ALL")
    caller.load(pa.table({"id": [9]}), "t", mode="replace")
    assert caller.fetch("SELECT * FROM t") == [(9,)]
    caller.close()


def test_no_encoding_of_the_clients_is_one_too(one_dsn: str, kind: type[Caller]) -> None:
    """SQL_ASCII, which psycopg takes from a database of that encoding, makes bytes of all text."""
    caller = kind(one_dsn)
    caller.begin()
    caller.execute("CREATE TABLE t (id int8, v text); SET client_encoding = 'SQL_ASCII'")
    assert caller.load(pa.table({"id": [1], "v": ["€"]}), "t").rows == 1
    assert caller.fetch("SELECT 1 FROM t WHERE current_setting('client_encoding') = 'SQL_ASCII'") == [(1,)]
    caller.commit()
    caller.close()
    assert fetch(one_dsn, "SELECT v FROM t") == [("€",)]


def test_constraints_stay_deferred(one_dsn: str, kind: type[Caller]) -> None:
    """What the caller has deferred is looked at as he commits; what he has not, at once."""
    caller = kind(one_dsn)
    caller.begin()
    caller.execute(
        "CREATE TABLE p (id int8 PRIMARY KEY); CREATE TABLE t (id int8 REFERENCES p DEFERRABLE);"
        " SET CONSTRAINTS ALL DEFERRED"
    )
    caller.load(pa.table({"id": [1]}), "t")
    caller.execute("INSERT INTO t VALUES (2); INSERT INTO p VALUES (1), (2)")
    caller.commit()
    caller.begin()
    with pytest.raises(bulkio.DriverError, match="violates foreign key"):
        caller.load(pa.table({"id": [3]}), "t")
    caller.close()
    assert fetch(one_dsn, "SELECT count(*) FROM t") == [(2,)]


def test_where_a_cursor_is_open_rows_are_not_frozen(one_dsn: str, kind: type[Caller]) -> None:
    """The server would refuse that, so that a load plans without it in all of these transactions."""
    caller = kind(one_dsn)
    caller.begin()
    caller.execute("CREATE TABLE t (id int8); DECLARE mine CURSOR FOR SELECT 1")
    for mode, table in (("truncate", "t"), ("replace", "t"), ("create", "new")):
        caller.load(pa.table({"id": [1]}), table, mode=mode)
    assert caller.fetch("FETCH 1 FROM mine") == [(1,)]
    caller.close()
