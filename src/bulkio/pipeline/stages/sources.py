"""Sources: tables and queries, files, Arrow objects, and async iterators of batches."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bulkio import aio

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Mapping
    from contextlib import AbstractAsyncContextManager

    import pyarrow as pa

    from bulkio.pipeline.stages.parts import Batches

__all__ = ["arrow", "batches", "files", "query", "table"]


@dataclass(frozen=True, slots=True)
class _Read:
    """A table or a query."""

    name: str
    text: str
    dsn: str | None = field(repr=False)
    options: Mapping[str, object] = field(repr=False)

    def open(self) -> AbstractAsyncContextManager[Batches]:
        return aio.read(self.text, self.dsn, **self.options)  # type: ignore[arg-type]  # it checks them


@dataclass(frozen=True, slots=True)
class _Scan:
    """What `bulkio.load` takes."""

    name: str
    source: object = field(repr=False)
    options: Mapping[str, object] = field(repr=False)

    def open(self) -> AbstractAsyncContextManager[Batches]:
        return aio.scan(self.source, **self.options)  # type: ignore[arg-type]  # it checks them


class _Described:
    """An async iterable, with its schema."""

    def __init__(self, items: AsyncIterable[pa.RecordBatch], schema: pa.Schema) -> None:
        self.schema = schema
        self._items = items

    async def __aiter__(self) -> AsyncIterator[pa.RecordBatch]:
        async with _closed_at_end(aiter(self._items)) as items:
            async for batch in items:
                yield batch


@asynccontextmanager
async def _closed_at_end(
    items: AsyncIterator[pa.RecordBatch],
) -> AsyncIterator[AsyncIterator[pa.RecordBatch]]:
    try:
        yield items
    finally:
        if hasattr(items, "aclose"):
            await items.aclose()


def query(sql: str, dsn: str | None = None, **options: object) -> _Read:
    """Read what a SELECT returns; the options are those of `bulkio.aio.read`."""
    return _Read("query", sql, dsn, options)


def table(name: str, dsn: str | None = None, **options: object) -> _Read:
    """Read a table; the options are those of `bulkio.aio.read`."""
    return _Read(f"table {name}", name, dsn, options)


def files(source: object, **options: object) -> _Scan:
    """Read files: paths, a folder, a pattern, `bulkio.csv(…)`; the options are those of `bulkio.aio.scan`.

    A CSV's columns are text: cast them.
    """
    return _Scan("files", source, options)


def arrow(source: object, **options: object) -> _Scan:
    """Read any object with `__arrow_c_stream__` (polars, DuckDB, pandas, pyarrow); the options are those of `scan`."""
    return _Scan("arrow", source, options)


def batches(source: AsyncIterable[pa.RecordBatch], schema: pa.Schema | None = None, **options: object) -> _Scan:
    """Read an async iterable of batches; without a schema, its first batch tells the columns."""
    described = source if schema is None else _Described(source, schema)
    return _Scan("batches", described, options)
