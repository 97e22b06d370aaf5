"""Objects as sources: anything with `__arrow_c_stream__` or `__arrow_c_array__` (polars, DuckDB, pyarrow…).

The lengths of an object's buffers are trusted, because Arrow's C interface does not tell them. Offsets, sizes and views
are not: the codec follows none that leads out of its array (`bytesview.pxd`, `listview.pxd` of `pgcopy`), and what
pyarrow turns into JSON is validated first (`prepare`).

Errors of pyarrow and of the system become `FileError`. Any other exception of the user's own Python, such as a
generator of batches, passes through unchanged.
"""

from __future__ import annotations

import json
import traceback
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pyarrow as pa

from bulkio.errors import ConfigError, FileError, SchemaError
from bulkio.files.chunks import check_count
from bulkio.files.faults import is_pyarrow_s, reading
from bulkio.files.formats.part import choose_columns
from bulkio.forms.layouts import has_views, with_all_buffers
from bulkio.protocols import Chunk
from bulkio.show import printable, show_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from bulkio.protocols import Feed, Refuse, Spelling

__all__ = ["StreamSource", "is_stream"]


def is_stream(source: object) -> bool:
    """Tell whether `source` speaks the Arrow PyCapsule interface."""
    return hasattr(source, "__arrow_c_stream__") or hasattr(source, "__arrow_c_array__")


class StreamSource:
    """A `protocols.Source` over one object; it can be read once.

    Raises `ConfigError` if the object holds no table, `SchemaError` for unknown `columns`.
    """

    size_bytes: int | None = None
    cut_bytes: int | None = None
    notes: tuple[str, ...] = ()
    spelling: Spelling | None = None

    def __init__(
        self,
        source: object,
        *,
        batch_rows: int,
        columns: tuple[str, ...] | None = None,
        name: str | None = None,
        release: Callable[[], None] | None = None,
    ) -> None:
        self.name = name or type(source).__name__
        _refuse_addresses(source, self.name)
        self.rows: int | None = source.num_rows if isinstance(source, pa.Table | pa.RecordBatch) else None
        self.reads_once = self.rows is None
        self._batch_rows = batch_rows
        self._release = release
        self._reader = _open(source, self.name)
        self._read = False
        #: what has to run in the event loop while a thread reads; None if nothing has to
        self.feed: Feed | None = None
        schema: pa.Schema = self._reader.schema
        _refuse_hidden_index(schema, self.name)
        self._schema = schema
        self._columns = None if columns is None else choose_columns(schema, columns, self.name)
        self.schema = schema if self._columns is None else _select(schema, self._columns)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Read once, in order, cut to at most `batch_rows` rows."""
        if self._read:
            raise FileError(f"{self.name}: a stream can be read once only", path=self.name)
        self._read = True
        with _reading(self.name):
            for number, batch in enumerate(self._reader, 1):
                self._refuse_other(batch, number)
                batch.validate()
                chosen = batch if self._columns is None else batch.select(list(self._columns))
                if not chosen.schema.equals(self.schema, check_metadata=True):
                    chosen = pa.RecordBatch.from_arrays(chosen.columns, schema=self.schema)
                chosen = _with_all_buffers(chosen)
                for start in range(0, chosen.num_rows, self._batch_rows):
                    piece = chosen.slice(start, self._batch_rows)
                    # Cheap, it looks at the ends of offsets alone: the codec keeps what lies between within these.
                    piece.validate()
                    yield piece

    def chunks(self, count: int) -> tuple[Chunk, ...]:
        """Return the one chunk that an object is. Raises `ConfigError` for less than one."""
        check_count(count)
        return (Chunk(0, first_row=1, rows=self.rows),)

    def read(self, _: Chunk, _refuse: Refuse | None = None) -> Iterator[pa.RecordBatch]:
        """Read the one chunk, as `batches` does."""
        return self.batches()

    def _refuse_other(self, batch: pa.RecordBatch, number: int) -> None:
        """Raise `FileError` for a batch whose columns are not the stream's: nothing in Arrow compares them."""
        if [*zip(batch.schema.names, batch.schema.types, strict=True)] == [
            *zip(self._schema.names, self._schema.types, strict=True)
        ]:
            return
        what = _difference(self._schema, batch.schema)
        raise FileError(f"{self.name}: batch {number} has another schema than the stream: {what}", path=self.name)

    def place_of_row(self, _row: int, _chunk: Chunk | None = None) -> tuple[str, int] | None:
        """Return None: its rows have no lines."""
        return None

    def inferred_types(self) -> Mapping[str, str]:
        """Return nothing: its columns have types."""
        return {}

    def fingerprints(self, _: Callable[[], bool]) -> None:
        """Return None: an object is read once."""

    def close(self) -> None:
        """Release the stream, and with it what its producer holds."""
        self._read = True
        self._reader.close()
        if self._release is not None:
            self._release()


@contextmanager
def _reading(name: str) -> Iterator[None]:
    """Turn foreign errors into `FileError`, but for those that were raised by the user's own code."""
    try:
        yield
    except Exception as exc:
        *_, (frame, _) = traceback.walk_tb(exc.__traceback__)
        raised_in = frame.f_globals.get("__name__", "").partition(".")[0]
        if raised_in not in ("bulkio", "pyarrow") and not is_pyarrow_s(exc):
            raise
        with reading(name):
            raise


def _refuse_addresses(source: object, name: str) -> None:
    """Refuse polars' Object columns: their Arrow form is the addresses of Python objects, not their values."""
    if type(source).__module__.partition(".")[0] != "polars":
        return
    dtypes = getattr(source, "schema", None) or {getattr(source, "name", ""): getattr(source, "dtype", None)}
    odd = [column for column, dtype in dict(dtypes).items() if str(dtype) == "Object"]
    if odd:
        names = ", ".join(map(show_name, odd))
        raise SchemaError(f"{name}: {names} holds Python objects (polars' Object): cast it first", columns=tuple(odd))


def _refuse_hidden_index(schema: pa.Schema, name: str) -> None:
    """Refuse a pandas index that has a name and evenly spaced values: pandas keeps it out of the columns."""
    described = json.loads((schema.metadata or {}).get(b"pandas", b"{}"))
    for index in described.get("index_columns", ()):
        if isinstance(index, dict) and index.get("name") is not None:
            column = str(index["name"])
            raise SchemaError(
                f"{name}: the index {show_name(column)} is not a column: use reset_index() to load it, or drop it",
                columns=(column,),
            )


def _open(source: object, name: str) -> pa.RecordBatchReader:
    try:
        if isinstance(source, pa.RecordBatchReader):
            # Not through the C interface, which would turn its Python errors into text.
            return source
        if isinstance(source, pa.Table):
            return source.to_reader()
        if isinstance(source, pa.RecordBatch):
            return pa.RecordBatchReader.from_batches(source.schema, [source])
        if isinstance(source, pa.ChunkedArray):
            source = pa.chunked_array([with_all_buffers(chunk) for chunk in source.chunks], source.type)
        if isinstance(source, pa.Array):
            source = with_all_buffers(source)
        if hasattr(source, "__arrow_c_stream__"):
            return pa.RecordBatchReader.from_stream(source)
        batch = pa.record_batch(source)
        return pa.RecordBatchReader.from_batches(batch.schema, [batch])
    except (pa.ArrowException, TypeError, ValueError) as exc:
        raise ConfigError(f"{printable(name)}: does not yield a table: {str(exc).splitlines()[0]}") from exc


def _with_all_buffers(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Make up for what pyarrow leaves out of a whole batch, before it is cut: pieces share their buffers."""
    for index, field in enumerate(batch.schema):
        if has_views(field.type):
            batch = batch.set_column(index, field, with_all_buffers(batch.column(index)))
    return batch


def _select(schema: pa.Schema, columns: tuple[str, ...]) -> pa.Schema:
    return pa.schema([schema.field(column) for column in columns], metadata=schema.metadata)


def _difference(wanted: pa.Schema, found: pa.Schema) -> str:
    """Tell the first column in which the schemas differ."""
    for expected, field in zip(wanted, found, strict=False):
        if field.name != expected.name:
            return f"its column {printable(field.name)} stands where {printable(expected.name)} should be"
        if field.type != expected.type:
            return f"{printable(field.name)} is {field.type}, not {expected.type}"
    return f"it has {len(found)} columns, not {len(wanted)}"
