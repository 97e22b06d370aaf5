"""After each fault the same load, run again under the same id, comes to the expected rows; and nothing is left behind.

CI runs pairs: each fault meets each mode, driver and server, and so do these each other. `make faults` runs all
combinations. Loads by several workers are in test_worker_faults.
"""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING

import pytest
from fault_scene import FAULTS, MODES, meet_and_load_again

from servers import TestServer, found_servers

if TYPE_CHECKING:
    from pathlib import Path

DRIVERS = ("asyncpg", "psycopg")
SERVERS = tuple(found_servers())


def combinations() -> list[tuple[str, str, str, str]]:
    """Return (fault, mode, driver, server): all of them, or each fault with each mode on one driver and server.

    Those go round as on a chess board, so that each pair of any two is there as well.
    """
    if os.environ.get("FAULTS") == "all":
        return list(itertools.product(FAULTS, MODES, DRIVERS, SERVERS))
    chosen = []
    for (row, fault), (column, mode) in itertools.product(enumerate(FAULTS), enumerate(MODES)):
        server, driver = divmod(row + column, len(DRIVERS))
        chosen.append((fault, mode, DRIVERS[driver], SERVERS[server % len(SERVERS)]))
    return chosen


@pytest.mark.parametrize(("fault", "mode", "driver", "server_id"), combinations())
def test_the_second_run_comes_to_the_expected_rows(
    fault: str, mode: str, driver: str, server_id: str, clusters: dict[str, TestServer], source: Path
) -> None:
    """Whatever the first one has left: rows are there once, and all of them."""
    meet_and_load_again(FAULTS[fault], clusters[server_id], source, driver, mode, is_disk_small=fault == "disk full")
