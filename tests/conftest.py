"""What every test runs under: a clean environment, real servers, and checks that nothing is left behind.

Fixtures: `server` (each server found, one after the other), `dsn` and `latin1_dsn` (a fresh database on it),
`one_server` and `one_dsn` (the embedded server only), `connect` (opens psycopg connections and closes them),
`bulkio_home` (an embedded server of the test's own). What skips and xfails mean for the run: gaps.py.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

import older_pyarrow  # noqa: F401  # before any test that spells a newer one's types
import servers
from bulkio.server import embedded
from gaps import Gaps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import psycopg

#: what some tests print at the end of the run; named here because a controller of workers loads no other conftest.py
pytest_plugins = ("printed_matrix", "tally")

_SERVER_IDS = list(servers.found_servers())
#: Names of files that bulkio writes first and renames later.
_TEMPORARY = re.compile(r"^\.(?!gitignore$)|\.(tmp|part|partial)$")


#: On a busy machine a test takes longer: that is no fault of the code.
_SLOW_IS_NO_FAULT = {"deadline": None, "suppress_health_check": [hypothesis.HealthCheck.too_slow]}
hypothesis.settings.register_profile("busy machine", hypothesis.settings.default, **_SLOW_IS_NO_FAULT)
hypothesis.settings.load_profile("busy machine")


# --- the environment ---------------------------------------------------------------------------


@pytest.fixture(scope="session", autouse=True)
def _clean_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Forget the caller's settings; give homes and temporary files a folder that goes with the session."""
    kept = dict(os.environ), tempfile.tempdir
    for name in list(os.environ):
        if name.startswith(("PG", "BULKIO_")) or name == "DATABASE_URL":
            del os.environ[name]
    tmp_path_factory.getbasetemp()  # made before $TMPDIR changes, whose folder must stay empty
    root = Path(tempfile.mkdtemp(prefix="bulkio-pytest-"))
    (root / "tmp").mkdir()
    os.environ.update(BULKIO_HOME=str(root / "home"), TMPDIR=str(root / "tmp"))
    # libpq would read the caller's own files.
    os.environ["XDG_CONFIG_HOME"] = str(root / "config")
    os.environ.update(PGPASSFILE=str(root / "no-pgpass"), PGSERVICEFILE=str(root / "no-services"))
    tempfile.tempdir = str(root / "tmp")
    yield root / "tmp"
    _end_embedded_server()
    os.environ.clear()
    os.environ.update(kept[0])
    tempfile.tempdir = kept[1]
    shutil.rmtree(root)


@pytest.fixture(scope="session", autouse=True)
def _programs_can_be_interrupted() -> Iterator[None]:
    """Start programs with the usual signals, although `nohup`, or `&` in a script, lets us ignore some.

    A program inherits that a signal is ignored, but no handler: so they get one here, which does nothing either.
    """
    ignored = [number for number in (signal.SIGINT, signal.SIGHUP) if signal.getsignal(number) == signal.SIG_IGN]
    for number in ignored:
        signal.signal(number, lambda *_: None)
    yield
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)


@pytest.fixture(autouse=True)
def _no_files_left(request: pytest.FixtureRequest, _clean_environment: Path) -> Iterator[None]:
    """Fail a test that leaves a temporary file, in the temporary folder or in its own."""
    own_folder = request.getfixturevalue("tmp_path") if "tmp_path" in request.fixturenames else None
    yield
    left = list(_clean_environment.iterdir())
    if own_folder is not None:
        own = own_folder.rglob("*")
        left += [path for path in own if _TEMPORARY.search(path.name) and "server" not in path.parts]
    for path in left:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert not left, f"temporary files are left: {[str(p) for p in left]}"


@pytest.fixture
def bulkio_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Yield a home of the test's own, not made yet; its embedded server is stopped afterwards."""
    home = tmp_path / "home"
    monkeypatch.setenv("BULKIO_HOME", str(home))
    yield home
    monkeypatch.setenv("BULKIO_HOME", str(home))
    _end_embedded_server()


def _end_embedded_server() -> None:
    """Stop the embedded server of the current BULKIO_HOME and remove what it left outside of that."""
    embedded.stop()
    if os.geteuid() == 0:
        shutil.rmtree(embedded._service_root(), ignore_errors=True)
        with contextlib.suppress(OSError):  # not there, or a user's own server lives in it
            embedded.SERVICE_HOME.rmdir()


# --- servers and databases ---------------------------------------------------------------------


@pytest.fixture(scope="session")
def _fleet() -> Iterator[servers.Fleet]:
    fleet = servers.Fleet()
    yield fleet
    fleet.close()


@pytest.fixture(params=_SERVER_IDS)
def server(request: pytest.FixtureRequest, _fleet: servers.Fleet) -> servers.TestServer:
    """Return each server found, one after the other."""
    return _fleet.get(request.param)


@pytest.fixture
def one_server(_fleet: servers.Fleet) -> servers.TestServer:
    """Return the first server found, which is the embedded one."""
    return _fleet.get(_SERVER_IDS[0])


@pytest.fixture
def _opened() -> Iterator[list[psycopg.Connection]]:
    """Hold the connections that `connect` opened in this test."""
    opened: list[psycopg.Connection] = []
    yield opened
    _close_all(opened)


@pytest.fixture
def connect(_opened: list[psycopg.Connection]) -> Callable[[str], psycopg.Connection]:
    """Open a psycopg connection (autocommit, client_encoding UTF8) that is closed after the test."""

    def open_one(dsn: str) -> psycopg.Connection:
        _opened.append(servers.connect(dsn))
        return _opened[-1]

    return open_one


@pytest.fixture
def dsn(server: servers.TestServer, _opened: list[psycopg.Connection]) -> Iterator[str]:
    """Make an empty UTF8 database on each server."""
    yield from _database(server, _opened, "UTF8")


@pytest.fixture
def latin1_dsn(server: servers.TestServer, _opened: list[psycopg.Connection]) -> Iterator[str]:
    """Make an empty LATIN1 database (locale C) on each server."""
    yield from _database(server, _opened, "LATIN1")


@pytest.fixture
def one_dsn(one_server: servers.TestServer, _opened: list[psycopg.Connection]) -> Iterator[str]:
    """Make an empty UTF8 database on the embedded server."""
    yield from _database(one_server, _opened, "UTF8")


def _database(on: servers.TestServer, opened: list[psycopg.Connection], encoding: str) -> Iterator[str]:
    with on.database(encoding) as name:
        yield name
        _close_all(opened)
        left = on.sessions(name)
    assert not left, f"connections are left open: {left}"


def _close_all(opened: list[psycopg.Connection]) -> None:
    while opened:
        opened.pop().close()


# --- what was not covered ----------------------------------------------------------------------

_gaps = Gaps()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note a test that passed, was skipped, or failed as expected."""
    if report.skipped or report.when == "call":
        failed_as_expected = f"expected to fail: {report.wasxfail}" if hasattr(report, "wasxfail") else None
        _gaps.note(report.nodeid, report.outcome, failed_as_expected or report.longrepr)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """Note a file that skips itself."""
    if report.skipped:
        _gaps.note(report.nodeid, report.outcome, report.longrepr)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say what this machine lacks, and which skips are not allowed."""
    if config.option.collectonly:
        return
    lines = _gaps.uncovered(_SERVER_IDS)
    if lines:
        terminalreporter.section("not covered on this machine")
        for line in lines:
            terminalreporter.write_line(line, yellow=True)
        terminalreporter.write_line("CI has all of it: .ci/run shows what to install")
    for line in _gaps.faults(_SERVER_IDS):
        terminalreporter.write_line(line, red=True)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Fail the run for those. A worker (pytest-xdist) knows a part of the tests only: its controller judges."""
    if hasattr(session.config, "workerinput"):
        return
    passed = exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
    if passed and not session.config.option.collectonly and _gaps.faults(_SERVER_IDS):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
