"""Loads of a source in another shape: renamed, excluded and added columns, in every mode and method."""

from __future__ import annotations

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

DRIVERS = ["asyncpg", "psycopg"]
METHODS = ["binary", "csv", "records"]
ROWS = pa.table({"id": pa.array([1, 2], pa.int64()), "v": ["a", "b"], "odd": ["x", "y"]})
#: what each mode needs beside the source
MODE_OPTIONS: Mapping[Mode, Mapping[str, object]] = {
    "upsert": {"key": ["id"], "update": ["word", "n"]},
    "insert-new": {"key": ["id"]},
    "replace-where": {"where": "word <> ''"},
}


def make(dsn: str, ddl: str) -> None:
    """Create a table."""
    with connect(dsn) as conn:
        conn.execute(ddl)


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode != "create"])
def test_every_mode_takes_them(dsn: str, mode: Mode) -> None:
    """The mode's own options name columns by their new names."""
    make(dsn, "CREATE TABLE t (n bigint, word text, id bigint PRIMARY KEY)")
    shape = {"rename": {"v": "word"}, "columns": ["-odd"], "add": {"n": "{row}"}}
    bulkio.load(ROWS, "t", dsn, mode=mode, **shape, **MODE_OPTIONS.get(mode, {}))
    assert fetch(dsn, "SELECT id, word, n FROM t ORDER BY id") == [(1, "a", 1), (2, "b", 2)]


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("method", METHODS)
def test_a_new_table_has_the_added_columns_last(dsn: str, tmp_path: Path, driver: DriverName, method: str) -> None:
    """Their types: timestamptz, bigint and text, or what `types` says."""
    path = tmp_path / "a.parquet"
    pq.write_table(ROWS, path)
    add = {"at": "{now}", "n": "{row}", "file": "{file}", "day": "2026-01-31", "what": "{row} {now}", "empty": ""}
    types = {"day": "date", "key": "int4"}
    bulkio.load(path, "t", dsn, driver=driver, method=method, rename={"id": "key"}, add=add, types=types)
    columns = "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute"
    assert fetch(dsn, f"{columns} WHERE attrelid = 't'::regclass AND attnum > 0 ORDER BY attnum") == [
        ("key", "integer"),
        ("v", "text"),
        ("odd", "text"),
        ("at", "timestamp with time zone"),
        ("n", "bigint"),
        ("file", "text"),
        ("day", "date"),
        ("what", "text"),
        ("empty", "text"),
    ]
    assert fetch(dsn, "SELECT key, n, file, day::text, empty FROM t ORDER BY key") == [
        (1, 1, str(path), "2026-01-31", ""),
        (2, 2, str(path), "2026-01-31", ""),
    ]
    assert fetch(dsn, "SELECT count(DISTINCT at), max(at) - now() < '1min' FROM t") == [(1, True)]
    assert fetch(dsn, "SELECT bool_and(what ^@ n::text AND substr(what, 3)::timestamptz = at) FROM t") == [(True,)]


def test_now_is_the_transaction_s_time(dsn: str) -> None:
    """To the microsecond, as now() in a statement around the rows has it."""
    bulkio.load(ROWS, "t", dsn, add={"at": "{now}"}, check="SELECT bool_and(at = now()) FROM t")


@pytest.mark.parametrize("method", ["binary", "csv"])
@pytest.mark.parametrize(
    ("kind", "text", "stored"),
    [
        ("date", "2026-01-31", "2026-01-31"),
        ("timestamp", "2026-01-31 12:00", "2026-01-31 12:00:00"),
        ("bool", "yes", "true"),
        ("numeric(6,2)", "12.30", "12.30"),
        ("int2", "7", "7"),
        ("float8", "0.1", "0.1"),
        ("jsonb", '{{"a": 1}}', '{"a": 1}'),
        ("interval", "1 day", "1 day"),
        ("uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
        ("varchar(3)", "abc", "abc"),
        ("text[]", "{{a,b}}", "{a,b}"),
        ("text", "null", "null"),
    ],
)
def test_a_constant_is_parsed_as_a_field_of_csv(dsn: str, method: str, kind: str, text: str, stored: str) -> None:
    """By the target column's type, whatever the source is, and however it spells its own values."""
    make(dsn, f"CREATE TABLE t (id bigint, c {kind})")
    bulkio.load(ROWS, "t", dsn, method=method, columns=["id"], add={"c": text})
    assert fetch(dsn, "SELECT DISTINCT c::text FROM t") == [(stored,)]


def test_a_constant_is_not_in_the_spelling_of_the_file(dsn: str, tmp_path: Path) -> None:
    """What the user writes on the command line has a point, whatever the file has."""
    path = tmp_path / "a.csv"
    path.write_text("a;d\n1,5;31.01.2026\n")
    source = bulkio.csv(path, delimiter=";", decimal_comma=True, date_format="DD.MM.YYYY")
    make(dsn, "CREATE TABLE t (a numeric, d date, c numeric, e date, at timestamptz, p point)")
    bulkio.load(source, "t", dsn, add={"c": "2.5", "e": "2026-02-01", "at": "{now}", "p": "(1.5,2.5)"})
    assert fetch(dsn, "SELECT a::text, d::text, c::text, e::text, p::text FROM t") == [
        ("1.5", "2026-01-31", "2.5", "2026-02-01", "(1.5,2.5)")
    ]


def test_errors_name_the_new_column_and_the_source_s_row(dsn: str, tmp_path: Path) -> None:
    """A value that does not fit is told with its file and line, by the name that its column has in the table."""
    make(dsn, "CREATE TABLE t (number int, c int)")
    make(dsn, "CREATE TABLE u (at timestamp)")
    path = tmp_path / "a.csv"
    path.write_text("a,b\n1,x\ntwo,x\n")
    with pytest.raises(bulkio.EncodeError, match=r'a\.csv, line 3: row 2, column "number": '):
        bulkio.load(path, "t", dsn, rename={"a": "number"}, columns=["-b"])
    with pytest.raises(bulkio.EncodeError, match=r'row 1, column "c": '):
        bulkio.load(path, "t", dsn, columns=["a"], rename={"a": "number"}, add={"c": "x"})
    with pytest.raises(bulkio.SchemaError, match=r'"at": .* timestamp\[us, tz=UTC\] does not go into '):
        bulkio.load(path, "u", dsn, columns=["-a", "-b"], add={"at": "{now}"})


def test_inferred_types_go_by_the_new_names(dsn: str, tmp_path: Path) -> None:
    """A CSV's own columns are inferred, and go on being so when they are renamed."""
    path = tmp_path / "a.csv"
    path.write_text("a,b\n1,x\n2,y\n")
    bulkio.load(bulkio.csv(path, infer=True), "t", dsn, rename={"a": "n"}, add={"c": "1"})
    assert fetch(dsn, "SELECT pg_typeof(n)::text, pg_typeof(c)::text FROM t LIMIT 1") == [("bigint", "text")]


def test_what_was_recorded_goes_by_the_new_names(dsn: str, tmp_path: Path) -> None:
    """Primary key and identity of an export follow their columns."""
    make(dsn, "CREATE TABLE s (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v text)")
    bulkio.export("s", tmp_path / "s.parquet", dsn)
    bulkio.load(tmp_path / "s.parquet", "t", dsn, rename={"id": "key"})
    found = "SELECT attname, attidentity::text FROM pg_attribute WHERE attrelid = 't'::regclass AND attnum > 0"
    assert fetch(dsn, found) == [("key", "a"), ("v", "")]
    key = "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 't'::regclass AND contype = 'p'"
    assert fetch(dsn, key) == [("PRIMARY KEY (key)",)]


def test_dicts_are_shaped_too(dsn: str) -> None:
    """What has no types of its own takes them from its columns' targets, by their new names."""
    make(dsn, "CREATE TABLE t (day date, n numeric(5,2), c text)")
    bulkio.load([{"d": "2026-01-31", "n": "1.50"}], "t", dsn, rename={"d": "day"}, add={"c": "x"})
    assert fetch(dsn, "SELECT day::text, n::text, c FROM t") == [("2026-01-31", "1.50", "x")]


def test_the_load_s_id_is_there_for_columns(dsn: str) -> None:
    """Rows can tell which load brought them; without an id, that is an error."""
    bulkio.load(ROWS, "t", dsn, add={"batch": "{load_id}"}, load_id="night 1", source_version="1")
    assert fetch(dsn, "SELECT DISTINCT batch FROM t") == [("night 1",)]
    with pytest.raises(bulkio.ConfigError, match=r"add: \{load_id\} needs load_id"):
        bulkio.load(ROWS, "t", dsn, add={"batch": "{load_id}"})
