"""The outcome of a COMMIT whose reply is lost is found out, and never guessed."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

import bulkio
from bulkio.drivers.asyncpg import AsyncpgSession
from bulkio.drivers.conninfo import parse_conninfo
from bulkio.flow import shelter
from bulkio.transfer import session
from lossy import LossyProxy, Moment
from servers import connect
from sessions import open_session

if TYPE_CHECKING:
    from servers import TestServer

TABLE = pa.table({"a": [1, 2, 3]})


@pytest.fixture
def folder() -> Path:
    """Yield a short folder: a socket's path has 107 bytes at the most."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        yield Path(name)


def rows(dsn: str) -> int | None:
    """Count the rows of t, None where there is no such table."""
    with connect(dsn) as conn:
        if conn.execute("SELECT to_regclass('t')").fetchone() == (None,):
            return None
        return conn.execute("SELECT count(*) FROM t").fetchone()[0]


def load_through(dsn: str, folder: Path, moment: Moment, driver: str) -> bulkio.LoadReport:
    with LossyProxy(dsn, folder, moment) as proxy:
        return bulkio.load(TABLE, "t", proxy.dsn, driver=driver)


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
def test_a_lost_reply_to_a_commit_that_took_effect_is_done(dsn: str, folder: Path, driver: str) -> None:
    """The server is asked with pg_xact_status, and says: committed."""
    assert load_through(dsn, folder, "after the server has answered", driver).rows == 3
    assert rows(dsn) == 3


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
def test_a_commit_that_never_arrived_is_a_failure(dsn: str, folder: Path, driver: str) -> None:
    """The server says: aborted; nothing was changed, and the error can be retried."""
    with pytest.raises(bulkio.ConnectError, match="nothing was changed") as caught:
        load_through(dsn, folder, "before the server hears it", driver)
    assert caught.value.retryable
    assert rows(dsn) is None


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
def test_a_server_that_cannot_be_asked_leaves_the_outcome_unknown(
    dsn: str, folder: Path, driver: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the transaction, and does not claim that nothing was changed."""
    monkeypatch.setattr(session, "OUTCOME_TIMEOUT_S", 0.5)
    with pytest.raises(bulkio.OutcomeUnknown, match=r"transaction \d+ is unknown: the server cannot be reached"):
        load_through(dsn, folder, "and the server is gone", driver)
    assert rows(dsn) == 3


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
def test_a_role_without_any_privilege_learns_the_outcome(
    server: TestServer, dsn: str, folder: Path, driver: str
) -> None:
    """What tells one server from another may be asked by everybody."""
    server.admin.execute("CREATE ROLE plain LOGIN PASSWORD 'x'")
    try:
        with connect(dsn) as conn:
            conn.execute("CREATE TABLE t (a bigint)")
            conn.execute("GRANT INSERT ON t TO plain")
        as_plain = f"postgresql://plain:x@{dsn.partition('@')[2]}"
        assert load_through(as_plain, folder, "after the server has answered", driver).rows == 3
        assert rows(dsn) == 3
        with connect(dsn) as conn:
            conn.execute("DROP TABLE t")
    finally:
        server.admin.execute("DROP ROLE plain")


#: what an administrator may have taken away, and how it is given back
REVOKED = {
    "EXECUTE ON FUNCTION pg_control_system()": True,
    "EXECUTE ON FUNCTION pg_current_wal_lsn()": True,
    "EXECUTE ON FUNCTION pg_walfile_name(pg_lsn)": True,
    "SELECT ON pg_stat_bgwriter": True,
    "SELECT ON pg_settings": False,
}


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
@pytest.mark.parametrize(("privilege", "hides_place"), REVOKED.items())
def test_a_server_that_does_not_tell_its_place_is_loaded(
    server: TestServer, dsn: str, folder: Path, driver: str, privilege: str, *, hides_place: bool
) -> None:
    """What only a lost COMMIT needs costs no load; that then leaves the outcome unknown, and is not guessed."""
    server.admin.execute("CREATE ROLE plain LOGIN PASSWORD 'x'")
    try:
        with connect(dsn) as conn:
            conn.execute("CREATE TABLE t (a bigint)")
            conn.execute("GRANT INSERT ON t TO plain")
            conn.execute(f"REVOKE {privilege} FROM public")
        as_plain = f"postgresql://plain:x@{dsn.partition('@')[2]}"
        report = bulkio.load(TABLE, "t", as_plain, driver=driver)
        assert (report.rows, report.lifted) == (3, ())
        if hides_place:
            with pytest.raises(bulkio.OutcomeUnknown, match="could not be asked for its place"):
                load_through(as_plain, folder, "after the server has answered", driver)
        else:
            assert load_through(as_plain, folder, "after the server has answered", driver).rows == 3
        assert rows(dsn) == 6
        with connect(dsn) as conn:
            conn.execute("DROP TABLE t")
    finally:
        server.admin.execute("DROP ROLE plain")


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
@pytest.mark.parametrize("hides_settings", [False, True])
def test_a_transaction_knows_the_process_that_serves_it(
    server: TestServer, dsn: str, driver: str, *, hides_settings: bool
) -> None:
    """It is the server's own word, also where the role may not read the time limits in whose answer it comes."""
    server.admin.execute("CREATE ROLE plain LOGIN PASSWORD 'x'")
    as_plain = parse_conninfo(f"postgresql://plain:x@{dsn.partition('@')[2]}")

    async def ask() -> tuple[int, list[tuple[object, ...]]]:
        async with open_session(as_plain, driver) as made, session.transaction(made, read_only=True) as begun:
            return begun.pid, await made.fetch("SELECT pg_backend_pid()")

    try:
        if hides_settings:
            with connect(dsn) as conn:
                conn.execute("REVOKE SELECT ON pg_settings FROM public")
        pid, answer = asyncio.run(ask())
        assert answer == [(pid,)]
    finally:
        server.admin.execute("DROP ROLE plain")


def test_an_unexpected_exception_during_commit_leaves_the_outcome_unknown(
    one_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is not an error of bulkio's tells nothing of the COMMIT that was sent: never "nothing was changed"."""
    execute = AsyncpgSession.execute
    told: list[str] = []

    async def fail(self: AsyncpgSession, sql: str) -> str:
        tag = await execute(self, sql)
        if sql == "COMMIT":
            raise LookupError("odd")
        return tag

    monkeypatch.setattr(AsyncpgSession, "execute", fail)
    token = shelter.decision_watch.set(told.append)
    try:
        with pytest.raises(bulkio.OutcomeUnknown, match=r"unexpected LookupError \(odd\) and its outcome is unknown"):
            bulkio.load(TABLE, "t", one_dsn, driver="asyncpg")
    finally:
        shelter.decision_watch.reset(token)
    assert told == ["awaited", "unknown"]
    assert rows(one_dsn) == 3
