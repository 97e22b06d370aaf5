"""A wait for a lock in words, and which modes of locks exclude each other, as the server itself says."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import psycopg
import pytest

from bulkio.transfer.waits import Wait

if TYPE_CHECKING:
    from collections.abc import Callable

MODES = [
    "ACCESS SHARE", "ROW SHARE", "ROW EXCLUSIVE", "SHARE UPDATE EXCLUSIVE", "SHARE", "SHARE ROW EXCLUSIVE",
    "EXCLUSIVE", "ACCESS EXCLUSIVE",
]  # fmt: skip


def wait(locktype: str = "relation", mode: str = "ShareLock", **facts: object) -> Wait:
    values = {
        "waiter": 1, "blocker": 2, "tag": "", "locktype": locktype, "mode": mode, "waited_s": 4.0,
        "relation": "s.t", "relation_kind": "r", "held_mode": None, "gid": None, "role": "ann",
        "application": "psql", "backend_type": "client backend", "state": "active", "state_s": 1234.5,
        "query": "SELECT",
    }  # fmt: skip
    return Wait(**{**values, **facts})  # type: ignore[arg-type]


def name_of(mode: str) -> str:
    return mode.title().replace(" ", "") + "Lock"


def test_conflicts_are_those_of_the_server(one_dsn: str, connect: Callable[[str], psycopg.Connection]) -> None:
    """Each mode against each."""
    one, two = connect(one_dsn), connect(one_dsn)
    one.execute("CREATE TABLE t ()")
    for held, wanted in product(MODES, MODES):
        one.execute(f"BEGIN; LOCK TABLE t IN {held} MODE")
        two.execute("BEGIN")
        try:
            two.execute(f"LOCK TABLE t IN {wanted} MODE NOWAIT")
            is_conflict = False
        except psycopg.errors.LockNotAvailable:
            is_conflict = True
        one.execute("ROLLBACK")
        two.execute("ROLLBACK")
        found = wait(mode=name_of(wanted), held_mode=name_of(held), blocker=0, gid="x")
        assert found.is_conflict == is_conflict, (held, wanted)


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({}, "a lock on table s.t"),
        ({"relation_kind": "i"}, "a lock on index s.t"),
        ({"relation": "s.\x1b"}, "a lock on table s.\\x1b"),
        ({"locktype": "tuple"}, "a lock on a row of table s.t"),
        ({"locktype": "transactionid"}, "a lock on a row or a key"),
        ({"locktype": "advisory"}, "an advisory lock"),
        ({"locktype": "extend"}, "a lock of type extend"),
    ],
)
def test_what_is_waited_for(facts: dict[str, str], words: str) -> None:
    """A table by its name; the server does not tell of which table a row is."""
    assert wait(**facts).show_lock() == words


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({}, "process 2 (role ann, application psql, active for 1,234 s: SELECT)"),
        ({"application": "", "query": ""}, "process 2 (role ann, active for 1,234 s)"),
        (
            {"role": None, "application": "", "backend_type": "autovacuum worker", "query": "autovacuum: VACUUM s.t"},
            "process 2 (autovacuum worker active for 1,234 s: autovacuum: VACUUM s.t)",
        ),
        ({"role": None, "application": None, "state": None, "query": None, "backend_type": None}, "process 2"),
        ({"query": "SELECT\n  1"}, "process 2 (role ann, application psql, active for 1,234 s: SELECT 1)"),
        ({"blocker": 0}, "a prepared transaction"),
    ],
)
def test_who_is_waited_for(facts: dict[str, object], words: str) -> None:
    """As much as is known."""
    assert wait(**facts).show_blocker() == words
