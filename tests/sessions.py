"""A driver's session for a test, closed at the end of its block."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from bulkio.drivers import connect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bulkio.choices import DriverName
    from bulkio.drivers.conninfo import ConnInfo
    from bulkio.protocols import Session


@asynccontextmanager
async def open_session(info: ConnInfo, driver: DriverName) -> AsyncIterator[Session]:
    """Connect, and close at the block's end whatever happens; an open transaction rolls back."""
    session = await connect(info, driver)
    try:
        yield session
    finally:
        await session.close()
