"""The journal's statements, as text; what a server makes of them is tested with the journal itself."""

from __future__ import annotations

import doctest

from bulkio.sql import runs
from bulkio.sql.ledger import lock_load


def test_docstrings() -> None:
    """Their examples hold."""
    found = doctest.testmod(runs)
    assert (found.failed, found.attempted) == (0, 1)


def test_each_pipeline_has_a_lock_of_its_own() -> None:
    """In each ledger, and none is that of a load's."""
    locks = [runs.lock_pipeline(*place) for place in (("a", "b"), ("a", "c"), ("ab", ""), ("b", "b"))]
    assert len({*locks, lock_load("a", "b", waits=True)}) == 5


def test_names_and_values_are_quoted() -> None:
    """Whatever stands in a schema's name, an id or an error."""
    text = runs.finish_run('o"d', "it's", "a\\b", "00000000-0000-0000-0000-000000000000", "failed", "it's")
    assert text.startswith('UPDATE "o""d"."runs" SET ')
    assert "error = 'it''s'::text" in text
    assert r"pipeline = 'it''s' AND run =  E'a\\b'" in text


def test_each_write_of_a_run_is_fenced() -> None:
    """It names the owner, and returns a row by which one knows that it was ours."""
    key, owner = {"pipeline": "p", "run": "r", "step": "s"}, "00000000-0000-0000-0000-000000000000"
    for text in (
        runs.renew_lease("s", "p", "r", owner, 30),
        runs.finish_run("s", "p", "r", owner, "done", None),
        runs.put_step("s", {**key, "item": ""}, owner, {"state": "done"}, starts=False),
        runs.propose_mark("s", key, owner, "1", {"pending": "2", "pending_to": "f"}),
    ):
        assert f"owner = '{owner}'::uuid" in text
        assert " RETURNING " in text
