"""A block in which the calls of the API use sessions again, instead of connecting each time."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio.to_thread

from bulkio.drivers.choose import choose_driver
from bulkio.drivers.pool import open_pool
from bulkio.flow import shelter
from bulkio.transfer.session import open_pools, pool_key, resolve_dsn

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bulkio.options import PoolRequest

__all__ = ["pooled"]


@asynccontextmanager
async def pooled(request: PoolRequest) -> AsyncIterator[None]:
    """Open the pool for what this block, and the tasks that it starts, do; see `bulkio.aio.pooled`."""
    info = await anyio.to_thread.run_sync(resolve_dsn, request.dsn, request.password)
    pool = await open_pool(info, choose_driver(info, request.driver), request.max_sessions)
    around = open_pools.get()
    open_pools.set({**around, pool_key(request.dsn, request): pool})
    try:
        yield
    finally:
        open_pools.set(around)
        await shelter.finish(pool.close())
