"""Each Arrow type of the promise's second table: which column a new table gets, and that its values arrive."""

from __future__ import annotations

import re
import runpy
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pytest
from matrix_check import DRIVERS, Place, arrow_array
from new_columns import COLUMNS, FAULTS, Fault, NewColumn
from promise import NEW_TABLE_ROWS, row_of

import bulkio
from gaps import lacking
from printed_matrix import note

DOCS = Path(__file__).parents[2] / "docs"
SECTION = "new tables by server and driver"
UNIONS = (pa.dense_union([pa.field("a", pa.int32())]), pa.sparse_union([pa.field("a", pa.int32())]))


@dataclass(frozen=True)
class Found:
    """What a new table has for a column."""

    pg: str
    texts: tuple[str, ...]


#: by server and driver, for each of COLUMNS
_found: dict[tuple[str, str], dict[NewColumn, Found]] = {}


def found(place: Place, driver: str) -> dict[NewColumn, Found]:
    """Load all the columns, the first time, and look at the tables that were made for them."""
    if (place.server.id, driver) not in _found:
        usual = [c for c in COLUMNS if c.pg != "box"]
        boxes = [c for c in COLUMNS if c.pg == "box"]
        loaded = load_columns(place, driver, usual, "binary") | load_columns(place, driver, boxes, "csv")
        _found[place.server.id, driver] = loaded
    return _found[place.server.id, driver]


def load_columns(place: Place, driver: str, columns: list[NewColumn], method: str) -> dict[NewColumn, Found]:
    """Load columns into one new table; the shorter ones end in NULLs."""
    named = {f"c{i}": column for i, column in enumerate(columns)}
    longest = max(len(column.values) for column in columns)
    arrays = [arrow_array(c.arrow, [*c.values, *[None] * (longest - len(c.values))]) for c in columns]
    fields = [pa.field(name, column.arrow, metadata=column.metadata) for name, column in named.items()]
    source = pa.table([pa.array(range(longest)), *arrays], pa.schema([pa.field("n", pa.int64()), *fields]))
    dimensions = {name: column.dimensions for name, column in named.items() if column.dimensions > 1}
    with place.schema() as schema:
        place.conn.execute("CREATE TYPE pair AS (a int4, b text)")
        wanted = {name: column.types for name, column in named.items() if column.types}
        types = {name: f"{schema}.pair" if asked == "pair" else asked for name, asked in wanted.items()}
        report = bulkio.load(source, f"{schema}.t", place.dsn, types=types, dimensions=dimensions, driver=driver)
        assert (report.created, report.method) == (True, method)
        pg = {name: spelled.removeprefix(f"{schema}.") for name, spelled, *_ in place.facts("t")}
        return {column: Found(pg[name], _texts(place, name)) for name, column in named.items()}


def _texts(place: Place, name: str) -> tuple[str, ...]:
    rows = place.conn.execute(f"SELECT format('%s', {name}) FROM t WHERE NOT ({name} IS NULL) ORDER BY n").fetchall()
    return tuple(text for (text,) in rows)


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("column", COLUMNS, ids=str)
def test_column(column: NewColumn, driver: str, place: Place) -> None:
    """The column has the type that is promised, and the values are those of the source."""
    note(SECTION, str(column), f"{place.server.id} {driver}", "FAILED")
    got = found(place, driver)[column]
    if column.postgis and "postgis" in place.extensions:
        assert (got.pg, [bytes.fromhex(text) for text in got.texts]) == (column.postgis, list(column.values))
    else:
        assert got == Found(column.pg, column.texts)
    note(SECTION, str(column), f"{place.server.id} {driver}", "ok")


@pytest.mark.parametrize("column", [column for column in COLUMNS if column.postgis], ids=str)
def test_column_of_postgis(column: NewColumn, place: Place) -> None:
    """Where the database has PostGIS, `test_column` has seen PostGIS's type."""
    if "postgis" not in place.extensions:
        lacking("the extension postgis")
    assert found(place, DRIVERS[0])[column].pg == column.postgis


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_fault(fault: Fault, place: Place) -> None:
    """A value that the column cannot hold unchanged is an error that names row and column; no table is made."""
    source = pa.table({"v": arrow_array(fault.arrow, [None, fault.value])})
    dimensions = {"v": fault.dimensions} if fault.dimensions > 1 else {}
    with place.schema() as schema:
        for driver in DRIVERS:
            with pytest.raises(bulkio.EncodeError, match=re.escape(fault.message)) as caught:
                bulkio.load(source, f"{schema}.t", place.dsn, dimensions=dimensions, driver=driver)
            assert (caught.value.row, caught.value.column) == (2, "v")
        assert place.conn.execute("SELECT to_regclass('t')").fetchone() == (None,)


@pytest.mark.parametrize("arrow", UNIONS, ids=str)
def test_union(arrow: pa.DataType, place: Place) -> None:
    """A union is refused, with the mend, and no table made; it becomes jsonb when that is asked for."""
    source = pa.table({"v": pa.array([7, 8], pa.int32()), "u": arrow_array(arrow, [7, None])})
    with place.schema() as schema:
        for driver in DRIVERS:
            with pytest.raises(bulkio.SchemaError, match=r'"u": .*union.* types$') as caught:
                bulkio.load(source, f"{schema}.t", place.dsn, driver=driver)
            assert caught.value.columns == ("u",)
            assert place.conn.execute("SELECT to_regclass('t')").fetchone() == (None,)
            note(SECTION, str(arrow), f"{place.server.id} {driver}", "refused")
        bulkio.load(source, f"{schema}.t", place.dsn, types={"u": "jsonb"})
        rows = place.conn.execute("SELECT v, pg_typeof(u)::text, u::text FROM t ORDER BY v").fetchall()
        assert rows == [(7, "jsonb", "7"), (8, "jsonb", None)]


def test_every_row_has_a_column() -> None:
    """Each row of the promise's second table is tried; and so is each Arrow type that docs/types.md shows."""
    union = row_of(NEW_TABLE_ROWS, "union")
    assert {column.row for column in COLUMNS} | {union} == set(range(len(NEW_TABLE_ROWS)))
    shown = runpy.run_path(str(DOCS / "make_types.py"))["_SAMPLES"]
    kinds = {shape(column.arrow) for column in COLUMNS} | {shape(union) for union in UNIONS}
    assert {shape(arrow) for arrow in shown} <= kinds


def shape(arrow: pa.DataType) -> str:
    """Return an Arrow type's name without its parameters."""
    return arrow.extension_name if isinstance(arrow, pa.BaseExtensionType) else type(arrow).__name__ + str(arrow.id)
