"""Bad input: the message names the place, the exit code is the promised one, and nothing was changed."""

from __future__ import annotations

import contextlib
import json
import resource
import subprocess
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from psycopg.conninfo import make_conninfo

from cli.program import snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import psycopg

    from cli.program import Program

TABLE = """
CREATE TABLE t (id int8 NOT NULL, small int2, amount numeric(6,2), name varchar(5), note text);
INSERT INTO t VALUES (7, 7, 7.70, 'seven', 'was here before')
"""


@dataclass(frozen=True)
class Case:
    """A source that table `t` cannot take."""

    columns: dict[str, Any]
    said: tuple[str, ...]


GOOD_IDS = pa.array([1, 2, 3], pa.int64())


def _case(*said: str, **columns: Any) -> Case:
    return Case({"id": GOOD_IDS, **columns}, said)


def _decimals(scale: int, *texts: str) -> pa.Array:
    return pa.array([Decimal(t) for t in texts], pa.decimal128(20, scale))


CASES = {
    "unknown column": _case('"nope"', nope=GOOD_IDS),
    "wrong type": _case('"note"', "int64", "text", note=GOOD_IDS),
    "NULL into NOT NULL": _case('"id"', "row 2", id=pa.array([1, None, 3], pa.int64())),
    "NUL in text": _case('"note"', "row 3", note=["a", "b", "c\0d"]),
    "integer out of range": _case('"small"', "row 3", "40000", small=pa.array([1, 2, 40000], pa.int64())),
    "decimal out of range": _case('"amount"', "row 2", amount=_decimals(2, "1.00", "12345.00", "1.00")),
    "decimal to round": _case('"amount"', "row 3", "1.005", amount=_decimals(3, "1.000", "2.120", "1.005")),
    "varchar too long": _case('"name"', "row 2", name=["abcde", "abcdef", "a"]),
}


@pytest.mark.parametrize("name", CASES)
def test_source_that_does_not_fit(bulkio: Program, db: psycopg.Connection, tmp_path: Path, name: str) -> None:
    """A column or a value that the table cannot hold unchanged is named, with its row."""
    case = CASES[name]
    pq.write_table(pa.table(case.columns), tmp_path / "bad.parquet")
    db.execute(TABLE)
    before = snapshot(db)
    done = bulkio("load", tmp_path / "bad.parquet", "t")
    assert done.code == 6
    assert done.err.startswith("Error: ")
    for said in case.said:
        assert said in done.err
    assert done.out == ""
    assert snapshot(db) == before


def test_truncate_is_rolled_back_too(bulkio: Program, db: psycopg.Connection, tmp_path: Path) -> None:
    """What --mode truncate removed is back when a value is refused."""
    pq.write_table(pa.table(CASES["NUL in text"].columns), tmp_path / "bad.parquet")
    db.execute(TABLE)
    before = snapshot(db)
    assert bulkio("load", tmp_path / "bad.parquet", "t", "--mode", "truncate").code == 6
    assert snapshot(db) == before


def _missing(folder: Path) -> Path:
    return folder / "nowhere.parquet"


def _cut_off(folder: Path) -> Path:
    path = folder / "cut.parquet"
    pq.write_table(pa.table({"id": pa.array(range(10_000), pa.int64())}), path)
    path.write_bytes(path.read_bytes()[:-500])
    return path


def _empty_folder(folder: Path) -> Path:
    (folder / "empty").mkdir()
    return folder / "empty"


@pytest.mark.parametrize("make", [_missing, _cut_off, _empty_folder])
def test_file_that_cannot_be_read(
    bulkio: Program, db: psycopg.Connection, tmp_path: Path, make: Callable[[Path], Path]
) -> None:
    """A missing file, a truncated one and a folder without any are named."""
    db.execute(TABLE)
    before = snapshot(db)
    path = make(tmp_path)
    done = bulkio("load", path, "t")
    assert (done.code, done.out) == (1, "")
    assert str(path) in done.err
    assert snapshot(db) == before


def test_missing_table_under_truncate(bulkio: Program, db: psycopg.Connection, orders: Path) -> None:
    """A table that is to be truncated must exist."""
    done = bulkio("load", orders, "nope", "--mode", "truncate")
    assert done.code == 6
    assert "nope" in done.err
    assert "does not exist" in done.err
    assert snapshot(db) == {}


def test_existing_table_under_create(bulkio: Program, db: psycopg.Connection, orders: Path) -> None:
    """A table that is to be created must not exist."""
    db.execute(TABLE)
    before = snapshot(db)
    done = bulkio("load", orders, "t", "--mode", "create")
    assert done.code == 6
    assert "table t exists already" in done.err
    assert snapshot(db) == before


# --- the server -------------------------------------------------------------------------------------


def _wrong_password(dsn: str) -> str:
    return make_conninfo(dsn, password="wrong-secret")


def _no_server(dsn: str) -> str:
    return make_conninfo(dsn, host="127.0.0.1", port=1)


def _unknown_host(dsn: str) -> str:
    return make_conninfo(dsn, host="no-such-host.invalid")


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_wrong_password, "password authentication failed"),
        (_no_server, "127.0.0.1:1"),
        (_unknown_host, "no-such-host.invalid"),
    ],
)
def test_no_connection(
    bulkio: Program, one_dsn: str, orders: Path, driver: str, change: Callable[[str], str], said: str
) -> None:
    """A login that is refused and a server that is not there are told apart, and the password is never shown."""
    done = bulkio("load", orders, "t", "--driver", driver, env={"BULKIO_DSN": change(one_dsn)})
    assert (done.code, done.out) == (5, "")
    assert said in done.err
    assert "wrong-secret" not in done.err


# --- exports ----------------------------------------------------------------------------------------


@contextlib.contextmanager
def _small_disk(folder: Path) -> Iterator[dict[str, Any]]:
    """Leave room for 1 MB in a folder; give the settings that the program is to be run with."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "bulkio-test", folder]
    if subprocess.run(mount, capture_output=True, check=False).returncode == 0:
        try:
            yield {}
        finally:
            subprocess.run(["umount", folder], check=True)  # noqa: S607
    else:  # not root, or a container
        limit = 1 << 20
        yield {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))}


@pytest.mark.parametrize("ending", ["parquet", "arrow"])
def test_full_disk(bulkio: Program, tmp_path: Path, ending: str) -> None:
    """An export to a full disk names the file and leaves nothing of it, nor touches the one that was there."""
    with _small_disk(tmp_path / "disk") as settings:
        dest = tmp_path / "disk" / f"out.{ending}"
        dest.write_text("the old one")
        query = "select i, md5(i::text) from generate_series(1, 200000) i"
        done = bulkio("export", "--query", query, dest, **settings)
        assert (done.code, done.out) == (1, "")
        assert str(dest) in done.err
        assert "No space left" in done.err or "File too large" in done.err
        assert [path.name for path in dest.parent.iterdir()] == [dest.name]
        assert dest.read_text() == "the old one"


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["export", "nope", "{}/x.parquet"], 6, "nope"),
        (["export", "--query", "select 1/0 as a", "{}/x.parquet"], 1, "division by zero"),
        (["export", "--query", "select frm", "{}/x.parquet"], 1, "frm"),
        (["export", "t", "{}/x.xlsx"], 2, "x.xlsx"),
        (["export", "t", "{}/nowhere/x.parquet"], 1, "nowhere"),
        (["export", "a.b.c", "{}/x.parquet"], 2, "a.b.c"),
    ],
)
def test_export_that_cannot_be(
    bulkio: Program, db: psycopg.Connection, tmp_path: Path, args: list[str], code: int, said: str
) -> None:
    """What cannot be exported leaves no file."""
    db.execute(TABLE)
    done = bulkio(*[arg.format(tmp_path) for arg in args])
    assert (done.code, done.out) == (code, "")
    assert said in done.err
    assert list(tmp_path.iterdir()) == []


# --- how errors are told ----------------------------------------------------------------------------


def test_json_error(bulkio: Program, db: psycopg.Connection, tmp_path: Path) -> None:
    """With --json an error is one object on stdout, with its place, and still a message on stderr."""
    pq.write_table(pa.table(CASES["varchar too long"].columns), tmp_path / "bad.parquet")
    db.execute(TABLE)
    done = bulkio("load", tmp_path / "bad.parquet", "t", "--json")
    error = json.loads(done.out)["error"]
    assert done.err == f"Error: {error['message']}\n"
    assert (error["type"], error["exit_code"], error["retryable"]) == ("EncodeError", 6, False)
    assert (error["column"], error["row"]) == ("name", 2)


def test_json_error_of_the_server(bulkio: Program, tmp_path: Path) -> None:
    """A server's error has its SQLSTATE."""
    done = bulkio("export", "--query", "select 1/0 as a", tmp_path / "x.parquet", "--json")
    assert json.loads(done.out)["error"]["sqlstate"] == "22012"


@pytest.mark.parametrize(
    "args", [["load"], ["nope"], ["load", "--mode", "x", "a", "b", "--json"], ["export", "t", "--json"], ["--x"]]
)
def test_usage_error(bulkio: Program, args: list[str]) -> None:
    """Wrong arguments exit with 2, under --json with an object."""
    done = bulkio(*args)
    assert done.code == 2
    assert done.err.startswith("Usage: bulkio")
    assert "\nError: " in done.err
    if "--json" in args:
        assert json.loads(done.out)["error"]["exit_code"] == 2
    else:
        assert done.out == ""


def test_file_in_the_tables_place(bulkio: Program, orders: Path) -> None:
    """Two files and no table is an error, not a table called like a file."""
    done = bulkio("load", orders, orders)
    assert done.code == 2
    assert "names the table" in done.err


@pytest.mark.parametrize("value", ["0", "-1", "many"])
def test_batch_rows(bulkio: Program, orders: Path, value: str) -> None:
    """--batch-rows is a number from 1."""
    assert bulkio("load", orders, "t", "--batch-rows", value).code == 2


def test_no_terminal_and_no_dsn(bulkio_alone: Program, orders: Path) -> None:
    """A cron job that lost its DSN fails; it does not load into the embedded server."""
    done = bulkio_alone("load", orders, "t")
    assert (done.code, done.out) == (2, "")
    assert "--dsn" in done.err


def test_control_characters_are_escaped(bulkio: Program, tmp_path: Path) -> None:
    """No name can move the terminal's cursor, forge a line, or be taken for markup."""
    done = bulkio("load", tmp_path / "\x1b[2J[red].parquet", "t")
    assert done.code == 1
    assert "\\x1b[2J[red].parquet" in done.err
    assert "\x1b" not in done.err


def test_debug_shows_the_traceback(bulkio: Program, tmp_path: Path) -> None:
    """--debug adds the traceback, and the message stays."""
    done = bulkio("load", tmp_path / "nowhere.parquet", "t", "--debug")
    assert done.code == 1
    assert "Traceback" in done.err
    assert "\nError: " in done.err


@pytest.mark.parametrize(
    ("command", "options", "said"),
    [
        ("load", ("--dimensions", "c"), "'c' is not COLUMN=N"),
        ("load", ("--dimensions", "c=two"), "'c=two' is not COLUMN=N"),
        ("load", ("--dimensions", "=2"), "'=2' is not COLUMN=N"),
        ("load", ("--dimensions", "id=9"), "dimensions['id'] is 9, and must be a whole number, from 1 to 6"),
        ("load", ("--types", "jsonb"), "'jsonb' is not COLUMN=TYPE"),
        ("load", ("--types", "c= "), "'c= ' is not COLUMN=TYPE"),
        ("export", ("--numeric", "float"), "numeric is 'float', and can be 'string', 'float64' or 'decimal(p,s)'"),
    ],
)
def test_options_that_say_nothing(
    bulkio: Program, db: psycopg.Connection, tmp_path: Path, command: str, options: tuple[str, str], said: str
) -> None:
    """They are wrong usage, with what they should look like."""
    db.execute(TABLE)
    before = snapshot(db)
    file = tmp_path / "x.parquet"
    if command == "load":
        pq.write_table(pa.table({"id": GOOD_IDS}), file)
    done = bulkio(*((command, file, "t") if command == "load" else (command, "t", file)), *options)
    assert done.code == 2
    assert said in done.err
    assert "Traceback" not in done.err
    assert snapshot(db) == before
