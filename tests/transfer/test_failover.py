"""After a lost COMMIT only the server that was asked to commit is believed: real standbys, promotions and crashes."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

import bulkio
from bulkio.transfer import session
from lossy import LossyProxy
from servers import connect, found_servers, replicated_pair

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bulkio.server.cluster import Cluster
    from servers import TestServer

TABLE = pa.table({"a": [1, 2, 3]})
DRIVERS = ["asyncpg", "psycopg"]
#: more than the transactions that a test leaves unreplicated
MANY = 100


@pytest.fixture(params=list(found_servers()))
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[Cluster, Cluster]]:
    """Yield a primary, and a standby that has its table t and streams no more."""
    with replicated_pair(found_servers()[request.param]) as (primary, standby):
        with connect(primary.url()) as conn, connect(standby.url()) as replica:
            conn.execute("SET synchronous_commit = on")  # written at once, and so streamed
            conn.execute("CREATE TABLE t (a bigint)")
            until(lambda: replica.execute("SELECT to_regclass('t') IS NOT NULL").fetchone()[0])
            replica.execute("ALTER SYSTEM SET primary_conninfo = ''")
            replica.execute("SELECT pg_reload_conf()")
            until(lambda: not conn.execute("SELECT 1 FROM pg_stat_replication").fetchall())
        yield primary, standby


@pytest.fixture
def folder() -> Iterator[Path]:
    """Yield a short folder: a socket's path has 107 bytes at the most."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        yield Path(name)


def until(condition: Callable[[], object]) -> None:
    """Poll until a condition holds."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it never became true"
        time.sleep(0.01)


def commit_others(dsn: str) -> None:
    """Commit many transactions, which take the numbers that the load's own has on another server."""
    with connect(dsn) as conn:
        for _ in range(MANY):
            conn.execute("SELECT pg_current_xact_id()")


def load_until_lost(dsn: str, folder: Path, driver: str, successor: Callable[[], str]) -> bulkio.LoadReport:
    """Load three rows; the COMMIT never reaches the server, and `successor` answers from then on."""
    with LossyProxy(dsn, folder, "before the server hears it", successor) as proxy:
        return bulkio.load(TABLE, "t", proxy.dsn, driver=driver)


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_promoted_standby_is_not_believed(pair: tuple[Cluster, Cluster], folder: Path, driver: str) -> None:
    """It has given the load's number to somebody else's transaction, which has committed."""
    primary, standby = pair

    def promote() -> str:
        with connect(standby.url()) as replica:
            assert replica.execute("SELECT pg_promote()").fetchone() == (True,)
        commit_others(standby.url())
        return standby.url()

    with pytest.raises(bulkio.OutcomeUnknown, match="promoted") as caught:
        load_until_lost(primary.url(), folder, driver, promote)
    assert not caught.value.retryable


@pytest.mark.parametrize("driver", DRIVERS)
def test_with_an_id_a_promoted_standby_tells_what_it_has(
    pair: tuple[Cluster, Cluster], folder: Path, driver: str
) -> None:
    """Its ledger has no such load, as it has no such rows: a retry there is right, and then it is done once."""
    primary, standby = pair
    with connect(standby.url()) as replica:
        behind = replica.execute("SELECT to_regclass('bulkio_ledger.loads')").fetchone()
    assert behind == (None,)

    def promote() -> str:
        with connect(standby.url()) as replica:
            assert replica.execute("SELECT pg_promote()").fetchone() == (True,)
            replica.execute(bulkio.ledger_ddl(role="bulkio"))
        return standby.url()

    with connect(primary.url()) as conn:
        conn.execute(bulkio.ledger_ddl(role="bulkio"))
    options = {"driver": driver, "load_id": "x", "source_version": "1"}
    with (
        LossyProxy(primary.url(), folder, "after the server has answered", promote) as proxy,
        pytest.raises(bulkio.ConnectError, match="nothing was changed") as caught,
    ):
        bulkio.load(TABLE, "t", proxy.dsn, **options)
    assert caught.value.retryable
    assert [bulkio.load(TABLE, "t", standby.url(), **options).already for _ in range(2)] == [False, True]
    with connect(standby.url()) as conn:
        assert conn.execute("SELECT count(*) FROM t").fetchone() == (3,)


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_standby_is_asked_until_the_time_is_up(
    pair: tuple[Cluster, Cluster], folder: Path, driver: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was not promoted cannot tell what the primary has done since it streamed last."""
    primary, standby = pair
    monkeypatch.setattr(session, "OUTCOME_TIMEOUT_S", 1.0)
    with pytest.raises(bulkio.OutcomeUnknown, match="standby"):
        load_until_lost(primary.url(), folder, driver, standby.url)


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_server_that_forgot_the_transaction_in_a_crash_is_not_believed(
    pair: tuple[Cluster, Cluster], folder: Path, driver: str
) -> None:
    """What the load had written was still in memory only: after the crash its number went to somebody else."""
    primary, _ = pair

    def crash() -> str:
        primary.stop(mode="immediate")
        primary.start()
        commit_others(primary.url())
        return primary.url()

    with pytest.raises(bulkio.OutcomeUnknown, match="crash"):
        load_until_lost(primary.url(), folder, driver, crash)
    with connect(primary.url()) as conn:
        assert conn.execute("SELECT count(*) FROM t").fetchone() == (0,)


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_server_that_restarted_in_order_is_believed(pair: tuple[Cluster, Cluster], folder: Path, driver: str) -> None:
    """A shutdown writes everything down: the number is still the load's own, whose COMMIT never arrived."""
    primary, _ = pair

    def restart() -> str:
        primary.stop()
        primary.start()
        return primary.url()

    with pytest.raises(bulkio.ConnectError, match="nothing was changed") as caught:
        load_until_lost(primary.url(), folder, driver, restart)
    assert caught.value.retryable


@pytest.mark.parametrize("driver", DRIVERS)
def test_another_host_of_the_dsn_is_not_believed(
    pair: tuple[Cluster, Cluster], one_server: TestServer, folder: Path, driver: str
) -> None:
    """Another cluster that lets the same user in, as the next host of the DSN may be: all its numbers are others'."""
    here, there = (as_mover(cluster.url()) for cluster in (pair[0], one_server.cluster))
    with connect(pair[0].url()) as conn:
        for admin in (conn, one_server.admin):
            admin.execute("CREATE ROLE mover SUPERUSER LOGIN PASSWORD 'x'")
    commit_others(there)
    try:
        with pytest.raises(bulkio.OutcomeUnknown, match="another server"):
            load_until_lost(here, folder, driver, lambda: there)
    finally:
        one_server.admin.execute("DROP ROLE mover")


def as_mover(dsn: str) -> str:
    """Return the DSN of the same server for the user `mover`."""
    return f"postgresql://mover:x@{dsn.partition('@')[2]}"
