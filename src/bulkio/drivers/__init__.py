"""The two drivers behind `bulkio.protocols.Session`, and the one meaning of a row.

A `Row` holds the same Python values whichever driver made it or takes it. `fetch` and `cursor` return such rows,
`copy_in_records` takes them; None is NULL everywhere. Nothing is rounded, cut or turned into an extreme value:

    PostgreSQL                       Python
    bool                             bool
    int2, int4, int8, oid            int
    float4, float8                   float (a float4 is widened exactly)
    numeric                          Decimal, also for NaN and ±Infinity. The fraction's digits are the display scale;
                                     `format(value, "f")` is PostgreSQL's own text of a finite value (asyncpg may give
                                     10^50 the exponent 48)
    text, varchar, bpchar, name      str; bpchar with its padding
    json, jsonb                      str, as the server writes it
    bytea, uuid                      bytes; a uuid has 16
    date                             int, days since 2000-01-01; 2^31-1 is infinity, -2^31 is -infinity
    time                             int, microseconds since midnight; 86_400_000_000 is 24:00
    timetz                           (int microseconds, int seconds west of UTC)
    timestamp, timestamptz           int, microseconds since 2000-01-01 (UTC); 2^63-1 and -2^63 are ±infinity
    interval                         (int months, int days, int microseconds)
    an array of any of these         list; several dimensions are lists in lists. Lower bounds are lost

Dates and times are PostgreSQL's own integers, because Python's cannot hold infinity, 24:00, BC or far years (asyncpg
turns date.max into infinity in silence). `protocols.ROW_TYPE_OIDS` names the base types. A query that reads any
other type casts it in SQL, mostly to text (also "char" and regclass in catalog queries): what a driver would return for
it is undefined.

This module imports no driver; `connect` imports the one that is requested.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bulkio.choices import DriverName
    from bulkio.drivers.conninfo import ConnInfo
    from bulkio.protocols import Session

__all__ = ["connect"]


async def connect(info: ConnInfo, driver: DriverName) -> Session:
    """Connect to `info` with `driver`; the caller closes the session.

    Raises:
        ConnectError: no server answered, or it refused the login.
        ConfigError: the driver cannot honour a parameter of `info`.
    """
    if driver == "asyncpg":
        from bulkio.drivers.asyncpg import AsyncpgSession

        return await AsyncpgSession.open(info)
    from bulkio.drivers.psycopg import PsycopgSession

    return await PsycopgSession.open(info)
