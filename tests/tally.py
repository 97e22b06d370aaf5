"""Counts what the round trips tried: values, NULLs and edges for each pair of types, printed at the end of the run.

A pair that was in the run and whose count of any is zero makes it fail: a strategy that went dry shows at once. Each
test's counts travel with its report, so that they come together wherever a worker has run it (pytest-xdist).
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Tally"]

#: the name of a report's property
_PROPERTY = "tally"


@dataclass
class Tally:
    """What was tried, by the case's id; a case that was in the run stands in each counter."""

    values: Counter[str] = field(default_factory=Counter)
    nulls: Counter[str] = field(default_factory=Counter)
    edges: Counter[str] = field(default_factory=Counter)

    def expect(self, case_id: str) -> None:
        """Note that a case is in the run."""
        for counter in (self.values, self.nulls, self.edges):
            counter[case_id] += 0

    def add(self, case_id: str, cells: list[object], edges: tuple[object, ...]) -> None:
        """Count one round trip's cells; lists count for their elements."""
        for cell in cells:
            if isinstance(cell, list):
                self.add(case_id, cell, edges)
            elif cell is None:
                self.nulls[case_id] += 1
            else:
                self.values[case_id] += 1
                self.edges[case_id] += cell in edges

    def plain(self) -> list[dict[str, int]]:
        """Return the counts as what a report can carry."""
        return [dict(self.values), dict(self.nulls), dict(self.edges)]

    def merge(self, plain: list[dict[str, int]]) -> None:
        """Add another tally's counts."""
        for counter, counts in zip((self.values, self.nulls, self.edges), plain, strict=True):
            counter.update(counts)

    def missing(self) -> list[str]:
        """Return the cases that were in the run, with a count that is zero."""
        return sorted(
            case
            for case in self.values
            # Arrow's null type has nothing but NULLs
            if not (self.nulls[case] and (case.startswith("null->") or (self.values[case] and self.edges[case])))
        )


_TALLY = Tally()


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Iterator[Tally]:
    """Hand out the counts of a test, which must have a parameter `case`."""
    tried = Tally()
    tried.expect(request.node.callspec.params["case"].id)
    yield tried
    request.node.user_properties.append((_PROPERTY, tried.plain()))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Add up what the tests counted."""
    if report.when == "teardown":
        for name, value in report.user_properties:
            if name == _PROPERTY:
                _TALLY.merge(value)  # type: ignore[arg-type]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the counts, those of one PostgreSQL type in a line."""
    if not _TALLY.values:
        return
    terminalreporter.section("codec round trips: values, NULLs, edges (pairs of types)")
    groups: dict[str, list[str]] = {}
    for case in sorted(_TALLY.values):
        groups.setdefault(re.sub(r"\(.*\)", "", case.split("->")[1]), []).append(case)
    for name, cases in sorted(groups.items()):
        counts = [sum(counter[c] for c in cases) for counter in (_TALLY.values, _TALLY.nulls, _TALLY.edges)]
        terminalreporter.write_line("{:16} {:>8,} {:>8,} {:>8,}  ({} pairs)".format(name, *counts, len(cases)))
    for case in _TALLY.missing():
        terminalreporter.write_line(f"NEVER TRIED: {case} (values, NULLs or edges are zero)", red=True)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Fail a run in which a count is zero."""
    if _TALLY.missing() and exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
