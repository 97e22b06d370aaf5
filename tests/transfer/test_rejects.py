"""Loads with rejects: exactly the good rows are stored, each other record is in the file, with its reason."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import bulkio
from bulkio.errors import ConfigError, LedgerError, LoadUnfinished, TooManyRejects
from servers import fetch

if TYPE_CHECKING:
    from pathlib import Path


#: definition of the tables: each kind of fault has its column
TABLES = """
CREATE TABLE parent (id int PRIMARY KEY);
INSERT INTO parent SELECT generate_series(0, 9);
CREATE TABLE t (
    id int PRIMARY KEY,
    ref int REFERENCES parent,
    late int REFERENCES parent DEFERRABLE INITIALLY DEFERRED,
    amount numeric(6, 2) CHECK (amount >= 0),
    note varchar(10) NOT NULL
);
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.note = TG_ARGV[0] THEN RAISE 'note % is not wanted', NEW.note; END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER before_row BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION refuse('early');
CREATE TRIGGER after_row AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION refuse('after');
CREATE CONSTRAINT TRIGGER at_end AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION refuse('deferred');
"""
HEADER = "id,ref,late,amount,note"
ROWS = 400
#: what is wrong with a record (None takes the good one's field), the column that is told, the SQLSTATE, and a part of
#: the message; each stands at several places
FAULTS: dict[str, tuple[str, str | None, str | None, str]] = {
    "range": ("99999999999,1,1,1,x", "id", None, "is out of range for int4"),
    "type": ("one,1,1,1,x", "id", None, "is not a valid int4"),
    "null": ("{id},1,1,1,", "note", None, "NULL in a column that is NOT NULL"),
    "length": ("{id},1,1,1,longer than ten", "note", None, "is longer than varchar(10) allows"),
    "rounded": ("{id},1,1,1.005,x", "amount", None, "would be rounded by numeric(6,2)"),
    "ragged": ("{id},1,1,1,x,y", None, None, "6 fields, where there are 5 columns"),
    "short": ("{id},1", None, None, "2 fields, where there are 5 columns"),
    "unique": ("3,1,1,1,x", None, "23505", 'violates unique constraint "t_pkey"'),
    "check": ("{id},1,1,-1,x", None, "23514", 'violates check constraint "t_amount_check"'),
    "foreign key": ("{id},77,1,1,x", None, "23503", 'violates foreign key constraint "t_ref_fkey"'),
    "deferred foreign key": ("{id},1,77,1,x", None, "23503", 'violates foreign key constraint "t_late_fkey"'),
    "trigger": ("{id},1,1,1,early", None, "P0001", "note early is not wanted"),
    "trigger after": ("{id},1,1,1,after", None, "P0001", "note after is not wanted"),
    "constraint trigger": ("{id},1,1,1,deferred", None, "P0001", "note deferred is not wanted"),
}


def good(number: int) -> str:
    return f"{number},{number % 10},{number % 10},{number % 50}.50,n{number}"


def write(path: Path, faults: list[str], rows: int = ROWS) -> dict[int, tuple[str, str]]:
    """Write a file with each fault at three places; return the records that are bad, by their rows (from 1)."""
    lines = [good(number) for number in range(rows)]
    bad = {}
    for place, name in enumerate(faults * 3):
        row = 10 + place * ((rows - 20) // (len(faults) * 3))
        lines[row] = FAULTS[name][0].format(id=row)
        bad[row + 1] = (name, lines[row])
    path.write_text("\n".join([HEADER, *lines]) + "\n")
    return bad


def reasons(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.with_name(f"{path.name}.errors.jsonl").read_text().splitlines()]


def stored(dsn: str) -> list[int]:
    return [row[0] for row in fetch(dsn, "SELECT id FROM t ORDER BY id")]


@pytest.fixture
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut small files into several chunks, too."""
    monkeypatch.setattr("bulkio.plan.rejects._LEAST_BYTES", 3000)


WAYS: dict[str, dict[str, Any]] = {
    "one worker": {},
    "two workers": {"workers": 2},
    "by chunks": {"commit": "chunk", "chunk_bytes": "2kB", "load_id": "x"},
    "by chunks, two workers": {"commit": "chunk", "chunk_bytes": "2kB", "workers": 2},
    "csv": {"method": "csv"},
    "records": {"method": "records"},
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
@pytest.mark.usefixtures("_small_chunks")
def test_every_fault_at_once(dsn: str, connect: Any, tmp_path: Path, way: str, driver: Any) -> None:
    """Whatever is wrong, and however many connections load: good rows are stored, others kept with their reasons."""
    connect(dsn).execute(TABLES)
    source, dest = tmp_path / "in.csv", tmp_path / "bad.csv"
    bad = write(source, list(FAULTS))
    report = bulkio.load(source, "t", dsn, rejects=str(dest), max_rejects="50", driver=driver, **WAYS[way])
    assert stored(dsn) == [number for number in range(ROWS) if number + 1 not in bad]
    assert (report.rows, report.rejected, report.rejects) == (ROWS - len(bad), len(bad), str(dest))
    assert dest.read_text().splitlines() == [HEADER, *(record for _, record in bad.values())]
    told = reasons(dest)
    assert [(each["file"], each["row"], each["line"]) for each in told] == [(str(source), row, row + 1) for row in bad]
    for each, (name, _) in zip(told, bad.values(), strict=True):
        _, column, sqlstate, message = FAULTS[name]
        assert message in each["message"], name
        assert (each["column"], each["sqlstate"]) == (column, sqlstate), name
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.csv", "bad.csv.errors.jsonl", "in.csv"]


@pytest.mark.usefixtures("_small_chunks")
@pytest.mark.parametrize("commit", ["all", "chunk"])
@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
def test_two_connections(dsn: str, connect: Any, tmp_path: Path, commit: Any, driver: Any) -> None:
    """Into a table without a unique key they go side by side: each leaves out what it meets."""
    connect(dsn).execute(TABLES)
    connect(dsn).execute("ALTER TABLE t DROP CONSTRAINT t_pkey; DROP FUNCTION refuse CASCADE")
    source, dest = tmp_path / "in.csv", tmp_path / "bad.csv"
    bad = write(source, ["range", "ragged", "check", "foreign key", "deferred foreign key"])
    options: dict[str, Any] = {"workers": 2, "commit": commit, "chunk_bytes": "2kB", "driver": driver}
    report = bulkio.load(source, "t", dsn, rejects=str(dest), max_rejects="50", **options)
    assert (report.workers, report.why_one, report.rejected) == (2, "", len(bad))
    assert stored(dsn) == [number for number in range(ROWS) if number + 1 not in bad]
    assert [each["row"] for each in reasons(dest)] == list(bad)


def test_rows_that_exclude_each_other_are_stored_in_order(dsn: str, connect: Any, tmp_path: Path) -> None:
    """The first of two rows with one key stays: so one connection stores them, and the report says why."""
    connect(dsn).execute("CREATE TABLE t (id int PRIMARY KEY, v text)")
    source, dest = tmp_path / "in.csv", tmp_path / "bad.csv"
    source.write_text("id,v\n" + "".join(f"{number % 300},{number}\n" for number in range(600)))
    options: dict[str, Any] = {"workers": 2, "commit": "chunk", "chunk_bytes": "1kB"}
    report = bulkio.load(source, "t", dsn, rejects=str(dest), max_rejects="50%", **options)
    assert (report.rows, report.rejected, report.workers) == (300, 300, 1)
    assert report.why_one == "by a unique key, which of two rows is rejected goes by their order"
    assert fetch(dsn, "SELECT bool_and(id::text = v) FROM t") == [(True,)]


def test_rows_of_a_table_with_a_trigger_are_stored_in_order(dsn: str, connect: Any, tmp_path: Path) -> None:
    """What a trigger looks at may be other rows, of another connection: so one stores them all."""
    connect(dsn).execute(
        "CREATE TABLE t (id int, v int); CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN"
        " IF (SELECT count(*) FROM t WHERE v = NEW.v) > 2 THEN RAISE ''no more of %'', NEW.v; END IF; RETURN NEW; END';"
        " CREATE TRIGGER quota AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()"
    )
    source, dest = tmp_path / "in.csv", tmp_path / "bad.csv"
    source.write_text("id,v\n" + "".join(f"{number},{number % 100}\n" for number in range(300)))
    options: dict[str, Any] = {"workers": 2, "commit": "chunk", "chunk_bytes": "1kB"}
    report = bulkio.load(source, "t", dsn, rejects=str(dest), max_rejects="50%", **options)
    assert (report.rows, report.rejected, report.workers) == (200, 100, 1)
    assert report.why_one == (
        'trigger "quota" may refuse a row for another one, so which is rejected goes by their order'
    )
    assert fetch(dsn, "SELECT max(id) FROM t") == [(199,)]


@pytest.mark.parametrize("when", ["BEFORE", "AFTER"])
@pytest.mark.parametrize("method", ["binary", "csv"])
def test_a_copy_that_a_trigger_runs(one_dsn: str, connect: Any, tmp_path: Path, when: str, method: Any) -> None:
    """Its errors name rows of its own, which are not the source's."""
    connect(one_dsn).execute(
        "CREATE TABLE t (id int); CREATE TABLE other (id int CHECK (id < 90)); CREATE FUNCTION f() RETURNS trigger"
        " LANGUAGE plpgsql AS 'BEGIN EXECUTE format(''COPY other FROM PROGRAM %L'', ''echo '' || NEW.id);"
        f" RETURN NEW; END'; CREATE TRIGGER f {when} INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()"
    )
    source, dest = tmp_path / "in.csv", tmp_path / "bad.csv"
    source.write_text("id\n1\n2\n3\n95\n96\n97\n7\n8\n")
    report = bulkio.load(source, "t", one_dsn, rejects=str(dest), max_rejects="50%", method=method)
    assert (report.rows, report.rejected, dest.read_text()) == (5, 3, "id\n95\n96\n97\n")


@pytest.mark.parametrize("name", FAULTS)
def test_one_fault_alone(one_dsn: str, connect: Any, tmp_path: Path, name: str) -> None:
    """A file with nothing but one kind of fault; what is mended is loaded from the file of rejects."""
    connect(one_dsn).execute(TABLES)
    source, dest = tmp_path / "in.csv", tmp_path / "bad.csv"
    bad = write(source, [name])
    report = bulkio.load(source, "t", one_dsn, rejects=str(dest), max_rejects="1%")
    assert (report.rows, report.rejected) == (ROWS - len(bad), len(bad))
    lines = [HEADER, *(good(row - 1) for row in bad)]
    assert len(dest.read_text().splitlines()) == len(lines)
    dest.write_text("\n".join(lines) + "\n")
    assert bulkio.load(dest, "t", one_dsn).rows == len(bad)
    assert stored(one_dsn) == list(range(ROWS))


def test_nothing_is_rejected(dsn: str, connect: Any, tmp_path: Path) -> None:
    """Then there is no file, and the report says so."""
    connect(dsn).execute(TABLES)
    source, dest = tmp_path / "in.csv", tmp_path / "bad.csv"
    write(source, [])
    report = bulkio.load(source, "t", dsn, rejects=str(dest), max_rejects="10")
    assert (report.rows, report.rejected, report.rejects) == (ROWS, 0, None)
    assert [path.name for path in tmp_path.iterdir()] == ["in.csv"]


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        ("0", "1 record is rejected, and max_rejects allows 0\n"),
        (4, "5 records are rejected, and max_rejects allows 4\n"),
        ("1%", "6 of 400 records are rejected, and max_rejects allows 1%\n"),
    ],
)
def test_too_many_are_rejected(dsn: str, connect: Any, tmp_path: Path, limit: int | str, message: str) -> None:
    """Nothing is stored or left behind; the message has the first of them with their places."""
    connect(dsn).execute(TABLES)
    source = tmp_path / "in.csv"
    write(source, ["range", "check"])
    with pytest.raises(TooManyRejects) as caught:
        bulkio.load(source, "t", dsn, rejects=str(tmp_path / "bad.csv"), max_rejects=limit)
    assert str(caught.value).startswith(message)
    if limit != "1%":
        assert f"\n  {source}, line 12: row 11, column \"id\": '99999999999' is out of range" in str(caught.value)
    assert stored(dsn) == []
    assert [path.name for path in tmp_path.iterdir()] == ["in.csv"]


@pytest.mark.usefixtures("_small_chunks")
@pytest.mark.parametrize("options", [{}, {"commit": "chunk", "chunk_bytes": "20kB"}])
def test_a_share_that_cannot_be_kept_ends_the_load_at_once(
    dsn: str, connect: Any, tmp_path: Path, options: dict[str, Any]
) -> None:
    """Where every row is refused, not each is looked for, once the number of records is known."""
    connect(dsn).execute(TABLES)
    source = tmp_path / "in.csv"
    source.write_text("\n".join([HEADER, *(FAULTS["check"][0].format(id=row) for row in range(2000))]) + "\n")
    with pytest.raises(TooManyRejects) as caught:
        bulkio.load(source, "t", dsn, rejects=str(tmp_path / "bad.csv"), max_rejects="1%", **options)
    assert caught.value.rejected <= 21


def test_no_record_that_can_be_stored_empties_the_table(dsn: str, connect: Any, tmp_path: Path) -> None:
    """A source of rejects alone is as one without rows."""
    connect(dsn).execute("CREATE TABLE t (id int); INSERT INTO t VALUES (1)")
    source = tmp_path / "in.csv"
    source.write_text("id\none\ntwo\n")
    options: dict[str, Any] = {"mode": "truncate", "rejects": str(tmp_path / "bad.csv"), "max_rejects": "100%"}
    with pytest.raises(bulkio.SchemaError, match="has no rows but 2 rows that are rejected, and mode='truncate' would"):
        bulkio.load(source, "t", dsn, **options)
    assert stored(dsn) == [1]
    assert bulkio.load(source, "t", dsn, if_empty="ok", **options).rejected == 2
    (tmp_path / "one.csv").write_text("id\none\n")
    with pytest.raises(bulkio.SchemaError, match="has no rows but 1 row that is rejected"):
        bulkio.load(tmp_path / "one.csv", "t", dsn, **{**options, "rejects": str(tmp_path / "bad-one.csv")})
    assert stored(dsn) == []


def test_a_load_that_cannot_be_prepared(dsn: str, connect: Any, tmp_path: Path) -> None:
    """It begins again on one connection, with its rejected records."""
    connect(dsn).execute(
        "CREATE FUNCTION told() RETURNS int LANGUAGE plpgsql AS 'BEGIN NOTIFY rows; RETURN 1; END';"
        " CREATE TABLE t (id int CHECK (id <> 7), n int DEFAULT told())"
    )
    source, dest = tmp_path / "in.parquet", tmp_path / "bad.parquet"
    pq.write_table(pa.table({"id": range(5000)}), source, row_group_size=500)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bulkio.plan.rejects._LEAST_BYTES", 1000)
        report = bulkio.load(source, "t", dsn, workers=2, rejects=str(dest), max_rejects="1")
    assert (report.rows, report.rejected, report.workers) == (4999, 1, 1)
    assert report.why_one.startswith("the server cannot prepare what the load does")
    assert pq.read_table(dest).to_pylist() == [{"id": 7}]


def test_a_plan_looks_at_the_file_for_rejects(dsn: str, connect: Any, tmp_path: Path) -> None:
    """What the load would refuse, the plan refuses, and makes nothing."""
    connect(dsn).execute(TABLES)
    source, dest = tmp_path / "in.csv", tmp_path / "bad.csv"
    write(source, ["check"])
    plan = bulkio.plan_load(source, "t", dsn, rejects=str(dest), max_rejects="5%")
    assert f"records that cannot be stored go to {dest}: at most 5% of all (max_rejects)" in str(plan)
    assert [path.name for path in tmp_path.iterdir()] == ["in.csv"]
    dest.write_text("")
    with pytest.raises(ConfigError, match="exists, and may hold records that nobody has loaded yet"):
        bulkio.plan_load(source, "t", dsn, rejects=str(dest), max_rejects="5%")


def test_too_many_by_chunks_can_be_resumed(dsn: str, connect: Any, tmp_path: Path) -> None:
    """The chunks before stay, with their records; the same load with a higher limit goes on there."""
    connect(dsn).execute(TABLES)
    source, dest = tmp_path / "in.csv", tmp_path / "bad.csv"
    bad = write(source, ["check"])
    lines = source.read_text().splitlines()
    for row in range(300, 350):
        lines[row + 1] = FAULTS["check"][0].format(id=row)
        bad[row + 1] = ("check", lines[row + 1])
    source.write_text("\n".join(lines) + "\n")
    options: dict[str, Any] = {"rejects": str(dest), "commit": "chunk", "chunk_bytes": "2kB", "load_id": "x"}
    with pytest.raises(LoadUnfinished, match="records are rejected, and max_rejects allows 5%") as caught:
        bulkio.load(source, "t", dsn, max_rejects="5%", **options)
    assert str(caught.value).endswith("load again with the same id and a higher max_rejects to go on")
    rejected, records = map(int, re.findall(r"\d+", str(caught.value))[:2])
    assert 0.05 < rejected / records < 0.06  # of all records of the chunks, with those to come of the last one
    assert 0 < len(stored(dsn)) < 300
    assert not dest.exists()
    with pytest.raises(LedgerError, match="load 'x' was begun with rejects"):
        bulkio.load(source, "t", dsn, commit="chunk", chunk_bytes="2kB", load_id="x")
    report = bulkio.load(source, "t", dsn, max_rejects="50%", **options)
    assert (report.rows, report.rejected) == (ROWS - len(bad), len(bad))
    assert stored(dsn) == [number for number in range(ROWS) if number + 1 not in bad]
    assert [each["row"] for each in reasons(dest)] == sorted(bad)
    again = bulkio.load(source, "t", dsn, max_rejects="50%", **options)
    assert (again.already, again.rejected, again.rejects) == (True, len(bad), str(dest))


def test_records_of_a_typed_file(dsn: str, connect: Any, tmp_path: Path) -> None:
    """Rejected records of a Parquet file have all of its columns, and its types; loading them is the second try."""
    connect(dsn).execute("CREATE TABLE t (id int PRIMARY KEY, n int2)")
    source, dest = tmp_path / "in.parquet", tmp_path / "bad.parquet"
    table = pa.table({"id": pa.array(range(100), pa.int32()), "more": ["x"] * 100, "n": [*range(98), 40_000, 50_000]})
    pq.write_table(table, source)
    report = bulkio.load(source, "t", dsn, rejects=str(dest), max_rejects="2", columns=["id", "n"])
    assert (report.rows, report.rejected) == (98, 2)
    assert pq.read_table(dest).equals(table.slice(98))
    connect(dsn).execute("ALTER TABLE t ALTER n TYPE int4")
    assert bulkio.load(dest, "t", dsn, columns=["id", "n"]).rows == 2
    assert stored(dsn) == list(range(100))


def test_records_of_types_that_arrow_takes_no_rows_of(dsn: str, connect: Any, tmp_path: Path) -> None:
    """Strings and lists as views are kept like all others; what was refused late stands in the source's order."""
    connect(dsn).execute("CREATE TABLE t (id int PRIMARY KEY, v text CHECK (v <> 'bad'), l text[])")
    source, dest = tmp_path / "in.arrow", tmp_path / "bad.arrow"
    ids = pa.array([1, 2, 1 << 40, 4, 5], pa.int64())
    views = pa.array(["x", "bad", "y" * 20, "bad", "z"], pa.string_view())
    table = pa.table({"id": ids, "v": views, "l": pa.array([["a"]] * 5, pa.list_view(pa.string_view()))})
    with pa.ipc.new_file(source, table.schema) as writer:
        writer.write_table(table)
    report = bulkio.load(source, "t", dsn, mode="upsert", rejects=str(dest), max_rejects="3")
    assert (report.rows, report.inserted, report.rejected) == (2, 2, 3)
    with pa.OSFile(str(dest)) as file:
        assert pa.ipc.open_file(file).read_all().to_pylist() == table.to_pylist()[1:4]
    assert [each["row"] for each in reasons(dest)] == [2, 3, 4]


def test_a_fault_of_the_load_itself_is_no_reject(dsn: str, connect: Any, tmp_path: Path) -> None:
    """What is wrong with every row, such as a trigger that does not work, ends the load."""
    connect(dsn).execute(
        "CREATE TABLE t (id int); CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN PERFORM nothing(); END'; CREATE TRIGGER f BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()"
    )
    source = tmp_path / "in.csv"
    source.write_text("id\n1\n2\n")
    with pytest.raises(bulkio.DriverError, match="function nothing\\(\\) does not exist"):
        bulkio.load(source, "t", dsn, rejects=str(tmp_path / "bad.csv"), max_rejects="100%")
    assert [path.name for path in tmp_path.iterdir()] == ["in.csv"]


def test_a_rule_about_the_whole_statement_is_no_reject(dsn: str, connect: Any, tmp_path: Path) -> None:
    """Rows that are refused together and not alone are nobody's fault: the server's error ends the load."""
    connect(dsn).execute(
        "CREATE TABLE t (id int); CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN IF (SELECT count(*) FROM new) > 2 THEN RAISE ''too many at once''; END IF; RETURN NULL; END';"
        " CREATE TRIGGER f AFTER INSERT ON t REFERENCING NEW TABLE AS new FOR EACH STATEMENT EXECUTE FUNCTION f()"
    )
    source = tmp_path / "in.csv"
    source.write_text("id\n" + "".join(f"{number}\n" for number in range(100)))
    with pytest.raises(bulkio.DriverError, match="too many at once"):
        bulkio.load(source, "t", dsn, rejects=str(tmp_path / "bad.csv"), max_rejects="100%")
    assert fetch(dsn, "SELECT count(*) FROM t") == [(0,)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_rejects": "5"}, "max_rejects goes with rejects, which says where rejected records go"),
        (
            {"rejects": "b.csv", "mode": "upsert", "delete_missing": True},
            "cannot be had together: the key of a rejected",
        ),
        ({"rejects": "b.csv", "mode": "truncate", "defer_indexes": True}, "an index that is built after the rows"),
        ({"rejects": "b.csv", "max_rejects": "many"}, "max_rejects is 'many', and must be a number of rows"),
    ],
)
def test_options_that_do_not_go_together(options: dict[str, Any], message: str) -> None:
    """They are refused before anything is tried."""
    with pytest.raises(ConfigError, match=message):
        bulkio.load("in.csv", "t", "postgresql://nowhere/", **options)
