"""Every pair of types that no cast is for is refused: all of a load's at once, before anything is written."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from matrix_check import DRIVERS, Place, arrow_array

import bulkio
from bulkio.types import BASE_TYPES
from bulkio.types.casts import INTERVAL_STRUCT, arrow_kind, range_struct
from bulkio.types.to_pg import _ENCODERS, _LOSSY
from gaps import lacking
from printed_matrix import note

if TYPE_CHECKING:
    from collections.abc import Iterator

_SETUP = """
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE TYPE pair AS (a int4, b text);
CREATE TYPE holder AS (a int4, b box);
CREATE DOMAIN short AS varchar(5);
CREATE DOMAIN must AS int4 CHECK (VALUE > 0);
CREATE DOMAIN pairs AS pair;
"""
#: by name: codec, the extension that it needs
_MORE_COLUMNS = {
    "mood": ("enum", ""),
    "pair": ("composite", ""),
    "pairs": ("composite", ""),
    "short": ("text", ""),
    "must": ("int4", ""),
    "int4[]": ("array", ""),
    "text[]": ("array", ""),
    "pair[]": ("array", ""),
    "int4range": ("range", ""),
    "int4multirange": ("multirange", ""),
    "numeric(10,2)": ("numeric", ""),
    "varchar(5)": ("text", ""),
    "box": ("server_text", ""),
    "box[]": ("server_text", ""),
    "holder": ("server_text", ""),
    "tsvector": ("server_text", ""),
    "citext": ("text", "citext"),
    "hstore": ("hstore", "hstore"),
    "ltree": ("versioned_text", "ltree"),
    "vector(2)": ("vector", "vector"),
    "halfvec(2)": ("halfvec", "vector"),
    "geometry": ("geometry", "postgis"),
    "geography": ("geography", "postgis"),
}
#: every column of the table: type, codec
COLUMNS = {row.name: (row.codec, "") for row in BASE_TYPES if row.name != "xml"} | _MORE_COLUMNS


@dataclass(frozen=True)
class Source:
    """An Arrow type that stands for its kind, a value, and the columns that take it where the tables do not tell."""

    arrow: pa.DataType
    value: object
    takes: frozenset[str] | None = None

    def __str__(self) -> str:
        """Name the case."""
        return str(self.arrow)

    def refused(self, columns: dict[str, tuple[str, str]], *, lossy: bool) -> list[str]:
        """Return the columns that refuse it, in their order."""
        if self.takes is not None:
            return [name for name in columns if name not in self.takes]
        pairs = {*_ENCODERS, *_LOSSY} if lossy else {*_ENCODERS}
        return [name for name, (codec, _) in columns.items() if (arrow_kind(self.arrow), codec) not in pairs]


def taken(*names: str) -> frozenset[str]:
    """Return the columns that take a nested type."""
    return frozenset(names)


_PAIR = pa.struct([("a", pa.int32()), ("b", pa.string())])
_JSON, _ALL = ("json", "jsonb"), frozenset(COLUMNS)
_INTEGERS = taken("int2", "int4", "int8", "must", "oid", "xid", "xid8", "float4", "float8", "numeric", "numeric(10,2)")
_TEXTS = ("text", "name", "varchar", "bpchar", "short", "varchar(5)", "citext")
SOURCES = (
    Source(pa.bool_(), True),
    Source(pa.bool8(), 1),
    Source(pa.int8(), 1),
    Source(pa.uint64(), 1),
    Source(pa.float16(), 1.0),
    Source(pa.float32(), 1.0),
    Source(pa.float64(), 1.0),
    Source(pa.decimal32(5, 2), 1),
    Source(pa.decimal256(76, 2), 1),
    Source(pa.json_(), "{}"),
    Source(pa.binary(), b"a"),
    Source(pa.binary_view(), b"a"),
    Source(pa.binary(3), b"abc"),
    Source(pa.binary(16), b"a" * 16),
    Source(pa.uuid(), b"a" * 16),
    Source(pa.date32(), 1),
    Source(pa.date64(), 86_400_000),
    Source(pa.time32("ms"), 1),
    Source(pa.time64("ns"), 1000),
    Source(pa.timestamp("us"), 1),
    Source(pa.timestamp("ns", "Asia/Tokyo"), 1000),
    Source(pa.duration("s"), 1),
    Source(pa.month_day_nano_interval(), (1, 2, 3000)),
    # what holds others
    Source(pa.dictionary(pa.int8(), pa.int32()), 1, _INTEGERS),
    Source(pa.dictionary(pa.int8(), pa.binary()), b"a", taken("bytea", "geometry", "geography")),
    Source(pa.run_end_encoded(pa.int32(), pa.int64()), 1, _INTEGERS),
    Source(pa.opaque(pa.int32(), "x", "y"), 1, _INTEGERS),
    Source(pa.list_(pa.int32()), [1], taken(*_JSON, "int4[]")),
    Source(pa.large_list(pa.float32()), [1.0, 2.0], taken(*_JSON, "int4[]", "vector(2)")),
    Source(pa.list_(pa.float16(), 2), [1.0, 2.0], taken(*_JSON, "int4[]", "vector(2)", "halfvec(2)")),
    Source(pa.list_(pa.binary()), [b"a"], taken(*_JSON)),
    Source(pa.list_(pa.string()), ["1"], taken(*_JSON, "int4[]", "text[]", "pair[]", "box[]", "int4multirange")),
    Source(pa.list_(_PAIR), [{"a": 1, "b": "x"}], taken(*_JSON, "pair[]")),
    Source(pa.list_(pa.list_(pa.int32())), [[1]], taken(*_JSON)),
    Source(pa.list_(range_struct(pa.int32())), [], taken(*_JSON, "int4multirange")),
    Source(_PAIR, {"a": 1, "b": "x"}, taken(*_JSON, "pair", "pairs", "holder")),
    Source(pa.struct([("a", pa.int32()), ("z", pa.int32())]), {"a": 1, "z": 1}, taken(*_JSON)),
    Source(range_struct(pa.int32()), None, taken(*_JSON, "int4range")),
    Source(INTERVAL_STRUCT, None, taken(*_JSON, "interval")),
    Source(pa.struct([("x", pa.float64()), ("y", pa.float64())]), None, taken(*_JSON, "point")),
    Source(pa.map_(pa.string(), pa.string()), [("a", "b")], taken(*_JSON, "hstore")),
    Source(pa.map_(pa.string(), pa.int32()), [("a", 1)], taken(*_JSON)),
    Source(pa.map_(pa.int32(), pa.string()), [(1, "b")], taken(*_JSON)),
    Source(pa.dense_union([pa.field("a", pa.int32())]), 7, taken(*_JSON)),
    Source(pa.sparse_union([pa.field("a", pa.int32())]), 7, taken(*_JSON)),
    # strings go everywhere, as the server parses them, and so do NULLs
    Source(pa.string(), "1", _ALL),
    Source(pa.dictionary(pa.int8(), pa.string()), "1", _ALL),
    Source(pa.null(), None, _ALL),
)


@dataclass(frozen=True)
class Wide:
    """A table with a column of every type, and a row of NULLs."""

    schema: str
    #: by the column's name, which is its type's
    columns: dict[str, tuple[str, str]]
    #: as the server spells the type
    spelled: dict[str, str]


@pytest.fixture(scope="module")
def _wide() -> Iterator[dict[str, tuple[Wide, object]]]:
    made: dict[str, tuple[Wide, object]] = {}
    yield made
    for _, schema in made.values():
        schema.__exit__(None, None, None)


@pytest.fixture
def wide(place: Place, _wide: dict[str, tuple[Wide, object]]) -> Wide:
    """Make the wide table once on each server."""
    if place.server.id not in _wide:
        within = place.schema()
        schema = within.__enter__()
        columns = {name: known for name, known in COLUMNS.items() if known[1] in ("", *place.extensions)}
        place.conn.execute(_SETUP)
        place.conn.execute(f"CREATE TABLE wide ({', '.join(f'{quoted(n)} {n}' for n in columns)}, n int4)")
        place.conn.execute("INSERT INTO wide (n) VALUES (1)")
        # As loads have it, which spell every type with its schema.
        place.conn.execute("SET search_path = pg_catalog")
        spelled = {name: text for name, text, *_ in place.facts(f"{schema}.wide")}
        place.conn.execute("SET search_path = public")
        _wide[place.server.id] = Wide(schema, columns, spelled), within
    return _wide[place.server.id][0]


def quoted(name: str) -> str:
    """Write a column's name."""
    return f'"{name}"'


def state(place: Place, wide: Wide) -> tuple[object, ...]:
    """Return what a load could have changed."""
    counts = "SELECT (SELECT count(*) FROM pg_class), (SELECT count(*) FROM pg_type)"
    return place.rows(f"{wide.schema}.wide"), place.conn.execute(counts).fetchone()


def expect_refusal(error: bulkio.SchemaError, source: Source, wide: Wide, refused: list[str]) -> None:
    """Check that the message has a line for each refused column, with both types and the mend, and no other line."""
    assert list(error.columns) == refused
    _, *lines = str(error).splitlines()
    assert len(lines) == len(refused)
    for name, line in zip(refused, lines, strict=True):
        assert line.startswith(f'  "{name}": ')
        assert re.search(
            rf"{re.escape(str(source.arrow))} .* {re.escape(wide.spelled[name])} .*: (cast it|say how many)", line
        ), line


@pytest.mark.parametrize("lossy", [False, True], ids=["strict", "lossy"])
@pytest.mark.parametrize("source", SOURCES, ids=str)
def test_refused(source: Source, lossy: bool, place: Place, wide: Wide) -> None:
    """A load, and its plan, name every column that refuses the type, both types and the mend; nothing is written."""
    refused = source.refused(wide.columns, lossy=lossy)
    table = pa.table(dict.fromkeys(wide.columns, arrow_array(source.arrow, [source.value, None])))
    options = {"allow_lossy": lossy, "driver": DRIVERS[lossy]}
    before = state(place, wide)
    act = bulkio.plan_load if lossy or not refused else bulkio.load
    if refused:
        with pytest.raises(bulkio.SchemaError) as caught:
            act(table, f"{wide.schema}.wide", place.dsn, **options)
        expect_refusal(caught.value, source, wide, refused)
    else:
        act(table, f"{wide.schema}.wide", place.dsn, **options)
    assert state(place, wide) == before
    cell = f"{len(refused)} of {len(wide.columns)}"
    note("refused pairs of an Arrow type", str(source), f"{place.server.id} {'lossy' if lossy else 'strict'}", cell)


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("method", ["binary", "csv", "records"])
@pytest.mark.parametrize("mode", ["append", "truncate"])
def test_one_refused_column(mode: str, method: str, driver: str, place: Place, wide: Wide) -> None:
    """One column is enough, by each driver, method and mode: the other columns' rows are not written either."""
    before = state(place, wide)
    table = pa.table({"n": [2, 3], "int4": pa.array([b"x", None])})
    with pytest.raises(bulkio.SchemaError, match=r'"int4": .*binary.* integer .*: cast it') as caught:
        bulkio.load(table, f"{wide.schema}.wide", place.dsn, mode=mode, method=method, driver=driver)
    assert caught.value.columns == ("int4",)
    assert state(place, wide) == before


@pytest.mark.parametrize("extension", sorted({extension for _, extension in COLUMNS.values() if extension}))
def test_the_wide_table_has_each_extensions_types(extension: str, place: Place, wide: Wide) -> None:
    """What the other tests of this file have said counts for these types too."""
    if extension not in place.extensions:
        lacking(f"the extension {extension}")
    assert {name for name, known in COLUMNS.items() if known[1] == extension} <= {*wide.columns}


def test_each_kind_and_codec_is_tried() -> None:
    """No Arrow type and no codec of the tables of casts is left out."""
    kinds = {arrow_kind(source.arrow) for source in SOURCES}
    assert {kind for kind, _ in {*_ENCODERS, *_LOSSY}} <= kinds
    assert {"list", "struct", "map", "union", "null", "dictionary", "run_ends"} <= kinds
    assert {codec for _, codec in {*_ENCODERS, *_LOSSY}} <= {codec for codec, _ in COLUMNS.values()}
