"""Every method of both drivers stores the same rows, and reads the same rows back: one suite over all of them."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import bulkio
from gaps import lacking
from older_pyarrow import NULL_LISTS, needs_pyarrow
from servers import connect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servers import TestServer

ALL_TYPES = Path(__file__).parents[2] / "sample_data" / "all_types.parquet"

DRIVERS = ("asyncpg", "psycopg")
LOADS = [(driver, method) for driver in DRIVERS for method in ("binary", "csv", "records")]
EXPORTS = [(driver, method) for driver in DRIVERS for method in ("binary", "cursor")]


def stored_rows(dsn: str, table: str) -> list[bytes]:
    """Return the table's rows as sorted COPY BINARY bytes."""
    with connect(dsn) as conn, conn.cursor() as cursor:
        conn.execute("SET client_encoding = 'UTF8'")
        with cursor.copy(f"COPY {table} TO STDOUT (FORMAT binary)") as copy:
            return sorted(map(bytes, copy))


@pytest.fixture(params=["UTF8", "LATIN1"])
def any_dsn(request: pytest.FixtureRequest, server: TestServer) -> Iterator[str]:
    """Yield a fresh database, in UTF8 and in LATIN1, on every server."""
    with server.database(request.param) as name:
        yield name
        assert not server.sessions(name)


def test_every_load_method_stores_the_same_rows(any_dsn: str) -> None:
    """The all-types file, compared as sorted COPY BINARY rows."""
    needs_pyarrow(26, NULL_LISTS)
    expected = None
    for driver, method in LOADS:
        table = f"t_{driver}_{method}"
        report = bulkio.load(ALL_TYPES, table, any_dsn, driver=driver, method=method)
        assert (report.rows, report.driver, report.method) == (200, driver, method)
        rows = stored_rows(any_dsn, table)
        assert len(rows) >= 200
        expected = expected or rows
        assert rows == expected, (driver, method)


POLICIES = {
    "infinity": (
        "d date, s timestamp, z timestamptz[], t time",
        pa.table(
            {
                "d": pa.array([2**31 - 1, -(2**31), 0, None], pa.int32()).view(pa.date32()),
                "s": pa.array([2**63 - 1, -(2**63), 0, None], pa.int64()).view(pa.timestamp("us")),
                "z": pa.array([[2**63 - 1, None], [-(2**63)], [], None], pa.list_(pa.int64())).cast(
                    pa.list_(pa.timestamp("us", "UTC"))
                ),
                "t": pa.array([86_399_999_999, 0, 1, None], pa.int64()).view(pa.time64("us")),
            }
        ),
        {"infinity": "sentinel"},
        ['(infinity,infinity,"{infinity,NULL}",24:00:00)', "(-infinity,-infinity,{-infinity},00:00:00)"],
    ),
    "nul": (
        "a text, b varchar(3)[], c jsonb",
        pa.table({"a": ["x\0y", "\0"], "b": [["\0abc"], [None]], "c": ['{"a": 1}', None]}),
        {"nul": "strip"},
        ['(xy,{abc},"{""a"": 1}")', '("",{NULL},)'],
    ),
    "nul replaced": ("a text", pa.table({"a": ["x\0y"]}), {"nul": "replace"}, ["(x\ufffdy)"]),
    "lossy": (
        "a float4, b numeric(5,2), c timestamp, d numeric, e numeric(5,2)",
        pa.table(
            {
                "a": [0.1, 16777217.0],
                "b": pa.array([Decimal("1.005"), Decimal("-1.996")]),
                "c": pa.array([1999, -1], pa.int64()).cast(pa.timestamp("ns")),
                "d": [0.1, 1e22],
                "e": ["1.005", "-2.994"],
            }
        ),
        {"allow_lossy": True},
        None,
    ),
}


@pytest.mark.parametrize("policy", POLICIES)
def test_every_load_method_follows_the_policies(policy: str, dsn: str) -> None:
    """They store the same, and so does a load that another column makes travel as text."""
    columns, table, options, expected = POLICIES[policy]
    with connect(dsn) as conn:
        conn.execute(f"CREATE TABLE box (box box, {columns})")
        for driver, method in LOADS:
            name = f"t_{driver}_{method}"
            conn.execute(f"CREATE TABLE {name} ({columns})")
            bulkio.load(table, name, dsn, driver=driver, method=method, **options)
        first, *others = [stored_rows(dsn, f"t_{driver}_{method}") for driver, method in LOADS]
        assert others == [first] * len(others)
        with_box = table.append_column("box", pa.array(["(1,1),(0,0)"] * len(table)))
        assert bulkio.load(with_box, "box", dsn, **options).method == "csv"
        names = ", ".join(table.column_names)
        assert stored_rows(dsn, f"(SELECT {names} FROM box)") == first
        if expected is not None:
            found = [row for (row,) in conn.execute("SELECT whole::text FROM t_asyncpg_binary AS whole")]
            assert found[: len(expected)] == expected


def test_every_export_method_reads_the_same_batches(any_dsn: str) -> None:
    """The all-types table comes back as what was loaded, through all drivers and methods, from UTF8 and LATIN1."""
    needs_pyarrow(26, NULL_LISTS)
    bulkio.load(ALL_TYPES, "t", any_dsn)
    tables = {way: bulkio.read("t", any_dsn, driver=way[0], method=way[1]).read_all() for way in EXPORTS}
    first = tables["asyncpg", "binary"]
    assert first.num_rows == 200
    for way, table in tables.items():
        assert table.schema.equals(first.schema, check_metadata=True), way
        assert same_values(table, first), way


def test_what_was_exported_loads_again_identically(any_dsn: str, tmp_path: Path) -> None:
    """Export to Parquet and IPC, load into a new table: the same rows, byte for byte, and the same DDL."""
    needs_pyarrow(26, NULL_LISTS)
    bulkio.load(ALL_TYPES, "t", any_dsn)
    expected = stored_rows(any_dsn, "t")
    for suffix in ("parquet", "arrow", "arrows"):
        file = tmp_path / f"out.{suffix}"
        bulkio.export("t", file, any_dsn)
        bulkio.load(file, f"again_{suffix}", any_dsn, mode="create")
        assert stored_rows(any_dsn, f"again_{suffix}") == expected
        assert column_facts(any_dsn, f"again_{suffix}") == column_facts(any_dsn, "t")


def test_the_values_of_the_file_come_back(one_dsn: str) -> None:
    """What is read equals what the file holds, each column cast to the type that PostgreSQL gives back."""
    needs_pyarrow(26, NULL_LISTS)
    source = pq.read_table(ALL_TYPES)
    bulkio.load(ALL_TYPES, "t", one_dsn)
    back = bulkio.read("t", one_dsn).read_all()
    for name in source.column_names:
        assert plain_values(source[name]) == plain_values(back[name]), name


def column_facts(dsn: str, table: str) -> list[tuple[object, ...]]:
    """Return name, type with typmod, and nullability of the columns."""
    with connect(dsn) as conn:
        return conn.execute(
            "SELECT attname, format_type(atttypid, atttypmod), attnotnull FROM pg_attribute"
            " WHERE attrelid = %s::regclass AND attnum > 0 ORDER BY attnum",
            (table,),
        ).fetchall()


def plain_values(column: pa.ChunkedArray) -> list[object]:
    """Return Python values that compare across layouts and units: NaN by name, decimals with their places."""
    return [_plain(value) for value in column.to_pylist()]


def _plain(value: object) -> object:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return repr(value)
    return value


def same_values(left: pa.Table, right: pa.Table) -> bool:
    """Compare two tables, a NaN being equal to a NaN."""
    return all(plain_values(left[name]) == plain_values(right[name]) for name in right.column_names)


@pytest.mark.parametrize("method", ["binary", "csv", "records"])
def test_infinite_intervals(method: str, dsn: str) -> None:
    """Where the server has them (from 17 on), every method stores them."""
    struct = pa.struct([("months", pa.int32()), ("days", pa.int32()), ("microseconds", pa.int64())])
    ends = (2**31 - 1, 2**31 - 1, 2**63 - 1), (-(2**31), -(2**31), -(2**63))
    column = pa.array([dict(zip(struct.names, end, strict=True)) for end in ends], struct)
    with connect(dsn) as conn:
        conn.execute("CREATE TABLE t (c interval)")
        if conn.info.server_version < 170000:
            lacking("PostgreSQL 17")
        bulkio.load(pa.table({"c": column}), "t", dsn, infinity="sentinel", method=method)
        assert conn.execute("SELECT c::text FROM t").fetchall() == [("infinity",), ("-infinity",)]
