"""The wheel, as users get it: built from the source archive, installed where there is no checkout, and used."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

import pytest

import bulkio

ROOT = Path(__file__).parents[1]
#: folders of compiled modules
COMPILED = tuple(ROOT / "src" / "bulkio" / room for room in ("pgcopy", "forms", "files/formats/csv"))
#: What a clone has of these is all that goes in: nothing that a build left behind.
SOURCES = ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE", "src", "tests")
LEFTOVERS = shutil.ignore_patterns("*.so", "*.c", "__pycache__", "*.egg-info")


def run(*command: object, cwd: Path) -> str:
    """Run a program that must succeed; give its stdout."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, env=env, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, f"{command}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="session")
def archives(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Build the source archive from a copy of the checkout, and the wheel from that archive."""
    checkout, out = tmp_path_factory.mktemp("checkout"), tmp_path_factory.mktemp("dist")
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, checkout / name, ignore=LEFTOVERS)
        else:
            shutil.copy(source, checkout / name)
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, cwd=checkout)
    (sdist,), (wheel,) = out.glob("*.tar.gz"), out.glob("*.whl")
    return sdist, wheel


@pytest.fixture(scope="session")
def installed(archives: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel into a new environment that finds the dependencies in ours; give its programs' folder."""
    home = tmp_path_factory.mktemp("venv")
    run(sys.executable, "-m", "venv", "--without-pip", home, cwd=home)
    python = home / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index")
    run(*pip, archives[1], cwd=home)
    # Only now: pip must not see, and remove, the bulkio that we have. A .pth brings no .pth of its own into effect,
    # and so not the editable install.
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=home).strip())
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return home / "bin"


def names_in(wheel: Path) -> list[PurePosixPath]:
    """List a wheel's files."""
    with zipfile.ZipFile(wheel) as archive:
        return [PurePosixPath(name) for name in archive.namelist()]


def test_wheel_content(archives: tuple[Path, Path]) -> None:
    """The wheel has every module, the compiled codec, its stubs, py.typed and the licence; no source of the codec."""
    found = names_in(archives[1])
    assert "none-any" not in archives[1].name
    modules = {PurePosixPath(path.relative_to(ROOT / "src")) for path in (ROOT / "src" / "bulkio").rglob("*.py")}
    stubs = {PurePosixPath(path.relative_to(ROOT / "src")) for room in COMPILED for path in room.glob("*.pyi")}
    assert stubs
    assert modules | stubs | {PurePosixPath("bulkio/py.typed")} <= set(found)
    compiled = {path.name.split(".")[0] for path in found if path.suffix == ".so"}
    assert compiled == {path.stem for room in COMPILED for path in room.glob("*.pyx")}
    assert [path.parent.parent.name for path in found if path.name == "LICENSE"] == [
        f"bulkio-{bulkio.__version__}.dist-info"
    ]
    assert {path.parts[0] for path in found} == {"bulkio", f"bulkio-{bulkio.__version__}.dist-info"}
    assert {path.suffix for path in found if path.parts[0] == "bulkio"} == {
        *(".py", ".pyi", ".so", ".typed"),
        *(".toml", ".csv", ".txt"),  # what `bulkio init` makes
    }
    project = {PurePosixPath(path.relative_to(ROOT / "src")) for path in (ROOT / "src/bulkio/cli/project").iterdir()}
    assert project <= set(found)


def test_libraries_have_no_debug_information(archives: tuple[Path, Path]) -> None:
    """What only a debugger reads, four fifths of a library, is not in the wheel."""
    with zipfile.ZipFile(archives[1]) as wheel:
        libraries = [name for name in wheel.namelist() if name.endswith(".so")]
        assert libraries
        assert [name for name in libraries if b".debug_info" in wheel.read(name)] == []


def test_a_missing_compiler_is_told_in_one_line() -> None:
    """Building without a compiler ends at once with one line that says so and what to do."""
    env = {**os.environ, "CC": "no-such-compiler -pthread"}
    command = [sys.executable, "setup.py", "build_ext"]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "bulkio's codec is compiled, and there is no C compiler 'no-such-compiler': apt-get install gcc, or set CC"
    ]


def test_source_archive_content(archives: tuple[Path, Path]) -> None:
    """The source archive has the codec's sources, and nothing that was generated from them, nor the tests."""
    with tarfile.open(archives[0]) as archive:
        found = [PurePosixPath(*PurePosixPath(name).parts[1:]) for name in archive.getnames()]
    for room in COMPILED:
        sources = {path.name for path in room.iterdir() if path.suffix in (".pyx", ".pxd", ".pyi", ".h")}
        assert sources <= {path.name for path in found if path.parent.name == room.name}
    assert not [path for path in found if path.suffix in (".c", ".so", ".pyc") or path.parts[:1] == ("tests",)]
    assert {PurePosixPath("LICENSE"), PurePosixPath("README.md")} <= set(found)


def test_installed_version(installed: Path, tmp_path: Path) -> None:
    """The installed program runs outside the checkout and knows its version."""
    assert bulkio.__version__ in run(installed / "bulkio", "--version", cwd=tmp_path)


def test_installed_package_works(installed: Path, one_dsn: str, tmp_path: Path) -> None:
    """The installed codec, both ways and through both drivers, gives back what it was given."""
    script = """
import sys
import pyarrow as pa
import bulkio, bulkio.pgcopy.encoder

home, dsn = sys.argv[1:]
assert bulkio.pgcopy.encoder.__file__.startswith(home), bulkio.pgcopy.encoder.__file__
table = pa.table({"id": pa.array([1, 2, None]), "name": ["é", None, ""], "tags": [[1, None], [], None]})
for driver in ("asyncpg", "psycopg"):
    assert bulkio.load(table, driver, dsn, driver=driver).rows == 3
    back = bulkio.read(driver, dsn, driver=driver).read_all()
    assert back.to_pylist() == table.to_pylist(), back
print("same")
"""
    assert run(installed / "python", "-c", script, installed.parent, one_dsn, cwd=tmp_path) == "same\n"
