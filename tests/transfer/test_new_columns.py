"""Columns of the source that the table lacks: refused, left out, or added, in every mode."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import bulkio
from bulkio.plan import MODES
from servers import connect, fetch

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from bulkio.choices import DriverName, Mode

ROWS = pa.table({"id": pa.array([1, 2], pa.int64()), "new": ["a", "b"], "on": pa.array([0, 1], pa.date32())})
MODE_OPTIONS: Mapping[Mode, Mapping[str, object]] = {"replace-where": {"where": "new <> ''"}}
FIXED = [mode for mode, rule in MODES.items() if "new_columns" in rule.options]


def make(dsn: str, *statements: str) -> None:
    """Run statements in the test's database."""
    with connect(dsn) as conn:
        for statement in statements:
            conn.execute(statement)


def types(dsn: str) -> list[tuple[object, ...]]:
    """Return the columns of t and their types, in order."""
    columns = "SELECT attname, format_type(atttypid, atttypmod), attnotnull FROM pg_attribute"
    return fetch(dsn, f"{columns} WHERE attrelid = 't'::regclass AND attnum > 0 ORDER BY attnum")


@pytest.mark.parametrize("mode", FIXED)
@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
def test_they_are_added(dsn: str, mode: Mode, driver: DriverName) -> None:
    """At the end, nullable, of the types that a new table would have; a second load finds them."""
    make(dsn, "CREATE TABLE t (v int, id bigint PRIMARY KEY)")
    for _ in range(2 if mode != "append" else 1):
        report = bulkio.load(ROWS, "t", dsn, mode=mode, driver=driver, new_columns="add", **MODE_OPTIONS.get(mode, {}))
    assert types(dsn) == [
        ("v", "integer", False),
        ("id", "bigint", True),
        ("new", "text", False),
        ("on", "date", False),
    ]
    assert fetch(dsn, 'SELECT id, new, "on"::text FROM t ORDER BY id')[0] == (1, "a", "1970-01-01")
    assert not report.created


@pytest.mark.parametrize("mode", FIXED)
def test_they_are_left_out(dsn: str, mode: Mode) -> None:
    """The report says which."""
    make(dsn, "CREATE TABLE t (id bigint PRIMARY KEY)")
    options = {"where": "id > 0"} if mode == "replace-where" else {}
    report = bulkio.load(ROWS, "t", dsn, mode=mode, new_columns="ignore", **options)
    assert report.notes == (
        'the table has no column "new": it is left out',
        'the table has no column "on": it is left out',
    )
    assert fetch(dsn, "SELECT * FROM t ORDER BY id") == [(1,), (2,)]


def test_they_are_refused_unless_one_says_so(dsn: str) -> None:
    """The message says what can be done."""
    make(dsn, "CREATE TABLE t (id bigint)")
    with pytest.raises(bulkio.SchemaError) as caught:
        bulkio.load(ROWS, "t", dsn)
    assert str(caught.value) == (
        'the source does not fit table t:\n  "new": the table has no such column; leave it out'
        " (new_columns='ignore') or have it added (new_columns='add')\n  \"on\": the table has no such column; leave it"
        " out (new_columns='ignore') or have it added (new_columns='add')"
    )
    with pytest.raises(
        bulkio.SchemaError, match='nothing can be loaded into t:\n  "new": the table has no such column'
    ):
        bulkio.load(ROWS.select(["new"]), "t", dsn, new_columns="ignore")
    with pytest.raises(bulkio.ConfigError, match=r"new_columns is for mode='append' or .*, not for mode='replace'"):
        bulkio.load(ROWS, "t", dsn, mode="replace", new_columns="add")


def test_types_that_are_asked_for_recorded_or_inferred(dsn: str, tmp_path: Path) -> None:
    """As in a new table: an enum is made where it is missing, a CSV is looked through, `types` decides."""
    make(dsn, "CREATE TYPE mood AS ENUM ('sad', 'ok')", "CREATE TABLE s AS SELECT 1 AS id, 'ok'::mood AS m")
    bulkio.export("s", tmp_path / "s.parquet", dsn)
    make(dsn, "DROP TABLE s", "DROP TYPE mood", "CREATE TABLE t (id bigint)")
    bulkio.load(tmp_path / "s.parquet", "t", dsn, new_columns="add")
    path = tmp_path / "a.csv"
    path.write_text("id,n,code\n1,5,007\n")
    bulkio.load(bulkio.csv(path, infer=True), "t", dsn, new_columns="add", types={"code": "varchar(5)"})
    assert [row[:2] for row in types(dsn)][1:] == [("m", "mood"), ("n", "bigint"), ("code", "character varying(5)")]


def test_only_the_owner_can_add(dsn: str) -> None:
    """Who may only insert is told before anything is locked, in a dry run, too."""
    make(
        dsn,
        "CREATE TABLE t (id bigint)",
        "DROP ROLE IF EXISTS around_stranger",
        "CREATE ROLE around_stranger",
        "GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON t TO around_stranger",
    )
    try:
        for call in (bulkio.load, bulkio.plan_load):
            with pytest.raises(
                bulkio.DriverError, match=r'only its owner can alter table "public"\."t", which lacks "new"'
            ):
                call(ROWS, "t", f"{dsn}&options=-crole%3Daround_stranger", new_columns="add")
    finally:
        make(dsn, "DROP OWNED BY around_stranger", "DROP ROLE around_stranger")


def test_the_plan_shows_the_alter_table(dsn: str) -> None:
    """A dry run alters nothing."""
    make(dsn, "CREATE TABLE t (id bigint)")
    plan = bulkio.plan_load(ROWS, "t", dsn, new_columns="add")
    assert plan.ddl == ('ALTER TABLE "public"."t" ADD COLUMN "new" pg_catalog.text, ADD COLUMN "on" pg_catalog.date',)
    assert plan.notes == ("ALTER TABLE keeps others out of the table, readers too, until COMMIT",)
    assert types(dsn) == [("id", "bigint", False)]


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
def test_two_that_add_the_same_columns_come_one_after_the_other(dsn: str, driver: DriverName) -> None:
    """None ends in a deadlock, and the columns are there once."""
    make(dsn, "CREATE TABLE t (id bigint)")
    with ThreadPoolExecutor(4) as pool:
        loads = [pool.submit(bulkio.load, ROWS, "t", dsn, driver=driver, new_columns="add") for _ in range(4)]
        assert [load.result().rows for load in loads] == [2] * 4
    assert fetch(dsn, "SELECT count(*), count(new) FROM t") == [(8, 8)]


def test_partitions_get_them_too(dsn: str, tmp_path: Path) -> None:
    """ALTER TABLE of a partitioned table reaches its partitions."""
    make(dsn, "CREATE TABLE t (id bigint) PARTITION BY RANGE (id)", "CREATE TABLE t_all PARTITION OF t DEFAULT")
    pq.write_table(ROWS, tmp_path / "a.parquet")
    bulkio.load(tmp_path / "a.parquet", "t", dsn, new_columns="add")
    assert fetch(dsn, "SELECT new FROM t_all ORDER BY id") == [("a",), ("b",)]


@pytest.mark.parametrize("method", ["binary", "csv", "records"])
def test_files_are_not_read_for_what_is_left_out(dsn: str, tmp_path: Path, method: str) -> None:
    """A column that the table lacks or generates may be damaged: nobody looks at its pages."""
    make(dsn, "CREATE TABLE t (id bigint, k bigint, gone bigint GENERATED ALWAYS AS (id * 2) STORED)")
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table(dict.fromkeys(("new", "old", "gone", "id"), range(2000))), path)
    with pq.ParquetFile(path) as file:
        chunks = [file.metadata.row_group(0).column(index) for index in (0, 2)]
    data = bytearray(path.read_bytes())
    for chunk in chunks:
        start = chunk.dictionary_page_offset or chunk.data_page_offset
        data[start : start + chunk.total_compressed_size] = b"\xff" * chunk.total_compressed_size
    path.write_bytes(data)
    report = bulkio.load(path, "t", dsn, method=method, rename={"old": "k"}, new_columns="ignore")
    assert report.notes == ('the table has no column "new": it is left out',)
    assert fetch(dsn, "SELECT count(*), sum(id), sum(k), sum(gone) FROM t") == [(2000, 1999000, 1999000, 3998000)]
    with pytest.raises(bulkio.FileError):
        bulkio.load(path, "t", dsn, columns=["new"], rename={"new": "k"})
