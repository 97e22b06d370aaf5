"""One transform or check at work on a few batches, without a pipeline."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from bulkio.pipeline.stages.parts import Place

if TYPE_CHECKING:
    from bulkio.pipeline.stages import Transform


def apply(stage: Transform, table: pa.Table, *, batch_rows: int = 2) -> pa.Table:
    """Return what a stage makes of a table."""
    made, _ = apply_and_warn(stage, table, batch_rows=batch_rows)
    return made


def apply_and_warn(stage: Transform, table: pa.Table, *, batch_rows: int = 2) -> tuple[pa.Table, list[str]]:
    """Return what a stage makes of a table, and its warnings."""
    work = stage.plan(table.schema)
    place = Place(2, stage.name)
    batches = list(work.apply(iter(table.to_batches(max_chunksize=batch_rows)), place))
    assert all(batch.schema == work.schema for batch in batches)
    return pa.Table.from_batches(batches, work.schema), place.warnings
