"""Incremental exports: every row is in one file, whatever happens between the file and the mark."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import bulkio
from bulkio.errors import RunFailed
from servers import connect

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import psycopg

OLD = "INSERT INTO t SELECT g, now() - interval '2 days' + g * interval '1 ms' FROM generate_series(1, 1000) AS g"


@pytest.fixture
def db(one_dsn: str) -> Iterator[psycopg.Connection]:
    with connect(one_dsn) as connection:
        connection.execute("CREATE TABLE t (id int8, at timestamptz)")
        connection.execute(OLD)
        yield connection


def pipeline(folder: Path, export: str = "t", *lines: str, column: str = "at") -> Path:
    """Write a pipeline with an incremental export."""
    path = folder / "p.toml"
    text = (
        'name = "p"\n[[step]]\nid = "x"\nto = "out/{window}.parquet"',
        f'export = "{export}"\nincremental = "{column}"\n',
    )
    path.write_text("\n".join((*text, *lines, "")))
    return path


def files(folder: Path) -> list[Path]:
    return sorted((folder / "out").glob("*.parquet"))


def test_a_plan_names_the_window_as_the_file_does(tmp_path: Path, db: psycopg.Connection, one_dsn: str) -> None:
    """The window itself is known once the step runs."""
    (plan,) = bulkio.plan_pipeline(pipeline(tmp_path), one_dsn)
    assert f"to {tmp_path}/out/{{window}}.parquet" in plan.text


def ids(*paths: Path) -> list[int]:
    return sorted(pa.concat_tables([pq.read_table(path) for path in paths])["id"].to_pylist())


def test_windows_have_no_gap_and_no_overlap(tmp_path: Path, db: psycopg.Connection, one_dsn: str) -> None:
    """Rows that change while runs come and go are each in one file; their names tell the windows."""
    path = pipeline(tmp_path, "t", 'lag = "1s"')
    for number in range(4):
        bulkio.run_pipeline(path, one_dsn)
        db.execute(
            "INSERT INTO t SELECT $1 + g, clock_timestamp() FROM generate_series(1, 50) AS g".replace(
                "$1", str(2000 + 50 * number)
            )
        )
        db.execute("SELECT pg_sleep(0.6)")
    db.execute("SELECT pg_sleep(2.1)")
    report = bulkio.run_pipeline(path, one_dsn)
    assert ids(*files(tmp_path)) == [*range(1, 1001), *range(2001, 2201)]
    names = [name.stem.split("-") for name in files(tmp_path)]
    first, *others = sorted(names, key=lambda name: name[1])
    assert first[0] == "start"
    assert [start for start, _ in others] == [end for _, end in [first, *others[:-1]]]
    assert report.steps[0].rows == len(ids(files(tmp_path)[-2]))


def test_a_file_whose_mark_did_not_move_is_made_again(tmp_path: Path, db: psycopg.Connection, one_dsn: str) -> None:
    """The next run makes the same file again, then its own: no row is in two."""
    path = pipeline(tmp_path)
    bulkio.run_pipeline(path, one_dsn, run_id="first")
    db.execute("INSERT INTO t SELECT g, now() - interval '5 min' FROM generate_series(2001, 2010) AS g")
    db.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN IF NEW.mark IS DISTINCT FROM OLD.mark THEN RAISE 'not now'; END IF; RETURN NEW; END $$"
    )
    db.execute("CREATE TRIGGER refuse BEFORE UPDATE ON bulkio_ledger.marks FOR EACH ROW EXECUTE FUNCTION refuse()")
    db.execute("UPDATE bulkio_ledger.marks SET pending = NULL")
    db.execute("SELECT pg_sleep(1.1)")
    with pytest.raises(RunFailed, match="not now"):
        bulkio.run_pipeline(path, one_dsn, run_id="second")
    _, left = files(tmp_path)[-1], files(tmp_path)[0]
    db.execute("DROP TRIGGER refuse ON bulkio_ledger.marks")
    left.write_bytes(b"torn")
    db.execute("SELECT pg_sleep(1.1)")
    bulkio.run_pipeline(path, one_dsn, run_id="third")
    assert len(files(tmp_path)) == 3
    assert ids(*files(tmp_path)) == [*range(1, 1001), *range(2001, 2011)]


def test_a_query_of_which_a_comment_is_left(tmp_path: Path, db: psycopg.Connection, one_dsn: str) -> None:
    """A query may end with a semicolon, and a comment behind it."""
    bulkio.run_pipeline(pipeline(tmp_path, "select * from t; -- all"), one_dsn)
    assert ids(*files(tmp_path)) == [*range(1, 1001)]


#: a type, and how it comes from a timestamptz
KINDS = {"timestamptz(3)": "", "timestamp": "AT TIME ZONE 'UTC'", "date": "AT TIME ZONE 'UTC'"}


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_columns(tmp_path: Path, db: psycopg.Connection, one_dsn: str, kind: str) -> None:
    """A timestamp is UTC; of dates, a day is exported once it is over. NULL is in no file."""
    db.execute(f"CREATE TABLE k AS SELECT id, (at {KINDS[kind]})::{kind} AS at FROM t")
    db.execute(f"INSERT INTO k VALUES (0, (now() {KINDS[kind]})::{kind}), (-1, NULL)")
    path = pipeline(tmp_path, "k", 'columns = ["-at"]')
    bulkio.run_pipeline(path, one_dsn)
    bulkio.run_pipeline(path, one_dsn)
    assert ids(*files(tmp_path)) == [*range(1, 1001)]
    assert pq.read_schema(files(tmp_path)[0]).names == ["id"]


def test_columns_that_tell_no_time(tmp_path: Path, db: psycopg.Connection, one_dsn: str) -> None:
    """Another type, and a column that is not there, are errors before any file is made."""
    for column, message in (
        ("id", 'incremental column "id" is of type int8, and must be a timestamptz, a timestamp'),
        ("att", 'incremental column "att" is not there; did you mean "at"'),
    ):
        with pytest.raises(RunFailed, match=message):
            bulkio.run_pipeline(pipeline(tmp_path, column=column), one_dsn)
    assert not (tmp_path / "out").exists()
