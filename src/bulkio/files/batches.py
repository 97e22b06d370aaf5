"""Objects of pyarrow's without `__arrow_c_stream__`, and whatever yields batches, as readers of batches.

Nothing is read here but the first batch of an iterator, which alone knows the columns. All are read once.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import TYPE_CHECKING, cast

import pyarrow as pa

from bulkio.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["flattened", "reader_of", "schema_of"]

#: batches that a scanner reads ahead: its own default is 16, of four files at once
_AHEAD = 4


def reader_of(source: object, *, batch_rows: int, columns: Sequence[str] | None) -> pa.RecordBatchReader | None:
    """Return a reader of a Dataset, a Scanner, or an iterable of batches and tables; None for anything else.

    Raises:
        ConfigError: an iterator yields nothing, or what is not a batch.
    """
    datasets = sys.modules.get("pyarrow.dataset")  # whoever has a Dataset has imported it
    if datasets is not None and isinstance(source, datasets.Scanner):
        return source.to_reader()
    if datasets is not None and isinstance(source, datasets.Dataset):
        chosen = list(columns) if columns is not None and set(columns) <= set(source.schema.names) else None
        scanner = source.scanner(
            columns=chosen, batch_size=batch_rows, batch_readahead=_AHEAD, fragment_readahead=1, use_threads=True
        )
        return scanner.to_reader()
    if not _may_yield_batches(source):
        return None
    items = iter(cast("Iterable[object]", source))
    first = next(items, None)
    if first is None:
        raise ConfigError(f"the {type(source).__name__} yields nothing, and only a batch would tell the columns")
    batches = flattened(chain([first], items), type(source).__name__)
    return pa.RecordBatchReader.from_batches(schema_of(first, type(source).__name__, 1), batches)


def _may_yield_batches(source: object) -> bool:
    """Tell a list of batches, or an iterator of anything: what that has is known once it is asked."""
    if isinstance(source, list | tuple):
        return bool(source) and isinstance(source[0], pa.RecordBatch | pa.Table)
    return isinstance(source, Iterator) and not hasattr(source, "read")


def flattened(items: Iterable[object], name: str) -> Iterator[pa.RecordBatch]:
    """Yield the batches of batches and tables. Raises `ConfigError` for anything else."""
    for number, item in enumerate(items, 1):
        _ = schema_of(item, name, number)
        if isinstance(item, pa.Table):
            yield from item.to_batches()
        else:
            yield item


def schema_of(item: object, name: str, number: int) -> pa.Schema:
    """Return the schema of an item, whose number messages tell. Raises `ConfigError` if it is no batch or table."""
    if isinstance(item, pa.RecordBatch | pa.Table):
        return item.schema
    what = f"item {number} of the {name} is of type {type(item).__name__}, not a RecordBatch or a Table of pyarrow's"
    raise ConfigError(f"{what}; give rows as a list: list(…)" if isinstance(item, Mapping) else what)
