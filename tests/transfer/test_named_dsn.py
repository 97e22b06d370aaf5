"""A connection's name wherever a DSN goes, against a real server."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING

import pytest
from psycopg.conninfo import conninfo_to_dict

import bulkio
import bulkio.aio
from bulkio.bench import scratch

if TYPE_CHECKING:
    from pathlib import Path

DRIVERS = ("asyncpg", "psycopg")


@pytest.fixture
def here(tmp_path: Path, one_dsn: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make the current folder one with connections: `w` asks a command for its password, `wrong` has another one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    facts = conninfo_to_dict(one_dsn)
    (tmp_path / "secret").write_text(facts.pop("password"))
    places = "\n".join(f"{key} = {json.dumps(value)}" for key, value in facts.items())
    tokens = "import pathlib; open('asked', 'a').write('x'); print(pathlib.Path('secret').read_text())"
    command = json.dumps([sys.executable, "-c", tokens])
    text = f"[connections.w]\n{places}\npassword_command = {command}\n[connections.wrong]\n{places}\npassword = 'no'\n"
    (tmp_path / "bulkio.toml").write_text(text)
    (tmp_path / "bulkio.toml").chmod(0o600)
    return tmp_path


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_name_is_a_dsn(here: Path, driver: str) -> None:
    """The command is asked once for each connection."""
    assert bulkio.load([{"a": 1}], "t", "@w", driver=driver).rows == 1
    assert (here / "asked").read_text() == "x"
    assert bulkio.read("t", "@w", driver=driver).read_all().to_pylist() == [{"a": 1}]
    assert (here / "asked").read_text() == "xx"


def test_a_name_in_the_environment(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """BULKIO_DSN has it; the bench understands it too."""
    monkeypatch.setenv("BULKIO_DSN", "@w")
    assert bulkio.load([{"a": 1}], "t").rows == 1
    assert conninfo_to_dict(scratch.find_dsn(None))["password"] == (here / "secret").read_text()


@pytest.mark.parametrize("driver", DRIVERS)
def test_the_caller_s_password_wins(here: Path, driver: str) -> None:
    """It replaces that of the connection."""
    with pytest.raises(bulkio.ConnectError, match="password"):
        bulkio.list_loads("@wrong", driver=driver)
    assert bulkio.list_loads("@wrong", driver=driver, password=(here / "secret").read_text) == ()


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_slow_command_leaves_the_event_loop_free(here: Path, driver: str) -> None:
    """It runs in a thread, and is given up when its caller is cancelled."""

    async def cancelled() -> None:
        async with asyncio.timeout(0.2):
            await bulkio.aio.list_loads("@w", driver=driver)

    (here / "bulkio.toml").write_text('[connections.w]\nhost="x"\npassword_command="sleep 2"')
    with pytest.raises(TimeoutError):
        asyncio.run(cancelled())


def test_from_another_folder(here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever knows the folder asks for its connections: a pipeline is run from anywhere."""
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    with pytest.raises(bulkio.ConfigError, match='no connection "w"'):
        bulkio.list_loads("@w")
    dsn, password = bulkio.aio.named_dsn("@w", here)
    assert bulkio.list_loads(dsn, password=password) == ()


def test_the_embedded_server_by_a_name(here: Path, bulkio_home: Path) -> None:
    """A connection may be the embedded server."""
    (here / "bulkio.toml").write_text('[connections.w]\ndsn = "embedded"')
    assert bulkio.load([{"a": 1}], "t", "@w").rows == 1
