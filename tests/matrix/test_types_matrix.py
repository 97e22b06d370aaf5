"""Each type that bulkio promises, on each server that has it, in each format: exported, dropped, loaded, compared."""

from __future__ import annotations

import pyarrow as pa
import pytest
from cases import CASES, TABLES, Case, TableCase
from matrix_check import DRIVERS, Place, Way, folder, round_trip
from promise import ROWS
from psycopg.conninfo import conninfo_to_dict

import bulkio
from bulkio.types import SERVER_TEXT
from gaps import lacking
from printed_matrix import note

#: for each case; the others for all the cases together
FORMATS = ("parquet", "arrow")
TOGETHER = ("arrows", "reader")


def missing(place: Place, case: Case) -> str | None:
    """Return what the case needs and the server does not have."""
    if case.extension and case.extension not in place.extensions:
        return f"the extension {case.extension}"
    if case.xml and not place.has_xml():
        return "a PostgreSQL with libxml"
    return None if place.server.version >= case.since else f"PostgreSQL {case.since}"


def note_types(name: str, place: Place, what: str, formats: tuple[str, ...] = FORMATS) -> None:
    """Put a cell, or one for each format, into the matrix."""
    for one in formats:
        note("types by server and format", name, f"{place.server.id} {one}", what)


def way_of(place: Place, form: str, case: Case | None = None) -> Way:
    """Return a way: one driver exports Parquet and loads Arrow IPC, the other the reverse; odd versions swap."""
    there = ((*FORMATS, *TOGETHER).index(form) + place.server.version) % 2
    exports = {"driver": DRIVERS[there], **(case.exports if case else {})}
    return Way(form, exports, {"driver": DRIVERS[1 - there], **(case.loads if case else {})})


def fill(place: Place, case: Case) -> None:
    """Make the table `t` with the case's values."""
    if case.setup:
        place.conn.execute(case.setup)
    place.conn.execute(f"CREATE TABLE t (n int4 NOT NULL, v {case.type})")
    rows = ", ".join(f"({i}, {value})" for i, value in enumerate(literals(place, case)))
    place.conn.execute(f"INSERT INTO t VALUES {rows}")


def literals(place: Place, case: Case) -> list[str]:
    """Return the case's values in SQL, NULL first."""
    (me,) = place.conn.execute("SELECT current_user").fetchone()
    given = [value.replace("{me}", me) for value in case.values]
    quoted = ["E'" + value.replace("\\", "\\\\").replace("'", "''") + "'" for value in given]
    return [f"{value}::{case.type}" for value in ["NULL"] * case.nulls + quoted]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_type(case: Case, place: Place) -> None:
    """A column of the type with its edge values and NULLs comes back byte for byte, and with its own DDL."""
    if (wanting := missing(place, case)) is not None:
        note_types(case.id, place, "-", (*FORMATS, *TOGETHER))
        lacking(wanting)
    note_types(case.id, place, "FAILED")
    with place.schema() as schema:
        fill(place, case)
        table = f"{schema}.t"
        if case.refused:
            with folder() as path, pytest.raises(bulkio.BulkioError, match=case.refused):
                bulkio.export(table, path / "x.arrow", place.dsn)
        for one in (*FORMATS, *TOGETHER) if case.unheld else FORMATS:
            way = way_of(place, one, case)
            if one in case.unheld:
                with pytest.raises(bulkio.BulkioError, match=case.unheld[one]):
                    round_trip(place, table, way)
            else:
                round_trip(place, table, way)
            note_types(case.id, place, "error" if one in case.unheld else "policy" if case.exports else "ok", (one,))


@pytest.mark.parametrize("form", TOGETHER)
def test_all_types_in_one_table(form: str, place: Place) -> None:
    """The other formats carry all types beside each other: those with a codec, and those that travel as text."""
    cases = {f"c{i}": case for i, case in enumerate(CASES) if not missing(place, case) and not case.unheld}
    for case in cases.values():
        note_types(case.id, place, "FAILED", (form,))
    with place.schema() as schema:
        for setup in dict.fromkeys(case.setup for case in cases.values() if case.setup):
            place.conn.execute(setup)
        for policy in (None, "sentinel"):
            fill_together(place, {n: c for n, c in cases.items() if c.exports.get("infinity") == policy})
            for names in by_codec(place, f"{schema}.everything"):
                dimensions = {n: d for n in names for d in cases[n].exports.get("dimensions", {}).values()}
                options = {"dimensions": dimensions, **({"infinity": policy} if policy else {})}
                way = Way(form, way_of(place, form).exports | options, way_of(place, form).loads | options)
                place.conn.execute(f"CREATE TABLE t AS SELECT {', '.join(names)} FROM everything")
                round_trip(place, f"{schema}.t", way)
                place.conn.execute("DROP TABLE t")
            place.conn.execute("DROP TABLE everything")
    for case in cases.values():
        note_types(case.id, place, "policy" if case.exports else "ok", (form,))


def fill_together(place: Place, cases: dict[str, Case]) -> None:
    """Make the table `everything`, with a column for each case; the last value stands below the shorter ones."""
    place.conn.execute(f"CREATE TABLE everything ({', '.join(f'{n} {c.type}' for n, c in cases.items())})")
    columns = [literals(place, case) for case in cases.values()]
    for i in range(max(map(len, columns))):
        place.conn.execute(f"INSERT INTO everything VALUES ({', '.join(c[min(i, len(c) - 1)] for c in columns)})")


def by_codec(place: Place, table: str) -> list[list[str]]:
    """Return the columns that have a codec, and those that travel as text, where there are any."""
    found: dict[bool, list[str]] = {}
    for column in bulkio.plan_export(table, "x.arrows", place.dsn).fields:
        found.setdefault(column.cast.pg.codec == SERVER_TEXT, []).append(column.name)
    return list(found.values())


@pytest.mark.parametrize("case", TABLES, ids=lambda case: case.id)
def test_table(case: TableCase, place: Place) -> None:
    """A whole table comes back with its rows, its key, and its sequences past what was loaded."""
    note_types(case.id, place, "FAILED")
    with place.schema() as schema:
        table = f"{schema}.t"
        for one in FORMATS:
            place.conn.execute(f"DROP TABLE IF EXISTS {table}; DROP TYPE IF EXISTS {table}_p")
            place.conn.execute(case.setup.format(t=table))
            if case.rows:
                place.conn.execute(case.rows.format(t=table))
            if case.refused:
                with folder() as path, pytest.raises(bulkio.BulkioError, match=case.refused):
                    bulkio.export(table, path / f"x.{one}", place.dsn)
            else:
                round_trip(place, table, way_of(place, one))
            note_types(case.id, place, "error" if case.refused else "ok", (one,))
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
    "foreign table of a file": "CREATE EXTENSION IF NOT EXISTS file_fdw; CREATE SERVER IF NOT EXISTS files"
    " FOREIGN DATA WRAPPER file_fdw; CREATE FOREIGN TABLE {s}.t (a int4, b text) SERVER files"
    " OPTIONS (program 'echo 1,x', format 'csv')",
    "foreign table of a server": "CREATE TABLE {s}.far (a int4, b numeric(10,2), c text[]);"
    " INSERT INTO {s}.far VALUES (1, 1.50, ARRAY['x', NULL]), (NULL, NULL, NULL);"
    " CREATE FOREIGN TABLE {s}.t (a int4, b numeric(10,2), c text[]) SERVER loopback"
    " OPTIONS (schema_name '{s}', table_name 'far')",
}
#: a server of postgres_fdw that is this very database
_LOOPBACK = (
    "CREATE EXTENSION IF NOT EXISTS postgres_fdw;"
    " CREATE SERVER IF NOT EXISTS loopback FOREIGN DATA WRAPPER postgres_fdw"
    " OPTIONS (host '{host}', port '{port}', dbname '{dbname}');"
    " CREATE USER MAPPING IF NOT EXISTS FOR CURRENT_USER SERVER loopback OPTIONS (user '{user}', password '{password}')"
)


@pytest.mark.parametrize("kind", _SOURCES)
def test_source(kind: str, place: Place) -> None:
    """What has rows but is no plain table is exported, and loads into one of the same columns and rows."""
    note_types(kind, place, "FAILED")
    place.conn.execute(_LOOPBACK.format(**conninfo_to_dict(place.dsn)))
    with place.schema() as schema:
        place.conn.execute(_SOURCES[kind].format(s=schema))
        with (
            place.conn.cursor() as cursor,
            cursor.copy(f"COPY (SELECT * FROM {schema}.t) TO STDOUT (FORMAT binary)") as copy,
        ):
            expected = sorted(map(bytes, copy))
        for one in FORMATS:
            with folder() as path:
                way = way_of(place, one)
                bulkio.export(f"{schema}.t", path / f"x.{one}", place.dsn, **way.exports)
                bulkio.load(path / f"x.{one}", f"{schema}.back_{one}", place.dsn, mode="create", **way.loads)
            assert place.rows(f"{schema}.back_{one}") == expected
            note_types(kind, place, "ok", (one,))
            types = [row[:3] for row in place.facts(f"{schema}.back_{one}")]
            assert types == [row[:3] for row in place.facts(f"{schema}.t")]


def test_load_into_foreign_table(place: Place) -> None:
    """COPY FROM takes a foreign table; rows that it refuses leave the table behind it as it was."""
    place.conn.execute(_LOOPBACK.format(**conninfo_to_dict(place.dsn)))
    with place.schema() as schema:
        place.conn.execute(_SOURCES["foreign table of a server"].format(s=schema))
        place.conn.execute("ALTER TABLE far ADD CHECK (a < 100)")
        with folder() as path:
            bulkio.export(f"{schema}.t", path / "x.parquet", place.dsn)
            for driver in DRIVERS:
                bulkio.load(path / "x.parquet", f"{schema}.t", place.dsn, driver=driver)
        before = place.rows("far")
        assert place.conn.execute("SELECT count(*) FROM far").fetchone() == (6,)
        with pytest.raises(bulkio.DriverError, match="far_a_check"):
            bulkio.load(pa.table({"a": [5, 100]}), f"{schema}.t", place.dsn)
        assert place.rows("far") == before


def test_generated_column(place: Place) -> None:
    """A generated column is exported as what it holds; a new table gets a plain column, the old one skips it."""
    note_types("generated column", place, "FAILED")
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
            note_types("generated column", place, "ok", (one,))


def test_every_row_has_a_case() -> None:
    """Each row of the promise stands in the cases, and no two cases have one name."""
    assert {case.row for case in CASES} == set(range(len(ROWS)))
    assert len({case.id for case in CASES}) == len(CASES)
