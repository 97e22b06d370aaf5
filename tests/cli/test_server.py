"""`bulkio server`, and the embedded server as the default on a terminal."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from cli.program import Program, Terminal

if TYPE_CHECKING:
    from pathlib import Path


def test_a_servers_life(bulkio_home: Path, orders: Path) -> None:
    """Start, status, url, psql, a load from a terminal without any DSN, stop."""
    bulkio = Program(None)
    assert bulkio("server", "status").code == 3
    assert json.loads(bulkio("server", "status", "--json").out)["running"] is False
    unknown = bulkio("server", "url")
    assert (unknown.code, unknown.out) == (2, "")

    started = json.loads(bulkio("server", "start", "--json").out)
    assert (started["started"], started["running"]) == (True, True)
    again = bulkio("server", "start")
    assert again.code == 0
    assert "runs already" in again.out
    status = bulkio("server", "status")
    assert status.code == 0
    assert str(bulkio_home) in status.out or "/var/lib/bulkio" in status.out

    url = bulkio("server", "url").out.strip()
    assert url.startswith("postgresql://bulkio:")
    assert json.loads(bulkio("server", "url", "--json").out) == {"url": url}

    terminal = Terminal()
    done = bulkio("load", orders, "orders", stdin=terminal.slave, stderr=terminal.slave)
    assert done.code == 0
    assert "no DSN configured: using the embedded server (`bulkio server stop` stops it)" in terminal.close()

    for args in (["--", "-XAtc"], ["-XAtc"]):
        psql = bulkio("server", "psql", *args, "select count(*) from orders")
        assert (psql.code, psql.out) == (0, "1000\n")
    assert bulkio("server", "psql", "--", "-v", "ON_ERROR_STOP=1", "-c", "select 1/0").code == 1

    assert "was stopped" in bulkio("server", "stop").out
    assert json.loads(bulkio("server", "stop", "--json").out) == {"stopped": False}
    assert bulkio("server", "status").code == 3
