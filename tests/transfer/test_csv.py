"""CSV loaded and exported: every value arrives as it is, and every error names its file and line."""

from __future__ import annotations

import gzip
import io
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import bulkio
from bulkio.errors import BulkioError, ConfigError, CsvError, DriverError, EncodeError, SchemaError

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

TYPES = "a int, b numeric(10,2), c date, d timestamptz, e bool, f text"
LINES = '1,1.50,2025-12-31,2025-12-31 12:00:00+00,t,x\n2,,,,,""\n3,-0.05,0001-01-01 BC,infinity,f,"a,""b"\n'


@pytest.fixture
def conn(dsn: str, connect: Callable[[str], psycopg.Connection]) -> psycopg.Connection:
    """Connect for looking."""
    return connect(dsn)


def server_csv(conn: psycopg.Connection, query: str) -> bytes:
    """Let the server write CSV under the settings of a session of bulkio's."""
    conn.execute("SET DateStyle = 'ISO, YMD'; SET IntervalStyle = 'iso_8601'; SET TimeZone = 'UTC'")
    with conn.cursor().copy(f"COPY ({query}) TO STDOUT (FORMAT csv, HEADER)") as copy:
        return b"".join(map(bytes, copy))


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
def test_there_and_back(dsn: str, conn: psycopg.Connection, driver: str, tmp_path: Path) -> None:
    """A file goes into a table in binary, and an export writes what the server writes."""
    source, dest = tmp_path / "x.csv", tmp_path / "y.csv"
    source.write_text("a,b,c,d,e,f\n" + LINES)
    conn.execute(f"CREATE TABLE t ({TYPES})")
    report = bulkio.load(str(source), "t", dsn, driver=driver)
    assert (report.rows, report.method) == (3, "binary")
    assert conn.execute("SELECT f FROM t ORDER BY a").fetchall() == [("x",), ("",), ('a,"b',)]
    report = bulkio.export("t", str(dest), dsn, driver=driver)
    assert (report.rows, report.method, report.bytes) == (3, "csv", dest.stat().st_size)
    assert dest.read_bytes() == server_csv(conn, "SELECT * FROM t")


def test_new_table_is_text(dsn: str, conn: psycopg.Connection, tmp_path: Path) -> None:
    """Nothing is inferred: 00123 stays what it is."""
    source = tmp_path / "x.csv"
    source.write_text("id,n\n00123,1e400\n,\n")
    bulkio.load(str(source), "t", dsn)
    assert conn.execute("SELECT *, pg_typeof(id)::text FROM t").fetchall() == [
        ("00123", "1e400", "text"),
        (None, None, "text"),
    ]


def test_types_and_infer(dsn: str, conn: psycopg.Connection, tmp_path: Path) -> None:
    """What is asked for goes before what is inferred, which goes before text."""
    source = tmp_path / "x.csv"
    source.write_text("id,n,c,t\n1,1.50,00123,7\n2,2,7,8\n")
    bulkio.load(bulkio.csv(str(source), infer=True), "t", dsn, types={"t": "smallint"})
    types = "SELECT string_agg(atttypid::regtype::text, ',' ORDER BY attnum) FROM pg_attribute"
    assert conn.execute(f"{types} WHERE attrelid = 't'::regclass AND attnum > 0").fetchone() == (
        "bigint,numeric,text,smallint",
    )
    assert conn.execute("SELECT n::text, c FROM t ORDER BY id").fetchall() == [("1.50", "00123"), ("2", "7")]


def test_spelling(dsn: str, conn: psycopg.Connection, tmp_path: Path) -> None:
    """A spreadsheet's numbers, dates and local times become what they mean."""
    source = tmp_path / "x.csv"
    source.write_bytes("n;d;z;ä\n1234,5;31.12.2025;01.07.2025 12:00;ß\n".encode("cp1252"))
    conn.execute("CREATE TABLE t (n numeric, d date, z timestamptz, ä text)")
    options = {"delimiter": ";", "encoding": "cp1252", "decimal_comma": True, "date_format": "DD.MM.YYYY"}
    bulkio.load(bulkio.csv(str(source), timezone="Europe/Berlin", **options), "t", dsn)
    conn.execute("SET TimeZone = 'UTC'")
    assert conn.execute("SELECT t::text FROM t").fetchone() == ('(1234.5,2025-12-31,"2025-07-01 10:00:00+00",ß)',)


@pytest.mark.parametrize("method", ["binary", "csv", "records"])
@pytest.mark.parametrize(
    ("options", "kind", "own"),
    [
        ({"date_format": "DD.MM.YYYY"}, "date", "30.02.2025"),
        ({"date_format": "DD.MM.YYYY"}, "timestamp", "30.02.2025 12:00"),
        ({"date_format": "DD.MM.YYYY", "timezone": "Europe/Berlin"}, "timestamptz", "26.10.2025 02:30"),
        ({"decimal_comma": True, "delimiter": ";"}, "numeric(3,1)", "1234,5"),
    ],
)
def test_errors_show_the_files_own_text(
    dsn: str, tmp_path: Path, options: dict[str, object], kind: str, own: str, method: str
) -> None:
    """A value that was rewritten is shown as the file has it."""
    source = tmp_path / "x.csv"
    source.write_text(f"a\n{own}\n")
    with pytest.raises(EncodeError) as caught:
        bulkio.load(bulkio.csv(str(source), **options), "t", dsn, types={"a": kind}, method=method)
    assert f"'{own}'" in str(caught.value)
    assert (caught.value.row, caught.value.column, caught.value.line) == (1, "a", 2)


@pytest.mark.parametrize("method", ["binary", "csv", "records"])
@pytest.mark.parametrize(
    ("options", "kind", "good", "bad"),
    [
        ({"date_format": "DD.MM.YYYY"}, "date", "01.02.2025", "2025-02-01"),
        ({"date_format": "DD.MM.YYYY"}, "date", "01.02.2025", "30.02.2025"),
        ({"decimal_comma": True, "delimiter": ";"}, "numeric", "1,5", "1.5"),
    ],
)
def test_errors_name_the_row_of_a_rewritten_value(
    dsn: str, tmp_path: Path, options: dict[str, object], kind: str, good: str, bad: str, method: str
) -> None:
    """A value that cannot be rewritten, and one that the type refuses afterwards, are named by their own row."""
    source = tmp_path / "x.csv"
    source.write_text("\n".join(["a", *[good] * 30, bad, good, ""]))
    with pytest.raises(EncodeError) as caught:
        bulkio.load(bulkio.csv(str(source), **options), "t", dsn, types={"a": kind}, method=method, batch_rows=7)
    assert f"'{bad}'" in str(caught.value)
    assert (caught.value.row, caught.value.column, caught.value.line) == (31, "a", 32)


@pytest.mark.parametrize("kind", ["numeric[]", "float8[]", "money[]", "numrange", "point", "pair", "many"])
def test_decimal_comma_between_values(dsn: str, conn: psycopg.Connection, tmp_path: Path, kind: str) -> None:
    """Where commas part a column's values, {1,50} could be one number or two: it is refused, and nothing is stored."""
    conn.execute("CREATE TYPE pair AS (a int, b numeric); CREATE DOMAIN many AS numeric(9,2)[]")
    conn.execute(f"CREATE TABLE t (i int, a {kind})")
    source = tmp_path / "x.csv"
    source.write_text('i;a\n1;"{1,50}"\n')
    with pytest.raises(SchemaError, match="decimal comma") as caught:
        bulkio.load(bulkio.csv(str(source), delimiter=";", decimal_comma=True), "t", dsn)
    assert caught.value.columns == ("a",)
    bulkio.load(bulkio.csv(str(source), delimiter=";", decimal_comma=True), "u", dsn, types={"a": "int[]"})
    assert conn.execute("SELECT a FROM u").fetchall() == [([1, 50],)]


@pytest.mark.parametrize("ending", [".gz", ".zst"])
def test_compressed(dsn: str, conn: psycopg.Connection, ending: str, tmp_path: Path) -> None:
    """A name's ending compresses what is written; what is read tells by itself that it is compressed."""
    conn.execute("CREATE TABLE t AS SELECT g AS a, repeat('x', 100) AS b FROM generate_series(1, 20000) g")
    dest, plain = tmp_path / f"y.csv{ending}", tmp_path / "y.csv"
    bulkio.export("t", str(dest), dsn)
    bulkio.export("t", str(plain), dsn)
    assert dest.stat().st_size < plain.stat().st_size / 10
    if ending == ".gz":
        assert gzip.decompress(dest.read_bytes()) == plain.read_bytes()
    odd = tmp_path / "odd.csv"
    odd.write_bytes(dest.read_bytes())
    conn.execute("CREATE TABLE u (LIKE t)")
    assert bulkio.load([str(dest), str(odd)], "u", dsn).rows == 40000


def test_out_options(dsn: str, conn: psycopg.Connection, tmp_path: Path) -> None:
    """The server is told the options; a byte order mark comes first."""
    conn.execute("CREATE TABLE t AS SELECT 1 AS a, NULL::text AS b, 'x;y' AS c")
    dest = bulkio.csv(tmp_path / "y.csv", delimiter=";", null="NULL", header=False, bom=True)
    bulkio.export("t", dest, dsn)
    assert (tmp_path / "y.csv").read_bytes() == b'\xef\xbb\xbf1;NULL;"x;y"\n'
    with pytest.raises(ConfigError, match="skip_lines and infer"):
        bulkio.export("t", bulkio.csv(tmp_path / "y.csv", skip_lines=1, infer=True), dsn)


def test_files_in_binary_mode(dsn: str, conn: psycopg.Connection) -> None:
    """A file that is open is a source, too."""
    bulkio.load(bulkio.csv(io.BytesIO(b"a,b\n1,2\n")), "t", dsn)
    assert conn.execute("SELECT * FROM t").fetchall() == [("1", "2")]
    with pytest.raises(CsvError, match=r"BytesIO: line 2"):
        bulkio.load(bulkio.csv(io.BytesIO(b"a,b\n1\n")), "t", dsn)


def broken(tmp_path: Path) -> tuple[str, str]:
    """Write two files; the second one's third line of data holds what no integer is."""
    first, second = tmp_path / "1.csv", tmp_path / "2.csv"
    first.write_text("a,f\n1,x\n2,y\n")
    second.write_text('a,f\n3,"one\ntwo"\n4,y\nfive,z\n')
    return str(first), str(second)


@pytest.mark.parametrize("method", ["binary", "csv"])
def test_encode_error_names_the_line(dsn: str, conn: psycopg.Connection, tmp_path: Path, method: str) -> None:
    """A value that its column's type does not have is found by file, line and column."""
    files = broken(tmp_path)
    conn.execute("CREATE TABLE t (a int, f text)")
    with pytest.raises(EncodeError) as caught:
        bulkio.load(list(files), "t", dsn, method=method)
    assert str(caught.value).startswith(f'{files[1]}, line 5: row 5, column "a": ')
    assert (caught.value.path, caught.value.line, caught.value.row, caught.value.column) == (files[1], 5, 5, "a")


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
def test_server_error_names_the_line(dsn: str, conn: psycopg.Connection, tmp_path: Path, driver: str) -> None:
    """What the server refuses is found by file and line, too."""
    files = broken(tmp_path)
    conn.execute("CREATE TABLE t (a text CHECK (a <> 'five'), f text)")
    with pytest.raises(DriverError) as caught:
        bulkio.load(list(files), "t", dsn, driver=driver)
    assert str(caught.value).startswith(f"{files[1]}, line 5: row 5")
    assert (caught.value.path, caught.value.line) == (files[1], 5)


def test_mixed_formats(dsn: str, tmp_path: Path) -> None:
    """CSV and typed files do not become one source."""
    (tmp_path / "1.csv").write_text("o_comment\nx\n")
    parquet = Path("sample_data/orders.parquet").resolve()
    with pytest.raises(SchemaError, match="one is CSV"):
        bulkio.load([str(tmp_path / "1.csv"), str(parquet)], "t", dsn, columns=["o_comment"])


def test_not_guessed(dsn: str, tmp_path: Path) -> None:
    """CSV is never told by its content; the message says what to do."""
    (tmp_path / "x.txt").write_text("a,b\n1,2\n")
    with pytest.raises(ConfigError, match="say so"):
        bulkio.load(str(tmp_path / "x.txt"), "t", dsn)


def test_source_is_a_value() -> None:
    """A source object shows itself as it is written, equals its like, and cannot be changed."""
    source = bulkio.csv("x.csv", delimiter=";", header_names=["a", "b"])
    assert repr(source) == "bulkio.csv('x.csv', delimiter=';', header_names=('a', 'b'))"
    assert source == bulkio.csv("x.csv", delimiter=";", header_names=("a", "b"))
    with pytest.raises(AttributeError):
        source.delimiter = ","  # type: ignore[misc]
    with pytest.raises(BulkioError, match="delimiter"):
        bulkio.csv("x.csv", delimiter="::")


def test_a_file_without_names(dsn: str, conn: psycopg.Connection, tmp_path: Path) -> None:
    """Where the columns have no names, the message tells how to give them."""
    source = tmp_path / "x.csv"
    source.write_text("1,2\n")
    conn.execute("CREATE TABLE t (a int, b int)")
    headless = bulkio.csv(str(source), header=False)
    for columns in (["a", "b"], None):
        with pytest.raises(SchemaError, match="header_names"):
            bulkio.load(headless, "t", dsn, columns=columns)
    with pytest.raises(SchemaError, match="header_names"):
        bulkio.load(bulkio.csv(io.BytesIO(b"1,2\n"), header=False), "t", dsn, columns=["a"])


def test_a_header_that_is_data(dsn: str, tmp_path: Path) -> None:
    """A number for a name is told: the file may have no header."""
    source = tmp_path / "x.csv"
    source.write_text("1,x\n2,y\n")
    (note,) = bulkio.load(str(source), "t", dsn).notes
    assert note == f'{source}: "1" in its header is a number: if the file has no header, say so (header=False)'
    (note,) = bulkio.load(bulkio.csv(io.BytesIO(b"x,1.5\n1,2\n")), "u", dsn).notes
    assert '"1.5" in its header' in note
    named = bulkio.csv(str(source), header_names=["1", "2"])
    assert bulkio.load(named, "v", dsn).notes == ()


@pytest.mark.parametrize("infer", [False, True])
@pytest.mark.parametrize("packed", [False, True])
def test_a_named_pipe(dsn: str, conn: psycopg.Connection, tmp_path: Path, *, infer: bool, packed: bool) -> None:
    """What can be read once is read once; to infer types it is kept meanwhile."""
    os.mkfifo(tmp_path / "x.csv")
    data = b"a,b\n" + b"1,x\n" * 100_000
    writer = threading.Thread(target=(tmp_path / "x.csv").write_bytes, args=(gzip.compress(data) if packed else data,))
    writer.start()
    assert bulkio.load(bulkio.csv(tmp_path / "x.csv", infer=infer), "t", dsn).rows == 100_000
    writer.join()
    assert conn.execute("SELECT DISTINCT a::text FROM t").fetchall() == [("1",)]


def test_a_plan_reads_no_rows(dsn: str, tmp_path: Path) -> None:
    """A plan of a ragged file says that nobody has looked at its rows."""
    source = tmp_path / "x.csv"
    source.write_text("a,b\n1\n")
    plan = bulkio.plan_load(str(source), "t", dsn)
    assert f"load {source} (its rows were not read: only a load checks them)" in str(plan)
