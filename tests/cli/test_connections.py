"""`bulkio connections`: what has a name, and what answers there."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from psycopg.conninfo import conninfo_to_dict

if TYPE_CHECKING:
    from pathlib import Path

    from cli.program import Program

SECRET = "hunter2"


@pytest.fixture
def here(tmp_path: Path, bulkio_alone: Program, one_dsn: str) -> Path:
    """Make a current folder with connections, and a user's configuration."""
    facts = conninfo_to_dict(one_dsn)
    places = "\n".join(f"{key} = {json.dumps(value)}" for key, value in facts.items())
    folder = tmp_path / "here"
    folder.mkdir()
    (folder / "bulkio.toml").write_text(f"[connections.good]\n{places}\n[connections.own]\ndsn = 'embedded'\n")
    user = tmp_path / "config" / "bulkio" / "config.toml"
    user.parent.mkdir(parents=True)
    broken = f"[connections.bad]\nhost = '/nowhere'\nuser = 'ann'\ndbname = 'x'\npassword = '{SECRET}'\n"
    user.write_text(f"[connections.good]\nhost = 'hidden'\n{broken}[connections.unset]\nhost = '${{NO_HOST}}'\n")
    for path in (folder / "bulkio.toml", user):
        path.chmod(0o600)
    bulkio_alone.env["XDG_CONFIG_HOME"] = str(tmp_path / "config")
    return folder


def test_list(here: Path, bulkio_alone: Program, one_dsn: str) -> None:
    """The nearer one counts; what is wrong with one is told, and hides no other. Nothing is connected to."""
    done = bulkio_alone("connections", "list", cwd=here)
    assert done.code == 0
    lines = [line.split() for line in done.out.splitlines()]
    database = conninfo_to_dict(one_dsn)["dbname"]
    user = str(here.parent / "config" / "bulkio" / "config.toml")
    assert lines[0] == ["name", "host", "user", "database", "file"]
    by_name = {line[0]: line[1:] for line in lines[1:]}
    assert by_name["good"][2:] == [database, "bulkio.toml"]
    assert by_name["bad"] == ["/nowhere:5432", "ann", "x", user]
    assert by_name["own"] == ["embedded", "bulkio.toml"]
    assert by_name["unset"] == [user]
    assert 'key "host": the environment has no variable "NO_HOST"' in done.err
    as_json = bulkio_alone("connections", "list", "--json", cwd=here)
    rows = {row["name"]: row for row in json.loads(as_json.out)["connections"]}
    assert rows["bad"] == {
        "name": "bad",
        "host": "/nowhere:5432",
        "user": "ann",
        "database": "x",
        "error": None,
        "file": user,
    }
    assert SECRET not in done.out + done.err + as_json.out


def test_nothing_to_list(here: Path, bulkio_alone: Program) -> None:
    """It says where connections are looked for."""
    bulkio_alone.env["XDG_CONFIG_HOME"] = str(here)
    done = bulkio_alone("connections", "list", cwd=here.parent)
    assert (done.code, done.out) == (
        0,
        f"no connection has a name: there is none in bulkio.toml and {here}/bulkio/config.toml; `bulkio init` writes"
        " an example\n",
    )
    assert bulkio_alone("connections", "test", cwd=here.parent).code == 2


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
@pytest.mark.parametrize("name", ["good", "@good"])
def test_one(here: Path, bulkio_alone: Program, one_dsn: str, driver: str, name: str) -> None:
    """What answers is told."""
    done = bulkio_alone("connections", "test", name, "--driver", driver, "--json", cwd=here)
    [found] = json.loads(done.out)["connections"]
    facts = conninfo_to_dict(one_dsn)
    assert (done.code, found["name"], found["error"]) == (0, "good", None)
    assert (found["role"], found["database"], found["driver"]) == (facts["user"], facts["dbname"], driver)
    assert (found["standby"], found["tls"]) == (False, False)
    assert 0 < found["latency_s"] < found["connect_s"]


def test_one_for_people(here: Path, bulkio_alone: Program) -> None:
    """In a few lines."""
    done = bulkio_alone("connections", "test", "good", cwd=here)
    assert done.code == 0
    first, address, facts, *_, times = done.out.splitlines()
    assert first == "good: connected"
    assert address.startswith("  postgresql://")
    assert ", primary, no TLS, asyncpg" in facts
    assert times.startswith("  connected in ")


def test_one_that_fails(here: Path, bulkio_alone: Program) -> None:
    """Its error is the program's; a name that is not there is a wrong usage."""
    done = bulkio_alone("connections", "test", "bad", cwd=here)
    assert done.code == 5
    assert done.err.startswith("Error: cannot connect to postgresql://ann@/x?host=/nowhere")
    done = bulkio_alone("connections", "test", "goood", cwd=here)
    assert done.code == 2
    assert 'there is no connection "goood"' in done.err
    assert 'did you mean "good"?' in done.err


def test_all(here: Path, bulkio_alone: Program) -> None:
    """Each is tried, whatever becomes of the others."""
    (here / "bulkio.toml").write_text((here / "bulkio.toml").read_text().partition("[connections.own]")[0])
    done = bulkio_alone("connections", "test", cwd=here)
    assert done.code == 5
    assert "good: connected\n" in done.out
    assert "bad: failed\n  cannot connect to" in done.out
    assert "unset: failed\n  " in done.out
    found = json.loads(bulkio_alone("connections", "test", "--json", cwd=here).out)["connections"]
    assert {each["name"]: each["error"] and each["error"]["exit_code"] for each in found} == {
        "good": None,
        "bad": 5,
        "unset": 2,
    }
    assert SECRET not in done.out + done.err


def test_names_are_completed(here: Path, bulkio_alone: Program) -> None:
    """As far as the files can be read."""
    asked = {"_BULKIO_COMPLETE": "bash_complete", "COMP_CWORD": "3", "COMP_WORDS": "bulkio connections test g"}
    assert bulkio_alone(env=asked, cwd=here).out == "plain,good\n"
    dsn = {**asked, "COMP_WORDS": "bulkio load --dsn @g"}
    assert bulkio_alone(env=dsn, cwd=here).out == "plain,@good\n"
    (here / "bulkio.toml").write_text("[")
    assert bulkio_alone(env=asked, cwd=here).out == "\n"
