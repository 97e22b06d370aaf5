"""Notices: a trigger that talks much does not stop a load, whatever the driver and the method."""

from __future__ import annotations

import pyarrow as pa
import pytest

import bulkio
from servers import connect

WAYS = [(driver, method) for driver in ("asyncpg", "psycopg") for method in ("binary", "csv", "records")]
#: of notices a row: more than the buffers of both ends hold, long before a block of rows is sent
TALK = """
    CREATE TABLE t (a bigint, b text);
    CREATE FUNCTION talk() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        FOR i IN 1 .. 4 LOOP
            RAISE NOTICE '% %', new.a, repeat('x', 1000);
        END LOOP;
        IF new.b = 'stop' THEN
            RAISE EXCEPTION 'this is enough';
        END IF;
        RETURN new;
    END $$;
    CREATE TRIGGER talk BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION talk();
"""
ROWS = 6000


@pytest.mark.parametrize(("driver", "method"), WAYS)
def test_a_talking_trigger_does_not_stop_a_load(dsn: str, driver: str, method: str) -> None:
    """The server writes 24 MB of notices while the load writes 6 MB of rows: both have to be read."""
    with connect(dsn) as conn:
        conn.execute(TALK)
    table = pa.table({"a": range(ROWS), "b": ["y" * 1000] * ROWS})
    assert bulkio.load(table, "t", dsn, driver=driver, method=method).rows == ROWS


@pytest.mark.parametrize(("driver", "method"), WAYS)
@pytest.mark.parametrize("row", [1, ROWS // 2, ROWS - 1])
def test_an_error_behind_notices_is_the_servers_own(dsn: str, driver: str, method: str, row: int) -> None:
    """It comes in one read with the notices before it, and is still told as what it is."""
    with connect(dsn) as conn:
        conn.execute(TALK)
    texts = ["y" * 1000] * ROWS
    texts[row] = "stop"
    with pytest.raises(bulkio.DriverError, match="this is enough") as caught:
        bulkio.load(pa.table({"a": range(ROWS), "b": texts}), "t", dsn, driver=driver, method=method)
    assert caught.value.sqlstate == "P0001"
