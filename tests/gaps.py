"""What no test has covered on this machine: told at the end of the run; in CI it makes the run fail.

A machine may lack what a test needs: PostGIS, a server with TLS, an older PostgreSQL. The test says so with `lacking`.
A developer's run passes all the same, and ends with a list of what it did not cover. In CI ($CI is set) nothing may
be missing: a skip must stand in allowed_skips.txt, and one that a server's name stands in must have passed on another
server. Any other skip or xfail outside of that list makes every run fail.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Gaps", "in_ci", "lacking"]

ALLOWED_SKIPS = Path(__file__).with_name("allowed_skips.txt")
#: What the reason of such a skip begins with, after pytest's own word.
_NEEDS = "needs "
#: The id of a server, in the id of a test: alone, or with other parameters beside it.
_SERVER_ID = re.compile(r"(?<=[\[-])pg\d+(\.\d+)?(-embedded)?(?=[\]-])")


def lacking(what: str) -> NoReturn:
    """Skip this test, for want of `what` (like "PostGIS"): on this server, or on this machine."""
    pytest.skip(_NEEDS + what)


def in_ci() -> bool:
    """Tell whether gaps are failures: the convention of GitHub, GitLab and others."""
    return os.environ.get("CI", "") not in ("", "0", "false")


@dataclass
class Gaps:
    """The skips of a run, and what has passed."""

    #: the tests that passed, with a * for the server
    _passed: set[str] = field(default_factory=set)
    #: why a test was skipped, by its id
    _skipped: dict[str, str] = field(default_factory=dict)

    def note(self, node_id: str, outcome: str, why: object) -> None:
        """Note how a test, or a file that skips itself, ended."""
        if outcome == "skipped":
            self._skipped[node_id] = _reason(why)
        elif outcome == "passed":
            self._passed.add(_on_any_server(node_id))

    def faults(self, servers: Iterable[str]) -> list[str]:
        """Return a line for each skip that makes this run fail."""
        found = [
            f"SKIP NOT ALLOWED (tests/allowed_skips.txt) {node_id}: {why}"
            for node_id, why in self._skipped.items()
            if not _is_allowed(node_id, why) and (in_ci() or not why.startswith(_NEEDS))
        ]
        return [*found, *(f"NOT COVERED {line}" for line in self._must_be_covered(servers))]

    def uncovered(self, servers: Iterable[str]) -> list[str]:
        """Return a line for each thing that this machine lacks, with the number of tests that it takes."""
        wanting = Counter(self._skipped[node_id] for node_id in self._without_cover())
        lines = [f"{why}: {count:,} {'test' if count == 1 else 'tests'}" for why, count in sorted(wanting.items())]
        return [*_too_few(servers), *lines]

    def _without_cover(self) -> list[str]:
        """Return the skipped tests that passed on no other server."""
        return [node_id for node_id in self._skipped if _on_any_server(node_id) not in self._passed]

    def _must_be_covered(self, servers: Iterable[str]) -> list[str]:
        """Return what CI may skip on one server, but has skipped on all of them."""
        if not in_ci():
            return []
        by_server = [node_id for node_id in self._without_cover() if _on_any_server(node_id) != node_id]
        return [*_too_few(servers), *(f"{node_id}: {self._skipped[node_id]}" for node_id in by_server)]


def _too_few(servers: Iterable[str]) -> list[str]:
    """Tell of a lone server, on which the differences between versions do not show."""
    ids = list(servers)
    return [] if len(ids) > 1 else [f"{_NEEDS}a PostgreSQL of another version: all tests ran on {' '.join(ids)} only"]


def _reason(why: object) -> str:
    """Return the words of a skip, without the place they stand at."""
    text = str(why[2]) if isinstance(why, tuple) else str(why)
    return text.removeprefix("Skipped: ")


def _on_any_server(node_id: str) -> str:
    return _SERVER_ID.sub("*", node_id)


def _is_allowed(node_id: str, why: str) -> bool:
    """Tell whether the committed list lets this test be skipped for this reason."""
    lines = [line for line in ALLOWED_SKIPS.read_text().splitlines() if line.strip() and not line.startswith("#")]
    return any(re.fullmatch(re.escape(line).replace(r"\*", ".*"), f"{node_id}\t{why}", re.DOTALL) for line in lines)
