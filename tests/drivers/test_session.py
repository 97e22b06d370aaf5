"""One suite for both drivers: whatever a `Session` promises, asyncpg and psycopg keep alike."""

from __future__ import annotations

import asyncio
import struct
import time
from decimal import Decimal
from typing import TYPE_CHECKING

import psycopg
import pytest
from anyio import CancelScope, move_on_after

import bulkio.errors
from bulkio.drivers import connect, errors
from bulkio.drivers.conninfo import parse_conninfo
from bulkio.errors import BulkioError, ConnectError, DriverError, EncodeError
from bulkio.protocols import ROW_TYPE_OIDS, CopyTarget, ResultColumn
from bulkio.sql import USERS_PATH, begin, session_pins
from sessions import open_session

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

    from bulkio.protocols import Row, Session

pytestmark = pytest.mark.anyio

#: an operation that should be at once may take this long on a busy machine
SOON_S = 30.0
HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=["asyncpg", "psycopg"])
def driver(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
async def session(dsn: str, driver: str) -> AsyncIterator[Session]:
    async with open_session(parse_conninfo(dsn), driver) as opened:
        yield opened


async def pin(session: Session, *, export: bool = False) -> None:
    await session.execute(begin(read_only=export))
    await session.execute("; ".join((*session_pins(export=export), USERS_PATH)))


async def feed(items: Iterable[object]) -> AsyncIterator[object]:
    for item in items:
        yield item


def int4_row(value: int) -> bytes:
    return struct.pack("!hii", 1, 4, value)


def target(*columns: str, table: str = "t", oids: Sequence[int] = ()) -> CopyTarget:
    return CopyTarget("public", table, columns, tuple(oids) or (23,) * len(columns))


async def running(dsn: str, pattern: str) -> int:
    """Count other sessions' statements that contain `pattern` and run now."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        row = conn.execute(
            "select count(*) from pg_stat_activity where pid <> pg_backend_pid() and state = 'active'"
            " and query ilike %s",
            [f"%{pattern}%"],
        ).fetchone()
    return row[0]


async def until(dsn: str, pattern: str, count: int) -> None:
    """Poll until so many statements run."""
    deadline = time.monotonic() + SOON_S
    while await running(dsn, pattern) != count:
        assert time.monotonic() < deadline, f"not {count} of {pattern!r} after {SOON_S} s"
        await asyncio.sleep(0.01)


# --- statements ------------------------------------------------------------------------------------------------


async def test_execute_gives_the_last_tag(session: Session) -> None:
    """A tag is the server's own; several statements in one call give the last one's."""
    assert await session.execute("create table t (a int)") == "CREATE TABLE"
    assert await session.execute("insert into t values (1), (2); delete from t where a = 1") == "DELETE 1"


async def test_fetch_gives_tuples(session: Session) -> None:
    """Rows are plain tuples, NULL is None, and a percent sign is nothing special."""
    rows = await session.fetch("select 1, null::text, 'é %s', '%'::name, array[1, null] where true")
    assert rows == [(1, None, "é %s", "%", [1, None])]
    assert type(rows[0]) is tuple
    assert await session.fetch("select 1 where false") == []


async def test_describe_gives_typmods(session: Session) -> None:
    """A query is described without running it."""
    columns = await session.describe("select 1.5::numeric(10,2) as a, 'x'::varchar(7) as \"b é\", 1/0 as c")
    assert columns == (
        ResultColumn("a", ROW_TYPE_OIDS["numeric"], (10 << 16 | 2) + 4),
        ResultColumn("b é", ROW_TYPE_OIDS["varchar"], 7 + 4),
        ResultColumn("c", ROW_TYPE_OIDS["int4"], -1),
    )


async def test_describe_uses_the_search_path(session: Session) -> None:
    """Names resolve as they do in the session."""
    await session.execute("create schema s; create table s.here (a int2); set search_path = s")
    assert await session.describe("select a from here") == (ResultColumn("a", 21, -1),)


async def test_describe_sees_what_the_transaction_has_made(session: Session) -> None:
    """It asks on the session's own connection, and so without waiting for whoever waits for this session."""
    await session.execute(begin(read_only=False))
    await session.execute("create table t (a numeric(5,2)); insert into t values (1)")
    assert await session.describe("select a from t") == (ResultColumn("a", 1700, 5 << 16 | 2 + 4),)
    await session.execute("rollback")


@pytest.mark.parametrize("query", ["select row(1, 2) as a", "select most_common_vals as a from pg_stats"])
async def test_describe_knows_types_that_have_no_codec(session: Session, query: str) -> None:
    """Anonymous records, arrays of any type."""
    assert [column.name for column in await session.describe(query)] == ["a"]


async def test_describe_meets_notices(session: Session) -> None:
    """Other messages may come between those of the answer."""
    await session.execute(
        "create function loud() returns int immutable language plpgsql as"
        " 'begin raise notice ''%'', repeat(''x'', 100000); return 1; end'"
    )
    assert await session.describe("select loud() as a, 1.5::numeric(3,1) as b") == (
        ResultColumn("a", 23, -1),
        ResultColumn("b", 1700, (3 << 16 | 1) + 4),
    )


def execute(dsn: str, statement: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute(statement)


@pytest.mark.parametrize("call", ["execute", "fetch", "describe"])
async def test_sql_errors_have_state_and_hint(session: Session, call: str) -> None:
    """A refused statement is a DriverError with the server's words, and the session goes on."""
    await session.execute("create table t (amount int)")
    with pytest.raises(DriverError, match=r'column "amont" does not exist\. Hint: Perhaps you meant') as caught:
        await getattr(session, call)("select amont from t")
    assert caught.value.sqlstate == "42703"
    assert not caught.value.retryable
    assert await session.fetch("select 1") == [(1,)]


async def test_notices_are_silent(session: Session, capfd: pytest.CaptureFixture[str]) -> None:
    """A NOTICE of the server's goes nowhere."""
    await session.execute("do $$ begin raise warning 'look'; end $$")
    assert capfd.readouterr() == ("", "")


# --- COPY IN ---------------------------------------------------------------------------------------------------


async def test_copy_in_binary(session: Session) -> None:
    """Blocks of any size and kind arrive in order, and the tag's count comes back."""
    await session.execute('create table "T ""x" (a int, "é" int)')
    rows = b"".join(struct.pack("!hiiii", 2, 4, i, 4, -i) for i in range(50_000))
    blocks = [HEADER, memoryview(rows)[:1], bytearray(rows[1:400_001]), rows[400_001:], TRAILER]
    assert await session.copy_in(target("a", "é", table='T "x'), feed(blocks), "binary") == 50_000
    assert await session.fetch('select count(*), sum(a + "é"), max(a) from "T ""x"') == [(50_000, 0, 49_999)]


async def test_copy_in_reuses_a_buffer(session: Session) -> None:
    """A block may be overwritten once the next one was asked for."""

    async def blocks() -> AsyncIterator[bytearray]:
        buffer = bytearray(HEADER)
        yield buffer
        for i in range(200):
            buffer[:] = int4_row(i) * 10_000
            yield buffer
        buffer[:] = TRAILER
        yield buffer

    await session.execute("create table t (a int)")
    assert await session.copy_in(target("a"), blocks(), "binary") == 2_000_000
    assert await session.fetch(
        "select count(distinct a), min(c), max(c) from (select a, count(*) c from t group by a) x"
    ) == [(200, 10_000, 10_000)]


async def test_copy_in_csv(session: Session) -> None:
    """The csv dialect is pyarrow's: NULL unquoted and empty, strings quoted."""
    await session.execute("create table t (a text, b text)")
    block = '"",\n"NULL","a,""b""\né"\n"\\.",\n'.encode()
    assert await session.copy_in(target("a", "b", oids=(25, 25)), feed([block]), "csv") == 3
    rows = await session.fetch("select a, b from t")
    assert rows == [("", None), ("NULL", 'a,"b"\né'), ("\\.", None)]


async def test_copy_in_error_says_where_and_stops_the_source(session: Session) -> None:
    """The server's error comes with line and column, and the source is not pulled to its end."""
    await session.execute("create table t (a int primary key)")
    pulled = 0

    async def blocks() -> AsyncIterator[bytes]:
        nonlocal pulled
        yield b"1\n2\nx\n"
        for i in range(3, 20_003):
            pulled += 1
            await asyncio.sleep(0)
            yield b"%d\n" % i * 1_000

    with pytest.raises(DriverError, match=r'^row 3, column "a": ') as caught:
        await session.copy_in(target("a"), blocks(), "csv")
    assert caught.value.sqlstate == "22P02"
    assert pulled < 20_000
    assert await session.fetch("select count(*) from t") == [(0,)]


async def test_copy_in_passes_on_what_the_source_raises(session: Session) -> None:
    """An error of the source's own is not taken for the driver's, and nothing is stored."""

    async def blocks() -> AsyncIterator[bytes]:
        yield b"1\n"
        raise OSError(28, "disk full")

    await session.execute("create table t (a int)")
    with pytest.raises(OSError, match="disk full") as caught:
        await session.copy_in(target("a"), blocks(), "csv")
    assert type(caught.value) is OSError
    assert await session.fetch("select count(*) from t") == [(0,)]


async def test_copy_in_to_a_missing_table(session: Session) -> None:
    """COPY that is refused at once pulls nothing and leaves the session usable."""
    with pytest.raises(DriverError, match="does not exist"):
        await session.copy_in(target("a"), feed([b"1\n"]), "csv")
    assert await session.fetch("select 1") == [(1,)]


# --- rows of Python objects ------------------------------------------------------------------------------------

INFINITE, MINUS_INFINITE = 2**63 - 1, -(2**63)
#: type -> (SQL literal, what a row holds), the edges of each
VALUES: dict[str, list[tuple[str, object]]] = {
    "bool": [("true", True), ("false", False)],
    "int2": [("-32768", -32768), ("32767", 32767)],
    "int4": [("-2147483648", -(2**31)), ("2147483647", 2**31 - 1)],
    "int8": [("-9223372036854775808", -(2**63)), ("9223372036854775807", 2**63 - 1)],
    "oid": [("0", 0), ("4294967295", 2**32 - 1)],
    "float4": [("0.1", 0.10000000149011612), ("-Infinity", float("-inf")), ("1e-45", 1.401298464324817e-45)],
    "float8": [("0.1", 0.1), ("Infinity", float("inf")), ("5e-324", 5e-324), ("-0", -0.0)],
    "numeric": [
        ("12.30", Decimal("12.30")),
        ("0.00", Decimal("0.00")),
        ("-0.00010", Decimal("-0.00010")),
        ("9999.99990000", Decimal("9999.99990000")),
        ("1e40", Decimal(10**40)),
        ("-10000", Decimal(-10000)),
        ("0." + "0" * 60 + "10", Decimal("0." + "0" * 60 + "10")),
        ("Infinity", Decimal("Infinity")),
        ("9" * 1000 + ".5", Decimal("9" * 1000 + ".5")),
    ],
    "text": [("", ""), ("é€😀", "é€😀"), ("NULL", "NULL")],
    "varchar": [("x ", "x ")],
    "bpchar(5)": [("é", "é    ")],
    "name": [("n", "n")],
    "json": [('{"a":  1}', '{"a":  1}')],
    "jsonb": [('{"a":  1}', '{"a": 1}'), ("null", "null")],
    "bytea": [(r"\x00ff27", b"\0\xff'"), (r"\x", b"")],
    "uuid": [("00010203-0405-0607-0809-0a0b0c0d0eff", bytes([*range(15), 255]))],
    "date": [
        ("2000-01-02", 1),
        ("infinity", 2**31 - 1),
        ("-infinity", -(2**31)),
        ("4713-11-24 BC", -2451179),
        ("9999-12-31", 2921939),
        ("5874897-12-31", 2145031948),
    ],
    "time": [("24:00", 86_400_000_000), ("00:00:00.000001", 1)],
    "timetz": [("12:00+02", (43_200_000_000, -7200)), ("24:00-15:59", (86_400_000_000, 57540))],
    "timestamp": [("1999-12-31 23:59:59.999999", -1), ("infinity", INFINITE), ("4713-11-24 BC", -211781865600000000)],
    "timestamptz": [
        ("2000-01-01 01:00+01", 0),
        ("-infinity", MINUS_INFINITE),
        ("294276-12-31", 9223371331200000000 - 86400000000),
    ],
    "interval": [
        ("1 mon -2 days 3 us", (1, -2, 3)),
        ("30 days", (0, 30, 0)),
        ("-178000000 years", (-2136000000, 0, 0)),
    ],
}


def base_oid(name: str) -> int:
    return ROW_TYPE_OIDS[name.partition("(")[0]]


def array_oid(dsn: str, name: str) -> int:
    with psycopg.connect(dsn) as conn:
        row = conn.execute("select typarray::int from pg_type where oid = %s", [base_oid(name)]).fetchone()
    return row[0]


def spread(name: str) -> tuple[list[str], list[Row]]:
    """Return SQL value lists and rows: every value alone, then all in an array with a NULL, then NULLs."""
    values = VALUES[name]
    quoted = ["'" + text.replace("'", "''") + f"'::{name}" for text, _ in values]
    sql_rows = [f"({text}, null::{name}[])" for text in quoted]
    rows: list[Row] = [(value, None) for _, value in values]
    sql_rows += [f"(null, array[{', '.join(quoted)}, null])", f"(null, '{{}}'::{name}[])", "(null, null)"]
    rows += [(None, [*(value for _, value in values), None]), (None, []), (None, None)]
    return sql_rows, rows


def exact(value: object) -> object:
    """Make equal only what is the same: type, sign of zero, display scale, NaN."""
    if isinstance(value, list):
        return [exact(item) for item in value]
    if isinstance(value, Decimal):
        return format(value, "f")
    return (type(value), repr(value))


@pytest.mark.parametrize("name", VALUES)
async def test_rows_mean_the_same(session: Session, dsn: str, name: str) -> None:
    """`cursor` and `fetch` give, and `copy_in_records` stores, exactly the values of the row contract."""
    sql_rows, rows = spread(name)
    await pin(session)
    await session.execute(f"create table want (a {name}, b {name}[]); create table got (a {name}, b {name}[])")
    await session.execute(f"insert into want values {', '.join(sql_rows)}")
    where = target("a", "b", table="got", oids=(base_oid(name), array_oid(dsn, name)))
    assert await session.copy_in_records(where, feed([rows[:1], rows[1:]])) == len(rows)

    assert exact([list(r) for r in await session.fetch("select * from want")]) == exact([list(r) for r in rows])
    read = [row async for part in session.cursor("select * from got", prefetch=2) for row in part]
    assert exact([list(r) for r in read]) == exact([list(r) for r in rows])
    assert await copied(session, "select * from got") == await copied(session, "select * from want")


async def test_numeric_nan_and_dimensions(session: Session) -> None:
    """What has no equal to compare with: NaN; and arrays of two dimensions."""
    await session.execute("create table t (a numeric, b int[], c numeric[])")
    rows = [(Decimal("NaN"), [[1, 2], [3, None]], [Decimal("NaN")])]
    where = target("a", "b", "c", oids=(1700, 1007, 1231))
    assert await session.copy_in_records(where, feed([rows])) == 1
    [(a, b, c)] = await session.fetch("select * from t")
    assert a.is_nan()
    assert c[0].is_nan()
    assert b == [[1, 2], [3, None]]
    assert await session.fetch("select a::text, b::text, c::text from t") == [("NaN", "{{1,2},{3,NULL}}", "{NaN}")]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("int2", 32768),
        ("int4", 2**31),
        ("int8", 2**63),
        ("oid", 2**32),
        ("oid", -1),
        ("float4", 1e300),
        ("date", 2**31),
        ("timestamp", 2**63),
        ("interval", (1, 2)),
        ("text", 5),
        ("jsonb", 5),
        ("int4", "x"),
    ],
)
async def test_records_refuse_what_is_no_row_value(session: Session, name: str, value: object) -> None:
    """A value outside its type is an EncodeError, never a wrapped number, and nothing is stored."""
    await session.execute(f"create table t (a {name})")
    with pytest.raises(EncodeError, match="cannot encode a value"):
        await session.copy_in_records(target("a", oids=(base_oid(name),)), feed([[(value,)]]))
    assert await session.fetch("select count(*) from t") == [(0,)]


async def test_records_after_the_table_changed(session: Session) -> None:
    """The encoders are those of the table as it is now (asyncpg keeps them with a cached statement)."""
    await session.execute("create table t (a int8)")
    assert await session.copy_in_records(target("a", oids=(20,)), feed([[(1,)]])) == 1
    await session.execute("drop table t; create table t (a float8)")
    assert await session.copy_in_records(target("a", oids=(701,)), feed([[(1.0,)]])) == 1
    assert await session.fetch("select a from t") == [(1.0,)]


async def test_records_error_stops_the_source(session: Session) -> None:
    """Rows are not pulled to their end once the server has refused one."""
    await session.execute("create table t (a int primary key)")
    pulled = 0

    async def rows() -> AsyncIterator[list[Row]]:
        nonlocal pulled
        for _ in range(5_000):
            pulled += 1
            await asyncio.sleep(0)
            yield [(1,)] * 2_000

    with pytest.raises(DriverError, match=r"Key \(a\)=\(1\) already exists") as caught:
        await session.copy_in_records(target("a"), rows())
    assert caught.value.sqlstate == "23505"
    assert caught.value.row == 2
    assert pulled < 5_000


async def test_records_of_an_enum_go_as_text(session: Session) -> None:
    """A type that the server alone knows travels as its text."""
    await session.execute("create type mood as enum ('sad', 'é'); create table t (a mood)")
    [(oid,)] = await session.fetch("select oid from pg_type where typname = 'mood'")
    assert await session.copy_in_records(target("a", oids=(int(str(oid)),)), feed([[("é",), (None,)]])) == 2
    assert await session.fetch("select a::text from t") == [("é",), (None,)]


# --- COPY OUT and cursors --------------------------------------------------------------------------------------


async def copied(session: Session, query: str, gather_bytes: int = 1 << 20) -> bytes:
    blocks: list[bytes] = []

    async def sink(block: bytes) -> None:
        blocks.append(block)

    await session.copy_out(query, sink, gather_bytes=gather_bytes)
    return b"".join(blocks)


async def test_copy_out_gives_the_servers_bytes(session: Session, dsn: str) -> None:
    """The stream is the server's own, whole, in blocks of about the size asked for."""
    query = "select i, repeat('é', i % 100) from generate_series(1, 20000) i -- the end"
    with psycopg.connect(dsn) as conn, conn.cursor().copy(f"COPY ({query}\n) TO STDOUT (FORMAT binary)") as copy:
        want = b"".join(copy)
    sizes: list[int] = []
    got = bytearray()

    async def sink(block: bytes) -> None:
        sizes.append(len(block))
        got.extend(block)

    assert await session.copy_out(query, sink, gather_bytes=100_000) == 20_000
    assert got == want
    assert all(100_000 <= size < 1_000_000 for size in sizes[:-1])
    assert await session.fetch("select 1") == [(1,)]


async def test_copy_out_of_nothing(session: Session) -> None:
    """No rows are a header and a trailer."""
    assert await copied(session, "select 1 where false") == HEADER + TRAILER


async def test_copy_out_error_after_rows(session: Session) -> None:
    """An error in the middle of the stream is raised, and the session goes on."""
    with pytest.raises(DriverError, match="division by zero") as caught:
        await copied(session, "select 1 / (50000 - i) from generate_series(1, 100000) i", 1000)
    assert caught.value.sqlstate == "22012"
    assert await session.fetch("select 1") == [(1,)]


@pytest.mark.parametrize("leaving", ["error", "cancel"])
async def test_a_sink_that_leaves_at_the_last_chunk(session: Session, leaving: str) -> None:
    """The server has sent all there was, so that there is nothing to cancel: asyncpg waited for ever."""

    async def sink(chunk: bytes) -> None:
        if leaving == "error":
            raise ValueError("no more")
        scope.cancel()
        await asyncio.sleep(SOON_S)

    await session.execute(begin(read_only=True))
    with move_on_after(SOON_S, shield=True) as soon, CancelScope() as scope:
        try:
            await session.copy_out("select generate_series(1, 10)", sink, gather_bytes=1)
        except ValueError:
            assert leaving == "error"
    with move_on_after(SOON_S) as soon:
        if not session.closed:
            await session.execute("ROLLBACK")
    assert not soon.cancelled_caught


async def test_copy_out_passes_on_what_the_sink_raises(session: Session) -> None:
    """The sink's error comes through as it is, and the statement ends on the server."""

    async def sink(block: bytes) -> None:
        raise OSError(28, "disk full")

    with pytest.raises(OSError, match="disk full"):
        await session.copy_out("select generate_series(1, 10000000)", sink, gather_bytes=10_000)
    assert await session.fetch("select 1") == [(1,)]


async def test_cursor_prefetches(session: Session) -> None:
    """Rows come `prefetch` at a time, and a second cursor works in the same transaction."""
    await pin(session, export=True)
    for _ in range(2):
        parts = [len(part) async for part in session.cursor("select generate_series(1, 25)", prefetch=10)]
        assert parts == [10, 10, 5]
    assert [part async for part in session.cursor("select 1 where false", prefetch=10)] == []


# --- cancellation and loss -------------------------------------------------------------------------------------


async def test_cancelled_execute_ends_on_the_server(session: Session, dsn: str) -> None:
    """Cancelling a task ends its statement, quickly, and the session can roll back."""
    await session.execute(begin(read_only=False))
    start = time.monotonic()
    with move_on_after(0.2) as scope:
        await session.execute("select pg_sleep(60) /* execute */")
    assert scope.cancelled_caught
    await session.execute("rollback")
    assert time.monotonic() - start < SOON_S
    assert await running(dsn, "/* execute */") == 0


@pytest.mark.parametrize("stuck", ["in the source", "in the server"])
async def test_cancelled_copy_in_ends_on_the_server(session: Session, dsn: str, stuck: str) -> None:
    """A COPY that waits for its source, or for the server to take more, is cancelled and leaves nothing."""
    await session.execute("create table t (a int)")
    await session.execute(
        "create function wait() returns trigger language plpgsql as 'begin perform pg_sleep(60); return new; end'"
    )
    if stuck == "in the server":
        await session.execute("create trigger wait before insert on t for each row execute function wait()")

    async def blocks() -> AsyncIterator[bytes]:
        while True:
            yield b"1\n" * 500_000
            if stuck == "in the source":
                await asyncio.sleep(60)

    await session.execute(begin(read_only=False))
    start = time.monotonic()
    with CancelScope() as scope:
        asyncio.get_running_loop().call_later(0.3, scope.cancel)
        await session.copy_in(target("a"), blocks(), "csv")
    assert scope.cancelled_caught
    await session.execute("rollback")
    assert time.monotonic() - start < SOON_S
    assert await running(dsn, "COPY") == 0
    assert await session.fetch("select count(*) from t") == [(0,)]


@pytest.mark.parametrize("stuck", ["in the sink", "in the server"])
async def test_cancelled_copy_out_ends_on_the_server(session: Session, dsn: str, stuck: str) -> None:
    """A COPY whose sink or whose server does not go on is cancelled."""
    query = "select i, pg_sleep(60) from generate_series(1, 9) i"
    if stuck == "in the sink":
        query = "select generate_series(1, 100000000)"

    async def sink(block: bytes) -> None:
        await asyncio.sleep(60)

    start = time.monotonic()
    with move_on_after(0.3) as scope:
        await session.copy_out(query, sink)
    assert scope.cancelled_caught
    assert await session.fetch("select 1") == [(1,)]
    assert time.monotonic() - start < SOON_S
    assert await running(dsn, "COPY") == 0


async def test_cancel_from_another_task(session: Session, dsn: str) -> None:
    """`cancel` ends the statement of the task that runs it, which gets the server's error."""
    task = asyncio.ensure_future(session.execute("select pg_sleep(60) /* other */"))
    await until(dsn, "/* other */", 1)
    await session.cancel()
    with pytest.raises(DriverError, match="canceling statement") as caught:
        await asyncio.wait_for(task, SOON_S)
    assert caught.value.sqlstate == "57014"
    await session.cancel()
    assert await session.fetch("select 1") == [(1,)]


def kill_others(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where pid <> pg_backend_pid() and datname = current_database() and backend_type = 'client backend'"
        )


@pytest.mark.parametrize("method", ["blocks", "rows"])
async def test_killed_backend_ends_copy_in(session: Session, dsn: str, method: str) -> None:
    """A lost connection is a ConnectError at once; the source is not pulled on, and close works."""
    await session.execute("create table t (a int)")
    pulled = 0

    async def items(item: object) -> AsyncIterator[object]:
        nonlocal pulled
        for i in range(100_000):
            pulled += 1
            if i == 5:
                kill_others(dsn)
            await asyncio.sleep(0)
            yield item

    start = time.monotonic()
    if method == "rows":
        copy = session.copy_in_records(target("a"), items([(1,)] * 1_000))
    else:
        copy = session.copy_in(target("a"), items(b"1\n" * 10_000), "csv")
    with pytest.raises(ConnectError, match=r"connection was lost|terminating connection") as caught:
        await copy
    assert caught.value.sqlstate in ("57P01", "08006")
    assert caught.value.retryable
    assert time.monotonic() - start < SOON_S
    assert pulled < 10_000
    assert session.closed
    await session.close()


@pytest.mark.parametrize("method", ["blocks", "rows"])
async def test_killed_backend_ends_one_large_item(
    session: Session, dsn: str, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What is left of an item is not written to a lost connection, of which asyncio would complain each time."""
    await session.execute("create table t (a text)")

    async def items(item: object) -> AsyncIterator[object]:
        yield item
        kill_others(dsn)
        yield item

    if method == "rows":
        copy = session.copy_in_records(target("a", oids=[25]), items([("x" * 1_000_000,)] * 40))
    else:
        copy = session.copy_in(target("a"), items((b"x" * 1_000_000 + b"\n") * 40), "csv")
    with pytest.raises(ConnectError):
        await copy
    assert [record.getMessage() for record in caplog.records] == []


async def test_killed_backend_ends_a_copy_that_waits_for_room(session: Session, dsn: str) -> None:
    """A sender that waits for the server to take more hears of the loss too."""
    await session.execute("create table t (a int)")
    await session.execute(
        "create function wait() returns trigger language plpgsql as 'begin perform pg_sleep(60); return new; end'"
    )
    await session.execute("create trigger wait before insert on t for each row execute function wait()")
    copy = asyncio.ensure_future(session.copy_in(target("a"), feed([b"1\n" * 500_000] * 100), "csv"))
    await until(dsn, "COPY", 1)
    await asyncio.sleep(0.2)  # let the buffers fill
    kill_others(dsn)
    with pytest.raises(ConnectError):
        await asyncio.wait_for(copy, SOON_S)


async def test_killed_backend_ends_copy_out_and_statements(session: Session, dsn: str) -> None:
    """The loss is seen while reading too, and whatever is called after it is a ConnectError again."""

    async def sink(block: bytes) -> None:
        kill_others(dsn)

    with pytest.raises(ConnectError):
        await session.copy_out("select repeat('x', 1000) from generate_series(1, 1000000)", sink)
    for call in (session.execute, session.fetch):
        with pytest.raises(ConnectError):
            await call("select 1")
    assert session.closed


async def test_a_socket_that_hung_up_is_a_lost_connection(one_dsn: str) -> None:
    """In one place psycopg says so and leaves the connection open; it is a ConnectError all the same."""

    def work() -> None:
        raise psycopg.OperationalError("connection socket closed")

    async with open_session(parse_conninfo(one_dsn), "psycopg") as session:
        with pytest.raises(ConnectError, match="connection was lost") as caught:
            await session._run(work)
        assert caught.value.sqlstate == "08006"
        assert session.closed


# --- connecting ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dsn_", "state", "words"),
    [
        ("postgresql://ann:s3cret@127.0.0.1:1/x", "08001", "Connection refused"),
        ("postgresql://ann:s3cret@nohost.invalid/x", "08001", "Name or service not known|Temporary failure"),
        ("postgresql://ann:s3cret@/x?host=/nowhere", "08001", "No such file"),
    ],
)
async def test_no_server(driver: str, dsn_: str, state: str, words: str) -> None:
    """Where no server answers, the message says which server and why, and holds no password."""
    with pytest.raises(ConnectError, match=words) as caught:
        await connect(parse_conninfo(dsn_), driver)
    assert caught.value.sqlstate == state
    assert caught.value.retryable
    assert str(caught.value).startswith("cannot connect to postgresql://ann@")
    assert "s3cret" not in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_no_such_database_or_role(driver: str, one_dsn: str) -> None:
    """A login that the server refuses is a ConnectError that is not worth a retry."""
    with psycopg.connect(one_dsn) as conn:
        real = conn.info.dbname
    with pytest.raises(ConnectError, match='database "nowhere" does not exist') as caught:
        await connect(parse_conninfo(one_dsn.replace(real, "nowhere")), driver)
    assert caught.value.sqlstate == "3D000"
    assert not caught.value.retryable


async def test_latin1_database(latin1_dsn: str, driver: str) -> None:
    """In a LATIN1 database é stays é, both ways and by every method; what it cannot hold is an error."""
    async with open_session(parse_conninfo(latin1_dsn), driver) as session:
        await pin(session)
        await session.execute('create table "tä" (a text)')
        where = CopyTarget("public", "tä", ("a",), (25,))
        encoded = HEADER + struct.pack("!hi", 1, 2) + "é".encode() + TRAILER
        assert await session.copy_in(where, feed([encoded]), "binary") == 1
        assert await session.copy_in(where, feed(['"é"\n'.encode()]), "csv") == 1
        assert await session.copy_in_records(where, feed([[("é",)]])) == 1
        query = "select a, ascii(a), 'é' from \"tä\""
        assert await session.fetch(query) == [("é", 233, "é")] * 3
        assert [row async for part in session.cursor(query, prefetch=2) for row in part] == [("é", 233, "é")] * 3
        assert await copied(session, 'select a from "tä" limit 1') == encoded
        with pytest.raises(DriverError, match="no equivalent in encoding") as caught:
            await session.copy_in_records(where, feed([[("€",)]]))
        assert caught.value.sqlstate == "22P05"


# --- errors: nothing foreign passes ----------------------------------------------------------------------------


def foreign_classes() -> list[type[Exception]]:
    import asyncpg
    import psycopg.errors

    modules = (asyncpg.exceptions, asyncpg.exceptions._base, psycopg.errors)
    found = {thing for module in modules for thing in vars(module).values() if isinstance(thing, type)}
    return sorted((kind for kind in found if issubclass(kind, Exception)), key=lambda kind: kind.__name__)


def test_every_foreign_class_is_mapped() -> None:
    """Each exception class of both drivers becomes one of bulkio's, in a statement and while connecting."""
    kinds = foreign_classes()
    assert len(kinds) > 300
    for kind in kinds:
        exc = kind("words")
        assert errors.is_foreign(exc), kind
        for lost in (False, True):
            assert type(errors.map_error(exc, lost=lost)).__name__ in bulkio.errors.__all__
        assert isinstance(errors.map_connect_error(exc, "there"), BulkioError)


@pytest.mark.parametrize(
    ("state", "kind", "retryable"),
    [
        ("40001", DriverError, True),
        ("40P01", DriverError, True),
        ("23505", DriverError, False),
        ("57014", DriverError, False),
        ("57P03", ConnectError, True),
        ("53300", ConnectError, True),
        ("08006", ConnectError, True),
        ("28P01", ConnectError, False),
        ("3D000", ConnectError, False),
    ],
)
def test_states_decide(state: str, kind: type[DriverError], retryable: bool) -> None:
    """Both drivers' error of one SQLSTATE becomes the same class, with the same word on a retry."""
    import asyncpg

    theirs = asyncpg.exceptions.PostgresError.new({"C": state, "M": "words"})
    ours = psycopg.errors.lookup(state)("words")
    for exc in (theirs, ours):
        error = errors.map_error(exc)
        assert type(error) is kind
        assert error.sqlstate == state
        assert error.retryable is retryable


@pytest.mark.parametrize("exc", [KeyError("a"), AssertionError(), RuntimeError("bug")])
def test_bugs_are_not_hidden(exc: Exception) -> None:
    """What is neither a driver's nor a socket's passes as it is."""
    with pytest.raises(type(exc)), errors.mapped_errors(lambda: True):
        raise exc
