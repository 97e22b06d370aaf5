"""Each type that bulkio promises, on each server that has it, in each format: exported, dropped, loaded, compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cases import CASES, ROWS, TABLES, Case, TableCase
from matrix_check import RESULTS, Place, Way, folder, round_trip

import bulkio

if TYPE_CHECKING:
    from collections.abc import Iterator

FORMATS = ("parquet", "arrow")
#: rows of the promise that some server has covered, in all formats
_covered: set[int] = set()
_ran: set[tuple[str, str]] = set()


def has(place: Place, case: Case) -> bool:
    """Tell whether the server has what the case needs."""
    if case.extension and case.extension not in place.extensions:
        return False
    if case.xml and not place.has_xml():
        return False
    return place.server.version >= case.since


def note(name: str, place: Place, what: str, formats: tuple[str, ...] = FORMATS) -> None:
    """Put a cell, or one for each format, into the matrix."""
    for one in formats:
        RESULTS.setdefault(name, {})[f"{place.server.id} {one}"] = what


def fill(place: Place, case: Case) -> None:
    """Make the table `t` with the case's values."""
    if case.setup:
        place.conn.execute(case.setup)
    place.conn.execute(f"CREATE TABLE t (n int4 NOT NULL, v {case.type})")
    (me,) = place.conn.execute("SELECT current_user").fetchone()
    values = [None] * case.nulls + [value.replace("{me}", me) for value in case.values]
    literals = ["NULL" if v is None else "E'" + v.replace("\\", "\\\\").replace("'", "''") + "'" for v in values]
    rows = ", ".join(f"({i}, {literal}::{case.type})" for i, literal in enumerate(literals))
    place.conn.execute(f"INSERT INTO t VALUES {rows}")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_type(case: Case, place: Place) -> None:
    """A column of the type with its edge values and NULLs comes back byte for byte, and with its own DDL."""
    _ran.add((case.id, place.server.id))
    if not has(place, case):
        note(case.id, place, "-")
        return
    note(case.id, place, "FAILED")
    with place.schema() as schema:
        fill(place, case)
        table = f"{schema}.t"
        if case.refused:
            with folder() as path, pytest.raises(bulkio.BulkioError, match=case.refused):
                bulkio.export(table, path / "x.arrow", place.dsn)
        for one in FORMATS:
            way = Way(one, case.exports, case.loads)
            if one in case.unheld:
                with pytest.raises(bulkio.BulkioError, match=case.unheld[one]):
                    round_trip(place, table, way)
            else:
                round_trip(place, table, way)
            note(case.id, place, "error" if one in case.unheld else "policy" if case.exports else "ok", (one,))
    _covered.add(case.row)


@pytest.mark.parametrize("case", TABLES, ids=lambda case: case.id)
def test_table(case: TableCase, place: Place) -> None:
    """A whole table comes back with its rows, its key, and its sequences past what was loaded."""
    note(case.id, place, "FAILED")
    with place.schema() as schema:
        table = f"{schema}.t"
        place.conn.execute(case.setup.format(t=table))
        if case.rows:
            place.conn.execute(case.rows.format(t=table))
        for one in FORMATS:
            if case.refused:
                with folder() as path, pytest.raises(bulkio.BulkioError, match=case.refused):
                    bulkio.export(table, path / f"x.{one}", place.dsn)
            else:
                round_trip(place, table, Way(one))
            note(case.id, place, "error" if case.refused else "ok", (one,))
        if case.insert:
            expect_next_insert(place, table, case.insert.format(t=table))


def expect_next_insert(place: Place, table: str, insert: str) -> None:
    """Check that the next INSERT gets the same numbers in the loaded table as in the first one."""
    with folder() as path:
        bulkio.export(table, path / "x.parquet", place.dsn)
        first = place.conn.execute(insert).fetchall()
        place.conn.execute(f"DROP TABLE {table}")
        bulkio.load(path / "x.parquet", table, place.dsn, mode="create")
        assert place.conn.execute(insert).fetchall() == first


#: what an export reads although COPY TO would not, by what it is: DDL, and the query whose rows are expected
_SOURCES = {
    "partitioned table": "CREATE TABLE {s}.t (a int4, b text) PARTITION BY RANGE (a);"
    " CREATE TABLE {s}.t1 PARTITION OF {s}.t FOR VALUES FROM (0) TO (10);"
    " CREATE TABLE {s}.t2 (b text, gone int4, a int4); ALTER TABLE {s}.t2 DROP COLUMN gone;"
    " ALTER TABLE {s}.t ATTACH PARTITION {s}.t2 FOR VALUES FROM (10) TO (20);"
    " INSERT INTO {s}.t VALUES (1, 'x'), (11, 'y')",
    "inherited table": "CREATE TABLE {s}.t (a int4, b text); CREATE TABLE {s}.child (c int4) INHERITS ({s}.t);"
    " INSERT INTO {s}.t VALUES (1, 'x'); INSERT INTO {s}.child VALUES (2, 'y', 3)",
    "view": "CREATE VIEW {s}.t AS SELECT 1 AS a, 'x'::varchar(3) AS b",
    "materialized view": "CREATE MATERIALIZED VIEW {s}.t AS SELECT 1 AS a, '(1,2),(0,0)'::box AS b",
    "foreign table": "CREATE EXTENSION IF NOT EXISTS file_fdw; CREATE SERVER IF NOT EXISTS files FOREIGN DATA WRAPPER"
    " file_fdw; CREATE FOREIGN TABLE {s}.t (a int4, b text) SERVER files OPTIONS (program 'echo 1,x', format 'csv')",
}


@pytest.mark.parametrize("kind", _SOURCES)
def test_source(kind: str, place: Place) -> None:
    """What has rows but is no plain table is exported, and loads into one of the same columns and rows."""
    note(kind, place, "FAILED")
    with place.schema() as schema:
        place.conn.execute(_SOURCES[kind].format(s=schema))
        with (
            place.conn.cursor() as cursor,
            cursor.copy(f"COPY (SELECT * FROM {schema}.t) TO STDOUT (FORMAT binary)") as copy,
        ):
            expected = sorted(map(bytes, copy))
        for one in FORMATS:
            with folder() as path:
                bulkio.export(f"{schema}.t", path / f"x.{one}", place.dsn)
                bulkio.load(path / f"x.{one}", f"{schema}.back_{one}", place.dsn, mode="create")
            assert place.rows(f"{schema}.back_{one}") == expected
            note(kind, place, "ok", (one,))
            types = [row[:3] for row in place.facts(f"{schema}.back_{one}")]
            assert types == [row[:3] for row in place.facts(f"{schema}.t")]


def test_generated_column(place: Place) -> None:
    """A generated column is exported as what it holds; a new table gets a plain column, the old one skips it."""
    note("generated column", place, "FAILED")
    with place.schema() as schema:
        place.conn.execute("CREATE TABLE t (a int4, b int4 GENERATED ALWAYS AS (a * 2) STORED)")
        place.conn.execute("INSERT INTO t VALUES (1), (2)")
        for one in FORMATS:
            with folder() as path:
                bulkio.export(f"{schema}.t", path / f"x.{one}", place.dsn)
                bulkio.load(path / f"x.{one}", f"{schema}.back_{one}", place.dsn, mode="create")
                assert place.rows(f"{schema}.back_{one}") == place.rows("(SELECT * FROM t)")
                expected = place.rows("(SELECT * FROM t)")
                bulkio.load(path / f"x.{one}", f"{schema}.t", place.dsn, mode="truncate")
                assert place.rows("(SELECT * FROM t)") == expected
            note("generated column", place, "ok", (one,))


@pytest.fixture(scope="module")
def complete() -> Iterator[None]:
    """Check, when the whole matrix ran, that each row of the promise was covered by some server."""
    yield
    if len({case for case, _ in _ran}) == len(CASES):
        missing = [row for i, row in enumerate(ROWS) if i not in _covered]
        assert not missing, f"no server has covered: {missing}"


@pytest.fixture(autouse=True)
def _complete(complete: None) -> None:
    """Ask for the check, in whatever test comes last."""


def test_every_row_has_a_case() -> None:
    """Each row of the promise stands in the cases, and no two cases have one name."""
    assert {case.row for case in CASES} == set(range(len(ROWS)))
    assert len({case.id for case in CASES}) == len(CASES)
