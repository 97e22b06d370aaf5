"""Counts what the round trips tried: values, NULLs and edges for each pair of types, printed at the end of the run.

A pair that was collected and whose count of any is zero makes the run fail: a strategy that went dry shows at once.
"""

from __future__ import annotations

import locale
import re
import shutil
import subprocess
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gaps import lacking

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class Tally:
    """What was tried, by the case's id."""

    values: Counter[str] = field(default_factory=Counter)
    nulls: Counter[str] = field(default_factory=Counter)
    edges: Counter[str] = field(default_factory=Counter)
    #: the cases whose tests are in this run
    expected: set[str] = field(default_factory=set)

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

    def missing(self) -> list[str]:
        """Give the cases that were in the run, with a count that is zero."""
        return sorted(
            case
            for case in self.expected
            # Arrow's null type has nothing but NULLs
            if not (self.nulls[case] and (case.startswith("null->") or (self.values[case] and self.edges[case])))
        )


_TALLY = Tally()


@pytest.fixture(scope="session")
def tally() -> Tally:
    """Give the session's counts."""
    return _TALLY


def pytest_collection_finish(session: pytest.Session) -> None:
    """Note the cases whose counting tests are in this run."""
    if session.config.option.collectonly:
        return
    for item in session.items:
        if "tally" in getattr(item, "fixturenames", ()):
            _TALLY.expected.add(item.callspec.params["case"].id)  # type: ignore[attr-defined]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the counts, those of one PostgreSQL type in a line."""
    if not _TALLY.expected:
        return
    terminalreporter.section("codec round trips: values, NULLs, edges (pairs of types)")
    groups: dict[str, list[str]] = {}
    for case in sorted(_TALLY.expected):
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


@pytest.fixture(params=["de_DE", "ps_AF"])
def decimal_comma(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Make and set a locale with another decimal point: a comma, or one of two bytes."""
    localedef = shutil.which("localedef")
    if localedef is None or not Path("/usr/share/i18n/locales", request.param).exists():
        lacking("localedef and the sources of locales (Debian: locales)")
    made = tmp_path / f"{request.param}.UTF-8"
    subprocess.run([localedef, "-i", request.param, "-f", "UTF-8", made], check=True)  # fixed words
    monkeypatch.setenv("LOCPATH", str(tmp_path))
    before = locale.setlocale(locale.LC_NUMERIC)
    locale.setlocale(locale.LC_NUMERIC, made.name)
    yield locale.localeconv()["decimal_point"]
    locale.setlocale(locale.LC_NUMERIC, before)
