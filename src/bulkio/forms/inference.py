"""Types for columns of text, from all their values: only a type that prints every one of them as it stands.

Nothing is sampled, so that nothing is found out too late. An integer is bigint, whatever its size: a table outlives the
file that it was made for. A column without any value is text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bulkio.forms.spellings import ALL, TYPES, spellings

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Inference"]


class Inference:
    """What the batches fed so far leave possible.

    >>> import pyarrow as pa
    >>> inference = Inference(("id", "price", "code"))
    >>> inference.feed(pa.record_batch([["1", None], ["1.50", "2"], ["00123", "7"]], names=["id", "price", "code"]))
    >>> inference.types()
    {'id': 'bigint', 'price': 'numeric', 'code': 'text'}
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names
        self._masks = [ALL] * len(names)
        self._has_values = [False] * len(names)

    def feed(self, batch: pa.RecordBatch) -> None:
        """Look at one more batch of strings, its columns in the order of the names."""
        for i, column in enumerate(batch.columns):
            self._masks[i] = spellings(column, self._masks[i])
            self._has_values[i] = self._has_values[i] or column.null_count < len(column)

    def types(self) -> dict[str, str]:
        """Return each column's type, as PostgreSQL calls it."""
        found = zip(self._names, self._masks, self._has_values, strict=True)
        return {name: _type_of(mask) if has_values else "text" for name, mask, has_values in found}


def _type_of(mask: int) -> str:
    return next((name for bit, name in TYPES if mask & bit), "text")
