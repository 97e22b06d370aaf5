"""What the server's text of a type depends on, where a column travels as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bulkio.types.resolve import TypeFacts

__all__ = ["holds_money", "names_objects"]

_MONEY = {790}

#: oids of regproc, regprocedure, regoper, regoperator, regclass, regtype, regconfig, regdictionary and regcollation:
#: what the search_path finds is named without its schema. What a regrole or regnamespace names has none.
_NAMES = {24, 2202, 2203, 2204, 2205, 2206, 3734, 3769, 4191}


def holds_money(oid: int, facts: Mapping[int, TypeFacts]) -> bool:
    """Tell whether a type's text depends on lc_monetary."""
    return not _parts(oid, facts).isdisjoint(_MONEY)


def names_objects(oid: int, facts: Mapping[int, TypeFacts]) -> bool:
    """Tell whether a type's text depends on the search_path."""
    return not _parts(oid, facts).isdisjoint(_NAMES)


def _parts(oid: int, facts: Mapping[int, TypeFacts]) -> set[int]:
    """Return the oids of a type and of all that it is made of."""
    found: set[int] = set()
    wanted = [oid]
    while wanted:
        one = wanted.pop()
        if one not in found and (fact := facts.get(one)) is not None:
            wanted += [fact.element_oid, *(part for _, part, _ in fact.fields)]
        found.add(one)
    return found
