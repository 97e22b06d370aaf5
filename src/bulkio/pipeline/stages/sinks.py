"""Sinks: a table, a file. Each stores all rows, or nothing, and none before the last row has passed every check."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pyarrow as pa

from bulkio import aio

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from bulkio.aio import LoadPlan, LoadReport, WriteReport
    from bulkio.pipeline.stages.parts import Batches

__all__ = ["to_files", "to_table"]


@dataclass(frozen=True, slots=True)
class _Table:
    """A table that the rows go into."""

    table: str
    dsn: str | None = field(repr=False)
    options: Mapping[str, object] = field(repr=False)

    @property
    def name(self) -> str:
        return f"to_table {self.table}"

    @property
    def target(self) -> object:
        return (self.table, self.dsn)

    async def plan(self, schema: pa.Schema) -> LoadPlan | None:
        nothing = pa.RecordBatchReader.from_batches(schema, [])
        return await aio.plan_load(nothing, self.table, self.dsn, **self.options)  # type: ignore[arg-type]

    async def run(self, batches: Batches) -> LoadReport | WriteReport:
        return await aio.load(batches, self.table, self.dsn, **self.options)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class _File:
    """A file that the rows go into."""

    dest: str | os.PathLike[str]
    options: Mapping[str, object] = field(repr=False)

    @property
    def name(self) -> str:
        return f"to_files {self.dest}"

    @property
    def target(self) -> object:
        return str(self.dest)

    async def plan(self, _: pa.Schema) -> LoadPlan | None:
        return None

    async def run(self, batches: Batches) -> LoadReport | WriteReport:
        return await aio.write(batches, self.dest, **self.options)  # type: ignore[arg-type]


def to_table(table: str, dsn: str | None = None, **options: object) -> _Table:
    """Load into a table; the options are those of `bulkio.aio.load`. The load commits once all checks have passed."""
    return _Table(table, dsn, options)


def to_files(dest: str | os.PathLike[str], **options: object) -> _File:
    """Write a Parquet or Arrow file, by its ending; the options are those of `bulkio.aio.write`.

    The file has its name once all checks have passed.
    """
    return _File(dest, options)
