"""Examples in docstrings are Python that compiles, and those with an answer give it."""

from __future__ import annotations

import ast
import doctest
from pathlib import Path

import pytest

import bulkio

SOURCES = Path(bulkio.__file__).parent
FILES = sorted(path for pattern in ("*.py", "*.pyx") for path in SOURCES.rglob(pattern))


def docstrings(path: Path) -> list[str]:
    """Find the docstrings of a module; a Cython module is one text."""
    if path.suffix == ".pyx":
        return [path.read_text()]
    nodes = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    tree = ast.parse(path.read_text())
    return [text for node in ast.walk(tree) if isinstance(node, nodes) and (text := ast.get_docstring(node))]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCES)))
def test_each_example_compiles(path: Path) -> None:
    """A prompt's lines are statements of Python."""
    for text in docstrings(path):
        for example in doctest.DocTestParser().get_examples(text):
            compile(example.source, str(path), "single", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


@pytest.mark.parametrize("module", ["__init__.py", "aio.py", "sync.py"])
def test_the_public_modules_example_compiles(module: str) -> None:
    """So does the indented block that a public module's docstring begins with."""
    for text in docstrings(SOURCES / module)[:1]:
        block = [line[4:] for line in text.splitlines() if line.startswith("    ")]
        compile("\n".join(block), module, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def test_no_docstring_gives() -> None:
    """A function returns or yields: "Give" is what a user does."""
    files = [path for folder in (SOURCES, Path(__file__).parent) for path in folder.rglob("*.py*")]
    texts = {path: path.read_text() for path in files if path.suffix in (".py", ".pyx", ".pxd", ".pyi")}
    assert [path.name for path, text in texts.items() if '"""' + "Give " in text] == []
