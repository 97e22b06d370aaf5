"""Staged rows that INSERT … SELECT is refused for: each is told with its reason, and the others are stored whole.

The rows are staged by the tests themselves, as two chunks of a source would be.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from psycopg.conninfo import make_conninfo

import bulkio
from bulkio import sql
from bulkio.drivers.conninfo import parse_conninfo
from bulkio.errors import BulkioError, DriverError
from bulkio.transfer import isolation
from bulkio.transfer.merge import Changes, insert_all, merge
from bulkio.transfer.session import transaction
from servers import connect, fetch
from sessions import open_session

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from bulkio.choices import DriverName, Mode
    from bulkio.protocols import Session
    from servers import TestServer

    Row = tuple[int, int | None]

#: rows of a chunk; the second one's places begin far behind
CHUNK = 10
TABLE = "CREATE TABLE t (id int PRIMARY KEY, v int)"


@dataclass
class Result:
    """What became of a merge."""

    changes: Changes | int | None = None
    #: source's rows that were refused, in the order in which they were told, with the server's message
    refused: dict[int, str] = field(default_factory=dict)


def place_of(row: int) -> int:
    """Return the number of a row of the source, from 1."""
    return (row - 1) // CHUNK << 40 | (row - 1) % CHUNK


def row_of(place: int) -> int:
    return (place >> 40) * CHUNK + place % 2**40 + 1


def merged(
    dsn: str, rows: Sequence[Row], mode: Mode = "upsert", driver: DriverName = "psycopg", **options: Any
) -> Result:
    """Stage rows of (id, v), and bring them into the table t as a load with rejects does, or all of them by INSERT."""
    source = pa.table(
        {"id": pa.array([row[0] for row in rows], pa.int32()), "v": pa.array([row[1] for row in rows], pa.int32())}
    )
    options = {"mode": "upsert" if mode == "append" else mode, "rejects": "bad.parquet", **options}
    plan = bulkio.plan_load(source, "t", dsn, **options)
    work = plan.work.merge
    assert work is not None
    result = Result()

    def refuse(place: int, error: DriverError) -> None:
        result.refused[row_of(place)] = error.args[0]

    async def bring(session: Session) -> None:
        for statement in plan.work.before:
            await session.execute(statement)
        values = ", ".join(f"({value(key)}, {value(v)}, {place_of(row)})" for row, (key, v) in enumerate(rows, 1))
        await session.execute(f"INSERT INTO pg_temp.bulkio_staging VALUES {values}; {sql.USERS_PATH}")
        if mode == "append":
            result.changes = await insert_all(session, work.insert, refuse)
        else:
            result.changes = await merge(session, work, refuse, row_of)

    in_transaction(dsn, driver, bring)
    return result


def value(number: int | None) -> str:
    return "NULL::int" if number is None else str(number)


def in_transaction(dsn: str, driver: DriverName, work: Callable[[Session], Awaitable[None]]) -> None:
    """Work in a transaction as a load's, and commit."""

    async def run() -> None:
        async with (
            open_session(parse_conninfo(dsn), driver) as session,
            transaction(session, read_only=False, lock_timeout=None, privileges=""),
        ):
            await work(session)
            await session.execute(sql.COMMIT)

    asyncio.run(run())


def make(dsn: str, *statements: str) -> None:
    with connect(dsn) as conn:
        for statement in statements:
            conn.execute(statement)


def stored(dsn: str) -> dict[int, int | None]:
    return dict(fetch(dsn, "SELECT id, v FROM t"))  # type: ignore[arg-type]


def raising(when: str, condition: str = "new.v < 0", kind: str = "", level: str = "FOR EACH ROW") -> str:
    """Return the statements of a trigger that raises an error."""
    return f"""
        CREATE FUNCTION check_v() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN IF {condition} THEN RAISE 'v is odd' USING ERRCODE = 'ZZ001'; END IF; RETURN new; END $$;
        CREATE {kind} TRIGGER check_v {when} ON t {level} EXECUTE FUNCTION check_v()"""


#: what refuses a row whose v is negative, and what the server says
FAULTS = {
    "check": (TABLE, "ALTER TABLE t ADD CHECK (v >= 0)", "violates check constraint"),
    "not null": (TABLE, "ALTER TABLE t ADD g int GENERATED ALWAYS AS (CASE WHEN v >= 0 THEN v END) STORED NOT NULL",
                 "null value"),
    "generated": (TABLE, "ALTER TABLE t ADD g int GENERATED ALWAYS AS (1 / (CASE WHEN v < 0 THEN 0 ELSE 1 END)) STORED",
                  "division by zero"),
    "foreign key": (TABLE, "CREATE TABLE p (v int PRIMARY KEY); INSERT INTO p SELECT generate_series(0, 100);"
                    " ALTER TABLE t ADD FOREIGN KEY (v) REFERENCES p", "violates foreign key constraint"),
    "deferred foreign key": (TABLE, "CREATE TABLE p (v int PRIMARY KEY); INSERT INTO p SELECT generate_series(0, 100);"
                             " ALTER TABLE t ADD FOREIGN KEY (v) REFERENCES p DEFERRABLE INITIALLY DEFERRED",
                             "violates foreign key constraint"),
    "before trigger": (TABLE, raising("BEFORE INSERT OR UPDATE"), "v is odd"),
    "after trigger": (TABLE, raising("AFTER INSERT OR UPDATE"), "v is odd"),
    "constraint trigger": (TABLE, raising("AFTER INSERT OR UPDATE", kind="CONSTRAINT").replace(
        "FOR EACH", "DEFERRABLE INITIALLY DEFERRED FOR EACH"), "v is odd"),
    "partition": (f"{TABLE.replace('id int PRIMARY KEY', 'id int')} PARTITION BY LIST (id)",
                  "CREATE TABLE t_1 PARTITION OF t (PRIMARY KEY (id)) DEFAULT; ALTER TABLE t ADD PRIMARY KEY (id);"
                  " ALTER TABLE t_1 ADD CHECK (v >= 0)", 'relation "t_1" violates check constraint'),
}  # fmt: skip


@pytest.mark.parametrize("mode", ["upsert", "insert-new", "append"])
@pytest.mark.parametrize("fault", FAULTS)
def test_each_refused_row_is_told(dsn: str, fault: str, mode: Mode) -> None:
    """With the server's own words; the other rows are stored, and the counts are those of the rows that are."""
    ddl, rule, message = FAULTS[fault]
    make(dsn, ddl, rule)
    if mode != "append":
        make(dsn, "INSERT INTO t VALUES (3, 0), (4, 4)")
    rows: list[Row] = [(key, -key if key in (1, 9, 10, 11, 17) else key) for key in range(1, 21)]
    result = merged(dsn, rows, mode)
    assert list(result.refused) == [1, 9, 10, 11, 17]
    assert all(message in said for said in result.refused.values())
    good = {key: v for key, v in rows if key not in result.refused}
    if mode == "append":
        assert result.changes == 15
    elif mode == "upsert":
        assert result.changes == Changes(13, 1)
    else:
        assert result.changes == Changes(13, 0)
        good[3] = 0
    assert stored(dsn) == good


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
def test_the_first_of_two_rows_that_exclude_each_other_stays(dsn: str, driver: DriverName) -> None:
    """Whether a second key, an exclusion constraint or a deferred one refuses the later row."""
    make(dsn, TABLE, "ALTER TABLE t ADD UNIQUE (v) DEFERRABLE INITIALLY DEFERRED")
    rows: list[Row] = [(key, key % 7) for key in range(1, 21)]
    result = merged(dsn, rows, driver=driver)
    assert list(result.refused) == list(range(8, 21))
    assert stored(dsn) == {key: key % 7 for key in range(1, 8)}
    assert "is already there" not in result.refused[8]
    make(dsn, "TRUNCATE t", "ALTER TABLE t DROP CONSTRAINT t_v_key, ADD EXCLUDE (v WITH =)")
    assert list(merged(dsn, rows, "append", driver).refused) == list(range(8, 21))


def test_rows_that_would_update_others(dsn: str) -> None:
    """An update that is refused leaves the row that was there; what is stored is counted as it was."""
    make(dsn, TABLE, raising("BEFORE UPDATE"), "INSERT INTO t SELECT g, 0 FROM generate_series(1, 10) AS g")
    rows: list[Row] = [(key, -key if key in (2, 5, 10, 12) else key) for key in range(1, 15)]
    result = merged(dsn, rows)
    assert list(result.refused) == [2, 5, 10]
    assert result.changes == Changes(4, 7)
    assert stored(dsn) == {**dict(rows), 2: 0, 5: 0, 10: 0}


def test_an_identity_that_is_always_generated(dsn: str) -> None:
    """The parts of the rows say that they mean their own values, too."""
    make(dsn, "CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v int CHECK (v >= 0))")
    assert list(merged(dsn, [(1, 1), (2, -2), (3, 3)]).refused) == [2]
    assert list(merged(dsn, [(3, 3), (4, 4), (5, -5)], "append").refused) == [1, 3]
    assert stored(dsn) == {1: 1, 3: 3, 4: 4}


def test_a_trigger_that_changes_keys(dsn: str) -> None:
    """Two rows that it gives one key exclude each other; in one upsert they are nobody's fault alone."""
    body = "BEGIN new.id = new.id % 3; RETURN new; END"
    trigger = "CREATE TRIGGER f BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()"
    make(dsn, TABLE, f"CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS '{body}'; {trigger}")
    rows: list[Row] = [(key, key) for key in range(1, 6)]
    with pytest.raises(DriverError, match="cannot affect row a second time"):
        merged(dsn, rows)
    assert list(merged(dsn, rows, "append").refused) == [4, 5]


def test_a_partition_without_a_place(dsn: str) -> None:
    """Rows that no partition takes."""
    make(
        dsn,
        "CREATE TABLE t (id int PRIMARY KEY, v int) PARTITION BY RANGE (id)",
        "CREATE TABLE t_1 PARTITION OF t FOR VALUES FROM (5) TO (15)",
    )
    result = merged(dsn, [(key, key) for key in range(1, 21)])
    assert list(result.refused) == [*range(1, 5), *range(15, 21)]
    assert "no partition of relation" in result.refused[1]
    assert result.changes == Changes(10, 0)


def test_a_row_that_is_too_long_for_an_index(one_dsn: str) -> None:
    """It is refused by a limit of the program's, not by a rule."""
    body = "SELECT string_agg(md5(n::text), '') FROM generate_series(1, CASE WHEN $1 < 0 THEN 500 ELSE 1 END) AS n"
    function = f"CREATE FUNCTION long(int) RETURNS text IMMUTABLE LANGUAGE sql AS $${body}$$"
    make(one_dsn, TABLE, function, "CREATE INDEX ON t (long(v))")
    result = merged(one_dsn, [(1, 1), (2, -2), (3, 3)])
    assert list(result.refused) == [2]
    assert "maximum size" in result.refused[2]


def test_a_policy_refuses_rows(one_server: TestServer, one_dsn: str) -> None:
    """Not as a right that is missing."""
    role = f"guarded_{one_server.version}"
    make(
        one_dsn,
        TABLE,
        f"DROP ROLE IF EXISTS {role}; CREATE ROLE {role} LOGIN PASSWORD 'x'; GRANT ALL ON t TO {role}",
        "ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY mine ON t USING (true) WITH CHECK (v >= 0)",
    )
    result = merged(make_conninfo(one_dsn, user=role, password="x"), [(1, 1), (2, -2), (3, 3)])
    assert list(result.refused) == [2]
    assert stored(one_dsn) == {1: 1, 3: 3}
    make(one_dsn, f"DROP OWNED BY {role}; DROP ROLE {role}")


@pytest.mark.parametrize("seed", range(4))
def test_any_rows_may_be_refused(one_dsn: str, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Whichever they are and however many, the rest is what storing one row after the other would leave.

    Few ranges stay stored behind savepoints, so that they are joined often.
    """
    chance = random.Random(seed)  # noqa: S311 - no secrets
    monkeypatch.setattr(isolation, "_MOST_RANGES", chance.choice([2, 5, 40]))
    make(one_dsn, TABLE, "ALTER TABLE t ADD UNIQUE (v), ADD CHECK (v % 10 <> 3)")
    share = chance.choice([10, 100, 400])
    rows: list[Row] = [(key, chance.randrange(share)) for key in range(1, chance.randrange(150, 300))]
    taken: dict[int, int | None] = {}
    bad = []
    for number, (key, v) in enumerate(rows, 1):
        assert v is not None
        if v % 10 == 3 or v in taken.values():
            bad.append(number)
        else:
            taken[key] = v
    result = merged(one_dsn, rows)
    assert list(result.refused) == bad
    assert stored(one_dsn) == taken


def test_few_savepoints_stay(one_dsn: str) -> None:
    """However many rows are refused: others need not look up on disk what is committed."""
    make(one_dsn, TABLE, "ALTER TABLE t ADD CHECK (v % 2 = 0)")
    seen: list[object] = []

    async def bring(session: Session) -> None:
        source = pa.table({"id": pa.array([1], pa.int32()), "v": pa.array([1], pa.int32())})
        plan = await asyncio.to_thread(bulkio.plan_load, source, "t", one_dsn, mode="upsert", rejects="bad.parquet")
        assert plan.work.merge is not None
        await session.execute("; ".join(plan.work.before))
        await session.execute("INSERT INTO pg_temp.bulkio_staging SELECT n, n, n FROM generate_series(1, 300) AS n")
        await merge(session, plan.work.merge, lambda *_: None)
        await session.execute("SET LOCAL search_path = pg_catalog")
        seen.extend(
            await session.fetch(
                "SELECT s.subxact_count, s.subxact_overflowed FROM pg_stat_get_backend_idset() AS b"
                " CROSS JOIN pg_stat_get_backend_subxact(b) AS s WHERE pg_stat_get_backend_pid(b) = pg_backend_pid()"
            )
        )

    in_transaction(one_dsn, "asyncpg", bring)
    assert seen == [(1, False)]


def test_what_no_row_is_to_blame_for_is_raised(dsn: str) -> None:
    """A rule about the whole statement: its parts are stored, and all together are not."""
    rule = raising(
        "AFTER INSERT", "(SELECT count(*) FROM fresh) > 3", level="REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT"
    )
    make(dsn, TABLE, rule)
    with pytest.raises(DriverError, match="v is odd"):
        merged(dsn, [(key, key) for key in range(1, 11)], "insert-new")
    assert stored(dsn) == {}


@pytest.mark.parametrize("when", ["BEFORE INSERT", "AFTER INSERT"])
def test_what_refuses_no_rows_too_is_raised(dsn: str, when: str) -> None:
    """A trigger that lets nothing in: its rows are not at fault, and none is told."""
    make(dsn, TABLE, raising(when, "true", level="FOR EACH STATEMENT"))
    with pytest.raises(DriverError, match="v is odd"):
        merged(dsn, [(1, 1), (2, 2)])


def test_what_is_not_about_rows_ends_the_walk(one_dsn: str) -> None:
    """A missing right, or a cancellation by a time limit, is no reason to reject a row."""
    make(one_dsn, TABLE, raising("BEFORE INSERT").replace("ZZ001", "query_canceled"))
    with pytest.raises(DriverError, match="v is odd"):
        merged(one_dsn, [(1, 1), (2, -2)])


def test_whoever_is_told_may_end_it(one_dsn: str) -> None:
    """As soon as too many rows are refused."""
    make(one_dsn, TABLE, "ALTER TABLE t ADD CHECK (v >= 0)")
    told = []

    def refuse(place: int, _error: DriverError) -> None:
        told.append(place)
        if len(told) == 2:
            raise BulkioError("too many")

    async def bring(session: Session) -> None:
        await session.execute(
            "CREATE TEMPORARY TABLE s AS SELECT n AS id, -n AS v, n::bigint AS place FROM generate_series(1, 9) AS n"
        )
        insert = sql.StagedInsert("public", "t", ["id", "v"], (), staging=("pg_temp", "s"), place="place")
        await insert_all(session, insert, refuse)

    with pytest.raises(BulkioError, match="too many"):
        in_transaction(one_dsn, "psycopg", bring)
    assert told == [1, 2]


# --- Rows of one key ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("duplicates", ["first", "last"])
@pytest.mark.parametrize("mode", ["upsert", "insert-new"])
def test_a_row_that_another_supersedes_is_not_refused(dsn: str, duplicates: str, mode: Mode) -> None:
    """It would never be stored."""
    make(dsn, TABLE, "ALTER TABLE t ADD CHECK (v >= 0)")
    good, bad = ((1, 1), (1, -1)) if duplicates == "first" else ((1, -1), (1, 1))
    result = merged(dsn, [good, bad, (2, -2), (3, 3)], mode, duplicates=duplicates)
    assert list(result.refused) == [3]
    assert stored(dsn) == {1: 1, 3: 3}
    assert result.changes == Changes(2, 0)


def test_the_next_row_of_a_key_takes_the_place_of_one_that_is_refused(dsn: str) -> None:
    """The table is as if the source had never had the refused one; and so on, if that one is refused as well."""
    make(dsn, TABLE, "ALTER TABLE t ADD CHECK (v >= 0)")
    rows: list[Row] = [(1, 5), (2, -1), (1, 6), (2, -2), (1, -3), (2, -4), (1, -5), (3, 3)]
    result = merged(dsn, rows, duplicates="last")
    assert sorted(result.refused) == [2, 4, 5, 6, 7]
    assert stored(dsn) == {1: 6, 3: 3}
    assert result.changes == Changes(2, 0)


def test_doubled_keys_are_named_by_the_rows_of_the_source(dsn: str) -> None:
    """Rows that were rejected before are missing, and the others keep their numbers."""
    make(dsn, TABLE)
    rows: list[Row] = [(key, key) for key in range(1, 13)]
    rows[11] = (2, 0)
    with pytest.raises(bulkio.SchemaError) as caught:
        merged(dsn, rows)
    assert "\n  '2': rows 2, 12\n" in str(caught.value)


def test_doubled_keys_without_numbers(one_dsn: str) -> None:
    """Where nobody can tell the rows of the source, the message has the keys alone."""
    make(one_dsn, TABLE)

    async def bring(session: Session) -> None:
        source = pa.table({"id": pa.array([1], pa.int32()), "v": pa.array([1], pa.int32())})
        plan = await asyncio.to_thread(bulkio.plan_load, source, "t", one_dsn, mode="upsert", rejects="bad.parquet")
        assert plan.work.merge is not None
        await session.execute("; ".join(plan.work.before))
        await session.execute("INSERT INTO pg_temp.bulkio_staging VALUES (1, 1, 5), (2, 2, 6), (1, 1, 9)")
        await merge(session, plan.work.merge, lambda *_: None)

    with pytest.raises(bulkio.SchemaError, match=r"have the same key \(\"id\"\):\n  '1'\nkeep one"):
        in_transaction(one_dsn, "psycopg", bring)
