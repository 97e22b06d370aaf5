"""A block in which the calls of the API use sessions again, instead of connecting each time."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from bulkio.drivers.pool import SessionPools
from bulkio.flow import shelter
from bulkio.transfer.session import open_pools

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bulkio.options import PoolRequest

__all__ = ["pooled"]


@asynccontextmanager
async def pooled(request: PoolRequest) -> AsyncIterator[None]:
    """Open pools for what this block, and the tasks that it starts, do; see `bulkio.aio.pooled`."""
    pools = SessionPools(request.max_sessions)
    around = open_pools.get()
    open_pools.set(pools)
    try:
        yield
    finally:
        open_pools.set(around)
        await shelter.finish(pools.close())
