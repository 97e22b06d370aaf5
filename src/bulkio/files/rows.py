"""Rows as a source: a list of dicts, whose keys, in order of first appearance, are the columns.

A key that a row lacks is NULL there. A dict tells no types: the target's are what counts, so the source is told of them
by `set_types` once the target is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pyarrow as pa

from bulkio.errors import EncodeError
from bulkio.files.chunks import check_count
from bulkio.files.formats.part import choose_columns
from bulkio.forms.python_values import column_form, to_array
from bulkio.protocols import Chunk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from bulkio.protocols import Feed, Refuse, Spelling
    from bulkio.types import Cast

__all__ = ["RowSource", "are_rows"]


def are_rows(source: object) -> bool:
    """Tell whether a source is a list whose first item is a dict."""
    return isinstance(source, list | tuple) and bool(source) and isinstance(source[0], Mapping)


class RowSource:
    """A `protocols.Source` over a list of dicts, which may be read again.

    Raises `EncodeError`, with row and key, for what is not a dict or has keys that are not texts; `SchemaError` for
    unknown `columns`.
    """

    size_bytes: int | None = None
    cut_bytes: int | None = None
    notes: tuple[str, ...] = ()
    spelling: Spelling | None = None
    feed: Feed | None = None

    def __init__(self, rows: Sequence[object], *, batch_rows: int, columns: tuple[str, ...] | None = None) -> None:
        self.name = f"a {type(rows).__name__} of dicts"
        self.reads_once = False
        self._rows = [_checked(row, number) for number, row in enumerate(rows, 1)]
        self.rows: int | None = len(self._rows)
        self._batch_rows = batch_rows
        names = list(dict.fromkeys(key for row in self._rows for key in row))
        schema = pa.schema([(name, pa.null()) for name in names])
        chosen = names if columns is None else choose_columns(schema, columns, self.name)
        self._forms = {name: column_form((), None, name=name) for name in chosen}
        #: the columns, without types before `set_types`
        self.schema = schema if columns is None else pa.schema([(name, pa.null()) for name in chosen])

    def set_types(self, targets: Mapping[str, Cast]) -> None:
        """Choose what each column becomes, by what it would be exported as from its target, where that is known.

        Raises:
            EncodeError: values of one column that are not of one type.
        """
        for name in self._forms:
            self._forms[name] = column_form([row.get(name) for row in self._rows], targets.get(name), name=name)
        self.schema = pa.schema([(name, form.arrow) for name, form in self._forms.items()])

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Make the batches, in order. Raises `EncodeError`."""
        for start in range(0, len(self._rows), self._batch_rows):
            rows = self._rows[start : start + self._batch_rows]
            arrays = [
                to_array([row.get(name) for row in rows], form, name=name, first_row=start + 1)
                for name, form in self._forms.items()
            ]
            yield pa.RecordBatch.from_arrays(arrays, schema=self.schema)

    def chunks(self, count: int) -> tuple[Chunk, ...]:
        """Return the one chunk that a list is. Raises `ConfigError` for less than one."""
        check_count(count)
        return (Chunk(0, first_row=1, rows=self.rows),)

    def read(self, _: Chunk, _refuse: Refuse | None = None) -> Iterator[pa.RecordBatch]:
        """Read the one chunk, as `batches` does."""
        return self.batches()

    def place_of_row(self, _row: int, _chunk: Chunk | None = None) -> tuple[str, int] | None:
        """Return None: its rows have no lines."""
        return None

    def inferred_types(self) -> Mapping[str, str]:
        """Return nothing: its types are Arrow's."""
        return {}

    def fingerprints(self, _: Callable[[], bool]) -> None:
        """Return None: nothing tells a list from another without its values."""

    def close(self) -> None:
        """Let go of the rows."""
        self._rows = []


def _checked(row: object, number: int) -> Mapping[str, object]:
    if not isinstance(row, Mapping):
        raise EncodeError(f"it is of type {type(row).__name__}, not a dict like the first one", row=number)
    odd = next((key for key in row if not isinstance(key, str)), "")
    if odd != "":
        raise EncodeError(f"the key {odd!r} is of type {type(odd).__name__}: keys are names of columns", row=number)
    return row
