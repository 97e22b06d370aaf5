"""What a connection leads to: the server's own words, and how long it takes to ask for them."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import anyio.to_thread

from bulkio import sql
from bulkio.transfer.session import open_session, resolve_dsn

if TYPE_CHECKING:
    from bulkio.choices import DriverName
    from bulkio.options import ConnectionRequest
    from bulkio.protocols import Session

__all__ = ["ConnectionReport", "check_connection", "round_trip_s"]

#: questions whose quickest answer is the latency
_QUESTIONS = 5


@dataclass(frozen=True, slots=True)
class ConnectionReport:
    """What a connection leads to."""

    #: the connection as a URI, without password
    address: str
    driver: DriverName
    server_version: str
    database: str
    role: str
    #: True if the server is a standby, which takes no loads
    standby: bool
    #: True if what goes to the server, or to its pooler, is encrypted
    tls: bool
    #: time to connect and log in, and of the quickest of a few questions, in seconds
    connect_s: float
    latency_s: float

    def as_dict(self) -> dict[str, object]:
        """Return the fields as JSON has them."""
        return asdict(self)


async def check_connection(request: ConnectionRequest) -> ConnectionReport:
    """Connect, and ask; see `bulkio.aio.check_connection`."""
    info = await anyio.to_thread.run_sync(resolve_dsn, request.dsn, request.password)
    begun = time.perf_counter()
    async with open_session(request.dsn, request) as session:
        connect_s = time.perf_counter() - begun
        [(version, database, role, standby)] = await session.fetch(sql.WHERE_AM_I)
        return ConnectionReport(
            address=info.display,
            driver=session.driver,
            server_version=str(version),
            database=str(database),
            role=str(role),
            standby=bool(standby),
            tls=session.uses_tls,
            connect_s=connect_s,
            latency_s=min([await round_trip_s(session) for _ in range(_QUESTIONS)]),
        )


async def round_trip_s(session: Session) -> float:
    """Return the seconds that a query takes."""
    begun = time.perf_counter()
    await session.fetch(sql.PID)
    return time.perf_counter() - begun
