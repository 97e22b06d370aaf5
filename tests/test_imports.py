"""How modules import each other: no cycle, imports for types alone included, Cython's too."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import bulkio

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(bulkio.__file__).parent
#: an import of Cython's, at run time or of declarations, at the start of a line or inside a function
CYTHON_IMPORT = re.compile(r"^\s*from (bulkio[\w.]*) c?import ([\w, ]+|\((?:[^)]*)\))", re.MULTILINE)


def module_of(path: Path) -> str:
    """Return the module that a file belongs to; declarations and stubs belong to their source."""
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = [path for suffix in ("py", "pyi", "pyx", "pxd") for path in ROOT.rglob(f"*.{suffix}")]
MODULES = {module_of(path) for path in SOURCES}


def imported(path: Path) -> Iterator[tuple[str, str]]:
    """Yield (module, name) for each import that a file has, wherever it stands."""
    text = path.read_text()
    if path.suffix in (".pyx", ".pxd"):
        for module, names in CYTHON_IMPORT.findall(text):
            yield from ((module, name.split()[0]) for name in names.strip("()").split(",") if name.strip())
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom):
            yield from ((node.module or "", alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)


def graph() -> dict[str, set[str]]:
    """Return what each module imports of bulkio."""
    found: dict[str, set[str]] = {module: set() for module in MODULES}
    for path in SOURCES:
        for module, name in imported(path):
            target = f"{module}.{name}" if f"{module}.{name}" in MODULES else module
            if target in MODULES and target != module_of(path):
                found[module_of(path)].add(target)
    return found


def test_no_cycle_of_imports_is_left() -> None:
    """Each module can be understood after what it imports: a type that two need stands below both."""
    try:
        list(TopologicalSorter(graph()).static_order())
    except CycleError as error:
        raise AssertionError(f"imports go round: {' -> '.join(reversed(error.args[1]))}") from None


def test_the_walk_sees_every_kind_of_import() -> None:
    """Imports for types alone, inside functions, and those of Cython are in the graph."""
    found = graph()
    assert "bulkio.protocols" in found["bulkio.transfer.send"]
    assert "bulkio.bench.load" in found["bulkio.bench"]
    assert "bulkio.bench" in found["bulkio.cli.bench"]
    assert "bulkio.pgcopy.messages" in found["bulkio.pgcopy.encoder"]
    assert "bulkio.pgcopy.wire" in found["bulkio.pgcopy.encoder"]


PUBLIC_FACE = {"bulkio", "bulkio.aio", "bulkio.errors", "bulkio.pipeline"}

#: what breaks a contract: (file, its text, what the linter says)
PLANTED = {
    "a root module without a layer": ("extra.py", "", "bulkio.extra"),
    "a plan that reads files": ("plan/reader.py", "from bulkio.files import open_source\n", "Plans are pure"),
    "an integration that knows a use case": (
        "integrations/spark.py",
        "from bulkio.transfer import load\n",
        "Integrations use the public face alone",
    ),
    "an import that points up": ("sql/upward.py", "from bulkio.catalog import Table\n", "Imports point down only"),
}


def lint(root: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter on a copy of the package."""
    program = Path(sys.executable).with_name("lint-imports")
    if not program.exists():
        pytest.skip("import-linter is not installed")
    arguments = [str(program), "--no-cache", "--config", str(ROOT.parents[1] / "pyproject.toml")]
    environ = {**os.environ, "PYTHONPATH": str(root)}
    return subprocess.run(arguments, cwd=root, env=environ, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a copy of the package's sources."""
    root = tmp_path_factory.mktemp("planted")
    shutil.copytree(ROOT, root / "bulkio", ignore=shutil.ignore_patterns("*.so", "*.c", "__pycache__"))
    return root


@pytest.mark.parametrize("name", PLANTED)
def test_contracts_are_broken_by(package: Path, name: str) -> None:
    """Each contract catches what it is for, in packages too that are not there yet."""
    file, text, said = PLANTED[name]
    planted = package / "bulkio" / file
    made = not planted.parent.exists()
    planted.parent.mkdir(exist_ok=True)
    (planted.parent / "__init__.py").touch()
    planted.write_text(text)
    try:
        done = lint(package)
    finally:
        planted.unlink()
        if made:
            shutil.rmtree(planted.parent)
    assert done.returncode == 1
    assert said in done.stdout.partition("Broken contracts")[2]


def test_integrations_import_the_public_face_alone() -> None:
    """The package's own module, too, of which the linter's pattern takes only what is below it."""
    for module, targets in graph().items():
        if module.startswith("bulkio.integrations"):
            assert {name for name in targets if not name.startswith("bulkio.integrations")} <= PUBLIC_FACE, module
