"""Who listens on a socket, asked before anything is sent there."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bulkio.drivers import peer
from bulkio.drivers.conninfo import parse_conninfo
from bulkio.errors import ConnectError
from impostor import impostor
from sessions import open_session

if TYPE_CHECKING:
    from collections.abc import Iterator

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become another user")


@pytest.fixture
def folder() -> Iterator[Path]:
    """Yield a short folder that another user may write: a socket's path has 107 bytes at the most."""
    made = Path(tempfile.mkdtemp(dir="/tmp"))
    made.chmod(0o777)
    yield made
    shutil.rmtree(made, ignore_errors=True)


def connect(text: str, peer_uid: int, driver: str) -> None:
    async def connected() -> None:
        info = replace(parse_conninfo(text, password="hunter2"), peer_uid=peer_uid)
        async with open_session(info, driver) as session:
            assert await session.fetch("select 1") == [(1,)]

    asyncio.run(connected())


@needs_root
@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
def test_another_users_server_gets_no_password(folder: Path, driver: str) -> None:
    """A ConnectError that names both users, before a byte was sent; without the check the password went there."""
    text = f"host={folder} user=u dbname=d"
    nobody = pwd.getpwnam("nobody").pw_uid
    with impostor(folder, mode="") as other:
        with pytest.raises(ConnectError, match=rf"user id {nobody}, and not of {os.geteuid()}") as caught:
            connect(text, os.geteuid(), driver)
        assert not caught.value.retryable
        with pytest.raises(ConnectError):
            connect(text, nobody, driver)
        assert other.heard().count("hunter2") == 1


@needs_root
def test_libpq_asks_too(folder: Path) -> None:
    """Between our question and libpq's connecting nobody can slip in: libpq has its own check."""
    import psycopg

    with impostor(folder, mode="") as other:
        info = replace(parse_conninfo(f"host={folder} user=u dbname=d", password="hunter2"), peer_uid=os.geteuid())
        with pytest.raises(psycopg.OperationalError, match="requirepeer"):
            psycopg.connect(**info.psycopg_kwargs())
        assert "hunter2" not in other.heard()


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
def test_the_right_user_is_let_in(one_dsn: str, driver: str) -> None:
    """A server that runs as who it must, with the user's name and without one."""
    socket = parse_conninfo(one_dsn).hosts[0]
    uid = peer.uid_of(f"{socket.host}/.s.PGSQL.{socket.port}")
    assert uid is not None
    info = replace(parse_conninfo(one_dsn), peer_uid=uid)

    async def connected() -> None:
        async with open_session(info, driver) as session:
            assert await session.fetch("select 1") == [(1,)]

    asyncio.run(connected())


def test_a_user_without_a_name_cannot_be_told_to_libpq() -> None:
    """In a container a user id may have no name: libpq's check is by name, ours is not."""
    info = replace(parse_conninfo("host=/x user=u dbname=d"), peer_uid=54321)
    assert "requirepeer" not in info.psycopg_kwargs()
