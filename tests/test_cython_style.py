"""The Cython files, which ruff does not read, keep its rules for blanks and names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted(path for path in (ROOT / "src").rglob("*.p[yx][xd]") if path.suffix in (".pyx", ".pxd"))
CLASS = re.compile(r"^\s*(?:cdef |cpdef )?(?:final )?class (\w+)")
FUNCTION = re.compile(r"^\s*(?:def|cdef|cpdef) (?!(?:final )?class )[^=(]*?(\w+)\(")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_lines_and_names(path: Path) -> None:
    """No line ends in blanks or has tabs; classes are named LikeThis, functions like_this."""
    faults = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if line != line.rstrip() or "\t" in line:
            faults.append(f"{path.name}:{number}: blanks at its end, or a tab")
        if (name := CLASS.match(line)) and not re.fullmatch(r"_?[A-Z][A-Za-z0-9]*", name[1]):
            faults.append(f"{path.name}:{number}: class {name[1]}")
        if (name := FUNCTION.match(line)) and name[1] != name[1].lower():
            faults.append(f"{path.name}:{number}: function {name[1]}")
    assert faults == []


def test_files_were_found() -> None:
    """The test above looks at the codec and at all that is compiled beside it."""
    assert len(SOURCES) > 40
