"""Rejects in every mode: whatever refuses a row, on one connection and on two, exactly that row is left out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import bulkio
from servers import connect, fetch

if TYPE_CHECKING:
    from pathlib import Path

    from bulkio.choices import Mode

ROWS = 200
TABLE = """
CREATE TABLE parent (id int PRIMARY KEY);
INSERT INTO parent SELECT generate_series(0, 9);
CREATE TABLE t (
    id int,
    code int,
    late int,
    span int,
    ref int REFERENCES parent,
    dref int REFERENCES parent DEFERRABLE INITIALLY DEFERRED,
    amount int CHECK (amount >= 0),
    note text NOT NULL
);
"""
#: what makes two rows exclude each other: then they go one after the other, unless they are staged
KEYS = """
ALTER TABLE t ADD PRIMARY KEY (id), ADD UNIQUE (code),
    ADD CONSTRAINT late_key UNIQUE (late) DEFERRABLE INITIALLY DEFERRED,
    ADD CONSTRAINT apart EXCLUDE USING btree (span WITH =);
CREATE UNIQUE INDEX odd_codes ON t ((span / 2)) WHERE span % 2 = 1;
"""
TRIGGERS = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN IF new.note = TG_ARGV[0] THEN RAISE 'note % is not wanted', new.note; END IF; RETURN new; END $$;
CREATE TRIGGER a BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION refuse('early');
CREATE TRIGGER b AFTER INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION refuse('after');
CREATE CONSTRAINT TRIGGER c AFTER INSERT OR UPDATE ON t DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION refuse('deferred');
"""
#: fields of a bad row, by what refuses it; -1 stands for the row before's own
_KEYS: dict[str, dict[str, Any]] = {
    "t_code_key": {"code": -1},
    "late_key": {"late": -1},
    "apart": {"span": -1},
}
_CHECKS: dict[str, dict[str, Any]] = {
    "t_ref_fkey": {"ref": 77},
    "t_dref_fkey": {"dref": 77},
    "t_amount_check": {"amount": -5},
}
_TRIGGERS: dict[str, dict[str, Any]] = {
    "note early": {"note": "early"},
    "note after": {"note": "after"},
    "note deferred": {"note": "deferred"},
}
NAMES = ("id", "code", "late", "span", "ref", "dref", "amount", "note")


def good(row: int) -> dict[str, Any]:
    """Return a row of the source, which is numbered from 1."""
    unique = dict.fromkeys(("id", "code", "late", "span"), 2 * row)
    return {**unique, "ref": row % 10, "dref": row % 10, "amount": row, "note": f"n{row}"}


def write(path: Path, faults: dict[str, dict[str, Any]]) -> dict[int, str]:
    """Write a file in which each fault stands at some places; return what refuses which row."""
    rows = {row: good(row) for row in range(1, ROWS + 1)}
    bad = {}
    for place, name in enumerate([*faults] * 3):
        row = 8 + place * 7
        fields = {each: 2 * row - 2 if value == -1 else value for each, value in faults[name].items()}
        rows[row] |= fields
        bad[row] = name
    lines = [",".join(str(rows[row][name]) for name in NAMES) for row in rows]
    path.write_text("\n".join([",".join(NAMES), *lines]) + "\n")
    return bad


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut small files into several chunks, too."""
    monkeypatch.setattr("bulkio.plan.rejects._LEAST_BYTES", 2000)


#: ids that are in the table before, and have to be looked up
BEFORE = (4, 98, 101)
#: options of each mode, and the ids that stay of those before
MODES: dict[Mode, tuple[dict[str, Any], tuple[int, ...]]] = {
    "append": ({}, (101,)),
    "truncate": ({}, ()),
    "replace": ({}, ()),
    "upsert": ({}, (101,)),
    "insert-new": ({}, BEFORE),
    "replace-where": ({"where": "true"}, ()),
}
WAYS: dict[str, dict[str, Any]] = {
    "one": {},
    "two": {"workers": 2},
    "chunks": {"workers": 2, "commit": "chunk", "chunk_bytes": "2kB"},
}


#: the ways that each mode can go
CASES = [
    (mode, way)
    for mode in MODES
    for way in WAYS
    if way == "one" or not (mode == "truncate" or (mode == "replace-where" and way == "chunks"))
]


@pytest.mark.parametrize(("mode", "way"), CASES)
def test_what_is_refused_is_left_out(dsn: str, tmp_path: Path, mode: Mode, way: str) -> None:
    """The rest is stored as the mode has it; each rejected record is told with names that users know."""
    triggers = mode != "replace" and not (mode == "append" and way != "one")  # made after the rows; in order
    keys = way == "one" or mode not in ("append", "replace")
    options, stay = MODES[mode]
    with connect(dsn) as conn:
        conn.execute(TABLE + (KEYS if keys else "") + (TRIGGERS if triggers else ""))
        before = [each for each in BEFORE if mode != "append" or each in stay]
        for key in before:
            row = [key, key, key, key, 0, 0, 0, "old"]
            conn.execute(f"INSERT INTO t VALUES ({', '.join(['%s'] * 8)})", row)
    source, dest = tmp_path / "in.csv", tmp_path / "bad.csv"
    bad = write(source, {**(_KEYS if keys else {}), **_CHECKS, **(_TRIGGERS if triggers else {})})
    report = bulkio.load(source, "t", dsn, mode=mode, rejects=str(dest), max_rejects="100", **{**WAYS[way], **options})
    assert report.workers == (1 if way == "one" else 2), report.why_one
    told = [json.loads(line) for line in dest.with_name("bad.csv.errors.jsonl").read_text().splitlines()]
    assert {each["row"]: each["message"] for each in told}.keys() == bad.keys()
    for each in told:
        assert bad[each["row"]] in each["message"]
        assert "bulkio" not in each["message"]
    notes = {2 * row: f"n{row}" for row in range(1, ROWS + 1) if row not in bad}
    kept = dict.fromkeys(stay, "old")
    assert dict(fetch(dsn, "SELECT id, note FROM t")) == ({**notes, **kept})
    assert report.rows + report.rejected == ROWS
    assert report.rejected == len(bad)
    assert report.inserted == len(notes) - (2 if mode in ("upsert", "insert-new") else 0)
    assert (report.updated, report.skipped) == {"upsert": (2, 0), "insert-new": (0, 2)}.get(mode, (0, 0))


@pytest.mark.parametrize("way", ["one", "chunks"])
def test_a_table_that_is_created(dsn: str, tmp_path: Path, way: str) -> None:
    """Rows break the key that the source records: it is there before them, under whatever name."""
    with connect(dsn) as conn:
        conn.execute("CREATE TABLE o (id int PRIMARY KEY, note text); INSERT INTO o VALUES (1, 'a')")
    bulkio.export("o", tmp_path / "o.parquet", dsn)
    keys = [None if row == 30 else row - 1 if row in (10, 60) else row for row in range(1, 101)]
    recorded = pq.read_schema(tmp_path / "o.parquet")
    schema = pa.schema([recorded.field("id").with_nullable(True), recorded.field("note")], recorded.metadata)
    source, dest = tmp_path / "in.parquet", tmp_path / "bad.parquet"
    pq.write_table(pa.table([keys, [f"n{key}" for key in keys]], schema=schema), source, row_group_size=20)
    options = {**WAYS[way], "workers": 1, "chunk_bytes": 500}
    report = bulkio.load(source, "t", dsn, mode="create", rejects=str(dest), max_rejects="3", **options)
    assert (report.rows, report.inserted, report.rejected, report.created) == (97, 97, 3, True)
    told = [json.loads(line) for line in dest.with_name("bad.parquet.errors.jsonl").read_text().splitlines()]
    assert [each["row"] for each in told] == [10, 30, 60]
    assert 'unique constraint "t_pkey"' in told[0]["message"]
    assert "NULL" in told[1]["message"] or "null value in column" in told[1]["message"]
    assert pq.read_table(dest).column("id").to_pylist() == [9, None, 59]
    key = "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 't'::regclass AND contype = 'p'"
    assert fetch(dsn, key) == [("PRIMARY KEY (id)",)]
    assert fetch(dsn, "SELECT count(*), min(id), max(id) FROM t") == [(97, 1, 100)]


#: tells whether the server still has a list of the transaction's savepoints in memory
LISTED = (
    "SELECT NOT s.subxact_overflowed FROM pg_stat_get_backend_idset() AS b"
    " CROSS JOIN pg_stat_get_backend_subxact(b) AS s WHERE pg_stat_get_backend_pid(b) = pg_backend_pid()"
)


@pytest.mark.parametrize("mode", ["append", "upsert"])
def test_other_sessions_are_not_made_slow(one_dsn: str, tmp_path: Path, mode: Mode) -> None:
    """However many rows are refused, at no time are there so many savepoints that the server keeps no list of them."""
    with connect(one_dsn) as conn:
        conn.execute("CREATE TABLE t (id int PRIMARY KEY, v int CHECK (v >= 0))")
    source = tmp_path / "in.csv"
    source.write_text("id,v\n" + "".join(f"{row},{-1 if row % 20 == 0 else row}\n" for row in range(1, 3001)))
    options = {"rejects": str(tmp_path / "bad.csv"), "max_rejects": "5%", "check": [LISTED]}
    assert bulkio.load(source, "t", one_dsn, mode=mode, **options).rejected == 150


def test_rows_are_held_by_and_by(one_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A chunk that is refused is walked over in windows; those become larger, and rows before them stay stored."""
    monkeypatch.setattr("bulkio.transfer.walk._WINDOW_BYTES", 1)
    monkeypatch.setattr("bulkio.transfer.walk._MOST_RANGES", 2)
    with connect(one_dsn) as conn:
        conn.execute("CREATE TABLE t (id int PRIMARY KEY, v int)")
    source = pa.table({"id": pa.array([row % 97 for row in range(1, 401)], pa.int32())})
    pq.write_table(source, tmp_path / "in.parquet", row_group_size=400)
    options = {"rejects": str(tmp_path / "bad.parquet"), "max_rejects": "1000", "batch_rows": 10, "check": [LISTED]}
    assert bulkio.load(tmp_path / "in.parquet", "t", one_dsn, **options).rejected == 303
    assert fetch(one_dsn, "SELECT count(*), max(id) FROM t") == [(97, 96)]


@pytest.mark.parametrize("mode", ["append", "replace", "upsert"])
def test_rows_that_refer_to_later_ones(one_dsn: str, tmp_path: Path, mode: Mode) -> None:
    """All are stored, if none is bad; else others are rejected as well, and stored once it is mended."""
    with connect(one_dsn) as conn:
        conn.execute("CREATE TABLE t (id int PRIMARY KEY, up int REFERENCES t)")
    lines = [f"{row},{row % 60 + 1}" for row in range(1, 61)]
    source = tmp_path / "in.csv"
    source.write_text("\n".join(["id,up", *lines]) + "\n")
    options = {"mode": mode, "max_rejects": "100%"}
    assert bulkio.load(source, "t", one_dsn, rejects=str(tmp_path / "a.csv"), **options).rejected == 0
    with connect(one_dsn) as conn:
        conn.execute("TRUNCATE t")
    lines[50] = "51,"
    source.write_text("\n".join(["id,up", *lines, "999,1000"]) + "\n")
    report = bulkio.load(source, "t", one_dsn, rejects=str(tmp_path / "b.csv"), **options)
    assert "so may be one that comes before the row that it refers to" in report.notes[-1]
    assert report.rejected > 1
    mended = tmp_path / "b.csv"
    mended.write_text(mended.read_text().replace("999,1000", "999,1"))
    bulkio.load(mended, "t", one_dsn, mode="upsert" if mode == "upsert" else "append")
    assert fetch(one_dsn, "SELECT count(*) FROM t") == [(61,)]
