"""The matrix that a run prints at its end: what each way (server and format, mostly) did with each type.

The cells travel with the report of the test that noted them: they come together wherever a worker has run it
(pytest-xdist).
"""

from __future__ import annotations

import pytest

__all__ = ["note"]

#: the name of a report's property
_PROPERTY = "printed_matrix"
#: cells of the running test: section, name, way, text
_noted: list[tuple[str, str, str, str]] = []
#: texts of the whole run, by section, name and way
_matrix: dict[str, dict[str, dict[str, str]]] = {}


def note(section: str, name: str, way: str, text: str) -> None:
    """Put a cell into the printed matrix."""
    _noted.append((section, name, way, text))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> object:
    """Yield the cells to the test's report."""
    try:
        return (yield)
    finally:
        if _noted:
            item.user_properties.append((_PROPERTY, list(_noted)))
        _noted.clear()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Collect the cells."""
    if report.when == "teardown":
        for name, cells in report.user_properties:
            for section, row, way, text in cells if name == _PROPERTY else ():  # type: ignore[union-attr]
                _matrix.setdefault(section, {}).setdefault(row, {})[way] = text


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what each server did with each type, by section; an empty cell says that it has no such type."""
    for section, rows in _matrix.items():
        terminalreporter.section(section)
        ways = sorted({way for found in rows.values() for way in found})
        width = max(map(len, rows))
        terminalreporter.write_line(f"{'':{width}}  " + "  ".join(ways))
        for name, found in rows.items():
            line = f"{name:{width}}  " + "  ".join(f"{found.get(way, ''):{len(way)}}" for way in ways)
            terminalreporter.write_line(line.rstrip())
