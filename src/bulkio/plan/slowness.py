"""What makes a load slow, for a dry run: each thing that a row costs, and what it cost when measured. Pure.

The factors are those of the server's CPU time for narrow rows (four columns), where they are largest: medians of
`benchmarks/slow_tables.py` (results/slow-tables.json). Another machine, other columns and functions have others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bulkio.show import show_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bulkio.catalog.burdens import Burden, BurdenKind

__all__ = ["slow_notes"]

#: time that one of these adds, as a share of that of a row in a table that has none of them
SHARES: Mapping[BurdenKind, float] = {
    "index": 2.0,
    "exclusion constraint": 48.9,
    "foreign key": 8.9,
    "before trigger": 0.7,
    "after trigger": 0.7,
}

#: kinds that an index is behind
_INDEXES = frozenset({"index", "exclusion constraint"})

#: names of the kinds, singular and plural
_NAMES: Mapping[BurdenKind, tuple[str, str]] = {
    "index": ("index", "indexes"),
    "exclusion constraint": ("exclusion constraint", "exclusion constraints"),
    "foreign key": ("foreign key", "foreign keys"),
    "before trigger": ("trigger before each row", "triggers before each row"),
    "after trigger": ("trigger after each row", "triggers after each row"),
}

#: time of a load into an unlogged table, as a share of one that is logged
UNLOGGED = 0.7


def slow_notes(burdens: Sequence[Burden], *, freezes: bool, defers: bool = False) -> tuple[str, ...]:
    """Return a note for each kind of burden that makes a load slow.

    `freezes` where the table is empty before; `defers` where its indexes are built after the rows.

    >>> from bulkio.catalog.burdens import Burden
    >>> slow_notes([Burden("no log", "replica")], freezes=False)
    ('the table is unlogged: that is fast, and a crash of the server empties it',)
    """
    if defers:
        burdens = [each for each in burdens if each.kind not in _INDEXES]
    return (*_costs(burdens), *_log(burdens, freezes=freezes))


def _costs(burdens: Sequence[Burden]) -> Iterator[str]:
    found = {kind: [each.name for each in burdens if each.kind == kind] for kind in SHARES}
    for kind, names in found.items():
        if names:
            shown = ", ".join(map(show_name, names))
            factor = 1 + SHARES[kind] * len(names)
            what = f"{len(names)} {_NAMES[kind][len(names) > 1]} ({shown})"
            yield f"{what}: about {factor:.1f}x the time of a narrow row when measured"
    if sum(map(bool, found.values())) > 1:
        factor = 1 + sum(SHARES[kind] * len(names) for kind, names in found.items())
        yield f"all of these: about {factor:.1f}x the time of a narrow row in a table that has none"


def _log(burdens: Sequence[Burden], *, freezes: bool) -> Iterator[str]:
    for each in burdens:
        if each.kind == "no log":
            yield "the table is unlogged: that is fast, and a crash of the server empties it"
        elif each.kind == "log" and each.name == "minimal" and freezes:
            yield "its rows are not written to the log: wal_level is minimal, and the table is empty before"
        elif each.kind == "log":
            yield (
                f"each row is written to the log (wal_level is {each.name}): an UNLOGGED table took {UNLOGGED:.1f}x the"
                " time when measured, and a crash empties it"
            )
