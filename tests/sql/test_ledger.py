"""The ledger's statements, as text; what a server makes of them is tested with the ledger itself."""

from __future__ import annotations

import doctest

import pytest

from bulkio.errors import ConfigError
from bulkio.sql import ledger


def test_docstrings() -> None:
    """Their examples hold."""
    found = doctest.testmod(ledger)
    assert (found.failed, found.attempted) == (0, 2)


def test_each_load_has_a_lock_of_its_own() -> None:
    """In each ledger, and none is that of the ledger itself; waiting or not, it is the same one."""
    places = [("a", "b"), ("a", "c"), ("ab", ""), ("b", "b")]
    waiting = [ledger.lock_load(*place, waits=True) for place in places] + [ledger.lock_ledger("a")]
    assert len(set(waiting)) == len(waiting)
    trying = [ledger.lock_load(*place, waits=False).replace("try_", "") for place in places]
    assert trying == waiting[:-1]


def test_names_and_values_are_quoted() -> None:
    """Whatever stands in a schema's name, an id or a report."""
    text = ledger.insert_load('o"d', {"id": "it's", "state": "done", "report": r'{"a": "\\n"}'}, replaces=True)
    assert text.startswith('INSERT INTO "o""d"."loads" (id, state, report, started_at, finished_at) VALUES (')
    assert "'it''s'::text" in text
    assert r"""E'{"a": "\\\\n"}'::jsonb""" in text
    with pytest.raises(ConfigError, match="NUL"):
        ledger.select_loads("a", "b\0")
