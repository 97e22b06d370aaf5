"""Slips on the command line: the message says what was meant, or what to type."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg

    from cli.program import Program


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["laod", "a.parquet", "a"], "No such command 'laod'. Did you mean 'load'?"),
        (["xyzzy"], "No such command 'xyzzy'."),
        (["load", "a.parquet", "a", "--colums", "x"], "--columns"),
        (["load", "a/b.parquet"], "TABLE is missing: give the files, then the table, as in bulkio load a.parquet a"),
        (["load", "orders"], "SOURCE or TABLE is missing: give the files"),
        (["load", "a.parquet", "a", "--mode", "overwrite"], "there is no mode overwrite: replace puts a new table"),
        (["load", "a.parquet", "a", "--mode", "merge"], "there is no mode merge: upsert inserts new rows"),
        (["load", "a.parquet", "a", "--mode", "odd"], "'odd' is not one of 'append', 'create', 'truncate'"),
        (["export", "select 1", "a.parquet"], "give it with --query"),
        (["import", "a.csv", "a"], "No such command 'import'. Did you mean 'load'?"),
        (["dump", "a", "a.csv"], "Did you mean 'export'?"),
        (["load", "a.csv", "a", "--sep", ";"], "No such option: --sep; use --delimiter"),
        (["load", "a.csv", "a", "--trunc"], "No such option: --trunc; use --mode truncate"),
        (["load", "a.csv", "a", "--replace"], "use --mode truncate, which replaces the rows"),
        (["export", "a", "a.csv", "--encoding", "cp1252"], "an export is UTF-8"),
        (["export", "a", "a.csv", "--decimal-comma"], "--query \"SELECT replace(price::text, '.', ',')"),
        (["export", "a", "a.csv", "--date-format", "DD.MM.YYYY"], "to_char(day, 'DD.MM.YYYY')"),
        (["load", "a.csv", "a", "--dsn", "embeded"], "'embeded' is not a connection string; did you mean embedded?"),
        (["export", "my-table", "a.csv"], """the name as '"my-table"'"""),
        (["load", "s3://b/a.parquet", "a", "--dsn", "host=/nowhere"], "aws s3 cp"),
    ],
)
def test_a_slip(bulkio_alone: Program, args: list[str], words: str) -> None:
    """It is wrong usage, and the message has the next step."""
    done = bulkio_alone(*args)
    assert done.code == 2
    assert done.out == ""
    assert words in done.err


def test_types_in_one_list(bulkio: Program, orders: Path) -> None:
    """Several types are several options."""
    done = bulkio("load", orders, "t", "--types", "id=bigint,note=text")
    assert done.code == 6
    assert '"id=bigint,note": --types names it; repeat --types for each column' in done.err


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--param", "1"), "Error: --param is for --mode replace-where, not for --mode append"),
        (("--mode", "replace-where", "--where", "id = $1"), "give a value for each (--param)"),
        (("--mode", "replace-where", "--where", "id ="), "Error: --where: syntax error"),
        (("--mode", "replace-where", "--where", "ids = 1"), 'Error: --where: column "ids" does not exist'),
        (("--mode", "replace-where", "--where", "id = 'x'"), "Error: --where: invalid input syntax"),
        (("--mode", "replace-where", "--where", "id > 999"), "999 of the source's 1000 rows do not meet the"),
        (("--mode", "replace-where", "--where", "id <> 1"), "1 of the source's 1000 rows does not meet the condition"),
        (("--mode", "upsert", "--key", "idd"), 'and --key names it; did you mean "id"?'),
        (("--mode", "upsert", "--key", "id"), 'CREATE UNIQUE INDEX ON "public"."t" ("id") makes one'),
    ],
)
def test_a_slip_in_a_mode(
    bulkio: Program, db: psycopg.Connection, orders: Path, flags: tuple[str, ...], words: str
) -> None:
    """The message says which flag it is about, and what to do."""
    db.execute("CREATE TABLE t (id int8, note text)")
    done = bulkio("load", orders, "t", *flags)
    assert words in done.err
    assert done.out == ""
    assert db.execute("SELECT count(*) FROM t").fetchone() == (0,)


def test_deleting_more_than_is_allowed(bulkio: Program, db: psycopg.Connection, orders: Path, tmp_path: Path) -> None:
    """The message has the number to allow; with it, the same command succeeds."""
    assert bulkio("load", orders, "t", "--mode", "upsert", "--key", "id").code == 0
    (tmp_path / "one.csv").write_text("id\n1\n")
    command = ("load", tmp_path / "one.csv", "t", "--mode", "upsert", "--delete-missing")
    assert "if that is what you want, allow it (--max-delete 999)" in bulkio(*command).err
    assert bulkio(*command, "--max-delete", "999").code == 0
    assert db.execute("SELECT count(*) FROM t").fetchone() == (1,)


def test_a_plan_shows_a_condition_in_one_line(bulkio: Program, orders: Path) -> None:
    """It shows no line ends that bulkio has put there."""
    done = bulkio("load", orders, "t", "--mode", "replace-where", "--where", "id > 0", "--dry-run")
    assert "rows that meet (id > 0): any other is an error" in done.out


def test_a_table_that_has_capitals(bulkio: Program, db: psycopg.Connection, orders: Path, tmp_path: Path) -> None:
    """The name that is meant is shown as the shell takes it."""
    db.execute('CREATE TABLE "My-Table" (id int)')
    done = bulkio("export", "My_Table", tmp_path / "x.csv")
    assert (done.code, done.err) == (6, "Error: table my_table does not exist; did you mean '\"My-Table\"'?\n")
    done = bulkio("load", orders, "My_Table", "--mode", "truncate")
    assert "did you mean '\"My-Table\"'? If not" in done.err


def test_a_file_that_is_there_is_no_table(bulkio_alone: Program, orders: Path) -> None:
    """With a file alone, the table is what is missing."""
    done = bulkio_alone("load", orders)
    assert (done.code, "Error: TABLE is missing" in done.err) == (2, True)
