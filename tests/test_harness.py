"""The harness itself: that a skip outside the list, an open connection or a file left behind fails the run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import gaps
import servers

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent


@pytest.fixture
def run(tmp_path: Path) -> object:
    """Run some tests under this conftest.py in another pytest; give its exit status and its output."""
    tests = tmp_path / "project" / "tests"
    tests.mkdir(parents=True)
    for name in ("conftest.py", "gaps.py", "older_pyarrow.py", "printed_matrix.py", "servers.py", "tally.py"):
        shutil.copy(HERE / name, tests / name)
    (tests / "allowed_skips.txt").write_text("# a comment\ntests/test_it.py::test_allowed*\t*\n")
    shutil.copy(HERE.parent / "pyproject.toml", tests.parent / "pyproject.toml")

    def run_one(code: str, *options: str, by: tuple[str, ...] = (), **env: str) -> tuple[int, str]:
        (tests / "test_it.py").write_text("import pytest\n" + code)
        own = ["-q", "-p", "no:cacheprovider", f"--basetemp={tmp_path / 'base'}", *options]
        command = [*by, sys.executable, "-m", "pytest", *own]
        pipes = {"capture_output": True, "text": True, "timeout": 600}
        done = subprocess.run(command, cwd=tests.parent, env={**os.environ, **env}, check=False, **pipes)
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


# --- what a machine lacks ----------------------------------------------------------------------

#: skipped for want of something: on both servers, on one of them, and without any server
NOWHERE = "from gaps import lacking\nids = ['pg15-a', 'pg18-embedded-a']\n"
NOWHERE += "@pytest.mark.parametrize('x', ids)\ndef test_allowed(x): lacking('PostGIS')\n"
SOMEWHERE = NOWHERE.replace("lacking('PostGIS')", "x == 'pg15-a' or lacking('PostGIS')")
NO_TLS = "from gaps import lacking\ndef test_tls(): lacking('TLS')\n"


@pytest.mark.parametrize(
    ("code", "ci", "status", "said"),
    [
        (NOWHERE, "", 0, "needs PostGIS: 2 tests"),
        (NOWHERE, "true", 1, "NOT COVERED tests/test_it.py::test_allowed[pg15-a]: needs PostGIS"),
        # In CI a lone server is a gap too.
        (SOMEWHERE, "true", len(servers.found_servers()) < 2, "1 passed, 1 skipped"),
        (NO_TLS, "", 0, "needs TLS: 1 test"),
        (NO_TLS, "true", 1, "NOT ALLOWED (tests/allowed_skips.txt) tests/test_it.py::test_tls: needs TLS"),
    ],
)
def test_what_a_machine_lacks(run: object, code: str, ci: str, status: int, said: str) -> None:
    """The run passes and says so; in CI it fails, unless another server has covered it."""
    got, output = run(code, CI=ci)  # type: ignore[operator]
    assert said in output
    assert got == status, output
    assert ("needs PostGIS: " in output) == (code == NOWHERE)


# --- over several workers ----------------------------------------------------------------------

#: tests of a pair of types, and a cell of the matrix; an edge is a number in EDGES
COUNTED = """
import types
from printed_matrix import note

@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize("case", [types.SimpleNamespace(id="int8->int8")], ids=["pair"])
def test_trips(case, n, tally):
    tally.add(case.id, [n, None], [n] if n in EDGES else [])
    note("texts", f"type {n}", "pg18", "ok")
"""


@pytest.mark.parametrize(
    ("code", "status", "said"),
    [
        (
            "EDGES = [1]\n" + COUNTED + SOMEWHERE,
            len(servers.found_servers()) < 2,
            [r"int8 +2 +2 +1  \(1 pairs\)", r"=+ texts =+\n +pg18\ntype 1  ok\ntype 2  ok", "3 passed, 1 skipped in "],
        ),
        (
            "EDGES = []\n" + COUNTED + NOWHERE,
            1,
            [
                "NEVER TRIED: int8->int8",
                r"NOT COVERED .*::test_allowed\[pg15-a\]: needs PostGIS",
                "2 passed, 2 skipped in ",
            ],
        ),
        (
            "import tempfile\ndef test_a(): tempfile.mkdtemp()\ndef test_b(): pytest.skip('why')",
            1,
            ["temporary files are left", r"NOT ALLOWED .*::test_b: why", "1 passed, 1 skipped, 1 error in "],
        ),
    ],
    ids=["all well", "gaps", "faults"],
)
def test_workers_are_judged_together(run: object, code: str, status: int, said: list[str]) -> None:
    """What any worker skipped, left behind, counted or noted is known at the end, above pytest's own line."""
    got, output = run(code, "--numprocesses=2", "--dist=load", CI="true")  # type: ignore[operator]
    assert [words for words in said if not re.search(words, output)] == []
    assert got == status, output
    assert said[-1] in output.strip().splitlines()[-1]


def test_a_lone_server_is_a_gap() -> None:
    """With the embedded server only, no test has seen another version; nor is the run silent about it."""
    assert gaps.Gaps().uncovered(["pg18-embedded"]) == [
        "needs a PostgreSQL of another version: all tests ran on pg18-embedded only"
    ]
    assert gaps.Gaps().uncovered(["pg18-embedded", "pg15"]) == []


# --- which servers are found -------------------------------------------------------------------


def make_programs(folder: Path, said: str) -> Path:
    """Make what looks like a server's programs."""
    folder.mkdir(parents=True)
    (folder / "initdb").touch()
    (folder / "postgres").write_text(f"#!/bin/sh\n{said}\n")
    (folder / "postgres").chmod(0o755)
    return folder


@pytest.fixture
def look_again() -> Iterator[None]:
    """Have the servers looked for again, and forget what was found."""
    servers.found_servers.cache_clear()
    yield
    servers.found_servers.cache_clear()


@pytest.mark.parametrize("version", ["19rc1", "19beta2", "19devel", "19.4 (Debian 19.4-1.pgdg120+1)"])
def test_servers_of_any_name_are_found(
    tmp_path: Path, version: str, look_again: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A version may have letters, in the folder's name too; what does not run is passed over."""
    folder = make_programs(tmp_path / version.split(maxsplit=1)[0] / "bin", f"echo 'postgres (PostgreSQL) {version}'")
    make_programs(tmp_path / "broken" / "bin", "exit 1")
    make_programs(tmp_path / "9.6" / "bin", "echo nonsense")
    monkeypatch.setattr(servers, "DEBIAN", tmp_path)
    assert servers.found_servers()["pg19"] == folder


def test_servers_can_be_named(tmp_path: Path, look_again: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """BULKIO_TEST_SERVERS replaces what is found, but for the embedded one; two of one version are told apart."""
    folders = [make_programs(tmp_path / name, "echo 'postgres (PostgreSQL) 19rc1'") for name in "ba"]
    monkeypatch.setenv("BULKIO_TEST_SERVERS", ":".join(map(str, folders)))
    (embedded, *_), *others = servers.found_servers().items()
    assert embedded.endswith("-embedded")
    assert others == [("pg19", folders[1]), ("pg19.2", folders[0])]


def test_a_named_server_must_run(run: object, tmp_path: Path) -> None:
    """A folder without a server is an error, and not a run with fewer servers."""
    got, output = run("def test_a(): pass", BULKIO_TEST_SERVERS=str(tmp_path))  # type: ignore[operator]
    assert got != 0
    assert f"BULKIO_TEST_SERVERS: {tmp_path} has no" in output


# --- how the run was started -------------------------------------------------------------------


def test_signals_that_the_run_ignores_reach_its_programs(run: object) -> None:
    """Started by `nohup` or `&`, the run ignores SIGINT and SIGHUP; what the tests start does not."""
    code = "import signal, subprocess, sys\ndef test_a():\n"
    code += "    program = 'import signal; print([signal.getsignal(n) == signal.SIG_IGN for n in (1, 2)])'\n"
    code += "    print('SIGNALS', subprocess.check_output([sys.executable, '-c', program], text=True))\n"
    code += "    signal.raise_signal(signal.SIGINT); signal.raise_signal(signal.SIGHUP); assert 0\n"
    got, output = run(code, by=("sh", "-c", "trap '' INT HUP; exec \"$@\"", "sh"))  # type: ignore[operator]
    assert got == 1, "the run itself goes on ignoring them"
    assert "SIGNALS [False, False]" in output
