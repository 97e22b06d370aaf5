"""No password and no connection string in any message, log, repr, traceback, report or row of the ledger.

A canary stands in each place that a password can come from; every command runs with it, and fails in every way.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

import bulkio
import bulkio.aio
from bulkio.drivers import connect as connect_driver
from bulkio.drivers.conninfo import parse_conninfo
from bulkio.errors import BulkioError
from bulkio.options import ExportRequest, GcRequest, LedgerRequest, LoadRequest, ReadRequest, RecordRequest
from servers import connect, fetch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from servers import TestServer

CANARY = "canary7Xq"
DRIVERS = ["asyncpg", "psycopg"]


@pytest.fixture
def place(one_server: TestServer, one_dsn: str) -> Iterator[dict[str, str]]:
    """Make a role whose password is the canary; give where its database is, without that."""
    one_server.admin.execute(f"CREATE ROLE canary_role LOGIN SUPERUSER PASSWORD '{CANARY}'")
    facts = conninfo_to_dict(one_dsn)
    yield {"host": facts["host"], "port": facts["port"], "dbname": facts["dbname"], "user": "canary_role"}
    with connect(one_dsn) as conn:
        conn.execute("DROP OWNED BY canary_role CASCADE")
    one_server.admin.execute("DROP ROLE canary_role")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Make a folder of files: good.parquet, other.parquet, odd.csv."""
    pq.write_table(pa.table({"a": [1, 2]}), tmp_path / "good.parquet")
    pq.write_table(pa.table({"a": [1, 3]}), tmp_path / "other.parquet")
    (tmp_path / "odd.csv").write_text("a\nx\n")
    return tmp_path


def uri(place: dict[str, str], password: str = CANARY) -> str:
    host = place["host"].replace("/", "%2F")
    return f"postgresql://canary_role:{password}@/{place['dbname']}?host={host}&port={place['port']}"


def carriers(place: dict[str, str], folder: Path) -> dict[str, tuple[list[str], dict[str, str]]]:
    """Give, for each way to hand a password over, the arguments and the environment."""
    passfile = folder / "passfile"
    passfile.write_text(f"*:*:*:*:{CANARY}\n")
    passfile.chmod(0o600)
    plain = make_conninfo(**place)
    config = folder / "bulkio" / "config.toml"
    config.parent.mkdir()
    config.write_text(f'[connections.asked]\ndsn = "{plain}"\npassword_command = "echo {CANARY}"\n')
    return {
        "uri": (["--dsn", uri(place)], {}),
        "keywords": (["--dsn", f"{plain} password={CANARY}"], {}),
        "BULKIO_DSN": ([], {"BULKIO_DSN": uri(place)}),
        "PGPASSWORD": (["--dsn", plain], {"PGPASSWORD": CANARY}),
        "passfile": (["--dsn", f"{plain} passfile={passfile}"], {}),
        "password_command": (["--dsn", "@asked"], {"XDG_CONFIG_HOME": str(folder)}),
    }


def commands(files: Path) -> list[list[str]]:
    """Return calls of every command that talks to a server: those that succeed, and those that fail."""
    good, other, odd = (str(files / name) for name in ("good.parquet", "other.parquet", "odd.csv"))
    return [
        ["load", good, "t", "--load-id", "x"],
        ["load", good, "t", "--load-id", "x"],
        ["load", other, "t", "--load-id", "x"],
        ["load", good, "t", "--load-id", "x", "--restart"],
        ["load", good, "t", "--load-id", "y", "--mode", "truncate", "--before", "SELECT 1"],
        ["load", good, "t", "--dry-run"],
        ["load", good, "t", "--check", "SELECT false"],
        ["load", odd, "t", "--load-id", "z"],
        ["load", good, "t", "--columns", "b"],
        ["load", str(files / "missing.parquet"), "t"],
        ["export", "t", str(files / "out.parquet")],
        ["export", "t", str(files / "out.parquet"), "--dry-run"],
        ["export", "missing", str(files / "out.parquet")],
        ["export", "--query", "SELECT 1/0", str(files / "out.parquet")],
        ["loads", "list"],
        ["loads", "show", "x"],
        ["loads", "show", "nothing"],
        ["loads", "forget", "x"],
        ["loads", "forget", "y"],
        ["loads", "gc", "--older-than", "0d"],
        ["loads", "list", "--ledger-schema", "pg_catalog"],
    ]


#: runs each command in a process of its own, forked from one that has imported everything
RUN = """
import json, os, sys
import bulkio.drivers.asyncpg, bulkio.drivers.psycopg
from bulkio import sync
from bulkio.cli import export, load, loads, run, runs
from bulkio.cli.main import main
for args in json.loads(sys.argv[1]):
    pid = os.fork()
    if pid == 0:
        main(args)
    os.waitpid(pid, 0)
"""


def run(calls: list[list[str]], env: dict[str, str]) -> str:
    """Run the program for each call; give all that it printed."""
    command = [sys.executable, "-W", "error", "-c", RUN, json.dumps(calls)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **env})
    return done.stdout + done.stderr


def leaks(text: str) -> list[str]:
    """Return the lines that the canary sings in."""
    return [line for line in text.splitlines() if CANARY in line]


@pytest.mark.parametrize(
    ("carrier", "driver", "form"),
    [
        ("uri", "asyncpg", ()),
        ("keywords", "psycopg", ("--json", "--debug")),
        ("BULKIO_DSN", "asyncpg", ("--json", "--debug")),
        ("PGPASSWORD", "psycopg", ("--debug",)),
        ("passfile", "asyncpg", ("--debug",)),
        ("password_command", "psycopg", ("--json", "--debug")),
    ],
)
def test_no_command_tells_the_password(
    one_dsn: str, place: dict[str, str], files: Path, carrier: str, driver: str, form: tuple[str, ...]
) -> None:
    """Those that succeed and those that fail, as text, as JSON and with --debug; and the ledger has it nowhere."""
    arguments, env = carriers(place, files)[carrier]
    told = run([[*call, *arguments, *form, "--driver", driver] for call in commands(files)], env)
    assert '"already": true' in told if "--json" in form else "loaded 2 rows into public.t" in told
    assert ("Traceback" in told) == ("--debug" in form)
    assert leaks(told) == []
    assert "internal error" not in told
    run([["load", str(files / "good.parquet"), "t", "--load-id", "last", *arguments]], env)
    rows = fetch(one_dsn, "SELECT l::text FROM bulkio_ledger.loads AS l")
    assert rows
    assert CANARY not in str(rows)
    assert "canary_role" not in str(rows)


def test_no_pipeline_tells_the_password(one_dsn: str, place: dict[str, str], tmp_path: Path) -> None:
    """Neither what is printed of runs that succeed and fail, nor the journal: a file has it from the environment."""
    path, wrong = tmp_path / "p.toml", tmp_path / "wrong.toml"
    head = '[schedule]\ncron = "* * * * *"\n[[step]]\nid = "a"\nsql = "select 1"\n[[step]]\nid = "b"\nneeds = ["a"]\n'
    path.write_text(f'name = "p"\nconnection = "${{DB}}"\n{head}sql = "select 1 / 0"\nconnection = "${{WRONG}}"\n')
    wrong.write_text(f'name = "wrong"\nconnection = "${{WRONG}}"\n{head}sql = "select 1"\n')
    env = {"DB": uri(place), "WRONG": uri(place, f"{CANARY}wrong"), "BULKIO_DSN": uri(place)}
    calls = [["run", str(path), "--run-id", "x"], ["runs", "resume", "p/x"], ["run", "--due", str(tmp_path)]]
    calls += [["run", str(wrong)], ["run", str(path), "--dry-run"], ["runs", "list"]]
    calls += [["runs", "show", "p/x", "--json"], ["validate", str(path), "--json"]]
    told = run([[*call, "--debug"] for call in calls], env)
    assert "step b has failed" in told
    assert leaks(told) == []
    assert "internal error" not in told
    for table in ("runs", "steps", "marks"):
        rows = fetch(one_dsn, f"SELECT r::text FROM bulkio_ledger.{table} AS r")
        assert rows
        assert CANARY not in str(rows)


def test_no_failing_connection_tells_the_password(place: dict[str, str], files: Path) -> None:
    """A wrong one, a host that is not there, a DSN that cannot be read, and a DSN where something else is expected."""
    good = str(files / "good.parquet")
    wrong = [
        uri({**place, "host": "/nowhere"}),
        uri(place, f"{CANARY}wrong"),
        uri(place).replace("?host", "?hots"),
        uri(place).replace("port=", "port=x"),
        f"{make_conninfo(**place)} pasword={CANARY}",
        f"{make_conninfo(**place)} password='{CANARY}",
        f"host=/nowhere user=u password={CANARY} sslmode=bogus",
        f"postgresql://u:{CANARY}@[::1/db",
        f"{uri(place)}&service={CANARY}",
    ]
    calls = [[*call, "--dsn", dsn] for dsn in wrong for call in (["load", good, "t"], ["loads", "list"])]
    calls += [["export", "t", str(files / "out.parquet"), "--dsn", dsn] for dsn in wrong]
    dsn = uri(place)
    calls += [["load", dsn, "t"], ["load", good, dsn, "--dsn", dsn], ["export", "t", dsn], ["export", dsn, "out.csv"]]
    calls += [["load", good, "t", "--dns", dsn], [dsn], ["load", dsn], ["loads", dsn]]
    told = run([[*call, "--debug"] for call in calls], {})
    assert leaks(told) == []
    assert "internal error" not in told


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("given", ["dsn", "callable", "text", "environment"])
def test_nothing_in_python_tells_the_password(
    one_dsn: str,
    place: dict[str, str],
    files: Path,
    given: str,
    driver: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Not the repr or text of requests, plans, reports, records and errors, nor tracebacks, nor any log at DEBUG."""
    caplog.set_level(logging.DEBUG)
    plain, path = make_conninfo(**place), files / "good.parquet"
    options: dict[str, object] = {"dsn": uri(place) if given == "dsn" else plain, "driver": driver}
    if given in ("callable", "text"):
        options["password"] = CANARY if given == "text" else lambda: CANARY
    if given == "environment":
        monkeypatch.setenv("PGPASSWORD", CANARY)
    seen: list[object] = [
        LoadRequest(path, "t", **options),
        ExportRequest("t", "out.csv", **options),
        ReadRequest("t", **options),
        LedgerRequest(**options),
        RecordRequest("x", **options),
        GcRequest(**options, older_than="1d"),
        bulkio.plan_load(path, "t", **options),
        bulkio.load(path, "t", **options, load_id="x"),
        bulkio.list_loads(**options),
        bulkio.plan_export("t", files / "out.parquet", **options),
    ]
    calls = [
        lambda: bulkio.load(files / "other.parquet", "t", **options, load_id="x"),
        lambda: bulkio.load(files / "odd.csv", "t", **options, retries=1),
        lambda: bulkio.show_load("nothing", **options),
        lambda: bulkio.read("missing", **options),
        lambda: bulkio.load(path, "t", **{**options, "dsn": uri({**place, "host": "/nowhere"})}),
        lambda: bulkio.load(path, "t", **{**options, "dsn": uri(place, f"{CANARY}wrong"), "password": None}),
    ]
    texts = [f"{each!r} {each}" for each in seen]
    for call in calls:
        with suppress(AssertionError):
            try:
                call()
            except BulkioError as error:
                texts += [repr(error), repr(vars(error)), "".join(traceback.format_exception(error))]
            else:
                texts.append("it did not fail")
    assert len(texts) == len(seen) + 3 * len(calls)
    assert CANARY not in "".join(texts)
    assert CANARY not in caplog.text


@pytest.mark.anyio
@pytest.mark.parametrize("driver", DRIVERS)
async def test_no_session_shows_the_password(place: dict[str, str], driver: str) -> None:
    """Neither it nor what a debugger prints of its parts one level down."""
    info = parse_conninfo(uri(place))
    session = await connect_driver(info, driver)
    try:
        assert CANARY not in repr(info) + repr(session)
    finally:
        await session.close()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
