"""A name with a newline in it cannot make a line of its own on the terminal, wherever the name comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bulkio.errors import FileError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import psycopg

    from cli.program import Program

#: what would pass for a message of ours, and colours what follows
LINE = "\nloaded 5 rows\x1b[31m"
EVIL = f"x{LINE}"
Words = list[object]


def table(folder: Path, name: str, column: str = "a", kind: pa.DataType | None = None, *, text: bool = False) -> Path:
    """Make a small Parquet file."""
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    values = pa.array([LINE]) if text else pa.array([1], kind or pa.int64())
    pq.write_table(pa.table({column: values}), path)
    return path


def garbage(folder: Path, name: str) -> Path:
    """Make a file that is none of its format."""
    path = folder / name
    path.write_bytes(b"no such format" * 9)
    return path


CASES: dict[str, Callable[[Path], Words]] = {
    "no such file": lambda f: ["load", f / f"{EVIL}.parquet", "t"],
    "no such file of a pattern": lambda f: ["load", f / f"{EVIL}*.parquet", "t"],
    "no format": lambda f: ["load", garbage(f, EVIL), "t"],
    "no Parquet": lambda f: ["load", garbage(f, f"{EVIL}.parquet"), "t"],
    "no Arrow": lambda f: ["load", garbage(f, f"{EVIL}.arrow"), "t"],
    "no stream": lambda f: ["load", garbage(f, f"{EVIL}.arrows"), "t"],
    "a URL": lambda _: ["load", f"s3://{EVIL}.parquet", "t"],
    "twice": lambda f: ["load", p := table(f, f"{EVIL}.parquet"), p, "t"],
    "two schemas": lambda f: ["load", table(f, f"{EVIL}.parquet"), table(f, f"{EVIL}2.parquet", EVIL), "t"],
    "two types": lambda f: [
        "load",
        table(f, f"{EVIL}.parquet", EVIL),
        table(f, f"{EVIL}2.parquet", EVIL, pa.float64()),
        "t",
    ],
    "an empty folder": lambda f: ["load", (f / EVIL).mkdir() or f / EVIL, "t"],
    "folders in the folder": lambda f: ["load", table(f / EVIL, "a.parquet").parent.parent, "t"],
    "a folder of another format": lambda f: ["load", garbage(f / "d", EVIL) if (f / "d").mkdir() else f / "d", "t"],
    "a path that is data": lambda f: ["load", table(f / f"year={EVIL}", "a.parquet"), "t"],
    "a Delta table": lambda f: ["load", (f / EVIL / "_delta_log").mkdir(parents=True) or f / EVIL, "t"],
    "a source that fits": lambda f: ["load", table(f, f"{EVIL}.parquet"), "fits"],
    "a source that fits, dry": lambda f: ["load", table(f, f"{EVIL}.parquet"), "fits", "--dry-run"],
    "a column of the source": lambda f: ["load", table(f, "a.parquet", EVIL), "fits"],
    "columns of the source": lambda f: ["load", table(f, "a.parquet"), "fits", "--columns", EVIL],
    "a table that is to be": lambda f: ["load", table(f, "a.parquet"), f'"{EVIL}"', "--mode", "truncate"],
    "a table that is": lambda f: ["load", table(f, "a.parquet"), f'"{EVIL}s"', "--mode", "create"],
    "a table that does not fit": lambda f: ["load", table(f, "a.parquet", "b"), f'"{EVIL}s"'],
    "a table that cannot be made": lambda f: ["load", table(f, "a.parquet", "b"), f'"{EVIL}n"', "--types", "b=uuid"],
    "a view": lambda f: ["load", table(f, "a.parquet"), f'"{EVIL}v"'],
    "a type that does not fit": lambda f: ["load", table(f, "a.parquet"), "typed"],
    "a type in a plan": lambda f: ["export", "typed", f / "x.arrow", "--dry-run"],
    "a value of an enum": lambda f: ["load", table(f, "a.parquet", "m", text=True), "typed"],
    "what the server names": lambda f: ["load", table(f, "a.parquet"), "checked"],
    "what a trigger says": lambda f: ["load", table(f, "a.parquet"), "noted"],
    "a schema that is not": lambda f: ["load", table(f, "a.parquet"), f'"{EVIL}".t'],
    "no name": lambda f: ["load", table(f, "a.parquet"), EVIL],
    "a long name": lambda f: ["load", table(f, "a.parquet"), f'"{EVIL * 9}"'],
    "a new column": lambda f: ["load", table(f, "a.parquet", EVIL), "new"],
    "a new column's type": lambda f: ["load", table(f, "a.parquet"), "new", "--types", f"a={EVIL}"],
    "the type of no column": lambda f: ["load", table(f, "a.parquet"), "new", "--types", f"{EVIL}=int"],
    "a method": lambda f: ["load", table(f, "a.parquet"), "fits", "--method", EVIL],
    "a lock timeout": lambda f: ["load", table(f, "a.parquet"), "fits", "--lock-timeout", EVIL],
    "an export": lambda f: ["export", "fits", f / f"{EVIL}.parquet"],
    "a dry export": lambda f: ["export", "fits", f / f"{EVIL}.parquet", "--dry-run"],
    "an export into no folder": lambda f: ["export", "fits", f / EVIL / "x.parquet"],
    "an export of no format": lambda f: ["export", "fits", f / EVIL],
    "an export's table": lambda f: ["export", f'"{EVIL}"', f / "x.parquet"],
    "an export's column": lambda f: ["export", "fits", f / "x.parquet", "--columns", EVIL],
    "an export's evil table": lambda f: ["export", "evil", f / "x.parquet"],
    "an export's evil table as CSV": lambda f: ["export", "evil", f / "x.csv"],
    "two columns of a name": lambda f: ["export", "--query", f'SELECT 1 AS "{EVIL}", 2 AS "{EVIL}"', f / "x.parquet"],
    "a query's error": lambda f: ["export", "--query", f"SELECT '{EVIL}'::int AS a", f / "x.parquet"],
    "no such column": lambda f: ["export", "--query", f'SELECT "{EVIL}"', f / "x.parquet"],
    "a parameter": lambda f: ["export", "--query", "SELECT $1::int AS a", f / "x.parquet", "--param", EVIL],
    "a host": lambda f: ["load", table(f, "a.parquet"), "fits", "--dsn", f"host='/{EVIL}'"],
    "a database": lambda f: ["load", table(f, "a.parquet"), "fits", "--dsn", f"host=/nowhere dbname='{EVIL}'"],
    "a certificate": lambda f: [
        *("load", table(f, "a.parquet"), "fits", "--driver", "asyncpg"),
        *("--dsn", f"host=localhost sslmode=verify-ca sslrootcert='{EVIL}'"),
    ],
    "a bench": lambda f: ["bench", "load", f / f"{EVIL}.parquet"],
    "a bench of an export": lambda _: ["bench", "export", f'"{EVIL}"'],
    "a command": lambda _: [EVIL],
}


@pytest.mark.parametrize("case", CASES)
def test_no_name_makes_a_line(bulkio: Program, db: psycopg.Connection, tmp_path: Path, case: str) -> None:
    """Not in an error, a report, a plan or a hint: line ends and escapes of names are spelled out."""
    db.execute("CREATE TABLE fits (a int8); INSERT INTO fits VALUES (1)")
    db.execute(f'CREATE TABLE "{EVIL}s" (a int8); CREATE VIEW "{EVIL}v" AS SELECT 1 AS a')
    db.execute(f'CREATE TYPE "{EVIL}t" AS (x int); CREATE TYPE "{EVIL}e" AS ENUM ($${EVIL}$$)'.replace("$$", "'"))
    db.execute(f'CREATE TABLE typed (a "{EVIL}t", m "{EVIL}e")')
    db.execute(f'CREATE TABLE checked (a int8 CONSTRAINT "{EVIL}" CHECK (a > 5)); CREATE TABLE noted (a int8)')
    says = f"BEGIN RAISE '%', E'{LINE}' USING HINT = E'{LINE}', DETAIL = E'{LINE}'; END"
    db.execute(f"CREATE FUNCTION says() RETURNS trigger LANGUAGE plpgsql AS $f$ {says} $f$")
    db.execute("CREATE TRIGGER says BEFORE INSERT ON noted FOR EACH ROW EXECUTE FUNCTION says()")
    db.execute(f'CREATE TABLE evil (a aclitem, "{EVIL}" int8); CREATE DOMAIN "{EVIL}" AS text')
    done = bulkio(*CASES[case](tmp_path))
    said = done.out + done.err
    assert said
    assert "\x1b" not in said
    assert not [line for line in said.splitlines() if line.startswith("loaded 5 rows")]


def test_a_file_errors_path_is_the_path() -> None:
    """The attribute is what the caller can open; the message is what a terminal can show."""
    error = FileError(f"{EVIL}: cannot be read", path=EVIL)
    assert (error.path, str(error)) == (EVIL, "x\\nloaded 5 rows\\x1b[31m: cannot be read")
