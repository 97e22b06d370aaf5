"""A load with rejects that is ended before its time: its file and table, and what must be so once it is done.

Each record has a number, and the column `note` says which one it is; so a table and a file of rejected records tell
together whether each record is in exactly one of them.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
from fault_scene import check_nothing_is_left
from reject_cases import CLIENT_KINDS, HEADER, KINDS, MODES, TRIGGERS, good, typed

import bulkio
from servers import connect, fetch

if TYPE_CHECKING:
    from pathlib import Path

    from reject_cases import Case

__all__ = ["LEAST_BYTES", "RejectScene"]

#: bytes of a chunk of a load in one transaction, instead of megabytes
LEAST_BYTES = 5000
CHUNK_BYTES = 4000

_TABLE = """
CREATE TABLE t (
    id int NOT NULL,
    code int,
    ref int REFERENCES parent,
    late int REFERENCES parent DEFERRABLE INITIALLY DEFERRED,
    seat int,
    amount numeric(6, 2) CHECK (amount >= 0),
    kind varchar(10) NOT NULL,
    note text
);
"""
_KEYS = "ALTER TABLE t ADD PRIMARY KEY (id), ADD UNIQUE (code), ADD UNIQUE (seat) DEFERRABLE INITIALLY DEFERRED"
_PARENT = "CREATE TABLE parent (id int PRIMARY KEY); INSERT INTO parent SELECT generate_series(0, 9);"
_REFUSE = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.kind = TG_ARGV[0] THEN RAISE 'kind % is not wanted', NEW.kind; END IF;
    RETURN NEW;
END $$;
"""
_TRIGGER_DDL = {
    "trigger": "CREATE TRIGGER early BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION refuse('early');",
    "trigger after": "CREATE TRIGGER after AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION refuse('after');",
    "constraint trigger": "CREATE CONSTRAINT TRIGGER late AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED"
    " FOR EACH ROW EXECUTE FUNCTION refuse('deferred');",
}
#: what lets the server take the records that it has refused
_MEND = """
ALTER TABLE t DROP CONSTRAINT IF EXISTS t_code_key, DROP CONSTRAINT IF EXISTS t_seat_key,
    DROP CONSTRAINT t_amount_check;
INSERT INTO parent VALUES (77);
DROP FUNCTION refuse() CASCADE;
"""

#: ids of rows that the table has before the load: some of the source's records have them, too
_OLD_IDS = (*range(0, 600, 7), *range(10_000, 10_040))
#: faults that are none where a row of this id is there already
_OF_INSERTS = ("trigger after", "constraint trigger")


@dataclass
class RejectScene:
    """One load."""

    dsn: str
    folder: Path
    case: Case
    #: kind of fault of each bad record, by its number
    bad: dict[int, str] = field(default_factory=dict)
    #: ids of rows that the table has before
    old: tuple[int, ...] = ()

    @cached_property
    def dest(self) -> Path:
        """The file for rejected records, in a folder of its own."""
        return self.folder / "rejects" / f"bad{self._ending}"

    @cached_property
    def source(self) -> Path:
        """The file to load."""
        return self.folder / f"in{self._ending}"

    @property
    def _ending(self) -> str:
        return ".parquet" if self.case.is_typed else ".csv"

    @property
    def options(self) -> dict[str, Any]:
        """What the load is called with."""
        case = self.case
        options = {"mode": case.mode, **MODES[case.mode], "driver": case.driver, "method": case.method}
        options |= {
            "rejects": str(self.dest),
            "max_rejects": str(len(KINDS) * self.case.places),
            "load_id": case.load_id,
        }
        if case.load_id is not None:
            options["wait"] = True  # whoever was killed may be there for a moment still
        if case.workers > 1 or case.commit == "chunk":
            options |= {"workers": case.workers, "commit": case.commit, "chunk_bytes": CHUNK_BYTES}
        return options

    # --- Before ----------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Make the table and the file."""
        self.dest.parent.mkdir(exist_ok=True)
        lines = self._lines = [good(number) for number in range(self.case.rows)]
        kinds = self.case.kinds * self.case.places
        for place, kind in enumerate(kinds):
            number = 10 + place * ((self.case.rows - 20) // len(kinds))
            self.bad[number] = kind
            lines[number] = KINDS[kind][0].format(n=number)
        self.old = tuple(number for number in _OLD_IDS if not self._is_harmless(number))
        with connect(self.dsn) as conn:
            conn.execute(_PARENT)
            conn.execute(bulkio.ledger_ddl(role=conn.info.user))
            if self.case.mode != "create" or self.case.is_typed:
                conn.execute(_TABLE)
                if self.case.has_keys:
                    conn.execute(_KEYS)
            if triggers := [_TRIGGER_DDL[kind] for kind in self.case.kinds if kind in TRIGGERS]:
                conn.execute(_REFUSE + "".join(triggers))
            self._write()
            if self.case.mode == "create":
                conn.execute("DROP TABLE IF EXISTS t")
            else:
                values = ", ".join(f"({number}, 'old', 'old{number}')" for number in self.old)
                shift = 1_000_000 if self.case.mode == "append" else 0
                conn.execute(
                    f"INSERT INTO t (id, kind, note) SELECT id + {shift}, k, n FROM (VALUES {values}) v(id, k, n)"
                )

    def _write(self) -> None:
        if not self.case.is_typed:
            self.source.write_text("\n".join([HEADER, *self._lines]) + "\n")
            return
        table = typed(self._lines)
        if self.case.mode == "create":  # it is made like the one that is there, with its key
            table = table.replace_schema_metadata(bulkio.read("t", self.dsn).schema.metadata)
        pq.write_table(table, self.source, row_group_size=self.case.rows // 8, compression="none")

    def _is_harmless(self, number: int) -> bool:
        """Tell whether a bad record would not be rejected if a row of its id were there."""
        return number in self.bad and (self.case.mode == "insert-new" or self.bad[number] in _OF_INSERTS)

    # --- After -----------------------------------------------------------------------------------------------

    def check(self, report: dict[str, Any]) -> None:
        """Fail where a record is in the table and in the file, or in none; or where anything else is left."""
        rejected = self._check_file()
        counts = self.case.rows - len(rejected), len(rejected)
        assert (report["rows"], report["rejected"]) == counts, (counts, report, self._left_files())
        assert report["rejects"] == str(self.dest) if rejected else report["rejects"] is None
        assert set(rejected) == set(self.bad), (sorted(set(self.bad) ^ set(rejected)), self.bad)
        self._check_table(rejected)
        self.check_nothing_is_left()

    def _check_file(self) -> list[int]:
        """Return the numbers of the rejected records, after a look at the file that has them."""
        if not self.dest.exists():
            assert not self.reasons_path.exists()
            return []
        reasons = [json.loads(line) for line in self.reasons_path.read_text().splitlines()]
        numbers = [reason["row"] - 1 for reason in reasons]
        assert sorted(set(numbers)) == numbers, "a record is there twice, or in the wrong order"
        if self.case.is_typed:
            assert pq.read_table(self.dest).equals(pq.read_table(self.source).take(numbers))
        else:
            assert self.dest.read_text().splitlines() == [HEADER, *(self._lines[number] for number in numbers)]
        for number, reason in zip(numbers, reasons, strict=True):
            self._check_reason(number, reason)
        return numbers

    @property
    def reasons_path(self) -> Path:
        """The file of the reasons."""
        return self.dest.with_name(f"{self.dest.name}.errors.jsonl")

    def _check_reason(self, number: int, reason: dict[str, Any]) -> None:
        kind = self.bad[number]
        place = (str(self.source), None if self.case.is_typed else number + 2)
        assert (reason["file"], reason["line"]) == place
        assert reason["load_id"] == self.case.load_id or self.case.load_id is None
        _, state, message = KINDS[kind]
        if kind == "null id" and reason["sqlstate"]:  # of a new table, whose key is the server's alone
            state, message = "23502", 'null value in column "id" of relation "t" violates not-null constraint'
        assert message in reason["message"], (kind, reason)
        assert reason["sqlstate"] == state, (kind, reason)

    def _check_table(self, rejected: list[int]) -> None:
        rows = fetch(self.dsn, "SELECT concat_ws(',', id, code, ref, late, seat, amount, kind, note) FROM t")
        found = Counter(re.sub(r"\.50*,", ".50,", str(line)) for (line,) in rows)
        ids = {number for number in range(self.case.rows) if number not in rejected}
        if self.case.mode == "insert-new":
            ids -= set(self.old)
        new = Counter(self._lines[number] for number in ids)
        assert found == new + Counter(self._old_lines(rejected))

    def _old_lines(self, rejected: list[int]) -> list[str]:
        mode = self.case.mode
        if mode in ("truncate", "replace", "create"):
            return []
        if mode == "append":
            return [f"{number + 1_000_000},old,old{number}" for number in self.old]
        gone = set(range(self.case.rows)) if mode == "replace-where" else set(range(self.case.rows)) - set(rejected)
        if mode == "insert-new":
            gone = set()
        return [f"{number},old,old{number}" for number in self.old if number not in gone]

    def check_nothing_is_left(self) -> None:
        """Fail where there is any file besides the two, or anything on the server that is not the load's result."""
        expected = {self.dest.name, self.reasons_path.name} if self.dest.exists() else set()
        assert self._left_files() == expected, self._left_files()
        check_nothing_is_left(self.dsn)
        assert fetch(self.dsn, "SELECT count(*) FROM bulkio_ledger.chunks") == [(0,)]
        assert fetch(self.dsn, "SELECT count(*) FROM bulkio_ledger.loads WHERE state <> 'done'") == [(0,)]

    def clear(self) -> None:
        """Take away what `prepare` has made in the database."""
        with connect(self.dsn) as conn:
            conn.execute("DROP TABLE t, parent; DROP SCHEMA bulkio_ledger CASCADE; DROP FUNCTION IF EXISTS refuse")

    def _left_files(self) -> set[str]:
        return {path.name for path in self.dest.parent.iterdir()}

    # --- What people do after a load without an id was killed --------------------------------------------------

    @property
    def made_up_id(self) -> str | None:
        """The id that a load without one has in the ledger, None if it is not there."""
        return next((record.load_id for record in bulkio.list_loads(self.dsn)), None)

    def clear_the_way(self, message: str) -> dict[str, Any] | None:
        """Do as the message says with a folder that is in the way; return a report if the load turns out to be done."""
        report = None
        is_named = f"{self.dest.name} exists" in message or f"{self.reasons_path.name} exists" in message
        if is_named or "ended as it committed: look whether its rows are in the table" in message:
            rows = len(self._notes() & {f"r{number}" for number in range(self.case.rows)})
            if self.case.mode == "insert-new":
                rows += len({*self.old} & {*range(self.case.rows)})
            assert rows or not is_named
            if rows:
                self._take_files_out()
                report = {"rows": rows, "rejected": len(self._check_file()), "rejects": str(self.dest)}
        else:
            assert "which may be unfinished: load again with its id, or forget it" in message, message
        self.remove_parts()
        return report

    def _take_files_out(self) -> None:
        for path in (self.dest, self.reasons_path):
            with contextlib.suppress(FileNotFoundError):
                (self._parts / path.name).rename(path)

    def remove_parts(self) -> None:
        """Remove the folder of the parts, as messages advise it."""
        shutil.rmtree(self._parts, ignore_errors=True)
        for left in self.dest.parent.glob(f".{self._parts.name}-*"):  # of one that was being removed
            shutil.rmtree(left)

    @property
    def _parts(self) -> Path:
        return self.dest.with_name(f"{self.dest.name}.parts")

    # --- The second try --------------------------------------------------------------------------------------

    def replay(self) -> None:
        """Mend what is wrong, at the server or in the file, load the file; then each record is stored."""
        if not self.dest.exists():
            return
        before = self._notes()
        numbers = self._check_file()
        if self.case.mode != "create":
            with connect(self.dsn) as conn:
                conn.execute(f"{_REFUSE.replace('CREATE', 'CREATE OR REPLACE', 1)}{_MEND}")
        lines = [self._mended(number) for number in numbers]
        if self.case.is_typed:
            pq.write_table(typed(lines), self.dest)
        else:
            self.dest.write_text("\n".join([HEADER, *lines]) + "\n")
        options = {"mode": self.case.mode, "key": ["id"]} if "key" in MODES[self.case.mode] else {}
        assert bulkio.load(self.dest, "t", self.dsn, **options).rows == len(numbers)
        assert self._notes() - before == {f"r{number}" for number in numbers}

    def _mended(self, number: int) -> str:
        """Return a record without the fault that no mend of the server's lets it through with."""
        kind = self.bad[number]
        if kind == "same id":
            return good(number).replace(f"{number},", f"{number + 500_000},", 1)
        return good(number) if kind in CLIENT_KINDS else self._lines[number]

    def _notes(self) -> set[str]:
        if fetch(self.dsn, "SELECT to_regclass('t')") == [(None,)]:
            return set()
        return {str(note) for (note,) in fetch(self.dsn, "SELECT note FROM t")}
