"""The harness itself: that a skip outside the list, an open connection or a file left behind fails the run."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.fixture
def run(tmp_path: Path) -> object:
    """Run some tests under this conftest.py in another pytest; give its exit status and its output."""
    tests = tmp_path / "project" / "tests"
    tests.mkdir(parents=True)
    for name in ("conftest.py", "servers.py"):
        shutil.copy(HERE / name, tests / name)
    (tests / "allowed_skips.txt").write_text("# a comment\ntests/test_it.py::test_allowed*\ta reason\n")
    shutil.copy(HERE.parent / "pyproject.toml", tests.parent / "pyproject.toml")

    def run_one(code: str) -> tuple[int, str]:
        (tests / "test_it.py").write_text("import pytest\n" + code)
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--basetemp={tmp_path / 'base'}"]
        done = subprocess.run(command, cwd=tests.parent, capture_output=True, text=True, check=False, timeout=120)
        return done.returncode, done.stdout + done.stderr

    return run_one


@pytest.mark.parametrize(
    ("code", "status", "said"),
    [
        ("def test_allowed(): pytest.skip('why')", 0, "1 skipped"),
        (
            "def test_other(): pytest.skip('why')",
            1,
            "NOT ALLOWED (tests/allowed_skips.txt) tests/test_it.py::test_other",
        ),
        ("@pytest.mark.xfail\ndef test_other(): assert 0", 1, "NOT ALLOWED"),
        ("pytest.skip('whole file', allow_module_level=True)", 1, "NOT ALLOWED"),
        ("def test_a(tmp_path): (tmp_path / '.x.tmp').touch()", 1, "temporary files are left"),
        ("import tempfile\ndef test_a(): tempfile.mkdtemp()", 1, "temporary files are left"),
        (
            "import os\ndef test_a(): assert not [n for n in os.environ if n in ('PGHOST', 'DATABASE_URL')]",
            0,
            "1 passed",
        ),
    ],
)
def test_what_fails_the_run(run: object, code: str, status: int, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each rule once, and its opposite."""
    monkeypatch.setenv("PGHOST", "nowhere.invalid")
    monkeypatch.setenv("DATABASE_URL", "postgresql://nowhere.invalid")
    got, output = run(code)  # type: ignore[operator]
    assert said in output
    assert got == status, output


def test_an_open_connection_fails_the_test_and_nothing_is_left(run: object) -> None:
    """The connection is named; the server, its folder and its socket are gone although a test failed."""
    code = "import servers\nkept = []\ndef test_a(one_dsn, one_server):\n    kept.append(servers.connect(one_dsn))\n"
    code += "    print('ROOT', one_server.cluster.root, 'PID', one_server.cluster.postmaster().pid)\n    assert 0"
    got, output = run(code)  # type: ignore[operator]
    assert got == 1
    assert "connections are left open" in output
    words = next(line for line in output.splitlines() if line.startswith("ROOT")).split()
    assert not Path(words[1]).parent.exists()
    assert not Path(f"/proc/{words[3]}/cwd").exists()


def test_each_server_gives_each_kind_of_database(dsn: str, latin1_dsn: str, connect: object, server: object) -> None:
    """UTF8 and LATIN1, side by side; a connection opened through the fixture needs no closing."""
    said = [connect(d).execute("SHOW server_encoding").fetchone() for d in (dsn, latin1_dsn)]  # type: ignore[operator]
    assert said == [("UTF8",), ("LATIN1",)]
    version = connect(dsn).execute("SELECT current_setting('server_version_num')::int / 10000").fetchone()  # type: ignore[operator]
    assert version == (server.version,)  # type: ignore[attr-defined]
