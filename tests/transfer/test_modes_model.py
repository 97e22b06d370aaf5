"""Load modes against a model: a dict, on which each mode is a line or two; and two runs of them at once."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bulkio
from servers import connect, fetch

if TYPE_CHECKING:
    from bulkio.choices import DriverName

#: races of two runs: `make races` runs more
RACES = int(os.environ.get("RACES", "4"))

Row = tuple[int, str, str | None, int | None]

#: keys and values that meet often
ROWS = st.lists(
    st.tuples(
        st.integers(0, 7),
        st.sampled_from(["a", "b"]),
        st.sampled_from([None, "", "x", "1.0", "1.00"]),
        st.none() | st.integers(-1, 1),
    ),
    max_size=12,
)


@dataclass(frozen=True)
class Load:
    """One load of a random batch."""

    mode: str
    rows: list[Row]
    duplicates: str = "error"
    delete_missing: bool = False
    update: tuple[str, ...] | None = None
    where: str = "a"

    @property
    def options(self) -> dict[str, object]:
        """What `bulkio.load` is called with."""
        if self.mode == "replace-where":
            return {"where": "k2 = $1", "params": [self.where], "if_empty": "ok"}
        if self.mode == "insert-new":
            return {"duplicates": self.duplicates}
        if self.mode == "upsert":
            more = {"delete_missing": True, "max_delete": "100%", "if_empty": "ok"} if self.delete_missing else {}
            return {"duplicates": self.duplicates, "update": self.update, **more}
        return {"if_empty": "ok"} if self.mode in ("truncate", "replace") else {}


def loads(*modes: str) -> st.SearchStrategy[list[Load]]:
    """Return loads of these modes, and of those that every table takes."""
    one = st.builds(
        Load,
        st.sampled_from(["upsert", "insert-new", "replace-where", "truncate", *modes]),
        ROWS,
        st.sampled_from(["error", "first", "last"]),
        st.booleans(),
        st.sampled_from([None, ("v",), ("v", "k1"), ("n", "v")]),
        st.sampled_from(["a", "b"]),
    )
    return st.lists(one, min_size=1, max_size=5)


Stored = dict[tuple[int, str], tuple[str | None, int | None]]


class RefusedError(Exception):
    """The load is refused."""


def model(before: Stored, load: Load) -> tuple[Stored, tuple[int, int, int]]:
    """Return what is stored after a load, and how many rows were inserted, updated and deleted."""
    rows: Stored = {}
    if load.mode == "replace-where":
        before, kept = {k: v for k, v in before.items() if k[1] != load.where}, before
        keys = [row[:2] for row in load.rows]
        if any(row[1] != load.where for row in load.rows) or len(set(keys)) < len(keys):
            raise RefusedError
        rows = {row[:2]: row[2:] for row in load.rows}
        return before | rows, (len(rows), 0, len(kept) - len(before))
    if load.mode in ("truncate", "replace"):
        rows = {row[:2]: row[2:] for row in load.rows}
        if len(rows) < len(load.rows):
            raise RefusedError
        return rows, (len(rows), 0, -1)
    for row in load.rows:
        if row[:2] in rows and load.duplicates == "error":
            raise RefusedError
        if row[:2] not in rows or load.duplicates == "last":
            rows[row[:2]] = row[2:]
    missing = [key for key in before if key not in rows] if load.mode == "upsert" and load.delete_missing else []
    after = {key: value for key, value in before.items() if key not in missing}
    inserted = updated = 0
    for key, (v, n) in rows.items():
        if key not in after:
            after[key] = (v, n)
            inserted += 1
        elif load.mode == "upsert":
            update = load.update or ("v", "n")
            new = (v if "v" in update else after[key][0], n if "n" in update else after[key][1])
            updated += new != after[key]
            after[key] = new
    return after, (inserted, updated, len(missing))


def arrow(rows: list[Row]) -> pa.Table:
    """Return rows as a source."""
    types = {"k1": pa.int32(), "k2": pa.string(), "v": pa.string(), "n": pa.int64()}
    return pa.table({name: pa.array([row[i] for row in rows], kind) for i, (name, kind) in enumerate(types.items())})


def stored(dsn: str) -> Stored:
    """Return what the table holds."""
    return {(k1, k2): (v, n) for k1, k2, v, n in fetch(dsn, "SELECT k1, k2, v, n FROM t")}


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
@pytest.mark.parametrize("by", ["", " PARTITION BY LIST (k2)"])
def test_loads_do_what_the_model_does(dsn: str, driver: DriverName, by: str) -> None:
    """Random loads one after the other: what is stored, and what is counted, is the model's; or both refuse."""
    with connect(dsn) as conn:
        conn.execute(f"CREATE TABLE t (k1 int, k2 text, v text, n bigint, PRIMARY KEY (k2, k1)){by}")
        if by:
            conn.execute("CREATE TABLE t_a PARTITION OF t FOR VALUES IN ('a'); CREATE TABLE t_b PARTITION OF t DEFAULT")

    @settings(max_examples=30, suppress_health_check=list(HealthCheck))
    @given(loads() if by else loads("replace"))
    def run(batches: list[Load]) -> None:
        for load in batches:
            before = stored(dsn)
            try:
                wanted, counted = model(before, load)
            except RefusedError:
                with pytest.raises(bulkio.BulkioError):
                    bulkio.load(arrow(load.rows), "t", dsn, mode=load.mode, driver=driver, **load.options)
                assert stored(dsn) == before
                continue
            report = bulkio.load(arrow(load.rows), "t", dsn, mode=load.mode, driver=driver, **load.options)
            assert stored(dsn) == wanted
            deleted = -1 if report.deleted is None else report.deleted
            assert (report.inserted, report.updated, deleted) == counted
            assert report.rows == len(load.rows) == report.inserted + report.updated + report.skipped

    run()


@pytest.mark.parametrize(
    "mode", ["upsert", "upsert --delete-missing", "insert-new", "replace-where", "truncate", "replace"]
)
def test_two_runs_at_once_are_one_after_the_other(dsn: str, mode: str) -> None:
    """What is stored after a race is what one of the two orders stores; each run has succeeded, or may be retried."""
    with connect(dsn) as conn:
        conn.execute("CREATE TABLE t (k1 int, k2 text, v text, n bigint, PRIMARY KEY (k2, k1))")
    word, _, deletes = mode.partition(" ")
    start: Stored = {(k, "a"): ("old", 0) for k in range(0, 40, 2)}
    one = Load(word, [(k, "a", "one", 1) for k in range(30)], delete_missing=bool(deletes))
    two = Load(word, [(k, "a", "two", 2) for k in range(39, 9, -1)], delete_missing=bool(deletes))
    for _ in range(RACES):
        bulkio.load(arrow([(*key, *value) for key, value in start.items()]), "t", dsn, mode="truncate")
        failed = _race(dsn, one, two)
        orders = [
            order for order in ([one, two], [two, one], [one], [two]) if not failed & {id(each) for each in order}
        ]
        longest = max(map(len, orders))
        assert stored(dsn) in [_in_order(start, order) for order in orders if len(order) == longest]


def _race(dsn: str, *loads: Load) -> set[int]:
    """Run loads at once; return those that failed, as only what may be retried may."""
    failed: set[int] = set()
    barrier = threading.Barrier(len(loads))

    def run(load: Load) -> None:
        barrier.wait()
        try:
            bulkio.load(arrow(load.rows), "t", dsn, mode=load.mode, **load.options)
        except bulkio.DriverError as error:
            if not error.retryable:
                raise
            failed.add(id(load))

    threads = [threading.Thread(target=run, args=(load,)) for load in loads]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return failed


def _in_order(start: Stored, loads: list[Load]) -> Stored:
    for load in loads:
        start, _ = model(start, load)
    return start
