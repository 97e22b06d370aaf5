"""The round trip that the matrix and the random tables check: export, drop, load, compare."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pyarrow as pa

import bulkio
from older_pyarrow import halves
from servers import connect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servers import TestServer

#: the files' endings, and the in-memory reader
FORMATS = ("parquet", "arrow", "arrows", "reader")
DRIVERS = ("asyncpg", "psycopg")

_FACTS = """
SELECT a.attname, format_type(a.atttypid, a.atttypmod), a.atttypmod, a.attnotnull, a.attidentity,
       (SELECT array_position(i.indkey::int2[], a.attnum) FROM pg_index i
         WHERE i.indrelid = a.attrelid AND i.indisprimary)
FROM pg_attribute a WHERE a.attrelid = %s::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
"""


class Place:
    """A database on one server, with its connection."""

    def __init__(self, server: TestServer, encoding: str = "UTF8") -> None:
        self.server = server
        self._stack = contextlib.ExitStack()
        self.dsn: str = self._stack.enter_context(server.database(encoding))
        self.conn = self._stack.enter_context(connect(self.dsn))
        found = self.conn.execute("SELECT name FROM pg_available_extensions").fetchall()
        self.extensions = {name for (name,) in found}
        self._made = 0

    def __repr__(self) -> str:
        """Name the server."""
        return f"<a database on {self.server.id}>"

    def create_extensions(self) -> None:
        """Create all of the extensions that the cases need and the server has."""
        wanted = ("citext", "hstore", "ltree", "cube", "seg", "isn", "vector", "postgis")
        for name in wanted:
            if name in self.extensions:
                self.conn.execute(f"CREATE EXTENSION {name}")

    def close(self) -> None:
        """Drop the database."""
        self._stack.close()

    def has_xml(self) -> bool:
        """Tell whether the server was built with libxml."""
        try:
            self.conn.execute("SELECT '<a/>'::xml")
        except psycopg.Error:
            return False
        return True

    @contextlib.contextmanager
    def schema(self) -> Iterator[str]:
        """Make a schema, first in the search path, and drop it."""
        self._made += 1
        name = f"s{self._made}"
        self.conn.execute(f"CREATE SCHEMA {name}; SET search_path = {name}, public")
        try:
            yield name
        finally:
            self.conn.execute(f"SET client_min_messages = error; DROP SCHEMA {name} CASCADE; SET search_path = public")

    def rows(self, table: str) -> list[bytes]:
        """Return a table's rows as sorted COPY BINARY bytes; as text where a type has no binary form."""
        try:
            return self._rows(table, "binary")
        except psycopg.errors.UndefinedFunction:
            return self._rows(table, "text")

    def _rows(self, table: str, form: str) -> list[bytes]:
        with self.conn.cursor() as cursor, cursor.copy(f"COPY {table} TO STDOUT (FORMAT {form})") as copy:
            return sorted(map(bytes, copy))

    def facts(self, table: str) -> list[tuple[object, ...]]:
        """Return what pg_attribute and the primary key say of the columns."""
        return self.conn.execute(_FACTS, (table,)).fetchall()


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """Make a folder that goes away."""
    path = Path(tempfile.mkdtemp(prefix="matrix-"))
    try:
        yield path
    finally:
        shutil.rmtree(path)


@dataclass(frozen=True)
class Way:
    """How a table travels: its format, and the arguments of export and load."""

    format: str
    exports: dict = field(default_factory=dict)
    loads: dict = field(default_factory=dict)


def round_trip(place: Place, table: str, way: Way) -> None:
    """Export the table, drop it, load it, and compare; what was loaded stands in its place."""
    rows, facts = place.rows(table), place.facts(table)
    carry(place, table, table, way)
    assert place.facts(table) == facts
    assert place.rows(table) == rows


def carry(place: Place, table: str, back: str, way: Way) -> None:
    """Export the table, drop it if it is to come back under its own name, and load what was exported."""
    with folder() as path:
        source = _export(place, table, way, path)
        if back == table:
            place.conn.execute(f"DROP TABLE {table}")
        bulkio.load(source, back, place.dsn, mode="create", **way.loads)


def _export(place: Place, table: str, way: Way, path: Path) -> object:
    """Return what can be loaded when the table is gone: a file, or the batches of the in-memory reader."""
    if way.format != "reader":
        file = path / f"x.{way.format}"
        bulkio.export(table, file, place.dsn, **way.exports)
        return file
    reader = bulkio.read(table, place.dsn, **way.exports)
    return pa.RecordBatchReader.from_batches(reader.schema, list(reader))


def arrow_array(arrow: pa.DataType, values: list) -> pa.Array:
    """Make an array of any type of values as Python has them; those of an extension type as of its storage."""
    if pa.types.is_run_end_encoded(arrow):
        ends = pa.array(range(1, len(values) + 1), arrow.run_end_type)
        return pa.RunEndEncodedArray.from_arrays(ends, halves(values, arrow.value_type))
    if pa.types.is_float16(arrow):
        return pa.array(values, pa.float32()).cast(arrow)
    if pa.types.is_union(arrow):
        codes, child = pa.array([0] * len(values), pa.int8()), pa.array(values, arrow.field(0).type)
        if arrow.mode == "sparse":
            return pa.UnionArray.from_sparse(codes, [child], [arrow.field(0).name])
        return pa.UnionArray.from_dense(codes, pa.array(range(len(values)), pa.int32()), [child], [arrow.field(0).name])
    if isinstance(arrow, pa.BaseExtensionType):
        return pa.ExtensionArray.from_storage(arrow, halves(values, arrow.storage_type))
    return halves(values, arrow)
