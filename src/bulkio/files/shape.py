"""A source in another shape: columns renamed, and columns added that all rows, or all of a file, share.

What is added costs next to nothing: a constant is one value and a dictionary's indexes, which all batches share.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from bulkio.errors import ConfigError, FileError, SchemaError
from bulkio.files.rows import RowSource
from bulkio.files.source import FileSource
from bulkio.options.templates import read_template
from bulkio.show import did_you_mean, printable, show_name, show_option

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from bulkio.options.templates import Template
    from bulkio.protocols import Chunk, Feed, Fingerprint, Refuse, Source, Spelling
    from bulkio.types import Cast

__all__ = ["LoadFacts", "ShapedSource"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INDEXES = pa.int32()


@dataclass(frozen=True, slots=True)
class LoadFacts:
    """What placeholders stand for that concern the whole load."""

    #: time of its transaction, in microseconds since 1970 began in UTC
    now_us: int = 0
    load_id: str | None = None


class ShapedSource:
    """A `protocols.Source` over another one. Rows keep their numbers; columns go by their new names.

    `add` has the text of each new column, with placeholders, and `facts` tells what these stand for that concern the
    whole load. Whoever has opened `source` closes it.

    Raises `SchemaError` for columns that are not there, or would be there twice; `ConfigError` for placeholders that
    stand for nothing here.
    """

    def __init__(
        self, source: Source, *, rename: Mapping[str, str], add: Mapping[str, str], facts: LoadFacts | None = None
    ) -> None:
        facts = facts or LoadFacts()
        self._source = source
        self._rename = rename
        self.name: str = source.name
        self.rows: int | None = source.rows
        self.size_bytes: int | None = source.size_bytes
        self.cut_bytes: int | None = source.cut_bytes
        self.notes: tuple[str, ...] = source.notes
        self.spelling: Spelling | None = source.spelling
        self.reads_once: bool = source.reads_once
        self.feed: Feed | None = source.feed
        self._added = tuple(_Added(name, read_template(text), facts) for name, text in add.items())
        self._names_files = any("file" in each.template.names for each in self._added)
        if self._names_files and not (isinstance(source, FileSource) and source.has_files):
            raise ConfigError(f"{show_option('add')}: {{file}} needs files, and the source is {printable(source.name)}")
        if facts.load_id is None and any("load_id" in each.template.names for each in self._added):
            raise ConfigError(f"{show_option('add')}: {{load_id}} needs {show_option('load_id')}")
        _refuse_absent(source, rename)
        _refuse_twice(source, [self._new(name) for name in source.schema.names], add)
        self.schema = self._schema()

    def set_types(self, targets: Mapping[str, Cast]) -> None:
        """Tell a source that has no types of its own what its columns go into. Raises `EncodeError`."""
        if isinstance(self._source, RowSource):
            names = self._source.schema.names
            known = {name: targets[self._new(name)] for name in names if self._new(name) in targets}
            self._source.set_types(known)
            self.schema = self._schema()

    def leave_out(self, names: Collection[str]) -> None:
        """Let files not be read for these columns; what is added stays."""
        if isinstance(self._source, FileSource):
            self._source.leave_out([name for name in self._source.schema.names if self._new(name) in names])
            self.schema = self._schema()

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Read all, in order, as the source itself does."""
        return self._shaped(None)

    def chunks(self, count: int) -> tuple[Chunk, ...]:
        """Cut the source as it cuts itself; in one where a row's number must be known, and would not be."""
        found = self._source.chunks(count)
        needs_rows = any("row" in each.template.names for each in self._added)
        return self._source.chunks(1) if needs_rows and any(chunk.first_row is None for chunk in found) else found

    def read(self, chunk: Chunk, refuse: Refuse | None = None) -> Iterator[pa.RecordBatch]:
        """Read one of `chunks`; `refuse` is told of columns by their new names."""
        return self._shaped(chunk, None if refuse is None else self._by_new_names(refuse))

    def place_of_row(self, row: int, chunk: Chunk | None = None) -> tuple[str, int] | None:
        """Return the file and the line at which a row begins."""
        return self._source.place_of_row(row, chunk)

    def inferred_types(self) -> Mapping[str, str]:
        """Return the types of the source's own columns, by their new names."""
        return {self._new(name): kind for name, kind in self._source.inferred_types().items()}

    def fingerprints(self, stopped: Callable[[], bool]) -> tuple[Fingerprint, ...] | None:
        """Return what tells the files from others: what is added does not count."""
        return self._source.fingerprints(stopped)

    def close(self) -> None:
        """Close the source."""
        self._source.close()

    def _new(self, name: str) -> str:
        return self._rename.get(name, name)

    def _schema(self) -> pa.Schema:
        schema = self._source.schema
        fields = [field.with_name(self._new(field.name)) for field in schema]
        fields += [pa.field(each.name, each.type, nullable=False) for each in self._added]
        return pa.schema(fields, metadata=schema.metadata)

    def _by_new_names(self, refuse: Refuse) -> Refuse:
        return lambda reject: refuse(
            reject if reject.column is None else replace(reject, column=self._new(reject.column))
        )

    def _shaped(self, chunk: Chunk | None, refuse: Refuse | None = None) -> Iterator[pa.RecordBatch]:
        # Columns of its own, which keep parts of the latest batch: other threads read other chunks meanwhile.
        added = [_AddedColumn(each) for each in self._added]
        row = 1 if chunk is None else chunk.counts_from
        for file, batch in self._located(chunk, refuse):
            place = _Place(row, batch.num_rows, file)
            arrays = [*batch.columns, *(each.array(place) for each in added)]
            yield pa.RecordBatch.from_arrays(arrays, schema=self.schema)
            row += batch.num_rows

    def _located(self, chunk: Chunk | None, refuse: Refuse | None) -> Iterator[tuple[str, pa.RecordBatch]]:
        """Read all, or a chunk, with the path of the file that each batch is from, where that is wanted."""
        if self._names_files and isinstance(self._source, FileSource):
            return self._source.located_batches(chunk, refuse)
        batches = self._source.batches() if chunk is None else self._source.read(chunk, refuse)
        return (("", batch) for batch in batches)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a batch stands in the source."""

    first_row: int
    rows: int
    file: str


@dataclass(frozen=True, slots=True)
class _Added:
    """What one added column is."""

    name: str
    template: Template
    facts: LoadFacts

    @property
    def type(self) -> pa.DataType:
        """Its type."""
        if self.template.only == "row":
            return pa.int64()
        if self.template.only == "now":
            return pa.timestamp("us", "UTC")
        return pa.string() if "row" in self.template.names else pa.dictionary(_INDEXES, pa.string())


class _AddedColumn:
    """One added column as one reader makes it, batch by batch."""

    def __init__(self, added: _Added) -> None:
        self.template = added.template
        self._facts = added.facts
        self._type = added.type
        #: parts shared by the latest batches: the file, and an array of at least as many rows as they had
        self._file = ""
        self._shared: pa.Array | None = None

    def array(self, place: _Place) -> pa.Array:
        """Return the column of a batch."""
        if "row" in self.template.names:
            return self._numbered(place)
        if self._shared is None or len(self._shared) < place.rows or self._file != place.file:
            self._file, self._shared = place.file, self._constant(place)
        return self._shared.slice(0, place.rows)

    def _constant(self, place: _Place) -> pa.Array:
        if self.template.only == "now":
            return pa.repeat(pa.scalar(self._facts.now_us, self._type), place.rows)
        text = self.template.text(self._values(place.file))
        return pa.DictionaryArray.from_arrays(pa.repeat(pa.scalar(0, _INDEXES), place.rows), pa.array([text]))

    def _numbered(self, place: _Place) -> pa.Array:
        if self._shared is None or len(self._shared) < place.rows:
            self._shared = pa.array(range(place.rows), pa.int64())
        # Added to in one go: numbers made one by one would cost thirty times as much.
        rows = pc.add(self._shared.slice(0, place.rows), pa.scalar(place.first_row, pa.int64()))
        if self.template.only:
            return rows
        texts = {**self._values(place.file), "row": rows.cast(pa.string())}
        pieces = [piece for literal, name in self.template.parts for piece in (literal, texts[name] if name else "")]
        return pc.binary_join_element_wise(*pieces, "")

    def _values(self, file: str) -> dict[str, str]:
        if "file" in self.template.names:
            _refuse_bytes(file)
        now = str(_EPOCH + timedelta(microseconds=self._facts.now_us))
        return {"file": file, "now": now, "load_id": self._facts.load_id or ""}


def _refuse_bytes(file: str) -> None:
    try:
        file.encode()
    except UnicodeEncodeError:
        raise FileError(f"{file}: its name is not UTF-8, so {{file}} cannot be stored", path=file) from None


def _refuse_absent(source: Source, rename: Mapping[str, str]) -> None:
    names = source.schema.names
    absent = tuple(name for name in rename if name not in names)
    if absent:
        mend = did_you_mean(absent[0], names)
        what = f"{printable(source.name)}: has no column {', '.join(map(show_name, absent))}"
        raise SchemaError(f"{what}, which {show_option('rename')} names{f'; {mend}' if mend else ''}", columns=absent)


def _refuse_twice(source: Source, names: list[str], add: Mapping[str, str]) -> None:
    """Refuse two columns of one name, where a new name is the cause; others are for the plan to refuse."""
    times = Counter(names)
    twice = tuple(name for name in dict.fromkeys(names) if times[name] > 1)
    if twice and max(Counter(source.schema.names).values()) == 1:
        what = f"{printable(source.name)}: {show_option('rename')} makes two columns {show_name(twice[0])}"
        raise SchemaError(f"{what}: leave one out with {show_option('columns')}", columns=twice)
    there = tuple(name for name in add if name in times)
    if there:
        raise SchemaError(
            f"{printable(source.name)}: has a column {show_name(there[0])} already, which {show_option('add')} names:"
            f" rename it, or leave it out with {show_option('columns', '-' + there[0])}",
            columns=there,
        )
