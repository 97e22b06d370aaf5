"""Loads that are tried again: what the server or the network has broken, and never what the data has."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

import bulkio
from bulkio.transfer import retry
from lossy import LossyProxy
from servers import connect, fetch

if TYPE_CHECKING:
    from bulkio.choices import DriverName

ROWS = pa.table({"id": [1, 2, 3]})
DRIVERS = ["asyncpg", "psycopg"]


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pause for milliseconds."""
    monkeypatch.setattr(retry, "FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(retry, "LONGEST_PAUSE_S", 0.01)


def broken(dsn: str, times: int) -> None:
    """Make the table t, whose trigger ends the connection of the first loads."""
    with connect(dsn) as conn:
        conn.execute(f"""
            CREATE TABLE t (id bigint);
            CREATE SEQUENCE tries;
            CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                IF nextval('tries') <= {times} THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF;
                RETURN NULL;
            END $$;
            CREATE TRIGGER f AFTER INSERT ON t FOR EACH STATEMENT EXECUTE FUNCTION f()""")


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_lost_connection_is_made_again(dsn: str, driver: DriverName, caplog: pytest.LogCaptureFixture) -> None:
    """The rows are there once; each try that failed is told, with its reason."""
    broken(dsn, times=2)
    assert bulkio.load(ROWS, "t", dsn, retries=2, driver=driver).rows == 3
    assert fetch(dsn, "SELECT id FROM t ORDER BY 1") == [(1,), (2,), (3,)]
    assert [record.getMessage()[:13] for record in caplog.records] == ["try 1 failed ", "try 2 failed "]
    assert "terminating connection" in caplog.text


@pytest.mark.parametrize("driver", DRIVERS)
def test_tries_have_an_end(dsn: str, driver: DriverName) -> None:
    """The last try's error is raised as it is."""
    broken(dsn, times=5)
    with pytest.raises(bulkio.ConnectError, match="terminating connection") as caught:
        bulkio.load(ROWS, "t", dsn, retries=1, driver=driver)
    assert caught.value.sqlstate == "57P01"
    assert fetch(dsn, "SELECT last_value, (SELECT count(*) FROM t) FROM tries") == [(2, 0)]


def test_time_limits_the_tries(one_dsn: str) -> None:
    """retry_for alone sets no number; no try begins after it."""
    broken(one_dsn, times=3)
    assert bulkio.load(ROWS, "t", one_dsn, retry_for="10m").rows == 3
    with connect(one_dsn) as conn:
        conn.execute("ALTER SEQUENCE tries RESTART")
    with pytest.raises(bulkio.ConnectError):
        bulkio.load(ROWS, "t", one_dsn, retry_for="0")


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_commit_that_was_lost_is_tried_again(dsn: str, driver: DriverName) -> None:
    """The server says that nothing was changed: only then is there a second try."""
    with tempfile.TemporaryDirectory(prefix="p") as folder:
        for moment, rows in (("before the server hears it", 3), ("after the server has answered", 6)):
            with LossyProxy(dsn, Path(folder), moment) as proxy:
                assert bulkio.load(ROWS, "t", proxy.dsn, retries=1, driver=driver).rows == 3
            assert fetch(dsn, "SELECT count(*) FROM t") == [(rows,)]


def test_errors_of_data_are_not_tried_again(one_dsn: str, caplog: pytest.LogCaptureFixture) -> None:
    """They would come again."""
    with connect(one_dsn) as conn:
        conn.execute("CREATE TABLE t (id bigint CHECK (id < 3))")
    with pytest.raises(bulkio.DriverError, match="violates check constraint"):
        bulkio.load(ROWS, "t", one_dsn, retries=3)
    assert caplog.records == []


def test_what_is_read_once_is_not_tried_again(one_dsn: str, caplog: pytest.LogCaptureFixture) -> None:
    """A stream has nothing left for a second try."""
    broken(one_dsn, times=1)
    with pytest.raises(bulkio.ConnectError):
        bulkio.load(ROWS.to_reader(), "t", one_dsn, retries=3)
    assert caplog.records == []


def test_a_deadlock_is_tried_again(dsn: str) -> None:
    """A serialization failure and a deadlock end a load for another's sake."""
    for state in ("40001", "40P01"):
        with connect(dsn) as conn:
            conn.execute(f"""
                DROP TABLE IF EXISTS t; DROP SEQUENCE IF EXISTS tries;
                CREATE TABLE t (id bigint);
                CREATE SEQUENCE tries;
                CREATE OR REPLACE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$
                BEGIN
                    IF nextval('tries') = 1 THEN RAISE EXCEPTION 'meet' USING ERRCODE = '{state}'; END IF;
                    RETURN NULL;
                END $$;
                CREATE TRIGGER f AFTER INSERT ON t FOR EACH STATEMENT EXECUTE FUNCTION f()""")
        assert bulkio.load(ROWS, "t", dsn, retries=1).rows == 3


def test_pauses_grow(monkeypatch: pytest.MonkeyPatch, one_dsn: str) -> None:
    """Each is random up to a limit that doubles."""
    import random

    pauses: list[float] = []
    monkeypatch.setattr(retry, "LONGEST_PAUSE_S", 0.004)
    monkeypatch.setattr(random, "uniform", lambda _low, high: high)

    async def note(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr(retry, "anyio", SimpleNamespace(sleep=note))  # the load's monitor sleeps on
    broken(one_dsn, times=5)
    bulkio.load(ROWS, "t", one_dsn, retries=5)
    assert pauses == [0.001, 0.002, 0.004, 0.004, 0.004]
    assert all(later >= sooner for sooner, later in itertools.pairwise(pauses))
